//! What the host adds to the life of a connection: profiles from files, health, orders that are heard at any time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failing test panics"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use support::peer::Peer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use whatsio::api::{
    Commit, CommitError, ConnectionPhase, DisconnectReason, Event, FaultReason, Key, ProtocolProfile, Recommendation,
    Record,
};
use whatsio::relay::{RelayOptions, RelayServer};
use whatsio::{AccountId, Client, ClientBuilder, MemoryStore, ProfileError, StartError, Store, content, profile};
use whatsio_store::LoadError;

async fn relay() -> RelayServer {
    RelayServer::bind(RelayOptions::default()).await.unwrap()
}

fn at(relay: &RelayServer) -> ClientBuilder {
    Client::builder().store(MemoryStore::new()).relay(relay.url(), relay.root_key())
}

fn of(relay: &RelayServer) -> ProtocolProfile {
    let mut profile = ProtocolProfile::default();
    profile.url = relay.url();
    profile.root_key = relay.root_key();
    profile
}

#[tokio::test]
async fn an_outdated_client_is_cured_by_a_file_while_it_runs() {
    let relay = relay().await;
    let mut alice = Peer::link(&relay, None, at(&relay)).await;
    let bob = Peer::link(&relay, None, at(&relay)).await;
    relay.handle().with(|relay, _| relay.require_version(Some((2, 4000, 0)))).await.unwrap();
    alice.client.disconnect().await.unwrap();
    alice.client.connect().await.unwrap();
    let told =
        alice.until(|event| matches!(event, Event::Disconnected(end) if end.reason != DisconnectReason::Asked)).await;
    let Event::Disconnected(end) = told.event() else { panic!() };
    assert_eq!(end.reason, DisconnectReason::Outdated { announced: ProtocolProfile::default().version });
    assert_eq!(end.recommendation, Recommendation::UpdateProfile);
    told.handled();
    assert!(!alice.client.health().await.unwrap().wanted);

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("profile.toml");
    let key = hex::encode(relay.root_key());
    let text = format!("version = \"2.4000.1\"\nurl = \"{}\"\nroot_key = \"{key}\"\n", relay.url());
    std::fs::write(&path, text).unwrap();
    alice.client.set_profile(profile::load(&path).unwrap()).await.unwrap();
    alice.until(|event| matches!(event, Event::Connected)).await.handled();
    assert_eq!(alice.client.health().await.unwrap().version, [2, 4000, 1]);
    assert!(bob.client.is_connected().await.unwrap(), "nobody else is disturbed");
}

#[tokio::test]
async fn a_profile_that_cannot_be_used_keeps_the_client_from_starting() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("profile.toml");
    std::fs::write(&path, "version = \"new\"").unwrap();
    let started = Client::builder().store(MemoryStore::new()).profile_file(&path).offline().start().await;
    assert!(matches!(started, Err(StartError::Profile(ProfileError::Value("version", _)))));
    let missing = Client::builder().store(MemoryStore::new()).profile_file("/nonexistent.toml").offline().start().await;
    assert!(matches!(missing, Err(StartError::Profile(ProfileError::Read { .. }))));
}

#[tokio::test]
async fn health_is_readable_up_and_down() {
    let relay = relay().await;
    let alice = Peer::link(&relay, None, at(&relay)).await;
    let health = alice.client.health().await.unwrap();
    assert_eq!(health.phase, ConnectionPhase::Ready);
    assert!(health.wanted && health.stalled.is_empty() && health.heard_ms.is_some());
    alice.client.disconnect().await.unwrap();
    let health = alice.client.health().await.unwrap();
    assert!(!health.wanted && health.phase != ConnectionPhase::Ready);
}

/// Passes bytes on to a relay until it is shut; then nobody reads what the client writes.
struct Valve {
    url: String,
    open: watch::Sender<bool>,
}

impl Valve {
    async fn before(relay: &RelayServer) -> Self {
        let target = relay.url().trim_start_matches("ws://").split('/').next().unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/ws/chat", listener.local_addr().unwrap());
        let (open, is_open) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&target).await.unwrap();
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
                let mut is_open = is_open.clone();
                tokio::spawn(async move {
                    let mut buffer = vec![0; 1 << 16];
                    while is_open.wait_for(|open| *open).await.is_ok() {
                        let Ok(count @ 1..) = from_client.read(&mut buffer).await else { return };
                        if to_server.write_all(&buffer[..count]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { url, open }
    }
}

#[tokio::test]
async fn orders_are_heard_while_the_socket_takes_nothing() {
    let relay = relay().await;
    let valve = Valve::before(&relay).await;
    let bob = Peer::link(&relay, None, at(&relay)).await;
    let alice = Peer::link(&relay, None, at(&relay).relay(valve.url.clone(), relay.root_key())).await;
    let to = bob.jid().await;
    assert!(alice.client.send_text(&to, "the way is known").await.unwrap().is_sent());
    valve.open.send_replace(false);
    let text = content::text(&"x".repeat(900_000));
    // Sends are taken until so much waits to be written that no more are.
    let mut taken = 0;
    while timeout(Duration::from_secs(2), alice.client.queue(&to, text.clone(), None)).await.is_ok() {
        taken += 1;
        assert!(taken < 200, "nothing holds senders back");
    }
    let answered = timeout(Duration::from_secs(5), async {
        assert!(alice.client.health().await.unwrap().outbox > 0);
        alice.client.set_profile(of(&relay)).await.unwrap();
        assert!(alice.client.identity().await.unwrap().is_some());
    });
    answered.await.expect("questions are answered");
    timeout(Duration::from_secs(20), alice.client.shutdown()).await.expect("a shutdown is heard");
}

/// A store that can be told to refuse everything.
#[derive(Clone)]
struct Brittle {
    inner: MemoryStore,
    broken: Arc<AtomicBool>,
}

impl Store for Brittle {
    fn load(&self, account: &AccountId, keys: &[Key]) -> Result<Vec<Option<Record>>, LoadError> {
        if self.broken.load(Ordering::SeqCst) { Err(LoadError::Busy) } else { self.inner.load(account, keys) }
    }

    fn commit(&self, batch: &[(AccountId, Commit)]) -> Vec<Result<(), CommitError>> {
        if self.broken.load(Ordering::SeqCst) {
            return vec![Err(CommitError::Fatal); batch.len()];
        }
        self.inner.commit(batch)
    }
}

#[tokio::test]
async fn a_shutdown_during_a_restore_takes_the_last_acknowledgements() {
    let relay = relay().await;
    let alice = Peer::link(&relay, None, at(&relay)).await;
    let store = Brittle { inner: MemoryStore::new(), broken: Arc::default() };
    let mut bob = Peer::link(&relay, None, at(&relay).store(store.clone())).await;
    alice.client.send_text(&bob.jid().await, "taken").await.unwrap();
    let taken = bob.until(|event| matches!(event, Event::MessageReceived(_))).await;
    store.broken.store(true, Ordering::SeqCst);
    bob.client.set_push_name("Bob").await.unwrap_err();
    loop {
        let event = bob.next().await;
        if matches!(event.event(), Event::Faulted(FaultReason::StoreFailed)) {
            break;
        }
    }
    // The store is back, and the client has not looked yet.
    taken.handled();
    store.broken.store(false, Ordering::SeqCst);
    bob.client.shutdown().await;

    relay.handle().with(|_, _| ()).await.unwrap();
    let (again, mut events) = at(&relay).store(store).offline().start().await.unwrap();
    // Whatever was not handled comes first; then the account can be asked.
    assert!(again.identity().await.unwrap().is_some());
    again.connect().await.unwrap();
    while let Some(event) = events.next().await {
        assert!(!matches!(event.event(), Event::MessageReceived(_)), "it was handled");
        if matches!(event.event(), Event::Connected) {
            break;
        }
    }
}
