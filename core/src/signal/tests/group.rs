//! Sender keys.

use super::rng;
use crate::signal::{Distribution, GroupDecryptError, GroupMessage, SenderKey, SenderKeyRecord};
use proptest::prelude::*;

fn decrypt(record: &mut SenderKeyRecord, bytes: &[u8]) -> Result<Vec<u8>, GroupDecryptError> {
    let before = record.clone();
    let outcome = record.decrypt(&GroupMessage::parse(bytes)?);
    if outcome.is_err() {
        assert!(*record == before, "a failure changed the record");
    }
    let again = SenderKeyRecord::decode(&record.encode()).unwrap();
    assert!(again == *record, "a record reads back differently");
    outcome
}

fn give(key: &SenderKey, record: &mut SenderKeyRecord) -> bool {
    record.process(&Distribution::parse(&key.distribution().encode()).unwrap())
}

#[derive(Clone, Debug)]
enum Step {
    Send,
    Rotate,
    Distribute,
    Deliver(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Send),
        1 => Just(Step::Rotate),
        2 => Just(Step::Distribute),
        6 => any::<prop::sample::Index>().prop_map(Step::Deliver),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn receiver_reads_everything_from_where_it_joined_exactly_once(steps in prop::collection::vec(step(), 1..60)) {
        let mut rng = rng(5);
        let mut key = SenderKey::generate(&mut rng);
        let mut record = SenderKeyRecord::default();
        // Newest last: key id and the iteration it was handed out at.
        let mut given: Vec<(u32, u32)> = Vec::new();
        let mut sent = Vec::new();
        for step in steps {
            match step {
                Step::Send => {
                    let position = (key.key_id(), key.iteration());
                    let bytes = key.encrypt(format!("{position:?}").as_bytes(), &mut rng).unwrap();
                    key = SenderKey::decode(&key.encode()).unwrap();
                    sent.push((position, bytes, false));
                }
                Step::Rotate => key = SenderKey::generate(&mut rng),
                Step::Distribute => {
                    // What was pushed out of the record may come back.
                    let first = given.len().saturating_sub(5);
                    let is_new = given[first..].iter().all(|(id, _)| *id != key.key_id());
                    prop_assert_eq!(give(&key, &mut record), is_new);
                    if is_new {
                        given.push((key.key_id(), key.iteration()));
                    }
                }
                Step::Deliver(which) if !sent.is_empty() => {
                    let at = which.index(sent.len());
                    let ((id, iteration), bytes, arrived) = &mut sent[at];
                    let outcome = decrypt(&mut record, bytes);
                    let first = given.len().saturating_sub(5);
                    match given[first..].iter().find(|(given, _)| given == id) {
                        None => prop_assert_eq!(outcome, Err(GroupDecryptError::NoSenderKey)),
                        Some((_, from)) if *arrived || *iteration < *from => {
                            prop_assert_eq!(outcome, Err(GroupDecryptError::Duplicate));
                        }
                        Some(_) => {
                            prop_assert_eq!(outcome, Ok(format!("{:?}", (*id, *iteration)).into_bytes()));
                            *arrived = true;
                        }
                    }
                }
                Step::Deliver(_) => {}
            }
        }
    }
}

#[test]
fn repeated_distribution_does_not_rewind() {
    let mut rng = rng(1);
    let mut key = SenderKey::generate(&mut rng);
    let mut record = SenderKeyRecord::default();
    let first = key.distribution();
    assert!(record.process(&first));
    let message = key.encrypt(b"x", &mut rng).unwrap();
    assert_eq!(decrypt(&mut record, &message).unwrap(), b"x");
    assert!(!record.process(&first));
    assert_eq!(decrypt(&mut record, &message), Err(GroupDecryptError::Duplicate));
}

#[test]
fn another_signing_key_under_the_same_number_replaces() {
    let mut rng = rng(2);
    let one = SenderKey::generate(&mut rng);
    let pair = crate::crypto::KeyPair::generate(&mut rng);
    let mut two = SenderKey::from_parts(one.key_id(), [7; 32], &pair);
    let mut record = SenderKeyRecord::default();
    assert!(give(&one, &mut record) && give(&two, &mut record));
    let message = two.encrypt(b"x", &mut rng).unwrap();
    assert_eq!(decrypt(&mut record, &message).unwrap(), b"x");
}

#[test]
fn jumps_and_kept_keys_are_limited() {
    let mut rng = rng(3);
    let mut key = SenderKey::generate(&mut rng);
    let mut record = SenderKeyRecord::default();
    give(&key, &mut record);
    let mut sent = Vec::new();
    for _ in 0..=2_001 {
        sent.push(key.encrypt(b"x", &mut rng).unwrap());
    }
    assert_eq!(decrypt(&mut record, &sent[2_001]), Err(GroupDecryptError::TooFarInFuture));
    assert_eq!(decrypt(&mut record, &sent[2_000]).unwrap(), b"x");
    assert_eq!(decrypt(&mut record, &sent[0]).unwrap(), b"x");
    assert_eq!(record.encode().len(), 2 + 74 + 1_999 * 36);
    for _ in 0..3 {
        let mut rotated = SenderKey::generate(&mut rng);
        give(&rotated, &mut record);
        let last = (0..2_001).map(|_| rotated.encrypt(b"y", &mut rng).unwrap()).last().unwrap();
        assert_eq!(decrypt(&mut record, &last).unwrap(), b"y");
    }
    assert_eq!(record.encode().len(), 2 + 4 * 74 + 5_000 * 36);
    assert_eq!(decrypt(&mut record, &sent[1]), Err(GroupDecryptError::Duplicate));
}
