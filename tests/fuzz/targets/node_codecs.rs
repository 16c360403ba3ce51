//! The node codec against an independent one: what one writes the other reads, and it is the same.
//!
//! Where the two differ on purpose, and nowhere else, nodes are compared in a common form:
//!
//! * The other writes a text that reads as an address as one; ours never takes a text for an address. So values are
//!   compared by their text, and a text that reads as an address by that address's. It does so even for tags and keys,
//!   which ours does not read, so here these hold no `@`.
//! * The other has no address as content: it reads one as its text, without the integrator of one on `interop`, so there
//!   is none on `interop` here. And both read a text as bytes that is in no dictionary and cannot be packed. So contents
//!   are compared by their bytes.
//! * The other does not write the device of an address on `msgr`, nor any part of one on `interop` beside the user
//!   unless it has an integrator; and a text that reads as one on `interop` it writes as a user with its integrator in
//!   front. So such addresses are only read by it, not written.
//! * The other writes as an address what is none, such as a text that ends in `@`, and drops an agent (`_0`) from one that
//!   is. So of texts with an `@` it is given addresses with letters and digits only.
//! * The other knows no other servers than its own list, which is ours without unknown ones.
//! * An empty list of children and no content mean the same.

#![no_main]

use bytes::Bytes;
use std::borrow::Cow;
use wacore_binary::{Attrs, Node as Theirs, NodeContent, NodeValue, Server as TheirServer};
use whatsio_core::binary::{Content, DecodeLimits, Node, Role, Tape, Value};
use whatsio_core::types::{Jid, Server};
use whatsio_tests::fuzz::script::Script;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| run(bytes));

fn run(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let node = node(&mut script, 0);
    let expected = common(&node);

    // Servers write interop addresses in full, which is how the other reads them.
    if let Ok(frame) = node.encode(Role::Server) {
        let body = wacore_binary::util::unpack(&frame).expect("not compressed");
        let read = wacore_binary::marshal::unmarshal_ref(&body).expect("what ours writes is read by the other");
        assert_eq!(common(&ours(&read.to_owned())), expected, "ours is read as another node");
    }
    if is_writable(&node) {
        let frame = wacore_binary::marshal(&theirs(&node)).expect("a sound node");
        let exact = wacore_binary::marshal_exact(&theirs(&node)).expect("a sound node");
        assert_eq!(exact, frame);
        let tape = Tape::decode(&Bytes::from(frame), Role::Server, &DecodeLimits::DEFAULT);
        let read = tape.expect("what the other writes is read by ours").root().to_node();
        assert_eq!(common(&read), expected, "the other's is read as another node");
    }
}

/// The form in which the two are compared.
#[derive(Debug, PartialEq, Eq)]
struct Common {
    tag: String,
    attrs: Vec<(String, String)>,
    content: CommonContent,
}

#[derive(Debug, PartialEq, Eq)]
enum CommonContent {
    Nothing,
    Nodes(Vec<Common>),
    Bytes(Vec<u8>),
}

fn common(node: &Node) -> Common {
    let canonical = |text: &str| Jid::parse(text).map_or_else(|_| text.to_owned(), |jid| jid.to_string());
    let text = |value: &Value| match value {
        Value::Text(text) => canonical(text),
        Value::Jid(jid) => jid.to_string(),
    };
    Common {
        tag: node.tag.to_string(),
        attrs: node.attrs.iter().map(|(key, value)| (key.to_string(), text(value))).collect(),
        content: match &node.content {
            Content::Nodes(nodes) if !nodes.is_empty() => CommonContent::Nodes(nodes.iter().map(common).collect()),
            Content::Absent | Content::Nodes(_) => CommonContent::Nothing,
            Content::Bytes(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => CommonContent::Bytes(canonical(text).into_bytes()),
                Err(_) => CommonContent::Bytes(bytes.to_vec()),
            },
            Content::Text(text) => CommonContent::Bytes(canonical(text).into_bytes()),
            Content::Jid(jid) => CommonContent::Bytes(jid.to_string().into_bytes()),
        },
    }
}

/// Whether the other writes all of it.
fn is_writable(node: &Node) -> bool {
    let attrs = node.attrs.iter().all(|(_, value)| match value {
        Value::Jid(jid) => is_written_whole(jid),
        Value::Text(text) => is_plain(text),
    });
    let content = match &node.content {
        Content::Text(text) => is_plain(text),
        Content::Jid(jid) => is_plain(&jid.to_string()),
        _ => true,
    };
    attrs && content && node.encode(Role::Client).is_ok() && node.children().iter().all(is_writable)
}

fn is_written_whole(jid: &Jid) -> bool {
    match jid.server() {
        Server::Messenger => jid.device() == 0,
        Server::Interop => jid.integrator() != 0,
        _ => true,
    }
}

/// Whether it is a text for both, or an address that the other writes whole.
fn is_plain(text: &str) -> bool {
    match Jid::parse(text) {
        Ok(jid) => {
            let is_simple = jid.user().chars().all(|character| character.is_ascii_alphanumeric());
            is_written_whole(&jid) && *jid.server() != Server::Interop && is_simple
        }
        Err(_) => !text.contains('@'),
    }
}

fn theirs(node: &Node) -> Theirs {
    let mut attrs = Attrs::new();
    for (key, value) in &node.attrs {
        let value = match value {
            Value::Text(text) => NodeValue::String(text.as_str().into()),
            Value::Jid(jid) => NodeValue::Jid(their_jid(jid)),
        };
        attrs.push_value(key.to_string(), value);
    }
    let content = match &node.content {
        Content::Absent => None,
        Content::Nodes(nodes) => Some(NodeContent::Nodes(nodes.iter().map(theirs).collect())),
        Content::Bytes(bytes) => Some(NodeContent::Bytes(bytes.to_vec())),
        Content::Text(text) => Some(NodeContent::String(text.as_str().into())),
        Content::Jid(jid) => Some(NodeContent::String(jid.to_string().into())),
    };
    Theirs { tag: Cow::Owned(node.tag.to_string()), attrs, content }
}

fn ours(node: &Theirs) -> Node {
    let attrs = node.attrs.iter().map(|(key, value)| {
        let value = match value {
            NodeValue::String(text) => Value::Text(text.as_str().into()),
            NodeValue::Jid(jid) => Value::Jid(
                Jid::new(jid.user.as_str(), Server::of(jid.server.as_str()))
                    .with_device(jid.device)
                    .with_integrator(jid.integrator),
            ),
        };
        (key.as_ref().into(), value)
    });
    let mut made = Node::new(node.tag.as_ref());
    made.attrs = attrs.collect();
    made.content = match &node.content {
        None => Content::Absent,
        Some(NodeContent::Nodes(nodes)) => Content::Nodes(nodes.iter().map(ours).collect()),
        Some(NodeContent::Bytes(bytes)) => Content::Bytes(bytes.clone().into()),
        Some(NodeContent::String(text)) => Content::Text(text.as_str().into()),
    };
    made
}

fn their_jid(jid: &Jid) -> wacore_binary::Jid {
    wacore_binary::Jid {
        user: jid.user().into(),
        server: TheirServer::try_from(jid.server().as_str()).expect("a server both know"),
        agent: 0,
        device: jid.device(),
        integrator: jid.integrator(),
    }
}

fn node(script: &mut Script<'_>, depth: usize) -> Node {
    let mut node = Node::new(some(text(script)));
    for _ in 0..script.below(5) {
        let key = some(text(script));
        if node.attr(&key).is_some() {
            continue;
        }
        let value = match script.below(3) {
            0 => Value::Jid(jid(script)),
            _ => Value::Text(text(script).into()),
        };
        node.attrs.push((key.into(), value));
    }
    node.content = match script.below(6) {
        0 => Content::Absent,
        1 => Content::Bytes(Bytes::copy_from_slice(script.piece())),
        2 => Content::Text(text(script).into()),
        3 => match jid(script) {
            jid if *jid.server() != Server::Interop => Content::Jid(jid),
            _ => Content::Absent,
        },
        _ if depth < 6 => Content::Nodes((0..script.below(4)).map(|_| self::node(script, depth + 1)).collect()),
        _ => Content::Absent,
    };
    node
}

/// A tag or key: neither is empty.
fn some(text: String) -> String {
    let text = text.replace('@', "");
    if text.is_empty() { "x".to_owned() } else { text }
}

fn jid(script: &mut Script<'_>) -> Jid {
    let user = text(script);
    let server = SERVERS[script.below(SERVERS.len())];
    let device = if script.below(2) == 0 { 0 } else { script.u16() };
    let integrator = if server == "interop" { script.u16() } else { 0 };
    let jid = Jid::new(user, Server::of(server)).with_device(device).with_integrator(integrator);
    if jid.is_readable() { jid } else { Jid::pn("15550100001") }
}

fn text(script: &mut Script<'_>) -> String {
    match script.below(4) {
        0 => TEXTS[script.below(TEXTS.len())].to_owned(),
        1 => script.short().iter().map(|byte| char::from(b"0123456789-."[usize::from(*byte) % 12])).collect(),
        2 => script.short().iter().map(|byte| char::from(b"0123456789ABCDEF"[usize::from(*byte) % 16])).collect(),
        _ => String::from_utf8_lossy(script.short()).into_owned(),
    }
}

const SERVERS: &[&str] = &[
    "s.whatsapp.net",
    "lid",
    "hosted",
    "hosted.lid",
    "g.us",
    "broadcast",
    "newsletter",
    "call",
    "bot",
    "msgr",
    "interop",
    "c.us",
];

const TEXTS: &[&str] = &[
    "message",
    "iq",
    "id",
    "to",
    "from",
    "type",
    "participant",
    "s.whatsapp.net",
    "g.us",
    "status@broadcast",
    "receipt",
    "retry",
    "15550100001@s.whatsapp.net",
    "15550100001:3@s.whatsapp.net",
    "1@lid",
    "1:2@lid",
    "5@g.us",
    "@",
    "a@b",
    "",
    "a",
    "AB",
    "1",
    "-",
    "..",
    "0",
    "encrypt",
    "usync",
    "urn:xmpp:whatsapp:push",
    "pkmsg",
    "xmlstreamend",
    "@lid",
    "1.2@s.whatsapp.net",
    "s.whatsapp.net@",
    "1:99@hosted",
    "300",
    "1:300@s.whatsapp.net",
    "7-1@interop",
    "1:7@msgr",
];
