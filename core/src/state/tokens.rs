//! Trusted-contact tokens: what a contact issued to this account, and when this account issued its own.

use super::record::{BadRecord, Stored, open, seal};
use crate::api::{Record, Space};
use bytes::Bytes;

const VERSION: u8 = 1;

/// The tokens between this account and one contact. Times are in seconds since 1970.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct ContactTokens {
    /// The newest token that the contact issued.
    pub(crate) theirs: Option<Issued>,
    /// When this account last issued one.
    pub(crate) ours: Option<u64>,
}

/// A token with the time of its issue.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Issued {
    pub(crate) token: Bytes,
    pub(crate) at: u64,
}

impl ContactTokens {
    /// Takes a token of the contact, unless a newer one is known.
    pub(crate) fn take(&mut self, issued: Issued) {
        if self.theirs.as_ref().is_none_or(|known| known.at <= issued.at) {
            self.theirs = Some(issued);
        }
    }

    /// The newer of both, each for itself.
    pub(crate) fn joined(mut self, other: Self) -> Self {
        if let Some(issued) = other.theirs {
            self.take(issued);
        }
        Self { theirs: self.theirs, ours: self.ours.max(other.ours) }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
struct TokensRecord {
    #[prost(bytes = "bytes", optional, tag = "1")]
    theirs: Option<Bytes>,
    #[prost(uint64, tag = "2")]
    theirs_at: u64,
    #[prost(uint64, optional, tag = "3")]
    ours: Option<u64>,
}

impl Stored for ContactTokens {
    const SPACE: Space = Space::ContactToken;

    fn seal(&self) -> Record {
        let (theirs, theirs_at) =
            self.theirs.as_ref().map_or((None, 0), |issued| (Some(issued.token.clone()), issued.at));
        seal(VERSION, &TokensRecord { theirs, theirs_at, ours: self.ours })
    }

    fn open(record: &Record) -> Result<Self, BadRecord> {
        let TokensRecord { theirs, theirs_at, ours } = open(VERSION, record)?;
        Ok(Self { theirs: theirs.map(|token| Issued { token, at: theirs_at }), ours })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(theirs: Option<u64>, ours: Option<u64>) -> ContactTokens {
        let issued = |at| Issued { token: vec![u8::try_from(at).unwrap()].into(), at };
        ContactTokens { theirs: theirs.map(issued), ours }
    }

    #[test]
    fn of_two_tokens_the_newer_stays_whichever_way_they_meet() {
        let (a, b) = (tokens(Some(5), Some(9)), tokens(Some(7), None));
        let both = tokens(Some(7), Some(9));
        assert!(a.clone().joined(b.clone()) == both && b.joined(a) == both);
        let mut known = tokens(Some(7), None);
        known.take(Issued { token: vec![1].into(), at: 6 });
        assert!(known == tokens(Some(7), None));
        assert!(ContactTokens::open(&both.seal()) == Ok(both));
    }
}
