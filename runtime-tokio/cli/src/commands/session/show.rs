//! Shows what the database knows of its accounts. Reads only: a client that runs is not disturbed.

use super::{ListArgs, account};
use crate::args::Global;
use crate::failure::Failure;
use crate::{chats, session};
use serde_json::{Value, json};
use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;
use whatsio_core::api::Config;
use whatsio_core::client::{Client, Identity};
use whatsio_core::types::Seed;
use whatsio_store::{AccountId, Administer, LoadError, SqliteStore, Standing, Store};

pub(super) fn list(global: &Global, args: &ListArgs) -> Result<ExitCode, Failure> {
    let store = session::open_existing(global)?;
    let mut accounts = Vec::new();
    for account in store.accounts()? {
        // One that was erased since is none, and neither is a list of chats.
        if chats::is_list(&account) {
            continue;
        }
        if let Some(standing) = store.standing(&account)? {
            accounts.push((state(&store, &account)?.word(), account, standing));
        }
    }
    if args.json {
        let all: Vec<Value> = accounts
            .iter()
            .map(|(word, account, standing)| json!({ "account": account.as_str(), "state": word, "records": total(standing) }))
            .collect();
        return print(&Value::from(all).to_string());
    }
    let line = |(word, account, standing): &(&str, AccountId, Standing)| {
        format!("{account}\t{word}\t{} records", total(standing))
    };
    print(&accounts.iter().map(line).collect::<Vec<_>>().join("\n"))
}

pub(super) fn show(global: &Global, args: &ListArgs) -> Result<ExitCode, Failure> {
    let account = account(global)?;
    let store = session::open_existing(global)?;
    let standing = store.standing(&account)?.ok_or_else(|| Failure::NoAccount(account.to_string()))?;
    let state = state(&store, &account)?;
    let identity = match &state {
        State::Linked(identity) => Some(identity),
        _ => None,
    };
    // The debug form of an address shows no more than its last two digits.
    let address = identity.map(|identity| format!("{:?}", identity.jid));
    let lid = identity.and_then(|identity| identity.lid.as_ref()).map(|lid| format!("{lid:?}"));
    let lives = standing.epoch.0 >> 32;
    if args.json {
        let counts: serde_json::Map<String, Value> =
            standing.records.iter().map(|(space, count)| (format!("{space:?}"), json!(count))).collect();
        let all = json!({
            "account": account.as_str(),
            "state": state.word(),
            "address": address,
            "lid": lid,
            "sealed": store.is_sealed(),
            "starts": lives,
            "moved_unix_ms": standing.moved_unix_ms,
            "records": counts,
        });
        return print(&all.to_string());
    }
    let mut lines = vec![format!("account\t{account}"), format!("state\t{}", state.word())];
    lines.extend(address.map(|address| format!("address\t{address}")));
    lines.extend(lid.map(|lid| format!("lid\t{lid}")));
    lines.push(format!("sealed\t{}", if store.is_sealed() { "yes" } else { "no" }));
    lines.push(format!("starts\t{lives}"));
    lines.extend(standing.records.iter().map(|(space, count)| format!("{space:?}\t{count}")));
    print(&lines.join("\n"))
}

/// Whether an account can run.
pub(crate) enum State {
    Linked(Identity),
    NotLinked,
    MovedAway,
    Damaged,
}

impl State {
    const fn word(&self) -> &'static str {
        match self {
            Self::Linked(_) => "linked",
            Self::NotLinked => "not-linked",
            Self::MovedAway => "moved-away",
            Self::Damaged => "damaged",
        }
    }
}

/// How `account` stands, as its root records say.
pub(crate) fn state(store: &SqliteStore, account: &AccountId) -> Result<State, Failure> {
    let keys = Client::root_keys();
    let records = match store.load(account, &keys) {
        Ok(records) => records,
        Err(LoadError::MovedAway) => return Ok(State::MovedAway),
        Err(error) => return Err(error.into()),
    };
    // Nothing of this client is ever carried out, so it needs no randomness and takes nobody's place.
    let roots = keys.into_iter().zip(records).collect();
    Ok(match Client::restore(Config::default(), Seed::new([0; 32]), roots) {
        Ok(client) => client.identity().map_or(State::NotLinked, State::Linked),
        Err(_) => State::Damaged,
    })
}

fn total(standing: &Standing) -> u64 {
    standing.records.iter().map(|(_, count)| count).sum()
}

fn print(text: &str) -> Result<ExitCode, Failure> {
    if text.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    match writeln!(std::io::stdout(), "{text}") {
        Err(source) if source.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::Write { path: "standard output".into(), source })
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}
