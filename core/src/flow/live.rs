//! Volatile facts that flows read: what is true of this connection and this process only.

use super::linking::LinkingNow;
use super::retry::Granted;
use super::trouble::Troubles;
use crate::api::{DeviceOutcome, Epoch, OpId, Restriction};
use crate::state::peer::PeerId;
use crate::types::Jid;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Changed only by applied transactions and by the connection itself.
#[derive(Debug, Default)]
pub(crate) struct Live {
    /// Which life of the account this is.
    pub(crate) epoch: Epoch,
    /// The store knows of this life: nobody else writes any more.
    pub(crate) claimed: bool,
    /// Number of the newest connection; stanzas made on an older one are dropped.
    pub(crate) connection: u64,
    /// Logged in, and the server was told to deliver.
    pub(crate) ready: bool,
    /// The server still delivers what waited.
    pub(crate) draining: bool,
    /// This device has announced itself as available.
    pub(crate) available: bool,
    /// Own addresses, once linked.
    pub(crate) me: Option<Me>,
    /// What a registration stream offers, and which ways of linking are under way.
    pub(crate) linking: LinkingNow,
    /// Durable events that the application has not handled.
    pub(crate) inbox: BTreeSet<u64>,
    /// Sends that the server has not answered, by sequence number.
    pub(crate) outbox: BTreeMap<u64, Progress>,
    /// Contacts to whom a token is on its way.
    pub(crate) issuing: BTreeSet<PeerId>,
    /// Messages sent again that the server has not answered, by id and device: the requests are acknowledged after it.
    pub(crate) resent: BTreeMap<(String, Jid), Arc<Granted>>,
    /// What the server could not give lately.
    pub(crate) trouble: Troubles,
    /// What the server does not let the account do, when it last spoke of it.
    pub(crate) restriction: Option<Restriction>,
    /// Prekeys are on their way to the server.
    pub(crate) uploading: bool,
    /// The server was told to deliver.
    pub(crate) activating: bool,
}

/// Own addresses, with the device number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Me {
    pub(crate) pn: Jid,
    pub(crate) lid: Option<Jid>,
}

/// What this process knows of a pending send.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Progress {
    /// Set if this process accepted the send.
    pub(crate) op: Option<OpId>,
    /// What happened for each device on this connection.
    pub(crate) devices: Vec<(Jid, DeviceOutcome)>,
}

impl Me {
    /// Whether `jid` is this account, under either address.
    pub(crate) fn is_me(&self, jid: &Jid) -> bool {
        jid.same_user(&self.pn) || self.lid.as_ref().is_some_and(|lid| jid.same_user(lid))
    }

    /// The address to be known by: LID where there is one.
    pub(crate) fn preferred(&self) -> &Jid {
        self.lid.as_ref().unwrap_or(&self.pn)
    }
}
