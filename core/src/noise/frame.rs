//! What is glued together on the socket: a preamble, then frames of a three-byte length and as many bytes. Messages of
//! the WebSocket have nothing to do with frames, so both directions are one stream. Knows nothing of what frames hold.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

/// `WA`, protocol generation 6, dictionary version 3: sent once per connection and mixed into the handshake. The
/// edge-routing preamble in front of it is not part of the prologue.
pub const PROLOGUE: [u8; 4] = [0x57, 0x41, 0x06, 0x03];

/// Bytes of the length in front of a frame.
pub const LENGTH: usize = 3;

/// Largest payload that the three bytes can name.
pub const FRAME_LIMIT: usize = 0xFF_FFFF;

/// Largest frame taken before the handshake is done. Real handshake messages stay below 1 KiB.
pub const HANDSHAKE_LIMIT: usize = 64 * 1024;

/// Most that is reserved because a length announces it; beyond, memory follows the bytes that really arrive.
const RESERVE_LIMIT: usize = 64 * 1024;

const EDGE_ROUTING: [u8; 4] = [b'E', b'D', 0x00, 0x01];

/// Why a stream of frames cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A frame, or routing information, is longer than allowed.
    #[error("{length} bytes where {limit} are allowed")]
    TooLong {
        /// Announced or given length.
        length: usize,
        /// What is allowed.
        limit: usize,
    },
    /// A frame without content. Nobody sends one.
    #[error("empty frame")]
    Empty,
    /// The stream does not begin with a preamble of this protocol and dictionary version.
    #[error("unknown preamble")]
    UnknownPreamble,
}

/// What a client sends once in front of its first frame.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Preamble {
    /// Opaque routing information learnt in an earlier session.
    pub routing: Option<Bytes>,
}

impl Preamble {
    /// The bytes: edge routing if there is any, then [`PROLOGUE`]. Fails with `TooLong` for routing information beyond
    /// three bytes of length.
    pub fn write(&self) -> Result<BytesMut, FrameError> {
        let routing = self.routing.as_deref().unwrap_or_default();
        let mut out = BytesMut::with_capacity(EDGE_ROUTING.len() + LENGTH + routing.len() + PROLOGUE.len());
        if !routing.is_empty() {
            out.put_slice(&EDGE_ROUTING);
            out.put_slice(&length_of(routing.len())?);
            out.put_slice(routing);
        }
        out.put_slice(&PROLOGUE);
        Ok(out)
    }
}

/// Cuts a byte stream into frames. Holds at most what was pushed and not yet taken.
#[derive(Debug)]
pub struct Deframer {
    buffer: BytesMut,
    limit: usize,
}

impl Default for Deframer {
    fn default() -> Self {
        Self::new()
    }
}

impl Deframer {
    /// An empty stream that takes frames up to [`HANDSHAKE_LIMIT`].
    #[must_use]
    pub fn new() -> Self {
        Self { buffer: BytesMut::new(), limit: HANDSHAKE_LIMIT }
    }

    /// Allows frames up to [`FRAME_LIMIT`]; call when the handshake is done.
    pub const fn handshake_done(&mut self) {
        self.limit = FRAME_LIMIT;
    }

    /// Allows frames up to `limit` bytes.
    pub const fn limit_to(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Appends bytes as they came from the socket. Copies them unless nothing is waiting and `chunk` is not shared.
    pub fn push(&mut self, chunk: Bytes) {
        if !self.buffer.is_empty() {
            return self.buffer.extend_from_slice(&chunk);
        }
        self.buffer = chunk.try_into_mut().unwrap_or_else(|shared| BytesMut::from(shared.as_ref()));
    }

    /// The next complete frame without its length, or `None` until more bytes are pushed. Fails with `TooLong` or
    /// `Empty`; the stream is then useless and every further call fails alike.
    pub fn next_frame(&mut self) -> Result<Option<BytesMut>, FrameError> {
        let Some(&[high, middle, low]) = self.buffer.first_chunk() else { return Ok(None) };
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        if length == 0 {
            return Err(FrameError::Empty);
        }
        if length > self.limit {
            return Err(FrameError::TooLong { length, limit: self.limit });
        }
        let missing = (LENGTH + length).saturating_sub(self.buffer.len());
        if missing > 0 {
            self.buffer.reserve(missing.min(RESERVE_LIMIT));
            return Ok(None);
        }
        let mut frame = self.buffer.split_to(LENGTH + length);
        frame.advance(LENGTH);
        Ok(Some(frame))
    }

    /// Takes the preamble off the front, or `None` until more bytes are pushed: the server's first step. Fails with
    /// `UnknownPreamble`, or `TooLong` for routing information that no handshake frame could carry.
    pub fn preamble(&mut self) -> Result<Option<Preamble>, FrameError> {
        let mut rest: &[u8] = &self.buffer;
        let mut routing = None;
        if rest.first() == EDGE_ROUTING.first() {
            let Some(after) = strip(rest, &EDGE_ROUTING)? else { return Ok(None) };
            let Some((&[high, middle, low], body)) = after.split_first_chunk() else { return Ok(None) };
            let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
            if length > HANDSHAKE_LIMIT {
                return Err(FrameError::TooLong { length, limit: HANDSHAKE_LIMIT });
            }
            let Some((information, after)) = body.split_at_checked(length) else { return Ok(None) };
            routing = Some(Bytes::copy_from_slice(information));
            rest = after;
        }
        let Some(rest) = strip(rest, &PROLOGUE)? else { return Ok(None) };
        let read = self.buffer.len() - rest.len();
        self.buffer.advance(read);
        Ok(Some(Preamble { routing }))
    }

    /// Bytes pushed and not yet taken as frames.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.buffer.len()
    }
}

/// Puts the length in front of `payload`. Fails with `Empty` or `TooLong`.
pub fn framed(payload: &[u8]) -> Result<Bytes, FrameError> {
    let length = length_of(payload.len())?;
    let mut out = BytesMut::with_capacity(LENGTH + payload.len());
    out.put_slice(&length);
    out.put_slice(payload);
    Ok(out.freeze())
}

/// The three bytes that announce `length`. Fails with `Empty` or `TooLong`.
pub fn length_of(length: usize) -> Result<[u8; LENGTH], FrameError> {
    if length == 0 {
        return Err(FrameError::Empty);
    }
    match u32::try_from(length).map(u32::to_be_bytes) {
        Ok([0, high, middle, low]) => Ok([high, middle, low]),
        _ => Err(FrameError::TooLong { length, limit: FRAME_LIMIT }),
    }
}

/// What follows `expected` in `bytes`; `None` while `bytes` is only a beginning of it.
fn strip<'b>(bytes: &'b [u8], expected: &[u8]) -> Result<Option<&'b [u8]>, FrameError> {
    let common = bytes.len().min(expected.len());
    if bytes.get(..common) != expected.get(..common) {
        return Err(FrameError::UnknownPreamble);
    }
    Ok(bytes.get(expected.len()..))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deframer(bytes: &[u8]) -> Deframer {
        let mut deframer = Deframer::new();
        deframer.push(Bytes::copy_from_slice(bytes));
        deframer
    }

    #[test]
    fn frame_longer_than_allowed_is_refused_before_its_bytes_arrive() {
        let mut deframer = deframer(&[0x01, 0x00, 0x01]);
        let refused = Err(FrameError::TooLong { length: 65_537, limit: HANDSHAKE_LIMIT });
        assert_eq!(deframer.next_frame(), refused);
        assert_eq!(deframer.next_frame(), refused);
        deframer.handshake_done();
        assert_eq!(deframer.next_frame(), Ok(None));
    }

    #[test]
    fn announced_length_alone_reserves_little() {
        let mut deframer = deframer(&[0xFF, 0xFF, 0xFF]);
        deframer.handshake_done();
        assert_eq!(deframer.next_frame(), Ok(None));
        assert!(deframer.buffer.capacity() <= 2 * RESERVE_LIMIT, "{}", deframer.buffer.capacity());
    }

    #[test]
    fn empty_frame_is_an_error() {
        assert_eq!(deframer(&[0, 0, 0, 0, 0, 1, 9]).next_frame(), Err(FrameError::Empty));
        assert_eq!(framed(&[]), Err(FrameError::Empty));
    }

    #[test]
    fn preamble_is_read_from_single_bytes_and_leaves_the_first_frame() {
        for routing in [None, Some(Bytes::from_static(b"\x08\x02"))] {
            let preamble = Preamble { routing };
            let stream = preamble.write().unwrap();
            let mut deframer = Deframer::new();
            let mut seen = None;
            for byte in &stream {
                assert_eq!(seen, None);
                deframer.push(Bytes::copy_from_slice(&[*byte]));
                seen = deframer.preamble().unwrap();
            }
            assert_eq!(seen, Some(preamble));
            deframer.push(framed(b"hello").unwrap());
            assert_eq!(deframer.next_frame().unwrap().unwrap(), b"hello"[..]);
            assert_eq!(deframer.waiting(), 0);
        }
    }

    #[test]
    fn other_preambles_are_refused_as_soon_as_they_differ() {
        for bytes in [&b"GET / HTTP"[..], b"W\x41\x06\x02", b"WB", b"ED\x00\x02", b"ED\x00\x01\x00\x00\x01\x00X"] {
            assert_eq!(deframer(bytes).preamble(), Err(FrameError::UnknownPreamble), "{bytes:?}");
        }
        let long = deframer(b"ED\x00\x01\xFF\x00\x00").preamble();
        assert!(matches!(long, Err(FrameError::TooLong { length: 0xFF_0000, .. })));
        assert_eq!(deframer(b"ED\x00").preamble(), Ok(None));
    }
}
