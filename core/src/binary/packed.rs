//! Packed strings: two characters a byte, of an alphabet of digits or of upper-case hex.

/// Which sixteen characters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Alphabet {
    /// `0` to `9`, `-`, `.`; three values are illegal, 15 pads.
    Nibble,
    /// `0` to `9`, `A` to `F`.
    Hex,
}

/// Room for the longest packed string: 127 bytes.
pub(super) type Unpacked = [u8; 254];

impl Alphabet {
    /// Unpacks a checked string of `len` characters into `buffer`.
    pub(super) fn unpack<'b>(self, bytes: &[u8], len: usize, buffer: &'b mut Unpacked) -> &'b str {
        let pairs = match self {
            Self::Nibble => &NIBBLE_PAIRS,
            Self::Hex => &HEX_PAIRS,
        };
        let (places, _) = buffer.as_chunks_mut::<2>();
        for (place, byte) in places.iter_mut().zip(bytes) {
            *place = pairs.get(usize::from(*byte)).copied().unwrap_or_default();
        }
        buffer.get(..len).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default()
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

/// Room for a packed string as peers write it: head byte and up to 64 bytes.
pub(super) type Buffer = [u8; 1 + LONGEST.div_ceil(2)];

/// Packs a text of 1 to 127 characters of one alphabet into `buffer`, head byte first; nibble is preferred.
pub(super) fn pack<'b>(text: &[u8], buffer: &'b mut Buffer) -> Option<(Alphabet, &'b [u8])> {
    if text.is_empty() || text.len() > LONGEST {
        return None;
    }
    let (head, places) = buffer.split_first_mut()?;
    let (pairs, rest) = text.as_chunks::<2>();
    let mut classes = NIBBLE | HEX;
    for ([high, low], place) in pairs.iter().zip(&mut *places) {
        let (high, low) = (character(*high), character(*low));
        classes &= high & low;
        if classes == 0 {
            return None;
        }
        *place = high << 4 | low & 0x0F;
    }
    if let ([last], Some(place)) = (rest, places.get_mut(pairs.len())) {
        let last = character(*last);
        classes &= last;
        *place = last << 4 | 0x0F;
    }
    let bytes = text.len().div_ceil(2);
    // At most 64, so the cast is exact.
    *head = bytes as u8 | if rest.is_empty() { 0 } else { ODD };
    let alphabet = if classes & NIBBLE != 0 {
        Alphabet::Nibble
    } else if classes & HEX != 0 {
        Alphabet::Hex
    } else {
        return None;
    };
    Some((alphabet, buffer.get(..=bytes)?))
}

/// Bit of the head byte that says the last half is padding.
pub(super) const ODD: u8 = 0x80;

/// Most characters that peers pack.
const LONGEST: usize = 127;

const NIBBLE: u8 = 0x10;
const HEX: u8 = 0x20;

/// The value of a character, with a bit for each alphabet that has it.
fn character(byte: u8) -> u8 {
    CHARACTERS.get(usize::from(byte)).copied().unwrap_or(0)
}

static CHARACTERS: [u8; 256] = characters();
static NIBBLE_PAIRS: [[u8; 2]; 256] = pairs(*b"0123456789-.    ");
static HEX_PAIRS: [[u8; 2]; 256] = pairs(*b"0123456789ABCDEF");

#[expect(clippy::indexing_slicing, reason = "runs at compile time, where a bad index is a compile error")]
const fn characters() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            digit @ b'0'..=b'9' => NIBBLE | HEX | (digit - b'0'),
            b'-' => NIBBLE | 10,
            b'.' => NIBBLE | 11,
            letter @ b'A'..=b'F' => HEX | (letter - b'A' + 10),
            _ => 0,
        };
        byte += 1;
    }
    table
}

#[expect(clippy::indexing_slicing, reason = "runs at compile time, where a bad index is a compile error")]
const fn pairs(characters: [u8; 16]) -> [[u8; 2]; 256] {
    let mut table = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = [characters[byte >> 4], characters[byte & 0x0F]];
        byte += 1;
    }
    table
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
        let longest = "1".repeat(127);
        for text in ["1", "12345", "-", "3EB0", "ABCDE", "1.2-3", &longest] {
            let mut buffer = [0; 65];
            let (alphabet, packed) = pack(text.as_bytes(), &mut buffer).unwrap();
            let (head, bytes) = packed.split_first().unwrap();
            assert_eq!(alphabet.unpack(bytes, text.len(), &mut [0; 254]), text);
            assert_eq!((usize::from(head & !ODD), head & ODD != 0), (bytes.len(), text.len() % 2 == 1));
        }
        for text in ["", "٣", "a1", "A-", "1A.", &"1".repeat(128)] {
            assert!(pack(text.as_bytes(), &mut [0; 65]).is_none(), "{text}");
        }
    }
}
