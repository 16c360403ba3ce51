//! One device: a store that outlives processes, the processes, and an application that remembers what it has taken.

use super::dice::Dice;
use super::keys::PrivateKeys;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use whatsio_core::api::{Commit, CommitError, Config, Epoch, EventId, Key, MessageId, Record, Space};
use whatsio_core::client::Client;
use whatsio_core::relay::LinkId;
use whatsio_core::types::{Jid, Now, Seed};

/// Stores take no longer ids.
const MAX_ID_BYTES: usize = 255;

/// One device of an account.
pub(super) struct Device {
    pub(super) account: usize,
    pub(super) config: Config,
    pub(super) store: Store,
    pub(super) processes: BTreeMap<u32, Process>,
    pub(super) lives: u32,
    pub(super) app: App,
    pub(super) dice: Dice,
    /// How far the clock of its host is ahead of the true time, in milliseconds.
    pub(super) skew_ms: i64,
    /// There is no network until then.
    pub(super) unreachable_until: u64,
    /// Its application handles nothing until then.
    pub(super) inattentive_until: u64,
    /// Nobody links it again after it was unlinked.
    pub(super) is_given_up: bool,
    /// Its address while it is linked, as the server has it.
    pub(super) linked: Option<Linked>,
}

/// A device as the server knows it.
#[derive(Clone, Debug)]
pub(super) struct Linked {
    pub(super) jid: Jid,
    pub(super) since: u64,
}

/// One process that runs a client.
pub(super) struct Process {
    pub(super) client: Client,
    /// The true time at which its monotonic clock showed 0.
    pub(super) origin: u64,
    pub(super) link: Option<LinkId>,
    /// A connection is being made, under this number.
    pub(super) opening: Option<u64>,
    /// Outputs left until it dies.
    pub(super) die_after: Option<u32>,
    /// It was seen to say `Faulted`.
    pub(super) has_faulted: bool,
    /// It will go on taking outputs by itself.
    pub(super) is_paused: bool,
    /// Frames written since it was born, and connections asked for.
    pub(super) frames: u64,
    pub(super) opens: u64,
}

/// What is durable, and what is wrong with it at the moment.
#[derive(Default)]
pub(super) struct Store {
    pub(super) records: BTreeMap<Key, Record>,
    pub(super) epoch: Epoch,
    pub(super) busy: u32,
    pub(super) full: bool,
    pub(super) unreadable: u32,
    pub(super) slow_until: u64,
    /// It says that it writes and does not.
    pub(super) lies: bool,
    /// Every event that was ever in the inbox, as it was written.
    pub(super) kept: Vec<Bytes>,
    /// Private keys that were ever written.
    pub(super) private_keys: PrivateKeys,
}

/// The application's own durable memory.
#[derive(Default)]
pub(super) struct App {
    /// Sends that it was not told to be queued, in order: after a crash it gives them again under the same id.
    pub(super) unqueued: VecDeque<(MessageId, Jid, String)>,
    /// Events seen, with a fingerprint of what they said.
    pub(super) seen: BTreeMap<EventId, u64>,
    /// Texts by the event that brought them first.
    pub(super) texts: BTreeMap<String, EventId>,
    /// Texts in the order in which they came first.
    pub(super) order: Vec<String>,
    /// It says that it has taken events and has not.
    pub(super) is_hasty: bool,
    /// Texts that it has taken for good.
    pub(super) taken: BTreeSet<String>,
    /// Ids of messages that could not be read at first.
    pub(super) unread: BTreeSet<String>,
    /// The newest message: its chat, sender and id.
    pub(super) newest: Option<(Jid, Jid, MessageId)>,
}

impl Device {
    /// The reading of a process' clocks.
    pub(super) fn clock(&self, process: &Process, now: u64) -> Now {
        Now { mono: now - process.origin, unix: (super::BEGIN_UNIX + now).saturating_add_signed(self.skew_ms) }
    }

    /// Starts a process from what is durable.
    pub(super) fn start(&mut self, now: u64) -> u32 {
        self.lives += 1;
        let seed = Seed::new(self.dice.bytes());
        let is_new = self.store.records.is_empty() && self.lives == 1;
        let client = if is_new {
            Client::create(self.config.clone(), seed)
        } else {
            let root = |key: Key| (key.clone(), self.store.records.get(&key).cloned());
            let roots = Client::root_keys().into_iter().map(root).collect();
            Client::restore(self.config.clone(), seed, roots).expect("what was committed can be restored")
        };
        let origin = now - self.dice.below(now.min(1_000_000) + 1);
        let process = Process {
            client,
            origin,
            link: None,
            opening: None,
            die_after: None,
            has_faulted: false,
            is_paused: false,
            frames: 0,
            opens: 0,
        };
        self.processes.insert(self.lives, process);
        self.lives
    }

    /// The process that counts: the newest.
    pub(super) fn newest(&self) -> Option<(u32, &Process)> {
        self.processes.last_key_value().map(|(life, process)| (*life, process))
    }
}

impl App {
    /// The device is linked as another one.
    pub(super) fn begin_anew(&mut self) {
        self.texts.clear();
        self.order.clear();
        self.unread.clear();
    }
}

impl Store {
    /// What the store makes of a commit, which is durable afterwards or not at all.
    pub(super) fn apply(&mut self, commit: &Commit) -> Result<(), CommitError> {
        if commit.epoch < self.epoch {
            return Err(CommitError::Fenced);
        }
        assert!(commit.writes.iter().all(|(key, _)| key.id.len() <= MAX_ID_BYTES), "an id that no store takes");
        if self.busy > 0 {
            self.busy -= 1;
            return Err(CommitError::Retry);
        }
        if std::mem::take(&mut self.full) {
            return Err(CommitError::Fatal);
        }
        if self.lies {
            return Ok(());
        }
        self.epoch = commit.epoch;
        for (key, record) in &commit.writes {
            match record {
                Some(record) => {
                    if key.space == Space::Inbox {
                        self.kept.push(record.0.clone());
                    }
                    self.private_keys.learn(key, record);
                    self.records.insert(key.clone(), record.clone());
                }
                None => {
                    self.records.remove(key);
                }
            }
        }
        Ok(())
    }

    /// Whether something about the message `id` was ever durable in the inbox.
    pub(super) fn has_kept(&self, id: &str) -> bool {
        self.kept.iter().any(|record| record.windows(id.len()).any(|part| part == id.as_bytes()))
    }
}
