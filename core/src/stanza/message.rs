//! Received messages, as far as they are readable before decryption.
//!
//! Which chat and sender an address means, and the order of decryption, are decided elsewhere.

use super::{Ciphertext, EncKind, ReturnAddress, StanzaError, read, word as w};
use crate::binary::{NodeRef, Word};
use crate::types::{Jid, MessageId, Username};
use bytes::Bytes;
use smol_str::SmolStr;

/// A received message.
#[derive(Clone, PartialEq, Eq)]
pub struct IncomingMessage {
    /// What an acknowledgement or receipt repeats; also says where the message comes from.
    pub address: ReturnAddress,
    /// The message's id.
    pub id: MessageId,
    /// When the server took it, in seconds since 1970.
    pub timestamp: u64,
    /// The kind of content, in the protocol's word: `text`, `media`, `reaction`, …
    pub kind: Option<SmolStr>,
    /// The name that the sender gives itself.
    pub push_name: Option<SmolStr>,
    /// Whether it is from another device of this account, about the account.
    pub is_peer: bool,
    /// How it changes an earlier message, if it does.
    pub edit: Option<Edit>,
    /// Whether it waited at the server while this device was offline.
    pub is_offline: bool,
    /// Which kind of address the group uses.
    pub addressing: Option<Addressing>,
    /// Other addresses of those involved.
    pub alternates: Alternates,
    /// The number of a message in a channel.
    pub server_id: Option<u64>,
    /// The ciphertexts, in order.
    pub enc: Vec<IncomingEnc>,
    /// Content that is not encrypted, in channels.
    pub plaintext: Option<Bytes>,
    /// The sending companion's signed device identity (serialised).
    pub device_identity: Option<Bytes>,
    /// Why there is no content, if the server withholds it.
    pub unavailable: Option<Unavailable>,
    /// For an answer of a bot: the message it answers, and what it replaces.
    pub bot: Option<BotInfo>,
    /// Whom a message to a broadcast list went to, in copies for own devices.
    pub participants: Vec<Jid>,
}

/// A ciphertext of a received message.
#[derive(Clone, PartialEq, Eq)]
pub struct IncomingEnc {
    /// The ciphertext and its kind.
    pub ciphertext: Ciphertext,
    /// Version of the plaintext; 2 today. Decides about padding.
    pub version: u32,
    /// How often it was sent before.
    pub count: u32,
    /// Whether to show nothing if it cannot be decrypted.
    pub hide_failure: bool,
    /// The kind of media inside.
    pub media_type: Option<SmolStr>,
}

/// How a message changes an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Edit {
    /// The sender edits it.
    Message,
    /// Somebody pins it.
    Pin,
    /// An administrator of a channel edits it.
    Newsletter,
    /// The sender deletes it.
    SenderRevoke,
    /// An administrator deletes it.
    AdminRevoke,
    /// A change this version does not know.
    Other(SmolStr),
}

impl Edit {
    /// The value on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Message => "1",
            Self::Pin => "2",
            Self::Newsletter => "3",
            Self::SenderRevoke => "7",
            Self::AdminRevoke => "8",
            Self::Other(value) => value,
        }
    }

    /// Reads the value on the wire.
    #[must_use]
    pub fn of(value: &str) -> Self {
        match value {
            "1" => Self::Message,
            "2" => Self::Pin,
            "3" => Self::Newsletter,
            "7" => Self::SenderRevoke,
            "8" => Self::AdminRevoke,
            other => Self::Other(other.into()),
        }
    }
}

/// Which kind of address a group uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// Phone numbers.
    Pn,
    /// LIDs.
    Lid,
}

impl Addressing {
    pub(super) fn parse(node: NodeRef<'_>) -> Option<Self> {
        if node.has(w::ADDRESSING_MODE, w::LID) {
            Some(Self::Lid)
        } else if node.has(w::ADDRESSING_MODE, w::PN) {
            Some(Self::Pn)
        } else {
            None
        }
    }

    pub(super) const fn word(self) -> Word {
        match self {
            Self::Pn => w::PN,
            Self::Lid => w::LID,
        }
    }
}

/// Other addresses and names of those involved in a stanza. Each belongs to one of the addresses that the stanza names
/// anyway, and teaches that both are one user's.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Alternates {
    /// Of the participant, by phone number.
    pub participant_pn: Option<Jid>,
    /// Of the participant, by LID.
    pub participant_lid: Option<Jid>,
    /// Of the sender, by phone number.
    pub sender_pn: Option<Jid>,
    /// Of the sender, by LID.
    pub sender_lid: Option<Jid>,
    /// Of the recipient, by phone number.
    pub recipient_pn: Option<Jid>,
    /// Of the recipient, by LID.
    pub recipient_lid: Option<Jid>,
    /// Of the other party of an own message, by phone number.
    pub peer_recipient_pn: Option<Jid>,
    /// Of the other party of an own message, by LID.
    pub peer_recipient_lid: Option<Jid>,
    /// The recipient's newest LID, where the message still went to an older one.
    pub recipient_latest_lid: Option<Jid>,
    /// The sender's name, between users.
    pub username: Option<Username>,
    /// The participant's name.
    pub participant_username: Option<Username>,
    /// The name of the other party of an own message.
    pub recipient_username: Option<Username>,
}

impl Alternates {
    pub(super) fn parse(node: NodeRef<'_>) -> Self {
        Self {
            participant_pn: node.jid(w::PARTICIPANT_PN),
            participant_lid: node.jid(w::PARTICIPANT_LID),
            sender_pn: node.jid(w::SENDER_PN),
            sender_lid: node.jid(w::SENDER_LID),
            recipient_pn: node.jid(w::RECIPIENT_PN),
            recipient_lid: node.jid(w::RECIPIENT_LID),
            peer_recipient_pn: node.jid(w::PEER_RECIPIENT_PN),
            peer_recipient_lid: node.jid(w::PEER_RECIPIENT_LID),
            recipient_latest_lid: node.jid(w::RECIPIENT_LATEST_LID),
            username: read::username(node, w::USERNAME),
            participant_username: read::username(node, w::PARTICIPANT_USERNAME),
            recipient_username: read::username(node, w::PEER_RECIPIENT_USERNAME)
                .or_else(|| read::username(node, w::RECIPIENT_USERNAME)),
        }
    }
}

/// Why the server withholds a message from this device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable {
    /// Whether it may be viewed only once, on the phone.
    pub is_view_once: bool,
    /// Whether only hosted devices get it.
    pub is_hosted: bool,
}

/// What a bot's answer says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BotInfo {
    /// The message that asked, from `meta`.
    pub target_id: Option<MessageId>,
    /// Who asked, from `meta`.
    pub target_sender: Option<Jid>,
    /// The chat, from `meta`.
    pub target_chat: Option<Jid>,
    /// Which part of a streamed answer this is, from `bot`.
    pub edit: Option<SmolStr>,
    /// The part it replaces, from `bot`.
    pub edit_target: Option<MessageId>,
}

impl IncomingMessage {
    pub(super) fn parse(node: NodeRef<'_>) -> Result<Self, StanzaError> {
        let address = ReturnAddress::parse(node)?;
        Ok(Self {
            id: MessageId::new(address.id.clone()),
            address,
            timestamp: read::need_number(node, w::T)?,
            kind: read::text(node, w::TYPE),
            push_name: read::text(node, w::NOTIFY),
            is_peer: node.has(w::CATEGORY, w::PEER),
            edit: node.text(w::EDIT).map(|value| Edit::of(&value)),
            is_offline: node.attr(w::OFFLINE).is_some(),
            addressing: Addressing::parse(node),
            alternates: Alternates::parse(node),
            server_id: node.number(w::SERVER_ID),
            enc: node.children_named(w::ENC).map(IncomingEnc::parse).collect::<Result<_, _>>()?,
            plaintext: read::child_bytes(node, w::PLAINTEXT),
            device_identity: read::child_bytes(node, w::DEVICE_IDENTITY),
            unavailable: node.child(w::UNAVAILABLE).map(|unavailable| Unavailable {
                is_view_once: unavailable.has(w::TYPE, w::VIEW_ONCE),
                is_hosted: unavailable.has(w::HOSTED, w::TRUE),
            }),
            bot: node.child(w::BOT).map(|bot| BotInfo::parse(bot, node.child(w::META))),
            participants: node
                .child(w::PARTICIPANTS)
                .map(|list| list.children_named(w::TO).filter_map(|to| to.jid(w::JID)).collect())
                .unwrap_or_default(),
        })
    }
}

impl IncomingEnc {
    fn parse(node: NodeRef<'_>) -> Result<Self, StanzaError> {
        let kind = EncKind::parse(node).ok_or(StanzaError::missing_attribute(w::TYPE))?;
        let bytes = node.bytes().ok_or(StanzaError::bad_content(w::ENC))?;
        Ok(Self {
            ciphertext: Ciphertext { kind, bytes },
            version: read::short_number(node, w::V).unwrap_or(2),
            count: read::short_number(node, w::COUNT).unwrap_or(0),
            hide_failure: node.has(w::DECRYPT_FAIL, w::HIDE),
            media_type: read::text(node, w::MEDIATYPE),
        })
    }
}

impl BotInfo {
    fn parse(bot: NodeRef<'_>, meta: Option<NodeRef<'_>>) -> Self {
        let id = |node: Option<NodeRef<'_>>, key| node.and_then(|node| read::text(node, key)).map(MessageId::new);
        let jid = |key| meta.and_then(|meta| meta.jid(key));
        Self {
            target_id: id(meta, w::TARGET_ID),
            target_sender: jid(w::TARGET_SENDER_JID),
            target_chat: jid(w::TARGET_CHAT_JID),
            edit: read::text(bot, w::EDIT),
            edit_target: id(Some(bot), w::EDIT_TARGET_ID),
        }
    }
}

/// Names and contents stay out of logs.
impl std::fmt::Debug for IncomingMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kinds: Vec<_> = self.enc.iter().map(|enc| &enc.ciphertext.kind).collect();
        f.debug_struct("IncomingMessage")
            .field("address", &self.address)
            .field("timestamp", &self.timestamp)
            .field("enc", &kinds)
            .finish_non_exhaustive()
    }
}

super::opaque_debug!(IncomingEnc);
