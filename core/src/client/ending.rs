//! Why a connection ended, as one closed table: what the server said, what it means, what follows.

use crate::api::{CloseReason, Recommendation};
use crate::stanza::StreamErrorCause;

/// Why a connection ended or is about to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The caller asked for it.
    Asked,
    /// The server wants a fresh connection, as it does after linking.
    Restart,
    /// This device is no longer linked.
    LoggedOut(u32),
    /// Another connection of this device took over.
    Replaced,
    /// The account may not use the service, or not now.
    Banned(u32),
    /// The announced version is too old.
    Outdated,
    /// The server refuses this client for another reason.
    Refused(u32),
    /// The server is in trouble or wants less haste.
    Busy(u32),
    /// The server ended the stream over something that was sent, or without a reason that is known.
    Dropped(u32),
    /// The handshake failed: the other side is not the server, or speaks another protocol.
    Handshake,
    /// Nothing came for too long.
    Silent,
    /// Nobody scanned a code.
    CodesExpired,
    /// The phone's answer was not authentic.
    LinkRefused,
    /// The socket broke or was closed without a word.
    Lost,
    /// There was no way to connect.
    Unreachable,
}

/// What the client does about an ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aftermath {
    /// Connect again at once.
    Reconnect,
    /// Connect again after a pause.
    Pause,
    /// Stay down.
    Stay(Recommendation),
}

impl Ending {
    /// From `<failure reason>`, before or instead of a login. 403 (the account is locked) keeps the keys: it may pass.
    pub(crate) const fn of_failure(reason: u32) -> Self {
        match reason {
            401 | 419 => Self::LoggedOut(reason),
            402 | 406 => Self::Banned(reason),
            405 => Self::Outdated,
            500 | 501 | 503 | 0 => Self::Busy(reason),
            _ => Self::Refused(reason),
        }
    }

    /// From `<stream:error>`: its code and the cause that it names.
    pub(crate) const fn of_stream_error(code: Option<u32>, cause: Option<&StreamErrorCause>) -> Self {
        match (cause, code) {
            (Some(StreamErrorCause::Replaced), _) | (None, Some(409)) => Self::Replaced,
            (Some(StreamErrorCause::Removed), Some(code)) => Self::LoggedOut(code),
            (Some(StreamErrorCause::Removed), None) => Self::LoggedOut(401),
            (None, Some(515)) => Self::Restart,
            (None, Some(code @ (401 | 516))) => Self::LoggedOut(code),
            (None, Some(code @ (429 | 500..=599))) => Self::Busy(code),
            (_, Some(code)) => Self::Dropped(code),
            (_, None) => Self::Dropped(0),
        }
    }

    /// From what the host says of a socket that ended without a word of the server.
    pub(crate) const fn of_close(reason: CloseReason) -> Self {
        match reason {
            CloseReason::Asked => Self::Asked,
            CloseReason::Unreachable => Self::Unreachable,
            CloseReason::ByServer | CloseReason::Broken => Self::Lost,
        }
    }

    /// The fixed word of [`Disconnect::reason`](crate::api::Disconnect::reason).
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Restart => "restart-required",
            Self::LoggedOut(_) => "logged-out",
            Self::Replaced => "replaced",
            Self::Banned(_) => "banned",
            Self::Outdated => "outdated",
            Self::Refused(_) => "refused",
            Self::Busy(_) => "server-busy",
            Self::Dropped(_) | Self::Lost => "lost",
            Self::Handshake => "handshake",
            Self::Silent => "silent",
            Self::CodesExpired => "codes-expired",
            Self::LinkRefused => "link-refused",
            Self::Unreachable => "unreachable",
        }
    }

    /// The server's code.
    pub(crate) const fn code(self) -> Option<u32> {
        match self {
            Self::LoggedOut(code)
            | Self::Banned(code)
            | Self::Refused(code)
            | Self::Busy(code)
            | Self::Dropped(code) => Some(code),
            Self::Outdated => Some(405),
            _ => None,
        }
    }

    /// The code with which the server turns this client away for good, whoever it is.
    pub(crate) const fn refusal(self) -> Option<u32> {
        match self {
            Self::Banned(_) | Self::Refused(_) | Self::Outdated => self.code(),
            _ => None,
        }
    }

    /// What follows.
    pub(crate) const fn aftermath(self) -> Aftermath {
        match self {
            Self::Restart => Aftermath::Reconnect,
            Self::Busy(_) | Self::Dropped(_) | Self::Handshake | Self::Silent | Self::Lost | Self::Unreachable => {
                Aftermath::Pause
            }
            Self::LoggedOut(_) => Aftermath::Stay(Recommendation::LinkAgain),
            Self::Outdated => Aftermath::Stay(Recommendation::UpdateProfile),
            Self::Asked
            | Self::Replaced
            | Self::Banned(_)
            | Self::Refused(_)
            | Self::CodesExpired
            | Self::LinkRefused => Aftermath::Stay(Recommendation::Stop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_connection_never_comes_back_by_itself() {
        let replaced = Some(&StreamErrorCause::Replaced);
        for (code, cause) in [(None, replaced), (Some(440), replaced), (Some(409), None)] {
            let ending = Ending::of_stream_error(code, cause);
            assert_eq!(ending, Ending::Replaced);
            assert_eq!(ending.aftermath(), Aftermath::Stay(Recommendation::Stop));
        }
    }

    #[test]
    fn a_removed_device_must_link_again() {
        let endings = [
            Ending::of_stream_error(Some(401), Some(&StreamErrorCause::Removed)),
            Ending::of_stream_error(Some(516), None),
            Ending::of_failure(401),
        ];
        for ending in endings {
            assert_eq!(ending.aftermath(), Aftermath::Stay(Recommendation::LinkAgain), "{ending:?}");
        }
    }

    #[test]
    fn server_trouble_is_waited_out_and_a_restart_is_not() {
        assert_eq!(Ending::of_stream_error(Some(515), None).aftermath(), Aftermath::Reconnect);
        for ending in [Ending::of_stream_error(Some(503), None), Ending::of_failure(503), Ending::of_failure(500)] {
            assert_eq!(ending.aftermath(), Aftermath::Pause, "{ending:?}");
        }
    }
}
