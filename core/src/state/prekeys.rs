//! Numbers of prekeys: which were made, and how far the server is known to have them.

use super::record::{BadRecord, Stored, open, seal};
use crate::api::{Record, Space};
use std::ops::Range;

const VERSION: u8 = 1;

/// Id of the record that numbers one-time prekeys.
pub(crate) const COUNTER_ID: &[u8] = b"prekeys";

/// Prekey ids have 24 bits, and 0 is never used, since peers read it as "none". Ids up to this one are uploaded; those
/// above are given to one peer directly, so that an upload can never contain a key that somebody already has.
const LAST_UPLOADED: u32 = 0x00ef_ffff;
const LAST: u32 = 0x00ff_ffff;

/// Record id of a prekey.
pub(crate) fn record_id(id: u32) -> Vec<u8> {
    id.to_be_bytes().to_vec()
}

/// Ids from `unconfirmed` up to but without `next` are made and stored, but the server has not said that it has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PreKeyCounter {
    pub(crate) next: u32,
    pub(crate) unconfirmed: u32,
    /// Whether the server has ever confirmed an upload.
    pub(crate) uploaded: bool,
    next_private: u32,
    /// All uploaded ids before this one are retired.
    oldest: u32,
    /// When the last upload was made, in seconds since 1970.
    pub(crate) uploaded_at: u64,
    /// All ids that are never uploaded were taken, and are taken again.
    private_wrapped: bool,
}

impl Default for PreKeyCounter {
    fn default() -> Self {
        let next_private = LAST_UPLOADED + 1;
        let (uploaded, private_wrapped) = (false, false);
        Self { next: 1, unconfirmed: 1, uploaded, next_private, oldest: 1, uploaded_at: 0, private_wrapped }
    }
}

impl PreKeyCounter {
    /// As another client left them, with keys of these ids. That one knows no ids that are never uploaded; its own above
    /// them stay somebody's, so ours begin behind. A key with the very last id could not be told from ours, and is given
    /// up for it.
    pub(crate) fn adopted(next: u32, unconfirmed: u32, ids: impl IntoIterator<Item = u32>) -> Self {
        let next = next.clamp(1, LAST_UPLOADED);
        let greatest = ids.into_iter().max().unwrap_or_default();
        let next_private = greatest.saturating_add(1).clamp(LAST_UPLOADED + 1, LAST);
        Self { next, unconfirmed: unconfirmed.clamp(1, next), uploaded: true, next_private, ..Self::default() }
    }

    /// Takes the next id to be uploaded.
    pub(crate) const fn take(&mut self) -> u32 {
        let id = self.next;
        self.next = after(id);
        id
    }

    /// Takes an id that is never uploaded.
    pub(crate) const fn take_private(&mut self) -> u32 {
        let id = self.next_private;
        self.private_wrapped |= id >= LAST;
        self.next_private = if id >= LAST { LAST_UPLOADED + 1 } else { id + 1 };
        id
    }

    /// Takes the oldest ids that are still in use, at most `at_once`, until at most `most` are left.
    pub(crate) fn retire(&mut self, most: u32, at_once: usize) -> Vec<u32> {
        let mut retired = Vec::new();
        while retired.len() < at_once && (self.next + LAST_UPLOADED - self.oldest) % LAST_UPLOADED > most {
            retired.push(self.oldest);
            self.oldest = after(self.oldest);
        }
        retired
    }

    /// All ids that were ever taken, as far as the counters tell: over a wrap, all there are.
    pub(crate) const fn taken(self) -> [Range<u32>; 2] {
        let uploaded = if self.next < self.unconfirmed { LAST_UPLOADED + 1 } else { self.next };
        let private = if self.private_wrapped { LAST + 1 } else { self.next_private };
        [1..uploaded, LAST_UPLOADED + 1..private]
    }

    /// Ids that the server may not have.
    pub(crate) fn unconfirmed(self) -> Vec<u32> {
        let mut ids = Vec::new();
        let mut id = self.unconfirmed;
        while id != self.next {
            ids.push(id);
            id = after(id);
        }
        ids
    }
}

const fn after(id: u32) -> u32 {
    if id >= LAST_UPLOADED { 1 } else { id + 1 }
}

#[derive(Clone, PartialEq, prost::Message)]
struct CounterRecord {
    #[prost(uint32, tag = "1")]
    next: u32,
    #[prost(uint32, tag = "2")]
    unconfirmed: u32,
    #[prost(bool, tag = "3")]
    uploaded: bool,
    #[prost(uint32, tag = "4")]
    next_private: u32,
    #[prost(uint32, optional, tag = "5")]
    oldest: Option<u32>,
    #[prost(uint64, tag = "6")]
    uploaded_at: u64,
    #[prost(bool, tag = "7")]
    private_wrapped: bool,
}

impl Stored for PreKeyCounter {
    const SPACE: Space = Space::Account;

    fn seal(&self) -> Record {
        let Self { next, unconfirmed, uploaded, next_private, oldest, uploaded_at, private_wrapped } = *self;
        let oldest = (oldest != 1).then_some(oldest);
        let record = CounterRecord { next, unconfirmed, uploaded, next_private, oldest, uploaded_at, private_wrapped };
        seal(VERSION, &record)
    }

    fn open(record: &Record) -> Result<Self, BadRecord> {
        let CounterRecord { next, unconfirmed, uploaded, next_private, oldest, uploaded_at, private_wrapped } =
            open(VERSION, record)?;
        let oldest = oldest.unwrap_or(1);
        let public = |id: u32| (1..=LAST_UPLOADED).contains(&id);
        if [next, unconfirmed, oldest].into_iter().all(public) && (LAST_UPLOADED + 1..=LAST).contains(&next_private) {
            Ok(Self { next, unconfirmed, uploaded, next_private, oldest, uploaded_at, private_wrapped })
        } else {
            Err(BadRecord)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_wrap_without_ever_being_zero_or_private() {
        let mut counter = PreKeyCounter { next: LAST_UPLOADED, unconfirmed: LAST_UPLOADED, ..PreKeyCounter::default() };
        assert_eq!([counter.take(), counter.take()], [LAST_UPLOADED, 1]);
        assert_eq!(counter.unconfirmed(), [LAST_UPLOADED, 1]);
    }

    #[test]
    fn private_ids_begin_after_those_that_another_client_gave_away() {
        let mut counter = PreKeyCounter::adopted(10, 5, [7, LAST_UPLOADED + 8, LAST_UPLOADED + 3]);
        assert_eq!(counter.take_private(), LAST_UPLOADED + 9);
        assert_eq!(counter.taken(), [1..10, LAST_UPLOADED + 1..LAST_UPLOADED + 10], "and are deleted with the account");
        assert_eq!(PreKeyCounter::adopted(10, 5, [7]).take_private(), LAST_UPLOADED + 1);
        assert_eq!(PreKeyCounter::adopted(10, 5, [LAST]).take_private(), LAST);
    }

    #[test]
    fn private_ids_never_meet_uploaded_ones() {
        let mut counter = PreKeyCounter { next_private: LAST, ..PreKeyCounter::default() };
        assert_eq!([counter.take_private(), counter.take_private()], [LAST, LAST_UPLOADED + 1]);
        let counter = PreKeyCounter::open(&counter.seal()).unwrap();
        assert_eq!(counter.taken(), [1..1, LAST_UPLOADED + 1..LAST + 1], "and all may be there");
    }

    #[test]
    fn record_ids_follow_the_numbers() {
        assert_eq!(record_id(0x0001_0203), [0, 1, 2, 3]);
    }

    #[test]
    fn the_oldest_keys_are_retired_beyond_a_number_and_so_many_at_once() {
        let mut counter = PreKeyCounter::default();
        for _ in 0..10 {
            counter.take();
        }
        assert_eq!(counter.retire(10, 5), [0_u32; 0]);
        assert_eq!(counter.retire(7, 2), [1, 2]);
        assert_eq!(counter.retire(7, 2), [3]);
        assert_eq!(counter.retire(7, 2), [0_u32; 0]);
        assert_eq!(counter.retire(0, 9), [4, 5, 6, 7, 8, 9, 10]);
    }

    #[test]
    fn retiring_goes_around_with_the_ids() {
        let mut counter = PreKeyCounter { next: 3, oldest: LAST_UPLOADED - 1, ..PreKeyCounter::default() };
        assert_eq!(counter.retire(1, 9), [LAST_UPLOADED - 1, LAST_UPLOADED, 1]);
        assert_eq!(counter.retire(1, 9), [0_u32; 0]);
    }

    #[test]
    fn what_was_taken_over_counts_as_uploaded_as_far_as_the_other_client_said() {
        let counter = PreKeyCounter::adopted(10, 5, [7]);
        assert_eq!((counter.next, counter.unconfirmed, counter.uploaded), (10, 5, true));
        assert_eq!(counter.unconfirmed(), [5, 6, 7, 8, 9]);
    }

    #[test]
    fn every_id_that_may_have_been_taken_is_named() {
        let counter = |next, unconfirmed| PreKeyCounter { next, unconfirmed, ..PreKeyCounter::default() };
        let uploaded = |counter: PreKeyCounter| counter.taken()[0].clone();
        assert_eq!(uploaded(counter(4, 4)), 1..4);
        assert_eq!(uploaded(counter(4, 2)), 1..4);
        assert_eq!(uploaded(counter(4, 9)), 1..LAST_UPLOADED + 1, "the ids went around");
    }

    #[test]
    fn numbers_of_the_other_kind_are_no_counter() {
        let counter = PreKeyCounter::default;
        for damaged in [
            PreKeyCounter { next: 0, ..counter() },
            PreKeyCounter { next: LAST_UPLOADED + 1, ..counter() },
            PreKeyCounter { unconfirmed: LAST_UPLOADED + 1, ..counter() },
            PreKeyCounter { oldest: 0, ..counter() },
            PreKeyCounter { next_private: LAST_UPLOADED, ..counter() },
            PreKeyCounter { next_private: LAST + 1, ..counter() },
        ] {
            assert_eq!(PreKeyCounter::open(&damaged.seal()), Err(BadRecord), "{damaged:?}");
        }
        let last = PreKeyCounter { next: LAST_UPLOADED, next_private: LAST, ..counter() };
        assert_eq!(PreKeyCounter::open(&last.seal()), Ok(last));
    }
}
