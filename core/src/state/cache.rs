//! Records in memory, budgeted in bytes.

use crate::api::{Key, Record, Space};
use std::collections::{BTreeMap, BTreeSet};

/// What the cache knows of a record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// It must be loaded.
    Unknown,
    /// Its content (`None`: there is no such record) and the generation of the commit that makes it durable (0: it is).
    Known(Option<Record>, u64),
}

/// A record that takes part in no commit is of this generation.
pub(crate) const DURABLE: u64 = 0;

/// What an entry costs beside its key and record: the two map nodes, roughly.
const ENTRY_OVERHEAD: usize = 96;

/// Least recently used records are dropped first, but never one that is not durable yet: the store does not have it.
#[derive(Default)]
pub(crate) struct Cache {
    entries: BTreeMap<Key, Entry>,
    by_use: BTreeMap<u64, Key>,
    bytes: usize,
    clock: u64,
}

struct Entry {
    record: Option<Record>,
    generation: u64,
    used: u64,
}

impl Cache {
    /// Looks a record up and marks it as used.
    pub(crate) fn lookup(&mut self, key: &Key) -> Lookup {
        let Some(entry) = self.entries.get_mut(key) else { return Lookup::Unknown };
        self.clock += 1;
        if let Some(key) = self.by_use.remove(&entry.used) {
            self.by_use.insert(self.clock, key);
        }
        entry.used = self.clock;
        Lookup::Known(entry.record.clone(), entry.generation)
    }

    /// Whether the record must be loaded.
    pub(crate) fn lacks(&self, key: &Key) -> bool {
        !self.entries.contains_key(key)
    }

    /// Takes what the store answered, unless a transaction has written the record in the meantime.
    pub(crate) fn fill(&mut self, key: Key, record: Option<Record>) {
        if self.lacks(&key) {
            self.put(key, record, DURABLE);
        }
    }

    /// Takes a write that the commit of `generation` will make durable.
    pub(crate) fn put(&mut self, key: Key, record: Option<Record>, generation: u64) {
        self.clock += 1;
        let cost = cost(&key, record.as_ref());
        if let Some(old) = self.entries.insert(key.clone(), Entry { record, generation, used: self.clock }) {
            self.by_use.remove(&old.used);
            self.bytes = self.bytes.saturating_sub(self::cost(&key, old.record.as_ref()));
        }
        self.by_use.insert(self.clock, key);
        self.bytes += cost;
    }

    /// The commit of `generation` is durable: its records may be dropped from now on, unless written again since.
    /// One-time prekeys are dropped at once: they come by the hundred, and each is wanted once, weeks later or never.
    pub(crate) fn settle<'k>(&mut self, generation: u64, keys: impl Iterator<Item = &'k Key>) {
        for key in keys {
            let Some(entry) = self.entries.get_mut(key).filter(|entry| entry.generation == generation) else {
                continue;
            };
            entry.generation = DURABLE;
            if key.space == Space::PreKey {
                let used = entry.used;
                self.drop_entry(used);
            }
        }
    }

    /// Drops records until at most `budget` bytes are held, if that many may be dropped; `pinned` ones may not.
    pub(crate) fn shrink_to(&mut self, budget: usize, pinned: &BTreeSet<Key>) {
        if self.bytes <= budget {
            return;
        }
        let mut excess = self.bytes - budget;
        let mut victims = Vec::new();
        for (used, key) in &self.by_use {
            if excess == 0 {
                break;
            }
            let Some(entry) = self.entries.get(key) else { continue };
            if entry.generation != DURABLE || pinned.contains(key) {
                continue;
            }
            excess = excess.saturating_sub(cost(key, entry.record.as_ref()));
            victims.push(*used);
        }
        for used in victims {
            self.drop_entry(used);
        }
    }

    fn drop_entry(&mut self, used: u64) {
        if let Some(key) = self.by_use.remove(&used)
            && let Some(entry) = self.entries.remove(&key)
        {
            self.bytes = self.bytes.saturating_sub(cost(&key, entry.record.as_ref()));
        }
    }

    /// Bytes held.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }
}

fn cost(key: &Key, record: Option<&Record>) -> usize {
    ENTRY_OVERHEAD + 2 * key.id.len() + record.map_or(0, |record| record.0.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn key(number: u8) -> Key {
        Key::new(Space::Session, vec![number])
    }

    fn record(length: usize) -> Option<Record> {
        Some(Record(Bytes::from(vec![0; length])))
    }

    #[test]
    fn least_recently_used_records_are_dropped_first() {
        let mut cache = Cache::default();
        for number in 0..3 {
            cache.put(key(number), record(1000), DURABLE);
        }
        assert!(matches!(cache.lookup(&key(0)), Lookup::Known(Some(_), DURABLE)));
        cache.shrink_to(2500, &BTreeSet::new());
        assert_eq!(cache.lookup(&key(1)), Lookup::Unknown);
        assert!(matches!(cache.lookup(&key(0)), Lookup::Known(..)));
        assert!(matches!(cache.lookup(&key(2)), Lookup::Known(..)));
    }

    #[test]
    fn a_record_that_is_not_durable_is_never_dropped() {
        let mut cache = Cache::default();
        cache.put(key(0), record(1000), 7);
        cache.shrink_to(0, &BTreeSet::new());
        assert!(matches!(cache.lookup(&key(0)), Lookup::Known(Some(_), 7)));
        cache.settle(7, [key(0)].iter());
        cache.shrink_to(0, &BTreeSet::new());
        assert_eq!(cache.lookup(&key(0)), Lookup::Unknown);
        assert_eq!(cache.bytes(), 0);
    }

    #[test]
    fn a_prekey_leaves_memory_as_soon_as_it_is_durable() {
        let mut cache = Cache::default();
        let prekey = Key::new(Space::PreKey, vec![1]);
        cache.put(prekey.clone(), record(64), 7);
        cache.put(key(0), record(64), 7);
        let both = [prekey.clone(), key(0)];
        cache.settle(6, both.iter());
        assert!(matches!(cache.lookup(&prekey), Lookup::Known(..)), "not durable yet");
        cache.settle(7, both.iter());
        assert_eq!(cache.lookup(&prekey), Lookup::Unknown);
        assert!(matches!(cache.lookup(&key(0)), Lookup::Known(..)));
        assert_eq!(cache.bytes(), cost(&key(0), record(64).as_ref()));
    }

    #[test]
    fn a_write_made_while_an_older_one_was_committed_stays_undurable() {
        let mut cache = Cache::default();
        cache.put(key(0), record(1), 7);
        cache.put(key(0), record(2), 8);
        cache.settle(7, [key(0)].iter());
        assert!(matches!(cache.lookup(&key(0)), Lookup::Known(Some(_), 8)));
    }

    #[test]
    fn a_late_load_does_not_overwrite_a_write() {
        let mut cache = Cache::default();
        cache.put(key(0), record(5), 7);
        cache.fill(key(0), None);
        assert_eq!(cache.lookup(&key(0)), Lookup::Known(record(5), 7));
    }

    #[test]
    fn bytes_are_counted_over_overwrites_and_pins_hold() {
        let mut cache = Cache::default();
        cache.put(key(0), record(100), DURABLE);
        let once = cache.bytes();
        cache.put(key(0), record(100), DURABLE);
        assert_eq!(cache.bytes(), once);
        cache.shrink_to(0, &BTreeSet::from([key(0)]));
        assert_eq!(cache.bytes(), once);
    }

    #[test]
    fn what_the_store_answers_is_taken_unless_it_was_written_since() {
        let mut cache = Cache::default();
        let key = |id: u8| Key::new(Space::Session, vec![id; 4]);
        let record = |byte: u8| Some(Record(vec![byte; 10].into()));
        cache.fill(key(1), record(1));
        assert_eq!(cache.bytes(), ENTRY_OVERHEAD + 2 * 4 + 10);
        assert!(matches!(cache.lookup(&key(1)), Lookup::Known(found, DURABLE) if found == record(1)));
        cache.put(key(1), record(2), 7);
        cache.fill(key(1), record(3));
        assert!(matches!(cache.lookup(&key(1)), Lookup::Known(found, 7) if found == record(2)));
        assert_eq!(cache.bytes(), ENTRY_OVERHEAD + 2 * 4 + 10);
    }

    #[test]
    fn the_record_that_was_used_longest_ago_goes_first() {
        let mut cache = Cache::default();
        let key = |id: u8| Key::new(Space::Session, vec![id]);
        for id in 0..4 {
            cache.fill(key(id), None);
        }
        for id in [0, 2, 0, 1] {
            cache.lookup(&key(id));
        }
        for (left, gone) in [(3, 3), (2, 2), (1, 0)] {
            cache.shrink_to(left * (ENTRY_OVERHEAD + 2), &BTreeSet::new());
            assert!(cache.lacks(&key(gone)), "{gone}");
        }
        assert!(!cache.lacks(&key(1)));
    }
}
