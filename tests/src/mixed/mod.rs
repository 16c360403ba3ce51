//! A world in which everything goes wrong that can: any number of clients and a relay on virtual time, joined by
//! networks with latency, with stores that answer late or refuse, processes that die after any output, clocks that jump,
//! devices that come and go. One seed decides everything. After every step oracles look at what must never happen, and at
//! the end, when nothing goes wrong any more, at what must have come to be.
//!
//! [`run`] runs one seed; a seed that fails comes with the command that repeats it and the shortest list of steps that
//! still fails.

mod acts;
mod device;
mod dice;
mod engine;
mod keys;
mod ledger;
mod oracles;
mod plan;
mod process;
mod shrink;
mod transcript;
mod wire;

pub use plan::{Act, Namespace, Plan, Quality, Step, Wrong};
pub use shrink::shrink;

use engine::Mixed;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What the true clock shows at the beginning, in milliseconds since 1970.
const BEGIN_UNIX: u64 = 1_790_000_000_000;

/// A process: which device runs it, and in which life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pid {
    device: usize,
    life: u32,
}

/// What a run came to.
pub struct Outcome {
    /// What went wrong, if anything did.
    pub failure: Option<String>,
    /// Digest of everything that crossed a boundary.
    pub digest: [u8; 32],
    /// The same to read, if it was asked for.
    pub lines: Vec<String>,
    /// What took place.
    pub tally: Tally,
}

/// What took place in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Texts that applications sent.
    pub sent: usize,
    /// Texts that applications took.
    pub taken: usize,
    /// Processes that died.
    pub deaths: usize,
    /// Connections that were asked for.
    pub connections: usize,
    /// Messages that could not be read at first.
    pub unread: usize,
    /// Devices that were linked.
    pub linked: usize,
    /// Inputs and outputs of clients.
    pub crossings: u64,
    /// Milliseconds that passed in the world.
    pub virtual_ms: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.taken += other.taken;
        self.deaths += other.deaths;
        self.connections += other.connections;
        self.unread += other.unread;
        self.linked += other.linked;
        self.crossings += other.crossings;
        self.virtual_ms += other.virtual_ms;
    }
}

/// Carries a plan out. `is_read` keeps a transcript to read.
#[must_use]
pub fn run(plan: &Plan, is_read: bool) -> Outcome {
    let mut mixed = Mixed::new(plan.clone(), is_read);
    let ended = catch_unwind(AssertUnwindSafe(|| mixed.carry_out_plan()));
    let failure = ended.err().map(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_else(|| "a panic".to_owned())
    });
    let (tally, (digest, lines)) = mixed.finish();
    Outcome { failure, digest, lines, tally }
}
