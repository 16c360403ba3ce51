//! The embedded default: one SQLite file for all accounts, sealed at rest.
//!
//! Owns the file's format and its durability settings. Write-ahead log with a full sync per transaction, so that what
//! was answered survives a power cut; one connection writes, others read beside it. Several processes may share the
//! file: epochs are read inside the writing transaction, never remembered here. What a sealed row looks like is the
//! module `seal`'s.

mod administer;
mod convert;
mod file;
mod rows;

pub use file::OpenError;

use crate::seal::{KeySource, Seal};
use crate::store::within_limits;
use crate::{AccountId, LoadError, Store};
use file::Mode;
use rows::Rows;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior, params};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use whatsio_core::api::{Commit, CommitError, Epoch, Key, Record};

/// A store in one SQLite file, which on Unix only its owner may read.
///
/// Records and their ids are sealed; who has the file without its key can neither read a message or a number nor act for
/// an account. Account names, epochs, and the number and length of records stay readable.
pub struct SqliteStore {
    path: PathBuf,
    seal: Option<Seal>,
    writer: Mutex<Connection>,
    /// Idle reading connections; one is opened when none is idle, and at most [`IDLE_READERS`] are kept.
    readers: Mutex<Vec<Connection>>,
}

/// What the file knows of an account besides its records.
#[derive(Clone, Copy)]
struct Found {
    number: i64,
    /// The greatest epoch that a commit carried.
    epoch: Epoch,
    /// The least epoch that the next commit may carry.
    least: Epoch,
    moved: Option<u64>,
}

const IDLE_READERS: usize = 4;

const FIND_ACCOUNT: &str = "SELECT number, epoch, fence, moved FROM account WHERE name = ?1";
const ADD_ACCOUNT: &str = "INSERT INTO account (name, epoch) VALUES (?1, ?2)";
const RAISE_EPOCH: &str = "UPDATE account SET epoch = ?2 WHERE number = ?1";

impl SqliteStore {
    /// Opens the sealed store at `path` with the key in the file beside it, `<path>.key`; creates both (but no folder)
    /// when there is no store yet. Keep the key file out of the backups that hold the store.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref();
        Self::open_with(path, &KeySource::beside(path))
    }

    /// Opens the sealed store at `path` with the key of `source`; creates it when there is none.
    pub fn open_with(path: impl AsRef<Path>, source: &KeySource) -> Result<Self, OpenError> {
        Self::open_as(path.as_ref(), Mode::Sealed(source))
    }

    /// Opens a store that is not sealed; creates it when there is none. Whoever has a copy of the file has the accounts.
    pub fn open_plain(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_as(path.as_ref(), Mode::Plain)
    }

    fn open_as(path: &Path, mode: Mode<'_>) -> Result<Self, OpenError> {
        let (writer, seal) = file::open(path, mode)?;
        Ok(Self { path: path.to_owned(), seal, writer: Mutex::new(writer), readers: Mutex::default() })
    }

    /// The file's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether records are sealed.
    #[must_use]
    pub const fn is_sealed(&self) -> bool {
        self.seal.is_some()
    }

    fn rows(&self, account: &AccountId, found: &Found) -> Rows {
        Rows::new(self.seal.as_ref(), account, found.number)
    }

    /// Runs `read` on an idle reading connection, in one transaction, so that all it reads is from one state. The
    /// connection is dropped when `read` fails.
    fn reading<T>(&self, read: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>) -> Result<T, LoadError> {
        let idle = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let attempt = || {
            let mut reader = match idle {
                Some(reader) => reader,
                None => file::connect_reader(&self.path)?,
            };
            let transaction = reader.transaction()?;
            let answer = read(&transaction)?;
            drop(transaction);
            Ok((reader, answer))
        };
        let (reader, answer) = attempt().map_err(load_error)?;
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < IDLE_READERS {
            readers.push(reader);
        }
        Ok(answer)
    }

    /// Runs `write` in one transaction that is durable when this returns.
    fn writing<T>(&self, write: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>) -> Result<T, CommitError> {
        self.writing_if(|transaction| write(transaction).map(Ok::<T, CommitError>)).and_then(|answer| answer)
    }

    /// As [`writing`](Self::writing), for writes that may decide against it: nothing is written when `write` answers
    /// with an error of its own.
    fn writing_if<T, E>(
        &self,
        write: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<Result<T, E>>,
    ) -> Result<Result<T, E>, CommitError> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = writer.transaction_with_behavior(TransactionBehavior::Immediate).and_then(|transaction| {
            let answer = write(&transaction)?;
            if answer.is_ok() {
                transaction.commit()?;
            }
            Ok(answer)
        });
        outcome.map_err(|error| {
            if is_busy(&error) {
                return CommitError::Retry;
            }
            tracing::error!(%error, "the store cannot write");
            CommitError::Fatal
        })
    }

    /// The outer result is the transaction's, the inner one this commit's alone: all checks come before the first write.
    fn apply(
        &self,
        transaction: &Transaction<'_>,
        account: &AccountId,
        commit: &Commit,
    ) -> rusqlite::Result<Result<(), CommitError>> {
        let known = find_account(transaction, account)?;
        if known.is_some_and(|found| found.moved.is_some() || commit.epoch < found.least) {
            return Ok(Err(CommitError::Fenced));
        }
        if !within_limits(commit) {
            tracing::error!("a commit breaks the limits of the store");
            return Ok(Err(CommitError::Fatal));
        }
        let number = match known {
            Some(found) => {
                if found.epoch < commit.epoch {
                    let raised = params![found.number, commit.epoch.0.cast_signed()];
                    transaction.prepare_cached(RAISE_EPOCH)?.execute(raised)?;
                }
                found.number
            }
            None => add_account(transaction, account, commit.epoch)?,
        };
        let rows = Rows::new(self.seal.as_ref(), account, number);
        for (key, record) in &commit.writes {
            match record {
                Some(record) => rows.put(transaction, key, record)?,
                None => rows.delete(transaction, key)?,
            }
        }
        Ok(Ok(()))
    }
}

impl Store for SqliteStore {
    fn load(&self, account: &AccountId, keys: &[Key]) -> Result<Vec<Option<Record>>, LoadError> {
        self.reading(|transaction| match find_account(transaction, account)? {
            None => Ok(Ok(vec![None; keys.len()])),
            Some(found) if found.moved.is_some() => Ok(Err(LoadError::MovedAway)),
            Some(found) => self.rows(account, &found).read(transaction, keys).map(Ok),
        })?
    }

    fn commit(&self, batch: &[(AccountId, Commit)]) -> Vec<Result<(), CommitError>> {
        let write = |transaction: &Transaction<'_>| {
            batch
                .iter()
                .map(|(account, commit)| self.apply(transaction, account, commit))
                .collect::<Result<Vec<_>, _>>()
        };
        self.writing(write).unwrap_or_else(|error| vec![Err(error); batch.len()])
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.path)
            .field("sealed", &self.is_sealed())
            .finish_non_exhaustive()
    }
}

/// Epochs are kept as signed numbers of equal bits, so they are compared here and never by SQLite.
fn find_account(connection: &Connection, account: &AccountId) -> rusqlite::Result<Option<Found>> {
    let unsigned = |row: &rusqlite::Row<'_>, at: usize| row.get::<_, i64>(at).map(i64::cast_unsigned);
    let read = |row: &rusqlite::Row<'_>| {
        let (epoch, fence) = (Epoch(unsigned(row, 1)?), Epoch(unsigned(row, 2)?));
        let moved = row.get::<_, Option<i64>>(3)?.map(i64::cast_unsigned);
        Ok(Found { number: row.get(0)?, epoch, least: epoch.max(fence), moved })
    };
    connection.prepare_cached(FIND_ACCOUNT)?.query_row([account.as_str()], read).optional()
}

fn add_account(transaction: &Transaction<'_>, account: &AccountId, epoch: Epoch) -> rusqlite::Result<i64> {
    transaction.prepare_cached(ADD_ACCOUNT)?.insert(params![account.as_str(), epoch.0.cast_signed()])
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

#[expect(clippy::needless_pass_by_value, reason = "given to map_err by name")]
fn load_error(error: rusqlite::Error) -> LoadError {
    if is_busy(&error) { LoadError::Busy } else { LoadError::Unreadable(error.to_string()) }
}
#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use whatsio_core::api::{CommitId, Space};

    fn put(epoch: u64, body: Vec<u8>) -> (AccountId, Commit) {
        let writes = vec![(Key::new(Space::Account, &b"x"[..]), Some(Record(body.into())))];
        (AccountId::new("me").unwrap(), Commit { id: CommitId(1), epoch: Epoch(epoch), writes })
    }

    fn read(store: &SqliteStore) -> Option<Record> {
        let key = Key::new(Space::Account, &b"x"[..]);
        store.load(&AccountId::new("me").unwrap(), &[key]).unwrap().remove(0)
    }

    #[test]
    fn full_disk_is_fatal_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path().join("store.db")).unwrap();
        assert_eq!(store.commit(&[put(1, vec![1])]), vec![Ok(())]);
        let limit = |pages: i64| store.writer.lock().unwrap().pragma_update(None, "max_page_count", pages).unwrap();
        limit(10);
        let batch = [put(9, vec![2]), put(9, vec![3; 1_000_000]), put(9, vec![4])];
        assert_eq!(store.commit(&batch), vec![Err(CommitError::Fatal); 3]);
        assert_eq!(read(&store), Some(Record(vec![1].into())));
        limit(1_000_000);
        assert_eq!(store.commit(&[put(2, vec![5])]), vec![Ok(())], "the failed commits raised no epoch");
        assert_eq!(read(&store), Some(Record(vec![5].into())));
    }

    #[test]
    fn file_locked_by_another_process_asks_for_a_retry() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path().join("store.db")).unwrap();
        assert_eq!(store.commit(&[put(1, vec![1])]), vec![Ok(())]);
        store.writer.lock().unwrap().busy_timeout(Duration::ZERO).unwrap();
        let other = Connection::open(store.path()).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        assert_eq!(store.commit(&[put(1, vec![2]), put(1, vec![3])]), vec![Err(CommitError::Retry); 2]);
        assert_eq!(read(&store), Some(Record(vec![1].into())), "readers are not hindered");
        other.execute_batch("ROLLBACK").unwrap();
        assert_eq!(store.commit(&[put(1, vec![2])]), vec![Ok(())]);
        assert_eq!(read(&store), Some(Record(vec![2].into())));
    }
}
