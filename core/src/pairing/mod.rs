//! The signed and encrypted values that linking exchanges, for both sides: a companion that is linked and the phone that
//! links it. Pure values; knows neither stanzas nor storage nor timers, and draws no randomness of its own.

pub mod adv;
pub mod assertion;
pub mod code;
pub(crate) mod json;
pub mod key_index;
pub mod passkey;
pub mod payload;
pub mod primary;
pub mod qr;

pub use adv::{AdvError, DeviceIdentity, LinkRefusal, Linked};
pub(crate) use assertion::Challenge;
pub use assertion::{Assertion, AssertionError};
pub use code::{Code, CodeError};
pub use key_index::KeyIndexList;
pub use qr::{QrCode, QrError};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ProtocolProfile;
    use crate::crypto::{KeyPair, PublicKey, Rng, Secret};
    use crate::types::Seed;

    /// Every reader of this room, fed with damaged forms of what its writer makes.
    #[test]
    fn damaged_input_never_panics() {
        let mut rng = Rng::new(&Seed::new([11; 32]));
        let (account, companion) = (KeyPair::generate(&mut rng), KeyPair::generate(&mut rng));
        let secret = Secret::new([1; 32]);
        let details =
            primary::DeviceDetails { raw_id: 1, timestamp: 2, key_index: 3, account_type: None, device_type: None };
        let issued = primary::IssuedIdentity::issue(&account, &details, &companion.public, &[2; 64]);
        let list = KeyIndexList { raw_id: 1, valid_indexes: vec![1, 2], ..KeyIndexList::default() };
        let qr = QrCode {
            reference: "2@ref".into(),
            noise: account.public,
            identity: companion.public,
            adv_secret: secret.clone(),
            platform: None,
        };
        let registration = payload::Registration {
            registration_id: 1,
            identity: companion.public,
            signed_prekey_id: 1,
            signed_prekey: account.public,
            signature: companion.sign(&[&account.public.serialize()], &[3; 64]),
        };
        let (passkey, prologue) = passkey::AwaitingPrimaryIdentity::start(companion.clone(), [4; 32], 1, "ref");
        let (_, answer) = passkey::AwaitingCompanionNonce::start(&prologue, account.clone(), [5; 32]).unwrap();
        let samples = [
            issued.container(&secret, None),
            issued.encode(),
            list.sign(&account, true, &[6; 64]),
            qr.to_text().into(),
            payload::registration_payload(&ProtocolProfile::default(), &registration),
            payload::login_payload(&ProtocolProfile::default(), 1, 2),
            prologue,
            answer,
            br#"{"id":"AQID","type":"public-key","response":{"clientDataJSON":"e30","authenticatorData":"AA","signature":"MEU"}}"#
                .to_vec()
                .into(),
            br#"{"challenge":"AQID","allowCredentials":[{"id":"\u0041","type":"public-key"}]}"#.to_vec().into(),
        ];
        for sample in samples {
            for _ in 0..200 {
                let mut bytes = sample.to_vec();
                let at = rng.below(u32::try_from(bytes.len()).unwrap()) as usize;
                match rng.below(3) {
                    0 => bytes[at] = rng.bytes::<1>()[0],
                    1 => bytes.truncate(at),
                    _ => bytes.insert(at, rng.bytes::<1>()[0]),
                }
                read_everything(&bytes, &companion, &account.public, &passkey);
            }
        }
    }

    fn read_everything(
        bytes: &[u8],
        companion: &KeyPair,
        account: &PublicKey,
        passkey: &passkey::AwaitingPrimaryIdentity,
    ) {
        // Nothing here was made with this secret, so no damaged container may be taken.
        assert!(adv::verify_pair_success(bytes, &Secret::new([9; 32]), companion, &[0; 64]).is_err());
        let _ = adv::verify_device_identity(bytes, &companion.public, Some(account));
        let _ = KeyIndexList::read_unverified(bytes);
        let _ = KeyIndexList::verify(bytes, account);
        let _ = payload::read(bytes);
        let _ = assertion::is_request(bytes);
        let _ = passkey.receive(bytes);
        let _ = passkey::AwaitingCompanionNonce::start(bytes, companion.clone(), [0; 32]);
        if let Ok(text) = std::str::from_utf8(bytes) {
            let _ = QrCode::parse(text);
            let _ = Code::parse(text);
            let _ = Assertion::parse(text);
        }
    }
}
