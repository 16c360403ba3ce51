//! The life of a connection: asked for, ended, gone, and what follows.

use super::backlog::Backlog;
use super::backoff::{Attempts, Backoff};
use super::ending::{Aftermath, Ending};
use super::socket::Phase;
use super::{Client, Job, flow};
use crate::api::{
    Disconnect, DisconnectReason, Endpoint, Event, LinkFailure, LinkFailureReason, LinkStep, Misuse, OpResult, Output,
    Recommendation,
};

impl Client {
    pub(super) fn open(&mut self, opening: Box<flow::Opening>) {
        if !self.wanted || !matches!(self.socket.phase, Phase::Down) {
            return;
        }
        self.live.connection += 1;
        self.opening = Some(opening);
        self.socket.phase = Phase::Opening;
        self.clocks.socket = Some(self.now.mono);
        let profile = &self.config.profile;
        self.outputs.push_back(Output::Open(Endpoint { url: profile.url.clone(), origin: profile.origin.clone() }));
    }

    /// Ends the connection from our side.
    pub(super) fn end(&mut self, ending: impl Into<Ending>) {
        if matches!(self.socket.phase, Phase::Down | Phase::Closing) {
            return;
        }
        self.ending.get_or_insert_with(|| ending.into());
        if matches!(self.socket.phase, Phase::AwaitingServerHello { resumed: true, .. }) {
            self.enqueue(Job::Remember(None));
        }
        self.socket.phase = Phase::Closing;
        self.clocks.socket = Some(self.now.mono);
        self.live.ready = false;
        self.live.linking.close();
        self.timers.quiet();
        self.outputs.push_back(Output::Close);
    }

    /// The connection is gone: everything that belonged to it goes too, then the table says what follows.
    pub(super) fn closed(&mut self, by_socket: Ending) -> Result<(), Misuse> {
        if matches!(self.socket.phase, Phase::Down) {
            return Err(Misuse::WrongState("there is no connection that could have closed"));
        }
        if matches!(self.socket.phase, Phase::AwaitingServerHello { resumed: true, .. }) {
            // The shorter handshake is given up after one failure, whatever it was.
            self.enqueue(Job::Remember(None));
        }
        self.read_last_words();
        let was_confirming = matches!(self.socket.phase, Phase::Confirming);
        let ending = self.ending.take().unwrap_or(by_socket);
        let ending =
            if was_confirming && self.live.me.is_some() { DisconnectReason::RestartRequired.into() } else { ending };
        self.socket.reset();
        self.live.ready = false;
        self.live.draining = false;
        self.live.available = false;
        self.live.uploading = false;
        self.live.issuing.clear();
        // The server delivers the requests again.
        self.live.resent.clear();
        self.live.activating = false;
        self.live.connection += 1;
        self.clocks.connection_ended();
        self.opening = None;
        self.live.linking.close();
        self.backlog = Backlog::default();
        self.unread = false;
        self.schedule.drop_connection_work();
        for query in self.queries.abandon() {
            self.lose(query);
        }
        if self.timers.connection_ended(self.now.mono) {
            self.backoff = Backoff::default();
            self.attempts = Attempts::default();
        }
        self.follow(ending);
        Ok(())
    }

    fn follow(&mut self, ending: Ending) {
        let current = self.config.profile.version;
        if !matches!(ending.reason, DisconnectReason::Asked | DisconnectReason::RestartRequired) {
            self.attempts.failures = self.attempts.failures.saturating_add(1);
        }
        let recommendation = match ending.aftermath() {
            // The caller has changed its mind while the connection was being closed.
            Aftermath::Stay(_) if ending.reason == DisconnectReason::Asked && self.wanted => {
                self.enqueue(Job::Connect);
                return;
            }
            Aftermath::AtOnce if self.wanted && self.attempts.at_once() => {
                self.enqueue(Job::Connect);
                return;
            }
            Aftermath::AtOnce if self.wanted => self.pause(0),
            Aftermath::Pause(steps) if self.wanted => self.pause(steps),
            Aftermath::Few(most) if self.wanted && self.attempts.one_more(most) => self.pause(0),
            Aftermath::AtOnce | Aftermath::Pause(_) | Aftermath::Few(_) => {
                self.stay_down(&ending);
                Recommendation::Stop
            }
            // Another profile has come while the refusal was on its way.
            Aftermath::Stay(Recommendation::UpdateProfile) if self.wanted && self.announced != current => self.pause(0),
            Aftermath::Stay(recommendation) => {
                if recommendation == Recommendation::Replaced {
                    self.not_before = self.next_attempt(0);
                }
                self.outdated = recommendation == Recommendation::UpdateProfile;
                self.stay_down(&ending);
                recommendation
            }
        };
        if recommendation == Recommendation::LinkAgain {
            // Nothing that is asked for from now on is asked of this account.
            self.live.me = None;
            self.enqueue(Job::Forget);
        }
        let Ending { reason, notice } = ending;
        self.tell(Event::Disconnected(Disconnect { reason, notice, recommendation }));
    }

    fn stay_down(&mut self, ending: &Ending) {
        self.wanted = false;
        if let (None, Some(code)) = (&self.live.me, ending.refusal()) {
            let (step, reason) = (LinkStep::Registration, LinkFailureReason::Refused(code));
            self.tell(Event::LinkFailed(LinkFailure { step, reason }));
        }
        if let Some(op) = self.live.linking.op.take() {
            self.tell(Event::OperationFinished { op, result: OpResult::Lost });
        }
    }

    fn pause(&mut self, steps: u32) -> Recommendation {
        let at = self.next_attempt(steps);
        self.timers.reconnect = Some(at);
        Recommendation::WaitUntil(at)
    }

    fn next_attempt(&mut self, steps: u32) -> u64 {
        self.backoff.skip(steps);
        self.now.mono.saturating_add(self.backoff.pause_ms(&mut self.rng))
    }
}
