//! Keys that follow from keys: root, chain and message keys, and what a message key seals. Knows no counters.

use super::short_mac::ShortMac;
use crate::crypto::symmetric::{self, CipherError};
use crate::crypto::{PublicKey, Secret};
use zeroize::{Zeroize, Zeroizing};

/// Length of the authentication code at the end of a pairwise message.
pub const MAC_LEN: usize = 8;

/// The key that every ratchet step replaces.
#[derive(Clone, PartialEq, Eq)]
pub struct RootKey(Secret<32>);

/// The key of a chain at one position. Each message takes a seed from it and moves it on.
#[derive(Clone, PartialEq, Eq)]
pub struct ChainKey(Secret<32>);

/// What one message's keys are derived from.
#[derive(Clone, PartialEq, Eq)]
pub struct MessageSeed(Secret<32>);

/// The keys of one pairwise message.
pub struct MessageKeys {
    cipher: Secret<32>,
    mac: Secret<32>,
    iv: Secret<16>,
}

/// The keys of one group message.
pub struct GroupMessageKeys {
    cipher: Secret<32>,
    iv: Secret<16>,
}

impl RootKey {
    /// Wraps stored bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Secret::new(bytes))
    }

    /// The bytes, for a record.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    /// One ratchet step: the next root and a new chain from a fresh shared secret.
    #[must_use]
    pub fn step(&self, shared: &Secret<32>) -> (Self, ChainKey) {
        let okm = Zeroizing::new(ShortMac::new(self.expose()).extract(shared.expose()).expand(b"WhisperRatchet"));
        root_and_chain(&okm)
    }

    /// The first root and chain from the agreement's secret.
    #[must_use]
    pub fn first(secret: &[u8]) -> (Self, ChainKey) {
        let mut okm = Zeroizing::new([[0; 32]; 2]);
        // Fails beyond 8160 bytes only.
        let _ = symmetric::hkdf_sha256_into(None, secret, b"WhisperText", okm.as_flattened_mut());
        root_and_chain(&okm)
    }
}

impl ChainKey {
    /// Wraps stored or received bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Secret::new(bytes))
    }

    /// The bytes, for a record or a distribution message.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    /// The seed of the message at this position.
    #[must_use]
    pub fn seed(&self) -> MessageSeed {
        MessageSeed(Secret::new(ShortMac::new(self.expose()).of_byte(0x01)))
    }

    /// The key of the next position.
    #[must_use]
    pub fn next(&self) -> Self {
        Self(Secret::new(ShortMac::new(self.expose()).of_byte(0x02)))
    }

    /// Both at once, which is cheaper than one after the other.
    #[must_use]
    pub fn step(&self) -> (MessageSeed, Self) {
        let mac = ShortMac::new(self.expose());
        (MessageSeed(Secret::new(mac.of_byte(0x01))), Self(Secret::new(mac.of_byte(0x02))))
    }
}

impl MessageSeed {
    /// Wraps stored bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Secret::new(bytes))
    }

    /// The bytes, for a record.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    /// The keys of a pairwise message.
    #[must_use]
    pub fn message_keys(&self) -> MessageKeys {
        let okm = Zeroizing::new(ShortMac::unsalted().extract(self.expose()).expand(b"WhisperMessageKeys"));
        let [cipher, mac, iv] = *okm;
        MessageKeys { cipher: Secret::new(cipher), mac: Secret::new(mac), iv: Secret::new(leading(&iv)) }
    }

    /// The keys of a group message.
    #[must_use]
    pub fn group_message_keys(&self) -> GroupMessageKeys {
        // 16 bytes first, then 32, over the border of two blocks.
        let okm: Zeroizing<[[u8; 32]; 2]> =
            Zeroizing::new(ShortMac::unsalted().extract(self.expose()).expand(b"WhisperGroup"));
        let (mut iv, mut cipher) = ([0; 16], [0; 32]);
        for (to, from) in iv.iter_mut().chain(&mut cipher).zip(okm.as_flattened()) {
            *to = *from;
        }
        GroupMessageKeys { cipher: Secret::new(cipher), iv: Secret::new(iv) }
    }
}

impl MessageKeys {
    /// Appends the enciphered `plaintext` to `out`.
    pub fn encipher_onto(&self, plaintext: &[u8], out: &mut Vec<u8>) {
        symmetric::aes256_cbc_encrypt_onto(self.cipher.expose(), self.iv.expose(), plaintext, out);
    }

    /// Deciphers a message body whose code has been checked. Fails when blocks or padding are not whole.
    pub fn decipher(&self, ciphertext: &[u8]) -> Result<Vec<u8>, CipherError> {
        symmetric::aes256_cbc_decrypt(self.cipher.expose(), self.iv.expose(), ciphertext)
    }

    /// The authentication code over `body`, bound to who sends it to whom.
    #[must_use]
    pub fn authenticate(&self, sender: &PublicKey, receiver: &PublicKey, body: &[u8]) -> [u8; MAC_LEN] {
        let mut full = symmetric::hmac_sha256(self.mac.expose(), &[&sender.serialize(), &receiver.serialize(), body]);
        let code = leading(&full);
        full.zeroize();
        code
    }

    /// The key of the cipher.
    #[must_use]
    pub const fn cipher(&self) -> &[u8; 32] {
        self.cipher.expose()
    }

    /// The key of the authentication code.
    #[must_use]
    pub const fn mac(&self) -> &[u8; 32] {
        self.mac.expose()
    }

    /// The first block that the cipher chains from.
    #[must_use]
    pub const fn iv(&self) -> &[u8; 16] {
        self.iv.expose()
    }
}

impl GroupMessageKeys {
    /// Appends the enciphered `plaintext` to `out`.
    pub fn encipher_onto(&self, plaintext: &[u8], out: &mut Vec<u8>) {
        symmetric::aes256_cbc_encrypt_onto(self.cipher.expose(), self.iv.expose(), plaintext, out);
    }

    /// Deciphers a message body whose signature has been checked. Fails when blocks or padding are not whole.
    pub fn decipher(&self, ciphertext: &[u8]) -> Result<Vec<u8>, CipherError> {
        symmetric::aes256_cbc_decrypt(self.cipher.expose(), self.iv.expose(), ciphertext)
    }

    /// The key of the cipher.
    #[must_use]
    pub const fn cipher(&self) -> &[u8; 32] {
        self.cipher.expose()
    }

    /// The first block that the cipher chains from.
    #[must_use]
    pub const fn iv(&self) -> &[u8; 16] {
        self.iv.expose()
    }
}

/// The length of the ciphertext of `plaintext` bytes: padded to whole blocks, always by at least one byte.
#[must_use]
pub const fn enciphered_len(plaintext: usize) -> usize {
    plaintext + 16 - plaintext % 16
}

fn root_and_chain(okm: &[[u8; 32]; 2]) -> (RootKey, ChainKey) {
    let [root, chain] = *okm;
    (RootKey::new(root), ChainKey::new(chain))
}

fn leading<const N: usize>(bytes: &[u8; 32]) -> [u8; N] {
    const { assert!(N <= 32) };
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(bytes) {
        *to = *from;
    }
    out
}
