//! A stack of small values that allocates only when it grows deeper than real stanzas are.

/// The first sixteen values live in place.
pub(super) struct Stack<T> {
    inline: [T; INLINE],
    spill: Vec<T>,
    len: usize,
}

const INLINE: usize = 16;

impl<T: Copy + Default> Stack<T> {
    pub(super) fn new() -> Self {
        Self { inline: [T::default(); INLINE], spill: Vec::new(), len: 0 }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn push(&mut self, value: T) {
        match self.inline.get_mut(self.len) {
            Some(place) => *place = value,
            None => self.spill.push(value),
        }
        self.len += 1;
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let value = *self.top()?;
        self.len -= 1;
        if self.len >= INLINE {
            self.spill.pop();
        }
        Some(value)
    }

    pub(super) fn top(&mut self) -> Option<&mut T> {
        let last = self.len.checked_sub(1)?;
        match last.checked_sub(INLINE) {
            Some(at) => self.spill.get_mut(at),
            None => self.inline.get_mut(last),
        }
    }

    pub(super) fn clear(&mut self) {
        self.spill.clear();
        self.len = 0;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.inline.iter().take(self.len).chain(&self.spill)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_in_reverse_order_past_the_inline_part() {
        let mut stack = Stack::new();
        for value in 0..100_u32 {
            stack.push(value);
        }
        assert_eq!(stack.iter().copied().collect::<Vec<_>>(), (0..100).collect::<Vec<_>>());
        for value in (0..100).rev() {
            assert_eq!(stack.len(), value as usize + 1);
            assert_eq!(stack.pop(), Some(value));
        }
        assert_eq!(stack.pop(), None);
        assert!(stack.is_empty());
    }
}
