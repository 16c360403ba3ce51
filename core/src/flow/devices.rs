//! Device lists: asking for them, checking what the phone signed, forgetting them when they have changed.

use super::{Failure, Need, Reply, Step, Stop, Txn, learn, peers, query};
use crate::pairing::KeyIndexList;
use crate::stanza::{self, DeviceAnswer, DeviceQuery};
use crate::state::devices::{Device, DeviceList};
use crate::state::peer::{AliasSource, PeerId};
use crate::state::ratchets::Identity;
use crate::types::Jid;

/// A list older than this is asked for again, in seconds: the server tells of changes, but may not have reached us.
const STALE_S: u64 = 7 * 24 * 3600;

/// The list of `peer`, unless it must be asked for.
pub(crate) fn usable(txn: &mut Txn<'_>, peer: PeerId) -> Result<Option<DeviceList>, Stop> {
    let now = txn.now.unix_seconds();
    let list = txn.read::<DeviceList>(peer.record_id())?;
    Ok(list.filter(|list| now.abs_diff(list.fetched) < STALE_S))
}

/// Takes the server's answer to a question for the devices of `users`.
pub(crate) fn answered(txn: &mut Txn<'_>, users: &[Jid], reply: &Reply) -> Result<(), Stop> {
    let found = query::parsed::<DeviceQuery>(reply);
    for stated in found.iter().flat_map(|lists| &lists.users) {
        let claim = learn::claim(txn, AliasSource::Usync, None);
        if let (Some(lid), true) = (&stated.lid, stated.jid.is_pn_family()) {
            learn::pair(txn, &stated.jid, lid, claim)?;
        }
        if let Some(name) = &stated.username {
            let peer = peers::resolve(txn, &stated.jid)?;
            learn::name(txn, peer, name, claim)?;
        }
    }
    for user in users {
        let result = match &found {
            Err(failure) => Err(*failure),
            Ok(lists) => {
                let mut stated = lists.users.iter();
                match stated.find(|stated| stated.jid.same_user(user) || stated.lid.as_ref() == Some(user)) {
                    Some(stanza::UserDevices { devices: DeviceAnswer::List(list), .. }) if !list.devices.is_empty() => {
                        let peer = peers::resolve(txn, user)?;
                        let list = accepted(txn, peer, list)?;
                        txn.write(peer.record_id(), &list);
                        Ok(())
                    }
                    Some(stanza::UserDevices { devices: DeviceAnswer::Refused(error), .. }) => {
                        Err(Failure::Refused(error.code))
                    }
                    Some(stanza::UserDevices { devices: DeviceAnswer::Malformed(_), .. }) => Err(Failure::Unusable),
                    _ => Err(Failure::Gone),
                }
            }
        };
        txn.change(Step::Settle(Need::Devices(user.clone()), result));
    }
    Ok(())
}

/// Something about the devices of `user` has changed: the next send asks.
pub(crate) fn changed(txn: &mut Txn<'_>, user: &Jid) -> Result<(), Stop> {
    if let Some(peer) = peers::find(txn, user)? {
        outdate(txn, peer)?;
    }
    Ok(())
}

/// A device has shown itself that the list does not have, if there is one: the next send asks.
pub(crate) fn seen(txn: &mut Txn<'_>, peer: PeerId, device: u16) -> Result<(), Stop> {
    let list = txn.read::<DeviceList>(peer.record_id())?;
    if list.is_some_and(|list| list.devices.iter().all(|known| known.id != device)) {
        outdate(txn, peer)?;
    }
    Ok(())
}

/// The list of `peer` is out of date: the next send asks. It stays, so that an older one is not taken for a newer.
pub(crate) fn outdate(txn: &mut Txn<'_>, peer: PeerId) -> Result<(), Stop> {
    if let Some(list) = txn.read::<DeviceList>(peer.record_id())? {
        txn.write(peer.record_id(), &DeviceList { fetched: 0, ..list });
    }
    Ok(())
}

/// Which of the stated devices count. The phone always does. A companion does if the list that the phone signed admits
/// it; where the signature is there and wrong, or companions come without a list, only the phone is believed.
fn accepted(txn: &mut Txn<'_>, peer: PeerId, stated: &stanza::DeviceList) -> Result<DeviceList, Stop> {
    let account_key = txn.read::<Identity>(peer.device_id(0))?.map(|identity| identity.0);
    let signed = stated.key_index_list.as_ref().and_then(|list| list.signed.as_ref());
    let signed = signed.and_then(|bytes| match &account_key {
        Some(key) => KeyIndexList::verify(bytes, key).ok(),
        // The phone was never met: taken at its word, as its key will be.
        None => KeyIndexList::read_unverified(bytes).ok(),
    });
    let old = txn.read::<DeviceList>(peer.record_id())?;
    let fetched = txn.now.unix_seconds();
    let (mut unexplained, mut signed_before) = (None, 0);
    if let Some(old) = old {
        if signed.as_ref().is_some_and(|list| list.timestamp < old.signed_at) {
            return Ok(DeviceList { fetched, ..old });
        }
        (unexplained, signed_before) = (old.unexplained, old.signed_at);
    }
    let mut devices: Vec<Device> = Vec::with_capacity(stated.devices.len());
    for device in &stated.devices {
        let admitted = device.id == 0
            || match (&signed, device.key_index) {
                (Some(list), Some(index)) => list.admits(index),
                _ => false,
            };
        if admitted {
            let key_index = device.key_index.unwrap_or(0);
            devices.push(Device { id: device.id, key_index, hosted: device.is_hosted });
        }
    }
    devices.sort_unstable_by_key(|device| device.id);
    devices.dedup_by_key(|device| device.id);
    let signed_at = signed.map_or(0, |list| list.timestamp).max(signed_before);
    Ok(DeviceList { devices, fetched, signed_at, unexplained })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{KeyPair, Rng};
    use crate::flow::addresses_tests::Memory;
    use crate::state::Miss;
    use crate::types::Seed;

    #[test]
    fn a_list_without_a_signature_does_not_open_the_door_for_older_ones() {
        let phone = KeyPair::generate(&mut Rng::new(&Seed::new([1; 32])));
        let mut memory = Memory::default();
        let user = Jid::lid("1");
        let peer = memory.run(|txn| {
            let peer = peers::resolve(txn, &user)?;
            txn.write(peer.device_id(0), &Identity(phone.public));
            Ok(peer)
        });
        let mut stated = |timestamp: Option<u64>, valid: Vec<u32>| {
            let signed = timestamp.map(|timestamp| {
                let list = KeyIndexList { raw_id: 7, timestamp, current_index: 2, valid_indexes: valid, hosted: false };
                list.sign(&phone, false, &[9; 64])
            });
            let list = stanza::DeviceList {
                hash: None,
                devices: [0, 1, 2]
                    .map(|id| stanza::ListedDevice { id, key_index: Some(id.into()), is_hosted: false })
                    .to_vec(),
                key_index_list: Some(stanza::KeyIndexList { timestamp, expected: None, signed }),
            };
            memory.run(|txn| {
                let list = accepted(txn, peer, &list).map_err(|_| Miss)?;
                txn.write(peer.record_id(), &list);
                Ok(list.devices.iter().map(|device| device.id).collect::<Vec<_>>())
            })
        };
        assert_eq!(stated(Some(200), vec![1]), [0, 1]);
        assert_eq!(stated(None, vec![]), [0], "nobody vouches for the others");
        assert_eq!(stated(Some(100), vec![1, 2]), [0], "an older list counts for nothing");
        assert_eq!(stated(Some(200), vec![1]), [0, 1]);
    }
}
