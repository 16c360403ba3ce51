//! A protocol profile as a small TOML file, so that a new version of the service needs no new build. What the file does
//! not name stays as this release has it.
//!
//! ```toml
//! version = "2.3000.1045649367"   # announced at login; a refusal with 405 asks for a newer one
//! url = "wss://web.whatsapp.com/ws/chat"
//! origin = "https://web.whatsapp.com"
//! root_key = "142375574d0a587166aae71ebe516437c4a28b73e3695c6ce1f7f9545da8ee6b"
//! root_serial = 0
//! os = "whatsio"                  # what the phone shows
//! platform = "chrome"             # chrome, firefox, safari, edge, desktop or other
//! locale = "en-US"
//! ```

use serde::Deserialize;
use std::path::{Path, PathBuf};
use whatsio_core::api::{Platform, ProtocolProfile};

/// Environment variable that names a profile's file.
pub const VARIABLE: &str = "WHATSIO_PROFILE";

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// The file cannot be read.
    #[error("the profile {} cannot be read: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The text is not TOML, or names something that a profile does not have.
    #[error("the profile is not understood: {0}")]
    Syntax(String),
    /// A value cannot be what it stands for.
    #[error("the profile's {0} is not {1}")]
    Value(&'static str, &'static str),
}

/// Reads a profile's file.
///
/// # Errors
/// [`ProfileError`].
pub fn load(path: impl AsRef<Path>) -> Result<ProtocolProfile, ProfileError> {
    let path = path.as_ref();
    let text = std::fs::read_to_string(path).map_err(|source| ProfileError::Read { path: path.to_owned(), source })?;
    parse(&text)
}

/// Reads the profile that the environment variable [`VARIABLE`] names; `None` if it is not set or empty.
///
/// # Errors
/// [`ProfileError`].
pub fn from_environment() -> Result<Option<ProtocolProfile>, ProfileError> {
    let path = std::env::var_os(VARIABLE).filter(|path| !path.is_empty());
    path.map(load).transpose()
}

/// Reads a profile's text.
///
/// # Errors
/// [`ProfileError::Syntax`], [`ProfileError::Value`].
pub fn parse(text: &str) -> Result<ProtocolProfile, ProfileError> {
    let file: File = toml::from_str(text).map_err(|error| ProfileError::Syntax(error.message().to_owned()))?;
    let mut profile = ProtocolProfile::default();
    if let Some(version) = file.version {
        profile.version =
            version_of(&version).ok_or(ProfileError::Value("version", "three numbers with dots between"))?;
    }
    if let Some(url) = file.url {
        if !url.starts_with("wss://") && !url.starts_with("ws://") {
            return Err(ProfileError::Value("url", "a WebSocket URL"));
        }
        profile.url = url;
    }
    if let Some(key) = file.root_key {
        hex::decode_to_slice(key, &mut profile.root_key)
            .map_err(|_| ProfileError::Value("root_key", "64 hex digits"))?;
    }
    if let Some(platform) = file.platform {
        profile.platform = platform_of(&platform)
            .ok_or(ProfileError::Value("platform", "one of chrome, firefox, safari, edge, desktop, other"))?;
    }
    if let Some(locale) = file.locale {
        profile.locale = locale_of(&locale).ok_or(ProfileError::Value("locale", "like en-US"))?;
    }
    profile.origin = file.origin.unwrap_or(profile.origin);
    profile.root_serial = file.root_serial.unwrap_or(profile.root_serial);
    profile.os = file.os.unwrap_or(profile.os);
    Ok(profile)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: Option<String>,
    url: Option<String>,
    origin: Option<String>,
    root_key: Option<String>,
    root_serial: Option<u32>,
    os: Option<String>,
    platform: Option<String>,
    locale: Option<String>,
}

fn version_of(text: &str) -> Option<[u32; 3]> {
    let parts: Result<Vec<u32>, _> = text.split('.').map(str::parse).collect();
    parts.ok()?.try_into().ok()
}

fn platform_of(text: &str) -> Option<Platform> {
    Some(match text {
        "chrome" => Platform::Chrome,
        "firefox" => Platform::Firefox,
        "safari" => Platform::Safari,
        "edge" => Platform::Edge,
        "desktop" => Platform::Desktop,
        "other" => Platform::Other,
        _ => return None,
    })
}

fn locale_of(text: &str) -> Option<[String; 2]> {
    let (language, country) = text.split_once(['-', '_'])?;
    let is_code = |code: &str| code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_alphabetic());
    (is_code(language) && is_code(country)).then(|| [language.to_owned(), country.to_owned()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_names_replaces_what_this_release_has() {
        let profile =
            parse("version = \"2.3001.7\"\nos = \"Mac\"\nplatform = \"safari\"\nlocale = \"de-CH\"\n").unwrap();
        let release = ProtocolProfile::default();
        assert_eq!((profile.version, profile.os.as_str(), profile.platform), ([2, 3001, 7], "Mac", Platform::Safari));
        assert_eq!(profile.locale, ["de", "CH"]);
        assert_eq!((profile.url, profile.root_key), (release.url.clone(), release.root_key));
        assert_eq!(parse("").unwrap(), ProtocolProfile::default());
    }

    #[test]
    fn the_documented_example_is_this_release() {
        let example = include_str!("profile.rs").lines().take_while(|line| line.starts_with("//!"));
        let lines = example.map(|line| line.trim_start_matches("//!")).skip_while(|line| *line != " ```toml");
        let text: Vec<&str> = lines.skip(1).take_while(|line| *line != " ```").collect();
        assert!(text.len() >= 8);
        assert_eq!(parse(&text.join("\n")).unwrap(), ProtocolProfile::default());
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        for (text, field) in [
            ("version = \"2.3000\"", "version"),
            ("version = \"2.3000.x\"", "version"),
            ("url = \"https://example.org\"", "url"),
            ("root_key = \"14\"", "root_key"),
            ("platform = \"fridge\"", "platform"),
            ("locale = \"english\"", "locale"),
        ] {
            assert!(matches!(parse(text), Err(ProfileError::Value(found, _)) if found == field), "{text}");
        }
        for text in ["verson = \"2.3000.1\"", "version =", "version = 2"] {
            assert!(matches!(parse(text), Err(ProfileError::Syntax(_))), "{text}");
        }
        assert!(matches!(load("/nonexistent/profile.toml"), Err(ProfileError::Read { .. })));
    }
}
