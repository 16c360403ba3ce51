//! Clocks: since when each stage waits, when that is too long, and how the client is as a whole. Reports only; what a
//! reconnect cures is cured by the timers.

use super::socket::{HANDSHAKE_MS, Phase};
use super::{Client, Lane};
use crate::api::{ConnectionPhase, Event, Health, LoadId, Stage};
use crate::types::Now;
use std::collections::{BTreeMap, BTreeSet};

/// How long the server may take to acknowledge a message before the connection is given up, in milliseconds.
const ACK_MS: u64 = 60_000;

/// Since when something waits, on the monotonic clock in milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Clocks {
    /// Bytes came in on this connection.
    pub(crate) heard: Option<u64>,
    /// The host was asked to open or close.
    pub(crate) socket: Option<u64>,
    /// The first waiting stanza is the first.
    pub(crate) inbound: Option<u64>,
    /// The store has the commit.
    pub(crate) commit: Option<u64>,
    /// Loads under way.
    loads: BTreeMap<LoadId, u64>,
    /// Loads fail.
    failing: Option<u64>,
    /// Durable events, by number, were told and not handled.
    events: BTreeMap<u64, u64>,
    /// Sends, by sequence number, went out on this connection and were not acknowledged.
    sends: BTreeMap<u64, u64>,
    /// Nothing counts that was sent before: nobody has read the answers.
    unread_until: u64,
    /// The server has delivered nothing more of what waited.
    drain: Option<u64>,
    /// The server has said that this was all of what waited.
    drained: bool,
    stalled: BTreeSet<Stage>,
}

impl Clocks {
    pub(crate) fn asked(&mut self, load: LoadId, mono: u64) {
        self.loads.insert(load, mono);
    }

    pub(crate) fn loaded(&mut self, load: LoadId) {
        self.loads.remove(&load);
        self.failing = None;
    }

    pub(crate) fn load_failed(&mut self, load: LoadId) {
        let since = self.loads.remove(&load);
        self.failing = self.failing.or(since);
    }

    pub(crate) fn told(&mut self, event: u64, mono: u64) {
        self.events.insert(event, mono);
    }

    pub(crate) fn handled(&mut self, event: u64) {
        self.events.remove(&event);
    }

    pub(crate) fn sent(&mut self, sequence: u64, mono: u64) {
        self.sends.insert(sequence, mono);
    }

    pub(crate) fn acked(&mut self, sequence: u64) {
        self.sends.remove(&sequence);
    }

    /// The socket is not read: whoever waits for the server waits from now on.
    pub(crate) fn defer(&mut self, mono: u64) {
        self.unread_until = mono;
        self.drains(mono);
    }

    /// The server was told to deliver. Returns whether something is still to come.
    pub(crate) fn delivering(&mut self, mono: u64) -> bool {
        self.drain = (!self.drained).then_some(mono);
        !self.drained
    }

    /// Something came that had waited.
    pub(crate) fn drains(&mut self, mono: u64) {
        self.drain = self.drain.map(|_| mono);
    }

    /// That was all of what had waited.
    pub(crate) const fn drained(&mut self) {
        (self.drain, self.drained) = (None, true);
    }

    pub(crate) fn connection_ended(&mut self) {
        self.drained = false;
        (self.heard, self.socket, self.inbound, self.drain) = (None, None, None, None);
        self.sends.clear();
    }

    /// Since when the oldest send waits for its acknowledgement.
    fn oldest_send(&self) -> Option<u64> {
        self.sends.values().next().map(|since| (*since).max(self.unread_until))
    }

    /// When an unacknowledged send means that the connection is as good as dead.
    pub(crate) fn ack_deadline(&self) -> Option<u64> {
        self.oldest_send().map(|since| since.saturating_add(ACK_MS))
    }

    fn store(&self) -> Option<u64> {
        let load = self.loads.values().next().copied();
        [self.commit, load, self.failing].into_iter().flatten().min()
    }
}

impl Client {
    /// How this client is at `now`.
    #[must_use]
    pub fn health(&self, now: Now) -> Health {
        let mono = self.now.mono.max(now.mono);
        let age = |since: u64| mono.saturating_sub(since);
        let waiting = |stage: &Stage| self.since(*stage).map(|since| (*stage, age(since)));
        Health {
            phase: match &self.socket.phase {
                Phase::Down => ConnectionPhase::Down,
                Phase::Opening => ConnectionPhase::Opening,
                Phase::AwaitingServerHello { .. } | Phase::AwaitingVerdict { .. } => ConnectionPhase::Handshake,
                Phase::Linking | Phase::Confirming => ConnectionPhase::Linking,
                Phase::Up if self.live.ready => ConnectionPhase::Ready,
                Phase::Up => ConnectionPhase::LoggedIn,
                Phase::Closing => ConnectionPhase::Closing,
            },
            wanted: self.wanted,
            reconnect_at: self.timers.reconnect,
            failures: self.attempts.failures,
            heard_ms: self.clocks.heard.map(age),
            waiting_ms: Stage::ALL.iter().filter_map(waiting).collect(),
            stalled: self.clocks.stalled.iter().copied().collect(),
            is_draining: self.live.draining,
            inbox: self.live.inbox.len(),
            outbox: self.live.outbox.len(),
            stanzas_waiting: self.schedule.waiting(&Lane::Inbound),
            requests: self.queries.len(),
            cached_bytes: self.cache.bytes(),
            waiting_bytes: self.barrier.waiting_bytes(),
            version: match &self.socket.phase {
                Phase::Down | Phase::Opening => self.config.profile.version,
                _ => self.announced,
            },
        }
    }

    /// Tells which stages have begun or ceased to stall.
    pub(super) fn watch_stalls(&mut self) {
        for stage in Stage::ALL {
            let since = self.since(stage);
            let is_late = since.is_some_and(|since| since.saturating_add(self.patience(stage)) <= self.now.mono);
            if is_late == self.clocks.stalled.contains(&stage) {
                continue;
            }
            match since.filter(|_| is_late) {
                Some(since_ms) => {
                    self.clocks.stalled.insert(stage);
                    if stage == Stage::OfflineQueue {
                        self.live.draining = false;
                    }
                    self.tell(Event::Stalled { stage, since_ms });
                }
                None => {
                    self.clocks.stalled.remove(&stage);
                    self.tell(Event::Resumed { stage });
                }
            }
        }
    }

    /// When the next stage begins to stall.
    pub(super) fn stall_deadline(&self) -> Option<u64> {
        let at = |stage: &Stage| self.since(*stage).map(|since| since.saturating_add(self.patience(*stage)));
        let untold = Stage::ALL.iter().filter(|stage| !self.clocks.stalled.contains(stage));
        untold.filter_map(at).min().map(|at| at.max(self.now.mono))
    }

    fn since(&self, stage: Stage) -> Option<u64> {
        match stage {
            Stage::Socket => self.clocks.socket,
            Stage::Server => match &self.socket.phase {
                Phase::AwaitingServerHello { deadline, .. } | Phase::AwaitingVerdict { deadline } => {
                    Some(deadline.saturating_sub(HANDSHAKE_MS))
                }
                Phase::Down | Phase::Opening | Phase::Closing => None,
                _ if !self.wants_frames() => None,
                _ => [self.queries.oldest(), self.clocks.oldest_send()].into_iter().flatten().min(),
            },
            Stage::Processing => self.clocks.inbound,
            Stage::Store => self.clocks.store(),
            Stage::Application => self.clocks.events.values().next().copied(),
            Stage::OfflineQueue => self.clocks.drain.filter(|_| self.wants_frames()),
        }
    }

    const fn patience(&self, stage: Stage) -> u64 {
        let limits = &self.config.limits.stalls;
        match stage {
            Stage::Socket => limits.socket_ms,
            Stage::Server => limits.server_ms,
            Stage::Processing => limits.processing_ms,
            Stage::Store => limits.store_ms,
            Stage::Application => limits.application_ms,
            Stage::OfflineQueue => limits.offline_queue_ms,
        }
    }
}
