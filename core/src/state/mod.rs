//! Hot state and its durability: records, the cache over them, transactions, the commit barrier.
//!
//! Owns the rule that nothing leaves before what it depends on is durable. Knows neither stanzas nor flows: what a
//! transaction causes is a type parameter.

mod barrier;
mod cache;
mod record;
mod txn;

#[cfg(test)]
mod ever_written;
#[cfg(test)]
mod record_forms;

pub(crate) mod account;
pub(crate) mod asked;
pub(crate) mod devices;
pub(crate) mod inbox;
pub(crate) mod life;
pub(crate) mod linking;
pub(crate) mod outbox;
mod outcome;
pub(crate) mod passkey;
pub(crate) mod peer;
pub(crate) mod prekeys;
pub(crate) mod ratchets;
pub(crate) mod received;
pub(crate) mod resends;
pub(crate) mod restriction;
pub(crate) mod sender_keys;
pub(crate) mod spent;
pub(crate) mod tokens;

pub(crate) use barrier::{Barrier, Verdict};
pub(crate) use cache::{Cache, DURABLE, Lookup};
pub(crate) use record::Stored;
pub(crate) use txn::{Change, Miss, Staged, Txn};
