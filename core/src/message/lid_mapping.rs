//! The phone's table of which number has which LID, as it tells its companions. Who may tell it is decided elsewhere.

use super::ScanError;
use super::scan::last_bytes;
use crate::types::Jid;
use flate2::read::GzDecoder;
use std::io::Read;
use whatsio_proto::lid_migration::{LidMigrationMapping, LidMigrationMappingSyncPayload};
use whatsio_proto::prost::Message;

/// The number of the protocol message that carries such a table.
pub const LID_MAPPING_SYNC: u32 = 22;

/// The addresses of one user, without device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LidMapping {
    /// By phone number.
    pub pn: Jid,
    /// The LID that the account's move to LIDs assigned.
    pub assigned: Jid,
    /// The LID since then, if that is another.
    pub latest: Option<Jid>,
}

/// Reads the table in an encoded protocol message. At most 10,000 users: others are learned as they are met. Fails with
/// `Malformed` for what is no table, or inflates to more than 4 MiB.
pub fn lid_mappings(protocol: &[u8]) -> Result<Vec<LidMapping>, ScanError> {
    let sync = last_bytes(protocol, SYNC_FIELD)?.ok_or(ScanError::Malformed)?;
    let payload = last_bytes(sync, 1)?.ok_or(ScanError::Malformed)?;
    let table = if payload.starts_with(&GZIP) { inflate(payload)? } else { payload.to_vec() };
    let table = LidMigrationMappingSyncPayload::decode(&*table).map_err(|_| ScanError::Malformed)?;
    Ok(table.pn_to_lid_mappings.into_iter().take(MOST_USERS).filter_map(mapping).collect())
}

fn mapping(found: LidMigrationMapping) -> Option<LidMapping> {
    let lid = |number: u64| Jid::lid(number.to_string());
    let assigned = found.assigned_lid?;
    let latest = found.latest_lid.filter(|latest| *latest != assigned).map(lid);
    Some(LidMapping { pn: Jid::pn(found.pn?.to_string()), assigned: lid(assigned), latest })
}

fn inflate(payload: &[u8]) -> Result<Vec<u8>, ScanError> {
    let mut table = Vec::new();
    let read = GzDecoder::new(payload).take(MOST_BYTES + 1).read_to_end(&mut table);
    match read {
        Ok(length) if u64::try_from(length).is_ok_and(|length| length <= MOST_BYTES) => Ok(table),
        _ => Err(ScanError::Malformed),
    }
}

const SYNC_FIELD: u32 = 23;
const GZIP: [u8; 2] = [0x1f, 0x8b];
const MOST_USERS: usize = 10_000;
const MOST_BYTES: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;
    use whatsio_proto::e2e::{LidMigrationMappingSyncMessage, ProtocolMessage};

    fn protocol(payload: Vec<u8>) -> Vec<u8> {
        let sync = LidMigrationMappingSyncMessage { encoded_mapping_payload: Some(payload.into()) };
        let message = ProtocolMessage { lid_migration_mapping_sync_message: Some(sync), ..Default::default() };
        message.encode_to_vec()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_table_reads_compressed_and_plain() {
        let table = LidMigrationMappingSyncPayload {
            pn_to_lid_mappings: vec![
                LidMigrationMapping { pn: Some(15_551_234_567), assigned_lid: Some(9), latest_lid: Some(10) },
                LidMigrationMapping { pn: Some(2), assigned_lid: Some(8), latest_lid: Some(8) },
                LidMigrationMapping { pn: Some(3), ..Default::default() },
            ],
            chat_db_migration_timestamp: Some(1),
        };
        let bytes = table.encode_to_vec();
        let read = lid_mappings(&protocol(gzip(&bytes))).unwrap();
        assert_eq!(read, lid_mappings(&protocol(bytes)).unwrap());
        assert_eq!(read[0].latest, Some(Jid::lid("10")));
        assert_eq!(read.len(), 2, "a number without a LID says nothing");
        assert_eq!(read[1], LidMapping { pn: Jid::pn("2"), assigned: Jid::lid("8"), latest: None });
    }

    #[test]
    fn what_is_no_table_or_too_large_is_refused() {
        assert_eq!(lid_mappings(&[]), Err(ScanError::Malformed));
        assert_eq!(lid_mappings(&protocol(vec![0xff])), Err(ScanError::Malformed));
        assert_eq!(lid_mappings(&protocol(gzip(&vec![0; (4 << 20) + 1]))), Err(ScanError::Malformed));
        let mut cut = gzip(&[0; 100]);
        cut.truncate(12);
        assert_eq!(lid_mappings(&protocol(cut)), Err(ScanError::Malformed));
    }
}
