//! Messages that were received: which of the newest this device has answered with a receipt.
//!
//! The server delivers again whatever it has no answer to; a ratchet only tells that a counter was used, not for which
//! message. A ring in the store: the newest hashes are one small record that is written with every message, and each
//! time it is full it becomes one segment of the ring.

use super::record::{BadRecord, Stored};
use crate::api::{MessageId, Record, Space};
use sha2::{Digest, Sha256};

/// Version of a record that does not say since when there are these.
const SEGMENT: u8 = 1;

const VERSION: u8 = 2;

/// Hashes of one segment: what each message writes again is at most this many.
const AT_ONCE: usize = 8;

/// Segments of the ring. Unanswered can be what a connection had in flight when it ended: the stanzas that wait for
/// their turn, the events that are not handled, and receipts on their way; 2048 messages are more than that.
const SEGMENTS: u64 = 256;

/// Record id of the newest hashes.
pub(crate) const ID: &[u8] = b"received";

/// What stands for a message of a device: half of nothing to guess, and small.
pub(crate) type Mark = [u8; 8];

/// The mark of the message `id` of the device whose records are named `device`.
pub(crate) fn mark(device: &[u8], id: &MessageId) -> Mark {
    let mut hash = Sha256::new();
    hash.update(u64::try_from(device.len()).unwrap_or(u64::MAX).to_be_bytes());
    hash.update(device);
    hash.update(id.as_str());
    let hash: [u8; 32] = hash.finalize().into();
    hash.first_chunk().copied().unwrap_or_default()
}

/// The newest messages, or one segment of those before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    /// Number of the segment that these are or will be.
    number: u64,
    /// Since when messages are remembered, in seconds since 1970; only in the record of the newest.
    began: Option<u32>,
    marks: Vec<Mark>,
}

impl Received {
    /// Nothing was received yet that is remembered; from `now` on, in seconds since 1970, it is.
    pub(crate) fn beginning(now: u64) -> Self {
        Self { number: 0, began: Some(u32::try_from(now).unwrap_or(u32::MAX)), marks: Vec::new() }
    }

    /// Whether a message that the server took at `timestamp` can have been received before anything was remembered. Not
    /// for ever: what is unanswered is delivered again before long, and a clock may have been wrong at the beginning.
    pub(crate) fn began_after(&self, timestamp: u64, now: u64) -> bool {
        let began = self.began.map(u64::from).filter(|began| *began <= now && self.number < SEGMENTS);
        began.is_some_and(|began| timestamp <= began)
    }

    /// Whether a message is among these.
    pub(crate) fn knows(&self, marks: &[Mark]) -> bool {
        self.marks.iter().any(|known| marks.contains(known))
    }

    /// Adds a message to the newest. Gives the segment that became full by it, with its record id.
    pub(crate) fn add(&mut self, mark: Mark) -> Option<(Vec<u8>, Self)> {
        self.marks.push(mark);
        if self.marks.len() < AT_ONCE {
            return None;
        }
        let full = Self { number: self.number, began: None, marks: std::mem::take(&mut self.marks) };
        self.number += 1;
        Some((segment_id(full.number), full))
    }

    /// Record ids of the segments before the newest.
    pub(crate) fn segments(&self) -> impl Iterator<Item = Vec<u8>> + use<> {
        (self.number.saturating_sub(SEGMENTS)..self.number).map(segment_id)
    }
}

fn segment_id(number: u64) -> Vec<u8> {
    let mut id = ID.to_vec();
    id.extend(u16::try_from(number % SEGMENTS).unwrap_or_default().to_be_bytes());
    id
}

impl Stored for Received {
    const SPACE: Space = Space::Account;

    fn seal(&self) -> Record {
        let mut bytes = vec![if self.began.is_some() { VERSION } else { SEGMENT }];
        bytes.extend_from_slice(&self.number.to_be_bytes());
        bytes.extend(self.began.iter().flat_map(|began| began.to_be_bytes()));
        bytes.extend_from_slice(self.marks.as_flattened());
        Record(bytes.into())
    }

    fn open(record: &Record) -> Result<Self, BadRecord> {
        let Some((&version @ (SEGMENT | VERSION), rest)) = record.0.split_first() else { return Err(BadRecord) };
        let (number, mut rest) = rest.split_first_chunk().ok_or(BadRecord)?;
        let mut began = None;
        if version == VERSION {
            let (bytes, marks) = rest.split_first_chunk().ok_or(BadRecord)?;
            (began, rest) = (Some(u32::from_be_bytes(*bytes)), marks);
        }
        let (marks, []) = rest.as_chunks() else { return Err(BadRecord) };
        if marks.len() > AT_ONCE {
            return Err(BadRecord);
        }
        Ok(Self { number: u64::from_be_bytes(*number), began, marks: marks.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_newest_two_thousand_messages_are_known_and_records_stay_few_and_small() {
        let mark_of = |number: u64| mark(&[1, 2], &MessageId::new(number.to_string()));
        let mut newest = Received::beginning(0);
        let mut ring: BTreeMap<Vec<u8>, Record> = BTreeMap::new();
        let all = 3 * SEGMENTS * 8 + 5;
        let mut written = 0;
        for number in 0..all {
            if let Some((id, full)) = newest.add(mark_of(number)) {
                written += id.len() + full.seal().0.len();
                ring.insert(id, full.seal());
            }
            newest = Received::open(&newest.seal()).unwrap();
            written += ID.len() + newest.seal().0.len();
        }
        assert!(written as u64 / all <= 64, "{} bytes for each message", written as u64 / all);
        assert_eq!(ring.len() as u64, SEGMENTS);
        let is_known = |number: u64| {
            let marks = [mark_of(number)];
            let mut segments = newest.segments().map(|id| Received::open(&ring[&id]).unwrap());
            newest.knows(&marks) || segments.any(|segment| segment.knows(&marks))
        };
        assert!((all - SEGMENTS * 8..all).all(is_known));
        assert!(!is_known(all) && !is_known(0));
    }

    #[test]
    fn what_came_before_anything_was_remembered_may_have_been_received_for_some_time() {
        let mut newest = Received::beginning(1_000);
        assert!(newest.began_after(999, 1_000) && newest.began_after(1_000, 5_000));
        assert!(!newest.began_after(1_001, 5_000), "it would be remembered");
        assert!(!newest.began_after(900, 950), "the clock was wrong then");
        for number in 0..SEGMENTS * 8 {
            newest.add(mark(&[1], &MessageId::new(number.to_string())));
        }
        assert!(!newest.began_after(999, 5_000));
        let before = Received { began: None, ..newest };
        assert_eq!(Received::open(&before.seal()).map(|read| read.began_after(0, 5_000)), Ok(false));
    }

    #[test]
    fn the_same_id_of_another_device_is_another_message() {
        let id = MessageId::new("3EB0");
        assert_ne!(mark(&[1], &id), mark(&[2], &id));
        assert_ne!(mark(b"a", &MessageId::new("bc")), mark(b"ab", &MessageId::new("c")));
    }
}
