//! A client whose store is full, busy or unreadable for a while, in the middle of talk both ways, over real sockets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failing test panics"
)]

mod support;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::peer::Peer;
use tokio::task::JoinHandle;
use whatsio::api::{Commit, CommitError, Event, Key, MessageId, Record};
use whatsio::relay::{RelayEvent, RelayOptions, RelayServer};
use whatsio::{AccountId, Client, Events, Jid, MemoryStore, SendError, Store, content};
use whatsio_store::LoadError;

const MESSAGES: usize = 30;

/// What the store does now.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Mood {
    Well,
    Busy,
    Full,
    Gone,
}

/// A store in changing moods.
#[derive(Clone, Default)]
struct Moody {
    inner: MemoryStore,
    mood: Arc<AtomicU8>,
    refused: Arc<AtomicUsize>,
}

impl Moody {
    fn is(&self, mood: Mood) -> bool {
        self.mood.load(Ordering::SeqCst) == mood as u8
    }

    /// Takes on a mood until it has refused `times` calls.
    async fn fall_into(&self, mood: Mood, times: usize) {
        self.refused.store(0, Ordering::SeqCst);
        self.mood.store(mood as u8, Ordering::SeqCst);
        while self.refused.load(Ordering::SeqCst) < times {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.mood.store(Mood::Well as u8, Ordering::SeqCst);
    }
}

impl Store for Moody {
    fn load(&self, account: &AccountId, keys: &[Key]) -> Result<Vec<Option<Record>>, LoadError> {
        if self.is(Mood::Gone) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Err(LoadError::Unreadable("gone".into()));
        }
        self.inner.load(account, keys)
    }

    fn commit(&self, batch: &[(AccountId, Commit)]) -> Vec<Result<(), CommitError>> {
        let error = match () {
            () if self.is(Mood::Busy) => CommitError::Retry,
            () if self.is(Mood::Full) || self.is(Mood::Gone) => CommitError::Fatal,
            () => return self.inner.commit(batch),
        };
        self.refused.fetch_add(1, Ordering::SeqCst);
        vec![Err(error); batch.len()]
    }
}

type Shown = Arc<Mutex<Vec<(MessageId, String)>>>;

/// Takes events for ever; keeps every message, once per event as the client hands it out.
fn reading(mut events: Events) -> (Shown, JoinHandle<usize>) {
    let shown = Shown::default();
    let list = Arc::clone(&shown);
    let task = tokio::spawn(async move {
        let mut faults = 0;
        while let Some(delivery) = events.next().await {
            match delivery.event() {
                Event::MessageReceived(message) => {
                    let text = content::text_of(&message.content).unwrap();
                    list.lock().unwrap().push((message.id.clone(), text));
                }
                Event::MessageUndecryptable(_) => panic!("something could not be read"),
                Event::Faulted(_) => faults += 1,
                _ => {}
            }
            delivery.handled();
        }
        faults
    });
    (shown, task)
}

/// Sends numbered texts, each until it is sent: an interrupted one again under its id.
fn writing(client: Client, to: Jid, who: &'static str) -> JoinHandle<()> {
    tokio::spawn(async move {
        for number in 0..MESSAGES {
            let id = MessageId::new(format!("3EB0{who}{number:04}"));
            loop {
                let sent = async {
                    client.queue(&to, content::text(&format!("{who}{number}")), Some(id.clone())).await?.report().await
                };
                match sent.await {
                    Ok(report) => {
                        assert!(report.is_sent() && report.id == id);
                        break;
                    }
                    Err(SendError::Interrupted(interrupted)) => assert_eq!(interrupted, id),
                    Err(error) => panic!("{error}"),
                }
            }
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_fails_in_the_middle_of_talk_both_ways_loses_and_doubles_nothing() {
    let relay = RelayServer::bind(RelayOptions::default()).await.unwrap();
    let at = |store: Moody| Client::builder().store(store).relay(relay.url(), relay.root_key());
    let (ann_store, bob_store) = (Moody::default(), Moody::default());
    let ann = Peer::link(&relay, None, at(ann_store)).await;
    let bob = Peer::link(&relay, None, at(bob_store.clone())).await;
    let (ann_jid, bob_jid, bob_device) = (ann.jid().await, bob.jid().await, bob.device_jid().await);
    let mut told = relay.handle().events();

    let (ann_shown, ann_reads) = reading(ann.events);
    let (bob_shown, bob_reads) = reading(bob.events);
    let writers = [writing(ann.client.clone(), bob_jid, "A"), writing(bob.client.clone(), ann_jid, "B")];
    for (mood, times) in [(Mood::Busy, 2), (Mood::Full, 1), (Mood::Gone, 2)] {
        let before = bob_shown.lock().unwrap().len();
        tokio::time::timeout(Duration::from_secs(30), bob_store.fall_into(mood, times)).await.expect("it is used");
        // A few messages between two troubles.
        while bob_shown.lock().unwrap().len() < (before + 3).min(MESSAGES) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    for writer in writers {
        tokio::time::timeout(Duration::from_secs(60), writer).await.expect("everything is sent").unwrap();
    }
    let expected = |who: &str| (0..MESSAGES).map(|number| format!("{who}{number}")).collect::<Vec<_>>();
    let texts = |shown: &Shown| shown.lock().unwrap().iter().map(|(_, text)| text.clone()).collect::<Vec<_>>();
    let complete = async {
        while texts(&bob_shown).len() < MESSAGES || texts(&ann_shown).len() < MESSAGES {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), complete).await.expect("everything arrives");
    ann.client.shutdown().await;
    bob.client.shutdown().await;
    ann_reads.await.unwrap();
    assert!(bob_reads.await.unwrap() >= 1, "the client was restored");
    assert_eq!(texts(&bob_shown), expected("A"), "in order, each once");
    assert_eq!(texts(&ann_shown), expected("B"), "in order, each once");

    // Whatever was confirmed was kept: the application has seen it all.
    let kept: BTreeSet<String> = bob_shown.lock().unwrap().iter().map(|(id, _)| id.as_str().to_owned()).collect();
    let mut confirmed = 0;
    while let Some(Ok(event)) = futures_util::FutureExt::now_or_never(told.recv()) {
        if let RelayEvent::Answered { by, id, how, error: None } = event
            && by == bob_device
            && how != "retry"
            && id.starts_with("3EB0A")
        {
            assert!(kept.contains(&id), "{id} was confirmed by {how}");
            confirmed += 1;
        }
    }
    assert!(confirmed >= MESSAGES, "{confirmed}");
}
