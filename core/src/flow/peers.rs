//! Addresses of peers: finding who an address belongs to, and learning that two addresses are one peer.

use super::Txn;
use crate::api::{Aliases, Key};
use crate::signal::{Archive, Session};
use crate::state::Miss;
use crate::state::Stored;
use crate::state::peer::{Alias, COUNTER_ID, Peer, PeerCounter, PeerId};
use crate::state::ratchets::Identity;
use crate::types::{Jid, Server};
use bytes::Bytes;

/// Who `jid` belongs to, if it was ever met.
pub(crate) fn find(txn: &mut Txn<'_>, jid: &Jid) -> Result<Option<PeerId>, Miss> {
    Ok(txn.read::<Alias>(alias_id(jid))?.map(|alias| alias.peer))
}

/// Who `jid` belongs to; a new peer if it was never met.
pub(crate) fn resolve(txn: &mut Txn<'_>, jid: &Jid) -> Result<PeerId, Miss> {
    if let Some(peer) = find(txn, jid)? {
        return Ok(peer);
    }
    let PeerCounter(next) = txn.read::<PeerCounter>(COUNTER_ID)?.unwrap_or_default();
    let id = PeerId(next);
    let mut peer = Peer::default();
    set_alias(txn, id, &mut peer, jid);
    txn.write(COUNTER_ID, &PeerCounter(next + 1));
    txn.write(id.record_id(), &peer);
    Ok(id)
}

/// Learns that `pn` and `lid` are the same peer. A peer that was met by phone number only simply gets its LID; where
/// both were already known as two, the one met by number is folded into the other in the same commit; and a number that
/// belonged to somebody with another LID has moved to a new owner, who inherits nothing.
pub(crate) fn learn(txn: &mut Txn<'_>, pn: &Jid, lid: &Jid) -> Result<(), Miss> {
    txn.expect([Alias::key(alias_id(pn)), Alias::key(alias_id(lid))])?;
    let (by_pn, by_lid) = (find(txn, pn)?, find(txn, lid)?);
    if by_pn == by_lid && by_pn.is_some() {
        return Ok(());
    }
    if by_pn == Some(PeerId::SELF) || by_lid == Some(PeerId::SELF) {
        // Both own addresses are known from linking; whoever claims another pair is wrong.
        return Ok(());
    }
    let Some(old) = by_pn else {
        let peer = resolve(txn, lid)?;
        return add_alias(txn, peer, pn);
    };
    let mut old_peer = read(txn, old)?;
    if old_peer.lid.is_some() {
        old_peer.pn = None;
        txn.write(old.record_id(), &old_peer);
        let peer = resolve(txn, lid)?;
        return add_alias(txn, peer, pn);
    }
    match by_lid {
        None => add_alias(txn, old, lid),
        Some(peer) => fold(txn, old, peer, pn),
    }
}

/// Own addresses, as linking and the server state them.
pub(crate) fn set_own(txn: &mut Txn<'_>, pn: &Jid, lid: Option<&Jid>) -> Result<(), Miss> {
    let mut own = read(txn, PeerId::SELF)?;
    set_alias(txn, PeerId::SELF, &mut own, pn);
    if let Some(lid) = lid {
        set_alias(txn, PeerId::SELF, &mut own, lid);
    }
    txn.write(PeerId::SELF.record_id(), &own);
    Ok(())
}

/// All known addresses of a peer.
pub(crate) fn aliases(txn: &mut Txn<'_>, peer: PeerId) -> Result<Aliases, Miss> {
    let Peer { pn, lid, .. } = read(txn, peer)?;
    Ok(Aliases { pn, lid })
}

/// What is known of a peer.
pub(crate) fn read(txn: &mut Txn<'_>, peer: PeerId) -> Result<Peer, Miss> {
    Ok(txn.read::<Peer>(peer.record_id())?.unwrap_or_default())
}

/// Notes that there is a session with `device`, so that it can be found without a scan.
pub(crate) fn note_device(txn: &mut Txn<'_>, id: PeerId, device: u16) -> Result<(), Miss> {
    let mut peer = read(txn, id)?;
    if let Err(at) = peer.devices.binary_search(&device) {
        peer.devices.insert(at, device);
        txn.write(id.record_id(), &peer);
    }
    Ok(())
}

/// The record that says who `jid` belongs to. Each family of servers names one set of users.
pub(crate) fn alias_id(jid: &Jid) -> Bytes {
    Bytes::from(canonical(jid).to_string())
}

fn canonical(jid: &Jid) -> Jid {
    match jid.server() {
        Server::Whatsapp | Server::Hosted | Server::LegacyUser => Jid::new(jid.user(), Server::Whatsapp),
        Server::Lid | Server::HostedLid => Jid::new(jid.user(), Server::Lid),
        _ => jid.to_user(),
    }
}

fn add_alias(txn: &mut Txn<'_>, id: PeerId, jid: &Jid) -> Result<(), Miss> {
    let mut peer = read(txn, id)?;
    set_alias(txn, id, &mut peer, jid);
    txn.write(id.record_id(), &peer);
    Ok(())
}

fn set_alias(txn: &mut Txn<'_>, id: PeerId, peer: &mut Peer, jid: &Jid) {
    let jid = canonical(jid);
    txn.write(alias_id(&jid), &Alias { peer: id, learned: txn.now.unix_seconds() });
    match jid.server() {
        Server::Lid => peer.lid = Some(jid),
        Server::Whatsapp => peer.pn = Some(jid),
        _ => {}
    }
}

/// Moves the sessions of `from` to `to` where `to` has none of its own; a session that exists under the LID is the
/// newer one and stays.
fn fold(txn: &mut Txn<'_>, from: PeerId, to: PeerId, pn: &Jid) -> Result<(), Miss> {
    txn.expect([Peer::key(from.record_id()), Peer::key(to.record_id())])?;
    let old = read(txn, from)?;
    let mut new = read(txn, to)?;
    let moving: Vec<u16> = old.devices.iter().copied().filter(|device| !new.devices.contains(device)).collect();
    txn.expect(moving.iter().flat_map(|device| device_keys(from, *device)))?;
    for device in &moving {
        let (old_id, new_id) = (from.device_id(*device), to.device_id(*device));
        if let Some(session) = txn.read::<Session>(old_id.clone())? {
            txn.write(new_id.clone(), &session);
        }
        if let Some(archive) = txn.read::<Archive>(old_id.clone())? {
            txn.write(new_id.clone(), &archive);
        }
        if let Some(identity) = txn.read::<Identity>(old_id)? {
            txn.write(new_id, &identity);
        }
    }
    for device in &old.devices {
        let id = from.device_id(*device);
        txn.delete::<Session>(id.clone());
        txn.delete::<Archive>(id.clone());
        txn.delete::<Identity>(id);
    }
    new.devices.extend(moving);
    new.devices.sort_unstable();
    set_alias(txn, to, &mut new, pn);
    txn.write(to.record_id(), &new);
    txn.delete::<Peer>(from.record_id());
    txn.delete::<crate::state::devices::DeviceList>(from.record_id());
    Ok(())
}

fn device_keys(peer: PeerId, device: u16) -> [Key; 3] {
    let id = Bytes::from(peer.device_id(device));
    [Session::key(id.clone()), Archive::key(id.clone()), Identity::key(id)]
}
