//! Reading a piece out of the middle of an encrypted object.

use super::decrypt::unpad;
use super::{BLOCK, MediaError, MediaKeys, blocks};
use aes::Aes256;
use cbc::cipher::{BlockModeDecrypt, KeyIvInit};
use std::ops::Range;

/// Which bytes of the body to fetch for a range of the file, and how to read them.
///
/// Such a read is **not authentic**, except where the fetched windows are checked against a streaming sidecar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangePlan {
    wanted: Range<u64>,
    fetch: Range<u64>,
    file_length: u64,
}

impl RangePlan {
    /// Plans to read `wanted` of a file of `file_length` bytes. Fails when the range is empty or reaches past the end.
    pub fn new(wanted: Range<u64>, file_length: u64) -> Result<Self, MediaError> {
        if wanted.is_empty() || wanted.end > file_length {
            return Err(MediaError::Range);
        }
        let block = BLOCK as u64;
        // A block decrypts with the one before it.
        let start = (wanted.start / block).saturating_sub(1) * block;
        let end = ((wanted.end - 1) / block + 1) * block;
        Ok(Self { wanted, fetch: start..end, file_length })
    }

    /// The bytes of the body to fetch. (Both ends of an HTTP `Range` are inclusive.)
    #[must_use]
    pub fn fetch(&self) -> Range<u64> {
        self.fetch.clone()
    }

    /// Whether the first fetched block only serves to decrypt the second.
    #[must_use]
    pub const fn first_block_is_vector(&self) -> bool {
        self.wanted.start >= BLOCK as u64
    }

    /// Decrypts what was fetched. Fails when it has another length than planned, and when it ends with a padding that
    /// does not fit the file's length.
    pub fn decrypt(&self, keys: &MediaKeys, mut fetched: Vec<u8>) -> Result<Vec<u8>, MediaError> {
        if fetched.len() as u64 != self.fetch.end - self.fetch.start {
            return Err(MediaError::Length);
        }
        let mut vector = keys.iv;
        if self.first_block_is_vector() {
            vector = *fetched.first_chunk().ok_or(MediaError::Length)?;
            fetched.drain(..BLOCK);
        }
        cbc::Decryptor::<Aes256>::new(&keys.cipher.into(), &vector.into()).decrypt_blocks(blocks(&mut fetched));
        if self.fetch.end > self.file_length {
            let kept = fetched.last_chunk().and_then(unpad).ok_or(MediaError::Padding)?.len() as u64;
            if kept != self.file_length % BLOCK as u64 {
                return Err(MediaError::Padding);
            }
        }
        let length = usize::try_from(self.wanted.end - self.wanted.start).map_err(|_| MediaError::Range)?;
        let skipped = usize::try_from(self.wanted.start % BLOCK as u64).map_err(|_| MediaError::Range)?;
        fetched.drain(..skipped.min(fetched.len()));
        fetched.truncate(length);
        Ok(fetched)
    }
}
