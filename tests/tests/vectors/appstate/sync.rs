//! Patches and snapshots, replayed forwards and sealed again byte for byte.

use super::{array, equal, id, ring, same, text};
use crate::suite::Outcome;
use prost::Message;
use std::collections::BTreeMap;
use whatsio_core::app_state::{
    Action, Applied, Change, Collection, Draft, Head, Index, IndexMac, KeyRing, LtHash, Mutation, Operation, Patch,
    RawMutation, Snapshot, SnapshotReader, SyncError, ValueMac, Verdict, stamp_version,
};
use whatsio_core::media::{Expected, MediaKey, MediaKind, decrypt};
use whatsio_fixtures::Hex;
use whatsio_fixtures::appstate::{MutationVector, StateVector, SyncNegative, SyncVector};
use whatsio_proto::server_sync;
use whatsio_proto::sync_action::SyncActionValue;

/// A collection as a device keeps it.
struct Device {
    collection: Collection,
    ring: KeyRing,
    head: Head,
    values: BTreeMap<IndexMac, ValueMac>,
}

/// A mutation as it was opened.
struct Opened {
    operation: Operation,
    key_id: Vec<u8>,
    index_mac: IndexMac,
    value_mac: ValueMac,
    index: Vec<u8>,
    value: Option<Vec<u8>>,
    version: i32,
    data: Vec<u8>,
}

impl Opened {
    fn new(mutation: &Mutation<'_>, key_id: &[u8]) -> Self {
        Self {
            operation: mutation.operation,
            key_id: key_id.to_vec(),
            index_mac: mutation.index_mac,
            value_mac: mutation.value_mac,
            index: mutation.index.to_vec(),
            value: mutation.value.map(<[u8]>::to_vec),
            version: mutation.version,
            data: mutation.data.to_vec(),
        }
    }
}

impl Device {
    fn new(collection: &str, ring: KeyRing, state: Option<&StateVector>) -> Result<Self, String> {
        let collection = Collection::from_name(collection).ok_or("unknown collection")?;
        let mut device = Self { collection, ring, head: Head::default(), values: BTreeMap::new() };
        if let Some(state) = state {
            device.head = Head { version: state.version, hash: LtHash::from_bytes(&array(&state.lthash)?) };
            device.values = values(state)?;
        }
        Ok(device)
    }

    fn is_at(&self, state: &StateVector) -> Outcome {
        equal("version", self.head.version, state.version)?;
        same("sum", self.head.hash.to_bytes(), &*state.lthash)?;
        equal("values", &self.values, &values(state)?)
    }

    fn replace(&mut self, snapshot: &Snapshot) {
        self.head = snapshot.head;
        self.values = snapshot.values.iter().copied().collect();
    }

    fn write(&mut self, head: Head, writes: &[(IndexMac, Option<ValueMac>)]) {
        self.head = head;
        for (index, value) in writes {
            match value {
                Some(value) => self.values.insert(*index, *value),
                None => self.values.remove(index),
            };
        }
    }

    fn apply(&self, patch: &Patch<'_>) -> Result<Applied, SyncError> {
        patch.apply(self.collection, &self.head, &self.ring, |index| self.values.get(index).copied())
    }

    fn seal(&self, key: &[u8], device: Option<u32>, changes: &[Change], vectors: &[[u8; 16]]) -> Result<Draft, String> {
        let key_id = id(key);
        let keys = self.ring.find(key).ok_or("no such key")?;
        let mut vectors = vectors.iter().copied();
        let vector = || vectors.next().unwrap_or_default();
        let known = |index: &IndexMac| self.values.get(index).copied();
        Draft::seal(self.collection, &self.head, (&key_id, keys), device, changes, vector, known).map_err(text)
    }
}

pub(super) fn replay(entry: &SyncVector) -> Outcome {
    let mut device = Device::new(&entry.collection, ring(&entry.keys)?, entry.initial_state.as_ref())?;
    if entry.snapshot.is_some() != entry.kind.contains("snapshot")
        || entry.patches.is_empty() == entry.kind.contains("patch")
    {
        return Err(format!("kind {}", entry.kind));
    }
    if let Some(bytes) = &entry.snapshot {
        snapshot(entry, &mut device, bytes)?;
        if let Some(state) = &entry.state_after_snapshot {
            device.is_at(state)?;
        }
    }
    let mut opened = Vec::new();
    for (place, bytes) in entry.patches.iter().enumerate() {
        opened.extend(patch(entry, &mut device, place, bytes)?);
        if let Some(state) = entry.states_after_each_patch.as_ref().and_then(|states| states.get(place)) {
            device.is_at(state)?;
        }
    }
    if !entry.patches.is_empty() {
        agree(&opened, &entry.mutations)?;
    }
    device.is_at(&entry.final_state)
}

fn snapshot(entry: &SyncVector, device: &mut Device, bytes: &Hex) -> Outcome {
    let mut plain = bytes.to_vec();
    if let Some(reference) = &entry.snapshot_node_content_external_blob_reference {
        plain = external(entry, reference)?;
        same("external snapshot", &plain, &**bytes)?;
    }
    let read = Snapshot::read(device.collection, &device.ring, &plain).map_err(text)?;
    for size in [1, 37, 4_096] {
        let mut reader = SnapshotReader::new(device.collection);
        plain.chunks(size).try_for_each(|chunk| reader.push(&device.ring, chunk)).map_err(text)?;
        equal("in chunks", reader.finish(&device.ring).as_ref() == Ok(&read), true)?;
    }
    // Read by general code too, for what is not kept of it.
    let plain = server_sync::SyncdSnapshot::decode(&*plain).map_err(text)?;
    let key_id = |key: &Option<server_sync::KeyId>| {
        key.as_ref().and_then(|key| key.id.clone()).ok_or_else(|| String::from("no key id"))
    };
    let id = key_id(&plain.key_id)?;
    let keys = device.ring.find(&id).ok_or("no key of the snapshot")?;
    let mac = keys.snapshot_mac(device.collection, &read.head);
    same("code", mac, plain.mac.as_deref().unwrap_or_default())?;
    let stated = if entry.patches.is_empty() { entry.snapshot_mac.as_ref() } else { None };
    if let Some(stated) = stated {
        same("stated code", mac, &**stated)?;
    }
    let records = if entry.patches.is_empty() { Some(&entry.mutations) } else { entry.snapshot_records.as_ref() };
    let opened = read.mutations.iter().zip(&plain.records);
    let opened = opened.map(|(mutation, record)| Ok(Opened::new(&mutation, &key_id(&record.key_id)?)));
    let opened = opened.collect::<Result<Vec<_>, String>>()?;
    if let Some(records) = records {
        agree(&opened, records)?;
    }
    device.replace(&read);
    Ok(())
}

fn patch(entry: &SyncVector, device: &mut Device, place: usize, bytes: &Hex) -> Result<Vec<Opened>, String> {
    let mut patch = Patch::parse(bytes).map_err(text)?;
    let list = patch.external().map(|reference| external(entry, &Hex(reference.to_vec()))).transpose()?;
    if let Some(list) = &list {
        let stated = entry.external_plaintext_syncd_mutations.as_ref().ok_or("no external mutations stated")?;
        same("external mutations", list, &**stated)?;
        equal("without them", device.apply(&patch).map(drop), Err(SyncError::ExternalPending))?;
        patch = patch.with_external(RawMutation::parse_list(list).map_err(text)?).map_err(text)?;
    }
    let of = |single: &Option<Hex>, each: &Option<Vec<Hex>>| match each {
        Some(each) => each.get(place).cloned(),
        None => single.clone().filter(|_| entry.patches.len() == 1),
    };
    if let Some(mac) = of(&entry.patch_mac, &entry.patch_macs) {
        same("patch code", patch.patch_mac().ok_or("no patch code")?, &*mac)?;
    }
    if let Some(mac) = of(&entry.snapshot_mac, &entry.patch_snapshot_macs) {
        same("snapshot code", patch.snapshot_mac().ok_or("no snapshot code")?, &*mac)?;
    }
    equal("device", patch.device_index(), entry.device_index)?;

    let applied = device.apply(&patch).map_err(text)?;
    equal("snapshot code", applied.snapshot_mac_matches, true)?;
    let opened: Vec<_> =
        applied.mutations.iter().zip(patch.mutations()).map(|(it, raw)| Opened::new(&it, raw.key_id())).collect();
    seal_again(entry, device, place, bytes, &patch, &opened)?;
    device.write(applied.head, &applied.writes);
    Ok(opened)
}

/// Seals the same changes under the same vectors and compares the bytes.
fn seal_again(
    entry: &SyncVector,
    device: &Device,
    place: usize,
    bytes: &Hex,
    patch: &Patch<'_>,
    opened: &[Opened],
) -> Outcome {
    let mut changes = Vec::new();
    let mut vectors = Vec::new();
    for (raw, opened) in patch.mutations().iter().zip(opened) {
        let index = Index::parse(&opened.index).map_err(text)?;
        let change =
            Change { operation: opened.operation, index, value: opened.value.clone(), version: opened.version };
        let vector = *raw.encrypted().first_chunk().ok_or("no vector")?;
        let alone = device.seal(raw.key_id(), None, std::slice::from_ref(&change), &[vector])?;
        let list = RawMutation::parse_list(alone.external_content()).map_err(text)?;
        equal("sealed alone", list.as_slice() == [*raw], true)?;
        changes.push(change);
        vectors.push(vector);
    }
    // A patch of our own is sealed under one key.
    if patch.mutations().iter().any(|raw| raw.key_id() != patch.key_id()) {
        return Ok(());
    }
    let draft = device.seal(patch.key_id(), patch.device_index(), &changes, &vectors)?;
    same("sealed snapshot code", draft.snapshot_mac(), patch.snapshot_mac().ok_or("no snapshot code")?)?;
    same("sealed patch code", draft.patch_mac(), patch.patch_mac().ok_or("no patch code")?)?;
    let plain = Patch::parse(bytes).map_err(text)?;
    let upload = match plain.external() {
        Some(reference) => {
            let stated = entry.external_plaintext_syncd_mutations.as_ref().ok_or("no external mutations stated")?;
            same("sealed list", draft.external_content(), &**stated)?;
            draft.external(reference)
        }
        None => draft.inline(),
    };
    if let Some(stated) = entry.outgoing_patch_as_uploaded.as_ref().filter(|_| place == 0) {
        same("upload", &upload, &**stated)?;
    }
    let version = patch.version().ok_or("no version")?;
    same("patch", stamp_version(&upload, version).map_err(text)?, &**bytes)
}

/// Opens the object that a reference describes.
fn external(entry: &SyncVector, reference: &Hex) -> Result<Vec<u8>, String> {
    let reference = server_sync::ExternalBlobReference::decode(&**reference).map_err(text)?;
    let body = entry.external_blob_ciphertext_and_mac.as_ref().ok_or("no external object")?;
    let hash = |hash: &Option<bytes::Bytes>| hash.as_deref().map(array).transpose();
    let expected = Expected {
        file_sha256: hash(&reference.file_sha256)?,
        file_enc_sha256: hash(&reference.file_enc_sha256)?,
        streaming_sidecar: None,
    };
    let key = MediaKey::from_slice(reference.media_key.as_deref().unwrap_or_default()).map_err(text)?;
    let content = decrypt(&key, &MediaKind::AppState, body, expected).map_err(text)?;
    if let Some(size) = reference.file_size_bytes {
        equal("size", content.len() as u64, size)?;
    }
    Ok(content)
}

fn agree(opened: &[Opened], stated: &[MutationVector]) -> Outcome {
    equal("number of mutations", opened.len(), stated.len())?;
    for (ours, theirs) in opened.iter().zip(stated) {
        let operation = if ours.operation == Operation::Set { "SET" } else { "REMOVE" };
        same("operation", operation, &theirs.operation)?;
        same("key id", &ours.key_id, &*theirs.key_id)?;
        same("index", &ours.index, &theirs.index_json)?;
        equal("action version", ours.version, theirs.action_version)?;
        same("index code", ours.index_mac.0, &*theirs.index_mac)?;
        same("value code", ours.value_mac.0, &*theirs.value_mac)?;
        same("data", &ours.data, &*theirs.sync_action_data)?;
        equal("value", ours.value.as_deref(), theirs.value_proto.as_deref())?;
        let index = Index::parse(&ours.index).map_err(text)?;
        same("index text", index.to_text(), &theirs.index_json)?;
        same("index of the action", Action::of(&index).index().to_text(), &theirs.index_json)?;
        if let (Some(value), Some(stated)) = (&ours.value, &theirs.value) {
            let value = SyncActionValue::decode(&**value).map_err(text)?;
            let timestamp = stated.get("timestamp").map(|number| number.to_string().trim_matches('"').to_owned());
            equal("timestamp", value.timestamp.map(|number| number.to_string()), timestamp)?;
        }
    }
    Ok(())
}

fn values(state: &StateVector) -> Result<BTreeMap<IndexMac, ValueMac>, String> {
    let pair = |(index, value): (&String, &Hex)| {
        Ok((IndexMac(array(&hex::decode(index).map_err(text)?)?), ValueMac(array(value)?)))
    };
    state.index_mac_to_value_mac.iter().map(pair).collect()
}

pub(super) fn refused(entry: &SyncNegative) -> Outcome {
    let device = Device::new(&entry.collection, ring(&entry.keys)?, Some(&entry.initial_state))?;
    let verdict = Patch::parse(&entry.patch).and_then(|patch| device.apply(&patch));
    let words: Vec<_> = entry.expect.split([' ', ':', ',']).collect();
    let after = |word: &str| words.iter().skip_while(|&&at| at != word).nth(1).copied().unwrap_or_default();
    let place = || after("mutation").parse::<usize>().map_err(text);
    match entry.name.as_str() {
        "patch-mac-flipped" => equal("verdict", verdict.map(drop), Err(SyncError::PatchMac)),
        "value-ciphertext-flipped" => equal("verdict", verdict.map(drop), Err(SyncError::ValueMac(place()?))),
        "index-mac-flipped" => equal("verdict", verdict.map(drop), Err(SyncError::IndexMac(place()?))),
        "unknown-record-key" => {
            let missing = id(&hex::decode(after("key")).map_err(text)?);
            let error = verdict.map(drop).err().ok_or("applied")?;
            equal("verdict", error.verdict(), Verdict::Blocked)?;
            equal("missing", error, SyncError::MissingKeys(vec![missing]))
        }
        "snapshot-mac-wrong-patch-mac-right" => {
            let applied = verdict.map_err(text)?;
            equal("flag", applied.snapshot_mac_matches, false)?;
            equal("all mutations", applied.mutations.len(), applied.writes.len())
        }
        "version-gap" => {
            let error = verdict.map(drop).err().ok_or("applied")?;
            equal("verdict", error.verdict(), Verdict::Retry)?;
            let found = after("version").parse().map_err(text)?;
            equal("versions", error, SyncError::Version { local: entry.initial_state.version, found })
        }
        other => Err(format!("no verdict for {other}: {}", entry.expect)),
    }
}
