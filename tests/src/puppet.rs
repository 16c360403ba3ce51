//! A device that a test plays by itself, with keys and sessions of its own: a phone, a companion with odd manners, or
//! somebody who means no good. Its stanzas take the relay's ordinary ways.

use crate::world::World;
use bytes::Bytes;
use std::collections::BTreeMap;
use whatsio_core::binary::Node;
use whatsio_core::crypto::{KeyPair, PublicKey, Rng, Signature};
use whatsio_core::message::{pad, unpad};
use whatsio_core::relay::PuppetKeys;
use whatsio_core::signal::{
    Archive, JumpLimit, LocalIdentity, OwnPreKeys, PreKey, PreKeyBundle, PreKeyId, PreKeyMessage, PublicPreKey,
    PublicSignedPreKey, RegistrationId, Session, SignalMessage, SignedPreKey, SignedPreKeyId,
};
use whatsio_core::types::{Jid, Seed, Server};

/// A device played by a test.
pub struct Puppet {
    /// Its address by phone number.
    pub jid: Jid,
    /// Its keys.
    pub keys: PuppetKeys,
    /// Its signed identity, if it is a companion.
    pub statement: Option<Bytes>,
    signed: SignedPreKey,
    rng: Rng,
    sessions: BTreeMap<(String, u16), (Session, Archive)>,
    one_time: BTreeMap<u32, PreKey>,
    next_one_time: u32,
}

/// Something that came for a puppet.
#[derive(Debug)]
pub struct Mail {
    /// The stanza.
    pub node: Node,
    /// The content of the first ciphertext that opened, unpadded.
    pub content: Option<Bytes>,
}

impl Puppet {
    /// Links a companion to `account` that the test plays.
    pub fn planted(world: &mut World, account: &Jid, seed: u8) -> Self {
        let mut rng = Rng::new(&Seed::new([seed; 32]));
        let keys = PuppetKeys {
            identity: KeyPair::generate(&mut rng),
            registration: rng.u32() >> 1 | 1,
            signed_id: 1,
            signed: KeyPair::generate(&mut rng),
        };
        let (jid, statement) = world.relay.plant(world.now, account, &keys).expect("an account with room");
        Self::with(jid, keys, Some(statement), rng)
    }

    /// Plays the phone of `account`.
    pub fn phone(world: &mut World, account: &Jid, seed: u8) -> Self {
        let keys = world.relay.lend_phone(account).expect("an account");
        Self::with(account.to_user(), keys, None, Rng::new(&Seed::new([seed; 32])))
    }

    fn with(jid: Jid, keys: PuppetKeys, statement: Option<Bytes>, mut rng: Rng) -> Self {
        let signature = keys.identity.sign(&[&keys.signed.public.serialize()], &rng.bytes());
        let id = SignedPreKeyId::new(keys.signed_id).expect("not 0");
        let signed = SignedPreKey { id, keys: keys.signed.clone(), signature, created: 0 };
        let (sessions, one_time) = (BTreeMap::new(), BTreeMap::new());
        Self { jid, keys, statement, signed, rng, sessions, one_time, next_one_time: 1 }
    }

    /// Encrypts `content` for one device, as an `enc`.
    pub fn enc(&mut self, world: &mut World, to: &Jid, content: &[u8]) -> Node {
        let padded = pad(content, &mut self.rng);
        self.enc_raw(world, to, &padded)
    }

    /// Like [`enc`](Self::enc), for a plaintext that is taken as it is.
    pub fn enc_raw(&mut self, world: &mut World, to: &Jid, plaintext: &[u8]) -> Node {
        let name = name_of(world, to);
        if !self.sessions.contains_key(&name) {
            let bundle = world.relay.hand_out(world.now, to);
            self.begin(world, to, &bundle);
        }
        let (session, _) = self.sessions.get_mut(&name).expect("a session");
        let found = session.encrypt(plaintext, &self.keys.identity.public, &mut self.rng).expect("a ciphertext");
        Node::new("enc").with("v", "2").with("type", found.kind.as_str()).with_bytes(found.bytes)
    }

    /// Starts a session with a device from its keys as the relay hands them out.
    pub fn begin(&mut self, world: &World, to: &Jid, bundle: &Node) {
        let bundle = bundle_in(bundle).verify().expect("an authentic bundle");
        let own = LocalIdentity { keys: &self.keys.identity, registration_id: RegistrationId(self.keys.registration) };
        let session = Session::initiate(own, &bundle, &mut self.rng).expect("a session");
        self.sessions.insert(name_of(world, to), (session, Archive::default()));
    }

    /// Forgets the session with a device, so that the next message starts a new one.
    pub fn forget(&mut self, world: &World, to: &Jid) {
        self.sessions.remove(&name_of(world, to));
    }

    /// The session with a device as it is now.
    #[must_use]
    pub fn session_with(&self, world: &World, to: &Jid) -> Option<(Session, Archive)> {
        self.sessions.get(&name_of(world, to)).cloned()
    }

    /// Goes back to a session as it was: its counters are used once more.
    pub fn go_back_to(&mut self, world: &World, to: &Jid, session: (Session, Archive)) {
        self.sessions.insert(name_of(world, to), session);
    }

    /// A message stanza for `to` (a device) with these ciphertexts.
    pub fn message(&self, to: &Jid, id: &str, encs: impl IntoIterator<Item = Node>) -> Node {
        let list = Node::new("to").with("jid", to.clone()).with_children(encs);
        let node = Node::new("message")
            .with("id", id)
            .with("to", to.to_user())
            .with("type", "text")
            .with_child(Node::new("participants").with_child(list));
        self.with_statement(node)
    }

    /// Sends `content` to one device through the relay.
    pub fn send(&mut self, world: &mut World, to: &Jid, id: &str, content: &[u8]) {
        let enc = self.enc(world, to, content);
        let node = self.message(to, id, [enc]);
        world.relay.submit(world.now, &self.jid, &node);
    }

    /// Sends `content` to an own device as peers tell each other things about the account.
    pub fn send_peer(&mut self, world: &mut World, to: &Jid, id: &str, content: &[u8]) {
        let enc = self.enc(world, to, content);
        let node = Node::new("message").with("id", id).with("to", to.clone()).with("type", "text");
        let node = self.with_statement(node.with("category", "peer").with_child(enc));
        world.relay.submit(world.now, &self.jid, &node);
    }

    /// Asks `to` (a device) to send the message `id` again.
    pub fn ask_again(&mut self, world: &mut World, to: &Jid, id: &str, count: u32, with_keys: bool) {
        let node = self.retry_receipt(to, id, count, with_keys);
        world.relay.submit(world.now, &self.jid, &node);
    }

    /// A request to send the message `id` again.
    pub fn retry_receipt(&mut self, to: &Jid, id: &str, count: u32, with_keys: bool) -> Node {
        let retry = Node::new("retry").with("count", count).with("id", id).with("t", "1790000000").with("v", "1");
        let mut node = Node::new("receipt").with("id", id).with("to", to.clone()).with("type", "retry");
        node = node.with_child(retry);
        node = node.with_child(bytes_in("registration", &self.keys.registration.to_be_bytes()));
        if with_keys {
            let number = self.next_one_time;
            self.next_one_time += 1;
            let one_time = PreKey::generate(PreKeyId::new(number).expect("not 0"), &mut self.rng);
            let public = one_time.public();
            self.one_time.insert(number, one_time);
            let signed = self.signed.public();
            let mut keys = Node::new("keys")
                .with_child(bytes_in("type", &[5]))
                .with_child(bytes_in("identity", self.keys.identity.public.as_bytes()))
                .with_child(
                    Node::new("key")
                        .with_child(bytes_in("id", &public.id.to_bytes()))
                        .with_child(bytes_in("value", public.key.as_bytes())),
                )
                .with_child(
                    Node::new("skey")
                        .with_child(bytes_in("id", &signed.id.to_bytes()))
                        .with_child(bytes_in("value", signed.key.as_bytes()))
                        .with_child(bytes_in("signature", signed.signature.as_bytes())),
                );
            if let Some(statement) = &self.statement {
                keys = keys.with_child(bytes_in("device-identity", statement));
            }
            node = node.with_child(keys);
        }
        node
    }

    /// Takes everything that came, opens what is encrypted, and tells the senders of messages that it has arrived.
    pub fn mail(&mut self, world: &mut World) -> Vec<Mail> {
        let waiting = world.relay.mail_of(&self.jid);
        let mail: Vec<Mail> = waiting
            .into_iter()
            .map(|node| {
                let content = node.jid("from").and_then(|from| {
                    let name = name_of(world, &from);
                    node.children_named("enc").find_map(|enc| self.open(&name, enc))
                });
                Mail { node, content }
            })
            .collect();
        mail
    }

    fn open(&mut self, name: &(String, u16), enc: &Node) -> Option<Bytes> {
        let bytes = enc.bytes()?;
        let own = self.keys.identity.public;
        let limit = JumpLimit::CONTACT;
        let padded = if enc.text("type").as_deref() == Some("pkmsg") {
            let message = PreKeyMessage::parse(&bytes).ok()?;
            let known = self.sessions.get_mut(name).and_then(|(session, archive)| {
                session.decrypt_prekey(Some(archive), &message, &own, limit).ok().map(|opened| opened.plaintext)
            });
            match known {
                Some(plaintext) => plaintext,
                None => {
                    let one_time = match message.prekey_id() {
                        Some(id) => Some(self.one_time.get(&id.number())?),
                        None => None,
                    };
                    let (old, mut archive) = match self.sessions.remove(name) {
                        Some((session, archive)) => (Some(session), archive),
                        None => (None, Archive::default()),
                    };
                    let own = LocalIdentity {
                        keys: &self.keys.identity,
                        registration_id: RegistrationId(self.keys.registration),
                    };
                    let prekeys = OwnPreKeys { signed: &self.signed, one_time };
                    let accepted =
                        Session::accept(old.as_ref(), Some(&mut archive), own, prekeys, &message, limit).ok()?;
                    self.sessions.insert(name.clone(), (accepted.session, archive));
                    accepted.plaintext
                }
            }
        } else {
            let message = SignalMessage::parse(&bytes).ok()?;
            let (session, archive) = self.sessions.get_mut(name)?;
            session.decrypt(Some(archive), &message, &own, limit).ok()?.plaintext
        };
        unpad(&padded).ok().map(Bytes::copy_from_slice)
    }

    fn with_statement(&self, node: Node) -> Node {
        match &self.statement {
            Some(statement) => node.with_child(bytes_in("device-identity", statement)),
            None => node,
        }
    }
}

fn bytes_in(tag: &str, bytes: &[u8]) -> Node {
    Node::new(tag).with_bytes(bytes.to_vec())
}

/// The one name of a device, whichever of its addresses is used.
fn name_of(world: &World, jid: &Jid) -> (String, u16) {
    let user = match jid.server() {
        Server::Lid => world.relay.accounts().into_iter().find(|account| account.lid.same_user(jid)),
        _ => None,
    };
    (user.map_or_else(|| jid.user().to_owned(), |account| account.pn.user().to_owned()), jid.device())
}

/// The bundle in a `user` element.
fn bundle_in(user: &Node) -> PreKeyBundle {
    let signed = user.child("skey").expect("a signed prekey");
    let prekey = user.child("key").map(|key| PublicPreKey {
        id: PreKeyId::from_slice(&bytes_of(key, "id")).expect("an id"),
        key: PublicKey::from_slice(&bytes_of(key, "value")).expect("a key"),
    });
    PreKeyBundle {
        registration_id: RegistrationId::from_slice(&bytes_of(user, "registration")).expect("an id"),
        identity: PublicKey::from_slice(&bytes_of(user, "identity")).expect("a key"),
        signed_prekey: PublicSignedPreKey {
            id: SignedPreKeyId::from_slice(&bytes_of(signed, "id")).expect("an id"),
            key: PublicKey::from_slice(&bytes_of(signed, "value")).expect("a key"),
            signature: Signature::from_slice(&bytes_of(signed, "signature")).expect("a signature"),
        },
        prekey,
    }
}

fn bytes_of(node: &Node, tag: &str) -> Bytes {
    node.child(tag).and_then(Node::bytes).expect("bytes")
}
