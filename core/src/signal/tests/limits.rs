//! What an archive and a record of sender keys keep, drop and take over; what a record may not say.

use super::*;
use crate::crypto::{PublicKey, Secret};
use crate::signal::chain::MessageSeed;
use crate::signal::{
    ForeignReceiving, ForeignSenderKey, ForeignSending, ForeignSession, GroupDecryptError, GroupMessage, ParseError,
    RecordError, RetryReason, SenderKey, SenderKeyRecord,
};

fn seeds(counters: std::ops::Range<u32>, mark: u8) -> Vec<(u32, MessageSeed)> {
    counters.map(|counter| (counter, MessageSeed::new([mark; 32]))).collect()
}

/// A number of sessions with the same device, and a ratchet key for each.
fn sessions(count: usize) -> (Vec<Session>, PublicKey) {
    let (mut alice, mut bob) = (Device::new(1), Device::new(2));
    let sessions = (0..count).map(|_| {
        alice.initiate(bob.bundle());
        alice.session().unwrap()
    });
    (sessions.collect(), bob.signed_prekey.keys.public)
}

fn bases(archive: &Archive) -> Vec<PublicKey> {
    (0..archive.len()).filter_map(|at| archive.state(at)).map(|state| *state.base_key()).collect()
}

fn bases_of<'s>(sessions: impl IntoIterator<Item = &'s Session>) -> Vec<PublicKey> {
    sessions.into_iter().map(|session| *session.base_key()).collect()
}

#[test]
fn a_state_that_falls_out_takes_its_keys_with_it_and_no_others() {
    let (all, ratchet) = sessions(41);
    let mut archive = Archive::default();
    assert!(archive.is_empty() && archive.take_newest().is_none());
    for session in &all[..40] {
        archive.push(session.clone());
        archive.keep_skipped(session.base_key(), &ratchet, seeds(0..2, 1), 2_000);
    }
    assert_eq!((archive.len(), archive.skipped_keys()), (40, 80));
    archive.push(all[40].clone());
    assert_eq!((archive.len(), archive.skipped_keys()), (40, 78));
    assert_eq!(bases(&archive), bases_of(all[1..].iter().rev()));
    assert!(archive.skipped_seed(all[0].base_key(), &ratchet, 0).is_none());
    assert!(archive.skipped_seed(all[1].base_key(), &ratchet, 0).is_some());
}

#[test]
fn the_newest_state_comes_out_and_its_keys_stay() {
    let (all, ratchet) = sessions(2);
    let mut archive = Archive::default();
    all.iter().for_each(|session| archive.push(session.clone()));
    archive.keep_skipped(all[1].base_key(), &ratchet, seeds(0..3, 1), 2_000);
    assert_eq!(archive.take_newest().map(|session| *session.base_key()), Some(*all[1].base_key()));
    assert_eq!((archive.len(), archive.skipped_keys()), (1, 3));
    assert!(archive.take_newest().is_some());
    assert!(!archive.is_empty(), "keys alone are something");
    archive.retain(|_| true, None);
    assert!(archive.is_empty());
    archive.push(all[0].clone());
    assert!(!archive.is_empty(), "a state alone is something");
}

#[test]
fn two_archives_of_one_device_become_one_without_doubles_or_more_than_the_limits() {
    let (all, ratchet) = sessions(44);
    let (mut archive, mut older) = (Archive::default(), Archive::default());
    all[4..42].iter().for_each(|session| archive.push(session.clone()));
    archive.keep_skipped(all[5].base_key(), &ratchet, seeds(0..1_000, 1), 2_000);
    archive.keep_skipped(all[6].base_key(), &ratchet, seeds(0..2_000, 1), 2_000);
    for session in [&all[0], &all[5], &all[1], &all[2]] {
        older.push(session.clone());
    }
    older.keep_skipped(all[5].base_key(), &ratchet, seeds(0..5, 2), 2_000);
    older.keep_skipped(all[0].base_key(), &ratchet, seeds(0..2_000, 2), 2_000);
    older.keep_skipped(all[2].base_key(), &ratchet, seeds(0..10, 2), 2_000);
    archive.absorb(older);
    let expected: Vec<&Session> = all[4..42].iter().rev().chain([&all[2], &all[1]]).collect();
    assert_eq!(bases(&archive), bases_of(expected), "behind the newer ones, each once, forty at most");
    assert_eq!(archive.skipped_keys(), 5_000);
    let mark =
        |base: &Session, counter| archive.skipped_seed(base.base_key(), &ratchet, counter).map(|seed| seed.expose()[0]);
    assert_eq!((mark(&all[5], 0), mark(&all[6], 1_999)), (Some(1), Some(1)), "what was here stays");
    assert_eq!((mark(&all[2], 0), mark(&all[0], 9)), (Some(2), None), "the oldest chain makes room");
    assert_eq!(mark(&all[0], 10), Some(2));
}

#[test]
fn the_session_that_is_not_sent_in_goes_behind_all_others() {
    let (all, _) = sessions(41);
    let mut archive = Archive::default();
    archive.push_behind(all[0].clone());
    archive.push_behind(all[1].clone());
    archive.push_behind(all[0].clone());
    assert_eq!(bases(&archive), bases_of(&all[..2]));
    assert!(archive.state(0).is_some_and(|state| !state.is_unanswered()), "nothing is sent in it");
    all[2..].iter().for_each(|session| archive.push_behind(session.clone()));
    assert_eq!(bases(&archive), bases_of(&all[..40]));
}

#[test]
fn what_is_not_theirs_leaves_with_its_keys_and_the_current_session_keeps_its_own() {
    let (all, ratchet) = sessions(3);
    let mut archive = Archive::default();
    archive.push(all[0].clone());
    archive.push(all[1].clone());
    for session in &all {
        archive.keep_skipped(session.base_key(), &ratchet, seeds(0..1, 1), 2_000);
    }
    archive.retain(|session| session.base_key() == all[1].base_key(), Some(&all[2]));
    assert_eq!(bases(&archive), bases_of([&all[1]]));
    let keeps = |session: &Session| archive.skipped_seed(session.base_key(), &ratchet, 0).is_some();
    assert_eq!([keeps(&all[0]), keeps(&all[1]), keeps(&all[2])], [false, true, true]);
}

#[test]
fn an_archive_with_more_than_its_limits_is_damaged() {
    let (all, ratchet) = sessions(2);
    let mut archive = Archive::default();
    archive.keep_skipped(all[0].base_key(), &ratchet, seeds(0..3_000, 1), 3_000);
    archive.keep_skipped(all[1].base_key(), &ratchet, seeds(0..2_000, 1), 2_000);
    let mut record = archive.encode();
    assert!(Archive::decode(&record).is_ok_and(|read| read == archive));
    // One chain with one key more.
    assert_eq!(record[..4], [1, 0, 2, 0]);
    record[2] = 3;
    record.extend_from_slice(&[[9; 32], [8; 32]].concat());
    record.extend_from_slice(&[1, 0]);
    record.extend_from_slice(&[0; 36]);
    assert!(Archive::decode(&record).is_err_and(|why| why == RecordError::Damaged));

    let mut full = Archive::default();
    sessions(40).0.into_iter().for_each(|session| full.push(session));
    let mut record = full.encode();
    assert!(Archive::decode(&record).is_ok());
    let one = usize::from(u16::from_le_bytes([record[2], record[3]])) + 2;
    let more = record[2..2 + one].to_vec();
    record.splice(2..2, more);
    record[1] = 41;
    assert!(Archive::decode(&record).is_err_and(|why| why == RecordError::Damaged));
}

#[test]
fn a_session_record_has_chains_enough_and_not_too_many() {
    let (mut alice, _) = pair();
    let due = alice.session.clone().unwrap();
    // The receiving chains are at the end, their number in front of them.
    let mut none = due[..due.len() - 2 * 70].to_vec();
    assert_eq!(none.pop(), Some(2));
    none.push(0);
    assert!(Session::decode(&none).is_err_and(|why| why == RecordError::Damaged), "it could neither send nor receive");
    alice.encrypt(b"turned");
    let steady = alice.session.unwrap();
    let head = steady.len() - 2 * 70 - 1;
    let with = |count: u8| {
        let chain = &steady[head + 1..head + 71];
        [&steady[..head], &[count], &chain.repeat(count.into())].concat()
    };
    assert!(Session::decode(&with(0)).is_ok() && Session::decode(&with(5)).is_ok());
    assert!(Session::decode(&with(6)).is_err_and(|why| why == RecordError::Damaged));
}

#[test]
fn the_most_telling_failure_of_all_states_is_what_the_sender_hears() {
    let (mut alice, mut bob) = pair();
    let mut far = alice.encrypt(b"x");
    for _ in 0..=2_001 {
        far = alice.encrypt(b"x");
    }
    // The state that the message is of goes between two others.
    bob.initiate(alice.bundle());
    bob.initiate(alice.bundle());
    let oldest = bob.archive().len();
    let mut stranger = Device::new(9);
    let (mut archive, mut session) = (bob.archive(), bob.session().unwrap());
    stranger.initiate(alice.bundle());
    archive.push_behind(stranger.session().unwrap());
    assert_eq!((oldest, archive.len()), (2, 3));
    let parsed = SignalMessage::parse(&far.bytes).unwrap();
    let outcome = session.decrypt(Some(&mut archive), &parsed, &bob.identity.public, JumpLimit::CONTACT);
    assert_eq!(outcome.err(), Some(DecryptError::TooFarInFuture));
    let mut changed = far.bytes.clone();
    let last = changed.len() - 1;
    changed[last] ^= 1;
    let parsed = SignalMessage::parse(&changed).unwrap();
    let outcome = session.decrypt(Some(&mut archive), &parsed, &bob.identity.public, JumpLimit::OWN_DEVICE);
    assert_eq!(outcome.err(), Some(DecryptError::BadMac));
}

#[test]
fn a_message_in_order_leaves_the_archive_alone_even_where_it_is_at_hand() {
    let (mut alice, bob) = pair();
    let (mut session, mut archive) = (bob.session().unwrap(), Archive::default());
    for _ in 0..2 {
        let message = alice.encrypt(b"x");
        let parsed = SignalMessage::parse(&message.bytes).unwrap();
        let opened = session.decrypt(Some(&mut archive), &parsed, &bob.identity.public, JumpLimit::CONTACT).unwrap();
        assert!(!opened.archive_changed && archive.is_empty());
    }
}

#[test]
fn an_answer_ends_the_preamble() {
    let (mut alice, mut bob) = (Device::new(1), Device::new(2));
    alice.initiate(bob.bundle());
    assert!(alice.session().unwrap().is_unanswered());
    let first = alice.encrypt(b"1");
    bob.decrypt(&first).unwrap();
    assert!(!bob.session().unwrap().is_unanswered());
    let answer = bob.encrypt(b"2");
    alice.decrypt(&answer).unwrap();
    assert!(!alice.session().unwrap().is_unanswered());
}

fn group_key(number: u8) -> SenderKey {
    SenderKey::from_parts(u32::from(number), [number; 32], &KeyPair::from_private([number; 32]))
}

#[test]
fn the_sixth_sender_key_pushes_the_first_out() {
    let mut record = SenderKeyRecord::default();
    for number in 1..=6 {
        assert!(record.process(&group_key(number).distribution()));
        assert_eq!(record.states.len(), usize::from(number.min(5)));
    }
    assert_eq!([record.has(1), record.has(2), record.has(6)], [false, true, true]);
    let mut bytes = record.encode();
    assert!(SenderKeyRecord::decode(&bytes).is_ok_and(|read| read == record));
    bytes[1] = 6;
    bytes.extend_from_slice(&[0; 74]);
    assert!(SenderKeyRecord::decode(&bytes).is_err_and(|why| why == RecordError::Damaged));
}

#[test]
fn sender_keys_of_two_records_become_one_without_doubles_or_more_than_five() {
    let record = |numbers: std::ops::RangeInclusive<u8>| {
        let mut record = SenderKeyRecord::default();
        for number in numbers.rev() {
            record.process(&group_key(number).distribution());
        }
        record
    };
    let ids = |record: &SenderKeyRecord| record.states.iter().map(|state| state.key_id).collect::<Vec<_>>();
    let mut both = record(1..=3);
    both.states[2].iteration = 7;
    both.absorb(record(3..=6));
    assert_eq!(ids(&both), [1, 2, 3, 4, 5]);
    assert_eq!(both.states[2].iteration, 7, "what was here stays");
    both.absorb(record(7..=7));
    assert_eq!(ids(&both), [1, 2, 3, 4, 5]);
}

#[test]
fn one_sender_key_keeps_two_thousand_passed_keys() {
    let mut rng = rng(3);
    let mut key = group_key(1);
    let mut record = SenderKeyRecord::default();
    record.process(&key.distribution());
    let mut sent = Vec::new();
    for _ in 0..=2_010 {
        sent.push(key.encrypt(b"x", &mut rng).unwrap());
    }
    assert_eq!((key.key_id(), key.iteration()), (1, 2_011));
    let mut open = |at: usize| record.decrypt(&GroupMessage::parse(&sent[at]).unwrap());
    assert!(open(10).is_ok() && open(2_010).is_ok());
    assert_eq!(open(8), Err(GroupDecryptError::Duplicate), "ten made room for the newest");
    assert!(open(9).is_ok());
    assert_eq!(record.states[0].skipped.len(), 1_999 + 10 - 9 - 1);
}

#[test]
fn bodies_that_are_not_whole_blocks_are_malformed() {
    let (mut alice, _) = pair();
    let genuine = alice.encrypt(b"x").bytes;
    let mut key = group_key(9);
    let group = (0..3).map(|_| key.encrypt(b"x", &mut rng(1)).unwrap()).last().unwrap();
    let parsed = GroupMessage::parse(&group).unwrap();
    assert_eq!((parsed.key_id(), parsed.iteration()), (9, 2));
    let distribution = key.distribution();
    assert_eq!((distribution.key_id(), distribution.iteration()), (9, 3));
    // The body is the last field before the code, or the signature: tag, length, 16 bytes.
    for (bytes, tail) in [(genuine, 8), (group, 64)] {
        let head = bytes.len() - tail - 17;
        assert_eq!(bytes[head], 16);
        for length in [0, 1, 15, 17] {
            let body = vec![7; length];
            let changed =
                [&bytes[..head], &[u8::try_from(length).unwrap()], &body, &bytes[bytes.len() - tail..]].concat();
            match tail {
                8 => assert_eq!(SignalMessage::parse(&changed).err(), Some(ParseError::Malformed), "{length}"),
                _ => assert_eq!(GroupMessage::parse(&changed).err(), Some(ParseError::Malformed), "{length}"),
            }
        }
    }
}

#[test]
fn failures_of_group_messages_have_reasons_that_the_sender_understands() {
    let code = |why: GroupDecryptError| why.retry_reason().map(RetryReason::code);
    assert_eq!(code(GroupDecryptError::Duplicate), None);
    assert_eq!(code(GroupDecryptError::NoSenderKey), Some(1));
    assert_eq!(code(GroupDecryptError::TooFarInFuture), Some(6));
    assert_eq!(code(GroupDecryptError::BadPadding), Some(4));
    assert_eq!(DecryptError::BadMac.retry_reason().map(RetryReason::code), Some(7));
}

#[test]
fn registration_ids_travel_as_four_bytes() {
    assert_eq!(RegistrationId(0x0102_0304).to_bytes(), [1, 2, 3, 4]);
    assert_eq!(RegistrationId::from_slice(&[1, 2, 3, 4]), Some(RegistrationId(0x0102_0304)));
    assert_eq!(RegistrationId::from_slice(&[1, 2, 3]), None);
}

#[test]
fn sender_keys_of_another_engine_open_what_is_late_and_what_is_next() {
    let mut rng = rng(4);
    let mut key = group_key(1);
    let chain: Vec<Secret<32>> = (0..4)
        .map(|_| {
            let chain = Secret::new(*key.distribution().chain_key.expose());
            key.encrypt(b"", &mut rng).unwrap();
            chain
        })
        .collect();
    let mut key = group_key(1);
    let sent: Vec<_> = (0..4).map(|_| key.encrypt(b"x", &mut rng).unwrap()).collect();
    let seed = |at: usize| Secret::new(*crate::signal::chain::ChainKey::new(*chain[at].expose()).seed().expose());
    // Out of order, twice, and one that the chain itself still has.
    let skipped = vec![(2, seed(2)), (1, seed(1)), (2, seed(2)), (3, seed(3))];
    let signing_key = *KeyPair::from_private([1; 32]).public.as_bytes();
    let foreign = ForeignSenderKey { key_id: 1, iteration: 3, chain_key: chain[3].clone(), signing_key, skipped };
    let mut record = SenderKeyRecord::of_foreign(vec![foreign]);
    let mut open = |at: usize| record.decrypt(&GroupMessage::parse(&sent[at]).unwrap());
    assert_eq!(open(0), Err(GroupDecryptError::Duplicate));
    for at in [1, 2, 3] {
        assert_eq!(open(at).as_deref(), Ok(&b"x"[..]));
        assert_eq!(open(at), Err(GroupDecryptError::Duplicate));
    }
}

#[test]
fn a_session_of_another_engine_needs_a_chain_in_one_direction() {
    let foreign = || ForeignSession {
        own_registration_id: 1,
        remote_registration_id: 2,
        remote_identity: [1; 32],
        base_key: [2; 32],
        root: Secret::new([3; 32]),
        previous_counter: 0,
        sending: None,
        receiving: Vec::new(),
        pending: None,
    };
    let mut archive = Archive::default();
    let read = Session::of_foreign(foreign(), &mut archive);
    assert!(read.is_err_and(|why| why == RecordError::Damaged) && archive.is_empty());
    let sending = Some(ForeignSending { ratchet: Secret::new([4; 32]), key: Secret::new([5; 32]), index: 6 });
    let read = Session::of_foreign(ForeignSession { sending, ..foreign() }, &mut archive);
    assert!(read.is_ok_and(|session| !session.is_turn_due() && !session.is_unanswered()));
    let skipped = vec![(3, Secret::new([6; 32])), (9, Secret::new([6; 32]))];
    let receiving = vec![ForeignReceiving { ratchet: [7; 32], key: Secret::new([8; 32]), index: 9, skipped }];
    let pending = Some(crate::signal::ForeignPending { signed_prekey: 1, prekey: Some(0) });
    let read = Session::of_foreign(ForeignSession { receiving, pending, ..foreign() }, &mut archive);
    assert!(
        read.is_ok_and(
            |session| session.is_turn_due() && session.pending.is_some_and(|pending| pending.prekey.is_none())
        )
    );
    assert_eq!(archive.skipped_keys(), 1, "what the chain still has is not kept");
}
