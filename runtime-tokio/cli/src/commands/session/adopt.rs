//! Makes an account of another client's files.

use super::{AdoptArgs, ForeignClient, account};
use crate::args::Global;
use crate::failure::Failure;
use crate::session;
use std::process::ExitCode;
use whatsio_store::foreign;

pub(super) fn run(global: &Global, args: &AdoptArgs) -> Result<ExitCode, Failure> {
    let account = account(global)?;
    let adoption = match args.client {
        ForeignClient::Baileys if args.number.is_some() => {
            return Err(Failure::Usage("a folder of Baileys holds one account: leave --number out"));
        }
        ForeignClient::Baileys => foreign::read_baileys(&args.path)?,
        ForeignClient::Whatsmeow => foreign::read_whatsmeow(&args.path, args.number.as_deref())?,
    };
    let done = foreign::adopt(&session::open(global)?, &account, adoption)?;
    println!("{account}");
    eprintln!("{} records, {} sessions; the other client must not connect any more", done.records, done.sessions);
    if done.left_out > 0 {
        eprintln!("{} sessions or keys could not be used; they are made anew by themselves", done.left_out);
    }
    Ok(ExitCode::SUCCESS)
}
