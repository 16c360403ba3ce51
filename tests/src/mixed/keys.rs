//! Private keys among what a store keeps, to look for them where they must not be.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeSet;
use whatsio_core::api::{Key, Record, Space};
use whatsio_core::crypto::KeyPair;
use whatsio_proto::fields::Fields;

/// Prekeys that are looked for, of each device: more cost time and prove nothing more.
const MOST_PREKEYS: usize = 8;

/// Private keys of one device.
#[derive(Default)]
pub(super) struct PrivateKeys {
    prekeys: BTreeSet<[u8; 32]>,
    /// Of the identity and of connections.
    lasting: BTreeSet<[u8; 32]>,
    /// The public halves of the lasting ones, as the device has shown them.
    shown: BTreeSet<[u8; 32]>,
}

impl PrivateKeys {
    /// The device shows its public keys in a QR text.
    pub(super) fn show(&mut self, text: &str) {
        let keys: Vec<[u8; 32]> =
            text.split(',').filter_map(|part| STANDARD.decode(part).ok()?.try_into().ok()).collect();
        self.shown.extend(keys);
    }

    /// Finds private keys in a record: those with a known public half.
    pub(super) fn learn(&mut self, key: &Key, record: &Record) {
        match key.space {
            Space::PreKey | Space::SignedPreKey if self.prekeys.len() < MOST_PREKEYS => {
                // The two halves stand side by side.
                let halves = record.0.windows(64).map(|pair| pair.split_at(32));
                let private = halves.filter_map(|(private, public)| {
                    let private = private.try_into().ok()?;
                    (public_of(&private) == *public).then_some(private)
                });
                self.prekeys.extend(private);
            }
            Space::Account if self.lasting.len() < 2 && !self.shown.is_empty() => {
                let mut values = BTreeSet::new();
                collect(record.0.get(1..).unwrap_or_default(), &mut values);
                self.lasting.extend(values.into_iter().filter(|value| self.shown.contains(&public_of(value))));
            }
            _ => {}
        }
    }

    /// Whether one of them stands in these bytes.
    pub(super) fn is_in(&self, bytes: &[u8]) -> bool {
        let known = |part: &[u8; 32]| self.lasting.contains(part) || self.prekeys.contains(part);
        bytes.windows(32).any(|part| part.try_into().is_ok_and(known))
    }

    /// Whether there is enough to look for.
    pub(super) fn is_telling(&self) -> bool {
        self.lasting.len() == 2 && self.prekeys.len() == MOST_PREKEYS
    }
}

fn public_of(private: &[u8; 32]) -> [u8; 32] {
    *KeyPair::from_private(*private).public.as_bytes()
}

/// Every value of 32 bytes, however deep.
fn collect(content: &[u8], values: &mut BTreeSet<[u8; 32]>) {
    for field in Fields::of(content).map_while(Result::ok) {
        let Ok(bytes) = field.bytes() else { continue };
        match <[u8; 32]>::try_from(bytes) {
            Ok(value) => {
                values.insert(value);
            }
            Err(_) => collect(bytes, values),
        }
    }
}
