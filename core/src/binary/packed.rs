//! Packed strings: two characters a byte, of an alphabet of digits or of upper-case hex.

/// Which sixteen characters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Alphabet {
    /// `0` to `9`, `-`, `.`; three values are illegal, 15 pads.
    Nibble,
    /// `0` to `9`, `A` to `F`.
    Hex,
}

impl Alphabet {
    const fn characters(self) -> &'static [u8; 16] {
        match self {
            // The last four never occur in a checked string.
            Self::Nibble => b"0123456789-.    ",
            Self::Hex => b"0123456789ABCDEF",
        }
    }

    /// The characters of a checked string of `len` characters.
    pub(super) fn unpack(self, bytes: &[u8], len: usize) -> impl Iterator<Item = u8> {
        let characters = self.characters();
        let pick = |value: u8| characters.get(usize::from(value & 0x0F)).copied().unwrap_or(b' ');
        bytes.iter().flat_map(move |byte| [pick(byte >> 4), pick(*byte)]).take(len)
    }
}

/// Whether all values are legal in the nibble alphabet. In a string of odd length the last half is padding: 15 by
/// convention, though readers drop whatever legal value is there.
pub(super) fn is_nibble(bytes: &[u8], odd: bool) -> bool {
    // The two upper bits of a half are both set exactly for the values 12 to 15.
    let illegal = |byte: u8| byte & (byte << 1) & 0x88;
    let Some((last, rest)) = bytes.split_last() else { return true };
    if rest.iter().fold(0, |found, byte| found | illegal(*byte)) != 0 {
        return false;
    }
    let padding = last & 0x0F;
    if odd && padding == 0x0F { illegal(last & 0xF0) == 0 } else { illegal(*last) == 0 }
}

/// The alphabet that a text of 1 to 127 bytes is packed with, if any; nibble is preferred.
pub(super) fn alphabet_of(text: &[u8]) -> Option<Alphabet> {
    if text.is_empty() || text.len() > LONGEST {
        return None;
    }
    let classes = text.iter().fold(NIBBLE | HEX, |classes, byte| classes & class_of(*byte));
    if classes & NIBBLE != 0 {
        Some(Alphabet::Nibble)
    } else if classes & HEX != 0 {
        Some(Alphabet::Hex)
    } else {
        None
    }
}

/// Appends the head byte and the packed characters of a text that [`alphabet_of`] took.
pub(super) fn pack(text: &[u8], out: &mut bytes::BytesMut) {
    let odd = if text.len() % 2 == 1 { ODD } else { 0 };
    let mut packed = [0_u8; 1 + LONGEST.div_ceil(2)];
    let mut end = 1;
    for (pair, place) in text.chunks(2).zip(packed.iter_mut().skip(1)) {
        let (high, low) = match *pair {
            [high, low] => (value_of(high), value_of(low)),
            [high] => (value_of(high), 0x0F),
            _ => (0, 0),
        };
        *place = high << 4 | low;
        end += 1;
    }
    if let Some(head) = packed.first_mut() {
        // At most 64 bytes, so the cast is exact.
        *head = (end - 1) as u8 | odd;
    }
    out.extend_from_slice(packed.get(..end).unwrap_or_default());
}

/// Bit of the head byte that says the last half is padding.
pub(super) const ODD: u8 = 0x80;

/// Most characters that peers pack.
const LONGEST: usize = 127;

const NIBBLE: u8 = 1;
const HEX: u8 = 2;

const fn class_of(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => NIBBLE | HEX,
        b'-' | b'.' => NIBBLE,
        b'A'..=b'F' => HEX,
        _ => 0,
    }
}

const fn value_of(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        b'-' => 10,
        b'.' => 11,
        _ => byte.wrapping_sub(b'A').wrapping_add(10) & 0x0F,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn illegal_values_are_found_in_either_half() {
        assert!(is_nibble(&[0x12, 0xAB], false));
        assert!(!is_nibble(&[0xC1], false) && !is_nibble(&[0x1C], false) && !is_nibble(&[0x1F], false));
        assert!(is_nibble(&[0x1F], true) && !is_nibble(&[0x1E], true) && !is_nibble(&[0xF1], true));
        assert!(!is_nibble(&[0x1F, 0x1F], true));
    }

    #[test]
    fn packing_and_unpacking_agree() {
        for text in ["1", "12345", "-", "3EB0", "ABCDE", "1.2-3"] {
            let mut out = bytes::BytesMut::new();
            pack(text.as_bytes(), &mut out);
            let alphabet = alphabet_of(text.as_bytes()).unwrap();
            assert_eq!(alphabet.unpack(&out[1..], text.len()).collect::<Vec<_>>(), text.as_bytes());
            assert_eq!(usize::from(out[0] & !ODD), out.len() - 1);
        }
        assert_eq!(alphabet_of("٣".as_bytes()), None);
        assert_eq!(alphabet_of(b"a1"), None);
        assert_eq!(alphabet_of(&[b'1'; 128]), None);
    }
}
