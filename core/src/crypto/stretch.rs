//! PBKDF2: making a short code expensive to guess. On bare compressions, because every round hashes two blocks of fixed
//! layout: nothing is padded, copied or keyed again, and debug builds stay usable.

use crate::crypto::Secret;
use crate::crypto::symmetric::{hmac_sha256, sha256};
use sha2::block_api::compress256;
use zeroize::{Zeroize, Zeroizing};

/// State that SHA-256 starts from (FIPS 180-4).
const INITIAL: [u32; 8] =
    [0x6A09_E667, 0xBB67_AE85, 0x3C6E_F372, 0xA54F_F53A, 0x510E_527F, 0x9B05_688C, 0x1F83_D9AB, 0x5BE0_CD19];

const BLOCK: usize = 64;

/// PBKDF2-HMAC-SHA-256 to 32 bytes. Costs `rounds` double compressions: tens of milliseconds at the protocol's 131072.
/// No rounds count as one.
#[must_use]
pub fn pbkdf2_sha256(password: &[u8], salt: &[u8], rounds: u32) -> Secret<32> {
    let mut key = Zeroizing::new([0; BLOCK]);
    if password.len() > BLOCK {
        fill(&mut *key, &sha256(&[password]));
    } else {
        fill(&mut *key, password);
    }
    let inner = keyed(&key, 0x36);
    let outer = keyed(&key, 0x5C);

    let mut message = message_block();
    fill(&mut message, &hmac_sha256(password, &[salt, &[0, 0, 0, 1]]));
    let mut sum = Zeroizing::new(read_state(&message));
    for _ in 1..rounds {
        let mut state = *inner;
        compress256(&mut state, std::slice::from_ref(&message));
        write_state(&mut message, state);
        state = *outer;
        compress256(&mut state, std::slice::from_ref(&message));
        write_state(&mut message, state);
        add(&mut sum, state);
    }
    write_state(&mut message, *sum);
    let key = Secret::new(first_half(&message));
    message.zeroize();
    key
}

/// The state after the block of key and `pad` with which either half of HMAC begins.
fn keyed(key: &[u8; BLOCK], pad: u8) -> Zeroizing<[u32; 8]> {
    let block = Zeroizing::new(key.map(|byte| byte ^ pad));
    let mut state = Zeroizing::new(INITIAL);
    compress256(&mut state, std::slice::from_ref(&*block));
    state
}

/// A block of 32 bytes, to be filled in, that ends a hash of 96 bytes.
const fn message_block() -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    block[32] = 0x80;
    let bits = ((BLOCK + 32) * 8) as u16;
    [block[62], block[63]] = bits.to_be_bytes();
    block
}

fn first_half(block: &[u8; BLOCK]) -> [u8; 32] {
    block.first_chunk().copied().unwrap_or([0; 32])
}

fn read_state(block: &[u8; BLOCK]) -> [u32; 8] {
    let mut words = block.as_chunks::<4>().0.iter().map(|word| u32::from_be_bytes(*word));
    std::array::from_fn(|_| words.next().unwrap_or_default())
}

/// Word by word without a loop, like [`add`]: they run in every round, and a loop there makes debug builds five times slower.
fn write_state(block: &mut [u8; BLOCK], state: [u32; 8]) {
    let [s, t, u, v, w, x, y, z] = state;
    if let ([a, b, c, d, e, f, g, h, ..], _) = block.as_chunks_mut::<4>() {
        (*a, *b, *c, *d) = (s.to_be_bytes(), t.to_be_bytes(), u.to_be_bytes(), v.to_be_bytes());
        (*e, *f, *g, *h) = (w.to_be_bytes(), x.to_be_bytes(), y.to_be_bytes(), z.to_be_bytes());
    }
}

const fn add(sum: &mut [u32; 8], state: [u32; 8]) {
    let [a, b, c, d, e, f, g, h] = *sum;
    let [s, t, u, v, w, x, y, z] = state;
    *sum = [a ^ s, b ^ t, c ^ u, d ^ v, e ^ w, f ^ x, g ^ y, h ^ z];
}

fn fill(to: &mut [u8], from: &[u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_values_come_out() {
        // RFC 7914 §11, first 32 bytes.
        let derived = pbkdf2_sha256(b"passwd", b"salt", 1);
        let expected = "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc";
        assert_eq!(hex::encode(derived.expose()), expected);
        let derived = pbkdf2_sha256(b"Password", b"NaCl", 80_000);
        let expected = "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56";
        assert_eq!(hex::encode(derived.expose()), expected);
    }

    #[test]
    fn long_password_is_hashed_first() {
        let long = [b'x'; 65];
        assert!(pbkdf2_sha256(&long, b"salt", 3) == pbkdf2_sha256(&sha256(&[&long]), b"salt", 3));
        assert!(pbkdf2_sha256(&long[1..], b"salt", 3) != pbkdf2_sha256(&long, b"salt", 3));
    }
}
