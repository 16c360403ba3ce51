//! From entries to lines that can be shared.
//!
//! Left out are all contents, addresses, names, ids of messages and keys, and absolute times; sizes are rounded up. What
//! is left out stands in the line as a MAC under a key that follows from the client's seed: whoever has the sealed
//! recording can tell whether a line is of it, and nobody else can try out numbers.

use super::call::Call;
use super::entry::{Answer, Entry, Writer};
use super::line::{Line, LineWriter, What};
use super::shape::{Digest, Kind, Shape, first_half};
use super::{Ended, ReadError, Reader};
use crate::api::{CommitError, Input};
use crate::crypto::Secret;
use crate::crypto::symmetric::{hkdf_sha256, hmac_sha256};
use crate::types::Now;

/// How sizes are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// As they are: for the eyes of the account's owner.
    Exact,
    /// Rounded up to a power of two, 32 at least: to be shared.
    Rounded,
}

/// Makes lines of the entries of one recording, in order.
pub struct Redactor {
    sizes: Sizes,
    reader: Reader,
    writer: LineWriter,
    number: u64,
    key: Secret<32>,
    start: Option<Now>,
    now: Now,
    /// How far the wall clock was ahead of the other at the line before.
    ahead: u64,
    ended: bool,
}

impl Redactor {
    /// A redactor at the start of a recording.
    #[must_use]
    pub fn new(sizes: Sizes) -> Self {
        Self {
            sizes,
            reader: Reader::new(),
            writer: LineWriter::new(),
            number: 0,
            key: Secret::new([0; 32]),
            start: None,
            now: Now { mono: 0, unix: 0 },
            ahead: 0,
            ended: false,
        }
    }

    /// Takes more of a recording and gives that much of its redacted form.
    ///
    /// # Errors
    /// [`ReadError`]; nothing more comes then.
    pub fn redact(&mut self, recording: &[u8]) -> Result<Vec<u8>, ReadError> {
        self.reader.push(recording);
        let mut out = Vec::new();
        while let Some(entry) = self.reader.next_entry()? {
            let line = self.line(&entry);
            self.writer.put(&mut out, &line);
        }
        Ok(out)
    }

    /// Whether the last line said that this was all.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.ended
    }

    /// The last line of the redacted form.
    pub fn end(&mut self, ended: Ended) -> Vec<u8> {
        let (line, mut out) = (self.line(&Entry::End(ended)), Vec::new());
        self.writer.put(&mut out, &line);
        out
    }

    /// The line of the next entry.
    pub fn line(&mut self, entry: &Entry) -> Line {
        match entry {
            Entry::Begin(begin) => self.key = hkdf_sha256(None, begin.seed.expose(), b"whatsio redaction v1"),
            Entry::Call { now, .. } => {
                self.now = *now;
                if self.start.is_none() {
                    self.start = Some(*now);
                    self.ahead = now.unix.wrapping_sub(now.mono);
                }
            }
            _ => {}
        }
        self.ended = matches!(entry, Entry::End(_));
        let line = self.as_line(entry);
        self.ahead = self.ahead.wrapping_add(line.jumped_ms.cast_unsigned());
        self.number += 1;
        line
    }

    /// The line that `entry` would have in the place of the one that was given last.
    pub(crate) fn instead(&self, entry: &Entry) -> Line {
        let mut line = self.as_line(entry);
        line.jumped_ms = 0;
        line
    }

    fn as_line(&self, entry: &Entry) -> Line {
        let start = self.start.unwrap_or(self.now);
        let jumped = match entry {
            Entry::Call { .. } => self.now.unix.wrapping_sub(self.now.mono).wrapping_sub(self.ahead),
            _ => 0,
        };
        let at_ms = self.now.mono.saturating_sub(start.mono);
        Line { at_ms, jumped_ms: jumped.cast_signed(), what: self.what(entry) }
    }

    fn what(&self, entry: &Entry) -> What {
        match entry {
            Entry::Begin(begin) => {
                let roots = begin.records.as_ref().map(|records| count(records.iter().flat_map(|(_, record)| record)));
                What::Begin { version: begin.version.clone(), roots, digest: self.mac(entry) }
            }
            Entry::Call { call, .. } => {
                let (id, count, size, detail) = outline(call);
                let (word, detail, size) = (call.word().to_owned(), detail.to_owned(), self.size(size));
                What::Call { word, id, count, size, detail, digest: self.mac(entry) }
            }
            Entry::Answer(answer) => {
                let shown = match answer {
                    Answer::Send(op, _) => Answer::Op(*op),
                    other => other.clone(),
                };
                What::Answer { answer: shown, digest: self.mac(entry) }
            }
            Entry::Output(shape) => What::Output(self.shape(shape, self.mac(entry))),
            Entry::Rest { deadline, wants_frames } => {
                let ahead = |deadline: u64| deadline.wrapping_sub(self.now.mono).cast_signed();
                What::Rest { deadline_in_ms: deadline.map(ahead), wants_frames: *wants_frames }
            }
            Entry::End(ended) => What::End(*ended),
        }
    }

    fn shape(&self, shape: &Shape, digest: Digest) -> Shape {
        let mut kind = shape.kind.clone();
        if let Kind::Commit { writes, .. } = &mut kind {
            for writes in writes {
                writes.bytes = self.size(writes.bytes);
            }
        }
        Shape { kind, size: self.size(shape.size), follows: shape.follows, digest }
    }

    fn size(&self, size: u64) -> u64 {
        match self.sizes {
            Sizes::Exact => size,
            Sizes::Rounded if size == 0 => 0,
            Sizes::Rounded => size.checked_next_power_of_two().unwrap_or(u64::MAX).max(SMALLEST),
        }
    }

    /// Over the whole entry and its place, so that equal entries do not look equal.
    fn mac(&self, entry: &Entry) -> Digest {
        let mut written = zeroize::Zeroizing::new(Vec::new());
        Writer::new().entry(&mut written, entry);
        first_half(&hmac_sha256(self.key.expose(), &[&self.number.to_be_bytes(), &written]))
    }
}

const SMALLEST: u64 = 32;

fn count<T>(values: impl Iterator<Item = T>) -> u64 {
    u64::try_from(values.count()).unwrap_or(u64::MAX)
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// What of a call may be told: the id that it is about, how many things and bytes there are in it, a word more.
fn outline(call: &Call) -> (Option<u64>, u64, u64, &'static str) {
    match call {
        Call::Handle(input) => match input {
            Input::Frame(bytes) => (None, 0, length(bytes), ""),
            Input::Closed(reason) => (None, 0, 0, closed(*reason)),
            Input::Loaded(id, records) => {
                let size = records.iter().flatten().map(|record| length(&record.0)).sum();
                (Some(id.0), count(records.iter().flatten()), size, "")
            }
            Input::LoadFailed(id) => (Some(id.0), 0, 0, ""),
            Input::Committed(id) => (Some(id.0), 0, 0, ""),
            Input::CommitFailed(id, error) => (Some(id.0), 0, 0, commit_error(*error)),
            Input::Handled(id) => (Some(id.0), 0, 0, ""),
            Input::Opened | Input::Tick | Input::Entropy(_) => (None, 0, 0, ""),
        },
        Call::Trim(bytes) => (None, 0, *bytes, ""),
        Call::SendMessage { content, .. } => (None, 0, length(content), ""),
        Call::MarkRead { ids, .. } => (None, count(ids.iter()), 0, ""),
        Call::ProvideAssertion(json) => (None, 0, length(json.0.as_bytes()), ""),
        _ => (None, 0, 0, ""),
    }
}

const fn closed(reason: crate::api::CloseReason) -> &'static str {
    use crate::api::CloseReason;
    match reason {
        CloseReason::Asked => "asked",
        CloseReason::ByServer => "by-server",
        CloseReason::Unreachable => "unreachable",
        CloseReason::Broken => "broken",
    }
}

const fn commit_error(error: CommitError) -> &'static str {
    match error {
        CommitError::Retry => "retry",
        CommitError::Fenced => "fenced",
        CommitError::Fatal => "fatal",
    }
}

#[cfg(test)]
mod tests {
    use super::super::begin::Begin;
    use super::super::call::tests::every_call;
    use super::super::{LineReader, Tap};
    use super::*;
    use crate::api::{Config, MessageId, OpId};
    use crate::types::Seed;

    fn recording(seed: u8, unix: u64) -> Vec<u8> {
        let mut tap = Tap::new(&Config::default(), &Seed::new([seed; 32]), None, 1 << 20);
        for (at, call) in every_call().iter().enumerate() {
            // In the middle somebody sets the clock.
            let unix = if at < 10 { unix } else { unix - 3_600_000 };
            tap.call(Now { mono: 5_000 + at as u64, unix: unix + at as u64 }, call);
            tap.answer(&Answer::Send(OpId(at as u64), MessageId::new("3EB0SECRETSECRET")));
        }
        tap.end(Ended::Stopped);
        tap.take().to_vec()
    }

    fn redacted(recording: &[u8]) -> Vec<Line> {
        let mut reader = LineReader::new();
        reader.push(&Redactor::new(Sizes::Rounded).redact(recording).unwrap());
        std::iter::from_fn(|| reader.next_line().unwrap()).collect()
    }

    #[test]
    fn line_for_line_it_tells_what_happened_and_when_but_not_at_what_date() {
        let lines = redacted(&recording(1, 1_790_000_000_000));
        assert_eq!(lines.len(), 2 + 2 * every_call().len());
        assert_eq!((lines[1].at_ms, lines[1].jumped_ms), (0, 0), "times begin with the first call");
        let jumps: Vec<_> = lines.iter().filter(|line| line.jumped_ms != 0).collect();
        assert_eq!(jumps.len(), 1, "{jumps:?}");
        assert_eq!((jumps[0].at_ms, jumps[0].jumped_ms), (10, -3_600_000));
        let words: Vec<&str> = lines
            .iter()
            .filter_map(|line| match &line.what {
                What::Call { word, .. } => Some(word.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(words, every_call().iter().map(Call::word).collect::<Vec<_>>());
    }

    #[test]
    fn digests_differ_by_seed_and_place_and_are_the_same_again() {
        let digests = |lines: Vec<Line>| -> Vec<Digest> {
            let of = |line: Line| match line.what {
                What::Begin { digest, .. } | What::Call { digest, .. } | What::Answer { digest, .. } => Some(digest),
                _ => None,
            };
            lines.into_iter().filter_map(of).collect()
        };
        let first = digests(redacted(&recording(1, 1_790_000_000_000)));
        assert_eq!(first, digests(redacted(&recording(1, 1_790_000_000_000))));
        let other = digests(redacted(&recording(2, 1_790_000_000_000)));
        let all: std::collections::BTreeSet<&Digest> = first.iter().chain(&other).collect();
        assert_eq!(all.len(), first.len() + other.len());
    }

    #[test]
    fn a_changed_argument_changes_the_line_though_nothing_of_it_is_shown() {
        let line = |text: &'static [u8]| {
            let mut redactor = Redactor::new(Sizes::Rounded);
            let (seed, config) = (Seed::new([1; 32]), Config::default());
            let begin = Begin { version: "1".into(), config, seed, records: None };
            redactor.line(&Entry::Begin(Box::new(begin)));
            let call = Call::SendMessage { chat: crate::types::Jid::pn("1"), content: text.into(), id: None };
            let line = redactor.line(&Entry::Call { now: Now { mono: 0, unix: 0 }, call: Box::new(call) });
            (line.what.to_string(), line)
        };
        let (first, second) = (line(b"yes"), line(b"no"));
        assert_eq!(first.0, second.0);
        assert_eq!(first.0, "-> send-message, bytes 32");
        assert_ne!(first.1, second.1);
    }
}
