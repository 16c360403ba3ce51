//! The way in: the first bytes of a connection, its frames, the handshake's order, and the certificates shown in it.

use bytes::{Buf, Bytes, BytesMut};
use prost::Message;
use whatsio_proto::cert::CertChain;
use whatsio_proto::cert::cert_chain::{NoiseCertificate, noise_certificate};

use super::handshake::{Answer, AwaitingFinish, Credentials, PROLOGUE, Transport, answer_hello, framed};
use crate::crypto::{KeyPair, Rng};
use crate::types::Now;

/// The server's keys and certificates: a root that clients trust, an intermediate, and the key used in handshakes.
#[derive(Debug)]
pub(super) struct Authority {
    root: KeyPair,
    intermediate: KeyPair,
    server: KeyPair,
    chain: Vec<u8>,
    /// Unix seconds at which a new chain is made, well before this one expires.
    renewal: u64,
}

impl Authority {
    pub(super) fn new(rng: &mut Rng, now: Now) -> Self {
        let [root, intermediate, server] = [(); 3].map(|()| KeyPair::generate(rng));
        let mut authority = Self { root, intermediate, server, chain: Vec::new(), renewal: 0 };
        authority.renew(rng, now);
        authority
    }

    pub(super) const fn root_key(&self) -> [u8; 32] {
        *self.root.public.as_bytes()
    }

    /// Makes new certificates for the same keys when it is time to.
    pub(super) fn renew(&mut self, rng: &mut Rng, now: Now) {
        let seconds = now.unix_seconds();
        // Also when the clock went back to before the certificates begin.
        if seconds < self.renewal && seconds.saturating_add(VALIDITY) > self.renewal {
            return;
        }
        let valid = (seconds.saturating_sub(HEAD_START), seconds.saturating_add(VALIDITY));
        self.renewal = seconds.saturating_add(VALIDITY / 2);
        let intermediate = certificate(rng, &self.root, &self.intermediate, (INTERMEDIATE, ROOT), valid);
        let leaf = certificate(rng, &self.intermediate, &self.server, (LEAF, INTERMEDIATE), valid);
        self.chain = CertChain { leaf: Some(leaf), intermediate: Some(intermediate) }.encode_to_vec();
    }

    fn shown(&self, accept_ik: bool) -> Credentials<'_> {
        Credentials { server: &self.server, chain: &self.chain, accept_ik }
    }
}

fn certificate(
    rng: &mut Rng,
    issuer: &KeyPair,
    subject: &KeyPair,
    (serial, issuer_serial): (u32, u32),
    (not_before, not_after): (u64, u64),
) -> NoiseCertificate {
    let details = noise_certificate::Details {
        serial: Some(serial),
        issuer_serial: Some(issuer_serial),
        key: Some(Bytes::copy_from_slice(subject.public.as_bytes())),
        not_before: Some(not_before),
        not_after: Some(not_after),
    }
    .encode_to_vec();
    let signature = issuer.sign(&[&details], &rng.bytes());
    NoiseCertificate { details: Some(details.into()), signature: Some(Bytes::copy_from_slice(signature.as_bytes())) }
}

/// The first half of a connection's life, and its frames for all of it.
pub(super) struct Door {
    received: BytesMut,
    preamble_read: bool,
    longest: usize,
    awaiting: Option<Box<AwaitingFinish>>,
}

/// What a handshake message led to.
pub(super) enum Step {
    /// The client is to answer this.
    Reply(Bytes),
    /// The client is known.
    Done(Box<Done>),
}

/// A completed handshake.
pub(super) struct Done {
    pub(super) transport: Transport,
    /// What has to be sent before anything else.
    pub(super) reply: Option<Bytes>,
    pub(super) client_static: [u8; 32],
    pub(super) payload: Vec<u8>,
}

impl Door {
    pub(super) fn new() -> Self {
        Self { received: BytesMut::new(), preamble_read: false, longest: LONGEST_HANDSHAKE, awaiting: None }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
    }

    /// Lets longer frames in, once the handshake is over.
    pub(super) fn widen(&mut self, longest: usize) {
        self.longest = longest;
    }

    /// The next whole frame. Fails on anything that cannot be the beginning of a connection or is too long.
    pub(super) fn next_frame(&mut self) -> Result<Option<BytesMut>, &'static str> {
        if !self.preamble_read && !self.read_preamble()? {
            return Ok(None);
        }
        let Some(head) = self.received.first_chunk::<3>() else { return Ok(None) };
        let length = number(*head);
        if length == 0 {
            return Err("an empty frame");
        }
        if length > self.longest {
            return Err("a frame that is too long");
        }
        if self.received.len() < 3 + length {
            return Ok(None);
        }
        self.received.advance(3);
        Ok(Some(self.received.split_to(length)))
    }

    /// Reads what comes before the first frame; `false` while it is incomplete.
    fn read_preamble(&mut self) -> Result<bool, &'static str> {
        if let Some(head) = self.received.first_chunk::<7>()
            && let [b'E', b'D', 0, 1, length @ ..] = *head
        {
            let length = number(length);
            if length > LONGEST_ROUTING {
                return Err("routing information that is too long");
            }
            if self.received.len() < 7 + length + PROLOGUE.len() {
                return Ok(false);
            }
            self.received.advance(7 + length);
        }
        let known = self.received.len().min(PROLOGUE.len());
        let is_prologue = self.received.get(..known) == PROLOGUE.get(..known);
        let may_be_routing = self.received.len() < 7
            && [b'E', b'D', 0, 1].starts_with(self.received.get(..self.received.len().min(4)).unwrap_or_default());
        if !is_prologue && !may_be_routing {
            return Err("a beginning that is not the protocol's");
        }
        if !is_prologue || known < PROLOGUE.len() {
            return Ok(false);
        }
        self.received.advance(PROLOGUE.len());
        self.preamble_read = true;
        Ok(true)
    }

    /// Takes the next message of the handshake.
    pub(super) fn take(
        &mut self,
        frame: &[u8],
        authority: &Authority,
        rng: &mut Rng,
        accept_ik: bool,
    ) -> Result<Step, String> {
        let (finished, reply) = match self.awaiting.take() {
            Some(awaiting) => (awaiting.finish(frame).map_err(|error| error.to_string())?, None),
            None => {
                let answer = answer_hello(frame, KeyPair::generate(rng), authority.shown(accept_ik));
                match answer.map_err(|error| error.to_string())? {
                    Answer::Awaiting(reply, awaiting) => {
                        self.awaiting = Some(awaiting);
                        return Ok(Step::Reply(framed(&reply)));
                    }
                    Answer::Finished(reply, finished) => (*finished, Some(framed(&reply))),
                }
            }
        };
        let client_static = *finished.client_static.as_bytes();
        Ok(Step::Done(Box::new(Done {
            transport: finished.transport,
            reply,
            client_static,
            payload: finished.payload,
        })))
    }
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Door(..)")
    }
}

fn number([a, b, c]: [u8; 3]) -> usize {
    usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c)
}

/// Serial numbers of the certificates; 0 means the root.
const ROOT: u32 = 0;
const INTERMEDIATE: u32 = 7;
const LEAF: u32 = 21;

/// Seconds that a certificate was valid before it was made, for clients whose clocks are slow.
const HEAD_START: u64 = 24 * 3_600;

/// Seconds for which a certificate is valid.
const VALIDITY: u64 = 60 * 24 * 3_600;

/// Bytes in a handshake message.
const LONGEST_HANDSHAKE: usize = 64 << 10;

/// Bytes of routing information, opaque and of no use here.
const LONGEST_ROUTING: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(pieces: &[&[u8]]) -> Result<Vec<Vec<u8>>, &'static str> {
        let mut door = Door::new();
        let mut out = Vec::new();
        for piece in pieces {
            door.push(piece);
            while let Some(frame) = door.next_frame()? {
                out.push(frame.to_vec());
            }
        }
        Ok(out)
    }

    #[test]
    fn frames_come_out_however_the_bytes_are_cut() {
        let whole = [&b"WA\x06\x03"[..], &[0, 0, 2, 7, 8], &[0, 0, 1, 9]].concat();
        let single: Vec<&[u8]> = whole.chunks(1).collect();
        for pieces in [vec![&whole[..]], single] {
            assert_eq!(frames(&pieces), Ok(vec![vec![7, 8], vec![9]]));
        }
    }

    #[test]
    fn routing_information_is_skipped() {
        let whole = [&b"ED\0\x01\0\0\x03abc"[..], b"WA\x06\x03", &[0, 0, 1, 9]].concat();
        let single: Vec<&[u8]> = whole.chunks(1).collect();
        for pieces in [vec![&whole[..]], single] {
            assert_eq!(frames(&pieces), Ok(vec![vec![9]]));
        }
    }

    #[test]
    fn other_beginnings_and_impossible_frames_are_refused() {
        for bytes in [
            &b"GET / HTTP/1.1"[..],
            b"WA\x05\x03",
            b"EX",
            b"WA\x06\x03\0\0\0",
            b"WA\x06\x03\xFF\0\0",
            b"ED\0\x01\xFF\0\0",
        ] {
            assert!(frames(&[bytes]).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn certificates_are_renewed_before_they_expire() {
        let mut rng = Rng::new(&crate::types::Seed::new([1; 32]));
        let mut now = Now { mono: 0, unix: 1_780_000_000_000 };
        let mut authority = Authority::new(&mut rng, now);
        let first = authority.chain.clone();
        authority.renew(&mut rng, now);
        assert_eq!(authority.chain, first);
        now = now.plus(VALIDITY * 1_000 - 1);
        authority.renew(&mut rng, now);
        assert_ne!(authority.chain, first);
    }
}
