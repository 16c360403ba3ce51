//! Requests that the server has not answered.

use crate::flow::Query;
use crate::types::RequestIds;
use smol_str::SmolStr;
use std::collections::VecDeque;

/// How long an answer may take, in milliseconds. Peers wait 60 to 75 seconds.
const ANSWER_MS: u64 = 60_000;

/// Pairs answers with requests by id. There are never more than a few dozen at once.
pub(crate) struct Queries {
    ids: RequestIds,
    /// Oldest first.
    outstanding: VecDeque<Outstanding>,
}

struct Outstanding {
    id: SmolStr,
    query: Query,
    deadline: u64,
}

impl Queries {
    pub(crate) const fn new(ids: RequestIds) -> Self {
        Self { ids, outstanding: VecDeque::new() }
    }

    /// An id that was not used before.
    pub(crate) fn fresh_id(&mut self) -> SmolStr {
        self.ids.next_id()
    }

    /// Notes that `query` is asked now.
    pub(crate) fn ask(&mut self, mono: u64, id: SmolStr, query: Query) {
        self.outstanding.push_back(Outstanding { id, query, deadline: mono.saturating_add(ANSWER_MS) });
    }

    /// The request that the answer `id` belongs to.
    pub(crate) fn answered(&mut self, id: &str) -> Option<Query> {
        let at = self.outstanding.iter().position(|asked| asked.id == id)?;
        self.outstanding.remove(at).map(|asked| asked.query)
    }

    /// A request whose time is over.
    pub(crate) fn expired(&mut self, mono: u64) -> Option<Query> {
        self.outstanding.front().filter(|asked| asked.deadline <= mono)?;
        self.outstanding.pop_front().map(|asked| asked.query)
    }

    /// The socket is not read: the time for answers starts now.
    pub(crate) fn defer(&mut self, mono: u64) {
        for asked in &mut self.outstanding {
            asked.deadline = asked.deadline.max(mono.saturating_add(ANSWER_MS));
        }
    }

    /// The connection is gone: nothing will be answered.
    pub(crate) fn abandon(&mut self) -> Vec<Query> {
        self.outstanding.drain(..).map(|asked| asked.query).collect()
    }

    /// Since when the oldest request waits; not counting the time in which nobody read the socket.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.outstanding.front().map(|asked| asked.deadline.saturating_sub(ANSWER_MS))
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.outstanding.len()
    }

    /// When the oldest request expires.
    pub(crate) fn deadline(&self) -> Option<u64> {
        self.outstanding.front().map(|asked| asked.deadline)
    }
}
