//! How the parts of an entry are written: numbers in as few bytes as they need, bytes and texts behind their length.
//!
//! Knows no entry. Every form has one spelling, so that equal values give equal bytes.

use crate::types::{Jid, Server};
use bytes::{Buf as _, Bytes};

/// Appends values to a buffer.
pub(super) trait Put {
    fn number(&mut self, value: u64);
    fn signed(&mut self, value: i64);
    fn flag(&mut self, value: bool);
    fn blob(&mut self, value: &[u8]);
    fn text(&mut self, value: &str);
    fn maybe<T>(&mut self, value: Option<T>, put: impl FnOnce(&mut Self, T));
    fn jid(&mut self, value: &Jid);

    fn length(&mut self, value: usize) {
        self.number(u64::try_from(value).unwrap_or(u64::MAX));
    }
}

impl Put for Vec<u8> {
    fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.push(value as u8);
    }

    /// Small numbers of either sign are short.
    fn signed(&mut self, value: i64) {
        self.number(((value << 1) ^ (value >> 63)).cast_unsigned());
    }

    fn flag(&mut self, value: bool) {
        self.push(u8::from(value));
    }

    fn blob(&mut self, value: &[u8]) {
        self.length(value.len());
        self.extend_from_slice(value);
    }

    fn text(&mut self, value: &str) {
        self.blob(value.as_bytes());
    }

    fn maybe<T>(&mut self, value: Option<T>, put: impl FnOnce(&mut Self, T)) {
        self.flag(value.is_some());
        if let Some(value) = value {
            put(self, value);
        }
    }

    fn jid(&mut self, value: &Jid) {
        self.text(value.user());
        self.text(value.server().as_str());
        self.number(value.device().into());
        self.number(value.integrator().into());
    }
}

/// An entry does not say what it must; says what is wrong.
pub(super) type Malformed = &'static str;

/// Takes values off the front of an entry's body, without copying.
pub(super) struct Take(Bytes);

impl Take {
    pub(super) const fn new(body: Bytes) -> Self {
        Self(body)
    }

    /// Nothing may be left.
    pub(super) fn done(self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err("bytes are left over") }
    }

    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        self.0.try_get_u8().map_err(|_| SHORT)
    }

    pub(super) fn number(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 || shift > 0 && byte == 0 {
                return Err("a number is not in its shortest form");
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a number is too long")
    }

    pub(super) fn signed(&mut self) -> Result<i64, Malformed> {
        let value = self.number()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    pub(super) fn small<T: TryFrom<u64>>(&mut self) -> Result<T, Malformed> {
        T::try_from(self.number()?).map_err(|_| "a number is too large")
    }

    pub(super) fn flag(&mut self) -> Result<bool, Malformed> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err("a flag is neither set nor clear"),
        }
    }

    pub(super) fn blob(&mut self) -> Result<Bytes, Malformed> {
        let length: usize = self.small()?;
        if self.0.len() < length {
            return Err(SHORT);
        }
        Ok(self.0.split_to(length))
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let array = *self.0.first_chunk().ok_or(SHORT)?;
        self.0.advance(N);
        Ok(array)
    }

    pub(super) fn text(&mut self) -> Result<String, Malformed> {
        String::from_utf8(self.blob()?.into()).map_err(|_| "a text is not UTF-8")
    }

    pub(super) fn maybe<T>(
        &mut self,
        take: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        if self.flag()? { take(self).map(Some) } else { Ok(None) }
    }

    /// A list behind its length. Memory grows with what is there, not with what is claimed.
    pub(super) fn list<T>(
        &mut self,
        mut take: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let length: usize = self.small()?;
        let mut list = Vec::with_capacity(length.min(self.0.len()).min(1024));
        for _ in 0..length {
            list.push(take(self)?);
        }
        Ok(list)
    }

    pub(super) fn jid(&mut self) -> Result<Jid, Malformed> {
        let user = self.text()?;
        let server = Server::of(&self.text()?);
        Ok(Jid::new(user, server).with_device(self.small()?).with_integrator(self.small()?))
    }
}

const SHORT: Malformed = "it ends too soon";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_length_come_back_from_their_only_form() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut bytes = Vec::new();
            bytes.number(value);
            bytes.signed(value.cast_signed());
            let mut take = Take::new(bytes.into());
            assert_eq!((take.number(), take.signed()), (Ok(value), Ok(value.cast_signed())));
            assert_eq!(take.done(), Ok(()));
        }
        for bad in [&[0x80, 0][..], &[0xff; 10], &[0x80; 11], &[0x80]] {
            assert!(Take::new(Bytes::copy_from_slice(bad)).number().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn claimed_lengths_are_not_believed() {
        let mut bytes = Vec::new();
        bytes.number(u64::from(u32::MAX));
        assert_eq!(Take::new(bytes.clone().into()).blob(), Err(SHORT));
        assert_eq!(Take::new(bytes.into()).list(Take::byte), Err(SHORT));
    }

    #[test]
    fn addresses_come_back_as_they_were_even_odd_ones() {
        for jid in [Jid::pn("1").with_device(300), Jid::new("a@b:7", Server::Other("x y".into())), Jid::server_itself()]
        {
            let mut bytes = Vec::new();
            bytes.jid(&jid);
            assert_eq!(Take::new(bytes.into()).jid(), Ok(jid));
        }
    }
}
