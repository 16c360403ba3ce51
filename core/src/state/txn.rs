//! A transaction: reads records, computes, stages writes and effects. Applied whole or not at all.

use super::cache::{Cache, DURABLE, Lookup};
use super::record::Stored;
use crate::api::{Key, Record, Space};
use crate::crypto::rng::Rng;
use crate::types::Now;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// A record is not in memory. The transaction is dropped and started again when it has been loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Miss;

/// Something a transaction causes. `E` leaves the core and is held until what it depends on is durable; `C` changes the
/// machine's volatile state and takes place as soon as the transaction is applied.
#[derive(Debug)]
pub(crate) enum Change<E, C> {
    /// Leaves the core.
    Held(E),
    /// Stays inside.
    Inside(C),
}

/// Reads come first and may miss; what is written is seen by later reads of the same transaction.
pub(crate) struct Txn<'a, E, C> {
    /// The time at which all of this happens.
    pub(crate) now: Now,
    /// Randomness. Draws of a dropped transaction are not drawn again.
    pub(crate) rng: &'a mut Rng,
    cache: &'a mut Cache,
    staged: Staged<E, C>,
    missing: BTreeSet<Key>,
}

/// What a finished transaction leaves to be applied.
pub(crate) struct Staged<E, C> {
    /// Records to write.
    pub(crate) writes: BTreeMap<Key, Option<Record>>,
    /// What it causes, in order.
    pub(crate) changes: Vec<Change<E, C>>,
    /// The newest commit that something it read still waits for.
    pub(crate) depends_on: u64,
    /// Kinds of records found damaged and set aside.
    pub(crate) quarantined: Vec<Space>,
}

impl<'a, E, C> Txn<'a, E, C> {
    pub(crate) fn new(now: Now, rng: &'a mut Rng, cache: &'a mut Cache) -> Self {
        let staged =
            Staged { writes: BTreeMap::new(), changes: Vec::new(), depends_on: DURABLE, quarantined: Vec::new() };
        Self { now, rng, cache, staged, missing: BTreeSet::new() }
    }

    /// Reads the record `id` of `T`'s kind. A record that does not decode is set aside and reads as absent.
    pub(crate) fn read<T: Stored>(&mut self, id: impl Into<Bytes>) -> Result<Option<T>, Miss> {
        let key = T::key(id);
        let Some(record) = self.record(&key)? else { return Ok(None) };
        let Ok(value) = T::open(&record) else {
            self.quarantine(key, &record);
            return Ok(None);
        };
        Ok(Some(value))
    }

    /// Says that these records will be read, so that one load brings all that are not in memory.
    pub(crate) fn expect(&mut self, keys: impl IntoIterator<Item = Key>) -> Result<(), Miss> {
        for key in keys {
            if !self.staged.writes.contains_key(&key) && self.cache.lacks(&key) {
                self.missing.insert(key);
            }
        }
        if self.missing.is_empty() { Ok(()) } else { Err(Miss) }
    }

    /// Writes the record `id` of `T`'s kind.
    pub(crate) fn write<T: Stored>(&mut self, id: impl Into<Bytes>, value: &T) {
        self.staged.writes.insert(T::key(id), Some(value.seal()));
    }

    /// Deletes the record `id` of `T`'s kind.
    pub(crate) fn delete<T: Stored>(&mut self, id: impl Into<Bytes>) {
        self.staged.writes.insert(T::key(id), None);
    }

    /// Causes something outside the core.
    pub(crate) fn effect(&mut self, effect: E) {
        self.staged.changes.push(Change::Held(effect));
    }

    /// Changes the machine's volatile state.
    pub(crate) fn change(&mut self, change: C) {
        self.staged.changes.push(Change::Inside(change));
    }

    /// Ends a transaction that can be applied.
    pub(crate) fn finish(self) -> Staged<E, C> {
        self.staged
    }

    /// Ends a transaction that missed, with the records to load.
    pub(crate) fn into_missing(self) -> BTreeSet<Key> {
        self.missing
    }

    fn record(&mut self, key: &Key) -> Result<Option<Record>, Miss> {
        if let Some(written) = self.staged.writes.get(key) {
            return Ok(written.clone());
        }
        match self.cache.lookup(key) {
            Lookup::Known(record, generation) => {
                self.staged.depends_on = self.staged.depends_on.max(generation);
                Ok(record)
            }
            Lookup::Unknown => {
                self.missing.insert(key.clone());
                Err(Miss)
            }
        }
    }

    /// Deletes every record that was set aside.
    pub(crate) fn forget_quarantined(&mut self) {
        for slot in 0..=u8::MAX {
            self.staged.writes.insert(Key::new(Space::Quarantine, vec![slot]), None);
        }
    }

    /// Sets a record aside, in one of a few places: so there are never more, and they can be deleted without a scan. What
    /// was in that place before is lost.
    fn quarantine(&mut self, key: Key, record: &Record) {
        let mut hash = Sha256::new();
        hash.update([key.space as u8]);
        hash.update(&key.id);
        let slot = hash.finalize().first().copied().unwrap_or_default();
        let mut aside = vec![1, key.space as u8, u8::try_from(key.id.len()).unwrap_or(u8::MAX)];
        aside.extend_from_slice(&key.id);
        aside.extend_from_slice(&record.0);
        self.staged.quarantined.push(key.space);
        self.staged.writes.insert(Key::new(Space::Quarantine, vec![slot]), Some(Record(aside.into())));
        self.staged.writes.insert(key, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::record::{BadRecord, Stored};
    use crate::types::Seed;

    #[derive(Debug, PartialEq)]
    struct Number(u8);

    impl Stored for Number {
        const SPACE: Space = Space::PreKey;

        fn seal(&self) -> Record {
            Record(vec![1, self.0].into())
        }

        fn open(record: &Record) -> Result<Self, BadRecord> {
            match record.0.as_ref() {
                [1, number] => Ok(Self(*number)),
                _ => Err(BadRecord),
            }
        }
    }

    const NOW: Now = Now { mono: 0, unix: 0 };

    fn with_txn<T>(cache: &mut Cache, act: impl FnOnce(Txn<'_, (), ()>) -> T) -> T {
        let mut rng = Rng::new(&Seed::new([0; 32]));
        act(Txn::new(NOW, &mut rng, cache))
    }

    #[test]
    fn a_miss_names_every_record_that_was_announced() {
        let mut cache = Cache::default();
        cache.put(Number::key(vec![1]), None, DURABLE);
        let missing = with_txn(&mut cache, |mut txn| {
            assert_eq!(txn.expect((0..3).map(|id| Number::key(vec![id]))), Err(Miss));
            txn.into_missing()
        });
        assert_eq!(missing, BTreeSet::from([Number::key(vec![0]), Number::key(vec![2])]));
    }

    #[test]
    fn a_transaction_reads_its_own_writes_and_leaves_the_cache_alone() {
        let mut cache = Cache::default();
        cache.put(Number::key(vec![1]), Some(Number(1).seal()), DURABLE);
        with_txn(&mut cache, |mut txn| {
            txn.write(vec![1], &Number(2));
            assert_eq!(txn.read::<Number>(vec![1]), Ok(Some(Number(2))));
        });
        with_txn(&mut cache, |mut txn| assert_eq!(txn.read::<Number>(vec![1]), Ok(Some(Number(1)))));
    }

    #[test]
    fn a_damaged_record_is_set_aside_and_reads_as_absent() {
        let mut cache = Cache::default();
        cache.put(Number::key(vec![1]), Some(Record(vec![9].into())), DURABLE);
        let staged = with_txn(&mut cache, |mut txn| {
            assert_eq!(txn.read::<Number>(vec![1]), Ok(None));
            txn.finish()
        });
        assert_eq!(staged.quarantined, [Space::PreKey]);
        assert_eq!(staged.writes.get(&Number::key(vec![1])), Some(&None));
        let aside: Vec<_> = staged.writes.iter().filter(|(key, _)| key.space == Space::Quarantine).collect();
        let [(key, Some(Record(bytes)))] = aside[..] else { panic!("one is set aside: {aside:?}") };
        assert_eq!(bytes[..], [1, Space::PreKey as u8, 1, 1, 9], "its place and what was there");
        let deleted = with_txn(&mut cache, |mut txn| {
            txn.forget_quarantined();
            txn.finish().writes
        });
        assert_eq!(deleted.get(key), Some(&None));
    }

    #[test]
    fn reading_an_undurable_record_makes_the_transaction_depend_on_its_commit() {
        let mut cache = Cache::default();
        cache.put(Number::key(vec![1]), Some(Number(1).seal()), 4);
        let staged = with_txn(&mut cache, |mut txn| {
            assert_eq!(txn.read::<Number>(vec![1]), Ok(Some(Number(1))));
            txn.finish()
        });
        assert_eq!(staged.depends_on, 4);
    }

    #[test]
    fn what_a_transaction_deletes_and_causes_is_handed_over_in_order() {
        let mut cache = Cache::default();
        cache.put(Number::key(vec![1]), Some(Number(1).seal()), DURABLE);
        let mut rng = Rng::new(&Seed::new([0; 32]));
        let mut txn = Txn::<u32, u32>::new(NOW, &mut rng, &mut cache);
        txn.delete::<Number>(vec![1]);
        assert_eq!(txn.read::<Number>(vec![1]), Ok(None));
        txn.effect(1);
        txn.change(2);
        txn.effect(3);
        let staged = txn.finish();
        assert_eq!(staged.writes.get(&Number::key(vec![1])), Some(&None));
        let changes = staged.changes.into_iter().map(|change| match change {
            Change::Held(effect) => (true, effect),
            Change::Inside(change) => (false, change),
        });
        assert_eq!(changes.collect::<Vec<_>>(), [(true, 1), (false, 2), (true, 3)]);
    }
}
