//! Requests of logged-in devices: every one is answered, in the time it takes to read it. One file per family.

mod account;
mod app_state;
mod keys;
mod settings;
mod usync;

use super::Relay;
use super::event::RelayEvent;
use super::faults::RequestFault;
use super::gate::RESTRICTION_DOCUMENT;
use super::link::Origin;
use super::wire::Look;
use crate::binary::Node;
use crate::types::{Jid, Now};

/// A request taken apart.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) origin: Origin,
    pub(super) set: bool,
    pub(super) stanza: &'a Node,
}

impl Request<'_> {
    /// The first child with a tag.
    pub(super) fn child(&self, tag: &str) -> Option<&Node> {
        self.stanza.child(tag)
    }
}

/// The children of a result, or the code of an error.
pub(super) type Answer = Result<Vec<Node>, u16>;

/// A result without children.
pub(super) const fn done() -> Answer {
    Ok(Vec::new())
}

/// A result with one child.
pub(super) fn one(node: Node) -> Answer {
    Ok(vec![node])
}

impl Relay {
    /// Answers a request of a logged-in device.
    pub(super) fn take_request(&mut self, now: Now, origin: Origin, stanza: &Node) {
        let kind = stanza.text("type");
        let Some(id) = stanza.text("id") else { return };
        let xmlns = stanza.text("xmlns").unwrap_or_default();
        let set = match kind.as_deref() {
            Some("get") => false,
            Some("set") => true,
            // Results and errors answer our own pings, which nobody waits for. A missing type is a known quirk of one peer.
            Some("result" | "error") => return,
            _ => true,
        };
        if self.requests.len() < NAMESPACES_COUNTED || self.requests.contains_key(xmlns.as_ref() as &str) {
            *self.requests.entry(xmlns.to_string()).or_default() += 1;
        }
        let fault = self.faults.request(&xmlns);
        let answer = match fault {
            Some(RequestFault::Silence) => return,
            Some(RequestFault::Error(code)) => Err(code),
            _ => self.answer(now, &xmlns, &Request { origin, set, stanza }),
        };
        let accepted = answer.is_ok();
        let reply = reply_to(now, stanza, &id, answer);
        match fault {
            Some(RequestFault::Delay(milliseconds)) => self.send_later(now, milliseconds, origin.link, reply),
            _ => self.send(origin.link, &reply),
        }
        if accepted && set {
            self.after_request(now, origin, &xmlns, stanza);
        }
    }

    fn answer(&mut self, now: Now, xmlns: &str, request: &Request<'_>) -> Answer {
        match (xmlns, request.set) {
            ("w:p" | "urn:xmpp:ping", _) => done(),
            ("encrypt", false) => self.answer_key_query(now, request),
            ("encrypt", true) => self.answer_key_upload(request),
            ("usync", false) => self.answer_usync(request),
            ("passive", true) | ("w:stats" | "urn:xmpp:whatsapp:dirty" | "urn:xmpp:whatsapp:push" | "tos", _) => done(),
            ("abt", false) => one(props()),
            ("privacy", false) => self.answer_privacy(request),
            ("privacy", true) => self.change_privacy(now, request),
            ("blocklist", false) => self.answer_block_list(request),
            ("blocklist", true) => self.change_block_list(now, request),
            ("status", false) => self.answer_status_privacy(request),
            ("status", true) => self.change_about(now, request),
            ("disappearing_mode", true) => self.change_disappearing(now, request),
            ("w:profile:picture", false) => Err(404),
            ("w:sync:app:state", true) => self.answer_app_state(now, request),
            ("w:m", true) => one(self.media_connection()),
            ("w:g2", false) if request.child("participating").is_some() => one(Node::new("groups")),
            ("w:mex", false) => {
                let document = request.child("query").and_then(|query| query.owned("query_id"));
                match document.as_deref() {
                    Some(RESTRICTION_DOCUMENT) => one(self.restriction(now, request.origin.device.account)),
                    _ => one(unknown_operation()),
                }
            }
            ("md", true) => self.answer_device_change(request),
            _ => {
                let child = request
                    .stanza
                    .children()
                    .iter()
                    .next()
                    .map_or_else(String::new, |node| node.tag.as_str().to_owned());
                self.tell(RelayEvent::UnknownRequest { xmlns: xmlns.to_owned(), child });
                Err(501)
            }
        }
    }

    /// What a request sets going behind its answer.
    fn after_request(&mut self, now: Now, origin: Origin, xmlns: &str, stanza: &Node) {
        match xmlns {
            "passive" if stanza.child("active").is_some() => self.activate(now, origin.link),
            "passive" if stanza.child("passive").is_some() => self.rest(origin.link),
            "md" if stanza.child("remove-companion-device").is_some() => self.leave(now, origin),
            _ => {}
        }
    }

    fn media_connection(&mut self) -> Node {
        let mut node = Node::new("media_conn")
            .with("auth", self.token())
            .with("ttl", "300")
            .with("auth_ttl", "21600")
            .with("max_buckets", "12");
        for host in &self.config.media_hosts {
            node = node.with_child(Node::new("host").with("hostname", host.as_str()).with("type", "primary"));
        }
        node
    }
}

/// Namespaces whose requests are counted; there are not so many.
const NAMESPACES_COUNTED: usize = 64;

/// The answer to a request, under its id and from whom it was sent to.
pub(super) fn reply_to(now: Now, request: &Node, id: &str, answer: Answer) -> Node {
    let from = request.jid("to").unwrap_or_else(Jid::server_itself);
    let node = Node::new("iq").with("from", from).with("id", id);
    match answer {
        Ok(children) => {
            let mut node = node.with("type", "result").with("t", now.unix_seconds().to_string());
            for child in children {
                node = node.with_child(child);
            }
            node
        }
        Err(code) => node.with("type", "error").with_child(error(code)),
    }
}

/// `<error code text/>` with the text that belongs to the code.
pub(super) fn error(code: u16) -> Node {
    let text = match code {
        400 => "bad-request",
        401 => "not-authorized",
        403 => "forbidden",
        404 => "item-not-found",
        405 => "not-allowed",
        406 => "not-acceptable",
        408 => "request-timeout",
        409 => "conflict",
        410 => "gone",
        413 => "payload-too-large",
        419 => "resource-limit",
        423 => "locked",
        429 => "rate-overlimit",
        479 => "smax-invalid",
        501 => "feature-not-implemented",
        503 => "service-unavailable",
        530 => "partial-server-error",
        _ => "internal-server-error",
    };
    Node::new("error").with("code", code.to_string()).with("text", text)
}

/// No experiment is running here.
fn props() -> Node {
    Node::new("props")
        .with("protocol", "1")
        .with("ab_key", "1")
        .with("hash", "1")
        .with("refresh", "86400")
        .with("refresh_id", "0")
        .with("delta_update", "false")
}

/// The answer of the query language's server to an operation that it does not know.
fn unknown_operation() -> Node {
    const TEXT: &str = concat!(
        r#"{"data":null,"errors":[{"message":"unknown operation","path":[],"#,
        r#""extensions":{"error_code":400,"is_retryable":false,"severity":"CRITICAL"}}]}"#
    );
    Node::new("result").with_bytes(TEXT.as_bytes().to_vec())
}
