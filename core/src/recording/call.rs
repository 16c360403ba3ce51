//! Everything that can be said to a client, as data: what goes into a recording and is said again at a replay.

use super::wire::{Malformed, Put, Take};
use crate::api::{
    ChatState, CloseReason, CommitError, CommitId, EventId, Input, LoadId, MessageId, Platform, ProtocolProfile, Record,
};
use crate::types::{Jid, Seed};
use bytes::Bytes;

/// One call of a client that can change it, with its arguments but the time. `poll` is not among them: what it gives
/// is recorded instead.
#[derive(Clone)]
#[non_exhaustive]
pub enum Call {
    /// `handle`.
    Handle(Input),
    /// `trim`.
    Trim(u64),
    /// `connect`.
    Connect,
    /// `disconnect`.
    Disconnect,
    /// `set_profile`.
    SetProfile(Box<ProtocolProfile>),
    /// `send_message`.
    SendMessage {
        /// To whom.
        chat: Jid,
        /// What.
        content: Bytes,
        /// Under which id, if given.
        id: Option<MessageId>,
    },
    /// `mark_read`.
    MarkRead {
        /// Where.
        chat: Jid,
        /// Who sent them.
        sender: Jid,
        /// Which messages.
        ids: Vec<MessageId>,
    },
    /// `set_presence`.
    SetPresence(bool),
    /// `set_push_name`.
    SetPushName(Hidden),
    /// `subscribe_presence`.
    SubscribePresence(Jid),
    /// `send_chat_state`.
    SendChatState(Jid, ChatState),
    /// `log_out`.
    LogOut,
    /// `request_pair_code`.
    RequestPairCode {
        /// The number of the phone.
        phone: Hidden,
        /// The code to use, if given.
        custom: Option<Hidden>,
    },
    /// `provide_assertion`.
    ProvideAssertion(Hidden),
    /// `confirm_code`.
    ConfirmCode,
    /// `reject_code`.
    RejectCode,
}

/// A text that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(pub String);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hidden({} bytes)", self.0.len())
    }
}

impl From<&str> for Hidden {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// Arguments stay out of logs.
impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Call({})", self.word())
    }
}

impl Call {
    /// A fixed word for each; never renamed.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Handle(input) => input_word(input),
            Self::Trim(_) => "trim",
            Self::Connect => "connect",
            Self::Disconnect => "disconnect",
            Self::SetProfile(_) => "set-profile",
            Self::SendMessage { .. } => "send-message",
            Self::MarkRead { .. } => "mark-read",
            Self::SetPresence(_) => "set-presence",
            Self::SetPushName(_) => "set-push-name",
            Self::SubscribePresence(_) => "subscribe-presence",
            Self::SendChatState(..) => "send-chat-state",
            Self::LogOut => "log-out",
            Self::RequestPairCode { .. } => "request-pair-code",
            Self::ProvideAssertion(_) => "provide-assertion",
            Self::ConfirmCode => "confirm-code",
            Self::RejectCode => "reject-code",
        }
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Handle(input) => put_input(out, input),
            Self::Trim(bytes) => {
                out.push(20);
                out.number(*bytes);
            }
            Self::Connect => out.push(21),
            Self::Disconnect => out.push(22),
            Self::SetProfile(profile) => {
                out.push(23);
                put_profile(out, profile);
            }
            Self::SendMessage { chat, content, id } => {
                out.push(24);
                out.jid(chat);
                out.blob(content);
                out.maybe(id.as_ref(), |out, id| out.text(id.as_str()));
            }
            Self::MarkRead { chat, sender, ids } => {
                out.push(25);
                out.jid(chat);
                out.jid(sender);
                out.length(ids.len());
                for id in ids {
                    out.text(id.as_str());
                }
            }
            Self::SetPresence(available) => {
                out.push(26);
                out.flag(*available);
            }
            Self::SetPushName(name) => {
                out.push(27);
                out.text(&name.0);
            }
            Self::SubscribePresence(user) => {
                out.push(28);
                out.jid(user);
            }
            Self::SendChatState(chat, state) => {
                out.push(29);
                out.jid(chat);
                out.push(match state {
                    ChatState::Composing => 0,
                    ChatState::Recording => 1,
                    ChatState::Paused => 2,
                });
            }
            Self::LogOut => out.push(30),
            Self::RequestPairCode { phone, custom } => {
                out.push(31);
                out.text(&phone.0);
                out.maybe(custom.as_ref(), |out, custom| out.text(&custom.0));
            }
            Self::ProvideAssertion(json) => {
                out.push(32);
                out.text(&json.0);
            }
            Self::ConfirmCode => out.push(33),
            Self::RejectCode => out.push(34),
        }
    }

    pub(super) fn take(take: &mut Take) -> Result<Self, Malformed> {
        Ok(match take.byte()? {
            kind @ 0..20 => Self::Handle(take_input(kind, take)?),
            20 => Self::Trim(take.number()?),
            21 => Self::Connect,
            22 => Self::Disconnect,
            23 => Self::SetProfile(Box::new(take_profile(take)?)),
            24 => Self::SendMessage {
                chat: take.jid()?,
                content: take.blob()?,
                id: take.maybe(Take::text)?.map(MessageId::new),
            },
            25 => Self::MarkRead {
                chat: take.jid()?,
                sender: take.jid()?,
                ids: take.list(|take| take.text().map(MessageId::new))?,
            },
            26 => Self::SetPresence(take.flag()?),
            27 => Self::SetPushName(Hidden(take.text()?)),
            28 => Self::SubscribePresence(take.jid()?),
            29 => Self::SendChatState(
                take.jid()?,
                match take.byte()? {
                    0 => ChatState::Composing,
                    1 => ChatState::Recording,
                    2 => ChatState::Paused,
                    _ => return Err("an unknown chat state"),
                },
            ),
            30 => Self::LogOut,
            31 => Self::RequestPairCode { phone: Hidden(take.text()?), custom: take.maybe(Take::text)?.map(Hidden) },
            32 => Self::ProvideAssertion(Hidden(take.text()?)),
            33 => Self::ConfirmCode,
            34 => Self::RejectCode,
            _ => return Err("an unknown call"),
        })
    }
}

const fn input_word(input: &Input) -> &'static str {
    match input {
        Input::Opened => "opened",
        Input::Frame(_) => "frame",
        Input::Closed(_) => "closed",
        Input::Tick => "tick",
        Input::Loaded(..) => "loaded",
        Input::LoadFailed(_) => "load-failed",
        Input::Committed(_) => "committed",
        Input::CommitFailed(..) => "commit-failed",
        Input::Handled(_) => "handled",
        Input::Entropy(_) => "entropy",
    }
}

/// As [`Call::put`] for `handle`, from what is only borrowed.
pub(super) fn put_input(out: &mut Vec<u8>, input: &Input) {
    match input {
        Input::Opened => out.push(0),
        Input::Frame(bytes) => {
            out.push(1);
            out.blob(bytes);
        }
        Input::Closed(reason) => {
            out.push(2);
            out.push(match reason {
                CloseReason::Asked => 0,
                CloseReason::ByServer => 1,
                CloseReason::Unreachable => 2,
                CloseReason::Broken => 3,
            });
        }
        Input::Tick => out.push(3),
        Input::Loaded(id, records) => {
            out.push(4);
            out.number(id.0);
            out.length(records.len());
            for record in records {
                put_record(out, record.as_ref());
            }
        }
        Input::LoadFailed(id) => {
            out.push(5);
            out.number(id.0);
        }
        Input::Committed(id) => {
            out.push(6);
            out.number(id.0);
        }
        Input::CommitFailed(id, error) => {
            out.push(7);
            out.number(id.0);
            out.push(match error {
                CommitError::Retry => 0,
                CommitError::Fenced => 1,
                CommitError::Fatal => 2,
            });
        }
        Input::Handled(id) => {
            out.push(8);
            out.number(id.0);
        }
        Input::Entropy(seed) => {
            out.push(9);
            out.extend_from_slice(seed.expose());
        }
    }
}

fn take_input(kind: u8, take: &mut Take) -> Result<Input, Malformed> {
    Ok(match kind {
        0 => Input::Opened,
        1 => Input::Frame(take.blob()?),
        2 => Input::Closed(match take.byte()? {
            0 => CloseReason::Asked,
            1 => CloseReason::ByServer,
            2 => CloseReason::Unreachable,
            3 => CloseReason::Broken,
            _ => return Err("an unknown reason of closing"),
        }),
        3 => Input::Tick,
        4 => Input::Loaded(LoadId(take.number()?), take.list(take_record)?),
        5 => Input::LoadFailed(LoadId(take.number()?)),
        6 => Input::Committed(CommitId(take.number()?)),
        7 => {
            let id = CommitId(take.number()?);
            let error = match take.byte()? {
                0 => CommitError::Retry,
                1 => CommitError::Fenced,
                2 => CommitError::Fatal,
                _ => return Err("an unknown failure of a commit"),
            };
            Input::CommitFailed(id, error)
        }
        8 => Input::Handled(EventId(take.number()?)),
        9 => Input::Entropy(Seed::new(take.array()?)),
        _ => return Err("an unknown input"),
    })
}

pub(super) fn put_record(out: &mut Vec<u8>, record: Option<&Record>) {
    out.maybe(record, |out, record| out.blob(&record.0));
}

pub(super) fn take_record(take: &mut Take) -> Result<Option<Record>, Malformed> {
    take.maybe(|take| take.blob().map(Record))
}

pub(super) fn put_profile(out: &mut Vec<u8>, profile: &ProtocolProfile) {
    out.text(&profile.url);
    out.text(&profile.origin);
    for part in profile.version {
        out.number(part.into());
    }
    out.extend_from_slice(&profile.root_key);
    out.number(profile.root_serial.into());
    out.text(&profile.os);
    out.push(match profile.platform {
        Platform::Chrome => 0,
        Platform::Firefox => 1,
        Platform::Safari => 2,
        Platform::Edge => 3,
        Platform::Desktop => 4,
        Platform::Other => 5,
    });
    for part in &profile.locale {
        out.text(part);
    }
}

pub(super) fn take_profile(take: &mut Take) -> Result<ProtocolProfile, Malformed> {
    Ok(ProtocolProfile {
        url: take.text()?,
        origin: take.text()?,
        version: [take.small()?, take.small()?, take.small()?],
        root_key: take.array()?,
        root_serial: take.small()?,
        os: take.text()?,
        platform: match take.byte()? {
            0 => Platform::Chrome,
            1 => Platform::Firefox,
            2 => Platform::Safari,
            3 => Platform::Edge,
            4 => Platform::Desktop,
            5 => Platform::Other,
            _ => return Err("an unknown platform"),
        },
        locale: [take.text()?, take.text()?],
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// One of each, with arguments that are not the default.
    pub(crate) fn every_call() -> Vec<Call> {
        let (jid, id) = (Jid::pn("4915112345678").with_device(3), MessageId::new("3EB0AA"));
        let records = vec![None, Some(Record(Bytes::from_static(b"\x01abc")))];
        let inputs = [
            Input::Opened,
            Input::Frame(Bytes::from_static(b"frame")),
            Input::Closed(CloseReason::Broken),
            Input::Tick,
            Input::Loaded(LoadId(7), records),
            Input::LoadFailed(LoadId(8)),
            Input::Committed(CommitId(9)),
            Input::CommitFailed(CommitId(10), CommitError::Fatal),
            Input::Handled(EventId(u64::MAX)),
            Input::Entropy(Seed::new([9; 32])),
        ];
        let profile = ProtocolProfile { os: "x".into(), platform: Platform::Edge, ..ProtocolProfile::default() };
        let mut calls: Vec<Call> = inputs.into_iter().map(Call::Handle).collect();
        calls.extend([
            Call::Trim(1 << 40),
            Call::Connect,
            Call::Disconnect,
            Call::SetProfile(Box::new(profile)),
            Call::SendMessage { chat: jid.clone(), content: Bytes::from_static(b"hello"), id: Some(id.clone()) },
            Call::MarkRead { chat: jid.clone(), sender: jid.clone(), ids: vec![id.clone(), id] },
            Call::SetPresence(true),
            Call::SetPushName("Ann".into()),
            Call::SubscribePresence(jid.clone()),
            Call::SendChatState(jid, ChatState::Paused),
            Call::LogOut,
            Call::RequestPairCode { phone: "4915112345678".into(), custom: Some("ABCD2345".into()) },
            Call::ProvideAssertion("{}".into()),
            Call::ConfirmCode,
            Call::RejectCode,
        ]);
        calls
    }

    #[test]
    fn every_call_comes_back_and_no_shorter_one_does() {
        let mut words = std::collections::BTreeSet::new();
        for call in every_call() {
            let mut bytes = Vec::new();
            call.put(&mut bytes);
            let mut take = Take::new(bytes.clone().into());
            let read = Call::take(&mut take).unwrap();
            assert_eq!(take.done(), Ok(()), "{}", call.word());
            let mut again = Vec::new();
            read.put(&mut again);
            assert_eq!(again, bytes, "{}", call.word());
            assert_eq!(read.word(), call.word());
            assert!(words.insert(call.word()), "{} is the word of two calls", call.word());
            for cut in 0..bytes.len() {
                assert!(Call::take(&mut Take::new(bytes[..cut].to_vec().into())).is_err(), "{} cut", call.word());
            }
        }
    }

    #[test]
    fn what_is_said_to_a_client_is_not_shown() {
        let text = format!("{:?}", every_call());
        for hidden in ["4915112345678", "Ann", "hello", "ABCD2345"] {
            assert!(!text.contains(hidden), "{text}");
        }
    }
}
