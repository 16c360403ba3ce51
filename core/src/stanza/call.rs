//! Signals of calls, as far as a client needs them that takes none.

use super::{ReturnAddress, Stanza, StanzaError, read, word as w};
use crate::binary::{NodeRef, Writer};
use crate::types::Jid;
use smol_str::SmolStr;

/// A signal of a call. Every one is acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncomingCall {
    /// What the acknowledgement repeats; also says who it is from.
    pub address: ReturnAddress,
    /// When, in seconds since 1970.
    pub timestamp: Option<u64>,
    /// Whether it waited at the server while this device was offline.
    pub is_offline: bool,
    /// What it signals, in the protocol's word: `offer`, `terminate`, …
    pub action: SmolStr,
    /// The call.
    pub call_id: Option<SmolStr>,
    /// Who began it.
    pub creator: Option<Jid>,
    /// Whether it has a picture, as far as an offer says.
    pub is_video: bool,
    /// The group, for calls in one.
    pub group: Option<Jid>,
    /// Why it ended.
    pub reason: Option<SmolStr>,
}

impl IncomingCall {
    pub(super) fn parse(node: NodeRef<'_>) -> Result<Self, StanzaError> {
        let signal = node.children().next().ok_or(StanzaError::MissingChild("offer"))?;
        Ok(Self {
            address: ReturnAddress::parse(node)?,
            timestamp: node.number(w::T),
            is_offline: node.attr(w::OFFLINE).is_some(),
            action: signal.tag().into(),
            call_id: read::text(signal, w::CALL_ID),
            creator: signal.jid(w::CALL_CREATOR),
            is_video: signal.child(w::VIDEO).is_some() || signal.has(w::MEDIA, w::VIDEO),
            group: signal.jid(w::GROUP_JID),
            reason: read::text(signal, w::REASON),
        })
    }
}

/// Declines a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectCall {
    /// The id of this stanza; has the form of a message's id.
    pub id: SmolStr,
    /// The caller, without device.
    pub to: Jid,
    /// The call.
    pub call_id: SmolStr,
    /// Who began it.
    pub creator: Jid,
}

impl Stanza for RejectCall {
    fn write(&self, out: &mut Writer) {
        out.open(w::CALL);
        out.text(w::ID, &self.id);
        out.jid(w::TO, &self.to);
        out.open(w::REJECT);
        out.text(w::CALL_ID, &self.call_id);
        out.jid(w::CALL_CREATOR, &self.creator);
        out.number(w::COUNT, 0);
        out.close();
        out.close();
    }
}
