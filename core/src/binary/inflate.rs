//! Inflating compressed bodies, with a limit that is checked while the output grows.

use super::DecodeError;
use flate2::{Decompress, FlushDecompress, Status};

/// Inflates one complete zlib stream that fills `data` exactly and yields at most `limit` bytes.
pub(super) fn inflate(data: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
    let mut stream = Decompress::new(true);
    let mut out = Vec::with_capacity(data.len().saturating_mul(4).clamp(FIRST_STEP, limit.max(FIRST_STEP)));
    let mut consumed = 0;
    loop {
        let written = out.len();
        let rest = data.get(consumed..).unwrap_or_default();
        let status = stream.decompress_vec(rest, &mut out, FlushDecompress::None).map_err(|_| DecodeError::Zlib)?;
        if out.len() > limit {
            return Err(DecodeError::TooLargeInflated);
        }
        let before = std::mem::replace(&mut consumed, usize::try_from(stream.total_in()).unwrap_or(usize::MAX));
        match status {
            Status::StreamEnd if consumed == data.len() => return Ok(out),
            Status::StreamEnd => return Err(DecodeError::ZlibTrailing),
            // One byte past the limit is room enough to notice that it was passed.
            _ if out.len() == out.capacity() => out.reserve_exact(out.len().min(limit + 1 - out.len()).max(1)),
            _ if consumed == before && out.len() == written => return Err(DecodeError::Zlib),
            _ => {}
        }
    }
}

const FIRST_STEP: usize = 512;
