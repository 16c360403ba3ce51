//! A patch: the mutations that lead from one version of a collection to the next.

use super::mutation::{Arena, Record, RecordError};
use super::wire::number_field;
use super::{Collection, Head, IndexMac, KeyRing, Mutations, Operation, SyncError, SyncKeyId, ValueMac};
use std::collections::{BTreeMap, BTreeSet};
use subtle::ConstantTimeEq;
use whatsio_proto::fields::{Fields, put_bytes, put_uint};

/// A patch as it came, read but not verified. Borrows the bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Patch<'a> {
    version: Option<u64>,
    mutations: Vec<RawMutation<'a>>,
    external: Option<&'a [u8]>,
    snapshot_mac: Option<&'a [u8; 32]>,
    patch_mac: Option<&'a [u8; 32]>,
    key_id: &'a [u8],
    exit: Option<u64>,
    device_index: Option<u32>,
}

/// A mutation as it came, still encrypted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RawMutation<'a> {
    operation: Operation,
    record: Record<'a>,
}

/// What a verified patch changes. To be written in one commit; nothing has changed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied {
    /// The collection's new version and sum.
    pub head: Head,
    /// The value codes to keep; `None` forgets the entry. Each entry once, in order.
    pub writes: Vec<(IndexMac, Option<ValueMac>)>,
    /// The decrypted mutations, in order.
    pub mutations: Mutations,
    /// Whether the writer's sum over the collection agrees with ours. When it does not, the content is authentic all
    /// the same; flag the collection and fetch a snapshot once.
    pub snapshot_mac_matches: bool,
    /// Removals of entries that are not there. A sum that differs is then no wonder.
    pub missing_removes: usize,
}

impl<'a> RawMutation<'a> {
    /// Set or remove.
    #[must_use]
    pub const fn operation(&self) -> Operation {
        self.operation
    }

    /// The entry's hidden name.
    #[must_use]
    pub const fn index_mac(&self) -> IndexMac {
        IndexMac(*self.record.index_mac)
    }

    /// The value's code, as it came.
    #[must_use]
    pub fn value_mac(&self) -> ValueMac {
        self.record.value_mac()
    }

    /// The id of the key it is encrypted under.
    #[must_use]
    pub const fn key_id(&self) -> &'a [u8] {
        self.record.key_id
    }

    /// The encrypted value: vector, ciphertext, code.
    #[must_use]
    pub const fn encrypted(&self) -> &'a [u8] {
        self.record.blob
    }

    /// Reads the content of an external object: a list of mutations.
    pub fn parse_list(message: &'a [u8]) -> Result<Vec<Self>, SyncError> {
        let mut mutations = Vec::new();
        for field in Fields::of(message) {
            let field = field?;
            if field.number == 1 {
                mutations.push(Self::parse(field.bytes()?)?);
            }
        }
        Ok(mutations)
    }

    fn parse(message: &'a [u8]) -> Result<Self, SyncError> {
        let (mut operation, mut record) = (Operation::Set, None);
        for field in Fields::of(message) {
            let field = field?;
            match field.number {
                1 => {
                    operation = match field.uint32()? {
                        0 => Operation::Set,
                        1 => Operation::Remove,
                        _ => return Err(SyncError::Malformed("unknown operation")),
                    }
                }
                2 => record = Some(field.bytes()?),
                _ => {}
            }
        }
        let record = record.ok_or(SyncError::Malformed("a mutation without a record"))?;
        Ok(Self { operation, record: Record::parse(record).map_err(SyncError::Malformed)? })
    }
}

impl<'a> Patch<'a> {
    /// Reads a patch. Fails when it is malformed; an uploaded patch, which has no version yet, is read too.
    pub fn parse(message: &'a [u8]) -> Result<Self, SyncError> {
        let mut patch = Self {
            version: None,
            mutations: Vec::new(),
            external: None,
            snapshot_mac: None,
            patch_mac: None,
            key_id: &[],
            exit: None,
            device_index: None,
        };
        for field in Fields::of(message) {
            let field = field?;
            match field.number {
                1 => patch.version = number_field(field.bytes()?, 1)?,
                2 => patch.mutations.push(RawMutation::parse(field.bytes()?)?),
                3 => patch.external = Some(field.bytes()?),
                4 => patch.snapshot_mac = field.bytes()?.try_into().ok(),
                5 => patch.patch_mac = field.bytes()?.try_into().ok(),
                6 => patch.key_id = super::wire::bytes_field(field.bytes()?, 1)?.unwrap_or_default(),
                7 => patch.exit = number_field(field.bytes()?, 1)?,
                8 => patch.device_index = Some(field.uint32()?),
                _ => {}
            }
        }
        Ok(patch)
    }

    /// The version it leads to; `None` in an uploaded patch.
    #[must_use]
    pub const fn version(&self) -> Option<u64> {
        self.version
    }

    /// Gives a version to a patch without one, as for patches that the server sends bare.
    #[must_use]
    pub const fn or_version(mut self, version: u64) -> Self {
        if self.version.is_none() {
            self.version = Some(version);
        }
        self
    }

    /// The reference to the external object that holds the mutations, until they are attached.
    #[must_use]
    pub const fn external(&self) -> Option<&'a [u8]> {
        self.external
    }

    /// Attaches the mutations of the external object. Fails when the patch has mutations of its own.
    pub fn with_external(mut self, mutations: Vec<RawMutation<'a>>) -> Result<Self, SyncError> {
        if !self.mutations.is_empty() {
            return Err(SyncError::Malformed("both inline and external mutations"));
        }
        self.external = None;
        self.mutations = mutations;
        Ok(self)
    }

    /// The mutations, still encrypted, in order.
    #[must_use]
    pub fn mutations(&self) -> &[RawMutation<'a>] {
        &self.mutations
    }

    /// The writer's device number, when it says so.
    #[must_use]
    pub const fn device_index(&self) -> Option<u32> {
        self.device_index
    }

    /// The id of the key that authenticates the patch.
    #[must_use]
    pub const fn key_id(&self) -> &'a [u8] {
        self.key_id
    }

    /// The code over the collection after the patch.
    #[must_use]
    pub const fn snapshot_mac(&self) -> Option<&'a [u8; 32]> {
        self.snapshot_mac
    }

    /// The code over the patch.
    #[must_use]
    pub const fn patch_mac(&self) -> Option<&'a [u8; 32]> {
        self.patch_mac
    }

    /// The keys that it needs and `ring` does not have, each once.
    #[must_use]
    pub fn missing_keys(&self, ring: &KeyRing) -> Vec<SyncKeyId> {
        let ids = std::iter::once(self.key_id).chain(self.mutations.iter().map(RawMutation::key_id));
        let missing: BTreeSet<_> = ids.filter(|id| ring.find(id).is_none()).collect();
        missing.into_iter().map(|id| SyncKeyId::new(id.to_vec())).collect()
    }

    /// Verifies and decrypts the patch on top of `head`.
    ///
    /// `known` gives the value code kept for an entry; it is asked only for entries that the patch names. Costs a few
    /// microseconds per mutation. Fails, changing nothing, when the patch does not follow `head`, when keys are
    /// missing, and when anything about it is not authentic; see [`SyncError::verdict`].
    pub fn apply(
        &self,
        collection: Collection,
        head: &Head,
        ring: &KeyRing,
        known: impl FnMut(&IndexMac) -> Option<ValueMac>,
    ) -> Result<Applied, SyncError> {
        if let Some(code) = self.exit.filter(|&code| code != 0) {
            return Err(SyncError::Terminal(code));
        }
        let version = self.version.ok_or(SyncError::Malformed("a patch without a version"))?;
        if head.version.checked_add(1) != Some(version) {
            return Err(SyncError::Version { local: head.version, found: version });
        }
        if self.external.is_some() {
            return Err(if self.mutations.is_empty() {
                SyncError::ExternalPending
            } else {
                SyncError::Malformed("both inline and external mutations")
            });
        }
        let missing = self.missing_keys(ring);
        let Some(keys) = ring.find(self.key_id).filter(|_| missing.is_empty()) else {
            return Err(SyncError::MissingKeys(missing));
        };
        let snapshot_mac = self.snapshot_mac.ok_or(SyncError::Malformed("a patch without a snapshot code"))?;
        let value_macs: Vec<_> = self.mutations.iter().map(RawMutation::value_mac).collect();
        let patch_mac = keys.patch_mac(collection, version, snapshot_mac, &value_macs);
        if !self.patch_mac.is_some_and(|mac| bool::from(mac.ct_eq(&patch_mac))) {
            return Err(SyncError::PatchMac);
        }

        let arena = self.open(ring)?;
        let (change, missing_removes) = Balance::of(arena.codes(), known)?;
        let head = Head { version, hash: change.applied_to(head) };
        Ok(Applied {
            snapshot_mac_matches: bool::from(snapshot_mac.ct_eq(&keys.snapshot_mac(collection, &head))),
            head,
            writes: change.writes(),
            mutations: arena.finish(),
            missing_removes,
        })
    }

    fn open(&self, ring: &KeyRing) -> Result<Arena, SyncError> {
        let size = self.mutations.iter().map(|mutation| mutation.record.blob.len()).sum();
        let mut arena = Arena::with_capacity(size, self.mutations.len());
        for (place, mutation) in self.mutations.iter().enumerate() {
            let Some(keys) = ring.find(mutation.key_id()) else {
                return Err(SyncError::MissingKeys(vec![SyncKeyId::new(mutation.key_id().to_vec())]));
            };
            let opened = arena.open(mutation.operation, &mutation.record, keys);
            opened.map_err(|error| error.at(place))?;
        }
        Ok(arena)
    }
}

impl std::fmt::Debug for Patch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Patch(version {:?}, {} mutations)", self.version, self.mutations.len())
    }
}

impl std::fmt::Debug for RawMutation<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RawMutation({:?} {:?})", self.operation, self.index_mac())
    }
}

impl RecordError {
    pub(super) const fn at(self, place: usize) -> SyncError {
        match self {
            Self::ValueMac => SyncError::ValueMac(place),
            Self::Value(why) => SyncError::Value(place, why),
            Self::IndexMac => SyncError::IndexMac(place),
        }
    }
}

/// What a list of mutations changes on balance: per entry, the code before and the code after. What is set and
/// overwritten within one list never enters the sum.
pub(super) struct Balance(BTreeMap<IndexMac, (Option<ValueMac>, Option<ValueMac>)>);

impl Balance {
    /// Balances mutations in order; also says how many removed nothing. Fails when one repeats another.
    pub(super) fn of(
        mutations: impl Iterator<Item = (Operation, IndexMac, ValueMac)>,
        mut known: impl FnMut(&IndexMac) -> Option<ValueMac>,
    ) -> Result<(Self, usize), SyncError> {
        let (mut entries, mut seen, mut missing) = (BTreeMap::new(), BTreeSet::new(), 0);
        for (place, (operation, index, value)) in mutations.enumerate() {
            if !seen.insert((operation, index)) {
                return Err(SyncError::Duplicate(place));
            }
            let (_, now) = entries.entry(index).or_insert_with(|| {
                let before = known(&index);
                (before, before)
            });
            missing += usize::from(operation == Operation::Remove && now.is_none());
            *now = (operation == Operation::Set).then_some(value);
        }
        Ok((Self(entries), missing))
    }

    pub(super) fn applied_to(&self, head: &Head) -> super::LtHash {
        let changed = || self.0.values().filter(|(before, after)| before != after);
        let mut hash = head.hash;
        hash.update(
            changed().filter_map(|(_, after)| after.as_ref()),
            changed().filter_map(|(before, _)| before.as_ref()),
        );
        hash
    }

    pub(super) fn writes(self) -> Vec<(IndexMac, Option<ValueMac>)> {
        self.0.into_iter().map(|(index, (_, after))| (index, after)).collect()
    }
}

/// Gives an uploaded patch its version, as the server does before it hands the patch on. Everything else stays as it
/// came, unknown fields included. Fails when the patch is malformed.
pub fn stamp_version(upload: &[u8], version: u64) -> Result<Vec<u8>, SyncError> {
    let mut inner = Vec::new();
    put_uint(&mut inner, 1, version);
    let mut stamped = Vec::with_capacity(upload.len() + inner.len() + 2);
    put_bytes(&mut stamped, 1, &inner);
    for field in Fields::of(upload) {
        let field = field?;
        if field.number != 1 {
            stamped.extend_from_slice(field.raw);
        }
    }
    Ok(stamped)
}
