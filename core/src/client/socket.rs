//! The encrypted connection: which phase it is in, and what its bytes become.

use crate::binary::{DecodeLimits, Plain, Role, Tape};
use crate::noise;
use bytes::Bytes;

/// How long the server may take for each step of the handshake, in milliseconds; every peer waits 20 seconds.
pub(crate) const HANDSHAKE_MS: u64 = 20_000;

/// Where a connection stands.
pub(crate) enum Phase {
    /// There is none.
    Down,
    /// The host is making one.
    Opening,
    /// The first handshake message is out.
    AwaitingServerHello {
        handshake: Box<noise::AwaitingServerHello>,
        /// What is sent in the last handshake message.
        payload: Bytes,
        /// Whether a remembered server key was used.
        resumed: bool,
        deadline: u64,
    },
    /// Encrypted; the server has not said yet what it makes of this client.
    AwaitingVerdict { deadline: u64 },
    /// The server offers codes for linking.
    Linking,
    /// The phone's answer is being made durable and sent.
    Confirming,
    /// Logged in.
    Up,
    /// The host was asked to close.
    Closing,
}

/// One connection's bytes: frames in, frames out.
pub(crate) struct Socket {
    pub(crate) phase: Phase,
    deframer: noise::Deframer,
    transport: Option<noise::Transport>,
    limits: DecodeLimits,
}

/// The peer broke the transport; the connection cannot go on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken;

impl Socket {
    pub(crate) fn new() -> Self {
        Self { phase: Phase::Down, deframer: noise::Deframer::new(), transport: None, limits: DecodeLimits::default() }
    }

    /// Forgets the connection that is gone.
    pub(crate) fn reset(&mut self) {
        self.phase = Phase::Down;
        self.deframer = noise::Deframer::new();
        self.transport = None;
    }

    /// Takes bytes as they came.
    pub(crate) fn push(&mut self, bytes: Bytes) {
        self.deframer.push(bytes);
    }

    /// The next whole frame's payload.
    pub(crate) fn next_frame(&mut self) -> Result<Option<bytes::BytesMut>, Broken> {
        self.deframer.next_frame().map_err(|_| Broken)
    }

    /// The handshake is done: everything from here on is encrypted.
    pub(crate) fn secure(&mut self, transport: noise::Transport) {
        self.transport = Some(transport);
        self.deframer.handshake_done();
    }

    /// Deciphers a frame. The counter is implicit, so one failure means that the two sides are out of step for good.
    pub(crate) fn open(&mut self, payload: bytes::BytesMut) -> Result<Bytes, Broken> {
        let transport = self.transport.as_mut().ok_or(Broken)?;
        transport.open(payload).map_err(|_| Broken)
    }

    /// Reads the stanza in a deciphered frame.
    pub(crate) fn decode(&self, frame: &Bytes) -> Result<Tape, crate::binary::DecodeError> {
        Tape::decode(frame, Role::Client, &self.limits)
    }

    /// Enciphers a stanza for the wire.
    pub(crate) fn seal(&mut self, stanza: Plain) -> Result<Bytes, Broken> {
        let transport = self.transport.as_mut().ok_or(Broken)?;
        transport.seal(stanza.into_buffer()).map_err(|_| Broken)
    }

    /// Whether stanzas can be sent.
    pub(crate) const fn is_secure(&self) -> bool {
        self.transport.is_some() && !matches!(self.phase, Phase::Closing)
    }
}
