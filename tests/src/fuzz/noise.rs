//! Both halves of the handshake, with keys that never change: what a genuine peer said is damaged, or replaced.
//!
//! Nobody but the holder of the keys can get anywhere, so whatever differs from the genuine messages must be refused;
//! except where the protocol itself does not authenticate, which is said at the line.

use super::script::Script;
use bytes::{Bytes, BytesMut};
use prost::Message;
use std::sync::LazyLock;
use whatsio_core::crypto::{KeyPair, Rng};
use whatsio_core::noise::cert::{self, Issuer, Validity};
use whatsio_core::noise::handshake::{AwaitingServerHello, Established};
use whatsio_core::noise::pattern::Pattern;
use whatsio_core::noise::responder::{Accepted, Answer, Responder, Resumption};
use whatsio_core::noise::{RootOfTrust, Transport};
use whatsio_core::types::Seed;
use whatsio_proto::wa6::HandshakeMessage;

/// The client's half: a byte of choices, then damage to what the server says.
pub fn client(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let choices = script.byte();
    let (ik, resumption) = (choices & 1 != 0, [Resumption::Accept, Resumption::Refuse][usize::from(choices >> 1 & 1)]);
    if choices & 4 != 0 {
        certificate(&mut script);
        return;
    }
    let cast = &*CAST;
    let (client, hello) = cast.client(ik);
    let (reply, next, done) = cast.server(&hello, resumption);
    let damaged = if choices & 8 != 0 { script.piece().to_vec() } else { script.damaged(&reply) };
    let Ok(mut established) = client.receive(&damaged, &cast.trust, NOW, PAYLOAD) else {
        assert!(damaged != reply, "what the server said is refused");
        return;
    };
    assert!(same_words(&damaged, &reply), "something else than the server said is taken");
    let mut accepted = match (next, done) {
        (Some(next), _) => next.receive(established.reply.as_deref().expect("a finish")).expect("taken by the server"),
        (None, Some(done)) => done,
        (None, None) => unreachable!("a server answers"),
    };
    compare(&established, &accepted);
    talk(&mut script, &mut established.transport, &mut accepted.transport);
}

/// The server's half: a byte of choices, then damage to what the client says first and last.
pub fn server(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let choices = script.byte();
    let (ik, resumption) = (choices & 1 != 0, [Resumption::Accept, Resumption::Refuse][usize::from(choices >> 1 & 1)]);
    let cast = &*CAST;
    let (client, hello) = cast.client(ik);
    let damaged = if choices & 4 != 0 { script.piece().to_vec() } else { script.damaged(&hello) };
    let answer = cast.responder().receive(&damaged, resumption);
    let (reply, next) = match answer {
        Err(_) => return assert!(damaged != hello, "what the client said is refused"),
        Ok(Answer::Done { reply, accepted }) => {
            assert!(same_words(&damaged, &hello), "a stranger is taken for the client");
            assert!(accepted.client == cast.noise.public && accepted.payload == PAYLOAD);
            let mut established = client.receive(&reply, &cast.trust, NOW, PAYLOAD).expect("taken by the client");
            let mut accepted = *accepted;
            compare(&established, &accepted);
            return talk(&mut script, &mut accepted.transport, &mut established.transport);
        }
        Ok(Answer::Continue { reply, next }) => (reply, next),
    };
    let Ok(mut established) = client.receive(&reply, &cast.trust, NOW, PAYLOAD) else {
        // The damage was to what is mixed into the handshake, so the two never meet; anything may be said to the server.
        let words = script.piece();
        return assert!(next.receive(words).is_err(), "nobody can finish without the keys");
    };
    let finish = established.reply.clone().expect("a finish");
    let damaged = if choices & 8 != 0 { script.piece().to_vec() } else { script.damaged(&finish) };
    match next.receive(&damaged) {
        Ok(mut accepted) => {
            assert!(same_words(&damaged, &finish), "something else than the client said is taken");
            assert!(accepted.client == cast.noise.public && accepted.payload == PAYLOAD);
            compare(&established, &accepted);
            talk(&mut script, &mut accepted.transport, &mut established.transport);
        }
        Err(_) => assert!(damaged != finish, "what the client said is refused"),
    }
}

/// A chain of certificates with damage, or anything instead of one.
fn certificate(script: &mut Script<'_>) {
    let cast = &*CAST;
    let now = u64::from(script.u32());
    let bytes = if script.below(2) == 0 { script.damaged(&cast.chain) } else { script.piece().to_vec() };
    if let Ok(checked) = cert::check(&bytes, &cast.trust, &cast.server.public, now) {
        assert!(checked.key == cast.server.public && VALIDITY.contains(now), "an invalid certificate is taken");
    }
}

/// Frames in one direction, until one is damaged: it must not open.
fn talk(script: &mut Script<'_>, from: &mut Transport, to: &mut Transport) {
    while !script.is_over() {
        let words = script.short();
        if words.is_empty() {
            continue;
        }
        let mut frame = BytesMut::zeroed(3);
        frame.extend_from_slice(words);
        let sealed = from.seal(frame).expect("short enough");
        let body = sealed.get(3..).expect("a length").to_vec();
        let damaged = script.damaged(&body);
        match to.open(BytesMut::from(damaged.as_slice())) {
            Ok(opened) => assert!(damaged == body && opened == words, "a damaged frame opens"),
            Err(_) => return assert!(damaged != body, "a genuine frame does not open"),
        }
    }
}

fn compare(client: &Established, server: &Accepted) {
    assert!(client.hash == server.hash && client.pattern == server.pattern, "the two sides differ");
    assert_eq!(client.reply.is_none(), client.pattern == Pattern::Ik);
}

/// Whether two handshake messages differ at most in fields that nobody reads.
fn same_words(left: &[u8], right: &[u8]) -> bool {
    let words = |bytes: &[u8]| {
        let message = HandshakeMessage::decode(bytes).ok()?;
        let client = message.client_hello.map(|hello| (hello.ephemeral, hello.r#static, hello.payload));
        let server = message.server_hello.map(|hello| (hello.ephemeral, hello.r#static, hello.payload));
        let finish = message.client_finish.map(|finish| (finish.r#static, finish.payload));
        Some((client, server, finish))
    };
    let (Some(left), Some(right)) = (words(left), words(right)) else { return false };
    // A message may hold others besides the one that is read.
    (right.0.is_none() || left.0 == right.0)
        && (right.1.is_none() || left.1 == right.1)
        && (right.2.is_none() || left.2 == right.2)
}

struct Cast {
    trust: RootOfTrust,
    server: KeyPair,
    server_ephemeral: KeyPair,
    noise: KeyPair,
    ephemeral: KeyPair,
    chain: Bytes,
}

impl Cast {
    fn client(&self, ik: bool) -> (AwaitingServerHello, Bytes) {
        let (noise, ephemeral) = (self.noise.clone(), self.ephemeral.clone());
        if ik {
            return AwaitingServerHello::start_ik(noise, ephemeral, self.server.public, PAYLOAD).expect("a sound key");
        }
        AwaitingServerHello::start_xx(noise, ephemeral)
    }

    fn responder(&self) -> Responder {
        Responder::new(self.server.clone(), self.server_ephemeral.clone(), self.chain.clone())
    }

    fn server(
        &self,
        hello: &[u8],
        resumption: Resumption,
    ) -> (Bytes, Option<whatsio_core::noise::responder::AwaitingClientFinish>, Option<Accepted>) {
        match self.responder().receive(hello, resumption).expect("a genuine hello") {
            Answer::Continue { reply, next } => (reply, Some(next), None),
            Answer::Done { reply, accepted } => (reply, None, Some(*accepted)),
        }
    }
}

static CAST: LazyLock<Cast> = LazyLock::new(|| {
    let mut rng = Rng::new(&Seed::new([0x6e; 32]));
    let (root, intermediate, server) =
        (KeyPair::generate(&mut rng), KeyPair::generate(&mut rng), KeyPair::generate(&mut rng));
    let issuer = Issuer {
        root: &root,
        root_serial: 0,
        intermediate: &intermediate,
        intermediate_serial: 7,
        leaf_serial: 8,
        validity: VALIDITY,
    };
    Cast {
        trust: RootOfTrust { key: root.public, serial: 0 },
        chain: issuer.issue(&server.public, &mut rng),
        server,
        server_ephemeral: KeyPair::generate(&mut rng),
        noise: KeyPair::generate(&mut rng),
        ephemeral: KeyPair::generate(&mut rng),
    }
});

const NOW: u64 = 1_790_000_000;
const VALIDITY: Validity = Validity { not_before: NOW - 1_000, not_after: NOW + 1_000 };
const PAYLOAD: &[u8] = b"what the client says of itself";
