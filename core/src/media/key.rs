//! The media key of an object and the keys derived from it.

use super::{Mac, MediaError, MediaKind};
use crate::crypto::Secret;
use crate::crypto::symmetric::hkdf_sha256;
use hmac::KeyInit;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The 32 random bytes that an object is encrypted under. Never used for two different contents of one kind: the
/// initialisation vector is derived from it. Shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct MediaKey(Secret<32>);

impl MediaKey {
    /// Wraps 32 random bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(Secret::new(bytes))
    }

    /// Takes the media key of a message; fails unless it is 32 bytes long.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, MediaError> {
        Secret::from_slice(bytes).map(Self).ok_or(MediaError::KeyLength)
    }

    /// The bytes, for the message that carries them.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }
}

/// What a media key expands to for one kind. Shown to nobody.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MediaKeys {
    pub(super) iv: [u8; 16],
    pub(super) cipher: [u8; 32],
    pub(super) mac: [u8; 32],
    reference: [u8; 32],
}

impl MediaKeys {
    /// Expands `key` for objects of `kind`.
    #[must_use]
    pub fn derive(key: &MediaKey, kind: &MediaKind) -> Self {
        let expanded = hkdf_sha256::<112>(None, key.expose(), kind.info().as_bytes());
        let expanded = expanded.expose();
        let mut keys = Self { iv: [0; 16], cipher: [0; 32], mac: [0; 32], reference: [0; 32] };
        keys.iv.copy_from_slice(&expanded[..16]);
        keys.cipher.copy_from_slice(&expanded[16..48]);
        keys.mac.copy_from_slice(&expanded[48..80]);
        keys.reference.copy_from_slice(&expanded[80..]);
        keys
    }

    /// The initialisation vector.
    #[must_use]
    pub const fn iv(&self) -> &[u8; 16] {
        &self.iv
    }

    /// The cipher's key.
    #[must_use]
    pub const fn cipher_key(&self) -> &[u8; 32] {
        &self.cipher
    }

    /// The key of the authentication code and of the sidecars.
    #[must_use]
    pub const fn mac_key(&self) -> &[u8; 32] {
        &self.mac
    }

    /// The last part of the expansion; no known client uses it.
    #[must_use]
    pub const fn reference_key(&self) -> &[u8; 32] {
        &self.reference
    }

    /// An authentication code that has taken nothing yet.
    pub(super) fn fresh_mac(&self) -> Mac {
        // Padded to a whole block so that the key's length is right by type.
        let mut block = [0; 64];
        block[..32].copy_from_slice(&self.mac);
        let mac = Mac::new(&block.into());
        block.zeroize();
        mac
    }
}
