//! What the outside of a pairwise ciphertext shows: its ratchet key and counter. An oracle remembers them, so that a test
//! can prove that no sender ever used a counter twice. Reads the clear parts only, with no code of the client's.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};
use whatsio_proto::fields::Fields;

use super::wire::Look;
use crate::binary::Node;
use crate::types::Jid;

/// What the oracle has found so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CounterReport {
    /// Different ciphertexts seen.
    pub seen: usize,
    /// Ciphertexts that were not looked at because the limit was reached.
    pub unwatched: usize,
    /// Counters that a sender used for two different ciphertexts, the first hundred.
    pub reused: Vec<ReusedCounter>,
}

/// A counter used twice: whoever records both ciphertexts can compare their contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReusedCounter {
    /// The sending device.
    pub from: Jid,
    /// The id of the later message.
    pub id: String,
    /// The counter within its chain.
    pub counter: u32,
}

/// The oracle. Ratchet keys are made afresh by their owner, so a key and a counter name one ciphertext of one session.
#[derive(Debug, Default)]
pub(super) struct Counters {
    seen: BTreeMap<(Vec<u8>, u32), [u8; 32]>,
    unwatched: usize,
    reused: Vec<ReusedCounter>,
}

impl Counters {
    /// Looks at every pairwise ciphertext of a message, remembering up to `limit` in all.
    pub(super) fn watch(&mut self, from: &Jid, stanza: &Node, limit: usize) {
        let id = stanza.owned("id").unwrap_or_default();
        let listed = stanza.child("participants").into_iter().flat_map(Node::children).flat_map(Node::children);
        for enc in stanza.children().iter().chain(listed).filter(|node| node.is("enc")) {
            let Some(bytes) = enc.bytes() else { continue };
            let Some(header) = innermost(enc, &bytes).and_then(header) else { continue };
            self.note(from, &id, header, Sha256::digest(&bytes).into(), limit);
        }
    }

    fn note(&mut self, from: &Jid, id: &str, header: (Vec<u8>, u32), digest: [u8; 32], limit: usize) {
        let counter = header.1;
        match self.seen.get(&header) {
            Some(earlier) if *earlier == digest => {}
            Some(_) if self.reused.len() < SHOWN => {
                self.reused.push(ReusedCounter { from: from.clone(), id: id.to_owned(), counter });
            }
            Some(_) => {}
            None if self.seen.len() < limit => {
                self.seen.insert(header, digest);
            }
            None => self.unwatched += 1,
        }
    }

    pub(super) fn report(&self) -> CounterReport {
        CounterReport { seen: self.seen.len(), unwatched: self.unwatched, reused: self.reused.clone() }
    }
}

/// The `enc` with its ratchet message damaged, so that its receiver cannot authenticate it. Anything that is not a
/// pairwise ciphertext is damaged at its end.
pub(super) fn damaged(enc: &Node) -> Node {
    let Some(bytes) = enc.bytes() else { return enc.clone() };
    let inner = innermost(enc, &bytes).unwrap_or(&bytes);
    let start = bytes.windows(inner.len().max(1)).position(|part| part == inner).unwrap_or(0);
    let last = (start + inner.len()).saturating_sub(1);
    let mut damaged = BytesMut::from(bytes.as_ref());
    if let Some(byte) = damaged.get_mut(last) {
        *byte ^= 1;
    }
    enc.clone().with_bytes(Bytes::from(damaged))
}

/// The ratchet message: the whole of a `msg`, the fourth field of a `pkmsg`.
fn innermost<'a>(enc: &Node, bytes: &'a [u8]) -> Option<&'a [u8]> {
    match enc.owned("type").as_deref() {
        Some("msg") => Some(bytes),
        Some("pkmsg") => {
            let (_version, fields) = bytes.split_first()?;
            Fields::of(fields).flatten().find(|field| field.number == 4)?.bytes().ok()
        }
        _ => None,
    }
}

/// The ratchet key and the counter of a ratchet message, which ends in eight bytes of authentication code.
fn header(message: &[u8]) -> Option<(Vec<u8>, u32)> {
    let (_version, rest) = message.split_first()?;
    let (fields, _code) = rest.split_last_chunk::<8>()?;
    let (mut key, mut counter) = (None, None);
    for field in Fields::of(fields) {
        let field = field.ok()?;
        match field.number {
            1 => key = Some(field.bytes().ok()?.to_vec()),
            2 => counter = Some(field.uint32().ok()?),
            _ => {}
        }
    }
    Some((key?, counter?))
}

/// Counters used twice that a report lists.
const SHOWN: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn ratchet_message(key: u8, counter: u8, content: u8) -> Vec<u8> {
        let mut bytes = vec![0x33, 0x0a, 2, 5, key, 0x10, counter, 0x22, 1, content];
        bytes.extend([0xaa; 8]);
        bytes
    }

    fn enc(kind: &str, content: Vec<u8>) -> Node {
        Node::new("enc").with("type", kind).with_bytes(content)
    }

    fn first_message(inner: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x33, 0x08, 7, 0x22, u8::try_from(inner.len()).unwrap()];
        bytes.extend(inner);
        bytes.extend([0x30, 1]);
        bytes
    }

    fn message(enc: Node) -> Node {
        let to = Node::new("to").with_child(enc);
        Node::new("message").with("id", "A").with_child(Node::new("participants").with_child(to))
    }

    #[test]
    fn a_counter_used_for_two_ciphertexts_is_found_in_both_forms() {
        let from = Jid::pn("15551111111");
        let mut counters = Counters::default();
        counters.watch(&from, &message(enc("msg", ratchet_message(1, 1, 1))), 10);
        counters.watch(&from, &message(enc("msg", ratchet_message(1, 1, 1))), 10);
        counters.watch(&from, &message(enc("msg", ratchet_message(1, 2, 1))), 10);
        counters.watch(&from, &message(enc("msg", ratchet_message(2, 1, 1))), 10);
        assert_eq!(counters.report(), CounterReport { seen: 3, ..CounterReport::default() });
        counters.watch(&from, &message(enc("pkmsg", first_message(&ratchet_message(2, 1, 9)))), 10);
        let reused = vec![ReusedCounter { from, id: "A".into(), counter: 1 }];
        assert_eq!(counters.report(), CounterReport { seen: 3, unwatched: 0, reused });
    }

    #[test]
    fn beyond_the_limit_ciphertexts_are_counted_and_not_remembered() {
        let from = Jid::pn("15551111111");
        let mut counters = Counters::default();
        for counter in 0..5 {
            counters.watch(&from, &message(enc("msg", ratchet_message(1, counter, 1))), 3);
        }
        assert_eq!(counters.report(), CounterReport { seen: 3, unwatched: 2, reused: Vec::new() });
    }

    #[test]
    fn damage_hits_the_authentication_code_of_the_ratchet_message() {
        let inner = ratchet_message(1, 1, 1);
        let plain = damaged(&enc("msg", inner.clone())).bytes().unwrap();
        assert_eq!(plain[..inner.len() - 1], inner[..inner.len() - 1]);
        assert_eq!(plain[inner.len() - 1], 0xab);
        let whole = first_message(&inner);
        let first = damaged(&enc("pkmsg", whole.clone())).bytes().unwrap();
        let differing: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] != first[*at]).collect();
        assert_eq!(differing, [whole.len() - 3]);
        assert_eq!(damaged(&enc("msg", Vec::new())).bytes().unwrap().len(), 0);
    }
}
