//! Messages on their way: who gets which ciphertext, under which names, and what the sender is told. Never looks into a
//! ciphertext. Every name in a delivered stanza is written here; nothing a sender claims about itself is passed on.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sha2::{Digest, Sha256};

use super::Relay;
use super::ciphertext::damaged;
use super::directory::{AccountId, DeviceId, Namespace, TakenBefore};
use super::event::RelayEvent;
use super::faults::{AckFate, Cut};
use super::gate::NOT_TRUSTED;
use super::link::Origin;
use super::mailbox::Class;
use super::wire::Look;
use crate::binary::{Content, Node};
use crate::types::{Jid, Now};

/// What the sender of a message is told.
struct Taken {
    seconds: u64,
    /// The server's idea of the devices, where the sender's was another.
    phash: Option<String>,
    devices: usize,
}

/// A message being delivered: what is the same for all its recipients.
struct Letter<'a> {
    id: &'a str,
    to: &'a Jid,
    sender: DeviceId,
    seconds: u64,
    /// A resend asked for by one device: under the id of the original, but a delivery of its own, to that device.
    resend: bool,
    stanza: &'a Node,
    /// Devices that got it under this id already: a repeated message is new only to the others.
    had: BTreeSet<DeviceId>,
}

/// The errors that a message is answered with.
mod refusal {
    pub(super) const TOO_LARGE: u16 = 413;
    pub(super) const UNKNOWN: u16 = 404;
    pub(super) const INVALID: u16 = 479;
}

impl Relay {
    /// Takes over a message from a device and answers it.
    pub(super) fn take_message(&mut self, now: Now, origin: Origin, stanza: &Node) {
        let Some(id) = stanza.owned("id") else { return };
        self.watch_counters(origin, stanza);
        let cut = self.faults.cut();
        if cut == Some(Cut::BeforeTaking) {
            return self.cut_link(now, origin.link);
        }
        let to = stanza.jid("to");
        let outcome = match (self.faults.message_error(), &to) {
            (Some(code), _) => Err(code),
            (None, None) => Err(refusal::INVALID),
            (None, Some(to)) => self.route(now, origin, &id, to, stanza),
        };
        let mut ack = Node::new("ack").with("class", "message").with("id", id.as_str());
        if let Some(to) = &to {
            ack = ack.with("from", to.clone());
        }
        if let Some(participant) = stanza.jid("participant") {
            ack = ack.with("participant", participant);
        }
        let from = self.directory.address(origin.device, Namespace::Pn);
        match outcome {
            Ok(taken) => {
                ack = ack.with("t", taken.seconds.to_string());
                if let Some(phash) = taken.phash {
                    ack = ack.with("phash", phash);
                }
                if to.as_ref().is_some_and(|to| self.has_moved(to)) {
                    ack = ack.with("refresh_lid", "true");
                }
                if let (Some(from), Some(to)) = (from, to) {
                    self.tell(RelayEvent::MessageAccepted { from, to, id, devices: taken.devices });
                }
            }
            Err(code) => {
                ack = ack.with("error", code.to_string()).with("t", now.unix_seconds().to_string());
                if let Some(from) = from {
                    self.tell(RelayEvent::MessageRefused { from, code });
                }
            }
        }
        if cut == Some(Cut::BeforeAck) {
            return self.cut_link(now, origin.link);
        }
        match self.faults.ack_fate() {
            AckFate::Sent => self.send(origin.link, &ack),
            AckFate::Dropped => {}
            AckFate::Delayed(milliseconds) => self.send_later(now, milliseconds, origin.link, ack),
        }
        if cut == Some(Cut::AfterAck) {
            self.cut_link(now, origin.link);
        }
    }

    fn watch_counters(&mut self, origin: Origin, stanza: &Node) {
        let limit = self.config.limits.counters;
        if limit > 0
            && let Some(from) = self.directory.address(origin.device, Namespace::Pn)
        {
            self.counters.watch(&from, stanza, limit);
        }
    }

    fn route(&mut self, now: Now, origin: Origin, id: &str, to: &Jid, stanza: &Node) -> Result<Taken, u16> {
        self.check_sizes(stanza)?;
        if self.faults.forgets_message() {
            return Ok(Taken { seconds: self.tick_seconds(now), phash: None, devices: 0 });
        }
        let resend = stanza.children().iter().any(|child| child.is("enc") && child.owned("count").is_some());
        let chat = self.chat_of(to);
        let sender = origin.device.account;
        let remembered =
            self.directory.account(sender).and_then(|account| account.taken(id, &chat)).filter(|_| !resend);
        if let Some(taken) = remembered.filter(|_| to.is_status()) {
            return Ok(Taken { seconds: taken.seconds, phash: None, devices: 0 });
        }
        let (before, seconds) = match remembered.cloned() {
            Some(taken) => (taken.devices, taken.seconds),
            None => (BTreeSet::new(), self.tick_seconds(now)),
        };
        let mut letter = Letter { id, to, sender: origin.device, seconds, resend, stanza, had: before };
        let taken = if to.is_status() {
            self.route_status(now, &letter)
        } else if Namespace::of(to).is_some() {
            self.route_user(now, &mut letter)
        } else {
            Err(refusal::UNKNOWN)
        }?;
        let limit = self.config.limits.remembered_ids;
        let devices = letter.had;
        if !resend && let Some(account) = self.directory.account_mut(sender) {
            account.took(id, &chat, TakenBefore { seconds, devices }, limit);
        }
        Ok(taken)
    }

    /// Names a chat alike whichever address was used for it.
    fn chat_of(&self, to: &Jid) -> String {
        let account = self.directory.resolve(to).and_then(|device| self.directory.account(device.account));
        account.map_or_else(|| to.to_string(), |account| account.user(Namespace::Lid).to_string())
    }

    fn check_sizes(&self, stanza: &Node) -> Result<(), u16> {
        let limits = &self.config.limits;
        let fits = |node: &Node| node.bytes().is_none_or(|data| data.len() <= limits.enc_bytes);
        let mut count = 0_usize;
        for child in stanza.children().iter() {
            if child.is("enc") && !fits(child) {
                return Err(refusal::TOO_LARGE);
            }
            if child.is("participants") {
                for to in child.children().iter() {
                    count += 1;
                    if count > limits.participants || !to.children().iter().all(fits) {
                        return Err(refusal::TOO_LARGE);
                    }
                }
            }
        }
        Ok(())
    }

    /// A message to a user: each ciphertext goes to the device it names, of either side and of nobody else.
    fn route_user(&mut self, now: Now, letter: &mut Letter<'_>) -> Result<Taken, u16> {
        let target = self.directory.resolve(letter.to).ok_or(refusal::UNKNOWN)?;
        let own = letter.sender.account;
        // One peer repeats the ciphertext of a resend in a list; the real server does not take both either.
        let pairs = if letter.resend { Vec::new() } else { pairwise(letter.stanza) };
        let mut parcels: Vec<(DeviceId, Namespace, Vec<&Node>)> = Vec::new();
        for (jid, encs) in &pairs {
            let (Some(device), Some(namespace)) = (self.directory.device(jid), Namespace::of(jid)) else { continue };
            let concerned = device.account == target.account || device.account == own;
            if concerned && device != letter.sender {
                parcels.push((device, namespace, encs.clone()));
            }
        }
        let direct: Vec<&Node> = letter.stanza.children().iter().filter(|child| child.is("enc")).collect();
        if !direct.is_empty() {
            let namespace = Namespace::of(letter.to).ok_or(refusal::INVALID)?;
            if !self.directory.exists(target) {
                return Err(refusal::UNKNOWN);
            }
            if target == letter.sender {
                return Err(refusal::INVALID);
            }
            parcels.push((target, namespace, direct));
        }
        if parcels.is_empty() && pairs.is_empty() {
            return Err(refusal::INVALID);
        }
        let peer = letter.stanza.owned("category").as_deref() == Some("peer");
        if peer && target.account != own {
            return Err(refusal::INVALID);
        }
        if !peer && !self.admits(now, own, target.account, letter.stanza) {
            return Err(NOT_TRUSTED);
        }
        // Who sends to further devices afterwards does not claim that they are all.
        let is_addition = letter.stanza.owned("device_fanout").as_deref() == Some("false");
        let phash = if pairs.is_empty() || is_addition {
            None
        } else {
            let all_known = pairs.iter().all(|(jid, _)| self.directory.device(jid).is_some());
            self.faults.phash().or_else(|| self.missed(letter, target.account, &parcels, all_known))
        };
        let deaf = self.directory.account(target.account).is_some_and(|account| account.blocked.contains(&own));
        self.directory.acquaint(own, target.account, self.config.limits.users);
        let mut devices = 0;
        for (device, namespace, encs) in parcels {
            if !letter.resend && !letter.had.insert(device) {
                continue;
            }
            // Somebody who blocked the sender gets nothing and says nothing.
            if deaf && device.account != own {
                continue;
            }
            let Some(mut node) = self.addressed_to(letter, device, namespace, peer, &encs) else { continue };
            let names = [Namespace::Pn, Namespace::Lid].map(|name| self.directory.address(device, name));
            if self.faults.damages(&names.into_iter().flatten().collect::<Vec<_>>()) {
                node = damage(node);
            }
            self.queue(now, device, Class::Message, letter.id, node);
            devices += usize::from(device.number != 0);
        }
        Ok(Taken { seconds: letter.seconds, phash, devices })
    }

    /// The hash of the devices that should have been addressed, where others were.
    fn missed(
        &self,
        letter: &Letter<'_>,
        target: AccountId,
        parcels: &[(DeviceId, Namespace, Vec<&Node>)],
        all_known: bool,
    ) -> Option<String> {
        let mut wanted: BTreeSet<DeviceId> = self.directory.devices(target).into_iter().collect();
        wanted.extend(self.directory.devices(letter.sender.account));
        wanted.remove(&letter.sender);
        let mut listed: BTreeSet<DeviceId> = parcels.iter().map(|(device, ..)| *device).collect();
        listed.extend(letter.had.iter().filter(|device| self.directory.exists(**device)));
        if wanted == listed && all_known {
            return None;
        }
        let namespace = Namespace::of(letter.to)?;
        let addresses = wanted.into_iter().filter_map(|device| self.directory.address(device, namespace));
        Some(participant_hash(addresses))
    }

    /// The stanza that a device gets of a message between users.
    fn addressed_to(
        &self,
        letter: &Letter<'_>,
        device: DeviceId,
        namespace: Namespace,
        peer: bool,
        encs: &[&Node],
    ) -> Option<Node> {
        let sender = self.directory.account(letter.sender.account)?;
        let shown = sender.namespace(namespace);
        let mut node = Node::new("message").with("from", self.directory.address(letter.sender, shown)?);
        if device.account == letter.sender.account {
            if peer {
                node = node.with("category", "peer");
            } else {
                // A resend to an own device names the chat itself; otherwise the chat is what the sender addressed.
                let chat = letter.stanza.jid("recipient").unwrap_or_else(|| letter.to.to_user());
                let target = self.directory.resolve(&chat).and_then(|found| self.directory.account(found.account));
                if let (Some(target), Some(used)) = (target, Namespace::of(&chat)) {
                    let in_pn = target.namespace(used) == Namespace::Pn;
                    let key = if in_pn { "peer_recipient_lid" } else { "peer_recipient_pn" };
                    node = node.with("recipient", target.user(target.namespace(used)));
                    node = node.with_some(key, target.other_user(target.namespace(used)));
                    node = node.with_some("peer_recipient_username", target.shown.username.clone());
                } else {
                    node = node.with("recipient", chat);
                }
            }
        } else {
            let key = if shown == Namespace::Pn { "sender_lid" } else { "sender_pn" };
            node = node.with_some(key, sender.other_user(shown));
            node = node.with_some("username", sender.shown.username.clone());
        }
        Some(self.finish(letter, node, encs))
    }

    /// A status post: the audience is listed by user, keys travel pairwise, the content once for all.
    fn route_status(&mut self, now: Now, letter: &Letter<'_>) -> Result<Taken, u16> {
        let reaction = letter.stanza.owned("type").as_deref() == Some("reaction");
        let setting = letter.stanza.child("meta").is_some_and(|meta| meta.owned("status_setting").is_some());
        if letter.stanza.owned("addressing_mode").is_some() || (reaction && setting) {
            return Err(refusal::INVALID);
        }
        let content: Vec<&Node> = letter.stanza.children().iter().filter(|child| child.is("enc")).collect();
        let pairs = pairwise(letter.stanza);
        let asked = letter.stanza.jid("participant");
        if let Some(device) = asked.as_ref().and_then(|jid| self.directory.device(jid)) {
            let namespace = asked.as_ref().and_then(Namespace::of).unwrap_or(Namespace::Lid);
            let node = self.posted(letter, namespace, &content).ok_or(refusal::INVALID)?;
            self.queue(now, device, Class::Message, letter.id, node);
            return Ok(Taken { seconds: letter.seconds, phash: None, devices: 1 });
        }
        let own = letter.sender.account;
        let mut audience: BTreeSet<AccountId> = BTreeSet::from([own]);
        audience.extend(pairs.iter().filter_map(|(jid, _)| self.directory.resolve(jid)).map(|device| device.account));
        let mut devices = 0;
        for account in audience {
            let deaf = self.directory.account(account).is_some_and(|found| found.blocked.contains(&own));
            for device in self.directory.companions(account) {
                let mut encs = Vec::new();
                let mut namespace = Namespace::Lid;
                for (jid, own_encs) in &pairs {
                    if self.directory.device(jid) == Some(device) && !own_encs.is_empty() {
                        encs.extend(own_encs.iter().copied());
                        namespace = Namespace::of(jid).unwrap_or(namespace);
                    }
                }
                encs.extend(content.iter().copied());
                if device == letter.sender || encs.is_empty() || deaf {
                    continue;
                }
                let Some(node) = self.posted(letter, namespace, &encs) else { continue };
                self.queue(now, device, Class::Message, letter.id, node);
                devices += 1;
            }
        }
        Ok(Taken { seconds: letter.seconds, phash: None, devices })
    }

    fn posted(&self, letter: &Letter<'_>, namespace: Namespace, encs: &[&Node]) -> Option<Node> {
        let account = self.directory.account(letter.sender.account)?;
        let shown = account.namespace(namespace);
        let participant = self.directory.address(letter.sender, shown)?;
        let key = if shown == Namespace::Pn { "participant_lid" } else { "participant_pn" };
        let node = Node::new("message")
            .with("from", letter.to.clone())
            .with("participant", participant)
            .with_some(key, account.other_user(shown))
            .with_some("participant_username", account.shown.username.clone());
        Some(self.finish(letter, node, encs))
    }

    /// Adds what every delivered copy carries: id, time, kind, the sender's name, its ciphertexts and the shared children.
    fn finish(&self, letter: &Letter<'_>, mut node: Node, encs: &[&Node]) -> Node {
        node = node.with("id", letter.id).with("t", letter.seconds.to_string());
        for key in ["type", "edit"] {
            if let Some(value) = letter.stanza.owned(key) {
                node = node.with(key, value);
            }
        }
        let name = self.directory.account(letter.sender.account).map_or("", |account| account.push_name.as_str());
        if !name.is_empty() {
            node = node.with("notify", name);
        }
        let opens_session = encs.iter().any(|enc| enc.owned("type").as_deref() == Some("pkmsg"));
        for enc in encs {
            node = node.with_child((*enc).clone());
        }
        for child in letter.stanza.children().iter() {
            let stays = match child.tag.as_str() {
                "enc" | "participants" | "tctoken" | "cstoken" => false,
                "device-identity" => opens_session,
                _ => true,
            };
            if stays {
                node = node.with_child(child.clone());
            }
        }
        node
    }
}

/// The stanza with its ciphertexts damaged.
fn damage(mut node: Node) -> Node {
    if let Content::Nodes(children) = &mut node.content {
        for enc in children.iter_mut().filter(|child| child.is("enc")) {
            *enc = damaged(enc);
        }
    }
    node
}

/// The devices (or bare users) of a `participants` child, each with its ciphertexts.
fn pairwise(stanza: &Node) -> Vec<(Jid, Vec<&Node>)> {
    let Some(participants) = stanza.child("participants") else { return Vec::new() };
    let entry = |to: &'_ Node| to.jid("jid");
    participants
        .children()
        .iter()
        .filter(|to| to.is("to"))
        .filter_map(|to| Some((entry(to)?, to.children().iter().filter(|enc| enc.is("enc")).collect())))
        .collect()
}

/// The hash that both sides compute over a set of devices to see whether they mean the same ones.
pub(super) fn participant_hash(devices: impl Iterator<Item = Jid>) -> String {
    let mut names: Vec<String> = devices.map(|jid| jid.full_form()).collect();
    names.sort_unstable();
    let hash = Sha256::digest(names.concat().as_bytes());
    let short: Vec<u8> = hash.iter().copied().take(6).collect();
    format!("2:{}", STANDARD_NO_PAD.encode(short))
}
