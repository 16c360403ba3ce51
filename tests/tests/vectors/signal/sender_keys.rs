//! Replays transcripts of sender keys.

use super::{array, pair, same};
use crate::suite::Outcome;
use std::collections::BTreeMap;
use whatsio_core::signal::chain::ChainKey;
use whatsio_core::signal::{Distribution, GroupDecryptError, GroupMessage, SenderKey, SenderKeyRecord};
use whatsio_fixtures::signal::{SenderKeyMessage, SenderKeyStep, SenderKeyVector};

pub(super) fn replay(entry: &SenderKeyVector) -> Outcome {
    let mut senders = Vec::new();
    for state in &entry.states {
        let signing = pair(&state.signing_private)?;
        same("signing key", signing.public.as_bytes(), &state.signing_public)?;
        senders.push(SenderKey::from_parts(state.key_id, array(&state.chain_key)?, &signing));
    }
    let mut receivers: BTreeMap<&str, SenderKeyRecord> = BTreeMap::new();
    for (at, step) in entry.steps.iter().enumerate() {
        let outcome = match step {
            SenderKeyStep::ProcessDistribution { receiver, distribution } => {
                process(&senders, receivers.entry(receiver).or_default(), distribution)
            }
            SenderKeyStep::Encrypt { message } => {
                self::message(entry, *message).and_then(|message| encrypt(entry, &mut senders, message))
            }
            // Messages name their iteration, so `encrypt` finds its way over those that were discarded.
            SenderKeyStep::EncryptAndDiscard { .. } => Ok(()),
            SenderKeyStep::Deliver { receiver, message, tampered_ciphertext, expect } => self::message(entry, *message)
                .and_then(|message| {
                    let bytes = tampered_ciphertext.as_ref().unwrap_or(&message.ciphertext);
                    deliver(receivers.entry(receiver).or_default(), bytes, &message.plaintext, expect)
                }),
        };
        outcome.map_err(|why| format!("step {at}: {why}"))?;
    }
    Ok(())
}

fn message(entry: &SenderKeyVector, number: usize) -> Result<&SenderKeyMessage, String> {
    entry.messages.get(number).ok_or_else(|| format!("no message {number}"))
}

fn encrypt(entry: &SenderKeyVector, senders: &mut [SenderKey], message: &SenderKeyMessage) -> Outcome {
    let sender = senders.get_mut(message.state).ok_or("no such sender key")?;
    while sender.iteration() < message.iteration {
        sender.encrypt_with(b"", &[0; 64]).map_err(|error| error.to_string())?;
    }
    if let Some(expected) = &message.message_keys {
        let state = entry.states.get(message.state).ok_or("no such sender key")?;
        let mut chain = ChainKey::new(array(&state.chain_key)?);
        for _ in 0..message.iteration {
            chain = chain.next();
        }
        let keys = chain.seed().group_message_keys();
        same("seed", chain.seed().expose(), &expected.seed)?;
        same("iv", keys.iv(), &expected.iv)?;
        same("cipher key", keys.cipher(), &expected.cipher_key)?;
    }
    let random = message.signature_random64.as_deref().map_or(Ok([7; 64]), array)?;
    let predicted = sender.ciphertext_len(message.plaintext.len());
    let made = sender.encrypt_with(&message.plaintext, &random).map_err(|error| error.to_string())?;
    if predicted != made.len() {
        return Err(format!("{predicted} bytes were predicted, {} written", made.len()));
    }
    if message.signature_random64.is_some() {
        return same("ciphertext", &made, &message.ciphertext);
    }
    // The engine's nonce is its own secret, so the signature alone differs.
    let signed = |bytes: &[u8]| bytes.split_last_chunk::<64>().map(|(signed, _)| signed.to_vec()).unwrap_or_default();
    same("ciphertext", &signed(&made), &signed(&message.ciphertext))
}

fn process(senders: &[SenderKey], record: &mut SenderKeyRecord, bytes: &[u8]) -> Outcome {
    let distribution = Distribution::parse(bytes).map_err(|error| error.to_string())?;
    same("distribution, written again", &distribution.encode(), bytes)?;
    let sender = senders.iter().find(|sender| sender.key_id() == distribution.key_id());
    let ours = sender.ok_or("key of no sender")?.distribution();
    if ours.iteration() == distribution.iteration() {
        same("own distribution", &ours.encode(), bytes)?;
    }
    record.process(&distribution);
    Ok(())
}

fn deliver(record: &mut SenderKeyRecord, bytes: &[u8], plaintext: &[u8], expect: &str) -> Outcome {
    let before = record.encode();
    let opened = GroupMessage::parse(bytes).map_err(Into::into).and_then(|message| record.decrypt(&message));
    match (expect, opened) {
        ("ok", Ok(ours)) => same("plaintext", &ours, plaintext)?,
        ("duplicate", Err(GroupDecryptError::Duplicate)) => same("record", &record.encode(), &before)?,
        ("error", Err(why)) if why != GroupDecryptError::Duplicate => same("record", &record.encode(), &before)?,
        (_, outcome) => return Err(format!("{expect} was expected, not {outcome:?}")),
    }
    let again = SenderKeyRecord::decode(&record.encode()).map_err(|error| error.to_string())?;
    if again != *record {
        return Err("the record reads back differently".into());
    }
    Ok(())
}
