//! Ids that a client makes up: of messages, and of requests on one connection.
//!
//! Takes time and randomness as arguments; where ids are remembered is not its business.

use sha2::{Digest, Sha256};
use smol_str::{SmolStr, format_smolstr};
use std::fmt::Write;

/// The id of a message: chosen by its sender, unique per sending user.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(SmolStr);

impl MessageId {
    /// Wraps the text of an id.
    #[must_use]
    pub fn new(text: impl Into<SmolStr>) -> Self {
        Self(text.into())
    }

    /// An id of the form that web clients make: `3EB0` and 18 upper-case hex digits. `own_user` is the user part of the
    /// own phone-number address, `None` before linking.
    #[must_use]
    pub fn for_web(unix_seconds: u64, own_user: Option<&str>, random: &[u8; 16]) -> Self {
        let mut hash = Sha256::new();
        hash.update(unix_seconds.to_be_bytes());
        if let Some(user) = own_user {
            hash.update(user);
            hash.update("@c.us");
        }
        hash.update(random);
        let mut id = String::with_capacity(22);
        id.push_str("3EB0");
        for byte in hash.finalize().iter().take(9) {
            // Writing to a String cannot fail.
            let _ = write!(id, "{byte:02X}");
        }
        Self(id.into())
    }

    /// An id of the form that Messenger clients make: time above 22 random bits, in decimal.
    #[must_use]
    pub fn for_messenger(unix_millis: u64, random: u32) -> Self {
        const RANDOM_BITS: u32 = 22;
        let random = u64::from(random) & ((1 << RANDOM_BITS) - 1);
        Self(format_smolstr!("{}", (unix_millis << RANDOM_BITS) | random))
    }

    /// The text of the id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for MessageId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::fmt::Debug for MessageId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MessageId({})", self.0)
    }
}

/// Makes the ids of requests (`a.b-n`), unique on one connection; they pack as digits.
#[derive(Clone, Debug)]
pub struct RequestIds {
    first: u16,
    second: u16,
    next: u64,
}

impl RequestIds {
    /// Starts a series with two random numbers, drawn once per client.
    #[must_use]
    pub const fn new(first: u16, second: u16) -> Self {
        Self { first, second, next: 1 }
    }

    /// The next id of the series.
    pub fn next_id(&mut self) -> SmolStr {
        let id = format_smolstr!("{}.{}-{}", self.first, self.second, self.next);
        self.next += 1;
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_count_up_from_one() {
        let mut ids = RequestIds::new(123, 45);
        assert_eq!(ids.next_id(), "123.45-1");
        assert_eq!(ids.next_id(), "123.45-2");
    }
}
