//! Where each stanza goes: answers to their request, stream matters to the connection, the rest to its lane.

use super::ending::Ending;
use super::socket::Phase;
use super::{Client, Job};
use crate::api::{DisconnectReason, Event, Misuse};
use crate::binary::{Plain, Tape};
use crate::flow::{Failure, LinkJob, Query};
use crate::stanza::{
    self, Ack, Answer, EmptyResult, Incoming, InfoBroadcast, NackReason, OfflineBatch, Refusal, ReturnAddress,
    ServerRequest, ServerRequestKind, Stanza,
};
use crate::types::Server;
use bytes::Bytes;

impl Client {
    pub(super) fn received(&mut self, bytes: Bytes) -> Result<(), Misuse> {
        if matches!(self.socket.phase, Phase::Down | Phase::Opening) {
            return Err(Misuse::WrongState("there is no connection that bytes could come from"));
        }
        self.socket.push(bytes);
        self.clocks.heard = Some(self.now.mono);
        self.unread = true;
        Ok(())
    }

    /// Reads one frame, if there is one and this client is not behind.
    pub(super) fn read_frame(&mut self) -> bool {
        if !self.may_read() {
            return false;
        }
        let frame = match self.socket.next_frame() {
            Ok(Some(frame)) => frame,
            Ok(None) => {
                self.unread = false;
                return false;
            }
            Err(_) => {
                self.end(DisconnectReason::Broken);
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
            Err(_) => self.end(DisconnectReason::Broken),
        }
        true
    }

    /// Whether the next frame may be looked at.
    pub(super) fn may_read(&self) -> bool {
        let is_open = !matches!(self.socket.phase, Phase::Down | Phase::Opening | Phase::Closing);
        is_open && self.wants_frames()
    }

    /// The socket is closed: the server may have said why before it did.
    pub(super) fn read_last_words(&mut self) {
        while self.ending.is_none()
            && let Ok(Some(frame)) = self.socket.next_frame()
            && let Ok(plain) = self.socket.open(frame)
        {
            let Ok(tape) = self.socket.decode(&plain) else { continue };
            match Incoming::parse(&tape) {
                Ok(Incoming::Failure(failure)) => self.ending = Some(self.of_failure(&failure)),
                Ok(Incoming::StreamError(error)) => {
                    self.ending = Some(Ending::of_stream_error(&error));
                }
                _ => {}
            }
        }
    }

    /// A device that was never linked cannot be logged out.
    fn of_failure(&self, failure: &stanza::Failure) -> Ending {
        let mut ending = Ending::of_failure(failure, self.announced);
        if let DisconnectReason::LoggedOut { code } = ending.reason
            && self.live.me.is_none()
        {
            ending.reason = DisconnectReason::Refused { code };
        }
        ending
    }

    /// Sends a stanza on this connection.
    pub(super) fn send(&mut self, stanza: Plain) {
        if !self.socket.is_secure() {
            return;
        }
        match self.socket.seal(stanza) {
            Ok(frame) => self.outputs.push_back(crate::api::Output::Frame(frame)),
            Err(_) => self.end(DisconnectReason::Broken),
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
                if let Ok(address) = ReturnAddress::parse_loosely(tape.root()) {
                    self.refuse_stanza(address, NackReason::Parsing);
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
            Incoming::Failure(failure) => self.end(self.of_failure(&failure)),
            Incoming::StreamError(error) => self.end(Ending::of_stream_error(&error)),
            Incoming::StreamEnd => self.end(DisconnectReason::ByServer),
            Incoming::Unknown { address: Some(address), .. } => self.nack(address, NackReason::UnrecognizedStanza),
            Incoming::Unknown { address: None, .. } => {}
            Incoming::Ib(news) => {
                for part in &news {
                    if matches!(part, InfoBroadcast::Offline { .. }) {
                        self.clocks.drained();
                    }
                    if let InfoBroadcast::OfflinePreview(preview) = part {
                        let count = self.backlog.announced(preview.count);
                        self.say(&OfflineBatch { count });
                    }
                }
                self.enqueue(Job::Inbound(Box::new(Incoming::Ib(news))));
            }
            Incoming::Notification(notice) if LinkJob::is_for(&notice) => {
                self.enqueue(Job::Link(LinkJob::Notice(notice)));
            }
            other => {
                if is_queued(&other) {
                    self.clocks.drains(self.now.mono);
                    if let Some(count) = self.backlog.seen() {
                        self.say(&OfflineBatch { count });
                    }
                }
                if let Some(address) =
                    address_of(&other).filter(|address| !is_storable(address) || has_endless_id(&other))
                {
                    self.refuse_stanza(address.clone(), NackReason::Parsing);
                    return self.refuse("an address or an id is longer than any can be");
                }
                self.enqueue(Job::Inbound(Box::new(other)));
            }
        }
    }

    /// Answers what cannot be understood, so that it does not block the queue.
    fn refuse_stanza(&mut self, address: ReturnAddress, reason: NackReason) {
        if address.class == "iq" {
            self.say(&Refusal { id: address.id, to: address.from, code: 500, text: "internal-error" });
        } else if address.from.server() == &Server::Broadcast {
            // A refused status comes back first at every login, and the server holds the rest back behind it.
            self.say(&Ack::of(address));
        } else {
            self.nack(address, reason);
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
                    self.open_registration(&offer);
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

/// Characters of the user part of an address. Real ones stay below 40; records are named after them.
const USER_CHARACTERS: usize = 128;

/// Characters of an id. Real ones stay below 40; messages are remembered by them.
const ID_CHARACTERS: usize = 128;

/// Whether the stanza waited at the server.
fn is_queued(incoming: &Incoming) -> bool {
    match incoming {
        Incoming::Message(message) => message.is_offline,
        Incoming::Receipt(receipt) => receipt.is_offline,
        Incoming::Notification(notification) => notification.is_offline,
        Incoming::Call(call) => call.is_offline,
        _ => false,
    }
}

fn address_of(incoming: &Incoming) -> Option<&ReturnAddress> {
    match incoming {
        Incoming::Message(message) => Some(&message.address),
        Incoming::Receipt(receipt) => Some(&receipt.address),
        Incoming::Notification(notification) => Some(&notification.address),
        _ => None,
    }
}

/// Whether what it names by id could not be remembered under that id.
fn has_endless_id(incoming: &Incoming) -> bool {
    let is_endless = |id: &str| id.len() > ID_CHARACTERS;
    let named = match incoming {
        Incoming::Receipt(receipt) => {
            receipt.ids.iter().chain(receipt.retry.iter().map(|retry| &retry.id)).any(|id| is_endless(id.as_str()))
        }
        _ => false,
    };
    named || address_of(incoming).is_some_and(|address| is_endless(&address.id))
}

fn is_storable(address: &ReturnAddress) -> bool {
    let named = [Some(&address.from), address.participant.as_ref(), address.recipient.as_ref()];
    named.into_iter().flatten().all(|jid| jid.user().len() <= USER_CHARACTERS)
}
