//! Everything that happens because time has passed.

use super::backoff::STABLE_MS;
use super::socket::Phase;
use super::{Client, Job};
use crate::api::DisconnectReason;
use crate::crypto::rng::Rng;
use crate::flow::{self, Query};
use crate::types::Now;

/// Pings go out after 20 to 30 seconds, as peers' do.
const PING_MIN_MS: u64 = 20_000;
const PING_SPREAD_MS: u32 = 10_000;

/// Nothing at all for this long after a ping: the connection is dead though nobody said so.
const SILENCE_MS: u64 = 20_000;

/// Deadlines on the monotonic clock, in milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    /// When to connect again.
    pub(crate) reconnect: Option<u64>,
    /// When to ask the server whether it is there.
    ping: Option<u64>,
    /// When silence means that it is not.
    silence: Option<u64>,
    /// When to ask the phone for what could not be read.
    phone: Option<u64>,
    /// When this connection counts as good.
    stable: Option<u64>,
}

impl Timers {
    /// Something came from the server: it is there.
    pub(crate) fn heard(&mut self, mono: u64, rng: &mut Rng) {
        self.silence = None;
        self.ping = Some(mono.saturating_add(PING_MIN_MS + u64::from(rng.below(PING_SPREAD_MS))));
    }

    /// The server delivers: from now on the connection may prove itself.
    pub(crate) fn logged_in(&mut self, mono: u64) {
        self.stable = Some(mono.saturating_add(STABLE_MS));
    }

    /// The phone is to be asked at this time, if not before.
    pub(crate) fn ask_phone(&mut self, at: u64) {
        self.phone = Some(self.phone.map_or(at, |known| known.min(at)));
    }

    /// A connection that lived long enough ends the row of failures.
    pub(crate) fn connection_ended(&mut self, mono: u64) -> bool {
        let was_stable = self.stable.is_some_and(|at| at <= mono);
        *self = Self::default();
        was_stable
    }

    /// The connection is being closed: nothing is expected of it.
    pub(crate) const fn quiet(&mut self) {
        (self.ping, self.silence) = (None, None);
    }

    /// The socket is not read: whoever waits for an answer waits from now on.
    fn defer(&mut self, mono: u64) {
        if self.silence.is_some() {
            self.silence = Some(mono.saturating_add(SILENCE_MS));
        }
    }

    /// Whether it is time to show the server that this side is there. Nobody reads the answer.
    fn shows_itself(&mut self, mono: u64) -> bool {
        let is_due = self.ping.is_some_and(|at| at <= mono);
        if is_due {
            self.ping = Some(mono.saturating_add(PING_MIN_MS));
        }
        is_due
    }
}

impl Client {
    /// When to call [`handle`](Self::handle) with [`Tick`](crate::api::Input::Tick) at the latest, on the monotonic
    /// clock. `None`: only an input can change anything.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        if self.faulted {
            return None;
        }
        let can_read = self.unread && self.may_read();
        if !self.outputs.is_empty() || !self.schedule.is_idle() || can_read || self.barrier.can_commit() {
            return Some(self.now.mono);
        }
        let waiting = self.listens();
        let phase = match &self.socket.phase {
            Phase::AwaitingServerHello { deadline, .. } | Phase::AwaitingVerdict { deadline } => Some(*deadline),
            _ => None,
        };
        let all = [
            phase,
            self.timers.reconnect,
            self.timers.phone,
            self.timers.ping,
            self.timers.silence.filter(|_| waiting),
            self.queries.deadline().filter(|_| waiting),
            self.clocks.ack_deadline().filter(|_| waiting),
            self.stall_deadline(),
            self.live.linking.deadline(),
            self.barrier.deadline(),
            self.schedule.deadline(),
        ];
        all.into_iter().flatten().min()
    }

    /// Moves time forward and does what is due. A clock that goes backwards is ignored.
    pub(super) fn advance(&mut self, now: Now) {
        self.now = Now { mono: self.now.mono.max(now.mono), unix: now.unix };
        let mono = self.now.mono;
        if self.timers.reconnect.take_if(|at| *at <= mono).is_some() {
            self.enqueue(Job::Connect);
        }
        if self.timers.phone.take_if(|at| *at <= mono).is_some()
            && let Some(me) = self.live.me.as_ref().filter(|_| self.live.ready)
        {
            let phone = me.preferred().to_user();
            self.enqueue(Job::AskPhone { phone, settled: flow::Settled::new() });
        }
        match &self.socket.phase {
            Phase::AwaitingServerHello { deadline, .. } if *deadline <= mono => self.end(DisconnectReason::Silent),
            Phase::AwaitingVerdict { deadline } if *deadline <= mono => self.end(DisconnectReason::Silent),
            _ => {}
        }
        self.watch_linking();
        self.schedule.tick(mono);
        if self.listens() {
            self.watch(mono);
        } else {
            // While the socket is not read, silence proves nothing.
            self.timers.defer(mono);
            self.queries.defer(mono);
            self.clocks.defer(mono);
            // The server takes a client that is silent for gone.
            if self.socket.is_secure() && self.timers.shows_itself(mono) {
                self.ping_unheard();
            }
        }
        self.watch_stalls();
    }

    /// Whether silence proves anything: not while the socket is not read, and not when it is given up already.
    fn listens(&self) -> bool {
        self.wants_frames() && !matches!(self.socket.phase, Phase::Closing)
    }

    fn ping_unheard(&mut self) {
        let id = self.queries.fresh_id();
        if let Ok(stanza) = Query::Ping.write(&id) {
            self.send(stanza);
        }
    }

    fn watch(&mut self, mono: u64) {
        if self.timers.silence.is_some_and(|at| at <= mono) {
            return self.end(DisconnectReason::Silent);
        }
        if self.clocks.ack_deadline().is_some_and(|at| at <= mono) {
            return self.end(DisconnectReason::Silent);
        }
        while let Some(query) = self.queries.expired(mono) {
            // The server answers everything, so the connection is as good as dead: whoever waits asks on the next one.
            self.lose(query);
            self.end(DisconnectReason::Silent);
        }
        if self.socket.is_secure() && self.timers.ping.take_if(|at| *at <= mono).is_some() {
            self.ask(Query::Ping);
            self.timers.silence = Some(mono.saturating_add(SILENCE_MS));
        }
    }
}
