//! Clients and a relay over real sockets: linking, talking, proxies, TLS, offline, back-pressure, restarts, faults.
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
use support::peer::Peer;
use support::proxies::TestProxy;
use whatsio::api::{
    Commit, CommitError, DisconnectReason, Event, FaultReason, Key, Limits, MessageId, ReceiptKind, Recommendation,
    Record,
};
use whatsio::relay::{Cut, RelayOptions, RelayServer};
use whatsio::{
    AccountId, Client, ClientBuilder, MemoryStore, OperationError, SendError, SqliteStore, Stopped, Storage, Store,
    content,
};
use whatsio_store::LoadError;

async fn relay() -> RelayServer {
    RelayServer::bind(RelayOptions::default()).await.unwrap()
}

fn at(relay: &RelayServer) -> ClientBuilder {
    Client::builder().store(MemoryStore::new()).relay(relay.url(), relay.root_key())
}

async fn pair(relay: &RelayServer) -> (Peer, Peer) {
    (Peer::link(relay, None, at(relay)).await, Peer::link(relay, None, at(relay)).await)
}

#[tokio::test]
async fn two_accounts_link_and_talk() {
    let relay = relay().await;
    let (mut alice, mut bob) = pair(&relay).await;
    let report = alice.client.send_text(&bob.jid().await, "hello").await.unwrap();
    assert!(report.is_sent() && !report.devices.is_empty());

    let message = bob.message().await;
    assert_eq!(content::text_of(&message.content).as_deref(), Some("hello"));
    assert_eq!((message.id.clone(), message.from_me), (report.id.clone(), false));
    let receipt = alice.until(|event| matches!(event, Event::ReceiptReceived(_))).await;
    let Event::ReceiptReceived(receipt) = receipt.event() else { panic!("not a receipt") };
    assert_eq!((receipt.kind.clone(), receipt.ids.clone()), (ReceiptKind::Delivered, vec![report.id.clone()]));

    bob.client.mark_read(&message.chat, &message.sender, std::slice::from_ref(&message.id)).await.unwrap();
    alice
        .until(|event| matches!(event, Event::ReceiptReceived(receipt) if receipt.kind == ReceiptKind::Read))
        .await
        .handled();

    bob.client.reply(&message, "hello yourself").await.unwrap();
    assert_eq!(alice.text().await, "hello yourself");
}

#[tokio::test]
async fn a_device_links_by_a_code_typed_on_the_phone() {
    let relay = relay().await;
    let (client, events) = at(&relay).start().await.unwrap();
    let mut alice = Peer { client, events };
    assert!(matches!(alice.client.request_pair_code("12", None).await, Err(OperationError::Refused(_))));
    alice.client.request_pair_code("+1 555 010 0001", Some("ABCD-1234")).await.unwrap();
    let shown = alice.until(|event| matches!(event, Event::CodeShown { .. })).await;
    let Event::CodeShown { code, .. } = shown.event() else { panic!("not a code") };
    assert_eq!(code, "ABCD-1234");
    let entered = relay.handle().with(|relay, now| relay.enter_code(now, "15550100001", "abcd1234")).await.unwrap();
    entered.unwrap();
    alice.until(|event| matches!(event, Event::CodeConfirmed)).await.handled();
    alice.until(|event| matches!(event, Event::Linked { .. })).await.handled();
    alice.until(|event| matches!(event, Event::Connected)).await.handled();
    assert_eq!(alice.jid().await.user(), "15550100001");
    assert!(matches!(alice.client.request_pair_code("15550100001", None).await, Err(OperationError::Refused(_))));

    let bob = Peer::link(&relay, None, at(&relay)).await;
    bob.client.send_text(&alice.jid().await, "welcome").await.unwrap();
    assert_eq!(alice.text().await, "welcome");
}

#[tokio::test]
async fn companions_of_one_account_get_a_copy() {
    let relay = relay().await;
    let (alice, mut bob) = pair(&relay).await;
    let bob_jid = bob.jid().await;
    let mut desktop = Peer::link(&relay, Some(bob_jid.user()), at(&relay)).await;
    assert_eq!(desktop.jid().await, bob_jid);

    alice.client.send_text(&bob_jid, "to both").await.unwrap();
    assert_eq!((bob.text().await, desktop.text().await), ("to both".into(), "to both".into()));
    bob.client.send_text(&alice.jid().await, "from bob").await.unwrap();
    let copy = desktop.message().await;
    assert!(copy.from_me);
    assert_eq!(content::text_of(&copy.content).as_deref(), Some("from bob"));
    assert_eq!(copy.chat_aliases.pn, Some(alice.jid().await));
}

#[tokio::test]
async fn everything_works_over_tls_and_through_proxies() {
    let relay = relay().await;
    let mut bob = Peer::link(&relay, None, at(&relay)).await;
    let bob_jid = bob.jid().await;
    let pem = relay.certificate_pem().unwrap();
    let (http, socks) = (TestProxy::http(None).await, TestProxy::socks5(Some(("u", "p"))).await);
    let tls_url = relay.tls_url().unwrap();
    let ways = [
        at(&relay).relay(tls_url.clone(), relay.root_key()).trust_pem(pem),
        at(&relay).proxy(format!("http://{}", http.address)),
        at(&relay).relay(tls_url, relay.root_key()).trust_pem(pem).proxy(format!("socks5://u:p@{}", socks.address)),
    ];
    for (number, way) in ways.into_iter().enumerate() {
        let peer = Peer::link(&relay, None, way).await;
        peer.client.send_text(&bob_jid, &format!("way {number}")).await.unwrap();
        assert_eq!(bob.text().await, format!("way {number}"));
        peer.client.shutdown().await;
    }
    // Registration and login are a connection each.
    assert_eq!((http.seen().len(), socks.seen().len()), (2, 2));
}

#[tokio::test]
async fn messages_wait_for_a_receiver_that_is_offline() {
    let relay = relay().await;
    let (alice, mut bob) = pair(&relay).await;
    bob.client.disconnect().await.unwrap();
    bob.until(|event| matches!(event, Event::Disconnected(_))).await.handled();
    for number in 0..5 {
        alice.client.send_text(&bob.jid().await, &format!("waiting {number}")).await.unwrap();
    }
    bob.client.connect().await.unwrap();
    let mut drained = None;
    let mut texts = Vec::new();
    while drained.is_none() || texts.len() < 5 {
        let event = bob.next().await;
        match event.event() {
            Event::MessageReceived(message) => {
                assert!(message.offline);
                texts.push(content::text_of(&message.content).unwrap());
            }
            Event::OfflineDrained { count } => drained = Some(*count),
            _ => {}
        }
        event.handled();
    }
    assert_eq!(texts, (0..5).map(|number| format!("waiting {number}")).collect::<Vec<_>>());
    // The sender's token for this chat waited too.
    assert!(drained >= Some(5), "{drained:?}");
}

#[tokio::test]
async fn a_message_taken_while_offline_goes_out_with_the_next_connection() {
    let relay = relay().await;
    let (mut alice, mut bob) = pair(&relay).await;
    alice.client.disconnect().await.unwrap();
    alice.until(|event| matches!(event, Event::Disconnected(_))).await.handled();
    let id = MessageId::new("3EB0CHOSENBYUS");
    let queued = alice.client.queue(&bob.jid().await, content::text("later"), Some(id.clone())).await.unwrap();
    assert_eq!(*queued.id(), id);
    alice.client.connect().await.unwrap();
    assert!(queued.report().await.unwrap().is_sent());
    assert_eq!(bob.message().await.id, id);
}

#[tokio::test]
async fn everybody_who_waits_for_a_send_that_was_repeated_hears_of_its_end() {
    let relay = relay().await;
    let (mut alice, mut bob) = pair(&relay).await;
    alice.client.disconnect().await.unwrap();
    alice.until(|event| matches!(event, Event::Disconnected(_))).await.handled();
    let (to, id) = (bob.jid().await, MessageId::new("3EB0REPEATED"));
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(alice.client.queue(&to, content::text("once"), Some(id.clone())).await.unwrap());
    }
    alice.client.connect().await.unwrap();
    for queued in waiting {
        let report = queued.report().await.unwrap();
        assert!(report.is_sent() && report.id == id);
    }
    assert_eq!(bob.message().await.id, id);
}

#[tokio::test]
async fn dropping_the_future_does_not_undo_the_send() {
    let relay = relay().await;
    let (mut alice, mut bob) = pair(&relay).await;
    let queued = alice.client.queue(&bob.jid().await, content::text("still sent"), None).await.unwrap();
    let id = queued.id().clone();
    drop(queued);
    assert_eq!(bob.text().await, "still sent");
    let finished = alice.until(|event| matches!(event, Event::SendFinished(_))).await;
    assert!(matches!(finished.event(), Event::SendFinished(report) if report.id == id && report.is_sent()));
}

#[tokio::test]
async fn an_unhandled_event_comes_again_after_a_restart_and_a_handled_one_does_not() {
    let relay = relay().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bob.db");
    let stored = || Client::builder().store(SqliteStore::open(&path).unwrap()).relay(relay.url(), relay.root_key());
    let alice = Peer::link(&relay, None, at(&relay)).await;
    let mut bob = Peer::link(&relay, None, stored()).await;
    let bob_jid = bob.jid().await;

    alice.client.send_text(&bob_jid, "handled").await.unwrap();
    alice.client.send_text(&bob_jid, "not handled").await.unwrap();
    assert_eq!(bob.text().await, "handled");
    let unhandled = bob.until(|event| matches!(event, Event::MessageReceived(_))).await;
    let id = unhandled.id();
    drop(unhandled);
    bob.client.shutdown().await;
    assert_eq!(bob.client.stopped(), Some(Stopped::Shutdown));
    drop(bob);

    alice.client.send_text(&bob_jid, "while down").await.unwrap();
    let (client, events) = stored().start().await.unwrap();
    let mut bob = Peer { client, events };
    let again = bob.until(|event| matches!(event, Event::MessageReceived(_))).await;
    assert_eq!(again.id(), id);
    assert!(matches!(again.event(), Event::MessageReceived(message)
        if content::text_of(&message.content).as_deref() == Some("not handled")));
    again.handled();
    assert_eq!(bob.text().await, "while down");
    bob.client.send_text(&alice.jid().await, "after the restart").await.unwrap();
}

#[tokio::test]
async fn an_application_that_does_not_read_makes_the_server_wait() {
    const MESSAGES: usize = 300;
    let relay = relay().await;
    let alice = Peer::link(&relay, None, at(&relay)).await.handling_everything();
    let mut limits = Limits::default();
    limits.inbox_events = 8;
    limits.stanzas_waiting = 8;
    let mut bob = Peer::link(&relay, None, at(&relay).limits(limits)).await;
    let bob_jid = bob.jid().await;
    for number in 0..MESSAGES {
        alice.send_text(&bob_jid, &format!("{number}")).await.unwrap();
    }
    // Nobody reads bob's events, so bob may have taken a few, and the rest waits at the server.
    let accounts = relay.handle().accounts().await.unwrap();
    let waiting = accounts.iter().find(|account| account.pn == bob_jid).unwrap().devices[0].queued;
    assert!(waiting >= MESSAGES - 32, "only {waiting} of {MESSAGES} wait");
    for number in 0..MESSAGES {
        assert_eq!(bob.text().await, number.to_string());
    }
}

#[tokio::test]
async fn a_cut_connection_loses_and_doubles_nothing() {
    let relay = relay().await;
    let (mut alice, mut bob) = pair(&relay).await;
    let bob_jid = bob.jid().await;
    for cut in [Cut::BeforeTaking, Cut::BeforeAck, Cut::AfterAck] {
        relay.handle().with(move |relay, _| relay.faults().disconnect_on_message(cut)).await.unwrap();
        let report = alice.client.send_text(&bob_jid, &format!("{cut:?}")).await.unwrap();
        assert!(report.is_sent());
        assert_eq!(bob.text().await, format!("{cut:?}"));
        alice.until(|event| matches!(event, Event::Disconnected(_))).await.handled();
        alice.until(|event| matches!(event, Event::Connected)).await.handled();
    }
    // A doubled message would come before this one.
    alice.client.send_text(&bob_jid, "last").await.unwrap();
    assert_eq!(bob.text().await, "last");
}

#[tokio::test]
async fn a_second_process_on_the_account_fences_the_first_off() {
    let relay = relay().await;
    let storage = Storage::new(MemoryStore::new()).unwrap();
    let builder = || Client::builder().storage(&storage).account("shared").relay(relay.url(), relay.root_key());
    let mut first = Peer::link(&relay, None, builder()).await;
    let second = Peer::start(builder()).await;
    // Whatever the first does next needs a commit, and that is refused.
    let _ = first.client.send_text(&second.jid().await, "note to self").await;
    while let Some(event) = first.events.next().await {
        event.handled();
    }
    assert_eq!(first.client.stopped(), Some(Stopped::Fenced));
    assert_eq!(first.client.is_connected().await, Err(Stopped::Fenced));
    assert!(second.client.is_connected().await.unwrap());
}

/// A store that can be told to refuse every commit.
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
async fn a_store_that_fails_and_recovers_loses_and_doubles_nothing() {
    let relay = relay().await;
    let mut alice = Peer::link(&relay, None, at(&relay)).await;
    let store = Brittle { inner: MemoryStore::new(), broken: Arc::default() };
    let mut bob = Peer::link(&relay, None, at(&relay).store(store.clone())).await;
    let bob_jid = bob.jid().await;

    alice.client.send_text(&bob_jid, "before").await.unwrap();
    assert_eq!(bob.text().await, "before");
    store.broken.store(true, Ordering::SeqCst);
    alice.client.send_text(&bob_jid, "while broken").await.unwrap();
    loop {
        let event = bob.next().await;
        assert!(!matches!(event.event(), Event::MessageReceived(_)), "shown before it was durable");
        if matches!(event.event(), Event::Faulted(FaultReason::StoreFailed)) {
            break;
        }
        event.handled();
    }
    let (client, to) = (bob.client.clone(), alice.jid().await);
    let sending = tokio::spawn(async move { client.send_text(&to, "said while broken").await });
    store.broken.store(false, Ordering::SeqCst);
    assert_eq!(bob.text().await, "while broken");
    assert!(sending.await.unwrap().unwrap().is_sent());
    assert_eq!(alice.text().await, "said while broken");
    alice.client.send_text(&bob_jid, "after").await.unwrap();
    assert_eq!(bob.text().await, "after");
    bob.client.send_text(&alice.jid().await, "all well").await.unwrap();
    assert_eq!(alice.text().await, "all well");
}

#[tokio::test]
async fn logging_out_ends_with_the_advice_to_link_again() {
    let relay = relay().await;
    let mut alice = Peer::link(&relay, None, at(&relay)).await;
    alice.client.log_out().await.unwrap();
    let event = alice.until(|event| matches!(event, Event::Disconnected(_))).await;
    assert!(matches!(event.event(), Event::Disconnected(disconnect)
        if disconnect.recommendation == Recommendation::LinkAgain));
}

#[tokio::test]
async fn a_server_with_another_root_key_is_not_trusted() {
    let relay = relay().await;
    let (_client, mut events) = at(&relay).relay(relay.url(), [9; 32]).start().await.unwrap();
    let event = events.next().await.unwrap();
    assert!(
        matches!(event.event(), Event::Disconnected(disconnect) if disconnect.reason == DisconnectReason::CertificateNotTrusted),
        "{event:?}"
    );
}

#[tokio::test]
async fn an_account_that_is_not_linked_cannot_send() {
    let relay = relay().await;
    let (client, mut events) = at(&relay).offline().start().await.unwrap();
    assert_eq!(client.identity().await, Ok(None));
    let to = "15550100009@s.whatsapp.net".parse().unwrap();
    assert_eq!(client.send_text(&to, "hello").await.unwrap_err(), SendError::NotLinked);
    client.shutdown().await;
    assert!(events.next().await.is_none());
    assert_eq!(client.send_text(&to, "hello").await.unwrap_err(), SendError::Stopped(Stopped::Shutdown));
}

#[tokio::test]
async fn dropping_every_handle_ends_the_account() {
    let relay = relay().await;
    let alice = Peer::link(&relay, None, at(&relay)).await;
    let mut gone = relay.handle().events();
    let Peer { client, mut events } = alice;
    drop(client);
    while let Some(event) = futures_util::FutureExt::now_or_never(events.next()).flatten() {
        event.handled();
    }
    drop(events);
    loop {
        if matches!(gone.recv().await.unwrap(), whatsio::relay::RelayEvent::Disconnected(_)) {
            break;
        }
    }
}
