//! The way in: preamble, frames and the handshake's order on one connection, and the certificates shown in it.

use bytes::{Bytes, BytesMut};

use crate::crypto::{KeyPair, Rng};
use crate::noise::cert::Issuer;
use crate::noise::frame::framed;
use crate::noise::responder::{Accepted, Answer, AwaitingClientFinish, Responder, Resumption};
use crate::noise::{Deframer, FrameError, NoiseError, Validity};
use crate::types::Now;

/// The server's keys and certificates: a root that clients trust, an intermediate, and the key used in handshakes.
pub(super) struct Authority {
    root: KeyPair,
    intermediate: KeyPair,
    server: KeyPair,
    chain: Bytes,
    /// Unix seconds in which the chain is shown; outside, a new one is made.
    shown: Validity,
}

impl Authority {
    pub(super) fn new(rng: &mut Rng, now: Now) -> Self {
        let [root, intermediate, server] = [(); 3].map(|()| KeyPair::generate(rng));
        let shown = Validity { not_before: 0, not_after: 0 };
        let mut authority = Self { root, intermediate, server, chain: Bytes::new(), shown };
        authority.renew(rng, now);
        authority
    }

    pub(super) const fn root_key(&self) -> [u8; 32] {
        *self.root.public.as_bytes()
    }

    /// Makes another key for handshakes, with certificates.
    pub(super) fn replace_server(&mut self, rng: &mut Rng, now: Now) {
        self.server = KeyPair::generate(rng);
        self.chain = Bytes::new();
        self.renew(rng, now);
    }

    /// Makes new certificates for the same keys, well before the old ones expire.
    pub(super) fn renew(&mut self, rng: &mut Rng, now: Now) {
        let seconds = now.unix_seconds();
        if !self.chain.is_empty() && self.shown.contains(seconds) {
            return;
        }
        let not_before = seconds.saturating_sub(HEAD_START);
        self.shown = Validity { not_before, not_after: seconds.saturating_add(VALIDITY / 2) };
        let issuer = Issuer {
            root: &self.root,
            root_serial: 0,
            intermediate: &self.intermediate,
            intermediate_serial: 7,
            leaf_serial: 21,
            validity: Validity { not_before, not_after: seconds.saturating_add(VALIDITY) },
        };
        self.chain = issuer.issue(&self.server.public, rng);
    }
}

/// The frames of a connection, and its handshake until that is over.
pub(super) struct Door {
    deframer: Deframer,
    preamble_read: bool,
    awaiting: Option<Box<AwaitingClientFinish>>,
}

/// What a handshake message led to.
pub(super) enum Step {
    /// The client is to answer this.
    Reply(Bytes),
    /// The client is known; what has to be sent to it before anything else, if anything.
    Done(Box<Accepted>, Option<Bytes>),
}

impl Door {
    pub(super) fn new() -> Self {
        Self { deframer: Deframer::new(), preamble_read: false, awaiting: None }
    }

    pub(super) fn push(&mut self, bytes: Bytes) {
        self.deframer.push(bytes);
    }

    /// Lets longer frames in, once the handshake is over.
    pub(super) const fn widen(&mut self, longest: usize) {
        self.deframer.limit_to(longest);
    }

    /// The next whole frame. Fails on anything that cannot be the beginning of a connection or is too long.
    pub(super) fn next_frame(&mut self) -> Result<Option<BytesMut>, FrameError> {
        if !self.preamble_read {
            // Routing information means nothing to a single server.
            self.preamble_read = self.deframer.preamble()?.is_some();
            if !self.preamble_read {
                return Ok(None);
            }
        }
        self.deframer.next_frame()
    }

    /// Takes the next message of the handshake.
    pub(super) fn take(
        &mut self,
        frame: &[u8],
        authority: &Authority,
        rng: &mut Rng,
        resumption: Resumption,
    ) -> Result<Step, NoiseError> {
        if let Some(awaiting) = self.awaiting.take() {
            return Ok(Step::Done(Box::new(awaiting.receive(frame)?), None));
        }
        let (server, chain) = (authority.server.clone(), authority.chain.clone());
        match Responder::new(server, KeyPair::generate(rng), chain).receive(frame, resumption)? {
            Answer::Continue { reply, next } => {
                self.awaiting = Some(Box::new(next));
                Ok(Step::Reply(message(&reply)?))
            }
            Answer::Done { reply, accepted } => Ok(Step::Done(accepted, Some(message(&reply)?))),
        }
    }
}

fn message(bytes: &[u8]) -> Result<Bytes, NoiseError> {
    framed(bytes).map_err(|_| NoiseError::TooLong(bytes.len()))
}

/// Seconds that a certificate was valid before it was made, for clients whose clocks are slow.
const HEAD_START: u64 = 24 * 3_600;

/// Seconds for which a certificate is valid.
const VALIDITY: u64 = 60 * 24 * 3_600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_renewed_before_they_expire_and_when_the_clock_goes_back() {
        let mut rng = Rng::new(&crate::types::Seed::new([1; 32]));
        let start = Now { mono: 0, unix: 1_780_000_000_000 };
        let mut authority = Authority::new(&mut rng, start);
        let first = authority.chain.clone();
        authority.renew(&mut rng, start);
        assert_eq!(authority.chain, first);
        authority.renew(&mut rng, start.plus(VALIDITY * 1_000 - 1));
        assert_ne!(authority.chain, first);
        let second = authority.chain.clone();
        authority.renew(&mut rng, start);
        assert_ne!(authority.chain, second);
    }
}
