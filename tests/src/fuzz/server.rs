//! The other end of a client's connection in the hands of a script: a server that has the right keys, says anything, and
//! answers what it is asked as well as it can. Knows nothing of what a client should make of it.

use super::script::Script;
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use whatsio_core::binary::{Content, DecodeLimits, Node, Role, Tape};
use whatsio_core::crypto::{KeyPair, Rng};
use whatsio_core::noise::Transport;
use whatsio_core::noise::cert::{Issuer, Validity};
use whatsio_core::noise::frame::{Deframer, framed};
use whatsio_core::noise::responder::{Answer, AwaitingClientFinish, Responder, Resumption};
use whatsio_core::types::{Jid, Seed};

/// What identifies the server, and what it answers with.
pub struct Keys {
    root: KeyPair,
    server: KeyPair,
    chain: Bytes,
}

impl Keys {
    /// Keys that never change, with a certificate that is valid as long as anybody fuzzes.
    #[must_use]
    pub fn fixed() -> Self {
        let mut rng = Rng::new(&Seed::new([0x5e; 32]));
        let (root, intermediate, server) =
            (KeyPair::generate(&mut rng), KeyPair::generate(&mut rng), KeyPair::generate(&mut rng));
        let issuer = Issuer {
            root: &root,
            root_serial: 0,
            intermediate: &intermediate,
            intermediate_serial: 7,
            leaf_serial: 8,
            validity: Validity { not_before: 0, not_after: u64::MAX >> 1 },
        };
        let chain = issuer.issue(&server.public, &mut rng);
        Self { root, server, chain }
    }

    /// The key that clients must trust.
    #[must_use]
    pub const fn root_key(&self) -> [u8; 32] {
        *self.root.public.as_bytes()
    }
}

/// One connection.
pub struct Server {
    deframer: Deframer,
    stage: Stage,
    /// Requests that were not answered yet, oldest first.
    asked: VecDeque<Node>,
    /// Everything else that the client said lately: messages, receipts, acks.
    pub heard: VecDeque<Node>,
}

enum Stage {
    Preamble(Responder),
    Hello(Responder),
    Finish(AwaitingClientFinish),
    Open(Box<Transport>),
    /// Something went wrong; whatever is said goes out in the clear.
    Broken,
}

impl Server {
    /// A connection that was just made.
    #[must_use]
    pub fn new(keys: &Keys, number: u8) -> Self {
        let ephemeral = KeyPair::from_private([number | 0x40; 32]);
        let responder = Responder::new(keys.server.clone(), ephemeral, keys.chain.clone());
        Self {
            deframer: Deframer::new(),
            stage: Stage::Preamble(responder),
            asked: VecDeque::new(),
            heard: VecDeque::new(),
        }
    }

    /// Whether stanzas can be said.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open(_))
    }

    /// Takes bytes of the client; gives what the handshake answers. Whatever a client writes must be in order.
    pub fn hear(&mut self, bytes: Bytes) -> Vec<Bytes> {
        let mut replies = Vec::new();
        self.deframer.push(bytes);
        if matches!(self.stage, Stage::Preamble(_)) {
            let preamble = self.deframer.preamble().expect("a client begins with a preamble");
            let Some(_) = preamble else { return replies };
            if let Stage::Preamble(responder) = std::mem::replace(&mut self.stage, Stage::Broken) {
                self.stage = Stage::Hello(responder);
            }
        }
        while let Some(frame) = self.deframer.next_frame().expect("a client writes frames") {
            match std::mem::replace(&mut self.stage, Stage::Broken) {
                Stage::Hello(responder) => {
                    match responder.receive(&frame, Resumption::Accept).expect("a client's hello") {
                        Answer::Continue { reply, next } => {
                            replies.push(framed(&reply).expect("short"));
                            self.stage = Stage::Finish(next);
                        }
                        Answer::Done { reply, accepted } => {
                            replies.push(framed(&reply).expect("short"));
                            self.open(accepted.transport);
                        }
                    }
                }
                Stage::Finish(next) => {
                    let accepted = next.receive(&frame).expect("a client's finish");
                    self.open(accepted.transport);
                }
                Stage::Open(mut transport) => {
                    let opened = transport.open(frame).expect("frames come in order, each once");
                    self.stage = Stage::Open(transport);
                    self.take(&opened);
                }
                other => self.stage = other,
            }
        }
        replies
    }

    fn open(&mut self, transport: Transport) {
        self.deframer.handshake_done();
        self.stage = Stage::Open(Box::new(transport));
    }

    fn take(&mut self, frame: &Bytes) {
        let tape = Tape::decode(frame, Role::Server, &DecodeLimits::DEFAULT).expect("a client writes nodes");
        let node = tape.root().to_node();
        let list = if node.tag == "iq" { &mut self.asked } else { &mut self.heard };
        list.push_back(node);
        if list.len() > MOST_KEPT {
            list.pop_front();
        }
    }

    /// The bytes that bring the client this stanza, whole or changed by the caller.
    pub fn say(&mut self, frame: &[u8]) -> Option<Bytes> {
        let Stage::Open(transport) = &mut self.stage else { return framed(frame).ok() };
        let mut room = BytesMut::zeroed(3);
        room.extend_from_slice(frame);
        transport.seal(room).ok()
    }

    /// The oldest request that was not answered.
    pub fn next_request(&mut self) -> Option<Node> {
        self.asked.pop_front()
    }

    /// Any request that was not answered, out of turn.
    pub fn any_request(&mut self, script: &mut Script<'_>) -> Option<Node> {
        let at = script.below(self.asked.len().clamp(1, 256));
        self.asked.remove(at)
    }
}

/// The answer that an obliging server gives: `bundle` holds the keys of every device, `devices` the numbers of everybody's.
#[must_use]
pub fn answer(request: &Node, bundle: &Node, devices: &[u16]) -> Node {
    let result = Node::new("iq")
        .with("id", request.text("id").unwrap_or_default().into_owned())
        .with("from", Jid::server_itself())
        .with("type", "result");
    let Some(child) = request.children().first() else { return result };
    match (request.text("xmlns").as_deref(), child.tag.as_str()) {
        (Some("usync"), _) => {
            let users = child.child("list").map(Node::children).unwrap_or_default();
            let users = users.iter().filter_map(|user| user.attr("jid")).map(|jid| {
                let list = devices.iter().map(|number| {
                    let device = Node::new("device").with("id", u32::from(*number));
                    if *number == 0 { device } else { device.with("key-index", u32::from(*number)) }
                });
                let list = Node::new("device-list").with("hash", "2:abcdef").with_children(list);
                Node::new("user").with("jid", jid.clone()).with_child(Node::new("devices").with_child(list))
            });
            result.with_child(Node::new("usync").with_child(Node::new("list").with_children(users)))
        }
        (Some("encrypt"), "count") => result.with_child(Node::new("count").with("value", "30")),
        (Some("encrypt"), "key") => {
            let users = child.children().iter().filter_map(|user| user.attr("jid")).map(|jid| {
                let mut found = bundle.clone();
                found.attrs.retain(|(key, _)| key != "jid");
                found.with("jid", jid.clone())
            });
            result.with_child(Node::new("list").with_children(users))
        }
        (Some("privacy" | "w" | "blocklist"), tag) => result.with_child(Node::new(tag)),
        _ => result,
    }
}

/// A stanza with one thing changed that a codec would not notice: an attribute, a child, the content.
pub fn twist(script: &mut Script<'_>, mut node: Node) -> Node {
    for _ in 0..script.below(3) {
        // A few steps down, so that every part may be met.
        let path: Vec<usize> = (0..script.below(4)).map(|_| script.below(8)).collect();
        let at = descend(&mut node, &path);
        let place = script.below(8);
        match script.below(6) {
            0 if !at.attrs.is_empty() => {
                let place = place % at.attrs.len();
                at.attrs.remove(place);
            }
            1 if !at.attrs.is_empty() => {
                let place = place % at.attrs.len();
                at.attrs[place].1 = text(script).into();
            }
            2 => {
                let key = WORDS[script.below(WORDS.len())];
                if at.attr(key).is_none() {
                    at.attrs.push((key.into(), text(script).into()));
                }
            }
            3 => at.content = Content::Bytes(Bytes::copy_from_slice(script.short())),
            4 => at.content = Content::Absent,
            _ => {
                let twin = match &at.content {
                    Content::Nodes(children) => children.get(place % children.len().max(1)).cloned(),
                    _ => None,
                };
                if let (Content::Nodes(children), Some(twin)) = (&mut at.content, twin) {
                    children.push(twin);
                }
            }
        }
    }
    node
}

/// The node at the end of `path`, or where the path ends.
fn descend<'n>(node: &'n mut Node, path: &[usize]) -> &'n mut Node {
    let Some((step, rest)) = path.split_first() else { return node };
    if node.children().is_empty() {
        return node;
    }
    match &mut node.content {
        Content::Nodes(children) => {
            let place = step % children.len();
            descend(&mut children[place], rest)
        }
        _ => unreachable!("it has children"),
    }
}

/// A text that stanzas have in attributes, or any.
fn text(script: &mut Script<'_>) -> String {
    match script.byte() {
        choice @ 0..=199 => VALUES[usize::from(choice) % VALUES.len()].to_owned(),
        _ => String::from_utf8_lossy(script.short()).into_owned(),
    }
}

const WORDS: &[&str] = &[
    "id",
    "from",
    "to",
    "type",
    "participant",
    "recipient",
    "t",
    "offline",
    "edit",
    "error",
    "code",
    "lid",
    "count",
    "category",
    "class",
    "v",
    "jid",
    "reason",
    "xmlns",
    "key-index",
    "hash",
    "username",
    "addressing_mode",
    "sender_pn",
    "sender_lid",
    "peer_recipient_pn",
    "device_hash",
    "value",
    "backoff",
    "notify",
    "phash",
    "mediatype",
    "state",
];

const VALUES: &[&str] = &[
    "",
    "0",
    "1",
    "2",
    "3",
    "5",
    "16",
    "99",
    "256",
    "65536",
    "4294967296",
    "18446744073709551615",
    "-1",
    "true",
    "msg",
    "pkmsg",
    "skmsg",
    "retry",
    "read",
    "played",
    "sender",
    "inactive",
    "devices",
    "account_sync",
    "encrypt",
    "identity",
    "peer",
    "text",
    "media",
    "error",
    "result",
    "set",
    "get",
    "s.whatsapp.net",
    "g.us",
    "status@broadcast",
    "lid",
    "15550100001@s.whatsapp.net",
    "15550100002@s.whatsapp.net",
    "15550100001:1@s.whatsapp.net",
    "15550100002:1@s.whatsapp.net",
    "15550100002:99@hosted",
    "120363000000000001@g.us",
    "1@lid",
    "401",
    "403",
    "404",
    "405",
    "409",
    "412",
    "429",
    "431",
    "463",
    "475",
    "479",
    "500",
    "503",
    "515",
    "516",
    "1790000000",
    "1790000001000",
];

const MOST_KEPT: usize = 64;
