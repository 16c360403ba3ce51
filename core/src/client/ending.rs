//! What the server's words for an ending mean, and what follows: one closed table.

use crate::api::{BanReason, CloseReason, DisconnectReason as Reason, Recommendation, ServerNotice};
use crate::stanza::{Failure, StreamError, StreamErrorCause};

/// Why the connection that is ending ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) reason: Reason,
    pub(crate) notice: Option<Box<ServerNotice>>,
}

/// What the client does about an ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aftermath {
    /// Connect again at once; after a pause if that was done already and helped nothing.
    AtOnce,
    /// Connect again after a pause, which grows by this many steps first.
    Pause(u32),
    /// Connect again after a pause, this many times in a row; then stay down.
    Few(u32),
    /// Stay down.
    Stay(Recommendation),
}

/// How much longer a server that asks for less haste is left alone, in steps of the pause; a peer's number.
const LESS_HASTE: u32 = 5;

/// How often a server is tried that says it does not serve this (501).
const NOT_IMPLEMENTED_TRIES: u32 = 3;

impl From<Reason> for Ending {
    fn from(reason: Reason) -> Self {
        Self { reason, notice: None }
    }
}

impl Ending {
    /// From `<failure>`, before or instead of a login; `announced` is the version that this client said it is.
    pub(crate) fn of_failure(failure: &Failure, announced: [u32; 3]) -> Self {
        let reason = match failure.reason {
            code @ (401 | 419) => Reason::LoggedOut { code },
            402 => Reason::TemporarilyBanned { ban: ban(failure.code), expires_in_s: failure.expire },
            403 => Reason::Locked,
            405 => Reason::Outdated { announced },
            406 => Reason::Banned,
            code @ (0 | 429 | 500..=599) => Reason::ServerBusy { code },
            code => Reason::Refused { code },
        };
        let text = |text: &Option<smol_str::SmolStr>| text.as_ref().map(ToString::to_string);
        let notice = ServerNotice {
            message: text(&failure.message),
            url: text(&failure.url),
            location: text(&failure.location),
        };
        Self { reason, notice: (notice != ServerNotice::default()).then(|| Box::new(notice)) }
    }

    /// From `<stream:error>`. What it says is looked at in the web client's order: conflict, code, ack, the rest.
    pub(crate) fn of_stream_error(error: &StreamError) -> Self {
        let reason = match (&error.cause, error.code) {
            (Some(StreamErrorCause::Replaced), _) | (_, Some(409)) => Reason::Replaced,
            (Some(StreamErrorCause::Removed), code) => Reason::LoggedOut { code: code.unwrap_or(401) },
            (_, Some(515)) => Reason::RestartRequired,
            (_, Some(code @ (401 | 516))) => Reason::LoggedOut { code },
            (_, Some(code @ (429 | 500..=599))) => Reason::ServerBusy { code },
            (Some(StreamErrorCause::BadAck { id }), _) => Reason::BadAck { id: id.as_ref().map(ToString::to_string) },
            (Some(StreamErrorCause::NotWellFormed), _) => Reason::Malformed,
            (None, code) => Reason::StreamError { code },
        };
        reason.into()
    }

    /// From what the host says of a socket that ended without a word of the server.
    pub(crate) fn of_close(close: CloseReason) -> Self {
        let reason = match close {
            CloseReason::Asked => Reason::Asked,
            CloseReason::Unreachable => Reason::Unreachable,
            CloseReason::ByServer => Reason::ByServer,
            CloseReason::Broken => Reason::Broken,
        };
        reason.into()
    }

    /// What follows.
    pub(crate) const fn aftermath(&self) -> Aftermath {
        match self.reason {
            Reason::RestartRequired => Aftermath::AtOnce,
            Reason::ServerBusy { code: 429 } => Aftermath::Pause(LESS_HASTE),
            Reason::ServerBusy { code: 501 } => Aftermath::Few(NOT_IMPLEMENTED_TRIES),
            Reason::ServerBusy { .. }
            | Reason::StreamError { .. }
            | Reason::BadAck { .. }
            | Reason::Handshake
            | Reason::CertificateNotTrusted
            | Reason::Silent
            | Reason::ByServer
            | Reason::Broken
            | Reason::Unreachable => Aftermath::Pause(0),
            Reason::Malformed => Aftermath::Few(1),
            Reason::LoggedOut { .. } => Aftermath::Stay(Recommendation::LinkAgain),
            Reason::Outdated { .. } => Aftermath::Stay(Recommendation::UpdateProfile),
            Reason::Replaced => Aftermath::Stay(Recommendation::Replaced),
            Reason::TemporarilyBanned { .. } | Reason::Locked | Reason::Banned => {
                Aftermath::Stay(Recommendation::Locked)
            }
            Reason::Asked | Reason::Refused { .. } | Reason::CodesExpired | Reason::LinkRefused => {
                Aftermath::Stay(Recommendation::Stop)
            }
        }
    }

    /// The server's code, if it refuses this client for what it is.
    pub(crate) const fn refusal(&self) -> Option<u32> {
        match &self.reason {
            Reason::TemporarilyBanned { .. }
            | Reason::Locked
            | Reason::Banned
            | Reason::Outdated { .. }
            | Reason::Refused { .. } => self.reason.code(),
            _ => None,
        }
    }
}

const fn ban(code: Option<u32>) -> BanReason {
    match code {
        Some(101) => BanReason::ToStrangers,
        Some(102) => BanReason::BlockedByMany,
        Some(103) => BanReason::GroupsOfStrangers,
        Some(104) => BanReason::SameMessage,
        Some(106) => BanReason::BroadcastLists,
        other => BanReason::Unknown(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANNOUNCED: [u32; 3] = [2, 3000, 1];

    fn failure(reason: u32) -> Failure {
        Failure { reason, code: None, expire: None, message: None, url: None, location: None }
    }

    #[test]
    fn every_failure_has_one_meaning_and_one_consequence() {
        let banned = Reason::TemporarilyBanned { ban: BanReason::Unknown(None), expires_in_s: None };
        let (stop, pause) = (Aftermath::Stay(Recommendation::Stop), Aftermath::Pause(0));
        let refused = |code| (Reason::Refused { code }, stop);
        let busy = |code| (Reason::ServerBusy { code }, pause);
        let gone = |code| (Reason::LoggedOut { code }, Aftermath::Stay(Recommendation::LinkAgain));
        let table = [
            (400, refused(400)),
            (401, gone(401)),
            (402, (banned, Aftermath::Stay(Recommendation::Locked))),
            (403, (Reason::Locked, Aftermath::Stay(Recommendation::Locked))),
            (405, (Reason::Outdated { announced: ANNOUNCED }, Aftermath::Stay(Recommendation::UpdateProfile))),
            (406, (Reason::Banned, Aftermath::Stay(Recommendation::Locked))),
            (409, refused(409)),
            (413, refused(413)),
            (414, refused(414)),
            (415, refused(415)),
            (418, refused(418)),
            (419, gone(419)),
            (429, (Reason::ServerBusy { code: 429 }, Aftermath::Pause(LESS_HASTE))),
            (500, busy(500)),
            (501, (Reason::ServerBusy { code: 501 }, Aftermath::Few(NOT_IMPLEMENTED_TRIES))),
            (503, busy(503)),
            (0, busy(0)),
            (777, refused(777)),
        ];
        for (code, (reason, aftermath)) in table {
            let ending = Ending::of_failure(&failure(code), ANNOUNCED);
            assert_eq!((&ending.reason, ending.aftermath()), (&reason, aftermath), "{code}");
        }
    }

    #[test]
    fn a_ban_says_why_and_for_how_long_and_the_servers_words_are_passed_on() {
        let bans = [
            (Some(101), BanReason::ToStrangers),
            (Some(102), BanReason::BlockedByMany),
            (Some(103), BanReason::GroupsOfStrangers),
            (Some(104), BanReason::SameMessage),
            (Some(106), BanReason::BroadcastLists),
            (Some(199), BanReason::Unknown(Some(199))),
            (None, BanReason::Unknown(None)),
        ];
        for (code, expected) in bans {
            let failure = Failure {
                code,
                expire: Some(3600),
                message: Some("too fast".into()),
                url: Some("https://example.org/why".into()),
                location: Some("rly".into()),
                ..failure(402)
            };
            let ending = Ending::of_failure(&failure, ANNOUNCED);
            assert_eq!(ending.reason, Reason::TemporarilyBanned { ban: expected, expires_in_s: Some(3600) });
            let notice = ending.notice.expect("a notice");
            assert_eq!(notice.message.as_deref(), Some("too fast"));
            assert_eq!(notice.url.as_deref(), Some("https://example.org/why"));
            assert_eq!(notice.location.as_deref(), Some("rly"));
        }
        assert_eq!(Ending::of_failure(&failure(402), ANNOUNCED).notice, None);
    }

    #[test]
    fn every_stream_error_has_one_meaning_and_one_consequence() {
        use StreamErrorCause as Cause;
        let pause = Aftermath::Pause(0);
        let gone = Aftermath::Stay(Recommendation::LinkAgain);
        let replaced = (Reason::Replaced, Aftermath::Stay(Recommendation::Replaced));
        let ack = || Some(Cause::BadAck { id: Some("17".into()) });
        let table = [
            (Some(515), None, (Reason::RestartRequired, Aftermath::AtOnce)),
            (Some(516), None, (Reason::LoggedOut { code: 516 }, gone)),
            (Some(401), Some(Cause::Removed), (Reason::LoggedOut { code: 401 }, gone)),
            (None, Some(Cause::Removed), (Reason::LoggedOut { code: 401 }, gone)),
            (Some(401), None, (Reason::LoggedOut { code: 401 }, gone)),
            (None, Some(Cause::Replaced), replaced.clone()),
            (Some(440), Some(Cause::Replaced), replaced.clone()),
            (Some(409), None, replaced),
            (Some(429), None, (Reason::ServerBusy { code: 429 }, Aftermath::Pause(LESS_HASTE))),
            (Some(500), None, (Reason::ServerBusy { code: 500 }, pause)),
            (Some(503), None, (Reason::ServerBusy { code: 503 }, pause)),
            (Some(503), ack(), (Reason::ServerBusy { code: 503 }, pause)),
            (None, ack(), (Reason::BadAck { id: Some("17".into()) }, pause)),
            (None, Some(Cause::NotWellFormed), (Reason::Malformed, Aftermath::Few(1))),
            (Some(777), None, (Reason::StreamError { code: Some(777) }, pause)),
            (None, None, (Reason::StreamError { code: None }, pause)),
        ];
        for (code, cause, (reason, aftermath)) in table {
            let ending = Ending::of_stream_error(&StreamError { code, cause: cause.clone() });
            assert_eq!((&ending.reason, ending.aftermath()), (&reason, aftermath), "{code:?} {cause:?}");
        }
    }

    #[test]
    fn a_socket_that_ends_without_a_word_is_tried_again_after_a_pause_unless_that_was_asked_for() {
        let table = [
            (CloseReason::Asked, Reason::Asked, Aftermath::Stay(Recommendation::Stop)),
            (CloseReason::ByServer, Reason::ByServer, Aftermath::Pause(0)),
            (CloseReason::Broken, Reason::Broken, Aftermath::Pause(0)),
            (CloseReason::Unreachable, Reason::Unreachable, Aftermath::Pause(0)),
        ];
        for (close, reason, aftermath) in table {
            let ending = Ending::of_close(close);
            assert_eq!((&ending.reason, ending.aftermath()), (&reason, aftermath));
        }
        for reason in [Reason::Handshake, Reason::CertificateNotTrusted, Reason::Silent] {
            assert_eq!(Ending::from(reason).aftermath(), Aftermath::Pause(0));
        }
        for reason in [Reason::CodesExpired, Reason::LinkRefused] {
            assert_eq!(Ending::from(reason).aftermath(), Aftermath::Stay(Recommendation::Stop));
        }
    }
}
