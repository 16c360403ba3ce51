//! A process killed at any instant keeps every commit that it was told is durable, and no half of one.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test code")]

use bytes::Bytes;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::channel;
use whatsio_core::api::{Commit, CommitId, Epoch, Key, Record, Space};
use whatsio_store::{AccountId, SqliteStore, Store, Writer};

/// Set for the child only: where its store is.
const CHILD: &str = "WHATSIO_STORE_KILL_TEST";
const ACCOUNTS: u64 = 3;
/// Records per commit, spread over the file, so that a torn commit would show.
const PARTS: u64 = 20;

fn account(number: u64) -> AccountId {
    AccountId::new(&format!("a{number}")).unwrap()
}

fn keys() -> Vec<Key> {
    (0..PARTS).map(|part| Key::new(Space::Session, part.to_be_bytes().to_vec())).collect()
}

fn numbered(number: u64) -> Commit {
    let record = |key: &Key| {
        let mut body = number.to_be_bytes().to_vec();
        body.resize(400 + usize::from(key.id[7]) * 50, 7);
        Record(Bytes::from(body))
    };
    let writes = keys().into_iter().map(|key| (key.clone(), Some(record(&key)))).collect();
    Commit { id: CommitId(number), epoch: Epoch(1), writes }
}

#[test]
/// The child of the test below, which starts it by name and reads what it acknowledged. Alone it has nothing to do.
fn child_commits_until_killed() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let writer = Writer::start(Arc::new(SqliteStore::open(path).unwrap())).unwrap();
    let (done, answers) = channel();
    for number in 0.. {
        for name in 0..ACCOUNTS {
            let done = done.clone();
            writer.submit(account(name), numbered(number), move |answer| done.send((name, answer)).unwrap());
        }
        for _ in 0..ACCOUNTS {
            let (name, answer) = answers.recv().unwrap();
            answer.unwrap();
            let mut out = std::io::stdout().lock();
            writeln!(out, "acked {name} {number}").unwrap();
            out.flush().unwrap();
        }
    }
}

#[test]
fn killed_process_keeps_every_acknowledged_commit() {
    let folder = tempfile::tempdir().unwrap();
    for (round, lines) in [1, 2, 7, 40, 111].into_iter().enumerate() {
        let path = folder.path().join(format!("{round}.db"));
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_commits_until_killed", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut acked = [None; ACCOUNTS as usize];
        let mut note = |line: &str| {
            // The test harness of the child may have printed before on the same line.
            let Some((_, rest)) = line.split_once("acked ") else { return false };
            let (name, number) = rest.split_once(' ').unwrap();
            acked[name.parse::<usize>().unwrap()] = Some(number.parse::<u64>().unwrap());
            true
        };
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = 0;
        while seen < lines {
            seen += usize::from(note(&output.next().expect("the child lives until it is killed").unwrap()));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        for line in output.map_while(Result::ok) {
            note(&line);
        }

        let store = SqliteStore::open(&path).unwrap();
        for (name, acked) in (0..).zip(acked) {
            let records = store.load(&account(name), &keys()).unwrap();
            let number = |record: &Option<Record>| {
                record.as_ref().map(|record| u64::from_be_bytes(record.0[..8].try_into().unwrap()))
            };
            let found = number(&records[0]);
            assert!(records.iter().all(|record| number(record) == found), "round {round}: half a commit");
            assert!(found >= acked, "round {round}: {acked:?} was acknowledged, {found:?} is there");
        }
    }
}
