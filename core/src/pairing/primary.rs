//! The phone's side of linking: issuing device identities and checking a companion's answer. Used by the relay, which
//! plays the phone, and by tests.

use crate::crypto::{KeyPair, PublicKey, Secret};
use crate::pairing::adv::{self, ACCOUNT_SIGNATURE, AdvError, HOSTED_ACCOUNT_SIGNATURE, container_hmac};
use bytes::Bytes;
use prost::Message;
use whatsio_proto::adv::{AdvDeviceIdentity, AdvEncryptionType, AdvSignedDeviceIdentity, AdvSignedDeviceIdentityHmac};

/// What the phone says about a companion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceDetails {
    /// Generation of the account.
    pub raw_id: u32,
    /// Now, in Unix seconds.
    pub timestamp: u64,
    /// Index of the companion's key; peers ignore devices with index 0.
    pub key_index: u32,
    /// Kind of the account; usually not written.
    pub account_type: Option<AdvEncryptionType>,
    /// Kind of the device; usually not written.
    pub device_type: Option<AdvEncryptionType>,
}

/// A device identity signed by the account and not yet by the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedIdentity {
    signed: AdvSignedDeviceIdentity,
    account_key: PublicKey,
    hosted_device: bool,
}

impl DeviceDetails {
    /// The bytes that are signed.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let details = AdvDeviceIdentity {
            raw_id: Some(self.raw_id),
            timestamp: Some(self.timestamp),
            key_index: Some(self.key_index),
            account_type: self.account_type.map(|kind| kind as i32),
            device_type: self.device_type.map(|kind| kind as i32),
        };
        details.encode_to_vec().into()
    }
}

impl IssuedIdentity {
    /// Signs `details` for the companion with identity key `companion`. `random` must be fresh.
    #[must_use]
    pub fn issue(account: &KeyPair, details: &DeviceDetails, companion: &PublicKey, random: &[u8; 64]) -> Self {
        let hosted_device = details.device_type == Some(AdvEncryptionType::Hosted);
        let prefix = if hosted_device { HOSTED_ACCOUNT_SIGNATURE } else { ACCOUNT_SIGNATURE };
        let details = details.encode();
        let signature = account.sign(&[&prefix, &details, companion.as_bytes()], random);
        let signed = AdvSignedDeviceIdentity {
            details: Some(details),
            account_signature_key: Some(Bytes::copy_from_slice(account.public.as_bytes())),
            account_signature: Some(Bytes::copy_from_slice(signature.as_bytes())),
            device_signature: None,
        };
        Self { signed, account_key: account.public, hosted_device }
    }

    /// The signed identity itself.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        self.signed.encode_to_vec().into()
    }

    /// Content of `device-identity` in `pair-success`: the identity under an HMAC that proves knowledge of the ADV secret.
    #[must_use]
    pub fn container(&self, adv_secret: &Secret<32>, account_type: Option<AdvEncryptionType>) -> Bytes {
        let details = self.encode();
        let hosted_account = account_type == Some(AdvEncryptionType::Hosted);
        let hmac = container_hmac(adv_secret, hosted_account, &details);
        let container = AdvSignedDeviceIdentityHmac {
            hmac: Some(Bytes::copy_from_slice(&hmac)),
            details: Some(details),
            account_type: account_type.map(|kind| kind as i32),
        };
        container.encode_to_vec().into()
    }

    /// Checks a companion's answer, with or without the account's key in it, and returns the complete identity. Fails
    /// with `Malformed`, `OtherIdentity` or `DeviceSignature`.
    pub fn verify_reply(&self, reply: &[u8], companion: &PublicKey) -> Result<Bytes, AdvError> {
        let mut reply = AdvSignedDeviceIdentity::decode(reply).map_err(|_| AdvError::Malformed)?;
        let other_key =
            reply.account_signature_key.is_some() && reply.account_signature_key != self.signed.account_signature_key;
        if other_key || reply.details != self.signed.details || reply.account_signature != self.signed.account_signature
        {
            return Err(AdvError::OtherIdentity);
        }
        adv::verify_device(&reply, &self.account_key, companion, self.hosted_device)?;
        reply.account_signature_key = self.signed.account_signature_key.clone();
        Ok(reply.encode_to_vec().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Rng;
    use crate::pairing::adv::{LinkRefusal, verify_device_identity, verify_pair_success};
    use crate::types::Seed;

    struct World {
        account: KeyPair,
        companion: KeyPair,
        secret: Secret<32>,
    }

    fn world() -> World {
        let mut rng = Rng::new(&Seed::new([5; 32]));
        World {
            account: KeyPair::generate(&mut rng),
            companion: KeyPair::generate(&mut rng),
            secret: Secret::new(rng.bytes()),
        }
    }

    fn details(device_type: Option<AdvEncryptionType>) -> DeviceDetails {
        DeviceDetails { raw_id: 9, timestamp: 1_780_000_000, key_index: 3, account_type: None, device_type }
    }

    #[test]
    fn phone_and_companion_link_and_contacts_can_check_the_result() {
        let World { account, companion, secret } = world();
        for kind in [None, Some(AdvEncryptionType::Hosted)] {
            let issued = IssuedIdentity::issue(&account, &details(kind), &companion.public, &[1; 64]);
            let container = issued.container(&secret, kind);
            let linked = verify_pair_success(&container, &secret, &companion, &[2; 64]).unwrap();
            assert_eq!((linked.key_index, linked.raw_id), (3, 9));
            assert_eq!(issued.verify_reply(&linked.reply, &companion.public).unwrap(), linked.account);
            assert_eq!(issued.verify_reply(&linked.account, &companion.public).unwrap(), linked.account);
            let seen = verify_device_identity(&linked.account, &companion.public, None).unwrap();
            assert_eq!(seen.account_key, Some(account.public));
            assert_eq!(seen.hosted, kind.is_some());
            let seen = verify_device_identity(&linked.reply, &companion.public, Some(&account.public)).unwrap();
            assert_eq!(seen.key_index, 3);
        }
    }

    #[test]
    fn identity_without_any_known_account_is_taken_on_first_use() {
        let World { account, companion, secret } = world();
        let issued = IssuedIdentity::issue(&account, &details(None), &companion.public, &[1; 64]);
        let linked = verify_pair_success(&issued.container(&secret, None), &secret, &companion, &[2; 64]).unwrap();
        let seen = verify_device_identity(&linked.reply, &companion.public, None).unwrap();
        assert_eq!(seen.account_key, None);
        let wrong = verify_device_identity(&linked.reply, &companion.public, Some(&companion.public));
        assert_eq!(wrong, Err(AdvError::AccountSignature));
        let unsigned = verify_device_identity(&issued.encode(), &companion.public, None);
        assert_eq!(unsigned, Err(AdvError::Malformed));
    }

    #[test]
    fn reply_to_another_identity_or_by_another_device_is_refused() {
        let World { account, companion, secret } = world();
        let issued = IssuedIdentity::issue(&account, &details(None), &companion.public, &[1; 64]);
        let other = IssuedIdentity::issue(&account, &details(None), &companion.public, &[3; 64]);
        let linked = verify_pair_success(&issued.container(&secret, None), &secret, &companion, &[2; 64]).unwrap();
        assert_eq!(other.verify_reply(&linked.reply, &companion.public), Err(AdvError::OtherIdentity));
        assert_eq!(issued.verify_reply(&linked.reply, &account.public), Err(AdvError::DeviceSignature));
        assert_eq!(issued.verify_reply(&issued.encode(), &companion.public), Err(AdvError::Malformed));
        assert_eq!(issued.verify_reply(&[0xFF], &companion.public), Err(AdvError::Malformed));
    }

    #[test]
    fn container_made_with_another_secret_is_refused() {
        let World { account, companion, secret } = world();
        let issued = IssuedIdentity::issue(&account, &details(None), &companion.public, &[1; 64]);
        let container = issued.container(&Secret::new([0; 32]), None);
        let refusal = verify_pair_success(&container, &secret, &companion, &[2; 64]).unwrap_err();
        assert_eq!(refusal, LinkRefusal::Hmac);
        assert_eq!((refusal.code(), refusal.text()), (401, "hmac-mismatch"));
    }
}
