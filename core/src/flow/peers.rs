//! Who an address belongs to, and what is known of them. What is believed of addresses is decided in `learn`.

use super::{Live, Txn};
use crate::api::Aliases;
use crate::state::Miss;
use crate::state::peer::{Alias, AliasSource, COUNTER_ID, Claim, Peer, PeerCounter, PeerId, alias_id, canonical};
use crate::types::Jid;
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
    let counter = txn.read::<PeerCounter>(COUNTER_ID)?.unwrap_or_default();
    let (id, jid) = (PeerId(counter.next), canonical(jid));
    let mut peer = Peer::default();
    let claim = Claim { source: AliasSource::Met, learned: txn.now.unix_seconds() };
    txn.write(alias_id(&jid), &Alias { peer: id, claim });
    if jid.is_lid_family() {
        peer.lid = Some(jid);
    } else if jid.is_pn_family() {
        peer.pn = Some(jid);
    } else {
        // Neither: still it must be found when everything of the peer is deleted.
        peer.former.push(alias_id(&jid));
    }
    txn.write(COUNTER_ID, &PeerCounter { next: counter.next + 1, ..counter });
    txn.write(id.record_id(), &peer);
    Ok(id)
}

/// Who `jid` belongs to, this account included; a new peer if it was never met.
pub(crate) fn of(txn: &mut Txn<'_>, live: &Live, jid: &Jid) -> Result<PeerId, Miss> {
    if live.me.as_ref().is_some_and(|me| me.is_me(jid)) { Ok(PeerId::SELF) } else { resolve(txn, jid) }
}

/// All known addresses of the user that `jid` names: at least this one. None for what is not a user.
pub(crate) fn known(txn: &mut Txn<'_>, live: &Live, jid: &Jid) -> Result<Aliases, Miss> {
    if !jid.is_pn_family() && !jid.is_lid_family() {
        return Ok(Aliases::default());
    }
    let is_me = live.me.as_ref().is_some_and(|me| me.is_me(jid));
    let mut known = match if is_me { Some(PeerId::SELF) } else { find(txn, jid)? } {
        Some(peer) => aliases(txn, peer)?,
        None => Aliases::default(),
    };
    let named = if jid.is_lid_family() { &mut known.lid } else { &mut known.pn };
    named.get_or_insert_with(|| canonical(jid));
    Ok(known)
}

/// All known addresses of a peer.
pub(crate) fn aliases(txn: &mut Txn<'_>, peer: PeerId) -> Result<Aliases, Miss> {
    let Peer { pn, lid, username, .. } = read(txn, peer)?;
    Ok(Aliases { pn, lid, username })
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

/// Notes in `peer` that the address or name of the alias record `former` was its own before. For one too many the oldest
/// is forgotten, so that the table of addresses does not grow without end.
pub(crate) fn remember_former(txn: &mut Txn<'_>, id: PeerId, peer: &mut Peer, former: Bytes) -> Result<(), Miss> {
    if let Some(forgotten) = peer.remember_former(former)
        && txn.read::<Alias>(forgotten.clone())?.is_some_and(|alias| alias.peer == id)
    {
        txn.delete::<Alias>(forgotten);
    }
    Ok(())
}
