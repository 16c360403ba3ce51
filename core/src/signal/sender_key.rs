//! Sender keys: our own for a group, and those that another device has given us. Knows neither groups nor who holds
//! which key.

use super::chain::{ChainKey, MessageSeed};
use super::group_message::{message_len, put_signed};
use super::record::Reader;
use super::{Distribution, EncryptError, GroupDecryptError, GroupMessage, RecordError};
use crate::crypto::{KeyPair, PublicKey, Rng, Secret, Signer};

/// Our own sender key for one group. Wiped on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct SenderKey {
    key_id: u32,
    iteration: u32,
    chain_key: ChainKey,
    /// Keeps the point that every signature hashes: computing it costs as much as the signature.
    signer: Signer,
    signing_key: PublicKey,
}

/// The sender keys one device has given us for one group: at most 5, newest first.
///
/// Keeps keys of iterations that were passed over, at most 2,000 for each sender key (all peers use this number) and
/// 5,000 in all; beyond that the oldest are dropped and the messages they were for read as duplicates.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SenderKeyRecord {
    pub(super) states: Vec<State>,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) struct State {
    pub(super) key_id: u32,
    pub(super) iteration: u32,
    pub(super) chain_key: ChainKey,
    pub(super) signing_key: PublicKey,
    /// Ascending by iteration.
    pub(super) skipped: Vec<(u32, MessageSeed)>,
}

impl SenderKey {
    /// A new key at iteration 0; nobody has it until it is distributed.
    pub fn generate(rng: &mut Rng) -> Self {
        // 31 bits and never 0: what every peer can hold and none reads as absent.
        let key_id = rng.below(0x7FFF_FFFF) + 1;
        Self::from_parts(key_id, rng.bytes(), &KeyPair::generate(rng))
    }

    /// The key with given parts at iteration 0, for replaying recorded ones.
    #[must_use]
    pub fn from_parts(key_id: u32, chain_key: [u8; 32], signing: &KeyPair) -> Self {
        let signer = Signer::new(&signing.private);
        Self { key_id, iteration: 0, chain_key: ChainKey::new(chain_key), signer, signing_key: signing.public }
    }

    /// What to send to devices that should be able to read from here on. Take it and encrypt in one step under one
    /// store, so that both speak of the same position.
    #[must_use]
    pub fn distribution(&self) -> Distribution {
        Distribution {
            key_id: self.key_id,
            iteration: self.iteration,
            chain_key: Secret::new(*self.chain_key.expose()),
            signing_key: self.signing_key,
        }
    }

    /// Encrypts for the group and moves the key on. Store it before the bytes leave: an iteration that is used twice
    /// gives both messages away. Costs one signature. Fails with `CounterExhausted`.
    pub fn encrypt(&mut self, plaintext: &[u8], rng: &mut Rng) -> Result<Vec<u8>, EncryptError> {
        self.encrypt_with(plaintext, &rng.bytes())
    }

    /// Like [`Self::encrypt`] with given randomness, for replaying recorded messages: it may be used once only.
    pub fn encrypt_with(&mut self, plaintext: &[u8], random: &[u8; 64]) -> Result<Vec<u8>, EncryptError> {
        if self.iteration == u32::MAX {
            return Err(EncryptError::CounterExhausted);
        }
        let (seed, next) = self.chain_key.step();
        let keys = seed.group_message_keys();
        let mut out = Vec::with_capacity(self.ciphertext_len(plaintext.len()));
        put_signed(self.key_id, self.iteration, &keys, plaintext, &mut out);
        let signature = self.signer.sign(&[&out], random);
        out.extend_from_slice(signature.as_bytes());
        self.chain_key = next;
        self.iteration += 1;
        Ok(out)
    }

    /// The length that encrypting `plaintext` bytes will give now.
    #[must_use]
    pub const fn ciphertext_len(&self, plaintext: usize) -> usize {
        message_len(self.key_id, self.iteration, plaintext)
    }

    /// The key's number.
    #[must_use]
    pub const fn key_id(&self) -> u32 {
        self.key_id
    }

    /// How many messages it has encrypted; the position of the next.
    #[must_use]
    pub const fn iteration(&self) -> u32 {
        self.iteration
    }

    /// The record: 137 bytes. Holds private keys.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(OWN_LEN);
        out.push(OWN_VERSION);
        out.extend_from_slice(&self.key_id.to_le_bytes());
        out.extend_from_slice(&self.iteration.to_le_bytes());
        out.extend_from_slice(self.chain_key.expose());
        out.extend_from_slice(self.signer.private().expose());
        out.extend_from_slice(self.signing_key.as_bytes());
        out.extend_from_slice(self.signer.edwards());
        out
    }

    /// Reads a record of any version written so far.
    pub fn decode(record: &[u8]) -> Result<Self, RecordError> {
        let mut reader = Reader::open(record, OWN_VERSION)?;
        let (key_id, iteration) = (reader.u32()?, reader.u32()?);
        let chain_key = ChainKey::new(reader.array()?);
        let signing = reader.key_pair()?;
        let signer = Signer::from_parts(signing.private, reader.array()?);
        let key = Self { key_id, iteration, chain_key, signer, signing_key: signing.public };
        reader.close().map(|()| key)
    }
}

impl SenderKeyRecord {
    /// Takes a key that the device distributed. A key we have already is kept as it is, so that a repeated
    /// distribution does not rewind it. Returns whether the record changed.
    pub fn process(&mut self, distribution: &Distribution) -> bool {
        let known = self.states.iter().position(|state| state.key_id == distribution.key_id);
        if let Some(at) = known {
            if self.states.get(at).is_some_and(|state| state.signing_key == distribution.signing_key) {
                return false;
            }
            self.states.remove(at);
        }
        self.states.truncate(STATE_LIMIT - 1);
        self.states.insert(
            0,
            State {
                key_id: distribution.key_id,
                iteration: distribution.iteration,
                chain_key: ChainKey::from(distribution),
                signing_key: distribution.signing_key,
                skipped: Vec::new(),
            },
        );
        true
    }

    /// Decrypts an `skmsg` of that device and moves its key on. Costs one signature verification. On failure nothing
    /// has changed.
    pub fn decrypt(&mut self, message: &GroupMessage<'_>) -> Result<Vec<u8>, GroupDecryptError> {
        let state = self.states.iter_mut().find(|state| state.key_id == message.key_id);
        let state = state.ok_or(GroupDecryptError::NoSenderKey)?;
        state.signing_key.verify(&[message.signed], &message.signature).map_err(|_| GroupDecryptError::BadSignature)?;
        let (plaintext, keeps_more) = state.open(message)?;
        if keeps_more {
            self.drop_oldest();
        }
        Ok(plaintext)
    }

    /// Takes over the keys of another record of the same device and group, behind its own. Keys that are here already
    /// stay as they are; beyond 5 the oldest are dropped.
    pub fn absorb(&mut self, older: Self) {
        for state in older.states {
            if self.states.len() < STATE_LIMIT && !self.has(state.key_id) {
                self.states.push(state);
            }
        }
        self.drop_oldest();
    }

    /// Whether the device's key of this number is known.
    #[must_use]
    pub fn has(&self, key_id: u32) -> bool {
        self.states.iter().any(|state| state.key_id == key_id)
    }

    /// The record. Holds secret keys.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let skipped: usize = self.states.iter().map(|state| state.skipped.len()).sum();
        let mut out = Vec::with_capacity(2 + self.states.len() * STATE_LEN + skipped * SKIPPED_LEN);
        out.push(RECORD_VERSION);
        out.push(u8::try_from(self.states.len()).unwrap_or(u8::MAX));
        for state in &self.states {
            out.extend_from_slice(&state.key_id.to_le_bytes());
            out.extend_from_slice(&state.iteration.to_le_bytes());
            out.extend_from_slice(state.chain_key.expose());
            out.extend_from_slice(state.signing_key.as_bytes());
            out.extend_from_slice(&u16::try_from(state.skipped.len()).unwrap_or(u16::MAX).to_le_bytes());
        }
        for (iteration, seed) in self.states.iter().flat_map(|state| &state.skipped) {
            out.extend_from_slice(&iteration.to_le_bytes());
            out.extend_from_slice(seed.expose());
        }
        out
    }

    /// Reads a record of any version written so far.
    pub fn decode(record: &[u8]) -> Result<Self, RecordError> {
        let mut reader = Reader::open(record, RECORD_VERSION)?;
        let count = usize::from(reader.u8()?);
        if count > STATE_LIMIT {
            return Err(RecordError::Damaged);
        }
        let mut states = Vec::with_capacity(count);
        for _ in 0..count {
            let state = State {
                key_id: reader.u32()?,
                iteration: reader.u32()?,
                chain_key: ChainKey::new(reader.array()?),
                signing_key: reader.public_key()?,
                skipped: Vec::new(),
            };
            states.push((state, usize::from(reader.u16()?)));
        }
        if states.iter().map(|(_, skipped)| skipped).sum::<usize>() > SKIPPED_LIMIT {
            return Err(RecordError::Damaged);
        }
        for (state, skipped) in &mut states {
            for _ in 0..*skipped {
                let key = (reader.u32()?, MessageSeed::new(reader.array()?));
                if state.skipped.last().is_some_and(|(before, _)| *before >= key.0) {
                    return Err(RecordError::Damaged);
                }
                state.skipped.push(key);
            }
        }
        reader.close()?;
        Ok(Self { states: states.into_iter().map(|(state, _)| state).collect() })
    }

    fn drop_oldest(&mut self) {
        let total: usize = self.states.iter().map(|state| state.skipped.len()).sum();
        let mut excess = total.saturating_sub(SKIPPED_LIMIT);
        for state in self.states.iter_mut().rev() {
            let dropped = excess.min(state.skipped.len());
            state.skipped.drain(..dropped);
            excess -= dropped;
        }
    }
}

impl State {
    /// Opens a message whose signature is right. Returns the plaintext and whether more keys are kept than before.
    fn open(&mut self, message: &GroupMessage<'_>) -> Result<(Vec<u8>, bool), GroupDecryptError> {
        if message.iteration < self.iteration {
            return self.open_late(message).map(|plaintext| (plaintext, false));
        }
        let distance = message.iteration - self.iteration;
        // The last iteration is never used: nothing could follow it.
        if distance > JUMP_LIMIT || message.iteration == u32::MAX {
            return Err(GroupDecryptError::TooFarInFuture);
        }
        let mut key = self.chain_key.clone();
        let mut passed = Vec::with_capacity(distance as usize);
        for iteration in self.iteration..message.iteration {
            let (seed, next) = key.step();
            passed.push((iteration, seed));
            key = next;
        }
        let (seed, next) = key.step();
        let plaintext = decipher(&seed, message)?;
        self.chain_key = next;
        self.iteration = message.iteration + 1;
        let excess = (self.skipped.len() + passed.len()).saturating_sub(STATE_SKIPPED_LIMIT);
        self.skipped.drain(..excess.min(self.skipped.len()));
        self.skipped.extend(passed);
        Ok((plaintext, distance > 0))
    }

    fn open_late(&mut self, message: &GroupMessage<'_>) -> Result<Vec<u8>, GroupDecryptError> {
        let at = self.skipped.binary_search_by_key(&message.iteration, |(iteration, _)| *iteration);
        let at = at.map_err(|_| GroupDecryptError::Duplicate)?;
        let (_, seed) = self.skipped.get(at).ok_or(GroupDecryptError::Duplicate)?;
        let plaintext = decipher(seed, message)?;
        self.skipped.remove(at);
        Ok(plaintext)
    }
}

fn decipher(seed: &MessageSeed, message: &GroupMessage<'_>) -> Result<Vec<u8>, GroupDecryptError> {
    seed.group_message_keys().decipher(message.ciphertext).map_err(|_| GroupDecryptError::BadPadding)
}

const OWN_VERSION: u8 = 1;
const OWN_LEN: usize = 1 + 4 + 4 + 4 * 32;
const RECORD_VERSION: u8 = 1;
const STATE_LEN: usize = 4 + 4 + 32 + 32 + 2;
const SKIPPED_LEN: usize = 4 + 32;
/// Keys of one device and group that are kept; all peers use this number.
const STATE_LIMIT: usize = 5;
/// How far ahead a message may be, and how many passed keys one sender key keeps; all peers use this number.
const JUMP_LIMIT: u32 = 2_000;
const STATE_SKIPPED_LIMIT: usize = 2_000;
/// Passed keys kept in one record.
const SKIPPED_LIMIT: usize = 5_000;
