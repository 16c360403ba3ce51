//! Streaming sidecars: a tag per 64 KiB window, so that a player can check a piece without having the whole file.

use super::{MAC_BYTES, Mac, MediaKeys, tag};
use hmac::Mac as _;

/// Windows begin this far apart in the derived vector followed by the body...
const STRIDE: u64 = 65_536;
/// ...and reach this far into the next, since a block decrypts with the one before it.
const OVERLAP: u64 = 16;

/// Computes the tags of a body as it streams by. Memory: two running hashes, and the tags not yet taken.
#[derive(Clone)]
pub(super) struct Sidecar {
    fresh: Mac,
    current: Mac,
    /// The window before the current one, while its overlap streams by.
    previous: Option<Mac>,
    position: u64,
    tags: Vec<u8>,
}

impl Sidecar {
    pub(super) fn new(keys: &MediaKeys) -> Self {
        let fresh = keys.fresh_mac();
        let mut sidecar = Self { current: fresh.clone(), fresh, previous: None, position: 0, tags: Vec::new() };
        sidecar.push(&keys.iv);
        sidecar
    }

    /// Takes the next bytes of ciphertext, or of the authentication code at its end.
    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let into = self.position % STRIDE;
            if into == 0 && self.position > 0 {
                self.previous = Some(std::mem::replace(&mut self.current, self.fresh.clone()));
            }
            let until = if into < OVERLAP { OVERLAP } else { STRIDE } - into;
            let taken = usize::try_from(until).unwrap_or(usize::MAX).min(bytes.len());
            let (now, later) = bytes.split_at_checked(taken).unwrap_or((bytes, &[]));
            self.current.update(now);
            if let Some(previous) = &mut self.previous {
                previous.update(now);
            }
            self.position += now.len() as u64;
            if self.position % STRIDE == OVERLAP {
                self.close_previous();
            }
            bytes = later;
        }
    }

    /// Takes the tags that are complete by now.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.tags)
    }

    /// The remaining tags.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.close_previous();
        self.tags.extend(tag(self.current));
        self.tags
    }

    /// Whether the last window holds nothing that the window before it does not: some writers then give no tag for it.
    pub(super) fn last_is_optional(&self) -> bool {
        self.position > STRIDE && (1..=OVERLAP).contains(&(self.position % STRIDE))
    }

    fn close_previous(&mut self) {
        if let Some(previous) = self.previous.take() {
            self.tags.extend(tag(previous));
        }
    }
}

/// Compares a body with the sidecar of its message as it streams by.
pub(super) struct Check {
    sidecar: Sidecar,
    expected: Vec<u8>,
    passed: usize,
}

impl Check {
    pub(super) fn new(keys: &MediaKeys, expected: Vec<u8>) -> Self {
        Self { sidecar: Sidecar::new(keys), expected, passed: 0 }
    }

    /// Takes the next bytes; false when a window that is complete by now differs.
    pub(super) fn push(&mut self, bytes: &[u8]) -> bool {
        self.sidecar.push(bytes);
        let tags = self.sidecar.take();
        self.compare(&tags)
    }

    /// Whether the rest matches too, and nothing is left over.
    pub(super) fn finish(mut self) -> bool {
        let optional = self.sidecar.last_is_optional();
        let tags = self.sidecar.clone().finish();
        let missing = self.expected.len().saturating_sub(self.passed);
        if optional && missing + MAC_BYTES == tags.len() {
            let kept = tags.get(..missing).unwrap_or_default();
            return self.compare(kept);
        }
        missing == tags.len() && self.compare(&tags)
    }

    fn compare(&mut self, tags: &[u8]) -> bool {
        let from = self.passed;
        self.passed += tags.len();
        self.expected.get(from..self.passed) == Some(tags)
    }
}
