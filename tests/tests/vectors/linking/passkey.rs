//! The passkey hand-off, in both roles.

use super::{array, hex, pair, public, secret};
use crate::suite::Outcome;
use crate::wire::{same, same_secret};
use prost::Message;
use whatsio_core::crypto::symmetric::hkdf_sha256;
use whatsio_core::pairing::passkey::{
    AwaitingCompanionNonce, AwaitingPrimaryIdentity, PairingInformation, handoff_key, handoff_proof,
};
use whatsio_fixtures::linking::PasskeyVector;
use whatsio_proto::companion_reg::ProloguePayload;

pub(super) fn check(vector: &PasskeyVector) -> Outcome {
    let key = handoff_key(&secret(&vector.old_adv_secret)?);
    same("hand-off key", &hex(key.expose()), &vector.handoff_key)?;

    let companion_pair = pair(&vector.companion_ephemeral_priv)?;
    let nonce = array(&vector.companion_nonce)?;
    let (companion, prologue) =
        AwaitingPrimaryIdentity::start(companion_pair.clone(), nonce, vector.device_type, &vector.reference);
    same("prologue", &hex(&prologue), &vector.prologue_payload)?;
    same("proof", &hex(&handoff_proof(&key, &prologue)), &vector.pairing_handoff_proof)?;
    check_prologue(vector)?;

    let primary_pair = pair(&vector.primary_ephemeral_priv)?;
    same("phone's key", &primary_pair.public, &public(&vector.primary_ephemeral_pub)?)?;
    let shared = companion_pair.agree(&primary_pair.public).map_err(|error| error.to_string())?;
    same("agreement", &hex(shared.expose()), &vector.shared)?;
    let nonce = array(&vector.primary_nonce)?;
    let (primary, answer) = AwaitingCompanionNonce::start(&vector.prologue_payload, primary_pair, nonce)
        .map_err(|error| error.to_string())?;
    same("phone's answer", &hex(&answer), &vector.primary_ephemeral_identity)?;

    let here = companion.receive(&vector.primary_ephemeral_identity).map_err(|error| error.to_string())?;
    let there = primary.receive(companion.nonce()).map_err(|error| error.to_string())?;
    for side in [&here, &there] {
        same("code", &side.code().shown(), &vector.confirmation_code)?;
        same("key", &hex(side.key().expose()), &vector.encryption_key)?;
    }
    let info = b"Pairing Information Encryption Key";
    let salted = hkdf_sha256::<32>(Some(vector.salt_text.as_bytes()), &vector.shared, info);
    same("key of the salt text", &hex(salted.expose()), &vector.encryption_key)?;

    let information = PairingInformation {
        noise: public(&vector.noise_pub)?,
        identity: public(&vector.identity_pub)?,
        adv_secret: secret(&vector.new_adv_secret)?,
    };
    same("request", &hex(&information.encode()), &vector.pairing_request)?;
    let sealed = here.seal(&information, &array(&vector.iv)?).map_err(|error| error.to_string())?;
    same("enciphered request", &hex(&sealed), &vector.encrypted_pairing_request)?;
    same_secret("opened request", &there.open(&vector.encrypted_pairing_request), &Ok(information))
}

fn check_prologue(vector: &PasskeyVector) -> Outcome {
    let prologue = ProloguePayload::decode(vector.prologue_payload.as_ref()).map_err(|error| error.to_string())?;
    let identity = hex(&prologue.companion_ephemeral_identity.unwrap_or_default());
    same("companion's identity", &identity, &vector.companion_ephemeral_identity)?;
    let commitment = prologue.commitment.and_then(|commitment| commitment.hash).unwrap_or_default();
    same("commitment", &hex(&commitment), &vector.commitment)
}
