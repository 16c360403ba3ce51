use crate::crypto::CurveError;
use crate::noise::CertError;
use thiserror::Error;

/// Why a handshake or the encrypted transport failed. None is repairable: the connection has to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NoiseError {
    /// The other side's handshake message lacks something or does not parse.
    #[error("malformed handshake message: {0}")]
    Malformed(&'static str),
    /// The other side's static key does not decipher: other keys, or changed bytes.
    #[error("static key of the handshake does not decipher")]
    Static,
    /// The handshake's payload does not decipher: other keys, or changed bytes.
    #[error("payload of the handshake does not decipher")]
    Payload,
    /// The other side sent a point of low order.
    #[error("key agreement of the handshake failed: {0}")]
    Agreement(#[from] CurveError),
    /// The server's certificate chain is not to be trusted.
    #[error("server certificate: {0}")]
    Certificate(#[from] CertError),
    /// A transport frame does not decipher. Counters are out of step from here on.
    #[error("transport frame does not decipher")]
    Transport,
    /// 2^32 frames went one way; the next would repeat a nonce.
    #[error("frame counter is exhausted")]
    CounterExhausted,
    /// More bytes than one frame holds.
    #[error("frame of {0} bytes is too long")]
    TooLong(usize),
    /// The caller left no room for the length in front of the plaintext.
    #[error("frame has no room for its length")]
    NoRoomForLength,
}
