//! Linking under way that a passkey has to allow: a part of the record of [`linking`](super::linking).

use super::record::BadRecord;
use crate::crypto::{KeyPair, Secret};
use bytes::Bytes;
use zeroize::Zeroize;

/// One such linking.
#[derive(Clone)]
#[cfg_attr(test, derive(PartialEq))]
pub(crate) struct PasskeyAttempt {
    /// Made from the secret that the phone had scanned or derived; proves that this device is the one it was about.
    pub(crate) handoff_key: Secret<32>,
    /// Until when the proof may be given, in Unix milliseconds.
    pub(crate) handoff_until: u64,
    /// Until when all of it must be done, in Unix milliseconds.
    pub(crate) until: u64,
    /// How far it has come.
    pub(crate) stage: PasskeyStage,
}

/// What is awaited.
#[derive(Clone)]
#[cfg_attr(test, derive(PartialEq))]
pub(crate) enum PasskeyStage {
    /// The server's options: its notification did not bring them.
    Request,
    /// The application's assertion.
    Assertion { request: Bytes },
    /// The server's reference.
    Reference { request: Bytes, assertion: Bytes },
    /// The phone's ephemeral identity.
    Phone { request: Bytes, assertion: Bytes, keys: PasskeyKeys },
    /// That the codes are the same; or only the server's word, if the proof was given.
    Comparison { request: Bytes, keys: PasskeyKeys, primary: Bytes },
    /// The phone's final answer.
    Link { request: Bytes, keys: PasskeyKeys, sealed: Bytes },
}

/// What this side is committed to.
#[derive(Clone)]
#[cfg_attr(test, derive(PartialEq))]
pub(crate) struct PasskeyKeys {
    pub(crate) ephemeral: KeyPair,
    pub(crate) nonce: [u8; 32],
    /// The platform type of the registration.
    pub(crate) device_type: i32,
    /// The server's reference.
    pub(crate) reference: String,
    /// The proof was given: the phone compares no codes.
    pub(crate) proven: bool,
}

impl PasskeyStage {
    /// The server's options, once they are known.
    pub(crate) const fn request(&self) -> Option<&Bytes> {
        match self {
            Self::Request => None,
            Self::Assertion { request }
            | Self::Reference { request, .. }
            | Self::Phone { request, .. }
            | Self::Comparison { request, .. }
            | Self::Link { request, .. } => Some(request),
        }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(crate) struct PasskeyRecord {
    #[prost(bytes = "vec", tag = "1")]
    handoff_key: Vec<u8>,
    #[prost(uint64, tag = "2")]
    handoff_until: u64,
    #[prost(uint64, tag = "3")]
    until: u64,
    #[prost(bytes = "bytes", optional, tag = "4")]
    request: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "5")]
    assertion: Option<Bytes>,
    #[prost(message, optional, tag = "6")]
    keys: Option<KeysRecord>,
    #[prost(bytes = "bytes", optional, tag = "7")]
    primary: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "8")]
    sealed: Option<Bytes>,
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
struct KeysRecord {
    #[prost(bytes = "vec", tag = "1")]
    ephemeral: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    nonce: Vec<u8>,
    #[prost(int32, tag = "3")]
    device_type: i32,
    #[prost(string, tag = "4")]
    reference: String,
    #[prost(bool, tag = "5")]
    proven: bool,
}

impl Drop for PasskeyRecord {
    fn drop(&mut self) {
        self.handoff_key.zeroize();
    }
}

impl Drop for KeysRecord {
    fn drop(&mut self) {
        self.ephemeral.zeroize();
        self.nonce.zeroize();
    }
}

impl From<&PasskeyAttempt> for PasskeyRecord {
    fn from(attempt: &PasskeyAttempt) -> Self {
        let (mut assertion, mut keys, mut primary, mut sealed) = (None, None, None, None);
        match &attempt.stage {
            PasskeyStage::Request | PasskeyStage::Assertion { .. } => {}
            PasskeyStage::Reference { assertion: given, .. } => assertion = Some(given.clone()),
            PasskeyStage::Phone { assertion: given, keys: own, .. } => {
                (assertion, keys) = (Some(given.clone()), Some(own.into()));
            }
            PasskeyStage::Comparison { keys: own, primary: phone, .. } => {
                (keys, primary) = (Some(own.into()), Some(phone.clone()));
            }
            PasskeyStage::Link { keys: own, sealed: said, .. } => {
                (keys, sealed) = (Some(own.into()), Some(said.clone()));
            }
        }
        Self {
            handoff_key: attempt.handoff_key.expose().to_vec(),
            handoff_until: attempt.handoff_until,
            until: attempt.until,
            request: attempt.stage.request().cloned(),
            assertion,
            keys,
            primary,
            sealed,
        }
    }
}

impl TryFrom<&PasskeyRecord> for PasskeyAttempt {
    type Error = BadRecord;

    /// What is there says how far it has come.
    fn try_from(found: &PasskeyRecord) -> Result<Self, BadRecord> {
        let PasskeyRecord { request, assertion, keys, primary, sealed, .. } = found;
        let keys = keys.as_ref().map(PasskeyKeys::try_from).transpose()?;
        let parts = (request.clone(), assertion.clone(), keys, primary.clone(), sealed.clone());
        let stage = match parts {
            (None, None, None, None, None) => PasskeyStage::Request,
            (Some(request), None, None, None, None) => PasskeyStage::Assertion { request },
            (Some(request), Some(assertion), None, None, None) => PasskeyStage::Reference { request, assertion },
            (Some(request), Some(assertion), Some(keys), None, None) => {
                PasskeyStage::Phone { request, assertion, keys }
            }
            (Some(request), None, Some(keys), Some(primary), None) => {
                PasskeyStage::Comparison { request, keys, primary }
            }
            (Some(request), None, Some(keys), None, Some(sealed)) => PasskeyStage::Link { request, keys, sealed },
            _ => return Err(BadRecord),
        };
        Ok(Self {
            handoff_key: Secret::from_slice(&found.handoff_key).ok_or(BadRecord)?,
            handoff_until: found.handoff_until,
            until: found.until,
            stage,
        })
    }
}

impl From<&PasskeyKeys> for KeysRecord {
    fn from(keys: &PasskeyKeys) -> Self {
        Self {
            ephemeral: keys.ephemeral.private.expose().to_vec(),
            nonce: keys.nonce.to_vec(),
            device_type: keys.device_type,
            reference: keys.reference.clone(),
            proven: keys.proven,
        }
    }
}

impl TryFrom<&KeysRecord> for PasskeyKeys {
    type Error = BadRecord;

    fn try_from(found: &KeysRecord) -> Result<Self, BadRecord> {
        let array = |bytes: &[u8]| <[u8; 32]>::try_from(bytes).map_err(|_| BadRecord);
        Ok(Self {
            ephemeral: KeyPair::from_private(array(&found.ephemeral)?),
            nonce: array(&found.nonce)?,
            device_type: found.device_type,
            reference: found.reference.clone(),
            proven: found.proven,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::linking::Linking;
    use super::super::record::Stored;
    use super::*;

    #[test]
    fn every_stage_reads_back() {
        let keys = PasskeyKeys {
            ephemeral: KeyPair::from_private([5; 32]),
            nonce: [6; 32],
            device_type: 1,
            reference: "2@ref".into(),
            proven: true,
        };
        let request = Bytes::from_static(br#"{"challenge":"AQID"}"#);
        let assertion = Bytes::from_static(br#"{"id":"AQID"}"#);
        let (primary, sealed) = (Bytes::from_static(b"primary"), Bytes::from_static(b"sealed"));
        let stages = [
            PasskeyStage::Request,
            PasskeyStage::Assertion { request: request.clone() },
            PasskeyStage::Reference { request: request.clone(), assertion: assertion.clone() },
            PasskeyStage::Phone { request: request.clone(), assertion, keys: keys.clone() },
            PasskeyStage::Comparison { request: request.clone(), keys: keys.clone(), primary },
            PasskeyStage::Link { request, keys, sealed },
        ];
        let mut seen = Vec::new();
        for stage in stages {
            let attempt = PasskeyAttempt {
                handoff_key: Secret::from([4; 32]),
                handoff_until: 1_700_000_300_000,
                until: 1_700_000_600_000,
                stage,
            };
            let record = Linking { code: None, passkey: Some(attempt) }.seal();
            let read = Linking::open(&record).unwrap();
            assert_eq!(read.seal(), record);
            assert!(!read.is_empty());
            let stage = std::mem::discriminant(&read.passkey.unwrap().stage);
            assert!(!seen.contains(&stage));
            seen.push(stage);
        }
        let mut torn = PasskeyRecord::default();
        torn.handoff_key = vec![4; 32];
        torn.sealed = Some(Bytes::new());
        assert_eq!(PasskeyAttempt::try_from(&torn).err(), Some(BadRecord));
    }
}
