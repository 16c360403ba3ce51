//! What waited at the server while this device was offline: asked for in batches, so that the rest is not kept back.

/// How many stanzas are asked for at a time; the web client's number.
const BATCH: u64 = 200;

/// How much of the queue the server announced, was asked for, and has come.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    announced: u64,
    asked: u64,
    seen: u64,
}

impl Backlog {
    /// The server says how much there is. Returns how much to ask for.
    pub(crate) const fn announced(&mut self, count: u64) -> u32 {
        *self = Self { announced: count, asked: BATCH, seen: 0 };
        BATCH as u32
    }

    /// A queued stanza has come. Returns how much more to ask for: again when half of the last batch is here, as long
    /// as less was asked for than there is.
    pub(crate) const fn seen(&mut self) -> Option<u32> {
        self.seen += 1;
        if self.asked < self.announced && self.seen + BATCH / 2 >= self.asked {
            self.asked += BATCH;
            return Some(BATCH as u32);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_was_announced_is_asked_for_in_time() {
        let mut backlog = Backlog::default();
        let mut asked = u64::from(backlog.announced(1000));
        for seen in 1..=1000 {
            asked += u64::from(backlog.seen().unwrap_or(0));
            assert!(asked > seen || seen == 1000, "the server runs dry at {seen}");
        }
        assert_eq!(asked, 1000);
    }

    #[test]
    fn a_short_queue_is_asked_for_once() {
        let mut backlog = Backlog::default();
        backlog.announced(30);
        assert!((0..30).all(|_| backlog.seen().is_none()));
    }
}
