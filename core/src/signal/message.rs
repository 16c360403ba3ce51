//! The wire forms of pairwise messages: canonical writing, borrowing reading. Knows no session state.

use super::chain::{MAC_LEN, MessageKeys, enciphered_len};
use super::{ParseError, PreKeyId, RegistrationId, SignedPreKeyId};
use crate::crypto::{PublicKey, symmetric};
use whatsio_proto::fields::{Fields, MalformedFields, bytes_field_len, put_bytes, put_length, put_uint, varint_len};

/// Which of the two forms a ciphertext has: the `type` of its `enc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CiphertextKind {
    /// `msg`: within an established session.
    Message,
    /// `pkmsg`: carries what the receiver needs to set the session up.
    PreKeyMessage,
}

impl CiphertextKind {
    /// The wire's word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Message => "msg",
            Self::PreKeyMessage => "pkmsg",
        }
    }
}

/// A ratchet message as received.
#[derive(Clone, Copy)]
pub struct SignalMessage<'a> {
    ratchet_key: PublicKey,
    counter: u32,
    previous_counter: u32,
    ciphertext: &'a [u8],
    body: &'a [u8],
    code: [u8; MAC_LEN],
}

/// A first message as received: a ratchet message and what sets its session up.
#[derive(Clone, Copy)]
pub struct PreKeyMessage<'a> {
    registration_id: RegistrationId,
    prekey_id: Option<PreKeyId>,
    signed_prekey_id: SignedPreKeyId,
    base_key: PublicKey,
    identity: PublicKey,
    message: SignalMessage<'a>,
}

impl<'a> SignalMessage<'a> {
    /// Reads a `msg`. Fails for another version, missing fields, and bodies that are not whole blocks.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let (body, code) = bytes.split_last_chunk::<MAC_LEN>().ok_or(ParseError::Malformed)?;
        let (mut ratchet_key, mut counter, mut previous_counter, mut ciphertext) = (None, None, 0, None);
        for field in Fields::of(versioned(body)?) {
            let field = field?;
            match field.number {
                1 => ratchet_key = Some(key(field.bytes()?)?),
                2 => counter = Some(field.uint32()?),
                3 => previous_counter = field.uint32()?,
                4 => ciphertext = Some(field.bytes()?),
                _ => {}
            }
        }
        let ciphertext: &[u8] = ciphertext.ok_or(ParseError::Malformed)?;
        if ciphertext.is_empty() || !ciphertext.len().is_multiple_of(16) {
            return Err(ParseError::Malformed);
        }
        Ok(Self {
            ratchet_key: ratchet_key.ok_or(ParseError::Malformed)?,
            counter: counter.ok_or(ParseError::Malformed)?,
            previous_counter,
            ciphertext,
            body,
            code: *code,
        })
    }

    /// The sender's ratchet key.
    #[must_use]
    pub const fn ratchet_key(&self) -> &PublicKey {
        &self.ratchet_key
    }

    /// The message's position in its chain.
    #[must_use]
    pub const fn counter(&self) -> u32 {
        self.counter
    }

    /// What the sender says of its chain before; wrong in some engines, so nothing follows from it.
    #[must_use]
    pub const fn previous_counter(&self) -> u32 {
        self.previous_counter
    }

    /// The enciphered content.
    #[must_use]
    pub const fn ciphertext(&self) -> &'a [u8] {
        self.ciphertext
    }

    /// Whether the authentication code is that of `keys`. Takes the same time whatever differs.
    #[must_use]
    pub fn is_authentic(&self, keys: &MessageKeys, sender: &PublicKey, receiver: &PublicKey) -> bool {
        // Over the bytes as received: a sender that encodes differently is still right about its own bytes.
        symmetric::constant_time_eq(&keys.authenticate(sender, receiver, self.body), &self.code)
    }
}

impl<'a> PreKeyMessage<'a> {
    /// Reads a `pkmsg` and the message in it. Fails like [`SignalMessage::parse`], and for missing keys or ids.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let (mut registration_id, mut prekey_id, mut signed_prekey_id) = (0, 0, None);
        let (mut base_key, mut identity, mut message) = (None, None, None);
        for field in Fields::of(versioned(bytes)?) {
            let field = field?;
            match field.number {
                1 => prekey_id = field.uint32()?,
                2 => base_key = Some(key(field.bytes()?)?),
                3 => identity = Some(key(field.bytes()?)?),
                4 => message = Some(field.bytes()?),
                5 => registration_id = field.uint32()?,
                6 => signed_prekey_id = Some(field.uint32()?),
                _ => {}
            }
        }
        let prekey_id = match prekey_id {
            0 => None,
            number => Some(PreKeyId::new(number).ok_or(ParseError::Malformed)?),
        };
        Ok(Self {
            registration_id: RegistrationId(registration_id),
            prekey_id,
            signed_prekey_id: signed_prekey_id.and_then(SignedPreKeyId::new).ok_or(ParseError::Malformed)?,
            base_key: base_key.ok_or(ParseError::Malformed)?,
            identity: identity.ok_or(ParseError::Malformed)?,
            message: SignalMessage::parse(message.ok_or(ParseError::Malformed)?)?,
        })
    }

    /// The sender's registration id.
    #[must_use]
    pub const fn registration_id(&self) -> RegistrationId {
        self.registration_id
    }

    /// Which one-time prekey of ours was used, if any.
    #[must_use]
    pub const fn prekey_id(&self) -> Option<PreKeyId> {
        self.prekey_id
    }

    /// Which signed prekey of ours was used.
    #[must_use]
    pub const fn signed_prekey_id(&self) -> SignedPreKeyId {
        self.signed_prekey_id
    }

    /// The key that names the session; the same in all first messages of one.
    #[must_use]
    pub const fn base_key(&self) -> &PublicKey {
        &self.base_key
    }

    /// The sender's identity, as it claims.
    #[must_use]
    pub const fn identity(&self) -> &PublicKey {
        &self.identity
    }

    /// The ratchet message inside.
    #[must_use]
    pub const fn message(&self) -> &SignalMessage<'a> {
        &self.message
    }
}

/// What a ratchet message says in the clear.
pub(super) struct Header<'a> {
    pub(super) ratchet_key: &'a PublicKey,
    pub(super) counter: u32,
    pub(super) previous_counter: u32,
}

/// What a first message adds.
pub(super) struct Preamble<'a> {
    pub(super) registration_id: RegistrationId,
    pub(super) prekey_id: Option<PreKeyId>,
    pub(super) signed_prekey_id: SignedPreKeyId,
    pub(super) base_key: &'a PublicKey,
    pub(super) identity: &'a PublicKey,
}

impl Header<'_> {
    /// The whole length of a ratchet message over `plaintext` bytes.
    pub(super) const fn message_len(&self, plaintext: usize) -> usize {
        1 + bytes_field_len(1, KEY_LEN)
            + 1
            + varint_len(self.counter as u64)
            + 1
            + varint_len(self.previous_counter as u64)
            + bytes_field_len(4, enciphered_len(plaintext))
            + MAC_LEN
    }

    /// Appends a ratchet message. All fields are written, zero or not, in ascending order: one peer authenticates its
    /// own re-encoding rather than the bytes it received.
    pub(super) fn put_message(
        &self,
        keys: &MessageKeys,
        sender: &PublicKey,
        receiver: &PublicKey,
        plaintext: &[u8],
        out: &mut Vec<u8>,
    ) {
        let start = out.len();
        out.push(VERSION);
        put_bytes(out, 1, &self.ratchet_key.serialize());
        put_uint(out, 2, self.counter.into());
        put_uint(out, 3, self.previous_counter.into());
        put_length(out, 4, enciphered_len(plaintext.len()));
        keys.encipher_onto(plaintext, out);
        let code = keys.authenticate(sender, receiver, out.get(start..).unwrap_or_default());
        out.extend_from_slice(&code);
    }
}

impl Preamble<'_> {
    /// The length of a first message around `message` bytes.
    pub(super) const fn len_around(&self, message: usize) -> usize {
        let prekey_id = match self.prekey_id {
            Some(id) => 1 + varint_len(id.number() as u64),
            None => 0,
        };
        1 + prekey_id
            + 2 * bytes_field_len(2, KEY_LEN)
            + bytes_field_len(4, message)
            + 1
            + varint_len(self.registration_id.0 as u64)
            + 1
            + varint_len(self.signed_prekey_id.number() as u64)
    }

    /// Appends a first message; `put_message` appends the ratchet message of `message` bytes.
    pub(super) fn put_around(&self, message: usize, put_message: impl FnOnce(&mut Vec<u8>), out: &mut Vec<u8>) {
        out.push(VERSION);
        if let Some(id) = self.prekey_id {
            put_uint(out, 1, id.number().into());
        }
        put_bytes(out, 2, &self.base_key.serialize());
        put_bytes(out, 3, &self.identity.serialize());
        put_length(out, 4, message);
        put_message(out);
        put_uint(out, 5, self.registration_id.0.into());
        put_uint(out, 6, self.signed_prekey_id.number().into());
    }
}

/// Strips the version byte: the upper half is the message's version, the lower the newest its sender knows.
pub(super) fn versioned(bytes: &[u8]) -> Result<&[u8], ParseError> {
    let (&version, rest) = bytes.split_first().ok_or(ParseError::Malformed)?;
    if version >> 4 != VERSION >> 4 {
        return Err(ParseError::UnsupportedVersion(version));
    }
    Ok(rest)
}

/// Reads a key inside a message; always the 33-byte form.
pub(super) fn key(bytes: &[u8]) -> Result<PublicKey, ParseError> {
    PublicKey::deserialize(bytes).map_err(|_| ParseError::Malformed)
}

impl From<MalformedFields> for ParseError {
    fn from(_: MalformedFields) -> Self {
        Self::Malformed
    }
}

/// Version 3, in both halves.
pub(super) const VERSION: u8 = 0x33;
/// A key with its type byte.
pub(super) const KEY_LEN: usize = 33;
