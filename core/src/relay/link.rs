//! One connection: bytes become stanzas and stanzas bytes, deadlines are kept, endings are orderly. What the stanzas mean
//! is decided elsewhere.

use bytes::{Bytes, BytesMut};

use super::Relay;
use super::delivery::Progress;
use super::directory::{DeviceId, Namespace};
use super::door::{Door, Step};
use super::event::{LinkId, RelayEvent, RelayOutput};
use super::faults::Cutting;
use super::linking::Registration;
use super::login::Login;
use super::wire::{compressed, corrupted};
use crate::binary::{DecodeLimits, Node, Role, Tape, Writer};
use crate::noise::Transport;
use crate::noise::responder::Resumption;
use crate::types::{Jid, Now};

/// Who sent a stanza, and on which connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    pub(super) link: LinkId,
    pub(super) device: DeviceId,
}

/// One connection.
pub(super) struct Link {
    pub(super) stage: Stage,
    door: Door,
    transport: Option<Transport>,
    /// When bytes last came in.
    heard: u64,
    /// Output held back to be joined.
    joined: BytesMut,
}

/// How far a connection has come.
pub(super) enum Stage {
    /// The handshake; the next step must come before the deadline.
    Handshake { deadline: u64 },
    /// An unlinked companion waits to be linked.
    Registration(Box<Registration>),
    /// A linked device is logged in.
    Login(Box<Login>),
    /// The last stanza has been sent; the socket is closed at the deadline.
    Ending { deadline: u64 },
}

impl Link {
    pub(super) fn new(now: Now, door: Door, handshake_timeout: u64) -> Self {
        let deadline = now.mono.saturating_add(handshake_timeout);
        Self { stage: Stage::Handshake { deadline }, door, transport: None, heard: now.mono, joined: BytesMut::new() }
    }

    /// When this connection next needs a look.
    pub(super) fn deadline(&self, silence: u64) -> u64 {
        match &self.stage {
            Stage::Handshake { deadline } | Stage::Ending { deadline } => *deadline,
            Stage::Registration(open) => open.deadline,
            Stage::Login(login) => {
                let silent = self.heard.saturating_add(silence);
                [login.progress.patience, login.ping].into_iter().flatten().fold(silent, u64::min)
            }
        }
    }
}

impl Relay {
    /// Takes bytes from a socket, cut anywhere.
    pub(super) fn take_bytes(&mut self, now: Now, id: LinkId, bytes: Bytes) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.heard = now.mono;
        link.door.push(bytes);
        // Any stanza may end the connection, so it is looked up anew for each.
        while let Some(link) = self.links.get_mut(&id) {
            match link.door.next_frame() {
                Ok(Some(frame)) => self.take_frame(now, id, frame),
                Ok(None) => return,
                Err(error) => return self.misbehaved(now, id, &error.to_string()),
            }
        }
    }

    fn take_frame(&mut self, now: Now, id: LinkId, frame: BytesMut) {
        let Some(link) = self.links.get_mut(&id) else { return };
        match (&link.stage, &mut link.transport) {
            (Stage::Ending { .. }, _) => {}
            (Stage::Handshake { .. }, _) => self.shake(now, id, &frame),
            (_, None) => self.misbehaved(now, id, "a frame before its keys"),
            (_, Some(transport)) => match transport.open(frame) {
                Ok(plain) => self.take_plain(now, id, &plain),
                Err(_) => self.misbehaved(now, id, "a frame that does not open"),
            },
        }
    }

    fn shake(&mut self, now: Now, id: LinkId, frame: &[u8]) {
        let timeout = self.config.handshake_timeout;
        let resumption = if self.config.accept_ik { Resumption::Accept } else { Resumption::Refuse };
        let Some(link) = self.links.get_mut(&id) else { return };
        match link.door.take(frame, &self.authority, &mut self.rng, resumption) {
            Err(error) => self.misbehaved(now, id, &error.to_string()),
            Ok(Step::Reply(reply)) => {
                link.stage = Stage::Handshake { deadline: now.mono.saturating_add(timeout) };
                self.emit(id, reply);
            }
            Ok(Step::Done(accepted, reply)) => {
                link.transport = Some(accepted.transport);
                link.door.widen(self.config.limits.frame_bytes);
                if let Some(reply) = reply {
                    self.emit(id, reply);
                }
                self.admit(now, id, *accepted.client.as_bytes(), &accepted.payload);
            }
        }
    }

    fn take_plain(&mut self, now: Now, id: LinkId, plain: &Bytes) {
        let mut limits = DecodeLimits::DEFAULT;
        limits.inflated = self.config.limits.frame_bytes;
        let stanza = match Tape::decode(plain, Role::Server, &limits) {
            Ok(tape) => tape.root().to_node(),
            Err(_) => {
                let error = Node::new("stream:error").with_child(Node::new("xml-not-well-formed"));
                self.tell(RelayEvent::Misbehaved { link: id, what: "a stanza that does not decode".to_owned() });
                return self.end(now, id, &error);
            }
        };
        match self.links.get(&id).map(|link| &link.stage) {
            Some(Stage::Registration(_)) => self.take_unlinked(now, id, &stanza),
            Some(Stage::Login(login)) => {
                let origin = Origin { link: id, device: login.device };
                self.overhear(origin.device, false, &stanza);
                self.take_stanza(now, origin, &stanza);
            }
            _ => {}
        }
    }

    /// Takes a stanza from a logged-in device. What is not known is ignored, as clients are newer than servers.
    fn take_stanza(&mut self, now: Now, origin: Origin, stanza: &Node) {
        match stanza.tag.as_str() {
            "iq" => self.take_request(now, origin, stanza),
            "message" => self.take_message(now, origin, stanza),
            "receipt" => self.take_receipt(now, origin, stanza),
            "ack" => self.take_ack(origin, stanza),
            "presence" => self.take_presence(now, origin, stanza),
            "chatstate" => self.take_chat_state(origin, stanza),
            "call" => self.take_call(now, origin, stanza),
            "ib" => {
                if let Some(batch) = stanza.child("offline_batch") {
                    let count = batch.number("count").and_then(|count| u32::try_from(count).ok()).unwrap_or(0);
                    self.grant(now, origin.link, count);
                }
            }
            "xmlstreamend" => self.close(now, origin.link),
            _ => {}
        }
    }

    /// Seals a stanza and sends it. A stanza that cannot be written (a forwarded one, malformed by its sender) is dropped.
    pub(super) fn send(&mut self, id: LinkId, node: &Node) {
        let Some(transport) = self.links.get_mut(&id).and_then(|link| link.transport.as_mut()) else { return };
        let mut writer = Writer::new(Role::Server);
        node.write(&mut writer);
        let Ok(plain) = writer.finish() else { return };
        let body = if self.faults.compresses() { compressed(plain.packed()) } else { plain.into_buffer() };
        let Ok(mut frame) = transport.seal(body) else { return };
        if let Some(device) = self.device_of(id) {
            self.overhear(device, true, node);
        }
        if self.faults.corrupts_frame() {
            frame = corrupted(&frame);
        }
        self.emit(id, frame);
    }

    fn overhear(&mut self, device: DeviceId, sent: bool, stanza: &Node) {
        if !self.config.overhear {
            return;
        }
        if let Some(device) = self.directory.address(device, Namespace::Pn) {
            self.tell(RelayEvent::Overheard { device, sent, stanza: Box::new(stanza.clone()) });
        }
    }

    /// Sends a stanza after a while, if the connection still stands then.
    pub(super) fn send_later(&mut self, now: Now, milliseconds: u64, id: LinkId, node: Node) {
        self.delayed_count += 1;
        self.delayed.insert((now.mono.saturating_add(milliseconds), self.delayed_count), (id, node));
    }

    fn emit(&mut self, id: LinkId, bytes: Bytes) {
        match self.faults.cutting() {
            Cutting::Frames => self.out.push_back(RelayOutput::Bytes(id, bytes)),
            Cutting::Joined => {
                if let Some(link) = self.links.get_mut(&id) {
                    link.joined.extend_from_slice(&bytes);
                }
            }
            Cutting::Pieces(longest) => {
                let mut rest = bytes;
                while !rest.is_empty() {
                    let length = 1 + self.rng.below(u32::from(longest.max(1)));
                    let piece = rest.split_to(rest.len().min(length as usize));
                    self.out.push_back(RelayOutput::Bytes(id, piece));
                }
            }
        }
    }

    /// Lets go of output that was held back to be joined.
    pub(super) fn settle_output(&mut self) {
        for (id, link) in &mut self.links {
            if !link.joined.is_empty() {
                self.out.push_back(RelayOutput::Bytes(*id, link.joined.split().freeze()));
            }
        }
    }

    /// Sends a last stanza and closes the socket a moment later, so that the client reads it first.
    pub(super) fn end(&mut self, now: Now, id: LinkId, last: &Node) {
        self.send(id, last);
        let deadline = now.mono.saturating_add(self.config.close_delay);
        let Some(link) = self.links.get_mut(&id) else { return };
        let left = std::mem::replace(&mut link.stage, Stage::Ending { deadline });
        self.depart(now, id, &left);
    }

    /// Closes a socket at once.
    pub(super) fn close(&mut self, now: Now, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if !link.joined.is_empty() {
            self.out.push_back(RelayOutput::Bytes(id, link.joined.split().freeze()));
        }
        self.out.push_back(RelayOutput::Close(id));
        self.gone(now, id);
    }

    /// A socket is gone.
    pub(super) fn gone(&mut self, now: Now, id: LinkId) {
        if let Some(link) = self.links.remove(&id) {
            self.depart(now, id, &link.stage);
        }
    }

    /// Breaks a connection as a bad network would.
    pub(super) fn cut_link(&mut self, now: Now, id: LinkId) {
        self.close(now, id);
    }

    fn misbehaved(&mut self, now: Now, id: LinkId, what: &str) {
        self.tell(RelayEvent::Misbehaved { link: id, what: what.to_owned() });
        self.close(now, id);
    }

    /// The device that was logged in on a connection, if any, is no longer there.
    fn depart(&mut self, now: Now, id: LinkId, left: &Stage) {
        let Stage::Login(login) = left else { return };
        if self.online.get(&login.device) == Some(&id) {
            self.online.remove(&login.device);
        }
        let account = login.device.account;
        let was = login.available || self.is_available(account);
        self.presence_may_have_changed(now, account, was);
        if let Some(jid) = self.directory.address(login.device, Namespace::Pn) {
            self.tell(RelayEvent::Disconnected(jid));
        }
    }

    /// Acts on every deadline that has passed.
    pub(super) fn expire(&mut self, now: Now) {
        while let Some(entry) = self.delayed.first_entry().filter(|entry| entry.key().0 <= now.mono) {
            let (link, node) = entry.remove();
            self.send(link, &node);
        }
        let silence = self.config.silence_timeout;
        let due: Vec<LinkId> =
            self.links.iter().filter(|(_, link)| link.deadline(silence) <= now.mono).map(|(id, _)| *id).collect();
        for id in due {
            self.look_after(now, id);
        }
    }

    fn look_after(&mut self, now: Now, id: LinkId) {
        let interval = self.config.ping_interval;
        let silence = self.config.silence_timeout;
        let Some(link) = self.links.get_mut(&id) else { return };
        let silent = link.heard.saturating_add(silence) <= now.mono;
        let Stage::Login(login) = &mut link.stage else { return self.close(now, id) };
        if silent {
            return self.close(now, id);
        }
        let pings = login.ping.is_some_and(|due| due <= now.mono);
        if pings {
            login.ping = interval.map(|interval| now.mono.saturating_add(interval));
        }
        let impatient = login.progress.patience.is_some_and(|due| due <= now.mono);
        if impatient {
            login.progress.patience = None;
        }
        if pings {
            let ping = Node::new("iq").with("type", "get").with("xmlns", "urn:xmpp:ping");
            let ping = ping.with("from", Jid::server_itself()).with("id", self.next_id());
            self.send(id, &ping);
        }
        if impatient {
            self.lose_patience(now, id);
        }
    }

    pub(super) fn set_stage(&mut self, id: LinkId, stage: Stage) {
        if let Some(link) = self.links.get_mut(&id) {
            link.stage = stage;
        }
    }

    pub(super) fn login_mut(&mut self, id: LinkId) -> Option<&mut Login> {
        match &mut self.links.get_mut(&id)?.stage {
            Stage::Login(login) => Some(login),
            _ => None,
        }
    }

    pub(super) fn logins(&self) -> impl Iterator<Item = (LinkId, &Login)> {
        self.links.iter().filter_map(|(id, link)| match &link.stage {
            Stage::Login(login) => Some((*id, &**login)),
            _ => None,
        })
    }

    /// The device logged in on a connection.
    pub(super) fn device_of(&self, id: LinkId) -> Option<DeviceId> {
        match &self.links.get(&id)?.stage {
            Stage::Login(login) => Some(login.device),
            _ => None,
        }
    }

    pub(super) fn progress(&mut self, id: LinkId) -> Option<&mut Progress> {
        self.login_mut(id).map(|login| &mut login.progress)
    }
}
