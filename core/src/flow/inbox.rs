//! Durable events: given to the application at least once, under one id, until it says that it has them.

use super::{Effect, Live, Step, Txn};
use crate::api::{Envelope, Event, EventId};
use crate::state::Miss;
use crate::state::inbox::{CURSOR_ID, InboxCursor, Unhandled, record_id};

/// Writes `event` to the inbox and emits it once that is durable.
pub(crate) fn deliver(txn: &mut Txn<'_>, event: Event) -> Result<(), Miss> {
    let mut cursor = txn.read::<InboxCursor>(CURSOR_ID)?.unwrap_or_default();
    let id = cursor.next;
    cursor.next += 1;
    txn.write(CURSOR_ID, &cursor);
    txn.write(record_id(id), &Unhandled(event.clone()));
    txn.change(Step::Unhandled(id));
    txn.effect(Effect::Event(Envelope { id: EventId(id), event, durable: true }));
    Ok(())
}

/// Forgets an event that the application has taken.
pub(crate) fn handled(txn: &mut Txn<'_>, live: &Live, id: u64) -> Result<(), Miss> {
    let mut cursor = txn.read::<InboxCursor>(CURSOR_ID)?.unwrap_or_default();
    cursor.settle(live.inbox.iter().copied().filter(|unhandled| *unhandled != id));
    txn.write(CURSOR_ID, &cursor);
    txn.delete::<Unhandled>(record_id(id));
    txn.change(Step::Handled(id));
    Ok(())
}

/// Emits again, after a restart, those of `ids` that were not handled.
pub(crate) fn replay(txn: &mut Txn<'_>, ids: &[u64]) -> Result<(), Miss> {
    use crate::state::Stored;
    txn.expect(ids.iter().map(|id| Unhandled::key(record_id(*id))))?;
    for &id in ids {
        if let Some(Unhandled(event)) = txn.read::<Unhandled>(record_id(id))? {
            txn.change(Step::Unhandled(id));
            txn.effect(Effect::Event(Envelope { id: EventId(id), event, durable: true }));
        }
    }
    Ok(())
}
