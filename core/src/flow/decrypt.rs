//! From one ciphertext to its plaintext: loads what the ratchet needs, stores what it changed.

use super::receive::Origin;
use super::{Stop, Txn, ask, bundles, devices, identity, peers, prekeys, received};
use crate::api::UndecryptableReason;
use crate::crypto::PublicKey;
use crate::signal::{
    Accepted, Archive, DecryptError, Distribution, GroupDecryptError, GroupMessage, JumpLimit, LocalIdentity,
    OwnPreKeys, PreKey, PreKeyMessage, RetryReason, SenderKeyRecord, Session, SignalMessage, SignedPreKey,
};
use crate::stanza::{EncKind, IncomingEnc, IncomingMessage as Message};
use crate::state::account::{self, Account};
use crate::state::peer::sender_key_id;
use crate::state::prekeys::record_id;
use crate::state::ratchets::Identity;
use crate::state::sender_keys::{self, SenderKeyNames};
use crate::state::spent::{self, SpentPreKeys};
use crate::state::{Miss, Stored};

/// What became of a ciphertext.
pub(crate) enum Opened {
    /// The content, still padded.
    Plain(Vec<u8>),
    /// Its counter was used before: the server delivers it again because our answer was lost, or its sender has used
    /// the counter for another message.
    Used,
    /// It does not open now; the sender may be able to send it again.
    Failed(UndecryptableReason, RetryReason),
    /// Its kind is not known.
    Unknown,
}

/// Opens one ciphertext of `message`.
pub(crate) fn open(txn: &mut Txn<'_>, message: &Message, origin: &Origin, enc: &IncomingEnc) -> Result<Opened, Stop> {
    if enc.version != 2 {
        return Ok(Opened::Unknown);
    }
    let Some(account) = txn.read::<Account>(account::ID)? else { return Ok(Opened::Unknown) };
    let id = origin.device_id();
    let limit = if origin.from_me { JumpLimit::OWN_DEVICE } else { JumpLimit::CONTACT };
    let bytes = &enc.ciphertext.bytes;
    match enc.ciphertext.kind {
        EncKind::Message => pairwise(txn, &account, id, bytes, limit),
        EncKind::PreKeyMessage => first(txn, &account, message, origin, bytes, limit),
        EncKind::SenderKeyMessage => group(txn, message, origin, bytes),
        _ => Ok(Opened::Unknown),
    }
}

/// Keeps a sender key that came with a message, for the ones encrypted with it.
pub(crate) fn learn_sender_key(
    txn: &mut Txn<'_>,
    message: &Message,
    origin: &Origin,
    distribution: &[u8],
) -> Result<(), Stop> {
    let Ok(distribution) = Distribution::parse(distribution) else { return Ok(()) };
    let (id, mut record) = sender_keys(txn, message, origin)?;
    if record.process(&distribution) {
        keep_sender_keys(txn, id, &record)?;
    }
    Ok(())
}

/// Keeps sender keys; a new record is noted in the list of all.
pub(crate) fn keep_sender_keys(txn: &mut Txn<'_>, id: Vec<u8>, record: &SenderKeyRecord) -> Result<(), Miss> {
    if txn.read::<SenderKeyRecord>(id.clone())?.is_none() {
        let mut names = txn.read::<SenderKeyNames>(sender_keys::ID)?.unwrap_or_default();
        if let Some((piece, full)) = names.add(id.clone()) {
            txn.write(piece, &full);
        }
        txn.write(sender_keys::ID, &names);
    }
    txn.write(id, record);
    Ok(())
}

fn pairwise(txn: &mut Txn<'_>, account: &Account, id: Vec<u8>, bytes: &[u8], limit: JumpLimit) -> Result<Opened, Stop> {
    let message = match SignalMessage::parse(bytes) {
        Ok(message) => message,
        Err(error) => return Ok(failed(error.into())),
    };
    let Some(known) = known(txn, &id)? else { return Ok(failed(DecryptError::NoSession)) };
    let own = &account.identity.public;
    with_archive(txn, id, known, |session, archive| session.decrypt(archive, &message, own, limit))
}

/// A session to try, and the archive where it was needed to find one.
struct Known {
    session: Session,
    /// Loaded if there is no current session: `session` was taken out of it then.
    archive: Option<Archive>,
}

/// The session with a device. One that was given up is tried as well: what the device sent before it knew still comes.
fn known(txn: &mut Txn<'_>, id: &[u8]) -> Result<Option<Known>, Stop> {
    if let Some(session) = txn.read::<Session>(id.to_vec())? {
        return Ok(Some(Known { session, archive: None }));
    }
    let Some(mut archive) = txn.read::<Archive>(id.to_vec())? else { return Ok(None) };
    Ok(archive.take_newest().map(|session| Known { session, archive: Some(archive) }))
}

/// Opens a message that may set a session up.
fn first(
    txn: &mut Txn<'_>,
    account: &Account,
    stanza: &Message,
    origin: &Origin,
    bytes: &[u8],
    limit: JumpLimit,
) -> Result<Opened, Stop> {
    let message = match PreKeyMessage::parse(bytes) {
        Ok(message) => message,
        Err(error) => return Ok(failed(error.into())),
    };
    let id = origin.device_id();
    if !is_vouched_for(txn, stanza, origin, message.identity())? {
        return Ok(Opened::Failed(UndecryptableReason::BadIdentity, RetryReason::AdvFailure));
    }
    if let Some(known) = known(txn, &id)? {
        let own = &account.identity.public;
        let opened = with_archive(txn, id.clone(), known, |session, archive| {
            session.decrypt_prekey(archive, &message, own, limit)
        })?;
        if !matches!(opened, Opened::Failed(_, RetryReason::NoSession)) {
            return Ok(opened);
        }
    }
    if was_accepted(txn, &message)? || is_redelivered(txn, stanza, origin)? {
        return Ok(Opened::Used);
    }
    let Some(signed) = txn.read::<SignedPreKey>(record_id(message.signed_prekey_id().number()))? else {
        return Ok(failed(DecryptError::UnknownSignedPreKey));
    };
    let one_time = match message.prekey_id() {
        None => None,
        Some(prekey) => match txn.read::<PreKey>(record_id(prekey.number()))? {
            Some(key) if !is_taken(txn, &key, &message)? => Some(key),
            _ => return Ok(failed(DecryptError::UnknownPreKey)),
        },
    };
    let old = txn.read::<Session>(id.clone())?;
    let mut archive = txn.read::<Archive>(id.clone())?.unwrap_or_default();
    let own = LocalIdentity { keys: &account.identity, registration_id: account.registration_id };
    let prekeys = OwnPreKeys { signed: &signed, one_time: one_time.as_ref() };
    let accepted = Session::accept(old.as_ref(), Some(&mut archive), own, prekeys, &message, limit);
    match accepted {
        Ok(Accepted { session, plaintext, archive_changed }) => {
            identity::shown(txn, origin.sender_peer, origin.sender.device(), message.identity())?;
            txn.write(id.clone(), &session);
            if archive_changed {
                txn.write(id, &archive);
            }
            if let Some(key) = one_time {
                prekeys::used(txn, key.id, message.base_key())?;
            }
            peers::note_device(txn, origin.sender_peer, origin.sender.device())?;
            devices::seen(txn, origin.sender_peer, origin.sender.device())?;
            Ok(Opened::Plain(plaintext))
        }
        Err(error) => Ok(failed(error)),
    }
}

/// Whether the session that this message sets up was set up before. If it is gone since, with the identity it was made with,
/// the message is one that the server delivers again: to set the session up once more would show it twice. Later messages
/// that still bring the session along may be new ones, so only the first of all counts.
fn was_accepted(txn: &mut Txn<'_>, message: &PreKeyMessage<'_>) -> Result<bool, Stop> {
    let Some(prekey) = message.prekey_id().filter(|_| message.message().counter() == 0) else { return Ok(false) };
    let spent = txn.read::<SpentPreKeys>(spent::ID)?.unwrap_or_default();
    Ok(spent.was_used_with(prekey.number(), message.base_key().as_bytes()))
}

/// Whether this very message was received, in a session that is gone since: its key alone cannot tell, if it used none or
/// came with a later counter. A copy that was asked for is not shown either, but its session is the newer one.
fn is_redelivered(txn: &mut Txn<'_>, stanza: &Message, origin: &Origin) -> Result<bool, Stop> {
    Ok(!ask::was_read(txn, stanza, origin)? && received::knows(txn, stanza, origin)?)
}

/// Whether another session was made with this key: it is kept for that one only.
fn is_taken(txn: &mut Txn<'_>, key: &PreKey, message: &PreKeyMessage<'_>) -> Result<bool, Stop> {
    let spent = txn.read::<SpentPreKeys>(spent::ID)?.unwrap_or_default();
    Ok(spent.is_taken(key.id.number(), message.base_key().as_bytes()))
}

/// Whether the phone of the sender has signed the companion that sends. Own devices must show it; of others, what is
/// shown must be true.
fn is_vouched_for(txn: &mut Txn<'_>, stanza: &Message, origin: &Origin, identity: &PublicKey) -> Result<bool, Stop> {
    if origin.sender.device() == 0 && !origin.from_me {
        return Ok(true);
    }
    let primary = txn.read::<Identity>(origin.sender_peer.device_id(0))?;
    if origin.sender.device() == 0 {
        // The own phone's key was checked when this device was linked; with another one, this device would not be.
        return Ok(primary.is_none_or(|known| known.0 == *identity));
    }
    Ok(match &stanza.device_identity {
        Some(statement) => bundles::is_authentic(statement, identity, primary.as_ref()),
        None => !origin.from_me,
    })
}

/// Tries with the session alone; the archive is only loaded for what is not in order.
fn with_archive(
    txn: &mut Txn<'_>,
    id: Vec<u8>,
    known: Known,
    mut decrypt: impl FnMut(&mut Session, Option<&mut Archive>) -> Result<crate::signal::Opened, DecryptError>,
) -> Result<Opened, Stop> {
    let Known { mut session, mut archive } = known;
    let was_given_up = archive.is_some();
    let result = match decrypt(&mut session, archive.as_mut()) {
        Err(DecryptError::NeedsArchive) if archive.is_none() => {
            let loaded = archive.insert(txn.read::<Archive>(id.clone())?.unwrap_or_default());
            decrypt(&mut session, Some(loaded))
        }
        other => other,
    };
    match result {
        Ok(opened) => {
            txn.write(id.clone(), &session);
            if let (Some(archive), true) = (&archive, opened.archive_changed || was_given_up) {
                txn.write(id, archive);
            }
            Ok(Opened::Plain(opened.plaintext))
        }
        Err(error) => Ok(failed(error)),
    }
}

fn group(txn: &mut Txn<'_>, message: &Message, origin: &Origin, bytes: &[u8]) -> Result<Opened, Stop> {
    let parsed = match GroupMessage::parse(bytes) {
        Ok(parsed) => parsed,
        Err(error) => return Ok(group_failed(error.into())),
    };
    let (id, mut record) = sender_keys(txn, message, origin)?;
    match record.decrypt(&parsed) {
        Ok(plaintext) => {
            txn.write(id, &record);
            Ok(Opened::Plain(plaintext))
        }
        Err(error) => Ok(group_failed(error)),
    }
}

/// The keys that the sending device has given out for the group, and the id of their record. What it gave out while it was
/// known as another peer is brought over here: no index of it is kept, since peers are folded once in years and keys come
/// every day.
fn sender_keys(txn: &mut Txn<'_>, message: &Message, origin: &Origin) -> Result<(Vec<u8>, SenderKeyRecord), Stop> {
    let (group, device) = (&message.address.from, origin.sender.device());
    let id = sender_key_id(group, origin.sender_peer, device);
    let folded = peers::read(txn, origin.sender_peer)?.folded;
    let former: Vec<Vec<u8>> = folded.into_iter().map(|peer| sender_key_id(group, peer, device)).collect();
    txn.expect(former.iter().chain([&id]).map(|id| SenderKeyRecord::key(id.clone())))?;
    let mut record = txn.read::<SenderKeyRecord>(id.clone())?.unwrap_or_default();
    for former in former {
        if let Some(older) = txn.read::<SenderKeyRecord>(former.clone())? {
            record.absorb(older);
            keep_sender_keys(txn, id.clone(), &record)?;
            txn.delete::<SenderKeyRecord>(former);
        }
    }
    Ok((id, record))
}

fn failed(error: DecryptError) -> Opened {
    let Some(retry) = error.retry_reason() else { return Opened::Used };
    let reason = match error {
        DecryptError::NoSession => UndecryptableReason::NoSession,
        DecryptError::UnknownPreKey | DecryptError::UnknownSignedPreKey => UndecryptableReason::UnknownPreKey,
        DecryptError::TooFarInFuture => UndecryptableReason::TooFarAhead,
        _ => UndecryptableReason::Damaged,
    };
    Opened::Failed(reason, retry)
}

fn group_failed(error: GroupDecryptError) -> Opened {
    let Some(retry) = error.retry_reason() else { return Opened::Used };
    let reason = match error {
        GroupDecryptError::NoSenderKey => UndecryptableReason::NoSenderKey,
        GroupDecryptError::TooFarInFuture => UndecryptableReason::TooFarAhead,
        _ => UndecryptableReason::Damaged,
    };
    Opened::Failed(reason, retry)
}
