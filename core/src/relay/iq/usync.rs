//! `usync`: what the server knows about users, asked for many users and several protocols at once.

use super::{Answer, Request, one};
use crate::binary::Node;
use crate::relay::Relay;
use crate::relay::directory::{Account, AccountId, Namespace};
use crate::relay::wire::Look;
use crate::types::Jid;

impl Relay {
    pub(super) fn answer_usync(&self, request: &Request<'_>) -> Answer {
        let usync = request.child("usync").ok_or(400_u16)?;
        let protocols: Vec<&Node> = usync.child("query").into_iter().flat_map(Node::children).collect();
        let users: Vec<&Node> = usync.child("list").into_iter().flat_map(Node::children).collect();
        if users.len() > self.config.limits.users {
            return Err(429);
        }
        let mut result = Node::new("result");
        for protocol in &protocols {
            result = result.with_child(Node::new(protocol.tag.as_str().to_owned()));
        }
        let mut list = Node::new("list");
        for user in users {
            list = list.with_child(self.described(user, &protocols));
        }
        let mut node = Node::new("usync");
        for key in ["sid", "mode", "index", "last", "context"] {
            if let Some(value) = usync.owned(key) {
                node = node.with(key, value);
            }
        }
        one(node.with_child(result).with_child(list))
    }

    fn described(&self, user: &Node, protocols: &[&Node]) -> Node {
        // Users are named by address, or by a number to be looked up, sometimes by both.
        let number =
            user.child("contact").and_then(Node::bytes).map(|data| String::from_utf8_lossy(&data).into_owned());
        let digits = number.as_deref().map(|text| text.chars().filter(char::is_ascii_digit).collect::<String>());
        let named = user.jid("jid").or_else(|| user.jid("pn_jid"));
        let account = named
            .as_ref()
            .and_then(|jid| self.directory.resolve(jid).map(|device| device.account))
            .or_else(|| digits.as_deref().and_then(|digits| self.directory.by_number(digits)));
        let by_lid =
            protocols.iter().any(|node| node.is("contact") && node.owned("addressing_mode").as_deref() == Some("lid"));
        let found = account.and_then(|id| Some((id, self.directory.account(id)?)));

        let mut node = Node::new("user");
        match (found, &named) {
            (Some((_, account)), None) if by_lid => {
                node = node.with("jid", account.user(Namespace::Lid)).with("pn_jid", account.user(Namespace::Pn));
            }
            (Some((_, account)), None) => node = node.with("jid", account.user(Namespace::Pn)),
            (_, Some(jid)) => node = node.with("jid", jid.to_user()),
            (None, None) => node = node.with("jid", Jid::pn(digits.clone().unwrap_or_default())),
        }
        for protocol in protocols {
            if let Some(child) = self.protocol(protocol, found, named.as_ref(), number.as_deref()) {
                node = node.with_child(child);
            }
        }
        node
    }

    fn protocol(
        &self,
        protocol: &Node,
        found: Option<(AccountId, &Account)>,
        named: Option<&Jid>,
        number: Option<&str>,
    ) -> Option<Node> {
        let tag = protocol.tag.as_str();
        match tag {
            "devices" => Some(match found {
                Some((id, account)) => self.device_list(id, account, named),
                // One peer fails the whole query when the list is missing.
                None => Node::new("devices").with_child(Node::new("device-list")),
            }),
            "contact" => {
                let node = Node::new("contact").with("type", if found.is_some() { "in" } else { "out" });
                Some(match number {
                    Some(number) => node.with_bytes(number.as_bytes().to_vec()),
                    None => node,
                })
            }
            "lid" => found
                .filter(|(_, account)| !account.shown.is_single)
                .map(|(_, account)| Node::new("lid").with("val", account.user(Namespace::Lid))),
            "username" => found
                .and_then(|(_, account)| account.shown.username.as_ref())
                .map(|name| Node::new("username").with_bytes(name.as_bytes().to_vec())),
            "status" => {
                let about = found.and_then(|(_, account)| account.settings.about.clone());
                Some(match about {
                    Some((text, seconds)) => {
                        Node::new("status").with("t", seconds.to_string()).with_bytes(text.into_bytes())
                    }
                    None => Node::new("status"),
                })
            }
            "disappearing_mode" => found.map(|(_, account)| {
                let (duration, seconds) = account.settings.disappearing;
                Node::new("disappearing_mode").with("duration", duration.to_string()).with("t", seconds.to_string())
            }),
            // Nobody here has a picture, a business or a bot: the answer is an element without content.
            "picture" | "business" | "text_status" | "bot" => None,
            _ => None,
        }
    }

    /// A user's devices with the list that the phone signed, byte for byte.
    fn device_list(&self, id: AccountId, account: &Account, named: Option<&Jid>) -> Node {
        let namespace = named.and_then(Namespace::of).unwrap_or(Namespace::Pn);
        let mut list = Node::new("device-list")
            .with("hash", self.devices_hash(id, namespace))
            .with_child(Node::new("device").with("id", "0"));
        for (number, companion) in &account.companions {
            list = list.with_child(
                Node::new("device").with("id", number.to_string()).with("key-index", companion.key_index.to_string()),
            );
        }
        Node::new("devices").with_child(list).with_child(account.phone.key_index_list())
    }
}
