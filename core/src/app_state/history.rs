//! History blobs: what the phone sends of the past, handed out piece by piece while it is still being inflated.
//!
//! Owns the blob's compression, its limits and the few fields that the core itself acts on. Everything else is handed
//! on as bytes for whoever wants to decode it. Never holds a whole blob.

use super::inflate::{InflateError, Inflater};
use super::wire::{Front, front};
use whatsio_proto::fields::{Field, Fields, MalformedFields};

/// Reads a decrypted history blob pushed in chunks of any size.
pub struct HistoryReader {
    inflater: Inflater,
    arrived: Arrived,
}

/// How large a history blob may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryLimits {
    /// All of the blob, inflated.
    pub total_bytes: u64,
    /// One conversation with its messages, or any other part. This much may be held at once.
    pub part_bytes: u64,
}

impl Default for HistoryLimits {
    fn default() -> Self {
        Self { total_bytes: 256 * 1024 * 1024, part_bytes: 16 * 1024 * 1024 }
    }
}

/// A history blob cannot be read. Parts handed out before are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// The compression is damaged, cut short, or hides too much.
    #[error(transparent)]
    Inflate(#[from] InflateError),
    /// The inflated bytes are not what they should be.
    #[error("the history is malformed")]
    Malformed,
    /// One part is over its limit.
    #[error("a part of the history is over its limit")]
    PartLimit,
}

impl From<MalformedFields> for HistoryError {
    fn from(_: MalformedFields) -> Self {
        Self::Malformed
    }
}

/// A part of a history blob, borrowed while it is handed out.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HistoryPart<'a> {
    /// What kind of blob this is.
    SyncType(u32),
    /// The blob's number among those of its kind.
    ChunkOrder(u32),
    /// How much of the history has been sent, in percent.
    Progress(u32),
    /// A conversation with messages: read it with [`Conversation::parse`].
    Conversation(&'a [u8]),
    /// A status update: an encoded `WebMessageInfo`.
    Status(&'a [u8]),
    /// The name that a user gave to themselves. A name of `-` means that it is not known.
    PushName {
        /// The user's address.
        user: &'a str,
        /// The name.
        name: &'a str,
    },
    /// The two addresses of one user.
    Aliases(Aliases<'a>),
    /// The nonce that goes with deleting the blob.
    MetaNonce(&'a str),
    /// The salt for [`nct_token`](super::nct_token).
    NctSalt(&'a [u8]),
    /// Any other field of an encoded `HistorySync`, whole: key and content.
    Other {
        /// The field's number.
        number: u32,
        /// Its encoding, key included.
        raw: &'a [u8],
    },
}

/// The two addresses of one user.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Aliases<'a> {
    /// By phone number.
    pub phone_number: &'a str,
    /// By opaque id.
    pub lid: &'a str,
}

impl HistoryReader {
    /// Begins a blob.
    #[must_use]
    pub fn new(limits: HistoryLimits) -> Self {
        let arrived = Arrived { bytes: Vec::new(), limit: limits.part_bytes };
        Self { inflater: Inflater::new(limits.total_bytes), arrived }
    }

    /// Takes the next bytes and hands out the parts that are complete by now, in order.
    pub fn push(&mut self, compressed: &[u8], mut part: impl FnMut(HistoryPart<'_>)) -> Result<(), HistoryError> {
        let arrived = &mut self.arrived;
        self.inflater.push(compressed, &mut |piece| arrived.push(piece, &mut part))
    }

    /// Ends the blob; fails when it is cut short.
    pub fn finish(self) -> Result<(), HistoryError> {
        self.inflater.finish()?;
        if self.arrived.bytes.is_empty() { Ok(()) } else { Err(HistoryError::Malformed) }
    }
}

/// Inflated bytes of a part that is not complete yet.
struct Arrived {
    bytes: Vec<u8>,
    limit: u64,
}

impl Arrived {
    fn push(&mut self, piece: &[u8], part: &mut impl FnMut(HistoryPart<'_>)) -> Result<(), HistoryError> {
        if self.bytes.is_empty() {
            // Most parts are complete in one piece; only what is left over is copied.
            let used = self.hand_out(piece, part)?;
            self.bytes.extend_from_slice(piece.get(used..).unwrap_or_default());
            return Ok(());
        }
        self.bytes.extend_from_slice(piece);
        let bytes = std::mem::take(&mut self.bytes);
        let used = self.hand_out(&bytes, part)?;
        self.bytes = bytes;
        self.bytes.drain(..used.min(self.bytes.len()));
        Ok(())
    }

    /// Hands out the complete parts at the front; says how many bytes they take.
    fn hand_out(&self, bytes: &[u8], part: &mut impl FnMut(HistoryPart<'_>)) -> Result<usize, HistoryError> {
        let mut used = 0;
        loop {
            match front(bytes.get(used..).unwrap_or_default())? {
                Front::Whole(field) => {
                    part(HistoryPart::of(&field)?);
                    used += field.raw.len();
                }
                Front::Partial(total) if total > self.limit => return Err(HistoryError::PartLimit),
                Front::Partial(_) | Front::Unclear => return Ok(used),
            }
        }
    }
}

impl<'a> HistoryPart<'a> {
    fn of(field: &Field<'a>) -> Result<Self, HistoryError> {
        Ok(match field.number {
            1 => Self::SyncType(field.uint32()?),
            2 => Self::Conversation(field.bytes()?),
            3 => Self::Status(field.bytes()?),
            5 => Self::ChunkOrder(field.uint32()?),
            6 => Self::Progress(field.uint32()?),
            7 => {
                let [user, name] = texts(field.bytes()?, [1, 2])?;
                Self::PushName { user: user.unwrap_or_default(), name: name.unwrap_or_default() }
            }
            15 => match texts(field.bytes()?, [1, 2])? {
                [Some(phone_number), Some(lid)] => Self::Aliases(Aliases { phone_number, lid }),
                _ => Self::Other { number: field.number, raw: field.raw },
            },
            16 => Self::MetaNonce(field.text()?),
            19 => Self::NctSalt(field.bytes()?),
            number => Self::Other { number, raw: field.raw },
        })
    }
}

/// The fields of a conversation that the core acts on, and its messages.
#[derive(Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Conversation<'a> {
    /// The chat's address.
    pub id: &'a str,
    /// The chat's name: a group's subject, or a contact's.
    pub name: Option<&'a str>,
    /// The chat partner's own name.
    pub display_name: Option<&'a str>,
    /// The chat partner's address by phone number.
    pub phone_number: Option<&'a str>,
    /// The chat partner's address by opaque id.
    pub lid: Option<&'a str>,
    /// The privacy token that the chat partner gave out.
    pub tc_token: Option<&'a [u8]>,
    /// When that was, in seconds.
    pub tc_token_timestamp: Option<u64>,
    /// When a token was last given to the chat partner, in seconds.
    pub tc_token_sender_timestamp: Option<u64>,
    /// Each an encoded `WebMessageInfo`, the newest first.
    pub messages: Vec<&'a [u8]>,
}

impl<'a> Conversation<'a> {
    /// Reads a conversation; borrows all of it.
    pub fn parse(message: &'a [u8]) -> Result<Self, HistoryError> {
        let mut conversation = Self::default();
        for field in Fields::of(message) {
            let field = field?;
            match field.number {
                1 => conversation.id = field.text()?,
                2 => conversation.messages.extend(super::wire::bytes_field(field.bytes()?, 1)?),
                13 => conversation.name = Some(field.text()?),
                21 => conversation.tc_token = Some(field.bytes()?),
                22 => conversation.tc_token_timestamp = Some(super::wire::number(&field)?),
                28 => conversation.tc_token_sender_timestamp = Some(super::wire::number(&field)?),
                38 => conversation.display_name = Some(field.text()?),
                39 => conversation.phone_number = Some(field.text()?),
                42 => conversation.lid = Some(field.text()?),
                _ => {}
            }
        }
        Ok(conversation)
    }

    /// The chat partner's two addresses, where the conversation gives both away.
    #[must_use]
    pub fn aliases(&self) -> Option<Aliases<'a>> {
        if is_lid(self.id) {
            let phone_number = self.phone_number.or_else(|| self.receipt_of_own_message())?;
            return Some(Aliases { phone_number, lid: self.id });
        }
        let lid = self.lid.filter(|_| is_phone_number(self.id))?;
        Some(Aliases { phone_number: self.id, lid })
    }

    /// Old phones leave the phone number of a chat by opaque id out; it may still stand in the receipt of a message
    /// that was sent to the chat.
    fn receipt_of_own_message(&self) -> Option<&'a str> {
        self.messages.iter().find_map(|message| receipt_of(message).ok().flatten())
    }
}

/// The address by phone number in the first receipt of an own message.
fn receipt_of(message: &[u8]) -> Result<Option<&str>, MalformedFields> {
    const KEY: u32 = 1;
    const FROM_ME: u32 = 2;
    const RECEIPT: u32 = 40;
    let key = super::wire::bytes_field(message, KEY)?.unwrap_or_default();
    if super::wire::number_field(key, FROM_ME)? != Some(1) {
        return Ok(None);
    }
    for field in Fields::of(message) {
        let field = field?;
        if field.number == RECEIPT {
            let [user] = texts(field.bytes()?, [1])?;
            return Ok(user.filter(|user| is_phone_number(user)));
        }
    }
    Ok(None)
}

fn is_lid(address: &str) -> bool {
    address.ends_with("@lid")
}

fn is_phone_number(address: &str) -> bool {
    address.ends_with("@s.whatsapp.net")
}

/// The texts in these fields of a message.
fn texts<const N: usize>(message: &[u8], numbers: [u32; N]) -> Result<[Option<&str>; N], MalformedFields> {
    let mut found = [None; N];
    for field in Fields::of(message) {
        let field = field?;
        for (number, found) in numbers.iter().zip(&mut found) {
            if *number == field.number {
                *found = Some(field.text()?);
            }
        }
    }
    Ok(found)
}

impl std::fmt::Debug for HistoryReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HistoryReader({} bytes wait)", self.arrived.bytes.len())
    }
}

/// Addresses and contents are not shown.
impl std::fmt::Debug for HistoryPart<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::SyncType(number) => write!(f, "SyncType({number})"),
            Self::ChunkOrder(number) => write!(f, "ChunkOrder({number})"),
            Self::Progress(percent) => write!(f, "Progress({percent})"),
            Self::Conversation(bytes) => write!(f, "Conversation({} bytes)", bytes.len()),
            Self::Status(bytes) => write!(f, "Status({} bytes)", bytes.len()),
            Self::PushName { .. } => f.write_str("PushName(..)"),
            Self::Aliases(_) => f.write_str("Aliases(..)"),
            Self::MetaNonce(_) => f.write_str("MetaNonce(..)"),
            Self::NctSalt(_) => f.write_str("NctSalt(..)"),
            Self::Other { number, raw } => write!(f, "Other({number}, {} bytes)", raw.len()),
        }
    }
}

impl std::fmt::Debug for Aliases<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Aliases(..)")
    }
}

impl std::fmt::Debug for Conversation<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Conversation({} messages)", self.messages.len())
    }
}
