//! The encrypted socket: handshake patterns, transport ciphers, certificates, frames. Knows nothing of stanzas, and
//! neither opens sockets nor keeps time: bytes, keys and the date come from the caller.

pub mod cert;
pub mod cipher;
mod error;
pub mod frame;
pub mod handshake;
pub mod pattern;
#[cfg(feature = "relay")]
pub mod responder;

pub use cert::{CertError, RootOfTrust, ServerCertificate, Validity};
pub use cipher::{Receiver, Sender, Transport};
pub use error::NoiseError;
pub use frame::{Deframer, FrameError, PROLOGUE, Preamble};
pub use handshake::{AwaitingServerHello, Established};
