//! How a login ends, and how a stream does.

use super::{StanzaError, read, word as w};
use crate::binary::NodeRef;
use crate::types::Jid;
use smol_str::SmolStr;

/// The server accepts the login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Success {
    /// The server's clock, in seconds since 1970.
    pub time: Option<u64>,
    /// The own address by LID, with the device number.
    pub lid: Option<Jid>,
    /// The own address by phone number, where the server says it.
    pub pn: Option<Jid>,
    /// The server's place, for telemetry.
    pub location: Option<SmolStr>,
}

impl Success {
    pub(super) fn parse(node: NodeRef<'_>) -> Result<Self, StanzaError> {
        Ok(Self {
            time: node.number(w::T),
            lid: read::jid(node, w::LID)?,
            pn: node.jid(w::PN),
            location: read::text(node, w::LOCATION),
        })
    }
}

/// The server refuses the login, and closes the connection next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The reason's code, as in HTTP; 500 if it is absent.
    pub reason: u32,
    /// For a temporary ban: why.
    pub code: Option<u32>,
    /// For a temporary ban: seconds until it ends.
    pub expire: Option<u64>,
    /// Text for people.
    pub message: Option<SmolStr>,
    /// A page for people.
    pub url: Option<SmolStr>,
    /// The server's place.
    pub location: Option<SmolStr>,
}

impl Failure {
    pub(super) fn parse(node: NodeRef<'_>) -> Self {
        Self {
            reason: read::short_number(node, w::REASON).unwrap_or(500),
            code: read::short_number(node, w::CODE),
            expire: node.number(w::EXPIRE),
            message: read::text(node, w::MESSAGE),
            url: read::text(node, w::URL),
            location: read::text(node, w::LOCATION),
        }
    }
}

/// The server ends the stream. All requests in flight are lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamError {
    /// The code, where there is one: 515 asks for a new connection, 516 means the device was removed.
    pub code: Option<u32>,
    /// The cause, where the server names it.
    pub cause: Option<StreamErrorCause>,
}

/// Why the server ends a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamErrorCause {
    /// The same device has connected again.
    Replaced,
    /// This device was removed from the account.
    Removed,
    /// The server does not accept an acknowledgement that was sent.
    BadAck {
        /// The id that was acknowledged.
        id: Option<SmolStr>,
    },
    /// The server could not read what was sent.
    NotWellFormed,
}

impl StreamError {
    /// Causes are looked for in the order in which the web client does.
    pub(super) fn parse(node: NodeRef<'_>) -> Self {
        let cause = if let Some(conflict) = node.child(w::CONFLICT) {
            // Every other kind of conflict means that the device is gone.
            Some(if conflict.has(w::TYPE, w::REPLACED) {
                StreamErrorCause::Replaced
            } else {
                StreamErrorCause::Removed
            })
        } else if let Some(ack) = node.child(w::ACK) {
            Some(StreamErrorCause::BadAck { id: read::text(ack, w::ID) })
        } else {
            node.child(w::XML_NOT_WELL_FORMED).map(|_| StreamErrorCause::NotWellFormed)
        };
        Self { code: read::short_number(node, w::CODE), cause }
    }
}
