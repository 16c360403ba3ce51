//! Signed device identities: what a companion checks when it is linked, and what anybody checks about a contact's
//! companion. How the phone makes them is in `primary`.

use crate::crypto::symmetric::{constant_time_eq, hmac_sha256};
use crate::crypto::{KeyPair, PublicKey, Secret, Signature};
use bytes::Bytes;
use prost::Message;
use thiserror::Error;
use whatsio_proto::adv::{AdvDeviceIdentity, AdvEncryptionType, AdvSignedDeviceIdentity, AdvSignedDeviceIdentityHmac};

/// In front of what the account's key signs about a companion.
pub(super) const ACCOUNT_SIGNATURE: [u8; 2] = [0x06, 0x00];
/// In front of what a companion's own key signs.
pub(super) const DEVICE_SIGNATURE: [u8; 2] = [0x06, 0x01];
/// In front of what the account's key signs about a hosted device, and of the HMAC of a hosted account.
pub(super) const HOSTED_ACCOUNT_SIGNATURE: [u8; 2] = [0x06, 0x05];
/// In front of what some peers sign with the own key of a hosted device; others use [`DEVICE_SIGNATURE`] there too.
pub(super) const HOSTED_DEVICE_SIGNATURE: [u8; 2] = [0x06, 0x06];

/// Why a device identity is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AdvError {
    /// Not protobuf, or a part is missing or has the wrong length.
    #[error("device identity is malformed")]
    Malformed,
    /// The account's signature does not verify.
    #[error("account signature does not verify")]
    AccountSignature,
    /// The device's own signature does not verify.
    #[error("device signature does not verify")]
    DeviceSignature,
    /// The reply of a companion is not about the identity it was sent.
    #[error("reply is about another identity")]
    OtherIdentity,
}

/// Why a companion refuses to be linked. [`code`](Self::code) and [`text`](Self::text) are what it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LinkRefusal {
    /// The container, or what is in it, does not parse.
    #[error("device identity does not parse")]
    Malformed,
    /// The container was not made with our ADV secret: by somebody who did not see our code.
    #[error("device identity was not made with our secret")]
    Hmac,
    /// The account's signature does not verify.
    #[error("account signature does not verify")]
    AccountSignature,
    /// The application declined, or the result could not be stored.
    #[error("declined")]
    Declined,
}

impl LinkRefusal {
    /// Code of the error answer.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::Malformed | Self::Declined => 500,
            Self::Hmac | Self::AccountSignature => 401,
        }
    }

    /// Text of the error answer.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Malformed | Self::Declined => "internal-error",
            Self::Hmac => "hmac-mismatch",
            Self::AccountSignature => "signature-mismatch",
        }
    }
}

/// What a companion learns by being linked. Store it before answering with `reply`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linked {
    /// The complete signed identity, to be stored and sent beside every pre-key message.
    pub account: Bytes,
    /// The same without the account's key: content of the answer's `device-identity`.
    pub reply: Bytes,
    /// Attribute `key-index` of the answer.
    pub key_index: u32,
    /// Generation of the account; another one after a re-registration of the phone.
    pub raw_id: u32,
    /// When the phone made the identity, in Unix seconds.
    pub timestamp: u64,
    /// The phone's identity key: identity of device 0 of our own account.
    pub account_key: PublicKey,
    /// Whether the account's business is hosted by the Cloud API.
    pub hosted_account: bool,
    /// Whether this very device is.
    pub hosted_device: bool,
}

/// Checks what `pair-success` holds and signs it with our key. `random` must be fresh. Fails in the order of checks that
/// the phone expects: container, HMAC, content, signature.
pub fn verify_pair_success(
    container: &[u8],
    adv_secret: &Secret<32>,
    identity: &KeyPair,
    random: &[u8; 64],
) -> Result<Linked, LinkRefusal> {
    let container = AdvSignedDeviceIdentityHmac::decode(container).map_err(|_| LinkRefusal::Malformed)?;
    let content = container.details.unwrap_or_default();
    let hosted_account = is_hosted(container.account_type);
    let expected = container_hmac(adv_secret, hosted_account, &content);
    if !constant_time_eq(&expected, container.hmac.as_deref().unwrap_or_default()) {
        return Err(LinkRefusal::Hmac);
    }
    let mut signed = AdvSignedDeviceIdentity::decode(content).map_err(|_| LinkRefusal::Malformed)?;
    let details = signed.details.clone().unwrap_or_default();
    let device = AdvDeviceIdentity::decode(details.as_ref()).map_err(|_| LinkRefusal::Malformed)?;
    let hosted_device = is_hosted(device.device_type);
    let account_key = account_key(&signed).map_err(|_| LinkRefusal::AccountSignature)?;
    // The device decides, not the container: an account can be hosted while this device is end-to-end encrypted.
    let prefix = if hosted_device { HOSTED_ACCOUNT_SIGNATURE } else { ACCOUNT_SIGNATURE };
    verify_account(&signed, &account_key, &identity.public, prefix).map_err(|_| LinkRefusal::AccountSignature)?;

    let signed_parts: [&[u8]; 4] = [&DEVICE_SIGNATURE, &details, identity.public.as_bytes(), account_key.as_bytes()];
    let signature = identity.sign(&signed_parts, random);
    signed.device_signature = Some(Bytes::copy_from_slice(signature.as_bytes()));
    let account = signed.encode_to_vec().into();
    signed.account_signature_key = None;
    Ok(Linked {
        account,
        reply: signed.encode_to_vec().into(),
        key_index: device.key_index.unwrap_or_default(),
        raw_id: device.raw_id.unwrap_or_default(),
        timestamp: device.timestamp.unwrap_or_default(),
        account_key,
        hosted_account,
        hosted_device,
    })
}

/// What a signed identity says about a companion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceIdentity {
    /// Generation of the account.
    pub raw_id: u32,
    /// When the identity was made, in Unix seconds.
    pub timestamp: u64,
    /// Key index of the device.
    pub key_index: u32,
    /// Whether the device is hosted by the Cloud API.
    pub hosted: bool,
    /// The account key that the signatures were checked with. `None` if neither the identity nor the caller had one:
    /// then nothing was checked, and the device is to be taken on first use. A caller that knows the contact's phone
    /// compares: another key means a re-registration or an impostor.
    pub account_key: Option<PublicKey>,
}

/// Checks the signed identity of a contact's companion whose identity key is `identity`. `known_account` is the stored
/// identity of the contact's phone, used when the identity carries no account key. Fails with `Malformed`,
/// `AccountSignature` or `DeviceSignature`.
pub fn verify_device_identity(
    signed: &[u8],
    identity: &PublicKey,
    known_account: Option<&PublicKey>,
) -> Result<DeviceIdentity, AdvError> {
    let signed = AdvSignedDeviceIdentity::decode(signed).map_err(|_| AdvError::Malformed)?;
    let details = signed.details.clone().ok_or(AdvError::Malformed)?;
    let device = AdvDeviceIdentity::decode(details.as_ref()).map_err(|_| AdvError::Malformed)?;
    let account_key = match signed.account_signature_key.as_deref() {
        Some([_, ..]) => Some(account_key(&signed)?),
        _ => known_account.copied(),
    };
    if let Some(account_key) = &account_key {
        let hosted = match verify_account(&signed, account_key, identity, ACCOUNT_SIGNATURE) {
            Ok(()) => false,
            Err(AdvError::Malformed) => return Err(AdvError::Malformed),
            Err(_) => {
                verify_account(&signed, account_key, identity, HOSTED_ACCOUNT_SIGNATURE)?;
                true
            }
        };
        verify_device(&signed, account_key, identity, hosted)?;
    }
    Ok(DeviceIdentity {
        raw_id: device.raw_id.unwrap_or_default(),
        timestamp: device.timestamp.unwrap_or_default(),
        key_index: device.key_index.unwrap_or_default(),
        hosted: is_hosted(device.device_type),
        account_key,
    })
}

pub(super) fn is_hosted(kind: Option<i32>) -> bool {
    kind == Some(AdvEncryptionType::Hosted as i32)
}

/// HMAC of a container: of a hosted account its content is prefixed.
pub(super) fn container_hmac(adv_secret: &Secret<32>, hosted_account: bool, content: &[u8]) -> [u8; 32] {
    let prefix: &[u8] = if hosted_account { &HOSTED_ACCOUNT_SIGNATURE } else { &[] };
    hmac_sha256(adv_secret.expose(), &[prefix, content])
}

fn account_key(signed: &AdvSignedDeviceIdentity) -> Result<PublicKey, AdvError> {
    let key = signed.account_signature_key.as_deref().unwrap_or_default();
    PublicKey::from_slice(key).map_err(|_| AdvError::Malformed)
}

fn verify_account(
    signed: &AdvSignedDeviceIdentity,
    account_key: &PublicKey,
    identity: &PublicKey,
    prefix: [u8; 2],
) -> Result<(), AdvError> {
    let details = signed.details.as_deref().unwrap_or_default();
    let signature = Signature::from_slice(signed.account_signature.as_deref().unwrap_or_default());
    let signature = signature.map_err(|_| AdvError::Malformed)?;
    let parts: [&[u8]; 3] = [&prefix, details, identity.as_bytes()];
    account_key.verify(&parts, &signature).map_err(|_| AdvError::AccountSignature)
}

/// Checks the device's own signature. A hosted device may have signed with either prefix: peers differ.
pub(super) fn verify_device(
    signed: &AdvSignedDeviceIdentity,
    account_key: &PublicKey,
    identity: &PublicKey,
    hosted: bool,
) -> Result<(), AdvError> {
    let details = signed.details.as_deref().unwrap_or_default();
    let signature = Signature::from_slice(signed.device_signature.as_deref().unwrap_or_default());
    let signature = signature.map_err(|_| AdvError::Malformed)?;
    let verify = |prefix: &[u8; 2]| {
        let parts: [&[u8]; 4] = [prefix, details, identity.as_bytes(), account_key.as_bytes()];
        identity.verify(&parts, &signature).map_err(|_| AdvError::DeviceSignature)
    };
    match verify(&DEVICE_SIGNATURE) {
        Err(_) if hosted => verify(&HOSTED_DEVICE_SIGNATURE),
        verdict => verdict,
    }
}
