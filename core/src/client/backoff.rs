//! When to connect again.

use crate::crypto::rng::Rng;

/// No pause is longer, in seconds.
const LIMIT_S: u64 = 900;

/// A connection that lived this long after login counts as good, in milliseconds.
pub(crate) const STABLE_MS: u64 = 10_000;

/// Fibonacci pauses from one second on, each up to a tenth longer or shorter, so that many clients do not come back at
/// the same moment.
#[derive(Debug)]
pub(crate) struct Backoff {
    this: u64,
    next: u64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { this: 1, next: 1 }
    }
}

impl Backoff {
    /// Makes the next pause longer by this many steps.
    pub(crate) fn skip(&mut self, steps: u32) {
        for _ in 0..steps {
            self.step();
        }
    }

    fn step(&mut self) {
        (self.this, self.next) = (self.next, (self.this + self.next).min(LIMIT_S));
    }

    /// The next pause, in milliseconds.
    pub(crate) fn pause_ms(&mut self, rng: &mut Rng) -> u64 {
        let pause = self.this * 1000;
        self.step();
        let tenth = pause / 10;
        pause - tenth + u64::from(rng.u32()) % (2 * tenth + 1)
    }
}

/// What was tried since the last connection that counted as good.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    /// Connected again at once.
    restarted: bool,
    /// Endings that are given only a few tries.
    few: u32,
    /// Connections lost or not made.
    pub(crate) failures: u32,
}

impl Attempts {
    /// Whether to connect again at once: once, or a server that always says so would keep both sides busy.
    pub(crate) const fn at_once(&mut self) -> bool {
        !std::mem::replace(&mut self.restarted, true)
    }

    /// Whether one more of `most` tries in a row is left.
    pub(crate) const fn one_more(&mut self, most: u32) -> bool {
        self.few += 1;
        self.few <= most
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Seed;

    #[test]
    fn pauses_grow_to_the_limit_and_stay_within_a_tenth() {
        let mut rng = Rng::new(&Seed::new([3; 32]));
        let mut backoff = Backoff::default();
        let expected = [1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 900, 900, 900];
        for seconds in expected {
            let pause = backoff.pause_ms(&mut rng);
            assert!((seconds * 900..=seconds * 1100).contains(&pause), "{pause} for {seconds} s");
        }
    }
}
