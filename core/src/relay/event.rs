//! What goes into a relay, what comes out, and what it tells about itself. Plain data.

use bytes::Bytes;

use crate::binary::Node;
use crate::types::Jid;

/// One connection, named by the host. A name may be used again once the link has been closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// What the host tells a [`Relay`](super::Relay).
#[derive(Clone, Debug)]
pub enum RelayInput {
    /// A client connected; its socket carries bytes now.
    Opened(LinkId),
    /// Bytes came in, cut anywhere.
    Bytes(LinkId, Bytes),
    /// The socket is gone. Also sent, harmlessly, after a `Close` of ours.
    Closed(LinkId),
    /// Time has passed; sent when `next_deadline` is reached.
    Tick,
}

/// What a [`Relay`](super::Relay) wants done.
#[derive(Clone, Debug)]
pub enum RelayOutput {
    /// Write these bytes, after all earlier ones of the link.
    Bytes(LinkId, Bytes),
    /// Write what is pending, then close the socket.
    Close(LinkId),
    /// Something happened that a test or an operator may want to know.
    Event(RelayEvent),
}

/// What happened inside a relay. Never needed for its working.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RelayEvent {
    /// An unlinked companion shows QR codes on this link and can be scanned.
    RegistrationOpened(LinkId),
    /// An unlinked companion asks to be linked with a code, to be typed on the phone of this number.
    CodeRequested {
        /// The digits of the phone number.
        account: String,
    },
    /// A companion was asked for an assertion of this account's passkey before it is linked.
    PasskeyRequested {
        /// The digits of the phone number.
        account: String,
    },
    /// The phone of this account shows a code, to be compared with the companion's.
    CodeToCompare {
        /// The digits of the phone number.
        account: String,
        /// What it shows, as companions show it.
        code: ShownCode,
    },
    /// An unlinked companion has answered what it was told by [`Relay::renew_link_secret`](super::Relay::renew_link_secret)
    /// or [`Relay::refresh_code`](super::Relay::refresh_code), or the phone's hello.
    NoticeAnswered {
        /// Its connection.
        link: LinkId,
        /// The code with which it refuses, if it does.
        error: Option<u16>,
    },
    /// A companion was linked; it will come back and log in.
    Linked(Jid),
    /// Linking ended without a new device: the companion refused or its answer did not check out.
    LinkingFailed {
        /// The connection that tried.
        link: LinkId,
        /// Why, in a few words without addresses.
        reason: String,
    },
    /// A device logged in.
    LoggedIn(Jid),
    /// A device's connection ended.
    Disconnected(Jid),
    /// A device was unlinked, by its phone or by itself.
    Removed(Jid),
    /// A login or registration was refused with this reason code.
    Refused {
        /// The connection that was refused.
        link: LinkId,
        /// The `reason` of the `failure` stanza.
        reason: u16,
    },
    /// A message was taken over.
    MessageAccepted {
        /// The sending device.
        from: Jid,
        /// As addressed by the sender.
        to: Jid,
        /// The message's id.
        id: String,
        /// Mailboxes it went to.
        devices: usize,
    },
    /// A message was answered with an error.
    MessageRefused {
        /// The sending device.
        from: Jid,
        /// The `error` of the ack.
        code: u16,
    },
    /// A device answered a stanza that was delivered to it.
    Answered {
        /// The device.
        by: Jid,
        /// The stanza's id.
        id: String,
        /// `ack`, or the type of a receipt: empty for a plain delivery.
        how: String,
        /// The `error` of an ack.
        error: Option<u32>,
    },
    /// A device uploaded one-time keys.
    KeysUploaded {
        /// The device.
        by: Jid,
        /// How many.
        count: usize,
        /// How many have a number under which another key was waiting.
        replaced: usize,
    },
    /// A device replaced its signed prekey.
    SignedKeyRotated {
        /// The device.
        by: Jid,
        /// The number of the new one.
        id: u32,
    },
    /// A request that this relay does not know was answered with an error 501.
    UnknownRequest {
        /// The namespace of the request.
        xmlns: String,
        /// The tag of its first child, or empty.
        child: String,
    },
    /// A stanza passed a logged-in connection, in the clear. Only with [`RelayConfig::overhear`](super::RelayConfig), for
    /// tests that watch the traffic.
    Overheard {
        /// The device at the other end.
        device: Jid,
        /// Whether the server sent it.
        sent: bool,
        /// The stanza.
        stanza: Box<Node>,
    },
    /// A peer broke the protocol and lost its connection.
    Misbehaved {
        /// The connection.
        link: LinkId,
        /// What it did, in a few words without addresses.
        what: String,
    },
}

/// A code on a phone's screen: for the eyes of its user, not for logs.
#[derive(Clone, PartialEq, Eq)]
pub struct ShownCode(pub String);

impl std::fmt::Debug for ShownCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ShownCode(..)")
    }
}

/// One account as [`Relay::accounts`](super::Relay::accounts) shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountSummary {
    /// The address by phone number.
    pub pn: Jid,
    /// The address by opaque id.
    pub lid: Jid,
    /// The name that the account's messages carry; empty until a client has told it.
    pub push_name: String,
    /// The companions, by number. The phone itself is not listed.
    pub devices: Vec<DeviceSummary>,
}

/// One companion as [`Relay::accounts`](super::Relay::accounts) shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceSummary {
    /// The address by phone number, with device number.
    pub jid: Jid,
    /// Whether it is logged in now.
    pub online: bool,
    /// Stanzas waiting for it, delivered but unanswered ones included.
    pub queued: usize,
    /// One-time keys left for peers that want to write to it.
    pub prekeys: usize,
}

/// Why [`Relay::scan_qr`](super::Relay::scan_qr) did not start linking. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// The text is not a linking code.
    #[error("not a linking code")]
    NotACode,
    /// No open registration stream has this reference, or it is already being linked.
    #[error("the code has expired or is in use")]
    Expired,
    /// The keys in the code are not those of the connection it belongs to.
    #[error("the code does not belong to the connection that shows it")]
    KeyMismatch,
    /// The account's number is not made of 5 to 15 digits.
    #[error("not a phone number")]
    BadNumber,
    /// The account has as many companions as it may have.
    #[error("too many linked devices")]
    TooManyCompanions,
    /// The relay has as many accounts as it may have.
    #[error("too many accounts")]
    TooManyAccounts,
    /// The companion has not asked for a code for this number, or too many wrong codes were tried.
    #[error("no companion waits for a code")]
    NoCodeAwaited,
}
