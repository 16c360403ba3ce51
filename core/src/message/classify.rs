//! What a stanza has to say of the content it carries: its type, the kind of medium, whether it edits, whether a failed
//! decryption should stay invisible. The server drops stanzas that contradict their kind. Knows no stanzas.

use super::field;
use super::scan::{ScanError, Scanned};
use whatsio_proto::fields::{Field, FieldValue, Fields};

/// The `type` of a message stanza.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StanzaType {
    /// `text`: text, protocol messages, and what has no kind of its own.
    Text,
    /// `media`: always together with a media type.
    Media,
    /// `poll`: polls and votes.
    Poll,
    /// `reaction`: plain or encrypted.
    Reaction,
    /// `event`: events and answers.
    Event,
}

/// The `edit` of a message stanza.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Edit {
    /// `1`: changes a message.
    Message,
    /// `2`: pins or unpins one.
    Pin,
    /// `3`: changes a newsletter post.
    Newsletter,
    /// `7`: the sender takes something back.
    SenderRevoke,
    /// `8`: an admin removes another's message.
    AdminRevoke,
}

/// What a poll's `meta` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PollPart {
    /// `creation`.
    Creation,
    /// `vote`.
    Vote,
}

/// What an event's `meta` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventPart {
    /// `creation`.
    Creation,
    /// `response`.
    Response,
    /// `edit`.
    Edit,
}

/// Everything a stanza says of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Classification {
    /// The stanza's `type`.
    pub stanza_type: StanzaType,
    /// The `mediatype` of its `enc`; there whenever `stanza_type` is `Media`.
    pub media_type: Option<&'static str>,
    /// The stanza's `edit`.
    pub edit: Option<Edit>,
    /// Whether each `enc` says `decrypt-fail="hide"`.
    pub hide_failure: bool,
    /// The `polltype` of its `meta`.
    pub poll: Option<PollPart>,
    /// The `event_type` of its `meta`.
    pub event: Option<EventPart>,
    /// Whether its `meta` says `view_once="true"`.
    pub view_once: bool,
}

impl Classification {
    /// Classifies an encoded, unwrapped message. Costs one scan. Fails with `Malformed` or `TooDeep`.
    pub fn of(message: &[u8]) -> Result<Self, ScanError> {
        Self::of_scanned(&Scanned::of(message)?)
    }

    /// Classifies a message that was scanned already.
    pub fn of_scanned(scanned: &Scanned<'_>) -> Result<Self, ScanError> {
        let mut class = Self {
            stanza_type: StanzaType::Text,
            media_type: None,
            edit: None,
            hide_failure: false,
            poll: None,
            event: None,
            view_once: scanned.view_once,
        };
        let Some(content) = scanned.content else { return Ok(class) };
        class.media_type = media_type(&content)?;
        class.read_kind(&content)?;
        let is_edit = matches!(class.edit, Some(Edit::Message | Edit::Pin | Edit::Newsletter));
        class.hide_failure |= is_edit;
        Ok(class)
    }

    fn read_kind(&mut self, content: &Field<'_>) -> Result<(), ScanError> {
        match content.number {
            field::REACTION => {
                self.stanza_type = StanzaType::Reaction;
                self.hide_failure = true;
                // A reaction without text takes the former one back.
                let has_text = Inside::of(content)?.bytes(2)?.is_some_and(|text| !text.is_empty());
                self.edit = (!has_text).then_some(Edit::SenderRevoke);
            }
            field::ENC_REACTION => {
                self.stanza_type = StanzaType::Reaction;
                self.hide_failure = true;
            }
            field::EVENT => {
                self.stanza_type = StanzaType::Event;
                self.event = Some(EventPart::Creation);
            }
            field::ENC_EVENT_RESPONSE => {
                self.stanza_type = StanzaType::Event;
                self.event = Some(EventPart::Response);
                self.hide_failure = true;
            }
            field::POLL_CREATION
            | field::POLL_CREATION_V2
            | field::POLL_CREATION_V3
            | field::POLL_CREATION_V5
            | field::POLL_CREATION_V6 => {
                self.stanza_type = StanzaType::Poll;
                self.poll = Some(PollPart::Creation);
            }
            field::POLL_UPDATE => {
                self.stanza_type = StanzaType::Poll;
                self.poll = Some(PollPart::Vote);
                self.hide_failure = true;
            }
            field::POLL_ADD_OPTION => {
                self.stanza_type = StanzaType::Poll;
                self.hide_failure = true;
            }
            field::SECRET_ENCRYPTED => self.read_secret_encrypted(content)?,
            field::PROTOCOL => self.read_protocol(content)?,
            field::EDITED => self.edit = Some(Edit::Message),
            field::PIN => self.edit = Some(Edit::Pin),
            field::KEEP => {
                self.hide_failure = true;
                let keep = Inside::of(content)?;
                let is_own = keep.bytes(1)?.map(key_is_own).transpose()?.unwrap_or(false);
                self.edit = (keep.number(2)? == Some(KEEP_UNDO) && is_own).then_some(Edit::SenderRevoke);
            }
            field::HISTORY_NOTICE | field::CONDITIONAL_REVEAL => self.hide_failure = true,
            // `media` without a media type is dropped by the server, so what has none is text.
            _ if self.media_type.is_some() => self.stanza_type = StanzaType::Media,
            _ => {}
        }
        Ok(())
    }

    fn read_secret_encrypted(&mut self, content: &Field<'_>) -> Result<(), ScanError> {
        match Inside::of(content)?.number(4)? {
            Some(1) => {
                self.stanza_type = StanzaType::Event;
                self.event = Some(EventPart::Edit);
                self.edit = Some(Edit::Message);
            }
            Some(2) => self.edit = Some(Edit::Message),
            Some(4 | 5) => {
                self.stanza_type = StanzaType::Poll;
                self.hide_failure = true;
            }
            _ => {}
        }
        Ok(())
    }

    fn read_protocol(&mut self, content: &Field<'_>) -> Result<(), ScanError> {
        let protocol = Inside::of(content)?;
        let key = protocol.bytes(1)?;
        // An absent type reads as the first one, a revoke; only those name a message as well.
        match (protocol.number(2)?, key) {
            (Some(REVOKE) | None, Some(key)) => {
                self.edit = Some(if key_is_own(key)? { Edit::SenderRevoke } else { Edit::AdminRevoke });
            }
            (Some(MESSAGE_EDIT), _) => self.edit = Some(Edit::Message),
            (Some(EPHEMERAL_SYNC_RESPONSE | REQUEST_WELCOME | MEMBER_LABEL_CHANGE), _) => self.hide_failure = true,
            _ => {}
        }
        self.hide_failure |= protocol.bytes(14)?.is_some();
        Ok(())
    }
}

impl StanzaType {
    /// The wire's word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Media => "media",
            Self::Poll => "poll",
            Self::Reaction => "reaction",
            Self::Event => "event",
        }
    }
}

impl Edit {
    /// The wire's number for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Message => "1",
            Self::Pin => "2",
            Self::Newsletter => "3",
            Self::SenderRevoke => "7",
            Self::AdminRevoke => "8",
        }
    }
}

impl PollPart {
    /// The wire's word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Creation => "creation",
            Self::Vote => "vote",
        }
    }
}

impl EventPart {
    /// The wire's word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Creation => "creation",
            Self::Response => "response",
            Self::Edit => "edit",
        }
    }
}

fn media_type(content: &Field<'_>) -> Result<Option<&'static str>, ScanError> {
    let flagged = |number| Ok::<_, ScanError>(Inside::of(content)?.number(number)?.is_some_and(|flag| flag != 0));
    Ok(Some(match content.number {
        field::IMAGE => "image",
        field::VIDEO if flagged(8)? => "gif",
        field::VIDEO => "video",
        field::VIDEO_NOTE => "ptv",
        field::AUDIO if flagged(6)? => "ptt",
        field::AUDIO => "audio",
        field::DOCUMENT => "document",
        field::STICKER => "sticker",
        field::STICKER_PACK => "sticker_pack",
        field::LOCATION if flagged(6)? => "livelocation",
        field::LOCATION => "location",
        field::LIVE_LOCATION => "livelocation",
        field::CONTACT => "vcard",
        field::CONTACTS => "contact_array",
        field::EXTENDED_TEXT if has_preview(content)? => "url",
        field::GROUP_INVITE => "url",
        field::LIST => "list",
        field::LIST_RESPONSE => "list_response",
        field::BUTTONS_RESPONSE => "buttons_response",
        field::ORDER => "order",
        field::PRODUCT => "product",
        field::INTERACTIVE_RESPONSE => "native_flow_response",
        field::HISTORY_BUNDLE => "group_history",
        _ => return Ok(None),
    }))
}

/// A link preview names the link as it stands in the text.
fn has_preview(content: &Field<'_>) -> Result<bool, ScanError> {
    Ok(Inside::of(content)?.bytes(2)?.is_some_and(|link| !link.trim_ascii().is_empty()))
}

fn key_is_own(key: &[u8]) -> Result<bool, ScanError> {
    Ok(Inside(key).number(2)?.is_some_and(|flag| flag != 0))
}

/// Looks fields up inside a nested message.
#[derive(Clone, Copy)]
struct Inside<'a>(&'a [u8]);

impl<'a> Inside<'a> {
    fn of(content: &Field<'a>) -> Result<Self, ScanError> {
        Ok(Self(content.bytes()?))
    }

    fn bytes(self, number: u32) -> Result<Option<&'a [u8]>, ScanError> {
        super::scan::last_bytes(self.0, number)
    }

    fn number(self, number: u32) -> Result<Option<u64>, ScanError> {
        let mut last = None;
        for found in Fields::of(self.0) {
            let found = found?;
            if let (true, FieldValue::Varint(value)) = (found.number == number, found.value) {
                last = Some(value);
            }
        }
        Ok(last)
    }
}

const KEEP_UNDO: u64 = 2;
/// Types of protocol messages.
const REVOKE: u64 = 0;
const EPHEMERAL_SYNC_RESPONSE: u64 = 4;
const MESSAGE_EDIT: u64 = 14;
const REQUEST_WELCOME: u64 = 18;
const MEMBER_LABEL_CHANGE: u64 = 30;
