//! Where the values of end-to-end encryption live: sessions, identities, prekeys, sender keys.

use super::record::{BadRecord, Stored};
use crate::api::{Record, Space};
use crate::crypto::PublicKey;
use crate::signal::{Archive, PreKey, SenderKeyRecord, Session, SignedPreKey};

/// A device's identity key, as it was last seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity(pub(crate) PublicKey);

/// When a phone was last seen with another identity than before, in seconds since 1970; kept by user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IdentitySeen(pub(crate) u64);

const VERSION: u8 = 1;

impl Stored for IdentitySeen {
    const SPACE: Space = Space::Identity;

    fn seal(&self) -> Record {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.0.to_be_bytes());
        Record(bytes.into())
    }

    fn open(record: &Record) -> Result<Self, BadRecord> {
        match record.0.split_first() {
            Some((&VERSION, rest)) => Ok(Self(u64::from_be_bytes(rest.try_into().map_err(|_| BadRecord)?))),
            _ => Err(BadRecord),
        }
    }
}

impl Stored for Identity {
    const SPACE: Space = Space::Identity;

    fn seal(&self) -> Record {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(self.0.as_bytes());
        Record(bytes.into())
    }

    fn open(record: &Record) -> Result<Self, BadRecord> {
        match record.0.split_first() {
            Some((&VERSION, key)) => PublicKey::from_slice(key).map(Self).map_err(|_| BadRecord),
            _ => Err(BadRecord),
        }
    }
}

/// Values of `signal` bring their own versioned records.
macro_rules! stored {
    ($($value:ty => $space:ident),* $(,)?) => {$(
        impl Stored for $value {
            const SPACE: Space = Space::$space;

            fn seal(&self) -> Record {
                Record(self.encode().into())
            }

            fn open(record: &Record) -> Result<Self, BadRecord> {
                Self::decode(&record.0).map_err(|_| BadRecord)
            }
        }
    )*};
}

stored! {
    Session => Session,
    Archive => SessionArchive,
    PreKey => PreKey,
    SignedPreKey => SignedPreKey,
    SenderKeyRecord => SenderKey,
}
