//! The outbox: an accepted send is durable, and survives restarts under the same message id until the server has it.
//!
//! Its plaintext is kept for a while after that, to answer peers that could not decrypt.

use super::outcome::OutcomeRecord;
use super::record::{BadRecord, Stored, open, seal};
use crate::api::{DeviceOutcome, MessageId, Record, Space};
use crate::types::Jid;
use bytes::Bytes;
use std::collections::BTreeSet;

const VERSION: u8 = 1;

/// Id of the cursor record.
pub(crate) const CURSOR_ID: &[u8] = b"outbox";

/// Record id of the entry with the sequence number `sequence`.
pub(crate) fn record_id(sequence: u64) -> Vec<u8> {
    sequence.to_be_bytes().to_vec()
}

/// An accepted send.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: MessageId,
    pub(crate) chat: Jid,
    /// The serialised message, before padding and wrappers.
    pub(crate) content: Bytes,
    /// When it was accepted, in milliseconds since 1970.
    pub(crate) accepted: u64,
    pub(crate) state: EntryState,
    /// When the server took it, in seconds since 1970.
    pub(crate) taken: Option<u64>,
    /// The server's code, if it refused.
    pub(crate) refused: Option<u32>,
    /// The server took it but knows devices that it was not made for: they come next, then the report.
    pub(crate) repair: Option<Box<Repair>>,
    /// The server wanted a token; it is tried once more.
    pub(crate) wants_token: bool,
}

/// What is known of the devices of a send that the server took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Repair {
    /// The hash of the devices that the server knows.
    pub(crate) phash: String,
    /// Whether lists were found that have this hash.
    pub(crate) explained: bool,
    /// What became of each device so far. Those marked `Repaired` are on their way.
    pub(crate) devices: Vec<(Jid, DeviceOutcome)>,
}

impl Entry {
    /// A send that was accepted now, in milliseconds since 1970.
    pub(crate) const fn new(id: MessageId, chat: Jid, content: Bytes, accepted: u64) -> Self {
        let state = EntryState::Pending;
        Self { id, chat, content, accepted, state, taken: None, refused: None, repair: None, wants_token: false }
    }

    /// Whether something is still to be sent, and its report with it.
    pub(crate) const fn is_open(&self) -> bool {
        matches!(self.state, EntryState::Pending) || self.repair.is_some()
    }
}

/// How far a send has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryState {
    /// The server has not answered yet.
    Pending,
    /// The server has it.
    Sent,
    /// It can never be sent.
    Failed,
    /// The server had it, but what it said is no longer kept.
    Expired,
}

/// The window of entries: known by id from `oldest`, kept from `first`, open at or above `pending`, the next one gets
/// `next`. Open entries that the window has left behind are named one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OutboxCursor {
    pub(crate) oldest: u64,
    pub(crate) first: u64,
    pub(crate) pending: u64,
    pub(crate) next: u64,
    /// Open entries before `first`; never more than sends may be open.
    pub(crate) behind: BTreeSet<u64>,
}

impl Default for OutboxCursor {
    fn default() -> Self {
        Self { oldest: 1, first: 1, pending: 1, next: 1, behind: BTreeSet::new() }
    }
}

/// Which entry has a message id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sequence(pub(crate) u64);

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
struct EntryRecord {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    chat: String,
    #[prost(bytes = "bytes", tag = "3")]
    content: Bytes,
    #[prost(uint64, tag = "4")]
    accepted: u64,
    #[prost(uint32, tag = "5")]
    state: u32,
    #[prost(uint64, optional, tag = "6")]
    taken: Option<u64>,
    #[prost(uint32, optional, tag = "7")]
    refused: Option<u32>,
    #[prost(message, optional, tag = "8")]
    repair: Option<RepairRecord>,
    #[prost(bool, tag = "9")]
    wants_token: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
struct RepairRecord {
    #[prost(string, tag = "1")]
    phash: String,
    #[prost(bool, tag = "2")]
    explained: bool,
    #[prost(message, repeated, tag = "3")]
    devices: Vec<OutcomeRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CursorRecord {
    #[prost(uint64, tag = "1")]
    first: u64,
    #[prost(uint64, tag = "2")]
    pending: u64,
    #[prost(uint64, tag = "3")]
    next: u64,
    /// Absent while it is the same as `first`.
    #[prost(uint64, optional, tag = "4")]
    oldest: Option<u64>,
    #[prost(uint64, repeated, tag = "5")]
    behind: Vec<u64>,
}

impl Stored for Entry {
    const SPACE: Space = Space::Outbox;

    fn seal(&self) -> Record {
        let state = match self.state {
            EntryState::Pending => 0,
            EntryState::Sent => 1,
            EntryState::Failed => 2,
            EntryState::Expired => 3,
        };
        let record = EntryRecord {
            id: self.id.as_str().to_owned(),
            chat: self.chat.to_string(),
            content: self.content.clone(),
            accepted: self.accepted,
            state,
            taken: self.taken,
            refused: self.refused,
            repair: self.repair.as_ref().map(|repair| RepairRecord {
                phash: repair.phash.clone(),
                explained: repair.explained,
                devices: repair.devices.iter().map(OutcomeRecord::of).collect(),
            }),
            wants_token: self.wants_token,
        };
        seal(VERSION, &record)
    }

    fn open(record: &Record) -> Result<Self, BadRecord> {
        let found: EntryRecord = open(VERSION, record)?;
        let state = match found.state {
            0 => EntryState::Pending,
            1 => EntryState::Sent,
            2 => EntryState::Failed,
            3 => EntryState::Expired,
            _ => return Err(BadRecord),
        };
        Ok(Self {
            id: MessageId::new(found.id),
            chat: Jid::parse(&found.chat).map_err(|_| BadRecord)?,
            content: found.content,
            accepted: found.accepted,
            state,
            taken: found.taken,
            refused: found.refused,
            repair: found.repair.map(|found| Repair::try_from(found).map(Box::new)).transpose()?,
            wants_token: found.wants_token,
        })
    }
}

impl TryFrom<RepairRecord> for Repair {
    type Error = BadRecord;

    fn try_from(found: RepairRecord) -> Result<Self, BadRecord> {
        let devices = found.devices.iter().map(OutcomeRecord::read).collect::<Result<_, _>>()?;
        Ok(Self { phash: found.phash, explained: found.explained, devices })
    }
}

impl Stored for OutboxCursor {
    const SPACE: Space = Space::Account;

    fn seal(&self) -> Record {
        let Self { oldest, first, pending, next, ref behind } = *self;
        let oldest = (oldest != first).then_some(oldest);
        seal(VERSION, &CursorRecord { first, pending, next, oldest, behind: behind.iter().copied().collect() })
    }

    fn open(record: &Record) -> Result<Self, BadRecord> {
        let CursorRecord { first, pending, next, oldest, behind } = open(VERSION, record)?;
        let oldest = oldest.unwrap_or(first);
        let behind: BTreeSet<u64> = behind.into_iter().collect();
        let is_ordered = oldest <= first && first <= pending && pending <= next;
        let is_behind = behind.last().is_none_or(|last| *last < first);
        if is_ordered && is_behind { Ok(Self { oldest, first, pending, next, behind }) } else { Err(BadRecord) }
    }
}

impl Stored for Sequence {
    const SPACE: Space = Space::OutboxId;

    fn seal(&self) -> Record {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.0.to_be_bytes());
        Record(bytes.into())
    }

    fn open(record: &Record) -> Result<Self, BadRecord> {
        match record.0.split_first() {
            Some((&VERSION, rest)) => Ok(Self(u64::from_be_bytes(rest.try_into().map_err(|_| BadRecord)?))),
            _ => Err(BadRecord),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_ids_are_in_the_order_of_sends() {
        assert_eq!(record_id(0x0102), [0, 0, 0, 0, 0, 0, 1, 2]);
    }

    #[test]
    fn an_entry_is_open_while_it_waits_or_is_being_repaired() {
        let mut entry = Entry::new(MessageId::new("1"), Jid::lid("1"), Bytes::new(), 1);
        assert!(entry.is_open());
        for state in [EntryState::Sent, EntryState::Failed, EntryState::Expired] {
            entry.state = state;
            assert!(!entry.is_open());
        }
        entry.repair = Some(Box::new(Repair { phash: String::new(), explained: false, devices: Vec::new() }));
        assert!(entry.is_open());
    }

    #[test]
    fn a_cursor_that_is_out_of_order_is_damaged() {
        let cursor = |oldest, first, pending, next, behind: &[u64]| {
            let behind = behind.iter().copied().collect();
            OutboxCursor::open(&OutboxCursor { oldest, first, pending, next, behind }.seal()).is_ok()
        };
        assert!(cursor(1, 3, 4, 5, &[1, 2]) && cursor(3, 3, 3, 3, &[]));
        assert!(!cursor(4, 3, 5, 6, &[]));
        assert!(!cursor(1, 5, 4, 6, &[]));
        assert!(!cursor(1, 3, 6, 5, &[]));
        assert!(!cursor(1, 3, 4, 5, &[3]), "what is behind is before the first");
        assert!(!cursor(1, 3, 4, 5, &[1, 4]));
    }
}
