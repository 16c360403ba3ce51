//! The server's half of the handshake, for the relay. Draws no keys; the caller passes a fresh ephemeral pair per
//! connection. Knows nothing of accounts: who a static key belongs to is the caller's to look up.

use crate::crypto::{KeyPair, PublicKey};
use crate::noise::handshake::{public, raw};
use crate::noise::pattern::{Pattern, Symmetric};
use crate::noise::{NoiseError, Transport};
use bytes::Bytes;
use prost::Message;
use whatsio_proto::wa6::HandshakeMessage;
use whatsio_proto::wa6::handshake_message::{ClientHello, ServerHello};

/// What a server answers to a client that tries IK.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Resumption {
    /// Goes along when the client's key for us is right, else falls back to XX.
    #[default]
    Accept,
    /// Always falls back to XX.
    Refuse,
}

/// A server that waits for a `ClientHello`.
pub struct Responder {
    server: KeyPair,
    ephemeral: KeyPair,
    chain: Bytes,
}

/// A server that sent its hello of XX and waits for the `ClientFinish`.
pub struct AwaitingClientFinish {
    state: Symmetric,
    ephemeral: KeyPair,
    pattern: Pattern,
}

/// A client that finished the handshake.
pub struct Accepted {
    /// The client's static key: what identifies a device at login.
    pub client: PublicKey,
    /// The client payload, not yet parsed.
    pub payload: Bytes,
    /// Ciphers for everything that follows.
    pub transport: Transport,
    /// Which handshake it became.
    pub pattern: Pattern,
    /// Names this handshake; the same on both sides.
    pub hash: [u8; 32],
}

/// What follows a `ClientHello`; `reply` is the `ServerHello` message to send as a frame.
pub enum Answer {
    /// XX: the client still has to show its static key.
    Continue {
        /// `ServerHello`.
        reply: Bytes,
        /// The next state.
        next: AwaitingClientFinish,
    },
    /// IK: all is known.
    Done {
        /// `ServerHello`.
        reply: Bytes,
        /// The client.
        accepted: Box<Accepted>,
    },
}

impl Responder {
    /// A server with its static pair, a fresh ephemeral pair, and the chain of [`crate::noise::cert::Issuer::issue`].
    #[must_use]
    pub const fn new(server: KeyPair, ephemeral: KeyPair, chain: Bytes) -> Self {
        Self { server, ephemeral, chain }
    }

    /// Takes the client's first message. Fails with `Malformed` or `Agreement`; then close without an answer.
    pub fn receive(self, client_hello: &[u8], resumption: Resumption) -> Result<Answer, NoiseError> {
        let message = HandshakeMessage::decode(client_hello).map_err(|_| NoiseError::Malformed("not protobuf"))?;
        let hello = *message.client_hello.ok_or(NoiseError::Malformed("no client hello"))?;
        let client_ephemeral = public(hello.ephemeral.as_deref(), "client ephemeral")?;
        if hello.r#static.is_none() {
            return self.answer_xx(Pattern::Xx, &client_ephemeral);
        }
        if resumption == Resumption::Accept
            && let Some(answer) = self.answer_ik(&hello, &client_ephemeral)
        {
            return Ok(answer);
        }
        self.answer_xx(Pattern::XxFallback, &client_ephemeral)
    }

    fn answer_xx(self, pattern: Pattern, client_ephemeral: &PublicKey) -> Result<Answer, NoiseError> {
        let mut state = Symmetric::new(pattern);
        state.mix_hash(client_ephemeral.as_bytes());
        state.mix_hash(self.ephemeral.public.as_bytes());
        state.mix_agreement(&self.ephemeral, client_ephemeral)?;
        let sealed_static = state.encrypt(self.server.public.as_bytes()).map_err(|_| NoiseError::Static)?;
        state.mix_agreement(&self.server, client_ephemeral)?;
        let payload = state.encrypt(&self.chain).map_err(|_| NoiseError::TooLong(self.chain.len()))?;
        let reply = ServerHello {
            ephemeral: Some(raw(&self.ephemeral.public)),
            r#static: Some(sealed_static.into()),
            payload: Some(payload.into()),
            ..ServerHello::default()
        };
        let next = AwaitingClientFinish { state, ephemeral: self.ephemeral, pattern };
        Ok(Answer::Continue { reply: encode(reply), next })
    }

    /// `None` when the client's static key or payload does not decipher with our keys: it remembers another server.
    fn answer_ik(&self, hello: &ClientHello, client_ephemeral: &PublicKey) -> Option<Answer> {
        let mut state = Symmetric::new(Pattern::Ik);
        state.mix_hash(self.server.public.as_bytes());
        state.mix_hash(client_ephemeral.as_bytes());
        state.mix_agreement(&self.server, client_ephemeral).ok()?;
        let client = state.decrypt(hello.r#static.as_deref()?).ok()?;
        let client = PublicKey::from_slice(&client).ok()?;
        state.mix_agreement(&self.server, &client).ok()?;
        let payload = state.decrypt(hello.payload.as_deref()?).ok()?;
        state.mix_hash(self.ephemeral.public.as_bytes());
        state.mix_agreement(&self.ephemeral, client_ephemeral).ok()?;
        state.mix_agreement(&self.ephemeral, &client).ok()?;
        let chain = state.encrypt(&self.chain).ok()?;
        let reply = ServerHello {
            ephemeral: Some(raw(&self.ephemeral.public)),
            payload: Some(chain.into()),
            ..ServerHello::default()
        };
        let accepted = Accepted::new(&state, client, payload.into(), Pattern::Ik);
        Some(Answer::Done { reply: encode(reply), accepted: Box::new(accepted) })
    }
}

impl AwaitingClientFinish {
    /// Takes the client's second message. Fails with `Malformed`, `Static`, `Payload` or `Agreement`; then close
    /// without an answer.
    pub fn receive(mut self, client_finish: &[u8]) -> Result<Accepted, NoiseError> {
        let message = HandshakeMessage::decode(client_finish).map_err(|_| NoiseError::Malformed("not protobuf"))?;
        let finish = *message.client_finish.ok_or(NoiseError::Malformed("no client finish"))?;
        let sealed_static = finish.r#static.ok_or(NoiseError::Malformed("no client static"))?;
        let payload = finish.payload.ok_or(NoiseError::Malformed("no client payload"))?;
        let client = self.state.decrypt(&sealed_static).map_err(|_| NoiseError::Static)?;
        let client = PublicKey::from_slice(&client).map_err(|_| NoiseError::Malformed("client static"))?;
        self.state.mix_agreement(&self.ephemeral, &client)?;
        let payload = self.state.decrypt(&payload).map_err(|_| NoiseError::Payload)?;
        Ok(Accepted::new(&self.state, client, payload.into(), self.pattern))
    }
}

impl Accepted {
    fn new(state: &Symmetric, client: PublicKey, payload: Bytes, pattern: Pattern) -> Self {
        let (to_server, to_client) = state.split();
        let transport = Transport::new(to_client.expose(), to_server.expose());
        Self { client, payload, transport, pattern, hash: *state.hash() }
    }
}

fn encode(hello: ServerHello) -> Bytes {
    let message = HandshakeMessage { server_hello: Some(Box::new(hello)), ..HandshakeMessage::default() };
    message.encode_to_vec().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Rng;
    use crate::noise::cert::{CertError, Issuer, RootOfTrust, Validity};
    use crate::noise::{AwaitingServerHello, Established};
    use crate::types::Seed;
    use bytes::BytesMut;

    struct World {
        rng: Rng,
        client: KeyPair,
        server: KeyPair,
        chain: Bytes,
        root: RootOfTrust,
    }

    const VALIDITY: Validity = Validity { not_before: 1000, not_after: 2000 };

    fn world() -> World {
        let mut rng = Rng::new(&Seed::new([6; 32]));
        let (root, intermediate) = (KeyPair::generate(&mut rng), KeyPair::generate(&mut rng));
        let (client, server) = (KeyPair::generate(&mut rng), KeyPair::generate(&mut rng));
        let issuer = Issuer {
            root: &root,
            root_serial: 0,
            intermediate: &intermediate,
            intermediate_serial: 7,
            leaf_serial: 9,
            validity: VALIDITY,
        };
        let chain = issuer.issue(&server.public, &mut rng);
        World { client, server, chain, root: RootOfTrust { key: root.public, serial: 0 }, rng }
    }

    impl World {
        fn responder(&mut self) -> Responder {
            Responder::new(self.server.clone(), KeyPair::generate(&mut self.rng), self.chain.clone())
        }

        fn resume(&mut self, server: PublicKey) -> (AwaitingServerHello, Bytes) {
            let ephemeral = KeyPair::generate(&mut self.rng);
            AwaitingServerHello::start_ik(self.client.clone(), ephemeral, server, b"payload").unwrap()
        }
    }

    fn run(world: &mut World, hello: (AwaitingServerHello, Bytes), resumption: Resumption) -> (Established, Accepted) {
        let (state, hello) = hello;
        let (reply, next) = match world.responder().receive(&hello, resumption).unwrap() {
            Answer::Done { reply, accepted } => (reply, Err(accepted)),
            Answer::Continue { reply, next } => (reply, Ok(next)),
        };
        let established = state.receive(&reply, &world.root, 1500, b"payload").unwrap();
        let accepted = match next {
            Ok(next) => next.receive(established.reply.as_ref().unwrap()).unwrap(),
            Err(accepted) => *accepted,
        };
        (established, accepted)
    }

    #[test]
    fn all_three_handshakes_end_in_matching_ciphers() {
        let mut world = world();
        let stranger = KeyPair::generate(&mut world.rng).public;
        let ephemeral = KeyPair::generate(&mut world.rng);
        let first = AwaitingServerHello::start_xx(world.client.clone(), ephemeral);
        let known = world.server.public;
        let cases = [
            (first, Resumption::Accept, Pattern::Xx),
            (world.resume(known), Resumption::Accept, Pattern::Ik),
            (world.resume(known), Resumption::Refuse, Pattern::XxFallback),
            (world.resume(stranger), Resumption::Accept, Pattern::XxFallback),
        ];
        for (hello, resumption, pattern) in cases {
            let (mut client, mut server) = run(&mut world, hello, resumption);
            assert_eq!((client.pattern, server.pattern), (pattern, pattern));
            assert_eq!(client.hash, server.hash);
            assert_eq!(client.server.map(|server| (server.key, server.validity)), Some((known, VALIDITY)));
            assert_eq!((server.client, &server.payload[..]), (world.client.public, &b"payload"[..]));
            for (from, to) in [
                (&mut client.transport.sender, &mut server.transport.receiver),
                (&mut server.transport.sender, &mut client.transport.receiver),
            ] {
                let sealed = from.seal(BytesMut::from(&b"\0\0\0text"[..])).unwrap();
                assert_eq!(to.open(BytesMut::from(&sealed[3..])).unwrap(), b"text"[..]);
            }
        }
    }

    #[test]
    fn wrong_clock_is_told_apart_from_a_wrong_server() {
        let mut world = world();
        for (seconds, key, expected) in
            [(5000, world.root.key, CertError::Clock(VALIDITY)), (1500, world.client.public, CertError::Signature)]
        {
            let ephemeral = KeyPair::generate(&mut world.rng);
            let (state, hello) = AwaitingServerHello::start_xx(world.client.clone(), ephemeral);
            let answer = world.responder().receive(&hello, Resumption::Accept).unwrap();
            let Answer::Continue { reply, .. } = answer else { panic!("resumed") };
            let refused = state.receive(&reply, &RootOfTrust { key, serial: 0 }, seconds, b"payload");
            assert_eq!(refused.err(), Some(NoiseError::Certificate(expected)));
        }
    }

    #[test]
    fn changed_messages_are_refused_by_either_side_and_never_panic() {
        let mut world = world();
        for round in 0..300 {
            let server = world.server.public;
            let (state, hello) = world.resume(server);
            let responder = world.responder();
            let chain = world.chain.clone();
            let damage = |message: &[u8], rng: &mut Rng| {
                let mut message = message.to_vec();
                let at = rng.below(u32::try_from(message.len()).unwrap()) as usize;
                match round % 3 {
                    0 => message[at] ^= 1 << rng.below(8),
                    1 => message.truncate(at),
                    _ => message.insert(at, 0xFF),
                }
                message
            };
            let broken = damage(&hello, &mut world.rng);
            // A broken hello is refused, or answered as if it were another client's.
            if let Ok(Answer::Done { accepted, .. }) = responder.receive(&broken, Resumption::Accept) {
                assert_eq!(accepted.client, world.client.public);
            }
            let ephemeral = KeyPair::generate(&mut world.rng);
            let intact = Responder::new(world.server.clone(), ephemeral, chain).receive(&hello, Resumption::Refuse);
            let Ok(Answer::Continue { reply, .. }) = intact else { panic!("not answered") };
            let broken = damage(&reply, &mut world.rng);
            if let Ok(established) = state.receive(&broken, &world.root, 1500, b"payload") {
                // Only bytes outside of what is authenticated can differ, such as unknown fields.
                assert_eq!(established.server.map(|server| server.key), Some(world.server.public));
            }
        }
    }
}
