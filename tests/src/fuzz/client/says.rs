//! What the server and the peer say to the client: what they should, and what they should not.

use super::super::script::Script;
use super::super::server::{Server, answer, twist};
use super::Machine;
use super::base::BASE;
use crate::world::text_content;
use bytes::Bytes;
use whatsio_core::api::Input;
use whatsio_core::binary::{Node, Role};
use whatsio_core::crypto::KeyPair;
use whatsio_core::message::{pad, pad_with};
use whatsio_core::pairing::QrCode;
use whatsio_core::pairing::primary::{DeviceDetails, IssuedIdentity};
use whatsio_core::types::Jid;

impl Machine {
    pub(super) fn written(&mut self, bytes: Bytes) {
        let Some(server) = &mut self.server else { panic!("a frame without a connection") };
        let was_open = server.is_open();
        let replies = server.hear(bytes);
        let is_new = !was_open && server.is_open();
        for reply in replies {
            self.honest(Input::Frame(reply));
        }
        if is_new && self.greets {
            let greeting = self.greeting();
            self.say_plainly(&greeting);
        }
        if self.server_is_prompt {
            while let Some(request) = self.server.as_mut().and_then(Server::next_request) {
                let reply = answer(&request, &BASE.bundle, &[0, BASE.peer.device()]);
                self.say_plainly(&reply);
            }
        }
    }

    fn greeting(&mut self) -> Node {
        if self.client.identity().is_some() {
            return Node::new("success").with("t", "1790000100").with_some("lid", BASE.lid.clone());
        }
        let references = (0..6).map(|number| Node::new("ref").with_bytes(format!("2@reference{number}").into_bytes()));
        self.server_request("md").with_child(Node::new("pair-device").with_children(references))
    }

    fn server_request(&mut self, xmlns: &str) -> Node {
        let id = self.number();
        Node::new("iq").with("from", Jid::server_itself()).with("type", "set").with("id", id).with("xmlns", xmlns)
    }

    fn number(&mut self) -> String {
        self.numbers += 1;
        self.numbers.to_string()
    }

    fn say_plainly(&mut self, stanza: &Node) {
        let frame = stanza.encode(Role::Server).expect("ours");
        self.say_frame(&frame);
    }

    pub(super) fn say(&mut self, stanza: &Node, script: &mut Script<'_>) {
        let Ok(frame) = stanza.encode(Role::Server) else { return };
        let frame = if script.below(8) == 0 { script.damaged(&frame) } else { frame };
        self.say_frame(&frame);
    }

    pub(super) fn say_frame(&mut self, frame: &[u8]) {
        if let Some(bytes) = self.server.as_mut().and_then(|server| server.say(frame)) {
            self.honest(Input::Frame(bytes));
        }
    }

    pub(super) fn answer_one(&mut self, script: &mut Script<'_>) {
        let Some(request) = self.server.as_mut().and_then(|server| server.any_request(script)) else { return };
        let devices: Vec<u16> = script.short().iter().map(|byte| u16::from(*byte)).collect();
        let mut reply = answer(&request, &BASE.bundle, &devices);
        if script.below(4) == 0 {
            let code = [400, 401, 403, 404, 406, 429, 463, 500, 503][script.below(9)];
            reply.attrs.retain(|(key, _)| key != "type");
            let error = Node::new("error").with("code", code as u32).with("text", "no");
            reply = reply.with("type", "error").with_children([error]);
        }
        let reply = twist(script, reply);
        self.say(&reply, script);
    }

    /// Content that a peer may encrypt: sensible, or not.
    pub(super) fn content(&mut self, script: &mut Script<'_>) -> Bytes {
        match script.below(4) {
            0 => text_content("hello"),
            1 => Bytes::copy_from_slice(script.piece()),
            2 => {
                // A protocol message of any kind.
                let mut inner = Vec::new();
                whatsio_proto::fields::put_uint(&mut inner, 2, script.byte().into());
                inner.extend_from_slice(script.short());
                let mut content = Vec::new();
                whatsio_proto::fields::put_bytes(&mut content, 12, &inner);
                content.into()
            }
            _ => {
                let mut inner = Vec::new();
                whatsio_proto::fields::put_bytes(&mut inner, 1, script.short());
                whatsio_proto::fields::put_bytes(&mut inner, 2, &text_content("copy"));
                let mut content = Vec::new();
                whatsio_proto::fields::put_bytes(&mut content, 31, &inner);
                content.into()
            }
        }
    }

    /// A message of the peer, rightly encrypted.
    pub(super) fn peer_says(&mut self, content: &[u8], padding: u8) {
        let message = self.peer_message(content, padding);
        self.say_plainly(&message);
    }

    fn peer_message(&mut self, content: &[u8], padding: u8) -> Node {
        let padded = match padding {
            0..=99 => pad(content, &mut self.rng),
            count => pad_with(content, count & 0x0F),
        };
        let (session, _) = &mut self.peer;
        let sealed = session.encrypt(&padded, &BASE.identity.public, &mut self.rng).expect("a session");
        let id = format!("3EB0BB{}", self.number());
        let enc = Node::new("enc").with("v", "2").with("type", sealed.kind.as_str()).with_bytes(sealed.bytes);
        let message = Node::new("message")
            .with("id", id)
            .with("from", BASE.peer.clone())
            .with("type", "text")
            .with("t", "1790000100")
            .with_child(enc);
        match &BASE.statement {
            Some(statement) => message.with_child(Node::new("device-identity").with_bytes(statement.clone())),
            None => message,
        }
    }

    /// A stanza as servers say them.
    pub(super) fn stanza(&mut self, script: &mut Script<'_>) -> Option<Node> {
        let base = &*BASE;
        let (me, peer) = (&base.me, &base.peer);
        let heard = self.server.as_ref().and_then(|server| server.heard.back().cloned());
        let heard_id = heard.as_ref().and_then(|node| node.text("id")).map(std::borrow::Cow::into_owned);
        let last_sent = self.sent.last().map(|id| id.as_str().to_owned()).or_else(|| heard_id.clone());
        let sent = last_sent.unwrap_or_default();
        let number = self.number();
        Some(match script.below(20) {
            0 => {
                let content = self.content(script);
                self.peer_message(&content, 0)
            }
            1 => {
                let heard = heard?;
                let from = heard.attr("to").cloned().unwrap_or_else(|| peer.into());
                let ack = Node::new("ack").with("id", heard_id?).with("from", from).with("class", heard.tag.as_str());
                ack.with("t", "1790000100")
            }
            2 => {
                let error = ["401", "405", "406", "420", "421", "429", "463", "475", "479", "500"][script.below(10)];
                Node::new("ack")
                    .with("id", heard_id?)
                    .with("from", peer.to_user())
                    .with("class", "message")
                    .with("error", error)
            }
            3 => Node::new("receipt").with("id", sent).with("from", peer.clone()).with("t", "1790000100"),
            4 => {
                let kind =
                    ["read", "played", "sender", "inactive", "read-self", "server-error", "peer_msg"][script.below(7)];
                let list = Node::new("list").with_child(Node::new("item").with("id", "3EB0AA02"));
                Node::new("receipt").with("id", sent).with("from", peer.clone()).with("type", kind).with_child(list)
            }
            5 | 6 => {
                let retry = Node::new("retry")
                    .with("count", u32::from(script.byte()))
                    .with("id", sent.as_str())
                    .with("t", "1790000000")
                    .with("v", "1");
                let mut node = Node::new("receipt").with("id", sent).with("from", peer.clone()).with("type", "retry");
                node = node.with_child(retry).with_child(Node::new("registration").with_bytes(vec![
                    0,
                    0,
                    0,
                    script.byte(),
                ]));
                if script.below(2) == 0 {
                    let keys = base.bundle.children().iter().filter(|child| child.tag != "registration").cloned();
                    node = node.with_child(Node::new("keys").with_children(keys));
                }
                node
            }
            7 => {
                let tag = ["add", "remove", "update"][script.below(3)];
                let device = Node::new("device").with("jid", peer.clone()).with("key-index", "1");
                let list = Node::new(tag).with("device_hash", "2:abcdef").with_child(device);
                notification(&number, &peer.to_user(), "devices").with_child(list)
            }
            8 => {
                let inner = match script.below(3) {
                    0 => Node::new("count").with("value", u32::from(script.byte())),
                    1 => Node::new("digest"),
                    _ => {
                        return Some(
                            notification(&number, &peer.to_user(), "encrypt").with_child(Node::new("identity")),
                        );
                    }
                };
                notification(&number, &Jid::server_itself(), "encrypt").with_child(inner)
            }
            9 => {
                let device = Node::new("device").with("jid", me.clone()).with("key-index", "1");
                let list = Node::new("devices").with("dhash", "2:abcdef").with_child(device);
                notification(&number, &me.to_user(), "account_sync").with_child(list)
            }
            10 => {
                let modify = Node::new("modify").with("old", peer.to_user()).with("new", Jid::pn("15550100009"));
                notification(&number, &peer.to_user(), "contacts").with_child(modify)
            }
            11 => {
                let token = Node::new("token").with("type", "trusted_contact").with("t", "1790000000");
                let token = token.with_bytes(script.short().to_vec());
                notification(&number, &peer.to_user(), "privacy_token")
                    .with_child(Node::new("tokens").with_child(token))
            }
            12 => {
                let kinds = ["server_sync", "mem", "mediaretry", "status", "picture", "w:gp2", "business", "psa"];
                notification(&number, &Jid::server_itself(), kinds[script.below(kinds.len())])
                    .with_child(Node::new("collection").with("name", "regular").with("version", "3"))
            }
            13 => {
                let inner = match script.below(6) {
                    0 => Node::new("offline").with("count", u32::from(script.byte())),
                    1 => Node::new("offline_preview").with("count", "5").with("message", "3"),
                    2 => Node::new("dirty").with("type", "account_sync").with("timestamp", "1790000000"),
                    3 => Node::new("edge_routing")
                        .with_child(Node::new("routing_info").with_bytes(script.short().to_vec())),
                    4 => Node::new("client_expiration").with("t", "1790100000"),
                    _ => Node::new("downgrade_webclient"),
                };
                Node::new("ib").with("from", Jid::server_itself()).with_child(inner)
            }
            14 => {
                let code = ["401", "403", "405", "409", "500", "503", "515", "516"][script.below(8)];
                match script.below(4) {
                    0 => Node::new("xmlstreamend"),
                    1 => Node::new("failure").with("reason", code),
                    2 => Node::new("stream:error").with_child(Node::new("conflict").with("type", "replaced")),
                    _ => Node::new("stream:error").with("code", code),
                }
            }
            15 => match script.below(4) {
                0 => {
                    Node::new("presence").with("from", peer.to_user()).with("type", "unavailable").with("last", "deny")
                }
                1 => Node::new("chatstate").with("from", peer.clone()).with_child(Node::new("composing")),
                2 => Node::new("call")
                    .with("from", peer.clone())
                    .with("id", number.as_str())
                    .with("t", "1790000000")
                    .with_child(Node::new("offer").with("call-id", number).with("call-creator", peer.clone())),
                _ => Node::new("status").with("from", peer.to_user()).with("id", number),
            },
            16 => self.server_request("urn:xmpp:ping").with_child(Node::new("ping")),
            17 => self.greeting(),
            18 => self.pair_success(script)?,
            _ => {
                let sort = [
                    "link_code_companion_reg",
                    "passkey_prologue_request",
                    "crsc_continuation",
                    "companion_reg_refresh",
                ];
                let sort = sort[script.below(sort.len())];
                let inner = Node::new(sort).with("stage", "primary_hello").with_bytes(script.piece().to_vec());
                notification(&number, &Jid::server_itself(), sort).with_child(inner)
            }
        })
    }

    /// The phone has scanned the newest code.
    fn pair_success(&mut self, script: &mut Script<'_>) -> Option<Node> {
        let code = QrCode::parse(self.qr.as_deref()?).expect("a code that is shown is read");
        let account = KeyPair::from_private([0x31; 32]);
        let details =
            DeviceDetails { raw_id: 1, timestamp: 1_790_000_000, key_index: 1, account_type: None, device_type: None };
        let issued = IssuedIdentity::issue(&account, &details, &code.identity, &[7; 64]);
        let container = script.damaged(&issued.container(&code.adv_secret, None));
        let success = Node::new("pair-success")
            .with_child(Node::new("device-identity").with_bytes(container))
            .with_child(Node::new("device").with("jid", BASE.me.clone()).with_some("lid", BASE.lid.clone()))
            .with_child(Node::new("platform").with("name", "android"));
        Some(self.server_request("md").with_child(success))
    }
}

fn notification(id: &str, from: &Jid, kind: &str) -> Node {
    Node::new("notification").with("id", id).with("from", from.clone()).with("type", kind).with("t", "1790000100")
}
