//! The protocol on virtual time: clients and the relay in one process, without sockets or clocks.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code: a panic is a failed test"
)]

mod addresses;
mod clocks;
mod connection;
mod crashes;
mod faults;
mod frames;
mod identity;
mod linking;
mod load;
mod messages;
mod migration;
mod origins;
mod outbox;
mod pairing_code;
mod passkey;
mod placeholder;
mod poison;
mod prekeys;
mod recording;
mod report;
mod restarts;
mod retry;
mod sending;
mod storage;
mod strikes;
mod tokens;
mod trouble;
mod twins;
mod used_counters;
mod wire;
