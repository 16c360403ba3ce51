//! A sender key and the record that reads with it: loss, doubles, disorder, damage, and a member who has the signing
//! key and says what no honest engine would.

use super::script::Script;
use std::collections::BTreeMap;
use std::sync::LazyLock;
use whatsio_core::crypto::{KeyPair, Rng};
use whatsio_core::signal::{Distribution, GroupMessage, SenderKey, SenderKeyRecord};
use whatsio_core::types::Seed;
use whatsio_proto::fields::{put_bytes, put_uint};

/// What the members do, one after the other.
pub fn run(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let script = &mut script;
    let signing = &*SIGNING;
    let mut own = SenderKey::from_parts(7, [1; 32], signing);
    let mut record = SenderKeyRecord::default();
    let mut said: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut opened: BTreeMap<(u32, u32), usize> = BTreeMap::new();
    let mut strange_keys = false;

    for _ in 0..48 {
        if script.is_over() {
            break;
        }
        match script.below(8) {
            0 => drop(record.process(&Distribution::parse(&own.distribution().encode()).expect("ours"))),
            1 | 2 => {
                let plaintext = script.short().to_vec();
                let expected = own.ciphertext_len(plaintext.len());
                let sealed = own.encrypt_with(&plaintext, &[4; 64]).expect("far from the last counter");
                assert_eq!(sealed.len(), expected, "another length than announced");
                said.push((plaintext, sealed));
            }
            3 if !said.is_empty() => {
                let (plaintext, sealed) = &said[script.below(said.len())];
                if let Some((counter, found)) = hear(&mut record, sealed) {
                    assert!(strange_keys || found == *plaintext, "it opens to something else");
                    count(&mut opened, counter, strange_keys);
                }
            }
            4 => {
                let genuine = said.last().map(|(_, sealed)| sealed.clone()).unwrap_or_default();
                let damaged = script.damaged(&genuine);
                if let Some((counter, _)) = hear(&mut record, &damaged) {
                    assert!(strange_keys || said.iter().any(|(_, sealed)| *sealed == damaged), "a damaged one opens");
                    count(&mut opened, counter, strange_keys);
                }
            }
            5 => {
                let forged = forged(script, signing);
                if let Some((counter, _)) = hear(&mut record, &forged) {
                    count(&mut opened, counter, strange_keys);
                }
            }
            6 => {
                let bytes = script.damaged(&own.distribution().encode());
                if let Ok(distribution) = Distribution::parse(&bytes) {
                    let again = Distribution::parse(&distribution.encode()).expect("ours");
                    assert!(again == distribution, "another distribution comes back");
                    // A key that another one replaced may come back, and begin anew.
                    strange_keys |= record.process(&distribution);
                    assert!(record.has(distribution.key_id()));
                }
            }
            _ => {
                let again = SenderKeyRecord::decode(&record.encode()).expect("a record of ours");
                assert!(again == record, "another record comes back");
                record = again;
                own = SenderKey::decode(&own.encode()).expect("a record of ours");
            }
        }
    }
}

fn count(opened: &mut BTreeMap<(u32, u32), usize>, counter: (u32, u32), strange_keys: bool) {
    let times = opened.entry(counter).or_default();
    *times += 1;
    assert!(strange_keys || *times == 1, "one counter opens twice");
}

fn hear(record: &mut SenderKeyRecord, bytes: &[u8]) -> Option<((u32, u32), Vec<u8>)> {
    let message = GroupMessage::parse(bytes).ok()?;
    let before = record.encode();
    match record.decrypt(&message) {
        Ok(plaintext) => Some(((message.key_id(), message.iteration()), plaintext)),
        Err(_) => {
            assert!(before == record.encode(), "refused, and changed all the same");
            None
        }
    }
}

/// A message as written by hand, signed rightly.
fn forged(script: &mut Script<'_>, signing: &KeyPair) -> Vec<u8> {
    let mut body = vec![0x33];
    put_uint(&mut body, 1, if script.below(4) == 0 { script.u32() } else { 7 }.into());
    let iteration = match script.below(3) {
        0 => u32::from(script.byte()),
        1 => u32::from(script.u16()),
        _ => script.u32(),
    };
    put_uint(&mut body, 2, iteration.into());
    put_bytes(&mut body, 3, script.short());
    body.extend_from_slice(&script.damaged(&[]));
    let signature = signing.sign(&[&body], &[6; 64]);
    body.extend_from_slice(signature.as_bytes());
    body
}

static SIGNING: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate(&mut Rng::new(&Seed::new([8; 32]))));
