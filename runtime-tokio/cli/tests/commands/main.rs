//! Commands against a relay, each a process of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failing test panics"
)]

mod chats;
mod doctor;
mod link;
mod replay;
mod secrets;
mod support;
