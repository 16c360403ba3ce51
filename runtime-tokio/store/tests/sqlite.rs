//! The SQLite file: conformance, access rights, versions, locks.
#![allow(clippy::unwrap_used, reason = "test code")]

use bytes::Bytes;
use rusqlite::Connection;
use std::cell::Cell;
use std::path::Path;
use whatsio_core::api::{Commit, CommitError, CommitId, Epoch, Key, Record, Space};
use whatsio_store::{AccountId, OpenError, SqliteStore, Store, store_conformance};

fn put(body: &'static [u8]) -> Commit {
    let writes = vec![(Key::new(Space::Account, &b"x"[..]), Some(Record(Bytes::from_static(body))))];
    Commit { id: CommitId(1), epoch: Epoch(1), writes }
}

fn me() -> AccountId {
    AccountId::new("me").unwrap()
}

fn conforms(open: impl Fn(&Path) -> SqliteStore) {
    let folder = tempfile::tempdir().unwrap();
    let made = Cell::new(0);
    let make = || {
        made.set(made.get() + 1);
        open(&folder.path().join(format!("{}.db", made.get())))
    };
    store_conformance(make, |store| {
        let path = store.path().to_path_buf();
        drop(store);
        open(&path)
    });
}

#[test]
fn sealed_sqlite_store_conforms() {
    conforms(|path| SqliteStore::open(path).unwrap());
}

#[test]
fn plain_sqlite_store_conforms() {
    conforms(|path| SqliteStore::open_plain(path).unwrap());
}

#[test]
fn file_of_a_newer_format_is_refused_and_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    drop(SqliteStore::open(&path).unwrap());
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 7).unwrap();
    let before = std::fs::read(&path).unwrap();
    let error = SqliteStore::open(&path).unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 7, known: 2 }), "{error:?}");
    assert!(error.to_string().contains("newer release"));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn file_of_another_program_is_refused_and_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(SqliteStore::open(&path), Err(OpenError::Foreign(_))));
    assert_eq!(std::fs::read(&path).unwrap(), before);
    let text = folder.path().join("text");
    std::fs::write(&text, "this is no database, and long enough to be read as a header of one".repeat(9)).unwrap();
    assert!(matches!(SqliteStore::open(text), Err(OpenError::Database(_))));
    assert!(matches!(SqliteStore::open(folder.path().join("no/folder")), Err(OpenError::File { .. })));
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    std::fs::write(&path, "").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.commit(&[(me(), put(b"1"))]), vec![Ok(())]);
    let mut files = 0;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
        files += 1;
    }
    assert_eq!(files, 4, "database, log, its index and the key");
}

#[test]
fn two_processes_on_one_file_fence_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let (first, second) = (SqliteStore::open(&path).unwrap(), SqliteStore::open(&path).unwrap());
    assert_eq!(first.commit(&[(me(), put(b"1"))]), vec![Ok(())]);
    assert_eq!(second.commit(&[(me(), Commit { epoch: Epoch(2), ..put(b"2") })]), vec![Ok(())]);
    assert_eq!(first.commit(&[(me(), put(b"3"))]), vec![Err(CommitError::Fenced)]);
    let read = first.load(&me(), &[Key::new(Space::Account, &b"x"[..])]).unwrap();
    assert_eq!(read, vec![Some(Record(Bytes::from_static(b"2")))]);
}
