//! Whom a message is for, as people type it.

use crate::failure::Failure;
use whatsio_core::types::{Jid, Server};

/// Reads a phone number (digits, with the usual `+`, spaces, dashes and brackets) or a full address.
pub(crate) fn parse(text: &str) -> Result<Jid, Failure> {
    if text.contains('@') {
        return text.parse().map_err(|error: whatsio_core::types::JidError| bad(text, error.to_string()));
    }
    let digits: String = text.chars().filter(|c| !matches!(c, '+' | ' ' | '-' | '(' | ')')).collect();
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad(text, "a phone number has digits only".into()));
    }
    if !(5..=15).contains(&digits.len()) {
        return Err(bad(text, "a phone number has 5 to 15 digits, country code included".into()));
    }
    Ok(Jid::new(digits, Server::Whatsapp))
}

fn bad(text: &str, why: String) -> Failure {
    Failure::BadChat(text.to_owned(), why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_addresses_are_read() {
        for (text, jid) in [
            ("4915112345678", "4915112345678@s.whatsapp.net"),
            ("+49 151 1234-5678", "4915112345678@s.whatsapp.net"),
            ("120363012345678901@g.us", "120363012345678901@g.us"),
            ("123@lid", "123@lid"),
        ] {
            assert_eq!(parse(text).unwrap().to_string(), jid);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "alice", "123", "1234567890123456", "a@b@c", "@"] {
            assert!(matches!(parse(text), Err(Failure::BadChat(..))), "{text}");
        }
    }
}
