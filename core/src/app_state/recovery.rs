//! Recovery of a collection from the phone, when a snapshot from the server cannot be had or read.

use super::mutation::{Arena, check_data};
use super::wire::{bytes_field, number_field};
use super::{Collection, Head, IndexMac, KeyRing, LtHash, Snapshot, SyncError, SyncKeyId, ValueMac};
use std::collections::{BTreeMap, BTreeSet};
use whatsio_proto::fields::Fields;

/// Reads the phone's plaintext copy of `collection` (already inflated, when it came compressed).
///
/// The copy is authentic by the end-to-end encrypted message that brought it. It is to be ignored when the local
/// version is not smaller. Fails when it is malformed, is another collection's, has records under keys that are not
/// here, or when its sum is not that of its records.
pub fn recover(collection: Collection, ring: &KeyRing, message: &[u8]) -> Result<Snapshot, SyncError> {
    let (mut version, mut name, mut hash) = (None, None, None);
    let (mut arena, mut values, mut missing) = (Arena::default(), BTreeMap::new(), BTreeSet::new());
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            1 => version = number_field(field.bytes()?, 1)?,
            2 => name = Some(field.text()?),
            3 => match record(ring, field.bytes()?, arena.len())? {
                Read::Entry(data, index, value) => {
                    arena.take(data, index, value);
                    values.insert(index, value);
                }
                Read::MissingKey(id) => {
                    missing.insert(id);
                }
            },
            4 => hash = field.bytes()?.try_into().ok(),
            _ => {}
        }
    }
    if name != Some(collection.name()) {
        return Err(SyncError::Malformed("the copy of another collection"));
    }
    if !missing.is_empty() {
        return Err(SyncError::MissingKeys(missing.into_iter().map(|id| SyncKeyId::new(id.to_vec())).collect()));
    }
    let version = version.filter(|&version| version > 0).ok_or(SyncError::Malformed("a copy without a version"))?;
    let mut sum = LtHash::EMPTY;
    sum.update(values.values(), []);
    if hash.is_none_or(|hash| LtHash::from_bytes(hash) != sum) {
        return Err(SyncError::SnapshotMac);
    }
    let head = Head { version, hash: sum };
    Ok(Snapshot { head, values: values.into_iter().collect(), mutations: arena.finish() })
}

enum Read<'a> {
    Entry(&'a [u8], IndexMac, ValueMac),
    MissingKey(&'a [u8]),
}

fn record<'a>(ring: &KeyRing, message: &'a [u8], place: usize) -> Result<Read<'a>, SyncError> {
    let part = |number| Ok::<_, SyncError>(bytes_field(message, number)?.unwrap_or_default());
    let (data, id, mac) = (part(1)?, part(2)?, part(3)?);
    let index = check_data(data).map_err(|why| SyncError::Value(place, why))?;
    let value = ValueMac(mac.try_into().map_err(|_| SyncError::Malformed("a record without a value code"))?);
    Ok(ring.find(id).map_or(Read::MissingKey(id), |keys| Read::Entry(data, keys.index_mac(index), value)))
}
