//! Sealing a store that was written plain.

use super::file::{self, Mode, OpenError};
use super::{Rows, SqliteStore};
use crate::AccountId;
use crate::seal::KeySource;
use rusqlite::{Connection, TransactionBehavior};
use std::ops::ControlFlow;
use std::path::Path;

impl SqliteStore {
    /// Seals the plain store at `path` with the key of `source` and says how many records it sealed; none when it was
    /// sealed under that key already.
    ///
    /// One transaction: after a crash the store is plain or sealed, whole in both cases. Plain bytes are overwritten in the
    /// file and its log is emptied; copies made before, file system snapshots and the spare blocks of flash drives are out
    /// of reach. End every process that uses the store first: one that has it open as a plain one can write no more, and
    /// while it lives the old log cannot be emptied ([`OpenError::StillOpenElsewhere`]).
    pub fn seal_in_place(path: impl AsRef<Path>, source: &KeySource) -> Result<u64, OpenError> {
        let path = path.as_ref();
        let (mut connection, _) = match file::open(path, Mode::Plain) {
            Err(OpenError::Sealed(_)) => file::open(path, Mode::Sealed(source))?,
            opened => opened?,
        };
        let records = seal_all(&mut connection, source)?;
        let busy: i64 = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if busy != 0 {
            return Err(OpenError::StillOpenElsewhere(path.to_owned()));
        }
        Ok(records)
    }
}

fn seal_all(connection: &mut Connection, source: &KeySource) -> Result<u64, OpenError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let plain: i64 =
        transaction.query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'record'", [], |row| row.get(0))?;
    if plain == 0 {
        return Ok(0);
    }
    let seal = file::begin_seal(&transaction, &source.for_new()?)?;
    let accounts = {
        let mut statement = transaction.prepare("SELECT number, name FROM account")?;
        let rows = statement.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))?;
        rows.collect::<Result<Vec<_>, _>>()?
    };
    let mut records = 0;
    for (number, name) in accounts {
        let name = AccountId::new(&name).map_err(|_| rusqlite::Error::InvalidQuery)?;
        let (plain, sealed) = (Rows::new(None, &name, number), Rows::new(Some(&seal), &name, number));
        let mut failed = None;
        let mut seal_one = |key, record| match sealed.put(&transaction, &key, &record) {
            Ok(()) => {
                records += 1;
                ControlFlow::Continue(())
            }
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        };
        let read = plain.visit(&transaction, &mut seal_one)?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        read.map_err(|_| OpenError::Newer { found: file::FORMAT + 1, known: file::FORMAT })?;
    }
    transaction.execute_batch("DROP TABLE record")?;
    transaction.commit()?;
    Ok(records)
}
