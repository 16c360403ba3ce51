//! Learning that addresses and names are one user's: whose word counts, what changes hands, what stays.
//!
//! The server writes the other addresses into stanzas itself, never the sender. A statement that contradicts what is
//! known counts unless it is older or comes from somebody who knows less.

use super::fold::fold;
use super::peers::{find, read, remember_former, resolve};
use super::{Live, Me, Step, Stop, Txn};
use crate::message::LidMapping;
use crate::stanza::{Alternates, NumberChange, ReturnAddress};
use crate::state::account::{self, Account};
use crate::state::peer::{Alias, AliasSource, Claim, Peer, PeerId, alias_id, canonical, username_id};
use crate::state::{Miss, Stored};
use crate::types::{Jid, Username};

/// What the server states of the time `at` (seconds since 1970), now if it does not say. It may have waited for weeks.
pub(crate) fn claim(txn: &Txn<'_>, source: AliasSource, at: Option<u64>) -> Claim {
    let now = txn.now.unix_seconds();
    Claim { source, learned: at.map_or(now, |at| at.min(now)) }
}

/// Learns that `pn` and `lid` are one peer. A peer that was met by phone number only simply gets its LID; where both were
/// already known as two, the one met by number is folded into the other; and a number that belonged to somebody with
/// another LID has moved to a new owner, who inherits nothing.
pub(crate) fn pair(txn: &mut Txn<'_>, pn: &Jid, lid: &Jid, claim: Claim) -> Result<(), Miss> {
    let (pn, lid) = (canonical(pn), canonical(lid));
    txn.expect([Alias::key(alias_id(&pn)), Alias::key(alias_id(&lid))])?;
    let (by_pn, by_lid) = (txn.read::<Alias>(alias_id(&pn))?, txn.read::<Alias>(alias_id(&lid))?);
    // What nearly every stanza says again costs no more than this.
    if let (Some(one), Some(other)) = (by_pn, by_lid)
        && one.peer == other.peer
        && !claim.refreshes(&one.claim)
        && !claim.refreshes(&other.claim)
    {
        let peer = read(txn, one.peer)?;
        if peer.pn.as_ref() == Some(&pn) && peer.lid.as_ref() == Some(&lid) {
            return Ok(());
        }
    }
    let (by_pn, by_lid) = (by_pn.map(|alias| alias.peer), by_lid.map(|alias| alias.peer));
    if by_pn == Some(PeerId::SELF) || by_lid == Some(PeerId::SELF) {
        // Own addresses come from the server directly; whoever claims another pair is wrong.
        return Ok(());
    }
    let peer = match (by_pn, by_lid) {
        (_, Some(peer)) => peer,
        (Some(peer), None) if read(txn, peer)?.lid.is_none() => peer,
        _ => resolve(txn, &lid)?,
    };
    unite(txn, peer, &lid, claim)?;
    unite(txn, peer, &pn, claim)
}

/// Learns that `peer` has chosen `name`. A name can change hands.
pub(crate) fn name(txn: &mut Txn<'_>, id: PeerId, name: &Username, claim: Claim) -> Result<(), Miss> {
    let mut peer = read(txn, id)?;
    if peer.username.as_ref() == Some(name) {
        return Ok(());
    }
    let record = username_id(name);
    if let Some(standing) = txn.read::<Alias>(record.clone())?.filter(|standing| standing.peer != id) {
        if !claim.supersedes(&standing.claim) {
            return Ok(());
        }
        let mut other = read(txn, standing.peer)?;
        other.username.take_if(|theirs| theirs.folded() == name.folded());
        txn.write(standing.peer.record_id(), &other);
    }
    if let Some(replaced) = &peer.username {
        let former = username_id(replaced);
        let standing = txn.read::<Alias>(former.clone())?.filter(|standing| standing.peer == id);
        if standing.is_some_and(|standing| !claim.supersedes(&standing.claim)) {
            return Ok(());
        }
        if former != record {
            remember_former(txn, id, &mut peer, former)?;
        }
    }
    peer.former.retain(|former| *former != record);
    peer.username = Some(name.clone());
    txn.write(record, &Alias { peer: id, claim });
    txn.write(id.record_id(), &peer);
    Ok(())
}

/// Own addresses, as the server states them. A peer that was met under one of them was another device of this account.
pub(crate) fn own(txn: &mut Txn<'_>, pn: &Jid, lid: Option<&Jid>, claim: Claim) -> Result<(), Miss> {
    for jid in [Some(pn), lid].into_iter().flatten() {
        if let Some(stranger) = find(txn, jid)? {
            fold(txn, stranger, PeerId::SELF)?;
        }
        let mut own = read(txn, PeerId::SELF)?;
        take(txn, PeerId::SELF, &mut own, &canonical(jid), claim)?;
        txn.write(PeerId::SELF.record_id(), &own);
    }
    Ok(())
}

/// What the attributes of a stanza teach: before decrypting, since sessions are kept under the peer.
pub(crate) fn beside_stanza(
    txn: &mut Txn<'_>,
    live: &Live,
    address: &ReturnAddress,
    others: &Alternates,
    at: Option<u64>,
) -> Result<(), Stop> {
    let Some(me) = &live.me else { return Ok(()) };
    let claim = claim(txn, AliasSource::StanzaAttribute, at);
    let sender = address.participant.as_ref().unwrap_or(&address.from);
    let stated = [&others.participant_pn, &others.participant_lid, &others.sender_pn, &others.sender_lid];
    for other in stated.into_iter().flatten() {
        stated_pair(txn, me, sender, other, claim)?;
    }
    let username = if address.participant.is_some() { &others.participant_username } else { &others.username };
    stated_name(txn, sender, username.as_ref(), claim)?;
    let Some(recipient) = &address.recipient else { return Ok(()) };
    let stated = [&others.recipient_pn, &others.recipient_lid, &others.peer_recipient_pn, &others.peer_recipient_lid];
    for other in stated.into_iter().flatten() {
        stated_pair(txn, me, recipient, other, claim)?;
    }
    if let Some(latest) = others.recipient_latest_lid.as_ref().filter(|latest| latest.is_lid_family()) {
        successor(txn, recipient, latest, claim)?;
    }
    stated_name(txn, recipient, others.recipient_username.as_ref(), claim)
}

/// A user's phone number has changed, and perhaps the LID: the peer stays, with all its sessions.
pub(crate) fn number_changed(
    txn: &mut Txn<'_>,
    live: &Live,
    change: &NumberChange,
    at: Option<u64>,
) -> Result<(), Stop> {
    let claim = claim(txn, AliasSource::Notification, at);
    let mut peer = None;
    for jid in [change.old_lid.as_ref(), Some(&change.old), change.new_lid.as_ref()].into_iter().flatten() {
        if peer.is_none() {
            peer = find(txn, jid)?;
        }
    }
    let Some(peer) = peer else { return Ok(()) };
    for jid in [change.new_lid.as_ref(), Some(&change.new)].into_iter().flatten() {
        if jid.is_lid_family() || jid.is_pn_family() {
            unite(txn, peer, jid, claim)?;
        }
    }
    if let (PeerId::SELF, Some(me)) = (peer, &live.me) {
        let lid = change.new_lid.as_ref().or(me.lid.as_ref());
        become_known_as(txn, me, &change.new, lid)?;
    }
    Ok(())
}

/// The table of this account's phone. Who has a newer LID than the one assigned is known under both.
pub(crate) fn from_phone(txn: &mut Txn<'_>, mappings: &[LidMapping]) -> Result<(), Stop> {
    let claim = claim(txn, AliasSource::PhoneMapping, None);
    let addresses = |mapping: &LidMapping| {
        let latest = mapping.latest.as_ref().map(alias_id);
        [Some(alias_id(&mapping.pn)), Some(alias_id(&mapping.assigned)), latest].into_iter().flatten()
    };
    txn.expect(mappings.iter().flat_map(addresses).map(Alias::key))?;
    for mapping in mappings {
        pair(txn, &mapping.pn, &mapping.assigned, claim)?;
        if let Some(latest) = &mapping.latest {
            successor(txn, &mapping.assigned, latest, claim)?;
        }
    }
    Ok(())
}

/// Who had the address `before` has the LID `now`.
fn successor(txn: &mut Txn<'_>, before: &Jid, now: &Jid, claim: Claim) -> Result<(), Stop> {
    match find(txn, before)? {
        Some(peer) if peer != PeerId::SELF => Ok(unite(txn, peer, now, claim)?),
        _ => Ok(()),
    }
}

fn stated_pair(txn: &mut Txn<'_>, me: &Me, one: &Jid, other: &Jid, claim: Claim) -> Result<(), Stop> {
    let (pn, lid) = match (one.is_lid_family(), other.is_lid_family()) {
        (true, false) if other.is_pn_family() => (other, one),
        (false, true) if one.is_pn_family() => (one, other),
        _ => return Ok(()),
    };
    if me.lid.is_none() && me.is_me(pn) && !me.is_me(lid) {
        return own_lid(txn, me, lid, claim);
    }
    Ok(pair(txn, pn, lid, claim)?)
}

fn stated_name(txn: &mut Txn<'_>, jid: &Jid, stated: Option<&Username>, claim: Claim) -> Result<(), Stop> {
    if let Some(stated) = stated {
        let peer = resolve(txn, jid)?;
        name(txn, peer, stated, claim)?;
    }
    Ok(())
}

/// This account has a LID, and a stanza says so before a login does.
fn own_lid(txn: &mut Txn<'_>, me: &Me, lid: &Jid, claim: Claim) -> Result<(), Stop> {
    own(txn, &me.pn, Some(lid), claim)?;
    become_known_as(txn, me, &me.pn, Some(lid))
}

fn become_known_as(txn: &mut Txn<'_>, me: &Me, pn: &Jid, lid: Option<&Jid>) -> Result<(), Stop> {
    let Some(mut account) = txn.read::<Account>(account::ID)? else { return Ok(()) };
    let Some(linked) = &mut account.linked else { return Ok(()) };
    let device = me.pn.device();
    linked.pn = pn.clone().with_device(device);
    linked.lid = lid.map(|lid| lid.clone().with_device(device));
    txn.change(Step::Me(Me { pn: linked.pn.clone(), lid: linked.lid.clone() }));
    txn.write(account::ID, &account);
    Ok(())
}

/// Makes `jid` an address of `id`, whoever had it.
fn unite(txn: &mut Txn<'_>, id: PeerId, jid: &Jid, claim: Claim) -> Result<(), Miss> {
    let jid = canonical(jid);
    let standing = txn.read::<Alias>(alias_id(&jid))?;
    match standing {
        Some(standing) if standing.peer == id => {}
        Some(standing) if standing.peer == PeerId::SELF => return Ok(()),
        Some(standing) if jid.is_pn_family() && read(txn, standing.peer)?.lid.is_some() => {
            if !claim.supersedes(&standing.claim) {
                return Ok(());
            }
            let mut before = read(txn, standing.peer)?;
            before.pn.take_if(|pn| *pn == jid);
            remember_former(txn, standing.peer, &mut before, alias_id(&jid))?;
            txn.write(standing.peer.record_id(), &before);
        }
        Some(standing) => fold(txn, standing.peer, id)?,
        None => {}
    }
    let mut peer = read(txn, id)?;
    let before = peer.clone();
    take(txn, id, &mut peer, &jid, claim)?;
    if peer != before {
        txn.write(id.record_id(), &peer);
    }
    Ok(())
}

/// Makes `jid` an address of `peer`: the one in use, unless what is known of that is better; then a former one.
fn take(txn: &mut Txn<'_>, id: PeerId, peer: &mut Peer, jid: &Jid, claim: Claim) -> Result<(), Miss> {
    let record = alias_id(jid);
    let standing = txn.read::<Alias>(record.clone())?.filter(|standing| standing.peer == id);
    if standing.is_none_or(|standing| claim.refreshes(&standing.claim)) {
        txn.write(record.clone(), &Alias { peer: id, claim });
    }
    let in_use = if jid.is_lid_family() { &mut peer.lid } else { &mut peer.pn };
    match in_use.clone() {
        Some(current) if current == *jid => return Ok(()),
        Some(current) => {
            let known = txn.read::<Alias>(alias_id(&current))?.filter(|known| known.peer == id);
            if known.is_some_and(|known| !claim.supersedes(&known.claim)) {
                return remember_former(txn, id, peer, record);
            }
            *in_use = Some(jid.clone());
            // It is the one in use again: what confirms it counts from now.
            txn.write(record.clone(), &Alias { peer: id, claim });
            remember_former(txn, id, peer, alias_id(&current))?;
        }
        None => *in_use = Some(jid.clone()),
    }
    peer.former.retain(|former| *former != record);
    Ok(())
}
