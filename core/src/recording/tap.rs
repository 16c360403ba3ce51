//! What listens at a client and writes down all that happens to it.

use super::begin::Begin;
use super::call::Call;
use super::entry::{Answer, Ended, Writer};
use super::shape::Shape;
use crate::api::{CommitId, Config, Input, Key, Output, Record};
use crate::types::{Now, Seed};
use std::collections::VecDeque;
use std::ops::Range;
use zeroize::Zeroizing;

/// Records one client. Not there for one that is not recorded, so that it costs a look at a pointer.
pub(crate) struct Tap {
    writer: Writer,
    /// What the host has not taken yet.
    waiting: Vec<u8>,
    limit: usize,
    /// The last thing written was that there is nothing to do.
    resting: bool,
    ended: bool,
    /// Outputs that have left the queue.
    popped: u64,
    /// Which outputs, counted from the first of all, had to wait for which commit.
    held: VecDeque<(Range<u64>, CommitId)>,
}

impl Tap {
    pub(crate) fn new(config: &Config, seed: &Seed, records: Option<&[(Key, Option<Record>)]>, limit: usize) -> Self {
        let begin = Begin {
            version: env!("CARGO_PKG_VERSION").into(),
            config: config.clone(),
            seed: seed.clone(),
            records: records.map(<[_]>::to_vec),
        };
        let (mut writer, mut waiting) = (Writer::new(), Vec::new());
        writer.begin(&mut waiting, &begin);
        Self { writer, waiting, limit, resting: false, ended: false, popped: 0, held: VecDeque::new() }
    }

    pub(crate) fn input(&mut self, now: Now, input: &Input) {
        self.write(|writer, out| writer.input(out, now, input));
    }

    pub(crate) fn call(&mut self, now: Now, call: &Call) {
        self.write(|writer, out| writer.call(out, now, call));
    }

    pub(crate) fn answer(&mut self, answer: &Answer) {
        self.write(|writer, out| writer.answer(out, answer));
    }

    pub(crate) fn output(&mut self, output: &Output) {
        let shape = Shape::of(output, self.follows(output));
        self.write(|writer, out| writer.output(out, &shape));
    }

    /// There is nothing to do. Asking again changes nothing, so it is written once.
    pub(crate) fn rest(&mut self, deadline: Option<u64>, wants_frames: bool) {
        if !self.resting {
            self.write(|writer, out| writer.rest(out, deadline, wants_frames));
            self.resting = true;
        }
    }

    /// A commit has let outputs go: those from place `from` to place `to` of the queue.
    pub(crate) fn released(&mut self, commit: CommitId, from: usize, to: usize) {
        if from < to && !self.ended {
            let place = |at: usize| self.popped.saturating_add(at as u64);
            self.held.push_back((place(from)..place(to), commit));
        }
    }

    /// So many outputs were dropped from the queue.
    pub(crate) fn dropped(&mut self, count: usize) {
        self.popped = self.popped.saturating_add(count as u64);
    }

    /// What was written since the last time.
    pub(crate) fn take(&mut self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(std::mem::take(&mut self.waiting))
    }

    pub(crate) const fn has_ended(&self) -> bool {
        self.ended
    }

    pub(crate) fn end(&mut self, ended: Ended) {
        if !self.ended {
            self.writer.end(&mut self.waiting, ended);
            self.ended = true;
            self.held = VecDeque::new();
        }
    }

    /// Commits are not in the queue; everything else is.
    fn follows(&mut self, output: &Output) -> Option<CommitId> {
        if matches!(output, Output::Commit(_)) {
            return None;
        }
        let place = self.popped;
        self.popped = self.popped.saturating_add(1);
        while self.held.front().is_some_and(|(places, _)| places.end <= place) {
            self.held.pop_front();
        }
        self.held.front().filter(|(places, _)| places.contains(&place)).map(|(_, commit)| *commit)
    }

    fn write(&mut self, write: impl FnOnce(&mut Writer, &mut Vec<u8>)) {
        if self.ended {
            return;
        }
        self.resting = false;
        write(&mut self.writer, &mut self.waiting);
        if self.waiting.len() > self.limit {
            self.end(Ended::Behind);
        }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.waiting);
    }
}
