//! What can go wrong, one enum per operation, and what a retry request says about it. Knows no stanzas.

use thiserror::Error;

/// Bytes that are not one of this room's wire forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The version byte names another version than 3.
    #[error("message version byte {0:#04x} is not supported")]
    UnsupportedVersion(u8),
    /// Truncated, not protobuf, or a required field is missing or has an impossible value.
    #[error("message is malformed")]
    Malformed,
}

/// A stored record that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Written by a newer version.
    #[error("record version {0} is not known")]
    UnknownVersion(u8),
    /// Truncated, too long, or a value is out of its range.
    #[error("record is damaged")]
    Damaged,
}

/// A prekey bundle that no session can be started from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BundleError {
    /// The signed prekey's signature is not the identity's.
    #[error("the signed prekey's signature does not verify")]
    BadSignature,
    /// An agreement with one of the keys gives zero: a point of low order.
    #[error("a key of the bundle is degenerate")]
    DegenerateKey,
}

/// Why a session could not encrypt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncryptError {
    /// The chain has no counter left; only a new session helps.
    #[error("the sending chain is exhausted")]
    CounterExhausted,
    /// The peer's ratchet key gives zero: a point of low order.
    #[error("the peer's ratchet key is degenerate")]
    DegenerateKey,
}

/// Why a pairwise message did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecryptError {
    /// Not a failure: load the archive and call again. Only returned to calls made without it.
    #[error("the session's archive is needed")]
    NeedsArchive,
    /// No state belongs to this message.
    #[error("no session for this message")]
    NoSession,
    /// The counter was used before: the message was already opened.
    #[error("the message was already opened")]
    Duplicate,
    /// The counter jumps further ahead than is allowed.
    #[error("the message is too far in the future")]
    TooFarInFuture,
    /// The authentication code is not that of any state: changed bytes or another session.
    #[error("the message's authentication code does not match")]
    BadMac,
    /// Authentic, but the block padding is not well-formed.
    #[error("the message's block padding is malformed")]
    BadPadding,
    /// Not a message of version 3.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// The one-time prekey it was made for is gone.
    #[error("the message's one-time prekey is not known")]
    UnknownPreKey,
    /// The signed prekey it was made for is gone.
    #[error("the message's signed prekey is not known")]
    UnknownSignedPreKey,
    /// An agreement with one of its keys gives zero: a point of low order.
    #[error("a key of the message is degenerate")]
    DegenerateKey,
}

/// Why a group message did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GroupDecryptError {
    /// The sender's key was never distributed to us, or has been replaced too often since.
    #[error("no sender key for this message")]
    NoSenderKey,
    /// The signature is not that of the sender key.
    #[error("the group message's signature does not verify")]
    BadSignature,
    /// The iteration was used before: the message was already opened, or is older than our copy of the key.
    #[error("the group message was already opened")]
    Duplicate,
    /// The iteration jumps further ahead than is allowed.
    #[error("the group message is too far in the future")]
    TooFarInFuture,
    /// Signed, but the block padding is not well-formed.
    #[error("the group message's block padding is malformed")]
    BadPadding,
    /// Not a message of version 3.
    #[error(transparent)]
    Parse(#[from] ParseError),
}

/// The `error` code of a retry receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
#[repr(u8)]
pub enum RetryReason {
    /// Anything else.
    Unknown = 0,
    /// No session or sender key.
    NoSession = 1,
    /// A key of the message is unusable.
    InvalidKey = 2,
    /// A prekey of the message is not known.
    InvalidKeyId = 3,
    /// The message does not parse or unpad.
    InvalidMessage = 4,
    /// A signature does not verify.
    InvalidSignature = 5,
    /// The counter is too far ahead.
    FutureMessage = 6,
    /// The authentication code does not match.
    BadMac = 7,
    /// The session is unusable.
    InvalidSession = 8,
    /// The message key is gone.
    InvalidMessageKey = 9,
    /// A broadcast's disappearing-message setting is wrong.
    BadBroadcastEphemeralSetting = 10,
    /// A companion that is not known sent no prekey message.
    UnknownCompanionNoPreKey = 11,
    /// The device identity beside the message does not verify.
    AdvFailure = 12,
    /// A status revoke came too late.
    StatusRevokeDelayed = 13,
}

impl RetryReason {
    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl DecryptError {
    /// What to tell the sender; `None` where a retry is pointless (duplicate) or premature (archive not loaded).
    #[must_use]
    pub const fn retry_reason(self) -> Option<RetryReason> {
        match self {
            Self::NeedsArchive | Self::Duplicate => None,
            Self::NoSession => Some(RetryReason::NoSession),
            Self::TooFarInFuture => Some(RetryReason::FutureMessage),
            Self::BadMac => Some(RetryReason::BadMac),
            Self::BadPadding | Self::Parse(_) => Some(RetryReason::InvalidMessage),
            Self::UnknownPreKey | Self::UnknownSignedPreKey => Some(RetryReason::InvalidKeyId),
            Self::DegenerateKey => Some(RetryReason::InvalidKey),
        }
    }
}

impl GroupDecryptError {
    /// What to tell the sender; `None` for a duplicate, where a retry is pointless.
    #[must_use]
    pub const fn retry_reason(self) -> Option<RetryReason> {
        match self {
            Self::Duplicate => None,
            Self::NoSenderKey => Some(RetryReason::NoSession),
            Self::BadSignature => Some(RetryReason::InvalidSignature),
            Self::TooFarInFuture => Some(RetryReason::FutureMessage),
            Self::BadPadding | Self::Parse(_) => Some(RetryReason::InvalidMessage),
        }
    }
}
