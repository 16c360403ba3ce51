//! Runs a recording again: the same calls on a new client, every output and result compared.
//!
//! The client that is run records itself, and the two recordings are compared entry by entry: whatever is recorded is
//! compared. Knows no file and no clock; a replay takes as long as its work.

use crate::client::{Client, RestoreError};
use crate::recording::{Begin, Call, Ended, Entry, Line, ReadError, Reader, Redactor, Sizes};
use crate::types::Now;

/// A recording that is run again.
pub struct Replay {
    recorded: Reader,
    /// What the client that is run does.
    came: Reader,
    client: Option<Client>,
    lines: Redactor,
    known: Known,
    /// An end was read: nothing comes behind it but another life.
    quiet: bool,
}

/// What is known of a recording so far.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Known {
    /// Entries that were run and compared.
    pub entries: u64,
    /// Calls among them.
    pub calls: u64,
    /// Outputs among them.
    pub outputs: u64,
    /// Clients that were made.
    pub lives: u64,
    /// Version of whatsio that made the recording, if not this one. Another version may do things otherwise.
    pub other_version: Option<String>,
    /// Why the recording ends, if it says so.
    pub ended: Option<Ended>,
    /// Milliseconds from the first call to the last.
    pub length_ms: u64,
}

/// Where a replay first differs from its recording. Shows kinds, sizes, spaces and digests only.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// The number of the entry, counted from 0.
    pub entry: u64,
    /// What was recorded, and when.
    pub recorded: Line,
    /// What came instead; `None` if nothing did.
    pub came: Option<Line>,
}

/// Why a replay does not go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The recording cannot be read on.
    #[error(transparent)]
    Unreadable(#[from] ReadError),
    /// The client cannot be made from what was recorded.
    #[error("the client of entry {entry} cannot be restored: {source}")]
    NotRestored {
        /// The number of the entry.
        entry: u64,
        /// Why.
        source: RestoreError,
    },
    /// Something else came than what was recorded.
    #[error("entry {} differs", .0.entry)]
    Differs(Box<Difference>),
}

impl Default for Replay {
    fn default() -> Self {
        Self::new()
    }
}

impl Replay {
    /// A replay of a recording of which nothing was read yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            recorded: Reader::new(),
            came: Reader::new(),
            client: None,
            lines: Redactor::new(Sizes::Exact),
            known: Known::default(),
            quiet: false,
        }
    }

    /// Takes more of the recording, and runs what is whole of it.
    ///
    /// # Errors
    /// [`ReplayError`]; what was known before stands, and nothing behind it is run.
    pub fn run(&mut self, recording: &[u8]) -> Result<(), ReplayError> {
        self.recorded.push(recording);
        while let Some(entry) = self.recorded.next_entry()? {
            self.entry(&entry)?;
        }
        Ok(())
    }

    /// What is known so far.
    #[must_use]
    pub const fn known(&self) -> &Known {
        &self.known
    }

    /// Bytes of an entry that was not given whole: at the end of a recording, that it was cut off there.
    #[must_use]
    pub fn left_over(&self) -> usize {
        self.recorded.left_over()
    }

    fn entry(&mut self, entry: &Entry) -> Result<(), ReplayError> {
        let number = self.known.entries;
        let line = self.lines.line(entry);
        self.known.length_ms = self.known.length_ms.max(line.at_ms);
        match entry {
            Entry::Begin(begin) => self.begin(number, begin)?,
            Entry::End(ended) => {
                self.known.ended = Some(*ended);
                self.quiet = true;
            }
            _ if self.quiet => {
                return Err(ReadError::Malformed { entry: number, what: "it goes on behind its end" }.into());
            }
            Entry::Call { now, call } => {
                self.known.calls += 1;
                if let Some(client) = &mut self.client {
                    client.perform(*now, call);
                }
                self.compare(number, entry, line)?;
            }
            Entry::Answer(_) => self.compare(number, entry, line)?,
            Entry::Output(_) | Entry::Rest { .. } => {
                self.known.outputs += u64::from(matches!(entry, Entry::Output(_)));
                if let Some(client) = &mut self.client {
                    drop(client.poll());
                }
                self.compare(number, entry, line)?;
            }
        }
        self.known.entries += 1;
        Ok(())
    }

    fn begin(&mut self, number: u64, begin: &Begin) -> Result<(), ReplayError> {
        self.quiet = false;
        self.known.lives += 1;
        self.known.ended = None;
        if begin.version != env!("CARGO_PKG_VERSION") {
            self.known.other_version = Some(begin.version.clone());
        }
        let (config, seed) = (begin.config.clone(), begin.seed.clone());
        let made = match &begin.records {
            None => Ok(Client::create_recorded(config, seed, usize::MAX)),
            Some(records) => Client::restore_recorded(config, seed, records.clone(), usize::MAX),
        };
        let mut client = made.map_err(|source| ReplayError::NotRestored { entry: number, source })?;
        // How it was made is not compared: the version may be another.
        self.came = Reader::new();
        self.came.push(&client.take_recorded());
        self.came.next_entry()?;
        self.client = Some(client);
        Ok(())
    }

    /// Compares the next thing that the client did with what was recorded.
    fn compare(&mut self, number: u64, recorded: &Entry, line: Line) -> Result<(), ReplayError> {
        if let Some(client) = &mut self.client {
            self.came.push(&client.take_recorded());
        }
        let came = self.came.next_entry()?;
        if came.as_ref().is_some_and(|came| is_same(recorded, came)) {
            return Ok(());
        }
        let came = came.map(|came| self.lines.instead(&came));
        Err(ReplayError::Differs(Box::new(Difference { entry: number, recorded: line, came })))
    }
}

fn is_same(recorded: &Entry, came: &Entry) -> bool {
    match (recorded, came) {
        // It was made from the other.
        (Entry::Call { .. }, Entry::Call { .. }) => true,
        (Entry::Answer(recorded), Entry::Answer(came)) => recorded == came,
        (Entry::Output(recorded), Entry::Output(came)) => recorded == came,
        (Entry::Rest { deadline, wants_frames }, Entry::Rest { deadline: later, wants_frames: wants }) => {
            deadline == later && wants_frames == wants
        }
        _ => false,
    }
}

impl Client {
    /// Makes a recorded call once more. What it returns is in the recording that it leads to.
    fn perform(&mut self, now: Now, call: &Call) {
        match call.clone() {
            Call::Handle(input) => drop(self.handle(now, input)),
            Call::Trim(bytes) => self.trim(usize::try_from(bytes).unwrap_or(usize::MAX)),
            Call::Connect => drop(self.connect(now)),
            Call::Disconnect => drop(self.disconnect(now)),
            Call::SetProfile(profile) => drop(self.set_profile(now, *profile)),
            Call::SendMessage { chat, content, id } => drop(self.send_message(now, &chat, content, id)),
            Call::MarkRead { chat, sender, ids } => drop(self.mark_read(now, &chat, &sender, &ids)),
            Call::SetPresence(available) => drop(self.set_presence(now, available)),
            Call::SetPushName(name) => drop(self.set_push_name(now, &name.0)),
            Call::SubscribePresence(user) => drop(self.subscribe_presence(now, &user)),
            Call::SendChatState(chat, state) => drop(self.send_chat_state(now, &chat, state)),
            Call::LogOut => drop(self.log_out(now)),
            Call::RequestPairCode { phone, custom } => {
                let custom = custom.as_ref().map(|custom| custom.0.as_str());
                drop(self.request_pair_code(now, &phone.0, custom));
            }
            Call::ProvideAssertion(json) => drop(self.provide_assertion(now, &json.0)),
            Call::ConfirmCode => drop(self.confirm_code(now)),
            Call::RejectCode => drop(self.reject_code(now)),
        }
    }
}
