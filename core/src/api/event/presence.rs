//! Who is there, and what they do.

/// Somebody's presence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Presence {
    /// Online.
    Available,
    /// Offline.
    Unavailable {
        /// Last seen, in seconds since 1970, unless hidden.
        last_seen: Option<u64>,
    },
}

/// What somebody does in a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChatState {
    /// Typing.
    Composing,
    /// Recording a voice message.
    Recording,
    /// Neither.
    Paused,
}
