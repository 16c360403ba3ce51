//! Clients that are recorded while they talk over real sockets: run again byte for byte, and never disturbed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failing test panics"
)]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use support::peer::Peer;
use whatsio::api::{Commit, CommitError, Event, Key, Record};
use whatsio::relay::{RelayOptions, RelayServer};
use whatsio::{
    AccountId, Client, ClientBuilder, KeySource, MemoryStore, Recording, RecordingError, StartError, Store, StoreKey,
};
use whatsio_core::recording::{Check, Contract, Ended, Line, LineReader, Redactor, Sizes};
use whatsio_core::replay::{Known, Replay};
use whatsio_store::LoadError;
use whatsio_store::recording::{RecordingFile, Tail};

fn key() -> KeySource {
    KeySource::callback(|| Ok::<_, String>(StoreKey::from_bytes([5; 32])))
}

async fn relay() -> RelayServer {
    RelayServer::bind(RelayOptions::default()).await.unwrap()
}

fn at(relay: &RelayServer) -> ClientBuilder {
    Client::builder().store(MemoryStore::new()).relay(relay.url(), relay.root_key())
}

/// The plain recording in a sealed file, and how the file ends.
fn opened(path: &Path) -> (Vec<u8>, Tail) {
    let Ok(RecordingFile::Sealed(mut content)) = RecordingFile::open(path, || key().existing()) else {
        panic!("it is sealed");
    };
    let mut all = Vec::new();
    while let Some(part) = content.next_part().unwrap() {
        all.extend_from_slice(&part);
    }
    (all, content.tail())
}

fn replayed(recording: &[u8]) -> Known {
    let mut replay = Replay::new();
    replay.run(recording).unwrap();
    assert_eq!(replay.left_over(), 0);
    replay.known().clone()
}

fn lines(bytes: &[u8]) -> (Vec<Line>, Contract) {
    let (mut reader, mut check) = (LineReader::new(), Check::new());
    reader.push(bytes);
    let mut lines = Vec::new();
    while let Some(line) = reader.next_line().unwrap() {
        check.line(reader.number() - 1, &line);
        lines.push(line);
    }
    (lines, check.finish())
}

#[tokio::test]
async fn recorded_clients_are_run_again_byte_for_byte() {
    let (folder, relay) = (tempfile::tempdir().unwrap(), relay().await);
    let path = |name: &str| folder.path().join(name);
    let record = |name: &str| {
        let (sealed, redacted) = (path(name), path(&format!("{name}.redacted")));
        at(&relay).record(Recording::sealed(sealed, key()).and_redacted(redacted))
    };
    let mut alice = Peer::link(&relay, None, record("alice")).await;
    let mut bob = Peer::link(&relay, None, record("bob")).await;
    for number in 0..5 {
        assert!(alice.client.send_text(&bob.jid().await, &format!("to bob {number}")).await.unwrap().is_sent());
        bob.text().await;
        assert!(bob.client.send_text(&alice.jid().await, &format!("to alice {number}")).await.unwrap().is_sent());
        alice.text().await;
    }
    let device = bob.device_jid().await;
    relay.handle().with(move |relay, _| relay.faults().damage_ciphertext(&device)).await.unwrap();
    assert!(alice.client.send_text(&bob.jid().await, "damaged on its way").await.unwrap().is_sent());
    assert_eq!(bob.text().await, "damaged on its way");
    alice.client.set_push_name("Alice").await.unwrap();
    alice.client.shutdown().await;
    bob.client.shutdown().await;

    for name in ["alice", "bob"] {
        let (recording, tail) = opened(&path(name));
        assert_eq!(tail, Tail::Whole(Ended::Stopped));
        let known = replayed(&recording);
        assert_eq!((known.lives, known.ended), (1, Some(Ended::Stopped)));
        assert!(known.calls > 50 && known.outputs > 50, "{known:?}");
        // The file that can be shared is that of the same run.
        let shared = std::fs::read(path(&format!("{name}.redacted"))).unwrap();
        let start = shared.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        let redacted = Redactor::new(Sizes::Rounded).redact(&recording).unwrap();
        assert_eq!(&shared[start..], redacted);
        let (lines, contract) = lines(&redacted);
        assert_eq!(contract.violations, []);
        assert_eq!((lines.len() as u64, contract.unanswered), (known.entries, 0));
        println!("{name}: {} bytes sealed, {} redacted, {} lines", recording.len(), redacted.len(), lines.len());
    }
}

/// Fails its first commit after it was told to.
#[derive(Clone, Default)]
struct FailsOnce {
    inner: MemoryStore,
    fails: Arc<AtomicBool>,
}

impl Store for FailsOnce {
    fn load(&self, account: &AccountId, keys: &[Key]) -> Result<Vec<Option<Record>>, LoadError> {
        self.inner.load(account, keys)
    }

    fn commit(&self, batch: &[(AccountId, Commit)]) -> Vec<Result<(), CommitError>> {
        if self.fails.swap(false, Ordering::SeqCst) {
            return batch.iter().map(|_| Err(CommitError::Fatal)).collect();
        }
        self.inner.commit(batch)
    }
}

#[tokio::test]
async fn client_that_is_restored_after_a_failure_of_its_store_is_run_again_in_both_lives() {
    let (folder, relay) = (tempfile::tempdir().unwrap(), relay().await);
    let path = folder.path().join("alice");
    let store = FailsOnce::default();
    let builder = Client::builder().store(store.clone()).relay(relay.url(), relay.root_key());
    let mut alice = Peer::link(&relay, None, builder.record(Recording::sealed(&path, key()))).await;
    let bob = Peer::link(&relay, None, at(&relay)).await;
    store.fails.store(true, Ordering::SeqCst);
    assert!(alice.client.send_text(&bob.jid().await, "lost").await.is_err());
    loop {
        let event = alice.next().await;
        let connected = matches!(event.event(), Event::Connected);
        event.handled();
        if connected {
            break;
        }
    }
    assert!(alice.client.send_text(&bob.jid().await, "kept").await.unwrap().is_sent());
    alice.client.shutdown().await;
    let known = replayed(&opened(&path).0);
    assert_eq!((known.lives, known.ended), (2, Some(Ended::Stopped)));
}

#[tokio::test]
async fn recording_that_reaches_the_limit_of_its_file_ends_and_the_client_goes_on() {
    let (folder, relay) = (tempfile::tempdir().unwrap(), relay().await);
    let path = folder.path().join("alice");
    let recording = Recording::sealed(&path, key()).limit_bytes(4_000);
    let mut alice = Peer::link(&relay, None, at(&relay).record(recording)).await;
    let bob = Peer::link(&relay, None, at(&relay)).await;
    assert!(alice.client.send_text(&bob.jid().await, "goes out").await.unwrap().is_sent());
    alice.until(|event| matches!(event, Event::SendFinished(_) | Event::ReceiptReceived(_))).await.handled();
    alice.client.shutdown().await;
    let (recording, tail) = opened(&path);
    assert_eq!(tail, Tail::Whole(Ended::Full));
    // Parts end where entries end.
    assert!(replayed(&recording).entries > 5);
}

#[tokio::test]
async fn file_that_is_there_already_is_not_touched_and_nothing_is_started() {
    let (folder, relay) = (tempfile::tempdir().unwrap(), relay().await);
    let path = folder.path().join("mine");
    std::fs::write(&path, "something else").unwrap();
    let other = folder.path().join("other");
    for recording in [Recording::sealed(&path, key()), Recording::sealed(&other, key()).and_redacted(&path)] {
        let failed = at(&relay).record(recording).start().await.map(drop);
        assert!(matches!(failed, Err(StartError::Recording(RecordingError::Exists(_)))), "{failed:?}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "something else");
        assert!(!other.exists(), "nothing is left behind");
    }
}
