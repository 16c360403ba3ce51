//! Requests to the server, each with what to do about its answer.

use crate::api::{DeviceOutcome, OpId};
use crate::binary::{EncodeError, Plain, Tape};
use crate::stanza::{
    CleanDirty, CompanionFinish, CompanionHello, CompanionNonce, Delivery, DeviceQuery, EncryptedPairing, FetchBundles,
    FetchPasskeyOptions, FetchPasskeyReference, IssueToken, PasskeyPrologue, Ping, PreKeyCount, PreKeyUpload,
    PublicSignedPreKey, QueryContext, RemoveCompanionDevice, Request, RestrictionQuery, RotateSignedPreKey,
};
use crate::types::Jid;
use smol_str::SmolStr;

/// A request that was asked, or is about to be.
#[derive(Debug)]
pub(crate) enum Query {
    /// Are you there?
    Ping,
    /// Deliver from now on.
    Active,
    /// How many prekeys are left?
    PreKeyCount,
    /// Take these prekeys; `next` is the id after the last one.
    PreKeyUpload { upload: Box<PreKeyUpload>, next: u32 },
    /// Take this signed prekey.
    Rotate { id: u32, key: PublicSignedPreKey },
    /// Which devices do these users have?
    Devices { users: Vec<Jid> },
    /// Keys for these devices, please.
    Bundles { devices: Vec<Jid> },
    /// Take this code for linking.
    CodeHello(Box<CompanionHello>),
    /// Hand this to the phone on which the code was typed.
    CodeFinish(Box<CompanionFinish>),
    /// What shall a passkey sign?
    PasskeyRequest,
    /// Which reference shall the keys be for?
    PasskeyReference,
    /// Take this assertion and commitment.
    PasskeyPrologue(Box<PasskeyPrologue>),
    /// This was committed to.
    PasskeyNonce(Box<CompanionNonce>),
    /// Hand these keys to the phone.
    PasskeyPairing(Box<EncryptedPairing>),
    /// Bring this contact a token.
    Token(IssueToken),
    /// Is the account restricted?
    Restriction,
    /// Unlink this device.
    Remove { op: OpId, device: Jid },
    /// What was said to have changed is known now.
    Clean { kind: SmolStr, timestamp: Option<u64> },
}

/// The answer's stanza, or why there is none.
pub(crate) type Reply = Result<Tape, Failure>;

/// Why something could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The connection was lost, or no answer came in time.
    Lost,
    /// The server refused, with this code (0: it did not say).
    Refused(u32),
    /// What the server gave does not say what it must, or is not authentic.
    Unusable,
    /// The server does not know it (any more).
    Gone,
}

impl Query {
    /// The request under the id `id`, ready to be sealed.
    pub(crate) fn write(&self, id: &str) -> Result<Plain, EncodeError> {
        match self {
            Self::Ping => Ping.plain(id),
            Self::Active => Delivery::Active.plain(id),
            Self::PreKeyCount => PreKeyCount.plain(id),
            Self::PreKeyUpload { upload, .. } => upload.plain(id),
            Self::Rotate { key, .. } => RotateSignedPreKey { signed: *key }.plain(id),
            Self::Devices { users } => DeviceQuery {
                sid: id.into(),
                context: QueryContext::Message,
                with_lid: true,
                users: users.iter().cloned().map(Into::into).collect(),
            }
            .plain(id),
            Self::Bundles { devices } => FetchBundles { devices: devices.clone(), reason: None }.plain(id),
            Self::CodeHello(hello) => hello.plain(id),
            Self::CodeFinish(finish) => finish.plain(id),
            Self::PasskeyRequest => FetchPasskeyOptions.plain(id),
            Self::PasskeyReference => FetchPasskeyReference.plain(id),
            Self::PasskeyPrologue(prologue) => prologue.plain(id),
            Self::PasskeyNonce(nonce) => nonce.plain(id),
            Self::PasskeyPairing(request) => request.plain(id),
            Self::Token(token) => token.plain(id),
            Self::Restriction => RestrictionQuery.plain(id),
            Self::Remove { device, .. } => RemoveCompanionDevice { jid: device.clone() }.plain(id),
            Self::Clean { kind, timestamp } => CleanDirty { kind: kind.clone(), timestamp: *timestamp }.plain(id),
        }
    }

    /// Whether somebody must be told when its answer will not come because the connection is gone. All others are asked
    /// again on the next one by whoever needs them.
    pub(crate) const fn outlives_connection(&self) -> bool {
        matches!(self, Self::Remove { .. })
    }
}

/// What a successful answer to `R` says.
pub(crate) fn parsed<R: Request>(reply: &Reply) -> Result<R::Reply, Failure> {
    let tape = reply.as_ref().map_err(|failure| *failure)?;
    R::parse(tape.root()).map_err(|_| Failure::Unusable)
}

impl Failure {
    /// Whether asking again later may help.
    pub(crate) const fn is_passing(self) -> bool {
        matches!(self, Self::Lost | Self::Refused(429 | 500..=599))
    }

    /// What it means for a device of a send.
    pub(crate) const fn outcome(self) -> DeviceOutcome {
        match self {
            Self::Lost => DeviceOutcome::NoSession,
            Self::Refused(_) | Self::Unusable => DeviceOutcome::BundleRefused,
            Self::Gone => DeviceOutcome::Gone,
        }
    }
}
