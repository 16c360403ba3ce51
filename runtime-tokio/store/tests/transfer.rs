//! Sessions as files: they come back whole, or not at all with the reason; and they never run in two places.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "test code")]

use bytes::Bytes;
use proptest::prelude::*;
use std::io::{self, Write};
use std::ops::ControlFlow;
use whatsio_core::api::{Commit, CommitError, CommitId, Epoch, Key, Record, Space};
use whatsio_store::transfer::{Export, ExportError, Import, ImportError, Lock, ReadError, export, export_file, import};
use whatsio_store::{
    AccountId, Administer, CreateError, LoadError, MemoryStore, Records, SqliteStore, Standing, Store, StoreKey,
};

fn name(name: &str) -> AccountId {
    AccountId::new(name).unwrap()
}

const EPOCH: u64 = 3 << 32 | 77;

/// A store with an account of `sizes.len()` records.
fn filled(sizes: &[usize]) -> MemoryStore {
    let store = MemoryStore::new();
    let writes = (0_u32..)
        .zip(sizes)
        .map(|(number, size)| {
            let key = Key::new(Space::Session, number.to_be_bytes().to_vec());
            (key, Some(Record(vec![number.to_le_bytes()[0] | 1; *size].into())))
        })
        .collect();
    assert_eq!(store.commit(&[(name("me"), Commit { id: CommitId(1), epoch: Epoch(EPOCH), writes })]), [Ok(())]);
    store
}

fn contents(store: &dyn Administer, account: &AccountId) -> Vec<(Key, Record)> {
    let mut all = Vec::new();
    store
        .contents(account, &mut |key, record| {
            all.push((key, record));
            ControlFlow::Continue(())
        })
        .unwrap();
    all.sort_by(|one, two| one.0.cmp(&two.0));
    all
}

fn key(byte: u8) -> Lock {
    Lock::Key(StoreKey::from_bytes([byte; 32]))
}

fn what(copy: bool) -> Export {
    Export { account: name("me"), unix_ms: 1_700_000_000_000, source: "test".into(), copy }
}

fn exported(store: &MemoryStore) -> Vec<u8> {
    let mut file = Vec::new();
    export(store, &key(1), &what(false), &mut file).unwrap();
    file
}

fn refused(file: &[u8], lock: &Lock) -> ImportError {
    let store = MemoryStore::new();
    let error = import(&store, lock, &Import::default(), file).unwrap_err();
    assert_eq!(store.accounts(), Ok(vec![]), "a refused file leaves nothing");
    error
}

#[test]
fn session_moves_whole_and_stops_where_it_was() {
    // Empty, small, around the size of a chunk, over several chunks.
    for sizes in [&[][..], &[1, 0, 30], &[65_536 - 80], &[65_500, 1], &[200_000, 7, 65_536]] {
        let old = filled(sizes);
        let before = contents(&old, &name("me"));
        let file = exported(&old);
        assert_eq!(old.load(&name("me"), &[]), Err(LoadError::MovedAway));
        let late = Commit { id: CommitId(2), epoch: Epoch(EPOCH), writes: vec![] };
        assert_eq!(old.commit(&[(name("me"), late)]), [Err(CommitError::Fenced)], "who ran it is fenced");
        assert!(matches!(export(&old, &key(1), &what(false), io::sink()), Err(ExportError::MovedAway(_))));

        let folder = tempfile::tempdir().unwrap();
        let new = SqliteStore::open(folder.path().join("new.db")).unwrap();
        let done = import(&new, &key(1), &Import::default(), file.as_slice()).unwrap();
        assert_eq!((done.account.clone(), done.records), (name("me"), sizes.len() as u64));
        let about = done.about;
        assert_eq!(
            (about.account.as_str(), about.unix_ms, about.source.as_str(), about.epoch, about.copy),
            ("me", 1_700_000_000_000, "test", Epoch(EPOCH), false)
        );
        assert_eq!(contents(&new, &name("me")), before);
        let older = Commit { id: CommitId(1), epoch: Epoch(EPOCH - 1), writes: vec![] };
        let next = Commit { id: CommitId(1), epoch: Epoch(4 << 32), writes: vec![] };
        assert_eq!(
            new.commit(&[(name("me"), older), (name("me"), next)]),
            [Err(CommitError::Fenced), Ok(())],
            "its next life is greater"
        );
        let again = import(&new, &key(1), &Import::default(), file.as_slice());
        assert!(matches!(again, Err(ImportError::Exists(_))), "nothing is overwritten");
        let beside = Import { account: Some(name("other")), accept_copy: false };
        assert_eq!(import(&new, &key(1), &beside, file.as_slice()).unwrap().account, name("other"));
    }
}

#[test]
fn passphrase_opens_what_it_sealed_and_nothing_shows_in_the_file() {
    let store = filled(&[40]);
    let lock = |text: &str| Lock::Passphrase(text.to_owned().into());
    let mut file = Vec::new();
    assert!(matches!(export(&store, &lock("1234567"), &what(false), &mut file), Err(ExportError::WeakPassphrase)));
    assert!(store.load(&name("me"), &[]).is_ok(), "a refused export stops nobody");
    export(&store, &lock("correct horse"), &what(false), &mut file).unwrap();
    assert!(!file.windows(8).any(|window| window == [1; 8]), "records are hidden");
    assert!(!file.windows(4).any(|window| window == b"test"), "and so is what is said of them");
    assert!(matches!(refused(&file, &lock("correct mouse")), ImportError::Read(ReadError::WrongLock)));
    assert!(matches!(refused(&file, &key(1)), ImportError::Read(ReadError::WantsPassphrase)));
    let done = import(&MemoryStore::new(), &lock("correct horse"), &Import::default(), file.as_slice()).unwrap();
    assert_eq!(done.records, 1);
}

#[test]
fn backup_leaves_the_account_running_and_is_taken_by_explicit_choice_only() {
    let store = filled(&[40]);
    let mut file = Vec::new();
    export(&store, &key(1), &what(true), &mut file).unwrap();
    assert!(store.load(&name("me"), &[]).is_ok());
    assert!(matches!(refused(&file, &key(1)), ImportError::Copy));
    let choice = Import { account: None, accept_copy: true };
    assert!(import(&MemoryStore::new(), &key(1), &choice, file.as_slice()).unwrap().about.copy);
}

#[test]
fn files_of_others_of_newer_releases_and_that_ask_too_much_are_told_apart() {
    let file = exported(&filled(&[40]));
    let changed = |at: usize, value: u8| {
        let mut file = file.clone();
        file[at] = value;
        refused(&file, &key(1))
    };
    assert!(matches!(refused(b"", &key(1)), ImportError::Read(ReadError::NotASession)));
    assert!(matches!(refused(&file[..71], &key(1)), ImportError::Read(ReadError::NotASession)));
    assert!(matches!(changed(0, b'x'), ImportError::Read(ReadError::NotASession)));
    assert!(matches!(changed(9, 2), ImportError::Read(ReadError::Newer { found: 2, known: 1 })));
    assert!(matches!(changed(10, 9), ImportError::Read(ReadError::Malformed(_))));
    for at in [12, 16, 20] {
        assert!(matches!(changed(at, 0x7F), ImportError::Read(ReadError::TooCostly)), "parameter at {at}");
    }
    assert!(matches!(changed(30, file[30] ^ 1), ImportError::Read(ReadError::WrongLock)), "another salt");
    assert!(matches!(refused(&file, &key(2)), ImportError::Read(ReadError::WrongLock)));
    let passphrase = Lock::Passphrase("correct horse".to_owned().into());
    assert!(matches!(refused(&file, &passphrase), ImportError::Read(ReadError::WantsKey)));
}

#[test]
fn files_that_were_cut_reordered_or_added_to_are_told_apart() {
    let file = exported(&filled(&[65_536; 4]));
    const CHUNK: usize = 65_536 + 16;
    let chunk = |number: usize| &file[72 + number * CHUNK..72 + (number + 1) * CHUNK];
    let read = |file: &[u8]| match refused(file, &key(1)) {
        ImportError::Read(error) => error,
        other => panic!("{other}"),
    };
    for whole in 1..4 {
        assert!(matches!(read(&file[..72 + whole * CHUNK]), ReadError::Truncated), "after {whole} chunks");
    }
    assert!(matches!(read(&file[..file.len() - 1]), ReadError::Altered));
    assert!(matches!(read(&file[..72]), ReadError::Altered));
    let swapped = [&file[..72], chunk(1), chunk(0), &file[72 + 2 * CHUNK..]].concat();
    assert!(matches!(read(&swapped), ReadError::Altered));
    let skipped = [&file[..72], chunk(0), &file[72 + 2 * CHUNK..]].concat();
    assert!(matches!(read(&skipped), ReadError::Altered));
    let doubled = [&file[..72 + CHUNK], &file[72..]].concat();
    assert!(matches!(read(&doubled), ReadError::Altered));
    assert!(matches!(read(&[&file[..], b"x"].concat()), ReadError::Altered));
    let other = exported(&filled(&[65_536; 4]));
    let mixed = [&file[..72 + CHUNK], &other[72 + CHUNK..]].concat();
    assert!(matches!(read(&mixed), ReadError::Altered), "chunks of another file under the same key");
}

/// A writer that fails after so many bytes.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or_else(|| io::Error::other("full"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn failed_export_leaves_the_account_where_it_is() {
    let store = filled(&[200_000]);
    for room in [0, 72, 70_000, 200_000] {
        assert!(matches!(export(&store, &key(1), &what(false), Full(room)), Err(ExportError::Io(_))), "{room}");
        assert!(store.load(&name("me"), &[]).is_ok());
    }
    let next = Commit { id: CommitId(1), epoch: Epoch(4 << 32), writes: vec![] };
    assert_eq!(store.commit(&[(name("me"), next)]), [Ok(())], "its next life goes on");
    let missing = Export { account: name("nobody"), ..what(false) };
    assert!(matches!(export(&store, &key(1), &missing, io::sink()), Err(ExportError::NoAccount(_))));
}

#[test]
fn file_is_for_its_owner_appears_whole_and_replaces_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("session");
    std::fs::write(&path, "mine").unwrap();
    let store = filled(&[200_000]);
    assert!(matches!(export_file(&store, &key(1), &what(false), &path), Err(ExportError::FileExists(_))));
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    assert!(store.load(&name("me"), &[]).is_ok());
    std::fs::remove_file(&path).unwrap();
    assert_eq!(export_file(&store, &key(1), &what(false), &path).unwrap(), 1);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    let file = std::fs::File::open(&path).unwrap();
    assert_eq!(import(&MemoryStore::new(), &key(1), &Import::default(), file).unwrap().records, 1);
}

/// A store on a disk that is full while `partial` takes its room.
struct FullDisk {
    store: MemoryStore,
    partial: std::path::PathBuf,
    for_good: bool,
}

impl Store for FullDisk {
    fn load(&self, account: &AccountId, keys: &[Key]) -> Result<Vec<Option<Record>>, LoadError> {
        self.store.load(account, keys)
    }

    fn commit(&self, batch: &[(AccountId, Commit)]) -> Vec<Result<(), CommitError>> {
        self.store.commit(batch)
    }
}

impl Administer for FullDisk {
    fn accounts(&self) -> Result<Vec<AccountId>, LoadError> {
        self.store.accounts()
    }

    fn standing(&self, account: &AccountId) -> Result<Option<Standing>, LoadError> {
        self.store.standing(account)
    }

    fn contents(
        &self,
        _: &AccountId,
        _: &mut dyn FnMut(Key, Record) -> ControlFlow<()>,
    ) -> Result<Option<Epoch>, LoadError> {
        assert!(self.partial.exists());
        Err(LoadError::Unreadable("the disk is full".into()))
    }

    fn create(&self, account: &AccountId, epoch: Epoch, records: Records<'_>) -> Result<u64, CreateError> {
        self.store.create(account, epoch, records)
    }

    fn depart(&self, account: &AccountId, unix_ms: u64) -> Result<bool, CommitError> {
        self.store.depart(account, unix_ms)
    }

    fn reclaim(&self, account: &AccountId) -> Result<bool, CommitError> {
        if self.for_good || self.partial.exists() {
            return Err(CommitError::Fatal);
        }
        self.store.reclaim(account)
    }

    fn erase(&self, account: &AccountId) -> Result<(), CommitError> {
        self.store.erase(account)
    }
}

#[test]
fn export_onto_a_full_disk_gives_its_room_back_before_the_mark_and_keeps_the_first_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("session");
    let mut store = FullDisk { store: filled(&[10]), partial: folder.path().join("session.partial"), for_good: false };
    let error = export_file(&store, &key(1), &what(false), &path).unwrap_err();
    assert!(matches!(&error, ExportError::Load(LoadError::Unreadable(_))), "{error}");
    assert!(store.load(&name("me"), &[]).is_ok(), "the account runs on");
    store.for_good = true;
    let error = export_file(&store, &key(1), &what(false), &path).unwrap_err();
    let ExportError::StillMarked { cause, store: CommitError::Fatal } = &error else { panic!("{error}") };
    assert!(matches!(**cause, ExportError::Load(LoadError::Unreadable(_))), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left");
    std::fs::write(&store.partial, "").unwrap();
    let error = export_file(&store, &key(1), &what(false), &path).unwrap_err();
    assert!(error.to_string().contains("may be deleted"), "{error}");
}

#[test]
fn damaged_record_is_not_exported_as_if_it_were_sound() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    let store = SqliteStore::open(&path).unwrap();
    let writes = vec![(Key::new(Space::Session, &b"1"[..]), Some(Record(Bytes::from_static(b"\x01one"))))];
    assert_eq!(store.commit(&[(name("me"), Commit { id: CommitId(1), epoch: Epoch(1), writes })]), [Ok(())]);
    let attacker = rusqlite::Connection::open(&path).unwrap();
    attacker.execute("UPDATE sealed SET body = zeroblob(length(body))", []).unwrap();
    let error = export(&store, &key(1), &what(false), io::sink()).unwrap_err();
    assert!(matches!(error, ExportError::Load(LoadError::Damaged(Space::Session))), "{error}");
    assert!(store.load(&name("me"), &[]).is_ok(), "the account stays");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn damaged_file_never_gives_an_account(
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1_u8..), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let sound = exported(&filled(&[300, 65_536, 10]));
        let mut file = sound.clone();
        if let Some(cut) = cut {
            file.truncate(cut.index(file.len()));
        }
        for (at, by) in flips {
            if !file.is_empty() {
                let at = at.index(file.len());
                file[at] ^= by;
            }
        }
        prop_assume!(file != sound);
        refused(&file, &key(1));
    }

    #[test]
    fn any_bytes_behind_a_good_seal_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        refused(&[&b"whatsio\0\0\x01\0\0"[..], &[0; 12], &bytes].concat(), &key(1));
    }
}
