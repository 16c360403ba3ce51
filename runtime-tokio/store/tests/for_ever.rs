//! What a release has written, every later one opens: files made once, with known keys.
//!
//! `fixtures/store/README.md` says what they are. `make_the_files` writes them anew for a new form; those that are there
//! stay as they are.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use bytes::Bytes;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use whatsio_core::api::{Commit, CommitId, Epoch, Key, Record, Space};
use whatsio_store::transfer::{Export, Import, Lock, export, import};
use whatsio_store::{AccountId, Administer, KeySource, MemoryStore, SqliteStore, Store, StoreKey};

const EPOCH: Epoch = Epoch(3 << 32 | 77);

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/store")
}

fn me() -> AccountId {
    AccountId::new("me").unwrap()
}

fn store_key() -> StoreKey {
    StoreKey::parse(&format!("whatsio-store-key-v1:{}", "5a".repeat(32))).unwrap()
}

fn source() -> KeySource {
    KeySource::callback(|| Ok::<_, String>(store_key()))
}

/// Two spaces, ids of no, one and many bytes, bodies of none, few and many.
fn records() -> Vec<(Key, Record)> {
    let long: Vec<u8> = (0..=254).collect();
    let mut records = vec![
        (Key::new(Space::Account, &b"account"[..]), Record(Bytes::from_static(b"\x01an account"))),
        (Key::new(Space::Session, Bytes::new()), Record(Bytes::from_static(b"\x01no id"))),
        (Key::new(Space::Session, &b"4915112345678"[..]), Record(Bytes::new())),
        (Key::new(Space::Session, long), Record(Bytes::from(vec![0xc3; 2_000]))),
    ];
    records.sort_by(|one, two| one.0.cmp(&two.0));
    records
}

fn commit() -> Commit {
    let writes = records().into_iter().map(|(key, record)| (key, Some(record))).collect();
    Commit { id: CommitId(1), epoch: EPOCH, writes }
}

/// Everything of the account reads, one by one and all together, and it goes on.
fn assert_whole(store: &impl Administer) {
    assert_eq!(store.accounts(), Ok(vec![me()]));
    assert_eq!(store.standing(&me()).unwrap().unwrap().epoch, EPOCH);
    for (key, record) in records() {
        assert_eq!(store.load(&me(), std::slice::from_ref(&key)), Ok(vec![Some(record)]), "{key:?}");
    }
    let mut found = Vec::new();
    let mut visit = |key, record| {
        found.push((key, record));
        ControlFlow::Continue(())
    };
    assert_eq!(store.contents(&me(), &mut visit), Ok(Some(EPOCH)));
    found.sort_by(|one, two| one.0.cmp(&two.0));
    assert!(found == records());
    let next = Commit { id: CommitId(2), epoch: Epoch(EPOCH.0 + 1), writes: vec![(records()[0].0.clone(), None)] };
    assert_eq!(store.commit(&[(me(), next)]), [Ok(())]);
    assert_eq!(store.load(&me(), &[records()[0].0.clone()]), Ok(vec![None]));
}

/// A copy of a file, since a store that is opened is written to.
fn copy(name: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, std::fs::read(fixtures().join(name)).unwrap()).unwrap();
    (folder, path)
}

#[test]
fn sealed_store_of_format_2_opens_with_its_key() {
    let (_folder, path) = copy("sealed-2.db");
    assert_whole(&SqliteStore::open_with(&path, &source()).unwrap());
}

#[test]
fn plain_store_of_format_2_opens() {
    let (_folder, path) = copy("plain-2.db");
    assert_whole(&SqliteStore::open_plain(&path).unwrap());
}

#[test]
fn plain_store_of_format_1_opens_and_can_be_sealed() {
    let (_folder, path) = copy("plain-1.db");
    assert_whole(&SqliteStore::open_plain(&path).unwrap());
    let (_folder, path) = copy("plain-1.db");
    assert_eq!(SqliteStore::seal_in_place(&path, &source()).unwrap(), records().len() as u64);
    assert_whole(&SqliteStore::open_with(&path, &source()).unwrap());
}

#[test]
fn session_file_of_version_1_is_imported_with_its_passphrase_or_key() {
    let locks = [
        ("passphrase-1.session", Lock::Passphrase("correct horse".to_owned().into())),
        ("key-1.session", Lock::Key(store_key())),
    ];
    for (name, lock) in locks {
        let store = MemoryStore::new();
        let file = std::fs::read(fixtures().join(name)).unwrap();
        let done = import(&store, &lock, &Import::default(), file.as_slice()).unwrap();
        assert_eq!((done.account, done.records), (me(), records().len() as u64));
        let about = done.about;
        assert_eq!((about.unix_ms, about.source.as_str(), about.copy), (1_700_000_000_000, "whatsio 0.1.0", false));
        assert_whole(&store);
    }
}

#[test]
fn every_file_is_there() {
    let folder = fixtures();
    if std::env::var_os("WHATSIO_BLESS").is_none() {
        let names = ["sealed-2.db", "plain-2.db", "plain-1.db", "passphrase-1.session", "key-1.session"];
        for name in names {
            assert!(folder.join(name).exists(), "{name} is not there; run with WHATSIO_BLESS=1");
        }
        return;
    }
    // Only what is not there is made: a file that exists is from the release that wrote it.
    std::fs::create_dir_all(&folder).unwrap();
    let fresh = |name: &str| Some(folder.join(name)).filter(|path| !path.exists());
    let shrink = |path: &Path| {
        // One file: nothing may be left in the log.
        let file = rusqlite::Connection::open(path).unwrap();
        file.execute_batch("PRAGMA journal_mode = delete; VACUUM").unwrap();
    };
    if let Some(path) = fresh("sealed-2.db") {
        let store = SqliteStore::open_with(&path, &source()).unwrap();
        assert_eq!(store.commit(&[(me(), commit())]), [Ok(())]);
        drop(store);
        shrink(&path);
    }
    if let Some(path) = fresh("plain-2.db") {
        let store = SqliteStore::open_plain(&path).unwrap();
        assert_eq!(store.commit(&[(me(), commit())]), [Ok(())]);
        drop(store);
        shrink(&path);
    }
    if let Some(path) = fresh("plain-1.db") {
        let file = rusqlite::Connection::open(&path).unwrap();
        // The tables as the first release made them.
        file.execute_batch(
            "CREATE TABLE account (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, epoch INTEGER NOT NULL) STRICT;
             CREATE TABLE record (account INTEGER NOT NULL, space INTEGER NOT NULL, id BLOB NOT NULL, body BLOB NOT NULL,
                PRIMARY KEY (account, space, id)) STRICT, WITHOUT ROWID;
             PRAGMA application_id = 2004052335; PRAGMA user_version = 1;",
        )
        .unwrap();
        file.execute("INSERT INTO account VALUES (1, 'me', ?1)", [EPOCH.0.cast_signed()]).unwrap();
        for (key, record) in records() {
            let row = (key.space as u8, key.id.as_ref(), record.0.as_ref());
            file.execute("INSERT INTO record VALUES (1, ?1, ?2, ?3)", row).unwrap();
        }
    }
    for (name, lock) in [
        ("passphrase-1.session", Lock::Passphrase("correct horse".to_owned().into())),
        ("key-1.session", Lock::Key(store_key())),
    ] {
        let Some(path) = fresh(name) else { continue };
        let store = MemoryStore::new();
        assert_eq!(store.commit(&[(me(), commit())]), [Ok(())]);
        let what = Export { account: me(), unix_ms: 1_700_000_000_000, source: "whatsio 0.1.0".into(), copy: false };
        export(&store, &lock, &what, std::fs::File::create(path).unwrap()).unwrap();
    }
}
