//! Receiving messages: decrypt, unwrap, deliver to the inbox, answer once.

use super::ask::Time;
use super::decrypt::{self, Opened};
use super::{Live, Me, Stop, Txn, TxnExt, ask, control, inbox, learn, peers, receipts, received};
use crate::api::{Aliases, Event, MessageEvent, SuspiciousKind, UndecryptableEvent, UndecryptableReason};
use crate::message::{Control, Scanned, unpad, unwrap_device_sent};
use crate::signal::RetryReason;
use crate::stanza::{Ack, EncKind, IncomingMessage as Message, NackReason as Nack};
use crate::state::peer::PeerId;
use crate::types::{Jid, Server};
use bytes::Bytes;

/// Where a message belongs and who sent it, from this account's view.
pub(crate) struct Origin {
    /// A user (without device), a group, or a broadcast.
    pub(crate) chat: Jid,
    /// The device that sent it.
    pub(crate) sender: Jid,
    pub(crate) from_me: bool,
    pub(crate) sender_peer: PeerId,
    pub(crate) sender_aliases: Aliases,
    pub(crate) chat_aliases: Aliases,
}

impl Origin {
    /// The record id of what belongs to the sending device.
    pub(crate) fn device_id(&self) -> Vec<u8> {
        self.sender_peer.device_id(self.sender.device())
    }
}

/// What became of a message.
enum Outcome {
    /// At least one ciphertext was read.
    Read,
    /// The key is gone, with this message or with another that took its counter.
    Used,
    /// Nothing can be read, now or later.
    Hopeless(UndecryptableReason, Nack),
    /// The sender may be able to send it again.
    Retry(UndecryptableReason, RetryReason),
}

/// Takes one message stanza.
pub(crate) fn message(txn: &mut Txn<'_>, live: &Live, message: &Message) -> Result<(), Stop> {
    let Some(me) = &live.me else { return Ok(()) };
    learn::beside_stanza(txn, live, &message.address, &message.alternates, Some(message.timestamp))?;
    let origin = origin(txn, live, me, message)?;
    if let Some(unavailable) = &message.unavailable {
        if ask::withheld(txn, message, &origin, !unavailable.is_view_once)? == Time::First {
            deliver_undecryptable(txn, message, &origin, UndecryptableReason::Unavailable)?;
        }
        return acknowledge(txn, live, message, None);
    }
    // Only channels speak in the clear.
    if message.enc.is_empty()
        && origin.chat.server() == &Server::Newsletter
        && let Some(content) = &message.plaintext
    {
        deliver(txn, message, &origin, origin.chat.clone(), origin.chat_aliases.clone(), content.clone())?;
        return acknowledge(txn, live, message, None);
    }
    let was_read = ask::was_read(txn, message, &origin)?;
    match read(txn, live, message, &origin, was_read)? {
        // A copy was read before: this one only had to move the ratchet.
        _ if was_read => receipts::delivered(txn, live, message, &origin),
        Outcome::Read => {
            ask::note_read(txn, message, &origin)?;
            received::note(txn, message, &origin)?;
            receipts::delivered(txn, live, message, &origin)
        }
        // Delivered again, because our answer was lost.
        Outcome::Used | Outcome::Retry(..) if received::knows(txn, message, &origin)? => {
            receipts::delivered(txn, live, message, &origin)
        }
        Outcome::Used if received::may_have_come_before(txn, message)? => {
            receipts::delivered(txn, live, message, &origin)
        }
        Outcome::Hopeless(reason, nack) => {
            if reason == UndecryptableReason::NotAMessage {
                received::note(txn, message, &origin)?;
            }
            deliver_undecryptable(txn, message, &origin, reason)?;
            // A refused status comes back first at every login, and the server holds the rest back behind it.
            let nack = (origin.chat.server() != &Server::Broadcast).then_some(nack);
            acknowledge(txn, live, message, nack)
        }
        Outcome::Used => {
            let (reason, why) = (UndecryptableReason::Damaged, RetryReason::InvalidMessageKey);
            retry(txn, live, message, &origin, reason, why)
        }
        Outcome::Retry(reason, why) => retry(txn, live, message, &origin, reason, why),
    }
}

/// Asks for a message again.
fn retry(
    txn: &mut Txn<'_>,
    live: &Live,
    message: &Message,
    origin: &Origin,
    reason: UndecryptableReason,
    why: RetryReason,
) -> Result<(), Stop> {
    if ask::ask(txn, live, message, origin, why)? == Time::First {
        deliver_undecryptable(txn, message, origin, reason)?;
    }
    acknowledge(txn, live, message, None)
}

/// Opens the ciphertexts in the order that lets one bring the key of the next: pairwise ones, then the group's.
fn read(txn: &mut Txn<'_>, live: &Live, message: &Message, origin: &Origin, was_read: bool) -> Result<Outcome, Stop> {
    let (mut outcome, mut is_used) = (None, false);
    let is_pairwise = |kind: &EncKind| matches!(kind, EncKind::Message | EncKind::PreKeyMessage);
    let pairwise = message.enc.iter().filter(|enc| is_pairwise(&enc.ciphertext.kind));
    let group = message.enc.iter().filter(|enc| !is_pairwise(&enc.ciphertext.kind));
    for enc in pairwise.chain(group) {
        let result = match decrypt::open(txn, message, origin, enc)? {
            Opened::Plain(padded) => take(txn, live, message, origin, padded, was_read)?,
            // Says nothing about the others: a stanza whose key was taken before may have content that was not.
            Opened::Used => {
                is_used = true;
                continue;
            }
            Opened::Failed(reason, why) => Outcome::Retry(reason, why),
            Opened::Unknown => Outcome::Hopeless(UndecryptableReason::UnknownEncryption, Nack::Unhandled),
        };
        match (&result, &outcome) {
            // One retry asks for the whole stanza; what follows would need the key that did not come.
            (Outcome::Retry(..), _) => return Ok(result),
            (Outcome::Hopeless(..), Some(Outcome::Read)) => {}
            _ => outcome = Some(result),
        }
    }
    Ok(match outcome {
        None | Some(Outcome::Hopeless(..)) if is_used => Outcome::Used,
        None => Outcome::Hopeless(UndecryptableReason::UnknownEncryption, Nack::Unhandled),
        Some(outcome) => outcome,
    })
}

/// Takes a decrypted plaintext: keys to the store, content to the inbox.
fn take(
    txn: &mut Txn<'_>,
    live: &Live,
    message: &Message,
    origin: &Origin,
    padded: Vec<u8>,
    was_read: bool,
) -> Result<Outcome, Stop> {
    let damaged = || Outcome::Hopeless(UndecryptableReason::NotAMessage, Nack::InvalidProtobuf);
    let mut content = Bytes::from(padded);
    let Ok(length) = unpad(&content).map(<[u8]>::len) else { return Ok(damaged()) };
    content.truncate(length);
    let Ok(scanned) = Scanned::of(&content) else { return Ok(damaged()) };
    if let Some(part) = scanned.group_key {
        decrypt::learn_sender_key(txn, message, origin, part.distribution)?;
        if scanned.is_only_group_key() {
            return Ok(Outcome::Read);
        }
    }
    if was_read {
        return Ok(Outcome::Read);
    }
    if scanned.device_sent.is_some() && !origin.from_me {
        control::suspect(txn, message, origin, SuspiciousKind::OwnCopy)?;
        return Ok(Outcome::Read);
    }
    if let Some(protocol) = scanned.protocol
        && let Some(control) = Control::of(protocol.kind)
    {
        let is_direct = scanned.device_sent.is_none();
        let is_read = control::take(txn, live, message, origin, (control, protocol), is_direct)?;
        return Ok(if is_read { Outcome::Read } else { damaged() });
    }
    let mut chat = origin.chat.clone();
    if let Some(copy) = scanned.device_sent {
        if let Ok(destination) = Jid::parse(copy.destination) {
            chat = destination.to_user();
        }
        match unwrap_device_sent(&content) {
            Ok(Some(inner)) => content = inner.into(),
            Ok(None) => {}
            Err(_) => return Ok(damaged()),
        }
    }
    let chat_aliases = if chat == origin.chat { origin.chat_aliases.clone() } else { peers::known(txn, live, &chat)? };
    deliver(txn, message, origin, chat, chat_aliases, content)?;
    Ok(Outcome::Read)
}

/// Hands a message to the application.
fn deliver(
    txn: &mut Txn<'_>,
    message: &Message,
    origin: &Origin,
    chat: Jid,
    chat_aliases: Aliases,
    content: Bytes,
) -> Result<(), Stop> {
    let event = MessageEvent {
        id: message.id.clone(),
        chat,
        chat_aliases,
        sender: origin.sender.clone(),
        sender_aliases: origin.sender_aliases.clone(),
        from_me: origin.from_me,
        timestamp: message.timestamp,
        push_name: message.push_name.as_ref().map(ToString::to_string),
        offline: message.is_offline,
        content,
    };
    inbox::deliver(txn, Event::MessageReceived(Box::new(event)))?;
    Ok(())
}

fn origin(txn: &mut Txn<'_>, live: &Live, me: &Me, message: &Message) -> Result<Origin, Stop> {
    let address = &message.address;
    let sender = address.participant.as_ref().unwrap_or(&address.from).clone();
    let sender_peer = if me.is_me(&sender) { PeerId::SELF } else { peers::resolve(txn, &sender)? };
    let from_me = sender_peer == PeerId::SELF;
    let chat = match (&address.participant, &address.recipient) {
        (Some(_), _) => address.from.clone(),
        (None, Some(recipient)) if from_me => recipient.to_user(),
        (None, _) => address.from.to_user(),
    };
    let sender_aliases = peers::known(txn, live, &sender)?;
    let chat_aliases = peers::known(txn, live, &chat)?;
    Ok(Origin { chat, sender, from_me, sender_peer, sender_aliases, chat_aliases })
}

fn deliver_undecryptable(
    txn: &mut Txn<'_>,
    message: &Message,
    origin: &Origin,
    reason: UndecryptableReason,
) -> Result<(), Stop> {
    let event = UndecryptableEvent {
        id: message.id.clone(),
        chat: origin.chat.clone(),
        chat_aliases: origin.chat_aliases.clone(),
        sender: origin.sender.clone(),
        sender_aliases: origin.sender_aliases.clone(),
        timestamp: message.timestamp,
        reason,
    };
    inbox::deliver(txn, Event::MessageUndecryptable(Box::new(event)))?;
    Ok(())
}

/// The one terminal answer to a message that gets no receipt.
fn acknowledge(txn: &mut Txn<'_>, live: &Live, message: &Message, nack: Option<Nack>) -> Result<(), Stop> {
    let from = live.me.as_ref().map(|me| me.pn.clone());
    let ack = Ack { of: message.address.clone(), error: nack, from };
    txn.send(live, &ack);
    Ok(())
}
