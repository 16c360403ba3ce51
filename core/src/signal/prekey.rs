//! Prekeys: what a device publishes so that others can write to it first. Knows neither uploads nor storage.

use super::record::{Reader, put_key_pair};
use super::{BundleError, RecordError, RegistrationId};
use crate::crypto::{KeyPair, PublicKey, Rng, Signature, symmetric};

macro_rules! key_ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u32);

        impl $name {
            /// The first one a device uses.
            pub const FIRST: Self = Self(1);

            /// Wraps a number. `None` for 0, which peers read as absent, and beyond 24 bits.
            #[must_use]
            pub const fn new(number: u32) -> Option<Self> {
                if number == 0 || number > MAX_ID { None } else { Some(Self(number)) }
            }

            /// The number.
            #[must_use]
            pub const fn number(self) -> u32 {
                self.0
            }

            /// The one that follows; after the last comes the first.
            #[must_use]
            pub const fn next(self) -> Self {
                if self.0 == MAX_ID { Self::FIRST } else { Self(self.0 + 1) }
            }

            /// The three bytes that stanzas carry.
            #[must_use]
            pub const fn to_bytes(self) -> [u8; 3] {
                let [_, a, b, c] = self.0.to_be_bytes();
                [a, b, c]
            }

            /// Reads what stanzas carry. `None` unless there are three bytes that are not all zero.
            #[must_use]
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                let &[a, b, c] = bytes else { return None };
                Self::new(u32::from_be_bytes([0, a, b, c]))
            }
        }
    )*};
}

key_ids! {
    /// The number of a one-time prekey: 24 bits, never 0.
    PreKeyId,
    /// The number of a signed prekey: 24 bits, never 0.
    SignedPreKeyId,
}

const MAX_ID: u32 = 0x00FF_FFFF;

/// A one-time prekey with its private half.
#[derive(Clone, PartialEq, Eq)]
pub struct PreKey {
    /// Its number.
    pub id: PreKeyId,
    /// Both halves.
    pub keys: KeyPair,
}

/// A signed prekey with its private half.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedPreKey {
    /// Its number.
    pub id: SignedPreKeyId,
    /// Both halves.
    pub keys: KeyPair,
    /// The identity's signature over the public half.
    pub signature: Signature,
    /// When it was made: seconds since 1970.
    pub created: u64,
}

/// Which of our prekeys a first message was made for, as loaded for it.
#[derive(Clone, Copy)]
pub struct OwnPreKeys<'a> {
    /// The signed prekey the message names.
    pub signed: &'a SignedPreKey,
    /// The one-time prekey, exactly when the message names one.
    pub one_time: Option<&'a PreKey>,
}

/// The published half of a one-time prekey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicPreKey {
    /// Its number.
    pub id: PreKeyId,
    /// The key.
    pub key: PublicKey,
}

/// The published half of a signed prekey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicSignedPreKey {
    /// Its number.
    pub id: SignedPreKeyId,
    /// The key.
    pub key: PublicKey,
    /// The identity's signature over the key.
    pub signature: Signature,
}

/// What a server hands out so that a session can be started with a device. Not yet believed: see [`Self::verify`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreKeyBundle {
    /// The device's registration id.
    pub registration_id: RegistrationId,
    /// The device's identity.
    pub identity: PublicKey,
    /// Its signed prekey.
    pub signed_prekey: PublicSignedPreKey,
    /// One of its one-time prekeys, if the server had any left.
    pub prekey: Option<PublicPreKey>,
}

/// A bundle whose signed prekey carries its identity's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifiedBundle(PreKeyBundle);

impl PreKey {
    /// A new key under the number `id`.
    pub fn generate(id: PreKeyId, rng: &mut Rng) -> Self {
        Self { id, keys: KeyPair::generate(rng) }
    }

    /// The published half.
    #[must_use]
    pub const fn public(&self) -> PublicPreKey {
        PublicPreKey { id: self.id, key: self.keys.public }
    }

    /// The record: 69 bytes. Holds the private half.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(PREKEY_LEN);
        out.push(PREKEY_VERSION);
        out.extend_from_slice(&self.id.0.to_le_bytes());
        put_key_pair(&mut out, &self.keys);
        out
    }

    /// Reads a record of any version written so far.
    pub fn decode(record: &[u8]) -> Result<Self, RecordError> {
        let mut reader = Reader::open(record, PREKEY_VERSION)?;
        let key = Self { id: reader.prekey_id()?, keys: reader.key_pair()? };
        reader.close().map(|()| key)
    }
}

impl SignedPreKey {
    /// A new key under the number `id`, signed by `identity`; `created` is in seconds since 1970.
    pub fn generate(id: SignedPreKeyId, identity: &KeyPair, created: u64, rng: &mut Rng) -> Self {
        let keys = KeyPair::generate(rng);
        let signature = identity.sign(&[&keys.public.serialize()], &rng.bytes());
        Self { id, keys, signature, created }
    }

    /// The published half.
    #[must_use]
    pub const fn public(&self) -> PublicSignedPreKey {
        PublicSignedPreKey { id: self.id, key: self.keys.public, signature: self.signature }
    }

    /// The record: 141 bytes. Holds the private half.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SIGNED_PREKEY_LEN);
        out.push(SIGNED_PREKEY_VERSION);
        out.extend_from_slice(&self.id.0.to_le_bytes());
        put_key_pair(&mut out, &self.keys);
        out.extend_from_slice(self.signature.as_bytes());
        out.extend_from_slice(&self.created.to_le_bytes());
        out
    }

    /// Reads a record of any version written so far.
    pub fn decode(record: &[u8]) -> Result<Self, RecordError> {
        let mut reader = Reader::open(record, SIGNED_PREKEY_VERSION)?;
        let key = Self {
            id: reader.signed_prekey_id()?,
            keys: reader.key_pair()?,
            signature: Signature(reader.array()?),
            created: reader.u64()?,
        };
        reader.close().map(|()| key)
    }
}

impl PublicSignedPreKey {
    /// Checks the signature of `identity`. Costs one signature verification.
    pub fn verify(&self, identity: &PublicKey) -> Result<(), BundleError> {
        identity.verify(&[&self.key.serialize()], &self.signature).map_err(|_| BundleError::BadSignature)
    }
}

impl PreKeyBundle {
    /// Checks the signed prekey's signature. Costs one signature verification; fails with `BadSignature`.
    pub fn verify(self) -> Result<VerifiedBundle, BundleError> {
        self.signed_prekey.verify(&self.identity)?;
        Ok(VerifiedBundle(self))
    }
}

impl VerifiedBundle {
    /// The bundle.
    #[must_use]
    pub const fn bundle(&self) -> &PreKeyBundle {
        &self.0
    }
}

/// The hash by which a server's copy of our keys is compared with ours: identity, signed prekey and its signature, then
/// the one-time prekeys in the order the server lists them.
#[must_use]
pub fn bundle_digest<'a>(
    identity: &PublicKey,
    signed_prekey: &PublicSignedPreKey,
    prekeys: impl IntoIterator<Item = &'a PublicKey>,
) -> [u8; 20] {
    let mut parts: Vec<&[u8]> =
        vec![identity.as_bytes(), signed_prekey.key.as_bytes(), signed_prekey.signature.as_bytes()];
    parts.extend(prekeys.into_iter().map(|key| key.as_bytes().as_slice()));
    symmetric::sha1(&parts)
}

const PREKEY_VERSION: u8 = 1;
const PREKEY_LEN: usize = 1 + 4 + 64;
const SIGNED_PREKEY_VERSION: u8 = 1;
const SIGNED_PREKEY_LEN: usize = 1 + 4 + 64 + 64 + 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Seed;

    #[test]
    fn ids_wrap_around_without_zero() {
        assert_eq!(PreKeyId::new(0), None);
        assert_eq!(PreKeyId::new(MAX_ID + 1), None);
        assert_eq!(PreKeyId::new(MAX_ID).unwrap().next(), PreKeyId::FIRST);
        assert_eq!(PreKeyId::FIRST.next().to_bytes(), [0, 0, 2]);
        assert_eq!(PreKeyId::from_slice(&[1, 2, 3]), PreKeyId::new(0x010203));
        assert_eq!(PreKeyId::from_slice(&[0, 0, 0]), None);
        assert_eq!(PreKeyId::from_slice(&[0, 0, 0, 1]), None);
    }

    #[test]
    fn prekey_records_round_trip_and_refuse_damage() {
        let mut rng = Rng::new(&Seed::new([3; 32]));
        let identity = KeyPair::generate(&mut rng);
        let once = PreKey::generate(PreKeyId::FIRST, &mut rng);
        let signed = SignedPreKey::generate(SignedPreKeyId::FIRST, &identity, 1_700_000_000, &mut rng);
        let (first, second) = (once.encode(), signed.encode());
        assert_eq!((first.len(), second.len()), (PREKEY_LEN, SIGNED_PREKEY_LEN));
        assert!(PreKey::decode(&first) == Ok(once));
        assert!(SignedPreKey::decode(&second) == Ok(signed));
        assert!(PreKey::decode(&first[..60]) == Err(RecordError::Damaged));
        assert!(PreKey::decode(&[first.as_slice(), &[0]].concat()) == Err(RecordError::Damaged));
        assert!(PreKey::decode(&[9]) == Err(RecordError::UnknownVersion(9)));
        assert!(SignedPreKey::decode(&[]) == Err(RecordError::Damaged));
    }

    #[test]
    fn bundle_with_a_foreign_signature_is_refused() {
        let mut rng = Rng::new(&Seed::new([4; 32]));
        let (identity, other) = (KeyPair::generate(&mut rng), KeyPair::generate(&mut rng));
        let signed = SignedPreKey::generate(SignedPreKeyId::FIRST, &identity, 0, &mut rng);
        let mut bundle = PreKeyBundle {
            registration_id: RegistrationId(5),
            identity: identity.public,
            signed_prekey: signed.public(),
            prekey: None,
        };
        assert!(bundle.verify().is_ok());
        bundle.identity = other.public;
        assert_eq!(bundle.verify(), Err(BundleError::BadSignature));
    }
}
