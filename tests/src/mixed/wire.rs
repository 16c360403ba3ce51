//! A connection between a process and the server: two pipes with latency. Bytes keep their order, but not their cuts.

use super::Pid;
use super::dice::Dice;
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    ToServer,
    ToHost,
}

/// What arrives.
#[derive(Debug)]
pub(super) enum Parcel {
    Bytes(Bytes),
    /// The other side has closed the connection.
    End,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) process: Pid,
    /// Nothing gets through any more, in either direction.
    pub(super) is_dead: bool,
    /// The process does not listen any more.
    pub(super) host_left: bool,
    /// The server does not listen any more.
    pub(super) server_left: bool,
    to_server: Pipe,
    to_host: Pipe,
}

#[derive(Debug, Default)]
struct Pipe {
    parcels: VecDeque<(u64, Parcel)>,
    last_arrival: u64,
}

impl Wire {
    pub(super) fn new(process: Pid) -> Self {
        let (to_server, to_host) = (Pipe::default(), Pipe::default());
        Self { process, is_dead: false, host_left: false, server_left: false, to_server, to_host }
    }

    /// Sends bytes on their way, in one piece or several; gives the times at which something arrives.
    pub(super) fn send(
        &mut self,
        way: Way,
        now: u64,
        mut bytes: Bytes,
        latency_ms: u64,
        cuts: u64,
        dice: &mut Dice,
    ) -> Vec<u64> {
        let mut arrivals = Vec::new();
        while !bytes.is_empty() {
            let length =
                if bytes.len() > 1 && dice.chance(cuts) { 1 + dice.index(bytes.len() - 1) } else { bytes.len() };
            let at = now + dice.below(latency_ms + 1);
            arrivals.push(self.pipe(way).put(at, Parcel::Bytes(bytes.split_to(length))));
        }
        arrivals
    }

    /// Ends one way; gives the time at which the other side learns of it.
    pub(super) fn end(&mut self, way: Way, now: u64, latency_ms: u64, dice: &mut Dice) -> u64 {
        let at = now + dice.below(latency_ms + 1);
        self.pipe(way).put(at, Parcel::End)
    }

    /// What has arrived by now and comes next; pieces that arrived together are joined sometimes.
    pub(super) fn next(&mut self, way: Way, now: u64, joins: u64, dice: &mut Dice) -> Option<Parcel> {
        let pipe = self.pipe(way);
        let parcel = pipe.take(now)?;
        let Parcel::Bytes(first) = parcel else { return Some(parcel) };
        let mut joined = BytesMut::from(first.as_ref());
        while matches!(pipe.parcels.front(), Some((at, Parcel::Bytes(_))) if *at <= now) && dice.chance(joins) {
            if let Some(Parcel::Bytes(more)) = pipe.take(now) {
                joined.extend_from_slice(&more);
            }
        }
        Some(Parcel::Bytes(joined.freeze()))
    }

    /// Loses everything that is under way.
    pub(super) fn lose_all(&mut self) {
        self.to_server.parcels.clear();
        self.to_host.parcels.clear();
    }

    fn pipe(&mut self, way: Way) -> &mut Pipe {
        match way {
            Way::ToServer => &mut self.to_server,
            Way::ToHost => &mut self.to_host,
        }
    }
}

impl Pipe {
    fn put(&mut self, at: u64, parcel: Parcel) -> u64 {
        self.last_arrival = self.last_arrival.max(at);
        self.parcels.push_back((self.last_arrival, parcel));
        self.last_arrival
    }

    fn take(&mut self, now: u64) -> Option<Parcel> {
        let is_here = self.parcels.front().is_some_and(|(at, _)| *at <= now);
        if is_here { self.parcels.pop_front().map(|(_, parcel)| parcel) } else { None }
    }
}
