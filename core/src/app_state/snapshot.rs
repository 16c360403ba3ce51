//! A snapshot: a whole collection at one version, read as it streams by.

use super::lthash::Expander;
use super::mutation::{Arena, Record};
use super::wire::{Front, bytes_field, front, number_field};
use super::{Collection, Head, IndexMac, KeyRing, LtHash, Mutations, Operation, SyncError, SyncKeyId, ValueMac};
use std::collections::BTreeSet;
use subtle::ConstantTimeEq;
use whatsio_proto::fields::Field;

/// Verifies and decrypts a snapshot pushed in chunks of any size, such as a media decryptor gives.
///
/// Holds the decrypted records in one piece of memory and 64 bytes of codes for each; never the snapshot itself.
pub struct SnapshotReader {
    collection: Collection,
    arrived: Vec<u8>,
    arena: Arena,
    hash: LtHash,
    expander: Expander,
    missing: BTreeSet<Vec<u8>>,
    records: usize,
    version: Option<u64>,
    mac: Option<[u8; 32]>,
    key_id: Vec<u8>,
}

/// A verified snapshot. Replaces everything known of its collection; nothing has changed yet.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// The collection's version and sum.
    pub head: Head,
    /// The value code of every entry, in order of the index codes.
    pub values: Vec<(IndexMac, ValueMac)>,
    /// The decrypted records, in the snapshot's order. An entry that is there twice counts as its later record says.
    pub mutations: Mutations,
}

/// A record is a few hundred bytes; the largest actions are lists of some thousand ids.
const RECORD_BYTES: u64 = 1024 * 1024;
/// Far above what any phone writes; a bound on memory, some 100 bytes each.
const RECORDS: usize = 1_000_000;

impl SnapshotReader {
    /// Begins a snapshot of `collection`.
    #[must_use]
    pub fn new(collection: Collection) -> Self {
        Self {
            collection,
            arrived: Vec::new(),
            arena: Arena::default(),
            hash: LtHash::EMPTY,
            expander: Expander::new(),
            missing: BTreeSet::new(),
            records: 0,
            version: None,
            mac: None,
            key_id: Vec::new(),
        }
    }

    /// Takes the next bytes. About two microseconds per record, so cut long ones between polls.
    ///
    /// Fails when a record is not authentic or over the limits; the snapshot is then to be given up. Records under
    /// keys that `ring` does not have are only noted: [`finish`](Self::finish) names them all.
    pub fn push(&mut self, ring: &KeyRing, chunk: &[u8]) -> Result<(), SyncError> {
        let mut arrived = std::mem::take(&mut self.arrived);
        arrived.extend_from_slice(chunk);
        let mut used = 0;
        loop {
            match front(arrived.get(used..).unwrap_or_default())? {
                Front::Whole(field) => {
                    let length = field.raw.len();
                    self.field(ring, &field)?;
                    used += length;
                }
                Front::Partial(total) if total > RECORD_BYTES => return Err(SyncError::Limit("a record")),
                Front::Partial(_) | Front::Unclear => break,
            }
        }
        arrived.drain(..used.min(arrived.len()));
        self.arrived = arrived;
        Ok(())
    }

    /// Ends the snapshot: names missing keys, else compares the sum over all records with the snapshot's code.
    pub fn finish(mut self, ring: &KeyRing) -> Result<Snapshot, SyncError> {
        if !self.arrived.is_empty() {
            return Err(SyncError::Malformed("the snapshot is cut short"));
        }
        let version = self.version.filter(|&version| version > 0);
        let (Some(version), Some(mac)) = (version, self.mac) else {
            return Err(SyncError::Malformed("a snapshot without version or code"));
        };
        let keys = ring.find(&self.key_id);
        if keys.is_none() {
            self.missing.insert(std::mem::take(&mut self.key_id));
        }
        let Some(keys) = keys.filter(|_| self.missing.is_empty()) else {
            return Err(SyncError::MissingKeys(self.missing.into_iter().map(SyncKeyId::new).collect()));
        };
        let values = self.settle();
        let head = Head { version, hash: self.hash };
        if !bool::from(mac.ct_eq(&keys.snapshot_mac(self.collection, &head))) {
            return Err(SyncError::SnapshotMac);
        }
        Ok(Snapshot { head, values, mutations: self.arena.finish() })
    }

    fn field(&mut self, ring: &KeyRing, field: &Field<'_>) -> Result<(), SyncError> {
        match field.number {
            1 => self.version = number_field(field.bytes()?, 1)?,
            2 => self.record(ring, field.bytes()?)?,
            3 => self.mac = field.bytes()?.try_into().ok(),
            4 => self.key_id = bytes_field(field.bytes()?, 1)?.unwrap_or_default().to_vec(),
            _ => {}
        }
        Ok(())
    }

    fn record(&mut self, ring: &KeyRing, message: &[u8]) -> Result<(), SyncError> {
        if self.records == RECORDS {
            return Err(SyncError::Limit("the number of records"));
        }
        let record = Record::parse(message).map_err(SyncError::Malformed)?;
        let place = self.records;
        self.records += 1;
        let Some(keys) = ring.find(record.key_id) else {
            self.missing.insert(record.key_id.to_vec());
            return Ok(());
        };
        if self.missing.is_empty() {
            self.arena.open(Operation::Set, &record, keys).map_err(|error| error.at(place))?;
            self.hash.add(&self.expander, &record.value_mac());
        }
        Ok(())
    }

    /// Orders the codes by index, and takes back from the sum what a later record of the same index replaces.
    fn settle(&mut self) -> Vec<(IndexMac, ValueMac)> {
        let mut values = Vec::with_capacity(self.arena.len());
        values.extend(self.arena.codes().map(|(_, index, value)| (index, value)));
        // Stable, so that of equal indexes the later record comes last.
        values.sort_by_key(|(index, _)| *index);
        let (hash, expander) = (&mut self.hash, &self.expander);
        values.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                hash.subtract(expander, &kept.1);
                kept.1 = later.1;
            }
            same
        });
        values
    }
}

impl Snapshot {
    /// Reads a snapshot that is all in memory.
    pub fn read(collection: Collection, ring: &KeyRing, bytes: &[u8]) -> Result<Self, SyncError> {
        let mut reader = SnapshotReader::new(collection);
        reader.push(ring, bytes)?;
        reader.finish(ring)
    }
}

impl std::fmt::Debug for SnapshotReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SnapshotReader({:?}, {} records so far)", self.collection, self.records)
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Snapshot(version {}, {} entries)", self.head.version, self.values.len())
    }
}
