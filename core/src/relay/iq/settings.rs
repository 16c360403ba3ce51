//! `privacy`, `blocklist`, `status`, `disappearing_mode`: what an account has set about itself.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::{Answer, Request, done, one};
use crate::binary::Node;
use crate::relay::Relay;
use crate::relay::directory::{Account, AccountId, Namespace};
use crate::relay::wire::Look;
use crate::types::Now;

impl Relay {
    pub(super) fn answer_privacy(&self, request: &Request<'_>) -> Answer {
        let asked = request.child("privacy").ok_or(400_u16)?;
        let account = self.directory.account(request.origin.device.account).ok_or(401_u16)?;
        // Nobody is on a deny list here.
        if let Some(list) = asked.child("list") {
            let mut node = Node::new("list").with("dhash", "none");
            for key in ["name", "value"] {
                if let Some(value) = list.owned(key) {
                    node = node.with(key, value);
                }
            }
            return one(Node::new("privacy").with_child(node));
        }
        one(privacy(account))
    }

    pub(super) fn change_privacy(&mut self, now: Now, request: &Request<'_>) -> Answer {
        if let Some(tokens) = request.child("tokens") {
            return self.issue_tokens(now, request, tokens);
        }
        let asked = request.child("privacy").ok_or(400_u16)?;
        let own = request.origin.device;
        let account = self.directory.account_mut(own.account).ok_or(401_u16)?;
        let mut changed = Vec::new();
        for category in asked.children().iter().filter(|node| node.is("category")) {
            let (name, value) = (category.owned("name").ok_or(400_u16)?, category.owned("value").ok_or(400_u16)?);
            if value.len() > LONGEST_VALUE || !account.settings.privacy.contains_key(name.as_str()) {
                return Err(400);
            }
            changed.push((name, value));
        }
        let mut told = Node::new("privacy");
        for (name, value) in changed {
            if let Some(slot) = account.settings.privacy.get_mut(name.as_str()) {
                slot.clone_from(&value);
            }
            told = told.with_child(Node::new("category").with("name", name).with("value", value));
        }
        self.sync_own(now, own, &told);
        one(told)
    }

    /// A token issued to a user is proof, later, that the issuer knows them; the server makes it up and brings it.
    fn issue_tokens(&mut self, now: Now, request: &Request<'_>, tokens: &Node) -> Answer {
        let own = request.origin.device.account;
        let asked: Vec<_> = tokens
            .children()
            .iter()
            .filter(|node| node.is("token"))
            .filter_map(|node| Some((node.jid("jid")?, node.owned("t")?, node.owned("type")?)))
            .take(self.config.limits.users)
            .collect();
        let mut held = Node::new("tokens");
        for (jid, time, kind) in asked {
            let (Some(target), Some(namespace)) = (self.directory.resolve(&jid), Namespace::of(&jid)) else { continue };
            let Some(issuer) = self.directory.account(own) else { continue };
            let shown = issuer.namespace(namespace);
            let (from, lid) = (issuer.user(shown), (!issuer.shown.is_single).then(|| issuer.user(Namespace::Lid)));
            if let Some(token) = issuer.tokens.get(&target.account) {
                let told = Node::new("token").with("jid", jid).with("t", time.as_str()).with("type", kind.as_str());
                held = held.with_child(told.with_bytes(token.to_vec()));
            }
            let token = self.random::<16>();
            let limit = self.config.limits.users;
            if let Some(account) = self.directory.account_mut(target.account)
                && (account.tokens.len() < limit || account.tokens.contains_key(&own))
            {
                account.tokens.insert(own, token);
            }
            if self.faults.hides_tokens() {
                continue;
            }
            let child = Node::new("tokens")
                .with_child(Node::new("token").with("type", kind).with("t", time).with_bytes(token.to_vec()));
            for device in self.directory.companions(target.account) {
                let (from, lid, child) = (from.clone(), lid.clone(), child.clone());
                self.notify(now, device, "privacy_token", from, |node| {
                    node.with_some("sender_lid", lid).with_child(child)
                });
            }
        }
        one(held)
    }

    pub(super) fn answer_block_list(&self, request: &Request<'_>) -> Answer {
        let own = request.origin.device.account;
        let hash = self.block_hash(own);
        if request.child("item").and_then(|item| item.owned("dhash")).is_some_and(|known| known == hash) {
            return done();
        }
        one(self.block_list(own, hash))
    }

    pub(super) fn change_block_list(&mut self, now: Now, request: &Request<'_>) -> Answer {
        let own = request.origin.device;
        let limit = self.config.limits.users;
        let item = request.child("item").ok_or(400_u16)?;
        let jid = item.jid("jid").ok_or(400_u16)?;
        let block = match item.owned("action").as_deref() {
            Some("block") => true,
            Some("unblock") => false,
            _ => return Err(400),
        };
        let target = self.directory.resolve(&jid).ok_or(404_u16)?.account;
        let before = self.block_hash(own.account);
        let account = self.directory.account_mut(own.account).ok_or(401_u16)?;
        if !block {
            account.blocked.remove(&target);
        } else if account.blocked.len() < limit {
            account.blocked.insert(target);
        } else {
            return Err(419);
        }
        let hash = self.block_hash(own.account);
        let told = Node::new("blocklist")
            .with("action", "modify")
            .with("dhash", hash.as_str())
            .with("prev_dhash", before)
            .with_child(Node::new("item").with("action", if block { "block" } else { "unblock" }).with("jid", jid));
        self.sync_own(now, own, &told);
        one(self.block_list(own.account, hash).with("matched", "false"))
    }

    fn block_list(&self, own: AccountId, hash: String) -> Node {
        let mut list = Node::new("list").with("dhash", hash).with("addressing_mode", "lid");
        let blocked = self.directory.account(own).into_iter().flat_map(|account| account.blocked.iter());
        for account in blocked.filter_map(|id| self.directory.account(*id)) {
            list = list.with_child(
                Node::new("item").with("jid", account.user(Namespace::Lid)).with("pn_jid", account.user(Namespace::Pn)),
            );
        }
        list
    }

    /// Opaque to clients; changes with the list.
    fn block_hash(&self, own: AccountId) -> String {
        let mut hash = Sha256::new();
        let blocked = self.directory.account(own).into_iter().flat_map(|account| account.blocked.iter());
        for account in blocked.filter_map(|id| self.directory.account(*id)) {
            hash.update(account.lid.as_bytes());
            hash.update([0]);
        }
        let short: Vec<u8> = hash.finalize().iter().copied().take(9).collect();
        STANDARD.encode(short)
    }

    pub(super) fn answer_status_privacy(&self, request: &Request<'_>) -> Answer {
        if request.child("privacy").is_none() {
            return Err(400);
        }
        one(Node::new("privacy").with_child(Node::new("list").with("type", "contacts").with("default", "true")))
    }

    pub(super) fn change_about(&mut self, now: Now, request: &Request<'_>) -> Answer {
        let text = request.child("status").ok_or(400_u16)?.bytes().unwrap_or_default();
        let text = String::from_utf8(text.to_vec()).map_err(|_| 400_u16)?;
        if text.chars().count() > LONGEST_ABOUT {
            return Err(406);
        }
        let account = self.directory.account_mut(request.origin.device.account).ok_or(401_u16)?;
        account.settings.about = Some((text, now.unix_seconds()));
        done()
    }

    pub(super) fn change_disappearing(&mut self, now: Now, request: &Request<'_>) -> Answer {
        let mode = request.child("disappearing_mode").ok_or(400_u16)?;
        let duration = mode.owned("duration").and_then(|text| text.parse().ok()).ok_or(400_u16)?;
        let account = self.directory.account_mut(request.origin.device.account).ok_or(401_u16)?;
        account.settings.disappearing = (duration, now.unix_seconds());
        done()
    }
}

fn privacy(account: &Account) -> Node {
    let mut node = Node::new("privacy");
    for (name, value) in &account.settings.privacy {
        node = node.with_child(Node::new("category").with("name", *name).with("value", value.as_str()));
    }
    node
}

/// No value that exists is longer.
const LONGEST_VALUE: usize = 64;

/// Characters in an "about" text.
const LONGEST_ABOUT: usize = 139;
