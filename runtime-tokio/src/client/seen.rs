//! Which durable events the application already has, so that a core restored in this process does not show them twice.

use std::collections::{BTreeSet, VecDeque};
use whatsio_core::api::EventId;

/// Remembers the durable events in the application's hands and the latest ones it has handled.
///
/// A restored core emits everything in its inbox again. What was handled just before the store failed may still be
/// there, so the handled ones are remembered too: as many as an inbox can hold.
pub(crate) struct Seen {
    pending: BTreeSet<EventId>,
    handled: BTreeSet<EventId>,
    order: VecDeque<EventId>,
    capacity: usize,
}

/// What an emission is to the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Emission {
    New,
    Pending,
    AlreadyHandled,
}

impl Seen {
    pub(crate) fn new(inbox_events: usize) -> Self {
        Self {
            pending: BTreeSet::new(),
            handled: BTreeSet::new(),
            order: VecDeque::new(),
            capacity: inbox_events.max(64),
        }
    }

    pub(crate) fn emitted(&mut self, id: EventId) -> Emission {
        if self.handled.contains(&id) {
            return Emission::AlreadyHandled;
        }
        if self.pending.insert(id) { Emission::New } else { Emission::Pending }
    }

    pub(crate) fn handled(&mut self, id: EventId) {
        self.pending.remove(&id);
        if !self.handled.insert(id) {
            return;
        }
        self.order.push_back(id);
        if self.order.len() > self.capacity
            && let Some(oldest) = self.order.pop_front()
        {
            self.handled.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_new_once() {
        let mut seen = Seen::new(100);
        assert_eq!(seen.emitted(EventId(7)), Emission::New);
        assert_eq!(seen.emitted(EventId(7)), Emission::Pending);
        seen.handled(EventId(7));
        assert_eq!(seen.emitted(EventId(7)), Emission::AlreadyHandled);
        assert_eq!(seen.emitted(EventId(8)), Emission::New);
    }

    #[test]
    fn memory_of_handled_events_is_bounded() {
        let mut seen = Seen::new(64);
        for id in 0..1000 {
            assert_eq!(seen.emitted(EventId(id)), Emission::New);
            seen.handled(EventId(id));
        }
        assert_eq!((seen.pending.len(), seen.handled.len(), seen.order.len()), (0, 64, 64));
        assert_eq!(seen.emitted(EventId(999)), Emission::AlreadyHandled);
    }
}
