//! A borrowing reader of protobuf fields, for callers that act on a few fields of a message and leave the rest alone.
//!
//! Owns the wire format (keys, variable-length numbers, lengths); knows no schema. Groups, the wire types 3 and 4, are
//! refused: nothing in this protocol uses them.

/// Bytes that are not a sequence of protobuf fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedFields;

impl core::fmt::Display for MalformedFields {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("not a sequence of protobuf fields")
    }
}

impl core::error::Error for MalformedFields {}

/// The content of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldValue<'a> {
    /// A variable-length number; `int32`, `uint32`, `bool` and enums are its low bits.
    Varint(u64),
    /// Eight bytes, little-endian.
    Fixed64([u8; 8]),
    /// A string, bytes, a nested message or packed numbers.
    Bytes(&'a [u8]),
    /// Four bytes, little-endian.
    Fixed32([u8; 4]),
}

/// One field: its number, its content and its whole encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The field's number in the schema, at least 1.
    pub number: u32,
    /// The content.
    pub value: FieldValue<'a>,
    /// The encoding as it was read, key included.
    pub raw: &'a [u8],
}

impl<'a> Field<'a> {
    /// The content of a length-delimited field; any other wire type is malformed.
    pub const fn bytes(&self) -> Result<&'a [u8], MalformedFields> {
        match self.value {
            FieldValue::Bytes(bytes) => Ok(bytes),
            _ => Err(MalformedFields),
        }
    }

    /// The content as text; any other wire type or bytes that are not UTF-8 are malformed.
    pub fn text(&self) -> Result<&'a str, MalformedFields> {
        core::str::from_utf8(self.bytes()?).map_err(|_| MalformedFields)
    }

    /// The low 32 bits of a number, as protobuf reads `uint32`; any other wire type is malformed.
    pub const fn uint32(&self) -> Result<u32, MalformedFields> {
        match self.value {
            FieldValue::Varint(number) => Ok((number & 0xFFFF_FFFF) as u32),
            _ => Err(MalformedFields),
        }
    }
}

/// Iterates over the fields of one message in wire order. Ends after the first error. Copies nothing.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Reads `message` from its first byte.
    #[must_use]
    pub const fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn read(&mut self) -> Result<Field<'a>, MalformedFields> {
        let start = self.rest;
        let key = varint(&mut self.rest)?;
        let number = u32::try_from(key >> 3).map_err(|_| MalformedFields)?;
        if number == 0 || number > MAX_NUMBER {
            return Err(MalformedFields);
        }
        let value = match key & 7 {
            0 => FieldValue::Varint(varint(&mut self.rest)?),
            1 => FieldValue::Fixed64(fixed(&mut self.rest)?),
            2 => {
                let length = usize::try_from(varint(&mut self.rest)?).map_err(|_| MalformedFields)?;
                let (content, rest) = self.rest.split_at_checked(length).ok_or(MalformedFields)?;
                self.rest = rest;
                FieldValue::Bytes(content)
            }
            5 => FieldValue::Fixed32(fixed(&mut self.rest)?),
            _ => return Err(MalformedFields),
        };
        let raw = start.get(..start.len() - self.rest.len()).ok_or(MalformedFields)?;
        Ok(Field { number, value, raw })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, MalformedFields>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// The number of bytes [`put_varint`] writes for `number`.
#[must_use]
pub const fn varint_len(number: u64) -> usize {
    let bits = 64 - (number | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Appends `number` in the shortest form.
pub fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7F) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends the number field `field`, even when it is zero.
pub fn put_uint(out: &mut Vec<u8>, field: u32, number: u64) {
    put_varint(out, u64::from(field) << 3);
    put_varint(out, number);
}

/// Appends the length-delimited field `field`, even when it is empty.
pub fn put_bytes(out: &mut Vec<u8>, field: u32, content: &[u8]) {
    put_length(out, field, content.len());
    out.extend_from_slice(content);
}

/// Appends the key and the length of the length-delimited field `field`; the content must follow.
pub fn put_length(out: &mut Vec<u8>, field: u32, length: usize) {
    put_varint(out, u64::from(field) << 3 | 2);
    put_varint(out, length as u64);
}

/// The number of bytes [`put_bytes`] writes.
#[must_use]
pub const fn bytes_field_len(field: u32, length: usize) -> usize {
    varint_len((field as u64) << 3) + varint_len(length as u64) + length
}

fn varint(rest: &mut &[u8]) -> Result<u64, MalformedFields> {
    let mut number = 0_u64;
    for (at, byte) in rest.iter().copied().enumerate().take(MAX_VARINT) {
        // The tenth byte holds one bit only.
        if at == MAX_VARINT - 1 && byte > 1 {
            return Err(MalformedFields);
        }
        number |= u64::from(byte & 0x7F) << (7 * at);
        if byte < 0x80 {
            *rest = rest.get(at + 1..).ok_or(MalformedFields)?;
            return Ok(number);
        }
    }
    Err(MalformedFields)
}

fn fixed<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], MalformedFields> {
    let (value, after) = rest.split_first_chunk::<N>().ok_or(MalformedFields)?;
    *rest = after;
    Ok(*value)
}

const MAX_VARINT: usize = 10;
const MAX_NUMBER: u32 = (1 << 29) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_in_wire_order_with_their_encoding() {
        let bytes = [0x08, 0x96, 0x01, 0x12, 0x02, b'h', b'i', 0x1D, 1, 0, 0, 0, 0x21, 2, 0, 0, 0, 0, 0, 0, 0];
        let fields: Vec<_> = Fields::of(&bytes).map(Result::unwrap).collect();
        assert_eq!(fields[0], Field { number: 1, value: FieldValue::Varint(150), raw: &bytes[..3] });
        assert_eq!(fields[1].text(), Ok("hi"));
        assert_eq!(fields[1].raw, &bytes[3..7]);
        assert_eq!(fields[2].value, FieldValue::Fixed32([1, 0, 0, 0]));
        assert_eq!(fields[3].value, FieldValue::Fixed64([2, 0, 0, 0, 0, 0, 0, 0]));
        assert_eq!(fields.len(), 4);
    }

    #[test]
    fn damaged_fields_end_the_iteration_with_one_error() {
        for bytes in [
            &[0x80][..],
            &[0x00, 0x01],
            &[0x0B],
            &[0x12, 0x05, 1],
            &[0x1D, 1, 2],
            &[0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02],
        ] {
            let mut fields = Fields::of(bytes);
            assert_eq!(fields.next(), Some(Err(MalformedFields)));
            assert_eq!(fields.next(), None);
        }
    }

    #[test]
    fn lengths_are_predicted() {
        for number in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, number);
            assert_eq!(out.len(), varint_len(number));
            let mut fields = vec![0x08];
            fields.extend_from_slice(&out);
            assert_eq!(Fields::of(&fields).next().unwrap().unwrap().value, FieldValue::Varint(number));
        }
        let mut out = Vec::new();
        put_bytes(&mut out, 82, &[7; 300]);
        assert_eq!(out.len(), bytes_field_len(82, 300));
    }
}
