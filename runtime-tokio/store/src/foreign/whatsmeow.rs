//! whatsmeow's SQL store, as SQLite file. Versions 8 to 14 of its schema have all that is read here.

use super::whatsmeow_session::{sender_keys, sessions};
use super::{ForeignError, address};
use bytes::Bytes;
use prost::Message;
use rusqlite::types::FromSql;
use rusqlite::{Connection, OpenFlags, Row, params};
use std::path::Path;
use whatsio_core::adopt::{AdoptedSignedPreKey, Adoption};
use whatsio_core::crypto::Secret;
use whatsio_core::types::{Jid, Server};

/// Reads a linked account from whatsmeow's SQLite file. With several in it, `account` names one by its phone number.
///
/// The file is opened for reading only; whatsmeow must not be running, or what it does afterwards is lost here.
///
/// # Errors
/// [`ForeignError`].
pub fn read_whatsmeow(file: impl AsRef<Path>, account: Option<&str>) -> Result<Adoption, ForeignError> {
    let file = file.as_ref();
    std::fs::metadata(file).map_err(|source| ForeignError::Unreadable { path: file.display().to_string(), source })?;
    let database = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let jid = choose(&database, account)?;
    let mut adoption = device(&database, &jid)?;
    adoption.prekeys = prekeys(&database, &jid, &mut adoption.next_prekey, &mut adoption.first_unconfirmed_prekey)?;
    adoption.aliases = aliases(&database)?;
    let own = own_devices(&adoption);
    for (id, key) in rows::<String, Vec<u8>>(&database, IDENTITIES, &jid)? {
        if let (Some(device), Ok(key)) = (address::device(&id, ':'), key.try_into()) {
            adoption.identities.push((device, key));
        }
    }
    for (id, record) in rows::<String, Vec<u8>>(&database, SESSIONS, &jid)? {
        let Some(device) = address::device(&id, ':') else { continue };
        // An empty list is counted as one that could not be used.
        adoption.sessions.push((device, sessions(&record).unwrap_or_default()));
    }
    for (place, record) in rows::<String, Vec<u8>>(&database, SENDER_KEYS, &jid)? {
        let Some((group, sender)) = place.split_once(' ') else { continue };
        let (Ok(group), Some(device)) = (group.parse::<Jid>(), address::device(sender, ':')) else { continue };
        // The own key is made anew: nobody else needs the old one.
        if !own.contains(&device) {
            adoption.sender_keys.push((group, device, sender_keys(&record).unwrap_or_default()));
        }
    }
    Ok(adoption)
}

fn choose(database: &Connection, account: Option<&str>) -> Result<String, ForeignError> {
    let mut query = database.prepare("SELECT jid FROM whatsmeow_device").map_err(|error| match error {
        rusqlite::Error::SqliteFailure(..) => ForeignError::NotAStore("a store of whatsmeow"),
        other => ForeignError::Database(other),
    })?;
    let found: Vec<String> = query.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let parsed = |text: &String| text.parse::<Jid>().ok();
    match account {
        Some(number) => found
            .into_iter()
            .find(|text| parsed(text).is_some_and(|jid| jid.user() == number.trim_start_matches('+')))
            .ok_or(ForeignError::NoSuchAccount),
        None if found.len() > 1 => Err(ForeignError::SeveralAccounts(found.iter().filter_map(parsed).collect())),
        None => found.into_iter().next().ok_or(ForeignError::NotLinked),
    }
}

fn device(database: &Connection, jid: &str) -> Result<Adoption, ForeignError> {
    database.query_row(DEVICE, [jid], |row| Ok(adoption_of(row)))?
}

fn adoption_of(row: &Row<'_>) -> Result<Adoption, ForeignError> {
    let secret = |name: &'static str| -> Result<Secret<32>, ForeignError> {
        Secret::from_slice(&row.get::<_, Vec<u8>>(name)?).ok_or(ForeignError::Damaged("a key of the device"))
    };
    let bytes = |name: &'static str| -> Result<Bytes, ForeignError> { Ok(row.get::<_, Vec<u8>>(name)?.into()) };
    let jid: String = row.get("jid")?;
    let lid: Option<String> = row.get("lid")?;
    let statement = whatsio_proto::adv::AdvSignedDeviceIdentity {
        details: Some(bytes("adv_details")?),
        account_signature_key: Some(bytes("adv_account_sig_key")?),
        account_signature: Some(bytes("adv_account_sig")?),
        device_signature: Some(bytes("adv_device_sig")?),
    };
    let signature = row.get::<_, Vec<u8>>("signed_pre_key_sig")?;
    Ok(Adoption {
        noise: secret("noise_key")?,
        identity: secret("identity_key")?,
        registration_id: row.get("registration_id")?,
        adv_secret: secret("adv_key")?,
        signed_prekey: AdoptedSignedPreKey {
            id: row.get("signed_pre_key_id")?,
            private: secret("signed_pre_key")?,
            signature: signature.try_into().map_err(|_| ForeignError::Damaged("the signed prekey"))?,
        },
        prekeys: Vec::new(),
        next_prekey: 1,
        first_unconfirmed_prekey: 1,
        jid: jid.parse().map_err(|_| ForeignError::Damaged("the own address"))?,
        lid: lid.filter(|lid| !lid.is_empty()).and_then(|lid| lid.parse().ok()),
        device_identity: statement.encode_to_vec().into(),
        platform: row.get("platform")?,
        push_name: row.get("push_name")?,
        aliases: Vec::new(),
        identities: Vec::new(),
        sessions: Vec::new(),
        sender_keys: Vec::new(),
    })
}

/// Prekeys that were not used; sets the next number and the first that the server may not have.
fn prekeys(
    database: &Connection,
    jid: &str,
    next: &mut u32,
    unconfirmed: &mut u32,
) -> Result<Vec<(u32, Secret<32>)>, ForeignError> {
    let mut query =
        database.prepare("SELECT key_id, key, uploaded FROM whatsmeow_pre_keys WHERE jid = ?1 ORDER BY key_id")?;
    let mut found = Vec::new();
    let mut first_waiting = None;
    let mut rows = query.query([jid])?;
    while let Some(row) = rows.next()? {
        let id: u32 = row.get(0)?;
        let Some(key) = Secret::from_slice(&row.get::<_, Vec<u8>>(1)?) else { continue };
        *next = id.saturating_add(1);
        if !row.get::<_, bool>(2)? {
            first_waiting.get_or_insert(id);
        }
        found.push((id, key));
    }
    *unconfirmed = first_waiting.unwrap_or(*next);
    Ok(found)
}

/// Numbers with their LIDs. Files of older versions have no such table.
fn aliases(database: &Connection) -> Result<Vec<(Jid, Jid)>, ForeignError> {
    let Ok(mut query) = database.prepare("SELECT pn, lid FROM whatsmeow_lid_map") else { return Ok(Vec::new()) };
    let pairs = query.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
    let mut found = Vec::new();
    for pair in pairs {
        let (pn, lid) = pair?;
        if let (Some(pn), Some(lid)) = (address::user(&pn, Server::Whatsapp), address::user(&lid, Server::Lid)) {
            found.push((pn, lid));
        }
    }
    Ok(found)
}

fn own_devices(adoption: &Adoption) -> Vec<Jid> {
    [Some(adoption.jid.clone()), adoption.lid.clone()].into_iter().flatten().collect()
}

fn rows<A: FromSql, B: FromSql>(database: &Connection, query: &str, jid: &str) -> Result<Vec<(A, B)>, ForeignError> {
    let mut query = database.prepare(query)?;
    let found = query.query_map(params![jid], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(found.collect::<Result<_, _>>()?)
}

const DEVICE: &str = "SELECT * FROM whatsmeow_device WHERE jid = ?1";
const IDENTITIES: &str = "SELECT their_id, identity FROM whatsmeow_identity_keys WHERE our_jid = ?1";
/// The ones under a LID come first: of two sessions with one device they are the newer.
const SESSIONS: &str = "SELECT their_id, session FROM whatsmeow_sessions
    WHERE our_jid = ?1 AND session IS NOT NULL ORDER BY instr(their_id, '_1:') = 0, their_id";
const SENDER_KEYS: &str =
    "SELECT chat_id || ' ' || sender_id, sender_key FROM whatsmeow_sender_keys WHERE our_jid = ?1";
