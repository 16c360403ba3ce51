//! Decrypting a body as it streams by.

use super::sidecar::Check;
use super::{BLOCK, MAC_BYTES, Mac, MediaError, MediaKey, MediaKeys, MediaKind, PIECE, blocks, tag};
use aes::Aes256;
use cbc::cipher::{BlockModeDecrypt, KeyIvInit};
use hmac::Mac as _;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Decrypts a body pushed in chunks of any size; the same bytes come out whatever the chunks. Memory is constant.
///
/// What [`push`](Self::push) emits is **not authentic** until [`finish`](Self::finish) succeeds: write it to a
/// temporary place and discard it on any error.
pub struct Decryptor {
    cipher: cbc::Decryptor<Aes256>,
    mac: Mac,
    plaintext: Sha256,
    /// Hashed only when there is something to compare with: it is a third of the work.
    body: Option<Sha256>,
    sidecar: Option<Check>,
    expected: Expected,
    /// The last block and the authentication code can only be told apart at the end, so 26 to 41 bytes wait here.
    held: Vec<u8>,
    length: u64,
}

/// What the message says about the object. What it does not say is not checked; the authentication code always is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// The hash of the file. Binds the content to the message together with the authentication code.
    pub file_sha256: Option<[u8; 32]>,
    /// The hash of the encrypted body. May be left out for speed where the other hash is known.
    pub file_enc_sha256: Option<[u8; 32]>,
    /// The streaming sidecar; lets a change be seen at the next 64 KiB boundary instead of at the end.
    pub streaming_sidecar: Option<Vec<u8>>,
}

/// What a finished decryption found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Decrypted {
    /// The hash of the file.
    pub file_sha256: [u8; 32],
    /// The file's length. A message may claim another one; no client refuses the file for that.
    pub file_length: u64,
}

/// Decrypts a whole body in memory; nothing of a bad one is returned.
pub fn decrypt(key: &MediaKey, kind: &MediaKind, body: &[u8], expected: Expected) -> Result<Vec<u8>, MediaError> {
    if body.len() < HELD || body.len() % BLOCK != MAC_BYTES {
        return Err(MediaError::Length);
    }
    let mut file = Vec::with_capacity(body.len());
    let mut decryptor = Decryptor::new(&MediaKeys::derive(key, kind), expected);
    decryptor.push(body, &mut file)?;
    decryptor.finish(&mut file)?;
    Ok(file)
}

/// The least that waits: the last block and the authentication code.
const HELD: usize = BLOCK + MAC_BYTES;

impl Decryptor {
    /// Begins a body under expanded keys.
    #[must_use]
    pub fn new(keys: &MediaKeys, mut expected: Expected) -> Self {
        let mut mac = keys.fresh_mac();
        mac.update(&keys.iv);
        Self {
            cipher: cbc::Decryptor::new(&keys.cipher.into(), &keys.iv.into()),
            mac,
            plaintext: Sha256::new(),
            body: expected.file_enc_sha256.map(|_| Sha256::new()),
            sidecar: expected.streaming_sidecar.take().map(|tags| Check::new(keys, tags)),
            expected,
            held: Vec::with_capacity(HELD + BLOCK),
            length: 0,
        }
    }

    /// Takes the next bytes of the body and appends what they decrypt to, not yet authentic, to `file`.
    ///
    /// Fails only with [`MediaError::Sidecar`]; the object is then to be given up.
    pub fn push(&mut self, chunk: &[u8], file: &mut Vec<u8>) -> Result<(), MediaError> {
        let total = self.held.len() + chunk.len();
        let ready = total.saturating_sub(HELD) / BLOCK * BLOCK;
        let Some(taken) = ready.checked_sub(self.held.len()).filter(|_| ready > 0) else {
            // Less than a block more than what has to wait, or all of it from what waits already.
            return self.push_held(ready, chunk, file);
        };
        let (now, later) = chunk.split_at_checked(taken).unwrap_or((chunk, &[]));
        let start = file.len();
        file.append(&mut self.held);
        file.extend_from_slice(now);
        self.held.extend_from_slice(later);
        self.decrypt(file, start)
    }

    /// Ends the body: checks everything that is known about it, then appends the last bytes to `file`.
    ///
    /// Fails when the body is too short, and when a hash, the authentication code, the padding or the sidecar is
    /// wrong; `file` is then to be discarded.
    pub fn finish(mut self, file: &mut Vec<u8>) -> Result<Decrypted, MediaError> {
        let Some((last, mac)) = self.held.split_first_chunk::<BLOCK>().filter(|(_, mac)| mac.len() == MAC_BYTES) else {
            return Err(MediaError::Length);
        };
        if let (Some(mut body), Some(expected)) = (self.body, self.expected.file_enc_sha256) {
            body.update(&self.held);
            if <[u8; 32]>::from(body.finalize()) != expected {
                return Err(MediaError::EncryptedHash);
            }
        }
        self.mac.update(last);
        if !bool::from(tag(self.mac).ct_eq(mac)) {
            return Err(MediaError::Mac);
        }
        if let Some(mut sidecar) = self.sidecar
            && !(sidecar.push(&self.held) && sidecar.finish())
        {
            return Err(MediaError::Sidecar);
        }
        let mut last = *last;
        self.cipher.decrypt_blocks(blocks(&mut last));
        let rest = unpad(&last).ok_or(MediaError::Padding)?;
        self.plaintext.update(rest);
        let file_sha256 = self.plaintext.finalize().into();
        if self.expected.file_sha256.is_some_and(|expected| expected != file_sha256) {
            return Err(MediaError::PlaintextHash);
        }
        file.extend_from_slice(rest);
        Ok(Decrypted { file_sha256, file_length: self.length + rest.len() as u64 })
    }

    /// The slow path for chunks so small that the blocks that are ready were waiting already.
    fn push_held(&mut self, ready: usize, chunk: &[u8], file: &mut Vec<u8>) -> Result<(), MediaError> {
        self.held.extend_from_slice(chunk);
        let start = file.len();
        file.extend(self.held.drain(..ready.min(self.held.len())));
        self.decrypt(file, start)
    }

    /// Decrypts the whole blocks from `start` in place, after feeding them to everything that hashes ciphertext.
    fn decrypt(&mut self, file: &mut [u8], start: usize) -> Result<(), MediaError> {
        for piece in file.get_mut(start..).unwrap_or_default().chunks_mut(PIECE) {
            self.mac.update(piece);
            if let Some(body) = &mut self.body {
                body.update(&*piece);
            }
            if let Some(sidecar) = &mut self.sidecar
                && !sidecar.push(piece)
            {
                return Err(MediaError::Sidecar);
            }
            self.cipher.decrypt_blocks(blocks(piece));
            self.plaintext.update(&*piece);
            self.length += piece.len() as u64;
        }
        Ok(())
    }
}

/// The block without its padding; `None` unless every byte of the padding is right.
pub(super) fn unpad(block: &[u8; BLOCK]) -> Option<&[u8]> {
    let count = block.last().copied()?;
    let kept = BLOCK.checked_sub(usize::from(count)).filter(|&kept| kept < BLOCK)?;
    let (file, padding) = block.split_at_checked(kept)?;
    padding.iter().all(|&byte| byte == count).then_some(file)
}
