//! What a server tells companions about linking on its own account: to renew their secret, to make another code. Off unless
//! asked for; who gets it and what it says is here, the streams are in `linking`.

use super::Relay;
use super::event::{LinkId, RelayEvent};
use crate::binary::Node;
use crate::types::{Jid, Now};

impl Relay {
    /// Tells every connected companion to renew the secret in its QR code; linked ones have none. `word` is the tag inside, `companion_reg_refresh`
    /// or `pair-device-rotate-qr`; companions refuse others. Gives the number of companions told.
    pub fn renew_link_secret(&mut self, now: Now, word: &str) -> usize {
        let unlinked = self.registrations().map(|(link, _)| link);
        let links: Vec<LinkId> = unlinked.chain(self.online.values().copied()).collect();
        for link in &links {
            let order = Node::new(word.to_owned());
            self.prod(now, *link, "companion_reg_refresh", order);
        }
        self.settle_output();
        links.len()
    }

    /// Declares the code spent that a companion shows for the number `account`: it makes another, or with `by_hand` asks
    /// its user to. `false` if none is shown.
    pub fn refresh_code(&mut self, now: Now, account: &str, by_hand: bool) -> bool {
        self.tell_code_stage(now, account, "refresh_code", by_hand)
    }

    /// Tells a companion that shows a code for the number `account` of a step that no client knows. `false` if none is
    /// shown.
    pub fn invent_code_stage(&mut self, now: Now, account: &str) -> bool {
        self.tell_code_stage(now, account, "invented", false)
    }

    fn tell_code_stage(&mut self, now: Now, account: &str, stage: &str, by_hand: bool) -> bool {
        let shown = self.registrations().find_map(|(link, open)| {
            let code = open.code.as_ref().filter(|code| code.number == account)?;
            Some((link, code.reference.clone()))
        });
        let Some((link, reference)) = shown else { return false };
        let order = Node::new("link_code_companion_reg")
            .with("stage", stage)
            .with("force_manual_refresh", if by_hand { "true" } else { "false" })
            .with_child(Node::new("link_code_pairing_ref").with_bytes(reference.into_bytes()));
        self.prod(now, link, "link_code_companion_reg", order);
        self.settle_output();
        true
    }

    /// Takes the acknowledgement of a notification by an unlinked companion.
    pub(super) fn take_unlinked_ack(&mut self, link: LinkId, ack: &Node) {
        let error = ack.number("error").and_then(|code| u16::try_from(code).ok());
        self.tell(RelayEvent::NoticeAnswered { link, error });
    }

    fn prod(&mut self, now: Now, link: LinkId, kind: &'static str, order: Node) {
        let notification = Node::new("notification")
            .with("type", kind)
            .with("from", Jid::server_itself())
            .with("id", self.next_id())
            .with("t", now.unix_seconds())
            .with_child(order);
        self.send(link, &notification);
    }
}
