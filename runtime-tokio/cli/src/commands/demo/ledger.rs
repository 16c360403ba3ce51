//! What was sent, what arrived, and what that adds up to.

use crate::failure::Failure;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::timeout;

/// The name of a device in this demo.
pub(crate) type Name = &'static str;

/// The ledger, shared by the demo's script and the tasks that read events; those who wait on it wake on every change.
pub(crate) struct Board {
    ledger: Mutex<Ledger>,
    changes: watch::Sender<()>,
}

/// Everything that was observed.
#[derive(Default)]
pub(crate) struct Ledger {
    sent: BTreeMap<String, Sent>,
    seen: BTreeMap<(Name, String), Vec<Instant>>,
    pub(crate) devices: BTreeMap<Name, DeviceLog>,
    delivered: BTreeSet<(String, String)>,
    read: BTreeSet<(String, String)>,
}

/// What one device went through.
#[derive(Default)]
pub(crate) struct DeviceLog {
    pub(crate) online: bool,
    pub(crate) connects: u32,
    pub(crate) qr: Option<String>,
    pub(crate) drained: u64,
    /// Takes events and forgets them unhandled, as an application that crashes does.
    pub(crate) forgetful: bool,
    pub(crate) forgotten: u32,
    pub(crate) troubles: Vec<String>,
}

struct Sent {
    at: Instant,
    expected: Vec<Name>,
}

/// The sums.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) sent: usize,
    pub(crate) expected: usize,
    pub(crate) delivered: usize,
    pub(crate) lost: usize,
    pub(crate) doubled: usize,
    /// Arrivals that nobody sent.
    pub(crate) strange: usize,
}

impl Board {
    pub(crate) fn new() -> Self {
        Self { ledger: Mutex::default(), changes: watch::Sender::new(()) }
    }

    pub(crate) fn note(&self, change: impl FnOnce(&mut Ledger)) {
        change(&mut self.lock());
        self.changes.send_replace(());
    }

    pub(crate) fn read<T>(&self, look: impl FnOnce(&Ledger) -> T) -> T {
        look(&self.lock())
    }

    /// Waits until `reached`; gives up after 20 seconds with what was waited for.
    pub(crate) async fn until(&self, what: &'static str, reached: impl Fn(&Ledger) -> bool) -> Result<(), Failure> {
        let mut changes = self.changes.subscribe();
        let waiting = async {
            while !reached(&self.lock()) {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        timeout(PATIENCE, waiting).await.map_err(|_| Failure::TimedOut(PATIENCE, what))
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    pub(crate) fn device(&mut self, name: Name) -> &mut DeviceLog {
        self.devices.entry(name).or_default()
    }

    pub(crate) fn online(&self, name: Name) -> bool {
        self.devices.get(name).is_some_and(|device| device.online)
    }

    /// Notes a message before it is sent; every device in `expected` must see it once.
    pub(crate) fn will_send(&mut self, text: &str, expected: &[Name]) {
        self.sent.insert(text.to_owned(), Sent { at: Instant::now(), expected: expected.to_vec() });
    }

    pub(crate) fn saw(&mut self, name: Name, text: String) {
        self.seen.entry((name, text)).or_default().push(Instant::now());
    }

    pub(crate) fn receipt(&mut self, id: &str, device: String, read: bool) {
        let set = if read { &mut self.read } else { &mut self.delivered };
        set.insert((id.to_owned(), device));
    }

    pub(crate) fn delivery_receipts(&self) -> usize {
        self.delivered.len()
    }

    pub(crate) fn read_receipts(&self) -> usize {
        self.read.len()
    }

    /// Whether every message whose text begins with `prefix` has arrived wherever it should.
    pub(crate) fn all_arrived(&self, prefix: &str) -> bool {
        self.sent
            .iter()
            .filter(|(text, _)| text.starts_with(prefix))
            .all(|(text, sent)| sent.expected.iter().all(|name| self.seen.contains_key(&(*name, text.clone()))))
    }

    /// From the call of send to the event in the receiver, for messages whose text begins with `prefix`.
    pub(crate) fn latencies(&self, prefix: &str) -> Vec<Duration> {
        let seen = self.seen.iter().filter(|((_, text), _)| text.starts_with(prefix));
        let mut latencies: Vec<Duration> = seen
            .filter_map(|((_, text), times)| Some(times.first()?.duration_since(self.sent.get(text)?.at)))
            .collect();
        latencies.sort_unstable();
        latencies
    }

    pub(crate) fn tally(&self) -> Tally {
        let copies = |text: &String, name: Name| self.seen.get(&(name, text.clone())).map_or(0, Vec::len);
        let expected: BTreeSet<(Name, String)> = self
            .sent
            .iter()
            .flat_map(|(text, sent)| sent.expected.iter().map(move |name| (*name, text.clone())))
            .collect();
        let delivered = expected.iter().filter(|(name, text)| copies(text, name) > 0).count();
        Tally {
            sent: self.sent.len(),
            expected: expected.len(),
            delivered,
            lost: expected.len() - delivered,
            doubled: self.seen.values().map(|times| times.len().saturating_sub(1)).sum(),
            strange: self.seen.keys().filter(|key| !expected.contains(*key)).count(),
        }
    }

    pub(crate) fn troubles(&self) -> Vec<String> {
        let every = self.devices.iter();
        every.flat_map(|(name, log)| log.troubles.iter().map(move |trouble| format!("{name}: {trouble}"))).collect()
    }
}

impl Tally {
    pub(crate) const fn is_clean(&self) -> bool {
        self.lost == 0 && self.doubled == 0 && self.strange == 0
    }
}

const PATIENCE: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_doubled_and_strange_copies_are_counted() {
        let mut ledger = Ledger::default();
        ledger.will_send("one", &["a", "b"]);
        ledger.will_send("two", &["a"]);
        ledger.saw("a", "one".into());
        ledger.saw("a", "one".into());
        ledger.saw("b", "two".into());
        let tally = ledger.tally();
        assert_eq!(tally, Tally { sent: 2, expected: 3, delivered: 1, lost: 2, doubled: 1, strange: 1 });
        assert!(!tally.is_clean());
        assert!(!ledger.all_arrived("one"));
    }
}
