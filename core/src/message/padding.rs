//! The padding that hides a plaintext's exact length. Knows nothing of the plaintext.

use crate::crypto::Rng;
use thiserror::Error;

/// A decrypted plaintext whose padding is not well-formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the plaintext's padding is malformed")]
pub struct PaddingError;

/// Appends 1 to 16 bytes, drawn at random, each of which holds their number. Pad once and encrypt for many devices.
#[must_use]
pub fn pad(plaintext: &[u8], rng: &mut Rng) -> Vec<u8> {
    let count = u8::try_from(rng.below(u32::from(MAX_PADDING))).unwrap_or_default() + 1;
    pad_with(plaintext, count)
}

/// Like [`pad`] with a given number, for replaying recorded messages. 0 counts as 1: there is always padding.
#[must_use]
pub fn pad_with(plaintext: &[u8], count: u8) -> Vec<u8> {
    let count = count.max(1);
    let mut out = Vec::with_capacity(plaintext.len() + usize::from(count));
    out.extend_from_slice(plaintext);
    out.resize(plaintext.len() + usize::from(count), count);
    out
}

/// Strips the padding. Fails for empty input, a count of 0 or beyond the input, and bytes that do not hold the count;
/// counts above 16 are accepted, as all peers do.
pub fn unpad(padded: &[u8]) -> Result<&[u8], PaddingError> {
    let &count = padded.last().ok_or(PaddingError)?;
    let length = padded.len().checked_sub(usize::from(count)).ok_or(PaddingError)?;
    let (plaintext, padding) = padded.split_at_checked(length).ok_or(PaddingError)?;
    if count == 0 || padding.iter().any(|&byte| byte != count) {
        return Err(PaddingError);
    }
    Ok(plaintext)
}

const MAX_PADDING: u8 = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Seed;

    #[test]
    fn padding_is_between_one_and_sixteen_bytes_and_comes_off() {
        let mut rng = Rng::new(&Seed::new([9; 32]));
        let mut seen = [false; 17];
        for _ in 0..500 {
            let padded = pad(b"text", &mut rng);
            seen[padded.len() - 4] = true;
            assert_eq!(unpad(&padded), Ok(&b"text"[..]));
        }
        assert!(!seen[0] && seen[1..].iter().all(|&seen| seen));
    }
}
