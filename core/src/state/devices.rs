//! A user's list of devices, as the server and the user's phone state it.

use super::record::{BadRecord, Stored, open, seal};
use crate::api::{Record, Space};

const VERSION: u8 = 1;

/// Devices a user has, the phone (device 0) included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeviceList {
    /// Ascending by number.
    pub(crate) devices: Vec<Device>,
    /// When the server stated it, in seconds since 1970.
    pub(crate) fetched: u64,
    /// Timestamp of the list that the phone signed; older lists are ignored.
    pub(crate) signed_at: u64,
    /// A hash of this user's devices and one's own, by the server, that fresh lists did not explain: it is no reason to
    /// ask again.
    pub(crate) unexplained: Option<String>,
}

/// One device of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) id: u16,
    /// Which of the phone's keys admits it; 0 for the phone itself.
    pub(crate) key_index: u32,
    /// Lives at the Cloud API, under the hosted servers.
    pub(crate) hosted: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ListRecord {
    #[prost(message, repeated, tag = "1")]
    devices: Vec<DeviceRecord>,
    #[prost(uint64, tag = "2")]
    fetched: u64,
    #[prost(uint64, tag = "3")]
    signed_at: u64,
    #[prost(string, optional, tag = "4")]
    unexplained: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct DeviceRecord {
    #[prost(uint32, tag = "1")]
    id: u32,
    #[prost(uint32, tag = "2")]
    key_index: u32,
    #[prost(bool, tag = "3")]
    hosted: bool,
}

impl Stored for DeviceList {
    const SPACE: Space = Space::DeviceList;

    fn seal(&self) -> Record {
        let devices = self.devices.iter().map(|device| DeviceRecord {
            id: device.id.into(),
            key_index: device.key_index,
            hosted: device.hosted,
        });
        let Self { fetched, signed_at, .. } = *self;
        let unexplained = self.unexplained.clone();
        seal(VERSION, &ListRecord { devices: devices.collect(), fetched, signed_at, unexplained })
    }

    fn open(record: &Record) -> Result<Self, BadRecord> {
        let found: ListRecord = open(VERSION, record)?;
        let devices = found.devices.into_iter().map(|device| {
            let id = u16::try_from(device.id).map_err(|_| BadRecord)?;
            Ok(Device { id, key_index: device.key_index, hosted: device.hosted })
        });
        Ok(Self {
            devices: devices.collect::<Result<_, _>>()?,
            fetched: found.fetched,
            signed_at: found.signed_at,
            unexplained: found.unexplained,
        })
    }
}
