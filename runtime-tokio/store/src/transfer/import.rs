//! Out of a file, into a store.

use super::frames::{Frame, PREFIX};
use super::head::{self, HEAD};
use super::stream::Opening;
use super::{About, Lock};
use crate::{AccountId, Administer, CreateError, InvalidAccountId};
use bytes::Bytes;
use std::io::{self, Read};
use whatsio_core::api::{CommitError, Key, Record};

/// How to import.
#[derive(Clone, Debug, Default)]
pub struct Import {
    /// The account's new name; without one it keeps the name it had.
    pub account: Option<AccountId>,
    /// Take a backup as well, though the account may have run on since: see [`Export::copy`](super::Export::copy).
    pub accept_copy: bool,
}

/// What was imported.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Imported {
    /// The account's name in this store.
    pub account: AccountId,
    /// How many records it has.
    pub records: u64,
    /// What the file says of it.
    pub about: About,
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// It is something else.
    #[error("this is no exported session")]
    NotASession,
    /// A newer release wrote it.
    #[error("the session has format {found}, this release knows format {known}: use the newer release")]
    Newer {
        /// Its format.
        found: u16,
        /// The newest format known here.
        known: u16,
    },
    /// It holds records that only a newer release knows.
    #[error("the session holds records of a newer release")]
    NewerRecords,
    /// It is sealed under a key, and a passphrase was given.
    #[error("the session is sealed under a key, not under a passphrase")]
    WantsKey,
    /// It is sealed under a passphrase, and a key was given.
    #[error("the session is sealed under a passphrase, not under a key")]
    WantsPassphrase,
    /// The passphrase or the key is another one, or the first bytes were altered.
    #[error("the passphrase or the key is not the one that the session was sealed under")]
    WrongLock,
    /// It asks for more memory or time than a passphrase may cost.
    #[error("the session asks for more work than a passphrase may cost")]
    TooCostly,
    /// Its end is missing.
    #[error("the end of the session is missing")]
    Truncated,
    /// It was damaged or altered after it was sealed: bytes changed, chunks moved, left out or added.
    #[error("the session was damaged or altered")]
    Altered,
    /// It opens and makes no sense: its writer was at fault.
    #[error("the session is not well-formed: {0}")]
    Malformed(&'static str),
    /// It, or a record in it, is larger than this release takes.
    #[error("the session is larger than this release takes")]
    TooLarge,
    /// The file cannot be read.
    #[error("the session cannot be read: {0}")]
    Io(#[source] io::Error),
}

/// Why a session was not imported. The store is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file cannot be read; see the variants of the error.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The name that the account had cannot name one here.
    #[error("the session's name cannot be used here: {0}")]
    Name(#[from] InvalidAccountId),
    /// There is an account of that name. It is never overwritten.
    #[error("there is an account {0} already")]
    Exists(AccountId),
    /// It is a backup: the account may have run on since, and then it must not be used.
    #[error("this is a copy made while the account went on running")]
    Copy,
    /// The store cannot write.
    #[error("the store cannot write: {0:?}")]
    Store(CommitError),
}

/// Makes a new account of the session in `input`, in one durable transaction, after all of it was opened up to its end.
///
/// Reads in constant memory. The store is locked for other writers meanwhile. The account's next life takes a greater epoch
/// than any it had before.
pub fn import(store: &dyn Administer, lock: &Lock, import: &Import, input: impl Read) -> Result<Imported, ImportError> {
    let mut content = Content::open(input, lock)?;
    let about = content.about()?;
    if about.copy && !import.accept_copy {
        return Err(ImportError::Copy);
    }
    let account = match &import.account {
        Some(account) => account.clone(),
        None => AccountId::new(&about.account)?,
    };
    let mut records = std::iter::from_fn(|| content.next_record().map_err(Into::into).transpose());
    let records = store.create(&account, about.epoch, &mut records).map_err(|error| match error {
        CreateError::Exists => ImportError::Exists(account.clone()),
        CreateError::Twice => ReadError::Malformed("a record comes twice").into(),
        CreateError::TooLarge => ReadError::TooLarge.into(),
        CreateError::Store(error) => ImportError::Store(error),
        CreateError::Source(error) => match error.downcast::<ReadError>() {
            Ok(error) => (*error).into(),
            Err(other) => ReadError::Io(io::Error::other(other)).into(),
        },
    })?;
    Ok(Imported { account, records, about })
}

/// The most records of one session.
const MOST_RECORDS: u64 = 10_000_000;
/// The most bytes of all records of one session.
const MOST_BYTES: u64 = 16 * 1024 * 1024 * 1024;

/// The frames of a file, in order.
struct Content<R> {
    opening: Opening<R>,
    records: u64,
    bytes: u64,
    ended: bool,
}

impl<R: Read> Content<R> {
    fn open(mut input: R, lock: &Lock) -> Result<Self, ReadError> {
        let mut head = [0; HEAD];
        input.read_exact(&mut head).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => ReadError::NotASession,
            _ => ReadError::Io(error),
        })?;
        let cipher = head::read(&head, lock)?;
        Ok(Self { opening: Opening::new(input, head, cipher), records: 0, bytes: 0, ended: false })
    }

    fn about(&mut self) -> Result<About, ReadError> {
        match self.frame()? {
            Frame::About(about) => Ok(about),
            _ => Err(ReadError::Malformed("it does not say what it is")),
        }
    }

    /// The next record; `None` after the end was seen and found right.
    fn next_record(&mut self) -> Result<Option<(Key, Record)>, ReadError> {
        if self.ended {
            return Ok(None);
        }
        match self.frame()? {
            Frame::Record(key, record) => {
                self.records += 1;
                if self.records > MOST_RECORDS {
                    return Err(ReadError::TooLarge);
                }
                Ok(Some((key, record)))
            }
            Frame::End { records } if records != self.records => Err(ReadError::Malformed("records are missing")),
            Frame::End { .. } if !self.opening.is_at_end()? => Err(ReadError::Malformed("something follows the end")),
            Frame::End { .. } => {
                self.ended = true;
                Ok(None)
            }
            Frame::About(_) => Err(ReadError::Malformed("it says twice what it is")),
        }
    }

    fn frame(&mut self) -> Result<Frame, ReadError> {
        let (kind, length) = Frame::length(&self.opening.take(PREFIX)?)?;
        self.bytes = self.bytes.saturating_add(length as u64);
        if self.bytes > MOST_BYTES {
            return Err(ReadError::TooLarge);
        }
        Frame::read(kind, Bytes::from(self.opening.take(length)?))
    }
}

#[cfg(test)]
mod tests {
    use super::super::stream::Sealing;
    use super::*;
    use crate::{MemoryStore, StoreKey};
    use proptest::prelude::*;

    fn lock() -> Lock {
        Lock::Key(StoreKey::from_bytes([1; 32]))
    }

    /// A file whose seal is right, whatever is in it: what a faulty or hostile writer that has the key may make.
    fn sealed(plain: &[u8]) -> Vec<u8> {
        let Ok((head, cipher)) = head::make(&lock()) else { panic!("no randomness") };
        let mut sealing = Sealing::new(Vec::new(), head, cipher).unwrap();
        sealing.write(plain).unwrap();
        sealing.finish().unwrap()
    }

    fn read(plain: &[u8]) -> Result<u64, ImportError> {
        let store = MemoryStore::new();
        let done = import(&store, &lock(), &Import::default(), sealed(plain).as_slice());
        assert_eq!(store.accounts().unwrap().len(), usize::from(done.is_ok()));
        done.map(|done| done.records)
    }

    const ABOUT: &[u8] = b"\x01\0\0\0\x04\x0a\x02me";
    const RECORD: &[u8] = b"\x02\0\0\0\x04\x02\x01ab";

    fn end(records: u8) -> Vec<u8> {
        [&b"\x03\0\0\0\x08\0\0\0\0\0\0\0"[..], &[records]].concat()
    }

    #[test]
    fn content_that_a_sound_writer_never_makes_is_refused() {
        assert_eq!(read(&[ABOUT, &end(0)].concat()).ok(), Some(0));
        assert_eq!(read(&[ABOUT, RECORD, &end(1)].concat()).ok(), Some(1));
        let malformed = [
            &b""[..],
            ABOUT,
            &[ABOUT, RECORD].concat(),
            &[RECORD, &end(1)].concat(),
            &[ABOUT, RECORD, &end(2)].concat(),
            &[ABOUT, &end(0), RECORD].concat(),
            &[ABOUT, ABOUT, &end(0)].concat(),
            &[ABOUT, RECORD, RECORD, &end(2)].concat(),
            &[ABOUT, b"\x04\0\0\0\0", &end(0)].concat(),
            &[ABOUT, b"\x02\0\0\0\x02\x02\x01", &end(1)].concat(),
            &[ABOUT, b"\x03\0\0\0\x01\0"].concat(),
        ];
        for plain in malformed {
            let error = read(plain).unwrap_err();
            assert!(matches!(error, ImportError::Read(ReadError::Malformed(_))), "{plain:?}: {error}");
        }
        let large = [ABOUT, b"\x02\xff\xff\xff\xff"].concat();
        assert!(matches!(read(&large), Err(ImportError::Read(ReadError::TooLarge))));
        let newer = [ABOUT, b"\x02\0\0\0\x03\xfe\x01a", &end(1)].concat();
        assert!(matches!(read(&newer), Err(ImportError::Read(ReadError::NewerRecords))));
        let unnamed = [&b"\x01\0\0\0\x03\x0a\x01/"[..], &end(0)].concat();
        assert!(matches!(read(&unnamed), Err(ImportError::Name(_))));
    }

    proptest! {
        #[test]
        fn any_content_behind_a_right_seal_is_read_without_a_panic(
            plain in prop::collection::vec(prop_oneof![0_u8..5, any::<u8>()], 0..200),
            begins in any::<bool>(),
        ) {
            let plain = if begins { [ABOUT, &plain].concat() } else { plain };
            let _ = read(&plain);
        }
    }
}
