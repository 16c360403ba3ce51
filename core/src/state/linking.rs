//! Linking under way: what a restart, or another connection, needs to go on. Gone once the device is linked or the way
//! has failed. Each way of linking has a part of its own; a QR code needs none, its secret is the account's.

use super::passkey::{PasskeyAttempt, PasskeyRecord};
use super::record::{BadRecord, Stored, open, seal};
use crate::api::{Record, Space};
use crate::crypto::KeyPair;
use bytes::Bytes;
use zeroize::{Zeroize, Zeroizing};

/// Id of the one record of this kind.
pub(crate) const ID: &[u8] = b"linking";

const VERSION: u8 = 1;

/// The ways of linking that are under way.
#[derive(Clone, Default)]
#[cfg_attr(test, derive(PartialEq))]
pub(crate) struct Linking {
    /// By a code that is typed on the phone.
    pub(crate) code: Option<CodeAttempt>,
    /// After a scan or a code, when a passkey has to allow it.
    pub(crate) passkey: Option<PasskeyAttempt>,
}

impl Linking {
    /// Whether nothing is under way.
    pub(crate) const fn is_empty(&self) -> bool {
        self.code.is_none() && self.passkey.is_none()
    }
}

/// Linking by a code.
#[derive(Clone)]
#[cfg_attr(test, derive(PartialEq))]
pub(crate) struct CodeAttempt {
    /// The phone's number, digits only.
    pub(crate) number: String,
    /// The eight characters.
    pub(crate) code: Zeroizing<String>,
    /// When it was asked for, in Unix milliseconds.
    pub(crate) asked: u64,
    /// Until when the code is good, in Unix milliseconds; 0 while the server has not taken it.
    pub(crate) until: u64,
    /// Codes made so far, this one included.
    pub(crate) codes: u32,
    /// How often this code was typed.
    pub(crate) tries: u32,
    /// The newest hello to the server.
    pub(crate) hello: Option<Hello>,
}

/// What was said to the server on the connection that existed then.
#[derive(Clone)]
#[cfg_attr(test, derive(PartialEq))]
pub(crate) struct Hello {
    /// The pair whose public half went out under the code.
    pub(crate) ephemeral: KeyPair,
    /// That half as it went out; tells which hello an answer belongs to.
    pub(crate) wrapped: [u8; 80],
    /// The server's name for it, once it has answered. Worth nothing on another connection.
    pub(crate) reference: Option<Bytes>,
    /// The phone was answered: the account's ADV secret is the one that both sides derived.
    pub(crate) finished: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
struct LinkingRecord {
    #[prost(message, optional, tag = "1")]
    code: Option<CodeRecord>,
    #[prost(message, optional, tag = "2")]
    passkey: Option<PasskeyRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
struct CodeRecord {
    #[prost(string, tag = "1")]
    number: String,
    #[prost(string, tag = "2")]
    code: String,
    #[prost(uint64, tag = "3")]
    asked: u64,
    #[prost(uint64, tag = "4")]
    until: u64,
    #[prost(uint32, tag = "5")]
    codes: u32,
    #[prost(uint32, tag = "6")]
    tries: u32,
    #[prost(message, optional, tag = "7")]
    hello: Option<HelloRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
struct HelloRecord {
    #[prost(bytes = "vec", tag = "1")]
    ephemeral: Vec<u8>,
    #[prost(bytes = "bytes", tag = "2")]
    wrapped: Bytes,
    #[prost(bytes = "bytes", optional, tag = "3")]
    reference: Option<Bytes>,
    #[prost(bool, tag = "4")]
    finished: bool,
}

impl Drop for CodeRecord {
    fn drop(&mut self) {
        self.code.zeroize();
    }
}

impl Drop for HelloRecord {
    fn drop(&mut self) {
        self.ephemeral.zeroize();
    }
}

impl Stored for Linking {
    const SPACE: Space = Space::Account;

    fn seal(&self) -> Record {
        let (code, passkey) =
            (self.code.as_ref().map(CodeRecord::from), self.passkey.as_ref().map(PasskeyRecord::from));
        seal(VERSION, &LinkingRecord { code, passkey })
    }

    fn open(record: &Record) -> Result<Self, BadRecord> {
        let found: LinkingRecord = open(VERSION, record)?;
        Ok(Self {
            code: found.code.as_ref().map(CodeAttempt::try_from).transpose()?,
            passkey: found.passkey.as_ref().map(PasskeyAttempt::try_from).transpose()?,
        })
    }
}

impl From<&CodeAttempt> for CodeRecord {
    fn from(attempt: &CodeAttempt) -> Self {
        Self {
            number: attempt.number.clone(),
            code: attempt.code.to_string(),
            asked: attempt.asked,
            until: attempt.until,
            codes: attempt.codes,
            tries: attempt.tries,
            hello: attempt.hello.as_ref().map(|hello| HelloRecord {
                ephemeral: hello.ephemeral.private.expose().to_vec(),
                wrapped: Bytes::copy_from_slice(&hello.wrapped),
                reference: hello.reference.clone(),
                finished: hello.finished,
            }),
        }
    }
}

impl TryFrom<&CodeRecord> for CodeAttempt {
    type Error = BadRecord;

    fn try_from(found: &CodeRecord) -> Result<Self, BadRecord> {
        Ok(Self {
            number: found.number.clone(),
            code: Zeroizing::new(found.code.clone()),
            asked: found.asked,
            until: found.until,
            codes: found.codes,
            tries: found.tries,
            hello: found.hello.as_ref().map(Hello::try_from).transpose()?,
        })
    }
}

impl TryFrom<&HelloRecord> for Hello {
    type Error = BadRecord;

    fn try_from(found: &HelloRecord) -> Result<Self, BadRecord> {
        let private = found.ephemeral.as_slice().try_into().map_err(|_| BadRecord)?;
        Ok(Self {
            ephemeral: KeyPair::from_private(private),
            wrapped: found.wrapped.as_ref().try_into().map_err(|_| BadRecord)?,
            reference: found.reference.clone(),
            finished: found.finished,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_under_way_reads_back() {
        let hello = Hello {
            ephemeral: KeyPair::from_private([3; 32]),
            wrapped: [4; 80],
            reference: Some(Bytes::from_static(b"2@ref")),
            finished: true,
        };
        let attempt = CodeAttempt {
            number: "15551234567".into(),
            code: Zeroizing::new("ABCDEFGH".into()),
            asked: 1_700_000_000_000,
            until: 1_700_000_180_000,
            codes: 2,
            tries: 1,
            hello: Some(hello),
        };
        let record = Linking { code: Some(attempt), passkey: None }.seal();
        let read = Linking::open(&record).unwrap();
        assert_eq!(read.seal(), record);
        let attempt = read.code.unwrap();
        assert_eq!((attempt.code.as_str(), attempt.until), ("ABCDEFGH", 1_700_000_180_000));
        assert_eq!(Linking::open(&Record(record.0.slice(..60))).err(), Some(BadRecord));
        assert!(Linking::open(&Linking::default().seal()).unwrap().is_empty());
    }
}
