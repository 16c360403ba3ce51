//! `signal.json`: sessions, sender keys and what is inside ciphertexts.

mod content;
mod keys;
mod sender_keys;
mod sessions;

use crate::suite::{Outcome, Suite};
use whatsio_core::crypto::{KeyPair, PublicKey, Signature};
use whatsio_fixtures::signal::SignalVectors;

pub(crate) fn run(suite: &mut Suite) {
    suite.file("signal.json", &["meta"], |file| {
        let vectors: SignalVectors = match whatsio_fixtures::load("signal.json") {
            Ok(vectors) => vectors,
            Err(error) => {
                file.section("(shape)", &[error], |_| String::new(), |error| Err(error.to_string()));
                return;
            }
        };
        let note = |note: &Option<String>| note.clone().unwrap_or_default();
        file.section("xeddsa", &vectors.xeddsa, |entry| note(&entry.note), keys::xeddsa);
        file.section("sessions", &vectors.sessions, |entry| entry.name.clone(), sessions::replay);
        file.section("sender_keys", &vectors.sender_keys, |entry| entry.name.clone(), sender_keys::replay);
        file.section("fingerprints", &vectors.fingerprints, |entry| entry.local_id.clone(), keys::fingerprint);
        file.section("phash", &vectors.phash, |entry| entry.phash.clone(), content::phash);
        file.section("addons", &vectors.addons, |entry| entry.use_case.clone(), content::add_on);
        file.section("bot_messages", &vectors.bot_messages, |entry| entry.message_id.clone(), content::bot_message);
        file.section(
            "reporting_tokens",
            &vectors.reporting_tokens,
            |entry| entry.title.clone(),
            content::reporting_token,
        );
        file.section("padding", &content::paddings(&vectors.padding), |_| String::new(), content::padding);
        file.section("cstokens", &vectors.cstokens, |entry| entry.recipient_lid.clone(), content::cstoken);
        file.section("bundle_digests", &vectors.bundle_digests, |_| String::new(), keys::bundle_digest);
    });
}

/// Says what differs, in hex.
fn same(what: &str, ours: &[u8], theirs: &[u8]) -> Outcome {
    if ours == theirs {
        return Ok(());
    }
    Err(format!("{what}: {} instead of {}", hex::encode(ours), hex::encode(theirs)))
}

fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], String> {
    bytes.try_into().map_err(|_| format!("{} bytes where {N} belong", bytes.len()))
}

fn public(bytes: &[u8]) -> Result<PublicKey, String> {
    array(bytes).map(PublicKey::from_bytes)
}

fn pair(private: &[u8]) -> Result<KeyPair, String> {
    array(private).map(KeyPair::from_private)
}

fn signature(bytes: &[u8]) -> Result<Signature, String> {
    array(bytes).map(Signature)
}
