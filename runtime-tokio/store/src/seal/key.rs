//! The key of a store, and its form as text.

use whatsio_core::crypto::Secret;
use zeroize::Zeroizing;

/// 32 random bytes that a store's records are sealed under. Wiped on drop, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreKey(Secret<32>);

/// The text is not a key. It is not repeated here, since it may be one with a slip of the pen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key is written as `whatsio-store-key-v1:` and 64 hex digits")]
pub struct MalformedKey;

const PREFIX: &str = "whatsio-store-key-v1:";

impl StoreKey {
    /// A new key. Fails when the operating system offers no randomness.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(bytes.as_mut_slice())?;
        Ok(Self(Secret::new(*bytes)))
    }

    /// The key of these bytes, which must be random: for keychains and key services. A passphrase is no key.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Secret::new(bytes))
    }

    /// Reads what [`to_text`](Self::to_text) wrote; white space around it is ignored.
    pub fn parse(text: &str) -> Result<Self, MalformedKey> {
        let digits = text.trim().strip_prefix(PREFIX).ok_or(MalformedKey)?;
        let mut bytes = Zeroizing::new([0; 32]);
        hex::decode_to_slice(digits, bytes.as_mut_slice()).map_err(|_| MalformedKey)?;
        Ok(Self(Secret::new(*bytes)))
    }

    /// The key as text: `whatsio-store-key-v1:` and 64 hex digits.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let digits = Zeroizing::new(hex::encode(self.expose()));
        Zeroizing::new([PREFIX, digits.as_str()].concat())
    }

    /// The bytes, for sealing with it.
    pub(crate) const fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }
}

impl std::fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoreKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_survives_its_text_and_is_not_printed() {
        let key = StoreKey::generate().unwrap();
        assert_eq!(StoreKey::parse(&format!(" {}\n", key.to_text().as_str())), Ok(key.clone()));
        assert_eq!(format!("{key:?}"), "StoreKey(..)");
        assert_ne!(key, StoreKey::generate().unwrap());
    }

    #[test]
    fn text_that_is_no_key_is_refused() {
        let digits = "0f".repeat(32);
        assert!(StoreKey::parse(&format!("{PREFIX}{digits}")).is_ok());
        for bad in
            ["", "correct horse", &digits, &format!("{PREFIX}{digits}00"), &format!("whatsio-store-key-v2:{digits}")]
        {
            assert_eq!(StoreKey::parse(bad), Err(MalformedKey), "{bad}");
        }
    }
}
