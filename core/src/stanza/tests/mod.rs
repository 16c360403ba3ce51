//! Outgoing stanzas are compared with nodes, incoming ones made from nodes; several of both come from the recorded
//! frames of other clients.

mod linking;
mod messages;
mod news;
mod passkey;
mod receipts;
mod requests;

use super::*;
use crate::binary::{Content, DecodeLimits, Node, Plain, Role, Tape};
use crate::types::{Jid, MessageId, Server};
use bytes::Bytes;
use serde_json::Value as Json;

fn tape(node: &Node) -> Tape {
    let frame = Bytes::from(node.encode(Role::Server).unwrap());
    Tape::decode(&frame, Role::Client, &DecodeLimits::DEFAULT).unwrap()
}

fn incoming(node: &Node) -> Incoming {
    Incoming::parse(&tape(node)).unwrap()
}

fn node_of(plain: &Plain) -> Node {
    let frame = Bytes::copy_from_slice(plain.packed());
    Tape::decode(&frame, Role::Server, &DecodeLimits::DEFAULT).unwrap().root().to_node()
}

fn written(stanza: &impl Stanza) -> Node {
    node_of(&stanza.plain().unwrap())
}

fn asked(request: &impl Request) -> Node {
    node_of(&request.plain("1.2-3").unwrap())
}

/// The recorded frame `name`.
fn recorded(name: &str) -> Tape {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/vectors/wire.json");
    let extra = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/vectors/wire-extra.json");
    for file in [file, extra] {
        let file: Json = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        let entry = file["vectors"].as_array().unwrap().iter().find(|entry| entry["name"] == name);
        if let Some(entry) = entry {
            let frame = Bytes::from(hex::decode(entry["hex"].as_str().unwrap()).unwrap());
            return Tape::decode(&frame, Role::Client, &DecodeLimits::DEFAULT).unwrap();
        }
    }
    panic!("no frame {name}")
}

/// Attributes have no order.
fn sorted(mut node: Node) -> Node {
    node.attrs.sort_by(|(left, _), (right, _)| left.cmp(right));
    if let Content::Nodes(nodes) = &mut node.content {
        *nodes = std::mem::take(nodes).into_iter().map(sorted).collect();
    }
    node
}

#[track_caller]
fn assert_same(found: Node, expected: Node) {
    let (found, expected) = (sorted(found), sorted(expected));
    assert!(found == expected, "{}\ninstead of\n{}", found.revealed(), expected.revealed());
}

/// The recorded frame with the id that [`asked`] uses.
fn recorded_request(name: &str) -> Node {
    let mut node = recorded(name).root().to_node();
    for (key, value) in &mut node.attrs {
        if key == "id" {
            *value = "1.2-3".into();
        }
    }
    node
}

fn iq(id: &str, kind: &str) -> Node {
    Node::new("iq").with("id", id).with("type", kind).with("from", Jid::server_itself())
}

fn address(class: &str, id: &str, from: Jid) -> ReturnAddress {
    ReturnAddress { class: class.into(), id: id.into(), from, participant: None, recipient: None, kind: None }
}

fn signed() -> PublicSignedPreKey {
    PublicSignedPreKey { id: 0x01_02_03, key: [7; 32], signature: [8; 64] }
}

fn signed_node() -> Node {
    Node::new("skey")
        .with_child(Node::new("id").with_bytes(vec![1, 2, 3]))
        .with_child(Node::new("value").with_bytes(vec![7; 32]))
        .with_child(Node::new("signature").with_bytes(vec![8; 64]))
}

fn key_node(id: u8, key: u8) -> Node {
    Node::new("key")
        .with_child(Node::new("id").with_bytes(vec![0, 0, id]))
        .with_child(Node::new("value").with_bytes(vec![key; 32]))
}
