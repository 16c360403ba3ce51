//! The name of an account inside a store.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Names an account in a store: chosen by the host, 1 to 100 of `A-Z a-z 0-9 . _ -`. Cloning is cheap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(Arc<str>);

/// The text is not an account id: empty, over 100 characters, or holds another character than `A-Z a-z 0-9 . _ -`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an account id is 1 to 100 of A-Z a-z 0-9 . _ -")]
pub struct InvalidAccountId;

const MAX_LENGTH: usize = 100;

impl AccountId {
    /// Takes `text` as an id; fails when it is empty, too long, or holds a character that is not allowed.
    pub fn new(text: &str) -> Result<Self, InvalidAccountId> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if text.is_empty() || text.len() > MAX_LENGTH || !text.bytes().all(allowed) {
            return Err(InvalidAccountId);
        }
        Ok(Self(text.into()))
    }

    /// The text of the id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AccountId {
    type Err = InvalidAccountId;

    fn from_str(text: &str) -> Result<Self, InvalidAccountId> {
        Self::new(text)
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccountId({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_plain_text_is_an_account_id() {
        for good in ["a", "A.b_c-9", &"x".repeat(100)] {
            assert_eq!(AccountId::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a/b", "é", "a\0", "a:b", &"x".repeat(101)] {
            assert_eq!(AccountId::new(bad), Err(InvalidAccountId), "{bad:?}");
        }
    }
}
