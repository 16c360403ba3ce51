//! Nodes as text for people: a form for logs that hides what is personal, and one that hides nothing.

use super::{Content, Node, Value, token};
use std::fmt::{Display, Formatter, Result};

/// Displays a node without contents, names and whole addresses; see [`Node::redacted`].
#[derive(Clone, Copy)]
pub struct Redacted<'n>(pub(super) &'n Node);

/// Displays a node with everything in it; see [`Node::revealed`].
#[derive(Clone, Copy)]
pub struct Revealed<'n>(pub(super) &'n Node);

impl Display for Redacted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write_node(self.0, f, 0, false)
    }
}

impl Display for Revealed<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write_node(self.0, f, 0, true)
    }
}

impl std::fmt::Debug for Redacted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write_node(self.0, f, 0, false)
    }
}

/// Redacted all the same: what `{:?}` prints ends up in logs.
impl std::fmt::Debug for Revealed<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write_node(self.0, f, 0, false)
    }
}

/// Keys whose values say nothing about people.
const HARMLESS_KEYS: [&str; 24] = [
    "id",
    "t",
    "v",
    "type",
    "xmlns",
    "class",
    "code",
    "count",
    "reason",
    "error",
    "offline",
    "version",
    "name_type",
    "edit",
    "mode",
    "context",
    "index",
    "last",
    "sid",
    "stage",
    "ts",
    "value",
    "mediatype",
    "decrypt-fail",
];

/// Depth at which text stops: deeper trees cannot have come from or go to a peer.
const DEEPEST: usize = super::MOST_DEPTH;

fn write_node(node: &Node, f: &mut Formatter<'_>, depth: usize, reveal: bool) -> Result {
    let indent = depth * 2;
    write!(f, "{:indent$}<{}", "", node.tag)?;
    for (key, value) in &node.attrs {
        write!(f, " {key}=")?;
        write_value(key, value, f, reveal)?;
    }
    match &node.content {
        Content::Absent => f.write_str("/>"),
        Content::Nodes(_) if depth >= DEEPEST => f.write_str(">…"),
        Content::Nodes(nodes) => {
            f.write_str(">")?;
            for child in nodes {
                f.write_str("\n")?;
                write_node(child, f, depth + 1, reveal)?;
            }
            if !nodes.is_empty() {
                write!(f, "\n{:indent$}", "")?;
            }
            write!(f, "</{}>", node.tag)
        }
        Content::Bytes(bytes) if reveal => {
            f.write_str(">0x")?;
            for byte in bytes {
                write!(f, "{byte:02x}")?;
            }
            write!(f, "</{}>", node.tag)
        }
        Content::Bytes(bytes) => write!(f, ">({} bytes)</{}>", bytes.len(), node.tag),
        Content::Text(text) if reveal => write!(f, ">{}</{}>", text.escape_debug(), node.tag),
        Content::Text(text) => write!(f, ">({} characters)</{}>", text.len(), node.tag),
        Content::Jid(jid) if reveal => write!(f, ">{jid}</{}>", node.tag),
        Content::Jid(jid) => write!(f, ">{jid:?}</{}>", node.tag),
    }
}

fn write_value(key: &str, value: &Value, f: &mut Formatter<'_>, reveal: bool) -> Result {
    match value {
        Value::Jid(jid) if reveal => write!(f, "{jid}"),
        Value::Jid(jid) => write!(f, "{jid:?}"),
        Value::Text(text) if reveal || is_harmless(key, text) => write!(f, "\"{}\"", text.escape_debug()),
        Value::Text(text) => write!(f, "({} characters)", text.len()),
    }
}

/// Words of the dictionary are the protocol's, not a person's. Servers send some addresses as plain text, so a text
/// with an `@` is never harmless.
fn is_harmless(key: &str, text: &str) -> bool {
    token::find(text.as_bytes()) != 0 || (HARMLESS_KEYS.contains(&key) && !text.contains('@'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Jid;

    fn stanza() -> Node {
        Node::new("message")
            .with("id", "3EB0AA")
            .with("from", Jid::pn("15551234567").with_device(3))
            .with("participant", "15557654321@s.whatsapp.net")
            .with("notify", "Ada Lovelace")
            .with_child(Node::new("enc").with("type", "msg").with_bytes(vec![0xAB, 0xCD]))
            .with_child(Node::new("body").with_text("good morning"))
    }

    #[test]
    fn redacted_form_shows_shape_but_no_person_and_no_content() {
        let text = stanza().redacted().to_string();
        assert_eq!(text, format!("{:?}", stanza()));
        for secret in ["1555123", "1555765", "Ada", "abcd", "morning"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
        assert!(text.contains("id=\"3EB0AA\"") && text.contains("<enc type=\"msg\">(2 bytes)</enc>"), "{text}");
    }

    #[test]
    fn revealed_form_shows_everything_and_its_debug_form_nothing() {
        let node = stanza();
        let text = node.revealed().to_string();
        assert!(text.contains("from=15551234567:3@s.whatsapp.net") && text.contains("0xabcd") && text.contains("Ada"));
        assert_eq!(format!("{:?}", node.revealed()), node.redacted().to_string());
    }
}
