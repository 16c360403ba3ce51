//! Linking by QR code, and leaving: what the server sends a device without account, and its answers.

use super::{Request, Stanza, StanzaError, iq, read, word as w};
use crate::binary::{NodeRef, Writer};
use crate::types::Jid;
use bytes::Bytes;
use smol_str::SmolStr;

/// The server's offer to link: references to show, one after the other. Answered with an empty result.
#[derive(Clone, PartialEq, Eq)]
pub struct PairDevice {
    /// Opaque, printable. Usually six.
    pub refs: Vec<Bytes>,
}

impl PairDevice {
    pub(super) fn parse(node: NodeRef<'_>) -> Result<Self, StanzaError> {
        let refs: Vec<_> = node.children_named(w::REF).filter_map(NodeRef::bytes).collect();
        if refs.is_empty() { Err(StanzaError::missing_child(w::REF)) } else { Ok(Self { refs }) }
    }
}

/// The phone has accepted this device. Answered with [`PairDeviceSign`] or a [`Refusal`](super::Refusal).
#[derive(Clone, PartialEq, Eq)]
pub struct PairSuccess {
    /// The account's statement about this device and its MAC (serialised). Not checked here.
    pub device_identity: Bytes,
    /// The own address by phone number, with the device number.
    pub jid: Jid,
    /// The own address by LID, with the device number.
    pub lid: Option<Jid>,
    /// What the phone runs.
    pub platform: Option<SmolStr>,
    /// Name of the business, for business accounts.
    pub business_name: Option<SmolStr>,
    /// Properties of the link (serialised).
    pub client_props: Option<Bytes>,
}

impl PairSuccess {
    pub(super) fn parse(node: NodeRef<'_>) -> Result<Self, StanzaError> {
        let device = read::need_child(node, w::DEVICE)?;
        Ok(Self {
            device_identity: read::need_child_bytes(node, w::DEVICE_IDENTITY)?,
            jid: read::need_jid(device, w::JID)?,
            lid: read::jid(device, w::LID)?,
            platform: node.child(w::PLATFORM).and_then(|platform| read::text(platform, w::NAME)),
            business_name: node.child(w::BIZ).and_then(|biz| read::text(biz, w::NAME)),
            client_props: read::child_bytes(node, w::CLIENT_PROPS),
        })
    }
}

/// This device's signature, which completes the link. The identity must be durable before it is sent.
#[derive(Clone, PartialEq, Eq)]
pub struct PairDeviceSign {
    /// The id of the server's request.
    pub id: SmolStr,
    /// The key index that the account gave this device.
    pub key_index: u32,
    /// The signed device identity (serialised), without the account's key.
    pub device_identity: Bytes,
}

impl Stanza for PairDeviceSign {
    fn write(&self, out: &mut Writer) {
        out.open(w::IQ);
        out.word(w::TYPE, w::RESULT);
        out.jid(w::TO, &Jid::server_itself());
        out.text(w::ID, &self.id);
        out.open(w::PAIR_DEVICE_SIGN);
        out.open(w::DEVICE_IDENTITY);
        out.number(w::KEY_INDEX, self.key_index.into());
        out.content(&self.device_identity);
        out.close();
        out.close();
        out.close();
    }
}

super::opaque_debug!(PairDevice, PairSuccess, PairDeviceSign);

/// Removes this device from its account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoveCompanionDevice {
    /// The own address, with the device number.
    pub jid: Jid,
}

impl Request for RemoveCompanionDevice {
    type Reply = ();

    fn write(&self, id: &str, out: &mut Writer) {
        iq::open(out, id, w::SET, w::MD);
        out.open(w::REMOVE_COMPANION_DEVICE);
        out.jid(w::JID, &self.jid);
        out.text(w::REASON, "user_initiated");
        out.close();
        out.close();
    }

    fn parse(_: NodeRef<'_>) -> Result<(), StanzaError> {
        Ok(())
    }
}
