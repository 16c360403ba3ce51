//! One message, one ciphertext for each device of both sides.

use super::{Failure, Live, Me, Need, Settled, Stop, Txn, devices, peers, tokens};
use crate::api::DeviceOutcome;
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

/// How long a server in trouble is left alone, in milliseconds.
const TROUBLE_MS: u64 = 5_000;

/// What became of an attempt to encrypt a send.
pub(crate) enum Fanout {
    /// A stanza with at least one ciphertext.
    Ready { stanza: Plain, devices: Vec<(Jid, DeviceOutcome)> },
    /// This device is not linked.
    Later,
    /// There is no device that a ciphertext could be made for.
    Nobody { devices: Vec<(Jid, DeviceOutcome)> },
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
    let is_needed = |need: &Need| matches!(need, Need::Devices(_) | Need::Session(_));
    if settled.iter().any(|(need, result)| is_needed(need) && result.is_err_and(Failure::is_passing)) {
        return Err(Stop::Pause(TROUBLE_MS));
    }

    let peer = peers::of(txn, live, &entry.chat)?;
    let to_self = peer == PeerId::SELF;
    let (own, Some(theirs)) = lists(txn, me, &entry.chat, peer, settled)? else {
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

    let (sessions, mut report) = sessions(txn, &targets, settled)?;
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
        Err(_) => Ok(Fanout::Nobody { devices: report }),
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
    settled: &Settled,
) -> Result<(Option<DeviceList>, Option<DeviceList>), Stop> {
    txn.expect([DeviceList::key(PeerId::SELF.record_id()), DeviceList::key(peer.record_id())])?;
    let mut needs = Vec::new();
    let mut list = |txn: &mut Txn<'_>, peer: PeerId, user: Jid| -> Result<Option<DeviceList>, Stop> {
        let need = Need::Devices(user);
        match settled.get(&need) {
            // It may have changed again while this send waited: the next one asks, or this one would never end.
            Some(Ok(())) => Ok(txn.read::<DeviceList>(peer.record_id())?),
            Some(Err(_)) => Ok(devices::usable(txn, peer)?),
            None => {
                let found = devices::usable(txn, peer)?;
                if found.is_none() {
                    needs.push(need);
                }
                Ok(found)
            }
        }
    };
    let own = list(txn, PeerId::SELF, me.pn.to_user())?;
    let theirs = if peer == PeerId::SELF { own.clone() } else { list(txn, peer, chat.to_user())? };
    if needs.is_empty() { Ok((own, theirs)) } else { Err(Stop::Await(needs)) }
}

/// The sessions with `targets`; the server is asked for bundles where there is none. What cannot be had is reported.
#[expect(clippy::type_complexity, reason = "two lists that belong together, used once")]
fn sessions<'t>(
    txn: &mut Txn<'_>,
    targets: &'t [Target],
    settled: &Settled,
) -> Result<(Vec<(&'t Target, Session)>, Vec<(Jid, DeviceOutcome)>), Stop> {
    txn.expect(targets.iter().map(|target| Session::key(target.session.clone())))?;
    let (mut found, mut report, mut needs) = (Vec::with_capacity(targets.len()), Vec::new(), Vec::new());
    for target in targets {
        let need = Need::Session(target.jid.clone());
        match (txn.read::<Session>(target.session.clone())?, settled.get(&need)) {
            (Some(session), _) => found.push((target, session)),
            (None, Some(Err(failure))) => report.push((target.jid.clone(), failure.outcome())),
            (None, Some(Ok(()))) => report.push((target.jid.clone(), DeviceOutcome::NoSession)),
            (None, None) => needs.push(need),
        }
    }
    if needs.is_empty() { Ok((found, report)) } else { Err(Stop::Await(needs)) }
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
