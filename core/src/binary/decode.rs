//! From a frame to a tape: one pass, every check, no recursion.

use super::{
    DecodeLimits, FLAG_COMPRESSED, MOST_DEPTH, Role,
    inflate::inflate,
    jid::RawJid,
    limits::LARGEST_BODY,
    packed::{self, Alphabet},
    stack::Stack,
    string::Str,
    tag,
    tape::{Entry, Kind},
    token::FIRST_DOUBLE,
};
use bytes::Bytes;

/// Why a frame is not a node. The connection may go on: framing and ciphers are not affected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the frame is not a node: {}", self.reason())]
#[non_exhaustive]
pub enum DecodeError {
    /// There is no flag byte.
    EmptyFrame,
    /// The compressed body is damaged or cut short.
    Zlib,
    /// Bytes follow the compressed body.
    ZlibTrailing,
    /// The body inflates beyond the limit.
    TooLargeInflated,
    /// The frame ends too early, or announces more than it can hold.
    Eof,
    /// A value of another type stands where a string or list must be, or a tag byte is unassigned.
    BadTag,
    /// A node has no parts.
    EmptyNode,
    /// A node's tag is the empty string.
    EmptyTag,
    /// A string that must be there is absent.
    MissingString,
    /// A packed string has a value outside its alphabet.
    BadNibble,
    /// A packed string has an odd length of zero bytes.
    BadPacked,
    /// An address has a domain that stands for no server.
    JidDomain,
    /// An address has a server that its layout does not allow.
    JidServer,
    /// A string is not UTF-8.
    Utf8,
    /// A node has the same attribute twice.
    DupAttr,
    /// Nodes are nested beyond the limit.
    Depth,
    /// The frame has more nodes or attributes than the limit.
    Budget,
    /// Bytes follow the node.
    Trailing,
}

impl DecodeError {
    /// The fixed word for this reason, for counters and logs.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::EmptyFrame => "empty-frame",
            Self::Zlib => "zlib",
            Self::ZlibTrailing => "zlib-trailing",
            Self::TooLargeInflated => "too-large-inflated",
            Self::Eof => "eof",
            Self::BadTag => "bad-tag",
            Self::EmptyNode => "empty-node",
            Self::EmptyTag => "empty-tag",
            Self::MissingString => "missing-string",
            Self::BadNibble => "bad-nibble",
            Self::BadPacked => "bad-packed",
            Self::JidDomain => "jid-domain",
            Self::JidServer => "jid-server",
            Self::Utf8 => "utf8",
            Self::DupAttr => "dup-attr",
            Self::Depth => "depth",
            Self::Budget => "budget",
            Self::Trailing => "trailing",
        }
    }
}

/// The node encoding inside a frame: the frame itself without its flag byte, or what it inflates to.
pub(super) fn body_of(frame: &Bytes, limits: &DecodeLimits) -> Result<Bytes, DecodeError> {
    let (flags, packed) = frame.split_first().ok_or(DecodeError::EmptyFrame)?;
    if flags & FLAG_COMPRESSED != 0 {
        return inflate(packed, limits.inflated.min(LARGEST_BODY)).map(Bytes::from);
    }
    if packed.len() > LARGEST_BODY {
        return Err(DecodeError::Budget);
    }
    Ok(frame.slice(1..))
}

/// Scans a whole node encoding.
pub(super) fn scan(body: &[u8], role: Role, limits: &DecodeLimits) -> Result<Vec<Entry>, DecodeError> {
    let mut scan = Scan {
        cursor: Cursor { body, at: 0 },
        role,
        nodes_left: limits.nodes,
        attributes_left: limits.attributes,
        depth: limits.depth.min(MOST_DEPTH),
        entries: Vec::with_capacity((body.len() / 4 + 16).min(MOST_RESERVED)),
    };
    scan.run()?;
    if scan.cursor.left() != 0 {
        return Err(DecodeError::Trailing);
    }
    Ok(scan.entries)
}

/// Entries reserved for a large frame before it is known to need them: it may be one blob.
const MOST_RESERVED: usize = 2048;

/// Bytes of the smallest node: list head, count, tag.
const SMALLEST_NODE: usize = 3;

/// Attributes up to which keys are compared pairwise.
const FEW_ATTRIBUTES: usize = 24;

struct Scan<'t> {
    cursor: Cursor<'t>,
    role: Role,
    nodes_left: u32,
    attributes_left: u32,
    depth: usize,
    entries: Vec<Entry>,
}

/// A node whose children are being read.
#[derive(Clone, Copy, Default)]
struct Level {
    entry: usize,
    children_left: usize,
}

impl Scan<'_> {
    fn run(&mut self) -> Result<(), DecodeError> {
        let mut open = Stack::<Level>::new();
        loop {
            if open.len() >= self.depth {
                return Err(DecodeError::Depth);
            }
            let entry = self.entries.len();
            let children = self.node()?;
            if children > 0 {
                open.push(Level { entry, children_left: children });
                continue;
            }
            self.close(entry);
            while let Some(level) = open.top() {
                level.children_left -= 1;
                if level.children_left > 0 {
                    break;
                }
                let entry = level.entry;
                self.close(entry);
                open.pop();
            }
            if open.is_empty() {
                return Ok(());
            }
        }
    }

    /// Writes down how far the subtree reaches, so that it can be skipped in one step.
    fn close(&mut self, entry: usize) {
        let size = self.entries.len() - entry;
        if let Some(entry) = self.entries.get_mut(entry) {
            entry.set_subtree(size);
        }
    }

    /// Reads one node up to its children and says how many follow.
    fn node(&mut self) -> Result<usize, DecodeError> {
        self.nodes_left = self.nodes_left.checked_sub(1).ok_or(DecodeError::Budget)?;
        let first = self.cursor.byte()?;
        let size = match first {
            tag::LIST_EMPTY => return Err(DecodeError::EmptyNode),
            _ => self.cursor.list(first)?,
        };
        if size == 0 {
            return Err(DecodeError::EmptyNode);
        }
        if size > self.cursor.left() {
            return Err(DecodeError::Eof);
        }
        let attributes = (size - 1) / 2;
        let spent = u32::try_from(attributes).map_err(|_| DecodeError::Budget)?;
        self.attributes_left = self.attributes_left.checked_sub(spent).ok_or(DecodeError::Budget)?;
        let head = self.entries.len();
        self.entries.push(Entry::node(attributes));
        let first = self.cursor.byte()?;
        let tag = self.cursor.string_entry(first)?;
        if tag.is_empty_string() {
            return Err(DecodeError::EmptyTag);
        }
        self.entries.push(tag);
        for _ in 0..attributes {
            let first = self.cursor.byte()?;
            let key = self.cursor.string_entry(first)?;
            let value = self.value()?;
            self.entries.push(key);
            self.entries.push(value);
        }
        self.check_keys(head, attributes)?;
        if size % 2 == 0 { self.content(head) } else { Ok(0) }
    }

    fn value(&mut self) -> Result<Entry, DecodeError> {
        let at = self.cursor.at;
        let first = self.cursor.byte()?;
        match first {
            tag::LIST_EMPTY => Ok(Entry::new(Kind::Raw, 0, at)),
            tag::INTEROP_JID..=tag::AD_JID | tag::JID_PAIR => self.jid(first, at),
            _ => self.cursor.string_entry(first),
        }
    }

    fn jid(&mut self, layout: u8, at: usize) -> Result<Entry, DecodeError> {
        RawJid::read(layout, &mut self.cursor, self.role)?;
        Ok(Entry::new(Kind::Jid, self.cursor.at - at, at))
    }

    fn content(&mut self, head: usize) -> Result<usize, DecodeError> {
        let at = self.cursor.at;
        let first = self.cursor.byte()?;
        let entry = match first {
            tag::LIST_EMPTY | tag::LIST_8 | tag::LIST_16 => {
                let children = if first == tag::LIST_EMPTY { 0 } else { self.cursor.list(first)? };
                if children * SMALLEST_NODE > self.cursor.left() {
                    return Err(DecodeError::Eof);
                }
                if children == 0
                    && let Some(entry) = self.entries.get_mut(head)
                {
                    entry.set_empty_list();
                }
                return Ok(children);
            }
            tag::BINARY_8..=tag::BINARY_32 => {
                let (at, len) = self.cursor.binary(first)?;
                Entry::new(Kind::Bytes, len, at)
            }
            tag::INTEROP_JID..=tag::AD_JID | tag::JID_PAIR => self.jid(first, at)?,
            _ => self.cursor.string_entry(first)?,
        };
        self.entries.push(entry);
        Ok(0)
    }

    fn check_keys(&self, head: usize, attributes: usize) -> Result<(), DecodeError> {
        let body = self.cursor.body;
        let (pairs, _) = self.entries.get(head + 2..).unwrap_or_default().as_chunks::<2>();
        if attributes <= FEW_ATTRIBUTES {
            return check_few_keys(pairs, body);
        }
        let mut texts: Vec<_> = pairs.iter().filter_map(|[key, _]| key.string(body)).map(Str::text).collect();
        texts.sort_unstable();
        let repeated = texts.iter().zip(texts.iter().skip(1)).any(|(left, right)| left == right);
        if repeated { Err(DecodeError::DupAttr) } else { Ok(()) }
    }
}

/// Most stanzas have tokens for keys, all different: one bit each tells without comparing them all.
fn check_few_keys(pairs: &[[Entry; 2]], body: &[u8]) -> Result<(), DecodeError> {
    let mut seen = 0_u64;
    let mut has_clash = false;
    for [key, _] in pairs {
        if key.kind() == Kind::Token {
            let bit = 1 << (key.at() % 64);
            has_clash |= seen & bit != 0;
            seen |= bit;
        }
    }
    for (index, [key, _]) in pairs.iter().enumerate() {
        if key.kind() == Kind::Token && !has_clash {
            continue;
        }
        let is_repeated = |(at, [other, _]): (usize, &[Entry; 2])| at != index && key.same_string(*other, body);
        if pairs.iter().enumerate().any(is_repeated) {
            return Err(DecodeError::DupAttr);
        }
    }
    Ok(())
}

/// A position in a node encoding. Every read checks what is left first.
pub(super) struct Cursor<'t> {
    pub(super) body: &'t [u8],
    pub(super) at: usize,
}

impl<'t> Cursor<'t> {
    const fn left(&self) -> usize {
        self.body.len() - self.at
    }

    pub(super) fn byte(&mut self) -> Result<u8, DecodeError> {
        let byte = *self.body.get(self.at).ok_or(DecodeError::Eof)?;
        self.at += 1;
        Ok(byte)
    }

    pub(super) fn short(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes([self.byte()?, self.byte()?]))
    }

    /// The count behind a list's head.
    fn list(&mut self, first: u8) -> Result<usize, DecodeError> {
        match first {
            tag::LIST_8 => self.byte().map(usize::from),
            tag::LIST_16 => self.short().map(usize::from),
            _ => Err(DecodeError::BadTag),
        }
    }

    /// Passes over bytes with a length in front; position and length.
    fn binary(&mut self, first: u8) -> Result<(usize, usize), DecodeError> {
        let len = match first {
            tag::BINARY_8 => usize::from(self.byte()?),
            // Three bytes, of which the upper four bits mean nothing.
            tag::BINARY_20 => usize::from(self.byte()? & 0x0F) << 16 | usize::from(self.short()?),
            _ => usize::from(self.short()?) << 16 | usize::from(self.short()?),
        };
        let at = self.at;
        if len > self.left() {
            return Err(DecodeError::Eof);
        }
        self.at += len;
        Ok((at, len))
    }

    /// The string behind its first byte.
    pub(super) fn string(&mut self, first: u8) -> Result<Str<'t>, DecodeError> {
        let entry = self.string_entry(first)?;
        entry.string(self.body).ok_or(DecodeError::BadTag)
    }

    fn string_entry(&mut self, first: u8) -> Result<Entry, DecodeError> {
        match first {
            tag::LIST_EMPTY => Err(DecodeError::MissingString),
            1..=tag::LAST_SINGLE => Ok(Entry::new(Kind::Token, 0, usize::from(first))),
            tag::DICTIONARY_0..=tag::DICTIONARY_3 => {
                let table = usize::from(first - tag::DICTIONARY_0) << 8;
                let index = usize::from(self.byte()?);
                Ok(Entry::new(Kind::Token, 0, usize::from(FIRST_DOUBLE) + table + index))
            }
            tag::BINARY_8..=tag::BINARY_32 => {
                let (at, len) = self.binary(first)?;
                let raw = self.body.get(at..at + len).unwrap_or_default();
                std::str::from_utf8(raw).map_err(|_| DecodeError::Utf8)?;
                Ok(Entry::new(Kind::Raw, len, at))
            }
            tag::NIBBLE_8 => self.packed(Alphabet::Nibble),
            tag::HEX_8 => self.packed(Alphabet::Hex),
            _ => Err(DecodeError::BadTag),
        }
    }

    fn packed(&mut self, alphabet: Alphabet) -> Result<Entry, DecodeError> {
        let head = self.byte()?;
        let odd = head & packed::ODD != 0;
        let len = usize::from(head & !packed::ODD);
        if odd && len == 0 {
            return Err(DecodeError::BadPacked);
        }
        let at = self.at;
        let bytes = self.body.get(at..at + len).ok_or(DecodeError::Eof)?;
        self.at += len;
        let characters = len * 2 - usize::from(odd);
        match alphabet {
            Alphabet::Nibble if !packed::is_nibble(bytes, odd) => Err(DecodeError::BadNibble),
            Alphabet::Nibble => Ok(Entry::new(Kind::Nibble, characters, at)),
            Alphabet::Hex => Ok(Entry::new(Kind::Hex, characters, at)),
        }
    }
}
