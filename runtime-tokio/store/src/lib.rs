//! Durable record stores for whatsio.
//!
//! Owns: the two calls every store answers ([`Store`]), the embedded default ([`SqliteStore`]), which seals what it keeps
//! under a key from a [`KeySource`], one that forgets ([`MemoryStore`]), the thread that merges the commits of all accounts
//! ([`Writer`]), sessions as files that move between stores ([`transfer`]), and recordings as files ([`recording`]).
//! Deliberately does not know what a record means, nor tokio: every call blocks, and hosts of any kind put it on a thread
//! of their own.

mod account;
mod conformance;
pub mod foreign;
mod memory;
pub mod recording;
mod seal;
mod sqlite;
mod store;
pub mod transfer;

mod writer;

pub use account::{AccountId, InvalidAccountId};
pub use conformance::store_conformance;
pub use memory::MemoryStore;
pub use seal::{KEY_VARIABLE, KeyError, KeySource, MalformedKey, StoreKey};
pub use sqlite::{OpenError, SqliteStore};
pub use store::{
    Administer, CreateError, DAMAGED, LoadError, MAX_ID_BYTES, MAX_RECORD_BYTES, Records, Standing, Store,
};
pub use writer::{Writer, WriterHandle};
