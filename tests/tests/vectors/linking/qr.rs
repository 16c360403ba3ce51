//! Linking by picture, in both roles, and the texts behind pictures.

use super::{array, hex, pair, public, secret, some};
use crate::suite::Outcome;
use crate::wire::{same, same_secret};
use prost::Message;
use whatsio_core::crypto::symmetric::hmac_sha256;
use whatsio_core::crypto::{KeyPair, Secret};
use whatsio_core::pairing::adv::{verify_device_identity, verify_pair_success};
use whatsio_core::pairing::primary::{DeviceDetails, IssuedIdentity};
use whatsio_core::pairing::qr::PlatformId;
use whatsio_core::pairing::{Linked, QrCode};
use whatsio_fixtures::linking::{QrExpectation, QrTextVector, QrVector};
use whatsio_proto::adv::{AdvDeviceIdentity, AdvEncryptionType, AdvSignedDeviceIdentity, AdvSignedDeviceIdentityHmac};

pub(super) fn check(vector: &QrVector) -> Outcome {
    let companion = pair(&vector.companion.identity_priv)?;
    same("companion's key", &companion.public, &public(&vector.companion.identity_pub)?)?;
    let noise = pair(&vector.companion.noise_priv)?;
    same("noise key", &noise.public, &public(&vector.companion.noise_pub)?)?;
    let account = pair(&vector.primary.identity_priv)?;
    same("account's key", &account.public, &public(&vector.primary.identity_pub)?)?;
    let adv_secret = secret(&vector.companion.adv_secret)?;
    check_shown(vector, &companion, &noise, &adv_secret)?;

    let random = match &vector.expect.device_signature_random64 {
        Some(random) => array(random)?,
        None => [0x5A; 64],
    };
    let container = &vector.pair_success.device_identity;
    let verdict = verify_pair_success(container, &adv_secret, &companion, &random);
    same("accepted", &verdict.is_ok(), &vector.expect.ok)?;
    match verdict {
        Ok(linked) => {
            check_linked(&vector.expect, &linked, &companion, &account)?;
            check_issued(vector, &linked, &companion, &account, &adv_secret)
        }
        Err(refusal) => {
            same("code", &refusal.code(), some("code", &vector.expect.iq_error_code)?)?;
            same("text", &refusal.text(), &some("text", &vector.expect.iq_error_text)?.as_str())?;
            check_refused_content(vector)
        }
    }
}

fn check_shown(vector: &QrVector, companion: &KeyPair, noise: &KeyPair, adv_secret: &Secret<32>) -> Outcome {
    let code = QrCode {
        reference: vector.qr.reference.clone(),
        noise: noise.public,
        identity: companion.public,
        adv_secret: adv_secret.clone(),
        platform: Some(PlatformId::new(vector.qr.platform_id.clone()).map_err(|error| error.to_string())?),
    };
    same("text", &code.to_text(), &vector.qr.text)?;
    same_secret("text read", &QrCode::parse(&vector.qr.text), &Ok(code))
}

fn check_linked(expect: &QrExpectation, linked: &Linked, companion: &KeyPair, account: &KeyPair) -> Outcome {
    same("key index", &linked.key_index, some("key index", &expect.key_index)?)?;
    same("raw id", &linked.raw_id, some("raw id", &expect.raw_id)?)?;
    same("timestamp", &linked.timestamp, some("timestamp", &expect.timestamp)?)?;
    same("device type", &i32::from(linked.hosted_device), some("device type", &expect.device_type)?)?;
    let container_type = some("container's account type", &expect.container_account_type)?;
    same("container's account type", &i32::from(linked.hosted_account), container_type)?;
    same("account key", &linked.account_key, &account.public)?;
    same("stored", &hex(&linked.account), some("account to store", &expect.account_to_store)?)?;
    same("reply", &hex(&linked.reply), some("reply", &expect.reply_device_identity)?)?;
    same("reply's key index", &linked.key_index.to_string(), some("key index", &expect.reply_key_index)?)?;
    let stored = AdvSignedDeviceIdentity::decode(linked.account.clone()).map_err(|error| error.to_string())?;
    let signature = hex(&stored.device_signature.unwrap_or_default());
    same("device signature", &signature, some("device signature", &expect.device_signature)?)?;
    let details = stored.details.unwrap_or_default();
    let details = AdvDeviceIdentity::decode(details).map_err(|error| error.to_string())?;
    let account_type = details.account_type.unwrap_or_default();
    same("account type", &account_type, some("account type", &expect.account_type)?)?;
    let seen = verify_device_identity(&linked.account, &companion.public, None);
    let seen = seen.map_err(|error| format!("contact's check: {error}"))?;
    same("contact's check", &seen.account_key, &Some(account.public))?;
    same("contact's key index", &seen.key_index, &linked.key_index)
}

/// The phone's side makes the very same bytes, and takes the companion's reply.
fn check_issued(
    vector: &QrVector,
    linked: &Linked,
    companion: &KeyPair,
    account: &KeyPair,
    adv_secret: &Secret<32>,
) -> Outcome {
    let fields = AdvDeviceIdentity::decode(vector.details.as_ref()).map_err(|error| error.to_string())?;
    let details = DeviceDetails {
        raw_id: fields.raw_id.ok_or("no raw id")?,
        timestamp: fields.timestamp.ok_or("no timestamp")?,
        key_index: fields.key_index.ok_or("no key index")?,
        account_type: kind(fields.account_type)?,
        device_type: kind(fields.device_type)?,
    };
    same("details", &hex(&details.encode()), &vector.details)?;
    let random = array(&vector.primary.signature_random64)?;
    let issued = IssuedIdentity::issue(account, &details, &companion.public, &random);
    same("signed identity", &hex(&issued.encode()), &vector.signed_identity_from_phone)?;
    let fields = decode_container(vector)?;
    let container = issued.container(adv_secret, kind(fields.account_type)?);
    same("container", &hex(&container), &vector.pair_success.device_identity)?;
    check_container(vector)?;
    let complete = issued.verify_reply(&linked.reply, &companion.public).map_err(|error| error.to_string())?;
    same("complete identity", &complete, &linked.account)
}

fn check_container(vector: &QrVector) -> Outcome {
    let container = decode_container(vector)?;
    same("hmac", &hex(&container.hmac.unwrap_or_default()), &vector.hmac)?;
    let signed = hex(&container.details.unwrap_or_default());
    same("signed identity", &signed, &vector.signed_identity_from_phone)?;
    let signed = AdvSignedDeviceIdentity::decode(signed.as_ref()).map_err(|error| error.to_string())?;
    same("details", &hex(&signed.details.unwrap_or_default()), &vector.details)?;
    same("account signature", &hex(&signed.account_signature.unwrap_or_default()), &vector.account_signature)
}

/// What is refused is still what the entry says it is, unless its bytes are broken on purpose.
fn check_refused_content(vector: &QrVector) -> Outcome {
    if vector.expect.iq_error_code == Some(500) {
        return Ok(());
    }
    check_container(vector)?;
    if vector.expect.iq_error_text.as_deref() == Some("signature-mismatch") {
        // The HMAC comes first: refused for the signature, it must have been right.
        let hosted = decode_container(vector)?.account_type == Some(AdvEncryptionType::Hosted as i32);
        let prefix: &[u8] = if hosted { &[0x06, 0x05] } else { &[] };
        let hmac = hmac_sha256(&vector.companion.adv_secret, &[prefix, &vector.signed_identity_from_phone]);
        return same("hmac", &hex(&hmac), &vector.hmac);
    }
    Ok(())
}

fn decode_container(vector: &QrVector) -> Result<AdvSignedDeviceIdentityHmac, String> {
    let container: &[u8] = &vector.pair_success.device_identity;
    AdvSignedDeviceIdentityHmac::decode(container).map_err(|error| error.to_string())
}

fn kind(number: Option<i32>) -> Result<Option<AdvEncryptionType>, String> {
    number.map(AdvEncryptionType::try_from).transpose().map_err(|error| error.to_string())
}

pub(super) fn check_text(vector: &QrTextVector) -> Outcome {
    let read = QrCode::parse(&vector.text);
    let Some(fields) = &vector.expect else { return same("accepted", &read.is_ok(), &false) };
    let read = read.map_err(|error| error.to_string())?;
    same("reference", &read.reference, &fields.reference)?;
    same("noise key", &read.noise, &public(&fields.noise_pub)?)?;
    same("identity key", &read.identity, &public(&fields.identity_pub)?)?;
    same("ADV secret", &hex(read.adv_secret.expose()), &fields.adv_secret)?;
    let platform = read.platform.as_ref().map(|platform| platform.as_str().to_owned());
    same("platform", &platform, &fields.platform_id)
}
