//! Pairwise sessions and sender keys as pure values.
//!
//! Owns key agreement, the double ratchet, sender keys, their wire forms and their records. Knows neither addresses,
//! stanzas nor storage: a caller loads records, calls, and stores what changed. What a steady conversation needs is in
//! [`Session`]; skipped keys and states that were replaced are in [`Archive`], a second record that most messages never
//! touch. Nothing here changes when it returns an error.

mod agreement;
mod archive;
pub mod chain;
mod error;
mod fingerprint;
mod foreign;
mod group_message;
mod identity;
mod message;
mod prekey;
mod ratchet;
mod record;
mod sender_key;
mod session;
mod session_record;
mod short_mac;
#[cfg(test)]
mod tests;

pub use archive::Archive;
pub use error::{BundleError, DecryptError, EncryptError, GroupDecryptError, ParseError, RecordError, RetryReason};
pub use fingerprint::{Fingerprint, SecurityCode};
pub use foreign::{ForeignPending, ForeignReceiving, ForeignSenderKey, ForeignSending, ForeignSession};
pub use group_message::{Distribution, GroupMessage};
pub use identity::{LocalIdentity, RegistrationId};
pub use message::{CiphertextKind, PreKeyMessage, SignalMessage};
pub use prekey::{
    OwnPreKeys, PreKey, PreKeyBundle, PreKeyId, PublicPreKey, PublicSignedPreKey, SignedPreKey, SignedPreKeyId,
    VerifiedBundle, bundle_digest,
};
pub use ratchet::JumpLimit;
pub use sender_key::{SenderKey, SenderKeyRecord};
pub use session::{Accepted, Ciphertext, Opened, Session};
