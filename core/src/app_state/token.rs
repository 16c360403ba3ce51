//! The token that a chat partner without a privacy token is addressed with.

use crate::crypto::symmetric::hmac_sha256;

/// The token for the user whose LID's text is `lid`, from the salt that history and app state carry.
#[must_use]
pub fn nct_token(salt: &[u8], lid: &str) -> [u8; 32] {
    hmac_sha256(salt, &[lid.as_bytes()])
}
