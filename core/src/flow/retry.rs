//! Somebody could not read one of our messages. Two steps that do not depend on each other: the session is repaired, then
//! the message is sent again from the outbox, within budgets that are counted here.

use super::{Job, Live, Me, Need, Settled, Step, Stop, Txn, TxnExt};
use super::{bundles, fanout, inbox, peers, receipts};
use crate::api::{Event, Limits, MessageId, UnanswerableReason as Reason, UnansweredRetry};
use crate::message::{Classification, pad, wrap_device_sent};
use crate::signal::{Archive, Session};
use crate::stanza::{IncomingAck, IncomingReceipt, PreKeyBundle, ResentMessage, RetryKeys, RetryRequest};
use crate::state::account::{self, Account};
use crate::state::outbox::{Entry, EntryState, Sequence, record_id};
use crate::state::peer::PeerId;
use crate::state::resends::{self, Allowance, Asker, Resends};
use crate::types::Jid;
use std::sync::Arc;

/// Messages sent again of which the server's answer is waited for; requests beyond that are acknowledged at once.
const MOST_UNANSWERED: usize = 256;

/// How long a server in trouble is left alone, in milliseconds.
const TROUBLE_MS: u64 = 5_000;

/// A request of a device that is granted.
#[derive(Clone, Debug)]
pub(crate) struct Granted {
    receipt: IncomingReceipt,
    pub(crate) device: Jid,
    /// The base key of the session when it asked.
    base_key: Option<[u8; 32]>,
    /// The session is of no use: another one is needed before anything is sent.
    renew: bool,
    /// The server was in trouble: nothing is sent before this time on the monotonic clock.
    not_before: u64,
}

impl Granted {
    fn message_id(&self) -> &str {
        self.receipt.retry.as_ref().map_or("", |request| request.id.as_str())
    }
}

/// What may still be sent again of a message, to a device.
struct Budget {
    sequence: u64,
    resends: Resends,
    /// `None` if too many others have asked.
    asker: Option<Asker>,
    chat: PeerId,
    allowance: Allowance,
    is_left: bool,
}

/// What became of a message that somebody asks for.
enum Lookup {
    Found(u64, Entry),
    Expired,
    NeverSent,
}

/// A device could not read one of our messages. First the session with it is repaired, whatever became of the message;
/// then the message is sent again, if it is still there and the budgets allow it. True if the receipt is acknowledged
/// later: what needs the server does not hold up what the server delivers.
pub(crate) fn asked(
    txn: &mut Txn<'_>,
    live: &Live,
    limits: &Limits,
    receipt: &IncomingReceipt,
    device: &Jid,
) -> Result<bool, Stop> {
    let (Some(me), Some(request)) = (&live.me, &receipt.retry) else { return Ok(false) };
    // With somebody who was never met there is nothing to repair.
    let Some(peer) = peers::find(txn, device)? else { return refuse(txn, live, request, device, Reason::NeverSent) };
    let (sequence, entry) = match lookup(txn, limits, &request.id)? {
        Lookup::Found(sequence, entry) => (sequence, entry),
        gone => {
            repair(txn, me, peer, device, request)?;
            let reason = if matches!(gone, Lookup::Expired) { Reason::Expired } else { Reason::NeverSent };
            return refuse(txn, live, request, device, reason);
        }
    };
    if !me.is_me(device) && Some(peer) != peers::find(txn, &entry.chat)? {
        repair(txn, me, peer, device, request)?;
        return refuse(txn, live, request, device, Reason::NotAddressed);
    }

    let budget = budget(txn, limits, sequence, &entry, peer, device)?;
    let Some(asker) = budget.asker.as_ref().filter(|_| budget.is_left) else {
        repair(txn, me, peer, device, request)?;
        return over_budget(txn, live, budget, request, device);
    };
    let session = txn.read::<Session>(peer.device_id(device.device()))?;
    let base_key = session.as_ref().map(|session| *session.base_key().as_bytes());
    // The same session at the second request: the device cannot use it, whatever it says.
    let renew = request.keys.is_none()
        && (is_stale(session.as_ref(), request) || (asker.granted > 0 && asker.base_key == base_key));
    let granted = Granted { receipt: receipt.clone(), device: device.clone(), base_key, renew, not_before: 0 };
    txn.change(Step::Enqueue(Job::Resend { request: Arc::new(granted), settled: Settled::new() }));
    Ok(true)
}

/// Finds out what may still be sent again. Nothing is taken from it yet.
fn budget(
    txn: &mut Txn<'_>,
    limits: &Limits,
    sequence: u64,
    entry: &Entry,
    peer: PeerId,
    device: &Jid,
) -> Result<Budget, Stop> {
    let resends = txn.read::<Resends>(resends::record_id(sequence))?.unwrap_or_default();
    let asker = resends.asker(peer.device_id(device.device()));
    let now = txn.now.unix;
    let full = Allowance::full(now, limits.resends_per_chat);
    let chat = peers::find(txn, &entry.chat)?.unwrap_or(peer);
    let mut allowance = txn.read::<Allowance>(resends::allowance_id(chat))?.unwrap_or(full);
    let is_left = asker.as_ref().is_some_and(|known| known.granted < limits.resends_per_device)
        && allowance.take(now, limits.resends_per_chat, limits.resend_refill_ms);
    Ok(Budget { sequence, resends, asker, chat, allowance, is_left })
}

/// Takes one from the budget, in the transaction that answers the request: one that is lost with its connection comes
/// again and costs nothing.
fn spend(txn: &mut Txn<'_>, budget: Budget, base_key: Option<[u8; 32]>, request: &RetryRequest) {
    let Budget { sequence, mut resends, asker, chat, allowance, .. } = budget;
    let Some(asker) = asker else { return };
    let key = one_time(request).or(asker.key);
    resends.keep(Asker { granted: asker.granted + 1, base_key, key, ..asker });
    txn.write(resends::record_id(sequence), &resends);
    txn.write(resends::allowance_id(chat), &allowance);
}

/// A device asks too often: the application hears of it once.
fn over_budget(
    txn: &mut Txn<'_>,
    live: &Live,
    budget: Budget,
    request: &RetryRequest,
    device: &Jid,
) -> Result<bool, Stop> {
    let Budget { sequence, mut resends, asker, .. } = budget;
    let Some(asker) = asker.filter(|known| !known.told) else { return Ok(false) };
    resends.keep(Asker { told: true, ..asker });
    txn.write(resends::record_id(sequence), &resends);
    refuse(txn, live, request, device, Reason::OverBudget)
}

/// Finds a message among what was sent.
fn lookup(txn: &mut Txn<'_>, limits: &Limits, id: &MessageId) -> Result<Lookup, Stop> {
    let Some(Sequence(sequence)) = txn.read::<Sequence>(id.as_str().to_owned())? else { return Ok(Lookup::NeverSent) };
    let Some(entry) = txn.read::<Entry>(record_id(sequence))? else { return Ok(Lookup::NeverSent) };
    let is_old = txn.now.unix.saturating_sub(entry.accepted) >= limits.outbox_kept_ms;
    Ok(match entry.state {
        EntryState::Failed => Lookup::NeverSent,
        EntryState::Expired => Lookup::Expired,
        EntryState::Sent if is_old => Lookup::Expired,
        EntryState::Pending | EntryState::Sent => Lookup::Found(sequence, entry),
    })
}

/// Repairs the session with a device that could not read something, without asking the server: with the keys that it
/// brought; else a session that it cannot have is given up, so that the next message starts another. False if the keys
/// are not authentic: then nothing has changed.
fn repair(txn: &mut Txn<'_>, me: &Me, peer: PeerId, device: &Jid, request: &RetryRequest) -> Result<bool, Stop> {
    let id = peer.device_id(device.device());
    let session = txn.read::<Session>(id.clone())?;
    let is_stale = is_stale(session.as_ref(), request);
    if let (Some(keys), Some(registration)) = (&request.keys, request.registration) {
        // An own device that registered anew is another device; the web client refuses its keys, too.
        if me.is_me(device) && session.is_some() && is_stale {
            return Ok(false);
        }
        return Ok(bundles::start(txn, device, &bundle(keys, registration))?.is_ok());
    }
    if let Some(session) = session.filter(|_| is_stale) {
        let mut archive = txn.read::<Archive>(id.clone())?.unwrap_or_default();
        archive.push(session);
        txn.write(id.clone(), &archive);
        txn.delete::<Session>(id);
    }
    Ok(true)
}

/// Whether the device that asks cannot have this session, or there is none.
fn is_stale(session: Option<&Session>, request: &RetryRequest) -> bool {
    let Some(session) = session else { return true };
    request.registration.is_some_and(|registration| registration != session.remote_registration_id().0)
}

/// Tells the application that a device does not get what it asked for.
fn refuse(txn: &mut Txn<'_>, live: &Live, request: &RetryRequest, device: &Jid, reason: Reason) -> Result<bool, Stop> {
    let device_aliases = peers::known(txn, live, device)?;
    let (id, device) = (request.id.clone(), device.clone());
    let retry = UnansweredRetry { id, device, device_aliases, reason };
    inbox::deliver(txn, Event::RetryUnanswerable(Box::new(retry)))?;
    Ok(false)
}

/// Answers a device that asked for a message. Its request is taken for answered when the server has taken the answer: if
/// the connection dies before that, the request comes again.
pub(crate) fn resend(
    txn: &mut Txn<'_>,
    live: &Live,
    limits: &Limits,
    granted: &Arc<Granted>,
    settled: &Settled,
) -> Result<(), Stop> {
    let wait = granted.not_before.saturating_sub(txn.now.mono);
    if wait > 0 {
        return Err(Stop::Pause(wait));
    }
    let is_sent = answer(txn, live, limits, granted, settled)?;
    let key = (granted.message_id().to_owned(), granted.device.clone());
    if is_sent && live.resent.len() < MOST_UNANSWERED && !live.resent.contains_key(&key) {
        txn.change(Step::Resent(key, Arc::clone(granted)));
    } else {
        receipts::acknowledge(txn, live, &granted.receipt);
    }
    Ok(())
}

/// Takes the server's answer to a message that was sent again; false if it is about something else. A server that is in
/// trouble is given the message once more after a pause, within the same budgets.
pub(crate) fn answered(txn: &mut Txn<'_>, live: &Live, ack: &IncomingAck) -> bool {
    let Some(device) = &ack.from else { return false };
    let key = (ack.id.to_string(), device.clone());
    let Some(granted) = live.resent.get(&key) else { return false };
    txn.change(Step::ResendAnswered(key));
    if ack.error.is_some_and(|code| matches!(code, 429 | 500..=599)) {
        let later = Granted { not_before: txn.now.mono.saturating_add(TROUBLE_MS), ..Granted::clone(granted) };
        txn.change(Step::Enqueue(Job::Resend { request: Arc::new(later), settled: Settled::new() }));
    } else {
        receipts::acknowledge(txn, live, &granted.receipt);
    }
    true
}

/// Sends a message again, alone and under its id, to a device that asked for it. A device that brought keys gets a new
/// session; one that registered anew or has no session gets one from the server's bundle. False if nothing is sent.
fn answer(txn: &mut Txn<'_>, live: &Live, limits: &Limits, granted: &Granted, settled: &Settled) -> Result<bool, Stop> {
    let Granted { receipt, device, base_key, renew, .. } = granted;
    let (Some(me), Some(request)) = (&live.me, &receipt.retry) else { return Ok(false) };
    let peer = peers::resolve(txn, device)?;
    let need = Need::Session(device.clone());
    if *renew && !settled.contains_key(&need) {
        return Err(Stop::Await(vec![need]));
    }
    // Keys that are not authentic start nothing, and whoever sent them gets nothing.
    if request.keys.is_some() && !is_repeated(txn, peer, device, request)? && !repair(txn, me, peer, device, request)? {
        return Ok(false);
    }
    let session_id = peer.device_id(device.device());
    // By its id: a send that ends late changes its place.
    let Some(Sequence(sequence)) = txn.read::<Sequence>(request.id.as_str().to_owned())? else { return Ok(false) };
    let Some(entry) = txn.read::<Entry>(record_id(sequence))? else { return Ok(false) };
    let budget = budget(txn, limits, sequence, &entry, peer, device)?;
    if !budget.is_left {
        // Others that asked before this were answered meanwhile.
        over_budget(txn, live, budget, request, device)?;
        return Ok(false);
    }
    spend(txn, budget, *base_key, request);
    let Some(mut session) = txn.read::<Session>(session_id.clone())? else { return Ok(false) };
    let Some(account) = txn.read::<Account>(account::ID)? else { return Ok(false) };
    let Ok(class) = Classification::of(&entry.content) else { return Ok(false) };
    let plaintext = if me.is_me(device) {
        let Ok(copy) = wrap_device_sent(&entry.content, &entry.chat.to_string(), None) else { return Ok(false) };
        pad(&copy, txn.rng)
    } else {
        pad(&entry.content, txn.rng)
    };
    let Ok(ciphertext) = session.encrypt(&plaintext, &account.identity.public, txn.rng) else { return Ok(false) };
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
    Ok(true)
}

/// Whether this request has repaired the session before and is delivered again. The device needs the key that it brought
/// for one session only: another one, made with the same key, it could not read.
fn is_repeated(txn: &mut Txn<'_>, peer: PeerId, device: &Jid, request: &RetryRequest) -> Result<bool, Stop> {
    let id = peer.device_id(device.device());
    let Some(key) = one_time(request) else { return Ok(false) };
    let Some(Sequence(sequence)) = txn.read::<Sequence>(request.id.as_str().to_owned())? else { return Ok(false) };
    let session = txn.read::<Session>(id.clone())?;
    let resends = txn.read::<Resends>(resends::record_id(sequence))?.unwrap_or_default();
    let brought = resends.asker(id).and_then(|asker| asker.key);
    Ok(brought == Some(key) && !is_stale(session.as_ref(), request))
}

/// The number of the one-time key that a request brings.
fn one_time(request: &RetryRequest) -> Option<u32> {
    Some(request.keys.as_ref()?.one_time.as_ref()?.id)
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
