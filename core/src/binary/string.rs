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
            Self::Packed { alphabet, bytes, len } => Cow::Owned(alphabet.unpack(bytes, len, &mut [0; 254]).to_owned()),
            // Checked when the frame was decoded.
            Self::Raw(bytes) => Cow::Borrowed(std::str::from_utf8(bytes).unwrap_or_default()),
        }
    }

    /// Lends the text without allocating; packed strings are at most 254 characters.
    pub(super) fn with_text<R>(self, run: impl FnOnce(&str) -> R) -> R {
        match self {
            Self::Packed { alphabet, bytes, len } => run(alphabet.unpack(bytes, len, &mut [0; 254])),
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
            Self::Packed { alphabet, bytes, len } => {
                len == text.len() && alphabet.unpack(bytes, len, &mut [0; 254]) == text
            }
            Self::Raw(bytes) => bytes == text.as_bytes(),
        }
    }

    /// The decimal number that the text is, without sign; `None` for anything else or beyond 64 bits.
    pub(super) fn number(self) -> Option<u64> {
        match self {
            Self::Token(token) => decimal(token::text(token).as_bytes()),
            Self::Raw(bytes) => decimal(bytes),
            Self::Packed { .. } => self.with_text(|text| decimal(text.as_bytes())),
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
            (Self::Raw(raw), Self::Token(token)) | (Self::Token(token), Self::Raw(raw)) => {
                raw == token::text(token).as_bytes()
            }
            (left, right) => left.with_text(|text| right.is_text(text)),
        }
    }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let value = digit.checked_sub(b'0').filter(|value| *value <= 9)?;
        number.checked_mul(10)?.checked_add(value.into())
    })
}
