//! What a store promises.

use crate::AccountId;
use std::ops::ControlFlow;
use whatsio_core::api::{Commit, CommitError, Epoch, Key, Record, Space};

/// The longest id of a key. A commit that names a longer one is refused as fatal.
pub const MAX_ID_BYTES: usize = 255;

/// The largest record. A commit that puts a larger one is refused as fatal.
pub const MAX_RECORD_BYTES: usize = 64 * 1024 * 1024;

/// The version byte of a record that could not be opened: sealed under another key, damaged, or altered. Nothing decodes
/// it, so the core sets such a record aside and repairs what it can, as it does with any record that is damaged.
pub const DAMAGED: u8 = 0;

/// Keeps the records of many accounts. Calls block; any thread may make them.
///
/// [`store_conformance`](crate::store_conformance) checks all that is promised here.
pub trait Store: Send + Sync + 'static {
    /// Reads the records of `keys`, in that order, from one state that holds every commit that has returned.
    ///
    /// A key without a record, or of an account never heard of, reads as `None`. A record that does not open reads
    /// as one of version [`DAMAGED`]. Fails when the store is busy or cannot be read, or when the account was moved away.
    fn load(&self, account: &AccountId, keys: &[Key]) -> Result<Vec<Option<Record>>, LoadError>;

    /// Applies `batch` in order, in one durable transaction, and answers each commit.
    ///
    /// Durable survives a power cut. Each commit is applied whole or not at all. The store keeps the greatest epoch
    /// accepted for an account; a commit with a smaller one is [`CommitError::Fenced`] and does not hinder the
    /// others, nor does one for an account
    /// that was moved away ([`Administer::depart`]), which is fenced too, nor one that breaks [`MAX_ID_BYTES`] or [`MAX_RECORD_BYTES`]. When the transaction itself fails,
    /// every commit gets [`CommitError::Retry`] if the store was only busy, else [`CommitError::Fatal`].
    fn commit(&self, batch: &[(AccountId, Commit)]) -> Vec<Result<(), CommitError>>;
}

/// What the operator of a store needs beyond the two calls of the protocol.
pub trait Administer: Store {
    /// Every account that has ever committed or was created, and was not erased, in order.
    fn accounts(&self) -> Result<Vec<AccountId>, LoadError>;

    /// What is known of an account; `None` if there is none of that name. Reads the place of every record.
    fn standing(&self, account: &AccountId) -> Result<Option<Standing>, LoadError>;

    /// Shows every record of `account`, all from one state and in no particular order, until `visit` breaks; also of an
    /// account that was moved away. Answers with the greatest epoch that a commit carried, or `None` if there is no such
    /// account. Fails at the first record that does not open.
    fn contents(
        &self,
        account: &AccountId,
        visit: &mut dyn FnMut(Key, Record) -> ControlFlow<()>,
    ) -> Result<Option<Epoch>, LoadError>;

    /// Makes a new account of `records`, in one durable transaction, and says how many there were. The next commit must
    /// carry an epoch that is not smaller than `epoch`.
    ///
    /// The way in for sessions from elsewhere. Nothing is written when the account exists, when `records` gives an error,
    /// or when a key comes twice.
    fn create(&self, account: &AccountId, epoch: Epoch, records: Records<'_>) -> Result<u64, CreateError>;

    /// Marks `account` as moved away at `unix_ms`, durably: from now on loads fail with [`LoadError::MovedAway`] and
    /// commits with [`CommitError::Fenced`], also those of a client that runs. False if there is no such account; one
    /// that was moved away before keeps its time.
    fn depart(&self, account: &AccountId, unix_ms: u64) -> Result<bool, CommitError>;

    /// Takes the mark of [`depart`](Self::depart) away, durably. Clients that ran before it stay fenced. False if there
    /// is no such account, or no mark.
    ///
    /// Only right when no other copy of the account will ever run: two that do spoil each other's sessions.
    fn reclaim(&self, account: &AccountId) -> Result<bool, CommitError>;

    /// Removes all records of `account` and its epoch, durably. Nothing happens when there is no such account.
    ///
    /// Stop the account first: a client that still runs would bring part of it back with its next commit.
    fn erase(&self, account: &AccountId) -> Result<(), CommitError>;
}

/// Records for a new account, or the reason why there are no more.
pub type Records<'a> = &'a mut dyn Iterator<Item = Result<(Key, Record), Box<dyn std::error::Error + Send + Sync>>>;

/// What a store knows of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Standing {
    /// The greatest epoch that a commit carried.
    pub epoch: Epoch,
    /// When it was moved away, in Unix milliseconds.
    pub moved_unix_ms: Option<u64>,
    /// How many records there are of each space, in order; spaces without records are left out.
    pub records: Vec<(Space, u64)>,
}

/// Why an account was not created. Nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// There is an account of that name. It is never overwritten.
    #[error("there is an account of that name already")]
    Exists,
    /// Two records have the same key.
    #[error("a record comes twice")]
    Twice,
    /// A record breaks [`MAX_ID_BYTES`] or [`MAX_RECORD_BYTES`].
    #[error("a record is larger than a store takes")]
    TooLarge,
    /// Where the records come from gave up.
    #[error(transparent)]
    Source(Box<dyn std::error::Error + Send + Sync>),
    /// The store cannot write.
    #[error("the store cannot write: {0:?}")]
    Store(CommitError),
}

/// The least epoch that a commit must carry once a client of `epoch` is to be stopped: not more than what the account's
/// next life takes, however often this is asked, or nobody could ever take it over.
pub(crate) const fn next_life(epoch: Epoch) -> Epoch {
    Epoch((epoch.0 >> 32).saturating_add(1) << 32)
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
    /// The account was moved to another store; it must not run here as well.
    #[error("the account was moved away from this store")]
    MovedAway,
    /// A record does not open: damaged, or altered by somebody. Told by [`Administer::contents`] only.
    #[error("a record of the space {0:?} does not open: damaged or altered")]
    Damaged(Space),
    /// The account holds records that only a newer release knows.
    #[error("the account holds records of a newer release")]
    Newer,
}

/// Whether every write keeps the limits of a store.
pub(crate) fn within_limits(commit: &Commit) -> bool {
    commit.writes.iter().all(|(key, record)| fits(key, record.as_ref()))
}

pub(crate) fn fits(key: &Key, record: Option<&Record>) -> bool {
    key.id.len() <= MAX_ID_BYTES && record.is_none_or(|record| record.0.len() <= MAX_RECORD_BYTES)
}
