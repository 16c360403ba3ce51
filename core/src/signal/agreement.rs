//! The agreement that starts a session: both sides' view of X3DH, version 3. Knows neither messages nor storage.

use super::chain::{ChainKey, RootKey};
use crate::crypto::{CurveError, KeyPair, PublicKey};
use zeroize::Zeroizing;

/// The initiator's side: own identity and fresh base key against a bundle. Fails for points of low order.
pub(super) fn initiate(
    identity: &KeyPair,
    base: &KeyPair,
    their_identity: &PublicKey,
    their_signed_prekey: &PublicKey,
    their_prekey: Option<&PublicKey>,
) -> Result<(RootKey, ChainKey), CurveError> {
    let mut secret = Zeroizing::new(Vec::with_capacity(SECRET_LEN));
    secret.extend_from_slice(&DISCONTINUITY);
    secret.extend_from_slice(identity.agree(their_signed_prekey)?.expose());
    secret.extend_from_slice(base.agree(their_identity)?.expose());
    secret.extend_from_slice(base.agree(their_signed_prekey)?.expose());
    if let Some(prekey) = their_prekey {
        secret.extend_from_slice(base.agree(prekey)?.expose());
    }
    Ok(RootKey::first(&secret))
}

/// The responder's side: own identity and prekeys against what the first message carries. Fails for points of low order.
pub(super) fn respond(
    identity: &KeyPair,
    signed_prekey: &KeyPair,
    prekey: Option<&KeyPair>,
    their_identity: &PublicKey,
    their_base: &PublicKey,
) -> Result<(RootKey, ChainKey), CurveError> {
    let mut secret = Zeroizing::new(Vec::with_capacity(SECRET_LEN));
    secret.extend_from_slice(&DISCONTINUITY);
    secret.extend_from_slice(signed_prekey.agree(their_identity)?.expose());
    secret.extend_from_slice(identity.agree(their_base)?.expose());
    secret.extend_from_slice(signed_prekey.agree(their_base)?.expose());
    if let Some(prekey) = prekey {
        secret.extend_from_slice(prekey.agree(their_base)?.expose());
    }
    Ok(RootKey::first(&secret))
}

/// Keeps this secret apart from any that begins with a curve point.
const DISCONTINUITY: [u8; 32] = [0xFF; 32];
const SECRET_LEN: usize = 5 * 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Rng;
    use crate::types::Seed;

    #[test]
    fn both_sides_reach_the_same_keys() {
        let mut rng = Rng::new(&Seed::new([1; 32]));
        let mut pair = || KeyPair::generate(&mut rng);
        let (alice, base, bob, signed, once) = (pair(), pair(), pair(), pair(), pair());
        for once in [None, Some(&once)] {
            let ours = initiate(&alice, &base, &bob.public, &signed.public, once.map(|pair| &pair.public)).unwrap();
            let theirs = respond(&bob, &signed, once, &alice.public, &base.public).unwrap();
            assert!(ours == theirs);
        }
    }
}
