//! The life of prekeys: made, stored, uploaded, handed out by the server, used once.

use super::{Effect, Failure, Live, Query, Reply, Step, Stop, Txn, connect, query};
use crate::crypto::PublicKey;
use crate::signal::{PreKey, PreKeyId, SignedPreKey, SignedPreKeyId};
use crate::stanza::{PreKeyCount, PreKeyUpload, PublicPreKey, PublicSignedPreKey, RotateSignedPreKey};
use crate::state::account::{self, Account};
use crate::state::prekeys::{COUNTER_ID, PreKeyCounter, record_id};
use crate::state::spent::{self, SpentPreKeys};
use crate::state::{Miss, Stored};

/// How many prekeys are uploaded at a time; the web client's number.
const BATCH: usize = 812;

/// With fewer than this at the server, more are uploaded. Peers wait until 5 are left; a backlog of new contacts can
/// use up that many while the upload is on its way.
const LOW: u32 = 50;

/// Uploaded prekeys that are kept; beyond, the oldest are retired. The server hands out the oldest first, so those are
/// long used or forgotten.
const POOL: u32 = 5 * 812;

/// What the server counts is a hint: however often it says that few are left, an upload is this long after the one
/// before, in seconds.
const PAUSE_S: u64 = 60;

/// A signed prekey is replaced after this long, in seconds: a week.
const ROTATE_S: u64 = 7 * 24 * 3600;

/// Makes the account's next signed prekey and stores its private half. The one that the server has stays until the
/// server has taken another.
pub(crate) fn make_signed(txn: &mut Txn<'_>, account: &mut Account) -> SignedPreKey {
    let id = SignedPreKeyId::new(account.signed_prekey_id).map_or(SignedPreKeyId::FIRST, SignedPreKeyId::next);
    let now = txn.now.unix_seconds();
    let key = SignedPreKey::generate(id, &account.identity, now, txn.rng);
    txn.write(record_id(id.number()), &key);
    account.signed_prekey_id = id.number();
    account.signed_prekey_made = now;
    txn.write(account::ID, account);
    key
}

/// The newest signed prekey; a new one should its record be lost.
pub(crate) fn current_signed(txn: &mut Txn<'_>, account: &mut Account) -> Result<SignedPreKey, Miss> {
    match txn.read::<SignedPreKey>(record_id(account.signed_prekey_id))? {
        Some(key) => Ok(key),
        None => Ok(make_signed(txn, account)),
    }
}

/// After the login: a device that never uploaded does so before the server delivers; others only look.
pub(crate) fn at_login(txn: &mut Txn<'_>, live: &Live, account: &mut Account) -> Result<(), Stop> {
    let counter = txn.read::<PreKeyCounter>(COUNTER_ID)?.unwrap_or_default();
    if !counter.uploaded {
        return upload(txn, live);
    }
    let staged = current_signed(txn, account)?;
    // Far in the future counts, too: a clock that ran ahead and was put right must not end the rotation for years.
    let is_due = txn.now.unix_seconds().abs_diff(account.signed_prekey_made) >= ROTATE_S;
    let offered = match account.signed_prekey_confirmed == staged.id.number() {
        // Made before, but the server never said that it has it: the same is offered again.
        false => Some(staged),
        true => is_due.then(|| make_signed(txn, account)),
    };
    tidy(txn)?;
    connect::activate(txn, live);
    txn.effect(Effect::Query(live.connection, Query::PreKeyCount));
    if let Some(key) = offered {
        let query = Query::Rotate { id: key.id.number(), key: published_signed(&key) };
        txn.effect(Effect::Query(live.connection, query));
    }
    Ok(())
}

/// The server says how many prekeys it has left.
pub(crate) fn counted(txn: &mut Txn<'_>, live: &Live, reply: &Reply) -> Result<(), Stop> {
    match query::parsed::<PreKeyCount>(reply) {
        Ok(left) => few_left(txn, live, left),
        Err(_) => Ok(()),
    }
}

/// Uploads more if `left` are too few.
pub(crate) fn few_left(txn: &mut Txn<'_>, live: &Live, left: u32) -> Result<(), Stop> {
    let counter = txn.read::<PreKeyCounter>(COUNTER_ID)?.unwrap_or_default();
    let is_early = txn.now.unix_seconds().abs_diff(counter.uploaded_at) < PAUSE_S;
    if left < LOW && !live.uploading && !is_early { upload(txn, live) } else { Ok(()) }
}

/// The server has the uploaded prekeys, or refused them.
pub(crate) fn uploaded(txn: &mut Txn<'_>, live: &Live, (next, signed): (u32, u32), reply: &Reply) -> Result<(), Stop> {
    let mut counter = txn.read::<PreKeyCounter>(COUNTER_ID)?.unwrap_or_default();
    if query::parsed::<PreKeyUpload>(reply).is_ok() {
        if let Some(account) = txn.read::<Account>(account::ID)? {
            confirm(txn, account, signed);
        }
        counter.unconfirmed = next;
        counter.uploaded = true;
        txn.write(COUNTER_ID, &counter);
    }
    txn.change(Step::Uploading(false));
    // The server delivers even to a device whose upload it refused: nothing is gained by staying deaf.
    if !live.ready {
        connect::activate(txn, live);
    }
    Ok(())
}

/// The server has the new signed prekey, or refuses it for good: then the next login offers another one.
pub(crate) fn rotated(txn: &mut Txn<'_>, id: u32, reply: &Reply) -> Result<(), Stop> {
    let Some(mut account) = txn.read::<Account>(account::ID)? else { return Ok(()) };
    match query::parsed::<RotateSignedPreKey>(reply) {
        Ok(()) => confirm(txn, account, id),
        Err(Failure::Refused(406 | 409)) if account.signed_prekey_id == id => {
            make_signed(txn, &mut account);
        }
        Err(_) => {}
    }
    Ok(())
}

/// The server hands out the signed prekey `id` from now on; of those before, the newest are kept for what is on its way.
fn confirm(txn: &mut Txn<'_>, mut account: Account, id: u32) {
    if account.signed_prekey_confirmed == id {
        return;
    }
    let gone = account.signed_prekeys.superseded(account.signed_prekey_confirmed, id);
    account.signed_prekey_confirmed = id;
    txn.write(account::ID, &account);
    gone.for_each(|old| txn.delete::<SignedPreKey>(record_id(old)));
}

/// Makes a one-time prekey that is never uploaded, for one peer that is asked to send again.
pub(crate) fn make_private(txn: &mut Txn<'_>, device: Vec<u8>) -> Result<Option<PublicPreKey>, Miss> {
    let mut counter = txn.read::<PreKeyCounter>(COUNTER_ID)?.unwrap_or_default();
    let Some(id) = PreKeyId::new(counter.take_private()) else { return Ok(None) };
    let key = PreKey::generate(id, txn.rng);
    let mut spent = txn.read::<SpentPreKeys>(spent::ID)?.unwrap_or_default();
    spent.note_given(id.number(), txn.now.unix_seconds(), device);
    retire(txn, &mut spent);
    txn.write(COUNTER_ID, &counter);
    txn.write(record_id(id.number()), &key);
    Ok(Some(published(&key)))
}

/// A session was made with a one-time prekey: it is of no use to anybody else, and goes when nobody can repeat the
/// message that made it.
pub(crate) fn used(txn: &mut Txn<'_>, id: PreKeyId, base_key: &PublicKey) -> Result<(), Miss> {
    let mut spent = txn.read::<SpentPreKeys>(spent::ID)?.unwrap_or_default();
    spent.note_used(id.number(), txn.now.unix_seconds(), *base_key.as_bytes());
    retire(txn, &mut spent);
    Ok(())
}

/// Deletes prekeys whose time is over.
fn tidy(txn: &mut Txn<'_>) -> Result<(), Miss> {
    if let Some(mut spent) = txn.read::<SpentPreKeys>(spent::ID)? {
        retire(txn, &mut spent);
    }
    Ok(())
}

fn retire(txn: &mut Txn<'_>, spent: &mut SpentPreKeys) {
    for id in spent.retire(txn.now.unix_seconds()) {
        txn.delete::<PreKey>(record_id(id));
    }
    txn.write(spent::ID, spent);
}

/// A signed prekey as it is published.
pub(crate) fn published_signed(key: &SignedPreKey) -> PublicSignedPreKey {
    let public = key.public();
    PublicSignedPreKey { id: public.id.number(), key: *public.key.as_bytes(), signature: *public.signature.as_bytes() }
}

/// Uploads a batch: what was stored but never confirmed first, so that a crash in between repeats the same keys.
fn upload(txn: &mut Txn<'_>, live: &Live) -> Result<(), Stop> {
    let Some(mut account) = txn.read::<Account>(account::ID)? else { return Ok(()) };
    let mut counter = txn.read::<PreKeyCounter>(COUNTER_ID)?.unwrap_or_default();
    let signed = published_signed(&current_signed(txn, &mut account)?);
    let spent = txn.read::<SpentPreKeys>(spent::ID)?.unwrap_or_default();
    // The server may have had some of them all the same, and somebody may have used them.
    let unconfirmed: Vec<u32> = counter.unconfirmed().into_iter().filter(|id| !spent.is_used(*id)).collect();
    txn.expect(unconfirmed.iter().map(|id| PreKey::key(record_id(*id))))?;
    let mut one_time = Vec::with_capacity(BATCH);
    for id in unconfirmed {
        if let Some(key) = txn.read::<PreKey>(record_id(id))? {
            one_time.push(published(&key));
        }
    }
    while one_time.len() < BATCH {
        let Some(id) = PreKeyId::new(counter.take()) else { continue };
        let key = PreKey::generate(id, txn.rng);
        one_time.push(published(&key));
        txn.write(record_id(id.number()), &key);
    }
    for id in counter.retire(POOL, 2 * BATCH) {
        txn.delete::<PreKey>(record_id(id));
    }
    counter.uploaded_at = txn.now.unix_seconds();
    txn.write(COUNTER_ID, &counter);
    let upload = PreKeyUpload {
        registration: account.registration_id.0,
        identity: *account.identity.public.as_bytes(),
        one_time,
        signed,
    };
    txn.change(Step::Uploading(true));
    txn.effect(Effect::Query(live.connection, Query::PreKeyUpload { upload: Box::new(upload), next: counter.next }));
    Ok(())
}

fn published(key: &PreKey) -> PublicPreKey {
    let public = key.public();
    PublicPreKey { id: public.id.number(), key: *public.key.as_bytes() }
}
