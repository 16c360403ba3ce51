//! What must never happen, and what must have happened in the end. Each panics with a sentence that says what is wrong.

use super::Pid;
use super::device::Process;
use super::engine::Mixed;
use super::plan::{Act, Step, Wrong};
use crate::world::text_in;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use whatsio_core::api::{Event, EventId, Limits};
use whatsio_core::binary::Node;
use whatsio_core::relay::Relay;
use whatsio_core::types::Jid;

/// Begins every text, so that it is found where it should not be.
pub(super) const MARK: &str = "Tr4nsp4rent ";

/// Bytes that a cache may hold beyond its limit: what is in use, and what is not durable yet.
const CACHE_SLACK: usize = 512 << 10;

/// No plaintext on the wire.
pub(super) fn frame(bytes: &Bytes) {
    assert!(!contains(bytes, MARK.as_bytes()), "a text is in a frame");
}

/// Neither a text nor a private key, not even inside the tunnel to the server.
pub(super) fn stanza(world: &Mixed, device: &Jid, node: &Node) {
    let keys = world.device_of(device).map(|device| &device.store.private_keys);
    let mut rest = vec![node];
    while let Some(node) = rest.pop() {
        if let Some(bytes) = node.bytes() {
            let is_told = keys.is_some_and(|keys| keys.is_in(&bytes));
            assert!(!is_told, "the server sees a private key in <{}>", node.tag);
            assert!(!contains(&bytes, MARK.as_bytes()), "the server sees a text in <{}>", node.tag);
        }
        rest.extend(node.children());
    }
}

/// Nor in what goes to logs.
pub(super) fn event_text(event: &Event) {
    let shown = format!("{event:?}");
    assert!(!shown.contains(MARK), "a text is in the text of an event: {shown}");
    assert!(!shown.contains("1555010"), "a number is in the text of an event: {shown}");
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Memory stays within its budget.
pub(super) fn memory(process: &Process, limits: &Limits) {
    let cached = process.client.cached_bytes();
    assert!(cached <= limits.cache_bytes + CACHE_SLACK, "{cached} bytes of records are in memory");
}

/// A deadline that was answered is over.
pub(super) fn deadline(world: &Mixed, pid: Pid) {
    let Some(process) = world.devices[pid.device].processes.get(&pid.life) else { return };
    let at = process.client.next_deadline().filter(|_| !process.is_paused && !process.has_faulted);
    let is_overdue = at.is_some_and(|at| at + process.origin <= world.now);
    assert!(!is_overdue, "a deadline that does not pass makes a host spin");
}

/// No counter of a chain is used for two ciphertexts.
pub(super) fn counters(relay: &Relay) {
    let report = relay.counters();
    assert!(report.reused.is_empty(), "counters were used twice: {:?}", report.reused);
    assert_eq!(report.unwatched, 0);
}

/// Nothing is confirmed before it is durable.
pub(super) fn answered(world: &Mixed, device: &Jid, stanza: &Node) {
    if stanza.tag != "receipt" {
        return;
    }
    let kind = stanza.text("type").map(|kind| kind.to_string());
    if matches!(kind.as_deref(), Some("retry" | "enc_rekey_retry" | "read" | "read-self" | "peer_msg")) {
        return;
    }
    let Some(found) = world.device_of(device) else { return };
    for id in ids_of(stanza) {
        assert!(found.store.has_kept(&id), "{kind:?} for {id} was sent before anything about it was durable");
    }
}

fn ids_of(stanza: &Node) -> Vec<String> {
    let listed = stanza.children_named("list").flat_map(Node::children).filter_map(|item| item.text("id"));
    stanza.text("id").into_iter().chain(listed).map(|id| id.to_string()).collect()
}

/// How often each stanza was delivered on the present connection of each device, and how often it was answered; and how
/// much each device asks for.
#[derive(Default)]
pub(super) struct Answers {
    delivered: BTreeMap<(Jid, String, String), (u32, u32)>,
    retries: BTreeMap<(Jid, String), u32>,
    requests: BTreeMap<Jid, usize>,
    logins: BTreeMap<Jid, usize>,
}

/// Times that a device may ask for one message again.
const MOST_RETRIES: u32 = 5;

impl Answers {
    /// A connection begins.
    pub(super) fn begin(&mut self, device: &Jid) {
        self.delivered.retain(|(known, ..), _| known != device);
        *self.logins.entry(device.clone()).or_default() += 1;
    }

    /// Nobody asks without end: some requests for each login, some for each message.
    pub(super) fn are_few(&self, messages: usize) {
        for (device, requests) in &self.requests {
            let logins = self.logins.get(device).copied().unwrap_or(0);
            let most = 30 + 8 * logins + 6 * messages;
            assert!(
                *requests <= most,
                "{device:?} made {requests} requests, with {logins} logins and {messages} messages"
            );
        }
    }

    pub(super) fn overhear(&mut self, device: &Jid, sent: bool, stanza: &Node) {
        let tag = stanza.tag.as_str();
        let Some(id) = stanza.text("id").map(|id| id.to_string()) else { return };
        if sent {
            if matches!(tag, "message" | "receipt" | "notification" | "call") {
                self.delivered.entry((device.clone(), tag.to_owned(), id)).or_default().0 += 1;
            }
            return;
        }
        if tag == "iq" && stanza.text("xmlns").is_some_and(|about| about != "w:p") {
            *self.requests.entry(device.clone()).or_default() += 1;
        }
        if tag == "receipt" && stanza.text("type").is_some_and(|kind| kind == "retry") {
            let asked = self.retries.entry((device.clone(), id.clone())).or_default();
            *asked += 1;
            assert!(*asked <= MOST_RETRIES, "{id} was asked for {asked} times");
        }
        let (class, ids) = match tag {
            "ack" => (stanza.text("class").map(|class| class.to_string()).unwrap_or_default(), vec![id]),
            "receipt" => {
                let kind = stanza.text("type").map(|kind| kind.to_string());
                if matches!(kind.as_deref(), Some("retry" | "enc_rekey_retry" | "read" | "read-self")) {
                    return;
                }
                ("message".to_owned(), ids_of(stanza))
            }
            _ => return,
        };
        for id in ids {
            let (delivered, answered) = self.delivered.entry((device.clone(), class.clone(), id.clone())).or_default();
            *answered += 1;
            assert!(answered <= delivered, "{class} {id} came {delivered} times and was answered {answered} times");
        }
    }
}

impl Mixed {
    /// An application sees a durable event.
    pub(super) fn see(&mut self, device: usize, id: EventId, event: &Event) {
        let fingerprint = fingerprint(event);
        let app = &mut self.devices[device].app;
        let known = *app.seen.entry(id).or_insert(fingerprint);
        assert_eq!(known, fingerprint, "event {id} of device {device} says something else than before: {event:?}");
        match event {
            Event::MessageReceived(message) => {
                let text = text_in(&message.content).expect("only texts are sent");
                app.newest = Some((message.chat.clone(), message.sender.clone(), message.id.clone()));
                match app.texts.get(&text) {
                    Some(first) => assert_eq!(*first, id, "{text:?} was shown twice to device {device}"),
                    None => {
                        app.texts.insert(text.clone(), id);
                        app.order.push(text);
                    }
                }
            }
            Event::MessageUndecryptable(lost) => {
                app.unread.insert(lost.id.as_str().to_owned());
            }
            Event::SendFinished(report) => {
                app.unqueued.retain(|(known, ..)| *known != report.id);
                self.ledger.queued(report.id.as_str());
                self.ledger.finished(id, report);
            }
            _ => {}
        }
    }
}

fn fingerprint(event: &Event) -> u64 {
    let mut hasher = DefaultHasher::new();
    match event {
        Event::MessageReceived(message) => {
            message.id.as_str().hash(&mut hasher);
            message.content.hash(&mut hasher);
        }
        // How far a send has come since may be told better.
        Event::SendFinished(report) => report.id.as_str().hash(&mut hasher),
        other => format!("{other:?}").hash(&mut hasher),
    }
    hasher.finish()
}

/// Everything that is not yet as it must be.
pub(super) fn unfinished(world: &Mixed) -> Vec<String> {
    let mut found = Vec::new();
    for (number, device) in world.devices.iter().enumerate() {
        if !world.is_well(number) {
            let health = device.newest().map(|(_, process)| process.client.health(device.clock(process, world.now)));
            found.push(format!("device {number} is not well: linked {:?}, {health:?}", device.linked.is_some()));
        }
    }
    for account in world.relay.accounts() {
        for device in account.devices.iter().filter(|device| device.online && device.queued > 0) {
            found.push(format!("{} stanzas wait for {}", device.queued, device.jid));
        }
    }
    for (id, sent) in &world.ledger.sends {
        let is_still_linked = world.devices[sent.device].linked.as_ref().is_some_and(|linked| linked.jid == sent.from);
        if is_still_linked && !sent.is_sent && !sent.is_refused {
            found.push(format!("{:?} ({id}) has not been sent", sent.text));
        }
        if sent.is_queued && sent.ends.is_empty() && world.devices[sent.device].processes.is_empty() {
            found.push(format!("{:?} ({id}) has no end", sent.text));
        }
        // Who is unlinked can no longer give the message to devices that were missing from its list.
        let is_due = sent.is_sent || (is_still_linked && world.ledger.is_accepted(id));
        if !is_due {
            continue;
        }
        for receiver in world.receivers(sent) {
            let app = &world.devices[receiver].app;
            // Nobody is left who could send again what was damaged.
            let is_beyond_repair = !is_still_linked && app.unread.contains(id);
            // The server refused what it takes to reach this device, and the report says so.
            let number = world.devices[receiver].linked.as_ref().map(|linked| linked.jid.device());
            let is_told = number.is_some_and(|number| sent.left_out.contains(&number)) && refuses_something(world);
            if !app.taken.contains(&sent.text) && !is_beyond_repair && !is_told {
                found.push(format!("{:?} ({id}) has not come to device {receiver}", sent.text));
            }
        }
    }
    found
}

/// Whether the server was told to refuse messages.
fn refuses(world: &Mixed) -> bool {
    world.plan.steps.iter().any(|step| matches!(step.act, Act::Server(Wrong::Refuse(..))))
}

fn refuses_something(world: &Mixed) -> bool {
    let is_refusal = |step: &Step| matches!(step.act, Act::Server(Wrong::Refuse(..) | Wrong::Fail(..)));
    world.plan.steps.iter().any(is_refusal)
}

/// What is sent when all is well is read without asking again.
pub(super) fn probes_were_readable(world: &Mixed) {
    for (number, device) in world.devices.iter().enumerate() {
        for id in &device.app.unread {
            let is_probe = world.ledger.sends.get(id).is_some_and(|sent| sent.is_probe);
            assert!(!is_probe, "device {number} could not read {id}, though all was well");
        }
    }
}

/// What can only be said about the whole.
pub(super) fn at_the_end(world: &Mixed) {
    counters(&world.relay);
    let unfinished = unfinished(world);
    assert!(unfinished.is_empty(), "at the end: {}", unfinished.join("; "));
    for (number, device) in world.devices.iter().enumerate() {
        let is_blind = device.linked.is_some() && !device.store.private_keys.is_telling();
        assert!(!is_blind, "device {number} has private keys that the oracle does not know");
    }
    let refused = world.ledger.sends.values().find(|sent| sent.is_refused);
    assert!(refused.is_none() || refuses(world), "refused for no reason: {refused:?}");
    order_of_sending(world);
    order_of_showing(world);
    world.answers.are_few(world.ledger.sends.len());
}

/// In each chat the server gets messages in the order in which the application sent them; of two under way, the second
/// may be taken when the first is refused.
fn order_of_sending(world: &Mixed) {
    let mut latest: BTreeMap<(usize, &Jid), (usize, &str)> = BTreeMap::new();
    let position: BTreeMap<&str, usize> =
        world.ledger.order.iter().enumerate().map(|(at, id)| (id.as_str(), at)).collect();
    for id in &world.ledger.accepted {
        let sent = &world.ledger.sends[id];
        let this = (position[id.as_str()], sent.text.as_str());
        let before = latest.insert((sent.device, &sent.chat), this);
        let is_swapped = before.is_some_and(|before| before.0 > this.0);
        assert!(!is_swapped || refuses(world), "{:?} was sent after {before:?}", sent.text);
    }
}

/// Messages are shown in the order in which the server delivers them; but for those that could not be read at first.
fn order_of_showing(world: &Mixed) {
    // What the server forgets comes on a later connection, before or after what it did not forget.
    if world.plan.steps.iter().any(|step| matches!(step.act, Act::Server(Wrong::Forget(_)))) {
        return;
    }
    for (number, device) in world.devices.iter().enumerate() {
        let Some(jid) = device.linked.as_ref().map(|linked| &linked.jid) else { continue };
        let delivered = device.app.order.iter().filter_map(|text| {
            let id = world.ledger.by_text.get(text)?;
            let was_read_at_once = !device.app.unread.contains(id);
            let at = world.ledger.delivered.get(&(jid.clone(), id.clone())).filter(|_| was_read_at_once)?;
            Some((*at, text))
        });
        let mut latest = None;
        for this in delivered {
            assert!(Some(this) > latest, "device {number} was shown {:?} after {latest:?}", this.1);
            latest = Some(this);
        }
    }
}
