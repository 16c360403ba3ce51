//! The head and the frames of a sealed file.

use super::RecordingReadError;
use crate::StoreKey;
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};
use whatsio_core::crypto::Secret;
use whatsio_core::crypto::symmetric::hkdf_sha256;
use whatsio_core::recording::Ended;
use zeroize::Zeroizing;

pub(super) const HEAD: usize = 60;
pub(super) const MAGIC: &[u8; 8] = b"whatsrec";
const VERSION: u16 = 1;

/// Kind and length.
pub(super) const PREFIX: usize = 5;
pub(super) const TAG: usize = 16;
/// The longest body of a frame.
pub(super) const BODY: usize = 256 << 10;

pub(super) const ENTRIES: u8 = 1;
pub(super) const END: u8 = 2;

/// A whole last frame.
pub(super) const END_FRAME: u64 = (PREFIX + 1 + TAG) as u64;

/// Seals or opens the frames of one file, in order.
pub(super) struct Frames {
    head: [u8; HEAD],
    cipher: XChaCha20Poly1305,
    number: u64,
}

impl Frames {
    /// Those of a new file. `None` when the system has no randomness.
    pub(super) fn make(key: &StoreKey) -> Option<(Self, [u8; HEAD])> {
        let mut salt = [0; 32];
        getrandom::fill(&mut salt).ok()?;
        let (check, cipher) = keys(key, &salt);
        let mut head = Vec::with_capacity(HEAD);
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(&VERSION.to_be_bytes());
        head.extend_from_slice(&[0, 0]);
        head.extend_from_slice(&salt);
        head.extend_from_slice(check.expose());
        let head: [u8; HEAD] = head.try_into().ok()?;
        Some((Self { head, cipher, number: 0 }, head))
    }

    /// Those behind `head`.
    pub(super) fn read(head: [u8; HEAD], key: &StoreKey) -> Result<Self, RecordingReadError> {
        let mut rest = head.as_slice();
        if take::<8>(&mut rest)? != *MAGIC {
            return Err(RecordingReadError::NotARecording);
        }
        let version = u16::from_be_bytes(take(&mut rest)?);
        if version != VERSION {
            return Err(RecordingReadError::Newer { found: version, known: VERSION });
        }
        if take::<2>(&mut rest)? != [0, 0] {
            return Err(RecordingReadError::NotARecording);
        }
        let salt: [u8; 32] = take(&mut rest)?;
        let expected = Secret::<16>::new(take(&mut rest)?);
        let (check, cipher) = keys(key, &salt);
        if check == expected { Ok(Self { head, cipher, number: 0 }) } else { Err(RecordingReadError::WrongKey) }
    }

    /// The next frame. `None` when it cannot be sealed, which takes a body that is far too long.
    pub(super) fn seal(&mut self, kind: u8, body: &[u8]) -> Option<Vec<u8>> {
        let mut frame = Vec::with_capacity(PREFIX + body.len() + TAG);
        frame.push(kind);
        frame.extend_from_slice(&u32::try_from(body.len()).ok()?.to_be_bytes());
        frame.extend_from_slice(body);
        let (_, plain) = frame.split_at_mut_checked(PREFIX)?;
        let tag = self.cipher.encrypt_inout_detached(&self.nonce(kind), &self.head, plain.into()).ok()?;
        frame.extend_from_slice(&tag);
        self.number += 1;
        Some(frame)
    }

    /// The body of the next frame, from what stands behind its prefix.
    pub(super) fn open(&mut self, kind: u8, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (sealed, tag) = sealed.split_last_chunk::<TAG>()?;
        let mut plain = Zeroizing::new(sealed.to_vec());
        self.cipher
            .decrypt_inout_detached(&self.nonce(kind), &self.head, plain.as_mut_slice().into(), &Tag::from(*tag))
            .ok()?;
        self.number += 1;
        Some(plain)
    }

    fn nonce(&self, kind: u8) -> XNonce {
        let mut nonce = [0; 24];
        let end = self.number.to_be_bytes().into_iter().chain([kind]);
        for (place, byte) in nonce.iter_mut().skip(15).zip(end) {
            *place = byte;
        }
        XNonce::from(nonce)
    }
}

fn keys(key: &StoreKey, salt: &[u8; 32]) -> (Secret<16>, XChaCha20Poly1305) {
    let frames: Secret<32> = hkdf_sha256(Some(salt), key.expose(), b"whatsio recording frames v1");
    let check = hkdf_sha256(Some(salt), key.expose(), b"whatsio recording check v1");
    (check, XChaCha20Poly1305::new(frames.expose().into()))
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], RecordingReadError> {
    let (taken, left) = rest.split_first_chunk().ok_or(RecordingReadError::NotARecording)?;
    *rest = left;
    Ok(*taken)
}

pub(super) const fn number_of(ended: Ended) -> u8 {
    match ended {
        Ended::Behind => 1,
        Ended::Full => 2,
        _ => 0,
    }
}

pub(super) const fn ended_of(number: u8) -> Option<Ended> {
    Some(match number {
        0 => Ended::Stopped,
        1 => Ended::Behind,
        2 => Ended::Full,
        _ => return None,
    })
}
