//! Which job runs next. Jobs of one lane run in order; lanes do not wait for each other.
//!
//! A job that misses records parks its lane until they are loaded; one that needs an answer of the server parks it until
//! the answer has come.

use crate::api::{Key, LoadId};
use crate::flow::{Failure, Job, Lane, Need};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

#[derive(Default)]
pub(crate) struct Schedule {
    lanes: BTreeMap<Lane, Queue>,
    ready: VecDeque<Lane>,
    waiters: BTreeMap<Need, BTreeSet<Lane>>,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    parked: Option<Parked>,
    /// Records that were loaded for the first job; kept in memory until it is done, or it might never see all at once.
    pins: BTreeSet<Key>,
}

enum Parked {
    Loading(LoadId, Vec<Key>),
    /// Until the time (monotonic milliseconds) when a failed load may be tried again.
    Pausing(u64),
    Awaiting(BTreeSet<Need>),
    /// Until everything that was written is durable.
    Settling,
}

impl Schedule {
    /// Adds a job at the end of its lane. A send that changes lanes goes before those that were accepted after it, but for
    /// the one that has begun.
    pub(crate) fn push(&mut self, lane: Lane, job: Job) {
        let queue = self.lanes.entry(lane.clone()).or_default();
        let begun = usize::from(queue.parked.is_some());
        let later = |other: &Job| job.sequence().zip(other.sequence()).is_some_and(|(own, other)| own < other);
        let at = queue.jobs.iter().skip(begun).position(later).map_or(queue.jobs.len(), |at| at + begun);
        queue.jobs.insert(at, job);
        if queue.jobs.len() == 1 && queue.parked.is_none() {
            self.ready.push_back(lane);
        }
    }

    /// Takes the next job that can run.
    pub(crate) fn next(&mut self) -> Option<(Lane, Job)> {
        while let Some(lane) = self.ready.pop_front() {
            let Some(queue) = self.lanes.get_mut(&lane) else { continue };
            if queue.parked.is_some() {
                continue;
            }
            match queue.jobs.pop_front() {
                Some(job) => return Some((lane, job)),
                None => {
                    self.lanes.remove(&lane);
                }
            }
        }
        None
    }

    /// The job taken from `lane` is done: the lane's next one may run.
    pub(crate) fn done(&mut self, lane: Lane) {
        match self.lanes.get_mut(&lane) {
            Some(queue) if queue.jobs.is_empty() => {
                self.lanes.remove(&lane);
            }
            Some(queue) => {
                queue.pins.clear();
                self.ready.push_back(lane);
            }
            None => {}
        }
    }

    /// Puts the job back and parks its lane until `load` is answered.
    pub(crate) fn park_loading(&mut self, lane: Lane, job: Job, load: LoadId, keys: Vec<Key>) {
        let queue = self.park(lane, job);
        queue.pins.extend(keys.iter().cloned());
        queue.parked = Some(Parked::Loading(load, keys));
    }

    /// Puts the job back and parks its lane until every one of `needs` is settled.
    pub(crate) fn park_awaiting(&mut self, lane: Lane, job: Job, needs: BTreeSet<Need>) {
        for need in &needs {
            self.waiters.entry(need.clone()).or_default().insert(lane.clone());
        }
        self.park(lane, job).parked = Some(Parked::Awaiting(needs));
    }

    /// Puts the job back and parks its lane until `at`; then it asks anew for what may have changed.
    pub(crate) fn park_pausing(&mut self, lane: Lane, mut job: Job, at: u64) {
        job.forget_answers();
        self.park(lane, job).parked = Some(Parked::Pausing(at));
    }

    /// Puts the job back and parks its lane until everything that was written is durable.
    pub(crate) fn park_settling(&mut self, lane: Lane, job: Job) {
        self.park(lane, job).parked = Some(Parked::Settling);
    }

    /// Everything that was written is durable.
    pub(crate) fn settled(&mut self) {
        self.unpark(|parked| matches!(parked, Parked::Settling));
    }

    /// Adds a job in front of all others of its lane.
    pub(crate) fn push_front(&mut self, lane: Lane, job: Job) {
        self.lanes.entry(lane.clone()).or_default().jobs.push_front(job);
        self.ready.push_back(lane);
    }

    /// The keys that `load` asked for, if it is outstanding.
    pub(crate) fn keys_of(&self, load: LoadId) -> Option<&[Key]> {
        self.lanes.values().find_map(|queue| match &queue.parked {
            Some(Parked::Loading(id, keys)) if *id == load => Some(keys.as_slice()),
            _ => None,
        })
    }

    /// `load` was answered: its lane goes on.
    pub(crate) fn loaded(&mut self, load: LoadId) {
        self.unpark(|parked| matches!(parked, Parked::Loading(id, _) if *id == load));
    }

    /// `load` failed: its lane goes on at `at`, and asks again.
    pub(crate) fn pause(&mut self, load: LoadId, at: u64) {
        for queue in self.lanes.values_mut() {
            if matches!(&queue.parked, Some(Parked::Loading(id, _)) if *id == load) {
                queue.parked = Some(Parked::Pausing(at));
            }
        }
    }

    /// Lets lanes go on whose pause is over.
    pub(crate) fn tick(&mut self, mono: u64) {
        self.unpark(|parked| matches!(parked, Parked::Pausing(at) if *at <= mono));
    }

    /// When the first pause is over.
    pub(crate) fn deadline(&self) -> Option<u64> {
        let pauses = self.lanes.values().filter_map(|queue| match &queue.parked {
            Some(Parked::Pausing(at)) => Some(*at),
            _ => None,
        });
        pauses.min()
    }

    /// Whether somebody already waits for `need`, so that it must not be asked again.
    pub(crate) fn is_awaited(&self, need: &Need) -> bool {
        self.waiters.contains_key(need)
    }

    /// What was waited for has come, or never will: tells the jobs that waited, and lets those go on that wait for
    /// nothing else.
    pub(crate) fn settle(&mut self, need: &Need, result: Result<(), Failure>) {
        for lane in self.waiters.remove(need).unwrap_or_default() {
            let Some(queue) = self.lanes.get_mut(&lane) else { continue };
            let Some(Parked::Awaiting(needs)) = &mut queue.parked else { continue };
            needs.remove(need);
            if let Some(job) = queue.jobs.front_mut() {
                job.note(need.clone(), result);
            }
            if needs.is_empty() {
                queue.parked = None;
                self.ready.push_back(lane);
            }
        }
    }

    /// Drops every job that only makes sense on the connection that is gone.
    pub(crate) fn drop_connection_work(&mut self) {
        self.waiters.clear();
        self.lanes.retain(|lane, queue| {
            if matches!(queue.parked, Some(Parked::Awaiting(_))) {
                queue.parked = None;
            }
            queue.jobs.retain(Job::outlives_connection);
            if queue.jobs.is_empty() {
                // The answer to a load still comes, and must find its question.
                return queue.parked.is_some();
            }
            if queue.parked.is_none() && !self.ready.contains(lane) {
                self.ready.push_back(lane.clone());
            }
            true
        });
    }

    /// Jobs of `lane` that wait.
    pub(crate) fn waiting(&self, lane: &Lane) -> usize {
        self.lanes.get(lane).map_or(0, |queue| queue.jobs.len())
    }

    /// Whether a job could run now.
    pub(crate) fn is_idle(&self) -> bool {
        self.ready.is_empty()
    }

    /// Records that parked jobs are about to read; they must not be dropped from memory.
    pub(crate) fn pinned(&self) -> BTreeSet<Key> {
        self.lanes.values().flat_map(|queue| &queue.pins).cloned().collect()
    }

    fn park(&mut self, lane: Lane, job: Job) -> &mut Queue {
        let queue = self.lanes.entry(lane).or_default();
        queue.jobs.push_front(job);
        queue
    }

    fn unpark(&mut self, is_over: impl Fn(&Parked) -> bool) {
        for (lane, queue) in &mut self.lanes {
            if queue.parked.take_if(|parked| is_over(parked)).is_some() {
                self.ready.push_back(lane.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Space;
    use crate::state::peer::PeerId;
    use crate::types::{Jid, Server};

    fn user(name: &str) -> Jid {
        Jid::new(name, Server::Lid)
    }

    fn send(sequence: u64, chat: &str) -> Job {
        Job::send(sequence, PeerId(u64::from(chat.as_bytes()[0])))
    }

    fn push(schedule: &mut Schedule, job: Job) {
        schedule.push(job.lane(), job);
    }

    fn sequence(job: &Job) -> u64 {
        match job {
            Job::Send { sequence, .. } => *sequence,
            other => panic!("not a send: {other:?}"),
        }
    }

    /// Runs whatever can run, and names it.
    fn drain(schedule: &mut Schedule) -> Vec<u64> {
        let mut done = Vec::new();
        while let Some((lane, job)) = schedule.next() {
            done.push(sequence(&job));
            schedule.done(lane);
        }
        done
    }

    #[test]
    fn a_parked_lane_keeps_its_order_and_holds_up_no_other() {
        let mut schedule = Schedule::default();
        for (number, chat) in [(1, "a"), (2, "a"), (3, "b")] {
            push(&mut schedule, send(number, chat));
        }
        let (lane, job) = schedule.next().unwrap();
        schedule.park_loading(lane, job, LoadId(7), vec![Key::new(Space::Session, "k")]);
        assert_eq!(drain(&mut schedule), [3]);
        assert_eq!(schedule.pinned().len(), 1);
        schedule.loaded(LoadId(7));
        assert_eq!(drain(&mut schedule), [1, 2]);
        assert!(schedule.pinned().is_empty());
    }

    #[test]
    fn all_who_wait_for_one_answer_go_on_together_and_hear_of_its_failure() {
        let mut schedule = Schedule::default();
        let need = Need::Devices(user("x"));
        for (number, chat) in [(1, "a"), (2, "b")] {
            push(&mut schedule, send(number, chat));
            let (lane, job) = schedule.next().unwrap();
            schedule.park_awaiting(lane, job, BTreeSet::from([need.clone()]));
        }
        assert!(schedule.is_awaited(&need));
        schedule.settle(&need, Err(Failure::Gone));
        assert!(!schedule.is_awaited(&need));
        for _ in 0..2 {
            let (lane, job) = schedule.next().unwrap();
            assert!(matches!(&job, Job::Send { settled, .. } if settled.get(&need) == Some(&Err(Failure::Gone))));
            schedule.done(lane);
        }
    }

    #[test]
    fn a_lost_connection_drops_its_work_but_still_knows_the_loads_it_asked_for() {
        let mut schedule = Schedule::default();
        push(&mut schedule, send(1, "a"));
        let (lane, job) = schedule.next().unwrap();
        schedule.park_loading(lane, job, LoadId(7), vec![Key::new(Space::Session, "k")]);
        schedule.drop_connection_work();
        assert!(schedule.keys_of(LoadId(7)).is_some(), "the host's answer is no misuse");
        schedule.loaded(LoadId(7));
        assert!(schedule.next().is_none());
        push(&mut schedule, send(2, "a"));
        assert_eq!(drain(&mut schedule), [2]);
    }

    #[test]
    fn a_failed_load_is_tried_again_after_its_pause() {
        let mut schedule = Schedule::default();
        push(&mut schedule, send(1, "a"));
        let (lane, job) = schedule.next().unwrap();
        schedule.park_loading(lane, job, LoadId(7), vec![Key::new(Space::Session, "k")]);
        schedule.pause(LoadId(7), 500);
        schedule.tick(499);
        assert!(schedule.next().is_none());
        assert_eq!(schedule.deadline(), Some(500));
        schedule.tick(500);
        assert_eq!(drain(&mut schedule), [1]);
    }
}
