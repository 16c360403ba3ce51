//! Secrets and personal data never reach a log, a panic text or an error message. Everything runs at the finest level of
//! logging; then all that was said is searched for every key that was ever stored and every text that was ever sent.

#![allow(clippy::expect_used, clippy::panic, clippy::unreachable, reason = "a failing test panics")]

mod journal;
mod overheard;

use journal::Journal;
use overheard::Overheard;
use std::time::Duration;
use tokio::time::timeout;
use whatsio::api::{Event, ProtocolProfile};
use whatsio::relay::{RelayOptions, RelayServer};
use whatsio::{Client, ClientBuilder, Events, Jid, MemoryStore, SqliteStore, StartError, content};
use whatsio_store::KeySource;
use whatsio_tests::leaks::Secrets;

/// Longer than any step takes; only a hang meets it.
const PATIENCE: Duration = Duration::from_secs(60);

const TEXTS: [&str; 4] =
    ["the first message of all", "a reply that quotes it", "repaired by a retry receipt", "said before the restart"];
const NAME: &str = "Ann Exampleson";
const NUMBER: &str = "4915112345678";
const STORE_KEY: &str = "whatsio-store-key-v1:00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdeg";
const PROXY_PASSWORD: &str = "proxy-passw0rd";

struct Party {
    client: Client,
    events: Events,
    secrets: Vec<String>,
}

impl Party {
    async fn start(builder: ClientBuilder) -> Self {
        let (client, events) = builder.start().await.expect("starts");
        Self { client, events, secrets: Vec::new() }
    }

    /// Waits for an event, prints all that pass, and remembers what they hold.
    async fn until(&mut self, wanted: impl Fn(&Event) -> bool) -> Event {
        loop {
            let next = timeout(PATIENCE, self.events.next()).await.expect("nothing happens").expect("it runs");
            tracing::info!(delivery = ?next, event = ?next.event(), "an application logs all it gets");
            if let Event::QrShown { text, .. } = next.event() {
                self.secrets.push(text.clone());
            }
            let event = next.event().clone();
            next.handled();
            if wanted(&event) {
                return event;
            }
        }
    }

    async fn link(&mut self, relay: &RelayServer, account: Option<&str>) {
        let shown = self.until(|event| matches!(event, Event::QrShown { .. })).await;
        let Event::QrShown { text, .. } = shown else { unreachable!("it was waited for") };
        relay.handle().scan_qr(account, &text).await.expect("runs").expect("scans");
        self.until(|event| matches!(event, Event::Connected)).await;
        self.note_identity().await;
    }

    async fn note_identity(&mut self) {
        let identity = self.client.identity().await.expect("runs").expect("linked");
        tracing::info!(?identity, client = ?self.client, "an application logs who it is");
        self.secrets.push(identity.jid.user().to_owned());
        self.secrets.extend(identity.lid.map(|lid| lid.user().to_owned()));
    }

    /// Links to a new account by a code that is typed on the phone.
    async fn link_by_code(&mut self, relay: &RelayServer) {
        self.client.request_pair_code(NUMBER, None).await.expect("a code");
        let shown = self.until(|event| matches!(event, Event::CodeShown { .. })).await;
        let Event::CodeShown { code, .. } = shown else { unreachable!("it was waited for") };
        self.secrets.extend([code.replace('-', ""), code.clone()]);
        relay
            .handle()
            .with(move |relay, now| relay.enter_code(now, NUMBER, &code))
            .await
            .expect("runs")
            .expect("typed");
        self.until(|event| matches!(event, Event::Connected)).await;
        self.note_identity().await;
    }

    async fn jid(&self) -> Jid {
        self.client.identity().await.expect("runs").expect("linked").jid.to_user()
    }

    async fn send(&mut self, to: &Jid, text: &str) {
        let report = self.client.send_text(to, text).await.expect("it is sent");
        tracing::info!(?report, "an application logs its reports");
        assert!(report.is_sent());
    }

    async fn receive(&mut self, text: &str) -> whatsio::api::MessageEvent {
        let wanted = |event: &Event| matches!(event, Event::MessageReceived(message) if content::text_of(&message.content).as_deref() == Some(text));
        let Event::MessageReceived(message) = self.until(wanted).await else { unreachable!("it was waited for") };
        *message
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_ever_said_holds_a_secret() {
    let overheard = Overheard::everything();
    let relay = RelayServer::bind(RelayOptions::default()).await.expect("a relay");
    let (ann_store, bob_store) = (Journal::default(), Journal::default());
    let builder = |store: &Journal| Client::builder().store(store.clone()).relay(relay.url(), relay.root_key());

    let mut ann = Party::start(builder(&ann_store)).await;
    ann.link(&relay, None).await;
    ann.client.set_push_name(NAME).await.expect("a name");
    let mut bob = Party::start(builder(&bob_store)).await;
    bob.link_by_code(&relay).await;
    let (ann_jid, bob_jid) = (ann.jid().await, bob.jid().await);

    ann.send(&bob_jid, TEXTS[0]).await;
    let first = bob.receive(TEXTS[0]).await;
    let report = bob.client.reply(&first, TEXTS[1]).await.expect("a reply");
    tracing::info!(?report, ?first, "an application logs a message");
    ann.receive(TEXTS[1]).await;
    bob.client.mark_read(&first.chat, &first.sender, std::slice::from_ref(&first.id)).await.expect("a receipt");

    // A ciphertext that does not open, and its repair.
    let bob_device = bob.client.identity().await.expect("runs").expect("linked").jid;
    relay.handle().with(move |relay, _| relay.faults().damage_ciphertext(&bob_device)).await.expect("runs");
    ann.send(&bob_jid, TEXTS[2]).await;
    bob.receive(TEXTS[2]).await;

    // A damaged frame, a cut connection, a restart.
    relay.handle().with(|relay, _| relay.faults().corrupt_frames(1)).await.expect("runs");
    ann.client.set_presence(true).await.ok();
    ann.send(&bob_jid, TEXTS[3]).await;
    bob.receive(TEXTS[3]).await;
    bob.client.shutdown().await;
    let told = bob.secrets.clone();
    bob = Party::start(builder(&bob_store)).await;
    bob.secrets = told;
    bob.until(|event| matches!(event, Event::Connected)).await;

    say_every_error(&relay, &ann, &ann_jid).await;
    let third_store = panic_in_the_store(&relay).await;
    ann.client.log_out().await.expect("unlinks");
    ann.until(|event| matches!(event, Event::Disconnected(_))).await;
    ann.client.shutdown().await;
    bob.client.shutdown().await;

    let mut secrets = Secrets::default();
    for store in [&ann_store, &bob_store, &third_store] {
        for record in store.ever_written() {
            secrets.add_bytes(&record.0);
        }
    }
    for text in TEXTS.iter().chain([&NAME, &PROXY_PASSWORD, &NUMBER, &STORE_KEY]) {
        secrets.add_text(text);
    }
    for text in ann.secrets.iter().chain(&bob.secrets) {
        secrets.add_text(text);
    }
    assert!(secrets.len() > 10_000, "there is something to be found");
    let said = overheard.said();
    for layer in ["an application logs", "whatsio", "tungstenite", "a panic on purpose", "an error:"] {
        assert!(String::from_utf8_lossy(&said).contains(layer), "{layer} said nothing: nothing is shown by this");
    }
    let leaks = secrets.found_in(&said);
    assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n"));
}

/// Brings about errors of every layer and logs them in both forms.
async fn say_every_error(relay: &RelayServer, ann: &Party, jid: &Jid) {
    let mut said = 0;
    let mut say = |error: &dyn std::error::Error| {
        tracing::error!(%error, debug = ?error, "an error: {error} {error:?}");
        said += 1;
    };
    let group: Jid = "120363000000000000@g.us".parse().expect("an address");
    if let Err(error) = ann.client.send_text(&group, TEXTS[0]).await {
        say(&error);
    }
    if let Err(error) = ann.client.send(jid, bytes::Bytes::from_static(b"\xff\xff")).await {
        say(&error);
    }
    if let Err(error) = ann.client.set_push_name("").await {
        say(&error);
    }
    if let Err(error) = ann.client.connect().await {
        say(&error);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let key = folder.path().join("key");
    std::fs::write(&key, STORE_KEY).expect("written");
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("its own");
    match SqliteStore::open_with(folder.path().join("sealed.db"), &KeySource::File(key)) {
        Err(error) => say(&error),
        Ok(_) => panic!("a damaged key opens nothing"),
    }
    for (proxy, account) in [(format!("ftp://me:{PROXY_PASSWORD}@127.0.0.1:1"), "x"), (String::new(), "not a name!")] {
        let builder = Client::builder().store(MemoryStore::default()).account(account).proxy(proxy);
        let failed: Result<_, StartError> = builder.start().await;
        if let Err(error) = failed {
            say(&error);
        }
    }
    assert!(said >= 6, "{said} errors were brought about");

    // A proxy that is not there, a server that is not the one it should be.
    let proxy = format!("http://me:{PROXY_PASSWORD}@127.0.0.1:1");
    let mut profile = ProtocolProfile::default();
    profile.url = relay.url();
    for builder in [Client::builder().proxy(proxy), Client::builder().profile(profile)] {
        let mut party = Party::start(builder.store(MemoryStore::default())).await;
        party.until(|event| matches!(event, Event::Disconnected(_))).await;
        party.client.shutdown().await;
    }
}

/// A store that panics in the middle of a commit; the client goes on from what was durable, and links.
async fn panic_in_the_store(relay: &RelayServer) -> Journal {
    let store = Journal::that_panics_once();
    let (client, mut events) =
        Client::builder().store(store.clone()).relay(relay.url(), relay.root_key()).start().await.expect("starts");
    let mut shown = false;
    while !shown && client.stopped().is_none() {
        let Ok(next) = timeout(PATIENCE, events.next()).await else { panic!("nothing happens") };
        let Some(event) = next else { break };
        tracing::info!(event = ?event.event(), "after the panic");
        shown = matches!(event.event(), Event::QrShown { .. });
        event.handled();
    }
    client.shutdown().await;
    store
}
