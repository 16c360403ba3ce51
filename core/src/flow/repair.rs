//! Devices that a send missed: found by the server's hash over all devices of both sides, made good under the same id.
//!
//! One round for each send. The server has the message by then, so whatever goes wrong here is told, not tried again.

use super::fanout::{self, Fanout};
use super::{Effect, Job, Live, Me, Progress, Settled, Step, Stop, Txn, devices, peers, send};
use crate::api::{DeviceOutcome, ListCheck, SendResult, SkipReason};
use crate::message::phash;
use crate::stanza::IncomingAck;
use crate::state::devices::DeviceList;
use crate::state::outbox::{Entry, EntryState, Repair, record_id};
use crate::state::peer::PeerId;
use crate::types::Jid;

/// What the server's hash says about a send.
pub(crate) enum Check {
    /// Both mean the same devices.
    Agreed,
    /// The lists are to be fetched again.
    Stale,
    /// They were, for this very hash, and did not explain it.
    KnownToDiffer,
}

/// Compares the server's hash with the devices that a send was made for.
pub(crate) fn check(
    txn: &mut Txn<'_>,
    live: &Live,
    entry: &Entry,
    devices: &[(Jid, DeviceOutcome)],
    theirs: &str,
) -> Result<Check, Stop> {
    let Some(me) = &live.me else { return Ok(Check::Agreed) };
    let in_lid = devices.iter().any(|(device, _)| !me.is_me(device) && device.is_lid_family());
    let addressed = devices.iter().filter(|(_, outcome)| *outcome == DeviceOutcome::Sent);
    let sets = [addressed.map(|(device, _)| device).collect(), devices.iter().map(|(device, _)| device).collect()];
    if devices.is_empty() || sets.iter().any(|set: &Vec<&Jid>| is_hash_of(me, in_lid, set, theirs)) {
        return Ok(Check::Agreed);
    }
    let peer = peers::of(txn, live, &entry.chat)?;
    let list = txn.read::<DeviceList>(peer.record_id())?;
    let is_known = list.is_some_and(|list| list.unexplained.as_deref() == Some(theirs));
    Ok(if is_known { Check::KnownToDiffer } else { Check::Stale })
}

/// The server took the send at `taken` but knows other devices: remembers that, and puts the repair in line.
pub(crate) fn begin(
    txn: &mut Txn<'_>,
    live: &Live,
    sequence: u64,
    entry: &Entry,
    taken: u64,
    repair: Repair,
) -> Result<(), Stop> {
    let Some(me) = &live.me else { return Ok(()) };
    let peer = peers::of(txn, live, &entry.chat)?;
    // Sends in flight find out one after the other; the first of them has the lists fetched for all.
    if !explains(txn, me, entry, peer, &repair.phash)? {
        devices::outdate(txn, peer)?;
        devices::outdate(txn, PeerId::SELF)?;
    }
    let op = live.outbox.get(&sequence).and_then(|progress| progress.op);
    txn.change(Step::Progressed(sequence, Progress { op, devices: repair.devices.clone() }));
    let repair = Some(Box::new(repair));
    let entry = Entry { state: EntryState::Sent, taken: Some(taken), repair, ..entry.clone() };
    txn.write(record_id(sequence), &entry);
    txn.change(Step::Enqueue(Job::send(sequence, peer)));
    Ok(())
}

/// Sends to the devices that were missing, once the lists are fresh.
pub(crate) fn send(
    txn: &mut Txn<'_>,
    live: &Live,
    sequence: u64,
    entry: &Entry,
    repair: &Repair,
    settled: &Settled,
) -> Result<(), Stop> {
    let Some(me) = &live.me else { return Ok(()) };
    let (stanza, made) = match fanout::encrypt(txn, live, entry, settled)? {
        Fanout::Later => return Ok(()),
        Fanout::Ready { stanza, devices } => (Some(stanza), devices),
        Fanout::Nobody { devices } => (None, devices),
    };
    let peer = peers::of(txn, live, &entry.chat)?;
    let mut repair = repair.clone();
    // A list that could not be fetched again proves nothing.
    let lists = [devices::usable(txn, peer)?, devices::usable(txn, PeerId::SELF)?];
    if let [Some(theirs), Some(own)] = &lists {
        let is_listed = |device: &Jid| {
            let list = if me.is_me(device) { own } else { theirs };
            list.devices.iter().any(|listed| listed.id == device.device())
        };
        for (_, outcome) in repair.devices.iter_mut().filter(|(device, _)| !is_listed(device)) {
            *outcome = DeviceOutcome::Gone;
        }
        repair.explained = explains(txn, me, entry, peer, &repair.phash)?;
        if !repair.explained {
            let unexplained = Some(repair.phash.clone());
            txn.write(peer.record_id(), &DeviceList { unexplained, ..theirs.clone() });
        }
    }
    for (device, outcome) in made {
        repair.devices.retain(|(known, _)| *known != device);
        repair.devices.push((device, outcome));
    }
    let Some(stanza) = stanza else { return finish(txn, live, sequence, entry, repair) };
    let op = live.outbox.get(&sequence).and_then(|progress| progress.op);
    txn.change(Step::Progressed(sequence, Progress { op, devices: repair.devices.clone() }));
    txn.write(record_id(sequence), &Entry { repair: Some(Box::new(repair)), ..entry.clone() });
    txn.effect(Effect::Stanza(live.connection, stanza));
    Ok(())
}

/// Takes the server's answer to what was sent afterwards.
pub(crate) fn acked(
    txn: &mut Txn<'_>,
    live: &Live,
    sequence: u64,
    entry: &Entry,
    repair: &Repair,
    ack: &IncomingAck,
) -> Result<(), Stop> {
    let mut repair = repair.clone();
    let is_under_way = |outcome: &DeviceOutcome| *outcome == DeviceOutcome::Repaired;
    if !repair.devices.iter().any(|(_, outcome)| is_under_way(outcome)) {
        return Ok(());
    }
    if let Some(code) = ack.error {
        for (_, outcome) in repair.devices.iter_mut().filter(|(_, outcome)| is_under_way(outcome)) {
            *outcome = DeviceOutcome::Skipped(SkipReason::RepairRefused(code));
        }
    }
    finish(txn, live, sequence, entry, repair)
}

fn finish(txn: &mut Txn<'_>, live: &Live, sequence: u64, entry: &Entry, repair: Repair) -> Result<(), Stop> {
    let lists = if repair.explained { ListCheck::Repaired } else { ListCheck::Unexplained };
    let timestamp = entry.taken.unwrap_or_else(|| txn.now.unix_seconds());
    let end = send::End { result: SendResult::Accepted { timestamp }, lists, devices: repair.devices };
    send::end(txn, live, sequence, entry, end)
}

/// Whether the lists as they are now have the server's hash.
fn explains(txn: &mut Txn<'_>, me: &Me, entry: &Entry, peer: PeerId, theirs: &str) -> Result<bool, Stop> {
    let aliases = peers::aliases(txn, peer)?;
    let chat = aliases.lid.or(aliases.pn).unwrap_or_else(|| entry.chat.to_user());
    let mut all: Vec<Jid> = Vec::new();
    if peer != PeerId::SELF
        && let Some(list) = txn.read::<DeviceList>(peer.record_id())?
    {
        all.extend(list.devices.iter().map(|device| fanout::address(&chat, device)));
    }
    if let Some(list) = txn.read::<DeviceList>(PeerId::SELF.record_id())? {
        let others = list.devices.iter().filter(|device| device.id != me.pn.device());
        all.extend(others.map(|device| fanout::address(&me.pn.to_user(), device)));
    }
    Ok(is_hash_of(me, chat.is_lid_family(), &all.iter().collect::<Vec<_>>(), theirs))
}

/// Whether `theirs` is the hash of these devices. Peers do not agree on whether the sending device is among them, so
/// either will do; own devices count under the kind of address that the chat has.
fn is_hash_of(me: &Me, in_lid: bool, devices: &[&Jid], theirs: &str) -> bool {
    let own = |device: &Jid| {
        let user = if in_lid { me.lid.as_ref().unwrap_or(&me.pn) } else { &me.pn };
        user.to_user().with_device(device.device())
    };
    let others = || devices.iter().map(|device| if me.is_me(device) { own(device) } else { (*device).clone() });
    let without: Vec<Jid> = others().collect();
    let with: Vec<Jid> = others().chain([own(&me.pn)]).collect();
    phash(&without) == theirs || phash(&with) == theirs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Server;

    #[test]
    fn the_hash_may_count_the_sending_device_or_not_and_uses_the_chats_kind_of_address() {
        let me = Me { pn: Jid::new("1", Server::Whatsapp).with_device(4), lid: Some(Jid::new("9", Server::Lid)) };
        let theirs = Jid::new("7", Server::Lid).with_device(2);
        let own = Jid::new("1", Server::Whatsapp).with_device(3);
        let in_lid = [theirs.clone(), Jid::new("9", Server::Lid).with_device(3)];
        let with_self = [in_lid.to_vec(), vec![Jid::new("9", Server::Lid).with_device(4)]].concat();
        let set = [&theirs, &own];
        assert!(is_hash_of(&me, true, &set, &phash(&in_lid)));
        assert!(is_hash_of(&me, true, &set, &phash(&with_self)));
        assert!(!is_hash_of(&me, false, &set, &phash(&in_lid)));
        assert!(!is_hash_of(&me, true, &set[..1], &phash(&in_lid)));
    }
}
