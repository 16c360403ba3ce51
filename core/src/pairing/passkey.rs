//! The passkey hand-off: a linking that the phone starts after a passkey was shown on the companion. Written from one
//! peer's behaviour; the phone's side is ours by symmetry. Assertions and time limits are not known here.

use crate::crypto::symmetric::{aes256_gcm_open, aes256_gcm_seal, constant_time_eq, hkdf_sha256, hmac_sha256, sha256};
use crate::crypto::{CurveError, KeyPair, PublicKey, Secret};
use crate::pairing::Code;
use bytes::Bytes;
use prost::Message;
use thiserror::Error;
use whatsio_proto::companion_reg::{
    CompanionCommitment, CompanionEphemeralIdentity, EncryptedPairingRequest, PairingRequest, PrimaryEphemeralIdentity,
    ProloguePayload,
};

const HANDOFF_INFO: &[u8] = b"shortcake-passkey-handoff-v1";
const REQUEST_INFO: &[u8] = b"Pairing Information Encryption Key";

/// Why a step of the hand-off failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PasskeyError {
    /// A message does not parse, or a part is missing or has the wrong length.
    #[error("malformed passkey message")]
    Malformed,
    /// The companion's nonce is not the one it committed to.
    #[error("nonce is not the committed one")]
    Commitment,
    /// The pairing request does not open.
    #[error("pairing request does not open")]
    Request,
    /// A key of the other side is of low order.
    #[error("key agreement failed: {0}")]
    Agreement(#[from] CurveError),
}

/// The key that proves continuity with the secret in use before the hand-off.
#[must_use]
pub fn handoff_key(old_adv_secret: &Secret<32>) -> Secret<32> {
    hkdf_sha256(None, old_adv_secret.expose(), HANDOFF_INFO)
}

/// Content of `pairing_handoff_proof`: the prologue under the key of [`handoff_key`].
#[must_use]
pub fn handoff_proof(handoff_key: &Secret<32>, prologue: &[u8]) -> [u8; 32] {
    hmac_sha256(handoff_key.expose(), &[prologue])
}

/// A companion that sent its prologue and waits for the phone's ephemeral identity.
#[derive(Clone)]
pub struct AwaitingPrimaryIdentity {
    ephemeral: KeyPair,
    nonce: [u8; 32],
    context: Context,
}

/// What both sides mix into the key: the companion's kind and the server's reference.
#[derive(Clone)]
struct Context {
    device_type: i32,
    reference: String,
}

/// Either side when both know the key: people may compare [`code`](Self::code), then the companion sends its request.
#[derive(Clone)]
pub struct AwaitingConfirmation {
    key: Secret<32>,
    code: Code,
}

/// What the companion finally tells the phone: the same as a linking code shown as a picture.
#[derive(Clone, PartialEq, Eq)]
pub struct PairingInformation {
    /// The companion's noise key.
    pub noise: PublicKey,
    /// The companion's identity key.
    pub identity: PublicKey,
    /// The new ADV secret.
    pub adv_secret: Secret<32>,
}

impl AwaitingPrimaryIdentity {
    /// Begins: returns the state and the content of `prologue_payload`. `ephemeral` and `nonce` must be fresh;
    /// `device_type` is the platform type of the registration.
    #[must_use]
    pub fn start(ephemeral: KeyPair, nonce: [u8; 32], device_type: i32, reference: &str) -> (Self, Bytes) {
        let identity = CompanionEphemeralIdentity {
            public_key: Some(Bytes::copy_from_slice(ephemeral.public.as_bytes())),
            device_type: Some(device_type),
            r#ref: Some(reference.to_owned()),
        };
        let identity = Bytes::from(identity.encode_to_vec());
        let hash = commitment(&identity, &nonce);
        let payload = ProloguePayload {
            companion_ephemeral_identity: Some(identity),
            commitment: Some(CompanionCommitment { hash: Some(Bytes::copy_from_slice(&hash)) }),
        };
        let context = Context { device_type, reference: reference.to_owned() };
        (Self { ephemeral, nonce, context }, payload.encode_to_vec().into())
    }

    /// Content of `companion_nonce`, to be revealed after the phone's identity arrived and not before.
    #[must_use]
    pub const fn nonce(&self) -> &[u8; 32] {
        &self.nonce
    }

    /// Takes the content of `primary_ephemeral_identity`. Fails with `Malformed` or `Agreement`.
    pub fn receive(&self, primary: &[u8]) -> Result<AwaitingConfirmation, PasskeyError> {
        let primary = PrimaryEphemeralIdentity::decode(primary).map_err(|_| PasskeyError::Malformed)?;
        let key = PublicKey::from_slice(primary.public_key.as_deref().unwrap_or_default());
        let key = key.map_err(|_| PasskeyError::Malformed)?;
        let nonce: [u8; 32] =
            primary.nonce.as_deref().unwrap_or_default().try_into().map_err(|_| PasskeyError::Malformed)?;
        let shared = self.ephemeral.agree(&key)?;
        Ok(AwaitingConfirmation { key: self.context.key(&shared), code: confirmation_code(&nonce, &self.nonce, &key) })
    }
}

impl AwaitingConfirmation {
    /// What both sides show for comparison.
    #[must_use]
    pub const fn code(&self) -> &Code {
        &self.code
    }

    /// The key of the request, for checking against recorded values.
    #[must_use]
    pub const fn key(&self) -> &Secret<32> {
        &self.key
    }

    /// The companion's last step: content of `encrypted_pairing_request`. `iv` must be fresh. Store the ADV secret before
    /// sending.
    pub fn seal(&self, information: &PairingInformation, iv: &[u8; 12]) -> Result<Bytes, PasskeyError> {
        let request = information.encode();
        let sealed = aes256_gcm_seal(self.key.expose(), iv, &[], &request).map_err(|_| PasskeyError::Request)?;
        let request =
            EncryptedPairingRequest { encrypted_payload: Some(sealed.into()), iv: Some(Bytes::copy_from_slice(iv)) };
        Ok(request.encode_to_vec().into())
    }

    /// The phone's last step. Fails with `Malformed` or `Request`.
    pub fn open(&self, request: &[u8]) -> Result<PairingInformation, PasskeyError> {
        let request = EncryptedPairingRequest::decode(request).map_err(|_| PasskeyError::Malformed)?;
        let iv: &[u8; 12] =
            request.iv.as_deref().unwrap_or_default().try_into().map_err(|_| PasskeyError::Malformed)?;
        let sealed = request.encrypted_payload.as_deref().unwrap_or_default();
        let plain = aes256_gcm_open(self.key.expose(), iv, &[], sealed).map_err(|_| PasskeyError::Request)?;
        let plain = PairingRequest::decode(plain.as_slice()).map_err(|_| PasskeyError::Malformed)?;
        let key = |bytes: Option<Bytes>| PublicKey::from_slice(&bytes.unwrap_or_default());
        Ok(PairingInformation {
            noise: key(plain.companion_public_key).map_err(|_| PasskeyError::Malformed)?,
            identity: key(plain.companion_identity_key).map_err(|_| PasskeyError::Malformed)?,
            adv_secret: plain.adv_secret.and_then(|bytes| Secret::from_slice(&bytes)).ok_or(PasskeyError::Malformed)?,
        })
    }
}

impl PairingInformation {
    /// The bytes that are enciphered.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let request = PairingRequest {
            companion_public_key: Some(Bytes::copy_from_slice(self.noise.as_bytes())),
            companion_identity_key: Some(Bytes::copy_from_slice(self.identity.as_bytes())),
            adv_secret: Some(Bytes::copy_from_slice(self.adv_secret.expose())),
        };
        request.encode_to_vec()
    }
}

/// A phone that read a companion's prologue and answers it.
#[derive(Clone)]
pub struct AwaitingCompanionNonce {
    ephemeral: KeyPair,
    nonce: [u8; 32],
    companion: PublicKey,
    identity: Bytes,
    commitment: Bytes,
    context: Context,
}

impl AwaitingCompanionNonce {
    /// Reads the content of `prologue_payload` and returns the content of `primary_ephemeral_identity`. `ephemeral` and
    /// `nonce` must be fresh. Fails with `Malformed`.
    pub fn start(prologue: &[u8], ephemeral: KeyPair, nonce: [u8; 32]) -> Result<(Self, Bytes), PasskeyError> {
        let prologue = ProloguePayload::decode(prologue).map_err(|_| PasskeyError::Malformed)?;
        let identity = prologue.companion_ephemeral_identity.ok_or(PasskeyError::Malformed)?;
        let commitment = prologue.commitment.and_then(|commitment| commitment.hash).ok_or(PasskeyError::Malformed)?;
        let fields = CompanionEphemeralIdentity::decode(identity.as_ref()).map_err(|_| PasskeyError::Malformed)?;
        let companion = PublicKey::from_slice(&fields.public_key.unwrap_or_default());
        let answer = PrimaryEphemeralIdentity {
            public_key: Some(Bytes::copy_from_slice(ephemeral.public.as_bytes())),
            nonce: Some(Bytes::copy_from_slice(&nonce)),
        };
        let state = Self {
            ephemeral,
            nonce,
            companion: companion.map_err(|_| PasskeyError::Malformed)?,
            identity,
            commitment,
            context: Context {
                device_type: fields.device_type.unwrap_or_default(),
                reference: fields.r#ref.unwrap_or_default(),
            },
        };
        Ok((state, answer.encode_to_vec().into()))
    }

    /// The server's reference that the companion names.
    #[must_use]
    pub fn reference(&self) -> &str {
        &self.context.reference
    }

    /// Takes the content of `companion_nonce`. Fails with `Commitment` or `Agreement`.
    pub fn receive(&self, companion_nonce: &[u8]) -> Result<AwaitingConfirmation, PasskeyError> {
        if !constant_time_eq(&commitment(&self.identity, companion_nonce), &self.commitment) {
            return Err(PasskeyError::Commitment);
        }
        let shared = self.ephemeral.agree(&self.companion)?;
        Ok(AwaitingConfirmation {
            key: self.context.key(&shared),
            code: confirmation_code(&self.nonce, companion_nonce, &self.ephemeral.public),
        })
    }
}

impl Context {
    fn key(&self, shared: &Secret<32>) -> Secret<32> {
        let salt = format!("Companion Pairing {} with ref {}", self.device_type, self.reference);
        hkdf_sha256(Some(salt.as_bytes()), shared.expose(), REQUEST_INFO)
    }
}

fn commitment(identity: &[u8], nonce: &[u8]) -> [u8; 32] {
    sha256(&[identity, nonce])
}

/// Neither side can steer it: the companion committed to its nonce before it saw the phone's.
fn confirmation_code(primary_nonce: &[u8; 32], companion_nonce: &[u8], primary: &PublicKey) -> Code {
    let digest = sha256(&[companion_nonce, primary.as_bytes()]);
    let mut bytes = [0; 5];
    for (to, (left, right)) in bytes.iter_mut().zip(primary_nonce.iter().zip(digest)) {
        *to = left ^ right;
    }
    Code::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_show_the_same_code_and_the_phone_learns_the_companion() {
        let (phone, companion) = (KeyPair::from_private([1; 32]), KeyPair::from_private([2; 32]));
        let (companion, prologue) = AwaitingPrimaryIdentity::start(companion, [3; 32], 1, "ref");
        let (phone, answer) = AwaitingCompanionNonce::start(&prologue, phone, [4; 32]).unwrap();
        let here = companion.receive(&answer).unwrap();
        let there = phone.receive(companion.nonce()).unwrap();
        assert!(here.code() == there.code());
        let information = PairingInformation {
            noise: PublicKey::from_bytes([5; 32]),
            identity: PublicKey::from_bytes([6; 32]),
            adv_secret: Secret::new([7; 32]),
        };
        let request = here.seal(&information, &[8; 12]).unwrap();
        assert!(there.open(&request) == Ok(information));
        assert!(there.open(&request[1..]) == Err(PasskeyError::Malformed));
        assert_eq!(phone.receive(&[9; 32]).err(), Some(PasskeyError::Commitment));
        assert_eq!(companion.receive(&[]).err(), Some(PasskeyError::Malformed));
    }
}
