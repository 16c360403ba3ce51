//! A live WebSocket connection as a value: a queue of messages to write, and one cancellation-safe step.

use super::BoxedStream;
use bytes::Bytes;
use futures_util::{Sink as _, Stream as _};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
#[cfg(feature = "relay")]
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
#[cfg(feature = "relay")]
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use whatsio_core::api::CloseReason;

/// A live connection. Reads only when asked to, so that back-pressure reaches the other side through TCP.
pub struct Link {
    socket: WebSocketStream<BoxedStream>,
    waiting: VecDeque<Bytes>,
    waiting_bytes: usize,
    flushed: bool,
}

/// What a connection did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkEvent {
    /// A binary message arrived.
    Frame(Bytes),
    /// Everything queued has been given to the operating system. Only reported to who does not read.
    Flushed,
    /// The connection ended; nothing follows.
    Closed(CloseReason),
}

impl Link {
    pub(super) fn new(socket: WebSocketStream<BoxedStream>) -> Self {
        Self { socket, waiting: VecDeque::new(), waiting_bytes: 0, flushed: true }
    }

    /// A server's end of a connection whose upgrade is done.
    #[cfg(feature = "relay")]
    pub(crate) async fn of_server(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        let stream: BoxedStream = Box::new(stream);
        Self::new(WebSocketStream::from_raw_socket(stream, Role::Server, Some(Self::limits())).await)
    }

    /// Limits of the WebSocket layer. A protocol frame has a three-byte length, so one message of 2^24 bytes and its
    /// header must fit; more is an attack on memory. The buffers are what an idle connection costs, so they are small;
    /// long messages grow them for a while.
    pub(super) fn limits() -> WebSocketConfig {
        WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_LIMIT))
            .max_frame_size(Some(MESSAGE_LIMIT))
            .read_buffer_size(4 * 1024)
            .write_buffer_size(4 * 1024)
    }

    /// Queues one binary message. It leaves in [`turn`](Self::turn), in the order of the calls.
    pub fn push(&mut self, frame: Bytes) {
        self.waiting_bytes = self.waiting_bytes.saturating_add(frame.len());
        self.waiting.push_back(frame);
        self.flushed = false;
    }

    /// Bytes queued and not yet given to the operating system.
    #[must_use]
    pub const fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// Writes what is queued and, if `read`, waits for the next message; without `read` it returns when all is written
    /// or the connection breaks. Cancellation-safe: dropping the future loses nothing.
    pub async fn turn(&mut self, read: bool) -> LinkEvent {
        poll_fn(|context| self.poll_turn(context, read)).await
    }

    /// Writes what is queued, says goodbye and closes; gives up after two seconds.
    pub async fn close(mut self) {
        let farewell = async {
            let flushed = poll_fn(|context| self.poll_write(context)).await;
            if flushed.is_ok() {
                let _ = self.socket.close(None).await;
            }
        };
        let _ = timeout(FAREWELL, farewell).await;
    }

    fn poll_turn(&mut self, context: &mut Context<'_>, read: bool) -> Poll<LinkEvent> {
        let unwritten = !self.flushed;
        if let Poll::Ready(Err(error)) = self.poll_write(context) {
            return Poll::Ready(LinkEvent::Closed(reason(&error)));
        }
        if !read {
            return if unwritten && self.flushed { Poll::Ready(LinkEvent::Flushed) } else { Poll::Pending };
        }
        loop {
            let Poll::Ready(next) = Pin::new(&mut self.socket).poll_next(context) else {
                return Poll::Pending;
            };
            return Poll::Ready(match next {
                Some(Ok(Message::Binary(frame))) => LinkEvent::Frame(frame),
                // The library answers pings by itself.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Ok(Message::Close(_))) | None => LinkEvent::Closed(CloseReason::ByServer),
                Some(Ok(Message::Text(_))) => {
                    tracing::debug!("a text message arrived where only binary ones are spoken");
                    LinkEvent::Closed(CloseReason::Broken)
                }
                Some(Err(error)) => LinkEvent::Closed(reason(&error)),
            });
        }
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<Result<(), WsError>> {
        let mut socket = Pin::new(&mut self.socket);
        while !self.waiting.is_empty() {
            match socket.as_mut().poll_ready(context) {
                Poll::Ready(Ok(())) => {}
                other => return other,
            }
            let Some(frame) = self.waiting.pop_front() else { break };
            self.waiting_bytes = self.waiting_bytes.saturating_sub(frame.len());
            socket.as_mut().start_send(Message::Binary(frame))?;
        }
        if !self.flushed {
            match socket.poll_flush(context) {
                Poll::Ready(Ok(())) => self.flushed = true,
                other => return other,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("waiting_bytes", &self.waiting_bytes).finish_non_exhaustive()
    }
}

fn reason(error: &WsError) -> CloseReason {
    match error {
        WsError::ConnectionClosed | WsError::AlreadyClosed => CloseReason::ByServer,
        _ => CloseReason::Broken,
    }
}

const MESSAGE_LIMIT: usize = (1 << 24) + 4096;
const FAREWELL: Duration = Duration::from_secs(2);
