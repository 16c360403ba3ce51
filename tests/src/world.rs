//! A relay and any number of clients, joined by links without latency, on virtual time.
//!
//! Every client has a host that does its five duties in the plainest way: a map as the store, events answered at once
//! unless told otherwise. A host can crash at any moment: what its store had committed is all that is left.

use crate::recording;
use bytes::Bytes;
use prost::Message;
use std::collections::{BTreeMap, VecDeque};
use whatsio_core::api::{
    CloseReason, Commit, CommitError, Config, Envelope, Epoch, Event, Input, Key, LoadRequest, MessageId, Output,
    ProtocolProfile, Record,
};
use whatsio_core::client::Client;
use whatsio_core::message::{Text, text_of};
use whatsio_core::relay::{LinkId, Relay, RelayConfig, RelayEvent, RelayInput, RelayOutput};
use whatsio_core::types::{Jid, Now, Seed};

/// Stores take no longer ids.
const MAX_ID_BYTES: usize = 255;

/// Names a client of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(pub usize);

/// How a host treats its client.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manners {
    /// Commits are left unanswered while this is set.
    pub hold_commits: bool,
    /// Loads are left unanswered while this is set.
    pub hold_loads: bool,
    /// Events are left unhandled while this is set.
    pub ignore_events: bool,
    /// After so many commits, the next is refused like this, once.
    pub refuse_commit: Option<(usize, CommitError)>,
    /// After so many loads, the next fails, once.
    pub refuse_load: Option<usize>,
    /// The network keeps what comes for the client and from it.
    pub hold_frames: bool,
    /// How far the host's clock is ahead of the true time, in milliseconds. It may jump at any moment.
    pub skew_ms: i64,
}

impl Manners {
    /// What the store does with the next commit.
    const fn verdict(&mut self) -> Result<(), CommitError> {
        match self.refuse_commit {
            Some((0, error)) => {
                self.refuse_commit = None;
                Err(error)
            }
            Some((left, error)) => {
                self.refuse_commit = Some((left - 1, error));
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Whether the store gives what the next load asks for.
    const fn loads(&mut self) -> bool {
        let left = self.refuse_load;
        self.refuse_load = match left {
            Some(left) => left.checked_sub(1),
            None => None,
        };
        !matches!(left, Some(0))
    }
}

/// Where a connection breaks: in the middle of the bytes that go one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Break {
    /// From the client to the server, or the other way.
    pub is_up: bool,
    /// Frames that get through before.
    pub frames: usize,
    /// Bytes of the next that still get through.
    pub bytes: usize,
}

/// One client with its host.
pub struct Host {
    /// The client.
    pub client: Client,
    /// What is durable.
    pub store: BTreeMap<Key, Record>,
    /// Everything the application was told, in order.
    pub events: Vec<Envelope>,
    /// How the host behaves.
    pub manners: Manners,
    /// How often records were asked for.
    pub loads: usize,
    /// When a connection was asked for.
    pub opens: Vec<u64>,
    /// Bytes written to the socket, for searching them.
    pub written: Vec<Bytes>,
    /// Frames that the client has taken.
    pub taken: usize,
    /// What the network holds for the client: it does not want more, or the network is slow.
    pub inbound: VecDeque<Bytes>,
    /// What a slow network holds for the server.
    pub outbound: VecDeque<Bytes>,
    /// Where the next connection, or this one, breaks in the middle of its bytes.
    pub breaks: Option<Break>,
    /// Length of the frame in which the connection broke.
    pub broken_frame: Option<usize>,
    epoch: Epoch,
    link: Option<LinkId>,
    held: VecDeque<Commit>,
    held_loads: Vec<LoadRequest>,
    config: Config,
    lives: u16,
    /// What happened to the client in all its lives, as far as it was fetched; empty unless the world records.
    pub recorded: Vec<u8>,
}

/// Everything there is.
pub struct World {
    /// The server.
    pub relay: Relay,
    /// The clients.
    pub hosts: Vec<Host>,
    /// The time.
    pub now: Now,
    links: BTreeMap<LinkId, Name>,
    next_link: u64,
    /// Everything the relay told about itself, in order.
    pub told: Vec<RelayEvent>,
    /// Links that cannot be made while this is set.
    pub unreachable: bool,
    /// Clients made from now on are recorded.
    pub record: bool,
}

impl World {
    /// A world with a relay and nobody else.
    #[must_use]
    pub fn new(seed: u8) -> Self {
        Self::with_relay(seed, RelayConfig::default())
    }

    /// A world with a relay that has its own limits, and nobody else.
    #[must_use]
    pub fn with_relay(seed: u8, config: RelayConfig) -> Self {
        let now = Now { mono: 1_000, unix: 1_790_000_000_000 };
        let relay = Relay::new(config, Seed::new([seed; 32]), now);
        Self {
            relay,
            hosts: Vec::new(),
            now,
            links: BTreeMap::new(),
            next_link: 1,
            unreachable: false,
            told: Vec::new(),
            record: recording::is_always_on(),
        }
    }

    /// Adds a client that has never been linked.
    pub fn add(&mut self) -> Name {
        let mut profile = ProtocolProfile::default();
        profile.root_key = self.relay.root_key();
        let mut config = Config::default();
        config.profile = profile;
        self.add_with(config)
    }

    /// Adds a client with its own limits; `config` must trust the relay's root key.
    pub fn add_with(&mut self, config: Config) -> Name {
        let name = Name(self.hosts.len());
        let client = if self.record {
            Client::create_recorded(config.clone(), seed_of(name, 0), usize::MAX)
        } else {
            Client::create(config.clone(), seed_of(name, 0))
        };
        self.hosts.push(Host {
            client,
            store: BTreeMap::new(),
            events: Vec::new(),
            manners: Manners::default(),
            loads: 0,
            opens: Vec::new(),
            written: Vec::new(),
            taken: 0,
            inbound: VecDeque::new(),
            outbound: VecDeque::new(),
            breaks: None,
            broken_frame: None,
            epoch: Epoch::default(),
            link: None,
            held: VecDeque::new(),
            held_loads: Vec::new(),
            config,
            lives: 0,
            recorded: Vec::new(),
        });
        name
    }

    /// Adds a client and links it by QR: to a new account, or as one more companion of `account` (its number).
    pub fn add_linked(&mut self, account: Option<&str>) -> Name {
        let name = self.add();
        self.link(name, account);
        name
    }

    /// Links a client by QR and waits until messages flow.
    pub fn link(&mut self, name: Name, account: Option<&str>) {
        let now = self.clock(name);
        self.host(name).client.connect(now).unwrap();
        self.settle();
        let text = self
            .event(name, |event| match event {
                Event::QrShown { text, .. } => Some(text.clone()),
                _ => None,
            })
            .unwrap_or_else(|| panic!("no code is shown, but {:?}", self.hosts[name.0].events));
        self.relay.scan_qr(self.now, account, &text).expect("the phone accepts the code");
        self.settle();
        self.pass_until(60_000, |world| world.hosts[name.0].client.is_connected());
    }

    /// The client's host.
    pub fn host(&mut self, name: Name) -> &mut Host {
        &mut self.hosts[name.0]
    }

    /// The time as the client's host has it.
    #[must_use]
    pub fn clock(&self, name: Name) -> Now {
        let skew = self.hosts[name.0].manners.skew_ms;
        Now { mono: self.now.mono, unix: self.now.unix.saturating_add_signed(skew) }
    }

    /// The client's own address by phone number, without device.
    #[must_use]
    pub fn pn(&self, name: Name) -> Jid {
        self.hosts[name.0].client.identity().expect("linked").jid.to_user()
    }

    /// The account's number, as the relay names accounts.
    #[must_use]
    pub fn number(&self, name: Name) -> String {
        self.pn(name).user().to_owned()
    }

    /// Accepts a text for `chat`.
    pub fn send(&mut self, from: Name, chat: &Jid, text: &str) -> MessageId {
        let now = self.clock(from);
        let content = text_content(text);
        self.host(from).client.send_message(now, chat, content, None).expect("accepted").1
    }

    /// The first event that `pick` takes something from.
    pub fn event<T>(&self, name: Name, pick: impl Fn(&Event) -> Option<T>) -> Option<T> {
        self.hosts[name.0].events.iter().find_map(|envelope| pick(&envelope.event))
    }

    /// Texts received, in order, with the ids of their events.
    #[must_use]
    pub fn texts(&self, name: Name) -> Vec<String> {
        let texts = self.hosts[name.0].events.iter().filter_map(|envelope| match &envelope.event {
            Event::MessageReceived(message) => text_in(&message.content),
            _ => None,
        });
        texts.collect()
    }

    /// Moves bytes until nothing moves any more, without time passing.
    pub fn settle(&mut self) {
        for _ in 0..1_000_000 {
            if !self.step() {
                return;
            }
        }
        panic!("the world does not come to rest");
    }

    /// Moves bytes until the client's host has carried out `outputs` outputs, and gives the one that it has not carried
    /// out. `None` if everything came to rest before.
    pub fn settle_until(&mut self, name: Name, mut outputs: usize) -> Option<Output> {
        self.move_until(name, &mut outputs, |_| true)
    }

    /// Like [`settle_until`](Self::settle_until), but lets up to `limit_ms` pass as well, and counts only outputs that
    /// `counts` picks. `None` if the host did not have so many of them in this time.
    pub fn pass_until_output(
        &mut self,
        name: Name,
        mut outputs: usize,
        limit_ms: u64,
        counts: fn(&Output) -> bool,
    ) -> Option<Output> {
        let end = self.now.mono + limit_ms;
        loop {
            if let Some(output) = self.move_until(name, &mut outputs, counts) {
                return Some(output);
            }
            if self.now.mono >= end {
                return None;
            }
            self.tick(end - self.now.mono);
        }
    }

    fn move_until(&mut self, name: Name, outputs: &mut usize, counts: fn(&Output) -> bool) -> Option<Output> {
        loop {
            let mut moved = false;
            for index in 0..self.hosts.len() {
                while let Some(output) = self.hosts[index].client.poll() {
                    moved = true;
                    if index == name.0 && counts(&output) {
                        if *outputs == 0 {
                            return Some(output);
                        }
                        *outputs -= 1;
                    }
                    self.carry_out(Name(index), output);
                }
                moved |= self.read(Name(index));
            }
            while let Some(output) = self.relay.poll() {
                moved = true;
                self.deliver(output);
            }
            if !moved {
                return None;
            }
        }
    }

    /// Lets time pass to the next deadline of anybody, at most by `limit_ms`; then moves bytes.
    pub fn pass(&mut self, limit_ms: u64) {
        self.tick(limit_ms);
        self.settle();
    }

    /// Lets time pass without moving bytes.
    fn tick(&mut self, limit_ms: u64) {
        for host in &self.hosts {
            let overdue = host.client.next_deadline().is_some_and(|at| at < self.now.mono);
            assert!(!overdue, "a deadline that lies in the past makes a host spin");
        }
        let deadlines = self.hosts.iter().filter_map(|host| host.client.next_deadline());
        let next = deadlines.chain(self.relay.next_deadline()).min();
        let end = self.now.mono + limit_ms;
        let until = next.map_or(end, |next| next.clamp(self.now.mono + 1, end));
        self.now = self.now.plus(until - self.now.mono);
        for index in 0..self.hosts.len() {
            let now = self.clock(Name(index));
            let _ = self.hosts[index].client.handle(now, Input::Tick);
        }
        self.relay.handle(self.now, RelayInput::Tick);
    }

    /// Lets time pass until `done`, and fails when that takes more than `limit_ms`.
    pub fn pass_until(&mut self, limit_ms: u64, done: impl Fn(&Self) -> bool) {
        let end = self.now.mono + limit_ms;
        self.settle();
        while !done(self) {
            assert!(self.now.mono < end, "nothing happened for {limit_ms} ms");
            self.pass(end - self.now.mono);
        }
    }

    /// Lets this much time pass.
    pub fn pass_ms(&mut self, ms: u64) {
        let end = self.now.mono + ms;
        while self.now.mono < end {
            self.pass(end - self.now.mono);
        }
    }

    /// Cuts the client's connection without a word.
    pub fn cut(&mut self, name: Name) {
        if let Some(link) = self.hosts[name.0].link.take() {
            self.links.remove(&link);
            self.relay.handle(self.now, RelayInput::Closed(link));
            let now = self.clock(name);
            self.host(name).inbound.clear();
            self.host(name).outbound.clear();
            self.host(name).client.handle(now, Input::Closed(CloseReason::Broken)).unwrap();
        }
    }

    /// Kills the client's process and starts it again from what its store has.
    pub fn crash(&mut self, name: Name) {
        let roots = self.hosts[name.0].store.clone();
        self.crash_with(name, &roots);
    }

    /// Like [`crash`](Self::crash), but the new process read its root records when the store was in the state `roots`.
    pub fn crash_with(&mut self, name: Name, roots: &BTreeMap<Key, Record>) {
        if let Some(link) = self.hosts[name.0].link.take() {
            self.links.remove(&link);
            self.relay.handle(self.now, RelayInput::Closed(link));
        }
        let host = &mut self.hosts[name.0];
        host.recorded.extend_from_slice(&host.client.take_recorded());
        host.lives += 1;
        host.inbound.clear();
        host.held.clear();
        host.held_loads.clear();
        let records = Client::root_keys().into_iter().map(|key| (key.clone(), roots.get(&key).cloned())).collect();
        let (config, seed) = (host.config.clone(), seed_of(name, host.lives));
        host.client = if self.record {
            Client::restore_recorded(config, seed, records, usize::MAX).expect("roots decode")
        } else {
            Client::restore(config, seed, records).expect("roots decode")
        };
        // A fresh process knows no monotonic time of the old one, but virtual time has one origin for all.
        let now = self.clock(name);
        let _ = self.host(name).client.handle(now, Input::Tick);
    }

    /// Starts a restored client.
    pub fn connect(&mut self, name: Name) {
        let now = self.clock(name);
        self.host(name).client.connect(now).unwrap();
        self.settle();
    }

    /// Stops a client, as its user would.
    pub fn disconnect(&mut self, name: Name) {
        let now = self.clock(name);
        self.host(name).client.disconnect(now).unwrap();
        self.settle();
    }

    /// Answers the commits that a host held back.
    pub fn answer_commits(&mut self, name: Name, result: Result<(), CommitError>) {
        let now = self.clock(name);
        let host = &mut self.hosts[name.0];
        while let Some(commit) = host.held.pop_front() {
            host.answer(now, commit, result);
        }
    }

    /// Answers the loads that a host held back.
    pub fn answer_loads(&mut self, name: Name) {
        for request in std::mem::take(&mut self.hosts[name.0].held_loads) {
            self.carry_out(name, Output::Load(request));
        }
    }

    /// Answers the oldest commit that a host held back.
    pub fn answer_one_commit(&mut self, name: Name) {
        let now = self.clock(name);
        let host = &mut self.hosts[name.0];
        if let Some(commit) = host.held.pop_front() {
            host.answer(now, commit, Ok(()));
        }
    }

    /// Commits that a host holds back.
    #[must_use]
    pub fn held_commits(&self, name: Name) -> usize {
        self.hosts[name.0].held.len()
    }

    fn step(&mut self) -> bool {
        self.step_except(&[])
    }

    fn step_except(&mut self, resting: &[Name]) -> bool {
        let mut moved = false;
        for index in (0..self.hosts.len()).filter(|index| !resting.contains(&Name(*index))) {
            while let Some(output) = self.hosts[index].client.poll() {
                moved = true;
                self.carry_out(Name(index), output);
            }
            moved |= self.read(Name(index));
        }
        while let Some(output) = self.relay.poll() {
            moved = true;
            self.deliver(output);
        }
        moved
    }

    /// Does what the client asks of its host.
    pub fn carry_out(&mut self, name: Name, output: Output) {
        let now = self.clock(name);
        let host = &mut self.hosts[name.0];
        if matches!(output, Output::Open(_)) {
            host.opens.push(now.mono);
        }
        match output {
            Output::Load(request) if host.manners.hold_loads => host.held_loads.push(request),
            Output::Load(request) if !host.manners.loads() => {
                host.client.handle(now, Input::LoadFailed(request.id)).unwrap();
            }
            Output::Load(request) => {
                host.loads += 1;
                let records = request.keys.iter().map(|key| host.store.get(key).cloned()).collect();
                host.client.handle(now, Input::Loaded(request.id, records)).unwrap();
            }
            Output::Commit(commit) if host.manners.hold_commits => host.held.push_back(commit),
            Output::Commit(commit) => {
                let verdict = host.manners.verdict();
                host.answer(now, commit, verdict);
            }
            Output::Open(_) if self.unreachable => {
                host.client.handle(now, Input::Closed(CloseReason::Unreachable)).unwrap();
            }
            Output::Open(_) => {
                let link = LinkId(self.next_link);
                self.next_link += 1;
                host.link = Some(link);
                self.links.insert(link, name);
                self.relay.handle(self.now, RelayInput::Opened(link));
                host.client.handle(now, Input::Opened).unwrap();
            }
            Output::Frame(bytes) => {
                host.written.push(bytes.clone());
                if host.manners.hold_frames {
                    return host.outbound.push_back(bytes);
                }
                let (bytes, is_broken) = host.cut_off(bytes, true);
                if let Some(link) = host.link {
                    self.relay.handle(self.now, RelayInput::Bytes(link, bytes));
                }
                if is_broken {
                    self.cut(name);
                }
            }
            Output::Close => {
                if let Some(link) = host.link.take() {
                    self.links.remove(&link);
                    self.relay.handle(self.now, RelayInput::Closed(link));
                    host.inbound.clear();
                    host.client.handle(now, Input::Closed(CloseReason::Asked)).unwrap();
                }
            }
            Output::Event(envelope) => {
                let (id, durable) = (envelope.id, envelope.durable);
                host.events.push(envelope);
                if durable && !host.manners.ignore_events {
                    host.client.handle(now, Input::Handled(id)).unwrap();
                }
            }
            _ => panic!("an output that this world does not know"),
        }
    }

    /// Frames that the network holds for a client that does not want them yet.
    #[must_use]
    pub fn unread(&self, name: Name) -> usize {
        self.hosts[name.0].inbound.len()
    }

    /// Gives the client the next that the network holds, if it wants more.
    fn read(&mut self, name: Name) -> bool {
        let now = self.clock(name);
        let host = &mut self.hosts[name.0];
        if host.manners.hold_frames || !host.client.wants_frames() {
            return false;
        }
        let Some(frame) = host.inbound.pop_front() else { return false };
        host.taken += 1;
        host.client.handle(now, Input::Frame(frame)).unwrap();
        true
    }

    /// What the server said before the end of a connection arrives before it.
    fn hand_over(&mut self, name: Name) {
        let now = self.clock(name);
        for frame in std::mem::take(&mut self.hosts[name.0].inbound) {
            let _ = self.hosts[name.0].client.handle(now, Input::Frame(frame));
        }
    }

    /// The network lets go of what it held.
    pub fn let_go(&mut self, name: Name) {
        self.hosts[name.0].manners.hold_frames = false;
        self.let_go_up(name);
        self.settle();
    }

    /// The network lets go of what it held for the server.
    pub fn let_go_up(&mut self, name: Name) {
        for bytes in std::mem::take(&mut self.hosts[name.0].outbound) {
            if let Some(link) = self.hosts[name.0].link {
                self.relay.handle(self.now, RelayInput::Bytes(link, bytes));
                while let Some(output) = self.relay.poll() {
                    self.deliver(output);
                }
            }
        }
    }

    /// One process takes what came for it and carries out one output; everybody but `others` comes to rest. False if it
    /// had nothing to do.
    pub fn turn(&mut self, name: Name, others: &[Name]) -> bool {
        while self.read(name) {}
        let output = self.hosts[name.0].client.poll();
        let did = output.is_some();
        output.into_iter().for_each(|output| self.carry_out(name, output));
        while self.step_except(others) {}
        did
    }

    fn deliver(&mut self, output: RelayOutput) {
        match output {
            RelayOutput::Bytes(link, bytes) => {
                if let Some(name) = self.links.get(&link).copied() {
                    let host = &mut self.hosts[name.0];
                    let (bytes, is_broken) = host.cut_off(bytes, false);
                    host.inbound.push_back(bytes);
                    if is_broken {
                        self.hand_over(name);
                        self.cut(name);
                    }
                }
            }
            RelayOutput::Close(link) => {
                if let Some(name) = self.links.remove(&link) {
                    let now = self.clock(name);
                    self.hand_over(name);
                    self.hosts[name.0].outbound.clear();
                    self.hosts[name.0].link = None;
                    self.hosts[name.0].client.handle(now, Input::Closed(CloseReason::ByServer)).unwrap();
                    self.relay.handle(self.now, RelayInput::Closed(link));
                }
            }
            RelayOutput::Event(event) => self.told.push(event),
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if self.record && !std::thread::panicking() {
            recording::replay_all(self);
        }
    }
}

impl Host {
    /// The greatest epoch that the store has accepted.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Makes the store know of a commit with `epoch`, as if another process had made it.
    pub fn see_epoch(&mut self, epoch: Epoch) {
        self.epoch = self.epoch.max(epoch);
    }

    /// The part of a frame that gets through, and whether the connection breaks behind it.
    fn cut_off(&mut self, mut bytes: Bytes, is_up: bool) -> (Bytes, bool) {
        match &mut self.breaks {
            Some(planned) if planned.is_up == is_up && planned.frames == 0 => {
                self.broken_frame = Some(bytes.len());
                bytes.truncate(planned.bytes);
                self.breaks = None;
                (bytes, true)
            }
            Some(planned) if planned.is_up == is_up => {
                planned.frames -= 1;
                (bytes, false)
            }
            _ => (bytes, false),
        }
    }

    fn answer(&mut self, now: Now, commit: Commit, result: Result<(), CommitError>) {
        let is_unstorable = commit.writes.iter().any(|(key, _)| key.id.len() > MAX_ID_BYTES);
        let result = match result {
            _ if commit.epoch < self.epoch => Err(CommitError::Fenced),
            _ if is_unstorable => Err(CommitError::Fatal),
            result => result,
        };
        let answer = match result {
            Ok(()) => {
                self.epoch = commit.epoch;
                for (key, record) in commit.writes {
                    match record {
                        Some(record) => self.store.insert(key, record),
                        None => self.store.remove(&key),
                    };
                }
                Input::Committed(commit.id)
            }
            Err(error) => Input::CommitFailed(commit.id, error),
        };
        self.client.handle(now, answer).unwrap();
    }
}

/// The content of a text message.
#[must_use]
pub fn text_content(text: &str) -> Bytes {
    Text::new(text).into_message().encode_to_vec().into()
}

/// The text in a received message's content.
#[must_use]
pub fn text_in(content: &Bytes) -> Option<String> {
    let message = whatsio_proto::e2e::Message::decode(content.clone()).ok()?;
    text_of(&message).map(ToOwned::to_owned)
}

/// The seed of a client\'s life.
pub(crate) fn seed_of(name: Name, life: u16) -> Seed {
    let [high, low] = life.to_be_bytes();
    let mut bytes = [low; 32];
    bytes[0] = u8::try_from(name.0 % 256).unwrap();
    bytes[1] = 0xa5;
    bytes[2] ^= high;
    bytes[3] ^= u8::try_from(name.0 / 256).unwrap();
    Seed::new(bytes)
}
