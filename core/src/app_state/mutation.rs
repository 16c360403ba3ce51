//! One mutation: its encrypted form, its decrypted form, and many of the latter in one arena.

use super::wire::{bytes_field, number};
use super::{IndexMac, MutationKeys, ValueMac};
use aes::Aes256;
use bytes::Bytes;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, InnerIvInit};
use subtle::ConstantTimeEq;
use whatsio_proto::fields::{Fields, MalformedFields, put_bytes, put_uint};

/// What a mutation does to its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// Sets the entry's value.
    Set,
    /// Removes the entry.
    Remove,
}

impl Operation {
    /// The number in a patch.
    #[must_use]
    pub const fn code(self) -> u64 {
        match self {
            Self::Set => 0,
            Self::Remove => 1,
        }
    }

    /// The byte that is authenticated with the value; not the number in the patch.
    pub(super) const fn authenticated(self) -> u8 {
        match self {
            Self::Set => 1,
            Self::Remove => 2,
        }
    }
}

/// A decrypted mutation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Mutation<'a> {
    /// Set or remove.
    pub operation: Operation,
    /// The entry's hidden name.
    pub index_mac: IndexMac,
    /// The code over the encrypted value.
    pub value_mac: ValueMac,
    /// The entry's name: a JSON array of strings. Read it with [`Index::parse`](super::Index::parse).
    pub index: &'a [u8],
    /// The encoded action; always there with [`Operation::Set`].
    pub value: Option<&'a [u8]>,
    /// The action's version.
    pub version: i32,
    /// All that was encrypted.
    pub data: &'a [u8],
}

impl std::fmt::Debug for Mutation<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mutation({:?} {:?}, {} bytes)", self.operation, self.index_mac, self.data.len())
    }
}

/// Decrypted mutations, all in one piece of memory; each is decoded when it is looked at.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Mutations {
    arena: Bytes,
    entries: Vec<Entry>,
}

impl Mutations {
    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The mutations, in the order of the patch or snapshot.
    pub fn iter(&self) -> impl Iterator<Item = Mutation<'_>> {
        self.entries.iter().filter_map(|entry| entry.view(&self.arena))
    }

    /// The encoded action of the mutation at `place`, sharing this memory.
    #[must_use]
    pub fn value(&self, place: usize) -> Option<Bytes> {
        let value = self.entries.get(place)?.view(&self.arena)?.value?;
        Some(self.arena.slice_ref(value))
    }
}

impl std::fmt::Debug for Mutations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mutations({})", self.entries.len())
    }
}

/// Where a mutation's data lies in its arena.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Entry {
    start: usize,
    end: usize,
    operation: Operation,
    index_mac: IndexMac,
    value_mac: ValueMac,
}

impl Entry {
    fn view<'a>(&self, arena: &'a [u8]) -> Option<Mutation<'a>> {
        let data = arena.get(self.start..self.end)?;
        let action = Data::parse(data).ok()?;
        Some(Mutation {
            operation: self.operation,
            index_mac: self.index_mac,
            value_mac: self.value_mac,
            index: action.index?,
            value: action.value,
            version: action.version?,
            data,
        })
    }
}

/// An encrypted entry as it stands in a patch or snapshot.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) index_mac: &'a [u8; 32],
    pub(super) blob: &'a [u8],
    pub(super) key_id: &'a [u8],
}

/// The last 32 bytes of a value.
const MAC: usize = 32;
const BLOCK: usize = 16;

impl<'a> Record<'a> {
    /// Reads a `SyncdRecord`; the error says what is wrong.
    pub(super) fn parse(message: &'a [u8]) -> Result<Self, &'static str> {
        let malformed = |_: MalformedFields| "a record is not a protobuf message";
        let (mut index, mut value, mut key) = (None, None, None);
        for field in Fields::of(message) {
            let field = field.map_err(malformed)?;
            match field.number {
                1 => index = Some(field.bytes().map_err(malformed)?),
                2 => value = Some(field.bytes().map_err(malformed)?),
                3 => key = Some(field.bytes().map_err(malformed)?),
                _ => {}
            }
        }
        let inner = |message: Option<&'a [u8]>| bytes_field(message.unwrap_or_default(), 1).map_err(malformed);
        let index_mac = inner(index)?.and_then(|blob| blob.try_into().ok()).ok_or("a record without an index code")?;
        let blob = inner(value)?.filter(|blob| blob.len() >= 2 * BLOCK + MAC).ok_or("a record without a value")?;
        let key_id = inner(key)?.filter(|id| !id.is_empty()).ok_or("a record without a key id")?;
        Ok(Self { index_mac, blob, key_id })
    }

    pub(super) fn value_mac(&self) -> ValueMac {
        ValueMac(self.blob.last_chunk().copied().unwrap_or_default())
    }
}

/// What is wrong with a record.
pub(super) enum RecordError {
    ValueMac,
    Value(&'static str),
    IndexMac,
}

/// Mutations that are being decrypted.
#[derive(Default)]
pub(super) struct Arena {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

impl Arena {
    pub(super) fn with_capacity(bytes: usize, entries: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), entries: Vec::with_capacity(entries) }
    }

    pub(super) const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Checks and decrypts a record at the end of the arena; after an error the arena is as before.
    pub(super) fn open(
        &mut self,
        operation: Operation,
        record: &Record<'_>,
        keys: &MutationKeys,
    ) -> Result<(), RecordError> {
        let (encrypted, mac) = record.blob.split_last_chunk::<MAC>().ok_or(RecordError::Value("too short"))?;
        let value_mac = keys.value_mac(operation, record.key_id, encrypted);
        if !bool::from(value_mac.0.ct_eq(mac)) {
            return Err(RecordError::ValueMac);
        }
        let start = self.bytes.len();
        let opened = self.decrypt(encrypted, keys).map_err(RecordError::Value).and_then(|()| {
            let data = self.bytes.get(start..).unwrap_or_default();
            let index = Data::check(data, operation).map_err(RecordError::Value)?;
            let index_mac = keys.index_mac(index);
            if bool::from(index_mac.0.ct_eq(record.index_mac)) { Ok(index_mac) } else { Err(RecordError::IndexMac) }
        });
        match opened {
            Ok(index_mac) => {
                self.entries.push(Entry { start, end: self.bytes.len(), operation, index_mac, value_mac });
                Ok(())
            }
            Err(error) => {
                self.bytes.truncate(start);
                Err(error)
            }
        }
    }

    /// Takes data that came in plaintext, with codes that the caller has checked or computed.
    pub(super) fn take(&mut self, data: &[u8], index_mac: IndexMac, value_mac: ValueMac) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(data);
        let end = self.bytes.len();
        self.entries.push(Entry { start, end, operation: Operation::Set, index_mac, value_mac });
    }

    /// The codes of the entries so far.
    pub(super) fn codes(&self) -> impl Iterator<Item = (Operation, IndexMac, ValueMac)> {
        self.entries.iter().map(|entry| (entry.operation, entry.index_mac, entry.value_mac))
    }

    pub(super) fn finish(self) -> Mutations {
        Mutations { arena: self.bytes.into(), entries: self.entries }
    }

    fn decrypt(&mut self, encrypted: &[u8], keys: &MutationKeys) -> Result<(), &'static str> {
        let (vector, ciphertext) = encrypted.split_first_chunk::<BLOCK>().ok_or("too short")?;
        if ciphertext.is_empty() || ciphertext.len() % BLOCK != 0 {
            return Err("not whole blocks");
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(ciphertext);
        let added = self.bytes.get_mut(start..).unwrap_or_default();
        let (blocks, _) = aes::Block::slice_as_chunks_mut(added);
        cbc::Decryptor::<Aes256>::inner_iv_init(keys.cipher().clone(), vector.into()).decrypt_blocks(blocks);
        let kept = unpadded_length(added).ok_or("wrong padding")?;
        self.bytes.truncate(start + kept);
        Ok(())
    }
}

/// What is encrypted in a record.
struct Data<'a> {
    index: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    version: Option<i32>,
}

impl<'a> Data<'a> {
    fn parse(data: &'a [u8]) -> Result<Self, MalformedFields> {
        let mut parsed = Self { index: None, value: None, version: None };
        for field in Fields::of(data) {
            let field = field?;
            match field.number {
                1 => parsed.index = Some(field.bytes()?),
                2 => parsed.value = Some(field.bytes()?),
                4 => parsed.version = Some(field.uint32()?.cast_signed()),
                _ => {}
            }
        }
        Ok(parsed)
    }

    /// Checks that nothing needed is missing; gives the index.
    fn check(data: &'a [u8], operation: Operation) -> Result<&'a [u8], &'static str> {
        let parsed = Self::parse(data).map_err(|_| "not a protobuf message")?;
        parsed.version.ok_or("no version")?;
        if operation == Operation::Set {
            let value = parsed.value.ok_or("no value")?;
            let mut timestamp = None;
            for field in Fields::of(value) {
                let field = field.map_err(|_| "the value is not a protobuf message")?;
                if field.number == 1 {
                    timestamp = Some(number(&field).map_err(|_| "a timestamp that is no number")?);
                }
            }
            timestamp.ok_or("no timestamp")?;
        }
        parsed.index.ok_or("no index")
    }
}

/// Checks plaintext data as if it had been decrypted; gives the index.
pub(super) fn check_data(data: &[u8]) -> Result<&[u8], &'static str> {
    Data::check(data, Operation::Set)
}

/// Encodes what is encrypted in a record. The empty padding is written as all clients do.
pub(super) fn encode_data(index: &[u8], value: Option<&[u8]>, version: i32) -> Vec<u8> {
    let mut data = Vec::with_capacity(index.len() + value.map_or(0, <[u8]>::len) + 16);
    put_bytes(&mut data, 1, index);
    if let Some(value) = value {
        put_bytes(&mut data, 2, value);
    }
    put_bytes(&mut data, 3, &[]);
    // Negative numbers take ten bytes in this encoding, as protobuf wants it.
    put_uint(&mut data, 4, i64::from(version).cast_unsigned());
    data
}

/// Encrypts data under a fresh random vector: vector, ciphertext, code.
pub(super) fn seal(
    operation: Operation,
    key_id: &[u8],
    keys: &MutationKeys,
    vector: [u8; BLOCK],
    mut data: Vec<u8>,
) -> (Vec<u8>, ValueMac) {
    let padding = BLOCK - data.len() % BLOCK;
    data.resize(data.len() + padding, u8::try_from(padding).unwrap_or_default());
    let (blocks, _) = aes::Block::slice_as_chunks_mut(&mut data);
    cbc::Encryptor::<Aes256>::inner_iv_init(keys.cipher().clone(), &vector.into()).encrypt_blocks(blocks);
    let mut blob = Vec::with_capacity(BLOCK + data.len() + MAC);
    blob.extend_from_slice(&vector);
    blob.extend_from_slice(&data);
    let mac = keys.value_mac(operation, key_id, &blob);
    blob.extend_from_slice(&mac.0);
    (blob, mac)
}

fn unpadded_length(data: &[u8]) -> Option<usize> {
    let count = *data.last()?;
    let kept = data.len().checked_sub(usize::from(count))?;
    let padding = data.get(kept..)?;
    let right = (1..=BLOCK).contains(&padding.len()) && padding.iter().all(|&byte| byte == count);
    right.then_some(kept)
}
