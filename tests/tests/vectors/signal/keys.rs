//! Signatures, security codes and bundle digests.

use super::{array, pair, public, same, signature};
use crate::suite::Outcome;
use whatsio_core::crypto::PublicKey;
use whatsio_core::signal::{Fingerprint, PublicSignedPreKey, SecurityCode, SignedPreKeyId, bundle_digest as digest};
use whatsio_fixtures::signal::{BundleDigestVector, FingerprintVector, XeddsaVector};

pub(super) fn xeddsa(entry: &XeddsaVector) -> Outcome {
    if entry.kind == "sign" {
        let (Some(private), Some(random)) = (&entry.private, &entry.random64) else {
            return Err("no private key or no randomness".into());
        };
        let pair = pair(private)?;
        same("public key", pair.public.as_bytes(), &entry.public)?;
        let made = pair.sign(&[&entry.message], &array(random)?);
        same("signature", made.as_bytes(), &entry.signature)?;
    } else if entry.kind != "verify" {
        return Err(format!("kind {}", entry.kind));
    }
    let verdict = public(&entry.public)?.verify(&[&entry.message], &signature(&entry.signature)?);
    if verdict.is_ok() == entry.valid { Ok(()) } else { Err(format!("verdict {verdict:?}")) }
}

pub(super) fn fingerprint(entry: &FingerprintVector) -> Outcome {
    let half = |identity: &[u8], id: &str| {
        let key = PublicKey::deserialize(identity).map_err(|error| error.to_string())?;
        Ok::<_, String>(Fingerprint::new(&key, id.as_bytes(), entry.iterations))
    };
    let local = half(&entry.local_identity, &entry.local_id)?;
    let remote = half(&entry.remote_identity, &entry.remote_id)?;
    let code = SecurityCode::new(local, remote);
    same("digits", code.digits().as_bytes(), entry.displayable.as_bytes())?;
    same("digits of the other side", SecurityCode::new(remote, local).digits().as_bytes(), code.digits().as_bytes())?;
    same("scannable", &code.scannable(), &entry.scannable)?;
    if entry.version == 2 { Ok(()) } else { Err(format!("version {}", entry.version)) }
}

pub(super) fn bundle_digest(entry: &BundleDigestVector) -> Outcome {
    let signed = PublicSignedPreKey {
        id: SignedPreKeyId::FIRST,
        key: public(&entry.signed_prekey_public)?,
        signature: signature(&entry.signed_prekey_signature)?,
    };
    let keys = entry.one_time_prekeys.iter().map(|key| public(&key.public)).collect::<Result<Vec<_>, _>>()?;
    same("digest", &digest(&public(&entry.identity_public)?, &signed, &keys), &entry.sha1)
}
