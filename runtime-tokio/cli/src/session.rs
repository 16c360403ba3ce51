//! From the global options to a running client.

use crate::args::{Global, RecordArgs};
use crate::failure::Failure;
use crate::http;
use std::path::Path;
use whatsio::{Client, ClientBuilder, Events, Recording};
use whatsio_store::{KEY_VARIABLE, KeySource, SqliteStore};

/// Opens the database and starts the account's client, still offline: whether it is linked decides what comes next.
pub(crate) async fn start(global: &Global, record: &RecordArgs) -> Result<(Client, Events), Failure> {
    let mut builder = builder(global).await?;
    if let Some(recording) = recording(global, record) {
        builder = builder.record(recording);
    }
    Ok(builder.offline().start().await?)
}

fn recording(global: &Global, record: &RecordArgs) -> Option<Recording> {
    match (&record.record, &record.record_redacted) {
        (Some(path), redacted) => {
            // A database that is not sealed has no key.
            let key = if global.plain_store { KeySource::beside(path) } else { key_source(global) };
            let sealed = Recording::sealed(path, key);
            Some(match redacted {
                Some(redacted) => sealed.and_redacted(redacted),
                None => sealed,
            })
        }
        (None, Some(redacted)) => Some(Recording::redacted(redacted)),
        (None, None) => None,
    }
}

/// As [`start`], for commands that need a linked account; connects.
pub(crate) async fn start_linked(global: &Global, record: &RecordArgs) -> Result<(Client, Events), Failure> {
    let (client, events) = start(global, record).await?;
    if client.identity().await?.is_none() {
        client.shutdown().await;
        return Err(Failure::NotLinked);
    }
    client.connect().await?;
    Ok((client, events))
}

async fn builder(global: &Global) -> Result<ClientBuilder, Failure> {
    let mut builder = Client::builder().store(open(global)?).account(global.account.as_str());
    if let Some(path) = &global.profile {
        builder = builder.profile_file(path);
    }
    if let Some(url) = &global.relay {
        builder = builder.relay(url, root_key(global, url).await?);
    }
    if global.relay.is_none() && global.root_key.is_some() {
        return Err(Failure::Usage("--root-key goes with --relay: the real service has its own"));
    }
    if let Some(path) = &global.trust {
        builder = builder.trust_pem(read(path)?);
    }
    if let Some(url) = &global.proxy {
        builder = builder.proxy(url);
    }
    Ok(builder)
}

/// Opens the database, sealed unless a plain one was asked for by name.
pub(crate) fn open(global: &Global) -> Result<SqliteStore, Failure> {
    let opened = if global.plain_store {
        SqliteStore::open_plain(&global.store)
    } else {
        SqliteStore::open_with(&global.store, &key_source(global))
    };
    opened.map_err(|source| Failure::Store { path: global.store.clone(), source })
}

/// As [`open`], for commands that only look or take away: what is not there is not made for them.
pub(crate) fn open_existing(global: &Global) -> Result<SqliteStore, Failure> {
    if !global.store.exists() {
        return Err(Failure::NoDatabase(global.store.clone()));
    }
    open(global)
}

/// Where the database's key comes from.
pub(crate) fn key_source(global: &Global) -> KeySource {
    match &global.key_file {
        Some(path) => KeySource::File(path.clone()),
        None if std::env::var_os(KEY_VARIABLE).is_some() => KeySource::env(),
        None => KeySource::beside(&global.store),
    }
}

/// The `host:port` of a relay's URL, where its control API answers too when the relay is on loopback.
pub(crate) fn control_authority(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("ws://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    matches!(host, "localhost" | "[::1]").then_some(authority).or_else(|| {
        let address: std::net::Ipv4Addr = host.parse().ok()?;
        address.is_loopback().then_some(authority)
    })
}

async fn root_key(global: &Global, url: &str) -> Result<[u8; 32], Failure> {
    if let Some(text) = &global.root_key {
        return decode_key(text).ok_or(Failure::BadRootKey);
    }
    // Asking the relay itself proves nothing about who answers, so it is only done where nobody can sit in between.
    let authority = control_authority(url)
        .ok_or_else(|| Failure::NoRootKey("only a ws:// relay on this machine is asked for it".into()))?;
    let answer = http::request("GET", authority, "/admin/root-key", "").await.map_err(Failure::NoRootKey)?;
    match decode_key(answer.body.trim()) {
        Some(key) if answer.status == 200 => Ok(key),
        _ => Err(Failure::NoRootKey(format!("{authority} answered with status {}", answer.status))),
    }
}

fn decode_key(text: &str) -> Option<[u8; 32]> {
    let mut key = [0; 32];
    hex::decode_to_slice(text, &mut key).ok()?;
    Some(key)
}

pub(crate) fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|source| Failure::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_relay_on_this_machine_is_asked_for_its_key() {
        assert_eq!(control_authority("ws://127.0.0.1:5280/ws/chat"), Some("127.0.0.1:5280"));
        assert_eq!(control_authority("ws://localhost:1"), Some("localhost:1"));
        assert_eq!(control_authority("ws://[::1]:1/x"), Some("[::1]:1"));
        for url in ["wss://127.0.0.1:1", "ws://10.0.0.1:1", "ws://localhost.example:1", "http://127.0.0.1:1"] {
            assert_eq!(control_authority(url), None, "{url}");
        }
    }
}
