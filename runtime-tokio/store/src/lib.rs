//! Durable record stores for whatsio.
//!
//! Owns: the two calls every store answers ([`Store`]), the embedded default ([`SqliteStore`]), one that forgets
//! ([`MemoryStore`]), and the thread that merges the commits of all accounts ([`Writer`]). Deliberately does not know
//! what a record means, nor tokio: every call blocks, and hosts of any kind put it on a thread of their own.

mod account;
mod conformance;
mod memory;
mod sqlite;
mod store;
mod writer;

pub use account::{AccountId, InvalidAccountId};
pub use conformance::store_conformance;
pub use memory::MemoryStore;
pub use sqlite::{OpenError, SqliteStore};
pub use store::{Administer, LoadError, MAX_ID_BYTES, MAX_RECORD_BYTES, Store};
pub use writer::{Writer, WriterHandle};
