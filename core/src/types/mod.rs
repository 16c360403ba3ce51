//! Addresses, ids and time: plain values without behaviour of the protocol.

mod ids;
mod jid;
mod server;
mod time;

pub use ids::{RequestIds, messenger_message_id, web_message_id};
pub use jid::{Jid, JidError};
pub use server::Server;
pub use time::{Now, Seed};
