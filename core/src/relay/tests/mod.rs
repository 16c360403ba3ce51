//! A minimal client on virtual time, made for these tests from the codecs alone: what it says is written out by hand, so
//! that the relay is not tested against the client of this crate.

mod delivery;
mod linking;
mod malformed;
mod messages;
mod passkey;
mod requests;
mod wire;

use std::collections::{BTreeMap, VecDeque};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use prost::Message;
use whatsio_proto::adv::{AdvSignedDeviceIdentity, AdvSignedDeviceIdentityHmac};
use whatsio_proto::wa6::{ClientPayload, client_payload};

use self::wire::Wire;
use super::{LinkId, Relay, RelayConfig, RelayEvent, RelayInput, RelayOutput};
use crate::binary::Node;
use crate::crypto::{KeyPair, Rng, symmetric};
use crate::types::{Jid, Now, Seed};

/// A relay with any number of connections to it.
struct Bench {
    relay: Relay,
    now: Now,
    rng: Rng,
    wires: BTreeMap<LinkId, Wire>,
    received: BTreeMap<LinkId, VecDeque<Node>>,
    closed: Vec<LinkId>,
    events: Vec<RelayEvent>,
    last_link: u64,
    last_id: u64,
}

/// A companion's keys, and its address once it is linked.
#[derive(Clone)]
struct Device {
    noise: KeyPair,
    identity: KeyPair,
    signed: KeyPair,
    secret: [u8; 32],
    jid: Jid,
    lid: Jid,
}

impl Bench {
    fn new() -> Self {
        Self::with(RelayConfig::default())
    }

    fn with(config: RelayConfig) -> Self {
        let now = Now { mono: 1_000, unix: 1_780_000_000_000 };
        Self {
            relay: Relay::new(config, Seed::new([1; 32]), now),
            now,
            rng: Rng::new(&Seed::new([2; 32])),
            wires: BTreeMap::new(),
            received: BTreeMap::new(),
            closed: Vec::new(),
            events: Vec::new(),
            last_link: 0,
            last_id: 0,
        }
    }

    fn device(&mut self) -> Device {
        Device {
            noise: KeyPair::generate(&mut self.rng),
            identity: KeyPair::generate(&mut self.rng),
            signed: KeyPair::generate(&mut self.rng),
            secret: self.rng.bytes(),
            jid: Jid::server_itself(),
            lid: Jid::server_itself(),
        }
    }

    /// Opens a connection and shakes hands with this payload.
    fn connect(&mut self, device: &Device, payload: &ClientPayload) -> LinkId {
        self.last_link += 1;
        let link = LinkId(self.last_link);
        self.relay.handle(self.now, RelayInput::Opened(link));
        let (wire, hello) = Wire::open(&mut self.rng, &device.noise, payload.encode_to_vec(), self.relay.root_key());
        self.wires.insert(link, wire);
        self.received.insert(link, VecDeque::new());
        self.feed(link, hello);
        link
    }

    /// Opens a registration stream and gives its references.
    fn register(&mut self, device: &Device) -> (LinkId, Vec<String>) {
        let link = self.connect(device, &registration(device, &mut Rng::new(&Seed::new([3; 32]))));
        let request = self.take(link).pop().expect("pair-device");
        let pair = request.child("pair-device").expect("pair-device");
        assert_eq!(request.jid("from"), Some(Jid::server_itself()));
        let references = pair.children_named("ref").map(|node| node.content_text().unwrap().to_owned()).collect();
        self.answer(link, &request, None);
        (link, references)
    }

    /// Links a new device to an account and checks every step of it.
    fn link(&mut self, account: Option<&str>) -> Device {
        let mut device = self.device();
        let (link, references) = self.register(&device);
        let text = qr(&device, &references[2]);
        let jid = self.relay.scan_qr(self.now, account, &text).expect("scan");
        self.drain();
        let success = self.take(link).pop().expect("pair-success");
        let answer = accept(&mut device, &success, &mut self.rng);
        assert_eq!(device.jid, jid);
        self.answer(link, &success, Some(answer));
        self.advance(300);
        let end = self.take(link).pop().expect("515");
        assert_eq!((end.tag.as_str(), end.text("code").as_deref()), ("stream:error", Some("515")));
        assert!(self.events.contains(&RelayEvent::Linked(jid)));
        self.advance(100);
        assert!(self.closed.contains(&link));
        device
    }

    /// Logs in and gives the connection; `success` is checked and taken.
    fn log_in(&mut self, device: &Device) -> LinkId {
        let link = self.connect(device, &login(device));
        let success = self.received.get_mut(&link).unwrap().pop_front().expect("success");
        assert_eq!(success.tag, "success");
        assert_eq!(success.jid("lid"), Some(device.lid.clone()));
        assert_eq!(success.number("t"), Some(self.now.unix_seconds()));
        link
    }

    /// Logs in, asks for the mail and drops what came until then.
    fn go_online(&mut self, device: &Device) -> LinkId {
        let link = self.log_in(device);
        self.activate(link);
        self.take(link);
        link
    }

    fn activate(&mut self, link: LinkId) {
        let request = Node::new("iq").with("xmlns", "passive").with("type", "set").with_child(Node::new("active"));
        let reply = self.ask(link, request);
        assert_eq!(reply.text("type").as_deref(), Some("result"));
    }

    /// Sends a request and gives the reply; other stanzas stay.
    fn ask(&mut self, link: LinkId, request: Node) -> Node {
        self.last_id += 1;
        let id = format!("11.22-{}", self.last_id);
        self.send(link, &request.with("to", Jid::server_itself()).with("id", id.as_str()));
        let received = self.received.get_mut(&link).unwrap();
        let at = received.iter().position(|node| node.is_reply(&id)).expect("a reply");
        received.remove(at).unwrap()
    }

    fn answer(&mut self, link: LinkId, request: &Node, child: Option<Node>) {
        let mut reply = Node::new("iq")
            .with("type", "result")
            .with("to", Jid::server_itself())
            .with("id", request.text("id").unwrap().into_owned());
        if let Some(child) = child {
            reply = reply.with_child(child);
        }
        self.send(link, &reply);
    }

    fn send(&mut self, link: LinkId, node: &Node) {
        let bytes = self.wires.get_mut(&link).unwrap().seal(node);
        self.feed(link, bytes);
    }

    fn feed(&mut self, link: LinkId, bytes: Bytes) {
        self.relay.handle(self.now, RelayInput::Bytes(link, bytes));
        self.drain();
    }

    /// What the server sent on a connection since last asked.
    fn take(&mut self, link: LinkId) -> Vec<Node> {
        self.received.get_mut(&link).unwrap().drain(..).collect()
    }

    /// The stanzas with a tag among what came; the others are dropped.
    fn take_all(&mut self, link: LinkId, tag: &str) -> Vec<Node> {
        self.take(link).into_iter().filter(|node| node.tag == tag).collect()
    }

    fn advance(&mut self, milliseconds: u64) {
        let end = self.now.plus(milliseconds);
        while let Some(at) = self.relay.next_deadline().filter(|at| *at <= end.mono) {
            self.now = self.now.plus(at.saturating_sub(self.now.mono));
            self.relay.handle(self.now, RelayInput::Tick);
            self.drain();
        }
        self.now = end;
    }

    fn drop_link(&mut self, link: LinkId) {
        self.relay.handle(self.now, RelayInput::Closed(link));
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.relay.poll() {
            match output {
                RelayOutput::Bytes(link, bytes) => {
                    let (nodes, reply) = self.wires.get_mut(&link).unwrap().take(&bytes, &mut self.rng);
                    self.received.get_mut(&link).unwrap().extend(nodes);
                    if let Some(reply) = reply {
                        self.relay.handle(self.now, RelayInput::Bytes(link, reply));
                    }
                }
                RelayOutput::Close(link) => self.closed.push(link),
                RelayOutput::Event(event) => self.events.push(event),
            }
        }
    }
}

trait Reply {
    fn is_reply(&self, id: &str) -> bool;
}

impl Reply for Node {
    fn is_reply(&self, id: &str) -> bool {
        self.tag == "iq" && self.text("id").as_deref() == Some(id)
    }
}

fn registration(device: &Device, rng: &mut Rng) -> ClientPayload {
    let signature = device.identity.sign(&[&device.signed.public.serialize()], &rng.bytes());
    ClientPayload {
        passive: Some(false),
        device_pairing_data: Some(Box::new(client_payload::DevicePairingRegistrationData {
            e_regid: Some(Bytes::from_static(&[0, 0, 1, 2])),
            e_keytype: Some(Bytes::from_static(&[5])),
            e_ident: Some(Bytes::copy_from_slice(device.identity.public.as_bytes())),
            e_skey_id: Some(Bytes::from_static(&[0, 0, 1])),
            e_skey_val: Some(Bytes::copy_from_slice(device.signed.public.as_bytes())),
            e_skey_sig: Some(Bytes::copy_from_slice(signature.as_bytes())),
            ..Default::default()
        })),
        ..Default::default()
    }
}

fn login(device: &Device) -> ClientPayload {
    ClientPayload {
        username: device.jid.user().parse().ok(),
        device: Some(device.jid.device().into()),
        passive: Some(true),
        ..Default::default()
    }
}

fn qr(device: &Device, reference: &str) -> String {
    let [noise, identity] = [&device.noise, &device.identity].map(|pair| STANDARD.encode(pair.public.as_bytes()));
    format!("https://wa.me/settings/linked_devices#{reference},{noise},{identity},{},1", STANDARD.encode(device.secret))
}

/// Checks a `pair-success` as a strict companion does and makes the answer to it.
fn accept(device: &mut Device, success: &Node, rng: &mut Rng) -> Node {
    let pair = success.child("pair-success").expect("pair-success");
    let container = pair.child("device-identity").unwrap().bytes().unwrap();
    assert!(container.len() <= 500);
    let container = AdvSignedDeviceIdentityHmac::decode(container).unwrap();
    let details = container.details.unwrap();
    assert_eq!(container.hmac.unwrap(), &symmetric::hmac_sha256(&device.secret, &[&details])[..], "mac");
    let mut identity = AdvSignedDeviceIdentity::decode(details).unwrap();
    let account = identity.account_signature_key.take().unwrap();
    let account_key = crate::crypto::PublicKey::from_slice(&account).unwrap();
    let signed = identity.details.clone().unwrap();
    let own = *device.identity.public.as_bytes();
    let signature = crate::crypto::Signature::from_slice(identity.account_signature.as_deref().unwrap()).unwrap();
    account_key.verify(&[&[6, 0], &signed, &own], &signature).expect("account signature");
    let own_signature = device.identity.sign(&[&[6, 1], &signed, &own, &account], &rng.bytes());
    identity.device_signature = Some(Bytes::copy_from_slice(own_signature.as_bytes()));
    let index = whatsio_proto::adv::AdvDeviceIdentity::decode(signed).unwrap().key_index.unwrap();
    let address = pair.child("device").unwrap();
    device.jid = address.jid("jid").unwrap();
    device.lid = address.jid("lid").unwrap();
    assert!(device.jid.device() > 0 && device.lid.device() == device.jid.device() && index > 0);
    Node::new("pair-device-sign")
        .with_child(Node::new("device-identity").with("key-index", index).with_bytes(identity.encode_to_vec()))
}

/// An upload of one-time keys 1 to `count`.
fn upload(device: &Device, count: u8, rng: &mut Rng) -> Node {
    let signature = device.identity.sign(&[&device.signed.public.serialize()], &rng.bytes());
    let keys = (1..=count).map(|number| {
        Node::new("key")
            .with_child(Node::new("id").with_bytes(vec![0, 0, number]))
            .with_child(Node::new("value").with_bytes(vec![number; 32]))
    });
    Node::new("iq")
        .with("xmlns", "encrypt")
        .with("type", "set")
        .with_child(Node::new("registration").with_bytes(vec![0, 0, 1, 2]))
        .with_child(Node::new("type").with_bytes(vec![5]))
        .with_child(Node::new("identity").with_bytes(device.identity.public.as_bytes().to_vec()))
        .with_child(Node::new("list").with_children(keys))
        .with_child(
            Node::new("skey")
                .with_child(Node::new("id").with_bytes(vec![0, 0, 1]))
                .with_child(Node::new("value").with_bytes(device.signed.public.as_bytes().to_vec()))
                .with_child(Node::new("signature").with_bytes(signature.as_bytes().to_vec())),
        )
}

/// A message with one ciphertext per device.
fn message(id: &str, to: &Jid, devices: &[(&Jid, &str)]) -> Node {
    let parts = devices.iter().map(|(jid, kind)| {
        let enc = Node::new("enc").with("v", "2").with("type", *kind).with_bytes(jid.to_string().into_bytes());
        Node::new("to").with("jid", (*jid).clone()).with_child(enc)
    });
    Node::new("message")
        .with("id", id)
        .with("to", to.clone())
        .with("type", "text")
        .with_child(Node::new("participants").with_children(parts))
        .with_child(Node::new("device-identity").with_bytes(vec![1]))
        .with_child(Node::new("tctoken").with_bytes(vec![2]))
        .with_child(Node::new("meta").with("x", "y"))
}

fn receipt(id: &str, to: &Jid) -> Node {
    Node::new("receipt").with("id", id).with("to", to.clone())
}

fn ids(nodes: &[Node]) -> Vec<String> {
    nodes.iter().filter_map(|node| node.text("id").map(std::borrow::Cow::into_owned)).collect()
}
