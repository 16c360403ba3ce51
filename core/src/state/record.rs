//! The outer form of every record: one version byte, then protobuf or a fixed layout.

use crate::api::{Key, Record, Space};
use bytes::Bytes;
use prost::Message;

/// The record does not decode: unknown version, damaged, or incomplete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadRecord;

/// A value that lives in the store under keys of one space.
pub(crate) trait Stored: Sized {
    /// Where it lives.
    const SPACE: Space;

    /// The record's bytes in the newest version.
    fn seal(&self) -> Record;

    /// Reads any version ever written.
    fn open(record: &Record) -> Result<Self, BadRecord>;

    /// Names the record `id` of this kind.
    fn key(id: impl Into<Bytes>) -> Key {
        Key::new(Self::SPACE, id)
    }
}

/// Writes a protobuf behind its version byte.
pub(crate) fn seal(version: u8, message: &impl Message) -> Record {
    let mut bytes = Vec::with_capacity(1 + message.encoded_len());
    bytes.push(version);
    message.encode_raw(&mut bytes);
    Record(bytes.into())
}

/// Reads a protobuf behind the version byte `version`.
pub(crate) fn open<M: Message + Default>(version: u8, record: &Record) -> Result<M, BadRecord> {
    match record.0.first() {
        Some(found) if *found == version => M::decode(record.0.slice(1..)).map_err(|_| BadRecord),
        _ => Err(BadRecord),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::outbox::OutboxCursor;

    #[test]
    fn a_record_of_a_version_that_is_not_known_is_bad() {
        let record = OutboxCursor::default().seal();
        assert!(OutboxCursor::open(&record).is_ok());
        let mut bytes = record.0.to_vec();
        bytes[0] = 9;
        assert_eq!(OutboxCursor::open(&Record(bytes.into())), Err(BadRecord));
        assert_eq!(OutboxCursor::open(&Record(Bytes::new())), Err(BadRecord));
    }
}
