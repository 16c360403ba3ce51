//! What a passkey says when it is asked whether a device may be linked: read as far as it must be passed on. Never made
//! here and never judged here: the account owner's own browser or platform makes it, the server judges it.

use super::json::Object;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use thiserror::Error;

/// A WebAuthn assertion in the form that browsers give (`PublicKeyCredential.toJSON`).
#[derive(Clone, PartialEq, Eq)]
pub struct Assertion {
    credential_id: Bytes,
    json: Bytes,
    challenge: Option<Challenge>,
}

/// What a passkey signs, so that its assertion is worth something for one request only.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Challenge(Bytes);

/// Why a text is not an assertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{}", self.phrase())]
#[non_exhaustive]
pub enum AssertionError {
    /// Longer than [`Assertion::MOST_BYTES`].
    TooLong,
    /// Not a JSON object.
    NotAnObject,
    /// Its `type` is not `public-key`.
    Type,
    /// `id` or `rawId` is absent, not base64url of 1 to 1,023 bytes, or they differ.
    Id,
    /// `response` lacks `clientDataJSON`, `authenticatorData` or `signature` in base64url. A registration of a new
    /// passkey looks like that.
    Response,
}

impl AssertionError {
    /// The same as a fixed phrase.
    #[must_use]
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::TooLong => "an assertion has at most 65,536 bytes",
            Self::NotAnObject => "an assertion is a JSON object",
            Self::Type => "the type of an assertion is public-key",
            Self::Id => "an assertion names its credential in base64url",
            Self::Response => "an assertion has a response with client data, authenticator data and signature",
        }
    }
}

impl Assertion {
    /// Bytes of the longest assertion. Real ones have about a thousand.
    pub const MOST_BYTES: usize = 64 << 10;

    /// Reads an assertion; checks its form, not its truth. Fails with every kind of [`AssertionError`].
    pub fn parse(json: &str) -> Result<Self, AssertionError> {
        if json.len() > Self::MOST_BYTES {
            return Err(AssertionError::TooLong);
        }
        let object = Object::parse(json).ok_or(AssertionError::NotAnObject)?;
        if object.text("type") != Some("public-key") {
            return Err(AssertionError::Type);
        }
        let id = object.text("id").ok_or(AssertionError::Id)?;
        if object.text("rawId").is_some_and(|raw| raw.trim_end_matches('=') != id.trim_end_matches('=')) {
            return Err(AssertionError::Id);
        }
        let credential_id =
            unbase64(id).filter(|id| (1..=MOST_ID_BYTES).contains(&id.len())).ok_or(AssertionError::Id)?;
        let response = object.object("response").ok_or(AssertionError::Response)?;
        let part = |name: &str| {
            let bytes = response.text(name).and_then(unbase64).filter(|bytes| !bytes.is_empty());
            bytes.ok_or(AssertionError::Response)
        };
        part("authenticatorData")?;
        part("signature")?;
        let challenge = Challenge::in_object(&part("clientDataJSON")?);
        let json = Bytes::copy_from_slice(json.as_bytes());
        Ok(Self { credential_id: credential_id.into(), json, challenge })
    }

    /// The challenge that was signed, as the client data says; `None` if they say none.
    pub(crate) const fn challenge(&self) -> Option<&Challenge> {
        self.challenge.as_ref()
    }

    /// Which passkey signed it; raw bytes.
    #[must_use]
    pub const fn credential_id(&self) -> &Bytes {
        &self.credential_id
    }

    /// The text, as it was given.
    #[must_use]
    pub const fn json(&self) -> &Bytes {
        &self.json
    }
}

/// Whether the text can be the options of a WebAuthn request (`PublicKeyCredentialRequestOptionsJSON`): a JSON object
/// with a challenge. At most [`Assertion::MOST_BYTES`].
#[must_use]
pub fn is_request(json: &[u8]) -> bool {
    Challenge::in_object(json).is_some()
}

impl Challenge {
    /// The challenge in the options of a request, or in client data.
    pub(crate) fn in_object(json: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(json).ok().filter(|text| text.len() <= Assertion::MOST_BYTES)?;
        let object = Object::parse(text)?;
        // Some servers hand over what `navigator.credentials.get` takes, which wraps the options.
        let options = object.object("publicKey").unwrap_or(&object);
        let challenge = options.text("challenge").and_then(unbase64).filter(|challenge| !challenge.is_empty())?;
        Some(Self(challenge.into()))
    }
}

/// It belongs to the account's passkey.
impl std::fmt::Debug for Challenge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Challenge(..)")
    }
}

/// Bytes written in base64url, with or without padding.
pub(crate) fn unbase64(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()
}

/// What passkeys said about an account is nobody else's business.
impl std::fmt::Debug for Assertion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Assertion(..)")
    }
}

/// The standard's limit on credential ids.
const MOST_ID_BYTES: usize = 1023;

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"id":"AQID","rawId":"AQID","type":"public-key","authenticatorAttachment":"platform",
        "response":{"clientDataJSON":"e30","authenticatorData":"AA","signature":"MEU","userHandle":"dQ"},
        "clientExtensionResults":{}}"#;

    #[test]
    fn an_assertion_names_its_credential_and_is_passed_on_as_it_is() {
        let assertion = Assertion::parse(GOOD).unwrap();
        assert_eq!(assertion.credential_id(), &[1, 2, 3][..]);
        assert_eq!(assertion.json(), GOOD.as_bytes());
        assert_eq!(format!("{assertion:?}"), "Assertion(..)");
        assert_eq!(Assertion::parse(&GOOD.replace(r#""rawId":"AQID","#, "")).unwrap().credential_id(), &[1, 2, 3][..]);
    }

    #[test]
    fn what_is_not_an_assertion_is_told_what_it_lacks() {
        let changed = |from: &str, to: &str| Assertion::parse(&GOOD.replace(from, to)).unwrap_err();
        assert_eq!(changed("{\"id\"", "[\"id\""), AssertionError::NotAnObject);
        assert_eq!(changed("public-key", "password"), AssertionError::Type);
        assert_eq!(changed(r#""id":"AQID","#, ""), AssertionError::Id);
        assert_eq!(changed(r#""rawId":"AQID""#, r#""rawId":"AQIE""#), AssertionError::Id);
        assert_eq!(changed("AQID", "A+/D"), AssertionError::Id);
        assert_eq!(changed("AQID", ""), AssertionError::Id);
        assert_eq!(changed("signature", "sig"), AssertionError::Response);
        assert_eq!(changed("\"MEU\"", "7"), AssertionError::Response);
        assert_eq!(changed("\"response\"", "\"answer\""), AssertionError::Response);
        let long = GOOD.replace("MEU", &"A".repeat(Assertion::MOST_BYTES));
        assert_eq!(Assertion::parse(&long), Err(AssertionError::TooLong));
    }

    #[test]
    fn an_assertion_says_which_challenge_it_answers() {
        let with = |client_data: &str| {
            let encoded = URL_SAFE_NO_PAD.encode(client_data);
            Assertion::parse(&GOOD.replace("e30", &encoded)).unwrap().challenge().cloned()
        };
        let asked = Challenge::in_object(br#"{"challenge":"AQID"}"#);
        assert!(asked.is_some());
        assert_eq!(with(r#"{"type":"webauthn.get","challenge":"AQID"}"#), asked);
        assert_eq!(with(r#"{"challenge":"AQID="}"#), asked, "padding says nothing");
        assert_ne!(with(r#"{"challenge":"AQIE"}"#), asked);
        assert_eq!(with("{}"), None);
        assert_eq!(format!("{asked:?}"), "Some(Challenge(..))");
    }

    #[test]
    fn a_request_has_a_challenge() {
        assert!(is_request(br#"{"challenge":"AQID","rpId":"example.com"}"#));
        assert!(is_request(br#"{"publicKey":{"challenge":"AQID"}}"#));
        for bad in [&b"{}"[..], b"", b"\xFF", br#"{"challenge":7}"#, br#"{"challenge":""}"#, br#"["challenge"]"#] {
            assert!(!is_request(bad));
        }
    }
}
