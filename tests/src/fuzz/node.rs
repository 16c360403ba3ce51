//! The node codec and the stanza readers over it: what decodes encodes, and decodes to the same again.

use bytes::Bytes;
use whatsio_core::binary::{Content, DecodeLimits, Node, NodeRef, Role, Tape, Value};
use whatsio_core::stanza::Incoming;
use whatsio_core::types::Jid;

/// A frame, read as both sides of the connection would.
pub fn run(bytes: &[u8]) {
    let frame = Bytes::copy_from_slice(bytes);
    for role in [Role::Client, Role::Server] {
        check(&frame, role);
    }
}

fn check(frame: &Bytes, role: Role) {
    let mut limits = DecodeLimits::DEFAULT;
    limits.inflated = 1 << 16;
    let decoded = Tape::decode(frame, role, &limits);

    let mut tight = limits.clone();
    (tight.nodes, tight.attributes, tight.depth) = (8, 8, 4);
    if let Ok(tape) = Tape::decode(frame, role, &tight) {
        assert!(decoded.is_ok(), "limits let more through");
        let size = Size::of(&tape.root().to_node());
        assert!(size.nodes <= 8 && size.attributes <= 8 && size.depth <= 4, "limits are not kept");
    }

    let Ok(tape) = decoded else { return };
    let is_compressed = frame.first().is_some_and(|flags| flags & 2 != 0);
    if !is_compressed {
        assert!(tape.weight() <= 17 * frame.len() + 64, "{} for {}", tape.weight(), frame.len());
    }
    let node = tape.root().to_node();
    agree(tape.root(), &node);
    let _ = (node.redacted().to_string(), node.revealed().to_string(), format!("{node:?}"));
    let _ = Incoming::parse(&tape).map(|stanza| format!("{stanza:?}"));

    let written = match node.encode(role) {
        Ok(written) => Bytes::from(written),
        Err(error) => panic!("read, but not written: {error}"),
    };
    // What one side writes the other reads: addresses of one server have another form in each direction.
    let other = if role == Role::Client { Role::Server } else { Role::Client };
    let again = Tape::decode(&written, other, &DecodeLimits::DEFAULT).expect("what was written is read");
    let node_again = again.root().to_node();
    assert!(alike(&node, &node_again), "{}\n{}", node.revealed(), node_again.revealed());
    assert_eq!(node_again.encode(role).expect("written"), written, "there is one canonical form");
}

/// Whether two nodes are the same, but for a text as content that can be written as bytes only: it comes back as these.
fn alike(left: &Node, right: &Node) -> bool {
    let content = match (&left.content, &right.content) {
        (Content::Nodes(left), Content::Nodes(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| alike(left, right))
        }
        (Content::Text(text), Content::Bytes(bytes)) => text.as_bytes() == bytes,
        (left, right) => left == right,
    };
    left.tag == right.tag && left.attrs == right.attrs && content
}

/// Both readers of a tape say the same.
fn agree(read: NodeRef<'_>, node: &Node) {
    assert_eq!(read.tag(), node.tag.as_str());
    let attrs: Vec<_> = read.attrs().map(|(key, value)| (key, value.to_value())).collect();
    assert_eq!(attrs.len(), node.attrs.len());
    for ((key, value), (known_key, known_value)) in attrs.iter().zip(&node.attrs) {
        assert!(key == known_key.as_str() && value == known_value);
    }
    for ((_, value), (key, _)) in read.attrs().zip(&node.attrs) {
        assert_eq!(Some(value.text()), node.text(key));
        assert_eq!(value.jid(), node.jid(key));
        assert_eq!(value.number(), node.number(key));
        if let Value::Jid(jid) = value.to_value() {
            // Addresses are stored as text: what does not survive that is not taken for one.
            let survives = Jid::parse(&jid.to_string()).as_ref() == Ok(&jid);
            assert_eq!(value.jid().is_some(), survives, "{jid}");
        }
    }
    assert_eq!(read.bytes(), node.bytes());
    assert_eq!(read.content_text().as_deref(), node.content_text());
    assert_eq!(read.big_endian().is_some(), read.bytes().is_some_and(|bytes| (1..=4).contains(&bytes.len())));
    let children: Vec<_> = read.children().collect();
    assert_eq!(children.len(), node.children().len());
    for (child, known) in children.into_iter().zip(node.children()) {
        agree(child, known);
    }
}

struct Size {
    nodes: usize,
    attributes: usize,
    depth: usize,
}

impl Size {
    fn of(node: &Node) -> Self {
        let mut size = Self { nodes: 1, attributes: node.attrs.len(), depth: 1 };
        if let Content::Nodes(children) = &node.content {
            for child in children.iter().map(Self::of) {
                size.nodes += child.nodes;
                size.attributes += child.attributes;
                size.depth = size.depth.max(1 + child.depth);
            }
        }
        size
    }
}
