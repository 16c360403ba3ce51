//!
//! Owns everything about a stored object that can be computed from its media key and its bytes. Moves no files and
//! speaks no HTTP: hosts push chunks of any size in and write the chunks that come out, in constant memory.

mod decrypt;
mod encrypt;
mod error;
mod key;
mod kind;
mod location;
mod range;
mod retry;
mod sidecar;
#[cfg(test)]
mod tests;
mod token;

pub use decrypt::{Decrypted, Decryptor, Expected, decrypt};
pub use encrypt::{Encrypted, Encryptor, Sidecars, encrypt, encrypted_length};
pub use error::{MediaError, RetryError};
pub use key::{MediaKey, MediaKeys};
pub use kind::MediaKind;
pub use location::{DirectPath, InvalidDirectPath, resume_from, resume_probe, upload_target};
pub use range::RangePlan;
pub use retry::{RetryKey, RetryReply, RetryResult};
pub use token::{parse_upload_token, upload_token};

/// Bytes of the authentication code behind the ciphertext, and of each tag of a sidecar.
pub const MAC_BYTES: usize = 10;
const BLOCK: usize = 16;
/// Work is done in pieces so small that the processor overlaps the cipher and the hashes that pass over them: about a
/// tenth faster than whole pages.
const PIECE: usize = 256;

/// The keyed hash of a ciphertext and of its windows.
type Mac = hmac::Hmac<sha2::Sha256>;

/// The first ten bytes of a finished [`Mac`].
fn tag(mac: Mac) -> [u8; MAC_BYTES] {
    use hmac::Mac as _;
    let full: [u8; 32] = mac.finalize().into_bytes().into();
    let mut tag = [0; MAC_BYTES];
    tag.copy_from_slice(&full[..MAC_BYTES]);
    tag
}

/// Whole blocks of a slice, to be enciphered in place; what is left over is not touched.
fn blocks(bytes: &mut [u8]) -> &mut [aes::Block] {
    aes::Block::slice_as_chunks_mut(bytes).0
}
