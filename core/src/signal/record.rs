//! Reading and writing fixed-layout records: a version byte, then values of known length. Knows no record's meaning.

use super::RecordError;
use super::prekey::{PreKeyId, SignedPreKeyId};
use crate::crypto::{KeyPair, PrivateKey, PublicKey};

/// Reads values from the front of a record. Every read fails with `Damaged` when too little is left.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Checks the version byte and positions behind it.
    pub(super) fn open(record: &'a [u8], version: u8) -> Result<Self, RecordError> {
        match record.split_first() {
            Some((&found, rest)) if found == version => Ok(Self { rest }),
            Some((&found, _)) => Err(RecordError::UnknownVersion(found)),
            None => Err(RecordError::Damaged),
        }
    }

    /// Fails with `Damaged` when bytes are left over.
    pub(super) fn close(self) -> Result<(), RecordError> {
        if self.rest.is_empty() { Ok(()) } else { Err(RecordError::Damaged) }
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        let (value, rest) = self.rest.split_first_chunk::<N>().ok_or(RecordError::Damaged)?;
        self.rest = rest;
        Ok(*value)
    }

    pub(super) fn slice(&mut self, length: usize) -> Result<&'a [u8], RecordError> {
        let (value, rest) = self.rest.split_at_checked(length).ok_or(RecordError::Damaged)?;
        self.rest = rest;
        Ok(value)
    }

    pub(super) fn u8(&mut self) -> Result<u8, RecordError> {
        self.array().map(u8::from_le_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, RecordError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, RecordError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, RecordError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn public_key(&mut self) -> Result<PublicKey, RecordError> {
        self.array().map(PublicKey::from_bytes)
    }

    /// Both halves are stored: computing the public one costs a multiplication, reading it nothing.
    pub(super) fn key_pair(&mut self) -> Result<KeyPair, RecordError> {
        let private = PrivateKey::from_bytes(self.array()?);
        Ok(KeyPair { private, public: self.public_key()? })
    }

    pub(super) fn prekey_id(&mut self) -> Result<PreKeyId, RecordError> {
        PreKeyId::new(self.u32()?).ok_or(RecordError::Damaged)
    }

    pub(super) fn signed_prekey_id(&mut self) -> Result<SignedPreKeyId, RecordError> {
        SignedPreKeyId::new(self.u32()?).ok_or(RecordError::Damaged)
    }
}

/// Appends a key pair as [`Reader::key_pair`] reads it.
pub(super) fn put_key_pair(out: &mut Vec<u8>, pair: &KeyPair) {
    out.extend_from_slice(pair.private.expose());
    out.extend_from_slice(pair.public.as_bytes());
}
