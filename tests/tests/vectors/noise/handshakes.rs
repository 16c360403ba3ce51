//! Handshakes with all keys: every step, every message, both roles, and what a client must refuse.

use super::{bytes, hex, pair, public, roomy, root, secret, text};
use crate::suite::Outcome;
use crate::wire::same;
use bytes::BytesMut;
use prost::Message;
use whatsio_core::crypto::{KeyPair, PublicKey};
use whatsio_core::noise::pattern::{Pattern, Symmetric};
use whatsio_core::noise::responder::{Accepted, Answer, Responder, Resumption};
use whatsio_core::noise::{
    AwaitingServerHello, Deframer, Established, NoiseError, Preamble, Receiver, Sender, Transport, frame,
};
use whatsio_core::pairing::payload::{self, Intent};
use whatsio_fixtures::Hex;
use whatsio_fixtures::noise::{Handshake, Keys, Negative, PayloadInfo, TransportFrame};
use whatsio_proto::wa6::HandshakeMessage;

struct Pairs {
    root: KeyPair,
    server: KeyPair,
    server_ephemeral: KeyPair,
    client: KeyPair,
    client_ephemeral: KeyPair,
}

impl Pairs {
    fn new(keys: &Keys) -> Result<Self, String> {
        Ok(Self {
            root: pair(&keys.root)?,
            server: pair(&keys.server_static)?,
            server_ephemeral: pair(&keys.server_ephemeral)?,
            client: pair(&keys.client_static)?,
            client_ephemeral: pair(&keys.client_ephemeral)?,
        })
    }
}

pub(super) fn check(vector: &Handshake, now: u64) -> Outcome {
    let pairs = Pairs::new(&vector.privs)?;
    check_public_keys(vector, &pairs)?;
    check_payload(vector)?;
    check_trace(vector, &pairs)?;
    let (client, client_reply) = run_client(vector, &pairs, now)?;
    let server = run_server(vector, &pairs)?;
    same("ClientFinish", &client_reply, &vector.client_finish)?;
    same("client's key", &server.client, &pairs.client.public)?;
    same("payload", &hex(&server.payload), &vector.client_payload)?;
    for hash in [client.hash, server.hash] {
        same("handshake hash", &hex(&hash), &vector.handshake_hash)?;
    }
    check_wire(vector)?;
    check_transport(vector, client.transport, server.transport)
}

fn check_public_keys(vector: &Handshake, pairs: &Pairs) -> Outcome {
    let computed = [
        (&pairs.root, &vector.pubs.root),
        (&pair(&vector.privs.intermediate)?, &vector.pubs.intermediate),
        (&pairs.server, &vector.pubs.server_static),
        (&pairs.server_ephemeral, &vector.pubs.server_ephemeral),
        (&pairs.client, &vector.pubs.client_static),
        (&pairs.client_ephemeral, &vector.pubs.client_ephemeral),
    ];
    for (pair, expected) in computed {
        same("public key", &hex(pair.public.as_bytes()), expected)?;
    }
    if let (Some(private), Some(expected)) = (&vector.privs.stale_server_static, &vector.stale_server_static_pub) {
        same("stale public key", &hex(pair(private)?.public.as_bytes()), expected)?;
    }
    Ok(())
}

fn check_payload(vector: &Handshake) -> Outcome {
    let read = payload::read(&vector.client_payload).map_err(|error| error.to_string())?;
    match (&vector.client_payload_info, read.intent) {
        (PayloadInfo::Registration { version, identity_priv, signed_prekey_priv }, Intent::Register { keys, .. }) => {
            same("version", &read.version, version)?;
            same("build hash fits", &read.build_hash_fits, &true)?;
            same("identity", &keys.identity, &pair(identity_priv)?.public)?;
            same("signed pre-key", &keys.signed_prekey, &pair(signed_prekey_priv)?.public)
        }
        (PayloadInfo::Login { version, username, device }, Intent::LogIn { user, device: number, .. }) => {
            same("version", &read.version, version)?;
            same("user", &user, username)?;
            same("device", &number, device)
        }
        (_, intent) => Err(format!("payload is {intent:?}")),
    }
}

/// Takes the steps one by one in the client's role and compares the state after each.
fn check_trace(vector: &Handshake, pairs: &Pairs) -> Outcome {
    let pattern = pattern(&vector.pattern)?;
    let messages = Messages::new(vector)?;
    let mut state = Symmetric::unmixed(pattern);
    for step in &vector.trace {
        take_step(&mut state, pattern, &step.step, vector, pairs, &messages)
            .map_err(|why| format!("{}: {why}", step.step))?;
        let found = (hex(state.hash()), hex(state.chaining_key().expose()), hex(state.cipher_key().expose()));
        let expected = (step.h.clone(), step.ck.clone(), step.k.clone());
        same(&step.step, &(found, state.counter()), &(expected, step.n))?;
    }
    same("handshake hash", &hex(state.hash()), &vector.handshake_hash)?;
    let (to_server, to_client) = state.split();
    same("client's key", &hex(to_server.expose()), &vector.client_to_server_key)?;
    same("server's key", &hex(to_client.expose()), &vector.server_to_client_key)
}

fn take_step(
    state: &mut Symmetric,
    pattern: Pattern,
    step: &str,
    vector: &Handshake,
    pairs: &Pairs,
    messages: &Messages,
) -> Outcome {
    let ik = pattern == Pattern::Ik;
    match step {
        "init" => {}
        "mix_hash prologue" => state.mix_hash(&frame::PROLOGUE),
        "mix_hash server static (cached)" => state.mix_hash(pairs.server.public.as_bytes()),
        "mix_hash client ephemeral" => state.mix_hash(pairs.client_ephemeral.public.as_bytes()),
        "mix_hash server ephemeral" => state.mix_hash(pairs.server_ephemeral.public.as_bytes()),
        "mix_key ee" => state.mix_agreement(&pairs.client_ephemeral, &pairs.server_ephemeral.public).map_err(text)?,
        "mix_key es" => state.mix_agreement(&pairs.client_ephemeral, &pairs.server.public).map_err(text)?,
        "mix_key ss" => state.mix_agreement(&pairs.client, &pairs.server.public).map_err(text)?,
        "mix_key se" => state.mix_agreement(&pairs.client, &pairs.server_ephemeral.public).map_err(text)?,
        "encrypt server static" => encrypt(state, pairs.server.public.as_bytes(), &messages.server_static)?,
        "encrypt cert chain" | "encrypt server payload (cert chain)" => {
            encrypt(state, &vector.cert_chain, &messages.server_payload)?;
        }
        "encrypt client static" => {
            let sealed = if ik { &messages.hello_static } else { &messages.finish_static };
            encrypt(state, pairs.client.public.as_bytes(), sealed)?;
        }
        "encrypt client payload" => {
            let sealed = if ik { &messages.hello_payload } else { &messages.finish_payload };
            encrypt(state, &vector.client_payload, sealed)?;
        }
        other => return Err(format!("unknown step {other}")),
    }
    Ok(())
}

fn encrypt(state: &mut Symmetric, plain: &[u8], expected: &Hex) -> Outcome {
    let mut other_side = state.clone();
    let sealed = state.encrypt(plain).map_err(|error| error.to_string())?;
    same("ciphertext", &hex(&sealed), expected)?;
    let opened = other_side.decrypt(expected).map_err(|error| error.to_string())?;
    same("plaintext", &hex(&opened), &hex(plain))?;
    same("hash of the other side", &hex(other_side.hash()), &hex(state.hash()))
}

struct Messages {
    hello_static: Hex,
    hello_payload: Hex,
    server_static: Hex,
    server_payload: Hex,
    finish_static: Hex,
    finish_payload: Hex,
}

impl Messages {
    fn new(vector: &Handshake) -> Result<Self, String> {
        let decode = |message: &Hex| HandshakeMessage::decode(message.as_ref()).map_err(|error| error.to_string());
        let hello = decode(&vector.client_hello)?.client_hello.ok_or("no client hello")?;
        let server = decode(&vector.server_hello)?.server_hello.ok_or("no server hello")?;
        let finish = match &vector.client_finish {
            Some(finish) => decode(finish)?.client_finish,
            None => None,
        };
        let finish = finish.unwrap_or_default();
        let part = |bytes: Option<bytes::Bytes>| hex(&bytes.unwrap_or_default());
        Ok(Self {
            hello_static: part(hello.r#static),
            hello_payload: part(hello.payload),
            server_static: part(server.r#static),
            server_payload: part(server.payload),
            finish_static: part(finish.r#static),
            finish_payload: part(finish.payload),
        })
    }
}

fn run_client(vector: &Handshake, pairs: &Pairs, now: u64) -> Result<(Established, Option<Hex>), String> {
    let (client, ephemeral) = (pairs.client.clone(), pairs.client_ephemeral.clone());
    let remembered: Option<PublicKey> = match pattern(&vector.pattern)? {
        Pattern::Xx => None,
        Pattern::Ik => Some(pairs.server.public),
        Pattern::XxFallback => Some(public(vector.stale_server_static_pub.as_ref().ok_or("no stale server key")?)?),
    };
    let (state, hello) = match remembered {
        None => AwaitingServerHello::start_xx(client, ephemeral),
        Some(server) => {
            AwaitingServerHello::start_ik(client, ephemeral, server, &vector.client_payload).map_err(text)?
        }
    };
    same("ClientHello", &hex(&hello), &vector.client_hello)?;
    let established =
        state.receive(&vector.server_hello, &root(pairs.root.public), now, &vector.client_payload).map_err(text)?;
    same("client's pattern", &established.pattern, &pattern(&vector.pattern)?)?;
    let certificate = established.server.ok_or("the chain was not accepted")?;
    same("certified key", &certificate.key, &pairs.server.public)?;
    let reply = established.reply.as_deref().map(hex);
    Ok((established, reply))
}

fn run_server(vector: &Handshake, pairs: &Pairs) -> Result<Accepted, String> {
    let chain = bytes(&vector.cert_chain);
    let responder = Responder::new(pairs.server.clone(), pairs.server_ephemeral.clone(), chain.clone());
    let answer = responder.receive(&vector.client_hello, Resumption::Accept).map_err(text)?;
    if pattern(&vector.pattern)? == Pattern::XxFallback {
        // The same answer must come from a server that could not resume and from one that did not want to.
        let responder = Responder::new(pairs.server.clone(), pairs.server_ephemeral.clone(), chain);
        let refusal = responder.receive(&vector.client_hello, Resumption::Refuse).map_err(text)?;
        same("both fall-backs", &reply_of(&refusal), &reply_of(&answer))?;
    }
    same("ServerHello", &reply_of(&answer), &vector.server_hello)?;
    let accepted = match (answer, &vector.client_finish) {
        (Answer::Done { accepted, .. }, None) => *accepted,
        (Answer::Continue { next, .. }, Some(finish)) => next.receive(finish).map_err(text)?,
        _ => return Err("another answer than the recorded one".into()),
    };
    same("server's pattern", &accepted.pattern, &pattern(&vector.pattern)?)?;
    Ok(accepted)
}

fn reply_of(answer: &Answer) -> Hex {
    match answer {
        Answer::Continue { reply, .. } | Answer::Done { reply, .. } => hex(reply),
    }
}

fn check_wire(vector: &Handshake) -> Outcome {
    let preamble = Preamble { routing: vector.edge_routing.as_ref().map(bytes) };
    let mut first = preamble.write().map_err(|error| error.to_string())?.to_vec();
    let framed = |message: &Hex| frame::framed(message).map_err(|error| error.to_string());
    first.extend_from_slice(&framed(&vector.client_hello)?);
    same("first bytes of the client", &Hex(first), &vector.wire.client_first)?;
    same("bytes of the server", &hex(&framed(&vector.server_hello)?), &vector.wire.server)?;
    let second = match &vector.client_finish {
        Some(finish) => Some(hex(&framed(finish)?)),
        None => None,
    };
    same("second bytes of the client", &second, &vector.wire.client_second)?;
    let mut deframer = Deframer::new();
    deframer.push(bytes(&vector.wire.client_first));
    same("preamble", &deframer.preamble(), &Ok(Some(preamble)))?;
    let hello = deframer.next_frame().map_err(|error| error.to_string())?.ok_or("no frame")?;
    same("first frame", &hex(&hello), &vector.client_hello)
}

fn check_transport(vector: &Handshake, client: Transport, server: Transport) -> Outcome {
    let directions = [
        ("client_to_server", client.sender, server.receiver, secret(&vector.client_to_server_key)?),
        ("server_to_client", server.sender, client.receiver, secret(&vector.server_to_client_key)?),
    ];
    let mut checked = 0;
    for (direction, mut sender, mut receiver, key) in directions {
        let mut next = Some(0);
        for frame in vector.transport.iter().filter(|frame| frame.direction == direction) {
            if next != Some(frame.counter) {
                // The vectors leap over frames; from there on fresh ciphers of the same keys go on.
                sender = Sender::at(key.expose(), frame.counter);
                receiver = Receiver::at(key.expose(), frame.counter);
            }
            check_frame(frame, &mut sender, &mut receiver).map_err(|why| format!("frame {}: {why}", frame.counter))?;
            next = frame.counter.checked_add(1);
            if next.is_none() {
                same("after the last", &sender.seal(roomy(b"x")), &Err(NoiseError::CounterExhausted))?;
            }
            checked += 1;
        }
    }
    same("frames checked", &checked, &vector.transport.len())
}

fn check_frame(frame: &TransportFrame, sender: &mut Sender, receiver: &mut Receiver) -> Outcome {
    let sealed = sender.seal(roomy(&frame.plaintext)).map_err(text)?;
    let (_, ciphertext) = sealed.split_first_chunk::<3>().ok_or("no length")?;
    same("ciphertext", &hex(ciphertext), &frame.ciphertext)?;
    if let Some(wire) = &frame.wire {
        same("wire", &hex(&sealed), wire)?;
    }
    if let Some(nonce) = &frame.nonce {
        let mut expected = vec![0; 8];
        expected.extend_from_slice(&frame.counter.to_be_bytes());
        same("nonce", nonce, &Hex(expected))?;
    }
    let opened = receiver.open(BytesMut::from(&frame.ciphertext[..])).map_err(text)?;
    same("plaintext", &hex(&opened), &frame.plaintext)
}

pub(super) fn check_negative(vector: &Negative, now: u64) -> Outcome {
    let pairs = Pairs::new(&vector.base.privs)?;
    let (state, hello) = AwaitingServerHello::start_xx(pairs.client, pairs.client_ephemeral);
    same("ClientHello", &hex(&hello), &vector.base.client_hello)?;
    let Err(error) = state.receive(&vector.server_hello, &root(pairs.root.public), now, b"payload") else {
        return Err("the server hello was accepted".into());
    };
    let words: &[&str] = match error {
        NoiseError::Malformed(_) => &["malformed"],
        NoiseError::Static => &["decrypt static"],
        NoiseError::Payload => &["decrypt payload"],
        NoiseError::Agreement(_) => &["rejected low-order point", "low-order point"],
        NoiseError::Certificate(_) => &["certificate"],
        _ => &[],
    };
    if !vector.error.split(" or ").any(|expected| words.contains(&expected)) {
        return Err(format!("{error} instead of {}", vector.error));
    }
    Ok(())
}

pub(super) fn pattern(name: &str) -> Result<Pattern, String> {
    match name {
        "XX" => Ok(Pattern::Xx),
        "IK" => Ok(Pattern::Ik),
        "XXfallback" => Ok(Pattern::XxFallback),
        other => Err(format!("unknown pattern {other}")),
    }
}

/// The transports of a handshake have exactly these keys: a frame of one opens with the other.
pub(super) fn check_keys(server: &mut Transport, to_server: &Hex, to_client: &Hex) -> Outcome {
    let (to_server, to_client) = (secret(to_server)?, secret(to_client)?);
    let mut client = Transport::new(to_server.expose(), to_client.expose());
    for (sender, receiver) in [(&mut client.sender, &mut server.receiver), (&mut server.sender, &mut client.receiver)] {
        let sealed = sender.seal(roomy(b"probe")).map_err(text)?;
        let body = sealed.get(3..).unwrap_or_default();
        let opened = receiver.open(BytesMut::from(body)).map_err(text)?;
        same("probe", &hex(&opened), &hex(b"probe"))?;
    }
    Ok(())
}
