//! Call signalling: passed on device by device, never understood. Media never comes here.

use super::Relay;
use super::directory::{DeviceId, Namespace};
use super::link::Origin;
use super::mailbox::Class;
use super::wire::Look;
use crate::binary::Node;
use crate::types::Now;

impl Relay {
    /// Takes a call stanza: acks it and passes its child on to the devices it concerns.
    pub(super) fn take_call(&mut self, now: Now, origin: Origin, stanza: &Node) {
        let (Some(id), Some(to), Some(child)) = (stanza.owned("id"), stanza.jid("to"), stanza.children().first())
        else {
            return;
        };
        let mut ack = Node::new("ack")
            .with("class", "call")
            .with("id", id.as_str())
            .with("from", to.clone())
            .with("type", child.tag.clone());
        let Some(target) = self.directory.resolve(&to) else {
            ack = ack.with("error", "404");
            return self.send(origin.link, &ack);
        };
        self.send(origin.link, &ack);
        let sender = origin.device;
        let blocked =
            self.directory.account(target.account).is_some_and(|found| found.blocked.contains(&sender.account));
        if blocked && target.account != sender.account {
            return;
        }
        let devices = match target.number {
            0 => self.directory.companions(target.account),
            _ => vec![target],
        };
        let Some(namespace) = Namespace::of(&to) else { return };
        for device in devices.into_iter().filter(|device| *device != sender) {
            let Some(from) = self.directory.address(sender, namespace) else { return };
            let lid = self.directory.account(sender.account).map(|account| account.user(Namespace::Lid));
            let node = Node::new("call")
                .with("from", from)
                .with("id", id.as_str())
                .with("t", now.unix_seconds())
                .with_some("sender_lid", lid)
                .with_child(self.for_device(child, device));
            self.queue(now, device, Class::Call, &id, node);
        }
    }

    /// The child with the ciphertext for one device in place of those for all.
    fn for_device(&self, child: &Node, device: DeviceId) -> Node {
        let mut node = Node::new(child.tag.clone());
        node.attrs.clone_from(&child.attrs);
        for part in child.children() {
            if !part.is("destination") {
                node = node.with_child(part.clone());
                continue;
            }
            let mine = part
                .children_named("to")
                .find(|to| to.jid("jid").and_then(|jid| self.directory.device(&jid)) == Some(device));
            node = node.with_children(mine.into_iter().flat_map(|to| to.children_named("enc")).cloned());
        }
        node
    }
}
