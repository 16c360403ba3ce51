//! Linking by a QR code: what the code says, and a new secret for it when the server wants one.

use super::linking::{self, ShownQr};
use super::{Live, Stop, Txn, TxnExt};
use crate::api::{Event, ProtocolProfile};
use crate::crypto::Secret;
use crate::pairing::QrCode;
use crate::state::account::{self, Account};

/// Shows the code of the reference whose turn it is. The secret in it is durable before anybody sees it.
pub(super) fn show(txn: &mut Txn<'_>, live: &Live, profile: &ProtocolProfile) -> Result<(), Stop> {
    let Some(account) = txn.read::<Account>(account::ID)? else { return Ok(()) };
    show_with(txn, live, profile, &account);
    Ok(())
}

/// The same with an account that is about to be written.
pub(super) fn show_with(txn: &mut Txn<'_>, live: &Live, profile: &ProtocolProfile, account: &Account) {
    let Some(ShownQr { reference, until }) = &live.linking.qr else { return };
    let code = QrCode {
        reference: reference.clone(),
        noise: account.noise.public,
        identity: account.identity.public,
        adv_secret: account.adv_secret.clone(),
        platform: Some(profile.platform.into()),
    };
    let valid_ms = until.saturating_sub(txn.now.mono);
    txn.news(live, Event::QrShown { text: code.to_text(), valid_ms });
}

/// The server wants another secret in the code. One that was derived with a phone is kept: that phone has it already.
pub(super) fn renew_secret(txn: &mut Txn<'_>, live: &Live, profile: &ProtocolProfile) -> Result<(), Stop> {
    let Some(mut account) = txn.read::<Account>(account::ID)? else { return Ok(()) };
    if account.linked.is_some() || linking::has_derived_secret(txn)? {
        return Ok(());
    }
    account.adv_secret = Secret::from(txn.rng.bytes::<32>());
    txn.write(account::ID, &account);
    show_with(txn, live, profile, &account);
    Ok(())
}
