//! Whom an adopted account knows: gathered with the flows that learn the same from stanzas, so that both end alike.

use crate::api::{Key, Record};
use crate::crypto::{PublicKey, Rng};
use crate::flow::{self, Stop, Txn, learn};
use crate::signal::{Archive, ForeignSenderKey, ForeignSession, SenderKeyRecord, Session};
use crate::state::peer::{AliasSource, PeerId, sender_key_id};
use crate::state::ratchets::Identity;
use crate::state::{Cache, DURABLE};
use crate::types::{Jid, Now};
use std::collections::BTreeMap;

/// Records in the making.
pub(super) struct Peers<'r> {
    now: Now,
    rng: &'r mut Rng,
    records: BTreeMap<Key, Record>,
    cache: Cache,
    own: Vec<Jid>,
    sessions: usize,
    left_out: usize,
}

impl<'r> Peers<'r> {
    pub(super) fn new(now: Now, rng: &'r mut Rng, records: BTreeMap<Key, Record>) -> Self {
        Self { now, rng, records, cache: Cache::default(), own: Vec::new(), sessions: 0, left_out: 0 }
    }

    /// Own addresses, and the identity key of the own phone.
    pub(super) fn own(&mut self, pn: &Jid, lid: Option<&Jid>, phone: &PublicKey) {
        self.own = [Some(pn), lid].into_iter().flatten().map(Jid::to_user).collect();
        self.work(|txn| {
            let claim = learn::claim(txn, AliasSource::OwnLogin, None);
            learn::own(txn, pn, lid, claim)?;
            txn.write(PeerId::SELF.device_id(0), &Identity(*phone));
            Ok(())
        });
    }

    /// Two addresses of one user.
    pub(super) fn pair(&mut self, pn: &Jid, lid: &Jid) {
        if pn.is_pn_family() && lid.is_lid_family() {
            self.work(|txn| {
                let claim = learn::claim(txn, AliasSource::PhoneMapping, None);
                Ok(learn::pair(txn, pn, lid, claim)?)
            });
        }
    }

    /// A device's identity key. A session brings its own, which is newer.
    pub(super) fn identity(&mut self, device: &Jid, key: &PublicKey) {
        let Some(peer) = self.peer(device) else { return };
        self.work(|txn| {
            txn.write(peer.device_id(device.device()), &Identity(*key));
            flow::peers::note_device(txn, peer, device.device())?;
            Ok(())
        });
    }

    /// A device's sessions. Of two with one device (it was met under both addresses) the first one stays in use.
    pub(super) fn session(&mut self, device: &Jid, states: Vec<ForeignSession>) {
        let Some(peer) = self.peer(device) else {
            self.left_out += 1;
            return;
        };
        let mut archive = Archive::default();
        let mut found = states.into_iter().map(|state| Session::of_foreign(state, &mut archive));
        let (Some(Ok(current)), others) = (found.next(), found.filter_map(Result::ok).collect::<Vec<_>>()) else {
            self.left_out += 1;
            return;
        };
        let is_new = self.work(|txn| {
            let id = peer.device_id(device.device());
            let mut kept = txn.read::<Archive>(id.clone())?.unwrap_or_default();
            let before = txn.read::<Session>(id.clone())?;
            let is_new = before.is_none();
            if is_new {
                txn.write(id.clone(), &current);
                txn.write(id.clone(), &Identity(*current.remote_identity()));
                flow::peers::note_device(txn, peer, device.device())?;
            } else {
                kept.push_behind(current.clone());
            }
            for state in &others {
                kept.push_behind(state.clone());
            }
            kept.absorb(archive.clone());
            if !kept.is_empty() {
                txn.write(id, &kept);
            }
            Ok(is_new)
        });
        self.sessions += usize::from(is_new == Some(true));
    }

    /// The sender keys that a device has given for a group.
    pub(super) fn sender_key(&mut self, group: &Jid, device: &Jid, keys: Vec<ForeignSenderKey>) {
        let record = SenderKeyRecord::of_foreign(keys);
        let Some(peer) = self.peer(device).filter(|_| group.is_group()) else {
            self.left_out += 1;
            return;
        };
        self.work(|txn| {
            let id = sender_key_id(group, peer, device.device());
            let mut kept = txn.read::<SenderKeyRecord>(id.clone())?.unwrap_or_default();
            kept.absorb(record.clone());
            flow::decrypt::keep_sender_keys(txn, id, &kept)?;
            flow::peers::note_device(txn, peer, device.device())?;
            Ok(())
        });
    }

    /// Everything, how many devices there are sessions with, and how much could not be used.
    pub(super) fn finish(self) -> (Vec<(Key, Record)>, usize, usize) {
        (self.records.into_iter().collect(), self.sessions, self.left_out)
    }

    fn peer(&mut self, device: &Jid) -> Option<PeerId> {
        if self.own.iter().any(|own| own.same_user(device)) {
            return Some(PeerId::SELF);
        }
        if device.user().is_empty() || !(device.is_pn_family() || device.is_lid_family()) {
            return None;
        }
        self.work(|txn| Ok(flow::peers::resolve(txn, device)?))
    }

    /// Runs `work` as one transaction over what is there so far. What is not there does not exist: nothing is loaded.
    fn work<T>(&mut self, work: impl Fn(&mut Txn<'_>) -> Result<T, Stop>) -> Option<T> {
        loop {
            let mut txn = Txn::new(self.now, self.rng, &mut self.cache);
            match work(&mut txn) {
                Ok(value) => {
                    for (key, record) in txn.finish().writes {
                        self.cache.put(key.clone(), record.clone(), DURABLE);
                        match record {
                            Some(record) => self.records.insert(key, record),
                            None => self.records.remove(&key),
                        };
                    }
                    return Some(value);
                }
                Err(Stop::Miss) => {
                    for key in txn.into_missing() {
                        let record = self.records.get(&key).cloned();
                        self.cache.put(key, record, DURABLE);
                    }
                }
                // No flow used here waits for anything else.
                Err(_) => return None,
            }
        }
    }
}
