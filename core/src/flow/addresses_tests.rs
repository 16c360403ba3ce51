//! What is believed of addresses, without a client around it.

use super::learn::{name, number_changed, own, pair};
use super::peers::{aliases, find, note_device, read, resolve};
use super::{Effect, Live, Step, Txn};
use crate::api::{Aliases, Record};
use crate::crypto::{KeyPair, PublicKey, Rng};
use crate::signal::{Archive, LocalIdentity, PreKeyBundle, RegistrationId, Session, SignedPreKey, SignedPreKeyId};
use crate::stanza::NumberChange;
use crate::state::peer::{Alias, AliasSource, Claim, PeerId, alias_id, username_id};
use crate::state::ratchets::{Identity, IdentitySeen};
use crate::state::spent::{self, SpentPreKeys};
use crate::state::{Cache, DURABLE, Miss, Staged};
use crate::types::{Jid, Now, Seed, Server, Username};

pub(super) const NOW: Now = Now { mono: 0, unix: 1_790_000_000_000 };

/// A store that has everything at hand, as a client's cache is after its loads; and how many loads that took.
#[derive(Default)]
pub(super) struct Memory(Cache, pub(super) usize);

impl Memory {
    pub(super) fn run<T>(&mut self, mut act: impl FnMut(&mut Txn<'_>) -> Result<T, Miss>) -> T {
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
                    self.1 += 1;
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

/// What the server stated at a time.
fn server(learned: u64) -> Claim {
    Claim { source: AliasSource::StanzaAttribute, learned }
}

fn called(name: &str) -> Username {
    Username::parse(name).unwrap()
}

fn identity() -> Identity {
    Identity(KeyPair::generate(&mut Rng::new(&Seed::new([9; 32]))).public)
}

fn keys(seed: u8) -> KeyPair {
    KeyPair::generate(&mut Rng::new(&Seed::new([seed; 32])))
}

/// A session with whoever has the identity `keys(seed)`.
fn session(seed: u8) -> Session {
    let (own, theirs) = (keys(100), keys(seed));
    let mut rng = Rng::new(&Seed::new([seed; 32]));
    let signed = SignedPreKey::generate(SignedPreKeyId::FIRST, &theirs, 0, &mut rng);
    let bundle = PreKeyBundle {
        registration_id: RegistrationId(7),
        identity: theirs.public,
        signed_prekey: signed.public(),
        prekey: None,
    };
    let own = LocalIdentity { keys: &own, registration_id: RegistrationId(8) };
    Session::initiate(own, &bundle.verify().unwrap(), &mut rng).unwrap()
}

/// Keeps a session with `device`, as a first message does, and an older one behind it.
fn meet(memory: &mut Memory, peer: PeerId, device: u16, seed: u8, archived: u8) {
    memory.run(|txn| {
        let id = peer.device_id(device);
        let mut archive = Archive::default();
        archive.push(session(archived));
        txn.write(id.clone(), &session(seed));
        txn.write(id.clone(), &archive);
        txn.write(id, &Identity(keys(seed).public));
        note_device(txn, peer, device)
    });
}

/// Whose session is kept with a device, how many are behind it, and which identity.
fn kept(memory: &mut Memory, peer: PeerId, device: u16) -> (Option<PublicKey>, usize, Option<PublicKey>) {
    memory.run(|txn| {
        let id = peer.device_id(device);
        let session = txn.read::<Session>(id.clone())?.map(|session| *session.remote_identity());
        let archived = txn.read::<Archive>(id.clone())?.map_or(0, |archive| archive.len());
        Ok((session, archived, txn.read::<Identity>(id)?.map(|identity| identity.0)))
    })
}

#[test]
fn whoever_set_a_session_up_under_an_own_address_does_not_become_an_own_device() {
    let mut memory = Memory::default();
    let phone = keys(1).public;
    memory.run(|txn| {
        own(txn, &pn("1"), None, server(1_000))?;
        txn.write(PeerId::SELF.device_id(0), &Identity(phone));
        Ok(())
    });
    let stranger = memory.run(|txn| resolve(txn, &lid("9")));
    for device in [0, 2] {
        meet(&mut memory, stranger, device, 66, 67);
    }
    memory.run(|txn| own(txn, &pn("1"), Some(&lid("9")), server(2_000)));
    assert_eq!(memory.run(|txn| find(txn, &lid("9"))), Some(PeerId::SELF));
    assert_eq!(kept(&mut memory, PeerId::SELF, 0), (None, 0, Some(phone)));
    assert_eq!(kept(&mut memory, PeerId::SELF, 2), (None, 0, None), "nobody has vouched for this companion");
    assert_eq!(kept(&mut memory, stranger, 0), (None, 0, None));
    assert_eq!(memory.run(|txn| read(txn, PeerId::SELF)).folded, [], "sender keys stay a stranger's too");
}

#[test]
fn sessions_of_the_phone_and_of_known_companions_are_kept_when_an_own_address_is_learned() {
    let mut memory = Memory::default();
    let known = [(0, keys(1).public), (2, keys(2).public)];
    memory.run(|txn| {
        own(txn, &pn("1"), None, server(1_000))?;
        for (device, key) in known {
            txn.write(PeerId::SELF.device_id(device), &Identity(key));
        }
        Ok(())
    });
    let met = memory.run(|txn| resolve(txn, &lid("9")));
    meet(&mut memory, met, 0, 1, 66);
    meet(&mut memory, met, 2, 66, 2);
    memory.run(|txn| own(txn, &pn("1"), Some(&lid("9")), server(2_000)));
    assert_eq!(kept(&mut memory, PeerId::SELF, 0), (Some(known[0].1), 0, Some(known[0].1)));
    assert_eq!(kept(&mut memory, PeerId::SELF, 2), (None, 1, Some(known[1].1)));
}

#[test]
fn what_the_devices_of_a_peer_were_given_counts_for_the_one_it_turns_out_to_be() {
    let mut memory = Memory::default();
    let (old, new) = (memory.run(|txn| resolve(txn, &pn("1"))), memory.run(|txn| resolve(txn, &lid("9"))));
    let given = |devices: [Vec<u8>; 3]| {
        let mut spent = SpentPreKeys::default();
        (1..).zip(devices).for_each(|(id, device)| spent.note_given(id, 5, device));
        spent
    };
    let other = PeerId(77).device_id(1);
    let before = given([old.device_id(1), other.clone(), old.device_id(2)]);
    memory.run(|txn| {
        txn.write(spent::ID, &before);
        pair(txn, &pn("1"), &lid("9"), server(1_000))
    });
    let after = memory.run(|txn| txn.read::<SpentPreKeys>(spent::ID));
    assert_eq!(after, Some(given([new.device_id(1), other, new.device_id(2)])));
}

#[test]
fn of_two_peers_that_are_one_only_sessions_with_the_identity_that_is_kept_are_kept() {
    let mut memory = Memory::default();
    let (old, new) = (memory.run(|txn| resolve(txn, &pn("1"))), memory.run(|txn| resolve(txn, &lid("9"))));
    meet(&mut memory, old, 0, 1, 66);
    meet(&mut memory, old, 3, 3, 66);
    memory.run(|txn| {
        txn.write(new.device_id(0), &Identity(keys(7).public));
        Ok(())
    });
    memory.run(|txn| pair(txn, &pn("1"), &lid("9"), server(1_000)));
    assert_eq!(kept(&mut memory, new, 0), (None, 0, Some(keys(7).public)));
    assert_eq!(kept(&mut memory, new, 3), (Some(keys(3).public), 0, Some(keys(3).public)), "nothing speaks against it");
}

#[test]
fn the_later_new_identity_counts_when_two_peers_become_one() {
    for (of_old, of_new) in [(Some(5_000), Some(4_000)), (Some(4_000), Some(5_000)), (Some(5_000), None)] {
        let mut memory = Memory::default();
        let (old, new) = (memory.run(|txn| resolve(txn, &pn("1"))), memory.run(|txn| resolve(txn, &lid("9"))));
        memory.run(|txn| {
            for (peer, seen) in [(old, of_old), (new, of_new)] {
                if let Some(seen) = seen {
                    txn.write(peer.record_id(), &IdentitySeen(seen));
                }
            }
            Ok(())
        });
        memory.run(|txn| pair(txn, &pn("1"), &lid("9"), server(1_000)));
        assert_eq!(memory.run(|txn| txn.read::<IdentitySeen>(new.record_id())), Some(IdentitySeen(5_000)));
        assert_eq!(memory.run(|txn| txn.read::<IdentitySeen>(old.record_id())), None);
    }
}

#[test]
fn learning_the_lid_of_a_known_number_moves_nothing() {
    let mut memory = Memory::default();
    let before = memory.run(|txn| resolve(txn, &pn("1")));
    memory.run(|txn| pair(txn, &pn("1"), &lid("9"), server(1_000)));
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
    memory.run(|txn| pair(txn, &pn("1"), &lid("9"), server(1_000)));
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
    memory.run(|txn| pair(txn, &pn("1"), &lid("9"), server(1_000)));
    assert_eq!(memory.run(|txn| txn.read::<Identity>(new.device_id(0))), Some(newer));
}

#[test]
fn a_number_that_changes_hands_gives_its_new_owner_nothing() {
    let mut memory = Memory::default();
    memory.run(|txn| pair(txn, &pn("1"), &lid("9"), server(1_000)));
    let first = memory.run(|txn| find(txn, &lid("9"))).unwrap();
    memory.run(|txn| note_device(txn, first, 4));
    memory.run(|txn| pair(txn, &pn("1"), &lid("8"), server(1_000)));
    let second = memory.run(|txn| find(txn, &pn("1"))).unwrap();
    assert_ne!(first, second);
    assert_eq!(memory.run(|txn| read(txn, second)).devices, [0_u16; 0]);
    assert_eq!(memory.run(|txn| read(txn, first)).pn, None);
    assert_eq!(memory.run(|txn| find(txn, &lid("9"))), Some(first));
}

#[test]
fn nobody_can_claim_to_be_this_account() {
    let mut memory = Memory::default();
    memory.run(|txn| own(txn, &pn("1"), Some(&lid("9")), server(1_000)));
    memory.run(|txn| pair(txn, &pn("1"), &lid("7"), server(1_000)));
    memory.run(|txn| pair(txn, &pn("2"), &lid("9"), server(1_000)));
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

#[test]
fn an_older_statement_does_not_undo_a_newer_one_but_the_address_still_leads_to_the_peer() {
    let mut memory = Memory::default();
    memory.run(|txn| pair(txn, &pn("2"), &lid("9"), server(2_000)));
    let peer = memory.run(|txn| find(txn, &lid("9"))).unwrap();
    memory.run(|txn| pair(txn, &pn("1"), &lid("9"), server(1_000)));
    assert_eq!(memory.run(|txn| read(txn, peer)).pn, Some(pn("2")));
    assert_eq!(memory.run(|txn| find(txn, &pn("1"))), Some(peer));
    memory.run(|txn| pair(txn, &pn("2"), &lid("8"), server(1_500)));
    assert_eq!(memory.run(|txn| find(txn, &pn("2"))), Some(peer), "a number is not taken away by what is older");
}

#[test]
fn the_phone_does_not_know_better_than_the_server() {
    let mut memory = Memory::default();
    memory.run(|txn| pair(txn, &pn("1"), &lid("9"), server(1_000)));
    let phone = Claim { source: AliasSource::PhoneMapping, learned: 2_000 };
    memory.run(|txn| pair(txn, &pn("1"), &lid("8"), phone));
    let peer = memory.run(|txn| find(txn, &pn("1"))).unwrap();
    assert_eq!(memory.run(|txn| read(txn, peer)).lid, Some(lid("9")));
}

#[test]
fn a_changed_number_leaves_the_old_one_as_a_former_address() {
    let mut memory = Memory::default();
    memory.run(|txn| pair(txn, &pn("1"), &lid("9"), server(1_000)));
    let peer = memory.run(|txn| find(txn, &lid("9"))).unwrap();
    memory.run(|txn| note_device(txn, peer, 3));
    let change = NumberChange { old: pn("1"), new: pn("2"), old_lid: Some(lid("9")), new_lid: Some(lid("7")) };
    memory.run(|txn| number_changed(txn, &Live::default(), &change, None).map_err(|_| Miss));
    for address in [pn("1"), pn("2"), lid("9"), lid("7")] {
        assert_eq!(memory.run(|txn| find(txn, &address)), Some(peer), "{address}");
    }
    let after = memory.run(|txn| read(txn, peer));
    assert_eq!((after.pn, after.lid, after.devices), (Some(pn("2")), Some(lid("7")), vec![3]));
    assert_eq!(after.former, [alias_id(&lid("9")), alias_id(&pn("1"))]);
}

#[test]
fn former_addresses_are_forgotten_beyond_a_limit_and_with_them_their_records() {
    let mut memory = Memory::default();
    for number in 0..40 {
        memory.run(|txn| pair(txn, &pn(&format!("1{number}")), &lid("9"), server(1_000 + number)));
    }
    let peer = memory.run(|txn| find(txn, &lid("9"))).unwrap();
    assert_eq!(memory.run(|txn| read(txn, peer)).former.len(), 16);
    assert_eq!(memory.run(|txn| find(txn, &pn("10"))), None);
    assert_eq!(memory.run(|txn| find(txn, &pn("138"))), Some(peer));
}

#[test]
fn a_name_belongs_to_one_peer_and_changes_hands() {
    let mut memory = Memory::default();
    let (one, other) = (memory.run(|txn| resolve(txn, &lid("1"))), memory.run(|txn| resolve(txn, &lid("2"))));
    memory.run(|txn| name(txn, one, &called("Ann"), server(1_000)));
    assert_eq!(memory.run(|txn| aliases(txn, one)).username, Some(called("Ann")));
    memory.run(|txn| name(txn, other, &called("ann"), server(900)));
    assert_eq!(memory.run(|txn| aliases(txn, other)).username, None, "older than what is known");
    memory.run(|txn| name(txn, other, &called("ann"), server(2_000)));
    assert_eq!(memory.run(|txn| aliases(txn, one)).username, None);
    assert_eq!(memory.run(|txn| aliases(txn, other)).username, Some(called("ann")));
    memory.run(|txn| name(txn, other, &called("bea"), server(3_000)));
    assert_eq!(memory.run(|txn| read(txn, other)).former, [username_id(&called("ann"))]);
    memory.run(|txn| name(txn, other, &called("ann"), server(2_500)));
    assert_eq!(memory.run(|txn| aliases(txn, other)).username, Some(called("bea")));
}

#[test]
fn an_address_says_who_stated_it_and_as_of_when() {
    let mut memory = Memory::default();
    memory.run(|txn| resolve(txn, &pn("1")));
    let alias = memory.run(|txn| txn.read::<Alias>(alias_id(&pn("1")))).unwrap();
    assert_eq!(alias.claim, Claim { source: AliasSource::Met, learned: NOW.unix_seconds() });
    let usync = Claim { source: AliasSource::Usync, learned: NOW.unix_seconds() };
    memory.run(|txn| pair(txn, &pn("1"), &lid("9"), usync));
    for address in [pn("1"), lid("9")] {
        assert_eq!(memory.run(|txn| txn.read::<Alias>(alias_id(&address))).unwrap().claim, usync);
    }
}
