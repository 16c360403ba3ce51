//! The wire forms of sender keys: the distribution of a key, and a message under it. Knows no key state.

use super::ParseError;
use super::chain::{ChainKey, GroupMessageKeys, enciphered_len};
use super::message::{KEY_LEN, VERSION, key, versioned};
use crate::crypto::{PublicKey, Secret, Signature};
use whatsio_proto::fields::{Fields, bytes_field_len, put_bytes, put_length, put_uint, varint_len};

/// A group message as received. Its signature is not checked yet.
#[derive(Clone, Copy)]
pub struct GroupMessage<'a> {
    pub(super) key_id: u32,
    pub(super) iteration: u32,
    pub(super) ciphertext: &'a [u8],
    pub(super) signed: &'a [u8],
    pub(super) signature: Signature,
}

/// A sender key as its owner hands it out: from its current position on, never back.
#[derive(Clone, PartialEq, Eq)]
pub struct Distribution {
    pub(super) key_id: u32,
    pub(super) iteration: u32,
    pub(super) chain_key: Secret<32>,
    pub(super) signing_key: PublicKey,
}

impl<'a> GroupMessage<'a> {
    /// Reads an `skmsg`. Fails for another version, missing fields, and bodies that are not whole blocks.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let (signed, signature) = bytes.split_last_chunk::<SIGNATURE_LEN>().ok_or(ParseError::Malformed)?;
        let (mut key_id, mut iteration, mut ciphertext) = (None, None, None);
        for field in Fields::of(versioned(signed)?) {
            let field = field?;
            match field.number {
                1 => key_id = Some(field.uint32()?),
                2 => iteration = Some(field.uint32()?),
                3 => ciphertext = Some(field.bytes()?),
                _ => {}
            }
        }
        let ciphertext: &[u8] = ciphertext.ok_or(ParseError::Malformed)?;
        if ciphertext.is_empty() || !ciphertext.len().is_multiple_of(16) {
            return Err(ParseError::Malformed);
        }
        Ok(Self {
            key_id: key_id.ok_or(ParseError::Malformed)?,
            iteration: iteration.ok_or(ParseError::Malformed)?,
            ciphertext,
            signed,
            signature: Signature(*signature),
        })
    }

    /// Which of the sender's keys it is under.
    #[must_use]
    pub const fn key_id(&self) -> u32 {
        self.key_id
    }

    /// Its position under that key.
    #[must_use]
    pub const fn iteration(&self) -> u32 {
        self.iteration
    }
}

impl Distribution {
    /// Reads the bytes inside a sender-key distribution. Fails for another version and for missing fields.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let (mut key_id, mut iteration, mut chain_key, mut signing_key) = (None, None, None, None);
        for field in Fields::of(versioned(bytes)?) {
            let field = field?;
            match field.number {
                1 => key_id = Some(field.uint32()?),
                2 => iteration = Some(field.uint32()?),
                3 => chain_key = Some(Secret::from_slice(field.bytes()?).ok_or(ParseError::Malformed)?),
                4 => signing_key = Some(key(field.bytes()?)?),
                _ => {}
            }
        }
        Ok(Self {
            key_id: key_id.ok_or(ParseError::Malformed)?,
            iteration: iteration.ok_or(ParseError::Malformed)?,
            chain_key: chain_key.ok_or(ParseError::Malformed)?,
            signing_key: signing_key.ok_or(ParseError::Malformed)?,
        })
    }

    /// The bytes to send. They hold the chain key: encrypt them for each device that gets them.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(DISTRIBUTION_LEN);
        out.push(VERSION);
        put_uint(&mut out, 1, self.key_id.into());
        put_uint(&mut out, 2, self.iteration.into());
        put_bytes(&mut out, 3, self.chain_key.expose());
        put_bytes(&mut out, 4, &self.signing_key.serialize());
        out
    }

    /// Which of the sender's keys it is.
    #[must_use]
    pub const fn key_id(&self) -> u32 {
        self.key_id
    }

    /// The position it starts at.
    #[must_use]
    pub const fn iteration(&self) -> u32 {
        self.iteration
    }
}

/// The length of an `skmsg` over `plaintext` bytes.
pub(super) const fn message_len(key_id: u32, iteration: u32, plaintext: usize) -> usize {
    1 + 1
        + varint_len(key_id as u64)
        + 1
        + varint_len(iteration as u64)
        + bytes_field_len(3, enciphered_len(plaintext))
        + SIGNATURE_LEN
}

/// The signed part of an `skmsg`.
pub(super) fn put_signed(key_id: u32, iteration: u32, keys: &GroupMessageKeys, plaintext: &[u8], out: &mut Vec<u8>) {
    out.push(VERSION);
    put_uint(out, 1, key_id.into());
    put_uint(out, 2, iteration.into());
    put_length(out, 3, enciphered_len(plaintext.len()));
    keys.encipher_onto(plaintext, out);
}

impl From<&Distribution> for ChainKey {
    fn from(distribution: &Distribution) -> Self {
        Self::new(*distribution.chain_key.expose())
    }
}

const SIGNATURE_LEN: usize = 64;
const DISTRIBUTION_LEN: usize = 1 + 2 * 6 + 2 + 32 + 2 + KEY_LEN;
