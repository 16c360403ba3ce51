//! One identity per peer: phone number and LID are aliases of it.
//!
//! Sessions, sender keys and device lists are kept under the peer's own number, so that learning the second address of
//! a peer moves nothing: it is one more alias.

use super::record::{BadRecord, Stored, open, seal};
use crate::api::{Record, Space};
use crate::types::Jid;

const VERSION: u8 = 1;

/// Id of the record that numbers peers.
pub(crate) const COUNTER_ID: &[u8] = b"peers";

/// A peer's number, given at first contact and never reused. 0 is this account itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PeerId(pub(crate) u64);

impl PeerId {
    /// This account.
    pub(crate) const SELF: Self = Self(0);

    /// Record id of what belongs to the peer.
    pub(crate) fn record_id(self) -> Vec<u8> {
        self.0.to_be_bytes().to_vec()
    }

    /// Record id of what belongs to one device of the peer.
    pub(crate) fn device_id(self, device: u16) -> Vec<u8> {
        let mut id = self.record_id();
        id.extend_from_slice(&device.to_be_bytes());
        id
    }
}

/// What is known of a peer.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Peer {
    /// Address by phone number, without device.
    pub(crate) pn: Option<Jid>,
    /// Address by LID, without device.
    pub(crate) lid: Option<Jid>,
    /// Devices there may be a session with, ascending: stores are never scanned.
    pub(crate) devices: Vec<u16>,
}

/// Where an address leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Alias {
    pub(crate) peer: PeerId,
    /// When this was learned, in seconds since 1970.
    pub(crate) learned: u64,
}

/// The number the next new peer gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PeerCounter(pub(crate) u64);

impl Default for PeerCounter {
    fn default() -> Self {
        Self(PeerId::SELF.0 + 1)
    }
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
struct PeerRecord {
    #[prost(string, optional, tag = "1")]
    pn: Option<String>,
    #[prost(string, optional, tag = "2")]
    lid: Option<String>,
    #[prost(uint32, repeated, tag = "3")]
    devices: Vec<u32>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AliasRecord {
    #[prost(uint64, tag = "1")]
    peer: u64,
    #[prost(uint64, tag = "2")]
    learned: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CounterRecord {
    #[prost(uint64, tag = "1")]
    next: u64,
}

impl Stored for Peer {
    const SPACE: Space = Space::Peer;

    fn seal(&self) -> Record {
        let devices = self.devices.iter().map(|device| u32::from(*device)).collect();
        let text = |jid: &Option<Jid>| jid.as_ref().map(ToString::to_string);
        seal(VERSION, &PeerRecord { pn: text(&self.pn), lid: text(&self.lid), devices })
    }

    fn open(record: &Record) -> Result<Self, BadRecord> {
        let found: PeerRecord = open(VERSION, record)?;
        let jid = |text: Option<String>| text.as_deref().map(Jid::parse).transpose().map_err(|_| BadRecord);
        let devices = found.devices.into_iter().map(u16::try_from).collect::<Result<_, _>>().map_err(|_| BadRecord)?;
        Ok(Self { pn: jid(found.pn)?, lid: jid(found.lid)?, devices })
    }
}

impl Stored for Alias {
    const SPACE: Space = Space::LidMap;

    fn seal(&self) -> Record {
        seal(VERSION, &AliasRecord { peer: self.peer.0, learned: self.learned })
    }

    fn open(record: &Record) -> Result<Self, BadRecord> {
        let found: AliasRecord = open(VERSION, record)?;
        Ok(Self { peer: PeerId(found.peer), learned: found.learned })
    }
}

impl Stored for PeerCounter {
    const SPACE: Space = Space::Account;

    fn seal(&self) -> Record {
        seal(VERSION, &CounterRecord { next: self.0 })
    }

    fn open(record: &Record) -> Result<Self, BadRecord> {
        let found: CounterRecord = open(VERSION, record)?;
        Ok(Self(found.next))
    }
}
