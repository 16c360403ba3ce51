//! Addresses, ids and time: plain values without behaviour of the protocol.

mod ids;
mod jid;
mod server;
mod time;
mod username;

pub use ids::{MessageId, RequestIds};
pub use jid::{Jid, JidError};
pub use server::Server;
pub use time::{Now, Seed};
pub use username::Username;
