//! Out of a store, into a file.

use super::frames::Frame;
use super::stream::Sealing;
use super::{About, Lock, SHORTEST_PASSPHRASE, head};
use crate::seal::sync_folder;
use crate::{AccountId, Administer, LoadError};
use std::fs;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use whatsio_core::api::{CommitError, Epoch};

/// What to export, and what the file is to say of it.
#[derive(Clone, Debug)]
pub struct Export {
    /// The account.
    pub account: AccountId,
    /// The time to write down, in Unix milliseconds.
    pub unix_ms: u64,
    /// What exports it, for people to read: a program and its version.
    pub source: String,
    /// Leave the account running: a backup. It is good only as long as the account does not run on. Sessions move with
    /// every message, and a backup that is started later goes back to keys that were used: contacts cannot read it and it
    /// cannot read them until their sessions are made anew, and what was sealed under one key twice is no secret any more.
    pub copy: bool,
}

/// Why there is no file. The account is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// There is no account of that name.
    #[error("there is no account {0}")]
    NoAccount(AccountId),
    /// The account was moved away already: what is left of it is old.
    #[error("the account {0} was moved away before")]
    MovedAway(AccountId),
    /// A passphrase of fewer than [`SHORTEST_PASSPHRASE`] bytes.
    #[error("the passphrase is shorter than {SHORTEST_PASSPHRASE} bytes")]
    WeakPassphrase,
    /// The operating system has no randomness, or not the memory to stretch a passphrase.
    #[error("the system lacks {0}")]
    System(&'static str),
    /// The store cannot be read; see the variants of the error.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The account cannot be marked as moved away.
    #[error("the store cannot write: {0:?}")]
    Store(CommitError),
    /// The file exists. It is never overwritten.
    #[error("{} exists already", .0.display())]
    FileExists(PathBuf),
    /// The file cannot be written.
    #[error("the file cannot be written: {0}")]
    Io(#[from] io::Error),
}

/// Writes a session to a new file that only its owner may read, and says how many records it has.
///
/// Unless it is a [copy](Export::copy), the account is marked as moved away first: a client that still runs is fenced, and
/// nobody can start it here. The file appears under its name when all of it is durable. If something fails in between, the
/// mark is taken back; after a crash it stays, without a file, and [`Administer::reclaim`] lifts it.
pub fn export_file(store: &dyn Administer, lock: &Lock, export: &Export, path: &Path) -> Result<u64, ExportError> {
    if path.exists() {
        return Err(ExportError::FileExists(path.to_owned()));
    }
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = match options.open(&partial) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(ExportError::FileExists(partial)),
        opened => opened?,
    };
    let name_it = |file: BufWriter<fs::File>| -> io::Result<()> {
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&partial, path)?;
        sync_folder(path)
    };
    let written = export_to(store, lock, export, BufWriter::new(file), name_it);
    if written.is_err() {
        drop(fs::remove_file(&partial));
    }
    written
}

/// As [`export_file`], to wherever `out` goes. What was written is of use only when this succeeds.
pub fn export(store: &dyn Administer, lock: &Lock, export: &Export, out: impl Write) -> Result<u64, ExportError> {
    export_to(store, lock, export, out, |_| Ok(()))
}

fn export_to<W: Write>(
    store: &dyn Administer,
    lock: &Lock,
    export: &Export,
    out: W,
    finish: impl FnOnce(W) -> io::Result<()>,
) -> Result<u64, ExportError> {
    let account = &export.account;
    if matches!(lock, Lock::Passphrase(passphrase) if passphrase.len() < SHORTEST_PASSPHRASE) {
        return Err(ExportError::WeakPassphrase);
    }
    let standing = store.standing(account)?.ok_or_else(|| ExportError::NoAccount(account.clone()))?;
    if standing.moved_unix_ms.is_some() {
        return Err(ExportError::MovedAway(account.clone()));
    }
    // Slow on purpose, so it comes before the account is stopped.
    let (head, cipher) = head::make(lock).map_err(|error| match error {
        head::LockError::NoRandomness => ExportError::System("randomness"),
        head::LockError::NoMemory => ExportError::System("memory to stretch the passphrase"),
    })?;
    if !export.copy && !store.depart(account, export.unix_ms).map_err(ExportError::Store)? {
        return Err(ExportError::NoAccount(account.clone()));
    }
    let sealing = Sealing::new(out, head, cipher).map_err(ExportError::Io);
    let written = sealing.and_then(|sealing| write(store, export, sealing)).and_then(|(out, records)| {
        finish(out)?;
        Ok(records)
    });
    if written.is_err() && !export.copy {
        store.reclaim(account).map_err(ExportError::Store)?;
    }
    written
}

fn write<W: Write>(store: &dyn Administer, export: &Export, mut out: Sealing<W>) -> Result<(W, u64), ExportError> {
    let account = &export.account;
    // Again, since a client may have begun a life until it was stopped.
    let standing = store.standing(account)?.ok_or_else(|| ExportError::NoAccount(account.clone()))?;
    let about = About {
        account: account.as_str().to_owned(),
        unix_ms: export.unix_ms,
        source: export.source.clone(),
        epoch: standing.epoch,
        copy: export.copy,
    };
    out.write(&frame(Frame::about(&about))?)?;
    let (mut records, mut failed) = (0, None);
    let found: Option<Epoch> = store.contents(account, &mut |key, record| {
        let written = frame(Frame::record_prefix(&key, &record)).and_then(|prefix| {
            out.write(&prefix)?;
            out.write(&record.0)
        });
        match written {
            Ok(()) => {
                records += 1;
                ControlFlow::Continue(())
            }
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    if found.is_none() {
        return Err(ExportError::NoAccount(account.clone()));
    }
    out.write(&frame(Frame::end(records))?)?;
    Ok((out.finish()?, records))
}

fn frame(made: Option<Vec<u8>>) -> io::Result<Vec<u8>> {
    made.ok_or_else(|| io::Error::other("a record is larger than the format allows"))
}
