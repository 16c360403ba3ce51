//! Receipts: who received, read or played what; and requests to send it again.

use super::{
    Alternates, KEY_TYPE, PublicPreKey, PublicSignedPreKey, ReturnAddress, Stanza, StanzaError, read, word as w,
};
use crate::binary::{NodeRef, Writer};
use crate::types::{Jid, MessageId};
use bytes::Bytes;
use smol_str::SmolStr;

/// What a receipt says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReceiptType {
    /// A device has it. Written by leaving the type out.
    Delivered,
    /// A device has it, but nobody is using the device.
    Inactive,
    /// A device has a copy of what its own account sent.
    Sender,
    /// A device has what another device of its account told it.
    PeerMessage,
    /// A device has taken in a part of the history.
    HistorySync,
    /// A person has seen it.
    Read,
    /// The same, only told to the own devices.
    ReadSelf,
    /// A voice or video message was played.
    Played,
    /// The same, only told to the own devices.
    PlayedSelf,
    /// A device could not decrypt it.
    Retry,
    /// A device could not decrypt the key of a call.
    EncRekeyRetry,
    /// The media of it is no longer at the server.
    ServerError,
    /// A post in a channel was seen.
    View,
    /// A type this version does not know.
    Other(SmolStr),
}

impl ReceiptType {
    /// Whether it is between the devices of one account: from anybody else it says nothing.
    #[must_use]
    pub const fn is_for_own_devices(&self) -> bool {
        matches!(self, Self::Sender | Self::PeerMessage | Self::HistorySync | Self::ReadSelf | Self::PlayedSelf)
    }
}

pub(super) const TYPES: [(ReceiptType, &str); 12] = [
    (ReceiptType::Inactive, "inactive"),
    (ReceiptType::Sender, "sender"),
    (ReceiptType::PeerMessage, "peer_msg"),
    (ReceiptType::HistorySync, "hist_sync"),
    (ReceiptType::Read, "read"),
    (ReceiptType::ReadSelf, "read-self"),
    (ReceiptType::Played, "played"),
    (ReceiptType::PlayedSelf, "played-self"),
    (ReceiptType::Retry, "retry"),
    (ReceiptType::EncRekeyRetry, "enc_rekey_retry"),
    (ReceiptType::ServerError, "server-error"),
    (ReceiptType::View, "view"),
];

impl ReceiptType {
    /// The word on the wire; none for a plain delivery.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Delivered => None,
            Self::Other(word) => Some(word),
            known => TYPES.iter().find(|(kind, _)| kind == known).map(|(_, word)| *word),
        }
    }

    fn parse(node: NodeRef<'_>) -> Self {
        let Some(word) = node.text(w::TYPE) else { return Self::Delivered };
        let known = TYPES.iter().find(|(_, known)| *known == word);
        known.map_or_else(|| Self::Other(word.into()), |(kind, _)| kind.clone())
    }
}

/// A received receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncomingReceipt {
    /// What the acknowledgement repeats; also says who it is from.
    pub address: ReturnAddress,
    /// What it says.
    pub kind: ReceiptType,
    /// The messages, at least one.
    pub ids: Vec<MessageId>,
    /// When, in seconds since 1970.
    pub timestamp: Option<u64>,
    /// Whether it waited at the server while this device was offline.
    pub is_offline: bool,
    /// Other addresses of those involved.
    pub alternates: Alternates,
    /// In the aggregated form: who, each with what they did. Empty otherwise.
    pub readers: Vec<Reader>,
    /// In a request to send again: what is needed for it.
    pub retry: Option<RetryRequest>,
    /// Whether the receiver's client cannot handle the message at all.
    pub is_incapable: bool,
}

/// One of many who received or read a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    /// Who.
    pub jid: Jid,
    /// The same by phone number.
    pub pn: Option<Jid>,
    /// What they did.
    pub kind: ReceiptType,
    /// When, in seconds since 1970.
    pub timestamp: Option<u64>,
}

/// Asks for a message to be sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryRequest {
    /// The message.
    pub id: MessageId,
    /// How often it was asked for, this time included.
    pub count: u32,
    /// When the message was sent, in seconds since 1970.
    pub timestamp: Option<u64>,
    /// Why it could not be decrypted, as far as the device says.
    pub error: Option<u32>,
    /// The device's registration id.
    pub registration: Option<u32>,
    /// Keys to start a new session with.
    pub keys: Option<RetryKeys>,
}

/// Keys that a device offers so that a message can be sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryKeys {
    /// The identity key.
    pub identity: [u8; 32],
    /// A one-time prekey that the server does not have.
    pub one_time: Option<PublicPreKey>,
    /// The signed prekey.
    pub signed: PublicSignedPreKey,
    /// The signed device identity (serialised), for companions.
    pub device_identity: Option<Bytes>,
}

impl IncomingReceipt {
    pub(super) fn parse(node: NodeRef<'_>) -> Result<Self, StanzaError> {
        let address = ReturnAddress::parse(node)?;
        let kind = ReceiptType::parse(node);
        let (message, readers) = match node.child(w::PARTICIPANTS) {
            Some(list) => {
                let message = read::text(list, w::KEY).or_else(|| read::text(list, w::MESSAGE_ID));
                let readers = list.children_named(w::USER).map(|user| Reader::parse(user, &kind));
                (message, readers.collect::<Result<_, _>>()?)
            }
            None => (None, Vec::new()),
        };
        let mut ids = vec![MessageId::new(message.unwrap_or_else(|| address.id.clone()))];
        let items = node.child(w::LIST).into_iter().flat_map(|list| list.children_named(w::ITEM));
        for item in items {
            ids.push(MessageId::new(read::need_id(item, w::ID)?));
        }
        let retry = match node.child(w::RETRY) {
            Some(retry) => Some(RetryRequest::parse(node, retry)?),
            None if kind == ReceiptType::Retry => return Err(StanzaError::missing_child(w::RETRY)),
            None => None,
        };
        Ok(Self {
            address,
            kind,
            ids,
            timestamp: node.number(w::T),
            is_offline: node.attr(w::OFFLINE).is_some(),
            alternates: Alternates::parse(node),
            readers,
            retry,
            is_incapable: node.child(w::ERROR).is_some_and(|error| error.has(w::TYPE, w::FEATURE_INCAPABLE)),
        })
    }
}

impl Reader {
    fn parse(user: NodeRef<'_>, outer: &ReceiptType) -> Result<Self, StanzaError> {
        let kind = if user.attr(w::TYPE).is_some() { ReceiptType::parse(user) } else { outer.clone() };
        Ok(Self {
            jid: read::need_jid(user, w::JID)?,
            pn: user.jid(w::PARTICIPANT_PN),
            kind,
            timestamp: user.number(w::T),
        })
    }
}

impl RetryRequest {
    fn parse(receipt: NodeRef<'_>, retry: NodeRef<'_>) -> Result<Self, StanzaError> {
        let registration = receipt
            .child(w::REGISTRATION)
            .map(|node| node.big_endian().ok_or(StanzaError::bad_content(w::REGISTRATION)));
        Ok(Self {
            id: MessageId::new(read::need_id(retry, w::ID)?),
            count: read::short_number(retry, w::COUNT).ok_or(StanzaError::bad_attribute(w::COUNT))?,
            timestamp: retry.number(w::T),
            error: read::short_number(retry, w::ERROR),
            registration: registration.transpose()?,
            keys: receipt.child(w::KEYS).map(RetryKeys::parse).transpose()?,
        })
    }
}

impl RetryKeys {
    fn parse(node: NodeRef<'_>) -> Result<Self, StanzaError> {
        Ok(Self {
            identity: read::need_child_array(node, w::IDENTITY)?,
            one_time: node.child(w::KEY).map(PublicPreKey::parse).transpose()?,
            signed: PublicSignedPreKey::parse(read::need_child(node, w::SKEY)?)?,
            device_identity: read::child_bytes(node, w::DEVICE_IDENTITY),
        })
    }

    fn write(&self, out: &mut Writer) {
        out.open(w::KEYS);
        out.leaf(w::TYPE, &[KEY_TYPE]);
        out.leaf(w::IDENTITY, &self.identity);
        if let Some(key) = &self.one_time {
            key.write(out);
        }
        self.signed.write(out);
        if let Some(identity) = &self.device_identity {
            out.leaf(w::DEVICE_IDENTITY, identity);
        }
        out.close();
    }
}

/// A receipt to send, for one message or several of one sender in one chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// What it says.
    pub kind: ReceiptType,
    /// Whom to tell: where the message came from, or for reads the chat.
    pub to: Jid,
    /// The sending device, in groups.
    pub participant: Option<Jid>,
    /// The other party, for one's own messages.
    pub recipient: Option<Jid>,
    /// The message.
    pub id: MessageId,
    /// Further messages; at most [`Receipt::MOST_FURTHER`], more need another receipt.
    pub further: Vec<MessageId>,
    /// When, in seconds since 1970; reads carry it.
    pub timestamp: Option<u64>,
    /// Whether it is about a status post.
    pub is_status: bool,
}

impl Receipt {
    /// How many messages one receipt names besides the first, as the web client has it. Not enforced.
    pub const MOST_FURTHER: usize = 255;

    /// A receipt for one message.
    #[must_use]
    pub const fn new(kind: ReceiptType, to: Jid, id: MessageId) -> Self {
        Self {
            kind,
            to,
            participant: None,
            recipient: None,
            id,
            further: Vec::new(),
            timestamp: None,
            is_status: false,
        }
    }

    /// A receipt to where a stanza came from, naming its participant.
    #[must_use]
    pub fn answering(kind: ReceiptType, address: &ReturnAddress) -> Self {
        let mut receipt = Self::new(kind, address.from.clone(), MessageId::new(address.id.clone()));
        receipt.participant.clone_from(&address.participant);
        receipt
    }
}

impl Stanza for Receipt {
    fn write(&self, out: &mut Writer) {
        out.open(w::RECEIPT);
        out.text(w::ID, self.id.as_str());
        out.jid(w::TO, &self.to);
        out.text_if(w::TYPE, self.kind.as_str());
        out.jid_if(w::PARTICIPANT, self.participant.as_ref());
        out.jid_if(w::RECIPIENT, self.recipient.as_ref());
        out.number_if(w::T, self.timestamp);
        if self.is_status {
            out.word(w::CONTEXT, w::STATUS);
        }
        if !self.further.is_empty() {
            out.open(w::LIST);
            out.expect_children(self.further.len());
            for id in &self.further {
                out.open(w::ITEM);
                out.text(w::ID, id.as_str());
                out.close();
            }
            out.close();
        }
        out.close();
    }
}

/// Asks for a message to be sent again. A prekey in it must be durable before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryReceipt {
    /// Where the message came from.
    pub to: Jid,
    /// The sending device, in groups.
    pub participant: Option<Jid>,
    /// The other party, for one's own messages.
    pub recipient: Option<Jid>,
    /// Whether the message was between devices of one account.
    pub is_peer: bool,
    /// The message.
    pub id: MessageId,
    /// When the message was sent, in seconds since 1970.
    pub message_timestamp: u64,
    /// How often it was asked for, this time included.
    pub count: u32,
    /// Why it could not be decrypted.
    pub error: Option<u32>,
    /// The own registration id.
    pub registration: u32,
    /// Keys to start a new session with; from the second time on.
    pub keys: Option<RetryKeys>,
}

impl Stanza for RetryReceipt {
    fn write(&self, out: &mut Writer) {
        out.open(w::RECEIPT);
        out.text(w::ID, self.id.as_str());
        out.jid(w::TO, &self.to);
        out.word(w::TYPE, w::RETRY);
        out.jid_if(w::PARTICIPANT, self.participant.as_ref());
        out.jid_if(w::RECIPIENT, self.recipient.as_ref());
        if self.is_peer {
            out.word(w::CATEGORY, w::PEER);
        }
        out.open(w::RETRY);
        out.number(w::COUNT, self.count.into());
        out.text(w::ID, self.id.as_str());
        out.number(w::T, self.message_timestamp);
        out.word(w::V, w::ONE);
        out.number_if(w::ERROR, self.error.map(u64::from));
        out.close();
        out.leaf(w::REGISTRATION, &self.registration.to_be_bytes());
        if let Some(keys) = &self.keys {
            keys.write(out);
        }
        out.close();
    }
}
