//! Whether both sides kept the contract between host and client, as far as can be seen without keys.

use super::entry::Answer;
use super::line::{Line, What};
use super::shape::{Kind, Shape};
use crate::api::{CommitId, EventId};
use std::collections::BTreeSet;

/// A call after a deadline by this much is late. Schedulers are never exact.
const LATE_MS: u64 = 1_000;

/// Violations that are kept; the others are counted.
const KEPT: usize = 100;

/// Follows a recording line by line.
#[derive(Default)]
pub struct Check {
    contract: Contract,
    loads: BTreeSet<u64>,
    commit: Option<(CommitId, Vec<EventId>)>,
    committed: BTreeSet<u64>,
    /// Events whose records are durable, or were asked for as such.
    durable: BTreeSet<u64>,
    link: Link,
    deadline: Option<u64>,
    wants_frames: bool,
    /// The call that has not been answered, if it was an input of the host.
    input: bool,
    faulted: bool,
}

/// How the contract was kept.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Contract {
    /// What was done that may not be done, each with the number of its line; at most 100.
    pub violations: Vec<(u64, Violation)>,
    /// How many there were.
    pub violated: u64,
    /// Loads that were asked for.
    pub loads: u64,
    /// Commits that were asked for.
    pub commits: u64,
    /// Loads and commits that were not answered by the end of the recording: the last ones may not have been.
    pub unanswered: u64,
    /// Bytes given to the client though it wanted none. Allowed, but memory grows by it.
    pub unwanted_frames: u64,
}

/// What was done that may not be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// The host answered a load that was not asked for, or had been answered.
    #[error("host: load {0} was not outstanding")]
    LoadNotOutstanding(u64),
    /// The host answered a commit that was not asked for, or had been answered.
    #[error("host: commit {0} was not outstanding")]
    CommitNotOutstanding(u64),
    /// The host said `opened` though no connection was asked for.
    #[error("host: a connection was opened that was not asked for")]
    NotAskedFor,
    /// The host said `closed` without a connection, or twice.
    #[error("host: a connection was closed that was not there")]
    NotThere,
    /// The host gave bytes without a connection.
    #[error("host: bytes came without a connection")]
    BytesFromNowhere,
    /// The client refused what the host said.
    #[error("host: refused: {0}")]
    Refused(String),
    /// The host called later than the client had asked for, by more than a second.
    #[error("host: called {0} ms after the deadline")]
    Late(u64),
    /// The client asked for a commit before it had heard of the last one.
    #[error("client: commit {0} while another is in flight")]
    TwoCommits(CommitId),
    /// The client let something go that had to wait for a commit.
    #[error("client: something left before commit {0} was durable")]
    BeforeCommit(CommitId),
    /// The client told a durable event that no store has.
    #[error("client: event {0} was told before it was durable")]
    EventBeforeCommit(EventId),
    /// The client gave bytes or a close without a connection.
    #[error("client: wrote without a connection")]
    WroteToNowhere,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Link {
    #[default]
    Down,
    Opening,
    Up,
    Closing,
}

impl Check {
    /// Nothing was seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self { wants_frames: true, ..Self::default() }
    }

    /// Takes the next line, which has this number.
    pub fn line(&mut self, number: u64, line: &Line) {
        match &line.what {
            What::Begin { .. } => self.begin(),
            What::Call { word, id, detail, .. } => self.call(number, line.at_ms, word, id.unwrap_or_default(), detail),
            What::Answer { answer: Answer::Misuse(text), .. } if std::mem::take(&mut self.input) => {
                self.violated(number, Violation::Refused(text.clone()));
            }
            What::Answer { .. } => self.input = false,
            What::Output(shape) => self.output(number, shape),
            What::Rest { deadline_in_ms, wants_frames } => {
                self.deadline = deadline_in_ms.map(|ahead| line.at_ms.saturating_add_signed(ahead));
                self.wants_frames = *wants_frames;
            }
            What::End(_) => {}
        }
    }

    /// What was found.
    #[must_use]
    pub fn finish(mut self) -> Contract {
        self.leave_unanswered();
        self.contract
    }

    fn begin(&mut self) {
        self.leave_unanswered();
        *self = Self { contract: std::mem::take(&mut self.contract), ..Self::new() };
    }

    /// A process that ends answers no more.
    fn leave_unanswered(&mut self) {
        let open = self.loads.len() + usize::from(self.commit.is_some());
        self.contract.unanswered += u64::try_from(open).unwrap_or(u64::MAX);
    }

    fn violated(&mut self, number: u64, violation: Violation) {
        self.contract.violated += 1;
        if self.contract.violations.len() < KEPT {
            self.contract.violations.push((number, violation));
        }
    }

    fn call(&mut self, number: u64, at_ms: u64, word: &str, id: u64, detail: &str) {
        if self.faulted {
            // Answers may have been on their way; nothing counts any more.
            return;
        }
        if let Some(late) = self.deadline.take().and_then(|deadline| at_ms.checked_sub(deadline))
            && late > LATE_MS
        {
            self.violated(number, Violation::Late(late));
        }
        let (link, wrong) = match (word, self.link) {
            ("opened", Link::Opening) => (Link::Up, None),
            // It was made while the client gave it up.
            ("opened", Link::Closing) => (Link::Closing, None),
            ("opened", link) => (link, Some(Violation::NotAskedFor)),
            ("closed", Link::Down) => (Link::Down, Some(Violation::NotThere)),
            ("closed", _) => (Link::Down, None),
            ("frame", link @ (Link::Down | Link::Opening)) => (link, Some(Violation::BytesFromNowhere)),
            (_, link) => (link, None),
        };
        self.link = link;
        self.contract.unwanted_frames += u64::from(word == "frame" && !self.wants_frames);
        let wrong = match word {
            "loaded" | "load-failed" => (!self.loads.remove(&id)).then_some(Violation::LoadNotOutstanding(id)),
            "committed" | "commit-failed" => self.answer_commit(id, word == "committed" && detail.is_empty()),
            _ => wrong,
        };
        // What is told here need not be told again when the client refuses it.
        self.input = wrong.is_none() && INPUTS.contains(&word);
        if let Some(wrong) = wrong {
            self.violated(number, wrong);
        }
    }

    fn answer_commit(&mut self, id: u64, done: bool) -> Option<Violation> {
        let Some((_, events)) = self.commit.take_if(|(commit, _)| commit.0 == id) else {
            return Some(Violation::CommitNotOutstanding(id));
        };
        if done {
            self.committed.insert(id);
            self.durable.extend(events.iter().map(|event| event.0));
        }
        None
    }

    fn output(&mut self, number: u64, shape: &Shape) {
        if let Some(commit) = shape.follows.filter(|commit| !self.committed.contains(&commit.0)) {
            self.violated(number, Violation::BeforeCommit(commit));
        }
        match &shape.kind {
            Kind::Load { id, inbox, .. } => {
                self.contract.loads += 1;
                self.loads.insert(id.0);
                self.durable.extend(inbox.iter().map(|event| event.0));
            }
            Kind::Commit { id, inbox, .. } => {
                self.contract.commits += 1;
                if self.commit.replace((*id, inbox.clone())).is_some() {
                    self.violated(number, Violation::TwoCommits(*id));
                }
            }
            Kind::Open => self.link = Link::Opening,
            Kind::Frame if self.link != Link::Up => self.violated(number, Violation::WroteToNowhere),
            Kind::Close if self.link == Link::Down => self.violated(number, Violation::WroteToNowhere),
            Kind::Close => self.link = Link::Closing,
            Kind::Event { id, durable: true, .. } if !self.durable.contains(&id.0) => {
                self.violated(number, Violation::EventBeforeCommit(*id));
            }
            Kind::Event { word, .. } => self.faulted |= word == "faulted",
            Kind::Frame => {}
        }
    }
}

/// Calls by which a host does its duties; what a user calls may be refused.
const INPUTS: [&str; 10] =
    ["opened", "frame", "closed", "tick", "loaded", "load-failed", "committed", "commit-failed", "handled", "entropy"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::LoadId;

    fn call(word: &str, id: u64) -> What {
        What::Call { word: word.into(), id: Some(id), count: 0, size: 0, detail: String::new(), digest: [0; 16] }
    }

    fn output(kind: Kind, follows: Option<u64>) -> What {
        What::Output(Shape { kind, size: 0, follows: follows.map(CommitId), digest: [0; 16] })
    }

    fn event(id: u64) -> What {
        let (word, detail) = ("message-received".into(), String::new());
        output(Kind::Event { id: EventId(id), word, detail, durable: true, op: None }, None)
    }

    fn commit(id: u64, event: u64) -> What {
        output(Kind::Commit { id: CommitId(id), writes: Vec::new(), inbox: vec![EventId(event)] }, None)
    }

    fn load(id: u64, inbox: &[u64]) -> What {
        let inbox = inbox.iter().map(|id| EventId(*id)).collect();
        output(Kind::Load { id: LoadId(id), spaces: Vec::new(), inbox }, None)
    }

    fn check(whats: Vec<What>) -> Vec<Violation> {
        let mut check = Check::new();
        for (number, what) in (0..).zip(whats) {
            check.line(number, &Line { at_ms: 2_000 * number, jumped_ms: 0, what });
        }
        check.finish().violations.into_iter().map(|(_, violation)| violation).collect()
    }

    #[test]
    fn a_host_and_a_client_that_keep_the_contract_are_not_blamed() {
        let done = vec![
            load(1, &[4]),
            call("loaded", 1),
            event(4),
            commit(1, 7),
            call("committed", 1),
            event(7),
            output(Kind::Open, None),
            call("opened", 0),
            output(Kind::Frame, Some(1)),
            call("frame", 0),
            output(Kind::Close, None),
            call("frame", 0),
            call("closed", 0),
            commit(2, 8),
            What::Rest { deadline_in_ms: Some(1_500), wants_frames: true },
            call("commit-failed", 2),
        ];
        assert_eq!(check(done), []);
    }

    #[test]
    fn every_breach_is_told() {
        let refused = What::Answer { answer: Answer::Misuse("no".into()), digest: [0; 16] };
        for (whats, expected) in [
            (vec![call("loaded", 1)], Violation::LoadNotOutstanding(1)),
            (vec![load(1, &[]), call("loaded", 1), call("load-failed", 1)], Violation::LoadNotOutstanding(1)),
            (vec![commit(1, 0), call("committed", 2)], Violation::CommitNotOutstanding(2)),
            (vec![call("opened", 0)], Violation::NotAskedFor),
            (vec![call("closed", 0)], Violation::NotThere),
            (vec![call("frame", 0)], Violation::BytesFromNowhere),
            (vec![call("handled", 0), refused], Violation::Refused("no".into())),
            (
                vec![What::Rest { deadline_in_ms: Some(500), wants_frames: true }, call("tick", 0)],
                Violation::Late(1_500),
            ),
            (vec![commit(1, 0), commit(2, 0)], Violation::TwoCommits(CommitId(2))),
            (vec![commit(1, 0), output(Kind::Close, Some(1))], Violation::BeforeCommit(CommitId(1))),
            (vec![commit(1, 5), event(5)], Violation::EventBeforeCommit(EventId(5))),
            (vec![output(Kind::Frame, None)], Violation::WroteToNowhere),
        ] {
            assert_eq!(check(whats).first(), Some(&expected));
        }
    }

    #[test]
    fn what_a_user_is_refused_is_no_breach() {
        let refused = What::Answer { answer: Answer::Misuse("no".into()), digest: [0; 16] };
        assert_eq!(check(vec![call("send-message", 0), refused]), []);
    }
}
