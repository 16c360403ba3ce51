//! Any sequence of calls on a client, with a host that may do its duties badly and a server that may say anything.
//!
//! Whatever happens: no panic, `Misuse` only for what breaks the contract, the machine comes to rest, its next deadline
//! lies ahead, nothing comes after `Faulted`, memory stays bounded, and all that it writes can be read.

use super::script::Script;
use super::server::{Keys, Server, answer, twist};
use crate::puppet::Puppet;
use crate::world::{World, text_content};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::LazyLock;
use whatsio_core::api::{
    ChatState, CloseReason, Commit, CommitError, CommitId, Config, Envelope, Epoch, Event, EventId, Input, Key, LoadId,
    LoadRequest, MessageId, Misuse, Output, ProtocolProfile, Record,
};
use whatsio_core::binary::{Node, Role};
use whatsio_core::client::Client;
use whatsio_core::crypto::{KeyPair, Rng};
use whatsio_core::message::{pad, pad_with};
use whatsio_core::pairing::QrCode;
use whatsio_core::pairing::primary::{DeviceDetails, IssuedIdentity};
use whatsio_core::signal::{Archive, Session};
use whatsio_core::types::{Jid, Now, Seed};

/// A byte that chooses a linked or unlinked account, then what happens.
pub fn run(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let choices = script.byte();
    let mut machine = Machine::new(choices & 1 == 0);
    machine.connect();
    machine.play(&mut script);
}

/// Damaged records under a linked account, then a connection and what happens on it: `choices` is the number of records.
pub fn damaged_store(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let base = &*BASE;
    let mut store = base.store.clone();
    let roots = Client::root_keys();
    for _ in 0..script.below(4) + 1 {
        let choice = usize::from(script.u16());
        // Root records are few; the others are met by their place, prekeys last.
        let key = match choice & 1 {
            0 => roots[(choice >> 1) % roots.len()].clone(),
            _ => base.order[(choice >> 1) % base.order.len()].clone(),
        };
        let genuine = store.get(&key).map(|record| record.0.clone()).unwrap_or_default();
        let damaged = match script.below(4) {
            0 => None,
            1 => Some(script.short().to_vec()),
            _ => Some(script.damaged(&genuine)),
        };
        match damaged {
            Some(damaged) => store.insert(key, Record(damaged.into())),
            None => store.remove(&key),
        };
    }
    let Some(mut machine) = Machine::restored(store) else { return };
    machine.is_genuine = false;
    machine.connect();
    // What touches most records: a message each way.
    machine.peer_says(&text_content("hello"), 0);
    machine.drain();
    let _ = machine.client.send_message(machine.now, &base.peer.to_user(), text_content("hello back"), None);
    machine.drain();
    machine.play(&mut script);
}

struct Base {
    store: BTreeMap<Key, Record>,
    /// Keys of what is stored, those of which there are many last.
    order: Vec<Key>,
    me: Jid,
    lid: Option<Jid>,
    peer: Jid,
    session: (Session, Archive),
    identity: KeyPair,
    statement: Option<Bytes>,
    bundle: Node,
    keys: Keys,
}

/// An account that has talked with a peer, as a small world made it.
static BASE: LazyLock<Base> = LazyLock::new(|| {
    let mut world = World::new(7);
    let a = world.add_linked(None);
    let b = world.add_linked(None);
    let (a_pn, b_pn) = (world.pn(a), world.pn(b));
    let me = world.host(a).client.identity().expect("linked");
    let mut puppet = Puppet::planted(&mut world, &b_pn, 9);
    puppet.send(&mut world, &me.jid, "3EB0AA01", &text_content("one"));
    world.settle();
    world.send(a, &b_pn, "two");
    world.send(b, &a_pn, "three");
    world.settle();
    puppet.mail(&mut world);
    puppet.send(&mut world, &me.jid, "3EB0AA02", &text_content("four"));
    world.settle();
    world.pass_ms(2_000);
    let bundle = world.relay.hand_out(world.now, &puppet.jid);
    let session = puppet.session_with(&world, &me.jid).expect("they have talked");
    let store = world.host(a).store.clone();
    let mut order: Vec<Key> = store.keys().cloned().collect();
    order.sort_by_key(|key| (key.space == whatsio_core::api::Space::PreKey, key.clone()));
    Base {
        store,
        order: order.into_iter().take(64).collect(),
        me: me.jid,
        lid: me.lid,
        peer: puppet.jid.clone(),
        session,
        identity: puppet.keys.identity.clone(),
        statement: puppet.statement.clone(),
        bundle,
        keys: Keys::fixed(),
    }
});

struct Machine {
    client: Client,
    config: Config,
    store: BTreeMap<Key, Record>,
    epoch: Epoch,
    now: Now,
    server: Option<Server>,
    /// `Open` was asked for and is not answered.
    opening: bool,
    connections: u8,
    lives: u8,
    greets: bool,
    commits: VecDeque<Commit>,
    loads: VecDeque<LoadRequest>,
    unhandled: BTreeSet<EventId>,
    faulted: bool,
    /// No script has had its hands on the store.
    is_genuine: bool,
    qr: Option<String>,
    sent: Vec<MessageId>,
    peer: (Session, Archive),
    rng: Rng,
    numbers: u32,
    /// The host answers loads and commits at once.
    store_is_prompt: bool,
    /// The server answers requests at once.
    server_is_prompt: bool,
}

impl Machine {
    fn new(linked: bool) -> Self {
        if linked {
            return Self::restored(BASE.store.clone()).expect("genuine records");
        }
        let client = Client::create(config(), Seed::new([3; 32]));
        Self::with(client, BTreeMap::new())
    }

    fn restored(store: BTreeMap<Key, Record>) -> Option<Self> {
        let client = Client::restore(config(), Seed::new([4; 32]), roots(&store)).ok()?;
        Some(Self::with(client, store))
    }

    fn with(client: Client, store: BTreeMap<Key, Record>) -> Self {
        Self {
            client,
            config: config(),
            store,
            epoch: Epoch::default(),
            now: Now { mono: 5_000, unix: 1_790_000_100_000 },
            server: None,
            opening: false,
            connections: 0,
            lives: 0,
            greets: true,
            commits: VecDeque::new(),
            loads: VecDeque::new(),
            unhandled: BTreeSet::new(),
            faulted: false,
            is_genuine: true,
            qr: None,
            sent: Vec::new(),
            peer: BASE.session.clone(),
            rng: Rng::new(&Seed::new([5; 32])),
            numbers: 0,
            store_is_prompt: true,
            server_is_prompt: true,
        }
    }

    fn connect(&mut self) {
        let _ = self.client.connect(self.now);
        self.drain();
    }

    fn play(&mut self, script: &mut Script<'_>) {
        for _ in 0..MOST_STEPS {
            if script.is_over() {
                return;
            }
            self.step(script);
            self.drain();
            if self.faulted {
                // Nothing counts any more, and nothing comes.
                assert!(self.client.handle(self.now, Input::Opened).is_ok());
                assert_eq!(self.client.connect(self.now), Err(Misuse::Faulted));
                assert!(self.client.poll().is_none() && self.client.next_deadline().is_none(), "it is over");
                if !self.restart() {
                    return;
                }
            }
        }
    }

    fn step(&mut self, script: &mut Script<'_>) {
        match script.below(16) {
            0 | 1 => self.verb(script),
            2 => self.time(script),
            3 => self.duty(script),
            4 => self.misuse(script),
            5 => {
                let choices = script.byte();
                self.store_is_prompt = choices & 1 == 0;
                self.server_is_prompt = choices & 2 == 0;
                self.greets = choices & 4 == 0;
            }
            6 => self.cut(script),
            7 => self.answer_one(script),
            8 | 9 => {
                let content = self.content(script);
                let padding = script.byte();
                self.peer_says(&content, padding);
            }
            10 => {
                let raw = script.piece().to_vec();
                self.say_frame(&raw);
            }
            _ => {
                if let Some(stanza) = self.stanza(script) {
                    let stanza = twist(script, stanza);
                    self.say(&stanza, script);
                }
            }
        }
    }

    // --- the application ---------------------------------------------------------------------------------------------

    fn verb(&mut self, script: &mut Script<'_>) {
        let now = self.now;
        let chat = chat(script);
        let client = &mut self.client;
        let refused = match script.below(14) {
            0 => client.connect(now).err(),
            1 => client.disconnect(now).err(),
            2..=4 => {
                let content =
                    if script.below(3) == 0 { Bytes::copy_from_slice(script.short()) } else { text_content("x") };
                let id = (script.below(3) == 0).then(|| MessageId::new(String::from_utf8_lossy(script.short())));
                match client.send_message(now, &chat, content, id) {
                    Ok((_, id)) => {
                        self.sent.push(id);
                        None
                    }
                    Err(error) => Some(error),
                }
            }
            5 => client.mark_read(now, &chat, &BASE.peer, &[MessageId::new("3EB0AA01")]).err(),
            6 => client.set_presence(now, script.below(2) == 0).err(),
            7 => client.set_push_name(now, &String::from_utf8_lossy(script.short())).err(),
            8 => client.subscribe_presence(now, &chat).err(),
            9 => client.send_chat_state(now, &chat, ChatState::Composing).err(),
            10 => client.log_out(now).err(),
            11 => {
                let custom = (script.below(2) == 0).then(|| String::from_utf8_lossy(script.short()));
                client.request_pair_code(now, "+1 555 010 0003", custom.as_deref()).err()
            }
            12 => client.confirm_code(now).and_then(|()| client.reject_code(now)).err(),
            _ => client.provide_assertion(now, &String::from_utf8_lossy(script.piece())).err(),
        };
        // A verb may be refused for many reasons, but not this one.
        assert!(self.faulted || refused != Some(Misuse::Faulted), "it has not faulted");
    }

    // --- the host ----------------------------------------------------------------------------------------------------

    fn time(&mut self, script: &mut Script<'_>) {
        let ms = match script.below(4) {
            0 => u64::from(script.byte()),
            1 => u64::from(script.u16()),
            2 => u64::from(script.u16()) * 10_000,
            _ => self.client.next_deadline().map_or(0, |at| at.saturating_sub(self.now.mono)),
        };
        self.now = self.now.plus(ms);
        if script.below(8) == 0 {
            // The clock on the wall may jump.
            self.now.unix = self.now.unix.saturating_sub(u64::from(script.u32()));
        }
        assert!(self.client.handle(self.now, Input::Tick).is_ok());
    }

    fn duty(&mut self, script: &mut Script<'_>) {
        match script.below(8) {
            0 => {
                if let Some(commit) = self.commits.pop_front() {
                    self.commit(commit);
                }
            }
            1 => {
                if let Some(commit) = self.commits.pop_front() {
                    let errors = [CommitError::Retry, CommitError::Fenced, CommitError::Fatal];
                    let error = errors[script.below(errors.len())];
                    self.honest(Input::CommitFailed(commit.id, error));
                }
            }
            2 => {
                // In any order.
                let at = script.below(self.loads.len().clamp(1, 256));
                if let Some(load) = self.loads.remove(at) {
                    self.load(&load);
                }
            }
            3 => {
                if let Some(load) = self.loads.pop_front() {
                    self.honest(Input::LoadFailed(load.id));
                }
            }
            4 => {
                if let Some(id) = self.unhandled.pop_first() {
                    self.honest(Input::Handled(id));
                }
            }
            5 => self.client.trim(usize::from(script.u16())),
            6 => self.honest(Input::Entropy(Seed::new([script.byte(); 32]))),
            _ => {
                if self.opening {
                    self.opened();
                }
                let _ = (self.client.health(self.now), self.client.restriction(), self.client.is_settled());
            }
        }
    }

    /// What breaks the contract is refused, and changes nothing.
    fn misuse(&mut self, script: &mut Script<'_>) {
        // Answers to events that are told once are taken and mean nothing; their numbers have the highest bit.
        let number = (u64::MAX >> 1) - u64::from(script.byte());
        let input = match script.below(8) {
            0 => Input::Committed(CommitId(number)),
            1 => Input::CommitFailed(CommitId(number), CommitError::Fatal),
            2 => Input::Loaded(LoadId(number), vec![]),
            3 => Input::LoadFailed(LoadId(number)),
            4 => Input::Handled(EventId(number)),
            5 if !self.opening => Input::Opened,
            6 if !self.opening && self.server.is_none() => Input::Closed(CloseReason::Broken),
            _ => match self.loads.front() {
                Some(load) => Input::Loaded(load.id, vec![None; load.keys.len() + 1]),
                None => return,
            },
        };
        let refused = self.client.handle(self.now, input);
        assert!(refused.is_err(), "the contract is broken, and nobody says so");
    }

    fn cut(&mut self, script: &mut Script<'_>) {
        if script.below(4) == 0 {
            self.restart();
            return;
        }
        if self.opening || self.server.is_some() {
            self.opening = false;
            self.server = None;
            let reasons = [CloseReason::Asked, CloseReason::ByServer, CloseReason::Unreachable, CloseReason::Broken];
            let reason = reasons[script.below(reasons.len())];
            self.honest(Input::Closed(reason));
        }
    }

    /// The process dies; another begins from what is durable.
    fn restart(&mut self) -> bool {
        if self.lives == MOST_LIVES {
            return false;
        }
        self.lives += 1;
        let seed = Seed::new([0x80 | self.lives; 32]);
        // What the client itself has written can be read.
        let Ok(client) = Client::restore(self.config.clone(), seed, roots(&self.store)) else {
            assert!(!self.is_genuine, "its own records cannot be restored");
            return false;
        };
        self.client = client;
        self.faulted = false;
        self.server = None;
        self.opening = false;
        self.commits.clear();
        self.loads.clear();
        self.unhandled.clear();
        self.connect();
        true
    }

    /// Something that a host in its senses says: it is always taken.
    fn honest(&mut self, input: Input) {
        let shown = format!("{input:?}");
        let taken = self.client.handle(self.now, input);
        assert!(taken.is_ok(), "{shown} is refused: {taken:?}");
    }

    fn commit(&mut self, commit: Commit) {
        if commit.epoch < self.epoch {
            return self.honest(Input::CommitFailed(commit.id, CommitError::Fenced));
        }
        self.epoch = commit.epoch;
        for (key, record) in commit.writes {
            match record {
                Some(record) => self.store.insert(key, record),
                None => self.store.remove(&key),
            };
        }
        self.honest(Input::Committed(commit.id));
    }

    fn load(&mut self, load: &LoadRequest) {
        let records = load.keys.iter().map(|key| self.store.get(key).cloned()).collect();
        self.honest(Input::Loaded(load.id, records));
    }

    fn opened(&mut self) {
        self.opening = false;
        self.connections = self.connections.wrapping_add(1);
        self.server = Some(Server::new(&BASE.keys, self.connections));
        self.honest(Input::Opened);
    }

    /// Does what the client asks for until it asks for nothing.
    fn drain(&mut self) {
        self.poll_all();
        if self.faulted {
            return;
        }
        // What is due now is done by one more call, or by a few, each of which brings something about.
        for _ in 0..8 {
            match self.client.next_deadline() {
                Some(at) if at <= self.now.mono => {
                    assert!(self.client.handle(self.now, Input::Tick).is_ok());
                    self.poll_all();
                }
                _ => break,
            }
        }
        let next = self.client.next_deadline();
        assert!(self.faulted || next.is_none_or(|at| at > self.now.mono), "a host that obeys spins");
        // Nothing but what waits for the store may be held beyond the budget; that is little here.
        assert!(self.client.cached_bytes() <= self.config.limits.cache_bytes + (1 << 20), "memory grows");
    }

    fn poll_all(&mut self) {
        for _ in 0..MOST_OUTPUTS {
            let Some(output) = self.client.poll() else { return };
            assert!(!self.faulted, "something comes after the end");
            self.carry_out(output);
        }
        panic!("it does not come to rest");
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Load(load) => {
                let keys: BTreeSet<&Key> = load.keys.iter().collect();
                assert!(keys.len() == load.keys.len(), "a load has distinct keys");
                if self.store_is_prompt { self.load(&load) } else { self.loads.push_back(load) }
            }
            Output::Commit(commit) => {
                assert!(self.commits.is_empty(), "one commit at a time");
                assert!(commit.writes.is_sorted_by(|(left, _), (right, _)| left < right), "each key once, in order");
                assert!(commit.writes.iter().all(|(key, _)| key.id.len() <= 255), "an id no store takes");
                if self.store_is_prompt { self.commit(commit) } else { self.commits.push_back(commit) }
            }
            Output::Open(_) => {
                assert!(!self.opening && self.server.is_none(), "one connection at a time");
                self.opening = true;
                if self.server_is_prompt {
                    self.opened();
                }
            }
            Output::Frame(bytes) => self.written(bytes),
            Output::Close => {
                assert!(self.opening || self.server.is_some(), "there is nothing to close");
                (self.opening, self.server) = (false, None);
                self.honest(Input::Closed(CloseReason::Asked));
            }
            Output::Event(envelope) => self.told(envelope),
            _ => {}
        }
    }

    fn told(&mut self, envelope: Envelope) {
        assert!(!format!("{:?}", envelope.event).is_empty());
        if envelope.durable {
            assert!(self.unhandled.insert(envelope.id), "an event comes twice in one life");
        }
        match envelope.event {
            Event::Faulted(_) => self.faulted = true,
            Event::QrShown { text, .. } => self.qr = Some(text),
            _ => {}
        }
    }

    // --- the server --------------------------------------------------------------------------------------------------

    fn written(&mut self, bytes: Bytes) {
        let Some(server) = &mut self.server else { panic!("a frame without a connection") };
        let was_open = server.is_open();
        let replies = server.hear(bytes);
        let is_new = !was_open && server.is_open();
        for reply in replies {
            self.honest(Input::Frame(reply));
        }
        if is_new && self.greets {
            let greeting = self.greeting();
            self.say_plainly(&greeting);
        }
        if self.server_is_prompt {
            while let Some(request) = self.server.as_mut().and_then(Server::next_request) {
                let reply = answer(&request, &BASE.bundle, &[0, BASE.peer.device()]);
                self.say_plainly(&reply);
            }
        }
    }

    fn greeting(&mut self) -> Node {
        if self.client.identity().is_some() {
            return Node::new("success").with("t", "1790000100").with_some("lid", BASE.lid.clone());
        }
        let references = (0..6).map(|number| Node::new("ref").with_bytes(format!("2@reference{number}").into_bytes()));
        self.server_request("md").with_child(Node::new("pair-device").with_children(references))
    }

    fn server_request(&mut self, xmlns: &str) -> Node {
        let id = self.number();
        Node::new("iq").with("from", Jid::server_itself()).with("type", "set").with("id", id).with("xmlns", xmlns)
    }

    fn number(&mut self) -> String {
        self.numbers += 1;
        self.numbers.to_string()
    }

    fn say_plainly(&mut self, stanza: &Node) {
        let frame = stanza.encode(Role::Server).expect("ours");
        self.say_frame(&frame);
    }

    fn say(&mut self, stanza: &Node, script: &mut Script<'_>) {
        let Ok(frame) = stanza.encode(Role::Server) else { return };
        let frame = if script.below(8) == 0 { script.damaged(&frame) } else { frame };
        self.say_frame(&frame);
    }

    fn say_frame(&mut self, frame: &[u8]) {
        if let Some(bytes) = self.server.as_mut().and_then(|server| server.say(frame)) {
            self.honest(Input::Frame(bytes));
        }
    }

    fn answer_one(&mut self, script: &mut Script<'_>) {
        let Some(request) = self.server.as_mut().and_then(|server| server.any_request(script)) else { return };
        let devices: Vec<u16> = script.short().iter().map(|byte| u16::from(*byte)).collect();
        let mut reply = answer(&request, &BASE.bundle, &devices);
        if script.below(4) == 0 {
            let code = [400, 401, 403, 404, 406, 429, 463, 500, 503][script.below(9)];
            reply.attrs.retain(|(key, _)| key != "type");
            let error = Node::new("error").with("code", code as u32).with("text", "no");
            reply = reply.with("type", "error").with_children([error]);
        }
        let reply = twist(script, reply);
        self.say(&reply, script);
    }

    /// Content that a peer may encrypt: sensible, or not.
    fn content(&mut self, script: &mut Script<'_>) -> Bytes {
        match script.below(4) {
            0 => text_content("hello"),
            1 => Bytes::copy_from_slice(script.piece()),
            2 => {
                // A protocol message of any kind.
                let mut inner = Vec::new();
                whatsio_proto::fields::put_uint(&mut inner, 2, script.byte().into());
                inner.extend_from_slice(script.short());
                let mut content = Vec::new();
                whatsio_proto::fields::put_bytes(&mut content, 12, &inner);
                content.into()
            }
            _ => {
                let mut inner = Vec::new();
                whatsio_proto::fields::put_bytes(&mut inner, 1, script.short());
                whatsio_proto::fields::put_bytes(&mut inner, 2, &text_content("copy"));
                let mut content = Vec::new();
                whatsio_proto::fields::put_bytes(&mut content, 31, &inner);
                content.into()
            }
        }
    }

    /// A message of the peer, rightly encrypted.
    fn peer_says(&mut self, content: &[u8], padding: u8) {
        let message = self.peer_message(content, padding);
        self.say_plainly(&message);
    }

    fn peer_message(&mut self, content: &[u8], padding: u8) -> Node {
        let padded = match padding {
            0..=99 => pad(content, &mut self.rng),
            count => pad_with(content, count & 0x0F),
        };
        let (session, _) = &mut self.peer;
        let sealed = session.encrypt(&padded, &BASE.identity.public, &mut self.rng).expect("a session");
        let id = format!("3EB0BB{}", self.number());
        let enc = Node::new("enc").with("v", "2").with("type", sealed.kind.as_str()).with_bytes(sealed.bytes);
        let message = Node::new("message")
            .with("id", id)
            .with("from", BASE.peer.clone())
            .with("type", "text")
            .with("t", "1790000100")
            .with_child(enc);
        match &BASE.statement {
            Some(statement) => message.with_child(Node::new("device-identity").with_bytes(statement.clone())),
            None => message,
        }
    }

    /// A stanza as servers say them.
    fn stanza(&mut self, script: &mut Script<'_>) -> Option<Node> {
        let base = &*BASE;
        let (me, peer) = (&base.me, &base.peer);
        let heard = self.server.as_ref().and_then(|server| server.heard.back().cloned());
        let heard_id = heard.as_ref().and_then(|node| node.text("id")).map(std::borrow::Cow::into_owned);
        let last_sent = self.sent.last().map(|id| id.as_str().to_owned()).or_else(|| heard_id.clone());
        let sent = last_sent.unwrap_or_default();
        let number = self.number();
        Some(match script.below(20) {
            0 => {
                let content = self.content(script);
                self.peer_message(&content, 0)
            }
            1 => {
                let heard = heard?;
                let from = heard.attr("to").cloned().unwrap_or_else(|| peer.into());
                let ack = Node::new("ack").with("id", heard_id?).with("from", from).with("class", heard.tag.as_str());
                ack.with("t", "1790000100")
            }
            2 => {
                let error = ["401", "405", "406", "420", "421", "429", "463", "475", "479", "500"][script.below(10)];
                Node::new("ack")
                    .with("id", heard_id?)
                    .with("from", peer.to_user())
                    .with("class", "message")
                    .with("error", error)
            }
            3 => Node::new("receipt").with("id", sent).with("from", peer.clone()).with("t", "1790000100"),
            4 => {
                let kind =
                    ["read", "played", "sender", "inactive", "read-self", "server-error", "peer_msg"][script.below(7)];
                let list = Node::new("list").with_child(Node::new("item").with("id", "3EB0AA02"));
                Node::new("receipt").with("id", sent).with("from", peer.clone()).with("type", kind).with_child(list)
            }
            5 | 6 => {
                let retry = Node::new("retry")
                    .with("count", u32::from(script.byte()))
                    .with("id", sent.as_str())
                    .with("t", "1790000000")
                    .with("v", "1");
                let mut node = Node::new("receipt").with("id", sent).with("from", peer.clone()).with("type", "retry");
                node = node.with_child(retry).with_child(Node::new("registration").with_bytes(vec![
                    0,
                    0,
                    0,
                    script.byte(),
                ]));
                if script.below(2) == 0 {
                    let keys = base.bundle.children().iter().filter(|child| child.tag != "registration").cloned();
                    node = node.with_child(Node::new("keys").with_children(keys));
                }
                node
            }
            7 => {
                let tag = ["add", "remove", "update"][script.below(3)];
                let device = Node::new("device").with("jid", peer.clone()).with("key-index", "1");
                let list = Node::new(tag).with("device_hash", "2:abcdef").with_child(device);
                notification(&number, &peer.to_user(), "devices").with_child(list)
            }
            8 => {
                let inner = match script.below(3) {
                    0 => Node::new("count").with("value", u32::from(script.byte())),
                    1 => Node::new("digest"),
                    _ => {
                        return Some(
                            notification(&number, &peer.to_user(), "encrypt").with_child(Node::new("identity")),
                        );
                    }
                };
                notification(&number, &Jid::server_itself(), "encrypt").with_child(inner)
            }
            9 => {
                let device = Node::new("device").with("jid", me.clone()).with("key-index", "1");
                let list = Node::new("devices").with("dhash", "2:abcdef").with_child(device);
                notification(&number, &me.to_user(), "account_sync").with_child(list)
            }
            10 => {
                let modify = Node::new("modify").with("old", peer.to_user()).with("new", Jid::pn("15550100009"));
                notification(&number, &peer.to_user(), "contacts").with_child(modify)
            }
            11 => {
                let token = Node::new("token").with("type", "trusted_contact").with("t", "1790000000");
                let token = token.with_bytes(script.short().to_vec());
                notification(&number, &peer.to_user(), "privacy_token")
                    .with_child(Node::new("tokens").with_child(token))
            }
            12 => {
                let kinds = ["server_sync", "mem", "mediaretry", "status", "picture", "w:gp2", "business", "psa"];
                notification(&number, &Jid::server_itself(), kinds[script.below(kinds.len())])
                    .with_child(Node::new("collection").with("name", "regular").with("version", "3"))
            }
            13 => {
                let inner = match script.below(6) {
                    0 => Node::new("offline").with("count", u32::from(script.byte())),
                    1 => Node::new("offline_preview").with("count", "5").with("message", "3"),
                    2 => Node::new("dirty").with("type", "account_sync").with("timestamp", "1790000000"),
                    3 => Node::new("edge_routing")
                        .with_child(Node::new("routing_info").with_bytes(script.short().to_vec())),
                    4 => Node::new("client_expiration").with("t", "1790100000"),
                    _ => Node::new("downgrade_webclient"),
                };
                Node::new("ib").with("from", Jid::server_itself()).with_child(inner)
            }
            14 => {
                let code = ["401", "403", "405", "409", "500", "503", "515", "516"][script.below(8)];
                match script.below(4) {
                    0 => Node::new("xmlstreamend"),
                    1 => Node::new("failure").with("reason", code),
                    2 => Node::new("stream:error").with_child(Node::new("conflict").with("type", "replaced")),
                    _ => Node::new("stream:error").with("code", code),
                }
            }
            15 => match script.below(4) {
                0 => {
                    Node::new("presence").with("from", peer.to_user()).with("type", "unavailable").with("last", "deny")
                }
                1 => Node::new("chatstate").with("from", peer.clone()).with_child(Node::new("composing")),
                2 => Node::new("call")
                    .with("from", peer.clone())
                    .with("id", number.as_str())
                    .with("t", "1790000000")
                    .with_child(Node::new("offer").with("call-id", number).with("call-creator", peer.clone())),
                _ => Node::new("status").with("from", peer.to_user()).with("id", number),
            },
            16 => self.server_request("urn:xmpp:ping").with_child(Node::new("ping")),
            17 => self.greeting(),
            18 => self.pair_success(script)?,
            _ => {
                let sort = [
                    "link_code_companion_reg",
                    "passkey_prologue_request",
                    "crsc_continuation",
                    "companion_reg_refresh",
                ];
                let sort = sort[script.below(sort.len())];
                let inner = Node::new(sort).with("stage", "primary_hello").with_bytes(script.piece().to_vec());
                notification(&number, &Jid::server_itself(), sort).with_child(inner)
            }
        })
    }

    /// The phone has scanned the newest code.
    fn pair_success(&mut self, script: &mut Script<'_>) -> Option<Node> {
        let code = QrCode::parse(self.qr.as_deref()?).expect("a code that is shown is read");
        let account = KeyPair::from_private([0x31; 32]);
        let details =
            DeviceDetails { raw_id: 1, timestamp: 1_790_000_000, key_index: 1, account_type: None, device_type: None };
        let issued = IssuedIdentity::issue(&account, &details, &code.identity, &[7; 64]);
        let container = script.damaged(&issued.container(&code.adv_secret, None));
        let success = Node::new("pair-success")
            .with_child(Node::new("device-identity").with_bytes(container))
            .with_child(Node::new("device").with("jid", BASE.me.clone()).with_some("lid", BASE.lid.clone()))
            .with_child(Node::new("platform").with("name", "android"));
        Some(self.server_request("md").with_child(success))
    }
}

fn notification(id: &str, from: &Jid, kind: &str) -> Node {
    Node::new("notification").with("id", id).with("from", from.clone()).with("type", kind).with("t", "1790000100")
}

fn chat(script: &mut Script<'_>) -> Jid {
    match script.below(6) {
        0..=2 => BASE.peer.to_user(),
        3 => BASE.me.to_user(),
        4 => Jid::pn("15550100007"),
        _ => Jid::parse(&String::from_utf8_lossy(script.short())).unwrap_or_else(|_| Jid::status()),
    }
}

fn roots(store: &BTreeMap<Key, Record>) -> Vec<(Key, Option<Record>)> {
    Client::root_keys().into_iter().map(|key| (key.clone(), store.get(&key).cloned())).collect()
}

fn config() -> Config {
    let mut profile = ProtocolProfile::default();
    profile.root_key = BASE.keys.root_key();
    let mut config = Config::default();
    config.profile = profile;
    // Small, so that limits are met.
    config.limits.cache_bytes = 64 << 10;
    config.limits.inbox_events = 8;
    config.limits.outbox_pending = 4;
    config.limits.outbox_kept = 4;
    config.limits.outbox_remembered = 8;
    config.limits.stanzas_waiting = 4;
    config.limits.message_bytes = 1 << 10;
    config
}

const MOST_STEPS: usize = 60;
const MOST_OUTPUTS: usize = 20_000;
const MOST_LIVES: u8 = 4;
