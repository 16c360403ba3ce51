//! Helpers over the borrowing reader of protobuf fields: single fields, and messages that are still arriving.
//!
//! Snapshots hold tens of thousands of records of which a handful of fields is read once: owned messages would cost
//! more than the cryptography.

use whatsio_proto::fields::{Field, FieldValue, Fields, MalformedFields};

/// The content of a number field; any other wire type is malformed.
pub(super) const fn number(field: &Field<'_>) -> Result<u64, MalformedFields> {
    match field.value {
        FieldValue::Varint(number) => Ok(number),
        _ => Err(MalformedFields),
    }
}

/// The bytes of the last field `number`; an absent field is `None`.
pub(super) fn bytes_field(message: &[u8], number: u32) -> Result<Option<&[u8]>, MalformedFields> {
    let mut found = None;
    for field in Fields::of(message) {
        let field = field?;
        if field.number == number {
            found = Some(field.bytes()?);
        }
    }
    Ok(found)
}

/// The number of the last field `at`; an absent field is `None`.
pub(super) fn number_field(message: &[u8], at: u32) -> Result<Option<u64>, MalformedFields> {
    let mut found = None;
    for field in Fields::of(message) {
        let field = field?;
        if field.number == at {
            found = Some(number(&field)?);
        }
    }
    Ok(found)
}

/// What stands at the front of a message that is still arriving.
pub(super) enum Front<'a> {
    /// A whole field.
    Whole(Field<'a>),
    /// A field that takes so many bytes in all; not all are there yet.
    Partial(u64),
    /// Too little to tell.
    Unclear,
}

/// Looks at the front of a message that is still arriving.
pub(super) fn front(arrived: &[u8]) -> Result<Front<'_>, MalformedFields> {
    let Some((length, body)) = header(arrived)? else {
        return Ok(Front::Unclear);
    };
    let total = length as u64 + body;
    let Some(field) = usize::try_from(total).ok().and_then(|total| arrived.get(..total)) else {
        return Ok(Front::Partial(total));
    };
    Fields::of(field).next().ok_or(MalformedFields)?.map(Front::Whole)
}

/// The length of a field's key (and of its length or number), and that of the content behind it.
fn header(arrived: &[u8]) -> Result<Option<(usize, u64)>, MalformedFields> {
    let Some((key, used)) = varint(arrived)? else { return Ok(None) };
    let behind = arrived.get(used..).unwrap_or_default();
    match key & 7 {
        0 => Ok(varint(behind)?.map(|(_, more)| (used + more, 0))),
        1 => Ok(Some((used, 8))),
        2 => Ok(varint(behind)?.map(|(length, more)| (used + more, length.min(u64::MAX / 2)))),
        5 => Ok(Some((used, 4))),
        _ => Err(MalformedFields),
    }
}

/// A number and the bytes it takes; `None` when it has not all arrived.
fn varint(arrived: &[u8]) -> Result<Option<(u64, usize)>, MalformedFields> {
    const LONGEST: usize = 10;
    let mut value = 0;
    for (at, byte) in arrived.iter().enumerate().take(LONGEST) {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if *byte < 0x80 {
            return Ok(Some((value, at + 1)));
        }
    }
    if arrived.len() < LONGEST { Ok(None) } else { Err(MalformedFields) }
}
