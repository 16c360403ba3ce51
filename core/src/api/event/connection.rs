//! How connections and clients end.

/// Why a connection ended and what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Disconnect {
    /// What the server or the network said, as a short fixed word: `restart-required`, `logged-out`, `replaced`,
    /// `banned`, `outdated`, `refused`, `server-busy`, `lost`, `unreachable`, `silent`, `asked`, `handshake`.
    pub reason: &'static str,
    /// The server's code, where there is one.
    pub code: Option<u32>,
    /// What the client does, or what the application should do.
    pub recommendation: Recommendation,
}

/// What follows a disconnect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Recommendation {
    /// The client connects again by itself, at this reading of the monotonic clock (milliseconds).
    WaitUntil(u64),
    /// The client stays down until `connect` is called.
    Stop,
    /// The keys are void and are being wiped; call `connect` to link again as a new device.
    LinkAgain,
    /// The announced version is refused: swap the profile.
    UpdateProfile,
}

/// Why a client cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultReason {
    /// Another process has taken the account over.
    Fenced,
    /// The store cannot write.
    StoreFailed,
}
