//! One device's public keys as peers fetch them to start a session. Each one-time key leaves exactly once; private
//! halves are never seen here, and signatures are checked by the caller.

use std::collections::VecDeque;

use sha1::{Digest, Sha1};

/// A signed pre-key: id as on the wire, raw public key, signature by the device's identity over `05` and the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SignedKey {
    pub(crate) id: [u8; 3],
    pub(crate) value: [u8; 32],
    pub(crate) signature: [u8; 64],
}

/// A one-time pre-key: id as on the wire and raw public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OneTimeKey {
    pub(crate) id: [u8; 3],
    pub(crate) value: [u8; 32],
}

/// The public keys of one device.
#[derive(Clone, Debug)]
pub(crate) struct Bundle {
    pub(crate) registration: [u8; 4],
    pub(crate) identity: [u8; 32],
    pub(crate) signed: SignedKey,
    one_time: VecDeque<OneTimeKey>,
    /// Whether the owner has uploaded anything since it was linked.
    pub(crate) uploaded: bool,
    /// When the owner was last told that few keys are left.
    told: Option<u64>,
}

impl Bundle {
    pub(crate) const fn new(registration: [u8; 4], identity: [u8; 32], signed: SignedKey) -> Self {
        Self { registration, identity, signed, one_time: VecDeque::new(), uploaded: false, told: None }
    }

    /// Adds keys; one with a known id replaces it. Beyond `limit` the oldest give way. Returns how many were replaced by
    /// another key.
    pub(crate) fn add(&mut self, keys: impl IntoIterator<Item = OneTimeKey>, limit: usize) -> usize {
        let mut replaced = 0;
        for key in keys {
            match self.one_time.iter_mut().find(|old| old.id == key.id) {
                Some(old) => {
                    replaced += usize::from(old.value != key.value);
                    *old = key;
                }
                None => self.one_time.push_back(key),
            }
        }
        while self.one_time.len() > limit {
            self.one_time.pop_front();
        }
        self.told = None;
        self.uploaded = true;
        replaced
    }

    /// Hands out the oldest one-time key; it is gone from here on.
    pub(crate) fn take(&mut self) -> Option<OneTimeKey> {
        self.one_time.pop_front()
    }

    pub(crate) fn count(&self) -> usize {
        self.one_time.len()
    }

    /// Whether the owner should now be told that few keys are left; says so once per drop and again after a while.
    pub(crate) fn wants_notice(&mut self, mono: u64, low: usize) -> bool {
        if self.one_time.len() >= low || self.told.is_some_and(|at| mono < at.saturating_add(NOTICE_INTERVAL)) {
            return false;
        }
        self.told = Some(mono);
        true
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = [u8; 3]> + '_ {
        self.one_time.iter().map(|key| key.id)
    }

    /// The digest by which a client compares its own keys with these: SHA-1 over identity, signed pre-key, its
    /// signature, and all one-time keys in order, each as raw bytes.
    pub(crate) fn digest(&self) -> [u8; 20] {
        let mut hash = Sha1::new();
        hash.update(self.identity);
        hash.update(self.signed.value);
        hash.update(self.signed.signature);
        for key in &self.one_time {
            hash.update(key.value);
        }
        hash.finalize().into()
    }
}

/// Peers react to every notice with an upload, so a second one must leave time for the first.
const NOTICE_INTERVAL: u64 = 10 * 60 * 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle() -> Bundle {
        Bundle::new([0, 0, 0, 7], [1; 32], SignedKey { id: [0, 0, 1], value: [2; 32], signature: [3; 64] })
    }

    fn key(number: u8) -> OneTimeKey {
        OneTimeKey { id: [0, 0, number], value: [number; 32] }
    }

    #[test]
    fn a_one_time_key_leaves_once_and_in_order_of_arrival() {
        let mut bundle = bundle();
        bundle.add([key(1), key(2)], 10);
        assert_eq!(bundle.take(), Some(key(1)));
        assert_eq!(bundle.take(), Some(key(2)));
        assert_eq!(bundle.take(), None);
    }

    #[test]
    fn an_uploaded_key_replaces_the_one_with_its_id() {
        let mut bundle = bundle();
        bundle.add([key(1)], 10);
        bundle.add([OneTimeKey { id: [0, 0, 1], value: [9; 32] }], 10);
        assert_eq!(bundle.count(), 1);
        assert_eq!(bundle.take().map(|key| key.value), Some([9; 32]));
    }

    #[test]
    fn the_oldest_keys_give_way_at_the_limit() {
        let mut bundle = bundle();
        bundle.add((1..=5).map(key), 3);
        assert_eq!(bundle.ids().collect::<Vec<_>>(), vec![[0, 0, 3], [0, 0, 4], [0, 0, 5]]);
    }

    #[test]
    fn a_low_count_is_told_once_until_keys_arrive() {
        let mut bundle = bundle();
        assert!(bundle.wants_notice(0, 5));
        assert!(!bundle.wants_notice(1_000, 5));
        assert!(bundle.wants_notice(NOTICE_INTERVAL, 5));
        bundle.add((1..=9).map(key), 100);
        assert!(!bundle.wants_notice(NOTICE_INTERVAL + 1, 5));
    }

    #[test]
    fn the_digest_depends_on_the_listed_keys_and_their_order() {
        let (mut one, mut other) = (bundle(), bundle());
        assert_eq!(one.digest(), other.digest());
        one.add([key(1), key(2)], 10);
        other.add([key(2), key(1)], 10);
        assert_ne!(one.digest(), other.digest());
    }
}
