//! The generator that every key, nonce and id of the core comes from. Knows nothing of where its entropy comes from.

use crate::types::Seed;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};
use sha2::{Digest, Sha512};
use zeroize::{Zeroize, Zeroizing};

/// A deterministic generator over ChaCha20 that forgets: its key is replaced at every refill and bytes are wiped as
/// they are handed out, so a later look at memory does not reveal earlier keys. Same seed, same bytes.
///
/// Not `Clone` and without a readable `Debug` form, since a copy would repeat keys.
pub struct Rng {
    key: [u8; 32],
    pool: [u8; POOL],
    used: usize,
}

/// Bytes handed out between two keys: four ChaCha blocks less the next key.
const POOL: usize = 224;

impl Rng {
    /// Starts from 32 bytes of host entropy.
    #[must_use]
    pub fn new(seed: &Seed) -> Self {
        Self { key: *seed.expose(), pool: [0; POOL], used: POOL }
    }

    /// Folds fresh entropy in. What comes next depends on both the old state and `seed`.
    pub fn mix(&mut self, seed: &Seed) {
        let mut digest: [u8; 64] = Sha512::new().chain_update(self.key).chain_update(seed.expose()).finalize().into();
        if let Some(key) = digest.first_chunk() {
            self.key = *key;
        }
        digest.zeroize();
        self.pool.zeroize();
        self.used = POOL;
    }

    /// Fills `out` with random bytes.
    pub fn fill(&mut self, mut out: &mut [u8]) {
        while !out.is_empty() {
            if self.used >= POOL {
                self.refill();
            }
            let Some(ready) = self.pool.get_mut(self.used..) else { return };
            let count = ready.len().min(out.len());
            let (now, later) = out.split_at_mut(count);
            for (to, from) in now.iter_mut().zip(ready) {
                *to = std::mem::take(from);
            }
            self.used += count;
            out = later;
        }
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.fill(&mut out);
        out
    }

    /// A random 32-bit number.
    pub fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.bytes())
    }

    /// A random 64-bit number.
    pub fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }

    /// A number below `bound`, each equally likely; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        if bound == 0 {
            return 0;
        }
        // Draws from the incomplete last multiple of `bound` would favour small numbers.
        let refused = (u32::MAX % bound + 1) % bound;
        loop {
            let drawn = self.u32();
            if drawn <= u32::MAX - refused {
                return drawn % bound;
            }
        }
    }

    fn refill(&mut self) {
        let mut stream = ChaCha20Rng::from_seed(self.key);
        let mut next_key = Zeroizing::new([0; 32]);
        stream.fill_bytes(next_key.as_mut_slice());
        stream.fill_bytes(&mut self.pool);
        self.key = *next_key;
        self.used = 0;
    }
}

impl Drop for Rng {
    fn drop(&mut self) {
        self.key.zeroize();
        self.pool.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rng(byte: u8) -> Rng {
        Rng::new(&Seed::new([byte; 32]))
    }

    #[test]
    fn same_seed_gives_same_bytes_however_they_are_drawn() {
        let whole: [u8; 1000] = rng(1).bytes();
        let mut pieces = Vec::new();
        let mut generator = rng(1);
        for size in [1, 7, 300, 692] {
            let mut piece = vec![0; size];
            generator.fill(&mut piece);
            pieces.extend(piece);
        }
        assert_eq!(whole.as_slice(), pieces);
        assert_ne!(whole, rng(2).bytes::<1000>());
    }

    #[test]
    fn mixing_depends_on_old_state_and_on_new_seed() {
        let outcome = |first: u8, second: u8| {
            let mut generator = rng(first);
            generator.mix(&Seed::new([second; 32]));
            generator.bytes::<32>()
        };
        assert_eq!(outcome(1, 2), outcome(1, 2));
        assert_ne!(outcome(1, 2), outcome(1, 3));
        assert_ne!(outcome(1, 2), outcome(2, 2));
    }

    #[test]
    fn numbers_below_a_bound_reach_every_value_and_no_other() {
        let mut generator = rng(3);
        let mut seen = [0; 6];
        for _ in 0..600 {
            seen[generator.below(6) as usize] += 1;
        }
        assert!(seen.iter().all(|&count| count > 50), "{seen:?}");
        assert_eq!(generator.below(1), 0);
        assert_eq!(generator.below(0), 0);
        assert!(generator.below(u32::MAX) < u32::MAX);
    }

    #[test]
    fn handed_out_bytes_are_wiped() {
        let mut generator = rng(4);
        generator.bytes::<100>();
        assert!(generator.pool[..100].iter().all(|&byte| byte == 0));
        assert!(generator.pool[100..].iter().any(|&byte| byte != 0));
    }
}
