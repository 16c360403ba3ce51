//! Which life of an account this is. Survives even the account: a store goes on refusing what is older.

use super::record::{BadRecord, Stored, open, seal};
use crate::api::{Epoch, Record, Space};

const VERSION: u8 = 1;

/// Id of the one record of this kind.
pub(crate) const ID: &[u8] = b"life";

/// The epoch that the newest life's commits carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Life(pub(crate) Epoch);

#[derive(Clone, PartialEq, prost::Message)]
struct LifeRecord {
    #[prost(fixed64, tag = "1")]
    epoch: u64,
}

impl Stored for Life {
    const SPACE: Space = Space::Account;

    fn seal(&self) -> Record {
        seal(VERSION, &LifeRecord { epoch: self.0.0 })
    }

    fn open(record: &Record) -> Result<Self, BadRecord> {
        let found: LifeRecord = open(VERSION, record)?;
        Ok(Self(Epoch(found.epoch)))
    }
}
