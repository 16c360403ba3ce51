//! Volatile facts that flows read: what is true of this connection and this process only.

use super::linking::LinkingNow;
use crate::api::{DeviceOutcome, Epoch, OpId};
use crate::types::Jid;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

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
    /// Prekeys are on their way to the server.
    pub(crate) uploading: bool,
    /// The server was told to deliver.
    pub(crate) activating: bool,
    /// How often devices were answered that asked for a send again, oldest first.
    pub(crate) answered: VecDeque<(Asker, u32)>,
}

/// A device that asked for a send again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asker {
    pub(crate) device: Jid,
    pub(crate) sequence: u64,
}

/// Askers whose requests are counted; the oldest are forgotten.
const ASKERS_COUNTED: usize = 1024;

impl Live {
    /// How often `asker` was answered.
    pub(crate) fn answers_to(&self, asker: &Asker) -> u32 {
        self.answered.iter().find(|(known, _)| known == asker).map_or(0, |(_, count)| *count)
    }

    /// Notes that `asker` was answered once more.
    pub(crate) fn note_answer(&mut self, asker: Asker) {
        let count = self.answers_to(&asker) + 1;
        self.answered.retain(|(known, _)| *known != asker);
        self.answered.push_back((asker, count));
        if self.answered.len() > ASKERS_COUNTED {
            self.answered.pop_front();
        }
    }
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
