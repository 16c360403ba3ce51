//! Names that people choose for themselves, to be known by without a phone number.
//!
//! A username finds nobody on the wire: stanzas are addressed to LIDs and phone numbers, and say which name goes with them.

use smol_str::SmolStr;

/// The name a user has chosen, without `@`. `Display` is the name as it was stated, `Debug` is redacted.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Username(SmolStr);

impl Username {
    /// Takes a name as the server states it. `None` for what cannot be one: nothing, more than 64 bytes, white space,
    /// control characters, or an `@` anywhere but in front. The server's own rules are stricter and its to keep.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let name = text.strip_prefix('@').unwrap_or(text);
        let is_odd = |c: char| c.is_whitespace() || c.is_control() || c == '@';
        if name.is_empty() || name.len() > MOST_BYTES || name.contains(is_odd) {
            return None;
        }
        Some(Self(name.into()))
    }

    /// The name as it was stated.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form in which names are compared: upper and lower case do not tell two people apart.
    #[must_use]
    pub fn folded(&self) -> String {
        self.0.to_lowercase()
    }
}

/// The server allows 35 characters; more than enough for what it may allow later.
const MOST_BYTES: usize = 64;

impl std::fmt::Display for Username {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names stay out of logs.
impl std::fmt::Debug for Username {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Username(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_at_sign_and_compare_without_case() {
        let name = Username::parse("@Ann.Lee_7").unwrap();
        assert_eq!(name.as_str(), "Ann.Lee_7");
        assert_eq!(name.folded(), Username::parse("ann.lee_7").unwrap().folded());
        assert_eq!(format!("{name:?}"), "Username(..)");
    }

    #[test]
    fn what_cannot_be_a_name_is_none() {
        for odd in ["", "@", "a b", "a\n", "a@lid", &"a".repeat(65)] {
            assert_eq!(Username::parse(odd), None, "{odd:?}");
        }
    }
}
