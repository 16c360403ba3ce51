//! Opening one message with one state: finds or makes the receiving chain, checks, deciphers, and hands back what would
//! change. Changes nothing itself; knows neither which state to try nor when.

use super::chain::{ChainKey, MessageSeed, RootKey};
use super::session::{ReceivingChain, Sending, Session};
use super::{Archive, DecryptError, SignalMessage};
use crate::crypto::PublicKey;

/// How far ahead of its chain a message may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JumpLimit(pub(super) u32);

impl JumpLimit {
    /// For other people's devices: 2,000, which all peers use.
    pub const CONTACT: Self = Self(2_000);
    /// For the own account's devices: 25,000, since a companion that was away long must not lose its own messages.
    pub const OWN_DEVICE: Self = Self(25_000);
}

/// An opened message and what opening it changes.
pub(super) struct Draft {
    pub(super) plaintext: Vec<u8>,
    change: Change,
}

/// Which change a message makes to its state and to the skipped keys.
enum Change {
    /// The chain at this place moves on; keys in between are kept for late messages.
    Advance { at: usize, key: ChainKey, index: u32, skipped: Vec<(u32, MessageSeed)> },
    /// A key kept for this late message is used up.
    UseSkipped { at: usize, counter: u32 },
    /// The peer turned the ratchet: a new root and a new receiving chain.
    Turn { root: RootKey, chain: ReceivingChain, skipped: Vec<(u32, MessageSeed)> },
}

/// Opens `message` with `state` alone. Without `archive` fails with `NeedsArchive` where skipped keys are involved.
pub(super) fn open(
    state: &Session,
    archive: Option<&Archive>,
    message: &SignalMessage<'_>,
    own_identity: &PublicKey,
    limit: JumpLimit,
) -> Result<Draft, DecryptError> {
    let counter = message.counter();
    let found = state.receiving.iter().enumerate().find(|(_, chain)| chain.ratchet == *message.ratchet_key());
    let Some((at, chain)) = found else {
        return open_turn(state, archive, message, own_identity, limit);
    };
    if counter < chain.index {
        let seed = skipped_seed(state, chain, archive, counter)?;
        let plaintext = unseal(state, &seed, message, own_identity)?;
        return Ok(Draft { plaintext, change: Change::UseSkipped { at, counter } });
    }
    let (seed, key, skipped) = walk(&chain.key, chain.index, counter, archive.is_some(), limit)?;
    let plaintext = unseal(state, &seed, message, own_identity)?;
    let index = counter.saturating_add(1);
    Ok(Draft { plaintext, change: Change::Advance { at, key, index, skipped } })
}

fn open_turn(
    state: &Session,
    archive: Option<&Archive>,
    message: &SignalMessage<'_>,
    own_identity: &PublicKey,
    limit: JumpLimit,
) -> Result<Draft, DecryptError> {
    // While our half of the last turn is due, the peer cannot have seen a key of ours that is newer than its own last
    // turn, so whatever this is, it does not belong here.
    let Sending::Chain(sending) = &state.sending else { return Err(DecryptError::BadMac) };
    if message.counter() > limit.0 {
        return Err(DecryptError::TooFarInFuture);
    }
    let shared = sending.ratchet.agree(message.ratchet_key()).map_err(|_| DecryptError::DegenerateKey)?;
    let (root, first) = state.root.step(&shared);
    let (seed, key, skipped) = walk(&first, 0, message.counter(), archive.is_some(), limit)?;
    let plaintext = unseal(state, &seed, message, own_identity)?;
    let index = message.counter().saturating_add(1);
    let chain = ReceivingChain { ratchet: *message.ratchet_key(), key, index, skipped: 0 };
    Ok(Draft { plaintext, change: Change::Turn { root, chain, skipped } })
}

/// The key kept for a late message. Without the archive, a chain that has kept none gives a certain answer all the same.
fn skipped_seed(
    state: &Session,
    chain: &ReceivingChain,
    archive: Option<&Archive>,
    counter: u32,
) -> Result<MessageSeed, DecryptError> {
    if chain.skipped == 0 {
        return Err(DecryptError::Duplicate);
    }
    let archive = archive.ok_or(DecryptError::NeedsArchive)?;
    archive.skipped_seed(&state.base_key, &chain.ratchet, counter).cloned().ok_or(DecryptError::Duplicate)
}

type Walked = (MessageSeed, ChainKey, Vec<(u32, MessageSeed)>);

/// Moves a chain at `index` to `counter`: the seed there, the chain behind it, and the seeds passed over.
fn walk(chain: &ChainKey, index: u32, counter: u32, may_keep: bool, limit: JumpLimit) -> Result<Walked, DecryptError> {
    let distance = counter.saturating_sub(index);
    // The last counter is never used: nothing could follow it.
    if distance > limit.0 || counter == u32::MAX {
        return Err(DecryptError::TooFarInFuture);
    }
    if distance == 0 {
        let (seed, next) = chain.step();
        return Ok((seed, next, Vec::new()));
    }
    if !may_keep {
        return Err(DecryptError::NeedsArchive);
    }
    let kept_from = counter.saturating_sub(CHAIN_SKIPPED_LIMIT);
    let mut skipped = Vec::with_capacity(distance.min(CHAIN_SKIPPED_LIMIT) as usize);
    let mut key = chain.clone();
    for position in index..counter {
        let (seed, next) = key.step();
        if position >= kept_from {
            skipped.push((position, seed));
        }
        key = next;
    }
    let (seed, next) = key.step();
    Ok((seed, next, skipped))
}

fn unseal(
    state: &Session,
    seed: &MessageSeed,
    message: &SignalMessage<'_>,
    own_identity: &PublicKey,
) -> Result<Vec<u8>, DecryptError> {
    let keys = seed.message_keys();
    if !message.is_authentic(&keys, &state.remote_identity, own_identity) {
        return Err(DecryptError::BadMac);
    }
    keys.decipher(message.ciphertext()).map_err(|_| DecryptError::BadPadding)
}

impl Draft {
    /// Applies the change to the state it was made with. Returns the plaintext and whether `archive` changed.
    ///
    /// `archive` may be absent only where [`open`] was called without one; then no skipped key is involved.
    pub(super) fn apply(self, state: &mut Session, archive: Option<&mut Archive>) -> (Vec<u8>, bool) {
        // Whatever the peer sends in this session proves that it has the session.
        state.pending = None;
        let (at, skipped) = match self.change {
            Change::Advance { at, key, index, skipped } => {
                if let Some(chain) = state.receiving.get_mut(at) {
                    chain.key = key;
                    chain.index = index;
                }
                (at, skipped)
            }
            Change::UseSkipped { at, counter } => {
                let Some(chain) = state.receiving.get_mut(at) else { return (self.plaintext, false) };
                chain.skipped = chain.skipped.saturating_sub(1);
                if let Some(archive) = archive {
                    archive.remove_skipped(&state.base_key, &chain.ratchet, counter);
                    archive.forget_dropped_chains(state);
                }
                return (self.plaintext, true);
            }
            Change::Turn { root, chain, skipped } => {
                state.turn(root, chain);
                (0, skipped)
            }
        };
        let changed = match (archive, state.receiving.get_mut(at)) {
            (Some(archive), Some(chain)) if !skipped.is_empty() => {
                let kept = archive.keep_skipped(&state.base_key, &chain.ratchet, skipped, CHAIN_SKIPPED_LIMIT as usize);
                chain.skipped = u16::try_from(kept).unwrap_or(u16::MAX);
                archive.forget_dropped_chains(state);
                true
            }
            _ => false,
        };
        (self.plaintext, changed)
    }
}

/// Keys kept for late messages of one chain; beyond it the oldest are dropped. All peers use this number.
pub(super) const CHAIN_SKIPPED_LIMIT: u32 = 2_000;
