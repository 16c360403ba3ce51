//! A store that lives as long as its last clone, for tests and throw-away accounts.

use crate::store::{fits, next_life, within_limits};
use crate::{AccountId, Administer, CreateError, LoadError, Records, Standing, Store};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use whatsio_core::api::{Commit, CommitError, Epoch, Key, Record, Space};

/// A store in memory. Clones share one content, as processes share a file.
#[derive(Clone, Default)]
pub struct MemoryStore(Arc<Mutex<BTreeMap<AccountId, Account>>>);

#[derive(Default)]
struct Account {
    epoch: Epoch,
    /// The least epoch that the next commit may carry, besides the greatest that was.
    fence: Epoch,
    moved: Option<u64>,
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
        let account = accounts.get(account);
        if account.is_some_and(|account| account.moved.is_some()) {
            return Err(LoadError::MovedAway);
        }
        let records = account.map(|account| &account.records);
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

    fn standing(&self, account: &AccountId) -> Result<Option<Standing>, LoadError> {
        Ok(self.lock().get(account).map(|account| {
            let mut records = BTreeMap::<Space, u64>::new();
            account.records.keys().for_each(|key| *records.entry(key.space).or_default() += 1);
            Standing { epoch: account.epoch, moved_unix_ms: account.moved, records: records.into_iter().collect() }
        }))
    }

    fn contents(
        &self,
        account: &AccountId,
        visit: &mut dyn FnMut(Key, Record) -> ControlFlow<()>,
    ) -> Result<Option<Epoch>, LoadError> {
        let accounts = self.lock();
        let Some(account) = accounts.get(account) else { return Ok(None) };
        let _ = account.records.iter().try_for_each(|(key, record)| visit(key.clone(), record.clone()));
        Ok(Some(account.epoch))
    }

    fn create(&self, account: &AccountId, epoch: Epoch, records: Records<'_>) -> Result<u64, CreateError> {
        let mut accounts = self.lock();
        if accounts.contains_key(account) {
            return Err(CreateError::Exists);
        }
        let mut made = Account { epoch, ..Account::default() };
        for next in records {
            let (key, record) = next.map_err(CreateError::Source)?;
            if !fits(&key, Some(&record)) {
                return Err(CreateError::TooLarge);
            }
            if made.records.insert(key, record).is_some() {
                return Err(CreateError::Twice);
            }
        }
        let count = made.records.len();
        accounts.insert(account.clone(), made);
        Ok(u64::try_from(count).unwrap_or(u64::MAX))
    }

    fn depart(&self, account: &AccountId, unix_ms: u64) -> Result<bool, CommitError> {
        let mut accounts = self.lock();
        let Some(account) = accounts.get_mut(account) else { return Ok(false) };
        account.fence = next_life(account.epoch);
        account.moved.get_or_insert(unix_ms);
        Ok(true)
    }

    fn reclaim(&self, account: &AccountId) -> Result<bool, CommitError> {
        Ok(self.lock().get_mut(account).is_some_and(|account| account.moved.take().is_some()))
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
    let fenced = |account: &Account| account.moved.is_some() || commit.epoch < account.epoch.max(account.fence);
    if accounts.get(id).is_some_and(fenced) {
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
