//! From an HTTP request to a link of the relay: the WebSocket upgrade on any path and any origin, and the task that
//! carries the bytes.

use super::brain::{ToLink, ToRelay};
use crate::transport::{Link, LinkEvent};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use hyper_util::rt::TokioIo;
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;

/// Answers every request that is not of the control API: upgrades it, or says what is expected here.
pub(super) async fn upgrade(State(to_relay): State<mpsc::Sender<ToRelay>>, mut request: Request) -> Response {
    let response = match create_response_with_body(&request, Body::empty) {
        Ok(response) => response,
        Err(error) => {
            let hint = format!("this is a relay; connect with a WebSocket ({error})\n");
            return (StatusCode::UPGRADE_REQUIRED, [("upgrade", "websocket")], hint).into_response();
        }
    };
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        match upgraded.await {
            Ok(upgraded) => {
                carry(Link::of_server(TokioIo::new(upgraded)).await, to_relay).await;
            }
            Err(error) => tracing::debug!(%error, "a client left during the upgrade"),
        }
    });
    response
}

/// Carries bytes both ways until either side closes.
async fn carry(mut link: Link, to_relay: mpsc::Sender<ToRelay>) {
    let (outgoing, mut from_relay) = mpsc::unbounded_channel();
    let (id_to, id) = oneshot::channel();
    if to_relay.send(ToRelay::Opened { outgoing, id: id_to }).await.is_err() {
        return;
    }
    let Ok(id) = id.await else { return };
    loop {
        tokio::select! {
            message = from_relay.recv() => match message {
                Some(ToLink::Bytes(bytes)) => {
                    link.push(bytes);
                    if link.waiting_bytes() > SLOW_READER_BYTES {
                        tracing::debug!("a client does not read; it is cut off");
                        break;
                    }
                }
                Some(ToLink::Close) | None => {
                    link.close().await;
                    break;
                }
            },
            event = link.turn(true) => match event {
                LinkEvent::Frame(bytes) => {
                    if to_relay.send(ToRelay::Bytes(id, bytes)).await.is_err() {
                        return;
                    }
                }
                LinkEvent::Flushed => {}
                LinkEvent::Closed(_) => break,
            },
        }
    }
    let _ = to_relay.send(ToRelay::Closed(id)).await;
}

/// What may wait for a client that does not read, before it is cut off.
const SLOW_READER_BYTES: usize = 64 << 20;
