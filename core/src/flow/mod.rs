//! Behaviour: one file per thing the protocol does, written as straight-line code over a transaction.
//!
//! Reads come first; a miss drops the transaction and starts it again. Flows never think about durability: what they
//! cause is held until what it depends on is on disk.

#[cfg(test)]
mod addresses_tests;
mod ask;
mod bundles;
pub(crate) mod connect;
mod control;
pub(crate) mod decrypt;
pub(crate) mod devices;
mod fanout;
mod fold;
mod identity;
mod inbox;
mod job;
pub(crate) mod learn;
pub(crate) mod linking;
mod live;
mod logout;
mod notifications;
mod pair_code;
mod pair_passkey;
mod pair_qr;
#[cfg(test)]
mod passkey_tests;
pub(crate) mod peers;
mod placeholder;
mod prekeys;
mod presence;
mod query;
mod receipts;
mod receive;
mod received;
mod repair;
mod restriction;
mod retry;
mod send;
mod tokens;
mod trouble;
mod wipe;

pub(crate) use connect::{Opening, is_user};
pub(crate) use job::{Job, Lane, Settled, Verb, run};
pub(crate) use linking::{LinkJob, PasskeyWait, Under};
pub(crate) use live::{Live, Me, Progress};
pub(crate) use query::{Failure, Query, Reply};
pub(crate) use send::{Accepted, is_content};

use crate::api::{Envelope, Event, Restriction};
use crate::binary::Plain;
use crate::stanza::Stanza;
use crate::state::{self, Miss};
use crate::types::Jid;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

/// A transaction as flows see it.
pub(crate) type Txn<'a> = state::Txn<'a, Effect, Step>;

/// What flows say all the time.
pub(crate) trait TxnExt {
    /// Sends a stanza on this connection.
    fn send(&mut self, live: &Live, stanza: &impl Stanza);

    /// Tells the application something once.
    fn tell(&mut self, event: Event);

    /// Tells the application something about this connection.
    fn news(&mut self, live: &Live, event: Event);
}

impl TxnExt for Txn<'_> {
    fn send(&mut self, live: &Live, stanza: &impl Stanza) {
        // Everything that is written here was parsed from the wire or checked when it was accepted, so it can be
        // written; a stanza that still cannot is dropped, and the server asks again.
        if let Ok(plain) = stanza.plain() {
            self.effect(Effect::Stanza(live.connection, plain));
        }
    }

    fn tell(&mut self, event: Event) {
        self.effect(Effect::Tell(event));
    }

    fn news(&mut self, live: &Live, event: Event) {
        self.effect(Effect::News(live.connection, event));
    }
}

/// What leaves the core, held until what it depends on is durable.
pub(crate) enum Effect {
    /// A stanza for the connection it was made on; dropped if that one is gone, since the server then asks again.
    Stanza(u64, Plain),
    /// A send went out on this connection.
    Sent(u64, u64),
    /// A request for the connection it was made on.
    Query(u64, Query),
    /// A durable event.
    Event(Envelope),
    /// An event that is told once.
    Tell(Event),
    /// An event about this connection; worth nothing when it is gone.
    News(u64, Event),
    /// Make a connection.
    Open(Box<Opening>),
    /// The identity is durable: this connection has linked.
    LinkDone(u64),
    /// The phone's answer on this connection was not authentic.
    LinkRefused(u64),
    /// One way of linking has ended on this connection; perhaps it was the last.
    LinkIdle(u64),
}

/// What changes inside the machine as soon as the transaction is applied.
#[derive(Debug)]
pub(crate) enum Step {
    /// Run this job in its lane.
    Enqueue(Job),
    /// What others waited for has come, or never will.
    Settle(Need, Result<(), Failure>),
    /// A durable event is on its way to the application.
    Unhandled(u64),
    /// The application has taken a durable event.
    Handled(u64),
    /// A send was accepted; the server must take it.
    Accepted(u64, Progress),
    /// Ciphertexts of a send are on their way, or the server has answered and more is to be sent: it owes no answer now.
    Progressed(u64, Progress),
    /// A send has ended.
    SendEnded(u64),
    /// The server was told to deliver.
    Activating,
    /// The phone is to be asked for what could not be read, after this long in milliseconds.
    AskPhone(u64),
    /// Prekeys are on their way to the server, or no longer.
    Uploading(bool),
    /// Messages flow.
    Ready,
    /// The server has nothing more that waited.
    Drained,
    /// A message was sent again, to this device under this id; the server has not answered.
    Resent((String, Jid), Arc<retry::Granted>),
    /// It has.
    ResendAnswered((String, Jid)),
    /// A token is on its way to this contact.
    Issuing(state::peer::PeerId),
    /// It is there, or will not be.
    Issued(state::peer::PeerId),
    /// What the server does not let the account do.
    Restricted(Option<Restriction>),
    /// Own addresses, as the server knows them now.
    Me(Me),
    /// A way of linking is under way, or no longer.
    Linking(Under),
    /// Whether this device has announced itself as available.
    Available(bool),
    /// This device is no longer linked.
    Unlinked,
    /// The account is this life's alone, and this is how it was left.
    TakenOver(Left),
}

/// How an account was left by its life before.
#[derive(Debug)]
pub(crate) struct Left {
    /// Whether there is an account at all.
    pub(crate) has_account: bool,
    pub(crate) me: Option<Me>,
    /// Events that were not handled: single ones, then some of a window.
    pub(crate) inbox: (Vec<u64>, Range<u64>),
    /// Sends that the server may not have: single ones, then all of a window.
    pub(crate) outbox: (BTreeSet<u64>, Range<u64>),
    pub(crate) restriction: Option<Restriction>,
}

/// Something that only the server can give, which several jobs may wait for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    /// The device list of a user.
    Devices(Jid),
    /// A session with a device.
    Session(Jid),
    /// A token of this user, for having issued one.
    Token(Jid),
    /// Whether the account is restricted.
    Restriction,
}

/// Why a job cannot go on now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Records must be loaded; then the job starts again.
    Miss,
    /// The server must be asked; then the job starts again.
    Await(Vec<Need>),
    /// The server is in trouble; the job starts again after this long, in milliseconds.
    Pause(u64),
    /// What was written must be durable; then the job starts again.
    Settle,
}

impl From<Miss> for Stop {
    fn from(_: Miss) -> Self {
        Self::Miss
    }
}
