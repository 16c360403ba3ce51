//! Requests that belong to a connection: keep-alive, and asking for what has queued up.

use super::{Request, StanzaError, iq, word as w};
use crate::binary::{NodeRef, Writer};
use smol_str::SmolStr;

/// Asks the server for a sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ping;

impl Request for Ping {
    /// The server's clock, in seconds since 1970, if it says so.
    type Reply = Option<u64>;

    fn write(&self, id: &str, out: &mut Writer) {
        iq::open(out, id, w::GET, w::W_P);
        out.close();
    }

    fn parse(answer: NodeRef<'_>) -> Result<Self::Reply, StanzaError> {
        Ok(answer.number(w::T))
    }
}

/// Tells the server whether to deliver what it holds for this device. A login begins passive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Deliver.
    Active,
    /// Hold.
    Passive,
}

impl Request for Delivery {
    type Reply = ();

    fn write(&self, id: &str, out: &mut Writer) {
        iq::open(out, id, w::SET, w::PASSIVE);
        iq::empty(out, if *self == Self::Active { w::ACTIVE } else { w::PASSIVE });
        out.close();
    }

    fn parse(_: NodeRef<'_>) -> Result<(), StanzaError> {
        Ok(())
    }
}

/// Tells the server that data it called dirty has been refetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CleanDirty {
    /// The kind of data, in the server's word.
    pub kind: SmolStr,
    /// The timestamp it came with.
    pub timestamp: Option<u64>,
}

impl Request for CleanDirty {
    type Reply = ();

    fn write(&self, id: &str, out: &mut Writer) {
        iq::open(out, id, w::SET, w::DIRTY_NAMESPACE);
        out.open(w::CLEAN);
        out.text(w::TYPE, &self.kind);
        out.number_if(w::TIMESTAMP, self.timestamp);
        out.close();
        out.close();
    }

    fn parse(_: NodeRef<'_>) -> Result<(), StanzaError> {
        Ok(())
    }
}
