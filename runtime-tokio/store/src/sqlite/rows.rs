//! The rows of one account: plain or sealed, one row per record.

use crate::seal::{AccountSeal, Seal};
use crate::{AccountId, DAMAGED, LoadError};
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use std::borrow::Cow;
use std::ops::ControlFlow;
use whatsio_core::api::{Key, Record, Space};

/// How the rows of an account are named and kept.
pub(super) struct Rows {
    account: i64,
    seal: Option<AccountSeal>,
}

struct Statements {
    put: &'static str,
    add: &'static str,
    delete: &'static str,
    read: &'static str,
    all: &'static str,
    count: &'static str,
    erase: &'static str,
}

macro_rules! statements {
    ($table:literal) => {
        Statements {
            put: concat!(
                "INSERT INTO ",
                $table,
                " (account, space, id, body) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET body = excluded.body"
            ),
            add: concat!(
                "INSERT INTO ",
                $table,
                " (account, space, id, body) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING"
            ),
            delete: concat!("DELETE FROM ", $table, " WHERE account = ?1 AND space = ?2 AND id = ?3"),
            read: concat!("SELECT body FROM ", $table, " WHERE account = ?1 AND space = ?2 AND id = ?3"),
            all: concat!("SELECT space, id, body FROM ", $table, " WHERE account = ?1"),
            count: concat!("SELECT space, count(*) FROM ", $table, " WHERE account = ?1 GROUP BY space ORDER BY space"),
            erase: concat!("DELETE FROM ", $table, " WHERE account = ?1"),
        }
    };
}

const PLAIN: Statements = statements!("record");
const SEALED: Statements = statements!("sealed");

impl Rows {
    pub(super) fn new(seal: Option<&Seal>, name: &AccountId, account: i64) -> Self {
        Self { account, seal: seal.map(|seal| seal.account(name)) }
    }

    pub(super) fn put(&self, transaction: &Transaction<'_>, key: &Key, record: &Record) -> rusqlite::Result<()> {
        self.insert(transaction, self.statements().put, key, record).map(drop)
    }

    /// As [`put`](Self::put); false if there was a row already.
    pub(super) fn add(&self, transaction: &Transaction<'_>, key: &Key, record: &Record) -> rusqlite::Result<bool> {
        Ok(self.insert(transaction, self.statements().add, key, record)? == 1)
    }

    pub(super) fn delete(&self, transaction: &Transaction<'_>, key: &Key) -> rusqlite::Result<()> {
        let mut statement = transaction.prepare_cached(self.statements().delete)?;
        statement.execute(params![self.account, key.space as u8, self.name(key).as_ref()]).map(drop)
    }

    /// Reads one record per key. A row that does not open reads as a record of the version [`DAMAGED`].
    pub(super) fn read(&self, connection: &Connection, keys: &[Key]) -> rusqlite::Result<Vec<Option<Record>>> {
        let mut statement = connection.prepare_cached(self.statements().read)?;
        let read = |key: &Key| {
            let name = self.name(key);
            let place = params![self.account, key.space as u8, name.as_ref()];
            statement.query_row(place, |row| Ok(self.open(key, row.get_ref(0)?.as_blob()?))).optional()
        };
        keys.iter().map(read).collect()
    }

    /// Shows every record until `visit` breaks, in no particular order.
    pub(super) fn visit(
        &self,
        connection: &Connection,
        visit: &mut dyn FnMut(Key, Record) -> ControlFlow<()>,
    ) -> rusqlite::Result<Result<(), LoadError>> {
        let mut statement = connection.prepare(self.statements().all)?;
        let mut rows = statement.query([self.account])?;
        while let Some(row) = rows.next()? {
            let number: u8 = row.get(0)?;
            let (name, body) = (row.get_ref(1)?.as_blob()?, row.get_ref(2)?.as_blob()?);
            let Some(space) = Space::from_number(number) else { return Ok(Err(LoadError::Newer)) };
            let (id, record) = match &self.seal {
                None => (Bytes::copy_from_slice(name), Record(Bytes::copy_from_slice(body))),
                Some(seal) => match seal.open_any(number, name, body) {
                    Ok(found) => found,
                    Err(_) => return Ok(Err(LoadError::Damaged(space))),
                },
            };
            if visit(Key::new(space, id), record).is_break() {
                break;
            }
        }
        Ok(Ok(()))
    }

    /// How many records there are of each space.
    pub(super) fn count(&self, connection: &Connection) -> rusqlite::Result<Vec<(Space, u64)>> {
        let mut statement = connection.prepare(self.statements().count)?;
        let counts = statement.query_map([self.account], |row| Ok((row.get::<_, u8>(0)?, row.get::<_, i64>(1)?)))?;
        let counts = counts.collect::<Result<Vec<_>, _>>()?;
        let known = |(number, count): (u8, i64)| Some((Space::from_number(number)?, count.cast_unsigned()));
        Ok(counts.into_iter().filter_map(known).collect())
    }

    pub(super) fn erase(&self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        transaction.execute(self.statements().erase, [self.account]).map(drop)
    }

    const fn statements(&self) -> &'static Statements {
        if self.seal.is_some() { &SEALED } else { &PLAIN }
    }

    fn insert(
        &self,
        transaction: &Transaction<'_>,
        statement: &str,
        key: &Key,
        record: &Record,
    ) -> rusqlite::Result<usize> {
        let body =
            match &self.seal {
                None => Cow::Borrowed(record.0.as_ref()),
                Some(seal) => Cow::Owned(seal.seal(key, record).map_err(|_| {
                    rusqlite::Error::ToSqlConversionFailure("no randomness to seal a record with".into())
                })?),
            };
        let name = self.name(key);
        transaction.prepare_cached(statement)?.execute(params![
            self.account,
            key.space as u8,
            name.as_ref(),
            body.as_ref()
        ])
    }

    fn name(&self, key: &Key) -> Bytes {
        match &self.seal {
            None => key.id.clone(),
            Some(seal) => Bytes::copy_from_slice(&seal.row_name(key)),
        }
    }

    fn open(&self, key: &Key, body: &[u8]) -> Record {
        let Some(seal) = &self.seal else { return Record(Bytes::copy_from_slice(body)) };
        seal.open(key, body).unwrap_or_else(|_| {
            tracing::error!(space = ?key.space, "a sealed record does not open: damaged, or altered by somebody");
            Record([&[DAMAGED], body].concat().into())
        })
    }
}
