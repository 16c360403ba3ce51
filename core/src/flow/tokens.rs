//! Trusted-contact tokens: kept as they come, shown with messages, issued once a week to whoever is written to.

use super::{Effect, Live, Need, Query, Reply, Step, Stop, Txn, learn, peers, query};
use crate::message::{is_contact_token_due, is_contact_token_valid};
use crate::stanza::{ContactToken, IssueToken, Notification, PrivacyToken};
use crate::state::Miss;
use crate::state::peer::{AliasSource, PeerId};
use crate::state::tokens::{ContactTokens, Issued};
use crate::types::Jid;
use bytes::Bytes;

/// The only kind there is.
const KIND: &str = "trusted_contact";

/// Bytes of a token; real ones stay far below.
const MOST_BYTES: usize = 256;

/// A contact has issued tokens.
pub(crate) fn received(
    txn: &mut Txn<'_>,
    notification: &Notification,
    sender_lid: Option<&Jid>,
    tokens: &[PrivacyToken],
) -> Result<(), Stop> {
    let from = &notification.address.from;
    if !from.is_pn_family() && !from.is_lid_family() {
        return Ok(());
    }
    if let (Some(lid), true) = (sender_lid, from.is_pn_family()) {
        let claim = learn::claim(txn, AliasSource::Notification, notification.timestamp);
        learn::pair(txn, from, lid, claim)?;
    }
    let peer = peers::resolve(txn, from)?;
    for token in tokens {
        take(txn, peer, token)?;
    }
    Ok(())
}

/// Keeps a token that `peer` issued, unless a newer one is known.
fn take(txn: &mut Txn<'_>, peer: PeerId, token: &PrivacyToken) -> Result<(), Miss> {
    if token.kind != KIND || token.token.is_empty() || token.token.len() > MOST_BYTES || peer == PeerId::SELF {
        return Ok(());
    }
    let mut known = txn.read::<ContactTokens>(peer.record_id())?.unwrap_or_default();
    let at = token.timestamp.unwrap_or_else(|| txn.now.unix_seconds());
    known.take(Issued { token: token.token.clone(), at });
    txn.write(peer.record_id(), &known);
    Ok(())
}

/// The token that `peer` issued, while it holds.
pub(crate) fn held(txn: &mut Txn<'_>, peer: PeerId) -> Result<Option<Bytes>, Miss> {
    let now = txn.now.unix_seconds();
    let known = txn.read::<ContactTokens>(peer.record_id())?;
    let issued = known.and_then(|known| known.theirs).filter(|issued| is_contact_token_valid(issued.at, now));
    Ok(issued.map(|issued| issued.token))
}

/// What a message to `peer` shows.
pub(crate) fn shown(txn: &mut Txn<'_>, peer: PeerId, chat: &Jid) -> Result<Option<ContactToken>, Miss> {
    if peer == PeerId::SELF || chat.is_bot() {
        return Ok(None);
    }
    Ok(held(txn, peer)?.map(ContactToken::Trusted))
}

/// A message to `chat` was taken: its user gets a token of this week, if there was none yet.
pub(crate) fn issue_if_due(txn: &mut Txn<'_>, live: &Live, chat: &Jid) -> Result<(), Stop> {
    let peer = peers::of(txn, live, chat)?;
    if peer == PeerId::SELF || chat.is_bot() || live.issuing.contains(&peer) {
        return Ok(());
    }
    let now = txn.now.unix_seconds();
    let ours = txn.read::<ContactTokens>(peer.record_id())?.and_then(|known| known.ours);
    if !ours.is_none_or(|ours| is_contact_token_due(ours, now)) {
        return Ok(());
    }
    let user = user(txn, peer, chat)?;
    if live.trouble.wait(&Need::Token(user.clone()), txn.now.mono).is_none() {
        issue(txn, live, peer, user, now);
    }
    Ok(())
}

/// A contact has registered anew and lost the token that it had: it gets one again, of the same time.
pub(crate) fn issue_again(txn: &mut Txn<'_>, live: &Live, user: &Jid) -> Result<(), Stop> {
    // Only the phone counts: companions come and go.
    let Some(peer) = peers::find(txn, user)?.filter(|peer| *peer != PeerId::SELF && user.device() == 0) else {
        return Ok(());
    };
    let now = txn.now.unix_seconds();
    let ours = txn.read::<ContactTokens>(peer.record_id())?.and_then(|known| known.ours);
    if let Some(ours) = ours.filter(|ours| is_contact_token_valid(*ours, now)) {
        let user = self::user(txn, peer, user)?;
        issue(txn, live, peer, user, ours);
    }
    Ok(())
}

/// The address under which a contact is brought a token.
fn user(txn: &mut Txn<'_>, peer: PeerId, address: &Jid) -> Result<Jid, Miss> {
    Ok(peers::aliases(txn, peer)?.lid.unwrap_or_else(|| address.to_user()))
}

fn issue(txn: &mut Txn<'_>, live: &Live, peer: PeerId, user: Jid, timestamp: u64) {
    txn.change(Step::Issuing(peer));
    txn.effect(Effect::Query(live.connection, Query::Token(IssueToken { user, timestamp })));
}

/// The server has passed a token on, or not; and perhaps says what the contact has issued.
pub(crate) fn answered(txn: &mut Txn<'_>, live: &Live, asked: &IssueToken, reply: &Reply) -> Result<(), Stop> {
    let found = query::parsed::<IssueToken>(reply);
    let peer = peers::of(txn, live, &asked.user)?;
    if let Ok(tokens) = &found {
        let mut known = txn.read::<ContactTokens>(peer.record_id())?.unwrap_or_default();
        known.ours = known.ours.max(Some(asked.timestamp));
        txn.write(peer.record_id(), &known);
        for (user, token) in tokens {
            if peers::find(txn, user)? == Some(peer) {
                take(txn, peer, token)?;
            }
        }
    }
    txn.change(Step::Issued(peer));
    txn.change(Step::Settle(Need::Token(asked.user.clone()), found.map(|_| ())));
    Ok(())
}
