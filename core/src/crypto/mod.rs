//! Primitives with one spelling each: generator, secrets, curve, hashes and ciphers. Knows nothing of the protocol.

pub mod curve;
pub mod rng;
pub mod secret;
mod stretch;
pub mod symmetric;

pub use curve::{CurveError, KeyPair, PrivateKey, PublicKey, Signature, Signer};
pub use rng::Rng;
pub use secret::Secret;
pub use symmetric::CipherError;
