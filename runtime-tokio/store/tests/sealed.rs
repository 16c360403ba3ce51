//! Sealing at rest, from outside: what a copy of the files shows, and what an altered or keyless store does.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use bytes::Bytes;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use whatsio_core::api::{Commit, CommitError, CommitId, Config, Epoch, Input, Key, Output, Record, Space};
use whatsio_core::client::Client;
use whatsio_core::types::{Now, Seed};
use whatsio_store::{
    AccountId, Administer, DAMAGED, KeyError, KeySource, LoadError, OpenError, SqliteStore, Store, StoreKey,
};

const SECRET: &[u8] = b"a private key that nobody else may have";
const NUMBER: &[u8] = b"4915112345678";

fn me() -> AccountId {
    AccountId::new("me").unwrap()
}

fn put(key: Key, body: &[u8]) -> Commit {
    let writes = vec![(key, Some(Record(Bytes::copy_from_slice(body))))];
    Commit { id: CommitId(1), epoch: Epoch(1), writes }
}

fn session(id: &'static [u8]) -> Key {
    Key::new(Space::Session, id)
}

fn read(store: &SqliteStore, key: Key) -> Option<Record> {
    store.load(&me(), &[key]).unwrap().remove(0)
}

/// A store in `folder` that holds [`SECRET`] under [`NUMBER`].
fn filled(store: SqliteStore) -> SqliteStore {
    let mapped = Key::new(Space::LidMap, NUMBER);
    let batch = [(me(), put(session(NUMBER), SECRET)), (me(), put(mapped, NUMBER))];
    assert_eq!(store.commit(&batch), vec![Ok(()); 2]);
    store
}

/// Every byte of every file of `folder` that is not a key.
fn bytes_of(folder: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "key") {
            all.extend(std::fs::read(path).unwrap());
        }
    }
    all
}

fn shows(all: &[u8], what: &[u8]) -> bool {
    all.windows(what.len()).any(|window| window == what)
}

fn key_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".key");
    name.into()
}

#[test]
fn files_show_neither_records_nor_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let plain = tempfile::tempdir().unwrap();
    let (sealed, plain_store) = (
        filled(SqliteStore::open(folder.path().join("x.db")).unwrap()),
        filled(SqliteStore::open_plain(plain.path().join("x.db")).unwrap()),
    );
    // Once with everything in the log, once with everything in the file.
    for _ in 0..2 {
        let (hidden, shown) = (bytes_of(folder.path()), bytes_of(plain.path()));
        for what in [SECRET, NUMBER, &SECRET[..8], &NUMBER[..6]] {
            assert!(!shows(&hidden, what));
            assert!(shows(&shown, what), "the search finds what is there");
        }
        for store in [&sealed, &plain_store] {
            let _ =
                Connection::open(store.path()).unwrap().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        }
    }
}

#[test]
fn swapped_rows_do_not_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    let store = SqliteStore::open(&path).unwrap();
    let other = AccountId::new("other").unwrap();
    let batch = [
        (me(), put(session(b"1"), b"\x01one")),
        (me(), put(session(b"2"), b"\x01two")),
        (other.clone(), put(session(b"1"), b"\x01theirs")),
        (me(), put(Key::new(Space::Identity, &b"1"[..]), b"\x01identity")),
    ];
    assert_eq!(store.commit(&batch), vec![Ok(()); 4]);
    let attacker = Connection::open(&path).unwrap();
    let rows = |attacker: &Connection| -> Vec<(i64, i64, Vec<u8>, Vec<u8>)> {
        let mut statement = attacker.prepare("SELECT account, space, id, body FROM sealed ORDER BY 1, 2, 3").unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).unwrap();
        rows.map(Result::unwrap).collect()
    };
    let before = rows(&attacker);
    assert_eq!(before.len(), 4);
    let swap = |one: usize, two: usize| {
        let put = |place: usize, body: usize| {
            let ((account, space, id, _), body) = (&before[place], &before[body].3);
            let update = "UPDATE sealed SET body = ?4 WHERE account = ?1 AND space = ?2 AND id = ?3";
            assert_eq!(attacker.execute(update, (account, space, id, body)).unwrap(), 1);
        };
        put(one, two);
        put(two, one);
    };
    let all_read = |damaged: usize| {
        let keys = [session(b"1"), session(b"2"), Key::new(Space::Identity, &b"1"[..])];
        let mut records = store.load(&me(), &keys).unwrap();
        records.extend(store.load(&other, &keys[..1]).unwrap());
        let records: Vec<Record> = records.into_iter().map(Option::unwrap).collect();
        assert_eq!(records.iter().filter(|record| record.0[0] == DAMAGED).count(), damaged);
        let shown = |what: &[u8]| records.iter().filter(|record| record.0.as_ref() == what).count();
        let shown = [shown(b"\x01one"), shown(b"\x01two"), shown(b"\x01theirs"), shown(b"\x01identity")];
        assert_eq!(shown.iter().sum::<usize>(), 4 - damaged, "nothing opens elsewhere");
    };
    all_read(0);
    // Two ids of one space, two spaces of one account, and one id of two accounts.
    for (one, two) in [(0, 1), (1, 2), (0, 3), (1, 3)] {
        swap(one, two);
        all_read(2);
        let contents = |account| store.contents(account, &mut |_, _| std::ops::ControlFlow::Continue(()));
        assert!([contents(&me()), contents(&other)].iter().any(|shown| matches!(shown, Err(LoadError::Damaged(_)))));
        for (place, row) in before.iter().enumerate() {
            swap(place, place);
            assert_eq!(&rows(&attacker)[place], row);
        }
        all_read(0);
    }
}

#[test]
fn damaged_record_reads_as_one_that_nothing_decodes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    let store = filled(SqliteStore::open(&path).unwrap());
    let attacker = Connection::open(&path).unwrap();
    let body: Vec<u8> = attacker.query_row("SELECT body FROM sealed WHERE space = 2", [], |row| row.get(0)).unwrap();
    // The nonce, the sealed length of the id, the id, the record, the tag; and a row cut short or made longer.
    let mut changed: Vec<Vec<u8>> = Vec::new();
    for at in [0, 23, 24, 25, 40, body.len() - 17, body.len() - 16, body.len() - 1] {
        let mut altered = body.clone();
        altered[at] ^= 0x10;
        changed.push(altered);
    }
    changed.extend([Vec::new(), body[..39].to_vec(), body[..body.len() - 1].to_vec(), [&body[..], &[0]].concat()]);
    for altered in changed {
        assert_eq!(attacker.execute("UPDATE sealed SET body = ?1 WHERE space = 2", [&altered]).unwrap(), 1);
        let found = read(&store, session(NUMBER)).unwrap();
        assert_eq!((found.0[0], &found.0[1..]), (DAMAGED, &altered[..]), "as it was found, for those who look into it");
    }
    attacker.execute("UPDATE sealed SET body = ?1 WHERE space = 2", [&body]).unwrap();
    assert_eq!(read(&store, session(NUMBER)), Some(Record(Bytes::from_static(SECRET))));
}

#[test]
fn wrong_key_is_told_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    drop(filled(SqliteStore::open(&path).unwrap()));
    let before = std::fs::read(&path).unwrap();
    let wrong = KeySource::callback(|| Ok::<_, String>(StoreKey::from_bytes([7; 32])));
    assert!(matches!(SqliteStore::open_with(&path, &wrong), Err(OpenError::WrongKey(_))));
    assert!(matches!(SqliteStore::seal_in_place(&path, &wrong), Err(OpenError::WrongKey(_))));
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert!(read(&SqliteStore::open(&path).unwrap(), session(NUMBER)).is_some());
}

#[test]
fn sealed_store_without_its_key_makes_no_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    drop(filled(SqliteStore::open(&path).unwrap()));
    let aside = folder.path().join("aside");
    std::fs::rename(key_of(&path), &aside).unwrap();
    for _ in 0..2 {
        let error = SqliteStore::open(&path).unwrap_err();
        assert!(matches!(error, OpenError::Key(KeyError::Missing(_))), "{error}");
        assert!(!key_of(&path).exists());
    }
    let unset = KeySource::Env("WHATSIO_TEST_A_VARIABLE_THAT_NOBODY_SETS".into());
    assert!(matches!(SqliteStore::open_with(&path, &unset), Err(OpenError::Key(KeyError::NotSet(_)))));
    assert!(matches!(SqliteStore::open_plain(&path), Err(OpenError::Sealed(_))));
    std::fs::rename(aside, key_of(&path)).unwrap();
    assert!(read(&SqliteStore::open(&path).unwrap(), session(NUMBER)).is_some());
}

#[test]
fn callback_that_fails_leaves_no_store_behind_that_lacks_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    let locked = KeySource::callback(|| Err("the keychain is locked"));
    let error = SqliteStore::open_with(&path, &locked).unwrap_err();
    assert!(error.to_string().contains("the keychain is locked"), "{error}");
    let given = KeySource::callback(|| Ok::<_, String>(StoreKey::from_bytes([7; 32])));
    drop(filled(SqliteStore::open_with(&path, &given).unwrap()));
    assert!(read(&SqliteStore::open_with(&path, &given).unwrap(), session(NUMBER)).is_some());
    assert!(!key_of(&path).exists(), "no key file where none was asked for");
}

#[test]
fn stores_that_share_a_key_share_no_rows() {
    let folder = tempfile::tempdir().unwrap();
    let shared = KeySource::File(folder.path().join("shared.key"));
    let open = |name: &str| filled(SqliteStore::open_with(folder.path().join(name), &shared).unwrap());
    let (one, two) = (open("1.db"), open("2.db"));
    let body = |store: &SqliteStore, column: &str| -> Vec<u8> {
        let query = format!("SELECT {column} FROM sealed WHERE space = 2");
        Connection::open(store.path()).unwrap().query_row(&query, [], |row| row.get(0)).unwrap()
    };
    assert_ne!(body(&one, "id"), body(&two, "id"), "one person's rows have different names in two stores");
    let moved = body(&one, "body");
    Connection::open(two.path()).unwrap().execute("UPDATE sealed SET body = ?1 WHERE space = 2", [moved]).unwrap();
    assert_eq!(read(&two, session(NUMBER)).unwrap().0[0], DAMAGED);
}

/// What the first release wrote.
fn store_of_format_1(path: &Path) {
    let file = Connection::open(path).unwrap();
    file.execute_batch(
        "CREATE TABLE account (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, epoch INTEGER NOT NULL) STRICT;
         CREATE TABLE record (account INTEGER NOT NULL, space INTEGER NOT NULL, id BLOB NOT NULL, body BLOB NOT NULL,
            PRIMARY KEY (account, space, id)) STRICT, WITHOUT ROWID;
         INSERT INTO account VALUES (1, 'other', 3), (4, 'me', 7);
         PRAGMA application_id = 2004052335; PRAGMA user_version = 1; PRAGMA journal_mode = wal;",
    )
    .unwrap();
    for (account, body) in [(1, &b"\x01theirs"[..]), (4, SECRET)] {
        for id in 0..50 {
            let id = [NUMBER, &[id]].concat();
            file.execute("INSERT INTO record VALUES (?1, 2, ?2, ?3)", (account, id, body)).unwrap();
        }
    }
}

#[test]
fn store_of_the_first_format_opens_plain_and_says_what_to_do_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    store_of_format_1(&path);
    let error = SqliteStore::open(&path).unwrap_err();
    assert!(matches!(error, OpenError::Plain(_)) && error.to_string().contains("session seal"), "{error}");
    assert!(!key_of(&path).exists());
    for _ in 0..2 {
        let store = SqliteStore::open_plain(&path).unwrap();
        assert_eq!(store.standing(&me()).unwrap().unwrap().epoch, Epoch(7));
        let id = Key::new(Space::Session, [NUMBER, &[49]].concat());
        assert_eq!(read(&store, id), Some(Record(Bytes::from_static(SECRET))));
        assert_eq!(store.commit(&[(me(), put(session(b"new"), b"1"))]), vec![Err(CommitError::Fenced)]);
    }
}

#[test]
fn plain_store_is_sealed_in_place_and_keeps_nothing_plain() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    store_of_format_1(&path);
    assert!(shows(&bytes_of(folder.path()), SECRET));
    let source = KeySource::beside(&path);
    assert_eq!(SqliteStore::seal_in_place(&path, &source).unwrap(), 100);
    for what in [SECRET, NUMBER] {
        assert!(!shows(&bytes_of(folder.path()), what));
    }
    assert_eq!(SqliteStore::seal_in_place(&path, &source).unwrap(), 0, "sealed already");
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.standing(&me()).unwrap().unwrap().epoch, Epoch(7));
    for id in 0..50 {
        let key = Key::new(Space::Session, [NUMBER, &[id]].concat());
        assert_eq!(read(&store, key), Some(Record(Bytes::from_static(SECRET))));
    }
}

#[test]
fn process_that_has_a_store_open_as_plain_cannot_write_once_it_is_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    let old = filled(SqliteStore::open_plain(&path).unwrap());
    SqliteStore::seal_in_place(&path, &KeySource::beside(&path)).unwrap();
    assert_eq!(old.commit(&[(me(), put(session(b"new"), SECRET))]), vec![Err(CommitError::Fatal)]);
    assert!(matches!(old.load(&me(), &[session(NUMBER)]), Err(LoadError::Unreadable(_))));
    assert!(!shows(&bytes_of(folder.path()), SECRET));
}

#[test]
fn altered_root_record_stops_the_restore_instead_of_making_a_fresh_account() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    let store = SqliteStore::open(&path).unwrap();
    let mut client = Client::create(Config::default(), Seed::new([1; 32]));
    client.connect(Now { mono: 0, unix: 0 }).unwrap();
    while let Some(output) = client.poll() {
        let Output::Commit(commit) = output else { continue };
        let id = commit.id;
        assert_eq!(store.commit(&[(me(), commit)]), vec![Ok(())]);
        client.handle(Now { mono: 1, unix: 1 }, Input::Committed(id)).unwrap();
    }
    let restore = || {
        let keys = Client::root_keys();
        let records = store.load(&me(), &keys).unwrap();
        Client::restore(Config::default(), Seed::new([2; 32]), keys.into_iter().zip(records).collect())
    };
    assert!(restore().is_ok());
    let altered = Connection::open(&path)
        .unwrap()
        .execute("UPDATE sealed SET body = zeroblob(length(body)) WHERE space = 1", [])
        .unwrap();
    assert!(altered > 0);
    assert!(restore().is_err(), "no fresh account where one was altered");
}
