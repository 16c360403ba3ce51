//! A decoded frame: a flat list of eight-byte entries over the frame's bytes.

use super::{DecodeError, DecodeLimits, NodeRef, Role, Word, decode, packed::Alphabet, string::Str};
use bytes::Bytes;

/// A decoded frame. Owns the frame's bytes and one list of eight-byte entries; strings stay as they came until asked for.
pub struct Tape {
    pub(super) body: Bytes,
    pub(super) entries: Vec<Entry>,
    pub(super) role: Role,
}

impl Tape {
    /// Decodes a frame (flag byte and body, after decryption), checking everything that reading it relies on. Bytes of
    /// the frame are shared, not copied; a compressed one is inflated first.
    pub fn decode(frame: &Bytes, role: Role, limits: &DecodeLimits) -> Result<Self, DecodeError> {
        let body = decode::body_of(frame, limits)?;
        let entries = decode::scan(&body, role, limits)?;
        Ok(Self { body, entries, role })
    }

    /// The frame's node.
    #[must_use]
    pub const fn root(&self) -> NodeRef<'_> {
        NodeRef::new(self, 0)
    }

    /// Bytes of memory that keeping this costs, the frame included.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.body.len() + self.entries.capacity() * size_of::<Entry>()
    }

    pub(super) fn entry(&self, index: usize) -> Option<Entry> {
        self.entries.get(index).copied()
    }
}

/// Redacted, as [`NodeRef`] is.
impl std::fmt::Debug for Tape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.root().fmt(f)
    }
}

/// One element: a node's head, its tag, a key, a value, or content that is not nodes.
///
/// A node is its head, its tag, twice its number of attributes, then its content or its children's entries.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    /// Kind in the upper eight bits, size in the others.
    head: u32,
    at: u32,
}

/// What an entry is; size and place mean different things for each.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// Size: attributes, and a bit for "empty list". Place: entries of the subtree.
    Node,
    /// Place: number of the token.
    Token,
    /// Size: characters. Place: where the packed bytes begin.
    Nibble,
    /// As `Nibble`.
    Hex,
    /// Size: bytes. Place: where they begin. A string.
    Raw,
    /// As `Raw`, but not a string: content.
    Bytes,
    /// Size: bytes with the tag byte. Place: the tag byte.
    Jid,
}

const SIZE_BITS: u32 = 24;
const SIZE_MASK: u32 = (1 << SIZE_BITS) - 1;
const EMPTY_LIST: u32 = 1 << 23;

impl Entry {
    /// Sizes and places fit, since no body is longer than 2^24 bytes.
    pub(super) const fn new(kind: Kind, size: usize, at: usize) -> Self {
        Self { head: (kind as u32) << SIZE_BITS | (size as u32 & SIZE_MASK), at: at as u32 }
    }

    pub(super) const fn node(attributes: usize) -> Self {
        Self::new(Kind::Node, attributes, 0)
    }

    pub(super) const fn set_subtree(&mut self, entries: usize) {
        self.at = entries as u32;
    }

    pub(super) const fn set_empty_list(&mut self) {
        self.head |= EMPTY_LIST;
    }

    pub(super) const fn is_empty_list(self) -> bool {
        self.head & EMPTY_LIST != 0
    }

    pub(super) const fn attributes(self) -> usize {
        (self.head & SIZE_MASK & !EMPTY_LIST) as usize
    }

    pub(super) const fn kind(self) -> Kind {
        match self.head >> SIZE_BITS {
            0 => Kind::Node,
            1 => Kind::Token,
            2 => Kind::Nibble,
            3 => Kind::Hex,
            4 => Kind::Raw,
            5 => Kind::Bytes,
            _ => Kind::Jid,
        }
    }

    pub(super) const fn size(self) -> usize {
        (self.head & SIZE_MASK) as usize
    }

    pub(super) const fn at(self) -> usize {
        self.at as usize
    }

    pub(super) fn is_empty_string(self) -> bool {
        !matches!(self.kind(), Kind::Token) && self.size() == 0
    }

    /// The string that this is, if it is one.
    pub(super) fn string(self, body: &[u8]) -> Option<Str<'_>> {
        let packed = |alphabet| {
            let bytes = body.get(self.at()..self.at() + self.size().div_ceil(2))?;
            Some(Str::Packed { alphabet, bytes, len: self.size() })
        };
        match self.kind() {
            Kind::Token => u16::try_from(self.at).ok().map(Str::Token),
            Kind::Nibble => packed(Alphabet::Nibble),
            Kind::Hex => packed(Alphabet::Hex),
            Kind::Raw => body.get(self.at()..self.at() + self.size()).map(Str::Raw),
            Kind::Node | Kind::Bytes | Kind::Jid => None,
        }
    }

    /// Whether this is a string with the text of `word`.
    pub(super) fn is(self, word: Word, body: &[u8]) -> bool {
        match self.kind() {
            Kind::Token => self.at == u32::from(word.token()),
            Kind::Raw => self.size() == word.as_str().len() && self.string(body).is_some_and(|string| string.is(word)),
            _ => self.string(body).is_some_and(|string| string.is(word)),
        }
    }

    /// Whether two strings have the same text.
    pub(super) fn same_string(self, other: Self, body: &[u8]) -> bool {
        match (self.kind(), other.kind()) {
            // No text has two tokens.
            (Kind::Token, Kind::Token) => self.at == other.at,
            (Kind::Raw, Kind::Raw) if self.size() != other.size() => false,
            _ => self.string(body) == other.string(body),
        }
    }
}
