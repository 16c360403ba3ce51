//! The server's half of the Noise handshake: XX, IK, and XXfallback where an IK hello cannot or shall not be answered as
//! such. Written from the protocol and checked against recordings of foreign clients, so that our own client meets a
//! server that does not share its mistakes. Knows neither frames nor what the payload says.

use bytes::{Bytes, BytesMut};
use prost::Message;
use whatsio_proto::wa6::HandshakeMessage;
use whatsio_proto::wa6::handshake_message::{ClientHello, ServerHello};

use crate::binary::Plain;
use crate::crypto::symmetric::{Gcm, hkdf_sha256, sha256};
use crate::crypto::{KeyPair, PublicKey, Secret};

/// The four bytes that every client sends first and both sides hash.
pub(super) const PROLOGUE: [u8; 4] = [b'W', b'A', 6, 3];

/// What the server shows in a handshake.
#[derive(Clone, Copy)]
pub(super) struct Credentials<'a> {
    /// The key that the leaf certificate is about.
    pub(super) server: &'a KeyPair,
    /// The encoded certificates.
    pub(super) chain: &'a [u8],
    /// Whether a hello in the IK form is answered in it.
    pub(super) accept_ik: bool,
}

/// What follows from a client's hello.
pub(super) enum Answer {
    /// The reply, and what is needed to read the client's second message.
    Awaiting(Vec<u8>, Box<AwaitingFinish>),
    /// The reply, and the client is known already.
    Finished(Vec<u8>, Box<Finished>),
}

/// A handshake whose second client message is still to come.
pub(super) struct AwaitingFinish {
    symmetric: Symmetric,
    ephemeral: KeyPair,
}

/// A completed handshake.
pub(super) struct Finished {
    pub(super) client_static: PublicKey,
    pub(super) payload: Vec<u8>,
    pub(super) transport: Transport,
}

/// Why a handshake failed. A client gets no answer to that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HandshakeError {
    /// A message or a part of it does not parse.
    #[error("a handshake message does not parse")]
    Malformed,
    /// A part does not decipher or a key is a bad point.
    #[error("a handshake message does not open")]
    Forged,
}

/// Answers a client's hello with a fresh ephemeral key.
pub(super) fn answer_hello(frame: &[u8], ephemeral: KeyPair, shown: Credentials<'_>) -> Result<Answer, HandshakeError> {
    let message = HandshakeMessage::decode(frame).map_err(|_| HandshakeError::Malformed)?;
    let hello = message.client_hello.ok_or(HandshakeError::Malformed)?;
    let theirs = point(hello.ephemeral.as_deref())?;
    if hello.r#static.is_none() {
        return answer_xx(NAME_XX, &theirs, ephemeral, shown);
    }
    // A client that remembers another server key than ours cannot be answered in IK; everybody understands the fallback.
    let ik = if shown.accept_ik { answer_ik(&hello, &theirs, &ephemeral, shown).ok() } else { None };
    ik.map_or_else(|| answer_xx(NAME_FALLBACK, &theirs, ephemeral, shown), Ok)
}

fn answer_xx(
    name: &[u8],
    theirs: &PublicKey,
    ephemeral: KeyPair,
    shown: Credentials<'_>,
) -> Result<Answer, HandshakeError> {
    let mut symmetric = Symmetric::new(name);
    symmetric.mix_hash(theirs.as_bytes());
    symmetric.mix_hash(ephemeral.public.as_bytes());
    symmetric.mix_agreement(&ephemeral, theirs)?;
    let sealed_key = symmetric.seal(shown.server.public.as_bytes())?;
    symmetric.mix_agreement(shown.server, theirs)?;
    let payload = symmetric.seal(shown.chain)?;
    let reply = server_hello(&ephemeral.public, Some(sealed_key), payload);
    Ok(Answer::Awaiting(reply, Box::new(AwaitingFinish { symmetric, ephemeral })))
}

fn answer_ik(
    hello: &ClientHello,
    theirs: &PublicKey,
    ephemeral: &KeyPair,
    shown: Credentials<'_>,
) -> Result<Answer, HandshakeError> {
    let mut symmetric = Symmetric::new(NAME_IK);
    symmetric.mix_hash(shown.server.public.as_bytes());
    symmetric.mix_hash(theirs.as_bytes());
    symmetric.mix_agreement(shown.server, theirs)?;
    let client_static = point(Some(&symmetric.open(hello.r#static.as_deref().unwrap_or_default())?))?;
    symmetric.mix_agreement(shown.server, &client_static)?;
    let payload = symmetric.open(hello.payload.as_deref().ok_or(HandshakeError::Malformed)?)?;
    symmetric.mix_hash(ephemeral.public.as_bytes());
    symmetric.mix_agreement(ephemeral, theirs)?;
    symmetric.mix_agreement(ephemeral, &client_static)?;
    let sealed = symmetric.seal(shown.chain)?;
    let reply = server_hello(&ephemeral.public, None, sealed);
    Ok(Answer::Finished(reply, Box::new(Finished { client_static, payload, transport: symmetric.split() })))
}

impl AwaitingFinish {
    /// Reads the client's second message.
    pub(super) fn finish(mut self, frame: &[u8]) -> Result<Finished, HandshakeError> {
        let message = HandshakeMessage::decode(frame).map_err(|_| HandshakeError::Malformed)?;
        let finish = message.client_finish.ok_or(HandshakeError::Malformed)?;
        let sealed = finish.r#static.ok_or(HandshakeError::Malformed)?;
        let client_static = point(Some(&self.symmetric.open(&sealed)?))?;
        self.symmetric.mix_agreement(&self.ephemeral, &client_static)?;
        let payload = self.symmetric.open(&finish.payload.ok_or(HandshakeError::Malformed)?)?;
        Ok(Finished { client_static, payload, transport: self.symmetric.split() })
    }
}

fn server_hello(ephemeral: &PublicKey, sealed_key: Option<Vec<u8>>, payload: Vec<u8>) -> Vec<u8> {
    let hello = ServerHello {
        ephemeral: Some(Bytes::copy_from_slice(ephemeral.as_bytes())),
        r#static: sealed_key.map(Into::into),
        payload: Some(payload.into()),
        ..Default::default()
    };
    HandshakeMessage { server_hello: Some(Box::new(hello)), ..Default::default() }.encode_to_vec()
}

fn point(bytes: Option<&[u8]>) -> Result<PublicKey, HandshakeError> {
    PublicKey::from_slice(bytes.unwrap_or_default()).map_err(|_| HandshakeError::Malformed)
}

/// The running hash and keys of a handshake.
struct Symmetric {
    hash: [u8; 32],
    chaining: Secret<32>,
    key: Secret<32>,
    count: u32,
}

impl Symmetric {
    fn new(name: &[u8]) -> Self {
        let hash = <[u8; 32]>::try_from(name).unwrap_or_else(|_| sha256(&[name]));
        let mut fresh = Self { hash, chaining: Secret::new(hash), key: Secret::new(hash), count: 0 };
        fresh.mix_hash(&PROLOGUE);
        fresh
    }

    fn mix_hash(&mut self, data: &[u8]) {
        self.hash = sha256(&[&self.hash, data]);
    }

    fn mix_agreement(&mut self, own: &KeyPair, theirs: &PublicKey) -> Result<(), HandshakeError> {
        let shared = own.agree(theirs).map_err(|_| HandshakeError::Forged)?;
        (self.chaining, self.key) = self.derive(shared.expose());
        self.count = 0;
        Ok(())
    }

    fn derive(&self, material: &[u8]) -> (Secret<32>, Secret<32>) {
        let both: Secret<64> = hkdf_sha256(Some(self.chaining.expose()), material, &[]);
        let (first, second) = both.expose().split_at(32);
        let half = |bytes: &[u8]| Secret::from_slice(bytes).unwrap_or(Secret::new([0; 32]));
        (half(first), half(second))
    }

    fn seal(&mut self, plain: &[u8]) -> Result<Vec<u8>, HandshakeError> {
        let gcm = Gcm::new(self.key.expose());
        let sealed = gcm.seal(&nonce(self.count), &self.hash, plain).map_err(|_| HandshakeError::Forged)?;
        self.count += 1;
        self.mix_hash(&sealed);
        Ok(sealed)
    }

    fn open(&mut self, sealed: &[u8]) -> Result<Vec<u8>, HandshakeError> {
        let gcm = Gcm::new(self.key.expose());
        let plain = gcm.open(&nonce(self.count), &self.hash, sealed).map_err(|_| HandshakeError::Forged)?;
        self.count += 1;
        self.mix_hash(sealed);
        Ok(plain)
    }

    /// The keys of the two directions, seen from the server.
    fn split(&self) -> Transport {
        let (from_client, to_client) = self.derive(&[]);
        Transport {
            from_client: Gcm::new(from_client.expose()),
            to_client: Gcm::new(to_client.expose()),
            received: 0,
            sent: 0,
        }
    }
}

/// The ciphers of a connection behind its handshake.
#[derive(Debug)]
pub(super) struct Transport {
    from_client: Gcm,
    to_client: Gcm,
    /// Frames so far; the counter in the nonce has 32 bits, and the first frame beyond it fails.
    received: u64,
    sent: u64,
}

impl Transport {
    /// Deciphers the next frame. `None` when it is not from the client, or the counter is used up: the stream is lost.
    pub(super) fn open(&mut self, mut frame: BytesMut) -> Option<Bytes> {
        let nonce = nonce(u32::try_from(self.received).ok()?);
        self.from_client.open_in_place(&nonce, &[], &mut frame).ok()?;
        self.received += 1;
        Some(frame.freeze())
    }

    /// Enciphers a stanza behind its length. `None` when it is too long for a frame or the counter is used up.
    pub(super) fn seal(&mut self, plain: Plain) -> Option<BytesMut> {
        self.seal_buffer(plain.into_buffer())
    }

    /// The same for bytes that are no stanza of the writer's.
    pub(super) fn seal_bytes(&mut self, plain: &[u8]) -> Option<BytesMut> {
        let mut buffer = BytesMut::with_capacity(LENGTH + plain.len() + TAG);
        buffer.extend_from_slice(&[0; LENGTH]);
        buffer.extend_from_slice(plain);
        self.seal_buffer(buffer)
    }

    fn seal_buffer(&mut self, mut buffer: BytesMut) -> Option<BytesMut> {
        let mut body = buffer.split_off(LENGTH);
        let nonce = nonce(u32::try_from(self.sent).ok()?);
        self.to_client.seal_in_place(&nonce, &[], &mut body).ok()?;
        self.sent += 1;
        put_length(&mut buffer, body.len())?;
        // Both halves are of one allocation, so this moves nothing.
        buffer.unsplit(body);
        Some(buffer)
    }
}

/// A handshake message behind its length.
pub(super) fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::zeroed(LENGTH);
    // Handshake messages are a few hundred bytes.
    let _ = put_length(&mut frame, message.len());
    frame.extend_from_slice(message);
    frame.freeze()
}

fn put_length(head: &mut BytesMut, length: usize) -> Option<()> {
    let [0, bytes @ ..] = u32::try_from(length).ok()?.to_be_bytes() else { return None };
    head.first_chunk_mut::<LENGTH>()?.copy_from_slice(&bytes);
    Some(())
}

/// Counts in the last four bytes, big-endian, unlike the Noise book.
fn nonce(count: u32) -> [u8; 12] {
    let [a, b, c, d] = count.to_be_bytes();
    [0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d]
}

/// Bytes in front of a frame for its length.
const LENGTH: usize = 3;

/// Bytes of the cipher's tag.
const TAG: usize = 16;

const NAME_XX: &[u8] = b"Noise_XX_25519_AESGCM_SHA256\0\0\0\0";
const NAME_IK: &[u8] = b"Noise_IK_25519_AESGCM_SHA256\0\0\0\0";
const NAME_FALLBACK: &[u8] = b"Noise_XXfallback_25519_AESGCM_SHA256";

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn bytes(entry: &Value, key: &str) -> Vec<u8> {
        hex::decode(entry[key].as_str().unwrap_or_else(|| panic!("{key}"))).unwrap()
    }

    fn pair(entry: &Value, key: &str) -> KeyPair {
        KeyPair::from_private(bytes(entry, key).try_into().unwrap())
    }

    fn vectors() -> Value {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/vectors/noise.json");
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    /// Replays the server's half of a handshake whose every message is known.
    fn replay(case: &Value, keys: &Value, [server, ephemeral]: [&str; 2]) -> Finished {
        let (server, ephemeral, chain) = (pair(keys, server), pair(keys, ephemeral), bytes(case, "cert_chain"));
        let accept_ik = case["pattern"] == "IK";
        let shown = Credentials { server: &server, chain: &chain, accept_ik };
        let (reply, finished) = match answer_hello(&bytes(case, "client_hello"), ephemeral, shown).unwrap() {
            Answer::Awaiting(reply, awaiting) => (reply, awaiting.finish(&bytes(case, "client_finish")).unwrap()),
            Answer::Finished(reply, finished) => (reply, *finished),
        };
        assert_eq!(hex::encode(reply), case["server_hello"].as_str().unwrap(), "{}", case["name"]);
        let known = if case["client_payload"].is_string() { Some(bytes(case, "client_payload")) } else { None };
        assert!(known.is_none_or(|known| known == finished.payload), "{}", case["name"]);
        finished
    }

    #[test]
    fn handshakes_of_foreign_clients_are_answered_byte_for_byte() {
        let vectors = vectors();
        let recorded = vectors["recorded"].as_array().unwrap();
        assert!(!recorded.is_empty());
        for case in recorded {
            let finished = replay(case, case, ["server_static_priv", "server_ephemeral_priv"]);
            assert_eq!(finished.client_static.as_bytes()[..], bytes(case, "client_static_pub"), "{}", case["name"]);
        }
    }

    #[test]
    fn all_three_patterns_come_out_as_elsewhere() {
        let vectors = vectors();
        for pattern in ["xx", "ik", "xxfallback"] {
            for case in vectors[pattern].as_array().unwrap() {
                let mut finished = replay(case, &case["privs"], ["server_static", "server_ephemeral"]);
                assert_eq!(
                    hex::encode(finished.client_static.as_bytes()),
                    case["pubs"]["client_static"].as_str().unwrap()
                );
                for frame in case["transport"].as_array().unwrap() {
                    let (plain, wire) = (bytes(frame, "plaintext"), bytes(frame, "wire"));
                    let counter = frame["counter"].as_u64().unwrap();
                    (finished.transport.received, finished.transport.sent) = (counter, counter);
                    if frame["direction"].as_str().unwrap().starts_with("client") {
                        let opened = finished.transport.open(BytesMut::from(&wire[3..])).expect("opens");
                        assert_eq!(&opened[..], &plain[..]);
                    } else {
                        assert_eq!(&finished.transport.seal_bytes(&plain).expect("seals")[..], &wire[..]);
                    }
                }
            }
        }
    }

    #[test]
    fn a_forged_frame_does_not_open_and_a_long_one_is_not_written() {
        let case = &vectors()["xx"][0];
        let mut finished = replay(case, &case["privs"], ["server_static", "server_ephemeral"]);
        assert!(finished.transport.open(BytesMut::from(&[0; 40][..])).is_none());
        assert!(finished.transport.seal_bytes(&vec![0; 1 << 24]).is_none());
    }

    #[test]
    fn a_point_of_low_order_is_refused() {
        let case = &vectors()["xx"][0];
        let (server, ephemeral) = (pair(&case["privs"], "server_static"), pair(&case["privs"], "server_ephemeral"));
        let hello = ClientHello { ephemeral: Some(Bytes::from_static(&[0; 32])), ..Default::default() };
        let frame = HandshakeMessage { client_hello: Some(Box::new(hello)), ..Default::default() }.encode_to_vec();
        let shown = Credentials { server: &server, chain: &[], accept_ik: false };
        assert_eq!(answer_hello(&frame, ephemeral.clone(), shown).err(), Some(HandshakeError::Forged));
        assert_eq!(answer_hello(b"\xFF", ephemeral, shown).err(), Some(HandshakeError::Malformed));
    }
}
