//! The file itself: its tables, its formats, its access rights and what makes a commit in it durable.

use crate::seal::{KeyError, KeySource, Salt, Seal, StoreKey};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, params};
use std::path::{Path, PathBuf};
use std::time::Duration;
use whatsio_core::crypto::Secret;

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
    /// There is no key for the store.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The store is sealed under another key than the one given.
    #[error("{} is sealed under another key than the one given", .0.display())]
    WrongKey(PathBuf),
    /// The store is not sealed, and it was not asked for a plain one. `SqliteStore::seal_in_place` seals it.
    #[error("{} is a plain store, readable by whoever has the file: seal it (`whatsio session seal`), or open it as a plain one by name", .0.display())]
    Plain(PathBuf),
    /// The store is sealed, and a plain one was asked for.
    #[error("{} is sealed: open it with its key", .0.display())]
    Sealed(PathBuf),
    /// The store is sealed now, but another process that has it open keeps what was there before in the log file. End
    /// that process and seal again.
    #[error("{} is sealed, but another process still has it open and keeps its old log: end that process and seal again", .0.display())]
    StillOpenElsewhere(PathBuf),
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

/// Whether a file is to be sealed.
#[derive(Clone, Copy)]
pub(super) enum Mode<'a> {
    Sealed(&'a KeySource),
    Plain,
}

/// The format this release writes, kept in `user_version`. Format 1 had no seal, no fence and no mark of moved accounts.
pub(super) const FORMAT: i64 = 2;
/// Kept in `application_id`: "wsio".
const APPLICATION: i64 = 0x7773_696f;
/// Where SQLite keeps it in a file's head, and how long that head is.
#[cfg(unix)]
const APPLICATION_AT: usize = 68;
#[cfg(unix)]
const HEAD: usize = 100;
/// How long a connection waits for another process before it says busy.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Accounts are numbered so that the key of a record stays short. `epoch` is the greatest that a commit carried, `fence`
/// the least that the next one may carry, `moved` when the account was moved away (Unix milliseconds).
const ACCOUNTS: &str = "
    CREATE TABLE account (
        number INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        epoch INTEGER NOT NULL,
        fence INTEGER NOT NULL DEFAULT 0,
        moved INTEGER
    ) STRICT;
";
const FROM_FORMAT_1: &str = "
    ALTER TABLE account ADD COLUMN fence INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE account ADD COLUMN moved INTEGER;
";
const PLAIN_ROWS: &str = "
    CREATE TABLE record (
        account INTEGER NOT NULL,
        space INTEGER NOT NULL,
        id BLOB NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (account, space, id)
    ) STRICT, WITHOUT ROWID;
";
/// Another name than the plain table's, so that a process that opened the file before it was sealed cannot go on
/// writing plain rows.
pub(super) const SEALED_ROWS: &str = "
    CREATE TABLE seal (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        salt BLOB NOT NULL,
        check_value BLOB NOT NULL
    ) STRICT;
    CREATE TABLE sealed (
        account INTEGER NOT NULL,
        space INTEGER NOT NULL,
        id BLOB NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (account, space, id)
    ) STRICT, WITHOUT ROWID;
";

/// Opens the writing connection, makes the file ours and gives the seal to use.
pub(super) fn open(path: &Path, mode: Mode<'_>) -> Result<(Connection, Option<Seal>), OpenError> {
    // Before there is a file: without a key nothing is left behind.
    let key = match mode {
        Mode::Sealed(source) if !path.exists() && has_folder(path) => Some(source.for_new()?),
        _ => None,
    };
    prepare_file(path).map_err(|source| OpenError::File { path: path.to_owned(), source })?;
    let mut connection = connect(path)?;
    let seal = claim(&mut connection, path, mode, key)?;
    durable(&connection)?;
    connection.pragma_update(None, "cache_size", -2048)?;
    Ok((connection, seal))
}

/// Writes the salt and the check value of a store that becomes sealed.
pub(super) fn begin_seal(transaction: &Transaction<'_>, key: &StoreKey) -> Result<Seal, OpenError> {
    let mut salt = Salt::default();
    getrandom::fill(&mut salt).map_err(|_| KeyError::NoRandomness)?;
    let seal = Seal::new(key, &salt);
    transaction.execute_batch(SEALED_ROWS)?;
    transaction.execute(
        "INSERT INTO seal (one, salt, check_value) VALUES (1, ?1, ?2)",
        params![salt, seal.check_value().expose()],
    )?;
    Ok(seal)
}

pub(super) fn connect_reader(path: &Path) -> rusqlite::Result<Connection> {
    // Opened for writing since a reader of a write-ahead log must be able to create the log's index.
    let reader = connect(path)?;
    reader.pragma_update(None, "query_only", true)?;
    reader.pragma_update(None, "cache_size", -512)?;
    Ok(reader)
}

fn has_folder(path: &Path) -> bool {
    path.parent().is_none_or(|folder| folder.as_os_str().is_empty() || folder.is_dir())
}

/// Creates the file readable by its owner only, before SQLite can; its log files inherit these rights. The rights of
/// another program's file are left alone.
fn prepare_file(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
        let file = options.mode(0o600).open(path)?;
        if file.metadata()?.permissions().mode() & 0o077 != 0 && may_be_ours(&file)? {
            file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        }
        Ok(())
    }
    #[cfg(not(unix))]
    options.open(path).map(drop)
}

/// Whether the file is empty or says in its first page that it is ours.
#[cfg(unix)]
fn may_be_ours(mut file: &std::fs::File) -> std::io::Result<bool> {
    use std::io::Read as _;
    let mut head = Vec::with_capacity(HEAD);
    std::io::Read::by_ref(&mut file).take(u64::try_from(HEAD).unwrap_or_default()).read_to_end(&mut head)?;
    let application = head.get(APPLICATION_AT..).and_then(<[u8]>::first_chunk);
    Ok(head.is_empty() || application.is_some_and(|bytes| i64::from(u32::from_be_bytes(*bytes)) == APPLICATION))
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(8);
    Ok(connection)
}

/// Makes sure that the file is ours, of a format known here and sealed as asked; creates the tables in an empty one.
fn claim(
    connection: &mut Connection,
    path: &Path,
    mode: Mode<'_>,
    key: Option<StoreKey>,
) -> Result<Option<Seal>, OpenError> {
    // Immediate, so that two processes cannot both find the file empty.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let number = |pragma| transaction.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let (application, format) = (number("application_id")?, number("user_version")?);
    let tables: i64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application == 0 && format == 0 && tables == 0 {
        transaction.execute_batch(ACCOUNTS)?;
        let seal = match mode {
            Mode::Plain => {
                transaction.execute_batch(PLAIN_ROWS)?;
                None
            }
            Mode::Sealed(source) => Some(begin_seal(&transaction, &key.map_or_else(|| source.for_new(), Ok)?)?),
        };
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", FORMAT)?;
        transaction.commit()?;
        return Ok(seal);
    }
    if application != APPLICATION {
        return Err(OpenError::Foreign(path.to_path_buf()));
    }
    if !(1..=FORMAT).contains(&format) {
        return Err(OpenError::Newer { found: format, known: FORMAT });
    }
    let sealed = sealed_with(&transaction)?;
    match (mode, sealed) {
        (Mode::Plain, None) => {
            if format == 1 {
                transaction.execute_batch(FROM_FORMAT_1)?;
                transaction.pragma_update(None, "user_version", FORMAT)?;
            }
            transaction.commit()?;
            Ok(None)
        }
        (Mode::Plain, Some(_)) => Err(OpenError::Sealed(path.to_path_buf())),
        (Mode::Sealed(_), None) => Err(OpenError::Plain(path.to_path_buf())),
        (Mode::Sealed(source), Some((salt, check_value))) => {
            // A keychain may ask its owner first: nobody else should wait for that.
            drop(transaction);
            let seal = Seal::new(&source.existing()?, &salt);
            if seal.check_value() != check_value {
                return Err(OpenError::WrongKey(path.to_path_buf()));
            }
            Ok(Some(seal))
        }
    }
}

/// The salt and the check value of a sealed file.
fn sealed_with(connection: &Connection) -> rusqlite::Result<Option<(Salt, Secret<32>)>> {
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'seal'", [], |row| row.get(0))?;
    if tables == 0 {
        return Ok(None);
    }
    connection
        .query_row("SELECT salt, check_value FROM seal", [], |row| Ok((row.get(0)?, Secret::new(row.get(1)?))))
        .optional()
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
    // Deleted records are private keys as often as not, and what a sealed store was before it was sealed is plain:
    // overwrite what is freed.
    connection.pragma_update(None, "secure_delete", true)?;
    // Sealing in place reads all plain records: none of them goes to a temporary file.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "journal_size_limit", 16 * 1024 * 1024)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_plain_goes_to_a_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        let (connection, _) = open(&folder.path().join("x.db"), Mode::Plain).unwrap();
        let kept: i64 = connection.pragma_query_value(None, "temp_store", |row| row.get(0)).unwrap();
        assert_eq!(kept, 2, "in memory");
    }

    #[test]
    fn a_store_without_a_key_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let source = KeySource::callback(|| Err("the keychain is locked"));
        assert!(matches!(open(&path, Mode::Sealed(&source)), Err(OpenError::Key(_))));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn the_rights_of_another_programs_file_are_left_alone_and_those_of_ours_narrowed() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let widen = |path: &Path| std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let (theirs, notes, ours) = ["theirs.db", "notes.txt", "ours.db"].map(|name| folder.path().join(name)).into();
        Connection::open(&theirs).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
        std::fs::write(&notes, "milk").unwrap();
        drop(open(&ours, Mode::Plain).unwrap());
        for path in [&theirs, &notes, &ours] {
            widen(path);
        }
        assert!(matches!(open(&theirs, Mode::Plain), Err(OpenError::Foreign(_))));
        assert!(matches!(open(&notes, Mode::Plain), Err(OpenError::Database(_))));
        assert!(open(&ours, Mode::Plain).is_ok());
        assert_eq!([mode(&theirs), mode(&notes), mode(&ours)], [0o644, 0o644, 0o600]);
    }
}
