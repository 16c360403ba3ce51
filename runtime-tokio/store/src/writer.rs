//! The thread that merges the commits of all accounts into few transactions.
//!
//! Owns the queue and its limits. A durable transaction costs one sync of the disk however much it writes, so all
//! commits that arrive during one sync share the next. Deliberately does not retry: that is the core's decision.

use crate::{AccountId, Store};
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use whatsio_core::api::{Commit, CommitError};

/// The merging thread; see [`Writer::start`].
pub struct Writer {
    store: Arc<dyn Store>,
    queue: Arc<Queue>,
}

/// Hands commits to a [`Writer`]. Clones share it; the thread ends when the last is dropped, or on
/// [`close`](Self::close), after everything submitted has been answered.
#[derive(Clone)]
pub struct WriterHandle(Arc<Running>);

struct Running {
    queue: Arc<Queue>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    work: Condvar,
    room: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    bytes: usize,
    closed: bool,
}

type Done = Box<dyn FnOnce(Result<(), CommitError>) + Send>;

struct Job {
    account: AccountId,
    commit: Commit,
    bytes: usize,
    done: Done,
}

/// Most commits waiting; an account has at most one in flight, so this is also a number of accounts.
const QUEUE_COMMITS: usize = 16_384;
const QUEUE_BYTES: usize = 64 * 1024 * 1024;
const BATCH_COMMITS: usize = 1_024;
/// Keeps one transaction short, so that no account waits long behind another's big commit.
const BATCH_BYTES: usize = 8 * 1024 * 1024;

impl Writer {
    /// Starts the thread. Fails when the system has no thread to give.
    pub fn start(store: Arc<dyn Store>) -> io::Result<WriterHandle> {
        let queue = Arc::new(Queue::default());
        let writer = Self { store, queue: Arc::clone(&queue) };
        let thread = thread::Builder::new().name("whatsio-writer".into()).spawn(move || writer.run())?;
        Ok(WriterHandle(Arc::new(Running { queue, thread: Mutex::new(Some(thread)) })))
    }

    fn run(self) {
        while let Some(jobs) = self.queue.next_batch() {
            let (batch, done): (Vec<_>, Vec<_>) =
                jobs.into_iter().map(|job| ((job.account, job.commit), job.done)).unzip();
            // A store that panics must not leave accounts waiting for ever.
            let mut answers = catch_unwind(AssertUnwindSafe(|| self.store.commit(&batch))).unwrap_or_default();
            answers.resize(batch.len(), Err(CommitError::Fatal));
            for (done, answer) in done.into_iter().zip(answers) {
                answer_to(done, answer);
            }
        }
    }
}

impl WriterHandle {
    /// Queues a commit; `done` is called once with its answer, on the writer's thread, and should return soon.
    ///
    /// Commits are applied in the order submitted. Blocks while the queue is full. After [`close`](Self::close) the
    /// answer is [`CommitError::Fatal`], at once and on the caller's thread.
    pub fn submit(
        &self,
        account: AccountId,
        commit: Commit,
        done: impl FnOnce(Result<(), CommitError>) + Send + 'static,
    ) {
        let mut state = self.0.queue.lock();
        while state.is_full() && !state.closed {
            state = self.0.queue.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        self.push(state, Job::new(account, commit, done));
    }

    /// As [`submit`](Self::submit), for callers that must not block: when the queue is full, `done` is called with
    /// [`CommitError::Retry`] at once, on the caller's thread.
    pub fn try_submit(
        &self,
        account: AccountId,
        commit: Commit,
        done: impl FnOnce(Result<(), CommitError>) + Send + 'static,
    ) {
        let state = self.0.queue.lock();
        if state.is_full() && !state.closed {
            drop(state);
            return done(Err(CommitError::Retry));
        }
        self.push(state, Job::new(account, commit, done));
    }

    /// Answers everything submitted so far, then ends the thread. Blocks for that long, except inside a `done`.
    pub fn close(&self) {
        self.0.close();
    }

    fn push(&self, mut state: MutexGuard<'_, State>, job: Job) {
        if state.closed {
            drop(state);
            return answer_to(job.done, Err(CommitError::Fatal));
        }
        state.bytes += job.bytes;
        state.jobs.push_back(job);
        drop(state);
        self.0.queue.work.notify_one();
    }
}

impl std::fmt::Debug for WriterHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WriterHandle({} waiting)", self.0.queue.lock().jobs.len())
    }
}

impl Running {
    fn close(&self) {
        self.queue.lock().closed = true;
        self.queue.work.notify_all();
        self.queue.room.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A callback may drop the last handle; the thread cannot wait for itself.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != thread::current().id()) {
            drop(thread.join());
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.close();
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for work; `None` when closed and drained.
    fn next_batch(&self) -> Option<Vec<Job>> {
        let mut state = self.lock();
        while state.jobs.is_empty() {
            if state.closed {
                return None;
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let jobs = state.take_batch();
        drop(state);
        self.room.notify_all();
        Some(jobs)
    }
}

impl State {
    fn is_full(&self) -> bool {
        self.jobs.len() >= QUEUE_COMMITS || self.bytes >= QUEUE_BYTES
    }

    /// At least one commit, however big.
    fn take_batch(&mut self) -> Vec<Job> {
        let mut batch = Vec::with_capacity(self.jobs.len().min(BATCH_COMMITS));
        let mut bytes = 0;
        while let Some(job) = self.jobs.pop_front() {
            if !batch.is_empty() && bytes + job.bytes > BATCH_BYTES {
                self.jobs.push_front(job);
                break;
            }
            bytes += job.bytes;
            batch.push(job);
            if batch.len() == BATCH_COMMITS {
                break;
            }
        }
        self.bytes -= bytes;
        batch
    }
}

impl Job {
    fn new(account: AccountId, commit: Commit, done: impl FnOnce(Result<(), CommitError>) + Send + 'static) -> Self {
        let size = |record: &whatsio_core::api::Record| record.0.len();
        let bytes = commit.writes.iter().map(|(key, record)| key.id.len() + record.as_ref().map_or(0, size)).sum();
        Self { account, commit, bytes, done: Box::new(done) }
    }
}

/// A callback that panics is the host's fault and must not stop the others.
fn answer_to(done: Done, answer: Result<(), CommitError>) {
    drop(catch_unwind(AssertUnwindSafe(|| done(answer))));
}
