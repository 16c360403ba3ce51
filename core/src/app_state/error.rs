//! Why a patch or snapshot is refused, and what to do about it.

use super::SyncKeyId;
use whatsio_proto::fields::MalformedFields;

/// A patch or snapshot was refused. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// Keys are not here yet; ask the other own devices for them and apply again when they come.
    #[error("{} keys are missing", .0.len())]
    MissingKeys(Vec<SyncKeyId>),
    /// The patch does not follow the local version; ask again from there.
    #[error("version {found} does not follow {local}")]
    Version {
        /// The version here.
        local: u64,
        /// The patch's version.
        found: u64,
    },
    /// The mutations are in an external object that was not attached.
    #[error("the mutations are in an external object")]
    ExternalPending,
    /// The bytes are not what they should be; says what is wrong.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// The patch's authentication code differs.
    #[error("the code of the patch differs")]
    PatchMac,
    /// A value's authentication code differs.
    #[error("the code of value {0} differs")]
    ValueMac(usize),
    /// A value does not decrypt to an action.
    #[error("value {0} is not an action: {1}")]
    Value(usize, &'static str),
    /// An index's authentication code differs.
    #[error("the code of index {0} differs")]
    IndexMac(usize),
    /// One index is set twice, or removed twice, in one patch.
    #[error("mutation {0} repeats an earlier one")]
    Duplicate(usize),
    /// The snapshot's authentication code, or the sum over a recovered collection, differs.
    #[error("the code of the snapshot differs")]
    SnapshotMac,
    /// The writer marked its own state as broken.
    #[error("the writer gave up with code {0}")]
    Terminal(u64),
    /// Something is larger than any honest device makes it.
    #[error("{0} is over its limit")]
    Limit(&'static str),
    /// A list of mutations to write names one index twice.
    #[error("change {0} repeats an earlier one")]
    RepeatedChange(usize),
}

/// What to do about a [`SyncError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Wait for keys; everything else stays as it is.
    Blocked,
    /// Ask the server again.
    Retry,
    /// Start the collection over from a snapshot; if that fails too, ask the phone.
    Fatal,
}

impl SyncError {
    /// What to do about it.
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        match self {
            Self::MissingKeys(_) => Verdict::Blocked,
            Self::Version { .. } | Self::ExternalPending => Verdict::Retry,
            _ => Verdict::Fatal,
        }
    }
}

impl From<MalformedFields> for SyncError {
    fn from(_: MalformedFields) -> Self {
        Self::Malformed("not a protobuf message")
    }
}
