//! What happens when a message cannot be read: its sender is asked to send it again, with fresh keys; and others who
//! ask are answered from the outbox.

use super::receive::Origin;
use super::{Live, Step, Stop, Txn, TxnExt, bundles, fanout, live, peers, prekeys};
use crate::message::{Classification, pad, wrap_device_sent};
use crate::signal::{RetryReason, Session};
use crate::stanza::{IncomingMessage, IncomingReceipt, PreKeyBundle, ResentMessage, RetryKeys, RetryReceipt};
use crate::state::account::{self, Account};
use crate::state::outbox::{Entry, Sequence, record_id};
use crate::types::Jid;

/// A message is asked for this often; peers stop at four or five.
const MOST_ASKED: u32 = 5;

/// Requests for one message beyond this are not answered: the other side is stuck.
const MOST_ANSWERED: u32 = 5;

/// Whether this was the first time that a message was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    First,
    Again,
}

/// Asks the sender of a message that could not be read to send it again.
pub(crate) fn ask(
    txn: &mut Txn<'_>,
    live: &Live,
    message: &IncomingMessage,
    origin: &Origin,
    why: RetryReason,
) -> Result<Asked, Stop> {
    let asked = live::Asked { sender: origin.sender.clone(), id: message.id.clone() };
    let before = live.retries_of(&asked);
    let theirs = message.enc.iter().map(|enc| enc.count).max().unwrap_or(0);
    let count = before.max(theirs) + 1;
    let first = if before == 0 { Asked::First } else { Asked::Again };
    if count > MOST_ASKED {
        return Ok(first);
    }
    let Some(account) = txn.read::<Account>(account::ID)? else { return Ok(first) };
    // The keys come along at once: a sender without a usable session needs them, and one with a session ignores them.
    let signed = prekeys::signed_key(txn, account.signed_prekey_id)?;
    let one_time = prekeys::make_private(txn)?;
    let keys = signed.map(|signed| RetryKeys {
        identity: *account.identity.public.as_bytes(),
        one_time,
        signed,
        device_identity: account.linked.as_ref().map(|linked| linked.device_identity.clone()),
    });
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
        keys,
    };
    txn.send(live, &receipt);
    txn.change(Step::Retried(asked, count));
    Ok(first)
}

/// A device could not read one of our messages: it gets a session if it sent keys, then the message again, alone and
/// under the same id.
pub(crate) fn asked(txn: &mut Txn<'_>, live: &Live, receipt: &IncomingReceipt, device: &Jid) -> Result<(), Stop> {
    let (Some(me), Some(request)) = (&live.me, &receipt.retry) else { return Ok(()) };
    if request.count > MOST_ANSWERED {
        return Ok(());
    }
    let Some(Sequence(sequence)) = txn.read::<Sequence>(request.id.as_str().to_owned())? else { return Ok(()) };
    let Some(entry) = txn.read::<Entry>(record_id(sequence))? else { return Ok(()) };
    let own = me.is_me(device);
    // Only those who were meant to read it may ask for it.
    let peer = peers::resolve(txn, device)?;
    if !own && peer != peers::resolve(txn, &entry.chat)? {
        return Ok(());
    }
    if let (Some(keys), Some(registration)) = (&request.keys, request.registration)
        && bundles::start(txn, device, &bundle(keys, registration))?.is_err()
    {
        return Ok(());
    }
    let session_id = peer.device_id(device.device());
    let Some(mut session) = txn.read::<Session>(session_id.clone())? else { return Ok(()) };
    let Some(account) = txn.read::<Account>(account::ID)? else { return Ok(()) };
    let Ok(class) = Classification::of(&entry.content) else { return Ok(()) };
    let plaintext = if own {
        let Ok(copy) = wrap_device_sent(&entry.content, &entry.chat.to_string(), None) else { return Ok(()) };
        pad(&copy, txn.rng)
    } else {
        pad(&entry.content, txn.rng)
    };
    let Ok(ciphertext) = session.encrypt(&plaintext, &account.identity.public, txn.rng) else { return Ok(()) };
    txn.write(session_id, &session);
    let resent = ResentMessage {
        id: entry.id.clone(),
        to: device.clone(),
        kind: class.stanza_type.as_str().into(),
        participant: None,
        recipient: receipt.address.recipient.clone(),
        edit: fanout::edit(&class),
        addressing: None,
        is_peer: false,
        timestamp: None,
        enc: fanout::enc(ciphertext),
        count: request.count,
        media_type: class.media_type.map(Into::into),
        hide_failure: class.hide_failure,
        device_identity: account.linked.as_ref().map(|linked| linked.device_identity.clone()),
    };
    txn.send(live, &resent);
    Ok(())
}

fn bundle(keys: &RetryKeys, registration: u32) -> PreKeyBundle {
    PreKeyBundle {
        registration,
        identity: keys.identity,
        signed: keys.signed,
        one_time: keys.one_time,
        device_identity: keys.device_identity.clone(),
    }
}
