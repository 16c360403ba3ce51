//! One file per command.

pub(crate) mod chats;
pub(crate) mod completions;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod inspect;
pub(crate) mod link;
pub(crate) mod relay;
pub(crate) mod replay;
pub(crate) mod send;
pub(crate) mod session;
pub(crate) mod watch;
