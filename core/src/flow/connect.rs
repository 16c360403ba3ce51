//! From nothing to messages: making the account, opening, logging in, telling the server to deliver.

use super::{Effect, Failure, Left, Live, Me, Query, Reply, Step, Stop, Txn, TxnExt, devices, learn, prekeys, send};
use crate::api::{Event, Key, ProtocolProfile};
use crate::crypto::{KeyPair, PublicKey};
use crate::pairing::payload::{Registration, login_payload, registration_payload};
use crate::stanza::{InfoBroadcast, Success, UnifiedSession};
use crate::state::Miss;
use crate::state::account::{self, Account, ServerKey};
use crate::state::inbox::{self, InboxCursor};
use crate::state::life::{self, Life};
use crate::state::outbox::{self, OutboxCursor};
use crate::state::peer::AliasSource;
use crate::state::restriction::{self, Restricted};
use crate::types::Jid;
use bytes::Bytes;

/// What the next connection begins with.
pub(crate) struct Opening {
    pub(crate) noise: KeyPair,
    /// What this client says of itself: a login if it is linked, else a registration.
    pub(crate) payload: Bytes,
    pub(crate) routing_info: Bytes,
    /// The version that the payload announces.
    pub(crate) version: [u32; 3],
    /// The server's key, if a shorter handshake may be tried.
    pub(crate) server_key: Option<PublicKey>,
}

/// Asks for a connection, once the keys that it will publish are durable.
pub(crate) fn open(txn: &mut Txn<'_>, live: &Live, profile: &ProtocolProfile) -> Result<(), Stop> {
    let mut account = match txn.read::<Account>(account::ID)? {
        Some(account) => account,
        None => {
            let mut account = Account::create(txn.rng);
            prekeys::make_signed(txn, &mut account);
            txn.write(life::ID, &Life(live.epoch));
            account
        }
    };
    let payload = match &account.linked {
        // A phone number is digits; the server refuses a device whose address it did not give itself.
        Some(linked) => login_payload(profile, linked.pn.user().parse().unwrap_or(0), linked.pn.device()),
        None => {
            let signed = prekeys::current_signed(txn, &mut account)?.public();
            let keys = Registration {
                registration_id: account.registration_id.0,
                identity: account.identity.public,
                signed_prekey_id: signed.id.number(),
                signed_prekey: signed.key,
                signature: signed.signature,
            };
            registration_payload(profile, &keys)
        }
    };
    let now = txn.now.unix_seconds();
    let valid = |known: &ServerKey| known.not_before <= now && now <= known.not_after;
    let server_key = account.server_key.filter(valid).filter(|_| account.linked.is_some());
    txn.effect(Effect::Open(Box::new(Opening {
        noise: account.noise,
        payload,
        routing_info: account.routing_info,
        version: profile.version,
        server_key: server_key.map(|known| PublicKey::from_bytes(known.key)),
    })));
    Ok(())
}

/// Keeps, or forgets, the server's key for a shorter handshake next time.
pub(crate) fn remember(txn: &mut Txn<'_>, server_key: Option<ServerKey>) -> Result<(), Miss> {
    if let Some(account) = txn.read::<Account>(account::ID)?
        && account.server_key != server_key
    {
        txn.write(account::ID, &Account { server_key, ..account });
    }
    Ok(())
}

/// Raises the epoch after a restore, so that whoever restored before is fenced off.
pub(crate) fn claim(txn: &mut Txn<'_>, live: &Live) {
    txn.write(life::ID, &Life(live.epoch));
}

/// Reads, once nobody else can write any more, how the account was left. What was read before the takeover may have
/// been written again since.
pub(crate) fn take_over(txn: &mut Txn<'_>, live: &Live, roots: &[Key]) -> Result<(), Stop> {
    if !live.claimed {
        return Err(Stop::Settle);
    }
    txn.expect(roots.iter().cloned())?;
    let account = txn.read::<Account>(account::ID)?;
    let inbox = txn.read::<InboxCursor>(inbox::CURSOR_ID)?.unwrap_or_default();
    let outbox = txn.read::<OutboxCursor>(outbox::CURSOR_ID)?.unwrap_or_default();
    let restriction = txn.read::<Restricted>(restriction::ID)?.map(|known| known.0);
    let has_account = account.is_some();
    let linked = account.and_then(|account| account.linked);
    txn.change(Step::TakenOver(Left {
        has_account,
        me: linked.map(|linked| Me { pn: linked.pn, lid: linked.lid }),
        inbox: (inbox.behind, inbox.first..inbox.next),
        outbox: (outbox.behind, outbox.pending..outbox.next),
        restriction,
    }));
    Ok(())
}

/// `<success>`: the server knows this device.
pub(crate) fn logged_in(txn: &mut Txn<'_>, live: &Live, success: &Success) -> Result<(), Stop> {
    let Some(mut account) = txn.read::<Account>(account::ID)? else { return Ok(()) };
    let Some(linked) = &mut account.linked else { return Ok(()) };
    let now = success.time.map_or(txn.now.unix, |seconds| seconds.saturating_mul(1000));
    txn.send(live, &UnifiedSession::at(now));
    if let Some(lid) = &success.lid
        && linked.lid.as_ref() != Some(lid)
    {
        linked.lid = Some(lid.clone());
        let (pn, lid) = (linked.pn.clone(), lid.clone());
        let claim = learn::claim(txn, AliasSource::OwnLogin, None);
        learn::own(txn, &pn, Some(&lid), claim)?;
        txn.change(Step::Me(Me { pn, lid: Some(lid) }));
        txn.write(account::ID, &account);
    }
    prekeys::at_login(txn, live, &mut account)
}

/// Tells the server to deliver; called when it has prekeys to give to others.
pub(crate) fn activate(txn: &mut Txn<'_>, live: &Live) {
    if !live.activating {
        txn.change(Step::Activating);
        txn.effect(Effect::Query(live.connection, Query::Active));
    }
}

/// The server delivers from now on.
pub(crate) fn activated(txn: &mut Txn<'_>, live: &Live, reply: &Reply) -> Result<(), Stop> {
    // Without an answer the connection is as good as gone; a refusal changes nothing for anybody.
    if matches!(reply, Err(Failure::Lost)) {
        return Ok(());
    }
    send::resume(txn, live)?;
    txn.change(Step::Ready);
    super::placeholder::at_login(txn)?;
    txn.news(live, Event::Connected);
    Ok(())
}

/// `<ib>`: things the server tells this connection.
pub(crate) fn informed(txn: &mut Txn<'_>, live: &Live, news: &InfoBroadcast) -> Result<(), Stop> {
    match news {
        InfoBroadcast::Offline { count } => {
            // Told after the events of what was drained: reading where they are kept waits for their commit.
            txn.read::<InboxCursor>(inbox::CURSOR_ID)?;
            txn.change(Step::Drained);
            txn.news(live, Event::OfflineDrained { count: *count });
        }
        InfoBroadcast::EdgeRouting { routing_info, .. } if !routing_info.is_empty() => {
            if let Some(mut account) = txn.read::<Account>(account::ID)?
                && account.routing_info != *routing_info
            {
                account.routing_info = routing_info.clone();
                txn.write(account::ID, &account);
            }
        }
        InfoBroadcast::ClientExpiration { time } => txn.news(live, Event::ClientExpiring { at: *time }),
        InfoBroadcast::Dirty { kind, timestamp } => {
            if let (Some(me), "account_sync") = (&live.me, kind.as_str()) {
                devices::changed(txn, &me.pn)?;
            }
            txn.effect(Effect::Query(live.connection, Query::Clean { kind: kind.clone(), timestamp: *timestamp }));
        }
        _ => {}
    }
    Ok(())
}

/// Bytes of a user part that callers may hand in; real ones stay below 20.
const USER_BYTES: usize = 128;

/// Whether `jid` can be sent to: a user, by phone number or LID.
pub(crate) fn is_user(jid: &Jid) -> bool {
    (1..=USER_BYTES).contains(&jid.user().len()) && (jid.is_pn_family() || jid.is_lid_family()) && jid.is_readable()
}
