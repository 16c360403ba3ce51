//! What the core asks of a store: two calls, load and commit.

use super::{CommitId, LoadId};
use bytes::Bytes;

/// A kind of record. The number is what a store persists; numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Space {
    /// The few root records: identity, epoch, cursors.
    Account = 1,
    /// A pairwise session's steady state, by device.
    Session = 2,
    /// Skipped message keys and archived states of a session, by device.
    SessionArchive = 3,
    /// A peer device's identity key.
    Identity = 4,
    /// A one-time prekey, by number.
    PreKey = 5,
    /// A signed prekey, by number.
    SignedPreKey = 6,
    /// A sender key, by group and device.
    SenderKey = 7,
    /// A user's list of devices, by peer.
    DeviceList = 8,
    /// The peer that an address (phone number, LID or username) belongs to.
    LidMap = 9,
    /// A version, hash or key of app state.
    AppState = 10,
    /// An event the application has not yet handled, by event id.
    Inbox = 11,
    /// An accepted send, by sequence number.
    Outbox = 12,
    /// The sequence number of an accepted send, by message id.
    OutboxId = 13,
    /// A record that did not decode, set aside as it was found.
    Quarantine = 14,
    /// What is known of a peer: its addresses and the devices there are sessions with.
    Peer = 15,
    /// Tokens by which this account and a contact know each other, by peer.
    ContactToken = 16,
}

impl Space {
    /// The space of a number that a store has persisted; `None` for one that only newer releases know.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Account,
            2 => Self::Session,
            3 => Self::SessionArchive,
            4 => Self::Identity,
            5 => Self::PreKey,
            6 => Self::SignedPreKey,
            7 => Self::SenderKey,
            8 => Self::DeviceList,
            9 => Self::LidMap,
            10 => Self::AppState,
            11 => Self::Inbox,
            12 => Self::Outbox,
            13 => Self::OutboxId,
            14 => Self::Quarantine,
            15 => Self::Peer,
            16 => Self::ContactToken,
            _ => return None,
        })
    }
}

/// Names a record of one account.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The kind of record.
    pub space: Space,
    /// Which one of that kind: at most 255 bytes.
    pub id: Bytes,
}

impl Key {
    /// Names the record `id` of `space`.
    #[must_use]
    pub fn new(space: Space, id: impl Into<Bytes>) -> Self {
        Self { space, id: id.into() }
    }
}

/// Ids hold addresses, so only the space and the length are shown.
impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({:?}, {} bytes)", self.space, self.id.len())
    }
}

/// A record's bytes: one version byte, then its content. Opaque to hosts; may hold private keys.
#[derive(Clone, PartialEq, Eq)]
pub struct Record(pub Bytes);

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Record({} bytes)", self.0.len())
    }
}

/// Which life of an account a commit belongs to. Every restore takes a greater one.
///
/// The upper half counts restores, the lower half is drawn at random, so that two processes that restore the same
/// records at once never share an epoch. A store keeps the greatest epoch it has accepted for an account and refuses
/// any commit with a smaller one as fenced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u64);

/// Records to write, all in one durable transaction or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Answered with [`Input::Committed`](super::Input::Committed) or
    /// [`Input::CommitFailed`](super::Input::CommitFailed).
    pub id: CommitId,
    /// Refused as fenced when the store has accepted a greater one.
    pub epoch: Epoch,
    /// `Some` puts, `None` deletes; each key at most once, in key order.
    pub writes: Vec<(Key, Option<Record>)>,
}

/// Records to read, answered in the order of `keys`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadRequest {
    /// Answered with [`Input::Loaded`](super::Input::Loaded) or [`Input::LoadFailed`](super::Input::LoadFailed).
    pub id: LoadId,
    /// Distinct keys.
    pub keys: Vec<Key>,
}

#[cfg(test)]
mod tests {
    use super::Space;

    #[test]
    fn every_space_is_found_by_its_number() {
        // A new space does not compile here until it is listed: list it in `from_number` too, or it cannot be exported.
        let number = |space: Space| match space {
            Space::Account
            | Space::Session
            | Space::SessionArchive
            | Space::Identity
            | Space::PreKey
            | Space::SignedPreKey
            | Space::SenderKey
            | Space::DeviceList
            | Space::LidMap
            | Space::AppState
            | Space::Inbox
            | Space::Outbox
            | Space::OutboxId
            | Space::Quarantine
            | Space::Peer
            | Space::ContactToken => space as u8,
        };
        for found in 0..=u8::MAX {
            assert!(Space::from_number(found).is_none_or(|space| number(space) == found));
        }
    }
}
