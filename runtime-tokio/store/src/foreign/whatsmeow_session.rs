//! Sessions and sender keys in the JSON form of whatsmeow's engine.

use super::json::Blob;
use super::public_key;
use serde::Deserialize;
use whatsio_core::crypto::Secret;
use whatsio_core::signal::{ForeignPending, ForeignReceiving, ForeignSenderKey, ForeignSending, ForeignSession};

/// The states of a session, the one in use first. `None` if the record does not decode.
pub(super) fn sessions(record: &[u8]) -> Option<Vec<ForeignSession>> {
    let record: SessionRecord = serde_json::from_slice(record).ok()?;
    let mut states = vec![record.session_state.to_session()?];
    states.extend(record.previous_states.into_iter().flatten().filter_map(|state| state.to_session()));
    Some(states)
}

/// The sender keys of a device in a group, newest first. `None` if the record does not decode.
pub(super) fn sender_keys(record: &[u8]) -> Option<Vec<ForeignSenderKey>> {
    let record: SenderKeyRecord = serde_json::from_slice(record).ok()?;
    Some(record.sender_key_states.into_iter().filter_map(|state| state.to_key()).collect())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SessionRecord {
    session_state: State,
    previous_states: Option<Vec<State>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    #[serde(rename = "LocalRegistrationID")]
    local_registration_id: u32,
    pending_pre_key: Option<PendingPreKey>,
    previous_counter: u32,
    receiver_chains: Option<Vec<Chain>>,
    remote_identity_public: Blob,
    #[serde(rename = "RemoteRegistrationID")]
    remote_registration_id: u32,
    root_key: Blob,
    sender_base_key: Blob,
    sender_chain: Option<Chain>,
}

/// Keys of messages that were passed over are not read: they are kept as derived keys, from which the seed cannot be
/// had. Such messages are asked for again.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Chain {
    sender_ratchet_key_public: Blob,
    sender_ratchet_key_private: Option<Blob>,
    chain_key: ChainKey,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ChainKey {
    key: Blob,
    /// The counter of the next message.
    index: u32,
}

#[derive(Deserialize)]
struct PendingPreKey {
    #[serde(rename = "PreKeyID")]
    prekey: Option<PreKeyId>,
    #[serde(rename = "SignedPreKeyID")]
    signed_prekey: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PreKeyId {
    value: u32,
    is_empty: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SenderKeyRecord {
    sender_key_states: Vec<SenderKeyState>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SenderKeyState {
    keys: Option<Vec<SkippedKey>>,
    #[serde(rename = "KeyID")]
    key_id: u32,
    sender_chain_key: SenderChainKey,
    signing_key_public: Blob,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SenderChainKey {
    iteration: u32,
    chain_key: Blob,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SkippedKey {
    iteration: u32,
    seed: Blob,
}

impl State {
    fn to_session(&self) -> Option<ForeignSession> {
        let sending = match &self.sender_chain {
            Some(chain) => Some(chain.to_sending()?),
            None => None,
        };
        // Kept in the order in which they began.
        let receiving = self.receiver_chains.iter().flatten().rev().map(Chain::to_receiving);
        Some(ForeignSession {
            remote_identity: public_key(&self.remote_identity_public.0)?,
            base_key: public_key(&self.sender_base_key.0)?,
            root: Secret::from_slice(&self.root_key.0)?,
            own_registration_id: self.local_registration_id,
            remote_registration_id: self.remote_registration_id,
            previous_counter: self.previous_counter,
            sending,
            receiving: receiving.collect::<Option<_>>()?,
            pending: self.pending_pre_key.as_ref().map(PendingPreKey::to_pending),
        })
    }
}

impl Chain {
    fn to_sending(&self) -> Option<ForeignSending> {
        let ratchet = Secret::from_slice(&self.sender_ratchet_key_private.as_ref()?.0)?;
        Some(ForeignSending { ratchet, key: Secret::from_slice(&self.chain_key.key.0)?, index: self.chain_key.index })
    }

    fn to_receiving(&self) -> Option<ForeignReceiving> {
        Some(ForeignReceiving {
            ratchet: public_key(&self.sender_ratchet_key_public.0)?,
            key: Secret::from_slice(&self.chain_key.key.0)?,
            index: self.chain_key.index,
            skipped: Vec::new(),
        })
    }
}

impl PendingPreKey {
    fn to_pending(&self) -> ForeignPending {
        let prekey = self.prekey.as_ref().filter(|id| !id.is_empty).map(|id| id.value);
        ForeignPending { signed_prekey: self.signed_prekey, prekey }
    }
}

impl SenderKeyState {
    fn to_key(&self) -> Option<ForeignSenderKey> {
        let skipped = self.keys.iter().flatten().map(|key| Some((key.iteration, Secret::from_slice(&key.seed.0)?)));
        Some(ForeignSenderKey {
            key_id: self.key_id,
            iteration: self.sender_chain_key.iteration,
            chain_key: Secret::from_slice(&self.sender_chain_key.chain_key.0)?,
            signing_key: public_key(&self.signing_key_public.0)?,
            skipped: skipped.collect::<Option<_>>()?,
        })
    }
}
