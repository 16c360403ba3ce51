//! The stream of frames: however bytes are split, the same frames and the same end; what is read writes back alike.

use super::script::Script;
use bytes::Bytes;
use whatsio_core::noise::frame::{Deframer, FRAME_LIMIT, FrameError, HANDSHAKE_LIMIT, LENGTH, framed};

/// A byte of choices, eight lengths of pieces, then the stream.
pub fn run(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let choices = script.byte();
    let pieces: Vec<usize> = script.take(8).iter().map(|length| usize::from(*length)).collect();
    let stream = script.rest();
    let how = How { with_preamble: choices & 1 != 0, done: choices & 2 != 0, small: choices & 4 != 0 };

    let whole = how.read(std::iter::once(stream));
    let parts = how.read(Pieces { stream, lengths: pieces.iter().copied().cycle() });
    let single = how.read(stream.chunks(1));
    assert_eq!(whole, parts, "the split matters");
    assert_eq!(whole, single, "the split matters");

    let Read { preamble, frames, end, waiting } = whole;
    let mut again = preamble.unwrap_or_default();
    for frame in &frames {
        assert!(!frame.is_empty() && frame.len() <= how.limit());
        again.extend_from_slice(&framed(frame).unwrap());
    }
    assert!(stream.starts_with(&again), "written back it is another stream");
    assert_eq!(again.len() + waiting, stream.len(), "bytes are lost");
    match end {
        Some(FrameError::TooLong { length, limit }) => assert!(length > limit),
        Some(FrameError::UnknownPreamble) => assert!(how.with_preamble && again.is_empty()),
        _ => {}
    }
}

struct How {
    with_preamble: bool,
    done: bool,
    small: bool,
}

#[derive(Debug, PartialEq, Eq, Default)]
struct Read {
    preamble: Option<Vec<u8>>,
    frames: Vec<Vec<u8>>,
    end: Option<FrameError>,
    waiting: usize,
}

impl How {
    const fn limit(&self) -> usize {
        match self {
            Self { small: true, .. } => 100,
            Self { done: true, .. } => FRAME_LIMIT,
            Self { .. } => HANDSHAKE_LIMIT,
        }
    }

    fn read<'b>(&self, pieces: impl Iterator<Item = &'b [u8]>) -> Read {
        let mut deframer = Deframer::new();
        if self.done {
            deframer.handshake_done();
        }
        if self.small {
            deframer.limit_to(100);
        }
        let mut read = Read::default();
        for piece in pieces {
            deframer.push(Bytes::copy_from_slice(piece));
            read.end = read.end.or(self.drain(&mut deframer, &mut read).err());
        }
        if let Some(error) = read.end
            && (!self.with_preamble || read.preamble.is_some())
        {
            assert_eq!(deframer.next_frame(), Err(error), "a useless stream stays useless");
        }
        read.waiting = deframer.waiting();
        read
    }

    fn drain(&self, deframer: &mut Deframer, read: &mut Read) -> Result<(), FrameError> {
        if read.end.is_some() {
            return Ok(());
        }
        if self.with_preamble && read.preamble.is_none() {
            let Some(preamble) = deframer.preamble()? else { return Ok(()) };
            // Empty routing information means the same as none, and is not written.
            let mut written = preamble.write().unwrap().to_vec();
            if preamble.routing.as_ref().is_some_and(Bytes::is_empty) {
                written.splice(0..0, [b'E', b'D', 0, 1, 0, 0, 0]);
            }
            read.preamble = Some(written);
        }
        while let Some(frame) = deframer.next_frame()? {
            read.frames.push(frame.to_vec());
        }
        assert!(deframer.waiting() < LENGTH + self.limit(), "a whole frame waits");
        Ok(())
    }
}

struct Pieces<'b, L> {
    stream: &'b [u8],
    lengths: L,
}

impl<'b, L: Iterator<Item = usize>> Iterator for Pieces<'b, L> {
    type Item = &'b [u8];

    fn next(&mut self) -> Option<&'b [u8]> {
        if self.stream.is_empty() {
            return None;
        }
        let length = self.lengths.next().unwrap_or(1).clamp(1, self.stream.len());
        let (piece, rest) = self.stream.split_at(length);
        self.stream = rest;
        Some(piece)
    }
}
