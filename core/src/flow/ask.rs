//! A message that could not be read: its sender is asked to send it again, with fresh keys. How often is counted here,
//! and over restarts; copies that come after one was read count for nothing.

use super::receive::Origin;
use super::{Live, Stop, Txn, TxnExt, placeholder, prekeys};
use crate::signal::RetryReason;
use crate::stanza::{IncomingMessage, RetryKeys, RetryReceipt};
use crate::state::account::{self, Account};
use crate::state::asked::{self, Asked, AskedMessage, Missing};
use crate::types::Server;

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
    let known = asked.find(&device, &message.id).cloned();
    let time = if known.is_none() { Time::First } else { Time::Again };
    let known = known.unwrap_or_else(|| unread(txn, message, origin, true));
    if known.count >= MOST_ASKED {
        return Ok(time);
    }
    // What they count only decides which number they see: our own count is the limit.
    let theirs = message.enc.iter().map(|enc| enc.count).max().unwrap_or(0);
    let count = known.count.max(theirs.min(MOST_ASKED - 1)) + 1;
    let Some(mut account) = txn.read::<Account>(account::ID)? else { return Ok(time) };
    // The keys come along at once: a sender without a usable session needs them, and one with a session ignores them.
    let signed = prekeys::current_signed(txn, &mut account)?;
    let keys = RetryKeys {
        identity: *account.identity.public.as_bytes(),
        one_time: prekeys::make_private(txn, device)?,
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
    asked.remember(AskedMessage { count: known.count + 1, ..known });
    txn.write(asked::ID, &asked);
    placeholder::remind(txn, if time == Time::First { placeholder::DELAY_MS } else { placeholder::DEBOUNCE_MS });
    Ok(time)
}

/// Notes that the server withholds a message. `phone_has_it`: the phone is asked for it at once.
pub(crate) fn withheld(
    txn: &mut Txn<'_>,
    message: &IncomingMessage,
    origin: &Origin,
    phone_has_it: bool,
) -> Result<Time, Stop> {
    let mut asked = txn.read::<Asked>(asked::ID)?.unwrap_or_default();
    if asked.find(&origin.device_id(), &message.id).is_some() {
        return Ok(Time::Again);
    }
    asked.remember(unread(txn, message, origin, phone_has_it));
    txn.write(asked::ID, &asked);
    if phone_has_it {
        placeholder::remind(txn, placeholder::DEBOUNCE_MS);
    }
    Ok(Time::First)
}

fn unread(txn: &Txn<'_>, message: &IncomingMessage, origin: &Origin, phone_has_it: bool) -> AskedMessage {
    let is_kept = !message.is_peer && !matches!(origin.chat.server(), Server::Broadcast | Server::Newsletter);
    let missing = (phone_has_it && is_kept).then(|| Missing {
        chat: origin.chat.clone(),
        sender: origin.sender.clone(),
        from_me: origin.from_me,
        timestamp: message.timestamp,
        since: txn.now.unix,
        times: 0,
        asked_at: 0,
        request: None,
    });
    AskedMessage { device: origin.device_id(), id: message.id.clone(), count: 0, read: false, missing }
}
