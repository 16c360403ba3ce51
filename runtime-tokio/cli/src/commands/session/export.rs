//! Moves an account into a file.

use super::{ExportArgs, account, lock};
use crate::args::Global;
use crate::failure::Failure;
use crate::session;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};
use whatsio_store::transfer::{Export, export_file};

pub(super) fn run(global: &Global, args: &ExportArgs) -> Result<ExitCode, Failure> {
    let account = account(global)?;
    let store = session::open_existing(global)?;
    let lock = lock::lock(&args.lock, true)?;
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let export = Export {
        account: account.clone(),
        unix_ms: u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX),
        source: concat!("whatsio ", env!("CARGO_PKG_VERSION")).into(),
        copy: args.copy,
    };
    let records = export_file(&store, &lock, &export, &args.file)?;
    println!("{}", args.file.display());
    if args.copy {
        eprintln!("{account}: copied, {records} records; do not use the copy once the account has run on");
    } else {
        eprintln!("{account}: moved out, {records} records; it does not run here any more");
    }
    Ok(ExitCode::SUCCESS)
}
