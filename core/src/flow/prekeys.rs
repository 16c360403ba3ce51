//! The life of prekeys: made, stored, uploaded, handed out by the server, used once.

use super::{Effect, Live, Query, Reply, Step, Stop, Txn, connect, query};
use crate::signal::{PreKey, PreKeyId, SignedPreKey, SignedPreKeyId};
use crate::stanza::{PreKeyCount, PreKeyUpload, PublicPreKey, PublicSignedPreKey, RotateSignedPreKey};
use crate::state::account::{self, Account};
use crate::state::prekeys::{COUNTER_ID, PreKeyCounter, record_id};
use crate::state::{Miss, Stored};

/// How many prekeys are uploaded at a time; the web client's number.
const BATCH: usize = 812;

/// With fewer than this at the server, more are uploaded. Peers wait until 5 are left; a backlog of new contacts can
/// use up that many while the upload is on its way.
const LOW: u32 = 50;

/// A signed prekey is replaced after this long, in seconds: a week.
const ROTATE_S: u64 = 7 * 24 * 3600;

/// Signed prekeys kept, so that first messages on their way can still be opened.
const SIGNED_KEPT: u32 = 3;

/// Makes the account's next signed prekey and stores its private half.
pub(crate) fn make_signed(txn: &mut Txn<'_>, account: &mut Account) {
    let id = SignedPreKeyId::new(account.signed_prekey_id).map_or(SignedPreKeyId::FIRST, SignedPreKeyId::next);
    let now = txn.now.unix_seconds();
    let key = SignedPreKey::generate(id, &account.identity, now, txn.rng);
    txn.write(record_id(id.number()), &key);
    if let Some(old) = id.number().checked_sub(SIGNED_KEPT).filter(|old| *old > 0) {
        txn.delete::<SignedPreKey>(record_id(old));
    }
    account.signed_prekey_id = id.number();
    account.signed_prekey_made = now;
}

/// After the login: a device that never uploaded does so before the server delivers; others only look.
pub(crate) fn at_login(txn: &mut Txn<'_>, live: &Live, account: &mut Account) -> Result<(), Stop> {
    let counter = txn.read::<PreKeyCounter>(COUNTER_ID)?.unwrap_or_default();
    if !counter.uploaded {
        return upload(txn, live);
    }
    connect::activate(txn, live);
    txn.effect(Effect::Query(live.connection, Query::PreKeyCount));
    if txn.now.unix_seconds().saturating_sub(account.signed_prekey_made) >= ROTATE_S {
        make_signed(txn, account);
        txn.write(account::ID, account);
        if let Some(key) = signed_key(txn, account.signed_prekey_id)? {
            txn.effect(Effect::Query(live.connection, Query::Rotate { id: account.signed_prekey_id, key }));
        }
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
    if left < LOW && !live.uploading { upload(txn, live) } else { Ok(()) }
}

/// The server has the uploaded prekeys, or refused them.
pub(crate) fn uploaded(txn: &mut Txn<'_>, live: &Live, next: u32, reply: &Reply) -> Result<(), Stop> {
    let mut counter = txn.read::<PreKeyCounter>(COUNTER_ID)?.unwrap_or_default();
    if query::parsed::<PreKeyUpload>(reply).is_ok() {
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

/// The server has the new signed prekey, or wants another one: then the next login makes it.
pub(crate) fn rotated(txn: &mut Txn<'_>, id: u32, reply: &Reply) -> Result<(), Stop> {
    if query::parsed::<RotateSignedPreKey>(reply).is_ok() {
        return Ok(());
    }
    if let Some(mut account) = txn.read::<Account>(account::ID)?
        && account.signed_prekey_id == id
    {
        account.signed_prekey_made = 0;
        txn.write(account::ID, &account);
    }
    Ok(())
}

/// Makes a one-time prekey that is never uploaded, for one peer that is asked to send again.
pub(crate) fn make_private(txn: &mut Txn<'_>) -> Result<Option<PublicPreKey>, Miss> {
    let mut counter = txn.read::<PreKeyCounter>(COUNTER_ID)?.unwrap_or_default();
    let Some(id) = PreKeyId::new(counter.take_private()) else { return Ok(None) };
    let key = PreKey::generate(id, txn.rng);
    txn.write(COUNTER_ID, &counter);
    txn.write(record_id(id.number()), &key);
    Ok(Some(published(&key)))
}

/// The signed prekey `id` as it is published.
pub(crate) fn signed_key(txn: &mut Txn<'_>, id: u32) -> Result<Option<PublicSignedPreKey>, Miss> {
    let key = txn.read::<SignedPreKey>(record_id(id))?;
    Ok(key.map(|key| {
        let public = key.public();
        PublicSignedPreKey {
            id: public.id.number(),
            key: *public.key.as_bytes(),
            signature: *public.signature.as_bytes(),
        }
    }))
}

/// Uploads a batch: what was stored but never confirmed first, so that a crash in between repeats the same keys.
fn upload(txn: &mut Txn<'_>, live: &Live) -> Result<(), Stop> {
    let Some(account) = txn.read::<Account>(account::ID)? else { return Ok(()) };
    let mut counter = txn.read::<PreKeyCounter>(COUNTER_ID)?.unwrap_or_default();
    let Some(signed) = signed_key(txn, account.signed_prekey_id)? else { return Ok(()) };
    let unconfirmed = counter.unconfirmed();
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
