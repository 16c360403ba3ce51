//! The phone is asked for what this device could not read: when asking the sender did not help within a few seconds, or
//! when the server withholds the content. Which messages these are is durable; when to ask again is found out anew.

use super::{Live, Need, Settled, Step, Stop, Txn, TxnExt, fanout, inbox, peers};
use crate::api::{Event, Limits, MessageEvent, MessageId};
use crate::message::{Control, Found, Scanned, Wanted, pad, placeholder_answer, placeholder_request};
use crate::signal::Session;
use crate::stanza::{IncomingAck, PeerMessage, PushPriority};
use crate::state::account::{self, Account};
use crate::state::asked::{self, Asked, AskedMessage, Missing};
use crate::state::peer::PeerId;
use crate::state::resends::{Allowance, PHONE_ID};
use crate::types::Jid;
use bytes::Bytes;

/// The sender has this long to send a message again before the phone is asked, in milliseconds; peers wait 3 to 5 s.
pub(crate) const DELAY_MS: u64 = 5_000;

/// Requests wait this long for others that can go along, in milliseconds.
pub(crate) const DEBOUNCE_MS: u64 = 1_000;

/// The phone is not asked for messages that are older than this, in seconds: 14 days.
const RECENT_S: u64 = 14 * 24 * 3600;

/// The phone is asked for one message this often, and again after this long, in milliseconds.
const MOST_TIMES: u32 = 3;
const AGAIN_MS: u64 = 3_600_000;

/// Messages that one request asks for.
const MOST_AT_ONCE: usize = 50;

/// Asks the phone in a while, unless that is planned for an earlier time.
pub(crate) fn remind(txn: &mut Txn<'_>, ms: u64) {
    txn.change(Step::AskPhone(ms));
}

/// After the login: what the phone was not asked for yet, or did not answer. A request that the server had not taken when
/// the connection ended is made again.
pub(crate) fn at_login(txn: &mut Txn<'_>) -> Result<(), Stop> {
    let mut asked = txn.read::<Asked>(asked::ID)?.unwrap_or_default();
    if asked.change_missing(|missing| {
        let was_lost = missing.request.take().is_some();
        missing.asked_at = if was_lost { 0 } else { missing.asked_at };
        was_lost
    }) {
        txn.write(asked::ID, &asked);
    }
    plan(txn, &asked, DELAY_MS);
    Ok(())
}

/// The server has acknowledged something that is not in the outbox: perhaps a request, which reaches the phone then.
pub(crate) fn taken(txn: &mut Txn<'_>, ack: &IncomingAck) -> Result<(), Stop> {
    let Some(mut asked) = txn.read::<Asked>(asked::ID)?.filter(|_| ack.error.is_none()) else { return Ok(()) };
    let is_it = |request: &mut MessageId| request.as_str() == ack.id.as_str();
    if asked.change_missing(|missing| missing.request.take_if(is_it).is_some()) {
        txn.write(asked::ID, &asked);
    }
    Ok(())
}

/// Plans to ask for what is left, when the first of it is due, but not before `least` milliseconds have passed.
fn plan(txn: &mut Txn<'_>, asked: &Asked, least: u64) {
    if let Some(soonest) = asked.iter().filter_map(|one| wait(one, txn.now.unix)).min() {
        remind(txn, soonest.max(least));
    }
}

/// How long until the phone should be asked for a message; `None` if it never should.
fn wait(asked: &AskedMessage, now: u64) -> Option<u64> {
    let missing = asked.missing.as_ref().filter(|_| !asked.read)?;
    if missing.times >= MOST_TIMES || now / 1000 > missing.timestamp.saturating_add(RECENT_S) {
        return None;
    }
    let due = match (missing.times, asked.count) {
        (0, 1) => missing.since.saturating_add(DELAY_MS),
        (0, _) => 0,
        _ => missing.asked_at.saturating_add(AGAIN_MS),
    };
    Some(due.saturating_sub(now))
}

/// Asks the phone for everything that is due, in one request.
pub(crate) fn ask(txn: &mut Txn<'_>, live: &Live, limits: &Limits, phone: &Jid, settled: &Settled) -> Result<(), Stop> {
    let (Some(me), true) = (&live.me, live.ready) else { return Ok(()) };
    let mut asked = txn.read::<Asked>(asked::ID)?.unwrap_or_default();
    let now = txn.now.unix;
    let mut due: Vec<(AskedMessage, Missing)> = asked
        .iter()
        .filter(|one| wait(one, now) == Some(0))
        .filter_map(|one| Some((one.clone(), one.missing.clone()?)))
        .collect();
    if due.is_empty() {
        plan(txn, &asked, DEBOUNCE_MS);
        return Ok(());
    }
    let need = Need::Session(phone.clone());
    let session_id = PeerId::SELF.device_id(0);
    let Some(mut session) = txn.read::<Session>(session_id.clone())? else {
        if !settled.contains_key(&need) {
            return Err(Stop::Await(vec![need]));
        }
        // There is no phone, or not now.
        plan(txn, &asked, AGAIN_MS);
        return Ok(());
    };
    let Some(account) = txn.read::<Account>(account::ID)? else { return Ok(()) };
    let full = Allowance::full(now, limits.placeholders);
    let mut allowance = txn.read::<Allowance>(PHONE_ID)?.unwrap_or(full);
    due.truncate(MOST_AT_ONCE);
    let wanted = due.len();
    due.retain(|_| allowance.take(now, limits.placeholders, limits.placeholder_refill_ms));
    txn.write(PHONE_ID, &allowance);
    let is_held_back = due.len() < wanted;
    let least = if is_held_back { allowance.wait(now, limits.placeholder_refill_ms) } else { 0 }.max(DEBOUNCE_MS);
    if due.is_empty() {
        plan(txn, &asked, least);
        return Ok(());
    }
    let texts: Vec<_> = due.iter().map(|(_, missing)| (missing.chat.to_string(), sender(missing))).collect();
    let wanted = due.iter().zip(&texts).map(|((one, missing), (chat, participant))| Wanted {
        chat,
        from_me: missing.from_me,
        id: &one.id,
        participant: participant.as_deref(),
    });
    let content = placeholder_request(wanted);
    let padded = pad(&content, txn.rng);
    let Ok(ciphertext) = session.encrypt(&padded, &account.identity.public, txn.rng) else { return Ok(()) };
    txn.write(session_id, &session);
    let id = MessageId::for_web(txn.now.unix_seconds(), Some(me.pn.user()), &txn.rng.bytes());
    for (one, missing) in due {
        let request = Some(id.clone());
        let missing = Missing { times: missing.times + 1, asked_at: now, request, ..missing };
        asked.update(AskedMessage { missing: Some(missing), ..one });
    }
    txn.write(asked::ID, &asked);
    plan(txn, &asked, least);
    let request = PeerMessage {
        id,
        to: me.pn.to_user(),
        enc: fanout::enc(ciphertext),
        device_identity: account.linked.as_ref().map(|linked| linked.device_identity.clone()),
        priority: PushPriority::HighForce,
        is_privacy_sensitive: false,
    };
    txn.send(live, &request);
    Ok(())
}

/// In a group a message is named together with who sent it.
fn sender(missing: &Missing) -> Option<String> {
    (missing.chat.is_group() && !missing.from_me).then(|| missing.sender.to_user().to_string())
}

/// The phone has answered: what is still missing is delivered under its own id, once. Anything else that the answer may
/// hold was not asked for.
pub(crate) fn answered(txn: &mut Txn<'_>, live: &Live, protocol: &[u8]) -> Result<(), Stop> {
    let mut asked = txn.read::<Asked>(asked::ID)?.unwrap_or_default();
    let Ok(messages) = placeholder_answer(protocol) else { return Ok(()) };
    for found in messages {
        let Some((one, missing)) = meant(txn, live, &asked, &found)? else { continue };
        let is_plain = |scanned: Scanned<'_>| {
            let control = scanned.protocol.and_then(|protocol| Control::of(protocol.kind));
            scanned.has_content && scanned.device_sent.is_none() && control.is_none()
        };
        if !Scanned::of(found.message).is_ok_and(is_plain) {
            continue;
        }
        asked.update(AskedMessage { read: true, ..one.clone() });
        txn.write(asked::ID, &asked);
        let event = MessageEvent {
            id: one.id,
            chat_aliases: peers::known(txn, live, &missing.chat)?,
            chat: missing.chat,
            sender_aliases: peers::known(txn, live, &missing.sender)?,
            sender: missing.sender,
            from_me: missing.from_me,
            timestamp: found.timestamp.unwrap_or(missing.timestamp),
            push_name: found.push_name.map(ToOwned::to_owned),
            offline: false,
            content: Bytes::copy_from_slice(found.message),
        };
        inbox::deliver(txn, Event::MessageReceived(Box::new(event)))?;
    }
    Ok(())
}

/// The message that the phone means. Senders choose their ids, so two messages may share one.
fn meant(
    txn: &mut Txn<'_>,
    live: &Live,
    asked: &Asked,
    found: &Found<'_>,
) -> Result<Option<(AskedMessage, Missing)>, Stop> {
    for one in asked.iter().filter(|one| !one.read && one.id.as_str() == found.id) {
        let Some(missing) = one.missing.as_ref().filter(|missing| missing.times > 0) else { continue };
        if is_about(txn, live, missing, found)? {
            return Ok(Some((one.clone(), missing.clone())));
        }
    }
    Ok(None)
}

/// Whether the phone's message is of the same chat and sender, under whichever of their addresses.
fn is_about(txn: &mut Txn<'_>, live: &Live, missing: &Missing, found: &Found<'_>) -> Result<bool, Stop> {
    let Some(Ok(chat)) = found.chat.map(Jid::parse) else { return Ok(false) };
    if found.from_me != missing.from_me || !is_same(txn, live, &chat, &missing.chat)? {
        return Ok(false);
    }
    match found.participant.map(Jid::parse) {
        Some(Ok(participant)) => is_same(txn, live, &participant, &missing.sender),
        Some(Err(_)) => Ok(false),
        None => Ok(missing.from_me || !missing.chat.is_group()),
    }
}

fn is_same(txn: &mut Txn<'_>, live: &Live, one: &Jid, other: &Jid) -> Result<bool, Stop> {
    if one.same_user(other) {
        return Ok(true);
    }
    let one = who(txn, live, one)?;
    Ok(one.is_some() && one == who(txn, live, other)?)
}

fn who(txn: &mut Txn<'_>, live: &Live, jid: &Jid) -> Result<Option<PeerId>, Stop> {
    let is_me = live.me.as_ref().is_some_and(|me| me.is_me(jid));
    Ok(if is_me { Some(PeerId::SELF) } else { peers::find(txn, jid)? })
}
