//! HMAC-SHA-256 and HKDF over inputs so short that each hash is one block: everything a chain does. Saves a fifth of an
//! in-chain message against general-purpose code. Knows nothing of what is derived.

use sha2::block_api::compress256;
use zeroize::Zeroize;

/// HMAC under a 32-byte key, both halves keyed once.
pub(super) struct ShortMac {
    inner: [u32; 8],
    outer: [u32; 8],
}

impl ShortMac {
    /// Keys both halves. Costs two compressions.
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self { inner: keyed(key, 0x36), outer: keyed(key, 0x5C) }
    }

    /// HKDF's extraction without a salt, whose key of zeros never changes.
    pub(super) const fn unsalted() -> Self {
        Self { inner: ZERO_INNER, outer: ZERO_OUTER }
    }

    /// The code of one byte.
    pub(super) fn of_byte(&self, byte: u8) -> [u8; 32] {
        self.of(&[&[byte]])
    }

    /// The code of 32 bytes, as the key of what follows: HKDF's extraction.
    pub(super) fn extract(&self, secret: &[u8; 32]) -> Self {
        let mut key = self.of(&[secret]);
        let next = Self::new(&key);
        key.zeroize();
        next
    }

    /// HKDF's expansion to `N` blocks of 32 bytes.
    pub(super) fn expand<const L: usize, const N: usize>(&self, info: &[u8; L]) -> [[u8; 32]; N] {
        const { assert!(32 + L < LONGEST && N < 256) };
        let mut out = [[0; 32]; N];
        let mut before: &[u8] = &[];
        for (block, number) in out.iter_mut().zip(1..) {
            *block = self.of(&[before, info, &[number]]);
            before = block;
        }
        out
    }

    /// The code of `parts`, which hold [`LONGEST`] bytes at most: every caller's lengths are fixed.
    fn of(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut digest = finish(self.inner, parts);
        let code = finish(self.outer, &[&digest]);
        digest.zeroize();
        code
    }
}

impl Drop for ShortMac {
    fn drop(&mut self) {
        self.inner.zeroize();
        self.outer.zeroize();
    }
}

fn keyed(key: &[u8; 32], pad: u8) -> [u32; 8] {
    let mut block = [pad; 64];
    for (to, from) in block.iter_mut().zip(key) {
        *to ^= from;
    }
    let mut state = INITIAL;
    compress256(&mut state, &[block]);
    block.zeroize();
    state
}

/// Hashes the last block behind one that was compressed into `state`.
fn finish(mut state: [u32; 8], parts: &[&[u8]]) -> [u8; 32] {
    let mut block = [0; 64];
    let mut used = 0;
    for part in parts.iter().copied().chain([&[0x80][..]]) {
        if let Some(to) = block.get_mut(used..used + part.len()) {
            to.copy_from_slice(part);
        }
        used += part.len();
    }
    // The block before counts, the end mark does not.
    let length = (64 + used - 1) as u64;
    if let Some(count) = block.last_chunk_mut::<8>() {
        *count = (length * 8).to_be_bytes();
    }
    compress256(&mut state, &[block]);
    block.zeroize();
    let mut digest = [0; 32];
    for (to, word) in digest.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *to = word.to_be_bytes();
    }
    digest
}

/// What fits into a block with the end mark and the count of bits.
const LONGEST: usize = 55;

/// SHA-256's initial state.
const INITIAL: [u32; 8] =
    [0x6A09_E667, 0xBB67_AE85, 0x3C6E_F372, 0xA54F_F53A, 0x510E_527F, 0x9B05_688C, 0x1F83_D9AB, 0x5BE0_CD19];
/// The states after keying with zeros.
const ZERO_INNER: [u32; 8] =
    [0xF454_DEAD, 0x9725_214F, 0x90DA_F2A0, 0xDF12_28EA, 0x64E5_750F, 0xA392_4181, 0x824A_932B, 0xF8E0_4E32];
const ZERO_OUTER: [u32; 8] =
    [0xD385_480F, 0x7ABB_6477, 0x37C9_C538, 0x5DD8_2467, 0x8E04_3A72, 0x7534_34B0, 0xDEB8_2818, 0x361D_45A6];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::symmetric;

    #[test]
    fn zero_key_states_are_those_of_a_key_of_zeros() {
        let keyed = ShortMac::new(&[0; 32]);
        assert_eq!((keyed.inner, keyed.outer), (ZERO_INNER, ZERO_OUTER), "{:08X?} {:08X?}", keyed.inner, keyed.outer);
    }

    #[test]
    fn codes_and_derivations_are_those_of_the_general_functions() {
        for fill in [0, 1, 0x5C, 0xFF] {
            let (key, secret) = ([fill; 32], [fill ^ 0x5A; 32]);
            let mac = ShortMac::new(&key);
            assert_eq!(mac.of_byte(2), symmetric::hmac_sha256(&key, &[&[2]]));
            let derived: [[u8; 32]; 3] = mac.extract(&secret).expand(b"some info");
            let expected = symmetric::hkdf_sha256::<96>(Some(&key), &secret, b"some info");
            assert_eq!(derived.as_flattened(), expected.expose());
            let derived: [[u8; 32]; 2] = ShortMac::unsalted().extract(&secret).expand(b"WhisperMessageKeys");
            let expected = symmetric::hkdf_sha256::<64>(None, &secret, b"WhisperMessageKeys");
            assert_eq!(derived.as_flattened(), expected.expose());
        }
    }
}
