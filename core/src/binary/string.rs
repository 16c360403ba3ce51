//! A string as it stands in a frame: compared and measured without being unpacked.

use super::{Word, packed::Alphabet, token};
use std::borrow::Cow;

/// A checked string of a frame.
#[derive(Clone, Copy)]
pub(super) enum Str<'t> {
    Token(u16),
    Packed { alphabet: Alphabet, bytes: &'t [u8], len: usize },
    Raw(&'t [u8]),
}

impl<'t> Str<'t> {
    /// The text; unpacking a packed string allocates.
    pub(super) fn text(self) -> Cow<'t, str> {
        match self {
            Self::Token(token) => Cow::Borrowed(token::text(token)),
            Self::Packed { alphabet, bytes, len } => {
                let mut text = String::with_capacity(len);
                text.extend(alphabet.unpack(bytes, len).map(char::from));
                Cow::Owned(text)
            }
            // Checked when the frame was decoded.
            Self::Raw(bytes) => Cow::Borrowed(std::str::from_utf8(bytes).unwrap_or_default()),
        }
    }

    /// Lends the text without allocating; packed strings are at most 254 characters.
    pub(super) fn with_text<R>(self, run: impl FnOnce(&str) -> R) -> R {
        let mut buffer = [0_u8; 254];
        match self {
            Self::Packed { alphabet, bytes, len } => {
                for (place, character) in buffer.iter_mut().zip(alphabet.unpack(bytes, len)) {
                    *place = character;
                }
                run(buffer.get(..len).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default())
            }
            Self::Token(token) => run(token::text(token)),
            Self::Raw(bytes) => run(std::str::from_utf8(bytes).unwrap_or_default()),
        }
    }

    pub(super) fn is_empty(self) -> bool {
        match self {
            Self::Token(_) => false,
            Self::Packed { len, .. } => len == 0,
            Self::Raw(bytes) => bytes.is_empty(),
        }
    }

    /// Whether the text is `word`; one integer comparison where both are tokens.
    pub(super) fn is(self, word: Word) -> bool {
        match self {
            Self::Token(token) if word.token() != 0 => token == word.token(),
            Self::Token(_) => false,
            other => other.is_text(word.as_str()),
        }
    }

    pub(super) fn is_text(self, text: &str) -> bool {
        match self {
            Self::Token(token) => token::text(token) == text,
            Self::Packed { alphabet, bytes, len } => len == text.len() && alphabet.unpack(bytes, len).eq(text.bytes()),
            Self::Raw(bytes) => bytes == text.as_bytes(),
        }
    }

    /// The decimal number that the text is, without sign; `None` for anything else or beyond 64 bits.
    pub(super) fn number(self) -> Option<u64> {
        match self {
            Self::Packed { alphabet: Alphabet::Nibble, bytes, len } => decimal(Alphabet::Nibble.unpack(bytes, len)),
            Self::Packed { alphabet, bytes, len } => decimal(alphabet.unpack(bytes, len)),
            Self::Token(token) => decimal(token::text(token).bytes()),
            Self::Raw(bytes) => decimal(bytes.iter().copied()),
        }
    }
}

/// Equal if the texts are, however they are written.
impl PartialEq for Str<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (*self, *other) {
            // No text has two tokens.
            (Self::Token(left), Self::Token(right)) => left == right,
            (Self::Raw(left), Self::Raw(right)) => left == right,
            (left, right) => left.with_text(|text| right.is_text(text)),
        }
    }
}

fn decimal(digits: impl Iterator<Item = u8>) -> Option<u64> {
    let mut number: Option<u64> = None;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        let value = u64::from(digit - b'0');
        number = Some(number.unwrap_or(0).checked_mul(10)?.checked_add(value)?);
    }
    number
}
