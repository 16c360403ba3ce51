//! `appstate.json`: keys, sums, patches, snapshots and history blobs.

mod history;
mod keys;
mod sync;

use crate::suite::{Outcome, Suite};
use whatsio_core::app_state::{KeyRing, SyncKeyData, SyncKeyId};
use whatsio_fixtures::appstate::{AppStateVectors, KeyVector};

pub(crate) fn run(suite: &mut Suite) {
    suite.file("appstate.json", &["about"], |file| {
        let vectors: AppStateVectors = match whatsio_fixtures::load("appstate.json") {
            Ok(vectors) => vectors,
            Err(error) => {
                file.section("(shape)", &[error], |_| String::new(), |error| Err(error.to_string()));
                return;
            }
        };
        file.section("key_expansion", &vectors.key_expansion, |entry| entry.name.clone(), keys::expansion);
        file.section("lthash", &vectors.lthash, |entry| entry.name.clone(), keys::sum);
        file.section("appstate", &vectors.appstate, |entry| entry.name.clone(), sync::replay);
        file.section("appstate_negative", &vectors.appstate_negative, |entry| entry.name.clone(), sync::refused);
        file.section("key_messages", &vectors.key_messages, |entry| entry.name.clone(), keys::message);
        file.section("active_key_choice", &[vectors.active_key_choice], |_| String::new(), keys::active);
        file.section("cs_token", &[vectors.cs_token], |entry| entry.lid.clone(), keys::token);
        file.section("history_sync", &vectors.history_sync, |entry| entry.name.clone(), history::blob);
    });
}

fn same(what: &str, ours: impl AsRef<[u8]>, theirs: impl AsRef<[u8]>) -> Outcome {
    let (ours, theirs) = (ours.as_ref(), theirs.as_ref());
    if ours == theirs {
        return Ok(());
    }
    Err(format!("{what}: {} instead of {}", hex::encode(ours), hex::encode(theirs)))
}

#[expect(clippy::needless_pass_by_value, reason = "called with values made on the spot")]
fn equal<T: PartialEq + std::fmt::Debug>(what: &str, ours: T, theirs: T) -> Outcome {
    if ours == theirs { Ok(()) } else { Err(format!("{what}: {ours:?} instead of {theirs:?}")) }
}

fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], String> {
    bytes.try_into().map_err(|_| format!("{} bytes where {N} belong", bytes.len()))
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn id(bytes: &[u8]) -> SyncKeyId {
    SyncKeyId::new(bytes.to_vec())
}

fn ring(keys: &[KeyVector]) -> Result<KeyRing, String> {
    let mut ring = KeyRing::new();
    for key in keys {
        ring.insert(id(&key.key_id), &SyncKeyData::new(array(&key.key_data)?));
    }
    Ok(ring)
}
