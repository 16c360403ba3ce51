//! What the server tells about keys and devices; everything is acknowledged once.

use super::{Live, Stop, Txn, TxnExt, devices, identity, learn, prekeys, restriction, tokens};
use crate::stanza::{Ack, IncomingCall, Notification, NotificationKind};
use crate::state::peer::AliasSource;

/// Takes one notification.
pub(crate) fn received(txn: &mut Txn<'_>, live: &Live, notification: &Notification) -> Result<(), Stop> {
    match &notification.kind {
        NotificationKind::PreKeysLow { count } => prekeys::few_left(txn, live, *count)?,
        NotificationKind::IdentityChanged => {
            let from = &notification.address.from;
            identity::changed(txn, from, notification.timestamp)?;
            tokens::issue_again(txn, live, from)?;
        }
        NotificationKind::PrivacyTokens { sender_lid, tokens } => {
            tokens::received(txn, notification, sender_lid.as_ref(), tokens)?;
        }
        NotificationKind::Restricted(stated) => restriction::stated(txn, stated)?,
        NotificationKind::Devices(change) => {
            let from = &notification.address.from;
            if let (Some(lid), true) = (&change.lid, from.is_pn_family()) {
                let claim = learn::claim(txn, AliasSource::Notification, notification.timestamp);
                learn::pair(txn, from, lid, claim)?;
            }
            devices::changed(txn, from)?;
        }
        NotificationKind::NumberChanged(change) => {
            learn::number_changed(txn, live, change, notification.timestamp)?;
        }
        NotificationKind::OwnDevices(_) => {
            if let Some(me) = live.me.as_ref().filter(|me| me.is_me(&notification.address.from)) {
                devices::changed(txn, &me.pn)?;
            }
        }
        _ => {}
    }
    let ack = Ack::of(notification.address.clone());
    txn.send(live, &ack);
    Ok(())
}

/// Calls are not taken; the server only wants to know that this device heard.
pub(crate) fn call(txn: &mut Txn<'_>, live: &Live, call: &IncomingCall) {
    let ack = Ack::of(call.address.clone());
    txn.send(live, &ack);
}
