//! The symmetric half of the Noise framework as this protocol uses it: running hash, chaining key, cipher key, counter.
//! Knows nothing of messages or of who speaks; the order of steps is with `handshake` and `responder`.

use crate::crypto::symmetric::{Gcm, hkdf_sha256, sha256};
use crate::crypto::{CipherError, KeyPair, PublicKey, Secret};
use crate::noise::cipher::nonce;
use crate::noise::{NoiseError, PROLOGUE};

/// Which handshake runs: names the hash starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Neither side knows the other: every first connection.
    Xx,
    /// The client remembers the server's static key and sends its payload at once.
    Ik,
    /// The server answers an IK hello with XX.
    XxFallback,
}

impl Pattern {
    /// The protocol name; the two of 28 letters are padded with zeros to 32 bytes.
    #[must_use]
    pub const fn name(self) -> &'static [u8] {
        match self {
            Self::Xx => b"Noise_XX_25519_AESGCM_SHA256\0\0\0\0",
            Self::Ik => b"Noise_IK_25519_AESGCM_SHA256\0\0\0\0",
            Self::XxFallback => b"Noise_XXfallback_25519_AESGCM_SHA256",
        }
    }
}

/// State of a running handshake. Both sides that take the same steps hold the same values.
#[derive(Clone)]
pub struct Symmetric {
    hash: [u8; 32],
    chaining: Secret<32>,
    key: Secret<32>,
    counter: u32,
}

impl Symmetric {
    /// The state before anything was exchanged, without the prologue. Names of 32 bytes are the hash, others are hashed.
    #[must_use]
    pub fn unmixed(pattern: Pattern) -> Self {
        let name = pattern.name();
        let hash = name.try_into().unwrap_or_else(|_| sha256(&[name]));
        Self { hash, chaining: Secret::new(hash), key: Secret::new(hash), counter: 0 }
    }

    /// The state both sides start from: [`Self::unmixed`] with the prologue mixed in.
    #[must_use]
    pub fn new(pattern: Pattern) -> Self {
        let mut state = Self::unmixed(pattern);
        state.mix_hash(&PROLOGUE);
        state
    }

    /// Folds what both sides see into the running hash.
    pub fn mix_hash(&mut self, data: &[u8]) {
        self.hash = sha256(&[&self.hash, data]);
    }

    /// Folds a shared secret into the keys and restarts the counter.
    pub fn mix_key(&mut self, shared: &Secret<32>) {
        (self.chaining, self.key) = halves(&hkdf_sha256(Some(self.chaining.expose()), shared.expose(), &[]));
        self.counter = 0;
    }

    /// Agrees on a shared secret and folds it in. Fails with `Agreement` for a point of low order.
    pub fn mix_agreement(&mut self, own: &KeyPair, their: &PublicKey) -> Result<(), NoiseError> {
        self.mix_key(&own.agree(their)?);
        Ok(())
    }

    /// Enciphers under the running hash and mixes the ciphertext in. Fails only beyond 64 GiB.
    pub fn encrypt(&mut self, plain: &[u8]) -> Result<Vec<u8>, CipherError> {
        let cipher = Gcm::new(self.key.expose()).seal(&nonce(self.counter), &self.hash, plain)?;
        self.counter = self.counter.saturating_add(1);
        self.mix_hash(&cipher);
        Ok(cipher)
    }

    /// Deciphers under the running hash and mixes the ciphertext in. On failure nothing changes.
    pub fn decrypt(&mut self, cipher: &[u8]) -> Result<Vec<u8>, CipherError> {
        let plain = Gcm::new(self.key.expose()).open(&nonce(self.counter), &self.hash, cipher)?;
        self.counter = self.counter.saturating_add(1);
        self.mix_hash(cipher);
        Ok(plain)
    }

    /// The two transport keys: client to server, then server to client.
    #[must_use]
    pub fn split(&self) -> (Secret<32>, Secret<32>) {
        halves(&hkdf_sha256(Some(self.chaining.expose()), &[], &[]))
    }

    /// The running hash. At the end it names the handshake; it is not secret.
    #[must_use]
    pub const fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// The chaining key, for checking against recorded handshakes.
    #[must_use]
    pub const fn chaining_key(&self) -> &Secret<32> {
        &self.chaining
    }

    /// The cipher key, for checking against recorded handshakes.
    #[must_use]
    pub const fn cipher_key(&self) -> &Secret<32> {
        &self.key
    }

    /// Messages enciphered under the cipher key so far.
    #[must_use]
    pub const fn counter(&self) -> u32 {
        self.counter
    }
}

fn halves(both: &Secret<64>) -> (Secret<32>, Secret<32>) {
    let (first, second) = both.expose().split_at(32);
    let half = |bytes: &[u8]| Secret::from_slice(bytes).unwrap_or(Secret::new([0; 32]));
    (half(first), half(second))
}
