//! The client's end of a connection: handshake, frames, strict check of the certificates.

use bytes::{Buf, Bytes, BytesMut};
use prost::Message;
use whatsio_proto::cert::CertChain;
use whatsio_proto::cert::cert_chain::noise_certificate::Details;
use whatsio_proto::wa6::HandshakeMessage;
use whatsio_proto::wa6::handshake_message::{ClientFinish, ClientHello};

use crate::binary::{DecodeLimits, Node, Role, Tape, Writer};
use crate::crypto::symmetric::{aes256_gcm_open, aes256_gcm_seal, hkdf_sha256, sha256};
use crate::crypto::{KeyPair, PublicKey, Rng, Signature};

const XX: &[u8; 32] = b"Noise_XX_25519_AESGCM_SHA256\0\0\0\0";

const IK: &[u8; 32] = b"Noise_IK_25519_AESGCM_SHA256\0\0\0\0";

pub(super) struct Wire {
    received: BytesMut,
    /// The server's static key, once it is known.
    pub(super) server: Option<PublicKey>,
    state: State,
}

enum State {
    Hello(Box<Hello>),
    Resuming(Box<Hello>),
    Open { write: [u8; 32], read: [u8; 32], sent: u32, received: u32 },
}

struct Hello {
    symmetric: Symmetric,
    ephemeral: KeyPair,
    noise: KeyPair,
    payload: Vec<u8>,
    root: [u8; 32],
}

impl Wire {
    /// Starts an XX handshake; gives the first bytes.
    pub(super) fn open(rng: &mut Rng, noise: &KeyPair, payload: Vec<u8>, root: [u8; 32]) -> (Self, Bytes) {
        let ephemeral = KeyPair::generate(rng);
        let mut symmetric = Symmetric::new(*XX);
        symmetric.mix_hash(ephemeral.public.as_bytes());
        let hello = ClientHello { ephemeral: Some(raw(&ephemeral.public)), ..Default::default() };
        let message = HandshakeMessage { client_hello: Some(Box::new(hello)), ..Default::default() };
        let first = [&b"WA\x06\x03"[..], &frame(&message.encode_to_vec())].concat();
        let state = State::Hello(Box::new(Hello { symmetric, ephemeral, noise: noise.clone(), payload, root }));
        (Self { received: BytesMut::new(), server: None, state }, first.into())
    }

    /// Starts an IK handshake with a server known from before; gives the first bytes, routing information in front.
    pub(super) fn resume(rng: &mut Rng, noise: &KeyPair, payload: &[u8], server: PublicKey) -> (Self, Bytes) {
        let ephemeral = KeyPair::generate(rng);
        let mut symmetric = Symmetric::new(*IK);
        symmetric.mix_hash(server.as_bytes());
        symmetric.mix_hash(ephemeral.public.as_bytes());
        symmetric.mix_key(&ephemeral, &server);
        let sealed_key = symmetric.seal(noise.public.as_bytes());
        symmetric.mix_key(noise, &server);
        let sealed = symmetric.seal(payload);
        let hello = ClientHello {
            ephemeral: Some(raw(&ephemeral.public)),
            r#static: Some(sealed_key.into()),
            payload: Some(sealed.into()),
            ..Default::default()
        };
        let message = HandshakeMessage { client_hello: Some(Box::new(hello)), ..Default::default() };
        let first = [&b"ED\0\x01\0\0\x02xyWA\x06\x03"[..], &frame(&message.encode_to_vec())].concat();
        let resuming = Hello { symmetric, ephemeral, noise: noise.clone(), payload: Vec::new(), root: [0; 32] };
        let state = State::Resuming(Box::new(resuming));
        (Self { received: BytesMut::new(), server: Some(server), state }, first.into())
    }

    pub(super) fn seal(&mut self, node: &Node) -> Bytes {
        let mut writer = Writer::new(Role::Client);
        node.write(&mut writer);
        self.seal_raw(writer.finish().expect("writes").packed())
    }

    pub(super) fn seal_raw(&mut self, plain: &[u8]) -> Bytes {
        let State::Open { write, sent, .. } = &mut self.state else { panic!("not open") };
        let sealed = aes256_gcm_seal(write, &nonce(*sent), &[], plain).unwrap();
        *sent += 1;
        frame(&sealed).into()
    }

    /// Takes bytes from the server: gives stanzas, or the second message of the handshake.
    pub(super) fn take(&mut self, bytes: &[u8], _: &mut Rng) -> (Vec<Node>, Option<Bytes>) {
        self.received.extend_from_slice(bytes);
        let (mut nodes, mut reply) = (Vec::new(), None);
        while let Some(body) = self.next_frame() {
            match &mut self.state {
                State::Hello(_) => reply = Some(self.finish(&body)),
                State::Resuming(_) => self.resumed(&body),
                State::Open { read, received, .. } => {
                    let plain = aes256_gcm_open(read, &nonce(*received), &[], &body).expect("opens");
                    *received += 1;
                    let tape = Tape::decode(&plain.into(), Role::Client, &DecodeLimits::DEFAULT).expect("decodes");
                    nodes.push(tape.root().to_node());
                }
            }
        }
        (nodes, reply)
    }

    fn next_frame(&mut self) -> Option<BytesMut> {
        let [a, b, c] = *self.received.first_chunk()?;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        if self.received.len() < 3 + length {
            return None;
        }
        self.received.advance(3);
        Some(self.received.split_to(length))
    }

    fn resumed(&mut self, body: &[u8]) {
        let State::Resuming(own) = &mut self.state else { panic!("not resuming") };
        let hello = HandshakeMessage::decode(body).unwrap().server_hello.expect("a server hello");
        assert!(hello.r#static.is_none(), "the server fell back");
        let theirs = PublicKey::from_slice(&hello.ephemeral.unwrap()).unwrap();
        own.symmetric.mix_hash(theirs.as_bytes());
        own.symmetric.mix_key(&own.ephemeral, &theirs);
        own.symmetric.mix_key(&own.noise, &theirs);
        own.symmetric.open(&hello.payload.unwrap());
        let (write, read) = own.symmetric.derive(&[]);
        self.state = State::Open { write, read, sent: 0, received: 0 };
    }

    fn finish(&mut self, body: &[u8]) -> Bytes {
        let State::Hello(own) = &mut self.state else { panic!("open") };
        let Hello { symmetric, ephemeral, noise, payload, root } = &mut **own;
        let hello = HandshakeMessage::decode(body).unwrap().server_hello.expect("a server hello");
        let theirs = PublicKey::from_slice(&hello.ephemeral.unwrap()).unwrap();
        symmetric.mix_hash(theirs.as_bytes());
        symmetric.mix_key(ephemeral, &theirs);
        let server = PublicKey::from_slice(&symmetric.open(&hello.r#static.unwrap())).unwrap();
        symmetric.mix_key(ephemeral, &server);
        check(&symmetric.open(&hello.payload.unwrap()), &server, root);
        let sealed_key = symmetric.seal(noise.public.as_bytes());
        symmetric.mix_key(noise, &theirs);
        let sealed = symmetric.seal(payload);
        let finish =
            ClientFinish { r#static: Some(sealed_key.into()), payload: Some(sealed.into()), ..Default::default() };
        let message = HandshakeMessage { client_finish: Some(Box::new(finish)), ..Default::default() };
        let (write, read) = symmetric.derive(&[]);
        self.server = Some(server);
        self.state = State::Open { write, read, sent: 0, received: 0 };
        frame(&message.encode_to_vec()).into()
    }
}

fn check(chain: &[u8], server: &PublicKey, root: &[u8; 32]) {
    let chain = CertChain::decode(chain).unwrap();
    let (leaf, intermediate) = (chain.leaf.unwrap(), chain.intermediate.unwrap());
    let details = |bytes: &Option<Bytes>| Details::decode(bytes.clone().unwrap()).unwrap();
    let (below, above) = (details(&leaf.details), details(&intermediate.details));
    let verify = |key: &[u8], bytes: &Option<Bytes>, signature: &Option<Bytes>| {
        let signature = Signature::from_slice(signature.as_deref().unwrap()).unwrap();
        PublicKey::from_slice(key).unwrap().verify(&[bytes.as_deref().unwrap()], &signature).expect("signed");
    };
    verify(root, &intermediate.details, &intermediate.signature);
    verify(above.key.as_deref().unwrap(), &leaf.details, &leaf.signature);
    assert_eq!((above.issuer_serial.unwrap_or(0), below.issuer_serial), (0, above.serial));
    assert_eq!(below.key.as_deref(), Some(&server.as_bytes()[..]));
}

struct Symmetric {
    hash: [u8; 32],
    chaining: [u8; 32],
    key: [u8; 32],
    count: u32,
}

impl Symmetric {
    fn new(name: [u8; 32]) -> Self {
        let mut fresh = Self { hash: name, chaining: name, key: name, count: 0 };
        fresh.mix_hash(b"WA\x06\x03");
        fresh
    }

    fn mix_hash(&mut self, data: &[u8]) {
        self.hash = sha256(&[&self.hash, data]);
    }

    fn mix_key(&mut self, own: &KeyPair, theirs: &PublicKey) {
        (self.chaining, self.key) = self.derive(own.agree(theirs).unwrap().expose());
        self.count = 0;
    }

    fn derive(&self, material: &[u8]) -> ([u8; 32], [u8; 32]) {
        let both = hkdf_sha256::<64>(Some(&self.chaining), material, &[]);
        (*both.expose().first_chunk().unwrap(), *both.expose().last_chunk().unwrap())
    }

    fn seal(&mut self, plain: &[u8]) -> Vec<u8> {
        let sealed = aes256_gcm_seal(&self.key, &nonce(self.count), &self.hash, plain).unwrap();
        self.count += 1;
        self.mix_hash(&sealed);
        sealed
    }

    fn open(&mut self, sealed: &[u8]) -> Vec<u8> {
        let plain = aes256_gcm_open(&self.key, &nonce(self.count), &self.hash, sealed).expect("opens");
        self.count += 1;
        self.mix_hash(sealed);
        plain
    }
}

fn raw(key: &PublicKey) -> Bytes {
    Bytes::copy_from_slice(key.as_bytes())
}

fn frame(body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len()).unwrap().to_be_bytes()[1..], body].concat()
}

fn nonce(count: u32) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[8..].copy_from_slice(&count.to_be_bytes());
    nonce
}
