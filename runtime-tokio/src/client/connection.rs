//! The one connection of an account, from the wish for it to its end, as a value that a `select!` can wait on.

use crate::transport::{DialError, Link, LinkEvent, Transport};
use bytes::Bytes;
use std::future::{Future, pending};
use std::pin::Pin;
use whatsio_core::api::{CloseReason, Endpoint};

/// The connection's state. Every wait is cancellation-safe, since each future lives inside the value.
pub(crate) enum Connection {
    Down,
    Dialing(Pin<Box<dyn Future<Output = Result<Link, DialError>> + Send>>),
    Up(Box<Link>),
    Closing(Pin<Box<dyn Future<Output = ()> + Send>>),
}

/// What the connection did.
pub(crate) enum ConnectionEvent {
    Opened,
    Frame(Bytes),
    /// What was queued has been written; the core need not know.
    Flushed,
    Closed(CloseReason),
}

impl Connection {
    /// Starts to dial. A connection that is still there is dropped.
    pub(crate) fn open(&mut self, transport: &Transport, endpoint: Endpoint) {
        let transport = transport.clone();
        *self = Self::Dialing(Box::pin(async move { transport.dial(&endpoint).await }));
    }

    /// Queues a frame. Without a live connection it is dropped: the core seals frames for one connection only.
    pub(crate) fn push(&mut self, frame: Bytes) {
        if let Self::Up(link) = self {
            link.push(frame);
        }
    }

    /// Starts to close: what is queued goes out first. The end is reported by [`turn`](Self::turn).
    pub(crate) fn close(&mut self) {
        *self = match std::mem::replace(self, Self::Down) {
            Self::Down => Self::Down,
            Self::Dialing(_) => Self::Closing(Box::pin(std::future::ready(()))),
            Self::Up(link) => Self::Closing(Box::pin(link.close())),
            closing @ Self::Closing(_) => closing,
        };
    }

    pub(crate) const fn is_down(&self) -> bool {
        matches!(self, Self::Down)
    }

    /// Whether so much waits to be written that nothing more should be asked of the core.
    pub(crate) fn is_congested(&self) -> bool {
        matches!(self, Self::Up(link) if link.waiting_bytes() > CONGESTED_BYTES)
    }

    /// Waits for the next thing to happen. Reads only if `read`.
    pub(crate) async fn turn(&mut self, read: bool) -> ConnectionEvent {
        let event = match self {
            Self::Down => pending().await,
            Self::Dialing(dialing) => match dialing.await {
                Ok(link) => {
                    *self = Self::Up(Box::new(link));
                    return ConnectionEvent::Opened;
                }
                Err(error) => {
                    tracing::warn!(%error, "no connection");
                    ConnectionEvent::Closed(CloseReason::Unreachable)
                }
            },
            Self::Up(link) => match link.turn(read).await {
                LinkEvent::Frame(frame) => return ConnectionEvent::Frame(frame),
                LinkEvent::Flushed => return ConnectionEvent::Flushed,
                LinkEvent::Closed(reason) => ConnectionEvent::Closed(reason),
            },
            Self::Closing(closing) => {
                closing.await;
                ConnectionEvent::Closed(CloseReason::Asked)
            }
        };
        *self = Self::Down;
        event
    }
}

const CONGESTED_BYTES: usize = 4 << 20;
