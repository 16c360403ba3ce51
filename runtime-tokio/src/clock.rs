//! The host's clocks and entropy, as the data that the core takes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;
use whatsio_core::types::{Now, Seed};

/// Reads both clocks; deadlines of the core turn back into instants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { origin: Instant::now() }
    }

    pub(crate) fn now(self) -> Now {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { mono: milliseconds(self.origin.elapsed()), unix: milliseconds(unix) }
    }

    /// The instant of a reading of `Now::mono`; far ones are cut to a day, since a tick too early is harmless.
    pub(crate) fn instant(self, mono: u64) -> Instant {
        let ahead = mono.saturating_sub(milliseconds(self.origin.elapsed())).min(DAY_MS);
        Instant::now() + Duration::from_millis(ahead)
    }
}

/// 32 fresh bytes from the operating system. Fails when it has no generator to offer.
pub(crate) fn fresh_seed() -> Result<Seed, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(Seed::new(bytes))
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

const DAY_MS: u64 = 24 * 3600 * 1000;
