//! What a run did, as a digest to compare and, if wanted, as lines to read.

use sha2::{Digest, Sha256};

/// Everything that crossed a boundary, in order.
pub(super) struct Transcript {
    digest: Sha256,
    lines: Option<Vec<String>>,
}

impl Transcript {
    pub(super) fn new(is_read: bool) -> Self {
        Self { digest: Sha256::new(), lines: is_read.then(Vec::new) }
    }

    /// Notes something; `line` is only made if somebody will read it.
    pub(super) fn note(&mut self, now: u64, bytes: &[u8], line: impl FnOnce() -> String) {
        self.digest.update(now.to_be_bytes());
        self.digest.update((bytes.len() as u64).to_be_bytes());
        self.digest.update(bytes);
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{:>9}.{:03}  {}", now / 1000, now % 1000, line()));
        }
    }

    pub(super) fn finish(self) -> ([u8; 32], Vec<String>) {
        (self.digest.finalize().into(), self.lines.unwrap_or_default())
    }
}
