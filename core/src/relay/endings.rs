//! Endings and announcements on request, so that a client's answer to each can be seen: stream errors, routing, expiry,
//! another server key.

use super::Relay;
use super::delivery::information;
use crate::binary::Node;
use crate::types::{Jid, Now};

/// How a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamFault {
    /// `stream:error` with this code and nothing else.
    Code(u16),
    /// A conflict: the device has connected again; with a code or without.
    Replaced(Option<u16>),
    /// A conflict: the device was removed; with 401.
    Removed,
    /// The client acknowledged something wrongly.
    BadAck,
    /// The client sent something that cannot be read.
    NotWellFormed,
    /// A stream error that says nothing.
    Unnamed,
    /// The end of the stream, without an error.
    End,
    /// The socket is closed without a word.
    Close,
}

impl Relay {
    /// Ends the stream of a device. `false` if it has none.
    pub fn end_stream(&mut self, now: Now, device: &Jid, fault: StreamFault) -> bool {
        let link = self.directory.device(device).and_then(|device| self.online.get(&device).copied());
        let Some(link) = link else { return false };
        let error = Node::new("stream:error");
        let conflict = |kind: &str| Node::new("conflict").with("type", kind);
        let last = match fault {
            StreamFault::Code(code) => error.with("code", u64::from(code)),
            StreamFault::Replaced(Some(code)) => error.with("code", u64::from(code)).with_child(conflict("replaced")),
            StreamFault::Replaced(None) => error.with_child(conflict("replaced")),
            StreamFault::Removed => error.with("code", 401_u64).with_child(conflict("device_removed")),
            StreamFault::BadAck => error.with_child(Node::new("ack").with("id", "77").with("class", "message")),
            StreamFault::NotWellFormed => error.with_child(Node::new("xml-not-well-formed")),
            StreamFault::Unnamed => error,
            StreamFault::End => Node::new("xmlstreamend"),
            StreamFault::Close => {
                self.close(now, link);
                return true;
            }
        };
        self.end(now, link, &last);
        self.settle_output();
        true
    }

    /// Gives a device what it is to send in front of its next connection. `false` if it has no connection.
    pub fn announce_routing(&mut self, device: &Jid, routing_info: &[u8]) -> bool {
        let info = Node::new("routing_info").with_bytes(routing_info.to_vec());
        self.inform(device, Node::new("edge_routing").with_child(info))
    }

    /// Tells a device that its version will be refused from `seconds` (since 1970) on. `false` if it has no connection.
    pub fn announce_expiration(&mut self, device: &Jid, seconds: u64) -> bool {
        self.inform(device, Node::new("client_expiration").with("t", seconds))
    }

    /// Refuses every version below `minimum` from the next login on.
    pub const fn require_version(&mut self, minimum: Option<(u32, u32, u32)>) {
        self.config.minimum_version = minimum;
    }

    /// Whether clients that remember the server's key may log in with it at once.
    pub const fn accept_resumption(&mut self, accept: bool) {
        self.config.accept_ik = accept;
    }

    /// Gives the server another key, under the same root.
    pub fn replace_server_key(&mut self, now: Now) {
        self.authority.replace_server(&mut self.rng, now);
    }

    fn inform(&mut self, device: &Jid, news: Node) -> bool {
        let link = self.directory.device(device).and_then(|device| self.online.get(&device).copied());
        let Some(link) = link else { return false };
        self.send(link, &information(news));
        self.settle_output();
        true
    }
}
