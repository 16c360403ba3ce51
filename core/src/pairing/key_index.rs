//! The signed list of an account's valid companion keys: which device numbers of a device list are really the account's.

use crate::crypto::{KeyPair, PublicKey, Signature};
use crate::pairing::adv::{AdvError, is_hosted};
use bytes::Bytes;
use prost::Message;
use whatsio_proto::adv::{AdvEncryptionType, AdvKeyIndexList, AdvSignedKeyIndexList};

/// In front of what the account's key signs.
const PREFIX: [u8; 2] = [0x06, 0x02];

/// Which key indexes of an account are valid.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct KeyIndexList {
    /// Generation of the account; another one after a re-registration of the phone.
    pub raw_id: u32,
    /// When the list was made, in Unix seconds. An older list never replaces a newer one.
    pub timestamp: u64,
    /// Highest index ever given.
    pub current_index: u32,
    /// Indexes of the companions that are linked.
    pub valid_indexes: Vec<u32>,
    /// Whether the account's business is hosted by the Cloud API.
    pub hosted: bool,
}

impl KeyIndexList {
    /// Reads a signed list without checking its signature. Fails with `Malformed`.
    pub fn read_unverified(signed: &[u8]) -> Result<Self, AdvError> {
        let signed = AdvSignedKeyIndexList::decode(signed).map_err(|_| AdvError::Malformed)?;
        Self::from_details(&signed.details.ok_or(AdvError::Malformed)?)
    }

    /// Reads a signed list and checks it with the identity key of the account's phone; a key in the list itself proves
    /// nothing and must be the same. Fails with `Malformed` or `AccountSignature`; then the list must be ignored.
    pub fn verify(signed: &[u8], account: &PublicKey) -> Result<Self, AdvError> {
        let signed = AdvSignedKeyIndexList::decode(signed).map_err(|_| AdvError::Malformed)?;
        let details = signed.details.ok_or(AdvError::Malformed)?;
        if signed.account_signature_key.is_some_and(|key| key != account.as_bytes()[..]) {
            return Err(AdvError::AccountSignature);
        }
        let signature = Signature::from_slice(signed.account_signature.as_deref().unwrap_or_default());
        let signature = signature.map_err(|_| AdvError::Malformed)?;
        account.verify(&[&PREFIX, &details], &signature).map_err(|_| AdvError::AccountSignature)?;
        Self::from_details(&details)
    }

    /// Whether a companion with this index belongs to the account: listed, or linked after the list was made.
    #[must_use]
    pub fn admits(&self, key_index: u32) -> bool {
        key_index > self.current_index || self.valid_indexes.contains(&key_index)
    }

    /// The bytes that are signed.
    #[must_use]
    pub fn details(&self) -> Bytes {
        let details = AdvKeyIndexList {
            raw_id: Some(self.raw_id),
            timestamp: Some(self.timestamp),
            current_index: Some(self.current_index),
            valid_indexes: self.valid_indexes.clone(),
            account_type: self.hosted.then_some(AdvEncryptionType::Hosted as i32),
        };
        details.encode_to_vec().into()
    }

    /// The list signed by the phone, with or without its key in it. `random` must be fresh.
    #[must_use]
    pub fn sign(&self, account: &KeyPair, with_key: bool, random: &[u8; 64]) -> Bytes {
        let details = self.details();
        let signature = account.sign(&[&PREFIX, &details], random);
        let signed = AdvSignedKeyIndexList {
            details: Some(details),
            account_signature: Some(Bytes::copy_from_slice(signature.as_bytes())),
            account_signature_key: with_key.then(|| Bytes::copy_from_slice(account.public.as_bytes())),
        };
        signed.encode_to_vec().into()
    }

    fn from_details(details: &[u8]) -> Result<Self, AdvError> {
        let details = AdvKeyIndexList::decode(details).map_err(|_| AdvError::Malformed)?;
        Ok(Self {
            raw_id: details.raw_id.unwrap_or_default(),
            timestamp: details.timestamp.unwrap_or_default(),
            current_index: details.current_index.unwrap_or_default(),
            valid_indexes: details.valid_indexes,
            hosted: is_hosted(details.account_type),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_admits_what_it_names_and_what_came_later() {
        let list = KeyIndexList { current_index: 5, valid_indexes: vec![1, 4], ..KeyIndexList::default() };
        let admitted: Vec<u32> = (0..8).filter(|&index| list.admits(index)).collect();
        assert_eq!(admitted, [1, 4, 6, 7]);
    }

    #[test]
    fn list_signed_by_another_account_is_refused() {
        let (account, other) = (KeyPair::from_private([1; 32]), KeyPair::from_private([2; 32]));
        let list = KeyIndexList { raw_id: 1, timestamp: 2, current_index: 3, ..KeyIndexList::default() };
        for with_key in [false, true] {
            let signed = list.sign(&account, with_key, &[9; 64]);
            assert_eq!(KeyIndexList::verify(&signed, &account.public), Ok(list.clone()));
            assert_eq!(KeyIndexList::verify(&signed, &other.public), Err(AdvError::AccountSignature));
            assert_eq!(KeyIndexList::read_unverified(&signed), Ok(list.clone()));
        }
        assert_eq!(KeyIndexList::verify(&[], &account.public), Err(AdvError::Malformed));
    }
}
