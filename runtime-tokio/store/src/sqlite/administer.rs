//! Accounts as their operator sees them.

use super::{Rows, SqliteStore, add_account, find_account};
use crate::store::{fits, next_life};
use crate::{AccountId, Administer, CreateError, LoadError, Records, Standing};
use rusqlite::{Transaction, params};
use std::ops::ControlFlow;
use whatsio_core::api::{CommitError, Epoch, Key, Record};

const DEPART: &str = "UPDATE account SET fence = ?2, moved = coalesce(moved, ?3) WHERE number = ?1";
const RECLAIM: &str = "UPDATE account SET moved = NULL WHERE name = ?1 AND moved IS NOT NULL";

impl Administer for SqliteStore {
    fn accounts(&self) -> Result<Vec<AccountId>, LoadError> {
        let names = self.reading(|transaction| {
            let mut statement = transaction.prepare("SELECT name FROM account ORDER BY name")?;
            statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()
        })?;
        let parse = |name: String| AccountId::new(&name).map_err(|error| LoadError::Unreadable(error.to_string()));
        names.into_iter().map(parse).collect()
    }

    fn standing(&self, account: &AccountId) -> Result<Option<Standing>, LoadError> {
        self.reading(|transaction| {
            let Some(found) = find_account(transaction, account)? else { return Ok(None) };
            let records = self.rows(account, &found).count(transaction)?;
            Ok(Some(Standing { epoch: found.epoch, moved_unix_ms: found.moved, records }))
        })
    }

    fn contents(
        &self,
        account: &AccountId,
        visit: &mut dyn FnMut(Key, Record) -> ControlFlow<()>,
    ) -> Result<Option<Epoch>, LoadError> {
        self.reading(|transaction| {
            let Some(found) = find_account(transaction, account)? else { return Ok(Ok(None)) };
            let visited = self.rows(account, &found).visit(transaction, visit)?;
            Ok(visited.map(|()| Some(found.epoch)))
        })?
    }

    fn create(&self, account: &AccountId, epoch: Epoch, records: Records<'_>) -> Result<u64, CreateError> {
        let create = |transaction: &Transaction<'_>| {
            if find_account(transaction, account)?.is_some() {
                return Ok(Err(CreateError::Exists));
            }
            let number = add_account(transaction, account, epoch)?;
            let rows = Rows::new(self.seal.as_ref(), account, number);
            let mut count = 0;
            for next in records {
                let (key, record) = match next {
                    Ok(found) => found,
                    Err(error) => return Ok(Err(CreateError::Source(error))),
                };
                if !fits(&key, Some(&record)) {
                    return Ok(Err(CreateError::TooLarge));
                }
                if !rows.add(transaction, &key, &record)? {
                    return Ok(Err(CreateError::Twice));
                }
                count += 1;
            }
            Ok(Ok(count))
        };
        self.writing_if(create).map_err(CreateError::Store)?
    }

    fn depart(&self, account: &AccountId, unix_ms: u64) -> Result<bool, CommitError> {
        self.writing(|transaction| {
            let Some(found) = find_account(transaction, account)? else { return Ok(false) };
            let fence = next_life(found.epoch).0.cast_signed();
            transaction.execute(DEPART, params![found.number, fence, unix_ms.cast_signed()])?;
            Ok(true)
        })
    }

    fn reclaim(&self, account: &AccountId) -> Result<bool, CommitError> {
        self.writing(|transaction| Ok(transaction.execute(RECLAIM, [account.as_str()])? == 1))
    }

    fn erase(&self, account: &AccountId) -> Result<(), CommitError> {
        self.writing(|transaction| {
            if let Some(found) = find_account(transaction, account)? {
                self.rows(account, &found).erase(transaction)?;
                transaction.execute("DELETE FROM account WHERE number = ?1", [found.number])?;
            }
            Ok(())
        })
    }
}
