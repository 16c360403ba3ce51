//! A store that remembers every record that was ever written to it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use whatsio::{AccountId, MemoryStore, Store};
use whatsio_core::api::{Commit, CommitError, Key, Record};
use whatsio_store::LoadError;

#[derive(Clone, Default)]
pub(crate) struct Journal(Arc<Inner>);

#[derive(Default)]
struct Inner {
    store: MemoryStore,
    written: Mutex<Vec<Record>>,
    panics: AtomicBool,
}

impl Journal {
    /// One that panics in its first commit.
    pub(crate) fn that_panics_once() -> Self {
        let journal = Self::default();
        journal.0.panics.store(true, Ordering::SeqCst);
        journal
    }

    /// Everything that was ever written, overwritten and deleted records too.
    pub(crate) fn ever_written(&self) -> Vec<Record> {
        self.0.written.lock().expect("nobody panics with it").clone()
    }
}

impl Store for Journal {
    fn load(&self, account: &AccountId, keys: &[Key]) -> Result<Vec<Option<Record>>, LoadError> {
        self.0.store.load(account, keys)
    }

    fn commit(&self, batch: &[(AccountId, Commit)]) -> Vec<Result<(), CommitError>> {
        let mut written = self.0.written.lock().expect("nobody panics with it");
        for (_, record) in batch.iter().flat_map(|(_, commit)| &commit.writes) {
            written.extend(record.clone());
        }
        drop(written);
        assert!(!self.0.panics.swap(false, Ordering::SeqCst), "a panic on purpose, with {batch:?}");
        self.0.store.commit(batch)
    }
}
