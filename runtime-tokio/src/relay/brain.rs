//! The one task that owns the core's relay, and the handle through which everything else talks to it.

use crate::clock::Clock;
use bytes::Bytes;
use std::collections::BTreeMap;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::sleep_until;
use whatsio_core::relay::{AccountSummary, LinkId, Relay, RelayEvent, RelayInput, RelayOutput, ScanError};
use whatsio_core::types::{Jid, Now};

type Question = Box<dyn FnOnce(&mut Relay, Now) + Send>;

/// What sockets and handles tell the relay's task.
pub(super) enum ToRelay {
    /// A socket is up; what the relay wants written goes to `outgoing`.
    Opened {
        outgoing: mpsc::UnboundedSender<ToLink>,
        id: oneshot::Sender<LinkId>,
    },
    Bytes(LinkId, Bytes),
    Closed(LinkId),
    Ask(Question),
    Stop,
}

/// What the relay tells a socket.
pub(super) enum ToLink {
    Bytes(Bytes),
    Close,
}

/// Talks to a running relay; cloning is cheap. Every call is answered between two inputs of the relay.
#[derive(Clone, Debug)]
pub struct RelayHandle {
    to_relay: mpsc::Sender<ToRelay>,
    events: broadcast::Sender<RelayEvent>,
}

/// The relay has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the relay has ended")]
pub struct RelayStopped;

impl RelayHandle {
    /// Plays the phone: scans the text of a QR code. `account` (digits) links another companion to an account that may
    /// exist already; without it a new account is made.
    ///
    /// # Errors
    /// The outer error when the relay has ended, the inner one when the scan leads nowhere.
    pub async fn scan_qr(&self, account: Option<&str>, text: &str) -> Result<Result<Jid, ScanError>, RelayStopped> {
        let (account, text) = (account.map(str::to_owned), text.to_owned());
        self.with(move |relay, now| relay.scan_qr(now, account.as_deref(), &text)).await
    }

    /// All accounts with their devices.
    ///
    /// # Errors
    /// [`RelayStopped`].
    pub async fn accounts(&self) -> Result<Vec<AccountSummary>, RelayStopped> {
        self.with(|relay, _| relay.accounts()).await
    }

    /// Runs `work` on the relay itself: to script faults, or for anything that has no method here.
    ///
    /// # Errors
    /// [`RelayStopped`].
    pub async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Relay, Now) -> T + Send + 'static,
    ) -> Result<T, RelayStopped> {
        let (reply_to, reply) = oneshot::channel();
        let question: Question = Box::new(move |relay, now| drop(reply_to.send(work(relay, now))));
        self.to_relay.send(ToRelay::Ask(question)).await.map_err(|_| RelayStopped)?;
        reply.await.map_err(|_| RelayStopped)
    }

    /// What happens from now on. A receiver that falls behind by more than 1,024 events loses the oldest.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<RelayEvent> {
        self.events.subscribe()
    }

    pub(super) fn sender(&self) -> mpsc::Sender<ToRelay> {
        self.to_relay.clone()
    }

    pub(super) async fn stop(&self) {
        // Fails only when it has stopped already.
        let _ = self.to_relay.send(ToRelay::Stop).await;
    }
}

/// Owns the core's relay and runs until told to stop.
pub(super) struct Brain {
    relay: Relay,
    clock: Clock,
    inbox: mpsc::Receiver<ToRelay>,
    events: broadcast::Sender<RelayEvent>,
    links: BTreeMap<LinkId, mpsc::UnboundedSender<ToLink>>,
    next_link: u64,
}

impl Brain {
    /// Starts the task on the current runtime.
    pub(super) fn spawn(relay: Relay, clock: Clock) -> RelayHandle {
        // Bounded: when the relay is behind, its sockets wait.
        let (to_relay, inbox) = mpsc::channel(256);
        let (events, _) = broadcast::channel(1024);
        let brain = Self { relay, clock, inbox, events: events.clone(), links: BTreeMap::new(), next_link: 1 };
        tokio::spawn(brain.run());
        RelayHandle { to_relay, events }
    }

    async fn run(mut self) {
        loop {
            let deadline = self.relay.next_deadline().map(|mono| self.clock.instant(mono));
            let message = tokio::select! {
                message = self.inbox.recv() => message,
                () = async { sleep_until(deadline.unwrap_or_else(tokio::time::Instant::now)).await }, if deadline.is_some() => {
                    self.relay.handle(self.clock.now(), RelayInput::Tick);
                    self.drain();
                    continue;
                }
            };
            match message {
                None | Some(ToRelay::Stop) => return,
                Some(message) => self.take(message),
            }
            self.drain();
        }
    }

    fn take(&mut self, message: ToRelay) {
        let now = self.clock.now();
        match message {
            ToRelay::Opened { outgoing, id } => {
                let link = LinkId(self.next_link);
                self.next_link += 1;
                if id.send(link).is_ok() {
                    self.links.insert(link, outgoing);
                    self.relay.handle(now, RelayInput::Opened(link));
                }
            }
            ToRelay::Bytes(link, bytes) => self.relay.handle(now, RelayInput::Bytes(link, bytes)),
            ToRelay::Closed(link) => {
                self.links.remove(&link);
                self.relay.handle(now, RelayInput::Closed(link));
            }
            ToRelay::Ask(question) => question(&mut self.relay, now),
            // Taken out by the loop, which alone can end.
            ToRelay::Stop => {}
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.relay.poll() {
            match output {
                RelayOutput::Bytes(link, bytes) => self.tell(link, ToLink::Bytes(bytes)),
                RelayOutput::Close(link) => {
                    self.tell(link, ToLink::Close);
                    self.links.remove(&link);
                }
                RelayOutput::Event(event) => {
                    // Fails when nobody listens.
                    let _ = self.events.send(event);
                }
            }
        }
    }

    fn tell(&self, link: LinkId, message: ToLink) {
        if let Some(outgoing) = self.links.get(&link) {
            // Fails when the socket is gone; its `Closed` is on the way.
            let _ = outgoing.send(message);
        }
    }
}
