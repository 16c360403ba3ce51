//! Sessions out of nothing: the server hands out a bundle of keys for each device.

use super::{Failure, Need, Reply, Step, Stop, Txn, identity, peers, query};
use crate::crypto::{PublicKey, Signature};
use crate::pairing::adv;
use crate::signal::{
    Archive, LocalIdentity, PreKeyId, PublicPreKey, PublicSignedPreKey, RegistrationId, Session, SignedPreKeyId,
};
use crate::stanza::{self, BundleError, FetchBundles};
use crate::state::account::{self, Account};
use crate::state::peer::PeerId;
use crate::state::ratchets::Identity;
use crate::types::Jid;

/// Takes the server's answer: a session for each bundle that is authentic.
pub(crate) fn answered(txn: &mut Txn<'_>, devices: &[Jid], reply: &Reply) -> Result<(), Stop> {
    let found = query::parsed::<FetchBundles>(reply);
    for device in devices {
        let result = match &found {
            Err(failure) => Err(*failure),
            Ok(found) => match found.devices.iter().find(|(jid, _)| jid == device) {
                None => Err(Failure::Gone),
                Some((_, Err(BundleError::Refused(error)))) if error.code == 406 => Err(Failure::Gone),
                Some((_, Err(BundleError::Refused(error)))) => Err(Failure::Refused(error.code)),
                Some((_, Err(_))) => Err(Failure::Unusable),
                Some((_, Ok(bundle))) => start(txn, device, bundle)?,
            },
        };
        if result == Err(Failure::Gone) {
            super::devices::changed(txn, device)?;
        }
        txn.change(Step::Settle(Need::Session(device.clone()), result));
    }
    Ok(())
}

/// Starts a session with `device`; the one there was before, if any, goes to the archive.
pub(crate) fn start(
    txn: &mut Txn<'_>,
    device: &Jid,
    bundle: &stanza::PreKeyBundle,
) -> Result<Result<(), Failure>, Stop> {
    let Some(account) = txn.read::<Account>(account::ID)? else { return Ok(Err(Failure::Unusable)) };
    let peer = peers::resolve(txn, device)?;
    let id = peer.device_id(device.device());
    let old = txn.read::<Session>(id.clone())?;
    let primary = txn.read::<Identity>(peer.device_id(0))?;
    let identity = PublicKey::from_bytes(bundle.identity);

    // The own phone's key was checked when this device was linked.
    if peer == PeerId::SELF && device.device() == 0 && primary.as_ref().is_some_and(|known| known.0 != identity) {
        return Ok(Err(Failure::Unusable));
    }
    // A companion that nobody vouches for gets no message.
    let vouched_for = |statement| is_authentic(statement, &identity, primary.as_ref());
    if device.device() != 0 && !bundle.device_identity.as_deref().is_some_and(vouched_for) {
        return Ok(Err(Failure::Unusable));
    }
    let Some(verified) = keys_of(bundle, identity).and_then(|keys| keys.verify().ok()) else {
        return Ok(Err(Failure::Unusable));
    };
    let own = LocalIdentity { keys: &account.identity, registration_id: account.registration_id };
    let Ok(session) = Session::initiate(own, &verified, txn.rng) else { return Ok(Err(Failure::Unusable)) };
    identity::shown(txn, peer, device.device(), &identity)?;
    if let Some(old) = old {
        let mut archive = txn.read::<Archive>(id.clone())?.unwrap_or_default();
        archive.push(old);
        txn.write(id.clone(), &archive);
    }
    txn.write(id, &session);
    peers::note_device(txn, peer, device.device())?;
    Ok(Ok(()))
}

fn keys_of(bundle: &stanza::PreKeyBundle, identity: PublicKey) -> Option<crate::signal::PreKeyBundle> {
    let signed_prekey = PublicSignedPreKey {
        id: SignedPreKeyId::new(bundle.signed.id)?,
        key: PublicKey::from_bytes(bundle.signed.key),
        signature: Signature(bundle.signed.signature),
    };
    let prekey = match &bundle.one_time {
        None => None,
        Some(key) => Some(PublicPreKey { id: PreKeyId::new(key.id)?, key: PublicKey::from_bytes(key.key) }),
    };
    let registration_id = RegistrationId(bundle.registration);
    Some(crate::signal::PreKeyBundle { registration_id, identity, signed_prekey, prekey })
}

/// Whether the phone of the user has signed this companion. A phone whose key is not known yet is taken at its word.
pub(crate) fn is_authentic(statement: &[u8], identity: &PublicKey, primary: Option<&Identity>) -> bool {
    let known = primary.map(|primary| primary.0);
    match adv::verify_device_identity(statement, identity, known.as_ref()) {
        // A statement brings its own key along; it proves nothing unless that is the phone's.
        Ok(found) => known.is_none() || found.account_key == known,
        Err(_) => false,
    }
}
