//! Acknowledgements: the one answer that every message, receipt, notification and call gets.

use super::{Stanza, StanzaError, read, word as w};
use crate::binary::{NodeRef, Writer};
use crate::types::Jid;
use smol_str::SmolStr;

/// What an answer to a stanza repeats of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnAddress {
    /// The stanza's tag.
    pub class: SmolStr,
    /// Its id.
    pub id: SmolStr,
    /// Where it came from, exactly.
    pub from: Jid,
    /// The sending device, in groups.
    pub participant: Option<Jid>,
    /// The other party, for one's own messages.
    pub recipient: Option<Jid>,
    /// The type that an acknowledgement repeats, if it does.
    pub kind: Option<SmolStr>,
}

impl ReturnAddress {
    /// Reads it from any stanza, even one that cannot be understood otherwise. Fails if the stanza cannot be answered.
    pub fn parse(node: NodeRef<'_>) -> Result<Self, StanzaError> {
        Ok(Self {
            class: node.tag().into(),
            id: read::need_id(node, w::ID)?,
            from: read::need_jid(node, w::FROM)?,
            participant: read::jid(node, w::PARTICIPANT)?,
            recipient: read::jid(node, w::RECIPIENT)?,
            kind: acknowledged_kind(node),
        })
    }

    /// Like [`parse`](Self::parse), of a stanza that could not be read: of its further addresses those that cannot be
    /// read are left out, since what is never answered comes again at every login.
    pub fn parse_loosely(node: NodeRef<'_>) -> Result<Self, StanzaError> {
        Ok(Self {
            class: node.tag().into(),
            id: read::need_id(node, w::ID)?,
            from: read::need_jid(node, w::FROM)?,
            participant: read::jid(node, w::PARTICIPANT).unwrap_or_default(),
            recipient: read::jid(node, w::RECIPIENT).unwrap_or_default(),
            kind: acknowledged_kind(node),
        })
    }
}

/// Peers repeat the type of everything but messages; of calls it is the tag of what is inside. The web client leaves it
/// out for changed identities.
fn acknowledged_kind(node: NodeRef<'_>) -> Option<SmolStr> {
    if node.is(w::MESSAGE) || node.is(w::STATUS) {
        return None;
    }
    if node.is(w::CALL) {
        return node.children().next().map(|call| call.tag().into());
    }
    if node.is(w::NOTIFICATION) && node.has(w::TYPE, w::ENCRYPT) && node.child(w::IDENTITY).is_some() {
        return None;
    }
    read::text(node, w::TYPE)
}

/// Tells the server that a stanza need not be sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The stanza.
    pub of: ReturnAddress,
    /// Why it was refused, if it was. The server does not send it again in this case, either.
    pub error: Option<NackReason>,
    /// The own device, which peers name in acknowledgements of messages.
    pub from: Option<Jid>,
}

/// Why a stanza was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NackReason {
    /// It does not parse.
    Parsing,
    /// Its tag is unknown.
    UnrecognizedStanza,
    /// Its class is unknown.
    UnrecognizedClass,
    /// Its type is unknown.
    UnrecognizedType,
    /// What was decrypted is not a message.
    InvalidProtobuf,
    /// It is not allowed from a hosted companion.
    InvalidHostedStanza,
    /// The secret it depends on is not there.
    MissingMessageSecret,
    /// Its counter is too old.
    OldCounter,
    /// It is about a message that was deleted.
    DeletedOnPeer,
    /// Something else went wrong.
    Unhandled,
    /// An administrator's revocation that is not supported.
    UnsupportedAdminRevoke,
    /// A group by LID, which is not supported.
    UnsupportedLidGroup,
    /// It could not be stored.
    StoreFailed,
}

impl NackReason {
    /// The code on the wire.
    #[must_use]
    pub const fn code(self) -> u32 {
        match self {
            Self::Parsing => 487,
            Self::UnrecognizedStanza => 488,
            Self::UnrecognizedClass => 489,
            Self::UnrecognizedType => 490,
            Self::InvalidProtobuf => 491,
            Self::InvalidHostedStanza => 493,
            Self::MissingMessageSecret => 495,
            Self::OldCounter => 496,
            Self::DeletedOnPeer => 499,
            Self::Unhandled => 500,
            Self::UnsupportedAdminRevoke => 550,
            Self::UnsupportedLidGroup => 551,
            Self::StoreFailed => 552,
        }
    }
}

impl Ack {
    /// Acknowledges a stanza.
    #[must_use]
    pub const fn of(of: ReturnAddress) -> Self {
        Self { of, error: None, from: None }
    }

    /// Refuses a stanza.
    #[must_use]
    pub const fn refusing(of: ReturnAddress, reason: NackReason) -> Self {
        Self { of, error: Some(reason), from: None }
    }
}

impl Stanza for Ack {
    fn write(&self, out: &mut Writer) {
        out.open(w::ACK);
        out.text(w::CLASS, &self.of.class);
        out.text(w::ID, &self.of.id);
        out.jid(w::TO, &self.of.from);
        out.jid_if(w::PARTICIPANT, self.of.participant.as_ref());
        out.jid_if(w::RECIPIENT, self.of.recipient.as_ref());
        out.text_if(w::TYPE, self.of.kind.as_deref());
        out.number_if(w::ERROR, self.error.map(|reason| reason.code().into()));
        out.jid_if(w::FROM, self.from.as_ref());
        out.close();
    }
}

/// The server's acknowledgement of something that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncomingAck {
    /// What was sent: `message`, `receipt`, …
    pub class: SmolStr,
    /// Its id.
    pub id: SmolStr,
    /// Where it was sent to.
    pub from: Option<Jid>,
    /// To which device in a group.
    pub participant: Option<Jid>,
    /// Its type.
    pub kind: Option<SmolStr>,
    /// When the server took it, in seconds since 1970. For a message this is the message's time.
    pub timestamp: Option<u64>,
    /// Why it was refused, if it was.
    pub error: Option<u32>,
    /// The participant hash as the server sees it, where it differs from the one sent.
    pub phash: Option<SmolStr>,
    /// The number of a message in a channel.
    pub server_id: Option<u64>,
    /// Whether the recipient's LID has changed: it has to be asked for.
    pub refresh_lid: bool,
    /// The group's addressing, in a refusal because it has changed.
    pub addressing_mode: Option<SmolStr>,
}

impl IncomingAck {
    pub(super) fn parse(node: NodeRef<'_>) -> Result<Self, StanzaError> {
        // An error that is no number is an error all the same.
        let error = node.attr(w::ERROR).map(|_| read::short_number(node, w::ERROR).unwrap_or(0));
        Ok(Self {
            class: read::text(node, w::CLASS).unwrap_or_default(),
            id: read::need_id(node, w::ID)?,
            from: node.jid(w::FROM),
            participant: node.jid(w::PARTICIPANT),
            kind: read::text(node, w::TYPE),
            timestamp: node.number(w::T),
            error,
            phash: read::text(node, w::PHASH),
            server_id: node.number(w::SERVER_ID),
            refresh_lid: node.has(w::REFRESH_LID, w::TRUE),
            addressing_mode: read::text(node, w::ADDRESSING_MODE),
        })
    }
}
