//! The public vocabulary: what goes in, what comes out, what it is called. Plain data without behaviour.

mod config;
mod event;
mod health;
mod ids;
mod input;
mod output;
mod storage;

pub use crate::types::MessageId;
pub use config::{Config, Limits, Platform, ProtocolProfile, StallLimits};
pub(crate) use event::TOKEN_OR_RESTRICTION;
pub use event::{
    Aliases, BanReason, ChatState, ChatStateEvent, CodePurpose, DeviceOutcome, Disconnect, DisconnectReason, Envelope,
    Event, FaultReason, IdentityChange, LinkFailure, LinkFailureReason, LinkStep, ListCheck, MessageEvent, OpResult,
    Presence, PresenceEvent, ReceiptEvent, ReceiptKind, Recommendation, Restriction, SendReport, SendResult,
    ServerNotice, SkipReason, Stage, SuspiciousKind, SuspiciousMessage, UnanswerableReason, UnansweredRetry,
    UndecryptableEvent, UndecryptableReason,
};
pub use health::{ConnectionPhase, Health};
pub use ids::{CommitId, EventId, LoadId, OpId};
pub use input::{CloseReason, CommitError, Input, Misuse};
pub use output::{Endpoint, Output};
pub use storage::{Commit, Epoch, Key, LoadRequest, Record, Space};
