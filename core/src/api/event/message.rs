//! Messages and what became of them, as the application sees them.

use crate::api::MessageId;
use crate::types::{Jid, Username};
use bytes::Bytes;

/// A received message.
#[derive(Clone, PartialEq, Hash)]
#[non_exhaustive]
pub struct MessageEvent {
    /// The message's id.
    pub id: MessageId,
    /// The chat it belongs to: a user (without device) or a group.
    pub chat: Jid,
    /// All known addresses of the chat's user; empty for a group.
    pub chat_aliases: Aliases,
    /// The device that sent it.
    pub sender: Jid,
    /// All known addresses of the sender.
    pub sender_aliases: Aliases,
    /// Whether another device of this account sent it.
    pub from_me: bool,
    /// When the server took it, in seconds since 1970.
    pub timestamp: u64,
    /// The name the sender gives itself.
    pub push_name: Option<String>,
    /// Whether it waited at the server while this device was offline.
    pub offline: bool,
    /// The decrypted content: a serialised `Message` of `whatsio_proto::e2e`, wrappers for own devices removed.
    pub content: Bytes,
}

/// Names and contents stay out of logs.
impl std::fmt::Debug for MessageEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MessageEvent")
            .field("id", &self.id)
            .field("chat", &self.chat)
            .field("sender", &self.sender)
            .field("from_me", &self.from_me)
            .field("timestamp", &self.timestamp)
            .field("offline", &self.offline)
            .field("content_bytes", &self.content.len())
            .finish_non_exhaustive()
    }
}

/// All known addresses of one user, without device. Whatever is not known is absent, and may stay so: a user can hide the
/// phone number for good.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Aliases {
    /// By phone number.
    pub pn: Option<Jid>,
    /// By LID, which stays the same when the number changes.
    pub lid: Option<Jid>,
    /// The name the user has chosen. Messages cannot be sent to it.
    pub username: Option<Username>,
}

/// A message that could not be read.
#[derive(Clone, Debug, PartialEq, Hash)]
#[non_exhaustive]
pub struct UndecryptableEvent {
    /// The message's id.
    pub id: MessageId,
    /// The chat it belongs to.
    pub chat: Jid,
    /// All known addresses of the chat's user; empty for a group.
    pub chat_aliases: Aliases,
    /// The device that sent it.
    pub sender: Jid,
    /// All known addresses of the sender.
    pub sender_aliases: Aliases,
    /// When the server took it, in seconds since 1970.
    pub timestamp: u64,
    /// Why.
    pub reason: UndecryptableReason,
}

/// Why a message could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UndecryptableReason {
    /// There is no session with the sending device.
    NoSession,
    /// The message names a prekey that is no longer there.
    UnknownPreKey,
    /// The ciphertext does not authenticate, or is damaged.
    Damaged,
    /// The message is too far ahead of what was received before.
    TooFarAhead,
    /// The group's sender key is not there.
    NoSenderKey,
    /// The sender's device identity is not authentic.
    BadIdentity,
    /// It decrypted to something that is not a message.
    NotAMessage,
    /// It uses an encryption this version does not know.
    UnknownEncryption,
    /// The server withholds it from companions; only the phone has it.
    Unavailable,
}

/// A receipt for messages this account sent, or that its other devices read.
#[derive(Clone, Debug, PartialEq, Hash)]
#[non_exhaustive]
pub struct ReceiptEvent {
    /// The chat.
    pub chat: Jid,
    /// All known addresses of the chat's user; empty for a group.
    pub chat_aliases: Aliases,
    /// Who received, read or played: a device.
    pub sender: Jid,
    /// All known addresses of that user.
    pub sender_aliases: Aliases,
    /// The messages.
    pub ids: Vec<MessageId>,
    /// What happened to them.
    pub kind: ReceiptKind,
    /// When, in seconds since 1970.
    pub timestamp: u64,
}

/// What a receipt says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReceiptKind {
    /// A device has it.
    Delivered,
    /// A person has seen it.
    Read,
    /// Another device of this account has shown it to its user, without telling the sender.
    ReadSelf,
    /// A voice or video message was played.
    Played,
    /// The receiving device could not decrypt it and asked for it again.
    Retry,
    /// A kind this version does not know, in the server's word.
    Other(String),
}
