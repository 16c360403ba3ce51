//! Security codes: what two people compare to know that nobody sits between them.
//!
//! This is the algorithm of the library family that the protocol comes from. Which identifiers and how many rounds the
//! official apps use today is not known, so codes made here match those of the same parameters only.

use crate::crypto::{PublicKey, symmetric};
use whatsio_proto::fields::{put_bytes, put_uint};

/// One side's half of a code: an identity and an identifier, hashed many times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fingerprint([u8; 64]);

/// A code made of both sides' fingerprints.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SecurityCode {
    local: Fingerprint,
    remote: Fingerprint,
}

impl Fingerprint {
    /// Rounds of the library family's default.
    pub const ROUNDS: u32 = 5_200;

    /// Hashes `identity` and the stable identifier of its owner. Costs `rounds` SHA-512 hashes.
    #[must_use]
    pub fn new(identity: &PublicKey, identifier: &[u8], rounds: u32) -> Self {
        let key = identity.serialize();
        let mut hash = symmetric::sha512(&[&[0, 0], &key, identifier, &key]);
        for _ in 1..rounds {
            hash = symmetric::sha512(&[&hash, &key]);
        }
        Self(hash)
    }

    fn digits(&self) -> String {
        let (groups, _) = self.0.as_chunks::<5>();
        let numbers = groups.iter().take(6).map(|&[a, b, c, d, e]| {
            let number = u64::from_be_bytes([0, 0, 0, a, b, c, d, e]);
            format!("{:05}", number % 100_000)
        });
        numbers.collect()
    }

    fn leading(&self) -> &[u8] {
        self.0.first_chunk::<32>().map_or(&[], |half| half)
    }
}

impl SecurityCode {
    /// Combines both halves.
    #[must_use]
    pub const fn new(local: Fingerprint, remote: Fingerprint) -> Self {
        Self { local, remote }
    }

    /// Sixty digits, the same on both sides.
    #[must_use]
    pub fn digits(&self) -> String {
        let (local, remote) = (self.local.digits(), self.remote.digits());
        if local <= remote { local + &remote } else { remote + &local }
    }

    /// The bytes to show as a QR code: local half first, so each side's differ.
    #[must_use]
    pub fn scannable(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_uint(&mut out, 1, SCANNABLE_VERSION);
        for (field, half) in [(2, &self.local), (3, &self.remote)] {
            let mut inner = Vec::new();
            put_bytes(&mut inner, 1, half.leading());
            put_bytes(&mut out, field, &inner);
        }
        out
    }
}

const SCANNABLE_VERSION: u64 = 2;
