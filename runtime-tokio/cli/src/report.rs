//! Events as JSON objects and as lines for people.

use crate::style::Style;
use serde_json::{Value, json};
use whatsio::api::{
    Aliases, ChatState, CodePurpose, DeviceOutcome, DisconnectReason, Event, EventId, ListCheck, MessageId, OpResult,
    Presence, ReceiptKind, Recommendation, SendReport, SendResult,
};
use whatsio::{Jid, content};

/// One event as one JSON object. `type` says which; the other members are flat and never renamed. Where it names a
/// `chat`, `sender` or `user`, members with `_pn`, `_lid` and `_username` behind that name tell all that is known of them.
pub(crate) fn json(id: EventId, event: &Event) -> Value {
    let mut object = body(event);
    for (role, aliases) in aliases(event) {
        name(&mut object, role, aliases);
    }
    if let Some(members) = object.as_object_mut() {
        members.insert("event".into(), json!(id.0));
    }
    object
}

fn aliases(event: &Event) -> Vec<(&'static str, &Aliases)> {
    match event {
        Event::MessageReceived(event) => vec![("chat", &event.chat_aliases), ("sender", &event.sender_aliases)],
        Event::MessageUndecryptable(event) => vec![("chat", &event.chat_aliases), ("sender", &event.sender_aliases)],
        Event::ReceiptReceived(event) => vec![("chat", &event.chat_aliases), ("sender", &event.sender_aliases)],
        Event::PresenceChanged(event) => vec![("user", &event.user_aliases)],
        Event::ChatStateChanged(event) => vec![("chat", &event.chat_aliases), ("user", &event.user_aliases)],
        Event::IdentityChanged(change) => vec![("user", &change.user_aliases)],
        Event::SuspiciousMessage(message) => vec![("sender", &message.sender_aliases)],
        Event::RetryUnanswerable(retry) => vec![("device", &retry.device_aliases)],
        _ => Vec::new(),
    }
}

fn name(object: &mut Value, role: &str, aliases: &Aliases) {
    let Some(members) = object.as_object_mut() else { return };
    members.insert(format!("{role}_pn"), json!(text(aliases.pn.as_ref())));
    members.insert(format!("{role}_lid"), json!(text(aliases.lid.as_ref())));
    members.insert(format!("{role}_username"), json!(aliases.username.as_ref().map(ToString::to_string)));
}

/// The report of a send.
pub(crate) fn send_finished(report: &SendReport) -> Value {
    let devices: Vec<Value> = report
        .devices
        .iter()
        .map(|(device, outcome)| json!({ "device": device.to_string(), "outcome": outcome_word(*outcome) }))
        .collect();
    let mut object = json!({
        "type": "send_finished",
        "id": report.id.as_str(),
        "chat": report.chat.to_string(),
        "sent": report.is_sent(),
        "result": result_word(report.result),
        "timestamp": report.timestamp(),
        "refused": report.refused(),
        "lists": lists_word(report.lists),
        "devices": devices,
    });
    if let (SendResult::Restricted { until }, Some(members)) = (report.result, object.as_object_mut()) {
        members.insert("until".into(), json!(until));
    }
    name(&mut object, "chat", &report.chat_aliases);
    object
}

fn body(event: &Event) -> Value {
    match event {
        Event::QrShown { text, valid_ms } => json!({ "type": "qr", "text": text, "valid_ms": valid_ms }),
        Event::Linked { jid, lid, platform } => json!({
            "type": "linked",
            "jid": jid.to_string(),
            "lid": text(lid.as_ref()),
            "platform": platform,
        }),
        Event::CodeShown { code, purpose, valid_ms } => {
            json!({ "type": "code", "code": code, "purpose": purpose_word(*purpose), "valid_ms": valid_ms })
        }
        Event::AssertionNeeded { request } => json!({ "type": "assertion_needed", "request": request }),
        Event::CodeConfirmed => json!({ "type": "code_confirmed" }),
        Event::LinkFailed(failure) => json!({
            "type": "link_failed",
            "reason": failure.reason.to_string(),
            "step": format!("{:?}", failure.step),
        }),
        Event::Connected => json!({ "type": "connected" }),
        Event::OfflineDrained { count } => json!({ "type": "offline_drained", "count": count }),
        Event::Stalled { stage, since_ms } => json!({ "type": "stalled", "stage": stage.word(), "since_ms": since_ms }),
        Event::Resumed { stage } => json!({ "type": "resumed", "stage": stage.word() }),
        Event::ClientExpiring { at } => json!({ "type": "client_expiring", "at": at }),
        Event::Disconnected(disconnect) => json!({
            "type": "disconnected",
            "reason": disconnect.reason.word(),
            "code": disconnect.reason.code(),
            "next": match disconnect.recommendation {
                Recommendation::WaitUntil(_) => "reconnects",
                Recommendation::Stop => "stops",
                Recommendation::LinkAgain => "link_again",
                Recommendation::Replaced => "replaced",
                Recommendation::Locked => "locked",
                Recommendation::UpdateProfile => "update",
                _ => "unknown",
            },
            "notice": disconnect.notice.as_ref().and_then(|notice| notice.message.as_deref()),
            "notice_url": disconnect.notice.as_ref().and_then(|notice| notice.url.as_deref()),
        }),
        Event::MessageReceived(message) => json!({
            "type": "message",
            "id": message.id.as_str(),
            "chat": message.chat.to_string(),
            "sender": message.sender.to_string(),
            "from_me": message.from_me,
            "timestamp": message.timestamp,
            "push_name": message.push_name,
            "offline": message.offline,
            "text": content::text_of(&message.content),
            "content": hex::encode(&message.content),
        }),
        Event::MessageUndecryptable(message) => json!({
            "type": "undecryptable",
            "id": message.id.as_str(),
            "chat": message.chat.to_string(),
            "sender": message.sender.to_string(),
            "timestamp": message.timestamp,
            "reason": format!("{:?}", message.reason),
        }),
        Event::ReceiptReceived(receipt) => json!({
            "type": "receipt",
            "kind": receipt_word(&receipt.kind),
            "chat": receipt.chat.to_string(),
            "sender": receipt.sender.to_string(),
            "ids": receipt.ids.iter().map(MessageId::as_str).collect::<Vec<_>>(),
            "timestamp": receipt.timestamp,
        }),
        Event::IdentityChanged(change) => json!({ "type": "identity_changed", "user": change.user.to_string() }),
        Event::SuspiciousMessage(message) => json!({
            "type": "suspicious",
            "id": message.id.as_str(),
            "sender": message.sender.to_string(),
            "kind": format!("{:?}", message.kind),
        }),
        Event::RetryUnanswerable(retry) => json!({
            "type": "retry_unanswerable",
            "id": retry.id.as_str(),
            "device": retry.device.to_string(),
            "reason": format!("{:?}", retry.reason),
        }),
        Event::SendQueued { op, id } => json!({ "type": "send_queued", "op": op.0, "id": id.as_str() }),
        Event::SendFinished(report) => send_finished(report),
        Event::OperationFinished { op, result } => {
            let (word, code) = match result {
                OpResult::Done => ("done", None),
                OpResult::Refused(code) => ("refused", Some(*code)),
                OpResult::Superseded => ("superseded", None),
                OpResult::Unusable => ("unusable", None),
                _ => ("lost", None),
            };
            json!({ "type": "operation_finished", "op": op.0, "result": word, "code": code })
        }
        Event::PresenceChanged(event) => {
            let (available, last_seen) = match event.presence {
                Presence::Available => (true, None),
                Presence::Unavailable { last_seen } => (false, last_seen),
                _ => (false, None),
            };
            let user = event.user.to_string();
            json!({ "type": "presence", "user": user, "available": available, "last_seen": last_seen })
        }
        Event::ChatStateChanged(event) => json!({
            "type": "chat_state",
            "chat": event.chat.to_string(),
            "user": event.user.to_string(),
            "state": state_word(event.state),
        }),
        Event::RecordQuarantined { space } => {
            json!({ "type": "record_quarantined", "space": format!("{space:?}") })
        }
        Event::RestrictionChanged { restriction } => json!({
            "type": "restriction_changed",
            "restricted": restriction.is_some(),
            "kind": restriction.as_ref().map(|restriction| restriction.kind.as_str()),
            "until": restriction.as_ref().and_then(|restriction| restriction.until),
        }),
        Event::StanzaRefused { reason } => json!({ "type": "stanza_refused", "reason": reason }),
        Event::Faulted(reason) => json!({ "type": "faulted", "reason": format!("{reason:?}") }),
        _ => json!({ "type": "unknown" }),
    }
}

/// One event as a line for people; `None` for what only programs want to know.
pub(crate) fn line(event: &Event, style: Style) -> Option<String> {
    Some(match event {
        Event::Connected => style.good("connected").to_string(),
        Event::OfflineDrained { count: 0 } => return None,
        Event::QrShown { text, valid_ms } => format!("QR code for {} s: {text}", valid_ms / 1000),
        Event::CodeShown { code, purpose: CodePurpose::EnterOnPhone, valid_ms } => {
            format!("type {code} on the phone (good for {} s)", valid_ms / 1000)
        }
        Event::CodeShown { code, .. } => format!("the phone must show {code}"),
        Event::AssertionNeeded { request } => format!("a passkey is wanted: {request}"),
        Event::CodeConfirmed => "the code was taken".into(),
        Event::Linked { jid, platform, .. } => format!("linked as {jid} to a phone ({})", printable(platform)),
        Event::LinkFailed(failure) => {
            style.bad(format!("linking failed ({:?}): {}", failure.step, failure.reason)).to_string()
        }
        Event::Stalled { stage, .. } => style.bad(format!("stalled: {stage}")).to_string(),
        Event::Resumed { stage } => format!("goes on: {stage}"),
        Event::ClientExpiring { at: Some(at) } => {
            format!("the announced version will be refused from {at} (seconds since 1970): update whatsio")
        }
        Event::ClientExpiring { at: None } => "the announced version will be refused soon: update whatsio".into(),
        Event::OfflineDrained { count } => format!("{count} stanzas had waited"),
        Event::Disconnected(disconnect) => {
            let next = next(disconnect.recommendation);
            let mut text = format!("disconnected: {}; {next}", reason(&disconnect.reason));
            if let Some(said) = disconnect.notice.as_ref().and_then(|notice| notice.message.as_deref()) {
                text = format!("{text}; the server says: {}", printable(said));
            }
            style.bad(text).to_string()
        }
        Event::MessageReceived(message) => {
            let name = message.push_name.as_deref().unwrap_or("");
            let sender = known_as(&message.sender, &message.sender_aliases);
            let from = if message.from_me { "me".to_owned() } else { format!("{sender} {name}") };
            let text = content::text_of(&message.content).unwrap_or_else(|| "(no text)".into());
            let chat = known_as(&message.chat, &message.chat_aliases);
            format!("{chat} {}: {}", style.name(from.trim_end()), printable(&text))
        }
        Event::MessageUndecryptable(message) => {
            let chat = known_as(&message.chat, &message.chat_aliases);
            format!("{chat} a message that cannot be read ({:?})", message.reason)
        }
        Event::ReceiptReceived(receipt) => {
            let ids: Vec<&str> = receipt.ids.iter().map(MessageId::as_str).collect();
            let what = format!("{} {}", receipt_word(&receipt.kind), ids.join(" "));
            let sender = known_as(&receipt.sender, &receipt.sender_aliases);
            format!("{} {} by {sender}", known_as(&receipt.chat, &receipt.chat_aliases), style.dim(what))
        }
        Event::IdentityChanged(change) => {
            let user = known_as(&change.user, &change.user_aliases);
            style.bad(format!("{user} has registered anew: the security code has changed")).to_string()
        }
        Event::SuspiciousMessage(message) => {
            let sender = known_as(&message.sender, &message.sender_aliases);
            style
                .bad(format!("{sender} sent what only the own phone may send ({:?}); ignored", message.kind))
                .to_string()
        }
        Event::RetryUnanswerable(retry) => {
            let device = known_as(&retry.device, &retry.device_aliases);
            format!("{device} asked for {} again and does not get it ({:?})", retry.id, retry.reason)
        }
        Event::SendQueued { id, .. } => format!("{id} is queued"),
        Event::SendFinished(report) if report.is_sent() => {
            format!("{} sent to {} devices", report.id, report.devices.len())
        }
        Event::SendFinished(report) => {
            style.bad(format!("{} not sent: {}", report.id, explained(report.result))).to_string()
        }
        Event::PresenceChanged(event) => {
            let went = if event.presence == Presence::Available { "is online" } else { "went offline" };
            format!("{} {went}", known_as(&event.user, &event.user_aliases))
        }
        Event::ChatStateChanged(event) => {
            let chat = known_as(&event.chat, &event.chat_aliases);
            format!("{chat} {} is {}", known_as(&event.user, &event.user_aliases), state_word(event.state))
        }
        Event::OperationFinished { op, result } => format!("operation {} ended: {result:?}", op.0),
        Event::RecordQuarantined { space } => {
            style.bad(format!("a record did not decode and was set aside ({space:?})")).to_string()
        }
        Event::RestrictionChanged { restriction: None } => "the account is not restricted any more".into(),
        Event::RestrictionChanged { restriction: Some(restriction) } => {
            let until =
                restriction.until.map(|until| format!(" until {until} (seconds since 1970)")).unwrap_or_default();
            style
                .bad(format!("the account may begin no new chats{until} ({})", printable(&restriction.kind)))
                .to_string()
        }
        Event::StanzaRefused { reason } => format!("something from the server was not understood: {reason}"),
        Event::Faulted(reason) => style.bad(format!("cannot go on: {reason:?}")).to_string(),
        other => body(other).to_string(),
    })
}

/// Why a connection ended, for people: the fixed word and the server's code.
pub(crate) fn reason(reason: &DisconnectReason) -> String {
    match reason.code() {
        Some(code) => format!("{reason} ({code})"),
        None => reason.to_string(),
    }
}

const fn next(recommendation: Recommendation) -> &'static str {
    match recommendation {
        Recommendation::WaitUntil(_) => "reconnects by itself",
        Recommendation::LinkAgain => "this device was unlinked",
        Recommendation::Replaced => "another process uses this device",
        Recommendation::Locked => "only the account's owner can help, on the phone, or time",
        Recommendation::UpdateProfile => "the announced version is refused",
        _ => "stays down",
    }
}

const fn purpose_word(purpose: CodePurpose) -> &'static str {
    match purpose {
        CodePurpose::EnterOnPhone => "enter_on_phone",
        CodePurpose::CompareWithPhone => "compare_with_phone",
        _ => "unknown",
    }
}

/// Text of strangers must not move the cursor or change colours.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c })
        .collect::<String>()
        .replace('\n', "\n    ")
}

/// People know each other by phone number.
fn known_as(address: &Jid, aliases: &Aliases) -> Jid {
    aliases.pn.clone().map_or_else(|| address.clone(), |pn| pn.with_device(address.device()))
}

fn text(address: Option<&Jid>) -> Option<String> {
    address.map(ToString::to_string)
}

fn receipt_word(kind: &ReceiptKind) -> &str {
    match kind {
        ReceiptKind::Delivered => "delivered",
        ReceiptKind::Read => "read",
        ReceiptKind::ReadSelf => "read-self",
        ReceiptKind::Played => "played",
        ReceiptKind::Retry => "retry",
        ReceiptKind::Other(word) => word,
        _ => "other",
    }
}

/// One word for what became of a message; never renamed.
const fn result_word(result: SendResult) -> &'static str {
    match result {
        SendResult::Accepted { .. } => "accepted",
        SendResult::Refused { .. } => "refused",
        SendResult::TokenMissing => "token_missing",
        SendResult::Restricted { .. } => "restricted",
        SendResult::NobodyToSendTo => "nobody_to_send_to",
        SendResult::Unlinked => "unlinked",
        _ => "unknown",
    }
}

/// What became of a message that was not sent, for people.
pub(crate) fn explained(result: SendResult) -> String {
    match result {
        SendResult::Accepted { .. } => "it was sent".into(),
        SendResult::Refused { code } => format!("the server refuses it with code {code}"),
        SendResult::TokenMissing => "the server wants proof that the contact knows this account".into(),
        SendResult::Restricted { until: Some(until) } => {
            format!("the server restricts this account until {until} (seconds since 1970)")
        }
        SendResult::Restricted { until: None } => "the server restricts this account".into(),
        SendResult::NobodyToSendTo => "no device of the receiver could be reached".into(),
        SendResult::Unlinked => "this device was unlinked".into(),
        _ => "for a reason unknown to this version".into(),
    }
}

const fn lists_word(lists: ListCheck) -> &'static str {
    match lists {
        ListCheck::Agreed => "agreed",
        ListCheck::Repaired => "repaired",
        ListCheck::Unexplained => "unexplained",
        _ => "unknown",
    }
}

const fn outcome_word(outcome: DeviceOutcome) -> &'static str {
    match outcome {
        DeviceOutcome::Sent => "sent",
        DeviceOutcome::NoSession => "no_session",
        DeviceOutcome::BundleRefused => "bundle_refused",
        DeviceOutcome::Gone => "gone",
        DeviceOutcome::Repaired => "repaired",
        DeviceOutcome::Skipped(_) => "skipped",
        _ => "unknown",
    }
}

const fn state_word(state: ChatState) -> &'static str {
    match state {
        ChatState::Composing => "typing",
        ChatState::Recording => "recording",
        ChatState::Paused => "paused",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_of_strangers_are_made_harmless() {
        assert_eq!(printable("a\x1b[2Jb\nc\u{9b}d"), "a\u{fffd}[2Jb\n    c\u{fffd}d");
    }

    #[test]
    fn every_event_of_the_library_has_a_json_form_and_a_line() {
        let library = include_str!("../../../core/src/api/event/mod.rs");
        let (_, events) = library.split_once("pub enum Event {").unwrap();
        let (events, _) = events.split_once("\n}\n").unwrap();
        let variants = events.lines().filter_map(|line| line.strip_prefix("    "));
        let variants = variants.filter(|line| line.starts_with(|first: char| first.is_ascii_uppercase()));
        let names = variants.map(|line| line.split(['(', ',', ' ']).next().unwrap());
        let (_, own) = include_str!("report.rs").split_once("fn body(").unwrap();
        let (json, own) = own.split_once("pub(crate) fn line(").unwrap();
        let (line, _) = own.split_once("pub(crate) fn reason(").unwrap();
        let mut count = 0;
        for name in names {
            count += 1;
            for (what, text) in [("JSON", json), ("line", line)] {
                let name = format!("Event::{name}");
                let is_whole = |rest: &str| !rest.starts_with(|next: char| next.is_ascii_alphanumeric());
                assert!(text.split(name.as_str()).skip(1).any(is_whole), "{name} has no {what}");
            }
        }
        assert!(count > 20, "{count} events were found");
    }

    #[test]
    fn endings_and_codes_are_told_in_words() {
        let style = Style::of_stdout();
        let code = Event::CodeShown { code: "ABCD-EFGH".into(), purpose: CodePurpose::EnterOnPhone, valid_ms: 180_000 };
        assert_eq!(line(&code, style).unwrap(), "type ABCD-EFGH on the phone (good for 180 s)");
        assert_eq!(json(EventId(1), &code)["purpose"], "enter_on_phone");
        let restricted = Event::RestrictionChanged { restriction: None };
        assert_eq!(line(&restricted, style).unwrap(), "the account is not restricted any more");
        assert_eq!(reason(&DisconnectReason::Locked), "locked (403)");
        assert_eq!(reason(&DisconnectReason::Silent), "silent");
    }

    #[test]
    fn json_names_the_event_and_its_type() {
        let value = json(EventId(7), &Event::OfflineDrained { count: 3 });
        assert_eq!(value, json!({ "event": 7, "type": "offline_drained", "count": 3 }));
    }
}
