//! One account's whole protocol as a state machine: what goes in, what comes out, and the loop between.

mod backlog;
mod backoff;
mod connection;
mod ending;
mod handshake;
mod linking;
mod queries;
mod recorded;
mod router;
mod schedule;
mod socket;
mod stalls;
mod timers;
mod verbs;

use crate::api::{
    CommitId, Config, DisconnectReason, Envelope, Epoch, Event, EventId, FaultReason, Input, Key, LoadId, LoadRequest,
    Misuse, Output, Record, Restriction, Space,
};
use crate::crypto::rng::Rng;
use crate::flow::{self, Effect, Job, Lane, Left, Live, Me, Need, Query, Step, Stop, Txn};
use crate::recording::{Answered as _, Tap};
use crate::stanza::IssueToken;
use crate::state::account::{self, Account};
use crate::state::asked::Asked;
use crate::state::inbox::InboxCursor;
use crate::state::life::Life;
use crate::state::outbox::OutboxCursor;
use crate::state::peer::{PeerCounter, PeerId};
use crate::state::prekeys::PreKeyCounter;
use crate::state::restriction::Restricted;
use crate::state::sender_keys::SenderKeyNames;
use crate::state::{self, Barrier, Cache, Change, Lookup, Staged, Stored, Verdict};
use crate::types::{Jid, Now, RequestIds, Seed};
use backlog::Backlog;
use backoff::{Attempts, Backoff};
use ending::Ending;
use queries::Queries;
use schedule::Schedule;
use socket::{Phase, Socket};
use stalls::Clocks;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use timers::Timers;

/// Ids of events that are told once have this bit; they mean nothing after a restart.
const ONCE: u64 = 1 << 63;

/// A load that failed is tried again after this long, in milliseconds.
const LOAD_RETRY_MS: u64 = 500;

/// Bytes waiting to be committed at which the socket is no longer read.
const WAITING_BYTES: usize = 8 << 20;

/// Records of the inbox and outbox that one transaction reads after a restart.
const RECALL_AT_ONCE: u64 = 64;

/// Prekeys that one transaction deletes.
const WIPE_AT_ONCE: u32 = 1000;

/// Pieces of the list of sender keys that one transaction deletes, with the keys.
const PIECES_AT_ONCE: u32 = 16;

/// One account's whole protocol.
///
/// Feed it with [`handle`](Self::handle) and the verbs, drain it with [`poll`](Self::poll), in any order: every
/// interleaving is legal. The work is done in `poll`, in small steps, so a host that drains several clients in turn
/// is fair to all.
pub struct Client {
    config: Config,
    now: Now,
    rng: Rng,
    cache: Cache,
    roots: BTreeSet<Key>,
    barrier: Barrier<Effect>,
    live: Live,
    schedule: Schedule,
    queries: Queries,
    socket: Socket,
    opening: Option<Box<flow::Opening>>,
    backoff: Backoff,
    attempts: Attempts,
    /// The version that the newest connection announced.
    announced: [u32; 3],
    /// A replaced client does not come back before this time.
    not_before: u64,
    /// Down because the version was refused.
    outdated: bool,
    clocks: Clocks,
    timers: Timers,
    /// The caller wants to be connected.
    wanted: bool,
    /// Why the connection that is ending ends.
    ending: Option<Ending>,
    backlog: Backlog,
    /// Bytes came that were not looked at yet.
    unread: bool,
    outputs: VecDeque<Output>,
    next_load: u64,
    next_op: u64,
    next_event: u64,
    faulted: bool,
    /// Who listens, if anybody does.
    tap: Option<Box<Tap>>,
}

/// Who this account is, once linked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// Own address by phone number, with the device number.
    pub jid: Jid,
    /// Own address by LID, with the device number.
    pub lid: Option<Jid>,
}

/// Why a client cannot be made from these records. Nothing is lost: the store is untouched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// A root record is damaged or of a newer version.
    #[error("a root record of space {0:?} does not decode")]
    BadRoot(Space),
}

impl Client {
    /// A client for an account that has never been stored. Costs no work until it is asked to connect.
    #[must_use]
    pub fn create(config: Config, seed: Seed) -> Self {
        let mut client = Self::empty(config, seed);
        for key in Self::root_keys() {
            client.cache.put(key, None, state::DURABLE);
        }
        client.begin_life(Epoch::default());
        client
    }

    /// The records to read before [`restore`](Self::restore).
    #[must_use]
    pub fn root_keys() -> Vec<Key> {
        vec![
            Account::key(account::ID),
            Life::key(state::life::ID),
            InboxCursor::key(state::inbox::CURSOR_ID),
            OutboxCursor::key(state::outbox::CURSOR_ID),
            PeerCounter::key(state::peer::COUNTER_ID),
            SenderKeyNames::key(state::sender_keys::ID),
            PreKeyCounter::key(state::prekeys::COUNTER_ID),
            Asked::key(state::asked::ID),
            Restricted::key(state::restriction::ID),
        ]
    }

    /// The client of a stored account: `records` holds what the store has under [`root_keys`](Self::root_keys). Its
    /// first commit takes the account over from whoever restored it before. Unhandled events come again.
    ///
    /// # Errors
    /// A root record that does not decode; restore a backup, or erase the account and link again.
    pub fn restore(config: Config, seed: Seed, records: Vec<(Key, Option<Record>)>) -> Result<Self, RestoreError> {
        let mut client = Self::empty(config, seed);
        let mut records: BTreeMap<Key, Option<Record>> = records.into_iter().collect();
        for key in Self::root_keys() {
            let record = records.remove(&key).flatten();
            client.cache.put(key, record, state::DURABLE);
        }
        let account: Option<Account> = client.root(account::ID)?;
        client.root::<InboxCursor>(state::inbox::CURSOR_ID)?;
        client.root::<OutboxCursor>(state::outbox::CURSOR_ID)?;
        client.root::<PeerCounter>(state::peer::COUNTER_ID)?;
        client.root::<PreKeyCounter>(state::prekeys::COUNTER_ID)?;
        client.root::<Asked>(state::asked::ID)?;
        client.live.restriction = client.root::<Restricted>(state::restriction::ID)?.map(|known| known.0);

        let life: Option<Life> = client.root(state::life::ID)?;
        client.begin_life(life.unwrap_or_default().0);
        if life.is_some() {
            client.live.me =
                account.and_then(|account| account.linked).map(|linked| Me { pn: linked.pn, lid: linked.lid });
            // Whoever had the account until now may still be writing: what counts is read again when nobody can.
            client.cache = Cache::default();
            client.enqueue(Job::Claim);
            client.enqueue(Job::TakeOver(Self::root_keys()));
        }
        Ok(client)
    }

    /// Takes something that happened outside.
    ///
    /// After [`Faulted`](Event::Faulted) everything is ignored.
    ///
    /// # Errors
    /// [`Misuse`] when the host broke the contract; nothing changed then.
    pub fn handle(&mut self, now: Now, input: Input) -> Result<(), Misuse> {
        let Some(tap) = &mut self.tap else { return self.take_in(now, input) };
        tap.input(now, &input);
        let result = self.take_in(now, input);
        if let Some(tap) = &mut self.tap {
            tap.answer(&result.answer());
        }
        result
    }

    fn take_in(&mut self, now: Now, input: Input) -> Result<(), Misuse> {
        if self.faulted {
            // Answers may have been on their way; nothing counts any more.
            return Ok(());
        }
        self.advance(now);
        match input {
            Input::Opened => self.opened(),
            Input::Frame(bytes) => self.received(bytes),
            Input::Closed(reason) => self.closed(Ending::of_close(reason)),
            Input::Tick => Ok(()),
            Input::Loaded(id, records) => self.loaded(id, records),
            Input::LoadFailed(id) => self.load_failed(id),
            Input::Committed(id) => self.answered(id, Ok(())),
            Input::CommitFailed(id, error) => self.answered(id, Err(error)),
            Input::Handled(id) => self.handled(id),
            Input::Entropy(seed) => {
                self.rng.mix(&seed);
                Ok(())
            }
        }
    }

    /// The next thing to do, or `None` when nothing is left to do before the next input or
    /// [`next_deadline`](Self::next_deadline).
    pub fn poll(&mut self) -> Option<Output> {
        let output = self.next_output();
        if self.tap.is_some() {
            self.note_output(output.as_ref());
        }
        output
    }

    fn next_output(&mut self) -> Option<Output> {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return Some(output);
            }
            if self.faulted {
                return None;
            }
            if self.step() {
                continue;
            }
            self.watch_stalls();
            if !self.outputs.is_empty() {
                continue;
            }
            self.shrink(self.config.limits.cache_bytes);
            let commit = self.barrier.next_commit(self.now.mono)?;
            self.clocks.commit.get_or_insert(self.now.mono);
            return Some(Output::Commit(commit));
        }
    }

    /// Whether the host should read the socket. False while the application, the store or this client is behind: the
    /// connection waits then, memory does not grow.
    #[must_use]
    pub fn wants_frames(&self) -> bool {
        // Before messages flow there is nothing that could grow, and the server's patience is short.
        if !matches!(self.socket.phase, Phase::Up) {
            return true;
        }
        let limits = &self.config.limits;
        self.schedule.waiting(&Lane::Inbound) < limits.stanzas_waiting
            && self.live.inbox.len() < limits.inbox_events
            && self.barrier.waiting_bytes() < WAITING_BYTES
    }

    /// Drops clean records from memory until at most `bytes` are held; they are loaded again on need.
    pub fn trim(&mut self, bytes: usize) {
        self.note_trim(bytes);
        self.shrink(bytes);
    }

    fn shrink(&mut self, bytes: usize) {
        if self.cache.bytes() > bytes {
            self.cache.shrink_to(bytes, &self.pinned());
        }
    }

    /// Bytes of records held in memory.
    #[must_use]
    pub const fn cached_bytes(&self) -> usize {
        self.cache.bytes()
    }

    /// Who this account is, once linked.
    #[must_use]
    pub fn identity(&self) -> Option<Identity> {
        self.live.me.as_ref().map(|me| Identity { jid: me.pn.clone(), lid: me.lid.clone() })
    }

    /// What the server does not let this account do now, as far as it told. Survives restarts.
    #[must_use]
    pub fn restriction(&self) -> Option<&Restriction> {
        self.live.restriction.as_ref().filter(|known| known.holds_at(self.now.unix_seconds()))
    }

    /// Whether messages flow.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        self.live.ready
    }

    #[expect(clippy::needless_pass_by_value, reason = "a seed is spent by using it: nobody may keep it")]
    fn empty(config: Config, seed: Seed) -> Self {
        let mut rng = Rng::new(&seed);
        let (a, b) = (rng.bytes::<2>(), rng.bytes::<2>());
        Self {
            config,
            now: Now { mono: 0, unix: 0 },
            rng,
            cache: Cache::default(),
            roots: Self::root_keys().into_iter().collect(),
            barrier: Barrier::new(Epoch::default()),
            live: Live::default(),
            schedule: Schedule::default(),
            queries: Queries::new(RequestIds::new(u16::from_be_bytes(a), u16::from_be_bytes(b))),
            socket: Socket::new(),
            opening: None,
            backoff: Backoff::default(),
            attempts: Attempts::default(),
            announced: [0; 3],
            not_before: 0,
            outdated: false,
            clocks: Clocks::default(),
            timers: Timers::default(),
            wanted: false,
            ending: None,
            backlog: Backlog::default(),
            unread: false,
            outputs: VecDeque::new(),
            next_load: 1,
            next_op: 1,
            next_event: ONCE,
            faulted: false,
            tap: None,
        }
    }

    /// The upper half counts lives; the lower half is random, so that two processes that begin one at once differ.
    fn begin_life(&mut self, last: Epoch) {
        self.live.epoch = Epoch((last.0 >> 32).saturating_add(1) << 32 | u64::from(self.rng.u32()));
        self.barrier = Barrier::new(self.live.epoch);
    }

    fn root<T: Stored>(&mut self, id: &'static [u8]) -> Result<Option<T>, RestoreError> {
        match self.cache.lookup(&T::key(id)) {
            Lookup::Known(Some(record), _) => T::open(&record).map(Some).map_err(|_| RestoreError::BadRoot(T::SPACE)),
            _ => Ok(None),
        }
    }

    fn pinned(&self) -> BTreeSet<Key> {
        let mut pinned = self.schedule.pinned();
        pinned.extend(self.roots.iter().cloned());
        pinned
    }

    fn enqueue(&mut self, job: Job) {
        if job.lane() == Lane::Inbound {
            self.clocks.inbound.get_or_insert(self.now.mono);
        }
        self.schedule.push(job.lane(), job);
    }

    /// Does one small piece of work; false if there is none.
    fn step(&mut self) -> bool {
        let Some((lane, job)) = self.schedule.next() else { return self.read_frame() };
        let mut txn = Txn::new(self.now, &mut self.rng, &mut self.cache);
        match flow::run(&mut txn, &self.live, &self.config, &job) {
            Ok(()) => {
                let staged = txn.finish();
                let is_inbound = lane == Lane::Inbound;
                self.schedule.done(lane);
                if is_inbound {
                    self.clocks.inbound = (self.schedule.waiting(&Lane::Inbound) > 0).then_some(self.now.mono);
                }
                self.apply(staged);
            }
            Err(Stop::Miss) => {
                let keys: Vec<Key> = txn.into_missing().into_iter().collect();
                let id = LoadId(self.next_load);
                self.next_load += 1;
                self.clocks.asked(id, self.now.mono);
                self.outputs.push_back(Output::Load(LoadRequest { id, keys: keys.clone() }));
                self.schedule.park_loading(lane, job, id, keys);
            }
            Err(Stop::Await(needs)) => self.await_needs(lane, job, needs),
            Err(Stop::Settle) => self.schedule.park_settling(lane, job),
            Err(Stop::Pause(ms)) => self.schedule.park_pausing(lane, job, self.now.mono.saturating_add(ms)),
        }
        true
    }

    fn await_needs(&mut self, lane: Lane, job: Job, needs: Vec<Need>) {
        let needs: BTreeSet<Need> = needs.into_iter().collect();
        let (mut users, mut devices, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for need in needs.iter().filter(|need| !self.schedule.is_awaited(need)) {
            match need {
                Need::Devices(user) => users.push(user.clone()),
                Need::Session(device) => devices.push(device.clone()),
                Need::Token(user) => {
                    let timestamp = self.now.unix_seconds();
                    others.push(Query::Token(IssueToken { user: user.clone(), timestamp }));
                }
                Need::Restriction => others.push(Query::Restriction),
            }
        }
        self.schedule.park_awaiting(lane, job, needs);
        if !users.is_empty() {
            self.ask(Query::Devices { users });
        }
        if !devices.is_empty() {
            self.ask(Query::Bundles { devices });
        }
        for query in others {
            self.ask(query);
        }
    }

    /// Takes a finished transaction over: its writes into the growing commit, its effects behind the barrier.
    fn apply(&mut self, staged: Staged<Effect, Step>) {
        let Staged { writes, changes, mut depends_on, quarantined } = staged;
        let generation = self.barrier.generation();
        if !writes.is_empty() {
            depends_on = generation;
        }
        for (key, record) in writes {
            self.cache.put(key.clone(), record.clone(), generation);
            self.barrier.write(key, record);
        }
        for space in quarantined {
            self.hold(depends_on, Effect::Tell(Event::RecordQuarantined { space }));
        }
        for change in changes {
            match change {
                Change::Held(effect) => self.hold(depends_on, effect),
                Change::Inside(step) => self.take(step),
            }
        }
    }

    fn hold(&mut self, depends_on: u64, effect: Effect) {
        if let Some(free) = self.barrier.hold(depends_on, effect) {
            self.release(free);
        }
    }

    /// Lets an effect out: everything it depends on is durable.
    fn release(&mut self, effect: Effect) {
        match effect {
            Effect::Stanza(connection, stanza) if connection == self.live.connection => self.send(stanza),
            Effect::Query(connection, query) if connection == self.live.connection => self.ask(query),
            Effect::Sent(connection, sequence) => {
                if connection == self.live.connection {
                    self.clocks.sent(sequence, self.now.mono);
                }
            }
            // The connection is gone. Stanzas are asked for or put in line again on the next one.
            Effect::Stanza(..) => {}
            Effect::Query(_, query) => self.lose(query),
            Effect::Event(envelope) => {
                self.clocks.told(envelope.id.0, self.now.mono);
                self.outputs.push_back(Output::Event(envelope));
            }
            Effect::Tell(event) => self.tell(event),
            Effect::News(connection, event) if connection == self.live.connection => self.tell(event),
            Effect::LinkDone(connection) if connection == self.live.connection => self.link_done(),
            Effect::LinkRefused(connection) if connection == self.live.connection => {
                self.end(DisconnectReason::LinkRefused);
            }
            Effect::LinkIdle(connection) if connection == self.live.connection => self.link_idle(),
            Effect::News(..) | Effect::LinkDone(_) | Effect::LinkRefused(_) | Effect::LinkIdle(_) => {}
            Effect::Open(opening) => self.open(opening),
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Enqueue(job) => self.enqueue(job),
            Step::Settle(need, result) => {
                self.live.trouble.note(&need, result, self.now.mono);
                self.schedule.settle(&need, result);
            }
            Step::Unhandled(id) => {
                self.live.inbox.insert(id);
            }
            Step::Handled(id) => {
                self.live.inbox.remove(&id);
            }
            Step::Accepted(sequence, progress) => {
                self.live.outbox.insert(sequence, progress);
            }
            Step::Progressed(sequence, progress) => {
                self.clocks.acked(sequence);
                if let Some(known) = self.live.outbox.get_mut(&sequence) {
                    *known = progress;
                }
            }
            Step::SendEnded(sequence) => {
                self.clocks.acked(sequence);
                self.live.outbox.remove(&sequence);
            }
            Step::Ready => {
                self.live.ready = true;
                self.live.draining = self.clocks.delivering(self.now.mono);
                self.timers.logged_in(self.now.mono);
            }
            Step::AskPhone(ms) => self.timers.ask_phone(self.now.mono.saturating_add(ms)),
            Step::Drained => self.live.draining = false,
            Step::Uploading(uploading) => self.live.uploading = uploading,
            Step::Activating => self.live.activating = true,
            Step::Resent(key, granted) => {
                self.live.resent.insert(key, granted);
            }
            Step::ResendAnswered(key) => {
                self.live.resent.remove(&key);
            }
            Step::Issuing(peer) => {
                self.live.issuing.insert(peer);
            }
            Step::Issued(peer) => {
                self.live.issuing.remove(&peer);
            }
            Step::Restricted(restriction) => self.live.restriction = restriction,
            Step::Me(me) => {
                // The phone has answered: there is nothing to scan any more.
                self.live.linking.close();
                self.live.me = Some(me);
            }
            Step::Linking(under) => self.live.linking.note(under),
            Step::Available(available) => self.live.available = available,
            Step::Unlinked => self.unlinked(),
            Step::TakenOver(left) => self.taken_over(left),
        }
    }

    fn tell(&mut self, event: Event) {
        let id = EventId(self.next_event);
        self.next_event += 1;
        self.outputs.push_back(Output::Event(Envelope { id, event, durable: false }));
    }

    fn loaded(&mut self, id: LoadId, records: Vec<Option<Record>>) -> Result<(), Misuse> {
        let keys = self.schedule.keys_of(id).ok_or(Misuse::UnknownId("that load"))?.to_vec();
        if keys.len() != records.len() {
            return Err(Misuse::WrongCount { asked: keys.len(), given: records.len() });
        }
        for (key, record) in keys.into_iter().zip(records) {
            self.cache.fill(key, record);
        }
        self.schedule.loaded(id);
        self.clocks.loaded(id);
        Ok(())
    }

    fn load_failed(&mut self, id: LoadId) -> Result<(), Misuse> {
        self.schedule.keys_of(id).ok_or(Misuse::UnknownId("that load"))?;
        self.clocks.load_failed(id);
        self.schedule.pause(id, self.now.mono.saturating_add(LOAD_RETRY_MS));
        Ok(())
    }

    fn answered(&mut self, id: CommitId, result: Result<(), crate::api::CommitError>) -> Result<(), Misuse> {
        match self.barrier.answer(self.now.mono, id, result)? {
            Verdict::Durable { released, keys, generation } => {
                self.clocks.commit = None;
                self.cache.settle(generation, keys.iter());
                self.live.claimed = true;
                self.schedule.settled();
                let before = self.outputs.len();
                for effect in released {
                    self.release(effect);
                }
                if let Some(tap) = &mut self.tap {
                    tap.released(id, before, self.outputs.len());
                }
            }
            Verdict::Again => {}
            Verdict::Fault(error) => self.fault(match error {
                crate::api::CommitError::Fenced => FaultReason::Fenced,
                _ => FaultReason::StoreFailed,
            }),
        }
        Ok(())
    }

    /// Nothing that waited may leave any more: what the store has is the truth, and a restore starts from it.
    fn fault(&mut self, reason: FaultReason) {
        if let Some(tap) = &mut self.tap {
            tap.dropped(self.outputs.len());
        }
        self.outputs.clear();
        if !matches!(self.socket.phase, Phase::Down) {
            self.outputs.push_back(Output::Close);
        }
        self.tell(Event::Faulted(reason));
        self.live.ready = false;
        self.faulted = true;
    }

    fn handled(&mut self, id: EventId) -> Result<(), Misuse> {
        // Events that are told once may be answered like the others.
        if id.0 & ONCE != 0 {
            return Ok(());
        }
        if !self.live.inbox.contains(&id.0) {
            return Err(Misuse::UnknownId("that event"));
        }
        self.clocks.handled(id.0);
        self.enqueue(Job::Verb(flow::Verb::Handled(id.0)));
        Ok(())
    }

    /// The server has unlinked this device: nothing that was known of it counts any more.
    fn unlinked(&mut self) {
        let old = std::mem::take(&mut self.live);
        // Events that were told can still be handled.
        self.live = Live {
            connection: old.connection,
            epoch: old.epoch,
            inbox: old.inbox,
            claimed: old.claimed,
            ..Live::default()
        };
        self.wipe();
    }

    /// The account is this life's alone: what was left comes before anything that was asked for since.
    fn taken_over(&mut self, left: Left) {
        self.live.me = left.me;
        self.live.restriction = left.restriction;
        let at_once = usize::try_from(RECALL_AT_ONCE).unwrap_or(1);
        let (behind, window) = left.inbox;
        let mut jobs: Vec<Job> = behind.chunks(at_once).map(|some| Job::Replay(some.to_vec())).collect();
        jobs.extend(chunks(window.start, window.end).map(|some| Job::Replay(some.collect())));
        let (behind, window) = left.outbox;
        let behind: Vec<u64> = behind.into_iter().collect();
        jobs.extend(behind.chunks(at_once).map(|some| Job::Recall(some.to_vec())));
        jobs.extend(chunks(window.start, window.end).map(|some| Job::Recall(some.collect())));
        if !left.has_account {
            jobs.extend(self.wiping());
        }
        for job in jobs.into_iter().rev() {
            self.schedule.push_front(job.lane(), job);
        }
    }

    /// Deletes what is left of an account that is gone. Whatever the caller wants next comes after it.
    fn wipe(&mut self) {
        for job in self.wiping().into_iter().rev() {
            self.schedule.push_front(job.lane(), job);
        }
    }

    fn wiping(&mut self) -> Vec<Job> {
        let peers: Option<PeerCounter> = self.root(state::peer::COUNTER_ID).ok().flatten();
        let prekeys: Option<PreKeyCounter> = self.root(state::prekeys::COUNTER_ID).ok().flatten();
        let sends: Option<OutboxCursor> = self.root(state::outbox::CURSOR_ID).ok().flatten();
        let names: Option<SenderKeyNames> = self.root(state::sender_keys::ID).ok().flatten();
        let (sends, peers) = (sends.unwrap_or_default(), peers.unwrap_or_default());
        if peers.first == peers.next && prekeys.is_none() && sends.oldest == sends.next && sends.behind.is_empty() {
            return Vec::new();
        }
        let mut jobs: Vec<Job> = chunks(sends.oldest, sends.next).map(Job::WipeSends).collect();
        jobs.extend(
            sends.behind.iter().filter(|behind| **behind < sends.oldest).map(|one| Job::WipeSends(*one..one + 1)),
        );
        jobs.push(Job::WipePeers(PeerId::SELF.0..PeerId::SELF.0 + 1));
        jobs.extend(chunks(peers.first, peers.next).map(Job::WipePeers));
        let pieces = names.unwrap_or_default().number;
        let starts = (0..=pieces).step_by(usize::try_from(PIECES_AT_ONCE).unwrap_or(1));
        jobs.extend(starts.map(|first| Job::WipeSenderKeys(first..(first + PIECES_AT_ONCE).min(pieces))));
        for ids in prekeys.unwrap_or_default().taken() {
            let step = usize::try_from(WIPE_AT_ONCE).unwrap_or(1);
            let starts = ids.clone().step_by(step);
            jobs.extend(starts.map(|first| Job::WipePreKeys(first..(first + WIPE_AT_ONCE).min(ids.end))));
        }
        jobs.push(Job::WipeCounters);
        jobs
    }

    /// Whether everything that was asked for so far has taken place and is durable.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.faulted || (self.schedule.waiting(&Lane::Verbs) == 0 && self.barrier.is_idle())
    }

    /// A request will not be answered.
    fn lose(&mut self, query: Query) {
        if query.outlives_connection() || self.live.ready {
            self.enqueue(Job::Reply(Box::new(query), Err(flow::Failure::Lost)));
        }
    }
}

fn chunks(first: u64, next: u64) -> impl Iterator<Item = std::ops::Range<u64>> {
    let step = usize::try_from(RECALL_AT_ONCE).unwrap_or(1);
    (first..next).step_by(step).map(move |start| start..(start + RECALL_AT_ONCE).min(next))
}
