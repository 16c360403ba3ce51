//! Forgetting an account that is no longer linked: every key, every session and all that was sent goes, piece by piece, before it can link again.
//!
//! A crash in between is no matter: the counters go last, and a restart that finds them without an account goes on.

use super::{Live, Step, Stop, Txn, peers, send};
use crate::signal::{Archive, PreKey, SenderKeyRecord, Session, SignedPreKey};
use crate::state::account::{self, Account};
use crate::state::asked::{self, Asked};
use crate::state::devices::DeviceList;
use crate::state::linking::{self, Linking};
use crate::state::outbox::{self, Entry, OutboxCursor, Sequence};
use crate::state::peer::{Alias, Peer, PeerCounter, PeerId};
use crate::state::prekeys::{PreKeyCounter, record_id};
use crate::state::ratchets::{Identity, IdentitySeen};
use crate::state::received::{self, Received};
use crate::state::resends::{self, Allowance, Resends};
use crate::state::restriction::{self, Restricted};
use crate::state::sender_keys::{self, SenderKeyNames, piece_id};
use crate::state::spent::{self, SpentPreKeys};
use crate::state::tokens::ContactTokens;
use crate::state::{self, Stored};
use std::collections::BTreeSet;
use std::ops::Range;

/// The server has unlinked this device: what waited to be sent never will be, and the account is gone.
pub(crate) fn account(txn: &mut Txn<'_>, live: &Live) -> Result<(), Stop> {
    send::give_up(txn, live)?;
    if let Some(account) = txn.read::<Account>(account::ID)? {
        for id in account.signed_prekeys.oldest(account.signed_prekey_id)..=account.signed_prekey_id {
            txn.delete::<SignedPreKey>(record_id(id));
        }
    }
    txn.delete::<Account>(account::ID);
    txn.delete::<Linking>(linking::ID);
    txn.delete::<Restricted>(restriction::ID);
    txn.change(Step::Unlinked);
    Ok(())
}

/// Deletes what is known of the peers with these numbers, and every session with them.
pub(crate) fn peers(txn: &mut Txn<'_>, numbers: Range<u64>) -> Result<(), Stop> {
    txn.expect(numbers.clone().map(|number| Peer::key(PeerId(number).record_id())))?;
    for id in numbers.map(PeerId) {
        let peer = peers::read(txn, id)?;
        for alias in peer.alias_ids() {
            txn.delete::<Alias>(alias);
        }
        for device in peer.devices {
            let record = id.device_id(device);
            txn.delete::<Session>(record.clone());
            txn.delete::<Archive>(record.clone());
            txn.delete::<Identity>(record);
        }
        txn.delete::<Identity>(id.device_id(0));
        txn.delete::<DeviceList>(id.record_id());
        txn.delete::<IdentitySeen>(id.record_id());
        txn.delete::<Allowance>(resends::allowance_id(id));
        txn.delete::<ContactTokens>(id.record_id());
        txn.delete::<Peer>(id.record_id());
    }
    Ok(())
}

/// Deletes the sends with these sequence numbers: what they said, under which ids, and who asked for them again.
pub(crate) fn sends(txn: &mut Txn<'_>, sequences: Range<u64>) -> Result<(), Stop> {
    txn.expect(sequences.clone().map(|sequence| Entry::key(outbox::record_id(sequence))))?;
    for sequence in sequences {
        if let Some(entry) = txn.read::<Entry>(outbox::record_id(sequence))? {
            txn.delete::<Sequence>(entry.id.as_str().to_owned());
        }
        txn.delete::<Entry>(outbox::record_id(sequence));
        txn.delete::<Resends>(resends::record_id(sequence));
    }
    Ok(())
}

/// Deletes the one-time prekeys with these ids.
pub(crate) fn prekeys(txn: &mut Txn<'_>, ids: Range<u32>) {
    for id in ids {
        txn.delete::<PreKey>(record_id(id));
    }
}

/// Deletes the sender keys that are named in these pieces of their list, and the pieces.
pub(crate) fn sender_keys(txn: &mut Txn<'_>, pieces: Range<u32>) -> Result<(), Stop> {
    let ids: Vec<Vec<u8>> = pieces.map(piece_id).chain([sender_keys::ID.to_vec()]).collect();
    txn.expect(ids.iter().map(|id| SenderKeyNames::key(id.clone())))?;
    for id in ids {
        let Some(names) = txn.read::<SenderKeyNames>(id.clone())? else { continue };
        names.ids.into_iter().for_each(|name| txn.delete::<SenderKeyRecord>(name));
        if id != sender_keys::ID {
            txn.delete::<SenderKeyNames>(id);
        }
    }
    Ok(())
}

/// Deletes what says how much there was. Sends and peers keep their numbering: nobody may take an old number for a new
/// one.
pub(crate) fn counters(txn: &mut Txn<'_>) -> Result<(), Stop> {
    if let Some(OutboxCursor { next, .. }) = txn.read::<OutboxCursor>(outbox::CURSOR_ID)? {
        let cursor = OutboxCursor { oldest: next, first: next, pending: next, next, behind: BTreeSet::new() };
        txn.write(outbox::CURSOR_ID, &cursor);
    }
    txn.delete::<Allowance>(resends::PHONE_ID);
    if let Some(PeerCounter { next, .. }) = txn.read::<PeerCounter>(state::peer::COUNTER_ID)? {
        txn.write(state::peer::COUNTER_ID, &PeerCounter { first: next, next });
    }
    txn.delete::<SenderKeyNames>(sender_keys::ID);
    txn.forget_quarantined();
    txn.delete::<PreKeyCounter>(state::prekeys::COUNTER_ID);
    txn.delete::<Asked>(asked::ID);
    txn.delete::<SpentPreKeys>(spent::ID);
    if let Some(received) = txn.read::<Received>(received::ID)? {
        received.segments().for_each(|segment| txn.delete::<Received>(segment));
        txn.delete::<Received>(received::ID);
    }
    Ok(())
}
