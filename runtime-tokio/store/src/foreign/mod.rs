//! Sessions of other clients, read from their files: a user moves without linking again.
//!
//! Owns the knowledge of those files. What a device is made of, and what is worth taking along, the core knows
//! ([`whatsio_core::adopt`]). The files are only read. From then on the other client must never connect again: two that
//! move the same ratchets make messages unreadable for everybody.

mod address;
mod baileys;
mod baileys_session;
mod json;

mod whatsmeow;
mod whatsmeow_session;

pub use baileys::read_baileys;
pub use whatsmeow::read_whatsmeow;

use crate::{AccountId, Administer, CreateError};
use std::time::{SystemTime, UNIX_EPOCH};
use whatsio_core::adopt::{AdoptError, Adopted, Adoption};
use whatsio_core::types::{Jid, Now, Seed};

/// Why a session of another client could not be taken over. Nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForeignError {
    /// The file or folder cannot be read.
    #[error("{path} cannot be read: {source}")]
    Unreadable {
        /// Which one.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The database cannot be read.
    #[error("the database cannot be read: {0}")]
    Database(#[from] rusqlite::Error),
    /// It is not what it should be.
    #[error("this is not {0}")]
    NotAStore(&'static str),
    /// The device in it is not linked.
    #[error("the device in it is not linked")]
    NotLinked,
    /// There are several accounts in it; one has to be named.
    #[error("there are {} accounts in it: name one by its number", .0.len())]
    SeveralAccounts(Vec<Jid>),
    /// There is no such account in it.
    #[error("there is no account of this number in it")]
    NoSuchAccount,
    /// Something that every linked device has is missing or damaged.
    #[error("{0} is missing or damaged")]
    Damaged(&'static str),
    /// The parts do not make an account.
    #[error(transparent)]
    Adopt(#[from] AdoptError),
    /// The operating system offers no randomness.
    #[error("the operating system offers no randomness: {0}")]
    Entropy(getrandom::Error),
    /// The store does not take it.
    #[error(transparent)]
    Create(#[from] CreateError),
}

/// What was taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// Own address by phone number, with the device number.
    pub jid: Jid,
    /// Records written.
    pub records: u64,
    /// Devices that there is a session with.
    pub sessions: usize,
    /// Sessions and sender keys that were damaged or of nobody; their peers get new ones by themselves.
    pub left_out: usize,
}

/// Writes an account that was read from another client's files as the new account `name`, in one durable transaction.
///
/// # Errors
/// [`ForeignError`], for example when there is an account of that name already.
pub fn adopt(store: &impl Administer, name: &AccountId, adoption: Adoption) -> Result<Imported, ForeignError> {
    let mut entropy = [0; 32];
    getrandom::fill(&mut entropy).map_err(ForeignError::Entropy)?;
    let seed = Seed::new(entropy);
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = Now { mono: 0, unix: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX) };
    let Adopted { records, epoch, jid, sessions, left_out, .. } = adoption.into_records(now, seed)?;
    let records = store.create(name, epoch, &mut records.into_iter().map(Ok))?;
    Ok(Imported { jid, records, sessions, left_out })
}

/// 32 bytes of a public key, with or without the byte that names the curve.
fn public_key(bytes: &[u8]) -> Option<[u8; 32]> {
    match bytes {
        [CURVE, key @ ..] if key.len() == 32 => key.try_into().ok(),
        key => key.try_into().ok(),
    }
}

/// Says that a public key of Curve25519 follows.
const CURVE: u8 = 5;
