//! How sends and other operations ended.

use super::Aliases;
use crate::api::{MessageId, OpId};
use crate::types::Jid;

/// How a send ended. That it was delivered or read is told later, by receipts for the same id.
#[derive(Clone, Debug, PartialEq, Hash)]
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
    /// What became of the message.
    pub result: SendResult,
    /// Whether the server and this client meant the same devices.
    pub lists: ListCheck,
    /// What happened for each device that was addressed or left out.
    pub devices: Vec<(Jid, DeviceOutcome)>,
}

impl SendReport {
    /// Whether the server took the message.
    #[must_use]
    pub const fn is_sent(&self) -> bool {
        matches!(self.result, SendResult::Accepted { .. })
    }

    /// When the server took it, in seconds since 1970; `None` if it did not.
    #[must_use]
    pub const fn timestamp(&self) -> Option<u64> {
        match self.result {
            SendResult::Accepted { timestamp } => Some(timestamp),
            _ => None,
        }
    }

    /// The server's error code, if it refused.
    #[must_use]
    pub const fn refused(&self) -> Option<u32> {
        match self.result {
            SendResult::Refused { code } => Some(code),
            SendResult::TokenMissing | SendResult::Restricted { .. } => Some(TOKEN_OR_RESTRICTION),
            _ => None,
        }
    }
}

/// The code that stands for two causes, which want opposite reactions.
pub(crate) const TOKEN_OR_RESTRICTION: u32 = 463;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SendResult {
    /// The server took it.
    Accepted {
        /// When, in seconds since 1970.
        timestamp: u64,
    },
    /// The server refused it.
    Refused {
        /// Its code.
        code: u32,
    },
    /// The server wants proof that the contact knows this account (code 463), and there is none to be had. It was tried
    /// twice.
    TokenMissing,
    /// The server restricts this account (code 463): new chats cannot be begun. It was tried once; when to try again is
    /// the application's to decide.
    Restricted {
        /// Until when, in seconds since 1970, if the server says so.
        until: Option<u64>,
    },
    /// There is no device that a ciphertext could be made for.
    NobodyToSendTo,
    /// This device was unlinked before the message could go out.
    Unlinked,
}

/// Whether the server and this client meant the same devices. The server says so by a hash over all devices of both
/// sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ListCheck {
    /// They did, as far as the server said.
    #[default]
    Agreed,
    /// Not at first: the lists were fetched again, and devices that were missing got the message under the same id.
    Repaired,
    /// The server's hash differs even from that of fresh lists, or there were none to be had. There is one round of
    /// repair for each send.
    Unexplained,
}

/// What happened for one device of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    /// It was missing from the list; a ciphertext for it went out afterwards, under the same id.
    Repaired,
    /// It was left out.
    Skipped(SkipReason),
}

/// Why a device was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SkipReason {
    /// It was missing from the list, and the server refused what was made for it afterwards, with this code.
    RepairRefused(u32),
    /// The server could not give its keys, several times in a row: it is in trouble, or asks for less haste. The device
    /// gets the message when it asks for it.
    ServerTrouble,
    /// No stanza can hold the message: for all devices together it is too long.
    Unsendable,
}

/// How an operation that is not a send ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
