//! The first bytes of a session's file, and the key that they and a lock give.

use super::{Lock, ReadError};
use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::XChaCha20Poly1305;
use chacha20poly1305::aead::KeyInit;
use whatsio_core::crypto::Secret;
use whatsio_core::crypto::symmetric::hkdf_sha256;
use zeroize::Zeroizing;

/// The head as it stands in the file; associated data of every chunk.
pub(super) type Bytes = [u8; HEAD];

pub(super) const HEAD: usize = 72;
const MAGIC: &[u8; 8] = b"whatsio\0";
const VERSION: u16 = 1;

/// What stretching a passphrase costs.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Cost {
    kibibytes: u32,
    passes: u32,
    lanes: u32,
}

/// The second choice of RFC 9106 for memory and passes, on one lane since nothing here runs in parallel.
const COST: Cost = Cost { kibibytes: 64 * 1024, passes: 3, lanes: 1 };
/// A file may ask for this much before it has proved anything.
const MOST: Cost = Cost { kibibytes: 1024 * 1024, passes: 16, lanes: 16 };
const FREE: Cost = Cost { kibibytes: 0, passes: 0, lanes: 0 };

/// Why a lock gives no key.
pub(super) enum LockError {
    NoRandomness,
    NoMemory,
}

/// A fresh head for `lock`, and the cipher of its chunks.
pub(super) fn make(lock: &Lock) -> Result<(Bytes, XChaCha20Poly1305), LockError> {
    let mut salt = [0; 32];
    getrandom::fill(&mut salt).map_err(|_| LockError::NoRandomness)?;
    let (kind, cost) = match lock {
        Lock::Key(_) => (0, FREE),
        Lock::Passphrase(_) => (1, COST),
    };
    let secret = secret(lock, cost, &salt).ok_or(LockError::NoMemory)?;
    let (check, cipher) = keys(&secret, &salt);
    let mut head = Vec::with_capacity(HEAD);
    head.extend_from_slice(MAGIC);
    head.extend_from_slice(&VERSION.to_be_bytes());
    head.extend_from_slice(&[kind, 0]);
    for number in [cost.kibibytes, cost.passes, cost.lanes] {
        head.extend_from_slice(&number.to_be_bytes());
    }
    head.extend_from_slice(&salt);
    head.extend_from_slice(check.expose());
    Ok((head.try_into().map_err(|_| LockError::NoMemory)?, cipher))
}

/// The cipher of the chunks behind `head`.
pub(super) fn read(head: &Bytes, lock: &Lock) -> Result<XChaCha20Poly1305, ReadError> {
    let mut rest = head.as_slice();
    if take::<8>(&mut rest)? != *MAGIC {
        return Err(ReadError::NotASession);
    }
    let version = u16::from_be_bytes(take(&mut rest)?);
    if version != VERSION {
        return Err(ReadError::Newer { found: version, known: VERSION });
    }
    let [kind, spare] = take(&mut rest)?;
    let mut number = || take(&mut rest).map(u32::from_be_bytes);
    let cost = Cost { kibibytes: number()?, passes: number()?, lanes: number()? };
    let salt: [u8; 32] = take(&mut rest)?;
    let expected = Secret::<16>::new(take(&mut rest)?);
    match (kind, lock) {
        (0, Lock::Key(_)) | (1, Lock::Passphrase(_)) if spare == 0 => {}
        (0, Lock::Passphrase(_)) => return Err(ReadError::WantsKey),
        (1, Lock::Key(_)) => return Err(ReadError::WantsPassphrase),
        _ => return Err(ReadError::Malformed("an unknown kind of lock")),
    }
    if cost.kibibytes > MOST.kibibytes || cost.passes > MOST.passes || cost.lanes > MOST.lanes {
        return Err(ReadError::TooCostly);
    }
    if kind == 0 && cost != FREE {
        return Err(ReadError::Malformed("a key that is to be stretched"));
    }
    let secret = secret(lock, cost, &salt).ok_or(ReadError::Malformed("parameters that Argon2id does not take"))?;
    let (check, cipher) = keys(&secret, &salt);
    if check == expected { Ok(cipher) } else { Err(ReadError::WrongLock) }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], ReadError> {
    let (taken, left) = rest.split_first_chunk().ok_or(ReadError::NotASession)?;
    *rest = left;
    Ok(*taken)
}

fn secret(lock: &Lock, cost: Cost, salt: &[u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
    match lock {
        Lock::Key(key) => Some(Zeroizing::new(*key.expose())),
        Lock::Passphrase(passphrase) => {
            let params = Params::new(cost.kibibytes, cost.passes, cost.lanes, Some(32)).ok()?;
            let mut secret = Zeroizing::new([0; 32]);
            Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
                .hash_password_into(passphrase.as_bytes(), salt, secret.as_mut_slice())
                .ok()?;
            Some(secret)
        }
    }
}

fn keys(secret: &[u8; 32], salt: &[u8; 32]) -> (Secret<16>, XChaCha20Poly1305) {
    let stream: Secret<32> = hkdf_sha256(Some(salt), secret, b"whatsio session stream v1");
    let check = hkdf_sha256(Some(salt), secret, b"whatsio session check v1");
    (check, XChaCha20Poly1305::new(stream.expose().into()))
}
