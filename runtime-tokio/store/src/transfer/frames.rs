//! What the chunks hold: one frame about the session, one per record, one at the end.

use super::{About, ReadError};
use crate::{MAX_ID_BYTES, MAX_RECORD_BYTES};
use bytes::{Buf as _, Bytes};
use prost::Message as _;
use whatsio_core::api::{Epoch, Key, Record, Space};

/// One piece of the file's content.
pub(super) enum Frame {
    About(About),
    Record(Key, Record),
    End { records: u64 },
}

#[derive(Clone, PartialEq, prost::Message)]
struct AboutFrame {
    #[prost(string, tag = "1")]
    account: String,
    #[prost(uint64, tag = "2")]
    unix_ms: u64,
    #[prost(string, tag = "3")]
    source: String,
    #[prost(fixed64, tag = "4")]
    epoch: u64,
    #[prost(bool, tag = "5")]
    copy: bool,
}

const ABOUT: u8 = 1;
const RECORD: u8 = 2;
const END: u8 = 3;

/// Kind and length.
pub(super) const PREFIX: usize = 5;
const LONGEST_ABOUT: usize = 16 * 1024;
const LONGEST_RECORD: usize = 2 + MAX_ID_BYTES + MAX_RECORD_BYTES;

impl Frame {
    /// The bytes before a record's body; the record itself follows as it is.
    pub(super) fn record_prefix(key: &Key, record: &Record) -> Option<Vec<u8>> {
        let length = 2 + key.id.len() + record.0.len();
        let mut bytes = prefix(RECORD, length)?;
        bytes.push(key.space as u8);
        bytes.push(u8::try_from(key.id.len()).ok()?);
        bytes.extend_from_slice(&key.id);
        Some(bytes)
    }

    pub(super) fn about(about: &About) -> Option<Vec<u8>> {
        let body = AboutFrame {
            account: about.account.clone(),
            unix_ms: about.unix_ms,
            source: about.source.clone(),
            epoch: about.epoch.0,
            copy: about.copy,
        }
        .encode_to_vec();
        Some([prefix(ABOUT, body.len())?, body].concat())
    }

    pub(super) fn end(records: u64) -> Option<Vec<u8>> {
        Some([prefix(END, 8)?, records.to_be_bytes().to_vec()].concat())
    }

    /// The length of the body behind `prefix`.
    pub(super) fn length(prefix: &[u8]) -> Result<(u8, usize), ReadError> {
        let Some((&kind, length)) = prefix.split_first() else { return Err(ReadError::Malformed("no frame")) };
        let length: [u8; 4] = length.try_into().map_err(|_| ReadError::Malformed("no frame"))?;
        let length = usize::try_from(u32::from_be_bytes(length)).map_err(|_| ReadError::TooLarge)?;
        let longest = match kind {
            ABOUT => LONGEST_ABOUT,
            RECORD => LONGEST_RECORD,
            END => 8,
            _ => return Err(ReadError::Malformed("an unknown frame")),
        };
        if length > longest { Err(ReadError::TooLarge) } else { Ok((kind, length)) }
    }

    pub(super) fn read(kind: u8, mut body: Bytes) -> Result<Self, ReadError> {
        match kind {
            ABOUT => {
                let found = AboutFrame::decode(body).map_err(|_| ReadError::Malformed("no word about the session"))?;
                Ok(Self::About(About {
                    account: found.account,
                    unix_ms: found.unix_ms,
                    source: found.source,
                    epoch: Epoch(found.epoch),
                    copy: found.copy,
                }))
            }
            RECORD => {
                let (space, id) =
                    body.split_first_chunk::<2>().map(|([space, id], _)| (*space, usize::from(*id))).ok_or(CUT)?;
                body.advance(2);
                if body.len() < id {
                    return Err(CUT);
                }
                let record = Record(body.split_off(id));
                let space = Space::from_number(space).ok_or(ReadError::NewerRecords)?;
                Ok(Self::Record(Key::new(space, body), record))
            }
            _ => {
                let records = body.as_ref().try_into().map_err(|_| ReadError::Malformed("a short end"))?;
                Ok(Self::End { records: u64::from_be_bytes(records) })
            }
        }
    }
}

const CUT: ReadError = ReadError::Malformed("a short record");

fn prefix(kind: u8, length: usize) -> Option<Vec<u8>> {
    let length = u32::try_from(length).ok()?;
    Some([&[kind][..], &length.to_be_bytes()].concat())
}
