//! One entry of a recording, and the reader of a whole one.

use super::ReadError;
use super::begin::{Begin, FORMAT};
use super::call::{Call, put_input};
use super::frames::{BEGIN, Deframer, Framer};
use super::shape::{Shape, word};
use super::wire::{Malformed, Put as _, Take};
use crate::api::{Input, MessageId, Misuse, OpId};
use crate::types::Now;
use bytes::Bytes;

/// One entry, in the order in which things happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Entry {
    /// A client was made. Whatever follows happens to it, until the next of these.
    Begin(Box<Begin>),
    /// Something was said to it.
    Call {
        /// When.
        now: Now,
        /// What.
        call: Box<Call>,
    },
    /// What the call returned.
    Answer(Answer),
    /// `poll` gave this.
    Output(Shape),
    /// `poll` gave nothing; told once, however often it was asked.
    Rest {
        /// What `next_deadline` gave then.
        deadline: Option<u64>,
        /// What `wants_frames` gave then.
        wants_frames: bool,
    },
    /// The last entry.
    End(Ended),
}

/// What a call returned.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// It was taken.
    Done,
    /// It was taken, as this operation.
    Op(OpId),
    /// A message was accepted, as this operation, under this id.
    Send(OpId, MessageId),
    /// It was refused; the text of the [`Misuse`], which holds no data.
    Misuse(String),
}

/// Why a recording ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// The host had enough.
    Stopped,
    /// The host did not take what was recorded as fast as it came.
    Behind,
    /// The file was as long as it may be.
    Full,
}

/// What a verb returns, as an [`Answer`].
pub(crate) trait Answered {
    fn answer(&self) -> Answer;
}

impl Answered for () {
    fn answer(&self) -> Answer {
        Answer::Done
    }
}

impl Answered for OpId {
    fn answer(&self) -> Answer {
        Answer::Op(*self)
    }
}

impl Answered for (OpId, MessageId) {
    fn answer(&self) -> Answer {
        Answer::Send(self.0, self.1.clone())
    }
}

impl<T: Answered> Answered for Result<T, Misuse> {
    fn answer(&self) -> Answer {
        match self {
            Ok(done) => done.answer(),
            Err(misuse) => Answer::Misuse(misuse.to_string()),
        }
    }
}

/// What checks of recordings start from.
const LABEL: &[u8] = b"whatsio recording v1";

const CALL: u8 = 2;
const ANSWER: u8 = 3;
const OUTPUT: u8 = 4;
const REST: u8 = 5;
const END: u8 = 6;

/// Writes entries, as a recorder does: for tests of what reads them.
pub struct Writer {
    framer: Framer,
    clock: Now,
    body: Vec<u8>,
}

/// Where differences of time are taken from when there is nothing before.
const NEVER: Now = Now { mono: 0, unix: 0 };

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

impl Writer {
    /// A writer at the start of a recording.
    #[must_use]
    pub fn new() -> Self {
        Self { framer: Framer::new(LABEL), clock: NEVER, body: Vec::new() }
    }

    /// Appends `entry` to `out`: what was read is written as it was.
    pub fn entry(&mut self, out: &mut Vec<u8>, entry: &Entry) {
        match entry {
            Entry::Begin(begin) => self.begin(out, begin),
            Entry::Call { now, call } => self.call(out, *now, call),
            Entry::Answer(answer) => self.answer(out, answer),
            Entry::Output(shape) => self.output(out, shape),
            Entry::Rest { deadline, wants_frames } => self.rest(out, *deadline, *wants_frames),
            Entry::End(ended) => self.end(out, *ended),
        }
    }

    pub(super) fn begin(&mut self, out: &mut Vec<u8>, begin: &Begin) {
        self.clock = NEVER;
        begin.put(&mut self.body);
        self.finish(out, BEGIN);
    }

    pub(super) fn input(&mut self, out: &mut Vec<u8>, now: Now, input: &Input) {
        self.time(now);
        put_input(&mut self.body, input);
        self.finish(out, CALL);
    }

    pub(super) fn call(&mut self, out: &mut Vec<u8>, now: Now, call: &Call) {
        self.time(now);
        call.put(&mut self.body);
        self.finish(out, CALL);
    }

    pub(super) fn answer(&mut self, out: &mut Vec<u8>, answer: &Answer) {
        put_answer(&mut self.body, answer);
        self.finish(out, ANSWER);
    }

    pub(super) fn output(&mut self, out: &mut Vec<u8>, shape: &Shape) {
        shape.put(&mut self.body);
        self.finish(out, OUTPUT);
    }

    pub(super) fn rest(&mut self, out: &mut Vec<u8>, deadline: Option<u64>, wants_frames: bool) {
        let mono = self.clock.mono;
        self.body.maybe(deadline, |body, deadline| body.signed(deadline.wrapping_sub(mono).cast_signed()));
        self.body.flag(wants_frames);
        self.finish(out, REST);
    }

    pub(super) fn end(&mut self, out: &mut Vec<u8>, ended: Ended) {
        put_ended(&mut self.body, ended);
        self.finish(out, END);
    }

    /// Mostly both clocks have moved by the same.
    fn time(&mut self, now: Now) {
        let passed = now.mono.saturating_sub(self.clock.mono);
        let jumped = now.unix.wrapping_sub(self.clock.unix).wrapping_sub(passed);
        self.body.number(passed);
        self.body.signed(jumped.cast_signed());
        self.clock = Now { mono: self.clock.mono.saturating_add(passed), unix: now.unix };
    }

    fn finish(&mut self, out: &mut Vec<u8>, kind: u8) {
        self.framer.put(out, kind, kind == BEGIN, &self.body);
        self.body.clear();
    }
}

pub(super) fn put_answer(out: &mut Vec<u8>, answer: &Answer) {
    match answer {
        Answer::Done => out.push(0),
        Answer::Op(op) => {
            out.push(1);
            out.number(op.0);
        }
        Answer::Send(op, id) => {
            out.push(2);
            out.number(op.0);
            out.text(id.as_str());
        }
        Answer::Misuse(text) => {
            out.push(3);
            out.text(text);
        }
    }
}

pub(super) fn take_answer(take: &mut Take) -> Result<Answer, Malformed> {
    Ok(match take.byte()? {
        0 => Answer::Done,
        1 => Answer::Op(OpId(take.number()?)),
        2 => Answer::Send(OpId(take.number()?), MessageId::new(take.text()?)),
        3 => Answer::Misuse(word(take)?),
        _ => return Err("an unknown answer"),
    })
}

pub(super) fn put_ended(out: &mut Vec<u8>, ended: Ended) {
    out.push(match ended {
        Ended::Stopped => 0,
        Ended::Behind => 1,
        Ended::Full => 2,
    });
}

pub(super) fn take_ended(take: &mut Take) -> Result<Ended, Malformed> {
    Ok(match take.byte()? {
        0 => Ended::Stopped,
        1 => Ended::Behind,
        2 => Ended::Full,
        _ => return Err("an unknown end"),
    })
}

/// Reads a recording from bytes that come in any pieces.
///
/// Never panics, and holds no more than one entry beyond what was pushed and not yet read. An error is final: nothing
/// behind it can be trusted.
pub struct Reader {
    deframer: Deframer,
    clock: Now,
}

impl Default for Reader {
    fn default() -> Self {
        Self::new()
    }
}

impl Reader {
    /// A reader at the start of a recording.
    #[must_use]
    pub fn new() -> Self {
        Self { deframer: Deframer::new(LABEL, BEGIN), clock: NEVER }
    }

    /// Takes more of the recording.
    pub fn push(&mut self, bytes: &[u8]) {
        self.deframer.push(bytes);
    }

    /// The number that the next entry has, counted from 0.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.deframer.number()
    }

    /// Bytes of an entry that was not pushed whole: at the end of a recording, that it was cut off there.
    #[must_use]
    pub fn left_over(&self) -> usize {
        self.deframer.left_over()
    }

    /// The next entry, or `None` until more is pushed.
    ///
    /// # Errors
    /// [`ReadError`]; the same again from then on.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, ReadError> {
        let Self { deframer, clock } = self;
        deframer.read(|entry, kind, body| match parse(clock, kind, body) {
            Ok(found) => Ok(found),
            Err(Unreadable::Newer(found)) => Err(ReadError::Newer { found, known: FORMAT }),
            Err(Unreadable::Malformed(what)) => Err(ReadError::Malformed { entry, what }),
        })
    }
}

/// Reads an entry; `clock` goes with the calls.
fn parse(clock: &mut Now, kind: u8, body: Bytes) -> Result<Entry, Unreadable> {
    let mut take = Take::new(body);
    let entry = match kind {
        BEGIN => {
            let format = take.number()?;
            if format != FORMAT {
                return Err(Unreadable::Newer(format));
            }
            *clock = NEVER;
            Entry::Begin(Box::new(Begin::take(&mut take)?))
        }
        CALL => {
            let (passed, jumped) = (take.number()?, take.signed()?.cast_unsigned());
            let unix = clock.unix.wrapping_add(passed).wrapping_add(jumped);
            *clock = Now { mono: clock.mono.saturating_add(passed), unix };
            Entry::Call { now: *clock, call: Box::new(Call::take(&mut take)?) }
        }
        ANSWER => Entry::Answer(take_answer(&mut take)?),
        OUTPUT => Entry::Output(Shape::take(&mut take)?),
        REST => {
            let deadline = take.maybe(Take::signed)?;
            let deadline = deadline.map(|ahead| clock.mono.wrapping_add(ahead.cast_unsigned()));
            Entry::Rest { deadline, wants_frames: take.flag()? }
        }
        END => Entry::End(take_ended(&mut take)?),
        _ => return Err("an unknown entry".into()),
    };
    take.done()?;
    Ok(entry)
}

enum Unreadable {
    Newer(u64),
    Malformed(Malformed),
}

impl From<Malformed> for Unreadable {
    fn from(what: Malformed) -> Self {
        Self::Malformed(what)
    }
}

#[cfg(test)]
mod tests {
    use super::super::call::tests::every_call;
    use super::super::shape::tests::every_output;
    use super::*;
    use crate::api::Config;
    use crate::types::Seed;
    use proptest::prelude::*;

    fn begin() -> Begin {
        Begin { version: "1".into(), config: Config::default(), seed: Seed::new([7; 32]), records: None }
    }

    fn written() -> Vec<u8> {
        let (mut writer, mut out) = (Writer::new(), Vec::new());
        writer.begin(&mut out, &begin());
        for (at, call) in every_call().iter().enumerate() {
            // The wall clock jumps about.
            let now = Now { mono: 1_000 + at as u64, unix: 1_790_000_000_000 - 50_000 * (at as u64 % 3) };
            writer.call(&mut out, now, call);
            writer.answer(&mut out, &Answer::Send(OpId(at as u64), MessageId::new("3EB0")));
            writer.rest(&mut out, Some(500 * at as u64), at % 2 == 0);
        }
        for output in every_output() {
            writer.output(&mut out, &Shape::of(&output, None));
        }
        writer.answer(&mut out, &Answer::Misuse("no".into()));
        writer.rest(&mut out, None, true);
        writer.end(&mut out, Ended::Behind);
        out
    }

    fn read(bytes: &[u8]) -> (Vec<Entry>, Option<ReadError>) {
        let (mut reader, mut entries) = (Reader::new(), Vec::new());
        reader.push(bytes);
        loop {
            match reader.next_entry() {
                Ok(Some(entry)) => entries.push(entry),
                Ok(None) => return (entries, None),
                Err(error) => {
                    assert_eq!(reader.next_entry().unwrap_err(), error, "an error is final");
                    return (entries, Some(error));
                }
            }
        }
    }

    #[test]
    fn entries_come_back_and_are_written_the_same_again() {
        let bytes = written();
        let (entries, error) = read(&bytes);
        assert_eq!(error, None);
        let (mut writer, mut again) = (Writer::new(), Vec::new());
        for entry in &entries {
            writer.entry(&mut again, entry);
        }
        assert_eq!(again, bytes);
        let mut times = entries.iter().rev().filter_map(|entry| match entry {
            Entry::Call { now, .. } => Some(*now),
            _ => None,
        });
        assert_eq!(times.next(), Some(Now { mono: 1_024, unix: 1_790_000_000_000 }));
    }

    #[test]
    fn recording_that_does_not_begin_or_is_newer_is_refused() {
        let (mut writer, mut out) = (Writer::new(), Vec::new());
        writer.end(&mut out, Ended::Full);
        assert_eq!(read(&out).1, Some(ReadError::NotBegun));
        let (mut framer, mut out) = (Framer::new(LABEL), Vec::new());
        framer.put(&mut out, BEGIN, true, &[9]);
        assert_eq!(read(&out).1, Some(ReadError::Newer { found: 9, known: FORMAT }));
        framer.put(&mut out, 77, false, &[]);
        assert!(read(&[]).1.is_none());
    }

    proptest! {
        #[test]
        fn bodies_of_any_bytes_are_read_or_refused(kind in 0..8_u8, body: Vec<u8>) {
            let (mut writer, mut out) = (Writer::new(), Vec::new());
            writer.begin(&mut out, &begin());
            writer.framer.put(&mut out, kind, kind == BEGIN, &body);
            let (entries, error) = read(&out);
            // What is read has one form only.
            if let (2, None, Some(last)) = (entries.len(), error, entries.last()) {
                let mut again = Vec::new();
                let mut writer = Writer::new();
                writer.begin(&mut again, &begin());
                writer.entry(&mut again, last);
                prop_assert_eq!(again, out);
            }
        }
    }
}
