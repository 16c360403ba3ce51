//! Two peers that turn out to be one: everything kept of the first goes to the second, in one commit.
//!
//! Of two sessions with a device the second peer's stays the one that is sent in, the other goes to its archive, where
//! what is still under way finds it. Sessions are only kept with the identity that is kept: that the server says two
//! addresses are one user's does not make one's key the other's, least of all a stranger's that of an own device. What
//! is lost by that is asked for again.

use super::{Txn, peers};
use crate::api::Key;
use crate::signal::{Archive, Session};
use crate::state::asked::{self, Asked};
use crate::state::devices::DeviceList;
use crate::state::peer::{Alias, Peer, PeerId, alias_id, username_id};
use crate::state::ratchets::{Identity, IdentitySeen};
use crate::state::resends::{Allowance, allowance_id};
use crate::state::spent::{self, SpentPreKeys};
use crate::state::tokens::ContactTokens;
use crate::state::{Miss, Stored};
use bytes::Bytes;

/// Folds `from` into `to`. Addresses that `to` lacks become its own; others become former ones of it. Sends that wait
/// find `to` by themselves, by their chat's address.
pub(crate) fn fold(txn: &mut Txn<'_>, from: PeerId, to: PeerId) -> Result<(), Miss> {
    if from == to || from == PeerId::SELF {
        return Ok(());
    }
    txn.expect([from, to].map(|peer| Peer::key(peer.record_id())))?;
    let (old, mut new) = (peers::read(txn, from)?, peers::read(txn, to)?);
    // The phone's key may be known without a session.
    let devices: Vec<u16> = old.devices.iter().copied().filter(|device| *device != 0).chain([0]).collect();
    let records = devices.iter().flat_map(|device| [from.device_id(*device), to.device_id(*device)]);
    txn.expect(records.flat_map(device_keys).chain(old.alias_ids().map(Alias::key)))?;

    for device in devices {
        fold_device(txn, from, to, device)?;
    }
    // Every kind of record that is kept once for each peer has a line here.
    move_unless_better::<DeviceList>(txn, [from, to].map(PeerId::record_id), |moving, there| {
        (there.signed_at, there.fetched) >= (moving.signed_at, moving.fetched)
    })?;
    move_unless_better::<IdentitySeen>(txn, [from, to].map(PeerId::record_id), |moving, there| there.0 >= moving.0)?;
    move_unless_better::<Allowance>(txn, [from, to].map(allowance_id), |_, _| true)?;
    join_tokens(txn, from, to)?;
    rename_asked(txn, from, to)?;
    rename_given(txn, from, to)?;

    take_addresses(txn, from, to, &old, &mut new)?;
    new.devices.extend(old.devices);
    new.devices.sort_unstable();
    new.devices.dedup();
    if to != PeerId::SELF {
        // Whoever gave sender keys out under an own address was not an own device for sure.
        new.remember_folded(old.folded.into_iter().chain([from]));
    }
    txn.write(to.record_id(), &new);
    txn.delete::<Peer>(from.record_id());
    Ok(())
}

fn fold_device(txn: &mut Txn<'_>, from: PeerId, to: PeerId, device: u16) -> Result<(), Miss> {
    let is_own = to == PeerId::SELF;
    let (from, to) = (from.device_id(device), to.device_id(device));
    let (moving, standing) = (txn.read::<Identity>(from.clone())?, txn.read::<Identity>(to.clone())?);
    // Own devices are known from linking, or vouched for by the phone; nobody becomes one by an address.
    let kept = standing.or(moving.filter(|_| !is_own)).map(|identity| identity.0);
    let is_theirs = |session: &Session| match &kept {
        Some(identity) => session.remote_identity() == identity,
        None => !is_own,
    };
    let session = txn.read::<Session>(from.clone())?.filter(is_theirs);
    let mut archived = txn.read::<Archive>(from.clone())?;
    if let Some(archived) = &mut archived {
        archived.retain(is_theirs, session.as_ref());
    }
    let has_own = txn.read::<Session>(to.clone())?.is_some();
    let mut archive = txn.read::<Archive>(to.clone())?.unwrap_or_default();
    let had = (archive.len(), archive.skipped_keys());
    match session {
        Some(session) if has_own => archive.push_behind(session),
        Some(session) => txn.write(to.clone(), &session),
        None => {}
    }
    if let Some(archived) = archived {
        archive.absorb(archived);
    }
    if had != (archive.len(), archive.skipped_keys()) {
        txn.write(to.clone(), &archive);
    }
    if let (Some(identity), None) = (kept, standing) {
        txn.write(to, &Identity(identity));
    }
    txn.delete::<Session>(from.clone());
    txn.delete::<Archive>(from.clone());
    txn.delete::<Identity>(from);
    Ok(())
}

/// Moves a record that is kept once for each peer, unless `is_better` says that of the one there.
fn move_unless_better<T: Stored>(
    txn: &mut Txn<'_>,
    [from, to]: [Vec<u8>; 2],
    is_better: impl Fn(&T, &T) -> bool,
) -> Result<(), Miss> {
    let Some(moving) = txn.read::<T>(from.clone())? else { return Ok(()) };
    let there = txn.read::<T>(to.clone())?;
    if !there.is_some_and(|there| is_better(&moving, &there)) {
        txn.write(to, &moving);
    }
    txn.delete::<T>(from);
    Ok(())
}

/// Either may have issued the newer token.
fn join_tokens(txn: &mut Txn<'_>, from: PeerId, to: PeerId) -> Result<(), Miss> {
    if let Some(moving) = txn.read::<ContactTokens>(from.record_id())? {
        let there = txn.read::<ContactTokens>(to.record_id())?.unwrap_or_default();
        txn.write(to.record_id(), &there.joined(moving));
        txn.delete::<ContactTokens>(from.record_id());
    }
    Ok(())
}

/// A copy of a message may come from the address that the message did not come from.
fn rename_asked(txn: &mut Txn<'_>, from: PeerId, to: PeerId) -> Result<(), Miss> {
    if let Some(mut asked) = txn.read::<Asked>(asked::ID)?
        && asked.rename(&from.record_id(), &to.record_id())
    {
        txn.write(asked::ID, &asked);
    }
    Ok(())
}

/// What a device was given counts for it under whichever address.
fn rename_given(txn: &mut Txn<'_>, from: PeerId, to: PeerId) -> Result<(), Miss> {
    if let Some(mut spent) = txn.read::<SpentPreKeys>(spent::ID)?
        && spent.rename(&from.record_id(), &to.record_id())
    {
        txn.write(spent::ID, &spent);
    }
    Ok(())
}

fn take_addresses(txn: &mut Txn<'_>, from: PeerId, to: PeerId, old: &Peer, new: &mut Peer) -> Result<(), Miss> {
    for id in old.alias_ids() {
        // A former address may be somebody else's by now.
        if let Some(alias) = txn.read::<Alias>(id.clone())?.filter(|alias| alias.peer == from) {
            txn.write(id, &Alias { peer: to, ..alias });
        }
    }
    let mut former: Vec<Bytes> = old.former.clone();
    for (mine, theirs) in [(&mut new.pn, &old.pn), (&mut new.lid, &old.lid)] {
        match theirs {
            Some(address) if mine.is_none() => *mine = Some(address.clone()),
            Some(address) if mine.as_ref() != Some(address) => former.push(alias_id(address)),
            _ => {}
        }
    }
    match &old.username {
        Some(name) if new.username.is_none() => new.username = Some(name.clone()),
        Some(name) => former.push(username_id(name)),
        None => {}
    }
    for id in former {
        peers::remember_former(txn, to, new, id)?;
    }
    Ok(())
}

fn device_keys(id: Vec<u8>) -> [Key; 3] {
    let id = Bytes::from(id);
    [Session::key(id.clone()), Archive::key(id.clone()), Identity::key(id)]
}
