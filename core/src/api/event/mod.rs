//! What the core tells the application: what happened, never a request.

mod connection;
mod linking;
mod message;
mod presence;
mod restriction;
mod retry;
mod security;
mod send;
mod stall;

pub use connection::{BanReason, Disconnect, DisconnectReason, FaultReason, Recommendation, ServerNotice};
pub use linking::{CodePurpose, LinkFailure, LinkFailureReason, LinkStep};
pub use message::{Aliases, MessageEvent, ReceiptEvent, ReceiptKind, UndecryptableEvent, UndecryptableReason};
pub use presence::{ChatState, ChatStateEvent, Presence, PresenceEvent};
pub use restriction::Restriction;
pub use retry::{UnanswerableReason, UnansweredRetry};
pub use security::{IdentityChange, SuspiciousKind, SuspiciousMessage};
pub(crate) use send::TOKEN_OR_RESTRICTION;
pub use send::{DeviceOutcome, ListCheck, OpResult, SendReport, SendResult, SkipReason};
pub use stall::Stage;

use super::{EventId, MessageId, OpId};
use crate::types::Jid;

/// An event with its id.
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct Envelope {
    /// Names the event. A durable event keeps its id over restarts.
    pub id: EventId,
    /// What happened.
    pub event: Event,
    /// Whether the event is in the inbox: it is emitted again after a restart until the host says
    /// [`Input::Handled`](crate::api::Input::Handled). Events that are not durable need no answer.
    pub durable: bool,
}

/// What happened.
#[derive(Clone, PartialEq, Hash)]
#[non_exhaustive]
pub enum Event {
    /// Show this text as a QR code. Emitted on a connection of an account that is not linked; each supersedes the one before.
    QrShown {
        /// Text to draw.
        text: String,
        /// How long it is good for, in milliseconds.
        valid_ms: u64,
    },
    /// Show this code to the user; each supersedes the one before of the same purpose. One to be typed on the phone was
    /// asked for and is known to the server; it is shown again, with the time that is left, after a restart or a lost
    /// connection, and another, drawn, follows when the server takes it for spent.
    CodeShown {
        /// Eight characters with a dash between: `ABCD-EFGH`.
        code: String,
        /// What the user does with it.
        purpose: CodePurpose,
        /// How long it is good for, in milliseconds.
        valid_ms: u64,
    },
    /// A passkey is wanted: hand `request` (the JSON of a WebAuthn request) to a browser or platform of the account's
    /// owner and the assertion back.
    AssertionNeeded {
        /// The options of the request, in JSON.
        request: String,
    },
    /// A code to be typed was typed on the phone and the server took this device's answer to it; or a compared one was
    /// confirmed, and the server took the keys. That the right one was typed is proved only by `Linked`: after a wrong one
    /// this comes again with the next try.
    CodeConfirmed,
    /// The phone has accepted this device and the identity is durable. The client logs in next by itself.
    Linked {
        /// Own address by phone number, with the device number.
        jid: Jid,
        /// Own address by LID, with the device number.
        lid: Option<Jid>,
        /// Platform of the phone, as it calls itself.
        platform: String,
    },
    /// One way of linking ended without success. If a `Disconnected` that recommends to stop follows, call `connect` to try
    /// again; else other ways go on, and this one can be begun anew.
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
    /// A stage waits for longer than its limit ([`Limits::stalls`](crate::api::Limits)). Once per stall; nothing else is
    /// done about it, except that a server that stays silent is given up in the end.
    Stalled {
        /// Which.
        stage: Stage,
        /// Since when, on the monotonic clock in milliseconds.
        since_ms: u64,
    },
    /// A stall is over: what waited has gone on, or its connection is gone.
    Resumed {
        /// Which stage.
        stage: Stage,
    },
    /// The server will refuse the announced version from some time on; another profile averts it.
    ClientExpiring {
        /// When, in seconds since 1970, if it says so.
        at: Option<u64>,
    },
    /// A message. Durable.
    MessageReceived(Box<MessageEvent>),
    /// A message that could not be read. Durable; the message itself may still follow under the same message id.
    MessageUndecryptable(Box<UndecryptableEvent>),
    /// Somebody received, read or played messages. Durable.
    ReceiptReceived(Box<ReceiptEvent>),
    /// A user has registered anew. What is sent from now on goes to the new devices. Durable; once for each change.
    IdentityChanged(Box<IdentityChange>),
    /// Somebody sent what only this account's own phone may send. It changed nothing. Durable.
    SuspiciousMessage(Box<SuspiciousMessage>),
    /// A device asked for a message again and does not get it. Durable; once for each message and device that has asked
    /// too often, else once for each request.
    RetryUnanswerable(Box<UnansweredRetry>),
    /// A send is durable: from now on it survives restarts. At most one per accepted send, before its end.
    SendQueued {
        /// The verb's id.
        op: OpId,
        /// The message's id.
        id: MessageId,
    },
    /// A send has reached the server and all devices that the server knows, or can never do so. Durable; exactly one per
    /// accepted send.
    SendFinished(Box<SendReport>),
    /// An operation that is not a send has ended. Exactly one per accepted verb that returned an [`OpId`].
    OperationFinished {
        /// The verb's id.
        op: OpId,
        /// How it ended.
        result: OpResult,
    },
    /// Somebody came online, or went.
    PresenceChanged(Box<PresenceEvent>),
    /// Somebody started or stopped typing or recording.
    ChatStateChanged(Box<ChatStateEvent>),
    /// The server restricts the account, or no longer does, as it told by itself or was asked after a refusal.
    /// [`Client::restriction`](crate::client::Client::restriction) tells at any time.
    RestrictionChanged {
        /// What is in force now.
        restriction: Option<Restriction>,
    },
    /// A stored record did not decode. It was set aside, reads as absent, and is repaired by the protocol's own means.
    RecordQuarantined {
        /// The kind of record.
        space: crate::api::Space,
    },
    /// A stanza could not be understood; it was answered with an error and dropped, so that it does not block the queue.
    StanzaRefused {
        /// What is wrong with it, without its content.
        reason: &'static str,
    },
    /// The client cannot go on: restore a new one from the store. The last event.
    Faulted(FaultReason),
}

impl Event {
    /// A fixed word for each kind of event; never renamed.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::QrShown { .. } => "qr-shown",
            Self::CodeShown { .. } => "code-shown",
            Self::AssertionNeeded { .. } => "assertion-needed",
            Self::CodeConfirmed => "code-confirmed",
            Self::Linked { .. } => "linked",
            Self::LinkFailed(_) => "link-failed",
            Self::Connected => "connected",
            Self::OfflineDrained { .. } => "offline-drained",
            Self::Disconnected(_) => "disconnected",
            Self::Stalled { .. } => "stalled",
            Self::Resumed { .. } => "resumed",
            Self::ClientExpiring { .. } => "client-expiring",
            Self::MessageReceived(_) => "message-received",
            Self::MessageUndecryptable(_) => "message-undecryptable",
            Self::ReceiptReceived(_) => "receipt-received",
            Self::IdentityChanged(_) => "identity-changed",
            Self::SuspiciousMessage(_) => "suspicious-message",
            Self::RetryUnanswerable(_) => "retry-unanswerable",
            Self::SendQueued { .. } => "send-queued",
            Self::SendFinished(_) => "send-finished",
            Self::OperationFinished { .. } => "operation-finished",
            Self::PresenceChanged(_) => "presence-changed",
            Self::ChatStateChanged(_) => "chat-state-changed",
            Self::RestrictionChanged { .. } => "restriction-changed",
            Self::RecordQuarantined { .. } => "record-quarantined",
            Self::StanzaRefused { .. } => "stanza-refused",
            Self::Faulted(_) => "faulted",
        }
    }
}

/// A linking code holds a secret, so it is not shown; addresses show themselves redacted.
impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::QrShown { valid_ms, .. } => {
                f.debug_struct("QrShown").field("valid_ms", valid_ms).finish_non_exhaustive()
            }
            Self::CodeShown { purpose, valid_ms, .. } => {
                let mut shown = f.debug_struct("CodeShown");
                shown.field("purpose", purpose).field("valid_ms", valid_ms).finish_non_exhaustive()
            }
            Self::AssertionNeeded { .. } => f.debug_struct("AssertionNeeded").finish_non_exhaustive(),
            Self::CodeConfirmed => f.write_str("CodeConfirmed"),
            Self::Linked { jid, lid, platform } => {
                f.debug_struct("Linked").field("jid", jid).field("lid", lid).field("platform", platform).finish()
            }
            Self::LinkFailed(failure) => f.debug_tuple("LinkFailed").field(failure).finish(),
            Self::Connected => f.write_str("Connected"),
            Self::OfflineDrained { count } => f.debug_struct("OfflineDrained").field("count", count).finish(),
            Self::Disconnected(disconnect) => f.debug_tuple("Disconnected").field(disconnect).finish(),
            Self::Stalled { stage, since_ms } => {
                f.debug_struct("Stalled").field("stage", stage).field("since_ms", since_ms).finish()
            }
            Self::Resumed { stage } => f.debug_struct("Resumed").field("stage", stage).finish(),
            Self::ClientExpiring { at } => f.debug_struct("ClientExpiring").field("at", at).finish(),
            Self::MessageReceived(message) => f.debug_tuple("MessageReceived").field(message).finish(),
            Self::MessageUndecryptable(lost) => f.debug_tuple("MessageUndecryptable").field(lost).finish(),
            Self::ReceiptReceived(receipt) => f.debug_tuple("ReceiptReceived").field(receipt).finish(),
            Self::IdentityChanged(change) => f.debug_tuple("IdentityChanged").field(change).finish(),
            Self::SuspiciousMessage(message) => f.debug_tuple("SuspiciousMessage").field(message).finish(),
            Self::RetryUnanswerable(retry) => f.debug_tuple("RetryUnanswerable").field(retry).finish(),
            Self::SendQueued { op, id } => f.debug_struct("SendQueued").field("op", op).field("id", id).finish(),
            Self::SendFinished(report) => f.debug_tuple("SendFinished").field(report).finish(),
            Self::OperationFinished { op, result } => {
                f.debug_struct("OperationFinished").field("op", op).field("result", result).finish()
            }
            Self::PresenceChanged(event) => f.debug_tuple("PresenceChanged").field(event).finish(),
            Self::ChatStateChanged(event) => f.debug_tuple("ChatStateChanged").field(event).finish(),
            Self::RestrictionChanged { restriction } => {
                f.debug_struct("RestrictionChanged").field("restriction", restriction).finish()
            }
            Self::RecordQuarantined { space } => f.debug_struct("RecordQuarantined").field("space", space).finish(),
            Self::StanzaRefused { reason } => f.debug_struct("StanzaRefused").field("reason", reason).finish(),
            Self::Faulted(reason) => f.debug_tuple("Faulted").field(reason).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Server;
    use bytes::Bytes;

    #[test]
    fn neither_a_linking_code_nor_names_nor_contents_are_shown() {
        let shown = Event::QrShown { text: "2@ref,secret".into(), valid_ms: 60_000 };
        let code = Event::CodeShown { code: "ABCD-EFGH".into(), purpose: CodePurpose::EnterOnPhone, valid_ms: 180_000 };
        let passkey = Event::AssertionNeeded { request: r#"{"challenge":"x"}"#.into() };
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
        let text = format!("{shown:?} {code:?} {passkey:?} {received:?}");
        for hidden in ["secret", "ABCD", "challenge", "15551234567", "Ann", "plaintext"] {
            assert!(!text.contains(hidden), "{text}");
        }
    }
}
