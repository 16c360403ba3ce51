//! Bytes that must not leak: wiped on drop, silent in logs, compared in constant time. Knows nothing of what they are for.

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// `N` secret bytes. Wiped on drop, cannot be printed, equality takes the same time whatever differs.
#[derive(Clone)]
pub struct Secret<const N: usize>([u8; N]);

impl<const N: usize> Secret<N> {
    /// Wraps `bytes`. The caller's copy, if it keeps one, is the caller's to wipe.
    #[must_use]
    pub const fn new(bytes: [u8; N]) -> Self {
        Self(bytes)
    }

    /// Copies a slice. `None` unless it has exactly `N` bytes.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes, for feeding another primitive or a record.
    #[must_use]
    pub const fn expose(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> From<[u8; N]> for Secret<N> {
    fn from(bytes: [u8; N]) -> Self {
        Self(bytes)
    }
}

impl<const N: usize> PartialEq for Secret<N> {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl<const N: usize> Eq for Secret<N> {}

impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn slice_of_another_length_is_refused() {
        assert!(Secret::<32>::from_slice(&[0; 31]).is_none());
        assert!(Secret::<2>::from_slice(&[1, 2]) == Some(Secret::from([1, 2])));
    }
}
