//! Tokens that let a message to a contact pass: how long one holds, and what stands in for one that was never issued.
//! Knows neither storage nor stanzas.

use crate::crypto::symmetric;
use crate::types::Jid;

/// Length of the periods by which trusted-contact tokens age: one week.
pub const TOKEN_BUCKET_SECONDS: u64 = 604_800;

/// The token for a contact that has issued none: keyed by the account's salt, over the contact's LID without device.
#[must_use]
pub fn cs_token(salt: &[u8], recipient: &Jid) -> [u8; 32] {
    symmetric::hmac_sha256(salt, &[recipient.to_user().to_string().as_bytes()])
}

/// Whether a token that a contact issued at `issued` still holds at `now`; both in seconds since 1970.
#[must_use]
pub const fn is_contact_token_valid(issued: u64, now: u64) -> bool {
    let oldest = (now / TOKEN_BUCKET_SECONDS).saturating_sub(TOKEN_BUCKETS_KEPT) * TOKEN_BUCKET_SECONDS;
    issued >= oldest
}

/// Whether it is time to issue a contact our own token again; both in seconds since 1970.
#[must_use]
pub const fn is_contact_token_due(last_issued: u64, now: u64) -> bool {
    last_issued / TOKEN_BUCKET_SECONDS < now / TOKEN_BUCKET_SECONDS
}

/// Whole periods behind the current one in which a token still holds.
const TOKEN_BUCKETS_KEPT: u64 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_hold_for_three_whole_weeks_and_the_one_under_way() {
        let now = 10 * TOKEN_BUCKET_SECONDS + 5;
        assert!(is_contact_token_valid(7 * TOKEN_BUCKET_SECONDS, now));
        assert!(!is_contact_token_valid(7 * TOKEN_BUCKET_SECONDS - 1, now));
        assert!(is_contact_token_due(10 * TOKEN_BUCKET_SECONDS - 1, now));
        assert!(!is_contact_token_due(10 * TOKEN_BUCKET_SECONDS, now));
    }
}
