//! The client's half of the handshake, as states that consume themselves. Draws no keys: same keys and same messages
//! in, same bytes out. Frames around the messages are the caller's.

use crate::crypto::{KeyPair, PublicKey};
use crate::noise::cert::{self, RootOfTrust, ServerCertificate};
use crate::noise::pattern::{Pattern, Symmetric};
use crate::noise::{NoiseError, Transport};
use bytes::Bytes;
use prost::Message;
use whatsio_proto::wa6::HandshakeMessage;
use whatsio_proto::wa6::handshake_message::{ClientFinish, ClientHello};

/// The client sent its hello. The server decides what comes next: the answer of XX, of IK, or XX instead of IK.
pub struct AwaitingServerHello {
    noise: KeyPair,
    ephemeral: KeyPair,
    /// The running IK handshake and the server key it was meant for; without it this is XX.
    resumption: Option<(Symmetric, PublicKey)>,
}

/// The handshake is done.
pub struct Established {
    /// `ClientFinish`, to be sent as a frame before anything else. Absent after IK.
    pub reply: Option<Bytes>,
    /// Ciphers for everything that follows.
    pub transport: Transport,
    /// The server's checked certificate. Absent only after an IK whose answer held no chain that passes the check: there
    /// the remembered key is the proof, and peers ignore the content.
    pub server: Option<ServerCertificate>,
    /// Which handshake it became.
    pub pattern: Pattern,
    /// Names this handshake; the same on both sides.
    pub hash: [u8; 32],
}

impl AwaitingServerHello {
    /// Begins XX: returns the state and the `ClientHello` message. `noise` is the device's key for life, `ephemeral`
    /// must be fresh.
    #[must_use]
    pub fn start_xx(noise: KeyPair, ephemeral: KeyPair) -> (Self, Bytes) {
        let hello = ClientHello { ephemeral: Some(raw(&ephemeral.public)), ..ClientHello::default() };
        let hello = HandshakeMessage { client_hello: Some(Box::new(hello)), ..HandshakeMessage::default() };
        (Self { noise, ephemeral, resumption: None }, hello.encode_to_vec().into())
    }

    /// Begins IK with the key of a [`ServerCertificate`] that is still valid: the payload goes out with the first
    /// message. Fails with `Agreement` if the remembered key is of low order.
    pub fn start_ik(
        noise: KeyPair,
        ephemeral: KeyPair,
        server: PublicKey,
        client_payload: &[u8],
    ) -> Result<(Self, Bytes), NoiseError> {
        let mut state = Symmetric::new(Pattern::Ik);
        state.mix_hash(server.as_bytes());
        state.mix_hash(ephemeral.public.as_bytes());
        state.mix_agreement(&ephemeral, &server)?;
        let sealed_static = state.encrypt(noise.public.as_bytes()).map_err(|_| NoiseError::Static)?;
        state.mix_agreement(&noise, &server)?;
        let payload = state.encrypt(client_payload).map_err(|_| NoiseError::TooLong(client_payload.len()))?;
        let hello = ClientHello {
            ephemeral: Some(raw(&ephemeral.public)),
            r#static: Some(sealed_static.into()),
            payload: Some(payload.into()),
            ..ClientHello::default()
        };
        let hello = HandshakeMessage { client_hello: Some(Box::new(hello)), ..HandshakeMessage::default() };
        Ok((Self { noise, ephemeral, resumption: Some((state, server)) }, hello.encode_to_vec().into()))
    }

    /// Takes the server's answer, whichever of the three it is. `client_payload` is sent now unless the server went
    /// along with IK. Fails with `Malformed`, `Static`, `Payload`, `Agreement` or `Certificate`; after any failure of an
    /// IK attempt the caller should forget the remembered server key and connect again with XX.
    pub fn receive(
        self,
        server_hello: &[u8],
        root: &RootOfTrust,
        unix_seconds: u64,
        client_payload: &[u8],
    ) -> Result<Established, NoiseError> {
        let message = HandshakeMessage::decode(server_hello).map_err(|_| NoiseError::Malformed("not protobuf"))?;
        let hello = *message.server_hello.ok_or(NoiseError::Malformed("no server hello"))?;
        let server_ephemeral = public(hello.ephemeral.as_deref(), "server ephemeral")?;
        let payload = hello.payload.as_deref().ok_or(NoiseError::Malformed("no server payload"))?;
        match (self.resumption, hello.r#static) {
            (Some((state, server)), None) => {
                let trust = Trust { root, unix_seconds };
                finish_ik(state, &self.noise, &self.ephemeral, &server, &server_ephemeral, payload, &trust)
            }
            (None, None) => Err(NoiseError::Malformed("no server static")),
            (resumption, Some(sealed_static)) => {
                let pattern = if resumption.is_some() { Pattern::XxFallback } else { Pattern::Xx };
                let keys = (&self.noise, &self.ephemeral);
                let answer = Answer { ephemeral: server_ephemeral, sealed_static: &sealed_static, payload };
                finish_xx(pattern, keys, &answer, &Trust { root, unix_seconds }, client_payload)
            }
        }
    }
}

struct Trust<'r> {
    root: &'r RootOfTrust,
    unix_seconds: u64,
}

struct Answer<'m> {
    ephemeral: PublicKey,
    sealed_static: &'m [u8],
    payload: &'m [u8],
}

fn finish_xx(
    pattern: Pattern,
    (noise, ephemeral): (&KeyPair, &KeyPair),
    answer: &Answer<'_>,
    trust: &Trust<'_>,
    client_payload: &[u8],
) -> Result<Established, NoiseError> {
    // After a refused IK only the ephemeral of our hello counts; its static and payload were never mixed in here.
    let mut state = Symmetric::new(pattern);
    state.mix_hash(ephemeral.public.as_bytes());
    state.mix_hash(answer.ephemeral.as_bytes());
    state.mix_agreement(ephemeral, &answer.ephemeral)?;
    let server = state.decrypt(answer.sealed_static).map_err(|_| NoiseError::Static)?;
    let server = PublicKey::from_slice(&server).map_err(|_| NoiseError::Malformed("server static"))?;
    state.mix_agreement(ephemeral, &server)?;
    let chain = state.decrypt(answer.payload).map_err(|_| NoiseError::Payload)?;
    // The chain is checked before our static key and payload go out, even enciphered.
    let certificate = cert::check(&chain, trust.root, &server, trust.unix_seconds)?;
    let sealed_static = state.encrypt(noise.public.as_bytes()).map_err(|_| NoiseError::Static)?;
    state.mix_agreement(noise, &answer.ephemeral)?;
    let payload = state.encrypt(client_payload).map_err(|_| NoiseError::TooLong(client_payload.len()))?;
    let finish =
        ClientFinish { r#static: Some(sealed_static.into()), payload: Some(payload.into()), ..ClientFinish::default() };
    let finish = HandshakeMessage { client_finish: Some(Box::new(finish)), ..HandshakeMessage::default() };
    Ok(Established {
        reply: Some(finish.encode_to_vec().into()),
        transport: client_transport(&state),
        server: Some(certificate),
        pattern,
        hash: *state.hash(),
    })
}

fn finish_ik(
    mut state: Symmetric,
    noise: &KeyPair,
    ephemeral: &KeyPair,
    server: &PublicKey,
    server_ephemeral: &PublicKey,
    payload: &[u8],
    trust: &Trust<'_>,
) -> Result<Established, NoiseError> {
    state.mix_hash(server_ephemeral.as_bytes());
    state.mix_agreement(ephemeral, server_ephemeral)?;
    state.mix_agreement(noise, server_ephemeral)?;
    let chain = state.decrypt(payload).map_err(|_| NoiseError::Payload)?;
    Ok(Established {
        reply: None,
        transport: client_transport(&state),
        server: cert::check(&chain, trust.root, server, trust.unix_seconds).ok(),
        pattern: Pattern::Ik,
        hash: *state.hash(),
    })
}

fn client_transport(state: &Symmetric) -> Transport {
    let (to_server, to_client) = state.split();
    Transport::new(to_server.expose(), to_client.expose())
}

pub(super) fn public(bytes: Option<&[u8]>, which: &'static str) -> Result<PublicKey, NoiseError> {
    PublicKey::from_slice(bytes.unwrap_or_default()).map_err(|_| NoiseError::Malformed(which))
}

pub(super) fn raw(key: &PublicKey) -> Bytes {
    Bytes::copy_from_slice(key.as_bytes())
}
