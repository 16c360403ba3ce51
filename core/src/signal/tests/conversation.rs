//! Two devices that start sessions whenever they like, lose, repeat and reorder everything, and jump to the limits:
//! what opens, and what is answered instead, is as a plain list of what was sent says.

use super::pairwise::chain_of;
use super::*;
use crate::crypto::PublicKey;
use crate::signal::session::Sending;
use proptest::prelude::*;
use proptest::sample::Index;
use std::collections::BTreeSet;

#[derive(Clone, Debug)]
enum Step {
    /// A new session, over whatever there is.
    Initiate {
        who: usize,
        one_time: bool,
    },
    Send {
        who: usize,
    },
    /// Uses up counters whose messages are lost.
    Lose {
        who: usize,
        count: u32,
    },
    /// Delivers one of the messages that `who` sent, whether it arrived before or not.
    Deliver {
        who: usize,
        which: Index,
    },
    /// Delivers the newest message that `who` sent.
    DeliverNewest {
        who: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let who = || 0..2_usize;
    prop_oneof![
        1 => (who(), any::<bool>()).prop_map(|(who, one_time)| Step::Initiate { who, one_time }),
        6 => who().prop_map(|who| Step::Send { who }),
        2 => (who(), 1..6_u32).prop_map(|(who, count)| Step::Lose { who, count }),
        1 => (who(), 1_990..2_005_u32).prop_map(|(who, count)| Step::Lose { who, count }),
        6 => (who(), any::<Index>()).prop_map(|(who, which)| Step::Deliver { who, which }),
        4 => who().prop_map(|who| Step::DeliverNewest { who }),
    ]
}

struct Sent {
    ciphertext: Ciphertext,
    plaintext: Vec<u8>,
    base: PublicKey,
    chain: PublicKey,
    counter: u32,
}

/// What a receiver must have of one chain.
struct Chain {
    base: PublicKey,
    ratchet: PublicKey,
    /// The counter behind the highest that was opened.
    next: u32,
}

/// What one device must be able to open, kept the naive way.
#[derive(Default)]
struct Expected {
    /// Oldest first.
    chains: Vec<Chain>,
    /// Keys for late messages by chain, the chain touched longest ago first.
    skipped: Vec<(PublicKey, PublicKey, BTreeSet<u32>)>,
}

impl Expected {
    /// A session that this device starts brings a chain that the peer never uses.
    fn initiated(&mut self, base: PublicKey, signed_prekey: PublicKey) {
        self.chains.push(Chain { base, ratchet: signed_prekey, next: 0 });
    }

    fn open(&mut self, sent: &Sent) -> Result<(), DecryptError> {
        let known = self.chains.iter_mut().find(|chain| (chain.base, chain.ratchet) == (sent.base, sent.chain));
        let next = known.as_ref().map_or(0, |chain| chain.next);
        if sent.counter < next {
            let kept = self.skipped.iter_mut().find(|(base, ratchet, _)| (*base, *ratchet) == (sent.base, sent.chain));
            let opened = kept.is_some_and(|(_, _, keys)| keys.remove(&sent.counter));
            self.skipped.retain(|(_, _, keys)| !keys.is_empty());
            return if opened { Ok(()) } else { Err(DecryptError::Duplicate) };
        }
        if sent.counter - next > 2_000 {
            return Err(DecryptError::TooFarInFuture);
        }
        match known {
            Some(chain) => chain.next = sent.counter + 1,
            None => {
                self.chains.push(Chain { base: sent.base, ratchet: sent.chain, next: sent.counter + 1 });
                let of_session: Vec<usize> =
                    (0..self.chains.len()).filter(|at| self.chains[*at].base == sent.base).collect();
                if of_session.len() > 5 {
                    let dropped = self.chains.remove(of_session[0]);
                    self.skipped.retain(|(base, ratchet, _)| (*base, *ratchet) != (dropped.base, dropped.ratchet));
                }
            }
        }
        if sent.counter > next {
            let at = self.skipped.iter().position(|(base, ratchet, _)| (*base, *ratchet) == (sent.base, sent.chain));
            let mut chain = at.map_or((sent.base, sent.chain, BTreeSet::new()), |at| self.skipped.remove(at));
            chain.2.extend(next..sent.counter);
            while chain.2.len() > 2_000 {
                chain.2.pop_first();
            }
            self.skipped.push(chain);
            while self.skipped_keys() > 5_000 {
                self.skipped[0].2.pop_first();
                self.skipped.retain(|(_, _, keys)| !keys.is_empty());
            }
        }
        Ok(())
    }

    fn skipped_keys(&self) -> usize {
        self.skipped.iter().map(|(_, _, keys)| keys.len()).sum()
    }
}

struct Side {
    device: Device,
    sent: Vec<Sent>,
    expected: Expected,
    /// Chains that fell out of the receiver's memory open no more.
    gone: Vec<(PublicKey, PublicKey)>,
}

fn side(seed: u8) -> Side {
    Side { device: Device::new(seed), sent: Vec::new(), expected: Expected::default(), gone: Vec::new() }
}

fn lose(device: &mut Device, count: u32) {
    let mut session = device.session().unwrap();
    if session.is_turn_due() {
        session.complete_turn(KeyPair::generate(&mut device.rng)).unwrap();
    }
    if let Sending::Chain(chain) = &mut session.sending {
        for _ in 0..count {
            chain.key = chain.key.next();
        }
        chain.index += count;
    }
    device.session = Some(session.encode());
}

fn deliver(from: &Side, to: &mut Side, at: usize) {
    let message = &from.sent[at];
    let before: Vec<(PublicKey, PublicKey)> =
        to.expected.chains.iter().map(|chain| (chain.base, chain.ratchet)).collect();
    let outcome = to.device.decrypt(&message.ciphertext);
    if to.gone.contains(&(message.base, message.chain)) {
        assert_eq!(
            outcome,
            Err(if message.counter > 2_000 { DecryptError::TooFarInFuture } else { DecryptError::BadMac })
        );
        return;
    }
    match to.expected.open(message) {
        Ok(()) => assert_eq!(outcome.as_deref(), Ok(&message.plaintext[..])),
        Err(why) => assert_eq!(outcome, Err(why)),
    }
    let after = &to.expected.chains;
    to.gone.extend(
        before
            .iter()
            .filter(|(base, ratchet)| !after.iter().any(|chain| (chain.base, chain.ratchet) == (*base, *ratchet))),
    );
    assert_eq!(to.device.archive().skipped_keys(), to.expected.skipped_keys());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_both_start_lose_and_repeat_each_message_opens_once(steps in prop::collection::vec(step(), 1..90)) {
        let mut sides = [side(3), side(4)];
        for (number, step) in steps.iter().enumerate() {
            match step {
                Step::Initiate { who, one_time } if sides.iter().map(|side| side.device.archive().len()).max() < Some(35) => {
                    let mut bundle = sides[1 - who].device.bundle();
                    if !one_time {
                        bundle.prekey = None;
                        sides[1 - who].device.prekeys.pop();
                    }
                    let signed = bundle.signed_prekey.key;
                    let side = &mut sides[*who];
                    side.device.initiate(bundle);
                    side.expected.initiated(*side.device.session().unwrap().base_key(), signed);
                }
                Step::Send { who } if sides[*who].device.session.is_some() => {
                    let side = &mut sides[*who];
                    let plaintext = format!("message {number}").into_bytes();
                    let base = *side.device.session().unwrap().base_key();
                    let ciphertext = side.device.encrypt(&plaintext);
                    let (chain, counter) = chain_of(&ciphertext);
                    side.sent.push(Sent { ciphertext, plaintext, base, chain, counter });
                }
                Step::Lose { who, count } if sides[*who].device.session.is_some() => lose(&mut sides[*who].device, *count),
                Step::Deliver { who, which } if !sides[*who].sent.is_empty() => {
                    let [one, two] = &mut sides;
                    let (from, to) = if *who == 0 { (one, two) } else { (two, one) };
                    deliver(from, to, which.index(from.sent.len()));
                }
                Step::DeliverNewest { who } if !sides[*who].sent.is_empty() => {
                    let [one, two] = &mut sides;
                    let (from, to) = if *who == 0 { (one, two) } else { (two, one) };
                    deliver(from, to, from.sent.len() - 1);
                }
                _ => {}
            }
        }
    }
}
