//! Addresses of peers: finding who an address belongs to, and learning that two addresses are one peer.

use super::{Live, Txn};
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
    Ok(Aliases { pn, lid, username: None })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Record;
    use crate::crypto::{KeyPair, Rng};
    use crate::flow::{Effect, Step};
    use crate::state::{Cache, DURABLE, Staged};
    use crate::types::{Now, Seed};

    const NOW: Now = Now { mono: 0, unix: 1_790_000_000_000 };

    /// A store that has everything at hand, as a client's cache is after its loads.
    #[derive(Default)]
    struct Memory(Cache);

    impl Memory {
        fn run<T>(&mut self, mut act: impl FnMut(&mut Txn<'_>) -> Result<T, Miss>) -> T {
            loop {
                let mut rng = Rng::new(&Seed::new([0; 32]));
                let mut txn = Txn::new(NOW, &mut rng, &mut self.0);
                match act(&mut txn) {
                    Ok(value) => {
                        let Staged { writes, .. }: Staged<Effect, Step> = txn.finish();
                        for (key, record) in writes {
                            self.0.put(key, record, DURABLE);
                        }
                        return value;
                    }
                    Err(Miss) => {
                        for key in txn.into_missing() {
                            self.0.fill(key, None::<Record>);
                        }
                    }
                }
            }
        }
    }

    fn pn(user: &str) -> Jid {
        Jid::new(user, Server::Whatsapp)
    }

    fn lid(user: &str) -> Jid {
        Jid::new(user, Server::Lid)
    }

    fn identity() -> Identity {
        Identity(KeyPair::generate(&mut Rng::new(&Seed::new([9; 32]))).public)
    }

    #[test]
    fn learning_the_lid_of_a_known_number_moves_nothing() {
        let mut memory = Memory::default();
        let before = memory.run(|txn| resolve(txn, &pn("1")));
        memory.run(|txn| learn(txn, &pn("1"), &lid("9")));
        assert_eq!(memory.run(|txn| find(txn, &lid("9"))), Some(before));
        let aliases = memory.run(|txn| aliases(txn, before));
        assert_eq!(aliases, Aliases { pn: Some(pn("1")), lid: Some(lid("9")), username: None });
    }

    #[test]
    fn two_known_addresses_are_folded_into_the_one_with_the_lid() {
        let mut memory = Memory::default();
        let (old, new) = (memory.run(|txn| resolve(txn, &pn("1"))), memory.run(|txn| resolve(txn, &lid("9"))));
        assert_ne!(old, new);
        memory.run(|txn| {
            txn.write(old.device_id(3), &identity());
            note_device(txn, old, 3)?;
            note_device(txn, new, 0)
        });
        memory.run(|txn| learn(txn, &pn("1"), &lid("9")));
        assert_eq!(memory.run(|txn| find(txn, &pn("1"))), Some(new));
        assert_eq!(memory.run(|txn| read(txn, new)).devices, [0, 3]);
        assert_eq!(memory.run(|txn| txn.read::<Identity>(new.device_id(3))), Some(identity()));
        assert_eq!(memory.run(|txn| txn.read::<Identity>(old.device_id(3))), None);
    }

    #[test]
    fn a_session_that_exists_under_the_lid_is_not_overwritten() {
        let mut memory = Memory::default();
        let (old, new) = (memory.run(|txn| resolve(txn, &pn("1"))), memory.run(|txn| resolve(txn, &lid("9"))));
        let newer = Identity(KeyPair::generate(&mut Rng::new(&Seed::new([8; 32]))).public);
        memory.run(|txn| {
            txn.write(old.device_id(0), &identity());
            txn.write(new.device_id(0), &newer);
            note_device(txn, old, 0)?;
            note_device(txn, new, 0)
        });
        memory.run(|txn| learn(txn, &pn("1"), &lid("9")));
        assert_eq!(memory.run(|txn| txn.read::<Identity>(new.device_id(0))), Some(newer));
    }

    #[test]
    fn a_number_that_changes_hands_gives_its_new_owner_nothing() {
        let mut memory = Memory::default();
        memory.run(|txn| learn(txn, &pn("1"), &lid("9")));
        let first = memory.run(|txn| find(txn, &lid("9"))).unwrap();
        memory.run(|txn| note_device(txn, first, 4));
        memory.run(|txn| learn(txn, &pn("1"), &lid("8")));
        let second = memory.run(|txn| find(txn, &pn("1"))).unwrap();
        assert_ne!(first, second);
        assert_eq!(memory.run(|txn| read(txn, second)).devices, [0_u16; 0]);
        assert_eq!(memory.run(|txn| read(txn, first)).pn, None);
        assert_eq!(memory.run(|txn| find(txn, &lid("9"))), Some(first));
    }

    #[test]
    fn nobody_can_claim_to_be_this_account() {
        let mut memory = Memory::default();
        memory.run(|txn| set_own(txn, &pn("1"), Some(&lid("9"))));
        memory.run(|txn| learn(txn, &pn("1"), &lid("7")));
        memory.run(|txn| learn(txn, &pn("2"), &lid("9")));
        assert_eq!(memory.run(|txn| find(txn, &pn("1"))), Some(PeerId::SELF));
        assert_eq!(memory.run(|txn| find(txn, &lid("9"))), Some(PeerId::SELF));
        assert_eq!(memory.run(|txn| find(txn, &lid("7"))), None);
        assert_eq!(memory.run(|txn| find(txn, &pn("2"))), None);
    }

    #[test]
    fn hosted_and_ordinary_servers_name_the_same_users() {
        let mut memory = Memory::default();
        let peer = memory.run(|txn| resolve(txn, &pn("1")));
        assert_eq!(memory.run(|txn| find(txn, &Jid::new("1", Server::Hosted).with_device(99))), Some(peer));
    }
}
