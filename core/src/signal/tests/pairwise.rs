//! Pairwise sessions.

use super::*;
use crate::crypto::PublicKey;
use crate::signal::{EncryptError, RetryReason};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Send {
        from_alice: bool,
    },
    /// Delivers one of the messages sent so far, whether it arrived before or not.
    Deliver {
        from_alice: bool,
        which: prop::sample::Index,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        any::<bool>().prop_map(|from_alice| Step::Send { from_alice }),
        (any::<bool>(), any::<prop::sample::Index>())
            .prop_map(|(from_alice, which)| Step::Deliver { from_alice, which }),
    ]
}

/// Which chain a message is of, and its place in it.
pub(super) fn chain_of(message: &Ciphertext) -> (PublicKey, u32) {
    let of = |inner: &SignalMessage<'_>| (*inner.ratchet_key(), inner.counter());
    match message.kind {
        CiphertextKind::Message => of(&SignalMessage::parse(&message.bytes).unwrap()),
        CiphertextKind::PreKeyMessage => of(PreKeyMessage::parse(&message.bytes).unwrap().message()),
    }
}

struct Sent {
    ciphertext: Ciphertext,
    plaintext: Vec<u8>,
    chain: PublicKey,
    arrived: bool,
}

/// One direction: what was sent, and which chains its receiver has seen and kept.
#[derive(Default)]
struct Direction {
    sent: Vec<Sent>,
    seen: Vec<PublicKey>,
}

impl Direction {
    fn send(&mut self, from: &mut Device, number: usize) {
        let plaintext = format!("message {number}").into_bytes();
        let ciphertext = from.encrypt(&plaintext);
        let (chain, _) = chain_of(&ciphertext);
        self.sent.push(Sent { ciphertext, plaintext, chain, arrived: false });
    }

    fn deliver(&mut self, to: &mut Device, which: &prop::sample::Index) {
        if self.sent.is_empty() {
            return;
        }
        let at = which.index(self.sent.len());
        let message = &mut self.sent[at];
        let outcome = to.decrypt(&message.ciphertext);
        let at = self.seen.iter().position(|seen| *seen == message.chain);
        let is_kept = at.is_none_or(|at| at + 5 >= self.seen.len());
        match (is_kept, message.arrived) {
            (true, false) => {
                assert_eq!(outcome.as_deref(), Ok(&message.plaintext[..]));
                message.arrived = true;
            }
            (true, true) => assert_eq!(outcome, Err(DecryptError::Duplicate)),
            // Its chain is one of the oldest, which were dropped.
            (false, _) => assert_eq!(outcome, Err(DecryptError::BadMac)),
        }
        if at.is_none() {
            self.seen.push(message.chain);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn both_sides_stay_consistent_under_any_order_loss_and_repetition(
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let (mut alice, mut bob) = (Device::new(3), Device::new(4));
        alice.initiate(bob.bundle());
        let (mut to_bob, mut to_alice) = (Direction::default(), Direction::default());
        // Alice keeps the chain of the signed prekey, which Bob never uses, among her five.
        to_alice.seen.push(bob.signed_prekey.keys.public);
        for (number, step) in steps.iter().enumerate() {
            match step {
                Step::Send { from_alice: true } => to_bob.send(&mut alice, number),
                Step::Send { from_alice: false } if bob.session.is_some() => to_alice.send(&mut bob, number),
                Step::Send { .. } => {}
                Step::Deliver { from_alice: true, which } => to_bob.deliver(&mut bob, which),
                Step::Deliver { from_alice: false, which } => to_alice.deliver(&mut alice, which),
            }
        }
    }
}

#[test]
fn conversation_in_order_never_loads_the_archive() {
    let (mut alice, mut bob) = pair();
    for round in 0..20 {
        for _ in 0..round % 3 + 1 {
            let message = alice.encrypt(b"ping");
            assert_eq!(bob.decrypt(&message).unwrap(), b"ping");
            assert_eq!(bob.decrypt(&message), Err(DecryptError::Duplicate));
        }
        let message = bob.encrypt(b"pong");
        assert_eq!(alice.decrypt(&message).unwrap(), b"pong");
    }
    assert_eq!((alice.archive_loads, bob.archive_loads), (0, 0));
}

#[test]
fn receiving_leaves_our_half_of_the_turn_due_until_we_send() {
    let (mut alice, mut bob) = pair();
    let message = alice.encrypt(b"turn");
    bob.decrypt(&message).unwrap();
    assert!(bob.session().unwrap().is_turn_due());
    let due = bob.session.as_ref().unwrap().len();
    bob.encrypt(b"turned");
    assert!(!bob.session().unwrap().is_turn_due());
    assert_eq!(bob.session.as_ref().unwrap().len(), due + 100);
}

#[test]
fn first_messages_repeat_the_preamble_until_an_answer_arrives() {
    let (mut alice, mut bob) = (Device::new(1), Device::new(2));
    alice.initiate(bob.bundle());
    let (one, two) = (alice.encrypt(b"1"), alice.encrypt(b"2"));
    assert_eq!((one.kind, two.kind), (CiphertextKind::PreKeyMessage, CiphertextKind::PreKeyMessage));
    assert!(alice.session().unwrap().is_unanswered());
    // The second arrives first: the session is set up by it, and the first finds its key in the archive.
    assert_eq!(bob.decrypt(&two).unwrap(), b"2");
    assert!(bob.prekeys.is_empty(), "the one-time prekey is used up");
    assert_eq!(bob.decrypt(&one).unwrap(), b"1");
    let answer = bob.encrypt(b"3");
    alice.decrypt(&answer).unwrap();
    assert_eq!(alice.encrypt(b"4").kind, CiphertextKind::Message);
}

#[test]
fn first_message_for_prekeys_that_are_gone_is_refused_and_repairable() {
    let (mut alice, mut bob) = (Device::new(1), Device::new(2));
    alice.initiate(bob.bundle());
    let message = alice.encrypt(b"1");
    let kept = std::mem::take(&mut bob.prekeys);
    assert_eq!(bob.decrypt(&message), Err(DecryptError::UnknownPreKey));
    assert_eq!(DecryptError::UnknownPreKey.retry_reason(), Some(RetryReason::InvalidKeyId));
    bob.prekeys = kept;
    assert_eq!(bob.decrypt(&message).unwrap(), b"1");
}

#[test]
fn sessions_started_by_both_at_once_converge() {
    let (mut alice, mut bob) = (Device::new(1), Device::new(2));
    let (for_alice, for_bob) = (bob.bundle(), alice.bundle());
    alice.initiate(for_alice);
    bob.initiate(for_bob);
    let (from_alice, from_bob) = (alice.encrypt(b"a"), bob.encrypt(b"b"));
    assert_eq!(alice.decrypt(&from_bob).unwrap(), b"b");
    assert_eq!(bob.decrypt(&from_alice).unwrap(), b"a");
    for round in 0..4 {
        let message = alice.encrypt(b"x");
        assert_eq!(bob.decrypt(&message).unwrap(), b"x", "round {round}");
        let message = bob.encrypt(b"y");
        assert_eq!(alice.decrypt(&message).unwrap(), b"y", "round {round}");
    }
    assert_eq!(alice.session().unwrap().base_key(), bob.session().unwrap().base_key());
    assert_eq!(alice.encrypt(b"z").kind, CiphertextKind::Message);
}

#[test]
fn message_of_a_replaced_state_opens_and_promotes_it() {
    let (mut alice, mut bob) = pair();
    let old = *alice.session().unwrap().base_key();
    let late = bob.encrypt(b"in flight");
    alice.initiate(bob.bundle());
    assert_ne!(*alice.session().unwrap().base_key(), old);
    assert_eq!(alice.decrypt(&late).unwrap(), b"in flight");
    assert_eq!(*alice.session().unwrap().base_key(), old);
    assert_eq!(alice.archive().len(), 1);
    assert_eq!(alice.decrypt(&late), Err(DecryptError::Duplicate));
}

#[test]
fn repeated_first_message_after_a_new_session_finds_its_archived_state() {
    let (mut alice, mut bob) = (Device::new(1), Device::new(2));
    alice.initiate(bob.bundle());
    let (one, two) = (alice.encrypt(b"1"), alice.encrypt(b"2"));
    bob.decrypt(&one).unwrap();
    alice.initiate(bob.bundle());
    let three = alice.encrypt(b"3");
    assert_eq!(bob.decrypt(&three).unwrap(), b"3");
    assert_eq!(bob.archive().len(), 1);
    assert_eq!(bob.decrypt(&one), Err(DecryptError::Duplicate));
    assert_eq!(bob.decrypt(&two).unwrap(), b"2");
    assert_eq!(bob.archive().len(), 1);
}

#[test]
fn archive_keeps_forty_states() {
    let (mut alice, mut bob) = pair();
    let oldest = bob.encrypt(b"oldest");
    for _ in 0..40 {
        alice.initiate(bob.bundle());
    }
    assert_eq!(alice.archive().len(), 40);
    alice.initiate(bob.bundle());
    assert_eq!(alice.archive().len(), 40);
    assert_eq!(alice.decrypt(&oldest), Err(DecryptError::BadMac));
}

#[test]
fn jumps_are_limited_and_wider_for_own_devices() {
    let (mut alice, mut bob) = pair();
    let mut sent = Vec::new();
    for _ in 0..=2_001 {
        sent.push(alice.encrypt(b"x"));
    }
    assert_eq!(bob.decrypt(&sent[2_001]), Err(DecryptError::TooFarInFuture));
    assert_eq!(bob.decrypt(&sent[2_000]).unwrap(), b"x");
    assert_eq!(bob.archive().skipped_keys(), 2_000);
    assert_eq!(bob.decrypt(&sent[0]).unwrap(), b"x");
    let far = (0..2_500).map(|_| alice.encrypt(b"y")).last().unwrap();
    assert_eq!(bob.decrypt(&far), Err(DecryptError::TooFarInFuture));
    bob.limit = JumpLimit::OWN_DEVICE;
    assert_eq!(bob.decrypt(&far).unwrap(), b"y");
    // A chain keeps 2,000 keys: those from before the jump have made room.
    assert_eq!(bob.archive().skipped_keys(), 2_000);
    assert_eq!(bob.decrypt(&sent[1]), Err(DecryptError::Duplicate));
}

#[test]
fn keys_for_late_messages_are_limited_over_all_chains() {
    let (mut alice, mut bob) = pair();
    let mut first_of_chain = Vec::new();
    for _ in 0..3 {
        let mut burst: Vec<_> = (0..1_801).map(|_| alice.encrypt(b"x")).collect();
        bob.decrypt(&burst.pop().unwrap()).unwrap();
        first_of_chain.push(burst.swap_remove(0));
        let answer = bob.encrypt(b"y");
        alice.decrypt(&answer).unwrap();
    }
    assert_eq!(bob.archive().skipped_keys(), 5_000);
    assert_eq!(bob.decrypt(&first_of_chain[0]), Err(DecryptError::Duplicate));
    assert_eq!(bob.decrypt(&first_of_chain[1]).unwrap(), b"x");
}

#[test]
fn keys_of_dropped_chains_leave_the_archive() {
    let (mut alice, mut bob) = pair();
    for round in 0..8 {
        alice.encrypt(b"lost");
        let message = alice.encrypt(b"x");
        bob.decrypt(&message).unwrap();
        let answer = bob.encrypt(b"y");
        alice.decrypt(&answer).unwrap();
        assert!(bob.archive().skipped_keys() <= 5, "round {round}");
    }
    assert_eq!(bob.archive().skipped_keys(), 5);
}

#[test]
fn degenerate_ratchet_key_is_refused() {
    let (mut alice, mut bob) = pair();
    let mut message = alice.encrypt(b"x");
    // The key follows version byte, tag, length and type byte.
    message.bytes[4..36].fill(0);
    assert_eq!(bob.decrypt(&message), Err(DecryptError::DegenerateKey));
}

#[test]
fn a_chain_without_counters_left_refuses_to_send() {
    let (mut alice, _) = pair();
    alice.encrypt(b"x");
    let mut session = alice.session().unwrap();
    if let crate::signal::session::Sending::Chain(chain) = &mut session.sending {
        chain.index = u32::MAX;
    }
    let before = session.clone();
    let mut out = vec![1];
    let refused = session.encrypt_onto(b"x", &alice.identity.public, &mut alice.rng, &mut out);
    assert_eq!(refused, Err(EncryptError::CounterExhausted));
    assert!(session == before && out == [1]);
}
