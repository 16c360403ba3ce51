//! `md` on a logged-in connection: a companion unlinks itself.

use super::{Answer, Request, done};
use crate::relay::Relay;
use crate::relay::link::Origin;
use crate::types::Now;

impl Relay {
    /// Only the phone may unlink others; a companion may unlink itself.
    pub(super) fn answer_device_change(&self, request: &Request<'_>) -> Answer {
        let order = request.child("remove-companion-device").ok_or(501_u16)?;
        let named = order.jid("jid").and_then(|jid| self.directory.device(&jid));
        if named != Some(request.origin.device) {
            return Err(403);
        }
        done()
    }

    /// The companion is unlinked behind the answer to its request.
    pub(super) fn leave(&mut self, now: Now, origin: Origin) {
        self.remove(now, origin.device);
    }
}
