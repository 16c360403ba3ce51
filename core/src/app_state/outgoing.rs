//! A patch to upload: changes sealed on top of a known version.

use super::mutation::{encode_data, seal};
use super::patch::Balance;
use super::{Collection, Head, Index, IndexMac, MutationKeys, Operation, SyncError, SyncKeyId, ValueMac};
use whatsio_proto::fields::{put_bytes, put_uint};

/// A change that this device wants to make.
#[derive(Clone, PartialEq, Eq)]
pub struct Change {
    /// Set or remove.
    pub operation: Operation,
    /// The entry's name.
    pub index: Index,
    /// The encoded action with its timestamp; may be absent only when removing.
    pub value: Option<Vec<u8>>,
    /// The action's version.
    pub version: i32,
}

/// Changes sealed into a patch, and what is to be stored when the server accepts it.
#[derive(Clone, PartialEq, Eq)]
pub struct Draft {
    head: Head,
    writes: Vec<(IndexMac, Option<ValueMac>)>,
    mutations: Vec<u8>,
    count: usize,
    snapshot_mac: [u8; 32],
    patch_mac: [u8; 32],
    key_id: SyncKeyId,
    device_index: Option<u32>,
}

/// Patches with more mutations than this go up as an external object (a server property; this is its default).
const INLINE_MUTATIONS: usize = 100;

impl Draft {
    /// Seals `changes` on top of `base` under the key `key_id`, the active one.
    ///
    /// `vector` draws 16 fresh random bytes, once per change in order; `known` gives the value code kept for an entry.
    /// Fails when a value is missing, and when one change repeats another: the caller has to let the last one win.
    pub fn seal(
        collection: Collection,
        base: &Head,
        (key_id, keys): (&SyncKeyId, &MutationKeys),
        device_index: Option<u32>,
        changes: &[Change],
        mut vector: impl FnMut() -> [u8; 16],
        known: impl FnMut(&IndexMac) -> Option<ValueMac>,
    ) -> Result<Self, SyncError> {
        let version = base.version.checked_add(1).ok_or(SyncError::Limit("the version"))?;
        let mut mutations = Vec::new();
        let mut codes = Vec::with_capacity(changes.len());
        for (place, change) in changes.iter().enumerate() {
            if change.operation == Operation::Set && change.value.is_none() {
                return Err(SyncError::Value(place, "no value"));
            }
            let index = change.index.to_text();
            let index_mac = keys.index_mac(index.as_bytes());
            let data = encode_data(index.as_bytes(), change.value.as_deref(), change.version);
            let (blob, value_mac) = seal(change.operation, key_id.as_bytes(), keys, vector(), data);
            put_mutation(&mut mutations, change.operation, &index_mac, &blob, key_id);
            codes.push((change.operation, index_mac, value_mac));
        }
        let (balance, _) = Balance::of(codes.iter().copied(), known).map_err(|error| match error {
            SyncError::Duplicate(place) => SyncError::RepeatedChange(place),
            other => other,
        })?;
        let head = Head { version, hash: balance.applied_to(base) };
        let snapshot_mac = keys.snapshot_mac(collection, &head);
        let patch_mac = keys.patch_mac(collection, version, &snapshot_mac, codes.iter().map(|(.., value)| value));
        let (count, writes, key_id) = (codes.len(), balance.writes(), key_id.clone());
        Ok(Self { head, writes, mutations, count, snapshot_mac, patch_mac, key_id, device_index })
    }

    /// The collection's version and sum once the server has accepted the patch.
    #[must_use]
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// The value codes to keep then; `None` forgets the entry.
    #[must_use]
    pub fn writes(&self) -> &[(IndexMac, Option<ValueMac>)] {
        &self.writes
    }

    /// The code over the collection after the patch.
    #[must_use]
    pub const fn snapshot_mac(&self) -> &[u8; 32] {
        &self.snapshot_mac
    }

    /// The code over the patch.
    #[must_use]
    pub const fn patch_mac(&self) -> &[u8; 32] {
        &self.patch_mac
    }

    /// Whether the patch is small enough to carry its mutations itself.
    #[must_use]
    pub const fn fits_inline(&self) -> bool {
        self.count <= INLINE_MUTATIONS
    }

    /// The patch to upload, with its mutations. It has no version: the server gives it one.
    #[must_use]
    pub fn inline(&self) -> Vec<u8> {
        self.patch(|patch| {
            // A list of mutations has them in field 1, a patch in field 2; both keys are one byte.
            let mut rest = &self.mutations[..];
            while let Some(field) = whatsio_proto::fields::Fields::of(rest).next().and_then(Result::ok) {
                put_bytes(patch, 2, field.bytes().unwrap_or_default());
                rest = rest.get(field.raw.len()..).unwrap_or_default();
            }
        })
    }

    /// The content of the external object for a patch that is too large.
    #[must_use]
    pub fn external_content(&self) -> &[u8] {
        &self.mutations
    }

    /// The patch to upload when its mutations are in the external object that `reference` describes.
    #[must_use]
    pub fn external(&self, reference: &[u8]) -> Vec<u8> {
        self.patch(|patch| put_bytes(patch, 3, reference))
    }

    fn patch(&self, mutations: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut patch = Vec::with_capacity(self.mutations.len() + 100);
        mutations(&mut patch);
        put_bytes(&mut patch, 4, &self.snapshot_mac);
        put_bytes(&mut patch, 5, &self.patch_mac);
        put_bytes(&mut patch, 6, &wrapped(self.key_id.as_bytes()));
        if let Some(device) = self.device_index {
            put_uint(&mut patch, 8, device.into());
        }
        patch
    }
}

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Change({:?} {:?})", self.operation, self.index)
    }
}

impl std::fmt::Debug for Draft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Draft(version {}, {} mutations)", self.head.version, self.count)
    }
}

/// Appends a mutation to a list of mutations.
fn put_mutation(list: &mut Vec<u8>, operation: Operation, index: &IndexMac, blob: &[u8], key_id: &SyncKeyId) {
    let record = encode_record(index, blob, key_id.as_bytes());
    let mut mutation = Vec::with_capacity(record.len() + 8);
    put_uint(&mut mutation, 1, operation.code());
    put_bytes(&mut mutation, 2, &record);
    put_bytes(list, 1, &mutation);
}

/// Encodes a record as it stands in mutations and snapshots.
pub(super) fn encode_record(index: &IndexMac, blob: &[u8], key_id: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(blob.len() + 64);
    put_bytes(&mut record, 1, &wrapped(&index.0));
    put_bytes(&mut record, 2, &wrapped(blob));
    put_bytes(&mut record, 3, &wrapped(key_id));
    record
}

/// A message of nothing but these bytes.
pub(super) fn wrapped(bytes: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(bytes.len() + 8);
    put_bytes(&mut message, 1, bytes);
    message
}
