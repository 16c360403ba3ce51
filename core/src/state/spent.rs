//! Prekeys on their way out: those that were used, and those that were given to one peer and may never be. An index, so
//! that nothing is ever scanned for, and so that neither kind grows without end.

use super::record::{BadRecord, Stored, open, seal};
use crate::api::{Record, Space};
use std::collections::VecDeque;

const VERSION: u8 = 1;

/// Id of the one record of this kind.
pub(crate) const ID: &[u8] = b"spent-prekeys";

/// A used prekey is kept this long, in seconds, for a first message that is delivered again: a week.
const USED_S: u64 = 7 * 24 * 3600;

/// A prekey that was given to one peer is kept this long, in seconds: peers keep what they would encrypt with it for two
/// weeks at most, and the server keeps that for a month.
const GIVEN_S: u64 = 30 * 24 * 3600;

/// Keys of each kind that are kept; the oldest go first, before them those of devices that were given too many.
const MOST: usize = 256;

/// Keys given to one device that no other device makes this retire.
const MOST_OF_DEVICE: usize = 32;

/// The keys, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct SpentPreKeys {
    used: VecDeque<Used>,
    given: VecDeque<Given>,
}

/// A key that a session was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Used {
    id: u32,
    /// When, in seconds since 1970.
    at: u64,
    /// The base key of that session.
    base_key: [u8; 32],
}

/// A key that was given to one peer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Given {
    id: u32,
    /// When, in seconds since 1970.
    at: u64,
    /// To which device, as records are named after it; empty if it was not noted yet.
    device: Vec<u8>,
}

impl SpentPreKeys {
    /// Whether a session with another base key was made with this key already.
    pub(crate) fn is_taken(&self, id: u32, base_key: &[u8; 32]) -> bool {
        self.used.iter().any(|used| used.id == id && used.base_key != *base_key)
    }

    /// Whether the session with this base key was made with this key.
    pub(crate) fn was_used_with(&self, id: u32, base_key: &[u8; 32]) -> bool {
        self.used.iter().any(|used| used.id == id && used.base_key == *base_key)
    }

    /// Whether this key was used.
    pub(crate) fn is_used(&self, id: u32) -> bool {
        self.used.iter().any(|used| used.id == id)
    }

    /// A session was made with a key.
    pub(crate) fn note_used(&mut self, id: u32, at: u64, base_key: [u8; 32]) {
        self.given.retain(|given| given.id != id);
        self.used.retain(|used| used.id != id);
        self.used.push_back(Used { id, at, base_key });
    }

    /// A key was given to one device.
    pub(crate) fn note_given(&mut self, id: u32, at: u64, device: Vec<u8>) {
        self.given.push_back(Given { id, at, device });
    }

    /// Takes the devices whose records were named with `from` in front for those named with `to`; whether there were any.
    pub(crate) fn rename(&mut self, from: &[u8], to: &[u8]) -> bool {
        let mut renamed = false;
        for given in &mut self.given {
            if let Some(device) = given.device.strip_prefix(from) {
                given.device = [to, device].concat();
                renamed = true;
            }
        }
        renamed
    }

    /// Forgets keys whose time is over and gives them, so that they are deleted.
    pub(crate) fn retire(&mut self, now: u64) -> Vec<u32> {
        let mut retired = Vec::new();
        let is_over = |at: u64, most: u64| now.saturating_sub(at) >= most;
        while self.used.len() > MOST || self.used.front().is_some_and(|used| is_over(used.at, USED_S)) {
            retired.extend(self.used.pop_front().map(|used| used.id));
        }
        while self.given.len() > MOST {
            let of = |device: &[u8]| self.given.iter().filter(|one| one.device == device).count();
            let at = self.given.iter().position(|one| of(&one.device) > MOST_OF_DEVICE).unwrap_or(0);
            retired.extend(self.given.remove(at).map(|given| given.id));
        }
        while self.given.front().is_some_and(|given| is_over(given.at, GIVEN_S)) {
            retired.extend(self.given.pop_front().map(|given| given.id));
        }
        retired
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct SpentRecord {
    #[prost(message, repeated, tag = "1")]
    used: Vec<UsedRecord>,
    #[prost(message, repeated, tag = "2")]
    given: Vec<GivenRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct UsedRecord {
    #[prost(uint32, tag = "1")]
    id: u32,
    #[prost(uint64, tag = "2")]
    at: u64,
    #[prost(bytes = "vec", tag = "3")]
    base_key: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct GivenRecord {
    #[prost(uint32, tag = "1")]
    id: u32,
    #[prost(uint64, tag = "2")]
    at: u64,
    #[prost(bytes = "vec", tag = "3")]
    device: Vec<u8>,
}

impl Stored for SpentPreKeys {
    const SPACE: Space = Space::Account;

    fn seal(&self) -> Record {
        let used = self.used.iter().map(|used| UsedRecord { id: used.id, at: used.at, base_key: used.base_key.into() });
        let given =
            self.given.iter().map(|given| GivenRecord { id: given.id, at: given.at, device: given.device.clone() });
        seal(VERSION, &SpentRecord { used: used.collect(), given: given.collect() })
    }

    fn open(record: &Record) -> Result<Self, BadRecord> {
        let found: SpentRecord = open(VERSION, record)?;
        let used = found.used.into_iter().map(|used| {
            let base_key = used.base_key.try_into().map_err(|_| BadRecord)?;
            Ok(Used { id: used.id, at: used.at, base_key })
        });
        let given = found.given.into_iter().map(|given| Given { id: given.id, at: given.at, device: given.device });
        Ok(Self { used: used.collect::<Result<_, _>>()?, given: given.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_when_their_time_is_over_or_too_many_came_after_them() {
        let mut spent = SpentPreKeys::default();
        spent.note_given(7, 0, vec![1]);
        spent.note_given(8, 0, vec![1]);
        spent.note_used(7, 10, [1; 32]);
        assert!(spent.is_taken(7, &[2; 32]) && !spent.is_taken(7, &[1; 32]));
        assert_eq!(spent.retire(USED_S), [0_u32; 0]);
        assert_eq!(SpentPreKeys::open(&spent.seal()), Ok(spent.clone()));
        assert_eq!(spent.retire(10 + USED_S), [7]);
        assert_eq!(spent.retire(GIVEN_S), [8]);
        for id in 0..300 {
            spent.note_given(id, GIVEN_S, Vec::new());
        }
        assert_eq!(spent.retire(GIVEN_S), (0..44).collect::<Vec<_>>());
    }

    #[test]
    fn one_device_does_not_use_up_the_keys_that_others_were_given() {
        let mut spent = SpentPreKeys::default();
        spent.note_given(1, 0, vec![2]);
        for id in 2..400 {
            spent.note_given(id, 0, vec![1]);
            assert!(!spent.retire(0).contains(&1));
        }
        assert_eq!(spent.given.len(), MOST);
    }

    #[test]
    fn a_key_is_known_with_the_first_message_that_used_it() {
        let mut spent = SpentPreKeys::default();
        spent.note_used(7, 10, [1; 32]);
        assert!(spent.was_used_with(7, &[1; 32]));
        assert!(!spent.was_used_with(7, &[2; 32]) && !spent.was_used_with(8, &[1; 32]));
        assert!(spent.is_used(7) && !spent.is_used(8));
        spent.note_used(8, 11, [3; 32]);
        spent.note_used(7, 12, [2; 32]);
        assert!(spent.is_used(8) && spent.was_used_with(7, &[2; 32]) && !spent.was_used_with(7, &[1; 32]));
    }

    #[test]
    fn exactly_as_many_used_keys_as_may_be_are_kept() {
        let mut spent = SpentPreKeys::default();
        for id in 0..256 {
            spent.note_used(id, 0, [1; 32]);
        }
        assert_eq!(spent.retire(0), [0_u32; 0]);
        spent.note_used(256, 0, [1; 32]);
        assert_eq!(spent.retire(0), [0]);
    }

    #[test]
    fn a_device_with_its_share_keeps_it_when_others_bring_too_many() {
        let mut spent = SpentPreKeys::default();
        // One key each for many, and a share of 32 for one device.
        spent.note_given(999, 0, vec![9]);
        for id in 0..32 {
            spent.note_given(id, 0, vec![1]);
        }
        for id in 32..256_u32 {
            spent.note_given(id, 0, id.to_be_bytes().to_vec());
        }
        assert_eq!(spent.retire(0), [999], "nobody has more than a share, so the oldest goes");
        spent.note_given(256, 0, vec![1]);
        assert_eq!(spent.retire(0), [0]);
    }
}
