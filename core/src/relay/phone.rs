//! The phone of an account: its identity, what it signs for companions, and its part in linking by QR or by code.
//! Knows neither connections nor stanzas; drives nothing by itself.

use bytes::Bytes;
use prost::Message;
use whatsio_proto::adv::{
    AdvDeviceIdentity, AdvEncryptionType, AdvKeyIndexList, AdvSignedDeviceIdentity, AdvSignedDeviceIdentityHmac,
    AdvSignedKeyIndexList,
};

use super::bundle::{Bundle, SignedKey};
use super::mailbox::Mailbox;
use super::puppets::PuppetKeys;
use crate::binary::Node;
use crate::crypto::symmetric::{aes256_ctr, aes256_gcm_open, hkdf_sha256, hmac_sha256, pbkdf2_sha256};
use crate::crypto::{KeyPair, PublicKey, Rng, Secret, Signature};

/// The phone of one account.
pub(crate) struct Phone {
    identity: KeyPair,
    /// Constant for the life of the registration; a new one would invalidate all companions.
    raw_id: u32,
    /// The highest key index ever given.
    current_index: u32,
    pub(crate) bundle: Bundle,
    /// The private half of the pre-key in the bundle; only a phone that is lent ever needs it.
    signed: KeyPair,
    /// What waits for whoever plays this phone; nobody does unless it is lent.
    pub(crate) mail: Option<Mailbox>,
    /// The signed list of valid key indexes and the time in it; none before the first companion.
    list: Option<(Bytes, u64)>,
}

/// What the phone vouches for while a companion is being linked.
#[derive(Clone, Debug)]
pub(crate) struct Voucher {
    pub(crate) key_index: u32,
    companion: PublicKey,
    details: Bytes,
    signature: Signature,
    /// What the companion gets: the signed identity under the MAC of the secret that both know.
    pub(crate) container: Bytes,
    hosting: Hosting,
}

/// What of an account is hosted by the Cloud API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hosting {
    None,
    Account,
    AccountAndDevice,
}

/// What a companion shows to be scanned.
pub(crate) struct Invitation {
    pub(crate) reference: String,
    pub(crate) noise_key: [u8; 32],
    pub(crate) identity: [u8; 32],
    pub(crate) secret: Secret<32>,
}

/// What stands in front of signed bytes, so that no signature can be taken for another kind.
mod prefix {
    pub(super) const ACCOUNT: &[u8] = &[6, 0];
    pub(super) const DEVICE: &[u8] = &[6, 1];
    pub(super) const KEY_INDEX_LIST: &[u8] = &[6, 2];
    pub(super) const HOSTED_ACCOUNT: &[u8] = &[6, 5];
    pub(super) const HOSTED_DEVICE: &[u8] = &[6, 6];
}

impl Phone {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        let identity = KeyPair::generate(rng);
        let signed = KeyPair::generate(rng);
        let signature = identity.sign(&[&signed.public.serialize()], &rng.bytes());
        let key = SignedKey { id: [0, 0, 1], value: *signed.public.as_bytes(), signature: signature.0 };
        // 31 bits, and never 0, which some peers read as "absent".
        let registration = (rng.u32() >> 1).max(1);
        let bundle = Bundle::new(registration.to_be_bytes(), *identity.public.as_bytes(), key);
        Self { identity, raw_id: rng.u32(), current_index: 0, bundle, signed, mail: None, list: None }
    }

    pub(crate) const fn identity(&self) -> &PublicKey {
        &self.identity.public
    }

    /// The keys of this phone, for whoever plays it from now on.
    pub(crate) fn lend(&mut self) -> PuppetKeys {
        self.mail.get_or_insert_default();
        PuppetKeys {
            identity: self.identity.clone(),
            registration: u32::from_be_bytes(self.bundle.registration),
            signed_id: 1,
            signed: self.signed.clone(),
        }
    }

    /// Signs a companion's identity under the next key index. The index is used up even if linking fails.
    pub(crate) fn vouch(
        &mut self,
        rng: &mut Rng,
        seconds: u64,
        companion: &[u8; 32],
        secret: &Secret<32>,
        hosting: Hosting,
    ) -> Voucher {
        let hosted = AdvEncryptionType::Hosted as i32;
        let device_type = (hosting == Hosting::AccountAndDevice).then_some(hosted);
        self.current_index = self.current_index.saturating_add(1);
        let details = Bytes::from(
            AdvDeviceIdentity {
                raw_id: Some(self.raw_id),
                timestamp: Some(seconds),
                key_index: Some(self.current_index),
                account_type: (hosting != Hosting::None).then_some(hosted),
                device_type,
            }
            .encode_to_vec(),
        );
        let prefix = if device_type.is_some() { prefix::HOSTED_ACCOUNT } else { prefix::ACCOUNT };
        let signature = self.identity.sign(&[prefix, &details, companion], &rng.bytes());
        let mut voucher = Voucher {
            key_index: self.current_index,
            companion: PublicKey::from_bytes(*companion),
            details,
            signature,
            container: Bytes::new(),
            hosting,
        };
        voucher.seal(self.identity(), secret);
        voucher
    }

    /// Signs the list of key indexes that are valid from now on.
    pub(crate) fn publish(&mut self, rng: &mut Rng, seconds: u64, valid: impl Iterator<Item = u32>) {
        // Peers ignore a list that is not newer than the one they have.
        let seconds = self.list.as_ref().map_or(seconds, |(_, before)| seconds.max(before.saturating_add(1)));
        let details = AdvKeyIndexList {
            raw_id: Some(self.raw_id),
            timestamp: Some(seconds),
            current_index: Some(self.current_index),
            valid_indexes: valid.collect(),
            ..Default::default()
        }
        .encode_to_vec();
        let signature = self.identity.sign(&[prefix::KEY_INDEX_LIST, &details], &rng.bytes());
        let list = AdvSignedKeyIndexList {
            details: Some(details.into()),
            account_signature: Some(Bytes::copy_from_slice(signature.as_bytes())),
            account_signature_key: Some(Bytes::copy_from_slice(self.identity().as_bytes())),
        };
        self.list = Some((list.encode_to_vec().into(), seconds));
    }

    /// `<key-index-list ts>` with the signed bytes; empty before the first companion.
    pub(crate) fn key_index_list(&self) -> Node {
        let node = Node::new("key-index-list");
        match &self.list {
            Some((list, seconds)) => node.with("ts", *seconds).with_bytes(list.clone()),
            None => node,
        }
    }

    /// Opens what a companion sent at the end of linking by code. `None` when the code typed was wrong or the bundle is
    /// not about these two identities.
    pub(crate) fn open_code_bundle(
        &self,
        own: &KeyPair,
        companion_ephemeral: &PublicKey,
        companion: &[u8; 32],
        bundle: &[u8],
    ) -> Option<Secret<32>> {
        let (salt, rest) = bundle.split_first_chunk::<32>()?;
        let (iv, sealed) = rest.split_first_chunk::<12>()?;
        let shared = own.agree(companion_ephemeral).ok()?;
        let key: Secret<32> = hkdf_sha256(Some(salt), shared.expose(), b"link_code_pairing_key_bundle_encryption_key");
        let plain = aes256_gcm_open(key.expose(), iv, &[], sealed).ok()?;
        let (theirs, rest) = plain.split_first_chunk::<32>()?;
        let (ours, random) = rest.split_first_chunk::<32>()?;
        if theirs != companion || ours != self.identity().as_bytes() || random.len() != 32 {
            return None;
        }
        let identities = self.identity.agree(&PublicKey::from_bytes(*companion)).ok()?;
        let material = [&shared.expose()[..], &identities.expose()[..], random].concat();
        Some(hkdf_sha256(None, &material, b"adv_secret"))
    }
}

impl Voucher {
    fn identity(&self, account: &PublicKey) -> AdvSignedDeviceIdentity {
        AdvSignedDeviceIdentity {
            details: Some(self.details.clone()),
            account_signature_key: Some(Bytes::copy_from_slice(account.as_bytes())),
            account_signature: Some(Bytes::copy_from_slice(self.signature.as_bytes())),
            device_signature: None,
        }
    }

    /// The complete identity, with the signature of a companion whose key is at hand.
    pub(crate) fn countersigned(&self, account: &PublicKey, companion: &KeyPair, random: &[u8; 64]) -> Bytes {
        let mut identity = self.identity(account);
        let signed: [&[u8]; 4] = [prefix::DEVICE, &self.details, companion.public.as_bytes(), account.as_bytes()];
        let signature = companion.sign(&signed, random);
        identity.device_signature = Some(Bytes::copy_from_slice(signature.as_bytes()));
        identity.encode_to_vec().into()
    }

    fn seal(&mut self, account: &PublicKey, secret: &Secret<32>) {
        let identity = self.identity(account).encode_to_vec();
        let is_hosted = self.hosting != Hosting::None;
        let prefix = if is_hosted { prefix::HOSTED_ACCOUNT } else { &[] };
        let mac = hmac_sha256(secret.expose(), &[prefix, &identity]);
        self.container = AdvSignedDeviceIdentityHmac {
            details: Some(identity.into()),
            hmac: Some(Bytes::copy_from_slice(&mac)),
            account_type: is_hosted.then_some(AdvEncryptionType::Hosted as i32),
        }
        .encode_to_vec()
        .into();
    }

    /// Makes the companion find a wrong MAC.
    pub(crate) fn spoil_mac(&mut self, account: &PublicKey, rng: &mut Rng) {
        self.seal(account, &Secret::new(rng.bytes()));
    }

    /// Makes the companion find a wrong signature under a right MAC.
    pub(crate) fn spoil_signature(&mut self, account: &PublicKey, secret: &Secret<32>) {
        if let Some(byte) = self.signature.0.first_mut() {
            *byte ^= 1;
        }
        self.seal(account, secret);
    }

    /// Makes the companion find something that does not parse.
    pub(crate) fn cut_container(&mut self) {
        self.container.truncate(self.container.len() / 2);
    }

    /// Checks the companion's answer; gives its complete identity as peers will see it. The account's key may be left out
    /// of the answer, and usually is.
    pub(crate) fn check(&self, account: &PublicKey, answer: &[u8]) -> Option<Bytes> {
        let answer = AdvSignedDeviceIdentity::decode(answer).ok()?;
        let key = answer.account_signature_key.as_deref().unwrap_or_default();
        let unchanged = answer.details.as_ref() == Some(&self.details)
            && answer.account_signature.as_deref() == Some(self.signature.as_bytes())
            && (key.is_empty() || key == account.as_bytes());
        let device = Signature::from_slice(answer.device_signature.as_deref().unwrap_or_default()).ok()?;
        let is_signed = |prefix: &[u8]| {
            let signed = [prefix, &self.details, self.companion.as_bytes(), account.as_bytes()];
            self.companion.verify(&signed, &device).is_ok()
        };
        // Companions differ in what they sign a hosted identity with.
        let is_true = is_signed(prefix::DEVICE) || self.hosting != Hosting::None && is_signed(prefix::HOSTED_DEVICE);
        if !unchanged || !is_true {
            return None;
        }
        let mut identity = self.identity(account);
        identity.device_signature = answer.device_signature;
        Some(identity.encode_to_vec().into())
    }
}

impl Invitation {
    /// Reads the text of a QR code, with or without the link in front; more fields may follow the first four.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let fields = text.strip_prefix(LINK).unwrap_or(text).trim();
        let mut fields = fields.split(',');
        let reference = fields.next().filter(|text| !text.is_empty())?.to_owned();
        let noise_key = key(fields.next()?)?;
        let identity = key(fields.next()?)?;
        let secret = Secret::new(key(fields.next()?)?);
        Some(Self { reference, noise_key, identity, secret })
    }
}

fn key(text: &str) -> Option<[u8; 32]> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text).ok()?.try_into().ok()
}

/// The ephemeral key of one side of linking by code, wrapped under the code: salt, counter block, key.
pub(crate) const WRAPPED: usize = 80;

/// Wraps a public key under the code.
pub(crate) fn wrap(rng: &mut Rng, code: &str, public: &PublicKey) -> Vec<u8> {
    let salt: [u8; 32] = rng.bytes();
    let iv: [u8; 16] = rng.bytes();
    let mut key = *public.as_bytes();
    aes256_ctr(code_key(code, &salt).expose(), &iv, &mut key);
    [&salt[..], &iv, &key].concat()
}

/// Unwraps a public key. A wrong code cannot be seen here: it gives another key.
pub(crate) fn unwrap(code: &str, wrapped: &[u8; WRAPPED]) -> Option<PublicKey> {
    let (salt, rest) = wrapped.split_first_chunk::<32>()?;
    let (iv, sealed) = rest.split_first_chunk::<16>()?;
    let mut key: [u8; 32] = sealed.try_into().ok()?;
    aes256_ctr(code_key(code, salt).expose(), iv, &mut key);
    Some(PublicKey::from_bytes(key))
}

fn code_key(code: &str, salt: &[u8; 32]) -> Secret<32> {
    pbkdf2_sha256(code.as_bytes(), salt, CODE_ROUNDS)
}

/// Whether a signed pre-key was signed by this identity.
pub(crate) fn signed_by(identity: &[u8; 32], key: &SignedKey) -> bool {
    let public = PublicKey::from_bytes(key.value).serialize();
    PublicKey::from_bytes(*identity).verify(&[&public], &Signature(key.signature)).is_ok()
}

/// Stands in front of the fields in newer QR codes.
const LINK: &str = "https://wa.me/settings/linked_devices#";

/// Rounds that all peers use to turn a code into a key.
const CODE_ROUNDS: u32 = 131_072;

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::types::Seed;

    fn rng() -> Rng {
        Rng::new(&Seed::new([3; 32]))
    }

    #[test]
    fn a_code_is_read_with_and_without_the_link_and_with_more_fields() {
        let [a, b, c] = [1_u8, 2, 3].map(|byte| STANDARD.encode([byte; 32]));
        for text in [format!("2@x,{a},{b},{c}"), format!("{LINK}2@x,{a},{b},{c},1,https://example.com")] {
            let read = Invitation::parse(&text).expect("a code");
            assert_eq!((read.reference.as_str(), read.noise_key, read.identity), ("2@x", [1; 32], [2; 32]));
            assert_eq!(read.secret.expose(), &[3; 32]);
        }
        for text in ["", "2@x", &format!(",{a},{b},{c}"), &format!("2@x,{a},{b}"), &format!("2@x,{a},{b},AAAA")] {
            assert!(Invitation::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn an_answer_is_accepted_only_with_a_true_device_signature() {
        let mut rng = rng();
        let mut phone = Phone::new(&mut rng);
        let companion = KeyPair::generate(&mut rng);
        let voucher = phone.vouch(&mut rng, 100, companion.public.as_bytes(), &Secret::new([9; 32]), Hosting::None);
        let mut answer = voucher.identity(phone.identity());
        let signed: [&[u8]; 4] = [&[6, 1], &voucher.details, companion.public.as_bytes(), phone.identity().as_bytes()];
        let signature = companion.sign(&signed, &rng.bytes());
        answer.account_signature_key = None;
        answer.device_signature = Some(Bytes::copy_from_slice(signature.as_bytes()));
        let full = voucher.check(phone.identity(), &answer.encode_to_vec()).expect("a true answer");
        let full = AdvSignedDeviceIdentity::decode(full).expect("decodes");
        assert_eq!(full.account_signature_key.as_deref(), Some(&phone.identity().as_bytes()[..]));

        answer.device_signature = Some(Bytes::from(vec![7; 64]));
        assert!(voucher.check(phone.identity(), &answer.encode_to_vec()).is_none());
        answer.details = None;
        assert!(voucher.check(phone.identity(), &answer.encode_to_vec()).is_none());
        assert!(voucher.check(phone.identity(), b"\xFF").is_none());
    }

    #[test]
    fn the_phone_signs_its_own_pre_key() {
        let phone = Phone::new(&mut rng());
        assert!(signed_by(phone.identity().as_bytes(), &phone.bundle.signed));
        assert!(!signed_by(&[5; 32], &phone.bundle.signed));
    }

    #[test]
    fn a_key_wrapped_under_a_code_comes_back_under_the_same_code_only() {
        let mut rng = rng();
        let public = KeyPair::generate(&mut rng).public;
        let wrapped: [u8; WRAPPED] = wrap(&mut rng, "ABCDEFGH", &public).try_into().expect("80 bytes");
        assert_eq!(unwrap("ABCDEFGH", &wrapped), Some(public));
        assert_ne!(unwrap("ABCDEFGJ", &wrapped), Some(public));
    }

    #[test]
    fn every_published_list_is_newer_than_the_one_before() {
        let mut rng = rng();
        let mut phone = Phone::new(&mut rng);
        phone.publish(&mut rng, 100, [1].into_iter());
        phone.publish(&mut rng, 100, std::iter::empty());
        assert_eq!(phone.key_index_list().number("ts"), Some(101));
    }
}
