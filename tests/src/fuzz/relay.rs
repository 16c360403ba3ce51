//! Any sequence of calls on a relay: connections that register, log in, or are up to no good; scripted faults, and an
//! operator who does what operators may.
//!
//! Whatever happens: no panic, the same inputs give the same outputs, connections that are gone hear nothing, what is
//! said on a connection can be read, the next deadline lies ahead.

use super::script::Script;
use super::server::twist;
use bytes::{Bytes, BytesMut};
use std::collections::{BTreeMap, VecDeque};
use whatsio_core::api::ProtocolProfile;
use whatsio_core::binary::{DecodeLimits, Node, Role, Tape};
use whatsio_core::crypto::{KeyPair, Rng, Secret};
use whatsio_core::noise::frame::{Deframer, framed};
use whatsio_core::noise::handshake::AwaitingServerHello;
use whatsio_core::noise::{Preamble, RootOfTrust, Transport};
use whatsio_core::pairing::QrCode;
use whatsio_core::pairing::payload::{Registration, login_payload, registration_payload};
use whatsio_core::relay::{
    Cut, Cutting, LinkId, LoginRefusal, PuppetKeys, Relay, RelayConfig, RelayInput, RelayOutput, RequestFault,
};
use whatsio_core::types::{Jid, Now, Seed};

/// A byte of choices, then what happens.
pub fn run(bytes: &[u8]) {
    let first = Stage::play(bytes);
    if bytes.first().is_some_and(|choices| choices & 7 == 7) {
        assert!(Stage::play(bytes) == first, "the same inputs give other outputs");
    }
}

struct Stage {
    relay: Relay,
    now: Now,
    links: BTreeMap<LinkId, Peer>,
    next_link: u64,
    accounts: Vec<Jid>,
    devices: Vec<Jid>,
    transcript: Vec<(LinkId, Bytes)>,
    rng: Rng,
    numbers: u32,
}

/// The other end of a connection.
struct Peer {
    deframer: Deframer,
    stage: PeerStage,
    payload: Bytes,
    qr: Option<(KeyPair, KeyPair)>,
    heard: VecDeque<Node>,
}

enum PeerStage {
    Silent,
    Awaiting(Box<AwaitingServerHello>),
    Open(Box<Transport>),
    Broken,
}

impl Stage {
    fn play(bytes: &[u8]) -> Vec<(LinkId, Bytes)> {
        let mut script = Script::new(bytes);
        let choices = script.byte();
        let mut stage = Self::new(choices);
        for _ in 0..MOST_STEPS {
            if script.is_over() {
                break;
            }
            stage.step(&mut script);
            stage.drain();
        }
        let _ = (stage.relay.accounts(), stage.relay.counters(), stage.relay.requests("encrypt"));
        stage.transcript
    }

    /// Two accounts with a companion each, all logged in.
    fn new(choices: u8) -> Self {
        let now = Now { mono: 1_000, unix: 1_790_000_000_000 };
        let mut config = RelayConfig::default();
        config.accept_ik = choices & 8 == 0;
        config.limits.links = 6;
        config.limits.queue_items = 8;
        config.limits.queue_bytes = 4 << 10;
        config.limits.prekeys = 8;
        config.limits.participants = 16;
        config.limits.users = 16;
        config.limits.frame_bytes = 64 << 10;
        config.limits.counters = 64;
        config.limits.remembered_ids = 8;
        let relay = Relay::new(config, Seed::new([2; 32]), now);
        let mut stage = Self {
            relay,
            now,
            links: BTreeMap::new(),
            next_link: 0,
            accounts: Vec::new(),
            devices: Vec::new(),
            transcript: Vec::new(),
            rng: Rng::new(&Seed::new([6; 32])),
            numbers: 0,
        };
        for _ in 0..2 {
            stage.register();
            stage.scan(None);
            let Some(account) = stage.relay.accounts().last().map(|account| account.pn.clone()) else { continue };
            stage.accounts.push(account.clone());
            let keys = PuppetKeys {
                identity: KeyPair::generate(&mut stage.rng),
                registration: 5,
                signed_id: 1,
                signed: KeyPair::generate(&mut stage.rng),
            };
            if let Some((jid, _)) = stage.relay.plant(stage.now, &account, &keys) {
                stage.log_in(&jid, &keys.identity);
                stage.devices.push(jid);
            }
        }
        stage.drain();
        stage
    }

    fn step(&mut self, script: &mut Script<'_>) {
        match script.below(16) {
            0 => {
                let ms = match script.below(3) {
                    0 => u64::from(script.byte()),
                    1 => u64::from(script.u16()),
                    _ => self.relay.next_deadline().map_or(0, |at| at.saturating_sub(self.now.mono)),
                };
                self.now = self.now.plus(ms);
                self.relay.handle(self.now, RelayInput::Tick);
            }
            1 => match script.below(3) {
                0 => self.register(),
                1 => self.scan(None),
                _ => {
                    let link = self.open();
                    let raw = Bytes::copy_from_slice(script.piece());
                    self.relay.handle(self.now, RelayInput::Bytes(link, raw));
                }
            },
            2 => {
                if let Some(link) = self.link(script) {
                    self.links.remove(&link);
                    self.relay.handle(self.now, RelayInput::Closed(link));
                }
            }
            3 => {
                // A name that was never given, or is gone.
                let link = LinkId(u64::from(script.byte()) + 1_000);
                let raw = Bytes::copy_from_slice(script.short());
                self.relay.handle(self.now, RelayInput::Bytes(link, raw));
                self.relay.handle(self.now, RelayInput::Closed(link));
            }
            4 => {
                let Some(link) = self.link(script) else { return };
                let frame = script.piece().to_vec();
                self.say_frame(link, &frame);
            }
            5 => {
                let Some(link) = self.link(script) else { return };
                let raw = Bytes::copy_from_slice(script.piece());
                self.relay.handle(self.now, RelayInput::Bytes(link, raw));
            }
            6 => self.fault(script),
            7 => self.operate(script),
            _ => {
                let Some(link) = self.link(script) else { return };
                let stanza = self.stanza(script, link);
                let stanza = twist(script, stanza);
                if let Ok(frame) = stanza.encode(Role::Client) {
                    let frame = if script.below(8) == 0 { script.damaged(&frame) } else { frame };
                    self.say_frame(link, &frame);
                }
            }
        }
    }

    fn link(&self, script: &mut Script<'_>) -> Option<LinkId> {
        let at = script.below(self.links.len().clamp(1, 256));
        self.links.keys().nth(at).copied()
    }

    fn open(&mut self) -> LinkId {
        let link = LinkId(self.next_link);
        self.next_link += 1;
        let peer = Peer {
            deframer: Deframer::new(),
            stage: PeerStage::Silent,
            payload: Bytes::new(),
            qr: None,
            heard: VecDeque::new(),
        };
        self.links.insert(link, peer);
        self.relay.handle(self.now, RelayInput::Opened(link));
        link
    }

    /// Opens a connection and says hello on it.
    fn begin(&mut self, noise: KeyPair, payload: Bytes, qr: Option<(KeyPair, KeyPair)>) {
        let link = self.open();
        let (state, hello) = AwaitingServerHello::start_xx(noise, KeyPair::generate(&mut self.rng));
        if let Some(peer) = self.links.get_mut(&link) {
            (peer.stage, peer.payload, peer.qr) = (PeerStage::Awaiting(Box::new(state)), payload, qr);
        }
        let mut bytes = Preamble::default().write().expect("short");
        bytes.extend_from_slice(&framed(&hello).expect("short"));
        self.relay.handle(self.now, RelayInput::Bytes(link, bytes.freeze()));
        self.drain();
    }

    fn register(&mut self) {
        let (noise, identity) = (KeyPair::generate(&mut self.rng), KeyPair::generate(&mut self.rng));
        let signed = KeyPair::generate(&mut self.rng);
        let registration = Registration {
            registration_id: 7,
            identity: identity.public,
            signed_prekey_id: 1,
            signed_prekey: signed.public,
            signature: identity.sign(&[&signed.public.serialize()], &[1; 64]),
        };
        let payload = registration_payload(&ProtocolProfile::default(), &registration);
        self.begin(noise.clone(), payload, Some((noise, identity)));
    }

    fn log_in(&mut self, jid: &Jid, noise: &KeyPair) {
        let Ok(user) = jid.user().parse() else { return };
        let payload = login_payload(&ProtocolProfile::default(), user, jid.device());
        self.begin(noise.clone(), payload, None);
    }

    /// The newest connection that shows codes is scanned.
    fn scan(&mut self, account: Option<&str>) {
        let found = self.links.values().rev().find_map(|peer| {
            let (noise, identity) = peer.qr.as_ref()?;
            let pair = peer.heard.iter().find_map(|node| node.child("pair-device"))?;
            let reference = pair.children().first()?.content_text()?.to_owned();
            Some(QrCode {
                reference,
                noise: noise.public,
                identity: identity.public,
                adv_secret: Secret::new([8; 32]),
                platform: None,
            })
        });
        if let Some(code) = found {
            let _ = self.relay.scan_qr(self.now, account, &code.to_text());
            self.drain();
        }
    }

    fn say_frame(&mut self, link: LinkId, frame: &[u8]) {
        let Some(peer) = self.links.get_mut(&link) else { return };
        let bytes = match &mut peer.stage {
            PeerStage::Open(transport) => {
                let mut room = BytesMut::zeroed(3);
                room.extend_from_slice(frame);
                transport.seal(room).ok()
            }
            _ => framed(frame).ok(),
        };
        if let Some(bytes) = bytes {
            self.relay.handle(self.now, RelayInput::Bytes(link, bytes));
        }
    }

    fn drain(&mut self) {
        for _ in 0..MOST_OUTPUTS {
            match self.relay.poll() {
                None => {
                    let next = self.relay.next_deadline();
                    if next.is_some_and(|at| at <= self.now.mono) {
                        self.relay.handle(self.now, RelayInput::Tick);
                        continue;
                    }
                    return;
                }
                Some(RelayOutput::Bytes(link, bytes)) => {
                    assert!(self.links.contains_key(&link), "bytes for a connection that is gone");
                    self.transcript.push((link, bytes.clone()));
                    self.hear(link, bytes);
                }
                Some(RelayOutput::Close(link)) => {
                    assert!(self.links.remove(&link).is_some(), "a connection is closed twice");
                    self.relay.handle(self.now, RelayInput::Closed(link));
                }
                Some(RelayOutput::Event(event)) => assert!(!format!("{event:?}").is_empty()),
            }
        }
        panic!("it does not come to rest");
    }

    fn hear(&mut self, link: LinkId, bytes: Bytes) {
        let trust = RootOfTrust { key: whatsio_core::crypto::PublicKey::from_bytes(self.relay.root_key()), serial: 0 };
        let seconds = self.now.unix_seconds();
        let Some(peer) = self.links.get_mut(&link) else { return };
        let mut replies = Vec::new();
        peer.deframer.push(bytes);
        while let Some(frame) = peer.deframer.next_frame().expect("a relay writes frames") {
            match std::mem::replace(&mut peer.stage, PeerStage::Broken) {
                PeerStage::Awaiting(state) => {
                    let payload = peer.payload.clone();
                    let established = state.receive(&frame, &trust, seconds, &payload).expect("a genuine server");
                    peer.deframer.handshake_done();
                    peer.stage = PeerStage::Open(Box::new(established.transport));
                    replies.extend(established.reply.map(|reply| framed(&reply).expect("short")));
                }
                PeerStage::Open(mut transport) => match transport.open(frame) {
                    Ok(opened) => {
                        peer.stage = PeerStage::Open(transport);
                        let tape = Tape::decode(&opened, Role::Client, &DecodeLimits::DEFAULT);
                        peer.heard.push_front(tape.expect("a relay writes nodes").root().to_node());
                        peer.heard.truncate(16);
                    }
                    // A fault has damaged it on purpose.
                    Err(_) => peer.stage = PeerStage::Broken,
                },
                other => peer.stage = other,
            }
        }
        for reply in replies {
            self.relay.handle(self.now, RelayInput::Bytes(link, reply));
        }
    }

    fn fault(&mut self, script: &mut Script<'_>) {
        let (count, code) = (u32::from(script.byte() & 3), u16::from(script.byte()) + 300);
        let device = self.device(script);
        let faults = self.relay.faults();
        match script.below(16) {
            0 => faults.drop_message_acks(count),
            1 => faults.delay_message_acks(count, u64::from(code)),
            2 => faults.refuse_messages(count, code),
            3 => faults.duplicate_deliveries(count),
            4 => faults.lose_deliveries(count),
            5 => faults.corrupt_frames(count),
            6 => faults.disconnect_on_message([Cut::BeforeTaking, Cut::BeforeAck, Cut::AfterAck][script.below(3)]),
            7 => faults.cut_output(
                [Cutting::Frames, Cutting::Pieces(u16::from(script.byte())), Cutting::Joined][script.below(3)],
            ),
            8 => faults.compress_stanzas(count & 1 == 0),
            9 => faults.refuse_logins(count, code),
            10 => faults.refuse_logins_with(count, LoginRefusal::default()),
            11 => faults.withhold_offline_end(count & 1 == 0),
            12 => {
                let xmlns = ["encrypt", "usync", "w:p", "md", "privacy", "w:sync:app:state"][script.below(6)];
                let fault = [RequestFault::Error(code), RequestFault::Silence, RequestFault::Delay(u64::from(code))];
                faults.break_requests(xmlns, count, fault[script.below(3)]);
            }
            13 => faults.damage_ciphertext(&device),
            14 => faults.claim_phash((count & 1 == 0).then_some("2:abcdef")),
            _ => faults.clear(),
        }
    }

    fn operate(&mut self, script: &mut Script<'_>) {
        let now = self.now;
        let (account, device) = (self.account(script), self.device(script));
        let number = account.user().to_owned();
        let text = String::from_utf8_lossy(script.short()).into_owned();
        match script.below(16) {
            0 => drop(self.relay.scan_qr(now, Some(&number), &text)),
            // A right guess costs the stretching of a code; there is none here.
            1 => drop(self.relay.require_passkey(&text).and_then(|()| self.relay.require_passkey(&number))),
            2 => drop(self.relay.assert_passkey(&number, &text)),
            3 => drop(self.relay.confirm_code(now, &number, &text)),
            4 => drop(self.relay.reject_code(now, &number)),
            5 => drop(self.relay.disconnect(now, &device)),
            6 => drop(self.relay.remove_device(now, &device)),
            7 => drop(self.relay.set_username(&account, (!text.is_empty()).then_some(&text))),
            8 => drop(self.relay.change_number(now, &account, &text)),
            9 => drop(self.relay.announce_routing(&device, text.as_bytes())),
            10 => drop(self.relay.demand_tokens(&account, script.below(2) == 0)),
            11 => drop(self.relay.restrict(now, &account, (script.below(2) == 0).then_some(1_790_000_500), true)),
            12 => drop(self.relay.register_anew(now, &account)),
            13 => self.relay.replace_server_key(now),
            14 => drop((self.relay.refresh_code(now, &number, true), self.relay.renew_link_secret(now, &text))),
            _ => {
                let stanza = self.stanza(script, LinkId(0));
                let stanza = twist(script, stanza);
                self.relay.submit(now, &device, &stanza);
                drop(self.relay.hand_out(now, &device));
            }
        }
        // Another number may go by the name of an account now.
        self.accounts = self.relay.accounts().into_iter().map(|account| account.pn).collect();
    }

    fn account(&self, script: &mut Script<'_>) -> Jid {
        let at = script.below(self.accounts.len().max(1));
        self.accounts.get(at).cloned().unwrap_or_else(|| Jid::pn("15550100001"))
    }

    fn device(&self, script: &mut Script<'_>) -> Jid {
        let at = script.below(self.devices.len().max(1));
        self.devices.get(at).cloned().unwrap_or_else(|| Jid::pn("15550100001").with_device(1))
    }

    /// A stanza as clients say them.
    fn stanza(&mut self, script: &mut Script<'_>, link: LinkId) -> Node {
        self.numbers += 1;
        let id = self.numbers.to_string();
        let (account, device) = (self.account(script), self.device(script));
        let iq = |kind: &str, xmlns: &str| {
            Node::new("iq")
                .with("id", id.as_str())
                .with("to", Jid::server_itself())
                .with("type", kind)
                .with("xmlns", xmlns)
        };
        let heard = self.links.get(&link).and_then(|peer| peer.heard.front().cloned());
        let heard_id = heard.as_ref().and_then(|node| node.text("id")).map(|id| id.into_owned()).unwrap_or_default();
        match script.below(18) {
            0 | 1 => {
                let enc = Node::new("enc").with("v", "2").with("type", ["msg", "pkmsg"][script.below(2)]);
                let enc = enc.with_bytes(script.short().to_vec());
                let to = Node::new("to").with("jid", device).with_child(enc);
                Node::new("message")
                    .with("id", id)
                    .with("to", account)
                    .with("type", "text")
                    .with_child(Node::new("participants").with_child(to))
            }
            2 => Node::new("receipt")
                .with("id", heard_id)
                .with("to", account)
                .with("type", ["", "read", "retry"][script.below(3)]),
            3 => {
                let class = heard.map_or_else(|| "message".into(), |node| node.tag);
                Node::new("ack").with("id", heard_id).with("to", account).with("class", class)
            }
            4 => {
                let users = Node::new("list").with_child(Node::new("user").with("jid", account));
                let query = Node::new("query")
                    .with_child(Node::new("devices").with("version", "2"))
                    .with_child(Node::new("lid"));
                iq("get", "usync").with_child(
                    Node::new("usync")
                        .with("mode", "query")
                        .with("context", "message")
                        .with("sid", "1")
                        .with_child(query)
                        .with_child(users),
                )
            }
            5 => iq("get", "encrypt").with_child(Node::new("key").with_child(Node::new("user").with("jid", device))),
            6 => iq("get", "encrypt").with_child(Node::new(["count", "digest"][script.below(2)])),
            7 => {
                let key = |tag: &'static str, number: u8| {
                    Node::new(tag)
                        .with_child(Node::new("id").with_bytes(vec![0, 0, number]))
                        .with_child(Node::new("value").with_bytes(vec![number; 32]))
                };
                let keys = (0..script.byte() & 15).map(|number| key("key", number));
                iq("set", "encrypt")
                    .with_child(Node::new("registration").with_bytes(vec![0, 0, 0, 5]))
                    .with_child(Node::new("type").with_bytes(vec![5]))
                    .with_child(Node::new("identity").with_bytes(vec![7; 32]))
                    .with_child(Node::new("list").with_children(keys))
                    .with_child(key("skey", 1).with_child(Node::new("signature").with_bytes(vec![1; 64])))
            }
            8 => iq("set", "passive").with_child(Node::new(["active", "passive"][script.below(2)])),
            9 => {
                let sort = ["w:p", "privacy", "blocklist", "w:m", "w:g2", "abt", "urn:xmpp:ping", "w:profile:picture"];
                let child = ["ping", "privacy", "list", "media_conn", "participating", "props", "picture", "create"];
                iq(["get", "set"][script.below(2)], sort[script.below(sort.len())])
                    .with_child(Node::new(child[script.below(child.len())]))
            }
            10 => {
                let patch = Node::new("patch").with_bytes(script.short().to_vec());
                let collection = Node::new("collection").with("name", "regular").with("version", "0").with_child(patch);
                iq("set", "w:sync:app:state").with_child(Node::new("sync").with_child(collection))
            }
            11 => Node::new("presence")
                .with("type", ["available", "unavailable", "subscribe"][script.below(3)])
                .with("to", account)
                .with("name", "x"),
            12 => Node::new("chatstate").with("to", account).with_child(Node::new("composing")),
            13 => iq("set", "md")
                .with_child(Node::new("remove-companion-device").with("jid", device).with("reason", "user_initiated")),
            14 => {
                let hello = Node::new("link_code_companion_reg")
                    .with("jid", account)
                    .with("stage", ["companion_hello", "companion_finish"][script.below(2)])
                    .with_child(Node::new("link_code_pairing_wrapped_companion_ephemeral_pub").with_bytes(vec![3; 80]));
                iq("set", "md").with_child(hello)
            }
            15 => {
                let token =
                    Node::new("token").with("jid", account).with("type", "trusted_contact").with("t", "1790000000");
                iq("set", "privacy").with_child(Node::new("tokens").with_child(token))
            }
            16 => Node::new("ib").with_child(Node::new("offline_batch").with("count", u32::from(script.byte()))),
            _ => {
                let answer =
                    Node::new("iq").with("id", heard_id).with("to", Jid::server_itself()).with("type", "result");
                let identity = Node::new("device-identity").with("key-index", "1").with_bytes(script.short().to_vec());
                answer.with_child(Node::new("pair-device-sign").with_child(identity))
            }
        }
    }
}

const MOST_STEPS: usize = 60;
const MOST_OUTPUTS: usize = 20_000;
