//! What the server tells devices by itself: changed device lists and changed settings.

use super::Relay;
use super::directory::{AccountId, DeviceId, Namespace};
use super::routing::participant_hash;
use crate::binary::Node;
use crate::types::{Jid, Now};

/// What became of a companion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Added,
    Removed,
}

impl Relay {
    /// Tells the account's contacts and its other devices that a companion came or went.
    pub(super) fn tell_device_change(&mut self, now: Now, device: DeviceId, key_index: u32, change: Change) {
        if self.faults.hides_device_changes() {
            return;
        }
        let Some(account) = self.directory.account(device.account) else { return };
        let (pn, lid) = (account.user(Namespace::Pn), account.user(Namespace::Lid));
        // Who may not know that both are one is told under the address that an account without a number has.
        let (from, other) = if account.shown.is_single { (lid.clone(), None) } else { (pn.clone(), Some(lid.clone())) };
        let contacts: Vec<AccountId> = account.contacts.iter().copied().collect();
        let list = account.phone.key_index_list();
        let entry = Node::new("device")
            .with("jid", pn.clone().with_device(device.number))
            .with("lid", lid.clone().with_device(device.number))
            .with("key-index", key_index);
        let told = Node::new(if change == Change::Added { "add" } else { "remove" })
            .with("device_hash", self.devices_hash(device.account, Namespace::Pn))
            .with("device_lid_hash", self.devices_hash(device.account, Namespace::Lid))
            .with_child(entry)
            .with_child(list);
        for contact in contacts {
            for device in self.directory.companions(contact) {
                let (lid, told) = (other.clone(), told.clone());
                self.notify(now, device, "devices", from.clone(), |node| node.with_some("lid", lid).with_child(told));
            }
        }
        if let Some(list) = self.own_device_list(device.account) {
            self.sync_own(now, device, &list);
        }
    }

    fn own_device_list(&self, account: AccountId) -> Option<Node> {
        let found = self.directory.account(account)?;
        let pn = found.user(Namespace::Pn);
        let phone = Node::new("device").with("jid", pn.clone());
        let companions = found.companions.iter().map(|(number, companion)| {
            Node::new("device").with("jid", pn.clone().with_device(*number)).with("key-index", companion.key_index)
        });
        Some(
            Node::new("devices")
                .with("dhash", self.devices_hash(account, Namespace::Pn))
                .with_child(phone)
                .with_children(companions)
                .with_child(found.phone.key_index_list()),
        )
    }

    /// Tells the other devices of an account what one of them changed.
    pub(super) fn sync_own(&mut self, now: Now, own: DeviceId, child: &Node) {
        let Some(user) = self.directory.account(own.account).map(|account| account.user(Namespace::Pn)) else { return };
        for other in self.directory.companions(own.account).into_iter().filter(|other| *other != own) {
            self.notify(now, other, "account_sync", user.clone(), |node| node.with_child(child.clone()));
        }
    }

    /// The hash over all devices of an account, as clients compute it.
    pub(super) fn devices_hash(&self, account: AccountId, namespace: Namespace) -> String {
        let devices = self.directory.devices(account);
        let addresses: Vec<Jid> =
            devices.into_iter().filter_map(|device| self.directory.address(device, namespace)).collect();
        participant_hash(addresses.into_iter())
    }
}
