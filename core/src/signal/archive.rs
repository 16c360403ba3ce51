//! What a session keeps for stragglers: keys of messages that were passed over and states that were replaced. Knows
//! nothing of how messages open.

use super::chain::MessageSeed;
use super::record::Reader;
use super::{RecordError, Session};
use crate::crypto::PublicKey;

/// The second record of a session, loaded only when a message is late, early or of a replaced state.
///
/// Holds at most 40 states, newest first, and at most 5,000 keys for late messages over all states and chains; beyond
/// that, the oldest keys of the chain that was touched longest ago are dropped, and the messages they were for read as
/// duplicates. (Peers keep up to 2,000 in each of 205 chains.) At its limits the record is about 200 KB.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Archive {
    /// Newest first.
    states: Vec<Session>,
    /// The chain touched longest ago first.
    skipped: Vec<SkippedKeys>,
}

/// The keys of one receiving chain for messages that have not come yet.
#[derive(Clone, PartialEq, Eq)]
struct SkippedKeys {
    base_key: PublicKey,
    ratchet: PublicKey,
    /// Ascending by counter, never empty.
    keys: Vec<(u32, MessageSeed)>,
}

impl Archive {
    /// Puts a replaced state in front. Beyond 40 states the oldest is dropped with its keys.
    pub fn push(&mut self, mut state: Session) {
        // Nothing is sent from an archived state; should it come back, the peer has answered in it.
        state.pending = None;
        self.states.insert(0, state);
        if self.states.len() > STATE_LIMIT {
            for dropped in self.states.drain(STATE_LIMIT..) {
                self.skipped.retain(|chain| chain.base_key != dropped.base_key);
            }
        }
    }

    /// Takes the newest state out; its keys for late messages stay. For a device with which there is no session now.
    pub fn take_newest(&mut self) -> Option<Session> {
        self.take(0)
    }

    /// Puts everything of `older` behind what is here: two records that turned out to be of one device. States that are
    /// here already stay as they are. Beyond the limits the oldest is dropped.
    pub fn absorb(&mut self, older: Self) {
        for state in older.states {
            if self.position(&state.base_key).is_none() && self.states.len() < STATE_LIMIT {
                self.states.push(state);
            }
        }
        let known = |chain: &SkippedKeys, new: &SkippedKeys| chain.is(&new.base_key, &new.ratchet);
        let new = older.skipped.into_iter().filter(|new| !self.skipped.iter().any(|chain| known(chain, new)));
        let mut skipped: Vec<SkippedKeys> = new.collect();
        skipped.append(&mut self.skipped);
        self.skipped = skipped;
        self.drop_oldest();
    }

    /// Puts a state behind all others: of two sessions with one device, the one that is not sent in.
    pub fn push_behind(&mut self, mut state: Session) {
        state.pending = None;
        if self.position(&state.base_key).is_none() && self.states.len() < STATE_LIMIT {
            self.states.push(state);
        }
    }

    /// Drops every state that `is_theirs` says no to, and the keys for late messages of all states but those that are
    /// left and `current`, the session that this is the archive of.
    pub fn retain(&mut self, is_theirs: impl Fn(&Session) -> bool, current: Option<&Session>) {
        self.states.retain(is_theirs);
        let mut bases: Vec<PublicKey> = self.states.iter().map(|state| state.base_key).collect();
        bases.extend(current.map(|session| session.base_key));
        self.skipped.retain(|chain| bases.contains(&chain.base_key));
    }

    /// Whether there is nothing in it, so that no record is needed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.states.is_empty() && self.skipped.is_empty()
    }

    /// The number of archived states.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.states.len()
    }

    /// The number of keys kept for late messages.
    #[must_use]
    pub fn skipped_keys(&self) -> usize {
        self.skipped.iter().map(|chain| chain.keys.len()).sum()
    }

    pub(super) fn state(&self, at: usize) -> Option<&Session> {
        self.states.get(at)
    }

    pub(super) fn position(&self, base_key: &PublicKey) -> Option<usize> {
        self.states.iter().position(|state| state.base_key == *base_key)
    }

    pub(super) fn take(&mut self, at: usize) -> Option<Session> {
        if at < self.states.len() { Some(self.states.remove(at)) } else { None }
    }

    pub(super) fn skipped_seed(&self, base: &PublicKey, ratchet: &PublicKey, counter: u32) -> Option<&MessageSeed> {
        let chain = self.skipped.iter().find(|chain| chain.is(base, ratchet))?;
        let at = chain.keys.binary_search_by_key(&counter, |(counter, _)| *counter).ok()?;
        chain.keys.get(at).map(|(_, seed)| seed)
    }

    pub(super) fn remove_skipped(&mut self, base: &PublicKey, ratchet: &PublicKey, counter: u32) {
        if let Some(chain) = self.skipped.iter_mut().find(|chain| chain.is(base, ratchet)) {
            chain.keys.retain(|(kept, _)| *kept != counter);
        }
        self.skipped.retain(|chain| !chain.keys.is_empty());
    }

    /// Keeps `keys`, which lie above all that the chain has; returns how many of it are kept now.
    pub(super) fn keep_skipped(
        &mut self,
        base: &PublicKey,
        ratchet: &PublicKey,
        keys: Vec<(u32, MessageSeed)>,
        chain_limit: usize,
    ) -> usize {
        let mut chain = match self.skipped.iter().position(|chain| chain.is(base, ratchet)) {
            Some(at) => self.skipped.remove(at),
            None => SkippedKeys { base_key: *base, ratchet: *ratchet, keys: Vec::new() },
        };
        chain.keys.extend(keys);
        let excess = chain.keys.len().saturating_sub(chain_limit);
        chain.keys.drain(..excess);
        let kept = chain.keys.len();
        self.skipped.push(chain);
        self.drop_oldest();
        kept
    }

    /// Drops the keys of `session`'s chains that it no longer has.
    pub(super) fn forget_dropped_chains(&mut self, session: &Session) {
        self.skipped.retain(|chain| {
            chain.base_key != session.base_key
                || session.receiving.iter().any(|receiving| receiving.ratchet == chain.ratchet)
        });
    }

    fn drop_oldest(&mut self) {
        let mut excess = self.skipped_keys().saturating_sub(SKIPPED_LIMIT);
        for chain in &mut self.skipped {
            let dropped = excess.min(chain.keys.len());
            chain.keys.drain(..dropped);
            excess -= dropped;
        }
        self.skipped.retain(|chain| !chain.keys.is_empty());
    }

    /// The record. Holds private keys.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let states: usize = self.states.iter().map(|state| 2 + state.encoded_len()).sum();
        let skipped = self.skipped.len() * CHAIN_HEAD_LEN + self.skipped_keys() * KEY_LEN;
        let mut out = Vec::with_capacity(4 + states + skipped);
        out.push(VERSION);
        out.push(u8::try_from(self.states.len()).unwrap_or(u8::MAX));
        for state in &self.states {
            let length = u16::try_from(state.encoded_len()).unwrap_or(u16::MAX);
            out.extend_from_slice(&length.to_le_bytes());
            state.encode_onto(&mut out);
        }
        out.extend_from_slice(&u16::try_from(self.skipped.len()).unwrap_or(u16::MAX).to_le_bytes());
        for chain in &self.skipped {
            out.extend_from_slice(chain.base_key.as_bytes());
            out.extend_from_slice(chain.ratchet.as_bytes());
            out.extend_from_slice(&u16::try_from(chain.keys.len()).unwrap_or(u16::MAX).to_le_bytes());
            for (counter, seed) in &chain.keys {
                out.extend_from_slice(&counter.to_le_bytes());
                out.extend_from_slice(seed.expose());
            }
        }
        out
    }

    /// Reads a record of any version written so far. Fails with `UnknownVersion` or `Damaged`, also beyond the limits.
    pub fn decode(record: &[u8]) -> Result<Self, RecordError> {
        let mut reader = Reader::open(record, VERSION)?;
        let count = usize::from(reader.u8()?);
        if count > STATE_LIMIT {
            return Err(RecordError::Damaged);
        }
        let mut states = Vec::with_capacity(count);
        for _ in 0..count {
            let length = usize::from(reader.u16()?);
            states.push(Session::decode(reader.slice(length)?)?);
        }
        let count = usize::from(reader.u16()?);
        let mut skipped = Vec::new();
        let mut total = 0_usize;
        for _ in 0..count {
            let chain = SkippedKeys::read(&mut reader)?;
            total += chain.keys.len();
            if total > SKIPPED_LIMIT {
                return Err(RecordError::Damaged);
            }
            skipped.push(chain);
        }
        reader.close().map(|()| Self { states, skipped })
    }
}

impl SkippedKeys {
    fn is(&self, base: &PublicKey, ratchet: &PublicKey) -> bool {
        self.base_key == *base && self.ratchet == *ratchet
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, RecordError> {
        let base_key = reader.public_key()?;
        let ratchet = reader.public_key()?;
        let count = usize::from(reader.u16()?);
        let mut keys: Vec<(u32, MessageSeed)> = Vec::new();
        for _ in 0..count {
            let key = (reader.u32()?, MessageSeed::new(reader.array()?));
            if keys.last().is_some_and(|(before, _)| *before >= key.0) {
                return Err(RecordError::Damaged);
            }
            keys.push(key);
        }
        if keys.is_empty() {
            return Err(RecordError::Damaged);
        }
        Ok(Self { base_key, ratchet, keys })
    }
}

const VERSION: u8 = 1;
/// Replaced states kept; all peers use this number.
const STATE_LIMIT: usize = 40;
/// Keys kept over all chains. A chain's share is bounded by `CHAIN_SKIPPED_LIMIT` as well.
const SKIPPED_LIMIT: usize = 5_000;
const CHAIN_HEAD_LEN: usize = 2 * 32 + 2;
const KEY_LEN: usize = 4 + 32;
