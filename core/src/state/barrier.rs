//! The commit barrier: what leaves waits for what it depends on.
//!
//! Writes of finished transactions gather in the *growing* commit. At most one commit is *in flight*; while it is, the
//! next one grows. Effects wait in the commit that they depend on and are released in order when it is durable.

use crate::api::{Commit, CommitError, CommitId, Epoch, Key, Misuse, Record};
use std::collections::BTreeMap;

/// How long a store that was busy is left alone, in milliseconds: doubled up to the limit.
const RETRY_FIRST_MS: u64 = 50;
const RETRY_LIMIT_MS: u64 = 5_000;

/// Holds effects of type `E`.
pub(crate) struct Barrier<E> {
    epoch: Epoch,
    growing: Batch<E>,
    in_flight: Option<Flight<E>>,
    next_id: u64,
    /// Generation of the growing commit; the one in flight is of the generation before.
    generation: u64,
}

struct Batch<E> {
    writes: BTreeMap<Key, Option<Record>>,
    held: Vec<E>,
    bytes: usize,
}

struct Flight<E> {
    id: CommitId,
    batch: Batch<E>,
    /// Set while the store is busy: when to offer the commit again.
    retry_at: Option<u64>,
    retry_pause: u64,
}

/// What the store's answer means.
#[derive(Debug)]
pub(crate) enum Verdict<E> {
    /// These effects may leave now; these keys are durable in `generation`.
    Durable {
        /// In the order they arose.
        released: Vec<E>,
        /// What the commit wrote.
        keys: Vec<Key>,
        /// The commit's generation.
        generation: u64,
    },
    /// The same commit is offered again later.
    Again,
    /// The client has faulted.
    Fault(CommitError),
}

impl<E> Default for Batch<E> {
    fn default() -> Self {
        Self { writes: BTreeMap::new(), held: Vec::new(), bytes: 0 }
    }
}

impl<E> Barrier<E> {
    pub(crate) fn new(epoch: Epoch) -> Self {
        Self { epoch, growing: Batch::default(), in_flight: None, next_id: 1, generation: 1 }
    }

    /// Generation that writes applied now belong to.
    pub(crate) const fn generation(&self) -> u64 {
        self.generation
    }

    /// Adds writes to the growing commit; the later write of a key wins.
    pub(crate) fn write(&mut self, key: Key, record: Option<Record>) {
        self.growing.bytes += key.id.len() + record.as_ref().map_or(0, |record| record.0.len());
        self.growing.writes.insert(key, record);
    }

    /// Holds `effect` until the commit of generation `depends_on` is durable, or gives it back if it already is.
    pub(crate) fn hold(&mut self, depends_on: u64, effect: E) -> Option<E> {
        if depends_on >= self.generation {
            self.growing.held.push(effect);
            return None;
        }
        match &mut self.in_flight {
            Some(flight) if depends_on + 1 == self.generation => {
                flight.batch.held.push(effect);
                None
            }
            _ => Some(effect),
        }
    }

    /// Bytes that wait to be written.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.growing.bytes + self.in_flight.as_ref().map_or(0, |flight| flight.batch.bytes)
    }

    /// The next commit to hand to the store: a new one if none is in flight and something was written, or the one in
    /// flight again when the store has had its pause.
    pub(crate) fn next_commit(&mut self, mono: u64) -> Option<Commit> {
        let id = CommitId(self.next_id);
        if let Some(flight) = &mut self.in_flight {
            flight.retry_at.take_if(|at| *at <= mono)?;
            self.next_id += 1;
            flight.id = id;
            return Some(Self::commit(id, self.epoch, &flight.batch));
        }
        if self.growing.writes.is_empty() {
            return None;
        }
        self.next_id += 1;
        let batch = std::mem::take(&mut self.growing);
        let commit = Self::commit(id, self.epoch, &batch);
        self.in_flight = Some(Flight { id, batch, retry_at: None, retry_pause: RETRY_FIRST_MS });
        self.generation += 1;
        Some(commit)
    }

    /// Whether a commit could be handed to the store now.
    pub(crate) fn can_commit(&self) -> bool {
        self.in_flight.is_none() && !self.growing.writes.is_empty()
    }

    /// Whether everything that was written is durable.
    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight.is_none() && self.growing.writes.is_empty()
    }

    /// When a busy store is to be asked again.
    pub(crate) fn deadline(&self) -> Option<u64> {
        self.in_flight.as_ref().and_then(|flight| flight.retry_at)
    }

    /// Takes the store's answer to the commit `id`.
    pub(crate) fn answer(
        &mut self,
        mono: u64,
        id: CommitId,
        result: Result<(), CommitError>,
    ) -> Result<Verdict<E>, Misuse> {
        let outstanding = self.in_flight.take_if(|flight| flight.id == id && flight.retry_at.is_none());
        let Some(mut flight) = outstanding else { return Err(Misuse::UnknownId("that commit")) };
        match result {
            Ok(()) => Ok(Verdict::Durable {
                released: flight.batch.held,
                keys: flight.batch.writes.into_keys().collect(),
                generation: self.generation - 1,
            }),
            Err(CommitError::Retry) => {
                flight.retry_at = Some(mono.saturating_add(flight.retry_pause));
                flight.retry_pause = (flight.retry_pause * 2).min(RETRY_LIMIT_MS);
                self.in_flight = Some(flight);
                Ok(Verdict::Again)
            }
            Err(error) => Ok(Verdict::Fault(error)),
        }
    }

    fn commit(id: CommitId, epoch: Epoch, batch: &Batch<E>) -> Commit {
        let writes = batch.writes.iter().map(|(key, record)| (key.clone(), record.clone())).collect();
        Commit { id, epoch, writes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Space;

    fn key(number: u8) -> Key {
        Key::new(Space::Session, vec![number])
    }

    fn released(verdict: Verdict<u32>) -> Vec<u32> {
        match verdict {
            Verdict::Durable { released, .. } => released,
            other => panic!("not durable: {other:?}"),
        }
    }

    #[test]
    fn an_effect_that_depends_on_nothing_is_free_at_once() {
        let mut barrier = Barrier::new(Epoch(1));
        barrier.write(key(1), None);
        assert_eq!(barrier.hold(0, 7), Some(7));
    }

    #[test]
    fn effects_are_released_in_order_when_their_commit_is_durable() {
        let mut barrier = Barrier::new(Epoch(1));
        barrier.write(key(1), None);
        assert_eq!(barrier.hold(barrier.generation(), 1), None);
        let first = barrier.next_commit(0).unwrap();
        barrier.write(key(2), None);
        assert_eq!(barrier.hold(barrier.generation(), 3), None);
        // Depends on the commit in flight only.
        assert_eq!(barrier.hold(barrier.generation() - 1, 2), None);
        assert!(barrier.next_commit(0).is_none(), "one commit in flight at a time");
        assert_eq!(released(barrier.answer(0, first.id, Ok(())).unwrap()), [1, 2]);
        let second = barrier.next_commit(0).unwrap();
        assert_eq!(released(barrier.answer(0, second.id, Ok(())).unwrap()), [3]);
        assert!(barrier.next_commit(0).is_none());
    }

    #[test]
    fn writes_of_one_key_are_coalesced() {
        let mut barrier = Barrier::<u32>::new(Epoch(1));
        barrier.write(key(1), None);
        barrier.write(key(1), Some(Record(vec![1].into())));
        assert_eq!(barrier.next_commit(0).unwrap().writes, [(key(1), Some(Record(vec![1].into())))]);
    }

    #[test]
    fn a_busy_store_is_offered_the_same_writes_again_after_a_pause() {
        let mut barrier = Barrier::new(Epoch(1));
        barrier.write(key(1), None);
        barrier.hold(barrier.generation(), 1);
        let first = barrier.next_commit(0).unwrap();
        barrier.write(key(2), None);
        assert!(matches!(barrier.answer(0, first.id, Err(CommitError::Retry)), Ok(Verdict::Again)));
        assert!(barrier.answer(0, first.id, Ok(())).is_err(), "the old id is void");
        assert!(barrier.next_commit(RETRY_FIRST_MS - 1).is_none());
        let again = barrier.next_commit(barrier.deadline().unwrap()).unwrap();
        assert_eq!(again.writes, first.writes);
        assert_ne!(again.id, first.id);
        assert_eq!(released(barrier.answer(0, again.id, Ok(())).unwrap()), [1]);
    }

    #[test]
    fn a_fenced_or_failed_commit_is_a_fault() {
        for error in [CommitError::Fenced, CommitError::Fatal] {
            let mut barrier = Barrier::<u32>::new(Epoch(1));
            barrier.write(key(1), None);
            let commit = barrier.next_commit(0).unwrap();
            assert!(matches!(barrier.answer(0, commit.id, Err(error)), Ok(Verdict::Fault(found)) if found == error));
        }
    }

    #[test]
    fn an_answer_to_an_unknown_commit_is_misuse_and_changes_nothing() {
        let mut barrier = Barrier::<u32>::new(Epoch(1));
        barrier.write(key(1), None);
        let commit = barrier.next_commit(0).unwrap();
        assert!(barrier.answer(0, CommitId(99), Ok(())).is_err());
        assert!(barrier.answer(0, commit.id, Ok(())).is_ok());
    }

    #[test]
    fn what_waits_to_be_written_is_counted_until_it_is_durable() {
        let mut barrier = Barrier::<u32>::new(Epoch(1));
        assert!(barrier.is_idle() && !barrier.can_commit());
        barrier.write(key(1), Some(Record(vec![0; 9].into())));
        barrier.write(Key::new(Space::Session, vec![2; 5]), None);
        assert_eq!(barrier.waiting_bytes(), 1 + 9 + 5);
        assert!(barrier.can_commit() && !barrier.is_idle());
        let commit = barrier.next_commit(0).unwrap();
        barrier.write(key(3), Some(Record(vec![0; 2].into())));
        assert_eq!(barrier.waiting_bytes(), 15 + 3);
        assert!(!barrier.can_commit() && !barrier.is_idle(), "one commit in flight at a time");
        let _ = barrier.answer(0, commit.id, Ok(()));
        assert_eq!(barrier.waiting_bytes(), 3);
        let commit = barrier.next_commit(0).unwrap();
        assert!(!barrier.can_commit() && !barrier.is_idle());
        assert!(
            matches!(barrier.answer(0, commit.id, Ok(())), Ok(Verdict::Durable { generation: 2, keys, .. }) if keys == [key(3)])
        );
        assert!(barrier.is_idle() && barrier.waiting_bytes() == 0);
    }

    #[test]
    fn an_effect_of_a_commit_that_is_durable_is_free_while_a_later_one_is_in_flight() {
        let mut barrier = Barrier::new(Epoch(1));
        barrier.write(key(1), None);
        let first = barrier.generation();
        let commit = barrier.next_commit(0).unwrap();
        let _ = barrier.answer(0, commit.id, Ok(()));
        barrier.write(key(2), None);
        let second = barrier.generation();
        barrier.next_commit(0).unwrap();
        assert_eq!(barrier.hold(first, 1), Some(1));
        assert_eq!(barrier.hold(second, 2), None);
    }

    #[test]
    fn every_commit_has_an_id_of_its_own_and_pauses_grow_to_a_limit() {
        let mut barrier = Barrier::<u32>::new(Epoch(1));
        barrier.write(key(1), None);
        let (mut now, mut ids, mut pauses) = (0, std::collections::BTreeSet::new(), Vec::new());
        for _ in 0..12 {
            let commit = barrier.next_commit(now).unwrap();
            assert!(ids.insert(commit.id), "{:?} again", commit.id);
            let _ = barrier.answer(now, commit.id, Err(CommitError::Retry));
            let deadline = barrier.deadline().unwrap();
            pauses.push(deadline - now);
            now = deadline;
        }
        assert_eq!(pauses[..3], [RETRY_FIRST_MS, 2 * RETRY_FIRST_MS, 4 * RETRY_FIRST_MS]);
        assert_eq!(pauses[11], RETRY_LIMIT_MS);
    }
}
