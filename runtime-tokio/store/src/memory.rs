//! A store that lives as long as its last clone, for tests and throw-away accounts.

use crate::store::within_limits;
use crate::{AccountId, Administer, LoadError, Store};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use whatsio_core::api::{Commit, CommitError, Epoch, Key, Record};

/// A store in memory. Clones share one content, as processes share a file.
#[derive(Clone, Default)]
pub struct MemoryStore(Arc<Mutex<BTreeMap<AccountId, Account>>>);

#[derive(Default)]
struct Account {
    epoch: Epoch,
    records: BTreeMap<Key, Record>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<AccountId, Account>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn load(&self, account: &AccountId, keys: &[Key]) -> Result<Vec<Option<Record>>, LoadError> {
        let accounts = self.lock();
        let records = accounts.get(account).map(|account| &account.records);
        Ok(keys.iter().map(|key| records.and_then(|records| records.get(key)).cloned()).collect())
    }

    fn commit(&self, batch: &[(AccountId, Commit)]) -> Vec<Result<(), CommitError>> {
        let mut accounts = self.lock();
        batch.iter().map(|(id, commit)| apply(&mut accounts, id, commit)).collect()
    }
}

impl Administer for MemoryStore {
    fn accounts(&self) -> Result<Vec<AccountId>, LoadError> {
        Ok(self.lock().keys().cloned().collect())
    }

    fn erase(&self, account: &AccountId) -> Result<(), CommitError> {
        self.lock().remove(account);
        Ok(())
    }
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MemoryStore({} accounts)", self.lock().len())
    }
}

fn apply(accounts: &mut BTreeMap<AccountId, Account>, id: &AccountId, commit: &Commit) -> Result<(), CommitError> {
    if accounts.get(id).is_some_and(|account| commit.epoch < account.epoch) {
        return Err(CommitError::Fenced);
    }
    if !within_limits(commit) {
        return Err(CommitError::Fatal);
    }
    let account = accounts.entry(id.clone()).or_default();
    account.epoch = commit.epoch;
    for (key, record) in &commit.writes {
        match record {
            Some(record) => drop(account.records.insert(key.clone(), record.clone())),
            None => drop(account.records.remove(key)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_store_conforms() {
        crate::store_conformance(MemoryStore::new, |store| store.clone());
    }
}
