//! Recording a client to files, on a thread of its own.
//!
//! The client's task hands over what the core has noted and never waits for a disk. When the disk is too slow, what is
//! noted stays in the core, which has a limit; when it is full, the recording ends. The account notices neither.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use whatsio_core::api::{Config, Key, Record};
use whatsio_core::client::{Client as Core, RestoreError};
use whatsio_core::recording::{Ended, UNTAKEN_BYTES};
use whatsio_core::types::Seed;
use whatsio_store::KeySource;
use whatsio_store::recording::{LONGEST_FILE, RecordingError, RedactedFile, SealedFile, Written};
use zeroize::Zeroizing;

use crate::client::StartError;

/// What to record a client to; see [`ClientBuilder::record`](crate::ClientBuilder::record).
#[derive(Debug)]
#[must_use = "nothing is recorded before a client is started with it"]
pub struct Recording {
    sealed: Option<(PathBuf, KeySource)>,
    redacted: Option<PathBuf>,
    limit: u64,
}

impl Recording {
    /// Records everything, keys and contents too, to a file that is sealed under the key of `source`: enough to run the
    /// client again, byte for byte.
    pub fn sealed(path: impl Into<PathBuf>, source: KeySource) -> Self {
        Self { sealed: Some((path.into(), source)), redacted: None, limit: LONGEST_FILE }
    }

    /// Records what happened and when, without keys, contents, names, addresses and ids of messages: a file that can be
    /// shared.
    pub fn redacted(path: impl Into<PathBuf>) -> Self {
        Self { sealed: None, redacted: Some(path.into()), limit: LONGEST_FILE }
    }

    /// Records to a redacted file as well.
    pub fn and_redacted(mut self, path: impl Into<PathBuf>) -> Self {
        self.redacted = Some(path.into());
        self
    }

    /// How long each file may become; 256 MiB when this is not called. A file ends there.
    pub const fn limit_bytes(mut self, bytes: u64) -> Self {
        self.limit = bytes;
        self
    }

    /// Makes the files and starts the thread that writes them.
    pub(crate) fn start(self) -> Result<Recorder, StartError> {
        let mut files = Vec::new();
        if let Some((path, source)) = &self.sealed {
            let file = SealedFile::create(path, &source.for_new()?, self.limit)?;
            files.push((path.clone(), Target::Sealed(file)));
        }
        if let Some(path) = &self.redacted {
            match RedactedFile::create(path, self.limit) {
                Ok(file) => files.push((path.clone(), Target::Redacted(Box::new(file)))),
                Err(error) => {
                    for (path, _) in files {
                        drop(std::fs::remove_file(path));
                    }
                    return Err(error.into());
                }
            }
        }
        let (parts_to, parts) = mpsc::channel(PARTS);
        let (done_to, done) = oneshot::channel();
        thread::Builder::new()
            .name("whatsio-recording".into())
            .spawn(move || {
                write(parts, files);
                let _ = done_to.send(());
            })
            .map_err(StartError::Writer)?;
        Ok(Recorder { parts: Some(parts_to), waiting: Zeroizing::default(), done: Some(done) })
    }
}

/// The near end of a recording: takes from the core, gives to the thread.
pub(crate) struct Recorder {
    /// Gone when the recording has ended.
    parts: Option<mpsc::Sender<Zeroizing<Vec<u8>>>>,
    /// Taken from a core that is no more.
    waiting: Zeroizing<Vec<u8>>,
    done: Option<oneshot::Receiver<()>>,
}

impl Recorder {
    /// The core of a stored account, recorded as long as the recording goes on.
    pub(crate) fn restore(
        &self,
        config: Config,
        seed: Seed,
        roots: Vec<(Key, Option<Record>)>,
    ) -> Result<Core, RestoreError> {
        match self.parts {
            Some(_) => Core::restore_recorded(config, seed, roots, UNTAKEN_BYTES),
            None => Core::restore(config, seed, roots),
        }
    }

    /// Hands over what was noted. What the thread has no room for stays where it is.
    pub(crate) fn pass_on(&mut self, core: &mut Core) {
        let Some(parts) = &self.parts else { return };
        if parts.is_closed() {
            core.stop_recording();
            drop(core.take_recorded());
            self.parts = None;
            return;
        }
        let Ok(permit) = parts.try_reserve() else { return };
        let mut part = std::mem::take(&mut self.waiting);
        let noted = core.take_recorded();
        if part.is_empty() {
            part = noted;
        } else {
            part.extend_from_slice(&noted);
        }
        if !part.is_empty() {
            permit.send(part);
        }
    }

    /// The core is about to be replaced: what it has noted must not go with it.
    pub(crate) fn part_from(&mut self, core: &mut Core) {
        self.pass_on(core);
        if self.parts.is_some() {
            self.waiting.extend_from_slice(&core.take_recorded());
        }
    }

    /// Ends the recording and waits for the disk, not for ever.
    pub(crate) async fn finish(&mut self, core: &mut Core) {
        core.stop_recording();
        let (Some(parts), Some(done)) = (self.parts.take(), self.done.take()) else { return };
        let mut last = std::mem::take(&mut self.waiting);
        last.extend_from_slice(&core.take_recorded());
        let ended = async {
            let _ = parts.send(last).await;
            drop(parts);
            let _ = done.await;
        };
        if timeout(PATIENCE, ended).await.is_err() {
            tracing::warn!("the end of the recording may be missing");
        }
    }
}

enum Target {
    Sealed(SealedFile),
    Redacted(Box<RedactedFile>),
}

impl Target {
    fn write(&mut self, part: &[u8]) -> std::io::Result<Written> {
        match self {
            Self::Sealed(file) => file.write(part),
            Self::Redacted(file) => file.write(part),
        }
    }

    fn finish(self) -> std::io::Result<()> {
        match self {
            Self::Sealed(file) => file.finish(Ended::Stopped),
            Self::Redacted(file) => file.finish(Ended::Stopped),
        }
    }
}

/// Writes until the client has ended, or every file has.
fn write(mut parts: mpsc::Receiver<Zeroizing<Vec<u8>>>, mut files: Vec<(PathBuf, Target)>) {
    while let Some(mut part) = parts.blocking_recv() {
        while part.len() < AT_ONCE
            && let Ok(more) = parts.try_recv()
        {
            part.extend_from_slice(&more);
        }
        files.retain_mut(|(path, file)| goes_on(path, file.write(&part)));
        if files.is_empty() {
            return;
        }
    }
    for (path, file) in files {
        if let Err(error) = file.finish() {
            tracing::warn!(path = %path.display(), %error, "the end of the recording is missing");
        }
    }
}

fn goes_on(path: &Path, written: std::io::Result<Written>) -> bool {
    match written {
        Ok(Written::More) => true,
        Ok(Written::Full) => {
            tracing::warn!(path = %path.display(), "the recording has ended: its file is as long as it may be");
            false
        }
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "the recording has ended: its file cannot be written");
            false
        }
    }
}

/// Parts on their way to the thread.
const PARTS: usize = 64;
/// Parts are joined up to this length before they are written.
const AT_ONCE: usize = 64 << 10;
/// How long the end of a client may be held up by a disk.
const PATIENCE: Duration = Duration::from_secs(5);

impl From<RecordingError> for StartError {
    fn from(error: RecordingError) -> Self {
        Self::Recording(error)
    }
}
