//! Who may write to whom: tokens that a receiver demands, and accounts that may begin no new chats. Both are refused with
//! one code, as the real server does.

use super::Relay;
use super::directory::AccountId;
use crate::binary::Node;
use crate::types::{Jid, Now};

/// A token is missing, or the account is restricted.
pub(super) const NOT_TRUSTED: u16 = 463;

/// Names the query for a restriction.
pub(super) const RESTRICTION_DOCUMENT: &str = "23983697327930364";

impl Relay {
    /// From now on only those whom `account` has issued a token may write to it, or everybody again. `false` if there is
    /// no such account.
    pub fn demand_tokens(&mut self, account: &Jid, on: bool) -> bool {
        let found = self.directory.resolve(account).and_then(|device| self.directory.account_mut(device.account));
        found.map(|account| account.wants_tokens = on).is_some()
    }

    /// Lets `account` begin no new chats until then (Unix seconds), or lets it again, and tells its devices if `told`.
    /// `false` if there is no such account.
    pub fn restrict(&mut self, now: Now, account: &Jid, until: Option<u64>, told: bool) -> bool {
        let Some(id) = self.directory.resolve(account).map(|device| device.account) else { return false };
        let Some(found) = self.directory.account_mut(id) else { return false };
        found.restricted_until = until;
        if told {
            let json = restriction_json("xwa2_notify_account_reachout_timelock", now, until);
            let update = Node::new("update").with("op_name", "NotificationUserReachoutTimelockUpdate");
            let update = update.with_bytes(json.into_bytes());
            for device in self.directory.companions(id) {
                let update = update.clone();
                self.notify(now, device, "mex", Jid::server_itself(), |node| node.with_child(update));
            }
            self.settle_output();
        }
        true
    }

    /// The answer to the query for a restriction.
    pub(super) fn restriction(&self, now: Now, account: AccountId) -> Node {
        let until = self.directory.account(account).and_then(|account| account.restricted_until);
        let json = restriction_json("xwa2_fetch_account_reachout_timelock", now, until);
        Node::new("result").with("format", "json").with_bytes(json.into_bytes())
    }

    /// Whether `target` may be written to with this stanza. Asked before the two become acquainted.
    pub(super) fn admits(&self, now: Now, sender: AccountId, target: AccountId, stanza: &Node) -> bool {
        let (Some(from), Some(to)) = (self.directory.account(sender), self.directory.account(target)) else {
            return true;
        };
        if sender == target {
            return true;
        }
        let is_restricted = from.restricted_until.is_some_and(|until| now.unix_seconds() < until);
        if is_restricted && !from.contacts.contains(&target) {
            return false;
        }
        let shown = stanza.child("tctoken").and_then(Node::bytes);
        let held = from.tokens.get(&target);
        let is_known = held.zip(shown).is_some_and(|(held, shown)| shown[..] == held[..]);
        // A token derived from a salt proves as much; the salt is not known here.
        !to.wants_tokens || is_known || stanza.child("cstoken").is_some()
    }

    /// Whether `holder` has a token that `issuer` issued.
    #[must_use]
    pub fn holds_token(&self, holder: &Jid, issuer: &Jid) -> bool {
        let [holder, issuer] = [holder, issuer].map(|jid| self.directory.resolve(jid).map(|device| device.account));
        let (Some(holder), Some(issuer)) = (holder, issuer) else { return false };
        self.directory.account(holder).is_some_and(|account| account.tokens.contains_key(&issuer))
    }
}

fn restriction_json(root: &str, now: Now, until: Option<u64>) -> String {
    let is_active = until.is_some_and(|until| now.unix_seconds() < until);
    let ends = until.filter(|_| is_active).map_or_else(|| "null".to_owned(), |until| format!("\"{until}\""));
    let kind = if is_active { "\"DEFAULT\"" } else { "null" };
    format!(
        r#"{{"data":{{"{root}":{{"is_active":{is_active},"time_enforcement_ends":{ends},"enforcement_type":{kind}}}}}}}"#
    )
}
