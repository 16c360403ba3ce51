//! Reading a recording from a file.

use super::REDACTED;
use super::sealed::{BODY, END, ENTRIES, Frames, HEAD, MAGIC, PREFIX, TAG, ended_of};
use crate::{KeyError, StoreKey};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use whatsio_core::recording::Ended;
use zeroize::Zeroizing;

/// Why a file cannot be read as a recording, or not on. What was read before is good.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingReadError {
    /// It is something else.
    #[error("this is not a recording")]
    NotARecording,
    /// A newer library made it.
    #[error("the recording is of version {found}; this library reads version {known}")]
    Newer {
        /// Its version.
        found: u16,
        /// The version that is read.
        known: u16,
    },
    /// It is sealed under another key.
    #[error("the recording is sealed under another key")]
    WrongKey,
    /// There is no key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A frame is not what was written, or not in its place.
    #[error("frame {frame} of the recording was altered")]
    Altered {
        /// Which, counted from 0.
        frame: u64,
    },
    /// The file cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// How a file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tail {
    /// It was not read to its end.
    Unknown,
    /// As whoever wrote it wanted.
    Whole(Ended),
    /// In the middle: its process was killed, the disk was full, or somebody cut it.
    CutOff,
}

/// A file with a recording, open.
#[non_exhaustive]
pub enum RecordingFile {
    /// A sealed one: its parts are those of a whole recording.
    Sealed(Content),
    /// A redacted one: its parts are lines. How it ends is told by the last of them.
    Redacted(Content),
}

/// The parts of a recording, one after the other.
pub struct Content {
    input: BufReader<File>,
    frames: Option<Frames>,
    frame: u64,
    tail: Tail,
}

impl RecordingFile {
    /// Opens a file of either kind; `key` is asked for one that is sealed.
    pub fn open(path: &Path, key: impl FnOnce() -> Result<StoreKey, KeyError>) -> Result<Self, RecordingReadError> {
        let mut input = BufReader::new(File::open(path)?);
        let mut magic = [0; MAGIC.len()];
        read_all(&mut input, &mut magic)?;
        if magic == *MAGIC {
            let mut head = [0; HEAD];
            let (start, rest) = head.split_at_mut_checked(MAGIC.len()).ok_or(RecordingReadError::NotARecording)?;
            start.copy_from_slice(&magic);
            read_all(&mut input, rest)?;
            let frames = Frames::read(head, &key()?)?;
            return Ok(Self::Sealed(Content { input, frames: Some(frames), frame: 0, tail: Tail::Unknown }));
        }
        let mut rest = [0; REDACTED.len() - MAGIC.len()];
        read_all(&mut input, &mut rest)?;
        if [magic.as_slice(), rest.as_slice()].concat() != REDACTED {
            return Err(RecordingReadError::NotARecording);
        }
        Ok(Self::Redacted(Content { input, frames: None, frame: 0, tail: Tail::Unknown }))
    }
}

impl Content {
    /// The next part, `None` at the end.
    ///
    /// # Errors
    /// [`RecordingReadError`]; nothing more can be read then.
    pub fn next_part(&mut self) -> Result<Option<Zeroizing<Vec<u8>>>, RecordingReadError> {
        let Some(frames) = &mut self.frames else {
            let mut part = Zeroizing::new(Vec::new());
            self.input.by_ref().take(BODY as u64).read_to_end(&mut part)?;
            return Ok(Some(part).filter(|part| !part.is_empty()));
        };
        if self.tail != Tail::Unknown {
            return Ok(None);
        }
        let altered = RecordingReadError::Altered { frame: self.frame };
        let mut prefix = [0; PREFIX];
        if !fill(&mut self.input, &mut prefix)? {
            self.tail = Tail::CutOff;
            return Ok(None);
        }
        let [kind, length @ ..] = prefix;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > BODY || !matches!(kind, ENTRIES | END) {
            return Err(altered);
        }
        let mut sealed = vec![0; length + TAG];
        if !fill(&mut self.input, &mut sealed)? {
            self.tail = Tail::CutOff;
            return Ok(None);
        }
        let Some(body) = frames.open(kind, &sealed) else { return Err(altered) };
        self.frame += 1;
        if kind == ENTRIES {
            return Ok(Some(body));
        }
        let ended = body.first().copied().and_then(ended_of).ok_or(altered)?;
        let mut more = [0; 1];
        if fill(&mut self.input, &mut more)? {
            return Err(RecordingReadError::Altered { frame: self.frame });
        }
        self.tail = Tail::Whole(ended);
        Ok(None)
    }

    /// How a sealed file ends, once it was read to there.
    #[must_use]
    pub const fn tail(&self) -> Tail {
        self.tail
    }
}

/// False when the file ends before `buffer` is full.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match input.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn read_all(input: &mut impl Read, buffer: &mut [u8]) -> Result<(), RecordingReadError> {
    if fill(input, buffer)? { Ok(()) } else { Err(RecordingReadError::NotARecording) }
}
