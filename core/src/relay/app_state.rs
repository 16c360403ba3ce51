//! The app-state collections of an account as the server sees them: numbered patches it cannot read.

use std::collections::{BTreeMap, VecDeque};

use bytes::{BufMut, Bytes, BytesMut};

/// The collections that exist; others are refused.
pub(crate) const NAMES: [&str; 5] =
    ["critical_block", "critical_unblock_low", "regular_high", "regular_low", "regular"];

/// The collections of one account.
#[derive(Debug, Default)]
pub(crate) struct Collections {
    by_name: BTreeMap<&'static str, Collection>,
}

#[derive(Debug, Default)]
struct Collection {
    version: u64,
    patches: VecDeque<(u64, Bytes)>,
}

/// The answer to a request for patches.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// The collection's newest version.
    pub(crate) version: u64,
    pub(crate) patches: Vec<Bytes>,
    /// Whether patches remain behind these.
    pub(crate) more: bool,
}

/// Why a patch was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PatchError {
    /// It builds on another version than the newest.
    Conflict,
    /// The collection is full.
    Full,
}

impl Collections {
    /// The version and the patches behind `known`, at most [`PAGE`] of them.
    pub(crate) fn behind(&self, name: &str, known: u64) -> Page {
        let Some(collection) = self.by_name.get(name) else {
            return Page { version: 0, patches: Vec::new(), more: false };
        };
        let mut newer = collection.patches.iter().filter(|(version, _)| *version > known).map(|(_, patch)| patch);
        let patches: Vec<_> = newer.by_ref().take(PAGE).cloned().collect();
        Page { version: collection.version, patches, more: newer.next().is_some() }
    }

    /// Stores a patch built on version `base` and returns its own version.
    pub(crate) fn apply(
        &mut self,
        name: &'static str,
        base: u64,
        patch: &[u8],
        limit: usize,
    ) -> Result<u64, PatchError> {
        let collection = self.by_name.entry(name).or_default();
        if collection.version != base {
            return Err(PatchError::Conflict);
        }
        if collection.patches.len() >= limit {
            return Err(PatchError::Full);
        }
        collection.version += 1;
        collection.patches.push_back((collection.version, stamped(collection.version, patch)));
        Ok(collection.version)
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.by_name.clear();
    }
}

/// The patch with its version (field 1, a message whose field 1 is the number) set by the server. Protobuf allows fields
/// in any order and merges repeated messages, last number wins, so the field is appended to the bytes as they came.
fn stamped(version: u64, patch: &[u8]) -> Bytes {
    let mut inner = BytesMut::new();
    inner.put_u8(0x08);
    put_varint(&mut inner, version);
    let mut whole = BytesMut::with_capacity(patch.len() + inner.len() + 2);
    whole.put_slice(patch);
    whole.put_u8(0x0A);
    put_varint(&mut whole, inner.len() as u64);
    whole.put_slice(&inner);
    whole.freeze()
}

fn put_varint(out: &mut BytesMut, mut value: u64) {
    loop {
        let low = (value & 0x7F) as u8;
        value >>= 7;
        if value == 0 {
            return out.put_u8(low);
        }
        out.put_u8(low | 0x80);
    }
}

/// Patches in one reply; peers ask again while more remain.
const PAGE: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_are_numbered_and_paged() {
        let mut collections = Collections::default();
        for base in 0..60 {
            assert_eq!(collections.apply("regular", base, b"", 100), Ok(base + 1));
        }
        let page = collections.behind("regular", 5);
        assert_eq!((page.version, page.patches.len(), page.more), (60, PAGE, true));
        assert_eq!(page.patches.first().map(|patch| &patch[..]), Some(&[0x0A, 2, 0x08, 6][..]));
        let rest = collections.behind("regular", 55);
        assert_eq!((rest.patches.len(), rest.more), (5, false));
    }

    #[test]
    fn a_patch_on_an_old_version_conflicts_and_changes_nothing() {
        let mut collections = Collections::default();
        assert_eq!(collections.apply("regular", 0, b"x", 10), Ok(1));
        assert_eq!(collections.apply("regular", 0, b"y", 10), Err(PatchError::Conflict));
        assert_eq!(collections.behind("regular", 0).version, 1);
    }

    #[test]
    fn large_versions_are_written_as_varints() {
        let mut out = BytesMut::new();
        put_varint(&mut out, 300);
        assert_eq!(&out[..], [0xAC, 0x02]);
    }
}
