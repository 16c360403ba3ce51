//! Writing a recording to a file.

use super::REDACTED;
use super::sealed::{BODY, END, END_FRAME, ENTRIES, Frames, PREFIX, TAG, number_of};
use crate::StoreKey;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use whatsio_core::recording::{Ended, Redactor, Sizes};

/// Why there is no file to record to. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// There is a file of that name. It is never replaced.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// The file cannot be made.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The operating system offers no randomness.
    #[error("the operating system offers no randomness")]
    NoRandomness,
}

/// Whether a file takes more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a file that is full takes nothing more"]
pub enum Written {
    /// It does.
    More,
    /// It has reached its limit and was ended.
    Full,
}

/// A sealed file that is being written. One that is dropped before it was ended looks cut off.
pub struct SealedFile {
    file: File,
    frames: Frames,
    length: u64,
    limit: u64,
}

impl SealedFile {
    /// Makes the file, which must not exist, for at most `limit` bytes. Others cannot read it.
    pub fn create(path: &Path, key: &StoreKey, limit: u64) -> Result<Self, RecordingError> {
        let (frames, head) = Frames::make(key).ok_or(RecordingError::NoRandomness)?;
        let mut file = create(path)?;
        file.write_all(&head).map_err(|source| RecordingError::Io { path: path.to_owned(), source })?;
        Ok(Self { file, frames, length: head.len() as u64, limit })
    }

    /// Writes a part of a recording; it is in the file when this returns, if not yet safe from a power cut.
    ///
    /// # Errors
    /// What the system says; the file looks cut off then.
    pub fn write(&mut self, entries: &[u8]) -> io::Result<Written> {
        for body in entries.chunks(BODY) {
            let length = self.length.saturating_add((PREFIX + body.len() + TAG) as u64);
            if length.saturating_add(END_FRAME) > self.limit {
                self.end(Ended::Full)?;
                return Ok(Written::Full);
            }
            let frame = self.frames.seal(ENTRIES, body).ok_or_else(cannot_seal)?;
            self.file.write_all(&frame)?;
            self.length = length;
        }
        Ok(Written::More)
    }

    /// Ends the file.
    ///
    /// # Errors
    /// What the system says; the file looks cut off then.
    pub fn finish(mut self, ended: Ended) -> io::Result<()> {
        self.end(ended)
    }

    fn end(&mut self, ended: Ended) -> io::Result<()> {
        let frame = self.frames.seal(END, &[number_of(ended)]).ok_or_else(cannot_seal)?;
        self.file.write_all(&frame)
    }
}

fn cannot_seal() -> io::Error {
    io::Error::other("a frame cannot be sealed")
}

/// A redacted file that is being written, from the same parts of a recording as a sealed one.
pub struct RedactedFile {
    file: File,
    redactor: Redactor,
    length: u64,
    limit: u64,
}

impl RedactedFile {
    /// Makes the file, which must not exist, for about `limit` bytes. Others cannot read it until they are allowed to.
    pub fn create(path: &Path, limit: u64) -> Result<Self, RecordingError> {
        let mut file = create(path)?;
        file.write_all(REDACTED).map_err(|source| RecordingError::Io { path: path.to_owned(), source })?;
        let (redactor, length) = (Redactor::new(Sizes::Rounded), REDACTED.len() as u64);
        Ok(Self { file, redactor, length, limit })
    }

    /// Writes the redacted form of a part of a recording.
    ///
    /// # Errors
    /// What the system says, or that the recording is damaged.
    pub fn write(&mut self, entries: &[u8]) -> io::Result<Written> {
        for part in entries.chunks(PART) {
            let lines = self.redactor.redact(part).map_err(io::Error::other)?;
            self.file.write_all(&lines)?;
            self.length = self.length.saturating_add(lines.len() as u64);
            if self.length > self.limit && !self.redactor.has_ended() {
                let line = self.redactor.end(Ended::Full);
                return self.file.write_all(&line).map(|()| Written::Full);
            }
        }
        Ok(Written::More)
    }

    /// Ends the file, unless the recording itself has ended.
    ///
    /// # Errors
    /// What the system says; the file looks cut off then.
    pub fn finish(mut self, ended: Ended) -> io::Result<()> {
        if self.redactor.has_ended() {
            return Ok(());
        }
        let line = self.redactor.end(ended);
        self.file.write_all(&line)
    }
}

/// So much of a recording is redacted at a time: a file exceeds its limit by no more than this.
const PART: usize = 16 << 10;

fn create(path: &Path) -> Result<File, RecordingError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => RecordingError::Exists(path.to_owned()),
        _ => RecordingError::Io { path: path.to_owned(), source },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use whatsio_core::api::Config;
    use whatsio_core::client::Client;
    use whatsio_core::types::Seed;

    #[test]
    fn disk_that_takes_nothing_is_an_error_and_not_a_panic() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let mut sealed = SealedFile::create(&path, &StoreKey::from_bytes([1; 32]), 1 << 20).unwrap();
        let mut redacted = RedactedFile::create(&folder.path().join("y"), 1 << 20).unwrap();
        // A file that is open for reading only refuses every write, as a full disk does.
        sealed.file = File::open(&path).unwrap();
        redacted.file = File::open(&path).unwrap();
        let entries = Client::create_recorded(Config::default(), Seed::new([1; 32]), 1 << 20).take_recorded();
        assert!(sealed.write(&entries).is_err() && redacted.write(&entries).is_err());
        assert!(sealed.finish(Ended::Stopped).is_err() && redacted.finish(Ended::Stopped).is_err());
    }

    #[test]
    fn parts_that_are_no_recording_are_refused_by_the_redactor() {
        let folder = tempfile::tempdir().unwrap();
        let mut redacted = RedactedFile::create(&folder.path().join("y"), 1 << 20).unwrap();
        assert!(redacted.write(&[9; 100]).is_err());
    }
}
