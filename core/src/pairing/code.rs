//! Linking with a code that is typed on the phone: how the eight characters protect two fresh keys, and how those
//! protect the new ADV secret. Both sides. Stages, time limits and tries are the flow's.

use crate::api::{Platform, ProtocolProfile};
use crate::crypto::symmetric::{
    aes256_ctr, aes256_gcm_open, aes256_gcm_seal, constant_time_eq, hkdf_sha256, pbkdf2_sha256,
};
use crate::crypto::{CurveError, KeyPair, PublicKey, Rng, Secret};
use thiserror::Error;
use zeroize::Zeroizing;

/// Rounds of PBKDF2 over the code: tens of milliseconds, twice per linking and side.
pub const ROUNDS: u32 = 131_072;

/// Length of a wrapped ephemeral key: salt, IV, ciphertext.
pub const WRAPPED_KEY: usize = 80;

/// Length of a wrapped key bundle: salt, IV, three keys, tag.
pub const WRAPPED_BUNDLE: usize = 156;

/// Characters of a code, five bits each; 0, I, O and U are left out.
const ALPHABET: &[u8; 32] = b"123456789ABCDEFGHJKLMNPQRSTVWXYZ";

const LENGTH: usize = 8;

const BUNDLE_INFO: &[u8] = b"link_code_pairing_key_bundle_encryption_key";
const ADV_SECRET_INFO: &[u8] = b"adv_secret";

/// Why a step of linking by code failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CodeError {
    /// A code is not eight characters of the alphabet.
    #[error("not a linking code")]
    Code,
    /// The other side's wrapped ephemeral key is not 80 bytes.
    #[error("wrapped ephemeral key has the wrong length")]
    WrappedKeyLength,
    /// The key bundle is not 156 bytes.
    #[error("wrapped key bundle has the wrong length")]
    BundleLength,
    /// The key bundle does not open: the code typed on the phone was another one.
    #[error("key bundle does not open: wrong code")]
    WrongCode,
    /// The bundle names another companion than the message around it.
    #[error("key bundle names another companion")]
    CompanionIdentity,
    /// The bundle names another phone than this one.
    #[error("key bundle names another phone")]
    PrimaryIdentity,
    /// A key of the other side is of low order.
    #[error("key agreement failed: {0}")]
    Agreement(#[from] CurveError),
}

/// The eight characters, without the dash that is shown between them. Cannot be printed by accident;
/// [`shown`](Self::shown) is for the person who asked.
#[derive(Clone, PartialEq, Eq)]
pub struct Code(Zeroizing<String>);

impl Code {
    /// A new code.
    #[must_use]
    pub fn generate(rng: &mut Rng) -> Self {
        Self::from_bytes(rng.bytes())
    }

    /// The code of 40 bits, most significant first.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 5]) -> Self {
        let bits = bytes.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        let character = |index: usize| {
            let at = (bits >> (5 * (LENGTH - 1 - index)) & 31) as usize;
            char::from(ALPHABET.get(at).copied().unwrap_or(b'1'))
        };
        Self(Zeroizing::new((0..LENGTH).map(character).collect()))
    }

    /// Reads what a person typed: case, dashes and spaces do not matter. Fails with `Code`.
    pub fn parse(typed: &str) -> Result<Self, CodeError> {
        let mut code = Zeroizing::new(String::with_capacity(LENGTH));
        for character in typed.chars().filter(|character| !matches!(character, '-' | ' ')) {
            let character = character.to_ascii_uppercase();
            let known = u8::try_from(character).is_ok_and(|byte| ALPHABET.contains(&byte));
            if !known || code.len() == LENGTH {
                return Err(CodeError::Code);
            }
            code.push(character);
        }
        if code.len() != LENGTH {
            return Err(CodeError::Code);
        }
        Ok(Self(code))
    }

    /// Takes text as it is, without what a phone does to it: for tests and for faults of a relay.
    #[must_use]
    pub fn verbatim(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }

    /// The characters, as they enter the key derivation.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The code as it is shown to people: `ABCD-EFGH`.
    #[must_use]
    pub fn shown(&self) -> String {
        match self.0.split_at_checked(LENGTH / 2) {
            Some((first, second)) => format!("{first}-{second}"),
            None => self.0.to_string(),
        }
    }

    /// The key that wraps an ephemeral key under `salt`. Costs [`ROUNDS`].
    #[must_use]
    pub fn wrapping_key(&self, salt: &[u8; 32]) -> Secret<32> {
        pbkdf2_sha256(self.0.as_bytes(), salt, ROUNDS)
    }
}

/// Fresh random values for wrapping an ephemeral key.
#[derive(Clone, Debug)]
pub struct WrapRandom {
    /// Salt of the key derivation.
    pub salt: [u8; 32],
    /// First counter block.
    pub iv: [u8; 16],
}

impl WrapRandom {
    /// Draws them.
    #[must_use]
    pub fn generate(rng: &mut Rng) -> Self {
        Self { salt: rng.bytes(), iv: rng.bytes() }
    }
}

/// Fresh random values for the companion's last step.
#[derive(Clone)]
pub struct FinishRandom {
    /// The companion's share of the new ADV secret.
    pub share: Secret<32>,
    /// Salt of the bundle's key.
    pub salt: [u8; 32],
    /// Nonce of the bundle.
    pub iv: [u8; 12],
}

impl FinishRandom {
    /// Draws them.
    #[must_use]
    pub fn generate(rng: &mut Rng) -> Self {
        Self { share: Secret::new(rng.bytes()), salt: rng.bytes(), iv: rng.bytes() }
    }
}

/// A companion that showed a code and waits for the phone.
#[derive(Clone)]
pub struct AwaitingPrimaryHello {
    code: Code,
    ephemeral: KeyPair,
}

/// The companion's last message, and the ADV secret it stands for.
#[derive(Clone)]
pub struct CompanionFinish {
    /// Content of `link_code_pairing_wrapped_key_bundle`.
    pub bundle: [u8; WRAPPED_BUNDLE],
    /// The new ADV secret. Store it before sending `bundle`.
    pub adv_secret: Secret<32>,
}

impl AwaitingPrimaryHello {
    /// One that was started before with this code and this pair.
    #[must_use]
    pub const fn resume(code: Code, ephemeral: KeyPair) -> Self {
        Self { code, ephemeral }
    }

    /// Wraps the fresh pair `ephemeral` under `code`: content of `link_code_pairing_wrapped_companion_ephemeral_pub`.
    #[must_use]
    pub fn start(code: Code, ephemeral: KeyPair, random: &WrapRandom) -> (Self, [u8; WRAPPED_KEY]) {
        let wrapped = wrap(&code, &ephemeral.public, random);
        (Self { code, ephemeral }, wrapped)
    }

    /// The code, for showing it again.
    #[must_use]
    pub const fn code(&self) -> &Code {
        &self.code
    }

    /// Answers the phone's hello. A wrong code is not visible here; the phone finds out. Can be called again for
    /// another hello of the phone. Fails with `WrappedKeyLength` or `Agreement`.
    pub fn finish(
        &self,
        identity: &KeyPair,
        wrapped_primary: &[u8],
        primary_identity: &PublicKey,
        random: &FinishRandom,
    ) -> Result<CompanionFinish, CodeError> {
        let primary_ephemeral = unwrap(&self.code, wrapped_primary)?;
        let shared = self.ephemeral.agree(&primary_ephemeral)?;
        let identities = identity.agree(primary_identity)?;
        let mut plain = Zeroizing::new([0; 96]);
        concatenate(&mut *plain, &[identity.public.as_bytes(), primary_identity.as_bytes(), random.share.expose()]);
        let key = bundle_key(&shared, &random.salt);
        let sealed = aes256_gcm_seal(key.expose(), &random.iv, &[], &*plain).map_err(|_| CodeError::BundleLength)?;
        let mut bundle = [0; WRAPPED_BUNDLE];
        concatenate(&mut bundle, &[&random.salt, &random.iv, &sealed]);
        Ok(CompanionFinish { bundle, adv_secret: adv_secret(&shared, &identities, &random.share) })
    }
}

/// A phone on which a code was typed.
#[derive(Clone)]
pub struct AwaitingCompanionFinish {
    ephemeral: KeyPair,
    companion_ephemeral: PublicKey,
}

impl AwaitingCompanionFinish {
    /// Unwraps the companion's ephemeral key with the typed `code` and wraps the phone's own: content of
    /// `link_code_pairing_wrapped_primary_ephemeral_pub`. A wrong code is not visible yet. Fails with `WrappedKeyLength`.
    pub fn start(
        code: &Code,
        wrapped_companion: &[u8],
        ephemeral: KeyPair,
        random: &WrapRandom,
    ) -> Result<(Self, [u8; WRAPPED_KEY]), CodeError> {
        let companion_ephemeral = unwrap(code, wrapped_companion)?;
        let wrapped = wrap(code, &ephemeral.public, random);
        Ok((Self { ephemeral, companion_ephemeral }, wrapped))
    }

    /// What the typed code made of the companion's ephemeral key: the right one only if the code was right.
    #[must_use]
    pub const fn companion_ephemeral(&self) -> &PublicKey {
        &self.companion_ephemeral
    }

    /// Opens the companion's bundle and returns the new ADV secret. Fails with `BundleLength`, `WrongCode`,
    /// `CompanionIdentity`, `PrimaryIdentity` or `Agreement`.
    pub fn finish(
        &self,
        identity: &KeyPair,
        companion_identity: &PublicKey,
        bundle: &[u8],
    ) -> Result<Secret<32>, CodeError> {
        if bundle.len() != WRAPPED_BUNDLE {
            return Err(CodeError::BundleLength);
        }
        let (salt, rest) = bundle.split_first_chunk().ok_or(CodeError::BundleLength)?;
        let (iv, sealed) = rest.split_first_chunk().ok_or(CodeError::BundleLength)?;
        // A wrong code gives a random key, which can also be of low order: still a wrong code.
        let shared = self.ephemeral.agree(&self.companion_ephemeral).map_err(|_| CodeError::WrongCode)?;
        let key = bundle_key(&shared, salt);
        let plain = aes256_gcm_open(key.expose(), iv, &[], sealed).map_err(|_| CodeError::WrongCode)?;
        let plain = Zeroizing::new(plain);
        let (companion, rest) = plain.split_at_checked(32).ok_or(CodeError::BundleLength)?;
        let (primary, share) = rest.split_at_checked(32).ok_or(CodeError::BundleLength)?;
        let share = Secret::from_slice(share).ok_or(CodeError::BundleLength)?;
        if !constant_time_eq(companion, companion_identity.as_bytes()) {
            return Err(CodeError::CompanionIdentity);
        }
        if !constant_time_eq(primary, identity.public.as_bytes()) {
            return Err(CodeError::PrimaryIdentity);
        }
        let identities = identity.agree(companion_identity)?;
        Ok(adv_secret(&shared, &identities, &share))
    }
}

/// The key of the bundle, from the agreement of the ephemeral keys.
#[must_use]
pub fn bundle_key(shared: &Secret<32>, salt: &[u8; 32]) -> Secret<32> {
    hkdf_sha256(Some(salt), shared.expose(), BUNDLE_INFO)
}

fn adv_secret(shared: &Secret<32>, identities: &Secret<32>, share: &Secret<32>) -> Secret<32> {
    let mut ikm = Zeroizing::new([0; 96]);
    concatenate(&mut *ikm, &[shared.expose(), identities.expose(), share.expose()]);
    hkdf_sha256(None, &*ikm, ADV_SECRET_INFO)
}

fn wrap(code: &Code, key: &PublicKey, random: &WrapRandom) -> [u8; WRAPPED_KEY] {
    let mut body = *key.as_bytes();
    aes256_ctr(code.wrapping_key(&random.salt).expose(), &random.iv, &mut body);
    let mut out = [0; WRAPPED_KEY];
    concatenate(&mut out, &[&random.salt, &random.iv, &body]);
    out
}

fn unwrap(code: &Code, wrapped: &[u8]) -> Result<PublicKey, CodeError> {
    let wrong = CodeError::WrappedKeyLength;
    let (salt, rest) = wrapped.split_first_chunk::<32>().ok_or(wrong)?;
    let (iv, body) = rest.split_first_chunk::<16>().ok_or(wrong)?;
    let mut body: [u8; 32] = body.try_into().map_err(|_| wrong)?;
    aes256_ctr(code.wrapping_key(salt).expose(), iv, &mut body);
    Ok(PublicKey::from_bytes(body))
}

fn concatenate(out: &mut [u8], parts: &[&[u8]]) {
    let bytes = parts.iter().flat_map(|part| part.iter());
    for (to, from) in out.iter_mut().zip(bytes) {
        *to = *from;
    }
}

/// How a companion names itself in this method: `Browser (OS)`. The production server answers 400 to names that it does
/// not know, so what has no known name is shown under one that fits.
#[must_use]
pub fn platform_display(profile: &ProtocolProfile) -> String {
    let (browser, usual_os) = match profile.platform {
        Platform::Firefox => ("Firefox", LINUX),
        Platform::Safari => ("Safari", MAC_OS),
        Platform::Edge => ("Edge", WINDOWS),
        Platform::Chrome | Platform::Desktop | Platform::Other => ("Chrome", LINUX),
    };
    let is_meant = |word: &str| profile.os.to_ascii_lowercase().contains(word);
    let named = KNOWN_OS.iter().find(|(words, _)| words.iter().any(|word| is_meant(word)));
    let os = named.map_or(usual_os, |(_, os)| os);
    format!("{browser} ({os})")
}

const LINUX: &str = "Linux";
const MAC_OS: &str = "Mac OS";
const WINDOWS: &str = "Windows";

/// Words in the name of an operating system, and the name that the server knows.
const KNOWN_OS: [(&[&str], &str); 4] = [
    (&["mac", "darwin", "os x"], MAC_OS),
    (&["windows"], WINDOWS),
    (&["ubuntu"], "Ubuntu"),
    (&["linux", "debian", "fedora"], LINUX),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Seed;

    #[test]
    fn typed_code_is_read_however_it_is_written() {
        let code = Code::from_bytes([0, 1, 2, 3, 4]);
        assert_eq!((code.as_str(), code.shown().as_str()), ("111H51R5", "111H-51R5"));
        for typed in ["111H51R5", "111h-51r5", " 111H 51R5"] {
            assert!(Code::parse(typed) == Ok(code.clone()));
        }
        for typed in ["", "111H51R", "111H51R55", "011H51R5", "111H51RU", "ääää"] {
            assert_eq!(Code::parse(typed).err(), Some(CodeError::Code), "{typed}");
        }
    }

    #[test]
    fn both_sides_get_the_same_secret_and_only_with_the_same_code() {
        let mut rng = Rng::new(&Seed::new([8; 32]));
        let (companion, phone) = (KeyPair::generate(&mut rng), KeyPair::generate(&mut rng));
        let code = Code::generate(&mut rng);
        let ephemeral = KeyPair::generate(&mut rng);
        let random = WrapRandom::generate(&mut rng);
        let (awaiting, wrapped) = AwaitingPrimaryHello::start(code.clone(), ephemeral, &random);
        for (typed, right) in [(code, true), (Code::generate(&mut rng), false)] {
            let random = WrapRandom::generate(&mut rng);
            let ephemeral = KeyPair::generate(&mut rng);
            let (primary, hello) = AwaitingCompanionFinish::start(&typed, &wrapped, ephemeral, &random).unwrap();
            let random = FinishRandom::generate(&mut rng);
            let finish = awaiting.finish(&companion, &hello, &phone.public, &random).unwrap();
            let secret = primary.finish(&phone, &companion.public, &finish.bundle);
            assert!(secret == if right { Ok(finish.adv_secret) } else { Err(CodeError::WrongCode) });
            assert!(primary.finish(&phone, &companion.public, &finish.bundle[1..]) == Err(CodeError::BundleLength));
        }
    }

    #[test]
    fn a_companion_names_itself_with_words_that_the_server_knows() {
        let named = |platform, os: &str| {
            let profile = ProtocolProfile { platform, os: os.into(), ..ProtocolProfile::default() };
            platform_display(&profile)
        };
        assert_eq!(platform_display(&ProtocolProfile::default()), "Chrome (Linux)");
        assert_eq!(named(Platform::Safari, "my own"), "Safari (Mac OS)");
        assert_eq!(named(Platform::Edge, ""), "Edge (Windows)");
        assert_eq!(named(Platform::Firefox, "macOS 15"), "Firefox (Mac OS)");
        assert_eq!(named(Platform::Desktop, "WINDOWS 11"), "Chrome (Windows)");
        assert_eq!(named(Platform::Chrome, "Ubuntu Linux"), "Chrome (Ubuntu)");
    }
}
