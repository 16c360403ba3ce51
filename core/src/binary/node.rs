//! The owned tree: for nodes of any shape, for tests and for inspection. Stanzas of known shape do not pass through it.

use super::{EncodeError, MOST_DEPTH, Redacted, Revealed, Role, Writer};
use crate::types::Jid;
use bytes::Bytes;
use smol_str::SmolStr;
use std::borrow::Cow;

/// A node as a value. `Debug` is redacted.
#[derive(Clone, PartialEq, Eq)]
pub struct Node {
    /// The tag; an empty one cannot be encoded.
    pub tag: SmolStr,
    /// Keys and values, in order; a repeated key cannot be encoded.
    pub attrs: Vec<(SmolStr, Value)>,
    /// What is inside.
    pub content: Content,
}

/// The value of an attribute.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// A text; never taken for an address, whatever it looks like.
    Text(SmolStr),
    /// An address.
    Jid(Jid),
}

/// What is inside a node.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum Content {
    /// Nothing.
    #[default]
    Absent,
    /// Nodes. An empty list means the same as [`Content::Absent`] but is written differently.
    Nodes(Vec<Node>),
    /// Bytes, written as they are.
    Bytes(Bytes),
    /// A text, written with the dictionary or packed where possible.
    Text(SmolStr),
    /// An address.
    Jid(Jid),
}

impl Node {
    /// A node without attributes or content.
    #[must_use]
    pub fn new(tag: impl Into<SmolStr>) -> Self {
        Self { tag: tag.into(), attrs: Vec::new(), content: Content::Absent }
    }

    /// Adds an attribute.
    #[must_use]
    pub fn with(mut self, key: impl Into<SmolStr>, value: impl Into<Value>) -> Self {
        self.attrs.push((key.into(), value.into()));
        self
    }

    /// Adds an attribute, unless there is no value.
    #[must_use]
    pub fn with_some(self, key: impl Into<SmolStr>, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// Adds a child; content that is not nodes is replaced.
    #[must_use]
    pub fn with_child(mut self, child: Self) -> Self {
        match &mut self.content {
            Content::Nodes(nodes) => nodes.push(child),
            other => *other = Content::Nodes(vec![child]),
        }
        self
    }

    /// Adds children; content that is not nodes is replaced.
    #[must_use]
    pub fn with_children(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        match &mut self.content {
            Content::Nodes(nodes) => nodes.extend(children),
            other => *other = Content::Nodes(children.into_iter().collect()),
        }
        self
    }

    /// Makes bytes the content.
    #[must_use]
    pub fn with_bytes(mut self, bytes: impl Into<Bytes>) -> Self {
        self.content = Content::Bytes(bytes.into());
        self
    }

    /// Makes a text the content.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<SmolStr>) -> Self {
        self.content = Content::Text(text.into());
        self
    }

    /// The value of the attribute `key`.
    #[must_use]
    pub fn attr(&self, key: &str) -> Option<&Value> {
        self.attrs.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The attribute `key` as text; an address in its canonical text form.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<Cow<'_, str>> {
        self.attr(key).map(|value| match value {
            Value::Text(text) => Cow::Borrowed(text.as_str()),
            Value::Jid(jid) => Cow::Owned(jid.to_string()),
        })
    }

    /// The attribute `key` as an address, whether it is one or the text of one. `None` also for one that is not
    /// [readable](Jid::is_readable).
    #[must_use]
    pub fn jid(&self, key: &str) -> Option<Jid> {
        match self.attr(key)? {
            Value::Text(text) => Jid::parse(text).ok(),
            Value::Jid(jid) => Some(jid).filter(|jid| jid.is_readable()).cloned(),
        }
    }

    /// The attribute `key` as a decimal number without sign.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<u64> {
        match self.attr(key)? {
            Value::Text(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
            _ => None,
        }
    }

    /// The first child with the tag `tag`.
    #[must_use]
    pub fn child(&self, tag: &str) -> Option<&Self> {
        self.children().iter().find(|child| child.tag == tag)
    }

    /// The children; none if the content is something else.
    #[must_use]
    pub fn children(&self) -> &[Self] {
        match &self.content {
            Content::Nodes(nodes) => nodes,
            _ => &[],
        }
    }

    /// The children with the tag `tag`.
    pub fn children_named(&self, tag: &str) -> impl Iterator<Item = &Self> {
        self.children().iter().filter(move |child| child.tag == tag)
    }

    /// The content as bytes; a text gives its bytes.
    #[must_use]
    pub fn bytes(&self) -> Option<Bytes> {
        match &self.content {
            Content::Bytes(bytes) => Some(bytes.clone()),
            Content::Text(text) => Some(Bytes::copy_from_slice(text.as_bytes())),
            _ => None,
        }
    }

    /// The content as text: a text, or bytes that are UTF-8.
    #[must_use]
    pub fn content_text(&self) -> Option<&str> {
        match &self.content {
            Content::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            Content::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The frame in canonical form: flag byte 0 and the node. Fails as [`Writer::finish`] does.
    pub fn encode(&self, role: Role) -> Result<Vec<u8>, EncodeError> {
        let mut writer = Writer::new(role);
        self.write(&mut writer);
        Ok(writer.finish()?.packed().to_vec())
    }

    /// Writes this node into a stanza, as its root or as a child of the node that is open.
    pub fn write(&self, writer: &mut Writer) {
        if writer.depth() >= MOST_DEPTH {
            return writer.fail(EncodeError::TooDeep);
        }
        writer.open_named(&self.tag);
        for (key, value) in &self.attrs {
            match value {
                Value::Text(text) => writer.named_text(key, text),
                Value::Jid(jid) => writer.named_jid(key, jid),
            }
        }
        match &self.content {
            Content::Absent => {}
            Content::Nodes(nodes) => {
                writer.list(nodes.len());
                for node in nodes {
                    node.write(writer);
                }
            }
            Content::Bytes(bytes) => writer.content(bytes),
            Content::Text(text) => writer.content_text(text),
            Content::Jid(jid) => writer.content_jid(jid),
        }
        writer.close();
    }

    /// The node as text for logs: without contents, names and whole addresses.
    #[must_use]
    pub const fn redacted(&self) -> Redacted<'_> {
        Redacted(self)
    }

    /// The node as text with everything in it. For inspection by whoever owns the account; never for logs.
    #[must_use]
    pub const fn revealed(&self) -> Revealed<'_> {
        Revealed(self)
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.redacted())
    }
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Absent => f.write_str("Absent"),
            Self::Nodes(nodes) => f.debug_list().entries(nodes).finish(),
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Jid(jid) => jid.fmt(f),
        }
    }
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Jid(jid) => jid.fmt(f),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<SmolStr> for Value {
    fn from(text: SmolStr) -> Self {
        Self::Text(text)
    }
}

impl From<Jid> for Value {
    fn from(jid: Jid) -> Self {
        Self::Jid(jid)
    }
}

impl From<&Jid> for Value {
    fn from(jid: &Jid) -> Self {
        Self::Jid(jid.clone())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Text(smol_str::format_smolstr!("{number}"))
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::from(u64::from(number))
    }
}
