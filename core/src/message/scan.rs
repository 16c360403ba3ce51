//! Reads from an encoded message the few fields that the core acts on, borrowing. Decodes nothing else, copies nothing,
//! and leaves what it does not know to the application.

use super::control::Control;
use super::field;
use thiserror::Error;
use whatsio_proto::fields::{Field, FieldValue, Fields, MalformedFields};

/// Why a decrypted message could not be read. The ratchet is spent, so asking again does not help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ScanError {
    /// Not a protobuf message.
    #[error("the message is not well-formed")]
    Malformed,
    /// More wrappers inside each other than any client makes.
    #[error("the message is wrapped too often")]
    TooDeep,
}

/// What the core sees of a message.
#[derive(Clone, Copy, Default)]
pub struct Scanned<'a> {
    /// A sender key for a group, which may ride along with content.
    pub group_key: Option<GroupKeyPart<'a>>,
    /// Set when this is the copy of an own device's message; then everything else but `group_key` is that message's.
    pub device_sent: Option<DeviceSent<'a>>,
    /// The secret for add-ons, if it has the right length.
    pub message_secret: Option<&'a [u8; 32]>,
    /// A protocol message, if there is one, even behind other content.
    pub protocol: Option<Protocol<'a>>,
    /// Whether there is anything that concerns the application.
    pub has_content: bool,
    pub(super) content: Option<Field<'a>>,
    pub(super) view_once: bool,
}

/// A distributed sender key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct GroupKeyPart<'a> {
    /// The group it names.
    pub group: &'a str,
    /// The distribution's bytes.
    pub distribution: &'a [u8],
}

/// The envelope of a copy for own devices.
#[derive(Clone, Copy)]
pub struct DeviceSent<'a> {
    /// The chat it was sent to, as text.
    pub destination: &'a str,
    /// The hash over the recipients of a broadcast.
    pub phash: Option<&'a str>,
    /// The message that was sent, encoded; [`unwrap_device_sent`](super::unwrap_device_sent) also restores its context.
    pub message: &'a [u8],
}

/// A protocol message: one clients mean for each other rather than for people.
#[derive(Clone, Copy)]
pub struct Protocol<'a> {
    /// The number of its type, if it says one; 0 is a revoke.
    pub kind: Option<u32>,
    /// The whole protocol message, encoded.
    pub bytes: &'a [u8],
}

impl<'a> Scanned<'a> {
    /// Scans an encoded, unpadded message. Costs one pass over its top-level fields. Of a field that is there more than
    /// once the last counts. Fails with `Malformed` or `TooDeep`.
    pub fn of(message: &'a [u8]) -> Result<Self, ScanError> {
        let outer = Level::read(message)?;
        let mut scanned = Self {
            group_key: outer.group_key.map(group_key).transpose()?,
            message_secret: outer.secret()?,
            ..Self::default()
        };
        let mut level = outer;
        if let Some(envelope) = outer.device_sent {
            let sent = device_sent(envelope)?;
            scanned.device_sent = Some(sent);
            level = Level::read(sent.message)?;
            scanned.fill(level)?;
        }
        scanned.protocol = protocol_in(scanned.device_sent.map_or(message, |sent| sent.message), DEPTH_LIMIT)?;
        for _ in 0..DEPTH_LIMIT {
            let Some(found) = level.content else { return Ok(scanned) };
            let Some(inner) = wrapped(&found)? else {
                scanned.has_content = true;
                scanned.content = Some(found);
                return Ok(scanned);
            };
            scanned.view_once |= field::VIEW_ONCE_WRAPPERS.contains(&found.number);
            level = Level::read(inner)?;
            scanned.fill(level)?;
        }
        Err(ScanError::TooDeep)
    }

    /// Whether the message serves only to distribute a sender key: nothing to show.
    #[must_use]
    pub const fn is_only_group_key(&self) -> bool {
        self.group_key.is_some() && !self.has_content
    }

    /// What is closer to the content counts; what it lacks comes from further out.
    fn fill(&mut self, level: Level<'a>) -> Result<(), ScanError> {
        self.message_secret = level.secret()?.or(self.message_secret);
        self.group_key = self.group_key.or(level.group_key.map(group_key).transpose()?);
        Ok(())
    }
}

/// The fields of one level that matter.
#[derive(Clone, Copy, Default)]
struct Level<'a> {
    group_key: Option<&'a [u8]>,
    device_sent: Option<&'a [u8]>,
    context: Option<&'a [u8]>,
    /// The first field that is neither of these.
    content: Option<Field<'a>>,
}

impl<'a> Level<'a> {
    fn read(message: &'a [u8]) -> Result<Self, ScanError> {
        let mut level = Self::default();
        for found in Fields::of(message) {
            let found = found?;
            match found.number {
                field::SENDER_KEY_DISTRIBUTION => level.group_key = Some(found.bytes()?),
                field::DEVICE_SENT => level.device_sent = Some(found.bytes()?),
                field::CONTEXT_INFO => level.context = Some(found.bytes()?),
                field::FAST_RATCHET_DISTRIBUTION => {}
                _ => level.content = level.content.or(Some(found)),
            }
        }
        Ok(level)
    }

    fn secret(&self) -> Result<Option<&'a [u8; 32]>, ScanError> {
        let Some(context) = self.context else { return Ok(None) };
        Ok(last_bytes(context, field::MESSAGE_SECRET)?.and_then(|secret| secret.try_into().ok()))
    }
}

/// The content of a wrapper; `None` for what is not one, or an empty one.
fn wrapped<'a>(found: &Field<'a>) -> Result<Option<&'a [u8]>, ScanError> {
    if !field::WRAPPERS.contains(&found.number) && !field::PROFILE_WRAPPERS.contains(&found.number) {
        return Ok(None);
    }
    let FieldValue::Bytes(wrapper) = found.value else { return Ok(None) };
    last_bytes(wrapper, field::WRAPPED)
}

fn group_key(bytes: &[u8]) -> Result<GroupKeyPart<'_>, ScanError> {
    let (mut group, mut distribution) = (None, None);
    for found in Fields::of(bytes) {
        let found = found?;
        match found.number {
            1 => group = Some(found.text()?),
            2 => distribution = Some(found.bytes()?),
            _ => {}
        }
    }
    Ok(GroupKeyPart { group: group.unwrap_or_default(), distribution: distribution.ok_or(ScanError::Malformed)? })
}

fn device_sent(bytes: &[u8]) -> Result<DeviceSent<'_>, ScanError> {
    let (mut destination, mut message, mut phash) = (None, None, None);
    for found in Fields::of(bytes) {
        let found = found?;
        match found.number {
            1 => destination = Some(found.text()?),
            field::DEVICE_SENT_MESSAGE => message = Some(found.bytes()?),
            3 => phash = Some(found.text()?),
            _ => {}
        }
    }
    Ok(DeviceSent {
        destination: destination.unwrap_or_default(),
        phash: phash.filter(|hash| !hash.is_empty()),
        message: message.ok_or(ScanError::Malformed)?,
    })
}

/// The protocol message of `message`, wherever it stands: behind other content, beside another one, in any wrapper. Who
/// decodes the message would find it there. One that only own devices may send counts before all others.
fn protocol_in(message: &[u8], depth: usize) -> Result<Option<Protocol<'_>>, ScanError> {
    let mut last = None;
    for found in Fields::of(message) {
        let found = found?;
        let inner = if found.number == field::PROTOCOL {
            Some(protocol(&found)?)
        } else {
            match (wrapped(&found)?, depth.checked_sub(1)) {
                (Some(inner), Some(depth)) => protocol_in(inner, depth)?,
                _ => None,
            }
        };
        if inner.is_some_and(|inner| Control::of(inner.kind).is_some()) {
            return Ok(inner);
        }
        last = inner.or(last);
    }
    Ok(last)
}

fn protocol<'a>(found: &Field<'a>) -> Result<Protocol<'a>, ScanError> {
    let bytes = found.bytes()?;
    let mut kind = None;
    for inner in Fields::of(bytes) {
        let inner = inner?;
        if inner.number == 2 {
            kind = Some(inner.uint32()?);
        }
    }
    Ok(Protocol { kind, bytes })
}

/// The last length-delimited field `number` of `message`.
pub(super) fn last_bytes(message: &[u8], number: u32) -> Result<Option<&[u8]>, ScanError> {
    let mut last = None;
    for found in Fields::of(message) {
        let found = found?;
        if found.number == number {
            last = Some(found.bytes()?);
        }
    }
    Ok(last)
}

impl From<MalformedFields> for ScanError {
    fn from(_: MalformedFields) -> Self {
        Self::Malformed
    }
}

impl std::fmt::Debug for Scanned<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scanned")
            .field("field", &self.content.map(|content| content.number))
            .field("is_device_sent", &self.device_sent.is_some())
            .field("has_group_key", &self.group_key.is_some())
            .finish_non_exhaustive()
    }
}

/// Shows nothing: the distribution holds a key, and the group is an address.
impl std::fmt::Debug for GroupKeyPart<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GroupKeyPart(..)")
    }
}

/// Wrappers inside each other that are followed; clients make two or three.
pub(super) const DEPTH_LIMIT: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Classification, StanzaType};
    use whatsio_proto::e2e::{FutureProofMessage, ImageMessage, Message, SenderKeyDistributionMessage};
    use whatsio_proto::prost::Message as _;

    fn wrap(message: Message) -> Message {
        let wrapper = FutureProofMessage { message: Some(Box::new(message)) };
        Message { view_once_message_v2: Some(Box::new(wrapper)), ..Default::default() }
    }

    #[test]
    fn group_key_alone_is_no_content_and_rides_along_with_some() {
        let part = SenderKeyDistributionMessage {
            group_id: Some("1@g.us".into()),
            axolotl_sender_key_distribution_message: Some(vec![1, 2].into()),
        };
        let mut message = Message { sender_key_distribution_message: Some(Box::new(part)), ..Default::default() };
        let bytes = message.encode_to_vec();
        let scanned = Scanned::of(&bytes).unwrap();
        assert_eq!(scanned.group_key, Some(GroupKeyPart { group: "1@g.us", distribution: &[1, 2] }));
        assert!(scanned.is_only_group_key());
        message.conversation = Some("x".into());
        assert!(!Scanned::of(&message.encode_to_vec()).unwrap().is_only_group_key());
    }

    #[test]
    fn wrapped_medium_is_classified_by_what_is_inside() {
        let image = Message { image_message: Some(Box::<ImageMessage>::default()), ..Default::default() };
        let class = Classification::of(&wrap(image).encode_to_vec()).unwrap();
        assert_eq!((class.stanza_type, class.media_type, class.view_once), (StanzaType::Media, Some("image"), true));
    }

    #[test]
    fn wrappers_beyond_the_limit_are_refused() {
        let mut message = Message { conversation: Some("x".into()), ..Default::default() };
        for _ in 0..DEPTH_LIMIT - 1 {
            message = wrap(message);
        }
        assert!(Scanned::of(&message.encode_to_vec()).is_ok());
        let deeper = wrap(message).encode_to_vec();
        assert_eq!(Scanned::of(&deeper).err(), Some(ScanError::TooDeep));
        assert_eq!(Scanned::of(&[0x1A]).err(), Some(ScanError::Malformed));
        assert!(!Scanned::of(&[]).unwrap().has_content);
    }
}
