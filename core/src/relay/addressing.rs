//! Under which addresses and names accounts are shown to others, and how that changes in the middle of traffic: moves to
//! LIDs and back, hidden and changed numbers, usernames. Strings for tests and administrators; no connection reaches them.

use smol_str::SmolStr;

use super::Relay;
use super::directory::{Account, AccountId, Namespace};
use crate::binary::Node;
use crate::stanza::Addressing;
use crate::types::{Jid, Now};

/// How an account is shown to others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown {
    /// Always under this kind of address; otherwise under the kind that the other side used.
    pub(crate) addressing: Option<Namespace>,
    /// Nobody is told the account's other address.
    pub(crate) is_single: bool,
    /// The name that stanzas carry beside the address.
    pub(crate) username: Option<SmolStr>,
}

impl Account {
    /// The kind of address this account is shown under to somebody who used `used`.
    pub(crate) fn namespace(&self, used: Namespace) -> Namespace {
        self.shown.addressing.unwrap_or(used)
    }

    /// The account's address of the other kind, unless nobody may know it.
    pub(crate) fn other_user(&self, shown: Namespace) -> Option<Jid> {
        (!self.shown.is_single).then(|| self.user(shown.other()))
    }
}

impl Relay {
    /// Shows an account (named by any address) to others under one kind of address from now on, whatever they use:
    /// the server's side of a move to LIDs. Who still sends to the number is told to ask for the LID. `None` answers everybody in kind again. `false` if there is no such account.
    pub fn set_addressing(&mut self, account: &Jid, addressing: Option<Addressing>) -> bool {
        let addressing = addressing.map(|addressing| match addressing {
            Addressing::Pn => Namespace::Pn,
            Addressing::Lid => Namespace::Lid,
        });
        self.show(account, |shown| shown.addressing = addressing)
    }

    /// Tells nobody the account's other address from now on (`true`), or everybody again: a hidden number. `false` if
    /// there is no such account.
    pub fn hide_other_address(&mut self, account: &Jid, hidden: bool) -> bool {
        self.show(account, |shown| shown.is_single = hidden)
    }

    /// Sets or takes away an account's username; stanzas carry it from now on. `false` if there is no such account.
    pub fn set_username(&mut self, account: &Jid, username: Option<&str>) -> bool {
        self.show(account, |shown| shown.username = username.map(SmolStr::from))
    }

    /// Gives an account another phone number and tells its contacts and its own companions. Companions stay linked; a
    /// login under the old number is good until somebody else has it. `false` if there is no such account or the number
    /// is taken.
    pub fn change_number(&mut self, now: Now, account: &Jid, number: &str) -> bool {
        let Some(id) = self.directory.resolve(account).map(|device| device.account) else { return false };
        let Some(before) = self.directory.account(id).map(|account| account.user(Namespace::Pn)) else { return false };
        if !self.directory.renumber(id, number) {
            return false;
        }
        let Some(account) = self.directory.account(id) else { return false };
        let lid = account.user(Namespace::Lid);
        let told = Node::new("modify")
            .with("old", before)
            .with("new", account.user(Namespace::Pn))
            .with("old_lid", lid.clone())
            .with("new_lid", lid);
        let from = account.user(Namespace::Pn);
        let audience: Vec<AccountId> = account.contacts.iter().copied().chain([id]).collect();
        let devices: Vec<_> = audience.into_iter().flat_map(|contact| self.directory.companions(contact)).collect();
        for device in devices {
            let told = told.clone();
            self.notify(now, device, "contacts", from.clone(), |node| node.with_child(told));
        }
        self.settle_output();
        true
    }

    /// Whether an address is a number whose account has moved to LIDs.
    pub(super) fn has_moved(&self, to: &Jid) -> bool {
        let account = self.directory.resolve(to).and_then(|found| self.directory.account(found.account));
        let moved = account.is_some_and(|account| account.shown.addressing == Some(Namespace::Lid));
        moved && Namespace::of(to) == Some(Namespace::Pn)
    }

    fn show(&mut self, account: &Jid, set: impl FnOnce(&mut Shown)) -> bool {
        let id = self.directory.resolve(account).map(|device| device.account);
        let Some(account) = id.and_then(|id| self.directory.account_mut(id)) else { return false };
        set(&mut account.shown);
        true
    }
}
