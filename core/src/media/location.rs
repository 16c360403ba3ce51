//! Where objects are: the addresses that they are uploaded to, downloaded from and deleted at.
//!
//! Builds text only. A direct path comes from whoever sent the message, so it must not be able to name another host.

use super::{MediaKind, upload_token};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A path on the media servers as a message names it, checked: it cannot leave the host that it is put behind.
#[derive(Clone, PartialEq, Eq)]
pub struct DirectPath(String);

/// The text is not a path on a media server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a path on a media server")]
pub struct InvalidDirectPath;

/// Real ones have some 200 bytes.
const LONGEST: usize = 4_096;

impl DirectPath {
    /// Checks a path. Fails unless it starts with exactly one slash and holds only characters that a URL may have
    /// behind its host; a fragment or a backslash has no place in it either.
    pub fn new(text: &str) -> Result<Self, InvalidDirectPath> {
        let allowed = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'#' | b'"' | b'<' | b'>' | b'`');
        let rooted = text.starts_with('/') && !text.starts_with("//");
        if rooted && text.len() <= LONGEST && text.bytes().all(allowed) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidDirectPath)
        }
    }

    /// The path and its query.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// When the path expires, in Unix seconds, where it says so. From then on servers answer 403 and the phone has to
    /// be asked to upload again.
    #[must_use]
    pub fn expires(&self) -> Option<u64> {
        let (_, query) = self.0.split_once('?')?;
        let value = query.split('&').find_map(|pair| pair.strip_prefix("oe="))?;
        u64::from_str_radix(value, 16).ok()
    }

    /// The path and query to download from, at any media host.
    #[must_use]
    pub fn download(&self, kind: &MediaKind, file_enc_sha256: Option<&[u8; 32]>) -> String {
        let mut target = self.0.clone();
        target.push(if self.0.contains('?') { '&' } else { '?' });
        if let Some(hash) = file_enc_sha256 {
            target.push_str(&format!("hash={}&", percent_encoded(&upload_token(hash))));
        }
        target.push_str(&format!("mms-type={}&__wa-mms=", percent_encoded(kind.name())));
        target
    }

    /// The path and query that deletes the object, as a companion does with history that it has stored.
    #[must_use]
    pub fn delete(&self, kind: &MediaKind, file_enc_sha256: &[u8; 32], auth: &str) -> String {
        let path = self.0.split_once('?').map_or(self.0.as_str(), |(path, _)| path);
        let token = percent_encoded(&upload_token(file_enc_sha256));
        let (path, auth) = (URL_SAFE_NO_PAD.encode(path), percent_encoded(auth));
        format!("/mms/{}/{token}?token={token}&d_md={path}&auth={auth}", percent_encoded(kind.name()))
    }
}

impl std::fmt::Debug for DirectPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DirectPath({} bytes)", self.0.len())
    }
}

/// The path and query to upload an encrypted body to; `auth` comes with the list of hosts.
#[must_use]
pub fn upload_target(kind: &MediaKind, file_enc_sha256: &[u8; 32], auth: &str) -> String {
    let token = percent_encoded(&upload_token(file_enc_sha256));
    format!("{}/{token}?auth={}&token={token}", kind.upload_path(), percent_encoded(auth))
}

/// An upload target that asks how much of the body is there already.
#[must_use]
pub fn resume_probe(upload_target: &str) -> String {
    format!("{upload_target}&resume=1")
}

/// An upload target for the rest of a body, from `offset`.
#[must_use]
pub fn resume_from(upload_target: &str, offset: u64) -> String {
    format!("{upload_target}&file_offset={offset}")
}

/// Everything but the unreserved characters of a URL, escaped.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/v/t62.7118-24/1_2_n.enc?ccb=11-4&oh=01_Q5&oe=66AABBCC&_nc_sid=5e03e0";

    #[test]
    fn a_path_cannot_leave_its_host() {
        for bad in ["", "v/x", "//evil/x", "https://evil/x", "/\\evil", "/a b", "/a\n", "/a#b", "/é", &"/".repeat(2)] {
            assert_eq!(DirectPath::new(bad), Err(InvalidDirectPath), "{bad:?}");
        }
        assert!(DirectPath::new(&format!("/{}", "a".repeat(5_000))).is_err());
        assert!(DirectPath::new("/o1/v/x").is_ok());
    }

    #[test]
    fn targets_carry_token_and_kind() {
        let path = DirectPath::new(PATH).unwrap();
        assert_eq!(path.expires(), Some(0x66aa_bbcc));
        let hash = [0xfb; 32];
        let token = "-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_s%3D";
        let download = path.download(&MediaKind::VoiceNote, Some(&hash));
        assert_eq!(download, format!("{PATH}&hash={token}&mms-type=ptt&__wa-mms="));
        let bare = DirectPath::new("/o1/x").unwrap();
        assert_eq!(bare.download(&MediaKind::Image, None), "/o1/x?mms-type=image&__wa-mms=");
        assert_eq!(bare.expires(), None);
        let upload = upload_target(&MediaKind::Image, &hash, "a/b=");
        assert_eq!(upload, format!("/mms/image/{token}?auth=a%2Fb%3D&token={token}"));
        assert_eq!(resume_probe(&upload), format!("{upload}&resume=1"));
        assert_eq!(resume_from(&upload, 7), format!("{upload}&file_offset=7"));
        let deleted = path.delete(&MediaKind::History, &hash, "auth");
        let encoded = URL_SAFE_NO_PAD.encode("/v/t62.7118-24/1_2_n.enc");
        assert_eq!(deleted, format!("/mms/md-msg-hist/{token}?token={token}&d_md={encoded}&auth=auth"));
    }
}
