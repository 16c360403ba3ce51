//! `noise.json`.

mod handshakes;
mod parts;
mod recorded;

use crate::suite::Suite;
use bytes::{Bytes, BytesMut};
use whatsio_core::crypto::{KeyPair, PublicKey, Secret};
use whatsio_core::noise::{NoiseError, RootOfTrust};
use whatsio_fixtures::Hex;
use whatsio_fixtures::noise::NoiseFile;

const NAME: &str = "noise.json";

pub(crate) fn run(suite: &mut Suite) {
    suite.file(NAME, &["about"], |file| {
        let vectors: NoiseFile = match whatsio_fixtures::load(NAME) {
            Ok(vectors) => vectors,
            Err(error) => return file.section("xx", &[()], |()| NAME.into(), |()| Err(error.to_string())),
        };
        let now = vectors.about.now;
        file.section("constants", &[vectors.constants], |_| "constants".into(), parts::check_constants);
        for (section, entries) in [("xx", &vectors.xx), ("ik", &vectors.ik), ("xxfallback", &vectors.xxfallback)] {
            file.section(section, entries, |entry| entry.name.clone(), |entry| handshakes::check(entry, now));
        }
        file.section("certificates", &vectors.certificates, |entry| entry.name.clone(), parts::check_certificate);
        file.section("xeddsa", &vectors.xeddsa, |entry| format!("{:?}", entry.public), parts::check_signature);
        let unreduced = [vectors.xeddsa_noncanonical];
        file.section("xeddsa_noncanonical", &unreduced, |_| "unreduced scalar".into(), parts::check_unreduced);
        file.section(
            "negative",
            &vectors.negative,
            |entry| entry.name.clone(),
            |entry| handshakes::check_negative(entry, now),
        );
        file.section("recorded", &vectors.recorded, |entry| entry.name.clone(), recorded::check);
    });
}

fn pair(hex: &Hex) -> Result<KeyPair, String> {
    Ok(KeyPair::from_private(array(hex)?))
}

fn public(hex: &Hex) -> Result<PublicKey, String> {
    array(hex).map(PublicKey::from_bytes)
}

fn secret(hex: &Hex) -> Result<Secret<32>, String> {
    array(hex).map(Secret::new)
}

fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], String> {
    bytes.try_into().map_err(|_| format!("{} bytes instead of {N}", bytes.len()))
}

fn root(key: PublicKey) -> RootOfTrust {
    RootOfTrust { key, serial: 0 }
}

fn hex(bytes: &[u8]) -> Hex {
    Hex(bytes.to_vec())
}

fn bytes(hex: &Hex) -> Bytes {
    Bytes::copy_from_slice(hex)
}

/// A plaintext as a transport wants it: behind room for the length.
fn roomy(plaintext: &[u8]) -> BytesMut {
    let mut frame = BytesMut::zeroed(3);
    frame.extend_from_slice(plaintext);
    frame
}

fn text(error: NoiseError) -> String {
    error.to_string()
}
