//! Stanzas write themselves here, in canonical form, straight into the outgoing frame.

mod value;

use super::{Role, Word, stack::Stack, tag, token};
use crate::types::Jid;
use bytes::{BufMut, BytesMut};

/// Writes one stanza. Calls cannot fail: the first error is kept, everything after it is ignored, and
/// [`Writer::finish`] reports it.
///
/// Attributes of a node come before its children or content.
pub struct Writer {
    out: BytesMut,
    role: Role,
    open: Stack<Open>,
    /// Tokens of the keys written so far in the innermost node, and its keys that are no tokens.
    keys: Stack<u16>,
    other_keys: Vec<String>,
    error: Option<EncodeError>,
    has_root: bool,
}

/// An encoded stanza that is not yet sealed: three bytes kept free for the frame's length, the flag byte, the node; with
/// capacity left for the cipher's tag.
pub struct Plain(BytesMut);

/// Why a stanza cannot be encoded. All are mistakes of whoever built it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A tag is the empty string.
    #[error("a node has an empty tag")]
    EmptyTag,
    /// A node has the same attribute twice.
    #[error("a node has an attribute twice")]
    DuplicateKey,
    /// A node has more than 32,767 attributes.
    #[error("a node has too many attributes")]
    TooManyAttributes,
    /// A node has more than 65,535 children.
    #[error("a node has too many children")]
    TooManyChildren,
    /// Nodes are nested more than 128 deep.
    #[error("nodes are nested too deep")]
    TooDeep,
    /// The stanza is longer than a frame can be.
    #[error("the stanza does not fit a frame")]
    TooLong,
    /// An address has a device, integrator or server that cannot be written.
    #[error("an address cannot be written")]
    BadJid,
    /// Nodes are not closed, closed too often, or written out of order.
    #[error("nodes are not properly nested")]
    Unbalanced,
}

/// A node that is being written.
#[derive(Clone, Copy, Default)]
struct Open {
    /// Where its list head is.
    head: usize,
    attributes: usize,
    content: Inside,
}

#[derive(Clone, Copy, Default)]
enum Inside {
    #[default]
    Nothing,
    /// Where the list head is, whether it is LIST_16, and how many children there are.
    Children {
        head: usize,
        wide: bool,
        count: usize,
    },
    Leaf,
}

/// Bytes in front of a frame for its length.
const LENGTH_BYTES: usize = 3;

/// Bytes of the cipher's tag behind a frame.
const SEAL_BYTES: usize = 16;

/// Longest flag byte and node that a sealed frame can carry: 2^24 − 1 less the tag.
const LONGEST: usize = 0xFF_FFFF - SEAL_BYTES;

const MOST_ATTRIBUTES: usize = 32_767;

impl Writer {
    /// An empty stanza.
    #[must_use]
    pub fn new(role: Role) -> Self {
        Self::with_capacity(role, 240)
    }

    /// An empty stanza that can grow to about `bytes` without moving.
    #[must_use]
    pub fn with_capacity(role: Role, bytes: usize) -> Self {
        let mut out = BytesMut::with_capacity(LENGTH_BYTES + 1 + bytes + SEAL_BYTES);
        out.put_bytes(0, LENGTH_BYTES + 1);
        Self { out, role, open: Stack::new(), keys: Stack::new(), other_keys: Vec::new(), error: None, has_root: false }
    }

    /// Opens a node: the root, or the next child of the node that is open.
    pub fn open(&mut self, tag: Word) {
        if tag.as_str().is_empty() {
            return self.fail(EncodeError::EmptyTag);
        }
        if self.begin_node() {
            self.put_word(tag);
        }
    }

    /// Says that about `children` follow. Only matters above 255, where it saves moving them all when the node is closed.
    pub fn expect_children(&mut self, children: usize) {
        if children > 0xFF {
            self.list(children);
        }
    }

    /// Adds an attribute with a constant text.
    pub fn word(&mut self, key: Word, value: Word) {
        if self.begin_attribute(key) {
            self.put_word(value);
        }
    }

    /// Adds an attribute with a text.
    pub fn text(&mut self, key: Word, value: &str) {
        if self.begin_attribute(key) {
            self.put_text(value);
        }
    }

    /// Adds an attribute with an address.
    pub fn jid(&mut self, key: Word, value: &Jid) {
        if self.begin_attribute(key) {
            self.put_jid(value);
        }
    }

    /// Adds an attribute with a number.
    pub fn number(&mut self, key: Word, value: u64) {
        if self.begin_attribute(key) {
            let mut digits = [0_u8; 20];
            let mut begin = digits.len();
            let mut rest = value;
            for place in digits.iter_mut().rev() {
                *place = b'0' + (rest % 10) as u8;
                rest /= 10;
                begin -= 1;
                if rest == 0 {
                    break;
                }
            }
            self.put_bytes_as_text(digits.get(begin..).unwrap_or_default());
        }
    }

    /// Adds an attribute with a text, unless there is none.
    pub fn text_if(&mut self, key: Word, value: Option<&str>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    /// Adds an attribute with an address, unless there is none.
    pub fn jid_if(&mut self, key: Word, value: Option<&Jid>) {
        if let Some(value) = value {
            self.jid(key, value);
        }
    }

    /// Adds an attribute with a number, unless there is none.
    pub fn number_if(&mut self, key: Word, value: Option<u64>) {
        if let Some(value) = value {
            self.number(key, value);
        }
    }

    /// Makes bytes the content of the open node.
    pub fn content(&mut self, bytes: &[u8]) {
        if self.begin_leaf() {
            self.put_binary(bytes);
        }
    }

    /// Makes a text the content of the open node, with the dictionary or packed where possible.
    pub fn content_text(&mut self, text: &str) {
        if self.begin_leaf() {
            self.put_text(text);
        }
    }

    /// Makes an address the content of the open node.
    pub fn content_jid(&mut self, jid: &Jid) {
        if self.begin_leaf() {
            self.put_jid(jid);
        }
    }

    /// Writes a node that has a tag and bytes only.
    pub fn leaf(&mut self, tag: Word, bytes: &[u8]) {
        self.open(tag);
        self.content(bytes);
        self.close();
    }

    /// Closes the innermost open node.
    pub fn close(&mut self) {
        if self.error.is_some() {
            return;
        }
        let Some(node) = self.open.pop() else {
            return self.fail(EncodeError::Unbalanced);
        };
        let has_content = match node.content {
            Inside::Nothing => 0,
            Inside::Leaf => 1,
            Inside::Children { head, wide, count } => {
                self.patch_list(head, wide, count, EncodeError::TooManyChildren);
                1
            }
        };
        if node.attributes > MOST_ATTRIBUTES {
            return self.fail(EncodeError::TooManyAttributes);
        }
        self.patch_list(node.head, false, 1 + 2 * node.attributes + has_content, EncodeError::TooManyAttributes);
    }

    /// The finished stanza. Fails with the first mistake that was made, or if it is too long for a frame.
    pub fn finish(mut self) -> Result<Plain, EncodeError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        if !self.open.is_empty() || !self.has_root {
            return Err(EncodeError::Unbalanced);
        }
        if self.out.len() - LENGTH_BYTES > LONGEST {
            return Err(EncodeError::TooLong);
        }
        self.out.reserve(SEAL_BYTES);
        Ok(Plain(self.out))
    }

    pub(super) const fn depth(&self) -> usize {
        self.open.len()
    }

    pub(super) fn open_named(&mut self, tag: &str) {
        if tag.is_empty() {
            return self.fail(EncodeError::EmptyTag);
        }
        if self.begin_node() {
            self.put_text(tag);
        }
    }

    pub(super) fn named_text(&mut self, key: &str, value: &str) {
        if self.begin_named_attribute(key) {
            self.put_text(value);
        }
    }

    pub(super) fn named_jid(&mut self, key: &str, value: &Jid) {
        if self.begin_named_attribute(key) {
            self.put_jid(value);
        }
    }

    /// Begins the list of children, even of none.
    pub(super) fn list(&mut self, children: usize) {
        if self.error.is_some() {
            return;
        }
        let wide = children > 0xFF;
        let head = self.out.len();
        let Some(node) = self.open.top() else {
            return self.fail(EncodeError::Unbalanced);
        };
        if !matches!(node.content, Inside::Nothing) {
            return self.fail(EncodeError::Unbalanced);
        }
        node.content = Inside::Children { head, wide, count: 0 };
        self.out.extend_from_slice(if wide { &[tag::LIST_16, 0, 0] } else { &[tag::LIST_8, 0] });
    }

    pub(super) fn fail(&mut self, error: EncodeError) {
        self.error.get_or_insert(error);
    }

    /// Counts a new node in its parent and writes its list head; whether to go on.
    fn begin_node(&mut self) -> bool {
        if self.error.is_some() {
            return false;
        }
        let in_children = match self.open.top() {
            None if self.has_root => {
                self.fail(EncodeError::Unbalanced);
                return false;
            }
            None => {
                self.has_root = true;
                true
            }
            Some(parent) => matches!(parent.content, Inside::Children { .. }),
        };
        if !in_children {
            self.list(0);
        }
        if let Some(Open { content: Inside::Children { count, .. }, .. }) = self.open.top() {
            *count += 1;
        }
        if self.open.len() >= super::MOST_DEPTH {
            self.fail(EncodeError::TooDeep);
        }
        if self.error.is_some() {
            return false;
        }
        self.open.push(Open { head: self.out.len(), ..Open::default() });
        self.keys.clear();
        self.other_keys.clear();
        self.out.extend_from_slice(&[tag::LIST_8, 0]);
        true
    }

    fn begin_leaf(&mut self) -> bool {
        if self.error.is_some() {
            return false;
        }
        match self.open.top() {
            Some(node @ Open { content: Inside::Nothing, .. }) => {
                node.content = Inside::Leaf;
                true
            }
            _ => {
                self.fail(EncodeError::Unbalanced);
                false
            }
        }
    }

    fn begin_attribute(&mut self, key: Word) -> bool {
        if !self.count_attribute(key.token(), key.as_str()) {
            return false;
        }
        self.put_word(key);
        true
    }

    fn begin_named_attribute(&mut self, key: &str) -> bool {
        if !self.count_attribute(token::find(key.as_bytes()), key) {
            return false;
        }
        self.put_text(key);
        true
    }

    fn count_attribute(&mut self, token: u16, key: &str) -> bool {
        if self.error.is_some() {
            return false;
        }
        match self.open.top() {
            Some(node @ Open { content: Inside::Nothing, .. }) => node.attributes += 1,
            _ => {
                self.fail(EncodeError::Unbalanced);
                return false;
            }
        }
        let repeated = if token == 0 {
            self.other_keys.iter().any(|other| other == key)
        } else {
            self.keys.iter().any(|k| *k == token)
        };
        if repeated {
            self.fail(EncodeError::DuplicateKey);
            return false;
        }
        if token == 0 {
            self.other_keys.push(key.to_owned());
        } else {
            self.keys.push(token);
        }
        true
    }

    /// Writes the count of a list into its head, giving the head the width that the count needs.
    fn patch_list(&mut self, head: usize, wide: bool, count: usize, too_many: EncodeError) {
        let Ok(count) = u16::try_from(count) else {
            return self.fail(too_many);
        };
        let [high, low] = count.to_be_bytes();
        let (old, new): (usize, &[u8]) = match (wide, high) {
            // An empty list of children has a form of its own; nodes are never empty.
            (_, 0) if low == 0 => (if wide { 3 } else { 2 }, &[tag::LIST_EMPTY]),
            (_, 0) => (if wide { 3 } else { 2 }, &[tag::LIST_8, low]),
            (_, _) => (if wide { 3 } else { 2 }, &[tag::LIST_16, high, low]),
        };
        self.replace(head, old, new);
    }

    /// Replaces `old` bytes at `at`, moving what follows if the lengths differ.
    fn replace(&mut self, at: usize, old: usize, new: &[u8]) {
        let end = self.out.len();
        if new.len() > old {
            self.out.put_bytes(0, new.len() - old);
        }
        if new.len() != old && at + old <= end {
            self.out.copy_within(at + old..end, at + new.len());
        }
        if new.len() < old {
            self.out.truncate(end - (old - new.len()));
        }
        if let Some(place) = self.out.get_mut(at..at + new.len()) {
            place.copy_from_slice(new);
        }
    }
}

impl Plain {
    /// The flag byte and the node, without the space for the length.
    #[must_use]
    pub fn packed(&self) -> &[u8] {
        self.0.get(LENGTH_BYTES..).unwrap_or_default()
    }

    /// The buffer, for sealing in place: three free bytes, the flag byte, the node; at least 16 bytes can be added
    /// without moving it.
    #[must_use]
    pub fn into_buffer(self) -> BytesMut {
        self.0
    }
}

/// Says only how long it is.
impl std::fmt::Debug for Plain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Plain({} bytes)", self.packed().len())
    }
}
