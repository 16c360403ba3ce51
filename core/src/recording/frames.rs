//! Entries one behind the other: where each ends, and whether it is still what was written.
//!
//! ```text
//! entry   kind u8, length of the body (varint), body, check (4)
//! check   the first bytes of SHA-256(state ‖ kind ‖ length ‖ body); the whole of it is the state for the next entry
//! ```
//!
//! Knows no entry but by number. The check finds accidents and tells where they are; who wants to be safe from people
//! seals what is written here.

use super::ReadError;
use super::wire::Put as _;
use bytes::{Buf as _, Bytes, BytesMut};
use sha2::{Digest, Sha256};

/// A longer entry was not written by a recorder: the longest hold the records of one load.
pub const LONGEST_ENTRY: usize = 64 << 20;

/// The kind that every recording begins with.
pub(super) const BEGIN: u8 = 1;

const CHECK: usize = 4;

/// What the check of the next entry starts from.
#[derive(Clone)]
struct State([u8; 32]);

impl State {
    /// Nothing before the first entry counts.
    fn first(label: &'static [u8]) -> Self {
        Self(Sha256::digest(label).into())
    }

    fn after(&mut self, head: &[u8], body: &[u8]) -> [u8; CHECK] {
        self.0 = Sha256::new().chain_update(self.0).chain_update(head).chain_update(body).finalize().into();
        self.0.first_chunk().copied().unwrap_or_default()
    }
}

/// Writes entries.
pub(super) struct Framer {
    label: &'static [u8],
    state: State,
}

impl Framer {
    pub(super) fn new(label: &'static [u8]) -> Self {
        Self { label, state: State::first(label) }
    }

    /// Appends one entry to `out`. One that `starts` depends on nothing before it.
    pub(super) fn put(&mut self, out: &mut Vec<u8>, kind: u8, starts: bool, body: &[u8]) {
        if starts {
            self.state = State::first(self.label);
        }
        let begin = out.len();
        out.push(kind);
        out.length(body.len());
        let check = self.state.after(out.get(begin..).unwrap_or_default(), body);
        out.extend_from_slice(body);
        out.extend_from_slice(&check);
    }
}

/// Reads entries from bytes that come in any pieces.
pub(super) struct Deframer {
    label: &'static [u8],
    starting: u8,
    state: State,
    buffer: BytesMut,
    number: u64,
    failed: Option<ReadError>,
}

impl Deframer {
    /// Entries of the kind `starting` depend on nothing before them.
    pub(super) fn new(label: &'static [u8], starting: u8) -> Self {
        Self { label, starting, state: State::first(label), buffer: BytesMut::new(), number: 0, failed: None }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes of an entry that has not come whole.
    pub(super) fn left_over(&self) -> usize {
        self.buffer.len()
    }

    /// The number of the next entry; the first is 0.
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// The next whole entry as `parse` reads it, which is told its number, kind and body. An error is final: nothing behind
    /// it can be trusted.
    pub(super) fn read<T>(
        &mut self,
        parse: impl FnOnce(u64, u8, Bytes) -> Result<T, ReadError>,
    ) -> Result<Option<T>, ReadError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let entry = self.number;
        let read = self.next().and_then(|found| match found {
            None => Ok(None),
            Some((kind, _)) if entry == 0 && kind != BEGIN => Err(ReadError::NotBegun),
            Some((kind, body)) => parse(entry, kind, body).map(Some),
        });
        self.failed = read.as_ref().err().cloned();
        read
    }

    /// The next whole entry: its kind and body.
    fn next(&mut self) -> Result<Option<(u8, Bytes)>, ReadError> {
        let entry = self.number;
        let Some((head, length)) = self.head()? else { return Ok(None) };
        if self.buffer.len() < head + length + CHECK {
            return Ok(None);
        }
        let head = self.buffer.split_to(head);
        let body = self.buffer.split_to(length).freeze();
        let kind = head.first().copied().unwrap_or_default();
        if kind == self.starting {
            self.state = State::first(self.label);
        }
        let found: Option<[u8; CHECK]> = self.buffer.first_chunk().copied();
        self.buffer.advance(CHECK);
        if found != Some(self.state.after(&head, &body)) {
            return Err(ReadError::Altered { entry });
        }
        self.number += 1;
        Ok(Some((kind, body)))
    }

    /// Lengths of the head and of the body, once the head is there.
    fn head(&self) -> Result<Option<(usize, usize)>, ReadError> {
        let entry = self.number;
        let mut length = 0_usize;
        for (at, byte) in self.buffer.iter().skip(1).take(LENGTH_BYTES).enumerate() {
            length |= usize::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                return if length > LONGEST_ENTRY {
                    Err(ReadError::TooLong { entry })
                } else {
                    Ok(Some((at + 2, length)))
                };
            }
        }
        if self.buffer.len() > LENGTH_BYTES { Err(ReadError::TooLong { entry }) } else { Ok(None) }
    }
}

/// Four times seven bits hold every length that is taken.
const LENGTH_BYTES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn written() -> Vec<u8> {
        let (mut framer, mut out) = (Framer::new(b"test"), Vec::new());
        framer.put(&mut out, 1, true, b"begin");
        framer.put(&mut out, 2, false, &[7; 300]);
        framer.put(&mut out, 3, false, b"");
        out
    }

    fn read(bytes: &[u8], piece: usize) -> (Vec<(u8, Bytes)>, Option<ReadError>, usize) {
        let (mut deframer, mut entries) = (Deframer::new(b"test", 1), Vec::new());
        for piece in bytes.chunks(piece) {
            deframer.push(piece);
            loop {
                match deframer.next() {
                    Ok(Some(entry)) => entries.push(entry),
                    Ok(None) => break,
                    Err(error) => return (entries, Some(error), deframer.left_over()),
                }
            }
        }
        (entries, None, deframer.left_over())
    }

    #[test]
    fn entries_come_back_however_they_are_cut() {
        for piece in [1, 2, 7, 1000] {
            let (entries, error, left) = read(&written(), piece);
            assert_eq!((entries.len(), error, left), (3, None, 0));
            assert_eq!(entries[1], (2, Bytes::from(vec![7; 300])));
        }
    }

    #[test]
    fn every_changed_bit_is_noticed_at_its_entry() {
        let whole = written();
        let (first, second) = (5 + 2 + 4, 5 + 2 + 4 + 300 + 3 + 4);
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut changed = whole.clone();
                changed[at] ^= 1 << bit;
                let (entries, error, left) = read(&changed, 1000);
                let of = usize::from(at >= first) + usize::from(at >= second);
                assert_eq!(entries.len(), of, "byte {at}, bit {bit}");
                assert!(error.is_some() || left > 0, "byte {at}, bit {bit}");
            }
        }
    }

    #[test]
    fn claimed_length_beyond_the_limit_is_refused_before_it_is_waited_for() {
        assert!(matches!(read(&[2, 0xff, 0xff, 0xff, 0x7f], 1).1, Some(ReadError::TooLong { entry: 0 })));
        assert!(matches!(read(&[2, 0xff, 0xff, 0xff, 0xff, 1], 1).1, Some(ReadError::TooLong { entry: 0 })));
    }
}
