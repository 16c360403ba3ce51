//! Sealing at rest: what a record looks like in a file that others may copy.
//!
//! Owns the form of a sealed row, the keys derived for it, and where the key of a store comes from. Deliberately does not
//! know SQLite, nor what a record means.
//!
//! A store has one key of 32 random bytes and, in its file, a random salt. HKDF-SHA-256 over both gives a root, and the
//! root gives each account two keys of its own:
//!
//! * **Row names.** Ids hold phone numbers and message ids, so a row is named by the first 16 bytes of
//!   HMAC-SHA-256(name key, space ‖ id). Equal ids give equal names, which is all that a lookup needs.
//! * **Rows.** XChaCha20-Poly1305 over `length of id ‖ id ‖ record`, with a random nonce of 24 bytes in front. The
//!   associated data is format ‖ space ‖ row name ‖ account, so a row moved to another place, account or file does not
//!   open; and what is inside must name the id that was asked for.
//!
//! XChaCha20 and not AES-GCM: a store lives for years, rewrites the same sessions millions of times, is copied, restored
//! and used by several processes, so no counter is safe and nonces must be random. With 12 bytes that asks for fresh keys
//! long before 2³² rows; with 24 bytes a repetition is out of reach, and it is fast on machines without AES instructions.
//!
//! What stays readable: the names of accounts (their owners choose them), epochs, how many records of which space there
//! are and how long. What sealing cannot see: a file, or a row, put back as it was earlier.

mod key;
mod source;

pub use key::{MalformedKey, StoreKey};
pub(crate) use source::Folder;
pub use source::{KEY_VARIABLE, KeyError, KeySource};

use crate::AccountId;
use bytes::{Buf as _, Bytes};
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};
use whatsio_core::api::{Key, Record};
use whatsio_core::crypto::Secret;
use whatsio_core::crypto::symmetric::{hkdf_sha256, hmac_sha256};

/// The salt of a store, kept in its file.
pub(crate) type Salt = [u8; 16];
/// What a row is called in the file.
pub(crate) type RowName = [u8; 16];

/// A sealed row does not open: damaged, altered, moved here from another place, or sealed under another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DoesNotOpen;

/// The keys of one store; see the [module](self).
pub(crate) struct Seal {
    root: Secret<32>,
}

/// The keys of one account in one store.
pub(crate) struct AccountSeal {
    account: AccountId,
    names: Secret<32>,
    rows: XChaCha20Poly1305,
}

/// First byte of the associated data: the form described in the module's header.
const FORMAT: u8 = 1;
const NONCE: usize = 24;
const TAG: usize = 16;

impl Seal {
    pub(crate) fn new(key: &StoreKey, salt: &Salt) -> Self {
        Self { root: hkdf_sha256(Some(salt), key.expose(), b"whatsio store root v1") }
    }

    /// Kept in the file, so that a wrong key is told from a damaged file before anything is read. Reveals nothing of
    /// the key.
    pub(crate) fn check_value(&self) -> Secret<32> {
        hkdf_sha256(None, self.root.expose(), b"whatsio store check v1")
    }

    /// Costs two key derivations, so that no key of an account need be kept.
    pub(crate) fn account(&self, account: &AccountId) -> AccountSeal {
        let derive = |purpose: &[u8]| -> Secret<32> {
            hkdf_sha256(None, self.root.expose(), &[purpose, account.as_str().as_bytes()].concat())
        };
        let rows = derive(b"whatsio store rows v1 ");
        AccountSeal {
            account: account.clone(),
            names: derive(b"whatsio store names v1 "),
            rows: XChaCha20Poly1305::new(rows.expose().into()),
        }
    }
}

impl AccountSeal {
    pub(crate) fn row_name(&self, key: &Key) -> RowName {
        let [name @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] =
            hmac_sha256(self.names.expose(), &[&[key.space as u8], &key.id]);
        name
    }

    /// The sealed row of `record`. Fails when the system has no randomness, or when the id is longer than a store takes.
    pub(crate) fn seal(&self, key: &Key, record: &Record) -> Result<Vec<u8>, SealError> {
        let id_length = u8::try_from(key.id.len()).map_err(|_| SealError)?;
        let mut row = Vec::with_capacity(NONCE + 1 + key.id.len() + record.0.len() + TAG);
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|_| SealError)?;
        row.extend_from_slice(&nonce);
        row.push(id_length);
        row.extend_from_slice(&key.id);
        row.extend_from_slice(&record.0);
        let (_, plain) = row.split_at_mut_checked(NONCE).ok_or(SealError)?;
        let context = self.context(key.space as u8, &self.row_name(key));
        let tag =
            self.rows.encrypt_inout_detached(&XNonce::from(nonce), &context, plain.into()).map_err(|_| SealError)?;
        row.extend_from_slice(&tag);
        Ok(row)
    }

    /// The record of `key` in a row that was found under its name.
    pub(crate) fn open(&self, key: &Key, row: &[u8]) -> Result<Record, DoesNotOpen> {
        let (id, record) = self.open_any(key.space as u8, &self.row_name(key), row)?;
        if id == key.id { Ok(record) } else { Err(DoesNotOpen) }
    }

    /// The id and the record in a row, for those who enumerate.
    pub(crate) fn open_any(&self, space: u8, name: &[u8], row: &[u8]) -> Result<(Bytes, Record), DoesNotOpen> {
        let (nonce, rest) = row.split_first_chunk::<NONCE>().ok_or(DoesNotOpen)?;
        let (sealed, tag) = rest.split_last_chunk::<TAG>().ok_or(DoesNotOpen)?;
        let mut plain = sealed.to_vec();
        let (nonce, context) = (XNonce::from(*nonce), self.context(space, name));
        self.rows
            .decrypt_inout_detached(&nonce, &context, plain.as_mut_slice().into(), &Tag::from(*tag))
            .map_err(|_| DoesNotOpen)?;
        let mut id = Bytes::from(plain);
        let id_length = usize::from(*id.first().ok_or(DoesNotOpen)?);
        id.advance(1);
        if id.len() < id_length {
            return Err(DoesNotOpen);
        }
        let record = Record(id.split_off(id_length));
        Ok((id, record))
    }

    fn context(&self, space: u8, name: &[u8]) -> Vec<u8> {
        [&[FORMAT, space], name, self.account.as_str().as_bytes()].concat()
    }
}

/// The system has no randomness to give, or the key of the record is beyond the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SealError;

#[cfg(test)]
mod tests {
    use super::*;
    use whatsio_core::api::Space;

    fn seal(key: u8, salt: u8, account: &str) -> AccountSeal {
        Seal::new(&StoreKey::from_bytes([key; 32]), &[salt; 16]).account(&AccountId::new(account).unwrap())
    }

    fn row() -> (Key, Record, Vec<u8>) {
        let (key, record) = (Key::new(Space::Session, &b"4915112345678"[..]), Record(Bytes::from_static(b"secret")));
        let row = seal(1, 1, "a").seal(&key, &record).unwrap();
        (key, record, row)
    }

    #[test]
    fn row_opens_only_in_its_place() {
        let (key, record, row) = row();
        assert_eq!(seal(1, 1, "a").open(&key, &row), Ok(record));
        for other in [seal(2, 1, "a"), seal(1, 2, "a"), seal(1, 1, "b")] {
            assert_eq!(other.open(&key, &row), Err(DoesNotOpen));
        }
        let same = seal(1, 1, "a");
        assert_eq!(same.open(&Key::new(Space::Identity, key.id.clone()), &row), Err(DoesNotOpen));
        assert_eq!(same.open(&Key::new(Space::Session, &b"4915112345679"[..]), &row), Err(DoesNotOpen));
        assert_eq!(same.open_any(Space::Session as u8, &[0; 16], &row), Err(DoesNotOpen));
    }

    #[test]
    fn row_with_any_bit_changed_or_byte_missing_does_not_open() {
        let (key, _, row) = row();
        let seal = seal(1, 1, "a");
        for at in 0..row.len() {
            let mut changed = row.clone();
            changed[at] ^= 1 << (at % 8);
            assert_eq!(seal.open(&key, &changed), Err(DoesNotOpen), "byte {at}");
            assert_eq!(seal.open(&key, &row[..at]), Err(DoesNotOpen), "cut at {at}");
        }
    }

    #[test]
    fn same_record_sealed_twice_looks_different_and_shows_nothing() {
        let (key, record, row) = row();
        let again = seal(1, 1, "a").seal(&key, &record).unwrap();
        assert_ne!(row, again);
        assert!(!again.windows(4).any(|window| b"secret".starts_with(window) || b"4915".starts_with(window)));
    }

    #[test]
    fn row_names_differ_by_space_id_account_salt_and_key() {
        let key = Key::new(Space::Session, &b"1"[..]);
        let names = [
            seal(1, 1, "a").row_name(&key),
            seal(2, 1, "a").row_name(&key),
            seal(1, 2, "a").row_name(&key),
            seal(1, 1, "b").row_name(&key),
            seal(1, 1, "a").row_name(&Key::new(Space::Identity, &b"1"[..])),
            seal(1, 1, "a").row_name(&Key::new(Space::Session, &b"2"[..])),
        ];
        let distinct: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
        assert_eq!(seal(1, 1, "a").row_name(&key), names[0], "equal ids have equal names");
    }
}
