//! Linking: the phone has scanned the code and answers.

use super::{Effect, Live, Me, Step, Stop, Txn, TxnExt, peers};
use crate::api::{Event, LinkFailure, LinkStep};
use crate::pairing::adv;
use crate::stanza::{PairDeviceSign, PairSuccess, Refusal};
use crate::state::account::{self, Account, Linked};
use crate::state::peer::PeerId;
use crate::state::ratchets::Identity;
use crate::types::Jid;

/// Checks the phone's answer. What it grants is durable before the server is told that it was accepted.
pub(crate) fn confirm(txn: &mut Txn<'_>, live: &Live, id: &str, success: &PairSuccess) -> Result<(), Stop> {
    let Some(mut account) = txn.read::<Account>(account::ID)? else { return Ok(()) };
    if account.linked.is_some() {
        return Ok(());
    }
    let random = txn.rng.bytes();
    let checked = adv::verify_pair_success(&success.device_identity, &account.adv_secret, &account.identity, &random);
    let accepted = match checked {
        Ok(accepted) => accepted,
        Err(refusal) => {
            let (code, text) = (u32::from(refusal.code()), refusal.text());
            let refusal = Refusal { id: id.into(), to: Jid::server_itself(), code, text };
            txn.send(live, &refusal);
            txn.tell(Event::LinkFailed(LinkFailure { step: LinkStep::Verification, reason: text }));
            txn.effect(Effect::LinkRefused(live.connection));
            return Ok(());
        }
    };
    let platform = success.platform.as_deref().unwrap_or_default().to_owned();
    account.linked = Some(Linked {
        pn: success.jid.clone(),
        lid: success.lid.clone(),
        device_identity: accepted.account,
        platform: platform.clone(),
    });
    txn.write(account::ID, &account);
    peers::set_own(txn, &success.jid, success.lid.as_ref())?;
    txn.write(PeerId::SELF.device_id(0), &Identity(accepted.account_key));
    txn.change(Step::Me(Me { pn: success.jid.clone(), lid: success.lid.clone() }));
    txn.effect(Effect::LinkDone(live.connection));
    let reply = PairDeviceSign { id: id.into(), key_index: accepted.key_index, device_identity: accepted.reply };
    txn.send(live, &reply);
    txn.tell(Event::Linked { jid: success.jid.clone(), lid: success.lid.clone(), platform });
    Ok(())
}
