//! The application's end of the event stream.

use futures_util::Stream;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;
use whatsio_core::api::{Envelope, Event, EventId};

/// What happens to an account, in order. A `Stream`, and has [`next`](Self::next) for those who need no combinators.
///
/// After `Faulted(StoreFailed)` the client restores itself from the store, with growing pauses, and goes on; what was not
/// handled before comes no second time. After `Faulted(Fenced)` it ends.
///
/// A bounded channel feeds it: an application that does not read makes the socket wait, it does not make memory grow.
/// Read and handle it even when only sending: reports and receipts are events, and a full inbox stops the acknowledgements
/// that sends wait for. Dropping it means "no more events in this process": durable ones then wait in the
/// store for the next start, and when their number reaches the inbox's limit, nothing more is received.
#[derive(Debug)]
pub struct Events {
    receiver: mpsc::Receiver<Envelope>,
    handled: mpsc::UnboundedSender<EventId>,
}

impl Events {
    pub(crate) const fn new(receiver: mpsc::Receiver<Envelope>, handled: mpsc::UnboundedSender<EventId>) -> Self {
        Self { receiver, handled }
    }

    /// The next event; `None` after the client has stopped. Cancellation-safe.
    pub async fn next(&mut self) -> Option<Delivery> {
        let envelope = self.receiver.recv().await?;
        Some(self.wrap(envelope))
    }

    fn wrap(&self, envelope: Envelope) -> Delivery {
        Delivery { envelope, handled: self.handled.clone() }
    }
}

impl Stream for Events {
    type Item = Delivery;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Delivery>> {
        let polled = self.receiver.poll_recv(context);
        polled.map(|next| next.map(|envelope| self.wrap(envelope)))
    }
}

/// One event in the application's hands; dereferences to [`Event`].
///
/// Say [`handled`](Self::handled) when the work for it is safely done. Until then a durable event stays in the store:
/// after a crash or restart it is delivered again under the same id. Dropping a delivery is *not* handling it, so a
/// handler that returns early, is cancelled or panics loses nothing; but it is not delivered again before a restart.
#[must_use = "a durable event comes again after a restart until `handled()` is called"]
pub struct Delivery {
    envelope: Envelope,
    handled: mpsc::UnboundedSender<EventId>,
}

impl Delivery {
    /// The event's id. Durable events keep it over restarts, so it can serve to recognise a repetition.
    #[must_use]
    pub const fn id(&self) -> EventId {
        self.envelope.id
    }

    /// What happened.
    #[must_use]
    pub const fn event(&self) -> &Event {
        &self.envelope.event
    }

    /// Whether the event waits in the store until it is handled.
    #[must_use]
    pub const fn is_durable(&self) -> bool {
        self.envelope.durable
    }

    /// The application is done with this event; it will not come again. Returns at once; the store follows soon.
    pub fn handled(self) {
        if self.envelope.durable {
            // Fails only after the client has stopped; the event then comes again, as documented.
            let _ = self.handled.send(self.envelope.id);
        }
    }
}

/// Names the event only: what it holds is personal.
impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery").field("id", &self.id()).field("durable", &self.is_durable()).finish_non_exhaustive()
    }
}

impl Deref for Delivery {
    type Target = Event;

    fn deref(&self) -> &Event {
        &self.envelope.event
    }
}
