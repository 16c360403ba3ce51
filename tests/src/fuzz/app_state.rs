//! Synchronised settings: patches and snapshots by honest devices, damaged on the way, and by one that has the keys and
//! seals what no honest device would; copies from the phone, key messages, history blobs.

use super::script::Script;
use std::collections::BTreeMap;
use std::sync::LazyLock;
use whatsio_core::app_state::{
    Action, Applied, Change, Collection, Conversation, Draft, Head, HistoryLimits, HistoryReader, Index, IndexMac,
    KeyAnswer, KeyRing, LtHash, MutationKeys, Operation, Patch, RawMutation, Snapshot, SnapshotReader, SyncError,
    SyncKeyData, SyncKeyId, ValueMac, inflate, key_request, key_share, parse_key_request, parse_key_share, recover,
    stamp_version,
};
use whatsio_core::crypto::symmetric::aes256_cbc_encrypt;
use whatsio_proto::fields::{put_bytes, put_uint};

/// A byte that chooses what is read, then what it is.
pub fn run(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    match script.below(6) {
        0 => patches(&mut script),
        1 => snapshot(&mut script),
        2 => history(&mut script),
        3 => keys(script.rest()),
        4 => noise(script.rest()),
        _ => forged(&mut script),
    }
}

/// One device writes, the other reads; what is on the way may be damaged.
fn patches(script: &mut Script<'_>) {
    let ring = &*RING;
    let (mut writer, mut reader) = (Copy::default(), Copy::default());
    for _ in 0..12 {
        if script.is_over() {
            break;
        }
        let changes: Vec<Change> = (0..script.below(5)).map(|_| change(script)).collect();
        let Ok(draft) = writer.seal(ring, &changes) else { continue };
        let version = draft.head().version;
        let upload = if draft.fits_inline() { draft.inline() } else { draft.external(b"elsewhere") };
        let patch = stamp_version(&upload, version).expect("ours");
        assert_eq!(stamp_version(&patch, version).expect("ours"), patch, "stamped twice it is another patch");

        let damaged = script.damaged(&patch);
        if let Ok(parsed) = Patch::parse(&damaged) {
            let _ = format!("{parsed:?}");
            if let Ok(applied) = reader.apply(ring, &parsed) {
                // Not all of a patch is authenticated, but what it does is.
                assert!(
                    applied.head == *draft.head() && applied.writes == draft.writes(),
                    "a damaged patch does other things"
                );
                assert!(applied.snapshot_mac_matches);
                iterate(&applied);
            }
        }
        let parsed = Patch::parse(&patch).expect("ours");
        let applied = reader.apply(ring, &parsed).expect("ours, in order");
        assert!(applied.head == *draft.head() && applied.writes == draft.writes() && applied.snapshot_mac_matches);
        assert_eq!(applied.mutations.len(), changes.len());
        reader.take(&applied.head, &applied.writes);
        writer.take(draft.head(), draft.writes());
        assert!(reader.apply(ring, &parsed).is_err(), "a patch is taken twice");
    }
    let mut sum = LtHash::EMPTY;
    sum.update(reader.values.values(), []);
    assert!(sum == reader.head.hash, "the sum is not that of the entries");
}

fn iterate(applied: &Applied) {
    for (place, mutation) in applied.mutations.iter().enumerate() {
        if let Ok(index) = Index::parse(mutation.index) {
            let again = Action::of(&index).index();
            assert_eq!(again.action(), index.action());
        }
        let _ = (applied.mutations.value(place), format!("{mutation:?}"));
    }
}

/// A snapshot of a few entries, damaged, in pieces of any length.
fn snapshot(script: &mut Script<'_>) {
    let ring = &*RING;
    let mut copy = Copy::default();
    let changes: Vec<Change> = (0..script.below(5)).map(|_| set(script)).collect();
    let Ok(draft) = copy.seal(ring, &changes) else { return };
    copy.take(draft.head(), draft.writes());
    let (id, keys) = ring.active(None).expect("a key");
    let mut genuine = Vec::new();
    put_bytes(&mut genuine, 1, &number(1));
    let upload = draft.inline();
    let parsed = Patch::parse(&upload).expect("ours");
    for mutation in parsed.mutations() {
        put_bytes(&mut genuine, 2, &record(mutation.index_mac(), mutation.encrypted(), mutation.key_id()));
    }
    put_bytes(&mut genuine, 3, &keys.snapshot_mac(NAME, &copy.head));
    put_bytes(&mut genuine, 4, &blob(id.as_bytes()));

    let damaged = script.damaged(&genuine);
    let whole = Snapshot::read(NAME, ring, &damaged);
    let mut reader = SnapshotReader::new(NAME);
    let step = script.below(40) + 1;
    let pieces = damaged.chunks(step).try_for_each(|piece| reader.push(ring, piece)).and_then(|()| reader.finish(ring));
    assert!(whole.as_ref().ok() == pieces.as_ref().ok(), "the split matters");
    assert_eq!(whole.is_err(), pieces.is_err());
    match whole {
        Ok(read) => {
            let values: BTreeMap<IndexMac, ValueMac> = read.values.into_iter().collect();
            assert!(read.head == copy.head && values == copy.values, "a damaged snapshot says other things");
        }
        Err(_) => assert!(damaged != genuine, "a genuine snapshot is refused"),
    }
}

/// A device that has the keys: right codes around any data.
fn forged(script: &mut Script<'_>) {
    let ring = &*RING;
    let (id, keys) = ring.active(None).expect("a key");
    let mut copy = Copy::default();
    for _ in 0..4 {
        if script.is_over() {
            break;
        }
        let mut patch = Vec::new();
        let mut codes = Vec::new();
        for _ in 0..script.below(4) {
            let operation = if script.below(2) == 0 { Operation::Set } else { Operation::Remove };
            let index = script.short();
            let mut data = Vec::new();
            if script.below(4) != 0 {
                put_bytes(&mut data, 1, index);
                put_bytes(&mut data, 2, script.short());
                put_bytes(&mut data, 3, &[]);
                put_uint(&mut data, 4, script.byte().into());
            }
            data.extend_from_slice(script.short());
            let (blob, value) = sealed(keys, operation, id.as_bytes(), &data);
            let mut mutation = Vec::new();
            put_uint(&mut mutation, 1, operation.code());
            put_bytes(&mut mutation, 2, &record(keys.index_mac(index), &blob, id.as_bytes()));
            put_bytes(&mut patch, 2, &mutation);
            codes.push(value);
        }
        let version = copy.head.version + 1;
        let claimed = if script.below(2) == 0 { copy.head } else { Head { version, ..copy.head } };
        let snapshot_mac = keys.snapshot_mac(NAME, &claimed);
        put_bytes(&mut patch, 1, &number(version));
        put_bytes(&mut patch, 4, &snapshot_mac);
        put_bytes(&mut patch, 5, &keys.patch_mac(NAME, version, &snapshot_mac, codes.iter()));
        put_bytes(&mut patch, 6, &blob(id.as_bytes()));
        let parsed = Patch::parse(&patch).expect("well-formed");
        match copy.apply(ring, &parsed) {
            Ok(applied) => {
                iterate(&applied);
                copy.take(&applied.head, &applied.writes);
                let mut sum = LtHash::EMPTY;
                sum.update(copy.values.values(), []);
                assert!(sum == copy.head.hash, "the sum is not that of the entries");
            }
            Err(SyncError::PatchMac | SyncError::Version { .. }) => panic!("what is right about it is refused"),
            Err(error) => drop((error.verdict(), error.to_string())),
        }
    }
}

/// A blob of history in pieces of any length, compressed by anybody.
fn history(script: &mut Script<'_>) {
    let step = script.below(64) + 1;
    let limits = HistoryLimits { total_bytes: 1 << 16, part_bytes: 1 << 12 };
    let compressed = script.rest();
    let read = |step: usize| {
        let mut reader = HistoryReader::new(limits);
        let mut parts = Vec::new();
        let mut total = 0;
        let end = compressed.chunks(step).try_for_each(|piece| {
            reader.push(piece, |part| {
                if let whatsio_core::app_state::HistoryPart::Conversation(bytes) = part {
                    total += bytes.len();
                    assert!(bytes.len() <= 1 << 12, "a part beyond its limit");
                    if let Ok(conversation) = Conversation::parse(bytes) {
                        let _ = (conversation.aliases().is_some(), conversation.messages.len());
                    }
                    parts.push(bytes.to_vec());
                }
                let _ = format!("{part:?}");
            })
        });
        assert!(total <= 1 << 16, "a blob beyond its limit");
        (end.and_then(|()| reader.finish()).is_ok(), parts)
    };
    let (whole, all) = read(compressed.len().max(1));
    let (pieces, same) = read(step);
    assert_eq!(whole, pieces, "the split matters");
    assert!(!whole || all == same, "the split matters");
    if let Ok(plain) = inflate(compressed, 1 << 12) {
        assert!(plain.len() <= 1 << 12);
    }
}

fn keys(message: &[u8]) {
    if let Ok(Some(answers)) = parse_key_share(message) {
        let again = parse_key_share(&key_share(&answers)).expect("ours").expect("a share");
        assert!(again == answers || answers.is_empty(), "other keys come back");
        for answer in &answers {
            if let KeyAnswer::Key(key) = answer {
                let _ = (key.id.device(), key.id.epoch());
                let mut ring = KeyRing::new();
                ring.insert(key.id.clone(), &key.data);
                let _ = ring.active(Some(key.current_index));
            }
        }
    }
    if let Ok(Some(ids)) = parse_key_request(message) {
        let again = parse_key_request(&key_request(&ids)).expect("ours").unwrap_or_default();
        assert!(again == ids, "other ids come back");
    }
}

/// Anything, as everything.
fn noise(bytes: &[u8]) {
    let ring = &*RING;
    if let Ok(patch) = Patch::parse(bytes) {
        let _ = (patch.missing_keys(ring), patch.device_index());
        let _ = patch.clone().or_version(1).apply(NAME, &Head::default(), ring, |_| None);
        if let Ok(list) = RawMutation::parse_list(bytes) {
            let _ = patch
                .with_external(list)
                .map(|patch| patch.or_version(1).apply(NAME, &Head::default(), ring, |_| None));
        }
    }
    if let Ok(stamped) = stamp_version(bytes, 5) {
        assert!(Patch::parse(&stamped).is_ok_and(|patch| patch.version() == Some(5)) || Patch::parse(bytes).is_err());
    }
    let _ = Snapshot::read(NAME, ring, bytes);
    if let Ok(copy) = recover(NAME, ring, bytes) {
        let mut sum = LtHash::EMPTY;
        sum.update(copy.values.iter().map(|(_, value)| value), []);
        assert!(sum == copy.head.hash);
    }
    if let Ok(index) = Index::parse(bytes) {
        let again = Index::parse(index.to_text().as_bytes()).expect("ours");
        assert!(again == index, "another index comes back");
        let _ = format!("{:?}", Action::of(&index));
    }
}

/// One device's copy of the collection.
#[derive(Default)]
struct Copy {
    head: Head,
    values: BTreeMap<IndexMac, ValueMac>,
}

impl Copy {
    fn seal(&self, ring: &KeyRing, changes: &[Change]) -> Result<Draft, SyncError> {
        let key = ring.active(None).expect("a key");
        Draft::seal(NAME, &self.head, key, Some(3), changes, || [9; 16], |index| self.values.get(index).copied())
    }

    fn apply(&self, ring: &KeyRing, patch: &Patch<'_>) -> Result<Applied, SyncError> {
        patch.apply(NAME, &self.head, ring, |index| self.values.get(index).copied())
    }

    fn take(&mut self, head: &Head, writes: &[(IndexMac, Option<ValueMac>)]) {
        self.head = *head;
        for (index, value) in writes {
            match value {
                Some(value) => self.values.insert(*index, *value),
                None => self.values.remove(index),
            };
        }
    }
}

fn change(script: &mut Script<'_>) -> Change {
    let mut change = set(script);
    if script.below(3) == 0 {
        change.operation = Operation::Remove;
    }
    change
}

fn set(script: &mut Script<'_>) -> Change {
    let name = format!("{}", script.byte() & 7);
    let mut value = Vec::new();
    put_uint(&mut value, 1, 1_700_000_000_000);
    put_bytes(&mut value, 4, script.short());
    Change { operation: Operation::Set, index: Index::new("pin_v1", [name.as_str()]), value: Some(value), version: 5 }
}

fn sealed(keys: &MutationKeys, operation: Operation, key_id: &[u8], data: &[u8]) -> (Vec<u8>, ValueMac) {
    let mut blob = vec![9; 16];
    blob.extend_from_slice(&aes256_cbc_encrypt(keys.value_encryption_key(), &[9; 16], data));
    let mac = keys.value_mac(operation, key_id, &blob);
    blob.extend_from_slice(&mac.0);
    (blob, mac)
}

fn record(index: IndexMac, encrypted: &[u8], key_id: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, 1, &blob(&index.0));
    put_bytes(&mut out, 2, &blob(encrypted));
    put_bytes(&mut out, 3, &blob(key_id));
    out
}

fn blob(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, 1, bytes);
    out
}

fn number(number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put_uint(&mut out, 1, number);
    out
}

const NAME: Collection = Collection::ALL[1];

static RING: LazyLock<KeyRing> = LazyLock::new(|| {
    let mut ring = KeyRing::new();
    ring.insert(SyncKeyId::made_by(0, 7), &SyncKeyData::new([7; 32]));
    ring.insert(SyncKeyId::made_by(0, 8), &SyncKeyData::new([8; 32]));
    ring
});
