//! Where work can get stuck.

/// A part of the way of a message that can get stuck, each watched by a clock of its own. One may be the cause of another:
/// a stanza that waits for a record is a stall of processing and of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Stage {
    /// The host has not said what became of a connection that it was to make or to close.
    Socket,
    /// The server has not answered a handshake, a request, a ping or a message. The client reconnects by itself later on,
    /// since that is cured by it. That a server delivers nothing though it answers everything cannot be told from
    /// quiet, so it is no stall; who expects something may disconnect and connect.
    Server,
    /// The first of the stanzas that wait has not been worked off.
    Processing,
    /// The store has not answered a commit or a load, or keeps failing.
    Store,
    /// The application has not said `Handled` to a durable event.
    Application,
    /// The server neither delivers more of what had waited nor says that this was all. What came is told all the same,
    /// and the client counts itself as drained.
    OfflineQueue,
}

impl Stage {
    /// All of them, in the order of a message's way in.
    pub const ALL: [Self; 6] =
        [Self::Socket, Self::Server, Self::OfflineQueue, Self::Processing, Self::Store, Self::Application];

    /// A fixed word for logs and programs; never renamed.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::Server => "server",
            Self::Processing => "processing",
            Self::Store => "store",
            Self::Application => "application",
            Self::OfflineQueue => "offline-queue",
        }
    }
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}
