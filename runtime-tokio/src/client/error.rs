//! What can go wrong, one enum per family of calls.

use crate::profile::ProfileError;
use crate::transport::{ProxyError, TrustError};
use whatsio_core::api::{MessageId, Misuse};
use whatsio_core::client::RestoreError;
use whatsio_store::recording::RecordingError;
use whatsio_store::{InvalidAccountId, KeyError, LoadError};

/// Why a client could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The builder was given no store.
    #[error("no store was given: call `.store(..)`, for example with SqliteStore::open(\"whatsio.db\")")]
    NoStore,
    /// The account's name cannot name an account.
    #[error(transparent)]
    Account(#[from] InvalidAccountId),
    /// The profile cannot be used.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The proxy's URL is not understood.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// A trusted certificate is not understood.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The store could not be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The account's root records do not decode; see the variants of the error.
    #[error("the account's records cannot be used: {0}")]
    Restore(#[from] RestoreError),
    /// The operating system offers no randomness.
    #[error("the operating system offers no randomness: {0}")]
    Entropy(getrandom::Error),
    /// The writer's thread could not be started.
    #[error("the store's writer cannot be started: {0}")]
    Writer(#[from] std::io::Error),
    /// The recording that was asked for cannot be made.
    #[error("cannot record: {0}")]
    Recording(RecordingError),
    /// The recording's key is not to be had.
    #[error("cannot record: {0}")]
    RecordingKey(#[from] KeyError),
    /// The core refused to connect.
    #[error(transparent)]
    Misuse(#[from] Misuse),
}

/// Why a client's task has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Stopped {
    /// `shutdown` was called, or every handle was dropped.
    #[error("the client was shut down")]
    Shutdown,
    /// Another process has taken the account over, or moved it to another store. Start again only when that one is gone.
    #[error("another process has taken this account over, or moved it away")]
    Fenced,
    /// The store could not be restored from.
    #[error("the account's records can no longer be used")]
    Unusable,
}

/// Why a message was not sent, or how its sending is in doubt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The account is not linked to a phone yet.
    #[error("the account is not linked to a phone")]
    NotLinked,
    /// A limit is reached; wait for reports or events to be handled, then try again.
    #[error("the limit on {0} is reached; try again when something has drained")]
    Full(&'static str),
    /// The chat or the content can never be accepted.
    #[error("{0}")]
    BadArgument(&'static str),
    /// The store failed after the message was taken and before its report. It may or may not go out; if it does, its
    /// report comes as an event. Sending again under the same id is safe: receivers show an id once.
    #[error("the store failed while message {0} was being sent")]
    Interrupted(MessageId),
    /// The client's task has ended.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Why an operation that is not a send did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OperationError {
    /// The account is not linked to a phone yet.
    #[error("the account is not linked to a phone")]
    NotLinked,
    /// The call makes no sense now, or an argument can never be accepted.
    #[error("{0}")]
    Refused(String),
    /// The server refused with this code.
    #[error("the server refused with code {0}")]
    ByServer(u32),
    /// The connection was lost before an answer came.
    #[error("the connection was lost before an answer came")]
    Lost,
    /// The server's answer does not say what it must.
    #[error("the server's answer does not say what it must")]
    Unusable,
    /// A later call took its place, or the device was linked another way.
    #[error("something else took its place")]
    Superseded,
    /// The client's task has ended.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl From<Misuse> for SendError {
    fn from(misuse: Misuse) -> Self {
        match misuse {
            Misuse::NotLinked => Self::NotLinked,
            Misuse::Full(what) => Self::Full(what),
            Misuse::BadArgument(what) | Misuse::WrongState(what) => Self::BadArgument(what),
            // The driver restores a faulted core before it takes the next command; the rest cannot come from a send.
            _ => Self::Stopped(Stopped::Unusable),
        }
    }
}

impl From<Misuse> for OperationError {
    fn from(misuse: Misuse) -> Self {
        match misuse {
            Misuse::NotLinked => Self::NotLinked,
            other => Self::Refused(other.to_string()),
        }
    }
}
