//! What the core tells the application: what happened, never a request.

use super::{EventId, MessageId, OpId};
use crate::types::Jid;
use bytes::Bytes;

/// An event with its id.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// Names the event. A durable event keeps its id over restarts.
    pub id: EventId,
    /// What happened.
    pub event: Event,
    /// Whether the event is in the inbox: it is emitted again after a restart until the host says
    /// [`Input::Handled`](super::Input::Handled). Events that are not durable need no answer.
    pub durable: bool,
}

/// What happened.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// Show this text as a QR code. Emitted on a connection of an account that is not linked; each supersedes the one before.
    QrShown {
        /// Text to draw.
        text: String,
        /// How long it is good for, in milliseconds.
        valid_ms: u64,
    },
    /// The phone has accepted this device and the identity is durable. The client logs in next by itself.
    Linked {
        /// Own address by phone number, with the device number.
        jid: Jid,
        /// Own address by LID, with the device number.
        lid: Option<Jid>,
        /// Platform of the phone, as it calls itself.
        platform: String,
    },
    /// Linking ended without success. Call `connect` to try again.
    LinkFailed(LinkFailure),
    /// Logged in; messages flow.
    Connected,
    /// The server has delivered everything that waited while this device was offline.
    OfflineDrained {
        /// Number of stanzas, as the server counted them.
        count: u64,
    },
    /// The connection ended. Says why and what the client does about it.
    Disconnected(Disconnect),
    /// A message. Durable.
    MessageReceived(Box<MessageEvent>),
    /// A message that could not be read. Durable; the message itself may still follow under the same message id.
    MessageUndecryptable(Box<UndecryptableEvent>),
    /// Somebody received, read or played messages. Durable.
    ReceiptReceived(Box<ReceiptEvent>),
    /// A send is durable: from now on it survives restarts. At most one per accepted send, before its end.
    SendQueued {
        /// The verb's id.
        op: OpId,
        /// The message's id.
        id: MessageId,
    },
    /// A send has reached the server, or can never do so. Durable; exactly one per accepted send.
    SendFinished(Box<SendReport>),
    /// An operation that is not a send has ended. Exactly one per accepted verb that returned an [`OpId`].
    OperationFinished {
        /// The verb's id.
        op: OpId,
        /// How it ended.
        result: OpResult,
    },
    /// Somebody came online, or went.
    PresenceChanged {
        /// Whose presence.
        user: Jid,
        /// What it is now.
        presence: Presence,
    },
    /// Somebody started or stopped typing or recording.
    ChatStateChanged {
        /// Where.
        chat: Jid,
        /// Who.
        user: Jid,
        /// What they do now.
        state: ChatState,
    },
    /// A stored record did not decode. It was set aside, reads as absent, and is repaired by the protocol's own means.
    RecordQuarantined {
        /// The kind of record.
        space: super::Space,
    },
    /// A stanza could not be understood; it was answered with an error and dropped, so that it does not block the queue.
    StanzaRefused {
        /// What is wrong with it, without its content.
        reason: &'static str,
    },
    /// The client cannot go on: restore a new one from the store. The last event.
    Faulted(FaultReason),
}

/// A received message.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct MessageEvent {
    /// The message's id.
    pub id: MessageId,
    /// The chat it belongs to: a user (without device) or a group.
    pub chat: Jid,
    /// The other address of the chat's user, where known.
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

/// A linking code holds a secret, so it is not shown; addresses show themselves redacted.
impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::QrShown { valid_ms, .. } => {
                f.debug_struct("QrShown").field("valid_ms", valid_ms).finish_non_exhaustive()
            }
            Self::Linked { jid, lid, platform } => {
                f.debug_struct("Linked").field("jid", jid).field("lid", lid).field("platform", platform).finish()
            }
            Self::LinkFailed(failure) => f.debug_tuple("LinkFailed").field(failure).finish(),
            Self::Connected => f.write_str("Connected"),
            Self::OfflineDrained { count } => f.debug_struct("OfflineDrained").field("count", count).finish(),
            Self::Disconnected(disconnect) => f.debug_tuple("Disconnected").field(disconnect).finish(),
            Self::MessageReceived(message) => f.debug_tuple("MessageReceived").field(message).finish(),
            Self::MessageUndecryptable(lost) => f.debug_tuple("MessageUndecryptable").field(lost).finish(),
            Self::ReceiptReceived(receipt) => f.debug_tuple("ReceiptReceived").field(receipt).finish(),
            Self::SendQueued { op, id } => f.debug_struct("SendQueued").field("op", op).field("id", id).finish(),
            Self::SendFinished(report) => f.debug_tuple("SendFinished").field(report).finish(),
            Self::OperationFinished { op, result } => {
                f.debug_struct("OperationFinished").field("op", op).field("result", result).finish()
            }
            Self::PresenceChanged { user, presence } => {
                f.debug_struct("PresenceChanged").field("user", user).field("presence", presence).finish()
            }
            Self::ChatStateChanged { chat, user, state } => {
                let mut shown = f.debug_struct("ChatStateChanged");
                shown.field("chat", chat).field("user", user).field("state", state).finish()
            }
            Self::RecordQuarantined { space } => f.debug_struct("RecordQuarantined").field("space", space).finish(),
            Self::StanzaRefused { reason } => f.debug_struct("StanzaRefused").field("reason", reason).finish(),
            Self::Faulted(reason) => f.debug_tuple("Faulted").field(reason).finish(),
        }
    }
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

/// All known addresses of one peer, without device.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Aliases {
    /// By phone number.
    pub pn: Option<Jid>,
    /// By LID.
    pub lid: Option<Jid>,
}

/// A message that could not be read.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct UndecryptableEvent {
    /// The message's id.
    pub id: MessageId,
    /// The chat it belongs to.
    pub chat: Jid,
    /// The device that sent it.
    pub sender: Jid,
    /// When the server took it, in seconds since 1970.
    pub timestamp: u64,
    /// Why.
    pub reason: UndecryptableReason,
}

/// Why a message could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ReceiptEvent {
    /// The chat.
    pub chat: Jid,
    /// Who received, read or played: a device.
    pub sender: Jid,
    /// Known addresses of that user.
    pub sender_aliases: Aliases,
    /// The messages.
    pub ids: Vec<MessageId>,
    /// What happened to them.
    pub kind: ReceiptKind,
    /// When, in seconds since 1970.
    pub timestamp: u64,
}

/// What a receipt says.
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// How a send ended.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SendReport {
    /// The verb's id while the client that accepted the send lives; `None` after a restart.
    pub op: Option<OpId>,
    /// The message's id.
    pub id: MessageId,
    /// The chat.
    pub chat: Jid,
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
}

/// Somebody's presence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Presence {
    /// Online.
    Available,
    /// Offline.
    Unavailable {
        /// Last seen, in seconds since 1970, unless hidden.
        last_seen: Option<u64>,
    },
}

/// What somebody does in a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChatState {
    /// Typing.
    Composing,
    /// Recording a voice message.
    Recording,
    /// Neither.
    Paused,
}

/// Why a connection ended and what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Disconnect {
    /// What the server or the network said, as a short fixed word: `restart-required`, `logged-out`, `replaced`,
    /// `banned`, `outdated`, `refused`, `server-busy`, `lost`, `unreachable`, `silent`, `asked`, `handshake`.
    pub reason: &'static str,
    /// The server's code, where there is one.
    pub code: Option<u32>,
    /// What the client does, or what the application should do.
    pub recommendation: Recommendation,
}

/// What follows a disconnect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Recommendation {
    /// The client connects again by itself, at this reading of the monotonic clock (milliseconds).
    WaitUntil(u64),
    /// The client stays down until `connect` is called.
    Stop,
    /// The keys are void and are being wiped; call `connect` to link again as a new device.
    LinkAgain,
    /// The announced version is refused: swap the profile.
    UpdateProfile,
}

/// Where linking failed and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkFailure {
    /// How far it had come.
    pub step: LinkStep,
    /// Why, as a short fixed phrase.
    pub reason: &'static str,
}

/// The steps of linking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkStep {
    /// Before the server offered codes.
    Registration,
    /// While a code was shown.
    Scan,
    /// While the phone's answer was checked.
    Verification,
}

/// Why a client cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultReason {
    /// Another process has taken the account over.
    Fenced,
    /// The store cannot write.
    StoreFailed,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Server;

    #[test]
    fn neither_a_linking_code_nor_names_nor_contents_are_shown() {
        let shown = Event::QrShown { text: "2@ref,secret".into(), valid_ms: 60_000 };
        let received = Event::MessageReceived(Box::new(MessageEvent {
            id: MessageId::new("3EB0"),
            chat: Jid::new("15551234567", Server::Whatsapp),
            chat_aliases: Aliases::default(),
            sender: Jid::new("15551234567", Server::Whatsapp),
            sender_aliases: Aliases::default(),
            from_me: false,
            timestamp: 1,
            push_name: Some("Ann".into()),
            offline: false,
            content: Bytes::from_static(b"plaintext"),
        }));
        let text = format!("{shown:?} {received:?}");
        for hidden in ["secret", "15551234567", "Ann", "plaintext"] {
            assert!(!text.contains(hidden), "{text}");
        }
    }
}
