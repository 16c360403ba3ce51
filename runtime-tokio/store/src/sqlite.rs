//! The embedded default: one SQLite file for all accounts.
//!
//! Owns the file's format and its durability settings. Write-ahead log with a full sync per transaction, so that what
//! was answered survives a power cut; one connection writes, others read beside it. Several processes may share the
//! file: epochs are read inside the writing transaction, never remembered here.

use crate::store::within_limits;
use crate::{AccountId, Administer, LoadError, Store};
use bytes::Bytes;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, params};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use whatsio_core::api::{Commit, CommitError, Epoch, Key, Record};

/// A store in one SQLite file. The file holds private keys; on Unix only its owner may read it.
pub struct SqliteStore {
    path: PathBuf,
    writer: Mutex<Connection>,
    /// Idle reading connections; one is opened when none is idle, and at most [`IDLE_READERS`] are kept.
    readers: Mutex<Vec<Connection>>,
}

/// Why a file could not be opened as a store. The file is left as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file cannot be created, or its access rights cannot be narrowed.
    #[error("cannot open {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A newer release wrote the file; this one would damage it.
    #[error("the store has format {found}, this release knows formats up to {known}: use the newer release")]
    Newer {
        /// The file's format.
        found: i64,
        /// The newest format known here.
        known: i64,
    },
    /// The file is a database, but another program's.
    #[error("{} is a database of another program", .0.display())]
    Foreign(PathBuf),
    /// The file system cannot carry a write-ahead log (network file systems).
    #[error("the file system cannot carry a write-ahead log")]
    NoWriteAheadLog,
    /// SQLite refused: not a database, damaged, locked for too long.
    #[error("the store cannot be opened: {0}")]
    Database(#[source] rusqlite::Error),
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

/// The format this release writes, kept in `user_version`.
const FORMAT: i64 = 1;
/// Kept in `application_id`: "wsio".
const APPLICATION: i64 = 0x7773_696f;
/// How long a connection waits for another process before it says busy.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const IDLE_READERS: usize = 4;

/// Accounts are numbered so that the key of a record stays short.
const SCHEMA: &str = "
    CREATE TABLE account (
        number INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        epoch INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE record (
        account INTEGER NOT NULL,
        space INTEGER NOT NULL,
        id BLOB NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (account, space, id)
    ) STRICT, WITHOUT ROWID;
";

const FIND_ACCOUNT: &str = "SELECT number, epoch FROM account WHERE name = ?1";
const ADD_ACCOUNT: &str = "INSERT INTO account (name, epoch) VALUES (?1, ?2)";
const RAISE_EPOCH: &str = "UPDATE account SET epoch = ?2 WHERE number = ?1";
const PUT: &str = "INSERT INTO record (account, space, id, body) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT DO UPDATE SET body = excluded.body";
const DELETE: &str = "DELETE FROM record WHERE account = ?1 AND space = ?2 AND id = ?3";
const READ: &str = "SELECT body FROM record WHERE account = ?1 AND space = ?2 AND id = ?3";

impl SqliteStore {
    /// Opens the store at `path`, creating the file (but no folder) when there is none.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref().to_path_buf();
        prepare_file(&path).map_err(|source| OpenError::File { path: path.clone(), source })?;
        let mut writer = connect(&path)?;
        claim(&mut writer, &path)?;
        durable(&writer)?;
        writer.pragma_update(None, "cache_size", -2048)?;
        Ok(Self { path, writer: Mutex::new(writer), readers: Mutex::default() })
    }

    /// The file's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `read` on an idle reading connection. The connection is dropped when `read` fails.
    fn reading<T>(&self, read: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let idle = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut reader = match idle {
            Some(reader) => reader,
            None => connect_reader(&self.path)?,
        };
        let answer = read(&mut reader)?;
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < IDLE_READERS {
            readers.push(reader);
        }
        Ok(answer)
    }

    /// Runs `write` in one transaction that is durable when this returns.
    fn writing<T>(&self, write: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>) -> Result<T, CommitError> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = writer.transaction_with_behavior(TransactionBehavior::Immediate).and_then(|transaction| {
            let answer = write(&transaction)?;
            transaction.commit()?;
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
}

impl Store for SqliteStore {
    fn load(&self, account: &AccountId, keys: &[Key]) -> Result<Vec<Option<Record>>, LoadError> {
        let read = |reader: &mut Connection| {
            // One transaction, so that all records come from one state.
            let transaction = reader.transaction()?;
            let Some((number, _)) = find_account(&transaction, account)? else {
                return Ok(vec![None; keys.len()]);
            };
            let mut statement = transaction.prepare_cached(READ)?;
            keys.iter().map(|key| read_record(&mut statement, number, key)).collect()
        };
        self.reading(read).map_err(load_error)
    }

    fn commit(&self, batch: &[(AccountId, Commit)]) -> Vec<Result<(), CommitError>> {
        let write = |transaction: &Transaction<'_>| {
            batch.iter().map(|(account, commit)| apply(transaction, account, commit)).collect::<Result<Vec<_>, _>>()
        };
        self.writing(write).unwrap_or_else(|error| vec![Err(error); batch.len()])
    }
}

impl Administer for SqliteStore {
    fn accounts(&self) -> Result<Vec<AccountId>, LoadError> {
        let names = self.reading(|reader| {
            let mut statement = reader.prepare("SELECT name FROM account ORDER BY name")?;
            statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()
        });
        let parse = |name: String| AccountId::new(&name).map_err(|error| LoadError::Unreadable(error.to_string()));
        names.map_err(load_error)?.into_iter().map(parse).collect()
    }

    fn erase(&self, account: &AccountId) -> Result<(), CommitError> {
        self.writing(|transaction| {
            if let Some((number, _)) = find_account(transaction, account)? {
                transaction.execute("DELETE FROM record WHERE account = ?1", [number])?;
                transaction.execute("DELETE FROM account WHERE number = ?1", [number])?;
            }
            Ok(())
        })
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The outer result is the transaction's, the inner one this commit's alone: all checks come before the first write.
fn apply(
    transaction: &Transaction<'_>,
    account: &AccountId,
    commit: &Commit,
) -> rusqlite::Result<Result<(), CommitError>> {
    let known = find_account(transaction, account)?;
    if known.is_some_and(|(_, accepted)| commit.epoch < accepted) {
        return Ok(Err(CommitError::Fenced));
    }
    if !within_limits(commit) {
        tracing::error!("a commit breaks the limits of the store");
        return Ok(Err(CommitError::Fatal));
    }
    let epoch = commit.epoch.0.cast_signed();
    let number = match known {
        Some((number, accepted)) => {
            if accepted < commit.epoch {
                transaction.prepare_cached(RAISE_EPOCH)?.execute(params![number, epoch])?;
            }
            number
        }
        None => transaction.prepare_cached(ADD_ACCOUNT)?.insert(params![account.as_str(), epoch])?,
    };
    let mut put = transaction.prepare_cached(PUT)?;
    let mut delete = transaction.prepare_cached(DELETE)?;
    for (key, record) in &commit.writes {
        let (space, id) = (key.space as u8, key.id.as_ref());
        match record {
            Some(record) => put.execute(params![number, space, id, record.0.as_ref()])?,
            None => delete.execute(params![number, space, id])?,
        };
    }
    Ok(Ok(()))
}

/// The number of an account and the greatest epoch accepted for it. Epochs are kept as signed numbers of equal bits,
/// so they are compared here and never by SQLite.
fn find_account(connection: &Connection, account: &AccountId) -> rusqlite::Result<Option<(i64, Epoch)>> {
    connection
        .prepare_cached(FIND_ACCOUNT)?
        .query_row([account.as_str()], |row| Ok((row.get(0)?, Epoch(row.get::<_, i64>(1)?.cast_unsigned()))))
        .optional()
}

fn read_record(
    statement: &mut rusqlite::CachedStatement<'_>,
    account: i64,
    key: &Key,
) -> rusqlite::Result<Option<Record>> {
    statement
        .query_row(params![account, key.space as u8, key.id.as_ref()], |row| {
            Ok(Record(Bytes::copy_from_slice(row.get_ref(0)?.as_blob()?)))
        })
        .optional()
}

/// Creates the file readable by its owner only, before SQLite can; its log files inherit these rights.
fn prepare_file(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
        let file = options.mode(0o600).open(path)?;
        if file.metadata()?.permissions().mode() & 0o077 != 0 {
            file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        }
        Ok(())
    }
    #[cfg(not(unix))]
    options.open(path).map(drop)
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(8);
    Ok(connection)
}

fn connect_reader(path: &Path) -> rusqlite::Result<Connection> {
    // Opened for writing since a reader of a write-ahead log must be able to create the log's index.
    let reader = connect(path)?;
    reader.pragma_update(None, "query_only", true)?;
    reader.pragma_update(None, "cache_size", -512)?;
    Ok(reader)
}

/// Makes sure that the file is ours and of a format known here; creates the tables in an empty one.
fn claim(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    // Immediate, so that two processes cannot both find the file empty.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let number = |pragma| transaction.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let (application, format) = (number("application_id")?, number("user_version")?);
    let tables: i64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application == 0 && format == 0 && tables == 0 {
        transaction.execute_batch(SCHEMA)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", FORMAT)?;
        return Ok(transaction.commit()?);
    }
    if application != APPLICATION {
        return Err(OpenError::Foreign(path.to_path_buf()));
    }
    if format != FORMAT {
        return Err(OpenError::Newer { found: format, known: FORMAT });
    }
    Ok(())
}

/// Settings of the writing connection that make a commit survive a power cut.
fn durable(connection: &Connection) -> Result<(), OpenError> {
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        return Err(OpenError::NoWriteAheadLog);
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    // On macOS a plain sync leaves data in the drive's cache.
    connection.pragma_update(None, "fullfsync", true)?;
    // Deleted records are private keys as often as not: overwrite them.
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "journal_size_limit", 16 * 1024 * 1024)?;
    Ok(())
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
