//! Fuzz input read as a script: small numbers, pieces of bytes, damage done to genuine bytes.
//!
//! Knows no target. Reading never fails: what is not there reads as 0 or as nothing, so that cutting an input short
//! gives a shorter run of the same kind.

/// What is left of an input.
pub struct Script<'b>(&'b [u8]);

impl<'b> Script<'b> {
    /// Reads `bytes` from the start.
    #[must_use]
    pub const fn new(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    /// Whether nothing is left.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// One byte.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A number below `bound`, which is at most 256.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }

    /// Two bytes, big-endian.
    pub fn u16(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// Four bytes, big-endian.
    pub fn u32(&mut self) -> u32 {
        u32::from(self.u16()) << 16 | u32::from(self.u16())
    }

    /// Up to `length` bytes.
    pub fn take(&mut self, length: usize) -> &'b [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A piece behind its length of one byte.
    pub fn short(&mut self) -> &'b [u8] {
        let length = usize::from(self.byte());
        self.take(length)
    }

    /// A piece behind its length of two bytes.
    pub fn piece(&mut self) -> &'b [u8] {
        let length = usize::from(self.u16());
        self.take(length)
    }

    /// Everything that is left.
    pub fn rest(&mut self) -> &'b [u8] {
        std::mem::take(&mut self.0)
    }

    /// `genuine`, with one or more changes or with none.
    pub fn damaged(&mut self, genuine: &[u8]) -> Vec<u8> {
        let mut bytes = genuine.to_vec();
        for _ in 0..=self.below(3) {
            let how = self.below(7);
            if how == 0 {
                continue;
            }
            let at = usize::from(self.u16()) % (bytes.len() + 1);
            match how {
                1 => bytes.truncate(at),
                2 => bytes.extend_from_slice(self.short()),
                3 => drop(bytes.splice(at..at, self.short().iter().copied())),
                4 => {
                    let end = (at + usize::from(self.byte())).min(bytes.len());
                    drop(bytes.splice(at..end, self.short().iter().copied()));
                }
                5 => {
                    for (byte, new) in bytes.iter_mut().skip(at).zip(self.short()) {
                        *byte = *new;
                    }
                }
                _ => {
                    let mask = self.byte();
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte ^= mask;
                    }
                }
            }
        }
        bytes
    }
}
