//! What several test files share.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test panics")]

pub(crate) mod http;
pub(crate) mod peer;
pub(crate) mod proxies;
