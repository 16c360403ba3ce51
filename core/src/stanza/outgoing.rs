//! Messages as they are sent: to users and groups, to the own phone, and again to a device that asked.
//!
//! Who gets which ciphertext is decided elsewhere; here it is written down.

use super::{Addressing, Ciphertext, Edit, Stanza, enc::EncAttributes, word as w};
use crate::binary::Writer;
use crate::types::{Jid, MessageId};
use bytes::Bytes;
use smol_str::SmolStr;

/// A message to a user, a group or the status list.
#[derive(Clone, PartialEq, Eq)]
pub struct OutgoingMessage {
    /// The message's id.
    pub id: MessageId,
    /// The chat, without device.
    pub to: Jid,
    /// The kind of content, in the protocol's word: `text`, `media`, `reaction`, …
    pub kind: SmolStr,
    /// How it changes an earlier message.
    pub edit: Option<Edit>,
    /// The recipient by phone number, where `to` is a LID.
    pub peer_recipient_pn: Option<Jid>,
    /// Which kind of address the group uses.
    pub addressing: Option<Addressing>,
    /// Hash of the devices that the sender takes the group to have.
    pub phash: Option<SmolStr>,
    /// Whether it goes to further devices only, after others have got it under the same id.
    pub is_addition: bool,
    /// One ciphertext for each device.
    pub participants: Vec<(Jid, Ciphertext)>,
    /// One ciphertext for all devices of a group.
    pub shared: Option<Ciphertext>,
    /// The kind of media inside.
    pub media_type: Option<SmolStr>,
    /// Whether receivers show nothing if they cannot decrypt it.
    pub hide_failure: bool,
    /// The own signed device identity (serialised). Only written if a ciphertext needs it.
    pub device_identity: Option<Bytes>,
    /// What the content is about.
    pub meta: Meta,
    /// What lets the receiver report it.
    pub reporting_token: Option<Bytes>,
    /// What proves that the receiver trusts this account.
    pub token: Option<ContactToken>,
}

/// What the content of a message is about, as far as the server has to know. Absent where nothing is set.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Meta {
    /// `creation` or `vote`.
    pub poll_type: Option<SmolStr>,
    /// `creation`, `response` or `edit`.
    pub event_type: Option<SmolStr>,
    /// Whether the media may be viewed only once.
    pub is_view_once: bool,
    /// Who may see a status post.
    pub status_setting: Option<SmolStr>,
}

/// Proof of a contact's trust.
#[derive(Clone, PartialEq, Eq)]
pub enum ContactToken {
    /// The token that the contact issued.
    Trusted(Bytes),
    /// A token derived from the account's salt, where the contact issued none.
    Derived(Bytes),
}

impl OutgoingMessage {
    /// A message without recipients.
    #[must_use]
    pub fn new(id: MessageId, to: Jid, kind: impl Into<SmolStr>) -> Self {
        Self {
            id,
            to,
            kind: kind.into(),
            edit: None,
            peer_recipient_pn: None,
            addressing: None,
            phash: None,
            is_addition: false,
            participants: Vec::new(),
            shared: None,
            media_type: None,
            hide_failure: false,
            device_identity: None,
            meta: Meta::default(),
            reporting_token: None,
            token: None,
        }
    }
}

impl Stanza for OutgoingMessage {
    fn size_hint(&self) -> usize {
        let ciphertexts = self.participants.iter().map(|(_, enc)| enc).chain(&self.shared);
        ciphertexts.map(|enc| enc.bytes.len() + BYTES_PER_DEVICE).sum::<usize>() + BYTES_BESIDE
    }

    fn write(&self, out: &mut Writer) {
        out.open(w::MESSAGE);
        out.text(w::ID, self.id.as_str());
        out.jid(w::TO, &self.to);
        out.text(w::TYPE, &self.kind);
        out.text_if(w::EDIT, self.edit.as_ref().map(Edit::as_str));
        out.jid_if(w::PEER_RECIPIENT_PN, self.peer_recipient_pn.as_ref());
        if let Some(addressing) = self.addressing {
            out.word(w::ADDRESSING_MODE, addressing.word());
        }
        out.text_if(w::PHASH, self.phash.as_deref());
        if self.is_addition {
            out.word(w::DEVICE_FANOUT, w::FALSE);
        }
        let media_type = self.media_type.as_deref();
        let attributes = EncAttributes { media_type, hide_failure: self.hide_failure, count: None };
        if !self.participants.is_empty() {
            // In groups the media type stands beside the shared ciphertext only.
            let media_type = if self.shared.is_some() { None } else { media_type };
            write_participants(&self.participants, EncAttributes { media_type, ..attributes }, out);
        }
        write_identity(self.device_identity.as_ref(), self.participants.iter().map(|(_, enc)| enc), out);
        if let Some(shared) = &self.shared {
            shared.write(attributes, out);
        }
        self.meta.write(out);
        if let Some(token) = &self.reporting_token {
            out.open(w::REPORTING);
            out.open(w::REPORTING_TOKEN);
            out.word(w::V, w::TWO);
            out.content(token);
            out.close();
            out.close();
        }
        match &self.token {
            Some(ContactToken::Trusted(token)) => out.leaf(w::TCTOKEN, token),
            Some(ContactToken::Derived(token)) => out.leaf(w::CSTOKEN, token),
            None => {}
        }
        out.close();
    }
}

impl Meta {
    fn write(&self, out: &mut Writer) {
        if *self == Self::default() {
            return;
        }
        out.open(w::META);
        out.text_if(w::POLLTYPE, self.poll_type.as_deref());
        out.text_if(w::EVENT_TYPE, self.event_type.as_deref());
        if self.is_view_once {
            out.word(w::VIEW_ONCE, w::TRUE);
        }
        out.text_if(w::STATUS_SETTING, self.status_setting.as_deref());
        out.close();
    }
}

/// A message between devices of one account, about the account.
#[derive(Clone, PartialEq, Eq)]
pub struct PeerMessage {
    /// The message's id.
    pub id: MessageId,
    /// The own user (which means the phone), or an own device.
    pub to: Jid,
    /// The ciphertext.
    pub enc: Ciphertext,
    /// The own signed device identity (serialised). Only written if the ciphertext needs it.
    pub device_identity: Option<Bytes>,
    /// How hard the server tries to wake the phone.
    pub priority: PushPriority,
    /// Whether it asks for something sensitive: history on demand.
    pub is_privacy_sensitive: bool,
}

/// How hard the server tries to wake the phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushPriority {
    /// For most requests.
    High,
    /// For what somebody is waiting for.
    HighForce,
}

impl Stanza for PeerMessage {
    fn write(&self, out: &mut Writer) {
        out.open(w::MESSAGE);
        out.text(w::ID, self.id.as_str());
        out.jid(w::TO, &self.to);
        out.word(w::TYPE, w::TEXT);
        out.word(w::CATEGORY, w::PEER);
        out.word(w::PUSH_PRIORITY, if self.priority == PushPriority::High { w::HIGH } else { w::HIGH_FORCE });
        if self.is_privacy_sensitive {
            out.word(w::PRIVACY_SENSITIVE, w::ONE);
        }
        out.open(w::META);
        out.word(w::APPDATA, w::DEFAULT);
        out.close();
        self.enc.write(EncAttributes::default(), out);
        write_identity(self.device_identity.as_ref(), [&self.enc], out);
        out.close();
    }
}

/// A message sent again to one device that could not decrypt it, under its original id.
#[derive(Clone, PartialEq, Eq)]
pub struct ResentMessage {
    /// The message's id.
    pub id: MessageId,
    /// The asking device, or the group.
    pub to: Jid,
    /// The kind of content, as in the original.
    pub kind: SmolStr,
    /// The asking device, in a group.
    pub participant: Option<Jid>,
    /// The other party, where the asking device is an own one.
    pub recipient: Option<Jid>,
    /// How it changes an earlier message.
    pub edit: Option<Edit>,
    /// Which kind of address the group uses.
    pub addressing: Option<Addressing>,
    /// Whether it is between devices of one account.
    pub is_peer: bool,
    /// When the original was sent, in seconds since 1970.
    pub timestamp: Option<u64>,
    /// The ciphertext.
    pub enc: Ciphertext,
    /// How often the device has asked.
    pub count: u32,
    /// The kind of media inside.
    pub media_type: Option<SmolStr>,
    /// Whether the receiver shows nothing if it cannot decrypt it.
    pub hide_failure: bool,
    /// The own signed device identity (serialised). Only written if the ciphertext needs it.
    pub device_identity: Option<Bytes>,
}

impl Stanza for ResentMessage {
    // The ciphertext is a direct child: servers refuse a list of one.
    fn write(&self, out: &mut Writer) {
        out.open(w::MESSAGE);
        out.text(w::ID, self.id.as_str());
        out.jid(w::TO, &self.to);
        out.text(w::TYPE, &self.kind);
        if self.is_peer {
            out.word(w::CATEGORY, w::PEER);
        }
        out.jid_if(w::PARTICIPANT, self.participant.as_ref());
        out.jid_if(w::RECIPIENT, self.recipient.as_ref());
        out.text_if(w::EDIT, self.edit.as_ref().map(Edit::as_str));
        if let Some(addressing) = self.addressing {
            out.word(w::ADDRESSING_MODE, addressing.word());
        }
        out.number_if(w::T, self.timestamp);
        if self.participant.is_none() {
            out.word(w::DEVICE_FANOUT, w::FALSE);
        }
        let media_type = self.media_type.as_deref();
        let attributes = EncAttributes { media_type, hide_failure: self.hide_failure, count: Some(self.count) };
        self.enc.write(attributes, out);
        write_identity(self.device_identity.as_ref(), [&self.enc], out);
        out.close();
    }
}

fn write_participants(participants: &[(Jid, Ciphertext)], attributes: EncAttributes<'_>, out: &mut Writer) {
    out.open(w::PARTICIPANTS);
    out.expect_children(participants.len());
    for (device, enc) in participants {
        out.open(w::TO);
        out.jid(w::JID, device);
        enc.write(attributes, out);
        out.close();
    }
    out.close();
}

/// Receivers need the identity exactly where a session is new to them.
fn write_identity<'e>(identity: Option<&Bytes>, enc: impl IntoIterator<Item = &'e Ciphertext>, out: &mut Writer) {
    if let Some(identity) = identity
        && enc.into_iter().any(Ciphertext::is_pre_key)
    {
        out.leaf(w::DEVICE_IDENTITY, identity);
    }
}

/// What a device's part of a stanza takes beside its ciphertext, generously.
const BYTES_PER_DEVICE: usize = 40;

/// What the rest of a stanza takes, generously: mostly the device identity.
const BYTES_BESIDE: usize = 400;

super::opaque_debug!(OutgoingMessage, ContactToken, PeerMessage, ResentMessage);
