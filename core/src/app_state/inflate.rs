//! Inflating compressed blobs as they stream by, with a limit on what comes out.

use flate2::{Decompress, FlushDecompress, Status};

/// Compressed bytes cannot be inflated. Whatever came out is to be thrown away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InflateError {
    /// The bytes are no zlib or gzip stream, or are damaged.
    #[error("not a compressed stream, or a damaged one")]
    Damaged,
    /// The stream ends too early.
    #[error("the compressed stream is cut short")]
    Cut,
    /// More comes out than allowed.
    #[error("the inflated content is over its limit")]
    Limit,
}

/// Inflates a zlib or gzip stream, told apart by its first bytes. Memory: 64 KiB and the stream's window.
pub struct Inflater {
    /// The first byte, until a second one tells the formats apart.
    first: Option<u8>,
    stream: Option<Decompress>,
    scratch: Vec<u8>,
    remaining: u64,
    ended: bool,
}

const SCRATCH: usize = 64 * 1024;
const GZIP: [u8; 2] = [0x1f, 0x8b];
const WINDOW_BITS: u8 = 15;

impl Inflater {
    /// Begins a stream of which at most `limit` bytes may come out.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self { first: None, stream: None, scratch: vec![0; SCRATCH], remaining: limit, ended: false }
    }

    /// Takes the next compressed bytes and hands what they inflate to to `sink`, piece by piece. Bytes behind the end
    /// of the stream are ignored. Fails when the stream is damaged or over the limit, and with what `sink` fails with.
    pub fn push<E: From<InflateError>>(
        &mut self,
        compressed: &[u8],
        sink: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rest = compressed;
        if self.stream.is_none() {
            let Some((&byte, behind)) = rest.split_first() else { return Ok(()) };
            let Some(first) = self.first else {
                self.first = Some(byte);
                return self.push(behind, sink);
            };
            let gzip = [first, byte] == GZIP;
            self.stream = Some(if gzip { Decompress::new_gzip(WINDOW_BITS) } else { Decompress::new(true) });
            self.inflate(&[first], sink)?;
            rest = compressed;
        }
        self.inflate(rest, sink)
    }

    /// Ends the stream; fails when it is cut short.
    pub fn finish(self) -> Result<(), InflateError> {
        if self.ended { Ok(()) } else { Err(InflateError::Cut) }
    }

    fn inflate<E: From<InflateError>>(
        &mut self,
        mut rest: &[u8],
        sink: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        while !self.ended {
            let (taken, given) = (stream.total_in(), stream.total_out());
            let status = stream.decompress(rest, &mut self.scratch, FlushDecompress::None);
            let status = status.map_err(|_| InflateError::Damaged)?;
            let given = stream.total_out() - given;
            let taken = usize::try_from(stream.total_in() - taken).unwrap_or(rest.len());
            rest = rest.get(taken..).unwrap_or_default();
            self.remaining = self.remaining.checked_sub(given).ok_or(InflateError::Limit)?;
            self.ended = status == Status::StreamEnd;
            let given = usize::try_from(given).unwrap_or_default();
            sink(self.scratch.get(..given).unwrap_or_default())?;
            // A full scratch may hide more output; else all input has been taken.
            if given < self.scratch.len() && (rest.is_empty() || (taken == 0 && given == 0)) {
                break;
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Inflater({} bytes may still come)", self.remaining)
    }
}

/// Inflates a whole zlib or gzip stream of which at most `limit` bytes may come out.
pub fn inflate(compressed: &[u8], limit: u64) -> Result<Vec<u8>, InflateError> {
    let mut inflater = Inflater::new(limit);
    let mut out = Vec::new();
    inflater.push(compressed, &mut |piece| {
        out.extend_from_slice(piece);
        Ok::<_, InflateError>(())
    })?;
    inflater.finish()?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn zlib(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    proptest! {
        #[test]
        fn content_comes_back_whatever_the_chunks(content in prop::collection::vec(0_u8..4, 0..3_000), size in 1_usize..40) {
            for compressed in [zlib(&content), gzip(&content)] {
                let (mut inflater, mut out) = (Inflater::new(3_000), Vec::new());
                for chunk in compressed.chunks(size) {
                    inflater.push(chunk, &mut |piece| { out.extend_from_slice(piece); Ok::<_, InflateError>(()) }).unwrap();
                }
                inflater.finish().unwrap();
                prop_assert_eq!(&out, &content);
            }
        }

        #[test]
        fn cut_streams_are_refused_and_damaged_ones_never_give_other_content(content in prop::collection::vec(any::<u8>(), 1..500), at in any::<prop::sample::Index>()) {
            let whole = zlib(&content);
            let cut = at.index(whole.len());
            prop_assert!(inflate(&whole[..cut], 1_000).is_err());
            let mut damaged = whole;
            damaged[cut] ^= 0x10;
            // Some bits mean nothing, such as the padding of a stored block; none may change the content.
            if let Ok(inflated) = inflate(&damaged, 1_000) {
                prop_assert_eq!(inflated, content);
            }
        }
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let bomb = zlib(&vec![0; 10_000_000]);
        assert!(bomb.len() < 20_000);
        assert_eq!(inflate(&bomb, 1_000_000), Err(InflateError::Limit));
        assert_eq!(inflate(&bomb, 10_000_000).map(|content| content.len()), Ok(10_000_000));
    }
}
