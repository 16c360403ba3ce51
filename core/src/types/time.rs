//! Time and entropy as data: the core has neither a clock nor a generator of its own.

use zeroize::Zeroize;

/// A reading of the host's two clocks, passed with every call that can act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    /// Milliseconds since any origin. Never goes backwards; deadlines are on this clock.
    pub mono: u64,
    /// Milliseconds since 1970-01-01 UTC. May jump; only used for times that people or peers see.
    pub unix: u64,
}

impl Now {
    /// The wall clock in whole seconds, as stanzas carry it.
    #[must_use]
    pub const fn unix_seconds(self) -> u64 {
        self.unix / 1000
    }

    /// The same instant `milliseconds` later on both clocks.
    #[must_use]
    pub const fn plus(self, milliseconds: u64) -> Self {
        Self { mono: self.mono.saturating_add(milliseconds), unix: self.unix.saturating_add(milliseconds) }
    }
}

/// 32 bytes of host entropy for the internal generator. Never persisted; every restore gets a fresh one, since a
/// repeated seed with repeated records would repeat keys.
#[derive(Clone)]
pub struct Seed([u8; 32]);

impl Seed {
    /// Wraps bytes that the host drew from its operating system's generator.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, for keying the generator.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
