//! Recording a client: every call that can change it is noted before it is made, and what it gave afterwards.

use super::{Client, RestoreError};
use crate::api::{Config, Key, Misuse, Output, Record};
use crate::recording::{Answer, Answered, Call, Ended, Tap};
use crate::types::{Now, Seed};
use zeroize::Zeroizing;

impl Client {
    /// As [`create`](Self::create), and records all that happens to it for [`take_recorded`](Self::take_recorded). When
    /// more than `limit` bytes wait to be taken, the recording ends; the client goes on.
    /// [`UNTAKEN_BYTES`](crate::recording::UNTAKEN_BYTES) is a good limit.
    #[must_use]
    pub fn create_recorded(config: Config, seed: Seed, limit: usize) -> Self {
        let tap = Tap::new(&config, &seed, None, limit);
        let mut client = Self::create(config, seed);
        client.tap = Some(Box::new(tap));
        client
    }

    /// As [`restore`](Self::restore), and records like [`create_recorded`](Self::create_recorded).
    ///
    /// # Errors
    /// A root record that does not decode.
    pub fn restore_recorded(
        config: Config,
        seed: Seed,
        records: Vec<(Key, Option<Record>)>,
        limit: usize,
    ) -> Result<Self, RestoreError> {
        let tap = Tap::new(&config, &seed, Some(&records), limit);
        let mut client = Self::restore(config, seed, records)?;
        client.tap = Some(Box::new(tap));
        Ok(client)
    }

    /// What was recorded since the last call: whole entries, a part of the client's [recording](crate::recording). Empty
    /// for a client that is not recorded. Holds keys and contents.
    #[must_use]
    pub fn take_recorded(&mut self) -> Zeroizing<Vec<u8>> {
        self.tap.as_mut().map_or_else(Zeroizing::default, |tap| tap.take())
    }

    /// Ends the recording; its last entry can still be taken. Without effect on a client that is not recorded.
    pub fn stop_recording(&mut self) {
        if let Some(tap) = &mut self.tap {
            tap.end(Ended::Stopped);
        }
    }

    /// Whether what happens is being recorded.
    #[must_use]
    pub fn is_recording(&self) -> bool {
        self.tap.as_ref().is_some_and(|tap| !tap.has_ended())
    }

    /// Makes a call, noted if somebody listens.
    pub(super) fn noted<T: Answered>(
        &mut self,
        now: Now,
        call: impl FnOnce() -> Call,
        act: impl FnOnce(&mut Self) -> Result<T, Misuse>,
    ) -> Result<T, Misuse> {
        let Some(tap) = &mut self.tap else { return act(self) };
        tap.call(now, &call());
        let result = act(self);
        self.note_answer(|| result.answer());
        result
    }

    pub(super) fn note(&mut self, now: Now, call: Option<Call>) {
        if let (Some(tap), Some(call)) = (&mut self.tap, call) {
            tap.call(now, &call);
        }
    }

    pub(super) fn note_answer(&mut self, answer: impl FnOnce() -> Answer) {
        if let Some(tap) = &mut self.tap {
            tap.answer(&answer());
        }
    }

    pub(super) fn note_trim(&mut self, bytes: usize) {
        if let Some(tap) = &mut self.tap {
            tap.call(self.now, &Call::Trim(u64::try_from(bytes).unwrap_or(u64::MAX)));
        }
    }

    pub(super) fn note_output(&mut self, output: Option<&Output>) {
        if !self.is_recording() {
            return;
        }
        let (deadline, wants_frames) = match output {
            Some(_) => (None, false),
            None => (self.next_deadline(), self.wants_frames()),
        };
        let Some(tap) = &mut self.tap else { return };
        match output {
            Some(output) => tap.output(output),
            None => tap.rest(deadline, wants_frames),
        }
    }
}
