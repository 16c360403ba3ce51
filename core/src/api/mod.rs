//! The public vocabulary: what goes in, what comes out, what it is called. Plain data without behaviour.

mod config;
mod event;
mod ids;
mod input;
mod output;
mod storage;

pub use crate::types::MessageId;
pub use config::{Config, Limits, Platform, ProtocolProfile};
pub(crate) use event::TOKEN_OR_RESTRICTION;
pub use event::{
    Aliases, BanReason, ChatState, ChatStateEvent, CodePurpose, DeviceOutcome, Disconnect, DisconnectReason, Envelope,
    Event, FaultReason, IdentityChange, LinkFailure, LinkFailureReason, LinkStep, ListCheck, MessageEvent, OpResult,
    Presence, PresenceEvent, ReceiptEvent, ReceiptKind, Recommendation, Restriction, SendReport, SendResult,
    ServerNotice, SkipReason, SuspiciousKind, SuspiciousMessage, UnanswerableReason, UnansweredRetry,
    UndecryptableEvent, UndecryptableReason,
};
pub use ids::{CommitId, EventId, LoadId, OpId};
pub use input::{CloseReason, CommitError, Input, Misuse};
pub use output::{Endpoint, Output};
pub use storage::{Commit, Epoch, Key, LoadRequest, Record, Space};
