//! Any sequence of calls on a client, with a host that may do its duties badly and a server that may say anything.
//!
//! Whatever happens: no panic, `Misuse` only for what breaks the contract, the machine comes to rest, its next deadline
//! lies ahead, nothing comes after `Faulted`, memory stays bounded, and all that it writes can be read.

mod base;
mod says;

use super::script::Script;
use super::server::{Server, twist};
use crate::world::text_content;
use base::{BASE, config, roots};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use whatsio_core::api::{
    ChatState, CloseReason, Commit, CommitError, CommitId, Config, Envelope, Epoch, Event, EventId, Input, Key, LoadId,
    LoadRequest, MessageId, Misuse, Output, Record,
};
use whatsio_core::client::Client;
use whatsio_core::crypto::Rng;
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
}

fn chat(script: &mut Script<'_>) -> Jid {
    match script.below(6) {
        0..=2 => BASE.peer.to_user(),
        3 => BASE.me.to_user(),
        4 => Jid::pn("15550100007"),
        _ => Jid::parse(&String::from_utf8_lossy(script.short())).unwrap_or_else(|_| Jid::status()),
    }
}

const MOST_STEPS: usize = 60;
const MOST_OUTPUTS: usize = 20_000;
const MOST_LIVES: u8 = 4;
