//! Linking by code, in both roles.

use super::{array, hex, pair, public, secret};
use crate::suite::Outcome;
use crate::wire::{same, same_secret};
use whatsio_core::crypto::symmetric::{aes256_gcm_open, aes256_gcm_seal};
use whatsio_core::crypto::{KeyPair, Secret};
use whatsio_core::pairing::code::{
    AwaitingCompanionFinish, AwaitingPrimaryHello, FinishRandom, ROUNDS, WrapRandom, bundle_key,
};
use whatsio_core::pairing::{Code, CodeError};
use whatsio_fixtures::Hex;
use whatsio_fixtures::linking::CodeVector;

struct Pairs {
    companion: KeyPair,
    companion_ephemeral: KeyPair,
    primary: KeyPair,
    primary_ephemeral: KeyPair,
}

impl Pairs {
    fn new(vector: &CodeVector) -> Result<Self, String> {
        let (companion, primary) = (&vector.companion, &vector.primary);
        let pairs = [
            (&companion.identity_priv, &companion.identity_pub),
            (&companion.ephemeral_priv, &companion.ephemeral_pub),
            (&primary.identity_priv, &primary.identity_pub),
            (&primary.ephemeral_priv, &primary.ephemeral_pub),
        ];
        for (private, expected) in pairs {
            same("public key", &pair(private)?.public, &public(expected)?)?;
        }
        Ok(Self {
            companion: pair(&companion.identity_priv)?,
            companion_ephemeral: pair(&companion.ephemeral_priv)?,
            primary: pair(&primary.identity_priv)?,
            primary_ephemeral: pair(&primary.ephemeral_priv)?,
        })
    }
}

pub(super) fn check(vector: &CodeVector) -> Outcome {
    let pairs = Pairs::new(vector)?;
    same("rounds", &ROUNDS, &vector.iterations)?;
    let code = check_code(vector)?;
    let typed = Code::verbatim(&vector.entered_on_phone);

    let random = WrapRandom { salt: array(&vector.companion.salt)?, iv: array(&vector.companion.iv)? };
    same("companion's key", &wrapping_key(&code, &random), &vector.companion_code_key)?;
    let (companion, hello) = AwaitingPrimaryHello::start(code, pairs.companion_ephemeral.clone(), &random);
    same("companion's hello", &hex(&hello), &vector.wrapped_companion_ephemeral_pub)?;

    // In the entries the phone's hello is always wrapped with the companion's code; only what the phone unwraps, and so
    // the bundle that it cannot open, depends on what was typed.
    let random = WrapRandom { salt: array(&vector.primary.salt)?, iv: array(&vector.primary.iv)? };
    same("phone's key", &wrapping_key(companion.code(), &random), &vector.primary_code_key)?;
    let start = |code| {
        AwaitingCompanionFinish::start(code, &hello, pairs.primary_ephemeral.clone(), &random)
            .map_err(|error| error.to_string())
    };
    let (_, answer) = start(companion.code())?;
    // The entry may hold a shortened hello; the part that is there is the phone's.
    let sent = answer.get(..vector.wrapped_primary_ephemeral_pub.len()).ok_or("phone's hello is too long")?;
    same("phone's hello", &hex(sent), &vector.wrapped_primary_ephemeral_pub)?;
    let (primary, _) = start(&typed)?;
    same("what the phone sees", primary.companion_ephemeral(), &public(&vector.phone_sees_companion_ephemeral)?)?;

    check_bundle(vector, &pairs)?;
    check_companion(vector, &pairs, &companion)?;
    check_primary(vector, &pairs, &primary)
}

fn check_code(vector: &CodeVector) -> Result<Code, String> {
    let code = Code::verbatim(&vector.code);
    same("shown", &code.shown(), &vector.shown)?;
    // A code of one's own choice need not be of the alphabet; a made one is, and reads back as it is shown.
    if let Some(bytes) = &vector.code_bytes {
        let made = Code::from_bytes(array(bytes)?);
        same_secret("code of its bits", &made, &code)?;
        same_secret("code as typed", &Code::parse(&vector.shown.to_lowercase()), &Ok(made))?;
    }
    Ok(code)
}

fn wrapping_key(code: &Code, random: &WrapRandom) -> Hex {
    hex(code.wrapping_key(&random.salt).expose())
}

/// The values between the messages.
fn check_bundle(vector: &CodeVector, pairs: &Pairs) -> Outcome {
    let identities = agree(&pairs.companion, &pairs.primary)?;
    same("agreement of identities", &hex(identities.expose()), &vector.identity_shared)?;
    let key = bundle_key(&secret(&vector.ephemeral_shared)?, &array(&vector.companion.bundle_salt)?);
    same("bundle's key", &hex(key.expose()), &vector.bundle_key)?;
    let iv = array(&vector.companion.bundle_iv)?;
    let sealed =
        aes256_gcm_seal(key.expose(), &iv, &[], &vector.bundle_plaintext).map_err(|error| error.to_string())?;
    let mut bundle = [&*vector.companion.bundle_salt, &iv].concat();
    bundle.extend_from_slice(&sealed);
    let tag_at = bundle.len() - 16;
    let (expected_body, _) = vector.wrapped_key_bundle.split_at_checked(tag_at).ok_or("bundle is too short")?;
    same("bundle without its tag", &hex(bundle.get(..tag_at).unwrap_or_default()), &hex(expected_body))?;
    let opened = aes256_gcm_open(key.expose(), &iv, &[], vector.wrapped_key_bundle.get(44..).unwrap_or_default());
    same("tag of the bundle is right", &opened.is_ok(), &(hex(&bundle) == vector.wrapped_key_bundle))
}

fn check_companion(vector: &CodeVector, pairs: &Pairs, companion: &AwaitingPrimaryHello) -> Outcome {
    let random = FinishRandom {
        share: secret(&vector.companion.adv_random)?,
        salt: array(&vector.companion.bundle_salt)?,
        iv: array(&vector.companion.bundle_iv)?,
    };
    let hello = &vector.wrapped_primary_ephemeral_pub;
    let finish = companion.finish(&pairs.companion, hello, &pairs.primary.public, &random);
    if vector.expect.side.as_deref() == Some("companion") {
        let Err(error) = finish else { return Err("the companion noticed nothing".into()) };
        return same("error", &word(error), &vector.expect.error.as_deref().unwrap_or_default());
    }
    let finish = finish.map_err(|error| error.to_string())?;
    let honest: [&[u8]; 3] =
        [pairs.companion.public.as_bytes(), pairs.primary.public.as_bytes(), random.share.expose()];
    if hex(&honest.concat()) == vector.bundle_plaintext {
        let body = |bundle: &[u8]| bundle.get(..bundle.len().saturating_sub(16)).map(hex);
        same("bundle without its tag", &body(&finish.bundle), &body(&vector.wrapped_key_bundle))?;
    }
    if vector.expect.ok {
        same("bundle", &hex(&finish.bundle), &vector.wrapped_key_bundle)?;
    }
    same("ADV secret", &hex(finish.adv_secret.expose()), &vector.adv_secret)
}

fn check_primary(vector: &CodeVector, pairs: &Pairs, primary: &AwaitingCompanionFinish) -> Outcome {
    let outcome = primary.finish(&pairs.primary, &pairs.companion.public, &vector.wrapped_key_bundle);
    match (outcome, vector.expect.side.as_deref()) {
        (outcome, Some("primary")) => {
            let Err(error) = outcome else { return Err("the phone noticed nothing".into()) };
            same("error", &word(error), &vector.expect.error.as_deref().unwrap_or_default())
        }
        (Ok(adv_secret), _) => same("phone's ADV secret", &hex(adv_secret.expose()), &vector.adv_secret),
        (Err(error), _) => Err(format!("phone: {error}")),
    }
}

fn agree(own: &KeyPair, other: &KeyPair) -> Result<Secret<32>, String> {
    let here = own.agree(&other.public).map_err(|error| error.to_string())?;
    let there = other.agree(&own.public).map_err(|error| error.to_string())?;
    same_secret("agreement from both sides", &here, &there)?;
    Ok(here)
}

fn word(error: CodeError) -> &'static str {
    match error {
        CodeError::WrongCode => "bundle decrypt",
        CodeError::CompanionIdentity => "companion identity differs",
        CodeError::PrimaryIdentity => "primary identity differs",
        CodeError::WrappedKeyLength => "wrapped primary ephemeral length",
        CodeError::BundleLength => "bundle length",
        _ => "another error",
    }
}
