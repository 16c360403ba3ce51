//! The part of an address behind the `@`.

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

impl Server {
    /// The server with this text, or [`Server::Other`]: a new server must not make old clients fail.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self::known(text).unwrap_or_else(|| Self::Other(text.into()))
    }

    /// The server with this text, if this version knows it.
    #[must_use]
    pub fn known(text: &str) -> Option<Self> {
        Some(match text {
            "s.whatsapp.net" => Self::Whatsapp,
            "lid" => Self::Lid,
            "hosted" => Self::Hosted,
            "hosted.lid" => Self::HostedLid,
            "g.us" => Self::Group,
            "broadcast" => Self::Broadcast,
            "newsletter" => Self::Newsletter,
            "call" => Self::Call,
            "bot" => Self::Bot,
            "msgr" => Self::Messenger,
            "interop" => Self::Interop,
            "c.us" => Self::LegacyUser,
            _ => return None,
        })
    }

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

    /// Whether devices on this server are numbered by one byte and travel with a domain instead of the server's text.
    #[must_use]
    pub const fn has_device_byte(&self) -> bool {
        matches!(self, Self::Whatsapp | Self::Lid | Self::Hosted | Self::HostedLid)
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_server_is_read_back_from_its_text() {
        for text in [
            "s.whatsapp.net",
            "lid",
            "hosted",
            "hosted.lid",
            "g.us",
            "broadcast",
            "newsletter",
            "call",
            "bot",
            "msgr",
            "interop",
            "c.us",
        ] {
            assert_eq!(Server::known(text).map(|server| server.as_str().to_owned()).as_deref(), Some(text));
        }
        assert_eq!(Server::known("example.org"), None);
        assert_eq!(Server::of("example.org").as_str(), "example.org");
    }
}
