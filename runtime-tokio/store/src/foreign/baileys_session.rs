//! Sessions and sender keys in the JSON form of Baileys' engines.

use super::json::Blob;
use super::public_key;
use serde::Deserialize;
use std::collections::BTreeMap;
use whatsio_core::crypto::Secret;
use whatsio_core::signal::{ForeignPending, ForeignReceiving, ForeignSenderKey, ForeignSending, ForeignSession};

/// What a `session-….json` holds.
#[derive(Deserialize)]
pub(super) struct SessionFile {
    #[serde(rename = "_sessions")]
    sessions: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    registration_id: Option<u32>,
    current_ratchet: Ratchet,
    index_info: IndexInfo,
    #[serde(rename = "_chains")]
    chains: BTreeMap<String, Chain>,
    pending_pre_key: Option<PendingPreKey>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ratchet {
    ephemeral_key_pair: KeyPair,
    last_remote_ephemeral_key: Blob,
    /// Below zero when nothing was sent on the chain before.
    previous_counter: i64,
    root_key: Blob,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyPair {
    pub_key: Blob,
    priv_key: Blob,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IndexInfo {
    base_key: Blob,
    /// When it was closed, in milliseconds; -1 for the one in use.
    closed: i64,
    remote_identity_key: Blob,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Chain {
    chain_key: ChainKey,
    chain_type: u8,
    message_keys: BTreeMap<u32, Blob>,
}

#[derive(Deserialize)]
struct ChainKey {
    /// The counter of the last message; -1 before the first.
    counter: i64,
    /// Absent once the peer has begun another chain.
    key: Option<Blob>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PendingPreKey {
    signed_key_id: u32,
    pre_key_id: Option<u32>,
}

impl SessionFile {
    /// The states of the session, the one in use first, then the one closed last.
    pub(super) fn states(self, own_registration_id: u32) -> Vec<ForeignSession> {
        let mut entries: Vec<Entry> = self.sessions.into_values().collect();
        entries.sort_by_key(|entry| if entry.index_info.closed == -1 { i64::MIN } else { -entry.index_info.closed });
        entries.into_iter().filter_map(|entry| entry.into_state(own_registration_id)).collect()
    }
}

impl Entry {
    fn into_state(self, own_registration_id: u32) -> Option<ForeignSession> {
        let ratchet = &self.current_ratchet;
        let own_key = public_key(&ratchet.ephemeral_key_pair.pub_key.0)?;
        let newest = public_key(&ratchet.last_remote_ephemeral_key.0)?;
        let (mut sending, mut receiving) = (None, Vec::new());
        for (name, chain) in &self.chains {
            let key = public_key(&base64_key(name)?)?;
            let index = u32::try_from(chain.chain_key.counter + 1).ok()?;
            let chain_key = chain.chain_key.key.as_ref();
            if chain.chain_type == SENDING {
                if key == own_key {
                    let ratchet = Secret::from_slice(&ratchet.ephemeral_key_pair.priv_key.0)?;
                    sending = Some(ForeignSending { ratchet, key: Secret::from_slice(&chain_key?.0)?, index });
                }
                continue;
            }
            let skipped =
                chain.message_keys.iter().map(|(counter, seed)| Some((*counter, Secret::from_slice(&seed.0)?)));
            // A chain that has ended only opens what was passed over; nothing more can come on it that is authentic.
            let ended = Secret::new([0; 32]);
            let key_bytes = chain_key.map_or(Some(ended), |key| Secret::from_slice(&key.0))?;
            receiving.push(ForeignReceiving {
                ratchet: key,
                key: key_bytes,
                index,
                skipped: skipped.collect::<Option<_>>()?,
            });
        }
        receiving.sort_by_key(|chain| chain.ratchet != newest);
        let pending = self
            .pending_pre_key
            .map(|found| ForeignPending { signed_prekey: found.signed_key_id, prekey: found.pre_key_id });
        Some(ForeignSession {
            remote_identity: public_key(&self.index_info.remote_identity_key.0)?,
            base_key: public_key(&self.index_info.base_key.0)?,
            root: Secret::from_slice(&ratchet.root_key.0)?,
            own_registration_id,
            remote_registration_id: self.registration_id.unwrap_or_default(),
            previous_counter: u32::try_from(ratchet.previous_counter).unwrap_or_default(),
            sending,
            receiving,
            pending,
        })
    }
}

/// What the bytes of a `sender-key-….json` hold.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SenderKeyEntry {
    sender_key_id: u32,
    sender_chain_key: Iteration,
    sender_signing_key: SigningKey,
    #[serde(default)]
    sender_message_keys: Vec<Iteration>,
}

#[derive(Deserialize)]
struct Iteration {
    iteration: u32,
    seed: Blob,
}

#[derive(Deserialize)]
struct SigningKey {
    public: Blob,
}

/// The sender keys of a device in a group, newest first. `None` if the record does not decode.
pub(super) fn sender_keys(record: &[u8]) -> Option<Vec<ForeignSenderKey>> {
    let mut entries: Vec<SenderKeyEntry> = serde_json::from_slice(record).ok()?;
    // Kept in the order in which they came.
    entries.reverse();
    Some(entries.into_iter().filter_map(SenderKeyEntry::into_key).collect())
}

impl SenderKeyEntry {
    fn into_key(self) -> Option<ForeignSenderKey> {
        let skipped =
            self.sender_message_keys.iter().map(|key| Some((key.iteration, Secret::from_slice(&key.seed.0)?)));
        Some(ForeignSenderKey {
            key_id: self.sender_key_id,
            iteration: self.sender_chain_key.iteration,
            chain_key: Secret::from_slice(&self.sender_chain_key.seed.0)?,
            signing_key: public_key(&self.sender_signing_key.public.0)?,
            skipped: skipped.collect::<Option<_>>()?,
        })
    }
}

fn base64_key(text: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

const SENDING: u8 = 1;
