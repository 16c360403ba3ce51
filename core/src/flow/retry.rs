//! What happens when a message cannot be read: its sender is asked to send it again, with fresh keys; and others who
//! ask are answered from the outbox.

use super::live::Asker;
use super::receive::Origin;
use super::{Job, Live, Need, Settled, Step, Stop, Txn, TxnExt, bundles, fanout, peers, prekeys, receipts};
use crate::message::{Classification, pad, wrap_device_sent};
use crate::signal::{RetryReason, Session};
use crate::stanza::{IncomingMessage, IncomingReceipt, PreKeyBundle, ResentMessage, RetryKeys, RetryReceipt};
use crate::state::account::{self, Account};
use crate::state::asked::{self, Asked, AskedMessage};
use crate::state::outbox::{Entry, Sequence, record_id};
use crate::types::Jid;

/// A message is asked for this often; peers stop at four or five.
const MOST_ASKED: u32 = 5;

/// Requests for one message beyond this are not answered: the other side is stuck.
const MOST_ANSWERED: u32 = 5;

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

/// A device could not read one of our messages. What follows may need the server, so it does not hold up what the
/// server delivers; the receipt is acknowledged when it is done.
pub(crate) fn asked(txn: &mut Txn<'_>, live: &Live, receipt: &IncomingReceipt, device: &Jid) -> Result<bool, Stop> {
    let (Some(me), Some(request)) = (&live.me, &receipt.retry) else { return Ok(false) };
    let Some(Sequence(sequence)) = txn.read::<Sequence>(request.id.as_str().to_owned())? else { return Ok(false) };
    let Some(entry) = txn.read::<Entry>(record_id(sequence))? else { return Ok(false) };
    // Only those who were meant to read it may ask for it, and not without end.
    if !me.is_me(device) && peers::resolve(txn, device)? != peers::resolve(txn, &entry.chat)? {
        return Ok(false);
    }
    let asker = Asker { device: device.clone(), sequence };
    if live.answers_to(&asker) >= MOST_ANSWERED {
        return Ok(false);
    }
    txn.change(Step::Answered(asker));
    let (receipt, device) = (Box::new(receipt.clone()), device.clone());
    txn.change(Step::Enqueue(Job::Resend { receipt, device, sequence, settled: Settled::new() }));
    Ok(true)
}

/// Sends a message again, alone and under its id, to a device that asked for it. A device that brought keys gets a new
/// session; one that registered anew or has no session gets one from the server's bundle.
pub(crate) fn resend(
    txn: &mut Txn<'_>,
    live: &Live,
    receipt: &IncomingReceipt,
    device: &Jid,
    sequence: u64,
    settled: &Settled,
) -> Result<(), Stop> {
    let (Some(me), Some(request)) = (&live.me, &receipt.retry) else { return Ok(()) };
    let need = Need::Session(device.clone());
    let peer = peers::resolve(txn, device)?;
    let session_id = peer.device_id(device.device());
    if let (Some(keys), Some(registration)) = (&request.keys, request.registration) {
        // Keys that are not authentic start nothing; the old session may still serve.
        let _ = bundles::start(txn, device, &bundle(keys, registration))?;
    } else if !settled.contains_key(&need) {
        let session = txn.read::<Session>(session_id.clone())?;
        let is_same = |session: &Session| {
            request.registration.is_none_or(|registration| registration == session.remote_registration_id().0)
        };
        if !session.is_some_and(|session| is_same(&session)) {
            return Err(Stop::Await(vec![need]));
        }
    }
    receipts::acknowledge(txn, live, receipt);
    let Some(entry) = txn.read::<Entry>(record_id(sequence))? else { return Ok(()) };
    let Some(mut session) = txn.read::<Session>(session_id.clone())? else { return Ok(()) };
    let Some(account) = txn.read::<Account>(account::ID)? else { return Ok(()) };
    let Ok(class) = Classification::of(&entry.content) else { return Ok(()) };
    let plaintext = if me.is_me(device) {
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
