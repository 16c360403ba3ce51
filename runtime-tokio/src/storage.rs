//! A store shared by many accounts: loads on tokio's blocking threads, commits through one merging writer.

use std::io;
use std::sync::Arc;
use whatsio_core::api::{Commit, CommitError, Key, Record};
use whatsio_store::{AccountId, LoadError, Store, Writer, WriterHandle};

/// A store and the one writer that merges the commits of all accounts in it. Cloning is cheap; give the same one to
/// every client of a process, since each writer is a thread and each separate transaction a wait for the disk.
#[derive(Clone)]
pub struct Storage {
    store: Arc<dyn Store>,
    writer: WriterHandle,
}

impl Storage {
    /// Starts the writer of `store`.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn new(store: impl Store) -> io::Result<Self> {
        let store: Arc<dyn Store> = Arc::new(store);
        Ok(Self { writer: Writer::start(Arc::clone(&store))?, store })
    }

    /// Reads records without blocking the runtime.
    pub(crate) async fn load(
        &self,
        account: AccountId,
        keys: Vec<Key>,
    ) -> Result<(Vec<Key>, Vec<Option<Record>>), LoadError> {
        let store = Arc::clone(&self.store);
        let reading = tokio::task::spawn_blocking(move || store.load(&account, &keys).map(|records| (keys, records)));
        // The task fails only when the runtime shuts down or the store panicked; neither has read anything.
        reading.await.unwrap_or_else(|error| Err(LoadError::Unreadable(error.to_string())))
    }

    /// Queues a commit; `done` is called once, on some thread.
    pub(crate) fn commit(
        &self,
        account: AccountId,
        commit: Commit,
        done: impl FnOnce(Result<(), CommitError>) + Send + 'static,
    ) {
        self.writer.try_submit(account, commit, done);
    }
}

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Storage(..)")
    }
}
