//! Addresses ("JIDs"): who or what a stanza comes from or goes to.
//!
//! Owns their text form and the relations between them. How they travel in a stanza belongs to `binary`.

use super::Server;
use smol_str::SmolStr;

/// An address: user, server, device and (for `interop`) integrator.
///
/// `Display` is the canonical text, `Debug` is redacted.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Jid {
    server: Server,
    user: SmolStr,
    device: u16,
    integrator: u16,
}

/// Why a text is not an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JidError {
    /// There is no text.
    #[error("an address cannot be empty")]
    Empty,
    /// There is no `@`, and the text is not the name of a server.
    #[error("an address needs a server behind an @")]
    NoServer,
    /// There is more than one `@`.
    #[error("an address has one @")]
    SeveralAts,
    /// The device is not a decimal number in the server's range.
    #[error("the device number is malformed or out of range")]
    BadDevice,
    /// An old-style agent number other than 0.
    #[error("the agent number is not 0")]
    BadAgent,
    /// The user part is missing where a device or integrator is given, is over 255 bytes, or has control characters.
    #[error("the user part is malformed")]
    BadUser,
    /// The server is over 255 bytes or has control characters.
    #[error("the server part is malformed")]
    BadServer,
}

impl Jid {
    /// The address of `user` (device 0) on `server`.
    #[must_use]
    pub fn new(user: impl Into<SmolStr>, server: Server) -> Self {
        Self { user: user.into(), server, device: 0, integrator: 0 }
    }

    /// The phone of the user with this number: digits with the country code, without `+`.
    #[must_use]
    pub fn pn(number: impl Into<SmolStr>) -> Self {
        Self::new(number, Server::Whatsapp)
    }

    /// The phone of the user with this opaque id.
    #[must_use]
    pub fn lid(id: impl Into<SmolStr>) -> Self {
        Self::new(id, Server::Lid)
    }

    /// The group or community with this id.
    #[must_use]
    pub fn group(id: impl Into<SmolStr>) -> Self {
        Self::new(id, Server::Group)
    }

    /// `s.whatsapp.net` without a user: the server, target of most requests.
    #[must_use]
    pub fn server_itself() -> Self {
        Self::new("", Server::Whatsapp)
    }

    /// `g.us` without a user: the server of groups, target of requests about no particular group.
    #[must_use]
    pub fn group_server() -> Self {
        Self::new("", Server::Group)
    }

    /// `status@broadcast`: where status posts go.
    #[must_use]
    pub fn status() -> Self {
        Self::new("status", Server::Broadcast)
    }

    /// The same user with another device number.
    #[must_use]
    pub fn with_device(mut self, device: u16) -> Self {
        self.device = device;
        self
    }

    /// The same user with an integrator number; only meaningful on `interop`.
    #[must_use]
    pub fn with_integrator(mut self, integrator: u16) -> Self {
        self.integrator = integrator;
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

    /// The same user without a device (device 0).
    #[must_use]
    pub fn to_user(&self) -> Self {
        self.clone().with_device(0)
    }

    /// Whether both are devices of one user under one kind of address. Does not know which LID belongs to which number.
    #[must_use]
    pub fn same_user(&self, other: &Self) -> bool {
        self.user == other.user && self.server == other.server && self.integrator == other.integrator
    }

    /// Whether this names a user by phone number, hosted or not.
    #[must_use]
    pub const fn is_pn_family(&self) -> bool {
        matches!(self.server, Server::Whatsapp | Server::Hosted | Server::LegacyUser)
    }

    /// Whether this names a user by LID, hosted or not.
    #[must_use]
    pub const fn is_lid_family(&self) -> bool {
        matches!(self.server, Server::Lid | Server::HostedLid)
    }

    /// Whether this is a group or community.
    #[must_use]
    pub fn is_group(&self) -> bool {
        self.server == Server::Group && !self.user.is_empty()
    }

    /// Whether this is `status@broadcast`.
    #[must_use]
    pub fn is_status(&self) -> bool {
        self.server == Server::Broadcast && self.user == "status"
    }

    /// Whether this names a server rather than anybody on it.
    #[must_use]
    pub fn is_server(&self) -> bool {
        self.user.is_empty()
    }

    /// Whether this is an AI bot: on the server `bot`, or one of the phone numbers set aside for bots.
    #[must_use]
    pub fn is_bot(&self) -> bool {
        match self.server {
            Server::Bot => true,
            Server::Whatsapp => self.device == 0 && is_bot_number(&self.user),
            _ => false,
        }
    }

    /// Whether this is a device of a business hosted by the Cloud API. Such devices take no part in sender keys.
    #[must_use]
    pub const fn is_hosted(&self) -> bool {
        matches!(self.server, Server::Hosted | Server::HostedLid) || self.device == HOSTED_DEVICE
    }

    /// Whether its text reads back as the same address, so that it can be stored. [`new`](Self::new) and the wire take
    /// any texts for user and server; [`parse`](Self::parse) does not.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        if let Server::Other(server) = &self.server
            && (server.is_empty() || server.contains('@') || is_malformed(server))
        {
            return false;
        }
        if self.integrator != 0 && self.server != Server::Interop {
            return false;
        }
        if self.user.is_empty() {
            return self.device == 0 && self.integrator == 0;
        }
        let is_old_form = matches!(self.server, Server::Whatsapp | Server::Hosted) && self.user.contains('.');
        let is_user = !self.user.contains(['@', ':']) && !is_malformed(&self.user) && !is_old_form;
        is_user && (self.device <= 0xFF || !self.server.has_device_byte())
    }

    /// The form used in participant hashes: `user.0:device@server`, with the device even if it is 0.
    #[must_use]
    pub fn full_form(&self) -> String {
        format!("{}.0:{}@{}", self.user, self.device, self.server)
    }

    /// Reads an address from its text. Accepts `user:0@…`, `@server` and the old `user.0@s.whatsapp.net`; unknown servers
    /// are kept.
    pub fn parse(text: &str) -> Result<Self, JidError> {
        if text.is_empty() {
            return Err(JidError::Empty);
        }
        let Some((local, server)) = text.split_once('@') else {
            return Server::known(text).map(|server| Self::new("", server)).ok_or(JidError::NoServer);
        };
        if server.contains('@') {
            return Err(JidError::SeveralAts);
        }
        if server.is_empty() {
            return Err(JidError::NoServer);
        }
        if is_malformed(server) {
            return Err(JidError::BadServer);
        }
        let server = Server::of(server);
        if local.is_empty() {
            return Ok(Self::new("", server));
        }
        let (local, device) = match local.split_once(':') {
            Some((local, device)) => (local, parse_device(device, &server)?),
            None => (local, 0),
        };
        let (user, integrator) = match &server {
            Server::Whatsapp | Server::Hosted => (without_agent(local)?, 0),
            Server::Interop => split_integrator(local).unwrap_or((local, 0)),
            _ => (local, 0),
        };
        if user.is_empty() || is_malformed(user) {
            return Err(JidError::BadUser);
        }
        Ok(Self { server, user: user.into(), device, integrator })
    }
}

/// Device number of every hosted device.
const HOSTED_DEVICE: u16 = 99;

/// Longest user or server text that is taken; real ones stay below 40 bytes.
const LONGEST_PART: usize = 255;

fn is_malformed(part: &str) -> bool {
    part.len() > LONGEST_PART || part.chars().any(char::is_control)
}

fn parse_device(text: &str, server: &Server) -> Result<u16, JidError> {
    let device = parse_decimal(text).ok_or(JidError::BadDevice)?;
    if server.has_device_byte() && device > 0xFF {
        return Err(JidError::BadDevice);
    }
    Ok(device)
}

/// A decimal number without sign or leading zero; `u16::parse` alone would take `+5` and `007`.
fn parse_decimal(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

/// Old clients wrote `user.agent`; only agent 0 ever meant the same as no agent.
fn without_agent(local: &str) -> Result<&str, JidError> {
    match local.split_once('.') {
        Some((user, "0")) => Ok(user),
        Some(_) => Err(JidError::BadAgent),
        None => Ok(local),
    }
}

fn split_integrator(local: &str) -> Option<(&str, u16)> {
    let (integrator, user) = local.split_once('-')?;
    Some((user, parse_decimal(integrator)?))
}

/// The ranges 1313555dddd and 131655500dd; exact lengths, since longer numbers belong to people.
fn is_bot_number(user: &str) -> bool {
    let in_range = |prefix: &str, digits: usize| {
        user.strip_prefix(prefix).is_some_and(|rest| rest.len() == digits && rest.bytes().all(|b| b.is_ascii_digit()))
    };
    in_range("1313555", 4) || in_range("131655500", 2)
}

/// The canonical text: `user:device@server`, without the device when it is 0, the server alone without a user. An unknown
/// server alone keeps its `@`: without it, it would not read back.
impl std::fmt::Display for Jid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.user.is_empty() {
            // A user that itself looks like `1-abc` would read back as integrator 1 without the explicit 0.
            if self.server == Server::Interop && (self.integrator != 0 || split_integrator(&self.user).is_some()) {
                write!(f, "{}-", self.integrator)?;
            }
            f.write_str(&self.user)?;
            if self.device != 0 {
                write!(f, ":{}", self.device)?;
            }
        }
        if !self.user.is_empty() || matches!(self.server, Server::Other(_)) {
            f.write_str("@")?;
        }
        f.write_str(self.server.as_str())
    }
}

/// Redacted: addresses are personal data, and `{:?}` ends up in logs. Use `Display` where the address is wanted.
impl std::fmt::Debug for Jid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.user.is_empty() {
            return f.write_str(self.server.as_str());
        }
        let tail = self.user.char_indices().rev().nth(1).map_or("", |(at, _)| self.user.get(at..).unwrap_or(""));
        write!(f, "…{tail}:{}@{}", self.device, self.server.as_str())
    }
}

impl std::str::FromStr for Jid {
    type Err = JidError;

    fn from_str(text: &str) -> Result<Self, JidError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_readable_if_its_text_reads_back() {
        let servers = ["s.whatsapp.net", "lid", "hosted", "interop", "g.us", "msgr", "new", "a@b", "", "n\n"];
        let users = ["", "1", "1.0", "1:2", "a@b", "7-x", "s.whatsapp.net", "\u{7}", &"9".repeat(256)];
        for (server, user) in servers.iter().flat_map(|server| users.iter().map(move |user| (server, user))) {
            for (device, integrator) in [(0, 0), (5, 0), (300, 0), (0, 4), (5, 4)] {
                let jid = Jid::new(*user, Server::of(server)).with_device(device).with_integrator(integrator);
                let reads_back = Jid::parse(&jid.to_string()).is_ok_and(|again| again == jid);
                assert_eq!(jid.is_readable(), reads_back, "{jid}");
            }
        }
    }

    #[test]
    fn an_unknown_server_alone_reads_back_from_its_text() {
        let jid = Jid::parse("@new.example").unwrap();
        assert_eq!(Jid::parse(&jid.to_string()), Ok(jid));
    }

    #[test]
    fn debug_form_hides_the_user() {
        let jid = Jid::pn("15551234567").with_device(4);
        assert_eq!(format!("{jid:?}"), "…67:4@s.whatsapp.net");
        assert_eq!(jid.to_string(), "15551234567:4@s.whatsapp.net");
    }

    #[test]
    fn only_numbers_of_the_exact_length_are_bots() {
        for (text, bot) in [
            ("13135550002@s.whatsapp.net", true),
            ("131355500021@s.whatsapp.net", false),
            ("13165550012@s.whatsapp.net", true),
            ("13135550002:1@s.whatsapp.net", false),
            ("867051314767696@bot", true),
            ("15551234567@s.whatsapp.net", false),
        ] {
            assert_eq!(Jid::parse(text).unwrap().is_bot(), bot, "{text}");
        }
    }

    #[test]
    fn canonical_text_reads_back_as_the_same_address() {
        for jid in [
            Jid::new("1-abc", Server::Interop),
            Jid::new("bob", Server::Interop).with_integrator(7).with_device(2),
            Jid::server_itself(),
            Jid::status(),
            Jid::new("x", Server::Other("example.org".into())),
        ] {
            assert_eq!(Jid::parse(&jid.to_string()), Ok(jid));
        }
    }

    #[test]
    fn full_form_names_agent_and_device_always() {
        assert_eq!(Jid::lid("123").full_form(), "123.0:0@lid");
    }

    #[test]
    fn devices_of_one_user_are_the_same_user() {
        let phone = Jid::pn("1");
        assert!(phone.same_user(&Jid::pn("1").with_device(9)));
        assert!(!phone.same_user(&Jid::lid("1")));
        assert_eq!(Jid::pn("1").with_device(9).to_user(), phone);
    }

    #[test]
    fn a_device_needs_a_user() {
        assert_eq!(Jid::parse(":5@lid"), Err(JidError::BadUser));
        assert_eq!(Jid::parse("7-@interop"), Err(JidError::BadUser));
        assert_eq!(Jid::parse("1:007@lid"), Err(JidError::BadDevice));
        assert_eq!(Jid::parse("a\u{7}@lid"), Err(JidError::BadUser));
    }
}
