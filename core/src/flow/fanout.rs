//! One message, one ciphertext for each device of both sides.

use super::trouble::{MOST_TRIES, Troubles};
use super::{Failure, Live, Me, Need, Settled, Stop, Txn, devices, peers, tokens};
use crate::api::{DeviceOutcome, SkipReason};
use crate::binary::Plain;
use crate::message::{Classification, pad, wrap_device_sent};
use crate::signal::{self, CiphertextKind, Session};
use crate::stanza::{Ciphertext, Edit, EncKind, OutgoingMessage, Stanza};
use crate::state::Stored;
use crate::state::account::{self, Account};
use crate::state::devices::{Device, DeviceList};
use crate::state::outbox::{Entry, Repair};
use crate::state::peer::PeerId;
use crate::types::{Jid, Server};

/// The least that a send waits, in milliseconds.
const SOON_MS: u64 = 1_000;

/// What became of an attempt to encrypt a send.
pub(crate) enum Fanout {
    /// A stanza with at least one ciphertext.
    Ready { stanza: Plain, devices: Vec<(Jid, DeviceOutcome)> },
    /// This device is not linked.
    Later,
    /// There is no device that a ciphertext could be made for.
    Nobody { devices: Vec<(Jid, DeviceOutcome)> },
}

/// What was asked for a send, and what of it the server cannot give now.
struct Asked<'a> {
    settled: &'a Settled,
    trouble: &'a Troubles,
    /// The server has the message already: what does not come before long is told, not waited for.
    is_repair: bool,
}

impl Asked<'_> {
    /// What became of something; `Ok(None)` if it is to be asked for. `Err`: the server is in trouble with it.
    fn answer(&self, need: &Need, mono: u64) -> Result<Option<Result<(), Failure>>, Failure> {
        match self.settled.get(need) {
            Some(Err(failure)) if failure.is_passing() => Err(*failure),
            Some(answer) => Ok(Some(*answer)),
            None if self.trouble.wait(need, mono).is_some() => Err(Failure::Lost),
            None => Ok(None),
        }
    }

    /// Whether it could not be had so often that the send goes on without.
    fn is_hopeless(&self, need: &Need) -> bool {
        self.trouble.failures(need) >= MOST_TRIES
    }

    /// Waits until the first of what is missing may be asked for again.
    fn pause<'n>(&self, missing: impl IntoIterator<Item = &'n Need>, mono: u64) -> Stop {
        let waits = missing.into_iter().map(|need| self.trouble.wait(need, mono).unwrap_or(SOON_MS));
        Stop::Pause(waits.min().unwrap_or(SOON_MS))
    }
}

/// A device that the message is for.
struct Target {
    jid: Jid,
    session: Vec<u8>,
    /// One of this account's own: it gets the copy that says where the message went.
    own: bool,
}

/// Encrypts `entry` for every device it is for.
pub(crate) fn encrypt(txn: &mut Txn<'_>, live: &Live, entry: &Entry, settled: &Settled) -> Result<Fanout, Stop> {
    let (Some(me), Some(account)) = (&live.me, txn.read::<Account>(account::ID)?) else { return Ok(Fanout::Later) };
    let Some(linked) = &account.linked else { return Ok(Fanout::Later) };

    let peer = peers::of(txn, live, &entry.chat)?;
    let to_self = peer == PeerId::SELF;
    let asked = Asked { settled, trouble: &live.trouble, is_repair: entry.repair.is_some() };
    let (own, Some(theirs)) = lists(txn, me, &entry.chat, peer, &asked)? else {
        return Ok(Fanout::Nobody { devices: Vec::new() });
    };
    let aliases = peers::aliases(txn, peer)?;
    let chat = aliases.lid.clone().or_else(|| aliases.pn.clone()).unwrap_or_else(|| entry.chat.to_user());

    let mut targets = Vec::with_capacity(theirs.devices.len() + 4);
    let repair = entry.repair.as_deref();
    if !to_self {
        targets.extend(theirs.devices.iter().map(|device| target(&chat, peer, device, false)));
    }
    let mine = me.preferred().to_user();
    let own = own.iter().flat_map(|list| &list.devices);
    let others = own.filter(|device| device.id != me.pn.device());
    targets.extend(others.map(|device| target(&mine, PeerId::SELF, device, true)));
    if let Some(repair) = repair {
        targets.retain(|target| is_missing(me, repair, target));
    }
    let outcome = if repair.is_some() { DeviceOutcome::Repaired } else { DeviceOutcome::Sent };

    let (sessions, mut report) = sessions(txn, &targets, &asked)?;
    let Ok(class) = Classification::of(&entry.content) else { return Ok(Fanout::Nobody { devices: report }) };
    let Ok(copy) = wrap_device_sent(&entry.content, &chat.to_string(), None) else {
        return Ok(Fanout::Nobody { devices: report });
    };
    let content = pad(&entry.content, txn.rng);
    let own_copy = pad(&copy, txn.rng);
    let identity = account.identity.public;
    let mut participants = Vec::with_capacity(sessions.len());
    for (target, mut session) in sessions {
        let plaintext = if target.own { &own_copy } else { &content };
        let Ok(ciphertext) = session.encrypt(plaintext, &identity, txn.rng) else {
            report.push((target.jid.clone(), DeviceOutcome::NoSession));
            continue;
        };
        txn.write(target.session.clone(), &session);
        report.push((target.jid.clone(), outcome));
        participants.push((target.jid.clone(), enc(ciphertext)));
    }
    if participants.is_empty() {
        return Ok(Fanout::Nobody { devices: report });
    }

    let mut message = OutgoingMessage::new(entry.id.clone(), chat.clone(), class.stanza_type.as_str());
    message.edit = edit(&class);
    message.media_type = class.media_type.map(Into::into);
    message.hide_failure = class.hide_failure;
    message.meta.poll_type = class.poll.map(|part| part.as_str().into());
    message.meta.event_type = class.event.map(|part| part.as_str().into());
    message.meta.is_view_once = class.view_once;
    message.peer_recipient_pn = aliases.pn.filter(|_| chat.is_lid_family() && !to_self);
    message.participants = participants;
    message.is_addition = repair.is_some();
    message.token = tokens::shown(txn, peer, &chat)?;
    message.device_identity = Some(linked.device_identity.clone());
    match message.plain() {
        Ok(stanza) => Ok(Fanout::Ready { stanza, devices: report }),
        Err(_) => {
            // What was encrypted goes nowhere.
            for (_, made) in report.iter_mut().filter(|(_, made)| *made == outcome) {
                *made = DeviceOutcome::Skipped(SkipReason::Unsendable);
            }
            Ok(Fanout::Nobody { devices: report })
        }
    }
}

/// Whether a device has not got the message, as far as is known. What goes by is whose it is and its number: a user's
/// other address may have been learned since.
fn is_missing(me: &Me, repair: &Repair, target: &Target) -> bool {
    let is_target = |device: &Jid| me.is_me(device) == target.own && device.device() == target.jid.device();
    let known = repair.devices.iter().find(|(device, _)| is_target(device));
    known.is_none_or(|(_, outcome)| *outcome == DeviceOutcome::Repaired)
}

/// What a stanza says of an edit.
pub(crate) fn edit(class: &Classification) -> Option<Edit> {
    class.edit.map(|edit| Edit::of(edit.as_str()))
}

/// A session's ciphertext as a stanza carries it.
pub(crate) fn enc(ciphertext: signal::Ciphertext) -> Ciphertext {
    let kind = match ciphertext.kind {
        CiphertextKind::PreKeyMessage => EncKind::PreKeyMessage,
        CiphertextKind::Message => EncKind::Message,
    };
    Ciphertext { kind, bytes: ciphertext.bytes.into() }
}

/// The device lists of both sides; the server is asked for those that are not known. `None`: it gave none.
fn lists(
    txn: &mut Txn<'_>,
    me: &Me,
    chat: &Jid,
    peer: PeerId,
    asked: &Asked<'_>,
) -> Result<(Option<DeviceList>, Option<DeviceList>), Stop> {
    txn.expect([DeviceList::key(PeerId::SELF.record_id()), DeviceList::key(peer.record_id())])?;
    let mono = txn.now.mono;
    let (mut needs, mut missing) = (Vec::new(), Vec::new());
    let mut list = |txn: &mut Txn<'_>, peer: PeerId, user: Jid| -> Result<Option<DeviceList>, Stop> {
        let need = Need::Devices(user);
        let answer = asked.answer(&need, mono);
        // It may have changed again while this send waited: the next one asks, or this one would never end.
        if answer == Ok(Some(Ok(()))) {
            return Ok(txn.read::<DeviceList>(peer.record_id())?);
        }
        let found = devices::usable(txn, peer)?;
        match answer {
            _ if found.is_some() => {}
            Ok(None) => needs.push(need),
            Err(_) if !asked.is_repair || !asked.is_hopeless(&need) => missing.push(need),
            Ok(Some(_)) | Err(_) => {}
        }
        Ok(found)
    };
    let own = list(txn, PeerId::SELF, me.pn.to_user())?;
    let theirs = if peer == PeerId::SELF { own.clone() } else { list(txn, peer, chat.to_user())? };
    if !needs.is_empty() {
        return Err(Stop::Await(needs));
    }
    if missing.is_empty() { Ok((own, theirs)) } else { Err(asked.pause(&missing, mono)) }
}

/// The sessions with `targets`; the server is asked for bundles where there is none. What cannot be had is reported. A
/// device whose bundle the server cannot give is waited for a while, and without end if nobody on the other side would
/// get the message.
#[expect(clippy::type_complexity, reason = "two lists that belong together, used once")]
fn sessions<'t>(
    txn: &mut Txn<'_>,
    targets: &'t [Target],
    asked: &Asked<'_>,
) -> Result<(Vec<(&'t Target, Session)>, Vec<(Jid, DeviceOutcome)>), Stop> {
    txn.expect(targets.iter().map(|target| Session::key(target.session.clone())))?;
    let mono = txn.now.mono;
    let (mut found, mut report, mut needs) = (Vec::with_capacity(targets.len()), Vec::new(), Vec::new());
    let mut missing = Vec::new();
    for target in targets {
        let need = Need::Session(target.jid.clone());
        match (txn.read::<Session>(target.session.clone())?, asked.answer(&need, mono)) {
            (Some(session), _) => found.push((target, session)),
            (None, Ok(Some(Err(failure)))) => report.push((target.jid.clone(), failure.outcome())),
            (None, Ok(Some(Ok(())))) => report.push((target.jid.clone(), DeviceOutcome::NoSession)),
            (None, Ok(None)) => needs.push(need),
            (None, Err(_)) => missing.push(need),
        }
    }
    if !needs.is_empty() {
        return Err(Stop::Await(needs));
    }
    let is_to_self = targets.iter().all(|target| target.own);
    let is_for_somebody = asked.is_repair || found.iter().any(|(target, _)| is_to_self || !target.own);
    let (hopeless, mut waited): (Vec<Need>, Vec<Need>) = missing.into_iter().partition(|need| asked.is_hopeless(need));
    if !is_for_somebody {
        waited.extend(hopeless.iter().cloned());
    }
    if !waited.is_empty() {
        return Err(asked.pause(&waited, mono));
    }
    let skipped = DeviceOutcome::Skipped(SkipReason::ServerTrouble);
    report.extend(hopeless.into_iter().filter_map(|need| match need {
        Need::Session(device) => Some((device, skipped)),
        _ => None,
    }));
    Ok((found, report))
}

fn target(user: &Jid, peer: PeerId, device: &Device, own: bool) -> Target {
    Target { jid: address(user, device), session: peer.device_id(device.id), own }
}

/// The address of one of a user's devices.
pub(crate) fn address(user: &Jid, device: &Device) -> Jid {
    if device.hosted { hosted_form(user) } else { user.clone() }.with_device(device.id)
}

/// Hosted devices are addressed on servers of their own.
fn hosted_form(user: &Jid) -> Jid {
    let server = if user.server() == &Server::Lid { Server::HostedLid } else { Server::Hosted };
    Jid::new(user.user(), server)
}
