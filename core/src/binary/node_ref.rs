//! Reading a tape: nodes, their attributes and content, borrowed.

use super::{
    Content, Node, Tape, Value, Word,
    decode::Cursor,
    jid::RawJid,
    string::Str,
    tape::{Entry, Kind},
};
use crate::types::Jid;
use bytes::Bytes;
use std::borrow::Cow;

/// A node of a [`Tape`]. As cheap to copy as a reference.
#[derive(Clone, Copy)]
pub struct NodeRef<'t> {
    tape: &'t Tape,
    index: usize,
}

/// The value of an attribute: a text or an address.
#[derive(Clone, Copy)]
pub struct ValueRef<'t> {
    tape: &'t Tape,
    entry: Entry,
}

impl<'t> NodeRef<'t> {
    pub(super) const fn new(tape: &'t Tape, index: usize) -> Self {
        Self { tape, index }
    }

    /// Whether the tag is `tag`.
    #[must_use]
    pub fn is(self, tag: Word) -> bool {
        self.tape.entry(self.index + 1).is_some_and(|entry| entry.is(tag, &self.tape.body))
    }

    /// The tag.
    #[must_use]
    pub fn tag(self) -> Cow<'t, str> {
        self.tag_entry().map_or(Cow::Borrowed(""), Str::text)
    }

    /// The value of the attribute `key`.
    #[must_use]
    pub fn attr(self, key: Word) -> Option<ValueRef<'t>> {
        let [_, value] = self.pairs().iter().find(|[name, _]| name.is(key, &self.tape.body))?;
        Some(ValueRef { tape: self.tape, entry: *value })
    }

    /// All attributes, in the order in which they came.
    pub fn attrs(self) -> impl Iterator<Item = (Cow<'t, str>, ValueRef<'t>)> {
        self.attributes().map(|(key, value)| (key.text(), value))
    }

    /// The attribute `key` as text; an address in its canonical text form.
    #[must_use]
    pub fn text(self, key: Word) -> Option<Cow<'t, str>> {
        self.attr(key).map(ValueRef::text)
    }

    /// The attribute `key` as an address, whether it came as one or as its text; `None` also for a text that is none.
    #[must_use]
    pub fn jid(self, key: Word) -> Option<Jid> {
        self.attr(key)?.jid()
    }

    /// The attribute `key` as a decimal number without sign; `None` also for a text that is none.
    #[must_use]
    pub fn number(self, key: Word) -> Option<u64> {
        self.attr(key)?.number()
    }

    /// Whether the attribute `key` is there and has the text `value`.
    #[must_use]
    pub fn has(self, key: Word, value: Word) -> bool {
        self.attr(key).is_some_and(|found| found.is(value))
    }

    /// The first child with the tag `tag`.
    #[must_use]
    pub fn child(self, tag: Word) -> Option<Self> {
        self.children().find(|child| child.is(tag))
    }

    /// The children, in order; none if the content is something else.
    #[must_use]
    pub fn children(self) -> Children<'t> {
        let end = self.index + self.head().map_or(0, Entry::at);
        Children { tape: self.tape, next: self.content_index(), end }
    }

    /// The children with the tag `tag`, in order.
    pub fn children_named(self, tag: Word) -> impl Iterator<Item = Self> {
        self.children().filter(move |child| child.is(tag))
    }

    /// The content as bytes: a slice of the frame, shared. A string gives the bytes of its text; `None` for nodes, an
    /// address or no content.
    #[must_use]
    pub fn bytes(self) -> Option<Bytes> {
        let entry = self.content_entry()?;
        match entry.kind() {
            Kind::Bytes | Kind::Raw => Some(self.tape.body.slice(entry.at()..entry.at() + entry.size())),
            _ => match entry.string(&self.tape.body)?.text() {
                Cow::Borrowed(text) => Some(Bytes::copy_from_slice(text.as_bytes())),
                Cow::Owned(text) => Some(Bytes::from(text)),
            },
        }
    }

    /// The content as exactly `N` bytes; `None` also for any other length.
    #[must_use]
    pub fn array<const N: usize>(self) -> Option<[u8; N]> {
        let entry = self.content_entry()?;
        match entry.kind() {
            Kind::Bytes => {
                let bytes = self.tape.body.get(entry.at()..entry.at() + entry.size())?;
                bytes.try_into().ok()
            }
            _ => self.bytes()?.as_ref().try_into().ok(),
        }
    }

    /// The content as a big-endian number of at most four bytes, as ids of keys travel.
    #[must_use]
    pub fn big_endian(self) -> Option<u32> {
        let bytes = self.bytes()?;
        if bytes.is_empty() || bytes.len() > 4 {
            return None;
        }
        Some(bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }

    /// The content as text: a string, or bytes that are UTF-8.
    #[must_use]
    pub fn content_text(self) -> Option<Cow<'t, str>> {
        let entry = self.content_entry()?;
        match entry.kind() {
            Kind::Bytes => {
                let bytes = self.tape.body.get(entry.at()..entry.at() + entry.size())?;
                std::str::from_utf8(bytes).ok().map(Cow::Borrowed)
            }
            _ => entry.string(&self.tape.body).map(Str::text),
        }
    }

    /// The content as an address, whether it came as one or as its text.
    #[must_use]
    pub fn content_jid(self) -> Option<Jid> {
        let entry = self.content_entry()?;
        if entry.kind() == Kind::Jid {
            return ValueRef { tape: self.tape, entry }.jid();
        }
        Jid::parse(&self.content_text()?).ok()
    }

    /// The same node as a tree of its own.
    #[must_use]
    pub fn to_node(self) -> Node {
        Node {
            tag: self.tag().into(),
            attrs: self.attrs().map(|(key, value)| (key.into(), value.to_value())).collect(),
            content: self.to_content(),
        }
    }

    /// Recursion is bounded: a tape is at most 128 nodes deep.
    fn to_content(self) -> Content {
        let Some(entry) = self.content_entry() else {
            let nodes: Vec<_> = self.children().map(Self::to_node).collect();
            let is_list = !nodes.is_empty() || self.head().is_some_and(Entry::is_empty_list);
            return if is_list { Content::Nodes(nodes) } else { Content::Absent };
        };
        match entry.kind() {
            Kind::Bytes => self.bytes().map_or(Content::Absent, Content::Bytes),
            Kind::Jid => ValueRef { tape: self.tape, entry }.typed_jid().map_or(Content::Absent, Content::Jid),
            _ => self.content_text().map_or(Content::Absent, |text| Content::Text(text.into())),
        }
    }

    fn head(self) -> Option<Entry> {
        self.tape.entry(self.index)
    }

    fn tag_entry(self) -> Option<Str<'t>> {
        self.tape.entry(self.index + 1)?.string(&self.tape.body)
    }

    fn content_index(self) -> usize {
        self.index + 2 + 2 * self.head().map_or(0, Entry::attributes)
    }

    /// The content, unless it is absent or nodes.
    fn content_entry(self) -> Option<Entry> {
        let at = self.content_index();
        if at >= self.index + self.head()?.at() {
            return None;
        }
        self.tape.entry(at).filter(|entry| entry.kind() != Kind::Node)
    }

    /// Keys and values.
    fn pairs(self) -> &'t [[Entry; 2]] {
        self.tape.entries.get(self.index + 2..self.content_index()).unwrap_or_default().as_chunks::<2>().0
    }

    fn attributes(self) -> impl Iterator<Item = (Str<'t>, ValueRef<'t>)> {
        let tape = self.tape;
        self.pairs().iter().filter_map(move |[key, value]| {
            let key = key.string(&tape.body)?;
            Some((key, ValueRef { tape, entry: *value }))
        })
    }
}

impl<'t> ValueRef<'t> {
    /// Whether this is the text `word`.
    #[must_use]
    pub fn is(self, word: Word) -> bool {
        self.entry.is(word, &self.tape.body)
    }

    /// The text; of an address, its canonical text form.
    #[must_use]
    pub fn text(self) -> Cow<'t, str> {
        match self.string() {
            Some(string) => string.text(),
            None => Cow::Owned(self.typed_jid().map(|jid| jid.to_string()).unwrap_or_default()),
        }
    }

    /// The address, whether it came as one or as its text. `None` also for one that could not be stored: its parts hold
    /// what no address has, and its text would be no address or somebody else's.
    #[must_use]
    pub fn jid(self) -> Option<Jid> {
        match self.string() {
            Some(string) => string.with_text(Jid::parse).ok(),
            None => self.typed_jid().filter(Jid::is_readable),
        }
    }

    /// The decimal number, without sign.
    #[must_use]
    pub fn number(self) -> Option<u64> {
        self.string()?.number()
    }

    /// The same value on its own.
    #[must_use]
    pub fn to_value(self) -> Value {
        match self.string() {
            Some(string) => Value::Text(string.text().into()),
            None => self.typed_jid().map_or(Value::Text("".into()), Value::Jid),
        }
    }

    fn string(self) -> Option<Str<'t>> {
        self.entry.string(&self.tape.body)
    }

    fn typed_jid(self) -> Option<Jid> {
        if self.entry.kind() != Kind::Jid {
            return None;
        }
        let mut cursor = Cursor { body: &self.tape.body, at: self.entry.at() };
        let layout = cursor.byte().ok()?;
        RawJid::read(layout, &mut cursor, self.tape.role).ok().map(|raw| raw.to_jid())
    }
}

/// The children of a node; see [`NodeRef::children`].
#[derive(Clone)]
pub struct Children<'t> {
    tape: &'t Tape,
    next: usize,
    end: usize,
}

impl<'t> Iterator for Children<'t> {
    type Item = NodeRef<'t>;

    fn next(&mut self) -> Option<NodeRef<'t>> {
        if self.next >= self.end {
            return None;
        }
        let head = self.tape.entry(self.next).filter(|entry| entry.kind() == Kind::Node)?;
        let node = NodeRef::new(self.tape, self.next);
        self.next += head.at();
        Some(node)
    }
}

/// Redacted: contents and names stay out of logs. See [`Node::revealed`] for inspection.
impl std::fmt::Debug for NodeRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.to_node().redacted())
    }
}

/// Redacted, as [`NodeRef`] is.
impl std::fmt::Debug for ValueRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.to_value().fmt(f)
    }
}
