//! Records written by every version so far read back for ever.

use super::*;
use crate::signal::{SenderKey, SenderKeyRecord};

#[test]
fn sizes_of_records_are_as_stated() {
    let (mut alice, bob) = pair();
    alice.encrypt(b"x");
    let steady = alice.session.as_ref().unwrap().len();
    // Two receiving chains: that of the signed prekey and Bob's first.
    assert_eq!(steady, 281 + 70);
    assert_eq!(bob.session.as_ref().unwrap().len(), 281);
    assert_eq!(Archive::default().encode().len(), 4);
    assert_eq!(SenderKey::generate(&mut rng(1)).encode().len(), 137);
}

/// Each line: the record's name, its bytes. Lines are added when a version is; none is ever changed.
const FIXTURES: &str = include_str!("records.txt");

fn fixtures(name: &str) -> Vec<Vec<u8>> {
    let lines = FIXTURES.lines().filter_map(|line| line.split_once(' '));
    lines.filter(|(found, _)| *found == name).map(|(_, bytes)| hex::decode(bytes).unwrap()).collect()
}

#[test]
fn records_of_all_versions_decode() {
    for record in fixtures("session") {
        let mut session = Session::decode(&record).unwrap();
        assert!([7, 8].contains(&session.remote_registration_id().0));
        assert!(session.encrypt(b"x", &KeyPair::generate(&mut rng(1)).public, &mut rng(2)).is_ok());
    }
    for record in fixtures("archive") {
        let archive = Archive::decode(&record).unwrap();
        assert_eq!((archive.len(), archive.skipped_keys()), (1, 2));
    }
    for record in fixtures("prekey") {
        assert_eq!(PreKey::decode(&record).unwrap().id.number(), 2);
    }
    for record in fixtures("signed_prekey") {
        let key = SignedPreKey::decode(&record).unwrap();
        assert_eq!(key.created, 1_700_000_000);
        assert_eq!(key.public().verify(&KeyPair::generate(&mut rng(1)).public), Ok(()));
    }
    for record in fixtures("sender_key") {
        let key = SenderKey::decode(&record).unwrap();
        assert_eq!(key.iteration(), 3);
        for received in fixtures("sender_key_record") {
            let received = SenderKeyRecord::decode(&received).unwrap();
            assert!(received.has(key.key_id()));
        }
    }
    for (name, count) in [
        ("session", 3),
        ("archive", 1),
        ("prekey", 1),
        ("signed_prekey", 1),
        ("sender_key", 1),
        ("sender_key_record", 1),
    ] {
        assert!(fixtures(name).len() >= count, "{name}");
    }
}

/// What the lines of version 1 were made with.
#[test]
fn records_of_version_1_are_still_written_alike() {
    let (mut alice, mut bob) = pair();
    let unanswered = {
        let mut carol = Device::new(3);
        carol.initiate(alice.bundle());
        carol.encrypt(b"x");
        carol.session.unwrap()
    };
    alice.encrypt(b"lost");
    alice.encrypt(b"lost");
    let message = alice.encrypt(b"x");
    bob.decrypt(&message).unwrap();
    bob.initiate(alice.bundle());
    let first = bob.encrypt(b"x");
    alice.decrypt(&first).unwrap();
    let due = alice.session.clone().unwrap();
    alice.encrypt(b"x");
    let mut rng = rng(1);
    let identity = KeyPair::generate(&mut rng);
    let mut key = SenderKey::generate(&mut rng);
    let mut received = SenderKeyRecord::default();
    received.process(&key.distribution());
    let last = (0..3).map(|_| key.encrypt(b"x", &mut rng).unwrap()).last().unwrap();
    received.decrypt(&crate::signal::GroupMessage::parse(&last).unwrap()).unwrap();
    let lines = [
        ("session", unanswered),
        ("session", alice.session.unwrap()),
        ("session", due),
        ("archive", bob.archive),
        ("prekey", PreKey::generate(PreKeyId::FIRST.next(), &mut rng).encode()),
        ("signed_prekey", SignedPreKey::generate(SignedPreKeyId::FIRST, &identity, 1_700_000_000, &mut rng).encode()),
        ("sender_key", key.encode()),
        ("sender_key_record", received.encode()),
    ];
    for (name, record) in lines {
        assert!(fixtures(name).contains(&record), "{name} {}", hex::encode(&record));
    }
}
