//! Addresses, ids and time: plain values without behaviour of the protocol.

mod jid;
mod time;

pub use jid::{Jid, Server};
pub use time::{Now, Seed};
