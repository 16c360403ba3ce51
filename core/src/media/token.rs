//! Upload tokens: the name of an object on the media servers.

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE};

/// The token of a body with this hash, padded as the web client writes it; percent-encode it in a URL.
#[must_use]
pub fn upload_token(file_enc_sha256: &[u8; 32]) -> String {
    URL_SAFE.encode(file_enc_sha256)
}

/// The hash that a token stands for, with padding or without it as other clients write it; `None` when it is no token.
#[must_use]
pub fn parse_upload_token(token: &str) -> Option<[u8; 32]> {
    const EITHER: GeneralPurpose = GeneralPurpose::new(
        &base64::alphabet::URL_SAFE,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    EITHER.decode(token).ok()?.try_into().ok()
}
