//! Makes an account of a file.

use super::{ImportArgs, account, lock};
use crate::args::{DEFAULT_ACCOUNT, Global};
use crate::failure::Failure;
use crate::session;
use std::fs::File;
use std::io::BufReader;
use std::process::ExitCode;
use whatsio_store::AccountId;
use whatsio_store::transfer::{Import, import};

pub(super) fn run(global: &Global, args: ImportArgs) -> Result<ExitCode, Failure> {
    let file = File::open(&args.file).map_err(|source| Failure::Read { path: args.file.clone(), source })?;
    let store = session::open(global)?;
    let lock = lock::lock(&args.lock, false)?;
    let choice = Import { account: name(global, args.name)?, accept_copy: args.accept_copy };
    let done = import(&store, &lock, &choice, BufReader::new(file))?;
    println!("{}", done.account);
    eprintln!("imported {} records; delete {} now", done.records, args.file.display());
    Ok(ExitCode::SUCCESS)
}

/// The name that was asked for: by `--as`, else by `--account` as everywhere else.
fn name(global: &Global, wanted: Option<AccountId>) -> Result<Option<AccountId>, Failure> {
    if wanted.is_some() || global.account == DEFAULT_ACCOUNT {
        return Ok(wanted);
    }
    account(global).map(Some)
}
