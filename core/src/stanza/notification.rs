//! Notifications: what happened on the server or on other devices.

use super::{
    AccountRestriction, KeyIndexList, LinkCodeNotice, NamedDevice, PasskeyNotice, ReturnAddress, StanzaError, read,
    word as w,
};
use crate::binary::NodeRef;
use crate::types::Jid;
use bytes::Bytes;
use smol_str::SmolStr;

/// A notification. Every one is acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// What the acknowledgement repeats; also says whom it is about.
    pub address: ReturnAddress,
    /// When, in seconds since 1970.
    pub timestamp: Option<u64>,
    /// Whether it waited at the server while this device was offline.
    pub is_offline: bool,
    /// What happened.
    pub kind: NotificationKind,
}

/// What a notification is about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotificationKind {
    /// Few one-time prekeys of this device are left.
    PreKeysLow {
        /// How many.
        count: u32,
    },
    /// The server wants this device's keys compared with what it has.
    CheckPreKeys,
    /// The sender's identity key has changed.
    IdentityChanged,
    /// A user's devices have changed.
    Devices(DeviceChange),
    /// The account's own devices, all of them.
    OwnDevices(OwnDevices),
    /// A user has another phone number, and perhaps another LID.
    NumberChanged(NumberChange),
    /// Linking by code goes on.
    LinkCode(LinkCodeNotice),
    /// A passkey has to allow the link, or has.
    Passkey(PasskeyNotice),
    /// A device without account must renew the secret in its QR code.
    RenewLinkSecret,
    /// Other devices have changed app state.
    AppStateChanged {
        /// Collections and their new versions.
        collections: Vec<(SmolStr, Option<u64>)>,
    },
    /// A contact has issued tokens that prove its trust.
    PrivacyTokens {
        /// The contact's LID.
        sender_lid: Option<Jid>,
        /// The tokens.
        tokens: Vec<PrivacyToken>,
    },
    /// The account was restricted, or no longer is.
    Restricted(AccountRestriction),
    /// A kind that has no type of its own here, or is not known.
    Other {
        /// The server's word.
        kind: SmolStr,
    },
}

/// How a user's devices have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceChange {
    /// What happened.
    pub change: DeviceChangeKind,
    /// The user's LID, where the notification names the phone number.
    pub lid: Option<Jid>,
    /// Hash of the devices after the change.
    pub hash: Option<SmolStr>,
    /// The same, of their addresses by LID.
    pub lid_hash: Option<SmolStr>,
    /// The devices that were added or removed.
    pub devices: Vec<NamedDevice>,
    /// The primary's signed statement about the devices.
    pub key_index_list: Option<KeyIndexList>,
}

/// What happened to a user's devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceChangeKind {
    /// Some were added.
    Added,
    /// Some were removed.
    Removed,
    /// Something; the list has to be fetched.
    Updated,
}

/// How a user's addresses have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberChange {
    /// The phone number before, or whatever address stands for it.
    pub old: Jid,
    /// The phone number from now on, or whatever address stands for it.
    pub new: Jid,
    /// The LID before.
    pub old_lid: Option<Jid>,
    /// The LID from now on.
    pub new_lid: Option<Jid>,
}

/// The account's own devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnDevices {
    /// Hash of the devices.
    pub hash: Option<SmolStr>,
    /// The devices.
    pub devices: Vec<NamedDevice>,
    /// The primary's signed statement about the devices.
    pub key_index_list: Option<KeyIndexList>,
}

/// A token that proves a contact's trust.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivacyToken {
    /// The kind; only `trusted_contact` is known.
    pub kind: SmolStr,
    /// When it was issued, in seconds since 1970.
    pub timestamp: Option<u64>,
    /// Opaque.
    pub token: Bytes,
}

super::opaque_debug!(PrivacyToken);

impl Notification {
    pub(super) fn parse(node: NodeRef<'_>) -> Result<Self, StanzaError> {
        Ok(Self {
            address: ReturnAddress::parse(node)?,
            timestamp: node.number(w::T),
            is_offline: node.attr(w::OFFLINE).is_some(),
            kind: NotificationKind::parse(node)?,
        })
    }
}

impl NotificationKind {
    fn parse(node: NodeRef<'_>) -> Result<Self, StanzaError> {
        let Some(kind) = node.attr(w::TYPE) else {
            return Err(StanzaError::missing_attribute(w::TYPE));
        };
        let known = if kind.is(w::ENCRYPT) {
            Self::parse_encrypt(node)
        } else if kind.is(w::DEVICES) {
            DeviceChange::parse(node)?.map(Self::Devices)
        } else if kind.is(w::ACCOUNT_SYNC) {
            node.child(w::DEVICES).map(OwnDevices::parse).transpose()?.map(Self::OwnDevices)
        } else if kind.is(w::CONTACTS) {
            node.child(w::MODIFY).and_then(NumberChange::parse).map(Self::NumberChanged)
        } else if kind.is(w::LINK_CODE_COMPANION_REG) {
            Some(Self::LinkCode(LinkCodeNotice::parse(node)?))
        } else if kind.is(w::PASSKEY_PROLOGUE_REQUEST) {
            Some(Self::Passkey(PasskeyNotice::parse_request(node)))
        } else if kind.is(w::CRSC_CONTINUATION) {
            Some(Self::Passkey(PasskeyNotice::parse_continuation(node)))
        } else if kind.is(w::COMPANION_REG_REFRESH) {
            let is_known =
                |child: NodeRef<'_>| child.is(w::COMPANION_REG_REFRESH) || child.is(w::PAIR_DEVICE_ROTATE_QR);
            if !node.children().any(is_known) {
                return Err(StanzaError::missing_child(w::COMPANION_REG_REFRESH));
            }
            Some(Self::RenewLinkSecret)
        } else if kind.is(w::SERVER_SYNC) {
            let collection = |child: NodeRef<'_>| Some((read::text(child, w::NAME)?, child.number(w::VERSION)));
            let collections = node.children_named(w::COLLECTION).filter_map(collection).collect();
            Some(Self::AppStateChanged { collections })
        } else if kind.is(w::MEX) {
            AccountRestriction::parse_update(node).map(Self::Restricted)
        } else if kind.is(w::PRIVACY_TOKEN) {
            let tokens = node.child(w::TOKENS).into_iter().flat_map(|tokens| tokens.children_named(w::TOKEN));
            let tokens = tokens.filter_map(PrivacyToken::parse).collect();
            Some(Self::PrivacyTokens { sender_lid: node.jid(w::SENDER_LID), tokens })
        } else {
            None
        };
        Ok(known.unwrap_or_else(|| Self::Other { kind: kind.text().into() }))
    }

    fn parse_encrypt(node: NodeRef<'_>) -> Option<Self> {
        if let Some(count) = node.child(w::COUNT) {
            return Some(Self::PreKeysLow { count: read::short_number(count, w::VALUE).unwrap_or(0) });
        }
        if node.child(w::DIGEST).is_some() {
            return Some(Self::CheckPreKeys);
        }
        node.child(w::IDENTITY).map(|_| Self::IdentityChanged)
    }
}

impl DeviceChange {
    /// Where there are several children, the one that leaves the fewest devices counts.
    fn parse(node: NodeRef<'_>) -> Result<Option<Self>, StanzaError> {
        let kinds = [
            (w::REMOVE, DeviceChangeKind::Removed),
            (w::ADD, DeviceChangeKind::Added),
            (w::UPDATE, DeviceChangeKind::Updated),
        ];
        let found = kinds.into_iter().find_map(|(tag, kind)| Some((node.child(tag)?, kind)));
        let Some((list, change)) = found else { return Ok(None) };
        Ok(Some(Self {
            change,
            lid: node.jid(w::LID),
            hash: read::text(list, w::DEVICE_HASH).or_else(|| read::text(list, w::HASH)),
            lid_hash: read::text(list, w::DEVICE_LID_HASH),
            devices: NamedDevice::parse_all(list)?,
            key_index_list: KeyIndexList::parse_in(list),
        }))
    }
}

impl NumberChange {
    fn parse(modify: NodeRef<'_>) -> Option<Self> {
        Some(Self {
            old: modify.jid(w::OLD)?,
            new: modify.jid(w::NEW)?,
            old_lid: modify.jid(w::OLD_LID),
            new_lid: modify.jid(w::NEW_LID),
        })
    }
}

impl OwnDevices {
    fn parse(list: NodeRef<'_>) -> Result<Self, StanzaError> {
        Ok(Self {
            hash: read::text(list, w::DHASH),
            devices: NamedDevice::parse_all(list)?,
            key_index_list: KeyIndexList::parse_in(list),
        })
    }
}

impl PrivacyToken {
    pub(super) fn parse(node: NodeRef<'_>) -> Option<Self> {
        Some(Self { kind: read::text(node, w::TYPE)?, timestamp: node.number(w::T), token: node.bytes()? })
    }
}
