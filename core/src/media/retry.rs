//! Media retry notices: asking the phone to upload an object again, and its answer.
//!
//! Owns their encryption and content, for both sides. Knows nothing of the stanzas that carry them.

use super::{MediaKey, RetryError};
use crate::crypto::Secret;
use crate::crypto::symmetric::{aes256_gcm_open, aes256_gcm_seal, hkdf_sha256};
use prost::Message;
use whatsio_proto::mms_retry;

/// Seals and opens the retry notices of one object. Shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct RetryKey(Secret<32>);

/// What the phone answers.
#[derive(Clone, PartialEq, Eq)]
pub struct RetryReply {
    /// What came of it.
    pub result: RetryResult,
    /// Where the object is now; present on success.
    pub direct_path: Option<String>,
    /// The secret of the message, when the phone adds it.
    pub message_secret: Option<Vec<u8>>,
}

/// What came of a request to upload an object again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryResult {
    /// The phone failed; another request may succeed.
    GeneralError,
    /// The object was uploaded again.
    Success,
    /// The phone does not have the object any more.
    NotFound,
    /// The phone could not read the request: the media key known here is not the right one.
    DecryptionError,
}

impl RetryResult {
    /// The result with this number, also used as the code of a plain error; unknown numbers are general errors.
    #[must_use]
    pub const fn from_code(code: i64) -> Self {
        match code {
            1 => Self::Success,
            2 => Self::NotFound,
            3 => Self::DecryptionError,
            _ => Self::GeneralError,
        }
    }

    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> i32 {
        match self {
            Self::GeneralError => 0,
            Self::Success => 1,
            Self::NotFound => 2,
            Self::DecryptionError => 3,
        }
    }
}

impl RetryKey {
    /// The text that it is derived with.
    pub const INFO: &str = "WhatsApp Media Retry Notification";

    /// Derives the key of an object's notices from its media key.
    #[must_use]
    pub fn derive(key: &MediaKey) -> Self {
        Self(hkdf_sha256(None, key.expose(), Self::INFO.as_bytes()))
    }

    /// Seals the request for the object of `message_id`. `iv` must be fresh and random.
    pub fn seal_request(&self, message_id: &str, iv: [u8; 12]) -> Result<Vec<u8>, RetryError> {
        self.seal(message_id, iv, &mms_retry::ServerErrorReceipt { stanza_id: Some(message_id.into()) }.encode_to_vec())
    }

    /// Opens a request, as the phone does. Fails when it is not authentic, malformed, or about another message.
    pub fn open_request(&self, message_id: &str, iv: [u8; 12], sealed: &[u8]) -> Result<(), RetryError> {
        let plaintext = self.open(message_id, iv, sealed)?;
        let request = mms_retry::ServerErrorReceipt::decode(&*plaintext).map_err(|_| RetryError::Malformed)?;
        same_message(request.stanza_id.as_deref(), message_id)
    }

    /// Seals the answer to a request, as the phone does. `iv` must be fresh and random.
    pub fn seal_reply(&self, message_id: &str, iv: [u8; 12], reply: &RetryReply) -> Result<Vec<u8>, RetryError> {
        let notice = mms_retry::MediaRetryNotification {
            stanza_id: Some(message_id.into()),
            direct_path: reply.direct_path.clone(),
            result: Some(reply.result.code()),
            message_secret: reply.message_secret.clone().map(Into::into),
        };
        self.seal(message_id, iv, &notice.encode_to_vec())
    }

    /// Opens the phone's answer. Fails when it is not authentic, malformed, or about another message.
    pub fn open_reply(&self, message_id: &str, iv: [u8; 12], sealed: &[u8]) -> Result<RetryReply, RetryError> {
        let plaintext = self.open(message_id, iv, sealed)?;
        let notice = mms_retry::MediaRetryNotification::decode(&*plaintext).map_err(|_| RetryError::Malformed)?;
        same_message(notice.stanza_id.as_deref(), message_id)?;
        Ok(RetryReply {
            result: RetryResult::from_code(notice.result.unwrap_or_default().into()),
            direct_path: notice.direct_path,
            message_secret: notice.message_secret.map(|secret| secret.to_vec()),
        })
    }

    /// The key itself.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    fn seal(&self, message_id: &str, iv: [u8; 12], plaintext: &[u8]) -> Result<Vec<u8>, RetryError> {
        aes256_gcm_seal(self.0.expose(), &iv, message_id.as_bytes(), plaintext).map_err(|_| RetryError::TooLong)
    }

    fn open(&self, message_id: &str, iv: [u8; 12], sealed: &[u8]) -> Result<Vec<u8>, RetryError> {
        aes256_gcm_open(self.0.expose(), &iv, message_id.as_bytes(), sealed).map_err(|_| RetryError::Authentication)
    }
}

impl std::fmt::Debug for RetryReply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RetryReply").field("result", &self.result).finish_non_exhaustive()
    }
}

fn same_message(named: Option<&str>, message_id: &str) -> Result<(), RetryError> {
    if named == Some(message_id) { Ok(()) } else { Err(RetryError::OtherMessage) }
}
