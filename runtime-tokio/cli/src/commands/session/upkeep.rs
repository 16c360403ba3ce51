//! Seals a database, takes a moved account back, removes one.

use super::{ConfirmedArgs, account};
use crate::args::Global;
use crate::failure::Failure;
use crate::{chats, session};
use std::process::ExitCode;
use whatsio_store::{Administer, SqliteStore};

pub(super) fn seal(global: &Global) -> Result<ExitCode, Failure> {
    if global.plain_store {
        return Err(Failure::Usage("--plain-store and `session seal` exclude each other"));
    }
    if !global.store.exists() {
        return Err(Failure::NoDatabase(global.store.clone()));
    }
    let sealed = SqliteStore::seal_in_place(&global.store, &session::key_source(global));
    match sealed.map_err(|source| Failure::Store { path: global.store.clone(), source })? {
        0 => eprintln!("sealed; there was nothing plain in it"),
        records => eprintln!("sealed {records} records; keep the key apart from backups of the database"),
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn reclaim(global: &Global, args: &ConfirmedArgs) -> Result<ExitCode, Failure> {
    let account = account(global)?;
    let store = session::open_existing(global)?;
    let standing = store.standing(&account)?.ok_or_else(|| Failure::NoAccount(account.to_string()))?;
    if standing.moved_unix_ms.is_none() {
        eprintln!("{account} was not moved away");
        return Ok(ExitCode::SUCCESS);
    }
    if !args.yes {
        return Err(Failure::Usage("say --yes if the exported file was never imported and is deleted"));
    }
    store.reclaim(&account).map_err(Failure::cannot_write)?;
    eprintln!("{account} runs here again");
    Ok(ExitCode::SUCCESS)
}

pub(super) fn remove(global: &Global, args: &ConfirmedArgs) -> Result<ExitCode, Failure> {
    let account = account(global)?;
    let store = session::open_existing(global)?;
    if store.standing(&account)?.is_none() {
        return Err(Failure::NoAccount(account.to_string()));
    }
    if !args.yes {
        return Err(Failure::Usage("say --yes to remove the account and all its keys for good"));
    }
    store.erase(&account).map_err(Failure::cannot_write)?;
    store.erase(&chats::list_of(account.as_str())?).map_err(Failure::cannot_write)?;
    eprintln!("{account} is removed; unlink the device on the phone too");
    Ok(ExitCode::SUCCESS)
}
