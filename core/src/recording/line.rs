//! One line of a redacted recording: what happened, without anybody's data.

use super::ReadError;
use super::begin::FORMAT;
use super::entry::{Answer, Ended, put_answer, put_ended, take_answer, take_ended};
use super::frames::{BEGIN, Deframer, Framer};
use super::shape::{Digest, Kind, Shape, word};
use super::wire::{Malformed, Put as _, Take};
use crate::api::Space;
use std::fmt::{self, Display};

/// One line, in place of one [`Entry`](super::Entry).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Milliseconds since the first call of the recording.
    pub at_ms: u64,
    /// By how much the wall clock has moved against the other since the line before.
    pub jumped_ms: i64,
    /// What happened.
    pub what: What,
}

/// What a line tells. `Display` shows it in words.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// A client was made.
    Begin {
        /// Version of whatsio that made the recording.
        version: String,
        /// Root records that it was restored from; `None` when it was created.
        roots: Option<u64>,
        /// Over the whole entry.
        digest: Digest,
    },
    /// Something was said to it.
    Call {
        /// Which call: [`Call::word`](super::Call::word).
        word: String,
        /// The load, commit or event that it is about.
        id: Option<u64>,
        /// How many records, ids or the like there are.
        count: u64,
        /// Bytes in it.
        size: u64,
        /// More about it, in fixed words; may be empty.
        detail: String,
        /// Over the whole entry.
        digest: Digest,
    },
    /// What the call returned; the id of a message is left out.
    Answer {
        /// The answer.
        answer: Answer,
        /// Over the whole entry.
        digest: Digest,
    },
    /// `poll` gave this.
    Output(Shape),
    /// `poll` gave nothing.
    Rest {
        /// In how many milliseconds the client was to be called again, if nothing happened.
        deadline_in_ms: Option<i64>,
        /// Whether the host was to read the socket.
        wants_frames: bool,
    },
    /// The recording ended.
    End(Ended),
}

const LABEL: &[u8] = b"whatsio redacted recording v1";

const CALL: u8 = 2;
const ANSWER: u8 = 3;
const OUTPUT: u8 = 4;
const REST: u8 = 5;
const END: u8 = 6;

/// Writes lines; times are written as differences.
pub(super) struct LineWriter {
    framer: Framer,
    at_ms: u64,
    body: Vec<u8>,
}

impl LineWriter {
    pub(super) fn new() -> Self {
        Self { framer: Framer::new(LABEL), at_ms: 0, body: Vec::new() }
    }

    pub(super) fn put(&mut self, out: &mut Vec<u8>, line: &Line) {
        let body = &mut self.body;
        body.signed(line.at_ms.wrapping_sub(self.at_ms).cast_signed());
        body.signed(line.jumped_ms);
        self.at_ms = line.at_ms;
        let kind = match &line.what {
            What::Begin { version, roots, digest } => {
                body.number(FORMAT);
                body.text(version);
                body.maybe(*roots, |body, roots| body.number(roots));
                body.extend_from_slice(digest);
                BEGIN
            }
            What::Call { word, id, count, size, detail, digest } => {
                body.text(word);
                body.maybe(*id, |body, id| body.number(id));
                body.number(*count);
                body.number(*size);
                body.text(detail);
                body.extend_from_slice(digest);
                CALL
            }
            What::Answer { answer, digest } => {
                put_answer(body, answer);
                body.extend_from_slice(digest);
                ANSWER
            }
            What::Output(shape) => {
                shape.put(body);
                OUTPUT
            }
            What::Rest { deadline_in_ms, wants_frames } => {
                body.maybe(*deadline_in_ms, |body, ahead| body.signed(ahead));
                body.flag(*wants_frames);
                REST
            }
            What::End(ended) => {
                put_ended(body, *ended);
                END
            }
        };
        self.framer.put(out, kind, false, &self.body);
        self.body.clear();
    }
}

/// Reads a redacted recording from bytes that come in any pieces. Never panics; an error is final.
pub struct LineReader {
    deframer: Deframer,
    at_ms: u64,
}

impl Default for LineReader {
    fn default() -> Self {
        Self::new()
    }
}

impl LineReader {
    /// A reader at the start of a redacted recording.
    #[must_use]
    pub fn new() -> Self {
        Self { deframer: Deframer::new(LABEL, 0), at_ms: 0 }
    }

    /// Takes more of the recording.
    pub fn push(&mut self, bytes: &[u8]) {
        self.deframer.push(bytes);
    }

    /// The number that the next line has, counted from 0.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.deframer.number()
    }

    /// Bytes of a line that was not pushed whole.
    #[must_use]
    pub fn left_over(&self) -> usize {
        self.deframer.left_over()
    }

    /// The next line, or `None` until more is pushed.
    ///
    /// # Errors
    /// [`ReadError`]; the same again from then on.
    pub fn next_line(&mut self) -> Result<Option<Line>, ReadError> {
        let Self { deframer, at_ms } = self;
        deframer.read(|entry, kind, body| {
            let mut take = Take::new(body);
            let line = parse(at_ms, kind, &mut take).and_then(|line| take.done().map(|()| line));
            line.map_err(|what| ReadError::Malformed { entry, what })
        })
    }
}

/// Reads a line; `at_ms` goes with them.
fn parse(at_ms: &mut u64, kind: u8, take: &mut Take) -> Result<Line, Malformed> {
    let (passed, jumped_ms) = (take.signed()?, take.signed()?);
    *at_ms = at_ms.wrapping_add(passed.cast_unsigned());
    let what = match kind {
        BEGIN => {
            if take.number()? != FORMAT {
                return Err("it is of another form");
            }
            let version = word(take)?;
            What::Begin { version, roots: take.maybe(Take::number)?, digest: take.array()? }
        }
        CALL => What::Call {
            word: word(take)?,
            id: take.maybe(Take::number)?,
            count: take.number()?,
            size: take.number()?,
            detail: word(take)?,
            digest: take.array()?,
        },
        ANSWER => What::Answer { answer: take_answer(take)?, digest: take.array()? },
        OUTPUT => What::Output(Shape::take(take)?),
        REST => What::Rest { deadline_in_ms: take.maybe(Take::signed)?, wants_frames: take.flag()? },
        END => What::End(take_ended(take)?),
        _ => return Err("an unknown line"),
    };
    Ok(Line { at_ms: *at_ms, jumped_ms, what })
}

impl Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begin { version, roots: None, .. } => write!(f, "a client is created (whatsio {version})"),
            Self::Begin { version, roots: Some(roots), .. } => {
                write!(f, "a client is restored from {roots} records (whatsio {version})")
            }
            Self::Call { word, id, count, size, detail, .. } => {
                write!(f, "-> {word}")?;
                show(f, " ", id.as_ref())?;
                show(f, " ", Some(detail).filter(|detail| !detail.is_empty()))?;
                show(f, " x", Some(count).filter(|count| **count > 0))?;
                show_size(f, *size)
            }
            Self::Answer { answer, .. } => match answer {
                Answer::Done => f.write_str("   done"),
                Answer::Op(op) | Answer::Send(op, _) => write!(f, "   operation {op}"),
                Answer::Misuse(text) => write!(f, "   refused: {text}"),
            },
            Self::Output(shape) => show_shape(f, shape),
            Self::Rest { deadline_in_ms, wants_frames } => {
                f.write_str("   rests")?;
                if let Some(ahead) = deadline_in_ms {
                    write!(f, " for {ahead} ms at most")?;
                }
                if *wants_frames { Ok(()) } else { f.write_str(", wants no frames") }
            }
            Self::End(ended) => f.write_str(match ended {
                Ended::Stopped => "the recording was stopped",
                Ended::Behind => "the recording ended: the host did not take it as fast as it came",
                Ended::Full => "the recording ended: the file is as long as it may be",
            }),
        }
    }
}

fn show_shape(f: &mut fmt::Formatter<'_>, shape: &Shape) -> fmt::Result {
    f.write_str("<- ")?;
    match &shape.kind {
        Kind::Load { id, spaces, .. } => {
            write!(f, "load {id}:")?;
            for (space, count) in spaces {
                write!(f, " {}x{count}", space_name(*space))?;
            }
        }
        Kind::Commit { id, writes, .. } => {
            write!(f, "commit {id}:")?;
            for writes in writes {
                write!(f, " {}", space_name(writes.space))?;
                show(f, "+", Some(writes.put).filter(|put| *put > 0).as_ref())?;
                show(f, "-", Some(writes.deleted).filter(|deleted| *deleted > 0).as_ref())?;
            }
        }
        Kind::Open => f.write_str("open")?,
        Kind::Frame => f.write_str("frame")?,
        Kind::Close => f.write_str("close")?,
        Kind::Event { id, word, detail, durable, op } => {
            write!(f, "event {word}")?;
            show(f, " ", Some(detail).filter(|detail| !detail.is_empty()))?;
            if *durable {
                write!(f, " (inbox {id})")?;
            }
            show(f, ", operation ", op.as_ref())?;
        }
    }
    show_size(f, shape.size)?;
    show(f, ", after commit ", shape.follows.as_ref())
}

fn space_name(number: u8) -> String {
    Space::from_number(number).map_or_else(|| format!("space {number}"), |space| format!("{space:?}"))
}

fn show<T: Display>(f: &mut fmt::Formatter<'_>, before: &str, value: Option<&T>) -> fmt::Result {
    value.map_or(Ok(()), |value| write!(f, "{before}{value}"))
}

fn show_size(f: &mut fmt::Formatter<'_>, size: u64) -> fmt::Result {
    show(f, ", bytes ", Some(&size).filter(|size| **size > 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{CommitId, OpId};
    use proptest::prelude::*;

    pub(super) fn every_line() -> Vec<Line> {
        let shape = Shape { kind: Kind::Frame, size: 64, follows: Some(CommitId(3)), digest: [4; 16] };
        let call =
            What::Call { word: "loaded".into(), id: Some(7), count: 2, size: 128, detail: "x".into(), digest: [1; 16] };
        let whats = [
            What::Begin { version: "1".into(), roots: Some(8), digest: [0; 16] },
            call,
            What::Answer { answer: Answer::Op(OpId(1)), digest: [2; 16] },
            What::Output(shape),
            What::Rest { deadline_in_ms: Some(-3), wants_frames: false },
            What::End(Ended::Full),
        ];
        let line = |(at, what)| Line { at_ms: 100 * at as u64, jumped_ms: -(at as i64), what };
        whats.into_iter().enumerate().map(line).collect()
    }

    fn written() -> Vec<u8> {
        let (mut writer, mut out) = (LineWriter::new(), Vec::new());
        for line in every_line() {
            writer.put(&mut out, &line);
        }
        out
    }

    fn read(bytes: &[u8]) -> (Vec<Line>, Option<ReadError>) {
        let (mut reader, mut lines) = (LineReader::new(), Vec::new());
        reader.push(bytes);
        loop {
            match reader.next_line() {
                Ok(Some(line)) => lines.push(line),
                Ok(None) => return (lines, None),
                Err(error) => return (lines, Some(error)),
            }
        }
    }

    #[test]
    fn lines_come_back() {
        assert_eq!(read(&written()), (every_line(), None));
    }

    #[test]
    fn words_that_would_act_on_a_terminal_are_refused() {
        let (mut writer, mut out) = (LineWriter::new(), Vec::new());
        let mut lines = every_line();
        lines.truncate(2);
        if let What::Call { detail, .. } = &mut lines[1].what {
            *detail = "\u{1b}[2J".into();
        }
        for line in &lines {
            writer.put(&mut out, line);
        }
        assert!(matches!(read(&out).1, Some(ReadError::Malformed { entry: 1, .. })));
    }

    proptest! {
        #[test]
        fn bodies_of_any_bytes_are_read_or_refused(kind in 0..8_u8, body: Vec<u8>) {
            let (mut writer, mut out) = (LineWriter::new(), Vec::new());
            writer.put(&mut out, &every_line()[0]);
            writer.framer.put(&mut out, kind, false, &body);
            for line in read(&out).0 {
                let _ = line.what.to_string();
            }
        }
    }
}
