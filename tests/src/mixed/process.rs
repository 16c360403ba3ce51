//! What hosts do for their clients: carry out outputs, and say so, sooner or later.

use super::engine::{Happening, Mixed};
use super::wire::{Way, Wire};
use super::{Pid, oracles};
use whatsio_core::api::{CloseReason, Envelope, Event, FaultReason, Input, LoadRequest, Output, Recommendation};
use whatsio_core::relay::{LinkId, RelayInput};

impl Mixed {
    /// Gives a client something, and takes what comes of it.
    pub(super) fn feed(&mut self, pid: Pid, input: Input) {
        let now = self.now;
        let Some(device) = self.devices.get_mut(pid.device) else { return };
        let Some(process) = device.processes.get(&pid.life) else { return };
        let clock = device.clock(process, now);
        self.tally.crossings += 1;
        self.transcript.note(now, format!("{pid:?}<{input:?}").as_bytes(), || format!("{} < {input:?}", name(pid)));
        let Some(process) = device.processes.get_mut(&pid.life) else { return };
        let what = format!("{input:?}");
        if let Err(misuse) = process.client.handle(clock, input) {
            panic!("{} takes {what} for misuse: {misuse}", name(pid));
        }
        self.drain(pid);
    }

    /// Carries out what a client wants, all of it or the first part.
    pub(super) fn drain(&mut self, pid: Pid) {
        loop {
            let Some(process) = self.devices[pid.device].processes.get_mut(&pid.life) else { return };
            if process.is_paused {
                return;
            }
            let Some(output) = process.client.poll() else { break };
            if let Some(left) = &mut process.die_after {
                if *left == 0 {
                    return self.die(pid);
                }
                *left -= 1;
            }
            self.carry_out(pid, output);
            let pauses = self.quality.pauses;
            let device = &mut self.devices[pid.device];
            if pauses > 0 && device.dice.chance(pauses) {
                let at = self.now + device.dice.below(4);
                if let Some(process) = device.processes.get_mut(&pid.life) {
                    process.is_paused = true;
                    self.later(at, Happening::Drain(pid));
                }
            }
        }
        let Some(process) = self.devices[pid.device].processes.get(&pid.life) else { return };
        oracles::memory(process, &self.devices[pid.device].config.limits);
        if process.has_faulted {
            return self.bury(pid);
        }
        // Bytes wait in the network while a client does not want them.
        let link = process.link.filter(|_| process.client.wants_frames());
        if let Some(link) = link {
            self.arrive(link, Way::ToHost);
        }
    }

    fn carry_out(&mut self, pid: Pid, output: Output) {
        let now = self.now;
        self.tally.crossings += 1;
        // The bytes of frames are noted below.
        if !matches!(output, Output::Frame(_)) {
            let bytes = format!("{pid:?}>{output:?}");
            self.transcript.note(now, bytes.as_bytes(), || format!("{} > {output:?}", name(pid)));
        }
        match output {
            Output::Load(request) => self.load(pid, request),
            Output::Commit(commit) => {
                let at = now + self.store_delay(pid.device);
                self.later(at, Happening::Apply(pid, Box::new(commit)));
            }
            Output::Open(_) => {
                self.tally.connections += 1;
                self.serial += 1;
                let number = self.serial;
                let latency = self.latency();
                if let Some(process) = self.process(pid) {
                    assert!(process.link.is_none() && process.opening.is_none(), "two connections at once");
                    process.opening = Some(number);
                    process.opens += 1;
                }
                self.later(now + 1 + latency, Happening::Opened(pid, number));
            }
            Output::Frame(bytes) => {
                oracles::frame(&bytes);
                self.transcript.note(now, &bytes, || format!("{} > {} bytes", name(pid), bytes.len()));
                let Some(process) = self.process(pid) else { return };
                process.frames += 1;
                let Some(link) = process.link else { return };
                self.transmit(link, Way::ToServer, bytes);
            }
            Output::Close => {
                let Some(process) = self.process(pid) else { return };
                process.opening = None;
                let link = process.link.take();
                if let Some(link) = link {
                    self.leave(link);
                }
                // Said once per `Open`: whoever has faulted hears nothing any more.
                let has_faulted = self.process(pid).is_none_or(|process| process.has_faulted);
                if !has_faulted {
                    self.later(now, Happening::ClosedAtHost(pid, CloseReason::Asked));
                }
            }
            Output::Event(envelope) => self.event(pid, envelope),
            other => panic!("an output that this world does not know: {other:?}"),
        }
    }

    fn load(&mut self, pid: Pid, request: LoadRequest) {
        let at = self.now + self.store_delay(pid.device);
        let device = &mut self.devices[pid.device];
        // A store may answer from what was durable when it was asked, or from anything newer.
        let early = device.dice.chance(50);
        let read = |key| device.store.records.get(key).cloned();
        let records = early.then(|| request.keys.iter().map(read).collect());
        self.later(at, Happening::Load(pid, request, records));
    }

    fn event(&mut self, pid: Pid, envelope: Envelope) {
        let now = self.now;
        let Envelope { id, event, durable } = envelope;
        oracles::event_text(&event);
        let device = &mut self.devices[pid.device];
        if durable {
            let wait = device.dice.below(self.quality.application_ms + 1);
            let at = now.max(device.inattentive_until) + wait;
            self.see(pid.device, id, &event);
            self.later(at, Happening::Handle(pid, id));
        }
        match event {
            Event::QrShown { text, .. } => {
                self.devices[pid.device].store.private_keys.show(&text);
                let at = now + 300 + self.dice.below(8_000);
                self.later(at, Happening::Scan(pid.device, text));
            }
            // What was said to the device that it was before may be said to the new one, too.
            Event::Linked { .. } => self.devices[pid.device].app.begin_anew(),
            Event::SendQueued { id, .. } => {
                self.ledger.queued(id.as_str());
                self.devices[pid.device].app.unqueued.retain(|(known, ..)| *known != id);
            }
            Event::Disconnected(disconnect) => {
                if disconnect.recommendation == Recommendation::LinkAgain {
                    self.devices[pid.device].app.unqueued.clear();
                }
                // Who was thrown out by another process of its own device has had its time.
                let is_over = disconnect.recommendation == Recommendation::Replaced
                    && self.devices[pid.device].newest().is_some_and(|(life, _)| life != pid.life);
                if !disconnect.recommendation.reconnects() && !is_over {
                    let at = now + 2_000 + self.dice.below(30_000);
                    self.later(at, Happening::Connect(pid));
                }
            }
            Event::Faulted(reason) => {
                if let Some(process) = self.process(pid) {
                    process.has_faulted = true;
                }
                let is_newest = self.devices[pid.device].newest().is_some_and(|(life, _)| life == pid.life);
                if is_newest || reason == FaultReason::StoreFailed {
                    let at = now + 500 + self.dice.below(5_000);
                    self.later(at, Happening::Start(pid.device, pid.life + 1));
                }
            }
            _ => {}
        }
    }

    /// A process dies: what it wrote is still on its way, what it had in mind is gone.
    pub(super) fn die(&mut self, pid: Pid) {
        self.tally.deaths += 1;
        self.transcript.note(self.now, b"dies", || format!("{} dies", name(pid)));
        self.bury(pid);
    }

    fn bury(&mut self, pid: Pid) {
        let device = &mut self.devices[pid.device];
        let Some(process) = device.processes.remove(&pid.life) else { return };
        self.tally_frames(pid, process.frames);
        if let Some(link) = process.link {
            self.leave(link);
        }
    }

    /// A host closes its end of a connection.
    fn leave(&mut self, link: LinkId) {
        let latency = self.quality.latency_ms;
        let now = self.now;
        let Some(wire) = self.wires.get_mut(&link) else { return };
        wire.host_left = true;
        if wire.is_dead || wire.server_left {
            return;
        }
        let at = wire.end(Way::ToServer, now, latency, &mut self.dice);
        self.later(at, Happening::Arrive(link, Way::ToServer));
    }

    /// A connection is made, or cannot be.
    pub(super) fn opened(&mut self, pid: Pid, number: u64) {
        let now = self.now;
        let is_unreachable = now < self.devices[pid.device].unreachable_until;
        let Some(process) = self.process(pid).filter(|process| process.opening == Some(number)) else { return };
        process.opening = None;
        if is_unreachable {
            return self.feed(pid, Input::Closed(CloseReason::Unreachable));
        }
        let link = LinkId(number);
        process.link = Some(link);
        self.wires.insert(link, Wire::new(pid));
        let clock = self.relay_clock();
        self.relay.handle(clock, RelayInput::Opened(link));
        self.hear_relay();
        self.feed(pid, Input::Opened);
    }

    fn store_delay(&mut self, device: usize) -> u64 {
        let slow = if self.now < self.devices[device].store.slow_until { 4_000 } else { 0 };
        let delay = self.quality.store_ms + slow;
        self.devices[device].dice.below(delay + 1)
    }
}

/// A process, as transcripts name it.
pub(super) fn name(pid: Pid) -> String {
    format!("d{}.{}", pid.device, pid.life)
}
