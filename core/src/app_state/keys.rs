//! Synchronisation keys: their ids, what they expand to, and which of them encrypts.

use super::{Collection, Head, IndexMac, Operation, ValueMac};
use crate::crypto::Secret;
use crate::crypto::symmetric::hkdf_sha256;
use aes::Aes256;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Sha256, Sha512};
use std::borrow::Borrow;
use std::collections::BTreeMap;
use zeroize::Zeroize;

/// Names a synchronisation key: six bytes, of the creating device's number and the epoch; others are opaque.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SyncKeyId(Bytes);

impl SyncKeyId {
    /// Wraps an id as it stands in a record.
    #[must_use]
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// The id of a key that `device` makes for `epoch`.
    #[must_use]
    pub fn made_by(device: u16, epoch: u32) -> Self {
        Self([&device.to_be_bytes()[..], &epoch.to_be_bytes()].concat().into())
    }

    /// The bytes of the id.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The number of the device that made the key; `None` for an opaque id.
    #[must_use]
    pub fn device(&self) -> Option<u16> {
        self.parts().map(|(device, _)| device)
    }

    /// The key's epoch: greater ones are newer; `None` for an opaque id.
    #[must_use]
    pub fn epoch(&self) -> Option<u32> {
        self.parts().map(|(_, epoch)| epoch)
    }

    fn parts(&self) -> Option<(u16, u32)> {
        let (device, rest) = self.0.split_first_chunk()?;
        Some((u16::from_be_bytes(*device), u32::from_be_bytes(rest.try_into().ok()?)))
    }
}

impl Borrow<[u8]> for SyncKeyId {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for SyncKeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SyncKeyId(")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

/// The 32 bytes that a phone shares with its companions. Shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct SyncKeyData(Secret<32>);

impl SyncKeyData {
    /// Wraps the key's bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(Secret::new(bytes))
    }

    /// The bytes, for storing and sharing.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }
}

/// What a synchronisation key expands to, set up for use: about two kilobytes. Shown to nobody.
#[derive(Clone)]
pub struct MutationKeys {
    expanded: Secret<EXPANDED>,
    index: Hmac<Sha256>,
    value: Hmac<Sha512>,
    cipher: Aes256,
}

const EXPANDED: usize = 160;

impl MutationKeys {
    /// The text that a key is expanded with.
    pub const INFO: &str = "WhatsApp Mutation Keys";

    /// Expands a key.
    #[must_use]
    pub fn derive(key: &SyncKeyData) -> Self {
        let expanded = hkdf_sha256::<EXPANDED>(None, key.expose(), Self::INFO.as_bytes());
        let [index, cipher, value, ..] = parts(expanded.expose());
        // A key of 32 bytes padded with zeros to a whole block is the same key.
        let mut block = [0; 128];
        block[..32].copy_from_slice(value);
        let value = Hmac::new(&block.into());
        block.zeroize();
        let (index, cipher) = (keyed(index), Aes256::new(cipher.into()));
        Self { expanded, index, value, cipher }
    }

    /// The key that hides indexes.
    #[must_use]
    pub fn index_key(&self) -> &[u8; 32] {
        parts(self.expanded.expose())[0]
    }

    /// The key that values are encrypted with.
    #[must_use]
    pub fn value_encryption_key(&self) -> &[u8; 32] {
        parts(self.expanded.expose())[1]
    }

    /// The key that values are authenticated with.
    #[must_use]
    pub fn value_mac_key(&self) -> &[u8; 32] {
        parts(self.expanded.expose())[2]
    }

    /// The key that the sum over a collection is authenticated with.
    #[must_use]
    pub fn snapshot_mac_key(&self) -> &[u8; 32] {
        parts(self.expanded.expose())[3]
    }

    /// The key that patches are authenticated with.
    #[must_use]
    pub fn patch_mac_key(&self) -> &[u8; 32] {
        parts(self.expanded.expose())[4]
    }

    /// The code that stands for `index`.
    #[must_use]
    pub fn index_mac(&self, index: &[u8]) -> IndexMac {
        IndexMac(self.index.clone().chain_update(index).finalize().into_bytes().into())
    }

    /// The code over an encrypted value.
    #[must_use]
    pub fn value_mac(&self, operation: Operation, key_id: &[u8], encrypted: &[u8]) -> ValueMac {
        let prefix = 1 + key_id.len() as u64;
        let mac = self
            .value
            .clone()
            .chain_update([operation.authenticated()])
            .chain_update(key_id)
            .chain_update(encrypted)
            .chain_update(prefix.to_be_bytes());
        let full: [u8; 64] = mac.finalize().into_bytes().into();
        let mut half = [0; 32];
        half.copy_from_slice(&full[..32]);
        ValueMac(half)
    }

    /// The code over a collection's sum at its version.
    #[must_use]
    pub fn snapshot_mac(&self, collection: Collection, head: &Head) -> [u8; 32] {
        keyed(self.snapshot_mac_key())
            .chain_update(head.hash.to_bytes())
            .chain_update(head.version.to_be_bytes())
            .chain_update(collection.name())
            .finalize()
            .into_bytes()
            .into()
    }

    /// The code over a patch: its snapshot code and its values' codes in order, at its version.
    #[must_use]
    pub fn patch_mac<'v>(
        &self,
        collection: Collection,
        version: u64,
        snapshot_mac: &[u8; 32],
        values: impl IntoIterator<Item = &'v ValueMac>,
    ) -> [u8; 32] {
        let mut mac = keyed(self.patch_mac_key()).chain_update(snapshot_mac);
        values.into_iter().for_each(|value| mac.update(&value.0));
        mac.chain_update(version.to_be_bytes()).chain_update(collection.name()).finalize().into_bytes().into()
    }

    /// The cipher under the value encryption key.
    pub(super) const fn cipher(&self) -> &Aes256 {
        &self.cipher
    }
}

/// The expanded keys known here, by id.
#[derive(Clone, Default)]
pub struct KeyRing(BTreeMap<SyncKeyId, MutationKeys>);

impl KeyRing {
    /// A ring without keys.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Adds a key, or replaces the one with this id.
    pub fn insert(&mut self, id: SyncKeyId, data: &SyncKeyData) {
        self.0.insert(id, MutationKeys::derive(data));
    }

    /// The key called `id`.
    #[must_use]
    pub fn find(&self, id: &[u8]) -> Option<&MutationKeys> {
        self.0.get(id)
    }

    /// The ids of all keys, in order.
    pub fn ids(&self) -> impl Iterator<Item = &SyncKeyId> {
        self.0.keys()
    }

    /// The key to encrypt with: the greatest epoch above `expired`, on a tie the lowest device.
    ///
    /// `expired` is the epoch that the phone has announced as expired, if any. Keys with opaque ids never encrypt.
    #[must_use]
    pub fn active(&self, expired: Option<u32>) -> Option<(&SyncKeyId, &MutationKeys)> {
        let usable = |id: &SyncKeyId| id.epoch().filter(|epoch| expired.is_none_or(|expired| *epoch > expired));
        self.0
            .iter()
            .filter_map(|(id, keys)| Some((usable(id)?, id, keys)))
            // Ids are in order, so of equal epochs the lowest device comes first; `max_by_key` would take the last.
            .reduce(|best, next| if next.0 > best.0 { next } else { best })
            .map(|(_, id, keys)| (id, keys))
    }
}

fn parts(expanded: &[u8; EXPANDED]) -> [&[u8; 32]; 5] {
    const EMPTY: &[u8; 32] = &[0; 32];
    let mut parts = [EMPTY; 5];
    let (chunks, _) = expanded.as_chunks();
    parts.iter_mut().zip(chunks).for_each(|(part, chunk)| *part = chunk);
    parts
}

fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    let mut block = [0; 64];
    block[..32].copy_from_slice(key);
    let mac = Hmac::new(&block.into());
    block.zeroize();
    mac
}
