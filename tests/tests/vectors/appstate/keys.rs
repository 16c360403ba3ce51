//! Keys, sums and what else stands alone.

use super::{array, equal, id, same, text};
use crate::suite::Outcome;
use crate::wire::same_secret;
use whatsio_core::app_state::{
    KeyAnswer, KeyRing, LtHash, MutationKeys, SyncKey, SyncKeyData, ValueMac, key_request, key_share, nct_token,
    parse_key_request, parse_key_share,
};
use whatsio_fixtures::Hex;
use whatsio_fixtures::appstate::{ActiveKeyChoice, CsToken, KeyExpansion, KeyMessage, LtHashVector, SharedKey};

pub(super) fn expansion(entry: &KeyExpansion) -> Outcome {
    same("info", MutationKeys::INFO, &entry.hkdf_info)?;
    let keys = MutationKeys::derive(&SyncKeyData::new(array(&entry.key_data)?));
    same("index key", keys.index_key(), &*entry.index_key)?;
    same("value encryption key", keys.value_encryption_key(), &*entry.value_encryption_key)?;
    same("value key", keys.value_mac_key(), &*entry.value_mac_key)?;
    same("snapshot key", keys.snapshot_mac_key(), &*entry.snapshot_mac_key)?;
    same("patch key", keys.patch_mac_key(), &*entry.patch_mac_key)
}

pub(super) fn sum(entry: &LtHashVector) -> Outcome {
    let values = |list: &[Hex]| list.iter().map(|value| array(value).map(ValueMac)).collect::<Result<Vec<_>, _>>();
    let (added, subtracted) = (values(&entry.add)?, values(&entry.subtract)?);
    let mut hash = LtHash::from_bytes(&array(&entry.base)?);
    hash.update(&added, &subtracted);
    same("sum", hash.to_bytes(), &*entry.result)?;
    hash.update(&subtracted, added.iter().rev());
    same("the way back", hash.to_bytes(), &*entry.base)
}

pub(super) fn message(entry: &KeyMessage) -> Outcome {
    if entry.keys.is_none() && entry.key_ids.is_none() {
        return Err("neither keys nor ids".into());
    }
    if let Some(keys) = &entry.keys {
        let expected = keys.iter().map(shared).collect::<Result<Vec<_>, _>>()?;
        same_secret("keys", &parse_key_share(&entry.message_proto).map_err(text)?.as_ref(), &Some(&expected))?;
        equal("as a request", parse_key_request(&entry.message_proto).map_err(text)?, None)?;
        same("share", key_share(&expected), &*entry.message_proto)?;
    }
    if let Some(ids) = &entry.key_ids {
        let expected: Vec<_> = ids.iter().map(|bytes| id(bytes)).collect();
        equal("ids", parse_key_request(&entry.message_proto).map_err(text)?.as_ref(), Some(&expected))?;
        same_secret("as a share", &parse_key_share(&entry.message_proto).map_err(text)?, &None)?;
        same("request", key_request(&expected), &*entry.message_proto)?;
    }
    Ok(())
}

fn shared(key: &SharedKey) -> Result<KeyAnswer, String> {
    let id = id(&key.key_id);
    if key.device_id.is_some() {
        equal("device", id.device(), key.device_id)?;
    }
    if key.epoch.is_some() {
        equal("epoch", id.epoch(), key.epoch)?;
    }
    let Some(data) = &key.key_data else { return Ok(KeyAnswer::Absent(id)) };
    Ok(KeyAnswer::Key(SyncKey {
        id,
        data: SyncKeyData::new(array(data)?),
        raw_id: key.raw_id.unwrap_or_default(),
        current_index: key.current_index.unwrap_or_default(),
        device_indexes: key.device_indexes.clone().unwrap_or_default(),
        timestamp: key.timestamp.unwrap_or_default(),
    }))
}

pub(super) fn active(entry: &ActiveKeyChoice) -> Outcome {
    let mut ring = KeyRing::new();
    // In both orders, since the choice must not depend on it.
    for key in entry.keys.iter().chain(entry.keys.iter().rev()) {
        ring.insert(id(key), &SyncKeyData::new([1; 32]));
    }
    let (active, _) = ring.active(None).ok_or("no active key")?;
    same("active key", active.as_bytes(), &*entry.active)
}

pub(super) fn token(entry: &CsToken) -> Outcome {
    same("token", nct_token(&entry.nct_salt, &entry.lid), &*entry.cstoken)
}
