//! From a mailbox onto a connection: the backlog first, paced and marked as old, then what comes live. A stanza is sent
//! once per connection; answers, not sending, take it out of the mailbox.

use super::Relay;
use super::directory::DeviceId;
use super::event::LinkId;
use super::faults::DeliveryFate;
use super::mailbox::{Capacity, Class};
use crate::binary::Node;
use crate::types::{Jid, Now};

/// How far a connection has come through its device's mailbox.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    /// Whether the client wants to have anything yet.
    active: bool,
    /// The number of the stanza sent last.
    sent: u64,
    /// The last stanza of the backlog; everything behind it is live.
    backlog: u64,
    /// Stanzas of the backlog sent so far.
    old: u64,
    /// Whether the end of the backlog has been marked.
    caught_up: bool,
    /// Stanzas of the backlog that may still be sent without being asked for.
    credit: u32,
    /// When the rest of the backlog is sent without having been asked for.
    pub(super) patience: Option<u64>,
}

impl Progress {
    pub(super) const fn new(credit: u32) -> Self {
        Self { active: false, sent: 0, backlog: 0, old: 0, caught_up: false, credit, patience: None }
    }
}

impl Relay {
    /// Puts a stanza into a device's mailbox, and onto its connection if it has one. A phone's mail has no reader
    /// unless it is lent.
    pub(super) fn queue(&mut self, now: Now, device: DeviceId, class: Class, id: &str, node: Node) {
        let limits = &self.config.limits;
        let capacity = Capacity { items: limits.queue_items, bytes: limits.queue_bytes, age: limits.queue_age };
        if device.number == 0 {
            let phone = self.directory.account_mut(device.account).map(|account| &mut account.phone);
            if let Some(mail) = phone.and_then(|phone| phone.mail.as_mut()) {
                mail.push(now.mono, class, id.to_owned(), node, capacity);
            }
            return;
        }
        let Some(companion) = self.directory.companion_mut(device) else { return };
        companion.mailbox.push(now.mono, class, id.to_owned(), node, capacity);
        if let Some(link) = self.online.get(&device).copied() {
            self.pump(now, link);
        }
    }

    /// Queues a notification under an id of its own.
    pub(super) fn notify(
        &mut self,
        now: Now,
        device: DeviceId,
        kind: &str,
        from: Jid,
        build: impl FnOnce(Node) -> Node,
    ) {
        let id = self.next_id();
        let node = Node::new("notification")
            .with("from", from)
            .with("id", id.as_str())
            .with("type", kind)
            .with("t", now.unix_seconds());
        self.queue(now, device, Class::Notification, &id, build(node));
    }

    /// Tells a client what waits for it, if anything does.
    pub(super) fn preview(&mut self, link: LinkId, device: DeviceId) {
        let Some(companion) = self.directory.companion(device) else { return };
        let waiting = companion.mailbox.waiting();
        if waiting.total() == 0 {
            return;
        }
        let count = |number: usize| number as u64;
        let preview = Node::new("offline_preview")
            .with("count", count(waiting.total()))
            .with("message", count(waiting.messages))
            .with("receipt", count(waiting.receipts))
            .with("notification", count(waiting.notifications))
            .with("call", count(waiting.calls))
            .with("appdata", "0");
        self.send(link, &information(preview));
    }

    /// The client wants its mail from now on.
    pub(super) fn activate(&mut self, now: Now, link: LinkId) {
        let Some(device) = self.device_of(link) else { return };
        let age = self.config.limits.queue_age;
        let backlog = self.directory.companion_mut(device).map_or(0, |companion| {
            companion.mailbox.expire(now.mono, age);
            companion.mailbox.last()
        });
        let Some(progress) = self.progress(link) else { return };
        if !progress.caught_up {
            progress.backlog = backlog;
        }
        progress.active = true;
        self.pump(now, link);
    }

    /// The client wants no mail for now.
    pub(super) fn rest(&mut self, link: LinkId) {
        if let Some(progress) = self.progress(link) {
            progress.active = false;
        }
    }

    /// The client asks for more of its backlog.
    pub(super) fn grant(&mut self, now: Now, link: LinkId, count: u32) {
        if let Some(progress) = self.progress(link) {
            progress.credit = progress.credit.saturating_add(count);
            self.pump(now, link);
        }
    }

    /// The client did not ask for the rest of its backlog and gets it all the same.
    pub(super) fn lose_patience(&mut self, now: Now, link: LinkId) {
        self.grant(now, link, u32::MAX);
    }

    /// Sends what may be sent.
    pub(super) fn pump(&mut self, now: Now, link: LinkId) {
        let Some(device) = self.device_of(link) else { return };
        loop {
            let patience = now.mono.saturating_add(self.config.offline_patience);
            let Some(mut progress) = self.progress(link).copied().filter(|progress| progress.active) else { return };
            let next =
                self.directory.companion(device).and_then(|companion| companion.mailbox.peek_after(progress.sent));
            let is_old = next.is_some_and(|seq| seq <= progress.backlog) && !progress.caught_up;
            if is_old && progress.credit == 0 {
                if let Some(progress) = self.progress(link) {
                    progress.patience.get_or_insert(patience);
                }
                return;
            }
            if !is_old && !progress.caught_up {
                progress.caught_up = true;
                self.set_progress(link, Progress { patience: None, ..progress });
                if !self.faults.withholds_offline_end() {
                    self.send(link, &information(Node::new("offline").with("count", progress.old)));
                }
                continue;
            }
            let Some(companion) = self.directory.companion_mut(device) else { return };
            let Some(item) = companion.mailbox.send_after(progress.sent) else { return };
            progress.sent = item.seq;
            let mut node = item.node.clone();
            if is_old {
                node = node.with("offline", progress.old);
                progress.old += 1;
                progress.credit = progress.credit.saturating_sub(1);
                progress.patience = None;
            }
            self.set_progress(link, progress);
            match self.faults.delivery_fate() {
                DeliveryFate::Once => self.send(link, &node),
                DeliveryFate::Lost => {}
                DeliveryFate::Late(milliseconds) => self.send_later(now, milliseconds, link, node),
                DeliveryFate::Twice => {
                    self.send(link, &node);
                    self.send(link, &node);
                }
            }
        }
    }

    fn set_progress(&mut self, link: LinkId, value: Progress) {
        if let Some(progress) = self.progress(link) {
            *progress = value;
        }
    }
}

/// `<ib>` around a child.
pub(super) fn information(child: Node) -> Node {
    Node::new("ib").with("from", Jid::server_itself()).with_child(child)
}
