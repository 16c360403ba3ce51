//! How connections and clients end, and how they stall.

/// Why a connection ended and what follows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Disconnect {
    /// What the server, the network or the caller did.
    pub reason: DisconnectReason,
    /// What the server says to people about it, if anything.
    pub notice: Option<Box<ServerNotice>>,
    /// What the client does, or what the application should do.
    pub recommendation: Recommendation,
}

/// What a refusing server says to people.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct ServerNotice {
    /// A text to show.
    pub message: Option<String>,
    /// A page to open.
    pub url: Option<String>,
    /// The server's place, for reports.
    pub location: Option<String>,
}

/// Why a connection ended. Complete: a code that nobody knows yet is [`Refused`](Self::Refused) before the login and
/// [`StreamError`](Self::StreamError) after it, so a new code of the server never needs a new variant. `Display` gives a
/// fixed word for each ([`word`](Self::word)).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DisconnectReason {
    /// The caller asked for it. Stays down.
    Asked,
    /// The server wants a fresh connection, as it does after linking. One comes at once.
    RestartRequired,
    /// This device is no longer linked; `code` is the server's (401, 419 or 516). Its keys are being wiped.
    LoggedOut {
        /// The server's code.
        code: u32,
    },
    /// Another connection of this device took over. Never comes back by itself: two processes would throw each other out.
    Replaced,
    /// The account may not use the service for a while (402).
    TemporarilyBanned {
        /// Why, as far as the server says.
        ban: BanReason,
        /// Seconds from now until it ends, if the server says so.
        expires_in_s: Option<u64>,
    },
    /// The account is locked, or the phone has lost it (403). The keys are kept: it may pass.
    Locked,
    /// The account is banned (406). The keys are kept.
    Banned,
    /// The announced version is too old (405). Cured by another profile.
    Outdated {
        /// The version that was announced.
        announced: [u32; 3],
    },
    /// The server refuses this client for another reason.
    Refused {
        /// The server's code.
        code: u32,
    },
    /// The server is in trouble (5xx) or wants less haste (429).
    ServerBusy {
        /// The server's code.
        code: u32,
    },
    /// The server ended the stream with a code that means nothing else, or without one.
    StreamError {
        /// The server's code.
        code: Option<u32>,
    },
    /// The server could not read what was sent: a bug of this library. Tried once more, then the client stays down.
    Malformed,
    /// The server does not accept an acknowledgement: a bug of this library.
    BadAck {
        /// What was acknowledged.
        id: Option<String>,
    },
    /// The handshake failed: the other side is not the server, or speaks another protocol.
    Handshake,
    /// The server shows a certificate that does not lead to the profile's root key, or that is not valid at this time.
    CertificateNotTrusted,
    /// Nothing came for too long, or a request or message was not answered.
    Silent,
    /// Nobody used a linking code in time.
    CodesExpired,
    /// The phone's answer was not authentic.
    LinkRefused,
    /// The server closed the connection without a word.
    ByServer,
    /// The connection broke, or its bytes made no sense.
    Broken,
    /// There was no way to connect.
    Unreachable,
}

impl DisconnectReason {
    /// A fixed word for logs and programs; never renamed.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::RestartRequired => "restart-required",
            Self::LoggedOut { .. } => "logged-out",
            Self::Replaced => "replaced",
            Self::TemporarilyBanned { .. } => "temporarily-banned",
            Self::Locked => "locked",
            Self::Banned => "banned",
            Self::Outdated { .. } => "outdated",
            Self::Refused { .. } => "refused",
            Self::ServerBusy { .. } => "server-busy",
            Self::StreamError { .. } => "stream-error",
            Self::Malformed => "malformed",
            Self::BadAck { .. } => "bad-ack",
            Self::Handshake => "handshake",
            Self::CertificateNotTrusted => "certificate-not-trusted",
            Self::Silent => "silent",
            Self::CodesExpired => "codes-expired",
            Self::LinkRefused => "link-refused",
            Self::ByServer => "closed-by-server",
            Self::Broken => "broken",
            Self::Unreachable => "unreachable",
        }
    }

    /// The server's code, where there is one.
    #[must_use]
    pub const fn code(&self) -> Option<u32> {
        match self {
            Self::LoggedOut { code } | Self::Refused { code } | Self::ServerBusy { code } => Some(*code),
            Self::StreamError { code } => *code,
            Self::RestartRequired => Some(515),
            Self::TemporarilyBanned { .. } => Some(402),
            Self::Locked => Some(403),
            Self::Banned => Some(406),
            Self::Outdated { .. } => Some(405),
            _ => None,
        }
    }
}

impl std::fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

/// Why an account is banned for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BanReason {
    /// Messages to too many people who do not know the account (101).
    ToStrangers,
    /// Blocked by too many people (102).
    BlockedByMany,
    /// Too many groups with people who do not know the account (103).
    GroupsOfStrangers,
    /// The same message too often (104).
    SameMessage,
    /// Too many messages to broadcast lists (106).
    BroadcastLists,
    /// A code that is not known, or none.
    Unknown(Option<u32>),
}

/// What follows a disconnect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Recommendation {
    /// The client connects again by itself, at this reading of the monotonic clock (milliseconds).
    WaitUntil(u64),
    /// The client stays down until `connect` is called.
    Stop,
    /// Find out who else uses this device's keys; `connect` throws them out in turn. Done again and again, it waits longer
    /// each time.
    Replaced,
    /// The keys are void and are being wiped; call `connect` to link again as a new device.
    LinkAgain,
    /// Only the account's owner can help, on the phone, or time; `connect` finds out. The keys are kept.
    Locked,
    /// The announced version is refused: swap the profile, and the client connects again by itself.
    UpdateProfile,
}

impl Recommendation {
    /// Whether the client comes back without being asked.
    #[must_use]
    pub const fn reconnects(&self) -> bool {
        matches!(self, Self::WaitUntil(_))
    }
}

/// Why a client cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultReason {
    /// Another process has taken the account over.
    Fenced,
    /// The store cannot write.
    StoreFailed,
}
