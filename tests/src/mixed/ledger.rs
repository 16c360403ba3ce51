//! What was sent and what became of it, as someone who sees everything knows it.

use std::collections::BTreeMap;
use whatsio_core::api::{DeviceOutcome, EventId, SendReport, SendResult};
use whatsio_core::types::Jid;

/// Every send of a run, by message id.
#[derive(Default)]
pub(super) struct Ledger {
    pub(super) sends: BTreeMap<String, Sent>,
    /// Ids in the order in which applications sent.
    pub(super) order: Vec<String>,
    /// Ids by text.
    pub(super) by_text: BTreeMap<String, String>,
    /// Ids in the order in which the server took them, with what it took.
    pub(super) accepted: Vec<String>,
    /// When the server first delivered a message to a device.
    pub(super) delivered: BTreeMap<(Jid, String), usize>,
    deliveries: usize,
}

/// One send.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) text: String,
    pub(super) device: usize,
    /// The device as the server knew it when the application sent.
    pub(super) from: Jid,
    pub(super) to: usize,
    /// The address that the application used.
    pub(super) chat: Jid,
    pub(super) at: u64,
    /// The application was told that it is durable.
    pub(super) is_queued: bool,
    /// How often the application gave it.
    pub(super) submitted: usize,
    /// The events that told its end.
    pub(super) ends: Vec<EventId>,
    pub(super) is_sent: bool,
    /// The server said that it does not take it.
    pub(super) is_refused: bool,
    /// Devices, by number, for which nothing went out as the report says.
    pub(super) left_out: Vec<u16>,
    /// Sent when nothing went wrong any more.
    pub(super) is_probe: bool,
}

impl Ledger {
    pub(super) fn send(&mut self, id: &str, sent: Sent) {
        self.order.push(id.to_owned());
        self.by_text.insert(sent.text.clone(), id.to_owned());
        self.sends.insert(id.to_owned(), sent);
    }

    pub(super) fn submitted_again(&mut self, id: &str) {
        if let Some(sent) = self.sends.get_mut(id) {
            sent.submitted += 1;
        }
    }

    pub(super) fn queued(&mut self, id: &str) {
        if let Some(sent) = self.sends.get_mut(id) {
            sent.is_queued = true;
        }
    }

    pub(super) fn finished(&mut self, event: EventId, report: &SendReport) {
        let sent = self.sends.get_mut(report.id.as_str()).expect("a send that an application made");
        if !sent.ends.contains(&event) {
            sent.ends.push(event);
        }
        // Who gives a send again that has ended meanwhile is told of that end, too.
        let most = sent.submitted;
        assert!(sent.ends.len() <= most, "{} has ended too often, for {}", sent.text, sent.device);
        sent.is_sent = report.is_sent();
        let is_reached = |outcome: &DeviceOutcome| matches!(outcome, DeviceOutcome::Sent | DeviceOutcome::Repaired);
        let left_out = report.devices.iter().filter(|(_, outcome)| !is_reached(outcome));
        sent.left_out = left_out.map(|(jid, _)| jid.device()).collect();
        sent.is_refused = matches!(report.result, SendResult::Refused { .. });
    }

    pub(super) fn accepted(&mut self, id: &str) {
        if self.sends.contains_key(id) && !self.accepted.iter().any(|known| known == id) {
            self.accepted.push(id.to_owned());
        }
    }

    pub(super) fn delivered(&mut self, to: &Jid, id: &str) {
        self.deliveries += 1;
        let number = self.deliveries;
        self.delivered.entry((to.clone(), id.to_owned())).or_insert(number);
    }

    pub(super) fn is_accepted(&self, id: &str) -> bool {
        self.accepted.iter().any(|known| known == id)
    }
}
