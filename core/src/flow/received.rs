//! Which messages were received before: what the server delivers again is answered again, and nothing else is.

use super::receive::Origin;
use super::{Stop, Txn, peers};
use crate::stanza::IncomingMessage;
use crate::state::Stored;
use crate::state::received::{self, Received};

/// Notes that a message was received.
pub(crate) fn note(txn: &mut Txn<'_>, message: &IncomingMessage, origin: &Origin) -> Result<(), Stop> {
    let mut newest = newest(txn)?;
    if let Some((id, full)) = newest.add(received::mark(&origin.device_id(), &message.id)) {
        txn.write(id, &full);
    }
    txn.write(received::ID, &newest);
    Ok(())
}

/// Whether a message was received before. Loads all that is remembered, so it is only asked about what does not open.
pub(crate) fn knows(txn: &mut Txn<'_>, message: &IncomingMessage, origin: &Origin) -> Result<bool, Stop> {
    // It may have come while its sender was known as another peer.
    let former = peers::read(txn, origin.sender_peer)?.folded;
    let names = former.into_iter().chain([origin.sender_peer]).map(|peer| peer.device_id(origin.sender.device()));
    let marks: Vec<received::Mark> = names.map(|device| received::mark(&device, &message.id)).collect();
    let newest = newest(txn)?;
    if newest.knows(&marks) {
        return Ok(true);
    }
    txn.expect(newest.segments().map(Received::key))?;
    for segment in newest.segments() {
        if txn.read::<Received>(segment)?.is_some_and(|segment| segment.knows(&marks)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a message may have been received before anything was remembered, in another program or version. Its key was
/// used then, so there is no more to be had: asking for it again would show it twice.
pub(crate) fn may_have_come_before(txn: &mut Txn<'_>, message: &IncomingMessage) -> Result<bool, Stop> {
    let newest = newest(txn)?;
    txn.write(received::ID, &newest);
    Ok(newest.began_after(message.timestamp, txn.now.unix_seconds()))
}

fn newest(txn: &mut Txn<'_>) -> Result<Received, Stop> {
    let now = txn.now.unix_seconds();
    Ok(txn.read::<Received>(received::ID)?.unwrap_or_else(|| Received::beginning(now)))
}
