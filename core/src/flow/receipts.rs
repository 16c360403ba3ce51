//! Receipts: telling senders what became of their messages, and hearing it from others.

use super::receive::Origin;
use super::{Live, Stop, Txn, TxnExt, inbox, learn, peers, retry};
use crate::api::{Event, Limits, MessageId, OpId, OpResult, ReceiptEvent, ReceiptKind};
use crate::stanza::{Ack, IncomingMessage, IncomingReceipt, Receipt, ReceiptType};
use crate::state::peer::AliasSource;
use crate::types::{Jid, Server};

/// Says that this device has a message. The server drops it from its queue then.
pub(crate) fn delivered(
    txn: &mut Txn<'_>,
    live: &Live,
    message: &IncomingMessage,
    origin: &Origin,
) -> Result<(), Stop> {
    let kind = if message.is_peer {
        ReceiptType::PeerMessage
    } else if origin.from_me {
        ReceiptType::Sender
    } else if live.available {
        ReceiptType::Delivered
    } else {
        ReceiptType::Inactive
    };
    let mut receipt = Receipt::answering(kind, &message.address);
    receipt.recipient = message.address.recipient.as_ref().filter(|_| origin.from_me).map(Jid::to_user);
    receipt.is_status = message.address.from == Jid::new("status", Server::Broadcast);
    txn.send(live, &receipt);
    Ok(())
}

/// Says that the user has read messages.
pub(crate) fn mark_read(
    txn: &mut Txn<'_>,
    live: &Live,
    op: OpId,
    chat: &Jid,
    sender: &Jid,
    ids: &[MessageId],
) -> Result<(), Stop> {
    let result = match ids.split_first() {
        Some((first, further)) if live.ready => {
            let mut receipt = Receipt::new(ReceiptType::Read, chat.to_user(), first.clone());
            receipt.further = further.to_vec();
            receipt.participant = chat.is_group().then(|| sender.clone());
            receipt.timestamp = Some(txn.now.unix_seconds());
            txn.send(live, &receipt);
            OpResult::Done
        }
        _ => OpResult::Lost,
    };
    txn.tell(Event::OperationFinished { op, result });
    Ok(())
}

/// Takes a receipt: the application hears of it, the server gets its acknowledgement.
pub(crate) fn received(txn: &mut Txn<'_>, live: &Live, limits: &Limits, receipt: &IncomingReceipt) -> Result<(), Stop> {
    let Some(me) = &live.me else { return Ok(()) };
    let address = &receipt.address;
    learn::beside_stanza(txn, live, address, &receipt.alternates, receipt.timestamp)?;
    for reader in &receipt.readers {
        if let (Some(pn), true) = (&reader.pn, reader.jid.is_lid_family()) {
            let claim = learn::claim(txn, AliasSource::StanzaAttribute, reader.timestamp.or(receipt.timestamp));
            learn::pair(txn, pn, &reader.jid, claim)?;
        }
    }
    let device = address.participant.as_ref().unwrap_or(&address.from);
    let from_me = me.is_me(device);
    let chat = match &address.recipient {
        Some(recipient) if from_me => recipient.to_user(),
        _ => address.from.to_user(),
    };
    let is_answered_later = receipt.kind == ReceiptType::Retry && retry::asked(txn, live, limits, receipt, device)?;
    let now = txn.now.unix_seconds();
    let readers = if receipt.readers.is_empty() {
        vec![(device.clone(), receipt.timestamp, &receipt.kind)]
    } else {
        receipt.readers.iter().map(|reader| (reader.jid.clone(), reader.timestamp, &reader.kind)).collect()
    };
    let chat_aliases = peers::known(txn, live, &chat)?;
    // Nobody else can say what this account has seen or received.
    let is_believed = |(sender, _, said): &(Jid, _, &ReceiptType)| !said.is_for_own_devices() || me.is_me(sender);
    for (sender, timestamp, said) in readers.into_iter().filter(is_believed) {
        let event = ReceiptEvent {
            chat: chat.clone(),
            chat_aliases: chat_aliases.clone(),
            sender_aliases: peers::known(txn, live, &sender)?,
            sender,
            ids: receipt.ids.clone(),
            kind: kind(said),
            timestamp: timestamp.or(receipt.timestamp).unwrap_or(now),
        };
        inbox::deliver(txn, Event::ReceiptReceived(Box::new(event)))?;
    }
    if !is_answered_later {
        acknowledge(txn, live, receipt);
    }
    Ok(())
}

/// The one answer that a receipt gets.
pub(crate) fn acknowledge(txn: &mut Txn<'_>, live: &Live, receipt: &IncomingReceipt) {
    txn.send(live, &Ack::of(receipt.address.clone()));
}

fn kind(kind: &ReceiptType) -> ReceiptKind {
    match kind {
        ReceiptType::Delivered | ReceiptType::Inactive => ReceiptKind::Delivered,
        ReceiptType::Read => ReceiptKind::Read,
        ReceiptType::ReadSelf => ReceiptKind::ReadSelf,
        ReceiptType::Played => ReceiptKind::Played,
        ReceiptType::Retry => ReceiptKind::Retry,
        other => ReceiptKind::Other(other.as_str().unwrap_or_default().to_owned()),
    }
}
