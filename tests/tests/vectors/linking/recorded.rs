//! Linkings of unmodified peers: what our phone's side and our companion's side make of them.

use super::{array, hex, pair, public, secret, some};
use crate::suite::Outcome;
use crate::wire::same;
use prost::Message;
use whatsio_core::crypto::symmetric::{aes256_ctr, constant_time_eq, hmac_sha256};
use whatsio_core::crypto::{PublicKey, Secret, Signature};
use whatsio_core::pairing::adv::{verify_device_identity, verify_pair_success};
use whatsio_core::pairing::code::{AwaitingCompanionFinish, WrapRandom};
use whatsio_core::pairing::{AdvError, Code};
use whatsio_fixtures::Hex;
use whatsio_fixtures::linking::{ChildContent, LinkStanza, RecordedLinking};
use whatsio_proto::adv::{AdvDeviceIdentity, AdvEncryptionType, AdvSignedDeviceIdentity, AdvSignedDeviceIdentityHmac};

pub(super) fn check(vector: &RecordedLinking) -> Outcome {
    if let Some(private) = &vector.companion_identity_priv {
        same("companion's key", &pair(private)?.public, &public(&vector.companion_identity_pub)?)?;
    }
    let sent: &[u8] = &vector.pair_success_device_identity;
    let container = AdvSignedDeviceIdentityHmac::decode(sent).map_err(|error| error.to_string())?;
    let signed = container.details.clone().unwrap_or_default();
    let signed = AdvSignedDeviceIdentity::decode(signed).map_err(|error| error.to_string())?;
    check_account_signature(vector, &signed)?;
    check_hmac(vector, &container)?;
    check_companion(vector)?;
    check_code(vector)?;
    match &vector.reply_device_identity {
        Some(reply) => check_reply(vector, &signed, reply),
        None => check_refusal(vector),
    }
}

fn check_account_signature(vector: &RecordedLinking, signed: &AdvSignedDeviceIdentity) -> Outcome {
    let Some(expected) = vector.checked.account_signature else { return Ok(()) };
    let account = pair(&vector.account_identity_priv)?.public;
    let details = signed.details.as_deref().unwrap_or_default();
    let prefix: &[u8] = if hosted(details)? { &[0x06, 0x05] } else { &[0x06, 0x00] };
    let signature = Signature::from_slice(signed.account_signature.as_deref().unwrap_or_default());
    let signature = signature.map_err(|error| error.to_string())?;
    let verdict = account.verify(&[prefix, details, &vector.companion_identity_pub], &signature);
    same("account signature", &verdict.is_ok(), &expected)
}

fn check_hmac(vector: &RecordedLinking, container: &AdvSignedDeviceIdentityHmac) -> Outcome {
    let (Some(expected), Some(key)) = (vector.checked.hmac, &vector.adv_secret) else { return Ok(()) };
    let hosted = container.account_type == Some(AdvEncryptionType::Hosted as i32);
    let prefix: &[u8] = if hosted { &[0x06, 0x05] } else { &[] };
    let hmac = hmac_sha256(key, &[prefix, container.details.as_deref().unwrap_or_default()]);
    let found = constant_time_eq(&hmac, container.hmac.as_deref().unwrap_or_default());
    same("hmac", &found, &expected)
}

/// Where the recording holds the companion's secrets, ours gives the same answer up to the signature's randomness.
fn check_companion(vector: &RecordedLinking) -> Outcome {
    let (Some(private), Some(adv_secret)) = (&vector.companion_identity_priv, &vector.adv_secret) else {
        return Ok(());
    };
    let container = &vector.pair_success_device_identity;
    let linked = verify_pair_success(container, &secret(adv_secret)?, &pair(private)?, &[7; 64]);
    let linked = match (linked, &vector.reply_error) {
        (Ok(linked), None) => linked,
        (Err(refusal), Some(error)) => {
            same("code", &refusal.code().to_string(), &error.code)?;
            return same("text", &refusal.text(), &error.text.as_str());
        }
        (outcome, _) => return Err(format!("our companion: {outcome:?}")),
    };
    same("key index", &linked.key_index.to_string(), some("key index", &vector.reply_key_index)?)?;
    let theirs: &[u8] = some("reply", &vector.reply_device_identity)?;
    let theirs = AdvSignedDeviceIdentity::decode(theirs).map_err(|error| error.to_string())?;
    let ours = AdvSignedDeviceIdentity::decode(linked.reply).map_err(|error| error.to_string())?;
    same("details", &ours.details, &theirs.details)?;
    same("account signature", &ours.account_signature, &theirs.account_signature)
}

fn check_reply(vector: &RecordedLinking, sent: &AdvSignedDeviceIdentity, reply: &Hex) -> Outcome {
    let checked = &vector.checked;
    let companion = public(&vector.companion_identity_pub)?;
    let account = pair(&vector.account_identity_priv)?.public;
    let theirs = AdvSignedDeviceIdentity::decode(reply.as_ref()).map_err(|error| error.to_string())?;
    same("details", &theirs.details, &sent.details)?;
    same("account signature", &theirs.account_signature, &sent.account_signature)?;
    if let Some(expected) = checked.reply_has_account_key {
        same("reply has the account's key", &theirs.account_signature_key.is_some(), &expected)?;
    }
    let details = theirs.details.as_deref().unwrap_or_default();
    let fields = AdvDeviceIdentity::decode(details).map_err(|error| error.to_string())?;
    let key_index = fields.key_index.unwrap_or_default().to_string();
    same("key index", &key_index, some("key index", &vector.reply_key_index)?)?;
    let signed = |prefix: [u8; 2]| verifies(&companion, &theirs, prefix, &account);
    if let Some(expected) = checked.device_signature {
        same("device signature with 06 01", &signed([0x06, 0x01])?, &expected)?;
    }
    if let Some(expected) = checked.device_signature_prefix_06_06 {
        same("device signature with 06 06", &signed([0x06, 0x06])?, &expected)?;
    }
    // The same bytes as a contact sees them: complete, or with the account's key known from elsewhere.
    let seen = verify_device_identity(reply, &companion, Some(&account)).map_err(|error| error.to_string())?;
    same("contact's check", &seen.account_key, &Some(account))?;
    let stranger = verify_device_identity(reply, &account, Some(&account));
    same("contact's check for another device", &stranger, &Err(AdvError::AccountSignature))
}

fn verifies(
    companion: &PublicKey,
    identity: &AdvSignedDeviceIdentity,
    prefix: [u8; 2],
    account: &PublicKey,
) -> Result<bool, String> {
    let details = identity.details.as_deref().unwrap_or_default();
    let signature = Signature::from_slice(identity.device_signature.as_deref().unwrap_or_default());
    let signature = signature.map_err(|error| error.to_string())?;
    let parts: [&[u8]; 4] = [&prefix, details, companion.as_bytes(), account.as_bytes()];
    Ok(companion.verify(&parts, &signature).is_ok())
}

/// Refusals are about what was broken on purpose, except for one peer that refuses a hosted account's ordinary device.
fn check_refusal(vector: &RecordedLinking) -> Outcome {
    let error = some("reply and no error", &vector.reply_error)?;
    same("code", &error.code.as_str(), &"401")?;
    let signature_is_right = vector.checked.account_signature != Some(false);
    match error.text.as_str() {
        "signature-mismatch" | "hmac-mismatch" if !signature_is_right => {
            same("refused for", &error.text.as_str(), &"signature-mismatch")
        }
        "signature-mismatch" | "hmac-mismatch" => Ok(()),
        other => Err(format!("unknown refusal {other}")),
    }
}

fn check_code(vector: &RecordedLinking) -> Outcome {
    let (Some(code), Some(finish)) = (&vector.code, &vector.companion_companion_finish) else { return Ok(()) };
    let hello = some("companion hello", &vector.companion_companion_hello)?;
    let answer = some("primary hello", &vector.server_primary_hello_notification)?;
    same("noise key", &child(hello, "companion_server_auth_key_pub")?, &vector.companion_noise_pub)?;
    same("identity", &child(finish, "companion_identity_public")?, &vector.companion_identity_pub)?;

    let typed = Code::parse(code).map_err(|error| error.to_string())?;
    let wrapped = child(hello, "link_code_pairing_wrapped_companion_ephemeral_pub")?;
    let sent = child(answer, "link_code_pairing_wrapped_primary_ephemeral_pub")?;
    let (salt, rest) = sent.split_first_chunk().ok_or("no salt")?;
    let (iv, _) = rest.split_first_chunk().ok_or("no iv")?;
    let random = WrapRandom { salt: *salt, iv: *iv };
    let ephemeral = pair(&vector.primary_ephemeral_priv)?;
    let (primary, ours) =
        AwaitingCompanionFinish::start(&typed, &wrapped, ephemeral, &random).map_err(|error| error.to_string())?;
    same("primary hello", &hex(&ours), &sent)?;
    if let Some(expected) = &vector.companion_ephemeral_pub {
        same("companion's ephemeral key", primary.companion_ephemeral(), &public(expected)?)?;
    }
    let account = pair(&vector.account_identity_priv)?;
    same("phone's identity", &child(answer, "primary_identity_pub")?, &hex(account.public.as_bytes()))?;
    let bundle = child(finish, "link_code_pairing_wrapped_key_bundle")?;
    let found: Result<Secret<32>, _> = primary.finish(&account, &public(&vector.companion_identity_pub)?, &bundle);
    let right = match (&found, &vector.adv_secret) {
        (Ok(found), Some(expected)) => hex(found.expose()) == *expected,
        _ => false,
    };
    same("ADV secret follows from the code", &right, &vector.checked.pairing_code_secret.unwrap_or(true))?;

    let mut key: [u8; 32] = array(wrapped.get(48..).unwrap_or_default())?;
    let (salt, rest) = wrapped.split_first_chunk().ok_or("no salt")?;
    let (iv, _) = rest.split_first_chunk().ok_or("no iv")?;
    aes256_ctr(typed.wrapping_key(salt).expose(), iv, &mut key);
    same("unwrapped by hand", &hex(&key), &hex(primary.companion_ephemeral().as_bytes()))
}

fn child(stanza: &LinkStanza, name: &str) -> Result<Hex, String> {
    match stanza.children.get(name) {
        Some(ChildContent::Bytes(bytes)) => Ok(bytes.clone()),
        Some(ChildContent::Text { text }) => Ok(hex(text.as_bytes())),
        None => Err(format!("no child {name}")),
    }
}

fn hosted(details: &[u8]) -> Result<bool, String> {
    let fields = AdvDeviceIdentity::decode(details).map_err(|error| error.to_string())?;
    Ok(fields.device_type == Some(AdvEncryptionType::Hosted as i32))
}
