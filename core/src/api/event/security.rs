//! What concerns trust: identities that change, and what somebody tried who should not have.

use super::Aliases;
use crate::api::MessageId;
use crate::types::Jid;

/// A user has registered anew: the security code with them is another one.
#[derive(Clone, Debug, PartialEq, Hash)]
#[non_exhaustive]
pub struct IdentityChange {
    /// The user, without device.
    pub user: Jid,
    /// All known addresses of the user.
    pub user_aliases: Aliases,
}

/// Somebody sent what only this account's own phone may send. It was acknowledged and changed nothing.
#[derive(Clone, Debug, PartialEq, Hash)]
#[non_exhaustive]
pub struct SuspiciousMessage {
    /// The message's id.
    pub id: MessageId,
    /// The device that sent it.
    pub sender: Jid,
    /// All known addresses of its user.
    pub sender_aliases: Aliases,
    /// What it was.
    pub kind: SuspiciousKind,
}

/// What was sent by somebody who may not send it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SuspiciousKind {
    /// A notice that history is ready.
    HistoryNotice,
    /// Keys of app state.
    AppStateKeyShare,
    /// A request for keys of app state.
    AppStateKeyRequest,
    /// A request for missed messages.
    BackfillRequest,
    /// A setting about changed identities.
    SecuritySettings,
    /// A statement that app state is broken.
    AppStateFailure,
    /// A request meant for the phone.
    DataRequest,
    /// An answer of the phone.
    DataAnswer,
    /// A statement of which addresses belong together.
    LidMapping,
    /// A copy of something that this account is said to have sent.
    OwnCopy,
}
