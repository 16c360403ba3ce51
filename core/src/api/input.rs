//! What a host tells the core.

use super::{CommitId, EventId, LoadId, Record};
use crate::types::Seed;
use bytes::Bytes;

/// Something that happened outside the core.
#[derive(Clone)]
#[non_exhaustive]
pub enum Input {
    /// The connection asked for by [`Output::Open`](super::Output::Open) is up.
    Opened,
    /// Bytes from the connection, in order, split or merged in any way. Only while
    /// [`wants_frames`](super::Output) is true; bytes handed in regardless are kept.
    Frame(Bytes),
    /// The connection ended, or could not be made. Said once per [`Output::Open`](super::Output::Open).
    Closed(CloseReason),
    /// The time named by [`next_deadline`](super::Output) has come. Harmless at any time.
    Tick,
    /// Answer to a load: one entry per key, in order; `None` where there is no record.
    Loaded(LoadId, Vec<Option<Record>>),
    /// The store could not read. The core asks again after a pause.
    LoadFailed(LoadId),
    /// The commit is durable: it survives a power cut.
    Committed(CommitId),
    /// The commit was not applied, not even in part.
    CommitFailed(CommitId, CommitError),
    /// The application has safely taken a durable event; it is not emitted again.
    Handled(EventId),
    /// Fresh entropy to mix into the internal generator.
    Entropy(Seed),
}

/// Contents stay out of logs.
impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Opened => f.write_str("Opened"),
            Self::Frame(bytes) => write!(f, "Frame({} bytes)", bytes.len()),
            Self::Closed(reason) => write!(f, "Closed({reason:?})"),
            Self::Tick => f.write_str("Tick"),
            Self::Loaded(id, records) => write!(f, "Loaded({id}, {} records)", records.len()),
            Self::LoadFailed(id) => write!(f, "LoadFailed({id})"),
            Self::Committed(id) => write!(f, "Committed({id})"),
            Self::CommitFailed(id, error) => write!(f, "CommitFailed({id}, {error:?})"),
            Self::Handled(id) => write!(f, "Handled({id})"),
            Self::Entropy(_) => f.write_str("Entropy(..)"),
        }
    }
}

/// Why a connection ended, as far as the host can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The host closed it because the core said [`Output::Close`](super::Output::Close).
    Asked,
    /// The server closed it.
    ByServer,
    /// It could not be made: name resolution, TCP, proxy, TLS or the WebSocket upgrade failed.
    Unreachable,
    /// It broke.
    Broken,
}

/// Why a commit was not applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitError {
    /// The store was busy; the same commit may be offered again.
    Retry,
    /// Another process has taken the account over.
    Fenced,
    /// The store cannot write: disk full, file damaged.
    Fatal,
}

/// The caller broke the contract. Nothing changed. Everything the network does wrong becomes an event instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misuse {
    /// The id was never handed out, or has been answered already.
    #[error("{0} is not outstanding")]
    UnknownId(&'static str),
    /// A load was answered with another number of records than it has keys.
    #[error("a load of {asked} keys was answered with {given} records")]
    WrongCount {
        /// Keys asked for.
        asked: usize,
        /// Records given.
        given: usize,
    },
    /// The call makes no sense in this state, for example `Opened` without `Open`.
    #[error("{0}")]
    WrongState(&'static str),
    /// An argument can never be accepted; says which and why.
    #[error("{0}")]
    BadArgument(&'static str),
    /// The account is not linked, so it cannot send.
    #[error("the account is not linked")]
    NotLinked,
    /// A limit of [`Limits`](super::Limits) is reached; try again when something has drained.
    #[error("the limit on {0} is reached")]
    Full(&'static str),
    /// The client has faulted; restore a new one from the store.
    #[error("the client has faulted and must be restored from its store")]
    Faulted,
}
