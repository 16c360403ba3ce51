//! What the server does not let the account do at the moment.

use super::record::{BadRecord, Stored, open, seal};
use crate::api::{Record, Restriction, Space};

const VERSION: u8 = 1;

/// Id of the one record of this kind.
pub(crate) const ID: &[u8] = b"restriction";

/// The restriction that was in force when the server last spoke of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Restricted(pub(crate) Restriction);

#[derive(Clone, PartialEq, prost::Message)]
struct RestrictedRecord {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(uint64, optional, tag = "2")]
    until: Option<u64>,
}

impl Stored for Restricted {
    const SPACE: Space = Space::Account;

    fn seal(&self) -> Record {
        seal(VERSION, &RestrictedRecord { kind: self.0.kind.clone(), until: self.0.until })
    }

    fn open(record: &Record) -> Result<Self, BadRecord> {
        let RestrictedRecord { kind, until } = open(VERSION, record)?;
        Ok(Self(Restriction { kind, until }))
    }
}
