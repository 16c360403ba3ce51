//! The stanzas that wait for one device: in order, numbered, kept until the device has answered them. Knows neither
//! connections nor what the stanzas mean; the order of sending and the pacing belong to `delivery`.

use std::collections::VecDeque;

use super::wire::Look;
use crate::binary::Node;

/// The kinds of stanza that must be answered, and are kept until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Message,
    Receipt,
    Notification,
    Call,
}

impl Class {
    /// The class named in an `ack`; `None` for one that is never queued.
    pub(crate) fn named(text: &str) -> Option<Self> {
        Some(match text {
            "message" => Self::Message,
            "receipt" => Self::Receipt,
            "notification" => Self::Notification,
            "call" => Self::Call,
            _ => return None,
        })
    }
}

/// One waiting stanza.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) seq: u64,
    pub(crate) class: Class,
    pub(crate) id: String,
    pub(crate) node: Node,
    size: usize,
    queued: u64,
    sent: bool,
}

/// How many of each kind wait, for the preview sent at login.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) messages: usize,
    pub(crate) receipts: usize,
    pub(crate) notifications: usize,
    pub(crate) calls: usize,
}

impl Waiting {
    pub(crate) const fn total(self) -> usize {
        self.messages + self.receipts + self.notifications + self.calls
    }
}

/// What a mailbox holds at most; the oldest stanzas give way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capacity {
    pub(crate) items: usize,
    pub(crate) bytes: usize,
    pub(crate) age: u64,
}

/// The waiting stanzas of one device, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    items: VecDeque<Item>,
    bytes: usize,
    last: u64,
}

impl Mailbox {
    /// Appends a stanza and returns its number. What is too old or too much gives way, oldest first.
    pub(crate) fn push(&mut self, mono: u64, class: Class, id: String, node: Node, capacity: Capacity) -> u64 {
        let size = node.weight();
        self.last += 1;
        self.items.push_back(Item { seq: self.last, class, id, node, size, queued: mono, sent: false });
        self.bytes = self.bytes.saturating_add(size);
        self.expire(mono, capacity.age);
        while self.items.len() > capacity.items.max(1) || (self.bytes > capacity.bytes && self.items.len() > 1) {
            self.drop_front();
        }
        self.last
    }

    /// Drops what has waited longer than `age`.
    pub(crate) fn expire(&mut self, mono: u64, age: u64) {
        while self.items.front().is_some_and(|item| mono.saturating_sub(item.queued) > age) {
            self.drop_front();
        }
    }

    /// The first stanza behind `seq`, marked as sent: from now on an answer can remove it.
    pub(crate) fn send_after(&mut self, seq: u64) -> Option<&Item> {
        let at = self.items.partition_point(|item| item.seq <= seq);
        let item = self.items.get_mut(at)?;
        item.sent = true;
        Some(item)
    }

    /// The number of the first stanza behind `seq`.
    pub(crate) fn peek_after(&self, seq: u64) -> Option<u64> {
        let at = self.items.partition_point(|item| item.seq <= seq);
        self.items.get(at).map(|item| item.seq)
    }

    /// Removes the oldest sent stanza that an ack names; one ack answers one stanza.
    pub(crate) fn acked(&mut self, class: Class, id: &str) -> bool {
        self.remove_sent(|item| item.class == class && item.id == id)
    }

    /// Removes all sent messages with the id, which a receipt says have arrived. `true` when there were any.
    pub(crate) fn received(&mut self, id: &str) -> bool {
        let mut any = false;
        while self.remove_sent(|item| item.class == Class::Message && item.id == id) {
            any = true;
        }
        any
    }

    /// Removes the oldest sent stanza that `is_meant` picks. Stanzas are sent in order, so the search ends at the first
    /// one that was not: an answer costs what is on its way, not what still waits.
    fn remove_sent(&mut self, is_meant: impl Fn(&Item) -> bool) -> bool {
        let found = self.items.iter().take_while(|item| item.sent).position(is_meant);
        let Some(item) = found.and_then(|at| self.items.remove(at)) else { return false };
        self.bytes = self.bytes.saturating_sub(item.size);
        true
    }

    /// Takes everything out.
    pub(crate) fn drain(&mut self) -> Vec<Node> {
        self.bytes = 0;
        self.items.drain(..).map(|item| item.node).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// The number of the newest stanza ever queued.
    pub(crate) const fn last(&self) -> u64 {
        self.last
    }

    pub(crate) fn waiting(&self) -> Waiting {
        let mut count = Waiting::default();
        for item in &self.items {
            match item.class {
                Class::Message => count.messages += 1,
                Class::Receipt => count.receipts += 1,
                Class::Notification => count.notifications += 1,
                Class::Call => count.calls += 1,
            }
        }
        count
    }

    fn drop_front(&mut self) {
        if let Some(item) = self.items.pop_front() {
            self.bytes = self.bytes.saturating_sub(item.size);
        }
    }
}
