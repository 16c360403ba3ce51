//! Who is there, and what they do.

use super::Aliases;
use crate::types::Jid;

/// Somebody came online, or went.
#[derive(Clone, Debug, PartialEq, Hash)]
#[non_exhaustive]
pub struct PresenceEvent {
    /// Who, without device.
    pub user: Jid,
    /// All known addresses of that user.
    pub user_aliases: Aliases,
    /// What the presence is now.
    pub presence: Presence,
}

/// Somebody started or stopped typing or recording.
#[derive(Clone, Debug, PartialEq, Hash)]
#[non_exhaustive]
pub struct ChatStateEvent {
    /// Where: a user or a group.
    pub chat: Jid,
    /// All known addresses of the chat's user; empty for a group.
    pub chat_aliases: Aliases,
    /// Who, without device.
    pub user: Jid,
    /// All known addresses of that user.
    pub user_aliases: Aliases,
    /// What they do now.
    pub state: ChatState,
}

/// Somebody's presence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChatState {
    /// Typing.
    Composing,
    /// Recording a voice message.
    Recording,
    /// Neither.
    Paused,
}
