//! A message that could not be read: its sender is asked to send it again, with fresh keys. How often is counted here,
//! and over restarts; copies that come after one was read count for nothing.

use super::receive::Origin;
use super::{Live, Stop, Txn, TxnExt, prekeys};
use crate::signal::RetryReason;
use crate::stanza::{IncomingMessage, RetryKeys, RetryReceipt};
use crate::state::account::{self, Account};
use crate::state::asked::{self, Asked, AskedMessage};

/// A message is asked for this often; peers stop at four or five.
const MOST_ASKED: u32 = 5;

/// Whether this was the first time that a message was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Time {
    First,
    Again,
}

/// Whether a copy of a message that was asked for again has been read already.
pub(crate) fn was_read(txn: &mut Txn<'_>, message: &IncomingMessage, origin: &Origin) -> Result<bool, Stop> {
    let asked = txn.read::<Asked>(asked::ID)?.unwrap_or_default();
    Ok(asked.find(&origin.device_id(), &message.id).is_some_and(|known| known.read))
}

/// Notes that a message was read, if it was ever asked for: further copies count for nothing.
pub(crate) fn note_read(txn: &mut Txn<'_>, message: &IncomingMessage, origin: &Origin) -> Result<(), Stop> {
    let mut asked = txn.read::<Asked>(asked::ID)?.unwrap_or_default();
    if let Some(known) = asked.find(&origin.device_id(), &message.id).filter(|known| !known.read).cloned() {
        asked.remember(AskedMessage { read: true, ..known });
        txn.write(asked::ID, &asked);
    }
    Ok(())
}

/// Asks the sender of a message that could not be read to send it again.
pub(crate) fn ask(
    txn: &mut Txn<'_>,
    live: &Live,
    message: &IncomingMessage,
    origin: &Origin,
    why: RetryReason,
) -> Result<Time, Stop> {
    let mut asked = txn.read::<Asked>(asked::ID)?.unwrap_or_default();
    let device = origin.device_id();
    let before = asked.find(&device, &message.id).map_or(0, |known| known.count);
    let theirs = message.enc.iter().map(|enc| enc.count).max().unwrap_or(0);
    let time = if before == 0 { Time::First } else { Time::Again };
    let count = before.max(theirs.min(MOST_ASKED)) + 1;
    if count > MOST_ASKED {
        return Ok(time);
    }
    let Some(mut account) = txn.read::<Account>(account::ID)? else { return Ok(time) };
    // The keys come along at once: a sender without a usable session needs them, and one with a session ignores them.
    let signed = prekeys::current_signed(txn, &mut account)?;
    let keys = RetryKeys {
        identity: *account.identity.public.as_bytes(),
        one_time: prekeys::make_private(txn)?,
        signed: prekeys::published_signed(&signed),
        device_identity: account.linked.as_ref().map(|linked| linked.device_identity.clone()),
    };
    let receipt = RetryReceipt {
        to: message.address.from.clone(),
        participant: message.address.participant.clone(),
        recipient: message.address.recipient.clone(),
        is_peer: message.is_peer,
        id: message.id.clone(),
        message_timestamp: message.timestamp,
        count,
        error: Some(why.code().into()),
        registration: account.registration_id.0,
        keys: Some(keys),
    };
    txn.send(live, &receipt);
    asked.remember(AskedMessage { device, id: message.id.clone(), count, read: false });
    txn.write(asked::ID, &asked);
    Ok(time)
}
