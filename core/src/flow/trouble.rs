//! What the server could not give: how often in a row, and when to ask for it again. All who need it share this, so that
//! many chats ask no more often than one. Known to this process only: a restart may ask once more.

use super::{Failure, Need};
use std::collections::BTreeMap;

/// A device goes without after its keys could not be had this often.
pub(crate) const MOST_TRIES: u32 = 4;

/// Things that are remembered; what may be asked for soonest is forgotten first.
const MOST: usize = 1_024;

/// Things that could not be had.
#[derive(Debug, Default)]
pub(crate) struct Troubles(BTreeMap<Need, Trouble>);

#[derive(Debug)]
struct Trouble {
    failures: u32,
    /// When it may be asked for again, in monotonic milliseconds.
    until: u64,
}

impl Troubles {
    /// Notes what became of something that was asked for at `mono`.
    pub(crate) fn note(&mut self, need: &Need, result: Result<(), Failure>, mono: u64) {
        let is_trouble = |failure: Failure| failure.is_passing() || matches!(need, Need::Token(_));
        if !result.is_err_and(is_trouble) {
            self.0.remove(need);
            return;
        }
        let failures = self.failures(need).saturating_add(1);
        self.0.insert(need.clone(), Trouble { failures, until: mono.saturating_add(pause(need, failures)) });
        if self.0.len() > MOST
            && let Some(soonest) = self.0.iter().min_by_key(|(_, trouble)| trouble.until).map(|(need, _)| need.clone())
        {
            self.0.remove(&soonest);
        }
    }

    /// How long until something may be asked for again, in milliseconds; `None` if it may be now.
    pub(crate) fn wait(&self, need: &Need, mono: u64) -> Option<u64> {
        self.0.get(need).map(|trouble| trouble.until.saturating_sub(mono)).filter(|wait| *wait > 0)
    }

    /// How often in a row it could not be had.
    pub(crate) fn failures(&self, need: &Need) -> u32 {
        self.0.get(need).map_or(0, |trouble| trouble.failures)
    }
}

/// How long something is left alone after this many failures: the double each time. Nobody waits for a token that is only
/// due, so there is more patience with it.
fn pause(need: &Need, failures: u32) -> u64 {
    let (first, most) = match need {
        Need::Token(_) => (60_000, 6 * 3_600_000),
        _ => (5_000, 300_000),
    };
    u64::checked_shl(first, failures.saturating_sub(1)).filter(|_| failures < 16).map_or(most, |pause| pause.min(most))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Jid;

    #[test]
    fn pauses_grow_to_a_limit_and_end_with_what_was_wanted() {
        let need = Need::Session(Jid::lid("1"));
        let mut troubles = Troubles::default();
        let mut pauses = Vec::new();
        for _ in 0..9 {
            troubles.note(&need, Err(Failure::Refused(503)), 1_000);
            pauses.push(troubles.wait(&need, 1_000).unwrap() / 1_000);
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
        assert_eq!((troubles.wait(&need, 300_999), troubles.wait(&need, 301_000)), (Some(1), None));
        assert_eq!(troubles.failures(&need), 9);
        troubles.note(&need, Err(Failure::Gone), 400_000);
        assert_eq!(troubles.failures(&need), 0, "that was an answer");
    }

    #[test]
    fn no_more_is_remembered_than_its_limit() {
        let mut troubles = Troubles::default();
        for number in 0..2 * u64::try_from(MOST).unwrap() {
            troubles.note(&Need::Devices(Jid::lid(number.to_string())), Err(Failure::Lost), number);
        }
        assert_eq!(troubles.0.len(), MOST);
        assert_eq!(troubles.failures(&Need::Devices(Jid::lid("0"))), 0);
    }
}
