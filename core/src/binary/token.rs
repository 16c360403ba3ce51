//! The dictionary, version 3, and words resolved in it at compile time.

/// A tag, key or constant value known when the program is compiled. Costs one or two bytes on the wire where the
/// dictionary has it; nothing is looked up at run time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Word {
    text: &'static str,
    token: u16,
}

impl Word {
    /// Resolves a text. Meant for constants: `const IQ: Word = Word::new("iq");`.
    #[must_use]
    pub const fn new(text: &'static str) -> Self {
        Self { text, token: find(text.as_bytes()) }
    }

    /// The text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.text
    }

    /// The number in the dictionary, or 0 where there is none.
    pub(super) const fn token(self) -> u16 {
        self.token
    }
}

impl std::fmt::Debug for Word {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.text)
    }
}

/// Tokens 1 to 235 travel as one byte, the rest as a table byte and an index.
pub(super) const FIRST_DOUBLE: u16 = 236;

/// Numbers in use: 0 stands for "no token", 235 single ones, four tables of 256.
const COUNT: usize = 236 + 4 * 256;

/// Bytes of the longest token.
const LONGEST: usize = 48;

/// Characters of the longest token that could be packed as digits; longer ones need not be looked up.
pub(super) const LONGEST_NIBBLE: usize = longest_nibble();

/// The text of a token; empty for numbers that are none.
pub(super) fn text(token: u16) -> &'static str {
    TOKENS.get(usize::from(token)).copied().unwrap_or("")
}

/// The number of a text, or 0.
pub(super) const fn find(text: &[u8]) -> u16 {
    if text.is_empty() || text.len() > LONGEST {
        return 0;
    }
    let mut slot = hash(text);
    loop {
        let token = slot_at(slot);
        if token == 0 || same(token_bytes(token), text) {
            return token;
        }
        slot = (slot + 1) & (SLOTS - 1);
    }
}

static TOKENS: [&str; COUNT] = parse(include_str!("tokens.txt"));

/// Open addressing, about a third full.
const SLOTS: usize = 4096;
static TABLE: [u16; SLOTS] = build();

#[expect(clippy::indexing_slicing, reason = "slots are masked to the table's size")]
const fn slot_at(slot: usize) -> u16 {
    TABLE[slot & (SLOTS - 1)]
}

#[expect(clippy::indexing_slicing, reason = "only numbers from the table come here, all below COUNT")]
const fn token_bytes(token: u16) -> &'static [u8] {
    TOKENS[token as usize].as_bytes()
}

/// One token a line, in the order of the dictionary, without its unused entry 0.
#[expect(clippy::indexing_slicing, reason = "runs at compile time, where a bad index is a compile error")]
const fn parse(mut lines: &'static str) -> [&'static str; COUNT] {
    let mut tokens = [""; COUNT];
    let mut token = 1;
    while token < COUNT {
        let mut end = 0;
        while lines.as_bytes()[end] != b'\n' {
            end += 1;
        }
        let (line, rest) = lines.split_at(end);
        tokens[token] = line;
        lines = rest.split_at(1).1;
        token += 1;
    }
    assert!(lines.is_empty(), "the list has more lines than the dictionary has tokens");
    tokens
}

#[expect(clippy::indexing_slicing, reason = "runs at compile time, where a bad index is a compile error")]
const fn build() -> [u16; SLOTS] {
    let mut table = [0_u16; SLOTS];
    let mut token = 1;
    while token < COUNT {
        let mut slot = hash(TOKENS[token].as_bytes());
        while table[slot] != 0 {
            slot = (slot + 1) & (SLOTS - 1);
        }
        table[slot] = token as u16;
        token += 1;
    }
    table
}

#[expect(clippy::indexing_slicing, reason = "runs at compile time, where a bad index is a compile error")]
const fn longest_nibble() -> usize {
    let mut longest = 0;
    let mut token = 1;
    while token < COUNT {
        let text = TOKENS[token].as_bytes();
        let mut at = 0;
        while at < text.len() && matches!(text[at], b'0'..=b'9' | b'-' | b'.') {
            at += 1;
        }
        if at == text.len() && at > longest {
            longest = at;
        }
        token += 1;
    }
    longest
}

/// FNV-1a, folded to the table's size.
#[expect(clippy::indexing_slicing, reason = "the index is below the length")]
const fn hash(text: &[u8]) -> usize {
    let mut state: u32 = 0x811C_9DC5;
    let mut at = 0;
    while at < text.len() {
        state = (state ^ text[at] as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    ((state ^ (state >> 15)) as usize) & (SLOTS - 1)
}

#[expect(clippy::indexing_slicing, reason = "the index is below both lengths")]
const fn same(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    let mut at = 0;
    while at < left.len() {
        if left[at] != right[at] {
            return false;
        }
        at += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_is_found_under_its_own_number() {
        for token in 1..COUNT as u16 {
            let text = text(token);
            assert!(!text.is_empty() && text.len() <= LONGEST, "{token}");
            assert_eq!(find(text.as_bytes()), token, "{text}");
        }
    }

    #[test]
    fn the_tables_begin_and_end_where_peers_have_them() {
        assert_eq!(text(1), "xmlstreamstart");
        assert_eq!(text(3), "s.whatsapp.net");
        assert_eq!(text(FIRST_DOUBLE), "read-self");
        assert_eq!(find(b"constructor"), 0);
        assert_eq!(find(b""), 0);
    }

    #[test]
    fn words_resolve_at_compile_time() {
        const IQ: Word = Word::new("iq");
        const FOREIGN: Word = Word::new("not-a-token");
        assert_eq!((IQ.token(), IQ.as_str()), (25, "iq"));
        assert_eq!(FOREIGN.token(), 0);
    }
}
