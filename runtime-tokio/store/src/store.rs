//! What a store promises.

use crate::AccountId;
use whatsio_core::api::{Commit, CommitError, Key, Record};

/// The longest id of a key. A commit that names a longer one is refused as fatal.
pub const MAX_ID_BYTES: usize = 255;

/// The largest record. A commit that puts a larger one is refused as fatal.
pub const MAX_RECORD_BYTES: usize = 64 * 1024 * 1024;

/// Keeps the records of many accounts. Calls block; any thread may make them.
///
/// [`store_conformance`](crate::store_conformance) checks all that is promised here.
pub trait Store: Send + Sync + 'static {
    /// Reads the records of `keys`, in that order, from one state that holds every commit that has returned.
    ///
    /// A key without a record, or of an account never heard of, reads as `None`. Fails when the store is busy or
    /// cannot be read.
    fn load(&self, account: &AccountId, keys: &[Key]) -> Result<Vec<Option<Record>>, LoadError>;

    /// Applies `batch` in order, in one durable transaction, and answers each commit.
    ///
    /// Durable survives a power cut. Each commit is applied whole or not at all. The store keeps the greatest epoch
    /// accepted for an account; a commit with a smaller one is [`CommitError::Fenced`] and does not hinder the
    /// others, nor does one that breaks [`MAX_ID_BYTES`] or [`MAX_RECORD_BYTES`]. When the transaction itself fails,
    /// every commit gets [`CommitError::Retry`] if the store was only busy, else [`CommitError::Fatal`].
    fn commit(&self, batch: &[(AccountId, Commit)]) -> Vec<Result<(), CommitError>>;
}

/// What the operator of a store needs beyond the two calls of the protocol.
pub trait Administer: Store {
    /// Every account that has ever committed and was not erased, in order.
    fn accounts(&self) -> Result<Vec<AccountId>, LoadError>;

    /// Removes all records of `account` and its epoch, durably. Nothing happens when there is no such account.
    ///
    /// Stop the account first: a client that still runs would bring part of it back with its next commit.
    fn erase(&self, account: &AccountId) -> Result<(), CommitError>;
}

/// Why records could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The store was busy; ask again.
    #[error("the store is busy")]
    Busy,
    /// The store cannot be read: file gone or damaged.
    #[error("the store cannot be read: {0}")]
    Unreadable(String),
}

/// Whether every write keeps the limits of a store.
pub(crate) fn within_limits(commit: &Commit) -> bool {
    commit.writes.iter().all(|(key, record)| {
        key.id.len() <= MAX_ID_BYTES && record.as_ref().is_none_or(|record| record.0.len() <= MAX_RECORD_BYTES)
    })
}
