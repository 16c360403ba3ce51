//! How reports are kept: what became of each device of a send.

use super::record::BadRecord;
use crate::api::{DeviceOutcome, SkipReason};
use crate::types::Jid;

/// A device and what became of it.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(super) struct OutcomeRecord {
    #[prost(string, tag = "1")]
    device: String,
    #[prost(uint32, tag = "2")]
    outcome: u32,
    /// The server's code, where there is one.
    #[prost(uint32, optional, tag = "3")]
    code: Option<u32>,
}

impl OutcomeRecord {
    pub(super) fn of((device, outcome): &(Jid, DeviceOutcome)) -> Self {
        let (outcome, code) = match outcome {
            DeviceOutcome::Sent => (0, None),
            DeviceOutcome::NoSession => (1, None),
            DeviceOutcome::BundleRefused => (2, None),
            DeviceOutcome::Gone => (3, None),
            DeviceOutcome::Repaired => (4, None),
            DeviceOutcome::Skipped(SkipReason::RepairRefused(code)) => (5, Some(*code)),
            DeviceOutcome::Skipped(SkipReason::ServerTrouble) => (6, None),
            DeviceOutcome::Skipped(SkipReason::Unsendable) => (7, None),
        };
        Self { device: device.to_string(), outcome, code }
    }

    pub(super) fn read(&self) -> Result<(Jid, DeviceOutcome), BadRecord> {
        let outcome = match self.outcome {
            0 => DeviceOutcome::Sent,
            1 => DeviceOutcome::NoSession,
            2 => DeviceOutcome::BundleRefused,
            3 => DeviceOutcome::Gone,
            4 => DeviceOutcome::Repaired,
            5 => DeviceOutcome::Skipped(SkipReason::RepairRefused(self.code.unwrap_or(0))),
            6 => DeviceOutcome::Skipped(SkipReason::ServerTrouble),
            7 => DeviceOutcome::Skipped(SkipReason::Unsendable),
            _ => return Err(BadRecord),
        };
        Ok((Jid::parse(&self.device).map_err(|_| BadRecord)?, outcome))
    }
}
