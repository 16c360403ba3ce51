//! A disk that is full, as the operating system tells it: what was kept stays, what does not fit is refused whole, and
//! the account goes on once there is room.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

use bytes::Bytes;
use std::path::Path;
use std::process::Command;
use whatsio_core::api::{Commit, CommitError, CommitId, Epoch, Key, Record, Space};
use whatsio_store::{AccountId, SqliteStore, Store};

/// Set for the child only: where its store is.
const CHILD: &str = "WHATSIO_STORE_FULL_TEST";
/// The largest file that the child may write, in the shell's blocks of 1,024 bytes.
const BLOCKS: u32 = 256;
const RECORD: usize = 8_000;

fn me() -> AccountId {
    AccountId::new("me").unwrap()
}

fn key(number: u32) -> Key {
    Key::new(Space::Session, number.to_be_bytes().to_vec())
}

fn body(number: u32) -> Record {
    Record(Bytes::from(vec![number.to_le_bytes()[0]; RECORD]))
}

/// Two records and a mark that counts, all or none of them.
fn commit(number: u32) -> Commit {
    let mark = Key::new(Space::Account, &b"mark"[..]);
    let writes = vec![
        (key(2 * number), Some(body(2 * number))),
        (mark, Some(Record(Bytes::from(number.to_be_bytes().to_vec())))),
        (key(2 * number + 1), Some(body(2 * number + 1))),
    ];
    Commit { id: CommitId(1), epoch: Epoch(u64::from(number)), writes }
}

/// Commits kept, and nothing of those after.
fn assert_holds(store: &SqliteStore, commits: u32) {
    for number in 0..commits + 3 {
        let expected = [2 * number, 2 * number + 1].map(|at| (number < commits).then(|| body(at)));
        assert!(store.load(&me(), &[key(2 * number), key(2 * number + 1)]).unwrap() == expected, "commit {number}");
    }
    let mark = store.load(&me(), &[Key::new(Space::Account, &b"mark"[..])]).unwrap().remove(0).unwrap();
    assert_eq!(mark.0.as_ref(), (commits - 1).to_be_bytes());
}

#[test]
/// The child of the test below, which starts it by name and reads what it kept. Alone it has nothing to do.
fn child_commits_until_the_disk_is_full() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let store = SqliteStore::open(&path).unwrap();
    let mut kept = 0;
    let refused = loop {
        match store.commit(&[(me(), commit(kept))]).remove(0) {
            Ok(()) => kept += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, CommitError::Fatal, "a full disk is nothing to try again at once");
    assert!(kept > 3, "the limit leaves room for some");
    // Still full: batches of several accounts are refused whole, and reading goes on.
    for _ in 0..3 {
        let other = AccountId::new("other").unwrap();
        let batch = [(other.clone(), commit(0)), (me(), commit(kept)), (other, commit(1))];
        assert_eq!(store.commit(&batch), [Err(CommitError::Fatal); 3]);
        assert_holds(&store, kept);
    }
    std::fs::write(Path::new(&path).with_extension("kept"), kept.to_string()).unwrap();
}

#[test]
fn full_disk_refuses_whole_commits_keeps_the_rest_and_goes_on_with_room() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    // Without the signal, a write beyond the limit fails as one on a full disk does.
    let script = format!("trap '' XFSZ; ulimit -f {BLOCKS} && exec \"$0\" \"$@\"");
    let child = Command::new("bash")
        .args(["-c", &script])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "child_commits_until_the_disk_is_full", "--nocapture"])
        .env(CHILD, &path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{said}{}", String::from_utf8_lossy(&child.stderr));
    let kept: u32 = std::fs::read_to_string(path.with_extension("kept")).unwrap().parse().unwrap();

    // Another process, and room: everything is there, and the same account goes on.
    let store = SqliteStore::open(&path).unwrap();
    assert_holds(&store, kept);
    for number in kept..kept + 40 {
        assert_eq!(store.commit(&[(me(), commit(number))]), [Ok(())]);
    }
    assert_holds(&store, kept + 40);
    assert_eq!(store.load(&AccountId::new("other").unwrap(), &[key(0)]).unwrap(), [None]);
}
