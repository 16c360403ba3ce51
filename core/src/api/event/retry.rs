//! Requests to send something again that could not be granted.

use super::Aliases;
use crate::api::MessageId;
use crate::types::Jid;

/// A device asked for a message again and does not get it.
#[derive(Clone, Debug, PartialEq, Hash)]
#[non_exhaustive]
pub struct UnansweredRetry {
    /// The message's id.
    pub id: MessageId,
    /// The device that asked.
    pub device: Jid,
    /// All known addresses of its user.
    pub device_aliases: Aliases,
    /// Why it gets nothing.
    pub reason: UnanswerableReason,
}

/// Why a message was not sent again to a device that asked for it. The session with that device was repaired all the
/// same, as far as the request allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UnanswerableReason {
    /// The message was sent, but its plaintext is no longer kept.
    Expired,
    /// No message was ever sent under this id, or it never reached the server.
    NeverSent,
    /// The device or the chat has asked too often.
    OverBudget,
    /// The message was not for this device.
    NotAddressed,
}
