//! How values are written: tokens, packed and raw strings, addresses.

use super::{EncodeError, LONGEST, Writer};
use crate::binary::{
    Role, Word,
    packed::{Alphabet, Buffer, pack},
    tag, token,
};
use crate::types::{Jid, Server};
use bytes::BufMut;

impl Writer {
    pub(super) fn put_word(&mut self, word: Word) {
        match word.token() {
            0 => self.put_packed_or_raw(word.as_str().as_bytes()),
            token => self.put_token(token),
        }
    }

    fn put_token(&mut self, token: u16) {
        match token.checked_sub(token::FIRST_DOUBLE) {
            None => self.put_byte(token as u8),
            Some(double) => {
                let [table, index] = double.to_be_bytes();
                self.out.extend_from_slice(&[tag::DICTIONARY_0 + table, index]);
            }
        }
    }

    pub(super) fn put_text(&mut self, text: &str) {
        self.put_bytes_as_text(text.as_bytes());
    }

    pub(super) fn put_bytes_as_text(&mut self, text: &[u8]) {
        // Digits longer than any token need no lookup.
        if text.len() > token::LONGEST_NIBBLE && self.put_packed(text, Some(Alphabet::Nibble)) {
            return;
        }
        match token::find(text) {
            0 => self.put_packed_or_raw(text),
            token => self.put_token(token),
        }
    }

    fn put_packed_or_raw(&mut self, text: &[u8]) {
        if !self.put_packed(text, None) {
            self.put_binary(text);
        }
    }

    /// Writes a text packed, if it can be, in the alphabet `wanted` if one is.
    fn put_packed(&mut self, text: &[u8], wanted: Option<Alphabet>) -> bool {
        let mut buffer = [0; size_of::<Buffer>()];
        match pack(text, &mut buffer) {
            Some((alphabet, packed)) if wanted.is_none_or(|wanted| wanted == alphabet) => {
                let tag = if alphabet == Alphabet::Nibble { tag::NIBBLE_8 } else { tag::HEX_8 };
                self.put_byte(tag);
                self.out.extend_from_slice(packed);
                true
            }
            _ => false,
        }
    }

    /// `put_u8` of the buffer goes through a call that is not inlined.
    fn put_byte(&mut self, byte: u8) {
        self.out.extend_from_slice(&[byte]);
    }

    pub(super) fn put_binary(&mut self, bytes: &[u8]) {
        let Ok(len) = u32::try_from(bytes.len()) else {
            return self.fail(EncodeError::TooLong);
        };
        let [b3, b2, b1, b0] = len.to_be_bytes();
        match len {
            0..0x100 => self.out.extend_from_slice(&[tag::BINARY_8, b0]),
            0x100..0x10_0000 => self.out.extend_from_slice(&[tag::BINARY_20, b2, b1, b0]),
            // Beyond any frame: say so before the bytes are copied.
            _ if bytes.len() > LONGEST => return self.fail(EncodeError::TooLong),
            _ => self.out.extend_from_slice(&[tag::BINARY_32, b3, b2, b1, b0]),
        }
        self.out.extend_from_slice(bytes);
    }

    pub(super) fn put_jid(&mut self, jid: &Jid) {
        if (jid.integrator() != 0 && *jid.server() != Server::Interop)
            || (jid.user().is_empty() && (jid.device() != 0 || jid.integrator() != 0))
            || jid.server().as_str().is_empty()
        {
            return self.fail(EncodeError::BadJid);
        }
        let domain = match jid.server() {
            _ if jid.user().is_empty() => return self.put_jid_pair(jid),
            Server::Whatsapp | Server::Lid if jid.device() == 0 => return self.put_jid_pair(jid),
            Server::Whatsapp => 0,
            Server::Lid => 1,
            // Also for device 0, as the peer writes it that serves real hosted accounts.
            Server::Hosted => 128,
            Server::HostedLid => 129,
            Server::Messenger => {
                self.put_byte(tag::FB_JID);
                self.put_text(jid.user());
                self.out.put_u16(jid.device());
                return self.put_server(jid);
            }
            Server::Interop => return self.put_interop(jid),
            // No other server has a layout with a device; dropping it would address somebody else.
            _ if jid.device() != 0 => return self.fail(EncodeError::BadJid),
            _ => return self.put_jid_pair(jid),
        };
        let Ok(device) = u8::try_from(jid.device()) else {
            return self.fail(EncodeError::BadJid);
        };
        self.out.extend_from_slice(&[tag::AD_JID, domain, device]);
        self.put_text(jid.user());
    }

    fn put_jid_pair(&mut self, jid: &Jid) {
        self.put_byte(tag::JID_PAIR);
        if jid.user().is_empty() {
            self.put_byte(tag::LIST_EMPTY);
        } else {
            self.put_text(jid.user());
        }
        self.put_server(jid);
    }

    fn put_interop(&mut self, jid: &Jid) {
        self.put_byte(tag::INTEROP_JID);
        self.put_text(jid.user());
        self.out.put_u16(jid.device());
        self.out.put_u16(jid.integrator());
        // The web client reads four parts and writes three.
        if self.role == Role::Server {
            self.put_server(jid);
        }
    }

    fn put_server(&mut self, jid: &Jid) {
        // The servers that most addresses are on need no lookup.
        match jid.server() {
            Server::Whatsapp => self.put_word(const { Word::new("s.whatsapp.net") }),
            Server::Lid => self.put_word(const { Word::new("lid") }),
            Server::Group => self.put_word(const { Word::new("g.us") }),
            other => self.put_text(other.as_str()),
        }
    }
}
