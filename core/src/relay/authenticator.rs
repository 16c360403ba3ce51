//! A passkey in software, for tests and demos: it answers WebAuthn requests of one relying party, as the browser and the
//! authenticator of an account's owner would together. Knows nothing of linking. Never reachable from the client: that
//! one hands assertions through and makes none.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{DerSignature, SigningKey};

use super::webauthn::{Credential, GET, RelyingParty, USER_PRESENT, USER_VERIFIED, options};
use crate::crypto::Rng;
use crate::crypto::symmetric::sha256;

/// One passkey (ES256) with everything that makes it answer.
pub struct Authenticator {
    key: SigningKey,
    id: [u8; 16],
    user: [u8; 16],
    party: RelyingParty,
    counter: u32,
}

/// Why an authenticator gives no assertion. Nothing was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthenticatorError {
    /// The text is not a WebAuthn request: no JSON object with a `challenge` in base64url.
    #[error("not a WebAuthn request")]
    NotARequest,
    /// The request is of another relying party.
    #[error("this passkey belongs to another relying party")]
    OtherParty,
    /// The request allows other credentials only.
    #[error("the request does not allow this passkey")]
    NotAllowed,
}

impl Authenticator {
    /// A new passkey of `party`. The generator decides everything random in it.
    #[must_use]
    pub fn create(rng: &mut Rng, party: RelyingParty) -> Self {
        let key = loop {
            // Fails for zero and for numbers beyond the group's order: once in four thousand million draws.
            if let Ok(key) = SigningKey::from_slice(&rng.bytes::<32>()) {
                break key;
            }
        };
        Self { key, id: rng.bytes(), user: rng.bytes(), party, counter: 0 }
    }

    /// What the relying party keeps of it.
    #[must_use]
    pub fn credential(&self) -> Credential {
        Credential::new(self.id.to_vec(), *self.key.verifying_key(), self.counter)
    }

    /// Answers a request: an assertion as `PublicKeyCredential.toJSON` gives it. The user is taken to be present and to
    /// have unlocked the passkey. Fails with every kind of [`AuthenticatorError`].
    pub fn assert(&mut self, request: &str) -> Result<String, AuthenticatorError> {
        let request = options(request).ok_or(AuthenticatorError::NotARequest)?;
        if request.party.is_some_and(|party| party != self.party.id) {
            return Err(AuthenticatorError::OtherParty);
        }
        if !request.allowed.is_empty() && !request.allowed.iter().any(|id| id == &self.id) {
            return Err(AuthenticatorError::NotAllowed);
        }
        self.counter = self.counter.saturating_add(1);
        let client_data = format!(
            r#"{{"type":"{GET}","challenge":"{}","origin":"{}","crossOrigin":false}}"#,
            URL_SAFE_NO_PAD.encode(&request.challenge),
            self.party.origin,
        );
        let mut data = sha256(&[self.party.id.as_bytes()]).to_vec();
        data.push(USER_PRESENT | USER_VERIFIED);
        data.extend_from_slice(&self.counter.to_be_bytes());
        let signed = [&data[..], &sha256(&[client_data.as_bytes()])].concat();
        let signature: DerSignature = self.key.sign(&signed);
        let [id, user] = [self.id, self.user].map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
        let parts: [&[u8]; 3] = [client_data.as_bytes(), &data, signature.as_bytes()];
        let [client_data, data, signature] = parts.map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
        Ok(format!(
            concat!(
                r#"{{"id":"{id}","rawId":"{id}","type":"public-key","authenticatorAttachment":"platform","#,
                r#""response":{{"clientDataJSON":"{client_data}","authenticatorData":"{data}","#,
                r#""signature":"{signature}","userHandle":"{user}"}},"clientExtensionResults":{{}}}}"#
            ),
            id = id,
            client_data = client_data,
            data = data,
            signature = signature,
            user = user,
        ))
    }
}
