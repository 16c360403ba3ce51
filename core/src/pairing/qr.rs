//! The text behind the QR code: what the phone has to know about a companion. How it is drawn is the application's.

use crate::crypto::{PublicKey, Secret};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

/// In front of the fields since phones open the text as a link.
const LINK: &str = "https://wa.me/settings/linked_devices#";

/// Longest text read: several times what clients show.
const TEXT_LIMIT: usize = 2048;

/// Why a text is not a linking code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum QrError {
    /// Too long, or fewer than four fields, or an empty one.
    #[error("not the fields of a linking code")]
    Fields,
    /// A field is not 32 bytes in base64.
    #[error("a key of the linking code is not 32 bytes in base64")]
    Key,
}

/// What a linking code says. Its text holds the ADV secret: show it, never log it.
#[derive(Clone, PartialEq, Eq)]
pub struct QrCode {
    /// The server's name for the companion's connection.
    pub reference: String,
    /// The companion's noise key.
    pub noise: PublicKey,
    /// The companion's identity key.
    pub identity: PublicKey,
    /// The secret that proves to the companion that its code was seen.
    pub adv_secret: Secret<32>,
    /// What the companion is; old texts lack it and today's phones refuse them.
    pub platform: Option<PlatformId>,
}

/// A companion's kind in a linking code; other numbers than those in the registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlatformId(String);

impl PlatformId {
    /// Chrome.
    pub const CHROME: &'static str = "1";
    /// Edge.
    pub const EDGE: &'static str = "2";
    /// Firefox.
    pub const FIREFOX: &'static str = "3";
    /// Safari.
    pub const SAFARI: &'static str = "6";
    /// A desktop application.
    pub const DESKTOP: &'static str = "7";
    /// Another web client.
    pub const OTHER_WEB: &'static str = "9";

    /// Wraps the one or two characters. Fails with `Fields` for text that would break a linking code.
    pub fn new(text: impl Into<String>) -> Result<Self, QrError> {
        let text = text.into();
        if text.is_empty() || text.contains(',') {
            return Err(QrError::Fields);
        }
        Ok(Self(text))
    }

    /// The characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<crate::api::Platform> for PlatformId {
    fn from(platform: crate::api::Platform) -> Self {
        use crate::api::Platform;
        let text = match platform {
            Platform::Chrome => Self::CHROME,
            Platform::Firefox => Self::FIREFOX,
            Platform::Safari => Self::SAFARI,
            Platform::Edge => Self::EDGE,
            Platform::Desktop => Self::DESKTOP,
            Platform::Other => Self::OTHER_WEB,
        };
        Self(text.into())
    }
}

impl QrCode {
    /// The text to show, link included.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::with_capacity(LINK.len() + self.reference.len() + 150);
        text.push_str(LINK);
        text.push_str(&self.reference);
        for key in [self.noise.as_bytes(), self.identity.as_bytes(), self.adv_secret.expose()] {
            text.push(',');
            STANDARD.encode_string(key, &mut text);
        }
        if let Some(platform) = &self.platform {
            text.push(',');
            text.push_str(platform.as_str());
        }
        text
    }

    /// Reads a text, with or without the link, with or without a platform; further fields are ignored. Fails with
    /// `Fields` or `Key`.
    pub fn parse(text: &str) -> Result<Self, QrError> {
        if text.len() > TEXT_LIMIT {
            return Err(QrError::Fields);
        }
        let mut fields = text.strip_prefix(LINK).unwrap_or(text).split(',');
        let mut field = || fields.next().filter(|field| !field.is_empty()).ok_or(QrError::Fields);
        let reference = field()?.to_owned();
        let (noise, identity, adv_secret) = (field()?, field()?, field()?);
        Ok(Self {
            reference,
            noise: PublicKey::from_bytes(key(noise)?),
            identity: PublicKey::from_bytes(key(identity)?),
            adv_secret: Secret::new(key(adv_secret)?),
            platform: field().ok().map(|text| PlatformId(text.to_owned())),
        })
    }
}

fn key(text: &str) -> Result<[u8; 32], QrError> {
    let mut out = [0; 33];
    let length = STANDARD.decode_slice(text, &mut out).map_err(|_| QrError::Key)?;
    match out.first_chunk() {
        Some(key) if length == key.len() => Ok(*key),
        _ => Err(QrError::Key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_reads_back_and_is_not_in_the_debug_form() {
        let code = QrCode {
            reference: "2@ref".into(),
            noise: PublicKey::from_bytes([1; 32]),
            identity: PublicKey::from_bytes([2; 32]),
            adv_secret: Secret::new([3; 32]),
            platform: Some(crate::api::Platform::Chrome.into()),
        };
        let text = code.to_text();
        assert!(QrCode::parse(&text) == Ok(code));
        let unpadded = text.replace('=', "");
        assert_eq!(QrCode::parse(&unpadded).err(), Some(QrError::Key));
        assert_eq!(QrCode::parse(&"x,".repeat(2000)).err(), Some(QrError::Fields));
    }
}
