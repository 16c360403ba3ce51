//! Everything a command can fail with, its exit status, and what to do next.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use whatsio::api::CommitError;
use whatsio::api::{DisconnectReason, LinkFailureReason};
use whatsio::relay::BindError;
use whatsio::{OperationError, RecordingError, SendError, StartError, Stopped};
use whatsio_store::foreign::ForeignError;
use whatsio_store::transfer::{ExportError, ImportError, ReadError};
use whatsio_store::{KeyError, LoadError, OpenError};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("cannot open the database {path}: {source}")]
    Store { path: PathBuf, source: OpenError },
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("cannot write {path}: {source}")]
    Write { path: PathBuf, source: std::io::Error },
    #[error("cannot start: {0}")]
    Start(#[from] StartError),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("{0}")]
    Usage(&'static str),
    #[error("{0:?} is no chat: {1}")]
    BadChat(String, String),
    #[error("the root key must be 64 hex digits")]
    BadRootKey,
    #[error("the relay's root key is not known: {0}")]
    NoRootKey(String),
    #[error("the relay's phone did not do its part: {0}")]
    Scan(String),
    #[error("this account is not linked to a phone")]
    NotLinked,
    #[error("linking failed: {0}")]
    LinkFailed(LinkFailureReason),
    #[error("the server ended the connection for good: {0}")]
    Ended(DisconnectReason),
    #[error("nothing within {0:?}: {1}")]
    TimedOut(Duration, &'static str),
    #[error("the server refused the message with code {0}")]
    Refused(u32),
    #[error(transparent)]
    Send(SendError),
    #[error(transparent)]
    Operation(OperationError),
    #[error("the client has ended: {0}")]
    Stopped(#[from] Stopped),
    #[error("there is no database {0}")]
    NoDatabase(PathBuf),
    #[error("the first line of {0} is longer than any passphrase: is it the right file?")]
    EndlessPassphrase(PathBuf),
    #[error("there is no account {0} in this database")]
    NoAccount(String),
    #[error("no passphrase was given, and there is no terminal to ask at")]
    NoPassphrase,
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Export(#[from] ExportError),
    #[error(transparent)]
    Import(#[from] ImportError),
    #[error(transparent)]
    Foreign(#[from] ForeignError),
    #[error("cannot read the recording {path}: {reason}")]
    Recording { path: PathBuf, reason: String },
    #[error("{0}")]
    Other(String),
}

impl Failure {
    /// The documented exit status.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Usage(_) | Self::BadChat(..) | Self::BadRootKey | Self::Recording { .. } => 2,
            Self::NotLinked | Self::Ended(DisconnectReason::LoggedOut { .. }) => 3,
            Self::TimedOut(..) => 4,
            Self::Stopped(Stopped::Fenced) | Self::Ended(DisconnectReason::Replaced) => 7,
            Self::Start(StartError::Load(LoadError::MovedAway)) | Self::Load(LoadError::MovedAway) => 7,
            Self::Refused(_) | Self::LinkFailed(_) | Self::Ended(_) => 5,
            _ => 1,
        })
    }

    /// The database refused a write.
    pub(crate) fn cannot_write(error: CommitError) -> Self {
        Self::Other(match error {
            CommitError::Retry => "the database is busy: try again".into(),
            _ => "the database cannot be written; -v says more".into(),
        })
    }

    /// What the user can do.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::LinkFailed(reason) => return remedy(*reason),
            Self::NotLinked => "run `whatsio link` first, with the same --store and --account",
            Self::Ended(DisconnectReason::LoggedOut { .. }) => {
                "the phone has unlinked this device: use another --account and link again"
            }
            Self::Ended(DisconnectReason::Outdated { .. }) => {
                "the announced version is too old: give a newer one in a profile (WHATSIO_PROFILE), or update whatsio"
            }
            Self::Ended(DisconnectReason::Replaced) | Self::Stopped(Stopped::Fenced) => {
                "another process uses this account, or moved it away: end that one first; `whatsio session list` shows which"
            }
            Self::Start(StartError::Load(LoadError::MovedAway)) | Self::Load(LoadError::MovedAway) => {
                "run it where it was imported; if it never was, `whatsio session reclaim`"
            }
            Self::Export(ExportError::MovedAway(_)) => {
                "export it where it was imported; if it never was, `whatsio session reclaim`"
            }
            Self::Export(ExportError::StillMarked { .. }) => "free space, then `whatsio session reclaim --yes`",
            Self::Export(ExportError::PerhapsWritten(_)) => {
                "copy the file to another disk; or delete it, then `whatsio session reclaim --yes`"
            }
            Self::Import(ImportError::Copy) => {
                "if the account has not run since and never will elsewhere: --accept-copy; else link again"
            }
            Self::Import(ImportError::Exists(_)) => "choose another name with --as",
            Self::Foreign(ForeignError::SeveralAccounts(_)) => "name one with --number",
            Self::Foreign(ForeignError::Create(_)) => "choose another name with --account",
            Self::Foreign(ForeignError::NotLinked) => "link here instead: `whatsio link`",
            Self::Import(ImportError::Read(ReadError::WantsKey)) => "pass the key file with --session-key",
            Self::NoAccount(_) => "`whatsio session list` shows those there are; choose one with --account",
            Self::NoPassphrase => "pass it with --passphrase-file, or in WHATSIO_PASSPHRASE",
            Self::Usage(_) => "see --help",
            Self::Store { source: OpenError::Plain(_), .. } => {
                "run `whatsio session seal` once, or pass --plain-store to use it as it is"
            }
            Self::Store { source: OpenError::Sealed(_), .. } => "leave --plain-store out",
            Self::Store { source: OpenError::WrongKey(_), .. } => {
                "the key that belongs to it is the one made with it; see --key-file and WHATSIO_STORE_KEY"
            }
            Self::Store { source: OpenError::Key(KeyError::Missing(_)), .. } => {
                "if the key is lost, link again with another --store"
            }
            Self::Store { source: OpenError::Key(KeyError::Malformed { .. }), .. } => {
                "echo whatsio-store-key-v1:$(openssl rand -hex 32) makes a new key, for a new database"
            }
            Self::Store { .. } => "check the path and its permissions, or choose another with --store",
            Self::NoRootKey(_) => "the relay prints it when it starts: pass it with --root-key",
            Self::BadRootKey => "copy the hex digits behind `root-key` from the relay's output",
            Self::BadChat(..) => "use a phone number with country code, or an address such as 1203630@g.us",
            Self::TimedOut(_, "sending") => "the message stays queued; it goes out with the next `send` or `watch`",
            Self::TimedOut(..) => "check the network, or allow more time with --timeout; -v shows what happens",
            Self::Start(StartError::Proxy(_)) => "a proxy looks like http://user:password@host:3128",
            Self::Start(StartError::Trust(_)) => "--trust wants a file with -----BEGIN CERTIFICATE-----",
            Self::Start(StartError::Restore(_)) => "restore the database from a backup, or link under a new --account",
            Self::Start(StartError::Recording(RecordingError::Exists(_))) => {
                "a recording never replaces a file: choose another name"
            }
            Self::Bind(BindError::Listen { .. }) => {
                "another program has that port: choose another, or 0 for any free one"
            }
            Self::Scan(_) => "see the relay's /admin/accounts; a code is good for 160 seconds",
            _ => return None,
        })
    }
}

/// What to do when linking has failed.
const fn remedy(reason: LinkFailureReason) -> Option<&'static str> {
    Some(match reason {
        LinkFailureReason::Expired | LinkFailureReason::ConnectionLost => {
            "run it again, and do the phone's part soon after the code is shown"
        }
        LinkFailureReason::Refused(429) => "too many tries: wait an hour, or use the QR code",
        LinkFailureReason::Refused(_) => {
            "see that the number is right and has an account, and that the phone lists fewer than four linked devices"
        }
        LinkFailureReason::TooManyTries | LinkFailureReason::TooManyCodes => "wait some minutes, then run it again",
        LinkFailureReason::WrongSecret | LinkFailureReason::WrongSignature => {
            "the code on the phone was not this one: run it again and use only the newest code shown"
        }
        LinkFailureReason::Declined => "nothing was linked; if the codes differ, somebody else may be trying to link",
        LinkFailureReason::BadAnswer | LinkFailureReason::Malformed => {
            "run it again; if it stays so, the protocol has changed: update whatsio"
        }
        _ => return None,
    })
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        match error {
            SendError::NotLinked => Self::NotLinked,
            SendError::Stopped(stopped) => Self::Stopped(stopped),
            other => Self::Send(other),
        }
    }
}

impl From<OperationError> for Failure {
    fn from(error: OperationError) -> Self {
        match error {
            OperationError::NotLinked => Self::NotLinked,
            OperationError::Stopped(stopped) => Self::Stopped(stopped),
            other => Self::Operation(other),
        }
    }
}
