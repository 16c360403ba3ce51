//! The inbox: durable events, written in the commit of the ratchet step that produced them, kept until handled.

use super::outcome::OutcomeRecord;
use super::record::{BadRecord, Stored, open, seal};
use crate::api::{
    Aliases, Event, IdentityChange, ListCheck, MessageEvent, MessageId, ReceiptEvent, ReceiptKind, Record, SendReport,
    SendResult, Space, SuspiciousKind, SuspiciousMessage, UnanswerableReason, UnansweredRetry, UndecryptableEvent,
    UndecryptableReason,
};
use crate::types::{Jid, Username};
use bytes::Bytes;

const VERSION: u8 = 1;

/// Id of the cursor record.
pub(crate) const CURSOR_ID: &[u8] = b"inbox";

/// Record id of the event with the number `id`.
pub(crate) fn record_id(id: u64) -> Vec<u8> {
    id.to_be_bytes().to_vec()
}

/// The window of events: unhandled ones are at or above `first`, the next one gets `next`. Those that the window has left
/// behind are named one by one: one event that is never handled must not make a restart read all that came since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InboxCursor {
    pub(crate) first: u64,
    pub(crate) next: u64,
    /// Unhandled events before `first`, ascending.
    pub(crate) behind: Vec<u64>,
}

/// How far back the window begins at most, unless too many events are behind it.
const WINDOW: u64 = 256;

/// Events that may be left behind.
const MOST_BEHIND: usize = 256;

impl Default for InboxCursor {
    fn default() -> Self {
        Self { first: 1, next: 1, behind: Vec::new() }
    }
}

impl InboxCursor {
    /// Moves the window to where `unhandled` events, ascending, are.
    pub(crate) fn settle(&mut self, unhandled: impl Iterator<Item = u64>) {
        self.behind.clear();
        self.first = self.next;
        for id in unhandled {
            if self.next.saturating_sub(id) <= WINDOW || self.behind.len() >= MOST_BEHIND {
                self.first = id;
                break;
            }
            self.behind.push(id);
        }
    }
}

/// A durable event as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Unhandled(pub(crate) Event);

#[derive(Clone, PartialEq, prost::Message)]
struct CursorRecord {
    #[prost(uint64, tag = "1")]
    first: u64,
    #[prost(uint64, tag = "2")]
    next: u64,
    #[prost(uint64, repeated, tag = "3")]
    behind: Vec<u64>,
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
struct EventRecord {
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 10, 11, 12")]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
#[prost(skip_debug)]
enum Kind {
    #[prost(message, tag = "1")]
    Message(MessageRecord),
    #[prost(message, tag = "2")]
    Undecryptable(UndecryptableRecord),
    #[prost(message, tag = "3")]
    Receipt(ReceiptRecord),
    #[prost(message, tag = "4")]
    Sent(SentRecord),
    #[prost(message, tag = "10")]
    Unanswered(UnansweredRecord),
    #[prost(message, tag = "11")]
    Suspicious(SuspiciousRecord),
    #[prost(message, tag = "12")]
    Identity(IdentityRecord),
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
struct AliasesRecord {
    #[prost(string, optional, tag = "1")]
    pn: Option<String>,
    #[prost(string, optional, tag = "2")]
    lid: Option<String>,
    #[prost(string, optional, tag = "3")]
    username: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
struct MessageRecord {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    chat: String,
    #[prost(message, optional, tag = "3")]
    chat_aliases: Option<AliasesRecord>,
    #[prost(string, tag = "4")]
    sender: String,
    #[prost(message, optional, tag = "5")]
    sender_aliases: Option<AliasesRecord>,
    #[prost(bool, tag = "6")]
    from_me: bool,
    #[prost(uint64, tag = "7")]
    timestamp: u64,
    #[prost(string, optional, tag = "8")]
    push_name: Option<String>,
    #[prost(bool, tag = "9")]
    offline: bool,
    #[prost(bytes = "bytes", tag = "10")]
    content: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
struct UndecryptableRecord {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    chat: String,
    #[prost(string, tag = "3")]
    sender: String,
    #[prost(uint64, tag = "4")]
    timestamp: u64,
    #[prost(uint32, tag = "5")]
    reason: u32,
    #[prost(message, optional, tag = "6")]
    chat_aliases: Option<AliasesRecord>,
    #[prost(message, optional, tag = "7")]
    sender_aliases: Option<AliasesRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
struct ReceiptRecord {
    #[prost(string, tag = "1")]
    chat: String,
    #[prost(string, tag = "2")]
    sender: String,
    #[prost(message, optional, tag = "3")]
    sender_aliases: Option<AliasesRecord>,
    #[prost(string, repeated, tag = "4")]
    ids: Vec<String>,
    #[prost(string, tag = "5")]
    kind: String,
    #[prost(uint64, tag = "6")]
    timestamp: u64,
    #[prost(message, optional, tag = "7")]
    chat_aliases: Option<AliasesRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
struct SentRecord {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    chat: String,
    #[prost(uint64, optional, tag = "3")]
    timestamp: Option<u64>,
    #[prost(uint32, optional, tag = "4")]
    refused: Option<u32>,
    #[prost(message, repeated, tag = "5")]
    devices: Vec<OutcomeRecord>,
    #[prost(message, optional, tag = "6")]
    chat_aliases: Option<AliasesRecord>,
    #[prost(uint32, optional, tag = "7")]
    ended: Option<u32>,
    #[prost(uint64, optional, tag = "8")]
    until: Option<u64>,
    #[prost(uint32, optional, tag = "9")]
    check: Option<u32>,
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
struct IdentityRecord {
    #[prost(string, tag = "1")]
    user: String,
    #[prost(message, optional, tag = "2")]
    user_aliases: Option<AliasesRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
struct SuspiciousRecord {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    sender: String,
    #[prost(message, optional, tag = "3")]
    sender_aliases: Option<AliasesRecord>,
    #[prost(uint32, tag = "4")]
    kind: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
struct UnansweredRecord {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    device: String,
    #[prost(uint32, tag = "3")]
    reason: u32,
    #[prost(message, optional, tag = "4")]
    device_aliases: Option<AliasesRecord>,
}

impl Stored for InboxCursor {
    const SPACE: Space = Space::Account;

    fn seal(&self) -> Record {
        let Self { first, next, ref behind } = *self;
        seal(VERSION, &CursorRecord { first, next, behind: behind.clone() })
    }

    fn open(record: &Record) -> Result<Self, BadRecord> {
        let CursorRecord { first, next, behind } = open(VERSION, record)?;
        let is_behind = behind.is_sorted() && behind.last().is_none_or(|last| *last < first);
        if first <= next && is_behind { Ok(Self { first, next, behind }) } else { Err(BadRecord) }
    }
}

impl Stored for Unhandled {
    const SPACE: Space = Space::Inbox;

    fn seal(&self) -> Record {
        seal(VERSION, &EventRecord { kind: kind_of(&self.0) })
    }

    fn open(record: &Record) -> Result<Self, BadRecord> {
        let found: EventRecord = open(VERSION, record)?;
        event_of(found.kind.ok_or(BadRecord)?).map(Self)
    }
}

fn kind_of(event: &Event) -> Option<Kind> {
    match event {
        Event::MessageReceived(message) => Some(Kind::Message(MessageRecord {
            id: message.id.to_string(),
            chat: message.chat.to_string(),
            chat_aliases: Some(aliases_record(&message.chat_aliases)),
            sender: message.sender.to_string(),
            sender_aliases: Some(aliases_record(&message.sender_aliases)),
            from_me: message.from_me,
            timestamp: message.timestamp,
            push_name: message.push_name.clone(),
            offline: message.offline,
            content: message.content.clone(),
        })),
        Event::MessageUndecryptable(lost) => Some(Kind::Undecryptable(UndecryptableRecord {
            id: lost.id.to_string(),
            chat: lost.chat.to_string(),
            sender: lost.sender.to_string(),
            timestamp: lost.timestamp,
            reason: number_of_reason(lost.reason),
            chat_aliases: some_aliases(&lost.chat_aliases),
            sender_aliases: some_aliases(&lost.sender_aliases),
        })),
        Event::ReceiptReceived(receipt) => Some(Kind::Receipt(ReceiptRecord {
            chat: receipt.chat.to_string(),
            sender: receipt.sender.to_string(),
            sender_aliases: Some(aliases_record(&receipt.sender_aliases)),
            ids: receipt.ids.iter().map(ToString::to_string).collect(),
            kind: word_of_kind(&receipt.kind).to_owned(),
            timestamp: receipt.timestamp,
            chat_aliases: some_aliases(&receipt.chat_aliases),
        })),
        Event::SendFinished(report) => Some(Kind::Sent(sent_record(report))),
        Event::RetryUnanswerable(retry) => Some(Kind::Unanswered(UnansweredRecord {
            id: retry.id.to_string(),
            device: retry.device.to_string(),
            device_aliases: Some(aliases_record(&retry.device_aliases)),
            reason: UNANSWERABLE.iter().zip(0..).find_map(|(known, at)| (*known == retry.reason).then_some(at))?,
        })),
        Event::IdentityChanged(change) => Some(Kind::Identity(IdentityRecord {
            user: change.user.to_string(),
            user_aliases: Some(aliases_record(&change.user_aliases)),
        })),
        Event::SuspiciousMessage(message) => Some(Kind::Suspicious(SuspiciousRecord {
            id: message.id.to_string(),
            sender: message.sender.to_string(),
            sender_aliases: Some(aliases_record(&message.sender_aliases)),
            kind: SUSPICIOUS.iter().zip(0..).find_map(|(known, at)| (*known == message.kind).then_some(at))?,
        })),
        _ => None,
    }
}

/// Numbers as they are kept; never reused.
const SUSPICIOUS: [SuspiciousKind; 10] = [
    SuspiciousKind::HistoryNotice,
    SuspiciousKind::AppStateKeyShare,
    SuspiciousKind::AppStateKeyRequest,
    SuspiciousKind::BackfillRequest,
    SuspiciousKind::SecuritySettings,
    SuspiciousKind::AppStateFailure,
    SuspiciousKind::DataRequest,
    SuspiciousKind::DataAnswer,
    SuspiciousKind::LidMapping,
    SuspiciousKind::OwnCopy,
];

/// Numbers as they are kept; never reused.
const UNANSWERABLE: [UnanswerableReason; 4] = [
    UnanswerableReason::Expired,
    UnanswerableReason::NeverSent,
    UnanswerableReason::OverBudget,
    UnanswerableReason::NotAddressed,
];

fn event_of(kind: Kind) -> Result<Event, BadRecord> {
    Ok(match kind {
        Kind::Message(found) => Event::MessageReceived(Box::new(MessageEvent {
            id: MessageId::new(found.id),
            chat: jid(&found.chat)?,
            chat_aliases: aliases(found.chat_aliases)?,
            sender: jid(&found.sender)?,
            sender_aliases: aliases(found.sender_aliases)?,
            from_me: found.from_me,
            timestamp: found.timestamp,
            push_name: found.push_name,
            offline: found.offline,
            content: found.content,
        })),
        Kind::Undecryptable(found) => Event::MessageUndecryptable(Box::new(UndecryptableEvent {
            id: MessageId::new(found.id),
            chat: jid(&found.chat)?,
            chat_aliases: aliases(found.chat_aliases)?,
            sender: jid(&found.sender)?,
            sender_aliases: aliases(found.sender_aliases)?,
            timestamp: found.timestamp,
            reason: reason_of_number(found.reason),
        })),
        Kind::Receipt(found) => Event::ReceiptReceived(Box::new(ReceiptEvent {
            chat: jid(&found.chat)?,
            chat_aliases: aliases(found.chat_aliases)?,
            sender: jid(&found.sender)?,
            sender_aliases: aliases(found.sender_aliases)?,
            ids: found.ids.into_iter().map(MessageId::new).collect(),
            kind: kind_of_word(found.kind),
            timestamp: found.timestamp,
        })),
        Kind::Sent(found) => Event::SendFinished(Box::new(report_of(found)?)),
        Kind::Identity(found) => Event::IdentityChanged(Box::new(IdentityChange {
            user: jid(&found.user)?,
            user_aliases: aliases(found.user_aliases)?,
        })),
        Kind::Suspicious(found) => Event::SuspiciousMessage(Box::new(SuspiciousMessage {
            id: MessageId::new(found.id),
            sender: jid(&found.sender)?,
            sender_aliases: aliases(found.sender_aliases)?,
            kind: usize::try_from(found.kind).ok().and_then(|at| SUSPICIOUS.get(at)).copied().ok_or(BadRecord)?,
        })),
        Kind::Unanswered(found) => Event::RetryUnanswerable(Box::new(UnansweredRetry {
            id: MessageId::new(found.id),
            device: jid(&found.device)?,
            device_aliases: aliases(found.device_aliases)?,
            reason: usize::try_from(found.reason).ok().and_then(|at| UNANSWERABLE.get(at)).copied().ok_or(BadRecord)?,
        })),
    })
}

fn jid(text: &str) -> Result<Jid, BadRecord> {
    Jid::parse(text).map_err(|_| BadRecord)
}

fn aliases_record(aliases: &Aliases) -> AliasesRecord {
    let text = |jid: &Option<Jid>| jid.as_ref().map(ToString::to_string);
    let username = aliases.username.as_ref().map(ToString::to_string);
    AliasesRecord { pn: text(&aliases.pn), lid: text(&aliases.lid), username }
}

/// Left out where nothing is known, as it was before events of this kind carried any.
fn some_aliases(aliases: &Aliases) -> Option<AliasesRecord> {
    (*aliases != Aliases::default()).then(|| aliases_record(aliases))
}

fn aliases(found: Option<AliasesRecord>) -> Result<Aliases, BadRecord> {
    let found = found.unwrap_or_default();
    let jid = |text: Option<String>| text.as_deref().map(jid).transpose();
    let username = found.username.as_deref().and_then(Username::parse);
    Ok(Aliases { pn: jid(found.pn)?, lid: jid(found.lid)?, username })
}

/// Results that neither a time nor a code of the server tells. Numbers are never reused.
mod ended {
    pub(super) const UNLINKED: u32 = 1;
    pub(super) const TOKEN_MISSING: u32 = 2;
    pub(super) const RESTRICTED: u32 = 3;
}

fn sent_record(report: &SendReport) -> SentRecord {
    let (timestamp, refused, ended, until) = match report.result {
        SendResult::Accepted { timestamp } => (Some(timestamp), None, None, None),
        SendResult::Refused { code } => (None, Some(code), None, None),
        SendResult::NobodyToSendTo => (None, None, None, None),
        SendResult::Unlinked => (None, None, Some(ended::UNLINKED), None),
        SendResult::TokenMissing => (None, None, Some(ended::TOKEN_MISSING), None),
        SendResult::Restricted { until } => (None, None, Some(ended::RESTRICTED), until),
    };
    let check = match report.lists {
        ListCheck::Agreed => None,
        ListCheck::Repaired => Some(1),
        ListCheck::Unexplained => Some(2),
    };
    SentRecord {
        id: report.id.to_string(),
        chat: report.chat.to_string(),
        timestamp,
        refused,
        devices: report.devices.iter().map(OutcomeRecord::of).collect(),
        chat_aliases: some_aliases(&report.chat_aliases),
        ended,
        until,
        check,
    }
}

fn report_of(found: SentRecord) -> Result<SendReport, BadRecord> {
    let result = match (found.timestamp, found.refused, found.ended) {
        (Some(timestamp), _, _) => SendResult::Accepted { timestamp },
        (None, Some(code), _) => SendResult::Refused { code },
        (None, None, None) => SendResult::NobodyToSendTo,
        (None, None, Some(ended::UNLINKED)) => SendResult::Unlinked,
        (None, None, Some(ended::TOKEN_MISSING)) => SendResult::TokenMissing,
        (None, None, Some(ended::RESTRICTED)) => SendResult::Restricted { until: found.until },
        (None, None, Some(_)) => return Err(BadRecord),
    };
    let lists = match found.check {
        None => ListCheck::Agreed,
        Some(1) => ListCheck::Repaired,
        Some(_) => ListCheck::Unexplained,
    };
    Ok(SendReport {
        op: None,
        id: MessageId::new(found.id),
        chat: jid(&found.chat)?,
        chat_aliases: aliases(found.chat_aliases)?,
        result,
        lists,
        devices: found.devices.iter().map(OutcomeRecord::read).collect::<Result<_, _>>()?,
    })
}

/// Numbers as they are kept; never reused.
const REASONS: [UndecryptableReason; 9] = [
    UndecryptableReason::Damaged,
    UndecryptableReason::NoSession,
    UndecryptableReason::UnknownPreKey,
    UndecryptableReason::TooFarAhead,
    UndecryptableReason::NoSenderKey,
    UndecryptableReason::BadIdentity,
    UndecryptableReason::NotAMessage,
    UndecryptableReason::UnknownEncryption,
    UndecryptableReason::Unavailable,
];

fn number_of_reason(reason: UndecryptableReason) -> u32 {
    REASONS.iter().zip(0..).find_map(|(known, number)| (*known == reason).then_some(number)).unwrap_or(0)
}

fn reason_of_number(number: u32) -> UndecryptableReason {
    usize::try_from(number).ok().and_then(|at| REASONS.get(at)).copied().unwrap_or(UndecryptableReason::Damaged)
}

fn word_of_kind(kind: &ReceiptKind) -> &str {
    match kind {
        ReceiptKind::Delivered => "delivered",
        ReceiptKind::Read => "read",
        ReceiptKind::ReadSelf => "read-self",
        ReceiptKind::Played => "played",
        ReceiptKind::Retry => "retry",
        ReceiptKind::Other(word) => word,
    }
}

fn kind_of_word(word: String) -> ReceiptKind {
    match word.as_str() {
        "delivered" => ReceiptKind::Delivered,
        "read" => ReceiptKind::Read,
        "read-self" => ReceiptKind::ReadSelf,
        "played" => ReceiptKind::Played,
        "retry" => ReceiptKind::Retry,
        _ => ReceiptKind::Other(word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{DeviceOutcome, SkipReason};
    use crate::types::Server;

    fn samples() -> Vec<Event> {
        let pn = Jid::new("15551234567", Server::Whatsapp);
        let lid = Jid::new("236395184570386", Server::Lid);
        let aliases = Aliases { pn: Some(pn.clone()), lid: Some(lid.clone()), username: Username::parse("ann") };
        let mut samples = vec![Event::MessageReceived(Box::new(MessageEvent {
            id: MessageId::new("3EB0"),
            chat: lid.clone(),
            chat_aliases: aliases.clone(),
            sender: lid.clone().with_device(3),
            sender_aliases: aliases.clone(),
            from_me: true,
            timestamp: 1_790_000_000,
            push_name: Some("Ann".into()),
            offline: true,
            content: Bytes::from_static(b"\x0a\x02hi"),
        }))];
        let results = [
            SendResult::Accepted { timestamp: 1_790_000_000 },
            SendResult::Refused { code: 479 },
            SendResult::TokenMissing,
            SendResult::Restricted { until: Some(1_790_000_000) },
            SendResult::Restricted { until: None },
            SendResult::NobodyToSendTo,
            SendResult::Unlinked,
        ];
        let checks = [ListCheck::Agreed, ListCheck::Repaired, ListCheck::Unexplained];
        let outcomes = [
            DeviceOutcome::Sent,
            DeviceOutcome::NoSession,
            DeviceOutcome::BundleRefused,
            DeviceOutcome::Gone,
            DeviceOutcome::Repaired,
            DeviceOutcome::Skipped(SkipReason::RepairRefused(479)),
            DeviceOutcome::Skipped(SkipReason::ServerTrouble),
            DeviceOutcome::Skipped(SkipReason::Unsendable),
        ];
        for (result, lists) in results.into_iter().zip(checks.into_iter().cycle()) {
            samples.push(Event::SendFinished(Box::new(SendReport {
                op: None,
                id: MessageId::new("3EB1"),
                chat: pn.clone(),
                chat_aliases: aliases.clone(),
                result,
                lists,
                devices: outcomes.map(|outcome| (lid.clone().with_device(2), outcome)).to_vec(),
            })));
        }
        for kind in [ReceiptKind::Delivered, ReceiptKind::Retry, ReceiptKind::Other("view".into())] {
            samples.push(Event::ReceiptReceived(Box::new(ReceiptEvent {
                chat: pn.clone(),
                chat_aliases: aliases.clone(),
                sender: pn.clone(),
                sender_aliases: Aliases::default(),
                ids: vec![MessageId::new("a"), MessageId::new("b")],
                kind,
                timestamp: 5,
            })));
        }
        let (user, user_aliases) = (lid.clone(), aliases.clone());
        samples.push(Event::IdentityChanged(Box::new(IdentityChange { user, user_aliases })));
        for kind in SUSPICIOUS {
            samples.push(Event::SuspiciousMessage(Box::new(SuspiciousMessage {
                id: MessageId::new("3EB4"),
                sender: pn.clone(),
                sender_aliases: aliases.clone(),
                kind,
            })));
        }
        for reason in UNANSWERABLE {
            samples.push(Event::RetryUnanswerable(Box::new(UnansweredRetry {
                id: MessageId::new("3EB3"),
                device: pn.clone(),
                device_aliases: aliases.clone(),
                reason,
            })));
        }
        for reason in REASONS {
            samples.push(Event::MessageUndecryptable(Box::new(UndecryptableEvent {
                id: MessageId::new("3EB2"),
                chat: pn.clone(),
                chat_aliases: Aliases::default(),
                sender: pn.clone(),
                sender_aliases: aliases.clone(),
                timestamp: 5,
                reason,
            })));
        }
        samples
    }

    #[test]
    fn an_event_that_is_never_handled_does_not_hold_the_window() {
        let mut cursor = InboxCursor { next: 5_000, ..InboxCursor::default() };
        cursor.settle([3, 9, 4_990].into_iter());
        assert_eq!((cursor.first, cursor.behind.as_slice()), (4_990, &[3, 9][..]));
        assert_eq!(InboxCursor::open(&cursor.seal()).as_ref(), Ok(&cursor));
        cursor.settle([9].into_iter());
        assert_eq!((cursor.first, cursor.behind.as_slice()), (5_000, &[9][..]));
        cursor.settle((0..300).chain([4_990]));
        assert_eq!((cursor.first, cursor.behind.len()), (256, 256), "the rest is found by reading");
        cursor.settle([4_900, 4_999].into_iter());
        assert_eq!((cursor.first, cursor.behind.len()), (4_900, 0));
    }

    #[test]
    fn every_durable_event_reads_back_as_it_was_written() {
        for event in samples() {
            let record = Unhandled(event.clone()).seal();
            assert_eq!(Unhandled::open(&record), Ok(Unhandled(event)));
        }
    }

    #[test]
    fn record_ids_are_in_the_order_of_events() {
        assert_eq!(record_id(0x0102), [0, 0, 0, 0, 0, 0, 1, 2]);
    }

    #[test]
    fn every_kind_of_receipt_reads_back_as_itself() {
        for kind in [
            ReceiptKind::Delivered,
            ReceiptKind::Read,
            ReceiptKind::ReadSelf,
            ReceiptKind::Played,
            ReceiptKind::Retry,
            ReceiptKind::Other("new".into()),
        ] {
            assert_eq!(kind_of_word(word_of_kind(&kind).to_owned()), kind);
        }
    }
}
