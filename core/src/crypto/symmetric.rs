//! Hashes, key derivation and ciphers. Knows neither keys' meaning nor message formats; streaming ciphers of files live
//! with the media room.

use crate::crypto::Secret;
pub use crate::crypto::stretch::pbkdf2_sha256;
use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Tag};
use bytes::BytesMut;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit, StreamCipher};
use hmac::{Hmac, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;
use thiserror::Error;

/// Why a cipher refused its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CipherError {
    /// The authentication tag does not match: wrong key, wrong nonce, or changed bytes.
    #[error("authentication tag does not match")]
    Tag,
    /// The ciphertext is too short or not a whole number of blocks.
    #[error("ciphertext has an impossible length")]
    Length,
    /// The padding is not well-formed: wrong key or changed bytes.
    #[error("padding is malformed")]
    Padding,
    /// More output or input than the algorithm allows for one key and nonce.
    #[error("more bytes than the algorithm allows")]
    TooLong,
}

/// Length of an AES-GCM authentication tag.
pub const GCM_TAG: usize = 16;

/// SHA-256 over the concatenation of `parts`.
#[must_use]
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    digest::<Sha256>(parts).finalize().into()
}

/// SHA-512 over the concatenation of `parts`.
#[must_use]
pub fn sha512(parts: &[&[u8]]) -> [u8; 64] {
    digest::<Sha512>(parts).finalize().into()
}

/// SHA-1 over the concatenation of `parts`; only where the protocol fixes it.
#[must_use]
pub fn sha1(parts: &[&[u8]]) -> [u8; 20] {
    digest::<Sha1>(parts).finalize().into()
}

/// MD5 over the concatenation of `parts`; only where the protocol fixes it.
#[must_use]
pub fn md5(parts: &[&[u8]]) -> [u8; 16] {
    digest::<Md5>(parts).finalize().into()
}

/// HMAC-SHA-256 over the concatenation of `parts`.
#[must_use]
pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    mac::<Hmac<Sha256>>(key, parts).finalize().into_bytes().into()
}

/// HMAC-SHA-512 over the concatenation of `parts`.
#[must_use]
pub fn hmac_sha512(key: &[u8], parts: &[&[u8]]) -> [u8; 64] {
    mac::<Hmac<Sha512>>(key, parts).finalize().into_bytes().into()
}

/// Whether two slices are equal, in time that depends only on their lengths.
#[must_use]
pub fn constant_time_eq(left: &[u8], right: &[u8]) -> bool {
    left.ct_eq(right).into()
}

/// HKDF-SHA-256 to `N` bytes; no salt means 32 zero bytes. `N` beyond 8160 does not compile.
#[must_use]
pub fn hkdf_sha256<const N: usize>(salt: Option<&[u8]>, ikm: &[u8], info: &[u8]) -> Secret<N> {
    const { assert!(N <= HKDF_LIMIT) };
    let mut out = [0; N];
    // Cannot fail: the length is checked at compile time.
    let _ = hkdf_sha256_into(salt, ikm, info, &mut out);
    Secret::new(out)
}

/// HKDF-SHA-256 filling `out`. Fails with `TooLong` beyond 8160 bytes, leaving `out` as it was.
pub fn hkdf_sha256_into(salt: Option<&[u8]>, ikm: &[u8], info: &[u8], out: &mut [u8]) -> Result<(), CipherError> {
    hkdf::Hkdf::<Sha256>::new(salt, ikm).expand(info, out).map_err(|_| CipherError::TooLong)
}

/// AES-256-CBC with PKCS#7 padding.
#[must_use]
pub fn aes256_cbc_encrypt(key: &[u8; 32], iv: &[u8; 16], plain: &[u8]) -> Vec<u8> {
    cbc::Encryptor::<aes::Aes256>::new(key.into(), iv.into()).encrypt_padded_vec::<Pkcs7>(plain)
}

/// Like [`aes256_cbc_encrypt`], appending to `out`.
pub fn aes256_cbc_encrypt_onto(key: &[u8; 32], iv: &[u8; 16], plain: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(plain);
    out.resize(start + plain.len() + 16 - plain.len() % 16, 0);
    let encryptor = cbc::Encryptor::<aes::Aes256>::new(key.into(), iv.into());
    if let Some(buffer) = out.get_mut(start..) {
        // Cannot fail: the buffer has room for a whole block of padding.
        let _ = encryptor.encrypt_padded::<Pkcs7>(buffer, plain.len());
    }
}

/// The inverse of [`aes256_cbc_encrypt`]. Fails with `Length` or `Padding`.
pub fn aes256_cbc_decrypt(key: &[u8; 32], iv: &[u8; 16], cipher: &[u8]) -> Result<Vec<u8>, CipherError> {
    check_blocks(cipher.len())?;
    let decryptor = cbc::Decryptor::<aes::Aes256>::new(key.into(), iv.into());
    decryptor.decrypt_padded_vec::<Pkcs7>(cipher).map_err(|_| CipherError::Padding)
}

/// Like [`aes256_cbc_decrypt`], in the buffer that holds the ciphertext. On failure its content is unspecified.
pub fn aes256_cbc_decrypt_in_place(key: &[u8; 32], iv: &[u8; 16], buffer: &mut BytesMut) -> Result<(), CipherError> {
    check_blocks(buffer.len())?;
    let decryptor = cbc::Decryptor::<aes::Aes256>::new(key.into(), iv.into());
    let plain = decryptor.decrypt_padded::<Pkcs7>(buffer).map_err(|_| CipherError::Padding)?.len();
    buffer.truncate(plain);
    Ok(())
}

/// AES-256-CTR in place; the whole `iv` is the first counter block. Its own inverse.
pub fn aes256_ctr(key: &[u8; 32], iv: &[u8; 16], buffer: &mut [u8]) {
    ctr::Ctr128BE::<aes::Aes256>::new(key.into(), iv.into()).apply_keystream(buffer);
}

/// AES-256-GCM under one key, its key schedule computed once.
#[derive(Clone)]
pub struct Gcm(Aes256Gcm);

impl Gcm {
    /// Prepares `key`.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self(Aes256Gcm::new(key.into()))
    }

    /// Enciphers `buffer` in place and returns the tag. Fails with `TooLong` beyond 64 GiB.
    pub fn seal_detached(&self, nonce: &[u8; 12], aad: &[u8], buffer: &mut [u8]) -> Result<[u8; GCM_TAG], CipherError> {
        let tag = self.0.encrypt_inout_detached(nonce.into(), aad, buffer.into());
        tag.map(Into::into).map_err(|_| CipherError::TooLong)
    }

    /// Enciphers `buffer` in place and appends the tag. Fails with `TooLong` beyond 64 GiB.
    pub fn seal_in_place(&self, nonce: &[u8; 12], aad: &[u8], buffer: &mut BytesMut) -> Result<(), CipherError> {
        buffer.reserve(GCM_TAG);
        let tag = self.seal_detached(nonce, aad, buffer)?;
        buffer.extend_from_slice(&tag);
        Ok(())
    }

    /// Checks the tag at the end of `buffer`, deciphers the rest in place and cuts the tag off. Fails with `Length` or
    /// `Tag`, leaving `buffer` as it was.
    pub fn open_in_place(&self, nonce: &[u8; 12], aad: &[u8], buffer: &mut BytesMut) -> Result<(), CipherError> {
        let plain = buffer.len().checked_sub(GCM_TAG).ok_or(CipherError::Length)?;
        self.open_slice(nonce, aad, buffer)?;
        buffer.truncate(plain);
        Ok(())
    }

    /// Enciphers into a new vector, tag at its end. Fails with `TooLong` beyond 64 GiB.
    pub fn seal(&self, nonce: &[u8; 12], aad: &[u8], plain: &[u8]) -> Result<Vec<u8>, CipherError> {
        let mut out = Vec::with_capacity(plain.len() + GCM_TAG);
        out.extend_from_slice(plain);
        let tag = self.seal_detached(nonce, aad, &mut out)?;
        out.extend_from_slice(&tag);
        Ok(out)
    }

    /// Deciphers into a new vector. Fails with `Length` or `Tag`.
    pub fn open(&self, nonce: &[u8; 12], aad: &[u8], cipher: &[u8]) -> Result<Vec<u8>, CipherError> {
        let mut out = cipher.to_vec();
        let plain = self.open_slice(nonce, aad, &mut out)?;
        out.truncate(plain);
        Ok(out)
    }

    fn open_slice(&self, nonce: &[u8; 12], aad: &[u8], buffer: &mut [u8]) -> Result<usize, CipherError> {
        let (body, tag) = buffer.split_last_chunk_mut::<GCM_TAG>().ok_or(CipherError::Length)?;
        let tag: &Tag = (&*tag).into();
        let plain = body.len();
        self.0.decrypt_inout_detached(nonce.into(), aad, body.into(), tag).map_err(|_| CipherError::Tag)?;
        Ok(plain)
    }
}

/// AES-256-GCM with a key that is used once; see [`Gcm::seal`].
pub fn aes256_gcm_seal(key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], plain: &[u8]) -> Result<Vec<u8>, CipherError> {
    Gcm::new(key).seal(nonce, aad, plain)
}

/// The inverse of [`aes256_gcm_seal`]; see [`Gcm::open`].
pub fn aes256_gcm_open(key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], cipher: &[u8]) -> Result<Vec<u8>, CipherError> {
    Gcm::new(key).open(nonce, aad, cipher)
}

fn digest<D: Digest>(parts: &[&[u8]]) -> D {
    let mut digest = D::new();
    for part in parts {
        digest.update(part);
    }
    digest
}

#[expect(clippy::expect_used, reason = "HMAC hashes or pads its key, so every length is valid")]
fn mac<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> M {
    let mut mac = M::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac
}

fn check_blocks(length: usize) -> Result<(), CipherError> {
    if length == 0 || !length.is_multiple_of(16) {
        return Err(CipherError::Length);
    }
    Ok(())
}

/// RFC 5869: 255 blocks of the hash.
const HKDF_LIMIT: usize = 255 * 32;

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8; 32] = &[0x42; 32];

    #[test]
    fn hashes_do_not_see_where_parts_end() {
        assert_eq!(sha256(&[b"a", b"bc"]), sha256(&[b"abc"]));
        assert_eq!(hex::encode(sha1(&[b"abc"])), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(hex::encode(md5(&[b"abc"])), "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(sha512(&[b"", b"abc"])[..4], [0xDD, 0xAF, 0x35, 0xA1]);
    }

    #[test]
    fn hmac_and_hkdf_give_published_values() {
        // RFC 4231 case 2 and RFC 5869 case 3.
        let mac = hmac_sha256(b"Jefe", &[b"what do ya want ", b"for nothing?"]);
        assert_eq!(hex::encode(mac), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        let derived = hkdf_sha256::<42>(None, &[0x0B; 22], b"");
        let expected = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8";
        assert_eq!(hex::encode(derived.expose()), expected);
    }

    #[test]
    fn hkdf_refuses_more_than_it_can_give() {
        assert_eq!(hkdf_sha256_into(None, b"x", b"", &mut [0; HKDF_LIMIT + 1]), Err(CipherError::TooLong));
    }

    #[test]
    fn cbc_round_trips_and_refuses_what_is_not_whole() {
        let iv = &[1; 16];
        for length in [0, 1, 15, 16, 17, 100] {
            let plain = vec![9; length];
            let cipher = aes256_cbc_encrypt(KEY, iv, &plain);
            assert_eq!(cipher.len(), (length / 16 + 1) * 16);
            assert_eq!(aes256_cbc_decrypt(KEY, iv, &cipher), Ok(plain.clone()));
            let mut buffer = BytesMut::from(cipher.as_slice());
            assert_eq!(aes256_cbc_decrypt_in_place(KEY, iv, &mut buffer), Ok(()));
            assert_eq!(buffer, plain);
            assert_eq!(aes256_cbc_decrypt(KEY, iv, &cipher[1..]), Err(CipherError::Length));
        }
        assert_eq!(aes256_cbc_decrypt(KEY, iv, &[]), Err(CipherError::Length));
        assert_eq!(aes256_cbc_decrypt(KEY, iv, &[0; 32]), Err(CipherError::Padding));
    }

    #[test]
    fn gcm_refuses_changed_bytes_and_leaves_the_buffer_alone() {
        let nonce = &[3; 12];
        let sealed = aes256_gcm_seal(KEY, nonce, b"aad", b"plain").unwrap();
        assert_eq!(aes256_gcm_open(KEY, nonce, b"aad", &sealed), Ok(b"plain".to_vec()));
        assert_eq!(aes256_gcm_open(KEY, nonce, b"", &sealed), Err(CipherError::Tag));
        assert_eq!(aes256_gcm_open(KEY, nonce, b"aad", &sealed[..15]), Err(CipherError::Length));
        let mut buffer = BytesMut::from(sealed.as_slice());
        buffer[0] ^= 1;
        let before = buffer.clone();
        assert_eq!(Gcm::new(KEY).open_in_place(nonce, b"aad", &mut buffer), Err(CipherError::Tag));
        assert_eq!(buffer, before);
        let mut in_place = BytesMut::from(&b"plain"[..]);
        Gcm::new(KEY).seal_in_place(nonce, b"aad", &mut in_place).unwrap();
        assert_eq!(in_place, sealed);
    }

    #[test]
    fn ctr_is_its_own_inverse_and_carries_through_the_whole_counter() {
        let iv = &[0xFF; 16];
        let mut buffer = [5; 40];
        aes256_ctr(KEY, iv, &mut buffer);
        let mut second_block = [0; 16];
        aes256_ctr(KEY, &[0; 16], &mut second_block);
        assert_eq!(buffer[16..32].iter().map(|byte| byte ^ 5).collect::<Vec<_>>(), second_block);
        aes256_ctr(KEY, iv, &mut buffer);
        assert_eq!(buffer, [5; 40]);
    }
}
