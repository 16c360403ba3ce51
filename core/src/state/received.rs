//! Messages that were received: which of the newest this device has answered with a receipt.
//!
//! The server delivers again whatever it has no answer to; a ratchet only tells that a counter was used, not for which
//! message. A ring in the store: the newest hashes are one small record that is written with every message, and each
//! time it is full it becomes one segment of the ring.

use super::record::{BadRecord, Stored};
use crate::api::{MessageId, Record, Space};
use sha2::{Digest, Sha256};

const VERSION: u8 = 1;

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
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Received {
    /// Number of the segment that these are or will be.
    number: u64,
    marks: Vec<Mark>,
}

impl Received {
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
        let full = Self { number: self.number, marks: std::mem::take(&mut self.marks) };
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
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.number.to_be_bytes());
        bytes.extend_from_slice(self.marks.as_flattened());
        Record(bytes.into())
    }

    fn open(record: &Record) -> Result<Self, BadRecord> {
        let Some((&VERSION, rest)) = record.0.split_first() else { return Err(BadRecord) };
        let (number, rest) = rest.split_first_chunk().ok_or(BadRecord)?;
        let (marks, []) = rest.as_chunks() else { return Err(BadRecord) };
        if marks.len() > AT_ONCE {
            return Err(BadRecord);
        }
        Ok(Self { number: u64::from_be_bytes(*number), marks: marks.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_newest_two_thousand_messages_are_known_and_records_stay_few_and_small() {
        let mark_of = |number: u64| mark(&[1, 2], &MessageId::new(number.to_string()));
        let mut newest = Received::default();
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
    fn the_same_id_of_another_device_is_another_message() {
        let id = MessageId::new("3EB0");
        assert_ne!(mark(&[1], &id), mark(&[2], &id));
        assert_ne!(mark(b"a", &MessageId::new("bc")), mark(b"ab", &MessageId::new("c")));
    }
}
