//! The homomorphic hash over a collection: a sum of expanded value codes, in any order.

use super::ValueMac;
use sha2::block_api::compress256;

/// A sum of 64 lanes of 16 bits. Adding and subtracting commute; an empty collection is all zeros.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LtHash([u16; LANES]);

const LANES: usize = 64;
const BYTES: usize = 2 * LANES;
const INFO: &[u8; 24] = b"WhatsApp Patch Integrity";

impl LtHash {
    /// The hash of an empty collection.
    pub const EMPTY: Self = Self([0; LANES]);

    /// Reads a stored hash.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; BYTES]) -> Self {
        let mut lanes = [0; LANES];
        let (pairs, _) = bytes.as_chunks::<2>();
        lanes.iter_mut().zip(pairs).for_each(|(lane, pair)| *lane = u16::from_le_bytes(*pair));
        Self(lanes)
    }

    /// The bytes to store and to authenticate.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        let (pairs, _) = bytes.as_chunks_mut::<2>();
        pairs.iter_mut().zip(self.0).for_each(|(pair, lane)| *pair = lane.to_le_bytes());
        bytes
    }

    /// Adds and subtracts values, in one pass. About a microsecond per value.
    pub fn update<'v>(
        &mut self,
        added: impl IntoIterator<Item = &'v ValueMac>,
        subtracted: impl IntoIterator<Item = &'v ValueMac>,
    ) {
        let expander = Expander::new();
        for value in added {
            self.add(&expander, value);
        }
        for value in subtracted {
            self.subtract(&expander, value);
        }
    }

    pub(super) fn add(&mut self, expander: &Expander, value: &ValueMac) {
        let expanded = expander.expand(value);
        self.0.iter_mut().zip(expanded).for_each(|(lane, operand)| *lane = lane.wrapping_add(operand));
    }

    pub(super) fn subtract(&mut self, expander: &Expander, value: &ValueMac) {
        let expanded = expander.expand(value);
        self.0.iter_mut().zip(expanded).for_each(|(lane, operand)| *lane = lane.wrapping_sub(operand));
    }
}

impl Default for LtHash {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl std::fmt::Debug for LtHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [first, ..] = self.0;
        write!(f, "LtHash({first:04x}..)")
    }
}

type State = [u32; 8];

/// HKDF-SHA-256 of one value to 128 bytes, on bare compression rounds: all inputs have fixed sizes, so every block can
/// be laid out beforehand, which saves a fifth against general code. Snapshots of tens of thousands of values wait
/// for this.
pub(super) struct Expander {
    /// The states after the two paddings of an absent salt.
    inner: State,
    outer: State,
}

impl Expander {
    pub(super) fn new() -> Self {
        let (inner, outer) = keyed(&[0; 32]);
        Self { inner, outer }
    }

    fn expand(&self, value: &ValueMac) -> [u16; LANES] {
        let extracted = outer_round(self.outer, hashed(self.inner, &value.0));
        let (inner, outer) = keyed(&extracted);

        let mut block = [0; 64];
        block[..24].copy_from_slice(INFO);
        block[24] = 1;
        block[25] = PADDING;
        set_length(&mut block, 64 + 25);
        let mut round = outer_round(outer, compressed(inner, &[block]));
        let mut lanes = [0; LANES];
        let (quarters, _) = lanes.as_chunks_mut::<{ LANES / 4 }>();
        for (count, quarter) in (1_u8..).zip(quarters) {
            if count > 1 {
                round = outer_round(outer, compressed(inner, &chained(&round, count)));
            }
            let (pairs, _) = round.as_chunks::<2>();
            quarter.iter_mut().zip(pairs).for_each(|(lane, pair)| *lane = u16::from_le_bytes(*pair));
        }
        lanes
    }
}

/// The initial state of SHA-256.
const START: State =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];
const PADDING: u8 = 0x80;

/// The states of an HMAC's two halves after their keys.
fn keyed(key: &[u8; 32]) -> (State, State) {
    let half = |pad: u8| {
        let mut block = [pad; 64];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        compressed(START, &[block])
    };
    (half(0x36), half(0x5c))
}

/// The two blocks of a later round: the round before, the label, the count. 57 bytes leave no room for the length.
fn chained(round: &[u8; 32], count: u8) -> [[u8; 64]; 2] {
    let mut blocks = [[0; 64]; 2];
    let [first, last] = &mut blocks;
    first[..32].copy_from_slice(round);
    first[32..56].copy_from_slice(INFO);
    first[56] = count;
    first[57] = PADDING;
    set_length(last, 64 + 57);
    blocks
}

/// Ends one half of an HMAC over 32 bytes.
fn hashed(state: State, message: &[u8; 32]) -> State {
    let mut block = [0; 64];
    block[..32].copy_from_slice(message);
    block[32] = PADDING;
    set_length(&mut block, 64 + 32);
    compressed(state, &[block])
}

fn outer_round(outer: State, inner: State) -> [u8; 32] {
    bytes(hashed(outer, &bytes(inner)))
}

fn compressed(mut state: State, blocks: &[[u8; 64]]) -> State {
    compress256(&mut state, blocks);
    state
}

fn set_length(block: &mut [u8; 64], bytes: u64) {
    block[56..].copy_from_slice(&(8 * bytes).to_be_bytes());
}

fn bytes(state: State) -> [u8; 32] {
    let mut bytes = [0; 32];
    let (words, _) = bytes.as_chunks_mut::<4>();
    words.iter_mut().zip(state).for_each(|(to, word)| *to = word.to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values() -> impl Strategy<Value = Vec<ValueMac>> {
        prop::collection::vec(any::<[u8; 32]>().prop_map(ValueMac), 0..20)
    }

    proptest! {
        #[test]
        fn rounds_agree_with_the_general_derivation(value: [u8; 32]) {
            let mut expected = [0; BYTES];
            hkdf::Hkdf::<sha2::Sha256>::new(None, &value).expand(INFO, &mut expected).unwrap();
            let mut hash = LtHash::EMPTY;
            hash.update(&[ValueMac(value)], &[]);
            prop_assert_eq!(hash.to_bytes(), expected);
        }

        #[test]
        fn order_never_matters(base: [u8; 32], values in values(), cut in any::<prop::sample::Index>()) {
            let mut start = LtHash::EMPTY;
            start.update(&[ValueMac(base)], &[]);
            let (mut forward, mut turned) = (start, start);
            forward.update(&values, &[]);
            let (head, tail) = values.split_at(cut.index(values.len() + 1));
            turned.update(tail.iter().rev(), &[]);
            turned.update(head, &[]);
            prop_assert_eq!(forward, turned);
        }

        #[test]
        fn subtracting_undoes_adding(values in values()) {
            let mut hash = LtHash::from_bytes(&[0xff; BYTES]);
            hash.update(&values, &[]);
            hash.update(&[], values.iter().rev());
            prop_assert_eq!(hash.to_bytes(), [0xff; BYTES]);
        }
    }
}
