//! A linked client of the relay, with its events.

use std::time::Duration;
use tokio::time::timeout;
use whatsio::api::{Event, MessageEvent};
use whatsio::relay::RelayServer;
use whatsio::{Client, ClientBuilder, Delivery, Events, Jid};

/// A client and its events.
pub(crate) struct Peer {
    pub(crate) client: Client,
    pub(crate) events: Events,
}

impl Peer {
    /// Starts a client that is linked already, and waits until it is logged in.
    pub(crate) async fn start(builder: ClientBuilder) -> Self {
        let (client, events) = builder.start().await.unwrap();
        let mut peer = Self { client, events };
        peer.until(|event| matches!(event, Event::Connected)).await.handled();
        peer
    }

    /// Starts a new client, links it to a new account (or another companion of `account`) and waits for its login.
    pub(crate) async fn link(relay: &RelayServer, account: Option<&str>, builder: ClientBuilder) -> Self {
        let (client, events) = builder.start().await.unwrap();
        let mut peer = Self { client, events };
        let shown = peer.until(|event| matches!(event, Event::QrShown { .. })).await;
        let Event::QrShown { text, .. } = shown.event() else { panic!("not a code") };
        relay.handle().scan_qr(account, text).await.unwrap().unwrap();
        peer.until(|event| matches!(event, Event::Linked { .. })).await.handled();
        peer.until(|event| matches!(event, Event::Connected)).await.handled();
        peer
    }

    /// Handles all further events without a look.
    pub(crate) fn handling_everything(self) -> Client {
        let Self { client, mut events } = self;
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                event.handled();
            }
        });
        client
    }

    /// The account's address, without device.
    pub(crate) async fn jid(&self) -> Jid {
        self.device_jid().await.with_device(0)
    }

    pub(crate) async fn device_jid(&self) -> Jid {
        self.client.identity().await.unwrap().unwrap().jid
    }

    /// The next event of the kind wanted; the others are handled and dropped.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&Event) -> bool) -> Delivery {
        loop {
            let event = self.next().await;
            if wanted(event.event()) {
                return event;
            }
            assert!(!matches!(event.event(), Event::Faulted(_) | Event::LinkFailed(_)), "{:?}", event.event());
            event.handled();
        }
    }

    pub(crate) async fn next(&mut self) -> Delivery {
        let next = timeout(Duration::from_secs(30), self.events.next()).await;
        next.expect("nothing happens").expect("the client has ended")
    }

    /// The next message, handled.
    pub(crate) async fn message(&mut self) -> MessageEvent {
        let event = self.until(|event| matches!(event, Event::MessageReceived(_))).await;
        let Event::MessageReceived(message) = event.event() else { panic!("not a message") };
        let message = (**message).clone();
        event.handled();
        message
    }

    /// The text of the next message, handled.
    pub(crate) async fn text(&mut self) -> String {
        whatsio::content::text_of(&self.message().await.content).unwrap()
    }
}
