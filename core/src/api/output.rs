//! What the core asks of a host.

use super::{Commit, Envelope, LoadRequest};
use bytes::Bytes;

/// Something the host is to do. Carried out in the order of [`poll`](super::Output).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Output {
    /// Read records.
    Load(LoadRequest),
    /// Write records, durably and all at once.
    Commit(Commit),
    /// Make a connection; answered with `Opened` or `Closed`.
    Open(Endpoint),
    /// Write these bytes to the connection, in the order given. One value is one binary WebSocket message.
    Frame(Bytes),
    /// Close the connection; answered with `Closed`.
    Close,
    /// Hand this to the application.
    Event(Envelope),
}

/// Where to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// WebSocket URL, `wss` or `ws`.
    pub url: String,
    /// Value of the `Origin` header.
    pub origin: String,
}
