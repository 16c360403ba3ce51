//! Linking that a passkey has to allow: what the server asks, and what this device tells the phone.
//!
//! Written from three independent clients that agree, but never from a recorded exchange: the names of the nodes and
//! what is raw bytes and what is text are the parts most likely to differ in production.

use super::{Request, StanzaError, iq, read, word as w};
use crate::binary::{NodeRef, Word, Writer};
use bytes::Bytes;
use smol_str::SmolStr;

/// What the server says while a passkey has to allow the link.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PasskeyNotice {
    /// An assertion is wanted.
    PrologueRequest {
        /// The WebAuthn request options (JSON). Absent or unreadable: [`FetchPasskeyOptions`] asks for them.
        options: Option<Bytes>,
    },
    /// The phone goes on.
    Continuation {
        /// The phone's ephemeral identity (serialised); empty if it is absent. Not checked here.
        primary_identity: Bytes,
    },
}

impl PasskeyNotice {
    /// Reads a notification that begins it.
    pub(super) fn parse_request(notification: NodeRef<'_>) -> Self {
        Self::PrologueRequest { options: read::child_bytes(notification, w::PASSKEY_REQUEST_OPTIONS) }
    }

    /// Reads a notification that continues it. What is missing is told like what is damaged: linking has failed.
    pub(super) fn parse_continuation(notification: NodeRef<'_>) -> Self {
        let primary_identity = read::child_bytes(notification, w::PRIMARY_EPHEMERAL_IDENTITY).unwrap_or_default();
        Self::Continuation { primary_identity }
    }
}

/// Asks for the WebAuthn request options, when the notification did not bring them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchPasskeyOptions;

impl Request for FetchPasskeyOptions {
    /// The options (JSON).
    type Reply = Bytes;

    fn write(&self, id: &str, out: &mut Writer) {
        iq::open(out, id, w::GET, w::MD);
        iq::empty(out, w::PASSKEY_REQUEST_OPTIONS);
        out.close();
    }

    fn parse(answer: NodeRef<'_>) -> Result<Bytes, StanzaError> {
        read::need_child_bytes(answer, w::PASSKEY_REQUEST_OPTIONS)
    }
}

/// Asks for the reference that this side's ephemeral identity names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchPasskeyReference;

impl Request for FetchPasskeyReference {
    /// The reference: not empty, at most 1,024 bytes.
    type Reply = SmolStr;

    fn write(&self, id: &str, out: &mut Writer) {
        iq::open(out, id, w::GET, w::MD);
        iq::empty(out, w::REF);
        out.close();
    }

    fn parse(answer: NodeRef<'_>) -> Result<SmolStr, StanzaError> {
        let bytes = read::need_child_bytes(answer, w::REF)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| StanzaError::bad_content(w::REF))?;
        if text.is_empty() || text.len() > REFERENCE_BYTES {
            return Err(StanzaError::bad_content(w::REF));
        }
        Ok(text.into())
    }
}

/// The assertion, and this side's commitment to the keys it will use.
#[derive(Clone, PartialEq, Eq)]
pub struct PasskeyPrologue {
    /// Which passkey; raw bytes.
    pub credential_id: Bytes,
    /// What the passkey signed (JSON).
    pub assertion: Bytes,
    /// The ephemeral identity and the commitment (serialised).
    pub payload: Bytes,
    /// Proof of continuity with the secret that the phone has scanned or made.
    pub handoff_proof: Option<[u8; 32]>,
}

impl Request for PasskeyPrologue {
    type Reply = ();

    fn write(&self, id: &str, out: &mut Writer) {
        iq::open(out, id, w::SET, w::MD);
        out.open(w::PASSKEY_PROLOGUE);
        out.leaf(w::CREDENTIAL_ID, &self.credential_id);
        out.leaf(w::WEBAUTHN_ASSERTION, &self.assertion);
        out.leaf(w::PROLOGUE_PAYLOAD, &self.payload);
        if let Some(proof) = &self.handoff_proof {
            out.leaf(w::PAIRING_HANDOFF_PROOF, proof);
        }
        out.close();
        out.close();
    }

    fn parse(_: NodeRef<'_>) -> Result<(), StanzaError> {
        Ok(())
    }
}

/// Reveals the number this side was committed to.
#[derive(Clone, PartialEq, Eq)]
pub struct CompanionNonce {
    /// The number.
    pub nonce: [u8; 32],
}

impl Request for CompanionNonce {
    type Reply = ();

    fn write(&self, id: &str, out: &mut Writer) {
        set_leaf(id, out, w::COMPANION_NONCE, &self.nonce);
    }

    fn parse(_: NodeRef<'_>) -> Result<(), StanzaError> {
        Ok(())
    }
}

/// This device's keys and secret, enciphered for the phone. The secret must be durable before.
#[derive(Clone, PartialEq, Eq)]
pub struct EncryptedPairing {
    /// The enciphered request (serialised).
    pub sealed: Bytes,
}

impl Request for EncryptedPairing {
    type Reply = ();

    fn write(&self, id: &str, out: &mut Writer) {
        set_leaf(id, out, w::ENCRYPTED_PAIRING_REQUEST, &self.sealed);
    }

    fn parse(_: NodeRef<'_>) -> Result<(), StanzaError> {
        Ok(())
    }
}

fn set_leaf(id: &str, out: &mut Writer, tag: Word, bytes: &[u8]) {
    iq::open(out, id, w::SET, w::MD);
    out.leaf(tag, bytes);
    out.close();
}

/// Bytes of a reference. Those of codes have about 100.
const REFERENCE_BYTES: usize = 1024;

super::opaque_debug!(PasskeyNotice, PasskeyPrologue, CompanionNonce, EncryptedPairing);
