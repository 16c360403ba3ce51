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
    let mut sum = first_half(&message);
    for _ in 1..rounds {
        for start in [&inner, &outer] {
            let mut state = **start;
            compress256(&mut state, std::slice::from_ref(&message));
            write_state(&mut message, &state);
        }
        for (byte, other) in sum.iter_mut().zip(message) {
            *byte ^= other;
        }
    }
    message.zeroize();
    Secret::new(sum)
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

fn write_state(block: &mut [u8; BLOCK], state: &[u32; 8]) {
    for (to, word) in block.chunks_exact_mut(4).zip(state) {
        to.copy_from_slice(&word.to_be_bytes());
    }
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
