//! Device lists, as queries and notifications carry them.

use super::{StanzaError, read, word as w};
use crate::binary::NodeRef;
use crate::types::Jid;
use bytes::Bytes;

/// A device of a user, as a query lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedDevice {
    /// The device number; 0 is the phone.
    pub id: u16,
    /// Its index in the signed list; the phone has none.
    pub key_index: Option<u32>,
    /// Whether the Cloud API hosts it.
    pub is_hosted: bool,
}

impl ListedDevice {
    pub(super) fn parse(node: NodeRef<'_>) -> Result<Self, StanzaError> {
        let id = u16::try_from(read::need_number(node, w::ID)?).map_err(|_| StanzaError::bad_attribute(w::ID))?;
        Ok(Self { id, key_index: read::short_number(node, w::KEY_INDEX), is_hosted: node.has(w::IS_HOSTED, w::TRUE) })
    }
}

/// A device of a user, as a notification names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedDevice {
    /// The device's address.
    pub jid: Jid,
    /// Its other address, by LID.
    pub lid: Option<Jid>,
    /// Its index in the signed list; the phone has none.
    pub key_index: Option<u32>,
}

impl NamedDevice {
    pub(super) fn parse_all(node: NodeRef<'_>) -> Result<Vec<Self>, StanzaError> {
        node.children_named(w::DEVICE).map(Self::parse).collect()
    }

    fn parse(node: NodeRef<'_>) -> Result<Self, StanzaError> {
        Ok(Self {
            jid: read::need_jid(node, w::JID)?,
            lid: node.jid(w::LID),
            key_index: read::short_number(node, w::KEY_INDEX),
        })
    }
}

/// The primary's signed statement of which devices are its own. Not checked here.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct KeyIndexList {
    /// When it was made, in seconds since 1970.
    pub timestamp: Option<u64>,
    /// When the server expects it to have been made.
    pub expected: Option<u64>,
    /// The serialised signed list; absent for users without companions.
    pub signed: Option<Bytes>,
}

impl KeyIndexList {
    /// Reads the child `key-index-list` of `node`.
    pub(super) fn parse_in(node: NodeRef<'_>) -> Option<Self> {
        let list = node.child(w::KEY_INDEX_LIST)?;
        Some(Self {
            timestamp: list.number(w::TS),
            expected: list.number(w::EXPECTED_TS),
            signed: list.bytes().filter(|bytes| !bytes.is_empty()),
        })
    }
}

super::opaque_debug!(KeyIndexList);
