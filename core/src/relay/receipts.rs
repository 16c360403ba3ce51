//! Receipts and acks from devices: they empty the device's mailbox, and receipts travel on to whom they concern.

use super::Relay;
use super::directory::{AccountId, DeviceId, Namespace};
use super::event::RelayEvent;
use super::link::Origin;
use super::mailbox::Class;
use super::wire::Look;
use crate::binary::Node;
use crate::types::{Jid, Now};

/// What a receipt says, as far as its way depends on it.
enum Kind {
    /// The message arrived at a device.
    Delivered,
    /// The user saw or heard it, and the sender may know.
    Seen,
    /// The user saw or heard it, and only the own devices may know.
    SeenPrivately,
    /// It could not be read; the sending device shall send it again.
    Retry,
    /// It is between this device and the server.
    Consumed,
}

impl Kind {
    fn of(kind: Option<&str>) -> Self {
        match kind {
            None | Some("inactive" | "delivery") => Self::Delivered,
            Some("read" | "played") => Self::Seen,
            Some("read-self" | "played-self") => Self::SeenPrivately,
            Some("retry" | "enc_rekey_retry") => Self::Retry,
            Some(_) => Self::Consumed,
        }
    }
}

impl Relay {
    /// Takes a receipt from a device: acks it, empties the mailbox of what it covers, passes it on.
    pub(super) fn take_receipt(&mut self, now: Now, origin: Origin, stanza: &Node) {
        let (Some(id), Some(to)) = (stanza.owned("id"), stanza.jid("to")) else { return };
        let type_text = stanza.owned("type");
        let participant = stanza.jid("participant");
        let mut ack = Node::new("ack").with("class", "receipt").with("id", id.as_str()).with("from", to.clone());
        if let Some(text) = &type_text {
            ack = ack.with("type", text.as_str());
        }
        if let Some(participant) = &participant {
            ack = ack.with("participant", participant.clone());
        }
        self.send(origin.link, &ack);
        if self.faults.forgets_receipt() {
            return;
        }
        if let Some(by) = self.directory.address(origin.device, Namespace::Pn) {
            let how = type_text.clone().unwrap_or_default();
            self.tell(RelayEvent::Answered { by, id: id.clone(), how, error: None });
        }
        let kind = Kind::of(type_text.as_deref());
        if !matches!(kind, Kind::Retry) && type_text.as_deref() != Some("server-error") {
            self.settle(origin.device, &id, stanza);
        }
        // In groups and status posts the author is the participant; elsewhere it is whom the receipt is sent to.
        let author = if Namespace::of(&to).is_some() { Some(to.clone()) } else { participant };
        let Some(author) = author else { return };
        let Some(target) = self.directory.resolve(&author) else { return };
        let slip =
            Slip { reader: origin.device, to: &to, author: &author, id: &id, kind: type_text.as_deref(), stanza };
        match kind {
            Kind::Retry => self.forward_retry(now, &slip, target),
            Kind::Delivered => self.forward(now, &Slip { kind: None, ..slip }, target.account),
            Kind::Seen => {
                self.forward(now, &slip, target.account);
                self.tell_own(now, &slip);
            }
            Kind::SeenPrivately => self.tell_own(now, &slip),
            Kind::Consumed => {}
        }
    }

    /// Takes an ack from a device: the stanza it names need not be sent again.
    pub(super) fn take_ack(&mut self, origin: Origin, stanza: &Node) {
        let class = stanza.owned("class").and_then(|text| Class::named(&text));
        let (Some(class), Some(id)) = (class, stanza.owned("id")) else { return };
        if let Some(companion) = self.directory.companion_mut(origin.device) {
            companion.mailbox.acked(class, &id);
        }
        if let Some(by) = self.directory.address(origin.device, Namespace::Pn) {
            let error = stanza.number("error").and_then(|code| code.try_into().ok());
            self.tell(RelayEvent::Answered { by, id, how: "ack".to_owned(), error });
        }
    }

    fn settle(&mut self, device: DeviceId, id: &str, stanza: &Node) {
        let Some(companion) = self.directory.companion_mut(device) else { return };
        // A receipt also answers a call, where it stands in for the ack.
        if !companion.mailbox.received(id) {
            companion.mailbox.acked(Class::Call, id);
        }
        let listed = stanza.child("list").into_iter().flat_map(Node::children).filter_map(|item| item.owned("id"));
        for id in listed.take(MOST_IDS) {
            companion.mailbox.received(&id);
        }
    }

    fn forward(&mut self, now: Now, slip: &Slip<'_>, target: AccountId) {
        if target == slip.reader.account {
            return;
        }
        let Some(node) = self.receipt(now, slip) else { return };
        for other in self.directory.companions(target) {
            self.queue(now, other, Class::Receipt, slip.id, node.clone());
        }
    }

    fn tell_own(&mut self, now: Now, slip: &Slip<'_>) {
        let Some(mut node) = self.receipt(now, slip) else { return };
        if Namespace::of(slip.to).is_some() {
            node = node.with("recipient", slip.to.to_user());
        }
        for other in self.directory.companions(slip.reader.account) {
            if other != slip.reader {
                self.queue(now, other, Class::Receipt, slip.id, node.clone());
            }
        }
    }

    fn forward_retry(&mut self, now: Now, slip: &Slip<'_>, target: DeviceId) {
        if target == slip.reader || !self.directory.exists(target) {
            return;
        }
        let Some(mut node) = self.receipt(now, slip) else { return };
        if let Some(recipient) = slip.stanza.jid("recipient") {
            node = node.with("recipient", recipient);
        }
        self.queue(now, target, Class::Receipt, slip.id, node);
    }

    /// The receipt as others get it: from the device (or from the group, with the device as participant), children kept.
    fn receipt(&self, now: Now, slip: &Slip<'_>) -> Option<Node> {
        let shown = self.directory.account(slip.reader.account)?.namespace(Namespace::of(slip.author)?);
        let reader = self.directory.address(slip.reader, shown)?;
        let mut node = Node::new("receipt");
        node = if Namespace::of(slip.to).is_some() {
            node.with("from", reader)
        } else {
            node.with("from", slip.to.clone()).with("participant", reader)
        };
        node = node.with("id", slip.id);
        if let Some(kind) = slip.kind {
            node = node.with("type", kind);
        }
        node = node.with("t", now.unix_seconds().to_string());
        for child in slip.stanza.children().iter() {
            node = node.with_child(child.clone());
        }
        Some(node)
    }
}

/// One receipt taken apart.
#[derive(Clone, Copy)]
struct Slip<'a> {
    reader: DeviceId,
    to: &'a Jid,
    author: &'a Jid,
    id: &'a str,
    kind: Option<&'a str>,
    stanza: &'a Node,
}

/// Ids that one receipt may name.
const MOST_IDS: usize = 256;
