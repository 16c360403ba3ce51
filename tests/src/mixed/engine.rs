//! The loop: what is due next happens, one thing at a time.

use super::device::{App, Device, Linked, Store};
use super::dice::Dice;
use super::ledger::{Ledger, Sent};
use super::oracles::Answers;
use super::plan::{Act, Plan, Quality};
use super::process::name;
use super::transcript::Transcript;
use super::wire::{Parcel, Way, Wire};
use super::{BEGIN_UNIX, Pid, Tally, oracles};
use crate::world::text_content;
use std::collections::{BTreeMap, BTreeSet};
use whatsio_core::api::{
    CloseReason, Commit, CommitError, CommitId, Config, EventId, Input, LoadRequest, MessageId, Misuse, Record,
};
use whatsio_core::relay::{LinkId, Relay, RelayConfig, RelayEvent, RelayInput, RelayOutput};
use whatsio_core::types::{Jid, Now, Seed};

/// Milliseconds in which everything must be well again once nothing goes wrong any more.
const CONVERGES_MS: u64 = 3 * 3_600_000;

/// Something that will happen.
pub(super) enum Happening {
    Step(usize),
    Arrive(LinkId, Way),
    Opened(Pid, u64),
    ClosedAtHost(Pid, CloseReason),
    LostAtHost(Pid, LinkId),
    LostAtServer(LinkId),
    Load(Pid, LoadRequest, Option<Vec<Option<Record>>>),
    Apply(Pid, Box<Commit>),
    Committed(Pid, CommitId, Result<(), CommitError>),
    Handle(Pid, EventId),
    Drain(Pid),
    Die(Pid),
    /// A device is started again, unless a process younger than this one runs already.
    Start(usize, u32),
    Connect(Pid),
    Scan(usize, String),
    TellDevices,
    Honest(usize),
    Steal(usize),
}

/// One account.
pub(super) struct Account {
    pub(super) pn: Option<Jid>,
    pub(super) phone_away_until: u64,
}

/// The whole world.
pub(super) struct Mixed {
    pub(super) plan: Plan,
    pub(super) quality: Quality,
    pub(super) relay: Relay,
    pub(super) now: u64,
    pub(super) queue: BTreeMap<(u64, u64), Happening>,
    pub(super) serial: u64,
    pub(super) devices: Vec<Device>,
    pub(super) accounts: Vec<Account>,
    pub(super) wires: BTreeMap<LinkId, Wire>,
    pub(super) dice: Dice,
    pub(super) ledger: Ledger,
    pub(super) answers: Answers,
    pub(super) transcript: Transcript,
    pub(super) tally: Tally,
    /// Companions that a phone has accepted and that have not answered yet.
    scanned: BTreeMap<Jid, usize>,
    pub(super) is_revealed: bool,
    /// Frames written by processes that are gone.
    frames: BTreeMap<usize, u64>,
    pub(super) messages: u64,
}

impl Mixed {
    pub(super) fn new(plan: Plan, is_read: bool) -> Self {
        let dice = Dice::new(plan.seed).fork(3);
        let mut config = RelayConfig::default();
        config.overhear = true;
        config.limits.counters = 1_000_000;
        config.max_companions = 8;
        let mut keys = dice.fork(4);
        let now = Now { mono: 0, unix: BEGIN_UNIX };
        let relay = Relay::new(config, Seed::new(keys.bytes()), now);
        let accounts = plan.accounts.iter().map(|_| Account { pn: None, phone_away_until: 0 }).collect();
        // Linking goes well: the plan begins afterwards.
        let good = Quality { latency_ms: 20, store_ms: 0, application_ms: 0, cuts: 0, pauses: 0, ..plan.quality };
        Self {
            quality: good,
            relay,
            now: 0,
            queue: BTreeMap::new(),
            serial: 0,
            devices: Vec::new(),
            accounts,
            wires: BTreeMap::new(),
            dice,
            ledger: Ledger::default(),
            answers: Answers::default(),
            transcript: Transcript::new(is_read),
            tally: Tally::default(),
            scanned: BTreeMap::new(),
            is_revealed: !plan.quality.hides_lids,
            frames: BTreeMap::new(),
            messages: 0,
            plan,
        }
    }

    /// Everything, from the first link to the last look.
    pub(super) fn carry_out_plan(&mut self) {
        self.link_everybody();
        let begin = self.now;
        self.quality = self.plan.quality;
        let steps: Vec<u64> = self.plan.steps.iter().map(|step| step.at).collect();
        for (number, at) in steps.iter().enumerate() {
            self.later(begin + at, Happening::Step(number));
        }
        self.pass(begin + steps.last().copied().unwrap_or(0));
        self.calm();
        self.converge(CONVERGES_MS);
        self.probe();
        self.rest();
        oracles::at_the_end(self);
    }

    pub(super) fn finish(mut self) -> (Tally, ([u8; 32], Vec<String>)) {
        self.tally.virtual_ms = self.now;
        self.tally.sent = self.ledger.sends.len();
        self.tally.taken = self.devices.iter().map(|device| device.app.taken.len()).sum();
        self.tally.unread = self.devices.iter().map(|device| device.app.unread.len()).sum();
        (self.tally, self.transcript.finish())
    }

    fn link_everybody(&mut self) {
        let wanted: Vec<usize> = self.plan.accounts.clone();
        for (account, companions) in wanted.into_iter().enumerate() {
            for _ in 0..companions {
                let device = self.add_device(account);
                let end = self.now + 120_000;
                self.pass_until(end, |world| world.is_well(device));
                assert!(self.is_well(device), "a device cannot be linked even when nothing is wrong");
            }
        }
        if self.plan.quality.hides_lids {
            for account in 0..self.accounts.len() {
                self.hide(account, true);
            }
        }
    }

    pub(super) fn hide(&mut self, account: usize, hidden: bool) {
        if let Some(pn) = self.accounts[account].pn.clone() {
            self.relay.hide_other_address(&pn, hidden);
        }
    }

    pub(super) fn add_device(&mut self, account: usize) -> usize {
        let mut config = Config::default();
        config.profile.root_key = self.relay.root_key();
        if self.plan.quality.tiny_cache {
            config.limits.cache_bytes = 4_096;
        }
        if self.plan.quality.tiny_inbox {
            config.limits.inbox_events = 4;
            config.limits.stanzas_waiting = 4;
        }
        let number = self.devices.len();
        self.devices.push(Device {
            account,
            config,
            store: Store::default(),
            processes: BTreeMap::new(),
            lives: 0,
            app: App::default(),
            dice: self.dice.fork(1_000 + number as u64),
            skew_ms: 0,
            unreachable_until: 0,
            inattentive_until: 0,
            is_given_up: false,
            linked: None,
        });
        self.start(number);
        number
    }

    /// Starts a process of a device; it wants to be connected, and gives again what was not said to be durable.
    pub(super) fn start(&mut self, device: usize) {
        let life = self.devices[device].start(self.now);
        let pid = Pid { device, life };
        self.transcript.note(self.now, b"starts", || format!("{} starts", name(pid)));
        self.connect(pid);
        let unqueued: Vec<_> = self.devices[device].app.unqueued.iter().cloned().collect();
        for (id, to, text) in unqueued {
            if self.submit(pid, &id, &to, &text).is_ok() {
                self.ledger.submitted_again(id.as_str());
            }
        }
        self.drain(pid);
    }

    fn connect(&mut self, pid: Pid) {
        let now = self.now;
        let Some(device) = self.devices.get_mut(pid.device) else { return };
        if device.is_given_up && device.linked.is_none() {
            return;
        }
        let Some(process) = device.processes.get(&pid.life) else { return };
        let clock = device.clock(process, now);
        if let Some(process) = device.processes.get_mut(&pid.life) {
            // Whoever has faulted is about to be started anew.
            let _ = process.client.connect(clock);
        }
        self.drain(pid);
    }

    pub(super) fn submit(&mut self, pid: Pid, id: &MessageId, to: &Jid, text: &str) -> Result<(), Misuse> {
        let now = self.now;
        let device = &mut self.devices[pid.device];
        let Some(process) = device.processes.get(&pid.life) else { return Err(Misuse::NotLinked) };
        let clock = device.clock(process, now);
        let process = device.processes.get_mut(&pid.life).expect("just seen");
        let result = process.client.send_message(clock, to, text_content(text), Some(id.clone()));
        self.transcript.note(now, id.as_str().as_bytes(), || format!("{} sends {id} {text:?}: {result:?}", name(pid)));
        result.map(|_| ())
    }

    // --- time ---------------------------------------------------------------------------------------------------------

    pub(super) fn later(&mut self, at: u64, happening: Happening) {
        self.serial += 1;
        self.queue.insert((at.max(self.now), self.serial), happening);
    }

    pub(super) fn relay_clock(&self) -> Now {
        Now { mono: self.now, unix: BEGIN_UNIX + self.now }
    }

    /// Lets time pass up to `end`.
    fn pass(&mut self, end: u64) {
        while self.happen(end) {}
    }

    /// Lets time pass until something is so, or up to `end`.
    fn pass_until(&mut self, end: u64, done: impl Fn(&Self) -> bool) {
        while !done(self) && self.happen(end) {}
    }

    /// Lets the next thing happen; false if nothing is due before `end`.
    fn happen(&mut self, end: u64) -> bool {
        let queued = self.queue.first_key_value().map(|((at, _), _)| *at);
        let (due, whose) = self.next_deadline();
        let relay = self.relay.next_deadline();
        let next = [queued, due, relay].into_iter().flatten().min();
        let Some(next) = next.filter(|next| *next <= end) else {
            self.now = end;
            return false;
        };
        self.now = self.now.max(next);
        if queued == Some(next) {
            if let Some((_, happening)) = self.queue.pop_first() {
                self.take_place(happening);
            }
        } else if due == Some(next) {
            let pid = whose.expect("whose deadline it is");
            self.feed(pid, Input::Tick);
            oracles::deadline(self, pid);
        } else {
            let clock = self.relay_clock();
            self.relay.handle(clock, RelayInput::Tick);
        }
        self.hear_relay();
        true
    }

    fn next_deadline(&self) -> (Option<u64>, Option<Pid>) {
        let mut first = None;
        for (number, device) in self.devices.iter().enumerate() {
            for (life, process) in &device.processes {
                let at = process.client.next_deadline().filter(|_| !process.is_paused);
                if let Some(at) = at.map(|at| at + process.origin)
                    && first.is_none_or(|(earlier, _)| at < earlier)
                {
                    first = Some((at, Pid { device: number, life: *life }));
                }
            }
        }
        (first.map(|(at, _)| at), first.map(|(_, pid)| pid))
    }

    fn take_place(&mut self, happening: Happening) {
        match happening {
            Happening::Step(number) => {
                if let Some(step) = self.plan.steps.get(number).cloned() {
                    self.transcript.note(self.now, b"step", || format!("--- {:?}", step.act));
                    self.act(step.act);
                }
            }
            Happening::Arrive(link, way) => self.arrive(link, way),
            Happening::Opened(pid, number) => self.opened(pid, number),
            Happening::ClosedAtHost(pid, reason) => self.feed(pid, Input::Closed(reason)),
            Happening::LostAtHost(pid, link) => {
                let process = self.process(pid).filter(|process| process.link == Some(link));
                if let Some(process) = process {
                    process.link = None;
                    self.feed(pid, Input::Closed(CloseReason::Broken));
                }
            }
            Happening::LostAtServer(link) => self.server_loses(link),
            Happening::Load(pid, request, early) => {
                let store = &mut self.devices[pid.device].store;
                if store.unreadable > 0 {
                    store.unreadable -= 1;
                    return self.feed(pid, Input::LoadFailed(request.id));
                }
                let read = |key| store.records.get(key).cloned();
                let records = early.unwrap_or_else(|| request.keys.iter().map(read).collect());
                self.feed(pid, Input::Loaded(request.id, records));
            }
            Happening::Apply(pid, commit) => self.apply(pid, &commit),
            Happening::Committed(pid, id, result) => {
                let input = result.map_or_else(|error| Input::CommitFailed(id, error), |()| Input::Committed(id));
                self.feed(pid, input);
            }
            Happening::Handle(pid, id) => self.handle_event(pid, id),
            Happening::Drain(pid) => {
                if let Some(process) = self.process(pid) {
                    process.is_paused = false;
                    self.drain(pid);
                }
            }
            Happening::Die(pid) => {
                if self.process(pid).is_some_and(|process| process.die_after.is_some()) {
                    self.die(pid);
                }
            }
            Happening::Start(device, after) => {
                if self.devices[device].newest().is_none_or(|(life, _)| life < after) {
                    self.start(device);
                }
            }
            Happening::Connect(pid) => self.connect(pid),
            Happening::Scan(device, text) => self.scan(device, &text),
            Happening::Honest(device) => self.devices[device].store.lies = false,
            Happening::Steal(device) => {
                if let Some(linked) = &self.devices[device].linked {
                    let _ = self.relay.mail_of(&linked.jid);
                }
            }
            Happening::TellDevices => self.relay.faults().hide_device_changes(false),
        }
    }

    fn apply(&mut self, pid: Pid, commit: &Commit) {
        let now = self.now;
        let device = &mut self.devices[pid.device];
        let is_alive = device.processes.contains_key(&pid.life);
        // What a dying process gave to the store may still become durable, or not.
        if !is_alive && device.dice.chance(50) {
            return;
        }
        let result = device.store.apply(commit);
        self.transcript.note(now, b"applied", || format!("{}: commit {} {result:?}", name(pid), commit.id));
        let at = now + device.dice.below(self.quality.store_ms + 1);
        self.later(at, Happening::Committed(pid, commit.id, result));
    }

    fn handle_event(&mut self, pid: Pid, id: EventId) {
        if self.process(pid).is_none() {
            return;
        }
        let app = &mut self.devices[pid.device].app;
        let brought = app.texts.iter().filter(|(_, event)| **event == id).map(|(text, _)| text.clone());
        if !app.is_hasty {
            app.taken.extend(brought.collect::<Vec<_>>());
        }
        self.feed(pid, Input::Handled(id));
    }

    // --- bytes --------------------------------------------------------------------------------------------------------

    pub(super) fn transmit(&mut self, link: LinkId, way: Way, bytes: bytes::Bytes) {
        let (now, quality) = (self.now, self.quality);
        let Some(wire) = self.wires.get_mut(&link) else { return };
        if wire.is_dead {
            return;
        }
        let arrivals = wire.send(way, now, bytes, quality.latency_ms, quality.cuts, &mut self.dice);
        for at in arrivals {
            self.later(at, Happening::Arrive(link, way));
        }
    }

    pub(super) fn arrive(&mut self, link: LinkId, way: Way) {
        let (now, joins) = (self.now, self.quality.cuts);
        loop {
            let Some(wire) = self.wires.get_mut(&link) else { return };
            let pid = wire.process;
            if way == Way::ToHost {
                if wire.host_left {
                    return;
                }
                let process = self.devices[pid.device].processes.get(&pid.life);
                let wants = process.is_some_and(|process| process.client.wants_frames() && !process.is_paused);
                if !wants {
                    return;
                }
            }
            let Some(parcel) = wire.next(way, now, joins, &mut self.dice) else { return };
            match (way, parcel) {
                (Way::ToHost, Parcel::Bytes(bytes)) => {
                    self.transcript.note(now, &bytes, || format!("{} < {} bytes", name(pid), bytes.len()));
                    self.feed(pid, Input::Frame(bytes));
                }
                (Way::ToHost, Parcel::End) => {
                    wire.host_left = true;
                    if let Some(process) = self.process(pid).filter(|process| process.link == Some(link)) {
                        process.link = None;
                        self.feed(pid, Input::Closed(CloseReason::ByServer));
                    }
                }
                (Way::ToServer, Parcel::Bytes(bytes)) => {
                    if !wire.server_left {
                        let clock = self.relay_clock();
                        self.relay.handle(clock, RelayInput::Bytes(link, bytes));
                        self.hear_relay();
                    }
                }
                (Way::ToServer, Parcel::End) => self.server_loses(link),
            }
        }
    }

    fn server_loses(&mut self, link: LinkId) {
        if let Some(wire) = self.wires.get_mut(&link)
            && !wire.server_left
        {
            wire.server_left = true;
            let clock = self.relay_clock();
            self.relay.handle(clock, RelayInput::Closed(link));
            self.hear_relay();
        }
    }

    /// Takes everything that the server says.
    pub(super) fn hear_relay(&mut self) {
        while let Some(output) = self.relay.poll() {
            match output {
                RelayOutput::Bytes(link, bytes) => {
                    self.transcript.note(self.now, &bytes, || format!("server > {} bytes on {}", bytes.len(), link.0));
                    self.transmit(link, Way::ToHost, bytes);
                }
                RelayOutput::Close(link) => {
                    let (now, latency) = (self.now, self.quality.latency_ms);
                    let Some(wire) = self.wires.get_mut(&link) else { continue };
                    wire.server_left = true;
                    let clock = Now { mono: now, unix: BEGIN_UNIX + now };
                    self.relay.handle(clock, RelayInput::Closed(link));
                    if !wire.is_dead {
                        let at = wire.end(Way::ToHost, now, latency, &mut self.dice);
                        self.later(at, Happening::Arrive(link, Way::ToHost));
                    }
                }
                RelayOutput::Event(event) => self.told(&event),
            }
        }
    }

    fn told(&mut self, event: &RelayEvent) {
        if !matches!(event, RelayEvent::Overheard { .. }) {
            self.transcript.note(self.now, b"told", || format!("server: {event:?}"));
        }
        match event {
            RelayEvent::Linked(jid) => {
                self.tally.linked += 1;
                let device = self.scanned.remove(jid).expect("a device that was scanned");
                let account = &mut self.accounts[self.devices[device].account];
                account.pn = Some(jid.to_user());
                self.devices[device].linked = Some(Linked { jid: jid.clone(), since: self.now });
            }
            RelayEvent::Removed(jid) => {
                let gone = |device: &&mut Device| device.linked.as_ref().is_some_and(|linked| linked.jid == *jid);
                if let Some(device) = self.devices.iter_mut().find(gone) {
                    device.linked = None;
                }
            }
            RelayEvent::LoggedIn(jid) => self.answers.begin(jid),
            RelayEvent::MessageAccepted { id, .. } => {
                self.ledger.accepted(id);
                oracles::counters(&self.relay);
            }
            RelayEvent::Overheard { device, sent, stanza } => {
                let arrow = if *sent { '>' } else { '<' };
                self.transcript.note(self.now, b"overheard", || format!("server {arrow} {device:?} {stanza:?}"));
                oracles::stanza(self, device, stanza);
                self.answers.overhear(device, *sent, stanza);
                if *sent {
                    if stanza.tag == "message"
                        && let Some(id) = stanza.text("id")
                    {
                        self.ledger.delivered(device, &id);
                    }
                } else {
                    oracles::answered(self, device, stanza);
                }
            }
            _ => {}
        }
    }

    fn scan(&mut self, device: usize, text: &str) {
        let Device { account, is_given_up, .. } = self.devices[device];
        let away = self.accounts[account].phone_away_until > self.now;
        if is_given_up || away {
            return;
        }
        let number = self.accounts[account].pn.as_ref().map(|pn| pn.user().to_owned());
        let clock = self.relay_clock();
        if let Ok(jid) = self.relay.scan_qr(clock, number.as_deref(), text) {
            self.scanned.insert(jid, device);
        }
        self.hear_relay();
    }

    /// The device with this address.
    pub(super) fn device_of(&self, jid: &Jid) -> Option<&Device> {
        self.devices.iter().find(|device| device.linked.as_ref().is_some_and(|linked| linked.jid == *jid))
    }

    pub(super) fn process(&mut self, pid: Pid) -> Option<&mut super::device::Process> {
        self.devices.get_mut(pid.device)?.processes.get_mut(&pid.life)
    }

    pub(super) fn latency(&mut self) -> u64 {
        self.dice.below(self.quality.latency_ms + 1)
    }

    pub(super) fn tally_frames(&mut self, pid: Pid, frames: u64) {
        *self.frames.entry(pid.device).or_default() += frames;
    }

    // --- the end ------------------------------------------------------------------------------------------------------

    /// From now on nothing goes wrong.
    fn calm(&mut self) {
        self.transcript.note(self.now, b"calm", || "--- nothing goes wrong any more".to_owned());
        let now = self.now;
        self.relay.faults().clear();
        self.reveal();
        self.quality = Quality { latency_ms: 20, store_ms: 0, application_ms: 0, cuts: 0, pauses: 0, ..self.quality };
        for account in &mut self.accounts {
            account.phone_away_until = now;
        }
        for number in 0..self.devices.len() {
            let device = &mut self.devices[number];
            device.unreachable_until = now;
            device.inattentive_until = now;
            device.skew_ms = 0;
            (device.store.busy, device.store.full, device.store.unreadable) = (0, false, 0);
            device.store.slow_until = now;
            // Whoever ran a second process by mistake has found it.
            let lives = device.lives;
            let older: Vec<u32> = device.processes.keys().copied().filter(|life| *life != lives).collect();
            for process in device.processes.values_mut() {
                process.die_after = None;
            }
            older.into_iter().for_each(|life| self.die(Pid { device: number, life }));
            match self.devices[number].newest() {
                None => self.start(number),
                Some((life, _)) => self.connect(Pid { device: number, life }),
            }
            // What the server forgot to deliver comes on the next connection.
            self.act(Act::Kick { device: number });
        }
    }

    /// Whether a device is as it should be when nothing goes wrong.
    pub(super) fn is_well(&self, number: usize) -> bool {
        let device = &self.devices[number];
        if device.is_given_up && device.linked.is_none() {
            return true;
        }
        let Some((_, process)) = device.newest() else { return false };
        let health = process.client.health(device.clock(process, self.now));
        device.linked.is_some()
            && process.client.is_connected()
            && health.outbox == 0
            && health.inbox == 0
            && health.stanzas_waiting == 0
            && health.stalled.is_empty()
    }

    fn converge(&mut self, limit_ms: u64) {
        let end = self.now + limit_ms;
        while self.now < end {
            let moment = (self.now + 1_000).min(end);
            self.pass(moment);
            if oracles::unfinished(self).is_empty() {
                return;
            }
        }
        let unfinished = oracles::unfinished(self);
        assert!(unfinished.is_empty(), "never well again: {}", unfinished.join("; "));
    }

    /// Everybody writes to everybody once more, and everything is readable at once.
    fn probe(&mut self) {
        self.transcript.note(self.now, b"probe", || "--- everybody writes to everybody".to_owned());
        for device in 0..self.devices.len() {
            for account in 0..self.accounts.len() {
                self.send(device, account, false, true);
            }
        }
        self.converge(300_000);
        oracles::probes_were_readable(self);
    }

    /// Ten quiet minutes.
    fn rest(&mut self) {
        let before: Vec<(u32, u64, u64)> = self.counts();
        self.pass(self.now + 600_000);
        let after = self.counts();
        for (number, (before, after)) in before.iter().zip(after).enumerate() {
            assert_eq!(before.0, after.0, "device {number} was started anew for no reason");
            assert_eq!(before.2, after.2, "device {number} connects again for no reason");
            let frames = after.1 - before.1;
            assert!(frames <= 80, "device {number} writes {frames} frames in ten quiet minutes");
        }
    }

    fn counts(&self) -> Vec<(u32, u64, u64)> {
        let count = |device: &Device| match device.newest() {
            Some((life, process)) if device.linked.is_some() => (life, process.frames, process.opens),
            _ => (0, 0, 0),
        };
        self.devices.iter().map(count).collect()
    }

    /// Devices of the accounts that a message concerns, but for its sender: they must have it.
    pub(super) fn receivers(&self, sent: &Sent) -> BTreeSet<usize> {
        let accounts = [sent.to, self.devices[sent.device].account];
        let concerned = self.devices.iter().enumerate().filter(|(number, device)| {
            let since = device.linked.as_ref().map(|linked| linked.since);
            *number != sent.device && accounts.contains(&device.account) && since.is_some_and(|since| since < sent.at)
        });
        concerned.map(|(number, _)| number).collect()
    }
}
