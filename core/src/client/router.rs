//! Where each stanza goes: answers to their request, stream matters to the connection, the rest to its lane.

use super::ending::Ending;
use super::socket::Phase;
use super::{Client, Job};
use crate::api::{Event, Misuse};
use crate::binary::{Plain, Tape};
use crate::flow::{Failure, Query};
use crate::stanza::{
    Ack, Answer, EmptyResult, Incoming, NackReason, Refusal, ReturnAddress, ServerRequest, ServerRequestKind, Stanza,
};
use bytes::Bytes;

impl Client {
    pub(super) fn received(&mut self, bytes: Bytes) -> Result<(), Misuse> {
        if matches!(self.socket.phase, Phase::Down | Phase::Opening) {
            return Err(Misuse::WrongState("there is no connection that bytes could come from"));
        }
        self.socket.push(bytes);
        Ok(())
    }

    /// Reads one frame, if there is one and this client is not behind.
    pub(super) fn read_frame(&mut self) -> bool {
        if matches!(self.socket.phase, Phase::Down | Phase::Opening | Phase::Closing) || !self.wants_frames() {
            return false;
        }
        let frame = match self.socket.next_frame() {
            Ok(Some(frame)) => frame,
            Ok(None) => return false,
            Err(_) => {
                self.end(Ending::Lost);
                return true;
            }
        };
        self.timers.heard(self.now.mono, &mut self.rng);
        if matches!(self.socket.phase, Phase::AwaitingServerHello { .. }) {
            self.server_hello(&frame);
            return true;
        }
        match self.socket.open(frame) {
            Ok(plain) => self.stanza(&plain),
            Err(_) => self.end(Ending::Lost),
        }
        true
    }

    /// Sends a stanza on this connection.
    pub(super) fn send(&mut self, stanza: Plain) {
        if !self.socket.is_secure() {
            return;
        }
        match self.socket.seal(stanza) {
            Ok(frame) => self.outputs.push_back(crate::api::Output::Frame(frame)),
            Err(_) => self.end(Ending::Lost),
        }
    }

    /// Sends a request on this connection.
    pub(super) fn ask(&mut self, query: Query) {
        if !self.socket.is_secure() {
            return self.lose(query);
        }
        let id = self.queries.fresh_id();
        match query.write(&id) {
            Ok(stanza) => {
                self.queries.ask(self.now.mono, id, query);
                self.send(stanza);
            }
            Err(_) => self.lose(query),
        }
    }

    fn stanza(&mut self, plain: &Bytes) {
        // The framing is intact, so a stanza that cannot be read is dropped alone.
        let Ok(tape) = self.socket.decode(plain) else { return self.refuse("a frame does not hold a stanza") };
        match Incoming::parse(&tape) {
            Ok(incoming) => self.route(incoming, tape),
            Err(_) => {
                if let Ok(address) = ReturnAddress::parse(tape.root()) {
                    self.nack(address, NackReason::Parsing);
                }
                self.refuse("a stanza lacks what its kind must have");
            }
        }
    }

    fn refuse(&mut self, reason: &'static str) {
        self.tell(Event::StanzaRefused { reason });
    }

    fn route(&mut self, incoming: Incoming, tape: Tape) {
        match incoming {
            Incoming::Answer(answer) => self.answer(&answer, tape),
            Incoming::Request(request) => self.request(request),
            Incoming::Success(success) => {
                if matches!(self.socket.phase, Phase::AwaitingVerdict { .. }) && self.live.me.is_some() {
                    self.socket.phase = Phase::Up;
                    self.enqueue(Job::LoggedIn(success));
                }
            }
            Incoming::Failure(failure) => self.end(Ending::of_failure(failure.reason)),
            Incoming::StreamError(error) => self.end(Ending::of_stream_error(error.code, error.cause.as_ref())),
            Incoming::StreamEnd => self.end(Ending::Lost),
            Incoming::Unknown { address: Some(address), .. } => self.nack(address, NackReason::UnrecognizedStanza),
            Incoming::Unknown { address: None, .. } => {}
            other => self.enqueue(Job::Inbound(Box::new(other))),
        }
    }

    fn answer(&mut self, answer: &Answer, tape: Tape) {
        let Some(query) = self.queries.answered(&answer.id) else { return };
        let reply = match &answer.error {
            None => Ok(tape),
            Some(error) => Err(Failure::Refused(error.code)),
        };
        self.enqueue(Job::Reply(Box::new(query), reply));
    }

    fn request(&mut self, request: ServerRequest) {
        let ServerRequest { id, from: to, kind, .. } = request;
        match kind {
            ServerRequestKind::Ping => self.say(&EmptyResult { id, to }),
            ServerRequestKind::PairDevice(offer) => {
                self.say(&EmptyResult { id, to });
                if self.live.me.is_none() {
                    self.show_codes(&offer);
                }
            }
            ServerRequestKind::PairSuccess(success) => self.enqueue(Job::PairSuccess { id, success }),
            _ => self.say(&Refusal { id, to, code: 501, text: "feature-not-implemented" }),
        }
    }

    fn nack(&mut self, address: ReturnAddress, reason: NackReason) {
        self.say(&Ack::refusing(address, reason));
    }

    /// Sends a stanza that depends on nothing.
    fn say(&mut self, stanza: &impl Stanza) {
        if let Ok(plain) = stanza.plain() {
            self.send(plain);
        }
    }
}
