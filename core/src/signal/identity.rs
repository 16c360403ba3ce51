//! Who a device is to others: registration id and identity key pair. Knows neither account signatures nor addresses.

use crate::crypto::{KeyPair, Rng};

/// The number a device draws when it registers; tells a reinstalled device from the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegistrationId(pub u32);

impl RegistrationId {
    /// A new one: never 0, which peers read as absent, and below 2^31, which all peers take.
    pub fn generate(rng: &mut Rng) -> Self {
        Self(rng.below(0x7FFF_FFFF) + 1)
    }

    /// The four bytes that stanzas carry.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }

    /// Reads what stanzas carry. `None` unless there are four bytes.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(u32::from_be_bytes).map(Self)
    }
}

/// This device's own identity, borrowed from the account.
#[derive(Clone, Copy)]
pub struct LocalIdentity<'a> {
    /// The identity key pair.
    pub keys: &'a KeyPair,
    /// The own registration id.
    pub registration_id: RegistrationId,
}
