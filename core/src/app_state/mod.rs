//! Synchronised settings ("app state"): keys, hashes, patches, snapshots, and the history blobs that come beside them.
//!
//! Owns everything about the five encrypted collections that can be computed from bytes: verifying, decrypting,
//! sealing, hashing. Deliberately knows nothing of fetching, storing, retrying or of what an action does to a chat;
//! that is the flows' business. Nothing here changes state: a call returns what to write, or says why not.

mod action;
mod collection;
mod error;
mod history;
mod index;
mod inflate;
mod key_message;
mod keys;
mod lthash;
mod mutation;
mod outgoing;
mod patch;
mod recovery;
mod snapshot;
#[cfg(test)]
mod tests;
mod token;
mod wire;

pub use action::{Action, ActionSpec, ChatMessage};
pub use collection::{Collection, Head, IndexMac, ValueMac};
pub use error::{SyncError, Verdict};
pub use history::{Aliases, Conversation, HistoryError, HistoryLimits, HistoryPart, HistoryReader};
pub use index::{Index, IndexError};
pub use inflate::{InflateError, Inflater, inflate};
pub use key_message::{KeyAnswer, SyncKey, key_request, key_share, parse_key_request, parse_key_share};
pub use keys::{KeyRing, MutationKeys, SyncKeyData, SyncKeyId};
pub use lthash::LtHash;
pub use mutation::{Mutation, Mutations, Operation};
pub use outgoing::{Change, Draft};
pub use patch::{Applied, Patch, RawMutation, stamp_version};
pub use recovery::recover;
pub use snapshot::{Snapshot, SnapshotReader};
pub use token::nct_token;
