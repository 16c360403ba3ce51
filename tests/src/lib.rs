//! Shared machinery of the test suites: a small world in which clients and the relay meet on virtual time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unreachable,
    reason = "test code: a panic is a failed test"
)]

pub mod fuzz;
pub mod leaks;
pub mod mixed;
pub mod puppet;
pub mod recording;
pub mod strikes;
pub mod world;
