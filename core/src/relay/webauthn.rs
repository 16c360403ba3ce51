//! The relying party's half of WebAuthn: what it asks, and whether an assertion answers just that. ES256 only. Knows
//! nothing of linking.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{DerSignature, VerifyingKey};

use crate::crypto::symmetric::{constant_time_eq, sha256};
use crate::pairing::Assertion;
use crate::pairing::assertion::unbase64;
use crate::pairing::json::Object;

/// For whom passkeys are, and where they may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelyingParty {
    /// A domain.
    pub id: String,
    /// The page that asks: scheme and host.
    pub origin: String,
}

impl Default for RelyingParty {
    /// A domain that exists nowhere, so that nobody's passkey is meant.
    fn default() -> Self {
        Self { id: "relay.whatsio.test".to_owned(), origin: "https://relay.whatsio.test".to_owned() }
    }
}

/// A passkey as its relying party knows it.
#[derive(Clone, Debug)]
pub struct Credential {
    id: Vec<u8>,
    key: VerifyingKey,
    counter: u32,
}

/// Why an assertion is not accepted. Nothing was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AssertionRefusal {
    /// It does not have the form of an assertion.
    #[error("malformed assertion")]
    Malformed,
    /// It is of another passkey.
    #[error("unknown passkey")]
    Credential,
    /// It answers another challenge, or is not an assertion at all by its own words.
    #[error("wrong challenge")]
    Challenge,
    /// It was made for another page.
    #[error("wrong origin")]
    Origin,
    /// It was made for another relying party.
    #[error("wrong relying party")]
    RelyingParty,
    /// The user was not present or did not unlock the passkey.
    #[error("the user did not take part")]
    User,
    /// The signature does not verify.
    #[error("wrong signature")]
    Signature,
    /// The counter did not grow: there is a copy of the passkey, or the assertion is old.
    #[error("the counter did not grow")]
    Counter,
}

/// What an authenticator reads in a request.
pub(super) struct Options {
    pub(super) challenge: Vec<u8>,
    pub(super) party: Option<String>,
    pub(super) allowed: Vec<Vec<u8>>,
}

impl RelyingParty {
    /// A request for an assertion of one of these passkeys, as `PublicKeyCredential.parseRequestOptionsFromJSON` reads it.
    pub(super) fn request(&self, challenge: &[u8], allowed: &[Credential], timeout_ms: u64) -> String {
        let allowed: Vec<String> = allowed
            .iter()
            .map(|credential| format!(r#"{{"id":"{}","type":"public-key"}}"#, URL_SAFE_NO_PAD.encode(&credential.id)))
            .collect();
        format!(
            concat!(
                r#"{{"challenge":"{}","timeout":{},"rpId":"{}","#,
                r#""allowCredentials":[{}],"userVerification":"required"}}"#
            ),
            URL_SAFE_NO_PAD.encode(challenge),
            timeout_ms,
            self.id,
            allowed.join(","),
        )
    }
}

impl Credential {
    pub(super) const fn new(id: Vec<u8>, key: VerifyingKey, counter: u32) -> Self {
        Self { id, key, counter }
    }

    /// Its id; raw bytes.
    #[must_use]
    pub fn id(&self) -> &[u8] {
        &self.id
    }

    /// Checks that `assertion` (JSON) is of this passkey and answers `challenge`, and counts it. Fails with every kind of
    /// [`AssertionRefusal`].
    pub fn verify(&mut self, party: &RelyingParty, challenge: &[u8], assertion: &str) -> Result<(), AssertionRefusal> {
        use AssertionRefusal as Refusal;
        let read = Assertion::parse(assertion).map_err(|_| Refusal::Malformed)?;
        let object = Object::parse(assertion).ok_or(Refusal::Malformed)?;
        let response = object.object("response").ok_or(Refusal::Malformed)?;
        let part = |name: &str| response.text(name).and_then(unbase64).ok_or(Refusal::Malformed);
        let [client_data, data, signature] = [part("clientDataJSON")?, part("authenticatorData")?, part("signature")?];
        if read.credential_id() != &self.id {
            return Err(Refusal::Credential);
        }
        let client = std::str::from_utf8(&client_data).ok().and_then(Object::parse).ok_or(Refusal::Malformed)?;
        let answered = client.text("challenge").and_then(unbase64).unwrap_or_default();
        if client.text("type") != Some(GET) || !constant_time_eq(&answered, challenge) {
            return Err(Refusal::Challenge);
        }
        if client.text("origin") != Some(&party.origin) {
            return Err(Refusal::Origin);
        }
        let (hash, rest) = data.split_first_chunk::<32>().ok_or(Refusal::Malformed)?;
        let (&[flags], rest) = rest.split_first_chunk::<1>().ok_or(Refusal::Malformed)?;
        let (counter, _extensions) = rest.split_first_chunk::<4>().ok_or(Refusal::Malformed)?;
        if *hash != sha256(&[party.id.as_bytes()]) {
            return Err(Refusal::RelyingParty);
        }
        if flags & (USER_PRESENT | USER_VERIFIED) != USER_PRESENT | USER_VERIFIED {
            return Err(Refusal::User);
        }
        let signature = DerSignature::from_bytes(&signature).map_err(|_| Refusal::Signature)?;
        let signed = [&data[..], &sha256(&[&client_data])].concat();
        self.key.verify(&signed, &signature).map_err(|_| Refusal::Signature)?;
        let counter = u32::from_be_bytes(*counter);
        // Passkeys that are copied between devices do not count and say 0.
        if counter <= self.counter && (counter, self.counter) != (0, 0) {
            return Err(Refusal::Counter);
        }
        self.counter = counter;
        Ok(())
    }
}

/// Reads a request, wrapped in `publicKey` or not.
pub(super) fn options(request: &str) -> Option<Options> {
    let object = Object::parse(request)?;
    let options = object.object("publicKey").unwrap_or(&object);
    let allowed = options.list("allowCredentials").unwrap_or_default();
    Some(Options {
        challenge: options.text("challenge").and_then(unbase64).filter(|bytes| !bytes.is_empty())?,
        party: options.text("rpId").map(ToOwned::to_owned),
        allowed: allowed.iter().filter_map(|one| one.object()?.text("id").and_then(unbase64)).collect(),
    })
}

/// The ceremony's type in the client data of an assertion.
pub(super) const GET: &str = "webauthn.get";

/// Flags of the authenticator data.
pub(super) const USER_PRESENT: u8 = 0x01;
pub(super) const USER_VERIFIED: u8 = 0x04;

#[cfg(test)]
mod tests {
    use super::super::authenticator::{Authenticator, AuthenticatorError};
    use super::*;
    use crate::crypto::Rng;
    use crate::types::Seed;

    fn passkey(seed: u8) -> (Authenticator, Credential) {
        let authenticator = Authenticator::create(&mut Rng::new(&Seed::new([seed; 32])), RelyingParty::default());
        let credential = authenticator.credential();
        (authenticator, credential)
    }

    fn request(credential: &Credential, challenge: &[u8]) -> String {
        RelyingParty::default().request(challenge, std::slice::from_ref(credential), 600_000)
    }

    /// The assertion with one part of its response put through `change`.
    fn with(assertion: &str, part: &str, change: impl Fn(Vec<u8>) -> Vec<u8>) -> String {
        let object = Object::parse(assertion).unwrap();
        let old = object.object("response").unwrap().text(part).unwrap().to_owned();
        let new = URL_SAFE_NO_PAD.encode(change(unbase64(&old).unwrap()));
        assertion.replace(&old, &new)
    }

    #[test]
    fn a_passkey_answers_the_request_of_its_party_and_is_believed_once() {
        let (mut authenticator, mut credential) = passkey(1);
        let party = RelyingParty::default();
        let assertion = authenticator.assert(&request(&credential, b"challenge")).unwrap();
        assert_eq!(Assertion::parse(&assertion).unwrap().credential_id(), credential.id());
        assert_eq!(credential.verify(&party, b"challenge", &assertion), Ok(()));
        assert_eq!(credential.verify(&party, b"challenge", &assertion), Err(AssertionRefusal::Counter));
        let wrapped = format!(r#"{{"publicKey":{}}}"#, request(&credential, b"again"));
        let assertion = authenticator.assert(&wrapped).unwrap();
        assert_eq!(credential.verify(&party, b"again", &assertion), Ok(()));
    }

    #[test]
    fn what_does_not_answer_the_request_is_refused_for_what_is_wrong_with_it() {
        let (mut authenticator, mut credential) = passkey(1);
        let (mut stranger, _) = passkey(2);
        let party = RelyingParty::default();
        let asked = request(&credential, b"challenge");
        let good = authenticator.assert(&asked).unwrap();
        let mut refused = |assertion: &str| credential.verify(&party, b"challenge", assertion).unwrap_err();
        assert_eq!(refused("{}"), AssertionRefusal::Malformed);
        let free = r#"{"challenge":"Y2hhbGxlbmdl"}"#;
        assert_eq!(refused(&stranger.assert(free).unwrap()), AssertionRefusal::Credential);
        let other = authenticator.assert(r#"{"challenge":"AQID"}"#).unwrap();
        assert_eq!(refused(&other), AssertionRefusal::Challenge);
        let text = |from: &'static str, to: &'static str| {
            move |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(from, to).into_bytes()
        };
        let created = with(&good, "clientDataJSON", text("webauthn.get", "webauthn.create"));
        assert_eq!(refused(&created), AssertionRefusal::Challenge);
        let elsewhere = with(&good, "clientDataJSON", text("https://relay", "https://evil"));
        assert_eq!(refused(&elsewhere), AssertionRefusal::Origin);
        let spaced = with(&good, "clientDataJSON", text(",", ", "));
        assert_eq!(refused(&spaced), AssertionRefusal::Signature);
        let flip = |at: usize, bits: u8| {
            move |mut bytes: Vec<u8>| {
                bytes[at] ^= bits;
                bytes
            }
        };
        assert_eq!(refused(&with(&good, "authenticatorData", flip(0, 1))), AssertionRefusal::RelyingParty);
        assert_eq!(refused(&with(&good, "authenticatorData", flip(32, USER_PRESENT))), AssertionRefusal::User);
        assert_eq!(refused(&with(&good, "authenticatorData", flip(32, USER_VERIFIED))), AssertionRefusal::User);
        assert_eq!(refused(&with(&good, "authenticatorData", flip(36, 1))), AssertionRefusal::Signature);
        let short = with(&good, "authenticatorData", |bytes| bytes[..36].to_vec());
        assert_eq!(refused(&short), AssertionRefusal::Malformed);
        assert_eq!(refused(&with(&good, "signature", flip(20, 1))), AssertionRefusal::Signature);
        assert_eq!(refused(&with(&good, "signature", |_| vec![0x30, 0])), AssertionRefusal::Signature);
        assert_eq!(credential.verify(&party, b"challenge", &good), Ok(()), "nothing of all that was counted");
    }

    #[test]
    fn an_authenticator_answers_nobody_else() {
        let (mut authenticator, credential) = passkey(1);
        let (_, other) = passkey(2);
        let asked = request(&credential, b"challenge");
        let elsewhere = asked.replace("relay.whatsio.test", "example.com");
        assert_eq!(authenticator.assert(&elsewhere), Err(AuthenticatorError::OtherParty));
        assert_eq!(authenticator.assert(&request(&other, b"x")), Err(AuthenticatorError::NotAllowed));
        for bad in ["", "{}", r#"{"challenge":"!"}"#, r#"{"challenge":""}"#] {
            assert_eq!(authenticator.assert(bad), Err(AuthenticatorError::NotARequest));
        }
        assert_eq!(authenticator.credential().counter, 0);
    }
}
