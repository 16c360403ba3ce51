//! Budgets of sending again: what each device has had of a message, and what a chat may still have.

use super::record::{BadRecord, Stored, open, seal};
use crate::api::{Record, Space};
use crate::state::peer::PeerId;

const VERSION: u8 = 1;

/// Devices that are counted for one message; those that ask later get nothing.
const MOST_DEVICES: usize = 256;

/// Record id of what was sent again of the send with the number `sequence`.
pub(crate) fn record_id(sequence: u64) -> Vec<u8> {
    let mut id = sequence.to_be_bytes().to_vec();
    id.push(b'r');
    id
}

/// Record id of what may still be sent again to `peer`.
pub(crate) fn allowance_id(peer: PeerId) -> Vec<u8> {
    let mut id = peer.record_id();
    id.push(b'a');
    id
}

/// Record id of what the phone may still be asked for.
pub(crate) const PHONE_ID: &[u8] = b"phone";

/// Who asked for one message again.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Resends(Vec<Asker>);

/// One device that asked for one message again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asker {
    /// The device, as records are named after it.
    pub(crate) device: Vec<u8>,
    /// How often it was granted.
    pub(crate) granted: u32,
    /// The base key of the session at the last request: one that is still the same did not help.
    pub(crate) base_key: Option<[u8; 32]>,
    /// The application knows that it asks too often.
    pub(crate) told: bool,
    /// The number of the one-time key that it brought last: a request that brings it again is one that came before.
    pub(crate) key: Option<u32>,
}

impl Resends {
    /// What is known of a device; `None` if too many others have asked.
    pub(crate) fn asker(&self, device: Vec<u8>) -> Option<Asker> {
        match self.0.iter().find(|asker| asker.device == device) {
            Some(known) => Some(known.clone()),
            None if self.0.len() < MOST_DEVICES => {
                Some(Asker { device, granted: 0, base_key: None, told: false, key: None })
            }
            None => None,
        }
    }

    /// Keeps what is known of a device.
    pub(crate) fn keep(&mut self, asker: Asker) {
        match self.0.iter_mut().find(|known| known.device == asker.device) {
            Some(known) => *known = asker,
            None => self.0.push(asker),
        }
    }
}

/// A bucket of tokens: one is taken for each message that is sent again, and they come back with time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    tokens: u32,
    /// When the last one came back, in milliseconds since 1970.
    since: u64,
}

impl Allowance {
    /// A full one.
    pub(crate) const fn full(now: u64, most: u32) -> Self {
        Self { tokens: most, since: now }
    }

    /// Takes a token if there is one. A clock that was put back brings none.
    pub(crate) fn take(&mut self, now: u64, most: u32, refill_ms: u64) -> bool {
        let refill_ms = refill_ms.max(1);
        // A clock that ran ahead and was put right must not stop the refill until that time comes.
        self.since = self.since.min(now);
        let back = now.saturating_sub(self.since) / refill_ms;
        self.tokens = self.tokens.saturating_add(u32::try_from(back).unwrap_or(u32::MAX)).min(most);
        self.since = if self.tokens == most { now } else { self.since + back * refill_ms };
        let is_granted = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        is_granted
    }

    /// How long until the next token comes back, in milliseconds, after one could not be taken.
    pub(crate) const fn wait(&self, now: u64, refill_ms: u64) -> u64 {
        self.since.saturating_add(refill_ms).saturating_sub(now)
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct ResendsRecord {
    #[prost(message, repeated, tag = "1")]
    askers: Vec<AskerRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AskerRecord {
    #[prost(bytes = "vec", tag = "1")]
    device: Vec<u8>,
    #[prost(uint32, tag = "2")]
    granted: u32,
    #[prost(bytes = "vec", tag = "3")]
    base_key: Vec<u8>,
    #[prost(bool, tag = "4")]
    told: bool,
    #[prost(uint32, optional, tag = "5")]
    key: Option<u32>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AllowanceRecord {
    #[prost(uint32, tag = "1")]
    tokens: u32,
    #[prost(uint64, tag = "2")]
    since: u64,
}

impl Stored for Resends {
    const SPACE: Space = Space::Outbox;

    fn seal(&self) -> Record {
        let askers = self.0.iter().map(|asker| AskerRecord {
            device: asker.device.clone(),
            granted: asker.granted,
            base_key: asker.base_key.map(Vec::from).unwrap_or_default(),
            told: asker.told,
            key: asker.key,
        });
        seal(VERSION, &ResendsRecord { askers: askers.collect() })
    }

    fn open(record: &Record) -> Result<Self, BadRecord> {
        let found: ResendsRecord = open(VERSION, record)?;
        let askers = found.askers.into_iter().map(|asker| {
            let base_key = match asker.base_key.as_slice() {
                [] => None,
                bytes => Some(bytes.try_into().map_err(|_| BadRecord)?),
            };
            Ok(Asker { device: asker.device, granted: asker.granted, base_key, told: asker.told, key: asker.key })
        });
        Ok(Self(askers.collect::<Result<_, _>>()?))
    }
}

impl Stored for Allowance {
    const SPACE: Space = Space::Outbox;

    fn seal(&self) -> Record {
        seal(VERSION, &AllowanceRecord { tokens: self.tokens, since: self.since })
    }

    fn open(record: &Record) -> Result<Self, BadRecord> {
        let AllowanceRecord { tokens, since } = open(VERSION, record)?;
        Ok(Self { tokens, since })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_with_time_and_never_more_than_there_were() {
        let mut bucket = Allowance::full(1_000, 2);
        let mut take = |now| bucket.take(now, 2, 100);
        assert_eq!([take(1_000), take(1_000), take(1_050)], [true, true, false]);
        assert_eq!([take(1_100), take(1_199)], [true, false], "one every 100 ms");
        assert!(!take(500), "a clock that was put back brings none");
        assert_eq!([take(9_000), take(9_000), take(9_000)], [true, true, false]);
    }

    #[test]
    fn devices_are_counted_up_to_a_limit() {
        let mut resends = Resends::default();
        for number in 0..MOST_DEVICES {
            let asker = resends.asker(number.to_be_bytes().to_vec()).unwrap();
            resends.keep(Asker { granted: 1, base_key: Some([7; 32]), ..asker });
        }
        assert_eq!(resends.asker(vec![0xff]), None);
        assert_eq!(resends.asker(3_usize.to_be_bytes().to_vec()).map(|asker| asker.granted), Some(1));
        assert_eq!(Resends::open(&resends.seal()), Ok(resends));
    }

    #[test]
    fn record_ids_are_none_of_the_entries_own() {
        assert_eq!(record_id(0x0102), [0, 0, 0, 0, 0, 0, 1, 2, b'r']);
        assert_eq!(allowance_id(PeerId(0x0102)), [0, 0, 0, 0, 0, 0, 1, 2, b'a']);
    }

    #[test]
    fn an_empty_budget_says_how_long_to_wait() {
        let bucket = Allowance::full(1_000, 0);
        assert_eq!([bucket.wait(1_000, 100), bucket.wait(1_070, 100), bucket.wait(1_200, 100)], [100, 30, 0]);
    }
}
