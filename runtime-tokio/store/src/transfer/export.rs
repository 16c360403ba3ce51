//! Out of a store, into a file.

use super::frames::Frame;
use super::stream::Sealing;
use super::{About, Lock, SHORTEST_PASSPHRASE, head};
use crate::seal::Folder;
use crate::{AccountId, Administer, LoadError};
use chacha20poly1305::XChaCha20Poly1305;
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

/// Why an export failed. The account is as it was and there is no file, unless the variant says otherwise.
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
    /// What an export writes to before its file has a name exists: it was cut off, or runs now. If none runs, delete it.
    #[error("{} exists: an export was cut off there, or still runs; if none runs, it may be deleted", .0.display())]
    PartialExists(PathBuf),
    /// The file cannot be written.
    #[error("the file cannot be written: {0}")]
    Io(#[from] io::Error),
    /// The whole file is there under its name, but it is not certain that a power cut would leave it. The account stays
    /// marked as moved away, since the file can be imported. Copy the file elsewhere, or delete it and reclaim.
    #[error("the file is written, but perhaps not durable; the account is moved away all the same: {0}")]
    PerhapsWritten(#[source] io::Error),
    /// There is no file, and the mark of the account could not be taken back. [`Administer::reclaim`] lifts it.
    #[error("{cause}; and the account is still marked as moved away, since the store cannot write: {store:?}")]
    StillMarked {
        /// Why the export failed.
        #[source]
        cause: Box<Self>,
        /// Why the mark is still there.
        store: CommitError,
    },
}

/// Writes a session to a new file that, on Unix, only its owner may read, and says how many records it has.
///
/// Unless it is a [copy](Export::copy), the account is marked as moved away first: a client that still runs is fenced, and
/// nobody can start it here. The file appears under its name when all of it is written. If something fails before that, the
/// mark is taken back; after a crash it stays, without a file, and [`Administer::reclaim`] lifts it.
pub fn export_file(store: &dyn Administer, lock: &Lock, export: &Export, path: &Path) -> Result<u64, ExportError> {
    if path.exists() {
        return Err(ExportError::FileExists(path.to_owned()));
    }
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    // Before anything is marked: a folder that cannot be opened cannot be synced either.
    let folder = Folder::of(path)?;
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = match options.open(&partial) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(ExportError::PartialExists(partial)),
        opened => opened?,
    };
    let target = Target {
        out: BufWriter::new(file),
        finish: |file: BufWriter<fs::File>| {
            file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
            fs::rename(&partial, path)?;
            // From here on the file can be imported, so nothing may run the account on.
            folder.sync().map_err(ExportError::PerhapsWritten)
        },
        abandon: || drop(fs::remove_file(&partial)),
    };
    export_to(store, lock, export, target)
}

/// As [`export_file`], to wherever `out` goes. What was written is of use only when this succeeds.
pub fn export(store: &dyn Administer, lock: &Lock, export: &Export, out: impl Write) -> Result<u64, ExportError> {
    export_to(store, lock, export, Target { out, finish: |_| Ok(()), abandon: || {} })
}

/// Where an export goes.
struct Target<W, F, A> {
    out: W,
    /// Makes what was written a session that can be imported.
    finish: F,
    /// Takes away what was written, and gives its room back, when it does not come to that.
    abandon: A,
}

fn export_to<W: Write>(
    store: &dyn Administer,
    lock: &Lock,
    export: &Export,
    target: Target<W, impl FnOnce(W) -> Result<(), ExportError>, impl FnOnce()>,
) -> Result<u64, ExportError> {
    let Target { out, finish, abandon } = target;
    let (head, cipher) = match begin(store, lock, export) {
        Ok(begun) => begun,
        Err(error) => {
            drop(out);
            abandon();
            return Err(error);
        }
    };
    let sealing = Sealing::new(out, head, cipher).map_err(ExportError::Io);
    let written = sealing.and_then(|sealing| write(store, export, sealing)).and_then(|(out, records)| {
        finish(out)?;
        Ok(records)
    });
    let error = match written {
        Err(error) if !matches!(error, ExportError::PerhapsWritten(_)) => error,
        settled => return settled,
    };
    // Before the mark is taken back, for which a full disk has no room.
    abandon();
    if export.copy {
        return Err(error);
    }
    Err(match store.reclaim(&export.account) {
        Ok(_) => error,
        Err(store) => ExportError::StillMarked { cause: Box::new(error), store },
    })
}

/// Stops the account, unless it is to be copied.
fn begin(
    store: &dyn Administer,
    lock: &Lock,
    export: &Export,
) -> Result<(head::Bytes, XChaCha20Poly1305), ExportError> {
    let account = &export.account;
    if matches!(lock, Lock::Passphrase(passphrase) if passphrase.len() < SHORTEST_PASSPHRASE) {
        return Err(ExportError::WeakPassphrase);
    }
    let standing = store.standing(account)?.ok_or_else(|| ExportError::NoAccount(account.clone()))?;
    if standing.moved_unix_ms.is_some() {
        return Err(ExportError::MovedAway(account.clone()));
    }
    // Slow on purpose, so it comes before the account is stopped.
    let made = head::make(lock).map_err(|error| match error {
        head::LockError::NoRandomness => ExportError::System("randomness"),
        head::LockError::NoMemory => ExportError::System("memory to stretch the passphrase"),
    })?;
    if !export.copy && !store.depart(account, export.unix_ms).map_err(ExportError::Store)? {
        return Err(ExportError::NoAccount(account.clone()));
    }
    Ok(made)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemoryStore, Store as _, StoreKey};

    #[test]
    fn account_stays_moved_away_once_its_file_can_be_imported() {
        let (store, account) = (MemoryStore::new(), AccountId::new("me").unwrap());
        store.create(&account, Epoch(1), &mut std::iter::empty()).unwrap();
        let export = Export { account: account.clone(), unix_ms: 1, source: "test".into(), copy: false };
        let finish = |_| Err(ExportError::PerhapsWritten(io::Error::other("the folder cannot be synced")));
        let target = Target { out: io::sink(), finish, abandon: || panic!("the file has its name already") };
        let error = export_to(&store, &Lock::Key(StoreKey::from_bytes([1; 32])), &export, target).unwrap_err();
        assert!(matches!(error, ExportError::PerhapsWritten(_)), "{error}");
        assert_eq!(store.load(&account, &[]), Err(LoadError::MovedAway));
    }
}
