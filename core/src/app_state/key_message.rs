//! The messages between a user's own devices that bring synchronisation keys.

use super::wire::{bytes_field, number};
use super::{SyncError, SyncKeyData, SyncKeyId};
use whatsio_proto::fields::{Field, FieldValue, Fields, MalformedFields, put_bytes, put_uint, put_varint};

/// A synchronisation key with what its maker says about it.
#[derive(Clone, PartialEq, Eq)]
pub struct SyncKey {
    /// The key's id.
    pub id: SyncKeyId,
    /// The key.
    pub data: SyncKeyData,
    /// A number that the account's list of devices had when the key was made.
    pub raw_id: u32,
    /// The index of the device that made it.
    pub current_index: u32,
    /// The devices that it was made for.
    pub device_indexes: Vec<u32>,
    /// When it was made, in milliseconds.
    pub timestamp: i64,
}

/// One entry of a key share.
#[derive(Clone, PartialEq, Eq)]
pub enum KeyAnswer {
    /// The key.
    Key(SyncKey),
    /// The sharing device does not have this key either.
    Absent(SyncKeyId),
}

/// The fields of a message between own devices.
const PROTOCOL_MESSAGE: u32 = 12;
const TYPE: u32 = 2;
const SHARE: (u64, u32) = (6, 7);
const REQUEST: (u64, u32) = (7, 8);
/// No account has ever had near so many keys.
const MOST_KEYS: usize = 1_000;

/// Encodes the message that shares keys with another own device.
#[must_use]
pub fn key_share(answers: &[KeyAnswer]) -> Vec<u8> {
    let mut share = Vec::new();
    for answer in answers {
        let mut entry = Vec::new();
        let (KeyAnswer::Key(SyncKey { id, .. }) | KeyAnswer::Absent(id)) = answer;
        put_bytes(&mut entry, 1, &super::outgoing::wrapped(id.as_bytes()));
        if let KeyAnswer::Key(key) = answer {
            put_bytes(&mut entry, 2, &encode_key(key));
        }
        put_bytes(&mut share, 1, &entry);
    }
    protocol_message(SHARE, &share)
}

/// Encodes the message that asks another own device for keys.
#[must_use]
pub fn key_request(ids: &[SyncKeyId]) -> Vec<u8> {
    let mut request = Vec::new();
    for id in ids {
        put_bytes(&mut request, 1, &super::outgoing::wrapped(id.as_bytes()));
    }
    protocol_message(REQUEST, &request)
}

/// Reads a decrypted message that shares keys; `None` when it is another message. Fails when it is malformed.
pub fn parse_key_share(message: &[u8]) -> Result<Option<Vec<KeyAnswer>>, SyncError> {
    let Some(share) = content(message, SHARE)? else { return Ok(None) };
    let mut answers = Vec::new();
    for entry in entries(share) {
        let entry = entry?;
        let id = read_id(bytes_field(entry, 1)?)?;
        answers.push(match bytes_field(entry, 2)? {
            Some(data) => read_key(id, data)?,
            None => KeyAnswer::Absent(id),
        });
    }
    Ok(Some(answers))
}

/// Reads a decrypted message that asks for keys; `None` when it is another message. Fails when it is malformed.
pub fn parse_key_request(message: &[u8]) -> Result<Option<Vec<SyncKeyId>>, SyncError> {
    let Some(request) = content(message, REQUEST)? else { return Ok(None) };
    entries(request).map(|entry| read_id(Some(entry?))).collect::<Result<_, _>>().map(Some)
}

fn protocol_message((kind, field): (u64, u32), content: &[u8]) -> Vec<u8> {
    let mut inner = Vec::with_capacity(content.len() + 8);
    put_uint(&mut inner, TYPE, kind);
    put_bytes(&mut inner, field, content);
    let mut message = Vec::with_capacity(inner.len() + 8);
    put_bytes(&mut message, PROTOCOL_MESSAGE, &inner);
    message
}

fn content(message: &[u8], (kind, field): (u64, u32)) -> Result<Option<&[u8]>, MalformedFields> {
    let Some(inner) = bytes_field(message, PROTOCOL_MESSAGE)? else { return Ok(None) };
    if super::wire::number_field(inner, TYPE)? != Some(kind) {
        return Ok(None);
    }
    bytes_field(inner, field)
}

/// The messages in field 1, as many as are credible.
fn entries(list: &[u8]) -> impl Iterator<Item = Result<&[u8], MalformedFields>> {
    Fields::of(list)
        .filter(|field| field.is_err() || field.is_ok_and(|field| field.number == 1))
        .map(|field| field?.bytes())
        .take(MOST_KEYS)
}

fn read_id(message: Option<&[u8]>) -> Result<SyncKeyId, SyncError> {
    let id = bytes_field(message.unwrap_or_default(), 1)?.filter(|id| !id.is_empty());
    id.map(|id| SyncKeyId::new(id.to_vec())).ok_or(SyncError::Malformed("a key without an id"))
}

fn read_key(id: SyncKeyId, message: &[u8]) -> Result<KeyAnswer, SyncError> {
    let Some(data) = bytes_field(message, 1)? else { return Ok(KeyAnswer::Absent(id)) };
    let data = data.try_into().map(SyncKeyData::new).map_err(|_| SyncError::Malformed("a key of another length"))?;
    let mut key = SyncKey { id, data, raw_id: 0, current_index: 0, device_indexes: Vec::new(), timestamp: 0 };
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            2 => read_fingerprint(&mut key, field.bytes()?)?,
            3 => key.timestamp = number(&field)?.cast_signed(),
            _ => {}
        }
    }
    Ok(KeyAnswer::Key(key))
}

fn read_fingerprint(key: &mut SyncKey, message: &[u8]) -> Result<(), MalformedFields> {
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            1 => key.raw_id = field.uint32()?,
            2 => key.current_index = field.uint32()?,
            3 => read_indexes(&mut key.device_indexes, &field)?,
            _ => {}
        }
    }
    Ok(())
}

/// Repeated numbers come packed or one by one.
fn read_indexes(indexes: &mut Vec<u32>, field: &Field<'_>) -> Result<(), MalformedFields> {
    let FieldValue::Bytes(mut packed) = field.value else {
        indexes.push(field.uint32()?);
        return Ok(());
    };
    while !packed.is_empty() {
        let end = packed.iter().position(|byte| *byte < 0x80).ok_or(MalformedFields)? + 1;
        let (one, rest) = packed.split_at_checked(end).ok_or(MalformedFields)?;
        // Read as a field of its own, so that there is one reader of numbers.
        let field = [&[8], one].concat();
        indexes.push(Fields::of(&field).next().ok_or(MalformedFields)??.uint32()?);
        packed = rest;
    }
    Ok(())
}

fn encode_key(key: &SyncKey) -> Vec<u8> {
    let mut fingerprint = Vec::new();
    put_uint(&mut fingerprint, 1, key.raw_id.into());
    put_uint(&mut fingerprint, 2, key.current_index.into());
    let mut packed = Vec::new();
    key.device_indexes.iter().for_each(|index| put_varint(&mut packed, (*index).into()));
    put_bytes(&mut fingerprint, 3, &packed);
    let mut data = Vec::new();
    put_bytes(&mut data, 1, key.data.expose());
    put_bytes(&mut data, 2, &fingerprint);
    put_uint(&mut data, 3, key.timestamp.cast_unsigned());
    data
}
