//! JSON as other clients write it: bytes are base64 text, or an object that says it was a `Buffer`.

use super::ForeignError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use std::fs;
use std::path::Path;
use zeroize::Zeroizing;

/// A larger file is none of theirs, in bytes.
const MOST: u64 = 64 << 20;

/// Bytes; wiped on drop.
#[derive(Default)]
pub(super) struct Blob(pub(super) Zeroizing<Vec<u8>>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Form {
    Text(String),
    Buffer { data: Data },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Data {
    Text(String),
    Bytes(Vec<u8>),
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = match Form::deserialize(deserializer)? {
            Form::Text(text) | Form::Buffer { data: Data::Text(text) } => {
                let text = Zeroizing::new(text);
                Zeroizing::new(STANDARD.decode(text.as_bytes()).map_err(|_| D::Error::custom("no base64"))?)
            }
            Form::Buffer { data: Data::Bytes(bytes) } => Zeroizing::new(bytes),
        };
        Ok(Self(bytes))
    }
}

/// Reads a file; `None` if it is not what it should be.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, ForeignError> {
    let unreadable = |source| ForeignError::Unreadable { path: path.display().to_string(), source };
    if fs::metadata(path).map_err(unreadable)?.len() > MOST {
        return Ok(None);
    }
    let text = Zeroizing::new(fs::read(path).map_err(unreadable)?);
    Ok(serde_json::from_slice(&text).ok())
}
