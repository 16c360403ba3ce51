//! Who is there and who is typing. Nothing here is kept for later or answered.

use super::Relay;
use super::directory::{AccountId, Namespace};
use super::event::LinkId;
use super::link::Origin;
use super::wire::Look;
use crate::binary::Node;
use crate::types::Now;

impl Relay {
    /// Takes a presence: of the device itself, or the wish to know another's.
    pub(super) fn take_presence(&mut self, now: Now, origin: Origin, stanza: &Node) {
        let kind = stanza.owned("type");
        match kind.as_deref() {
            Some("subscribe") => self.watch(origin, stanza),
            Some("unsubscribe") => self.unwatch(origin, stanza),
            Some("available") => self.be_available(now, origin, true, stanza),
            Some("unavailable") => self.be_available(now, origin, false, stanza),
            // One peer sends a presence without a type that means nothing but a changed name.
            _ => self.learn_name_from(origin, stanza),
        }
    }

    /// Remembers the name that an account's messages carry.
    pub(super) fn learn_name(&mut self, account: AccountId, name: &str) {
        if name.is_empty() || name.len() > LONGEST_NAME {
            return;
        }
        if let Some(account) = self.directory.account_mut(account) {
            name.clone_into(&mut account.push_name);
        }
    }

    fn learn_name_from(&mut self, origin: Origin, stanza: &Node) {
        if let Some(name) = stanza.text("name") {
            self.learn_name(origin.device.account, &name);
        }
    }

    fn be_available(&mut self, now: Now, origin: Origin, available: bool, stanza: &Node) {
        self.learn_name_from(origin, stanza);
        let was = self.is_available(origin.device.account);
        if let Some(login) = self.login_mut(origin.link) {
            login.available = available;
        }
        self.presence_may_have_changed(now, origin.device.account, was);
    }

    /// Tells the watchers when an account came or went.
    pub(super) fn presence_may_have_changed(&mut self, now: Now, account: AccountId, was: bool) {
        let is = self.is_available(account);
        if was == is {
            return;
        }
        if !is && let Some(account) = self.directory.account_mut(account) {
            account.last_seen = Some(now.unix_seconds());
        }
        let watchers: Vec<_> = self
            .logins()
            .filter_map(|(link, login)| login.watching.get(&account).map(|namespace| (link, *namespace)))
            .collect();
        for (link, namespace) in watchers {
            self.show_presence(link, account, namespace);
        }
    }

    /// Whether any device of an account has announced itself.
    pub(super) fn is_available(&self, account: AccountId) -> bool {
        self.logins().any(|(_, login)| login.device.account == account && login.available)
    }

    fn watch(&mut self, origin: Origin, stanza: &Node) {
        let Some(to) = stanza.jid("to") else { return };
        let (Some(target), Some(namespace)) = (self.directory.resolve(&to), Namespace::of(&to)) else { return };
        let limit = self.config.limits.users;
        let Some(login) = self.login_mut(origin.link) else { return };
        if login.watching.len() < limit {
            login.watching.insert(target.account, namespace);
            self.show_presence(origin.link, target.account, namespace);
        }
    }

    fn unwatch(&mut self, origin: Origin, stanza: &Node) {
        let target = stanza.jid("to").and_then(|to| self.directory.resolve(&to));
        if let (Some(target), Some(login)) = (target, self.login_mut(origin.link)) {
            login.watching.remove(&target.account);
        }
    }

    fn show_presence(&mut self, link: LinkId, account: AccountId, namespace: Namespace) {
        let Some(found) = self.directory.account(account) else { return };
        let watcher = self.device_of(link).map(|device| device.account);
        let hidden = watcher.is_some_and(|watcher| found.blocked.contains(&watcher));
        let mut node = Node::new("presence").with("from", found.user(found.namespace(namespace)));
        if hidden || !self.is_available(account) {
            let shown = found.settings.privacy.get("last").is_none_or(|value| value != "none") && !hidden;
            let last = found.last_seen.filter(|_| shown).map_or_else(|| "deny".to_owned(), |time| time.to_string());
            node = node.with("type", "unavailable").with("last", last);
        }
        self.send(link, &node);
    }

    /// Passes on that somebody is typing, to the devices of the other side that have announced themselves.
    pub(super) fn take_chat_state(&mut self, origin: Origin, stanza: &Node) {
        let Some(to) = stanza.jid("to") else { return };
        let (Some(target), Some(namespace)) = (self.directory.resolve(&to), Namespace::of(&to)) else { return };
        let Some(sender) = self.directory.account(origin.device.account) else { return };
        let deaf =
            self.directory.account(target.account).is_some_and(|found| found.blocked.contains(&origin.device.account));
        if deaf || target.account == origin.device.account {
            return;
        }
        let mut node = Node::new("chatstate").with("from", sender.user(sender.namespace(namespace)));
        for child in stanza.children() {
            node = node.with_child(child.clone());
        }
        let links: Vec<_> = self
            .logins()
            .filter(|(_, login)| login.device.account == target.account && login.available)
            .map(|(link, _)| link)
            .collect();
        for link in links {
            self.send(link, &node);
        }
    }
}

/// Bytes in a push name.
const LONGEST_NAME: usize = 256;
