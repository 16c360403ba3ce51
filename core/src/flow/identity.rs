//! Identities that change: a phone that is registered anew has another key, and every session with its old devices is
//! worth nothing. Nothing is ever blocked; the application is told once, whoever says it first.

use super::{Stop, Txn, devices, inbox, peers};
use crate::api::{Event, IdentityChange};
use crate::crypto::PublicKey;
use crate::signal::{Archive, Session};
use crate::state::peer::PeerId;
use crate::state::ratchets::{Identity, IdentitySeen};
use crate::types::Jid;

/// Takes the identity that a device has proved. Another one of a phone is a new registration: sessions with the
/// companions of the old one go, before the caller writes the session with this device.
pub(crate) fn shown(txn: &mut Txn<'_>, peer: PeerId, device: u16, identity: &PublicKey) -> Result<(), Stop> {
    let id = peer.device_id(device);
    let known = txn.read::<Identity>(id.clone())?;
    if device == 0 && peer != PeerId::SELF && known.is_some_and(|known| known.0 != *identity) {
        for other in peers::read(txn, peer)?.devices.into_iter().filter(|other| *other != 0) {
            forget(txn, peer, other);
        }
        let now = txn.now.unix_seconds();
        txn.write(peer.record_id(), &IdentitySeen(now));
        devices::outdate(txn, peer)?;
        tell(txn, peer)?;
    }
    txn.write(id, &Identity(*identity));
    Ok(())
}

/// The server says, of the time `at` (seconds since 1970), that `user` has registered anew.
pub(crate) fn changed(txn: &mut Txn<'_>, user: &Jid, at: Option<u64>) -> Result<(), Stop> {
    // Companions come and go; their keys are told with the device list.
    if user.device() != 0 {
        return Ok(());
    }
    let Some(peer) = peers::find(txn, user)?.filter(|peer| *peer != PeerId::SELF) else { return Ok(()) };
    let seen = txn.read::<IdentitySeen>(peer.record_id())?;
    if let (Some(IdentitySeen(seen)), Some(at)) = (seen, at)
        && at <= seen
    {
        // The new identity has shown itself before the news of it came.
        return Ok(());
    }
    let devices = peers::read(txn, peer)?.devices;
    let was_met = !devices.is_empty() || txn.read::<Identity>(peer.device_id(0))?.is_some();
    devices.into_iter().chain([0]).for_each(|device| forget(txn, peer, device));
    devices::changed(txn, user)?;
    if was_met {
        txn.write(peer.record_id(), &IdentitySeen(at.unwrap_or_else(|| txn.now.unix_seconds())));
        tell(txn, peer)?;
    }
    Ok(())
}

fn forget(txn: &mut Txn<'_>, peer: PeerId, device: u16) {
    let id = peer.device_id(device);
    txn.delete::<Session>(id.clone());
    txn.delete::<Archive>(id.clone());
    txn.delete::<Identity>(id);
}

fn tell(txn: &mut Txn<'_>, peer: PeerId) -> Result<(), Stop> {
    let user_aliases = peers::aliases(txn, peer)?;
    let Some(user) = user_aliases.lid.clone().or_else(|| user_aliases.pn.clone()) else { return Ok(()) };
    inbox::deliver(txn, Event::IdentityChanged(Box::new(IdentityChange { user, user_aliases })))?;
    Ok(())
}
