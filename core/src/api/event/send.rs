//! How sends and other operations ended.

use super::Aliases;
use crate::api::{MessageId, OpId};
use crate::types::Jid;

/// How a send ended.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SendReport {
    /// The verb's id while the client that accepted the send lives; `None` after a restart.
    pub op: Option<OpId>,
    /// The message's id.
    pub id: MessageId,
    /// The chat, as it was given.
    pub chat: Jid,
    /// All known addresses of the chat's user; empty for a group.
    pub chat_aliases: Aliases,
    /// When the server took it, in seconds since 1970; `None` if it did not.
    pub timestamp: Option<u64>,
    /// The server's error code, if it refused.
    pub refused: Option<u32>,
    /// What happened for each device that was addressed or left out.
    pub devices: Vec<(Jid, DeviceOutcome)>,
}

impl SendReport {
    /// Whether the server took the message.
    #[must_use]
    pub const fn is_sent(&self) -> bool {
        self.timestamp.is_some()
    }
}

/// What happened for one device of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceOutcome {
    /// A ciphertext for it went out.
    Sent,
    /// There is no session and no bundle could be fetched.
    NoSession,
    /// The server refused its bundle, or the bundle is not authentic.
    BundleRefused,
    /// The server no longer knows the device.
    Gone,
}

/// How an operation that is not a send ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpResult {
    /// Done.
    Done,
    /// The server refused, with this code.
    Refused(u32),
    /// The connection was lost, or no answer came in time.
    Lost,
    /// The answer does not say what it must.
    Unusable,
    /// Something else took its place: a later call of the same kind; for a linking code also a link made another way.
    Superseded,
}
