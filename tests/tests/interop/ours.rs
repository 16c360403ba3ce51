//! A whatsio client as an application would hold it, with waiting for events.

use std::time::Duration;
use whatsio::{Client, Events, MemoryStore};
use whatsio_core::api::{Event, MessageEvent, MessageId, ReceiptKind};

/// Longer than any step takes; only a hang meets it.
const PATIENCE: Duration = Duration::from_secs(60);

/// One client and what it said that nobody has asked for yet.
pub(crate) struct Ours {
    pub(crate) client: Client,
    events: Events,
    seen: Vec<Event>,
}

impl Ours {
    /// A client with a store of its own; connects at once.
    pub(crate) async fn start(url: &str, root_key: [u8; 32]) -> Self {
        let builder = Client::builder().store(MemoryStore::default()).relay(url, root_key);
        let (client, events) = builder.start().await.expect("starts");
        Self { client, events, seen: Vec::new() }
    }

    /// Waits for a code to scan.
    pub(crate) async fn code(&mut self) -> String {
        self.wait("a code", |event| match event {
            Event::QrShown { text, .. } => Some(text.clone()),
            _ => None,
        })
        .await
    }

    /// Waits until messages flow.
    pub(crate) async fn connected(&mut self) {
        self.wait("a connection", |event| matches!(event, Event::Connected).then_some(())).await;
    }

    /// Own address by phone number, without device.
    pub(crate) async fn jid(&self) -> String {
        self.client.identity().await.expect("runs").expect("linked").jid.to_user().to_string()
    }

    /// Waits for a message with this text.
    pub(crate) async fn message(&mut self, text: &str) -> MessageEvent {
        self.wait(&format!("the message {text:?}"), |event| match event {
            Event::MessageReceived(message) if text_of(message).as_deref() == Some(text) => Some((**message).clone()),
            _ => None,
        })
        .await
    }

    /// Waits for `count` messages and returns their texts in the order of arrival.
    pub(crate) async fn texts(&mut self, count: usize) -> Vec<String> {
        let mut texts = Vec::new();
        while texts.len() < count {
            let text = self.wait("one more message", |event| match event {
                Event::MessageReceived(message) => Some(text_of(message).unwrap_or_else(|| "(none)".into())),
                _ => None,
            });
            texts.push(text.await);
        }
        texts
    }

    /// Waits for a receipt of this kind.
    pub(crate) async fn receipt(&mut self, id: &MessageId, kind: &ReceiptKind) {
        self.wait(&format!("the receipt {kind:?}"), |event| match event {
            Event::ReceiptReceived(receipt) if receipt.kind == *kind && receipt.ids.contains(id) => Some(()),
            _ => None,
        })
        .await;
    }

    /// Messages that came and that nobody asked for, readable or not.
    pub(crate) fn unexpected(&self) -> Vec<&Event> {
        let is_message = |event: &&Event| matches!(event, Event::MessageReceived(_) | Event::MessageUndecryptable(_));
        self.seen.iter().filter(is_message).collect()
    }

    async fn wait<T>(&mut self, what: &str, pick: impl Fn(&Event) -> Option<T>) -> T {
        if let Some((at, found)) = self.seen.iter().enumerate().find_map(|(at, event)| Some((at, pick(event)?))) {
            self.seen.remove(at);
            return found;
        }
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                let delivery = self.events.next().await.expect("the client lives");
                let event = delivery.event().clone();
                delivery.handled();
                if let Some(found) = pick(&event) {
                    return found;
                }
                self.seen.push(event);
            }
        });
        match waited.await {
            Ok(found) => found,
            Err(_) => panic!("whatsio: waited in vain for {what}; it said {:?}", self.seen),
        }
    }
}

fn text_of(message: &MessageEvent) -> Option<String> {
    whatsio_tests::world::text_in(&message.content)
}
