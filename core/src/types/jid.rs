//! Addresses ("JIDs"): who or what a stanza comes from or goes to.

use smol_str::SmolStr;

/// The part of an address behind the `@`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Server {
    /// `s.whatsapp.net`: a user by phone number ("PN"), or the server itself when the user part is empty.
    Whatsapp,
    /// `lid`: a user by opaque id.
    Lid,
    /// `hosted`: a device of a business hosted by the Cloud API, by phone number.
    Hosted,
    /// `hosted.lid`: the same, by opaque id.
    HostedLid,
    /// `g.us`: a group or community.
    Group,
    /// `broadcast`: status updates and broadcast lists.
    Broadcast,
    /// `newsletter`: a channel.
    Newsletter,
    /// `call`: a call.
    Call,
    /// `bot`: an AI bot.
    Bot,
    /// `msgr`: a Messenger user.
    Messenger,
    /// `interop`: a user of a third-party service.
    Interop,
    /// `c.us`: the legacy spelling of `s.whatsapp.net`.
    LegacyUser,
    /// A server this version does not know; kept as it came.
    Other(SmolStr),
}

/// An address: user, server, device and (for `interop`) integrator.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Jid {
    server: Server,
    user: SmolStr,
    device: u16,
    integrator: u16,
}

impl Jid {
    /// The address of `user` (device 0) on `server`.
    #[must_use]
    pub fn new(user: impl Into<SmolStr>, server: Server) -> Self {
        Self { user: user.into(), server, device: 0, integrator: 0 }
    }

    /// `s.whatsapp.net` without a user: the server, target of most requests.
    #[must_use]
    pub fn server_itself() -> Self {
        Self::new("", Server::Whatsapp)
    }

    /// The same user with another device number.
    #[must_use]
    pub fn with_device(mut self, device: u16) -> Self {
        self.device = device;
        self
    }

    /// The user part; empty for a server.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The server part.
    #[must_use]
    pub const fn server(&self) -> &Server {
        &self.server
    }

    /// The device number: 0 is the phone, 1 and up are companions.
    #[must_use]
    pub const fn device(&self) -> u16 {
        self.device
    }

    /// The integrator number of an `interop` user, else 0.
    #[must_use]
    pub const fn integrator(&self) -> u16 {
        self.integrator
    }
}

impl Server {
    /// The text behind the `@`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Whatsapp => "s.whatsapp.net",
            Self::Lid => "lid",
            Self::Hosted => "hosted",
            Self::HostedLid => "hosted.lid",
            Self::Group => "g.us",
            Self::Broadcast => "broadcast",
            Self::Newsletter => "newsletter",
            Self::Call => "call",
            Self::Bot => "bot",
            Self::Messenger => "msgr",
            Self::Interop => "interop",
            Self::LegacyUser => "c.us",
            Self::Other(text) => text,
        }
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The canonical text: `user:device@server`, without the device when it is 0, the server alone without a user.
impl std::fmt::Display for Jid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.user.is_empty() {
            if self.server == Server::Interop && self.integrator != 0 {
                write!(f, "{}-", self.integrator)?;
            }
            f.write_str(&self.user)?;
            if self.device != 0 {
                write!(f, ":{}", self.device)?;
            }
            f.write_str("@")?;
        }
        f.write_str(self.server.as_str())
    }
}

/// Redacted: addresses are personal data, and `{:?}` ends up in logs. Use `Display` where the address is wanted.
impl std::fmt::Debug for Jid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tail = self.user.char_indices().rev().nth(1).map_or("", |(at, _)| self.user.get(at..).unwrap_or(""));
        write!(f, "…{tail}:{}@{}", self.device, self.server.as_str())
    }
}
