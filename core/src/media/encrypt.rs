//! Encrypting a file as it streams by.

use super::sidecar::Sidecar;
use super::{BLOCK, MAC_BYTES, Mac, MediaKey, MediaKeys, MediaKind, PIECE, blocks, tag};
use aes::Aes256;
use cbc::cipher::{BlockModeEncrypt, KeyIvInit};
use hmac::Mac as _;
use sha2::{Digest, Sha256};

/// Encrypts a file pushed in chunks of any size; the same bytes come out whatever the chunks.
///
/// Memory is constant, but for the sidecar's ten bytes per 64 KiB. The derived vector makes a second pass over the
/// same file give the same body, so that a host may hash first and encrypt again while it uploads.
pub struct Encryptor {
    cipher: cbc::Encryptor<Aes256>,
    mac: Mac,
    plaintext: Sha256,
    body: Sha256,
    sidecar: Option<Sidecar>,
    first_frame: Option<FirstFrame>,
    /// The bytes of the last, incomplete block.
    carry: Vec<u8>,
    length: u64,
    encrypted: u64,
}

/// What to compute beside the hashes that every object needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sidecars {
    /// The streaming sidecar, for videos and sounds.
    pub streaming: bool,
    /// The sidecar of an animated sticker's first frame, which ends after so many bytes of the file.
    pub first_frame_length: Option<u64>,
}

/// What a finished encryption leaves to put into the message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Encrypted {
    /// The hash of the file.
    pub file_sha256: [u8; 32],
    /// The hash of the encrypted body; the upload token is made of it.
    pub file_enc_sha256: [u8; 32],
    /// The file's length.
    pub file_length: u64,
    /// The authentication code: the last ten bytes of the body.
    pub mac: [u8; MAC_BYTES],
    /// The streaming sidecar, when asked for.
    pub streaming_sidecar: Option<Vec<u8>>,
    /// The sidecar of the first frame, when asked for and the file is that long.
    pub first_frame_sidecar: Option<[u8; MAC_BYTES]>,
}

struct FirstFrame {
    length: u64,
    tag: Option<[u8; MAC_BYTES]>,
}

/// The length of the encrypted body of a file of `length` bytes.
#[must_use]
pub const fn encrypted_length(length: u64) -> u64 {
    (length / BLOCK as u64 + 1) * BLOCK as u64 + MAC_BYTES as u64
}

/// Encrypts a whole file in memory.
#[must_use]
pub fn encrypt(key: &MediaKey, kind: &MediaKind, sidecars: Sidecars, file: &[u8]) -> (Vec<u8>, Encrypted) {
    let length = usize::try_from(encrypted_length(file.len() as u64)).unwrap_or(file.len());
    let mut body = Vec::with_capacity(length);
    let mut encryptor = Encryptor::new(&MediaKeys::derive(key, kind), sidecars);
    encryptor.push(file, &mut body);
    let encrypted = encryptor.finish(&mut body);
    (body, encrypted)
}

impl Encryptor {
    /// Begins a file under expanded keys.
    #[must_use]
    pub fn new(keys: &MediaKeys, sidecars: Sidecars) -> Self {
        let mut mac = keys.fresh_mac();
        mac.update(&keys.iv);
        Self {
            cipher: cbc::Encryptor::new(&keys.cipher.into(), &keys.iv.into()),
            mac,
            plaintext: Sha256::new(),
            body: Sha256::new(),
            sidecar: sidecars.streaming.then(|| Sidecar::new(keys)),
            first_frame: sidecars.first_frame_length.map(|length| FirstFrame { length, tag: None }),
            carry: Vec::with_capacity(BLOCK),
            length: 0,
            encrypted: 0,
        }
    }

    /// Takes the next bytes of the file and appends the blocks that are complete to `body`.
    pub fn push(&mut self, chunk: &[u8], body: &mut Vec<u8>) {
        self.length += chunk.len() as u64;
        let incomplete = (self.carry.len() + chunk.len()) % BLOCK;
        let Some(taken) = chunk.len().checked_sub(incomplete) else {
            return self.carry.extend_from_slice(chunk);
        };
        let (now, later) = chunk.split_at_checked(taken).unwrap_or((chunk, &[]));
        let start = body.len();
        body.append(&mut self.carry);
        body.extend_from_slice(now);
        self.carry.extend_from_slice(later);
        for piece in body.get_mut(start..).unwrap_or_default().chunks_mut(PIECE) {
            self.plaintext.update(&*piece);
            self.encrypt(piece);
        }
    }

    /// Ends the file: appends the last block and the authentication code to `body`.
    #[must_use]
    pub fn finish(mut self, body: &mut Vec<u8>) -> Encrypted {
        let carry = std::mem::take(&mut self.carry);
        self.plaintext.update(&carry);
        let padding = BLOCK.saturating_sub(carry.len());
        let mut last = [u8::try_from(padding).unwrap_or_default(); BLOCK];
        last.iter_mut().zip(carry).for_each(|(to, from)| *to = from);
        self.encrypt(&mut last);
        body.extend_from_slice(&last);

        let mac = tag(self.mac);
        self.body.update(mac);
        body.extend_from_slice(&mac);
        Encrypted {
            file_sha256: self.plaintext.finalize().into(),
            file_enc_sha256: self.body.finalize().into(),
            file_length: self.length,
            mac,
            streaming_sidecar: self.sidecar.map(|mut sidecar| {
                sidecar.push(&mac);
                sidecar.finish()
            }),
            first_frame_sidecar: self
                .first_frame
                .filter(|frame| frame.length <= self.length)
                .and_then(|frame| frame.tag),
        }
    }

    /// Encrypts whole blocks in place and feeds them to everything that hashes ciphertext.
    fn encrypt(&mut self, piece: &mut [u8]) {
        self.cipher.encrypt_blocks(blocks(piece));
        let piece = &*piece;
        self.body.update(piece);
        if let Some(sidecar) = &mut self.sidecar {
            sidecar.push(piece);
        }
        let mut rest = piece;
        if let Some(frame) = &mut self.first_frame {
            let end = frame.length.div_ceil(BLOCK as u64) * BLOCK as u64;
            let split = end.checked_sub(self.encrypted).and_then(|at| usize::try_from(at).ok());
            if let Some((until, beyond)) = split.and_then(|at| piece.split_at_checked(at)) {
                self.mac.update(until);
                frame.tag = Some(tag(self.mac.clone()));
                rest = beyond;
            }
        }
        self.mac.update(rest);
        self.encrypted += piece.len() as u64;
    }
}
