//! What is inside ciphertexts: hashes, add-ons, tokens, padding.

use super::{array, same};
use crate::suite::Outcome;
use whatsio_core::message::{
    AddOn, BotAnswer, MessageSecret, UseCase, cs_token, pad_with, phash as participant_hash, poll_option_hash,
    reporting_extract, reporting_key, reporting_token as token, unpad,
};
use whatsio_core::types::Jid;
use whatsio_fixtures::signal::{
    AddonVector, BotMessageVector, CstokenVector, PaddingVectors, PhashVector, ReportingTokenVector,
};

/// One entry of the two lists of paddings.
pub(super) enum Padding<'v> {
    Pad(&'v whatsio_fixtures::signal::PadVector),
    Unpad(&'v whatsio_fixtures::signal::UnpadVector),
}

pub(super) fn paddings(vectors: &PaddingVectors) -> Vec<Padding<'_>> {
    vectors.pad.iter().map(Padding::Pad).chain(vectors.unpad.iter().map(Padding::Unpad)).collect()
}

pub(super) fn padding(entry: &Padding<'_>) -> Outcome {
    match entry {
        Padding::Pad(entry) => {
            same("padded", &pad_with(&entry.plaintext, entry.n), &entry.padded)?;
            same("unpadded", unpad(&entry.padded).map_err(|error| error.to_string())?, &entry.plaintext)
        }
        Padding::Unpad(entry) => match (unpad(&entry.padded), entry.ok) {
            (Ok(ours), true) => {
                let expected = entry.plaintext.as_ref().ok_or("no plaintext stated")?;
                same("unpadded", ours, expected)
            }
            (Err(_), false) => Ok(()),
            (outcome, expected) => Err(format!("{outcome:?} where ok is {expected}")),
        },
    }
}

pub(super) fn phash(entry: &PhashVector) -> Outcome {
    let jids = entry.jids.iter().map(|text| jid(text)).collect::<Result<Vec<_>, _>>()?;
    let mut forms: Vec<String> = jids.iter().map(Jid::full_form).collect();
    forms.sort_unstable();
    if forms != entry.hashed_forms_sorted {
        return Err(format!("hashed forms {forms:?}"));
    }
    same("hash", participant_hash(&jids).as_bytes(), entry.phash.as_bytes())
}

pub(super) fn add_on(entry: &AddonVector) -> Outcome {
    let secret = secret(&entry.message_secret)?;
    let (parent_sender, sender) = (jid(&entry.parent_sender)?, jid(&entry.modification_sender)?);
    let add_on = AddOn {
        use_case: use_case(&entry.use_case)?,
        parent_id: &entry.parent_message_id,
        parent_sender: &parent_sender,
        sender: &sender,
    };
    same("info", &add_on.info(), &entry.hkdf_info)?;
    same("key", add_on.key(&secret).expose(), &entry.key)?;
    same("associated data", &add_on.associated_data(), &entry.aad)?;
    let sealed = add_on.seal_with(&secret, &entry.plaintext, array(&entry.iv)?).map_err(|error| error.to_string())?;
    same("payload", &sealed.payload, &entry.enc_payload)?;
    let opened = add_on.open(&secret, &entry.iv, &entry.enc_payload).map_err(|error| error.to_string())?;
    same("plaintext", &opened, &entry.plaintext)?;
    if add_on.open(&secret, &entry.iv, &entry.bad_payload).is_ok() {
        return Err("the changed payload was accepted".into());
    }
    let (options, hashes) = (entry.selected_options.as_deref(), entry.option_hashes.as_deref());
    let (options, hashes) = (options.unwrap_or_default(), hashes.unwrap_or_default());
    if options.len() != hashes.len() {
        return Err("options and hashes differ in number".into());
    }
    let mut vote = Vec::new();
    for (option, hash) in options.iter().zip(hashes) {
        same("option hash", &poll_option_hash(option), hash)?;
        whatsio_proto::fields::put_bytes(&mut vote, 1, hash);
    }
    if entry.selected_options.is_some() { same("vote", &vote, &entry.plaintext) } else { Ok(()) }
}

pub(super) fn bot_message(entry: &BotMessageVector) -> Outcome {
    let secret = secret(&entry.message_secret)?;
    let (target_sender, bot) = (jid(&entry.target_sender)?, jid(&entry.bot_jid)?);
    let answer = BotAnswer { message_id: &entry.message_id, target_sender: &target_sender, bot: &bot };
    same("base key", secret.for_bot().expose(), &entry.base_key)?;
    same("key", answer.key(&secret).expose(), &entry.key)?;
    let sealed = answer.seal_with(&secret, &entry.plaintext, array(&entry.iv)?).map_err(|error| error.to_string())?;
    same("payload", &sealed.payload, &entry.enc_payload)?;
    let opened = answer.open(&secret, &entry.iv, &entry.enc_payload).map_err(|error| error.to_string())?;
    same("plaintext", &opened, &entry.plaintext)
}

pub(super) fn reporting_token(entry: &ReportingTokenVector) -> Outcome {
    let secret = secret(&entry.message_secret)?;
    let (sender, remote) = (jid(&entry.sender)?, jid(&entry.remote)?);
    same("key", reporting_key(&secret, &entry.stanza_id, &sender, &remote).expose(), &entry.key)?;
    let extracted = reporting_extract(&entry.message).map_err(|error| error.to_string())?;
    same("extracted", &extracted, &entry.extracted)?;
    let made = token(&entry.message, &secret, &entry.stanza_id, &sender, &remote).map_err(|error| error.to_string())?;
    same("token", &made.ok_or("no token")?, &entry.token)
}

pub(super) fn cstoken(entry: &CstokenVector) -> Outcome {
    same("token", &cs_token(&entry.nct_salt, &jid(&entry.recipient_lid)?), &entry.cstoken)
}

fn jid(text: &str) -> Result<Jid, String> {
    Jid::parse(text).map_err(|error| error.to_string())
}

fn secret(bytes: &[u8]) -> Result<MessageSecret, String> {
    MessageSecret::from_slice(bytes).ok_or_else(|| "secret is not 32 bytes".into())
}

fn use_case(text: &str) -> Result<UseCase, String> {
    let all = [
        UseCase::PollVote,
        UseCase::EncReaction,
        UseCase::EncComment,
        UseCase::ReportToken,
        UseCase::EventResponse,
        UseCase::EventEdit,
        UseCase::MessageEdit,
        UseCase::PollEdit,
        UseCase::PollAddOption,
        UseCase::BotMessage,
    ];
    all.into_iter().find(|case| case.as_str() == text).ok_or_else(|| format!("unknown use {text}"))
}
