//! Round trips and damage: what a device seals another opens, and nothing else is accepted.

use super::outgoing::{encode_record, wrapped};
use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use whatsio_proto::fields::{put_bytes, put_uint};

const NAME: Collection = Collection::RegularLow;

/// A collection as one device keeps it.
#[derive(Clone, Default, PartialEq, Debug)]
struct Device {
    head: Head,
    values: BTreeMap<IndexMac, ValueMac>,
}

impl Device {
    fn write(&mut self, head: Head, writes: &[(IndexMac, Option<ValueMac>)]) {
        self.head = head;
        for (index, value) in writes {
            match value {
                Some(value) => drop(self.values.insert(*index, *value)),
                None => drop(self.values.remove(index)),
            }
        }
    }

    fn seal(&self, ring: &KeyRing, changes: &[Change]) -> Result<Draft, SyncError> {
        let mut count = 0;
        let vector = || {
            count += 1;
            [count; 16]
        };
        let key = ring.active(None).unwrap();
        Draft::seal(NAME, &self.head, key, Some(3), changes, vector, |index| self.values.get(index).copied())
    }

    fn apply(&self, ring: &KeyRing, patch: &[u8]) -> Result<Applied, SyncError> {
        Patch::parse(patch)?.apply(NAME, &self.head, ring, |index| self.values.get(index).copied())
    }
}

fn ring() -> KeyRing {
    let mut ring = KeyRing::new();
    ring.insert(SyncKeyId::made_by(0, 7), &SyncKeyData::new([7; 32]));
    ring.insert(SyncKeyId::made_by(0, 8), &SyncKeyData::new([8; 32]));
    ring
}

/// An action with a timestamp and one more field.
fn value(seed: u8) -> Vec<u8> {
    let mut value = Vec::new();
    put_uint(&mut value, 1, 1_700_000_000_000);
    put_bytes(&mut value, 4, &vec![seed; usize::from(seed % 50)]);
    value
}

fn change(operation: Operation, chat: &str, seed: u8) -> Change {
    let value = (operation == Operation::Set).then(|| value(seed));
    Change { operation, index: Action::Mute(chat).index(), value, version: 2 }
}

/// Changes over few chats, so that they meet; none repeats another.
fn changes() -> impl Strategy<Value = Vec<Change>> {
    prop::collection::vec((any::<bool>(), 0_u8..6, any::<u8>()), 1..8).prop_map(|list| {
        let mut seen = std::collections::BTreeSet::new();
        list.into_iter()
            .filter(|&(set, chat, _)| seen.insert((set, chat)))
            .map(|(set, chat, seed)| {
                change(if set { Operation::Set } else { Operation::Remove }, &format!("chat{chat}"), seed)
            })
            .collect()
    })
}

fn snapshot_of(device: &Device, ring: &KeyRing, records: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let (id, keys) = ring.active(None).unwrap();
    let mut bytes = Vec::new();
    let mut version = Vec::new();
    put_uint(&mut version, 1, device.head.version);
    put_bytes(&mut bytes, 1, &version);
    for (index, blob) in records {
        let index = IndexMac(index.as_slice().try_into().unwrap());
        put_bytes(&mut bytes, 2, &encode_record(&index, blob, id.as_bytes()));
    }
    put_bytes(&mut bytes, 3, &keys.snapshot_mac(NAME, &device.head));
    put_bytes(&mut bytes, 4, &wrapped(id.as_bytes()));
    bytes
}

/// Builds a snapshot of `chats`, some of which may be there twice, and the state that it leads to.
fn snapshot(ring: &KeyRing, chats: &[u8]) -> (Device, Vec<u8>) {
    let (id, keys) = ring.active(None).unwrap();
    let mut device = Device { head: Head { version: 9, hash: LtHash::EMPTY }, values: BTreeMap::new() };
    let mut records = Vec::new();
    for (place, chat) in chats.iter().enumerate() {
        let index = Action::Mute(&format!("chat{chat}")).index().to_text();
        let data = mutation::encode_data(index.as_bytes(), Some(&value(*chat)), 2);
        let vector = [u8::try_from(place % 256).unwrap(); 16];
        let (blob, mac) = mutation::seal(Operation::Set, id.as_bytes(), keys, vector, data);
        let index = keys.index_mac(index.as_bytes());
        device.values.insert(index, mac);
        records.push((index.0.to_vec(), blob));
    }
    device.head.hash.update(device.values.values(), []);
    let bytes = snapshot_of(&device, ring, &records);
    (device, bytes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_one_device_seals_another_opens(patches in prop::collection::vec(changes(), 1..4)) {
        let ring = ring();
        let (mut writer, mut reader) = (Device::default(), Device::default());
        for changes in patches {
            let draft = writer.seal(&ring, &changes).unwrap();
            let stamped = stamp_version(&draft.inline(), writer.head.version + 1).unwrap();
            writer.write(*draft.head(), draft.writes());
            let applied = reader.apply(&ring, &stamped).unwrap();
            prop_assert!(applied.snapshot_mac_matches);
            reader.write(applied.head, &applied.writes);
            prop_assert_eq!(&writer, &reader);
            let opened: Vec<_> = applied.mutations.iter().map(|mutation| Change {
                operation: mutation.operation,
                index: Index::parse(mutation.index).unwrap(),
                value: mutation.value.map(<[u8]>::to_vec),
                version: mutation.version,
            }).collect();
            prop_assert!(opened == changes);
            let mut sum = LtHash::EMPTY;
            sum.update(reader.values.values(), []);
            prop_assert_eq!(sum, reader.head.hash);

            let external = stamp_version(&draft.external(b"\x0a\x00"), reader.head.version).unwrap();
            let list = RawMutation::parse_list(draft.external_content()).unwrap();
            let patch = Patch::parse(&external).unwrap();
            prop_assert_eq!(patch.external(), Some(&b"\x0a\x00"[..]));
            let attached = patch.with_external(list).unwrap();
            prop_assert!(attached.mutations() == Patch::parse(&stamped).unwrap().mutations());
        }
    }

    #[test]
    fn a_damaged_patch_never_passes_and_never_panics(changes in changes(), at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let ring = ring();
        let draft = Device::default().seal(&ring, &changes).unwrap();
        let good = stamp_version(&draft.inline(), 1).unwrap();
        let mut bad = good.clone();
        bad[at.index(good.len())] ^= 1 << bit;
        let outcome = Device::default().apply(&ring, &bad);
        let honest = Device::default().apply(&ring, &good).unwrap();
        // Some bits mean nothing: the device number, and keys of fields that then are not known.
        if let Ok(applied) = outcome {
            prop_assert_eq!(applied, honest);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let ring = ring();
        prop_assert!(Device::default().apply(&ring, &bytes).is_err());
        prop_assert!(Snapshot::read(NAME, &ring, &bytes).is_err());
        prop_assert!(recover(NAME, &ring, &bytes).is_err());
        let _ = (RawMutation::parse_list(&bytes), parse_key_share(&bytes), parse_key_request(&bytes));
        let _ = (stamp_version(&bytes, 1), Conversation::parse(&bytes).map(|it| it.aliases().is_some()));
    }

    #[test]
    fn snapshots_are_the_same_whatever_the_chunks(chats in prop::collection::vec(0_u8..9, 0..14), size in 1_usize..300) {
        let ring = ring();
        let (device, bytes) = snapshot(&ring, &chats);
        let mut reader = SnapshotReader::new(NAME);
        for chunk in bytes.chunks(size) {
            reader.push(&ring, chunk).unwrap();
        }
        let read = reader.finish(&ring).unwrap();
        prop_assert_eq!(&read, &Snapshot::read(NAME, &ring, &bytes).unwrap());
        prop_assert_eq!(read.head, device.head);
        prop_assert_eq!(read.values, device.values.into_iter().collect::<Vec<_>>());
        prop_assert_eq!(read.mutations.len(), chats.len());
    }

    #[test]
    fn a_damaged_snapshot_never_passes(chats in prop::collection::vec(0_u8..9, 1..5), at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let ring = ring();
        let (_, good) = snapshot(&ring, &chats);
        let mut bad = good.clone();
        bad[at.index(good.len())] ^= 1 << bit;
        if let Ok(read) = Snapshot::read(NAME, &ring, &bad) {
            prop_assert_eq!(read, Snapshot::read(NAME, &ring, &good).unwrap());
        }
        let cut = at.index(good.len());
        prop_assert!(Snapshot::read(NAME, &ring, &good[..cut]).is_err());
    }
}

#[test]
fn missing_keys_are_named_all_at_once() {
    let ring = ring();
    let draft = Device::default().seal(&ring, &[change(Operation::Set, "a", 1)]).unwrap();
    let patch = stamp_version(&draft.inline(), 1).unwrap();
    let missing = SyncError::MissingKeys(vec![SyncKeyId::made_by(0, 8)]);
    assert_eq!(Device::default().apply(&KeyRing::new(), &patch), Err(missing.clone()));
    assert_eq!(missing.verdict(), Verdict::Blocked);
    let (_, bytes) = snapshot(&ring, &[1, 2]);
    assert_eq!(Snapshot::read(NAME, &KeyRing::new(), &bytes), Err(missing));
}

#[test]
fn versions_must_follow_one_another() {
    let ring = ring();
    let draft = Device::default().seal(&ring, &[change(Operation::Set, "a", 1)]).unwrap();
    for version in [0, 2, 99] {
        let patch = stamp_version(&draft.inline(), version).unwrap();
        let error = Device::default().apply(&ring, &patch).unwrap_err();
        assert_eq!(error, SyncError::Version { local: 0, found: version });
        assert_eq!(error.verdict(), Verdict::Retry);
    }
    let bare = draft.inline();
    let patch = Patch::parse(&bare).unwrap();
    assert_eq!(patch.version(), None);
    assert!(patch.clone().apply(NAME, &Head::default(), &ring, |_| None).is_err());
    assert!(patch.or_version(1).apply(NAME, &Head::default(), &ring, |_| None).is_ok());
}

#[test]
fn a_writer_that_gave_up_is_not_followed() {
    let ring = ring();
    let draft = Device::default().seal(&ring, &[change(Operation::Set, "a", 1)]).unwrap();
    let mut patch = stamp_version(&draft.inline(), 1).unwrap();
    put_bytes(&mut patch, 7, &[0x08, 5]);
    assert_eq!(Device::default().apply(&ring, &patch), Err(SyncError::Terminal(5)));
}

#[test]
fn removing_what_is_not_there_is_counted_and_tolerated() {
    let ring = ring();
    let mut writer = Device::default();
    let set = writer.seal(&ring, &[change(Operation::Set, "a", 1)]).unwrap();
    writer.write(*set.head(), set.writes());
    let remove = writer.seal(&ring, &[change(Operation::Remove, "a", 1)]).unwrap();
    let patch = stamp_version(&remove.inline(), 2).unwrap();
    let forgetful = Device { head: *set.head(), values: BTreeMap::new() };
    let applied = forgetful.apply(&ring, &patch).unwrap();
    assert_eq!((applied.missing_removes, applied.snapshot_mac_matches), (1, false));
    let applied = writer.apply(&ring, &patch).unwrap();
    assert_eq!((applied.missing_removes, applied.snapshot_mac_matches), (0, true));
    assert_eq!(applied.head.hash, LtHash::EMPTY);
}

#[test]
fn repeated_changes_are_refused_on_both_sides() {
    let ring = ring();
    let twice = [change(Operation::Set, "a", 1), change(Operation::Set, "a", 2)];
    assert_eq!(Device::default().seal(&ring, &twice), Err(SyncError::RepeatedChange(1)));
    let (once, again) = (Device::default().seal(&ring, &twice[..1]).unwrap(), &twice[1..]);
    let mut list = once.external_content().to_vec();
    list.extend_from_slice(Device::default().seal(&ring, again).unwrap().external_content());
    let raw = RawMutation::parse_list(&list).unwrap();
    let macs: Vec<_> = raw.iter().map(RawMutation::value_mac).collect();
    let (id, keys) = ring.active(None).unwrap();
    let mut patch = Vec::new();
    put_bytes(&mut patch, 4, &[0; 32]);
    put_bytes(&mut patch, 5, &keys.patch_mac(NAME, 1, &[0; 32], &macs));
    put_bytes(&mut patch, 6, &wrapped(id.as_bytes()));
    let patch = Patch::parse(&patch).unwrap().or_version(1).with_external(raw).unwrap();
    assert_eq!(patch.apply(NAME, &Head::default(), &ring, |_| None), Err(SyncError::Duplicate(1)));
}

#[test]
fn recovery_takes_the_phones_copy_when_its_sum_is_right() {
    let ring = ring();
    let (device, bytes) = snapshot(&ring, &[1, 2, 3]);
    let read = Snapshot::read(NAME, &ring, &bytes).unwrap();
    let copy = |name: &str, hash: [u8; 128], key: SyncKeyId| {
        let mut message = Vec::new();
        put_bytes(&mut message, 1, &[0x08, 9]);
        put_bytes(&mut message, 2, name.as_bytes());
        for mutation in read.mutations.iter() {
            let mut record = Vec::new();
            put_bytes(&mut record, 1, mutation.data);
            put_bytes(&mut record, 2, key.as_bytes());
            put_bytes(&mut record, 3, &mutation.value_mac.0);
            put_bytes(&mut message, 3, &record);
        }
        put_bytes(&mut message, 4, &hash);
        message
    };
    let (hash, key) = (device.head.hash.to_bytes(), SyncKeyId::made_by(0, 8));
    assert_eq!(recover(NAME, &ring, &copy(NAME.name(), hash, key.clone())), Ok(read.clone()));
    assert_eq!(recover(NAME, &ring, &copy(NAME.name(), [1; 128], key.clone())), Err(SyncError::SnapshotMac));
    assert!(recover(NAME, &ring, &copy("regular", hash, key)).is_err());
    let unknown = SyncKeyId::made_by(1, 1);
    let missing = recover(NAME, &ring, &copy(NAME.name(), hash, unknown.clone()));
    assert_eq!(missing, Err(SyncError::MissingKeys(vec![unknown])));
}

#[test]
fn the_newest_epoch_encrypts_unless_it_has_expired() {
    let mut ring = ring();
    ring.insert(SyncKeyId::made_by(2, 8), &SyncKeyData::new([9; 32]));
    ring.insert(SyncKeyId::new(&b"opaque id"[..]), &SyncKeyData::new([9; 32]));
    let active = |expired| ring.active(expired).map(|(id, _)| id.clone());
    assert_eq!(active(None), Some(SyncKeyId::made_by(0, 8)));
    assert_eq!(active(Some(6)), Some(SyncKeyId::made_by(0, 8)));
    assert_eq!(active(Some(8)), None);
    assert_eq!(SyncKeyId::made_by(0x1234, 0x5678).as_bytes(), [0x12, 0x34, 0, 0, 0x56, 0x78]);
}

#[test]
fn history_comes_in_parts_and_keeps_its_limits() {
    let mut plain = Vec::new();
    put_uint(&mut plain, 1, 3);
    let mut conversation = Vec::new();
    put_bytes(&mut conversation, 1, b"1@lid");
    put_bytes(&mut conversation, 39, b"2@s.whatsapp.net");
    put_bytes(&mut conversation, 2, &wrapped(b"message"));
    put_bytes(&mut plain, 2, &conversation);
    put_bytes(&mut plain, 99, &vec![7; 100_000]);
    put_bytes(&mut plain, 2, &conversation);
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, &plain).unwrap();
    let compressed = encoder.finish().unwrap();

    let read = |limits, size| {
        let (mut reader, mut parts) = (HistoryReader::new(limits), Vec::new());
        for chunk in compressed.chunks(size) {
            reader.push(chunk, |part| parts.push(format!("{part:?}")))?;
        }
        reader.finish().map(|()| parts)
    };
    let length = conversation.len();
    let one = format!("Conversation({length} bytes)");
    for size in [1, 7, 10_000] {
        let parts = read(HistoryLimits::default(), size).unwrap();
        assert_eq!(parts, ["SyncType(3)", &one, "Other(99, 100005 bytes)", &one]);
    }
    let small = HistoryLimits { part_bytes: 50_000, ..HistoryLimits::default() };
    assert_eq!(read(small, 100), Err(HistoryError::PartLimit));
    let small = HistoryLimits { total_bytes: 50_000, ..HistoryLimits::default() };
    assert_eq!(read(small, 100), Err(HistoryError::Inflate(InflateError::Limit)));
    let parsed = Conversation::parse(&conversation).unwrap();
    assert_eq!(parsed.aliases(), Some(Aliases { phone_number: "2@s.whatsapp.net", lid: "1@lid" }));
    assert_eq!(parsed.messages, [b"message"]);
}

#[test]
fn a_phone_number_is_found_in_the_receipt_of_an_own_message() {
    let message = |from_me: u64| {
        let (mut key, mut message) = (Vec::new(), Vec::new());
        put_uint(&mut key, 2, from_me);
        put_bytes(&mut message, 1, &key);
        put_bytes(&mut message, 40, &wrapped(b"2@s.whatsapp.net"));
        message
    };
    let chat = |message: &[u8]| {
        let mut conversation = Vec::new();
        put_bytes(&mut conversation, 1, b"1@lid");
        put_bytes(&mut conversation, 2, &wrapped(message));
        conversation
    };
    let (own, other) = (chat(&message(1)), chat(&message(0)));
    let aliases = Conversation::parse(&own).unwrap().aliases();
    assert_eq!(aliases, Some(Aliases { phone_number: "2@s.whatsapp.net", lid: "1@lid" }));
    assert_eq!(Conversation::parse(&other).unwrap().aliases(), None);
}
