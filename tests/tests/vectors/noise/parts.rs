//! What a handshake is made of: names, certificates, signatures.

use super::{array, hex, pair, public, root};
use crate::suite::Outcome;
use crate::wire::same;
use whatsio_core::api::ProtocolProfile;
use whatsio_core::crypto::{PublicKey, Signature};
use whatsio_core::noise::pattern::{Pattern, Symmetric};
use whatsio_core::noise::{CertError, PROLOGUE, cert};
use whatsio_fixtures::noise::{CertificateVector, Constants, NonCanonical, SignatureVector};

pub(super) fn check_constants(constants: &Constants) -> Outcome {
    same("prologue", &hex(&PROLOGUE), &constants.prologue)?;
    let patterns = [
        (Pattern::Xx, &constants.name_xx, &constants.initial_h_xx_after_prologue),
        (Pattern::Ik, &constants.name_ik, &constants.initial_h_ik_after_prologue),
        (Pattern::XxFallback, &constants.name_xxfallback, &constants.initial_h_xxfallback_after_prologue),
    ];
    for (pattern, name, hash) in patterns {
        same("name", &hex(pattern.name()), name)?;
        same("hash after the prologue", &hex(Symmetric::new(pattern).hash()), hash)?;
    }
    let unmixed = Symmetric::unmixed(Pattern::XxFallback);
    same("hash of XXfallback", &hex(unmixed.hash()), &constants.initial_h_xxfallback)?;
    let profile = ProtocolProfile::default();
    same("production root", &hex(&profile.root_key), &constants.production_root_public_key)?;
    same("production root serial", &profile.root_serial, &constants.production_root_serial)
}

pub(super) fn check_certificate(vector: &CertificateVector) -> Outcome {
    let server = public(&vector.server_static)?;
    let verdict = cert::check(&vector.cert_chain, &root(public(&vector.root_pub)?), &server, vector.now);
    same("accepted", &verdict.is_ok(), &vector.accept)?;
    let error = match verdict {
        Ok(certificate) => {
            same("validity", &certificate.validity.contains(vector.now), &true)?;
            return same("key", &certificate.key, &server);
        }
        Err(error) => error,
    };
    let word = match error {
        CertError::Malformed(_) => "malformed",
        CertError::Issuer => "issuer",
        CertError::Signature => "signature",
        CertError::Key => "key",
        CertError::Clock(_) => "validity",
        _ => "a reason that vectors do not know",
    };
    let Some(reasons) = &vector.reason else { return Ok(()) };
    if !reasons.split(" or ").any(|reason| reason == word) {
        return Err(format!("refused for {word} ({error}) instead of {reasons}"));
    }
    Ok(())
}

pub(super) fn check_signature(vector: &SignatureVector) -> Outcome {
    let valid = verifies(&public(&vector.public)?, &vector.message, &vector.signature);
    same("valid", &valid, &vector.valid).map_err(|why| format!("{why} ({:?})", vector.why))?;
    let (Some(private), Some(random)) = (&vector.private, &vector.random64) else { return Ok(()) };
    let pair = pair(private)?;
    same("private key as stored", &hex(pair.private.expose()), private)?;
    same("public key", &hex(pair.public.as_bytes()), &vector.public)?;
    let random = array(random)?;
    same("signature", &hex(&pair.sign(&[&vector.message], &random).0), &vector.signature)?;
    let (first, second) = vector.message.split_at(vector.message.len() / 2);
    same("signature in parts", &hex(&pair.sign(&[first, second], &random).0), &vector.signature)
}

/// Either is allowed on the wire; we refuse, and this says so.
pub(super) fn check_unreduced(vector: &NonCanonical) -> Outcome {
    let key = public(&vector.public)?;
    same("accepted", &verifies(&key, &vector.message, &vector.signature), &false)
}

fn verifies(key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
    Signature::from_slice(signature).is_ok_and(|signature| key.verify(&[message], &signature).is_ok())
}
