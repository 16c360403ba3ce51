//! Bytes from others: whatever they are, the answer is an error, never a panic, and nothing changes.

use super::*;
use crate::signal::{Distribution, GroupMessage, SenderKey, SenderKeyRecord};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_parsed_without_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for version in [None, Some(0x33)] {
            if let (Some(version), Some(first)) = (version, bytes.first_mut()) {
                *first = version;
            }
            let _ = SignalMessage::parse(&bytes);
            let _ = PreKeyMessage::parse(&bytes);
            let _ = GroupMessage::parse(&bytes);
            let _ = Distribution::parse(&bytes);
        }
    }

    #[test]
    fn arbitrary_bytes_are_no_record(mut bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        for version in [None, Some(1)] {
            if let (Some(version), Some(first)) = (version, bytes.first_mut()) {
                *first = version;
            }
            let _ = Session::decode(&bytes);
            let _ = Archive::decode(&bytes);
            let _ = SenderKey::decode(&bytes);
            let _ = SenderKeyRecord::decode(&bytes);
            let _ = PreKey::decode(&bytes);
            let _ = SignedPreKey::decode(&bytes);
        }
    }
}

#[test]
fn every_changed_byte_of_a_message_is_refused_and_the_genuine_one_opens_after() {
    let (mut alice, mut bob) = pair();
    let genuine = alice.encrypt(b"genuine");
    for at in 0..genuine.bytes.len() {
        let mut changed = genuine.clone();
        changed.bytes[at] ^= 0x41;
        assert!(bob.decrypt(&changed).is_err(), "byte {at}");
    }
    for length in 0..genuine.bytes.len() {
        let cut = Ciphertext { kind: genuine.kind, bytes: genuine.bytes[..length].to_vec() };
        assert!(bob.decrypt(&cut).is_err(), "{length} bytes");
    }
    assert_eq!(bob.decrypt(&genuine).unwrap(), b"genuine");
}

#[test]
fn every_changed_byte_of_a_first_message_leaves_the_prekey_alone() {
    let (mut alice, mut bob) = (Device::new(1), Device::new(2));
    alice.initiate(bob.bundle());
    let genuine = alice.encrypt(b"genuine");
    // The registration id is not authenticated by the protocol.
    let registration = genuine.bytes.windows(2).rposition(|window| window == [0x28, 8]).unwrap() + 1;
    for at in (0..genuine.bytes.len()).filter(|at| !(registration - 1..=registration).contains(at)) {
        let mut changed = genuine.clone();
        changed.bytes[at] ^= 0x41;
        assert!(bob.decrypt(&changed).is_err(), "byte {at}");
        assert_eq!(bob.prekeys.len(), 1);
    }
    assert_eq!(bob.decrypt(&genuine).unwrap(), b"genuine");
}

#[test]
fn every_cut_record_is_refused() {
    let (mut alice, mut bob) = pair();
    alice.initiate(bob.bundle());
    let (session, archive) = (alice.session.unwrap(), alice.archive);
    for length in 0..session.len() {
        assert!(Session::decode(&session[..length]).is_err());
    }
    for length in 0..archive.len() {
        assert!(Archive::decode(&archive[..length]).is_err());
    }
    assert!(Session::decode(&[session.as_slice(), &[0]].concat()).is_err());
    assert!(Archive::decode(&[archive.as_slice(), &[0]].concat()).is_err());
}
