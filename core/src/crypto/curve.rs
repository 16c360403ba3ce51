//! Curve25519: key agreement (X25519) and signatures (XEdDSA) with one kind of key. Knows nothing of who owns a key.

use crate::crypto::{Rng, Secret, symmetric};
use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::montgomery::MontgomeryPoint;
use curve25519_dalek::scalar::Scalar;
use sha2::{Digest, Sha512};
use thiserror::Error;
use zeroize::Zeroizing;

/// Why a curve operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CurveError {
    /// A serialised public key is not 33 bytes that begin with 05.
    #[error("public key is not 33 bytes of type 05")]
    PublicKeyForm,
    /// The agreement gave zero: the other side sent a point of low order.
    #[error("shared secret is zero")]
    ZeroSharedSecret,
    /// A signature is not 64 bytes.
    #[error("signature is not 64 bytes")]
    SignatureForm,
    /// The signature does not belong to this key and message.
    #[error("signature does not verify")]
    SignatureMismatch,
}

/// A Curve25519 public key: the u-coordinate, 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

/// A Curve25519 private key, clamped. Wiped on drop; cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKey(Secret<32>);

/// A private key with its public half.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyPair {
    /// The secret half.
    pub private: PrivateKey,
    /// The half that others may see.
    pub public: PublicKey,
}

/// An XEdDSA signature.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Signature(pub [u8; 64]);

/// A private key prepared for many signatures: saves one of two base-point multiplications per signature.
#[derive(Clone, PartialEq, Eq)]
pub struct Signer {
    private: PrivateKey,
    edwards: [u8; 32],
}

/// Type byte in front of a serialised Curve25519 key.
const KEY_TYPE: u8 = 0x05;

impl PublicKey {
    /// Wraps the raw 32 bytes, as stanzas and certificates carry them.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads raw bytes of unknown length. Fails with `PublicKeyForm` unless there are 32.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, CurveError> {
        bytes.try_into().map(Self).map_err(|_| CurveError::PublicKeyForm)
    }

    /// Reads the 33-byte form. Fails with `PublicKeyForm` unless it is 05 and 32 bytes.
    pub fn deserialize(bytes: &[u8]) -> Result<Self, CurveError> {
        match bytes.split_first() {
            Some((&KEY_TYPE, raw)) => Self::from_slice(raw),
            _ => Err(CurveError::PublicKeyForm),
        }
    }

    /// The 33-byte form, 05 in front: what is signed, authenticated, and put into encrypted messages.
    #[must_use]
    pub fn serialize(&self) -> [u8; 33] {
        let mut out = [KEY_TYPE; 33];
        for (to, from) in out.iter_mut().skip(1).zip(self.0) {
            *to = from;
        }
        out
    }

    /// The raw 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Checks `signature` over the concatenation of `parts`. Fails with `SignatureMismatch`, also for a scalar that is
    /// not reduced (some peers let that pass) and for keys that have no Edwards form. Variable time: nothing here is secret.
    pub fn verify(&self, parts: &[&[u8]], signature: &Signature) -> Result<(), CurveError> {
        let (r, s) = signature.halves();
        let sign = s.last().map_or(0, |byte| byte >> 7);
        let mut s = *s;
        if let Some(byte) = s.last_mut() {
            *byte &= 0x7F;
        }
        let s = Option::<Scalar>::from(Scalar::from_canonical_bytes(s)).ok_or(CurveError::SignatureMismatch)?;
        let point = MontgomeryPoint(self.0).to_edwards(sign).ok_or(CurveError::SignatureMismatch)?;
        let challenge = reduced_sha512(&[r, point.compress().as_bytes()], parts);
        let expected = EdwardsPoint::vartime_double_scalar_mul_basepoint(&challenge, &-point, &s).compress();
        if expected.as_bytes() != r {
            return Err(CurveError::SignatureMismatch);
        }
        Ok(())
    }
}

impl PrivateKey {
    /// Clamps `bytes` into a private key.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        let bytes = Zeroizing::new(bytes);
        Self(Secret::new(curve25519_dalek::scalar::clamp_integer(*bytes)))
    }

    /// A new key.
    pub fn generate(rng: &mut Rng) -> Self {
        Self::from_bytes(rng.bytes())
    }

    /// The clamped bytes, for a record.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    /// The public half. Costs a base-point multiplication.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(EdwardsPoint::mul_base_clamped(*self.expose()).to_montgomery().0)
    }

    /// The X25519 shared secret with `their`. Fails with `ZeroSharedSecret` for a point of low order.
    pub fn agree(&self, their: &PublicKey) -> Result<Secret<32>, CurveError> {
        let shared = Secret::new(MontgomeryPoint(their.0).mul_clamped(*self.expose()).0);
        if symmetric::constant_time_eq(shared.expose(), &[0; 32]) {
            return Err(CurveError::ZeroSharedSecret);
        }
        Ok(shared)
    }

    /// Signs the concatenation of `parts`. `random` must be fresh for every signature.
    #[must_use]
    pub fn sign(&self, parts: &[&[u8]], random: &[u8; 64]) -> Signature {
        Signer::new(self).sign(parts, random)
    }
}

impl KeyPair {
    /// A new pair.
    pub fn generate(rng: &mut Rng) -> Self {
        Self::from(PrivateKey::generate(rng))
    }

    /// The pair of a stored private key: clamps it and computes the public half.
    #[must_use]
    pub fn from_private(bytes: [u8; 32]) -> Self {
        Self::from(PrivateKey::from_bytes(bytes))
    }

    /// The X25519 shared secret with `their`; see [`PrivateKey::agree`].
    pub fn agree(&self, their: &PublicKey) -> Result<Secret<32>, CurveError> {
        self.private.agree(their)
    }

    /// Signs the concatenation of `parts`; see [`PrivateKey::sign`].
    #[must_use]
    pub fn sign(&self, parts: &[&[u8]], random: &[u8; 64]) -> Signature {
        self.private.sign(parts, random)
    }
}

impl From<PrivateKey> for KeyPair {
    fn from(private: PrivateKey) -> Self {
        let public = private.public();
        Self { private, public }
    }
}

impl Signature {
    /// Reads bytes of unknown length. Fails with `SignatureForm` unless there are 64.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, CurveError> {
        bytes.try_into().map(Self).map_err(|_| CurveError::SignatureForm)
    }

    /// The 64 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }

    fn halves(&self) -> (&[u8; 32], &[u8; 32]) {
        const ZERO: &[u8; 32] = &[0; 32];
        (self.0.first_chunk().unwrap_or(ZERO), self.0.last_chunk().unwrap_or(ZERO))
    }
}

impl Signer {
    /// Prepares `private`. Costs a base-point multiplication.
    #[must_use]
    pub fn new(private: &PrivateKey) -> Self {
        let edwards = EdwardsPoint::mul_base_clamped(*private.expose()).compress().to_bytes();
        Self { private: private.clone(), edwards }
    }

    /// Restores a signer from a record of both parts. With an `edwards` that is not the key's, signatures do not verify.
    #[must_use]
    pub const fn from_parts(private: PrivateKey, edwards: [u8; 32]) -> Self {
        Self { private, edwards }
    }

    /// The key, for a record.
    #[must_use]
    pub const fn private(&self) -> &PrivateKey {
        &self.private
    }

    /// The public point in the form that is hashed, for a record.
    #[must_use]
    pub const fn edwards(&self) -> &[u8; 32] {
        &self.edwards
    }

    /// Signs the concatenation of `parts`. `random` must be fresh for every signature.
    #[must_use]
    pub fn sign(&self, parts: &[&[u8]], random: &[u8; 64]) -> Signature {
        // The prefix (2^256 - 2, little-endian) keeps this hash apart from every other use of the private key.
        let mut prefix = [0xFF; 32];
        prefix[0] = 0xFE;
        let mut digest = Sha512::new().chain_update(prefix).chain_update(self.private.expose());
        for part in parts {
            digest.update(part);
        }
        let nonce = Zeroizing::new(Scalar::from_bytes_mod_order_wide(&digest.chain_update(random).finalize().into()));
        let r = EdwardsPoint::mul_base(&nonce).compress();
        let challenge = reduced_sha512(&[r.as_bytes(), &self.edwards], parts);
        let scalar = Zeroizing::new(Scalar::from_bytes_mod_order(*self.private.expose()));
        let mut s = (challenge * *scalar + *nonce).to_bytes();
        let sign = self.edwards.last().map_or(0, |byte| byte & 0x80);
        if let Some(last) = s.last_mut() {
            *last |= sign;
        }
        let mut out = [0; 64];
        for (to, from) in out.iter_mut().zip(r.as_bytes().iter().chain(&s)) {
            *to = *from;
        }
        Signature(out)
    }
}

fn reduced_sha512(points: &[&[u8; 32]; 2], parts: &[&[u8]]) -> Scalar {
    let mut digest = Sha512::new();
    for point in points {
        digest.update(point);
    }
    for part in parts {
        digest.update(part);
    }
    Scalar::from_bytes_mod_order_wide(&digest.finalize().into())
}

/// Hex of the first four bytes: enough to tell keys apart in a log.
impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PublicKey(")?;
        for byte in self.0.iter().take(4) {
            write!(f, "{byte:02x}")?;
        }
        f.write_str("..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Seed;

    fn rng() -> Rng {
        Rng::new(&Seed::new([7; 32]))
    }

    #[test]
    fn both_sides_agree_on_a_secret() {
        let mut rng = rng();
        let (alice, bob) = (KeyPair::generate(&mut rng), KeyPair::generate(&mut rng));
        assert!(alice.agree(&bob.public).unwrap() == bob.agree(&alice.public).unwrap());
    }

    #[test]
    fn points_of_low_order_are_refused() {
        let pair = KeyPair::generate(&mut rng());
        for point in [[0; 32], {
            let mut one = [0; 32];
            one[0] = 1;
            one
        }] {
            assert!(pair.agree(&PublicKey::from_bytes(point)) == Err(CurveError::ZeroSharedSecret));
        }
    }

    #[test]
    fn signature_binds_key_and_every_byte_of_the_message() {
        let mut rng = rng();
        for _ in 0..8 {
            let pair = KeyPair::generate(&mut rng);
            let signature = pair.sign(&[b"one ", b"two"], &rng.bytes());
            assert_eq!(pair.public.verify(&[b"one two"], &signature), Ok(()));
            assert_eq!(pair.public.verify(&[b"one twO"], &signature), Err(CurveError::SignatureMismatch));
            let other = KeyPair::generate(&mut rng).public;
            assert_eq!(other.verify(&[b"one two"], &signature), Err(CurveError::SignatureMismatch));
            for at in [0, 31, 32, 62, 63] {
                let mut changed = signature;
                changed.0[at] ^= 0x20;
                assert_eq!(pair.public.verify(&[b"one two"], &changed), Err(CurveError::SignatureMismatch));
            }
        }
    }

    #[test]
    fn key_without_edwards_form_verifies_nothing() {
        // u = -1 has no image on the Edwards curve.
        let mut minus_one = [0xFF; 32];
        minus_one[0] = 0xEC;
        minus_one[31] = 0x7F;
        let signature = KeyPair::generate(&mut rng()).sign(&[b"m"], &[0; 64]);
        let verdict = PublicKey::from_bytes(minus_one).verify(&[b"m"], &signature);
        assert_eq!(verdict, Err(CurveError::SignatureMismatch));
    }

    #[test]
    fn serialised_form_needs_its_type_byte() {
        let key = KeyPair::generate(&mut rng()).public;
        assert_eq!(PublicKey::deserialize(&key.serialize()), Ok(key));
        assert_eq!(PublicKey::deserialize(key.as_bytes()), Err(CurveError::PublicKeyForm));
        let mut wrong = key.serialize();
        wrong[0] = 6;
        assert_eq!(PublicKey::deserialize(&wrong), Err(CurveError::PublicKeyForm));
    }
}
