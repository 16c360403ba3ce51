//! Sessions and sender keys as other engines keep them, turned into ours. Knows the parts that every engine of the same
//! ratchet has; knows no other engine's files.

use super::chain::{ChainKey, MessageSeed, RootKey};
use super::ratchet::CHAIN_SKIPPED_LIMIT;
use super::sender_key::State;
use super::session::{Pending, RECEIVING_LIMIT, ReceivingChain, Sending, SendingChain};
use super::{Archive, PreKeyId, RecordError, RegistrationId, SenderKeyRecord, Session, SignedPreKeyId};
use crate::crypto::{KeyPair, PublicKey, Secret};

/// One state of a session with a device.
#[derive(Clone)]
pub struct ForeignSession {
    /// The peer's identity key.
    pub remote_identity: [u8; 32],
    /// The key that whoever began the session made for it; names the session.
    pub base_key: [u8; 32],
    /// The root key.
    pub root: Secret<32>,
    /// Our registration id.
    pub own_registration_id: u32,
    /// The peer's.
    pub remote_registration_id: u32,
    /// Messages of our previous sending chain.
    pub previous_counter: u32,
    /// Our half of the ratchet's turn; `None` if it is still to be made.
    pub sending: Option<ForeignSending>,
    /// The peer's chains, newest first.
    pub receiving: Vec<ForeignReceiving>,
    /// What first messages repeat until the peer answers.
    pub pending: Option<ForeignPending>,
}

/// A sending chain.
#[derive(Clone)]
pub struct ForeignSending {
    /// Private half of our ratchet key.
    pub ratchet: Secret<32>,
    /// The chain key.
    pub key: Secret<32>,
    /// The counter of the next message.
    pub index: u32,
}

/// A receiving chain.
#[derive(Clone)]
pub struct ForeignReceiving {
    /// The peer's ratchet key.
    pub ratchet: [u8; 32],
    /// The chain key.
    pub key: Secret<32>,
    /// The counter of the next message.
    pub index: u32,
    /// Seeds of the keys of messages that were passed over, by counter. Engines that keep derived keys instead have none
    /// to give; such messages are asked for again.
    pub skipped: Vec<(u32, Secret<32>)>,
}

/// The prekeys that the peer must use to read our first messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForeignPending {
    /// Number of the signed prekey.
    pub signed_prekey: u32,
    /// Number of the one-time prekey, if there was one.
    pub prekey: Option<u32>,
}

/// One sender key of a device in a group.
#[derive(Clone)]
pub struct ForeignSenderKey {
    /// The key's number.
    pub key_id: u32,
    /// The iteration of the next message.
    pub iteration: u32,
    /// The chain key.
    pub chain_key: Secret<32>,
    /// The key that signs the group's messages.
    pub signing_key: [u8; 32],
    /// Seeds of the keys of messages that were passed over, by iteration.
    pub skipped: Vec<(u32, Secret<32>)>,
}

impl Session {
    /// Takes over a state of another engine; keys of messages passed over go to `archive`. Fails with `Damaged` when the
    /// parts do not make a session; `archive` is unchanged then.
    pub fn of_foreign(foreign: ForeignSession, archive: &mut Archive) -> Result<Self, RecordError> {
        if foreign.receiving.is_empty() && foreign.sending.is_none() {
            return Err(RecordError::Damaged);
        }
        let pending = foreign.pending.map(Pending::try_from).transpose()?;
        let base_key = PublicKey::from_bytes(foreign.base_key);
        let mut receiving = Vec::with_capacity(foreign.receiving.len().min(RECEIVING_LIMIT));
        for chain in foreign.receiving.into_iter().take(RECEIVING_LIMIT) {
            let ratchet = PublicKey::from_bytes(chain.ratchet);
            let skipped = seeds(chain.skipped, chain.index);
            let kept = match skipped.is_empty() {
                true => 0,
                false => archive.keep_skipped(&base_key, &ratchet, skipped, CHAIN_SKIPPED_LIMIT as usize),
            };
            let skipped = u16::try_from(kept).unwrap_or(u16::MAX);
            receiving.push(ReceivingChain { ratchet, key: key(&chain.key), index: chain.index, skipped });
        }
        let sending = match foreign.sending {
            None => Sending::Due,
            Some(chain) => Sending::Chain(SendingChain {
                ratchet: KeyPair::from_private(*chain.ratchet.expose()),
                key: key(&chain.key),
                index: chain.index,
            }),
        };
        Ok(Self {
            remote_identity: PublicKey::from_bytes(foreign.remote_identity),
            base_key,
            root: RootKey::new(*foreign.root.expose()),
            own_registration_id: RegistrationId(foreign.own_registration_id),
            remote_registration_id: RegistrationId(foreign.remote_registration_id),
            previous_counter: foreign.previous_counter,
            sending,
            receiving,
            pending,
        })
    }
}

impl SenderKeyRecord {
    /// Takes over what another engine has of one device in one group, newest first. Keys beyond the limits are dropped,
    /// the oldest first.
    #[must_use]
    pub fn of_foreign(keys: Vec<ForeignSenderKey>) -> Self {
        let mut record = Self::default();
        for found in keys {
            let state = State {
                key_id: found.key_id,
                iteration: found.iteration,
                chain_key: key(&found.chain_key),
                signing_key: PublicKey::from_bytes(found.signing_key),
                skipped: seeds(found.skipped, found.iteration),
            };
            record.absorb(Self { states: vec![state] });
        }
        record
    }
}

impl TryFrom<ForeignPending> for Pending {
    type Error = RecordError;

    fn try_from(found: ForeignPending) -> Result<Self, RecordError> {
        let signed_prekey = SignedPreKeyId::new(found.signed_prekey).ok_or(RecordError::Damaged)?;
        // 0 is no prekey's number: engines write it for "none".
        let prekey = found.prekey.filter(|number| *number != 0);
        let prekey = prekey.map(|number| PreKeyId::new(number).ok_or(RecordError::Damaged)).transpose()?;
        Ok(Self { signed_prekey, prekey })
    }
}

fn key(bytes: &Secret<32>) -> ChainKey {
    ChainKey::new(*bytes.expose())
}

/// Ascending, each once, only such as were passed over, and not more than a chain may keep.
fn seeds(mut found: Vec<(u32, Secret<32>)>, next: u32) -> Vec<(u32, MessageSeed)> {
    found.retain(|(counter, _)| *counter < next);
    found.sort_by_key(|(counter, _)| *counter);
    found.dedup_by_key(|(counter, _)| *counter);
    let excess = found.len().saturating_sub(CHAIN_SKIPPED_LIMIT as usize);
    found.drain(..excess);
    found.into_iter().map(|(counter, seed)| (counter, MessageSeed::new(*seed.expose()))).collect()
}
