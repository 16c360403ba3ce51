//! Which records of received sender keys there are. Stores are never scanned, and a group key that was received must not
//! outlive its account: a list in pieces, of which only the newest is ever written.

use super::record::{BadRecord, Stored};
use crate::api::{Record, Space};

const VERSION: u8 = 1;

/// Names in one piece: what each new record writes again is at most this many.
const AT_ONCE: usize = 32;

/// Record id of the newest piece.
pub(crate) const ID: &[u8] = b"sender-keys";

/// Record id of a full piece.
pub(crate) fn piece_id(number: u32) -> Vec<u8> {
    let mut id = ID.to_vec();
    id.extend(number.to_be_bytes());
    id
}

/// Ids of records, the newest or one full piece of them.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct SenderKeyNames {
    /// Number of the piece that these are or will be: as many are full.
    pub(crate) number: u32,
    pub(crate) ids: Vec<Vec<u8>>,
}

impl SenderKeyNames {
    /// Adds the id of a new record. Gives the piece that became full by it, with its record id.
    pub(crate) fn add(&mut self, id: Vec<u8>) -> Option<(Vec<u8>, Self)> {
        self.ids.push(id);
        if self.ids.len() < AT_ONCE {
            return None;
        }
        let full = Self { number: self.number, ids: std::mem::take(&mut self.ids) };
        self.number = self.number.saturating_add(1);
        Some((piece_id(full.number), full))
    }
}

impl Stored for SenderKeyNames {
    const SPACE: Space = Space::Account;

    fn seal(&self) -> Record {
        let mut bytes = vec![VERSION];
        bytes.extend(self.number.to_be_bytes());
        for id in &self.ids {
            // No store takes ids that are longer than one byte can count.
            bytes.push(u8::try_from(id.len()).unwrap_or(u8::MAX));
            bytes.extend(id.iter().take(usize::from(u8::MAX)));
        }
        Record(bytes.into())
    }

    fn open(record: &Record) -> Result<Self, BadRecord> {
        let Some((&VERSION, rest)) = record.0.split_first() else { return Err(BadRecord) };
        let (number, mut rest) = rest.split_first_chunk().ok_or(BadRecord)?;
        let mut ids = Vec::new();
        while let Some((length, behind)) = rest.split_first() {
            let (id, behind) = behind.split_at_checked(usize::from(*length)).ok_or(BadRecord)?;
            ids.push(id.to_vec());
            rest = behind;
        }
        if ids.len() > AT_ONCE { Err(BadRecord) } else { Ok(Self { number: u32::from_be_bytes(*number), ids }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_in_one_piece() {
        let mut newest = SenderKeyNames::default();
        let mut found = Vec::new();
        for number in 0..100_u8 {
            if let Some((id, full)) = newest.add(vec![number; usize::from(number)]) {
                assert_eq!(id, piece_id(full.number));
                found.extend(SenderKeyNames::open(&full.seal()).unwrap().ids);
            }
            newest = SenderKeyNames::open(&newest.seal()).unwrap();
        }
        assert_eq!(newest.number, 3);
        found.extend(newest.ids);
        assert_eq!(found, (0..100).map(|number| vec![number; usize::from(number)]).collect::<Vec<_>>());
    }
}
