//! The account's restriction: kept as the server states it, and told apart from a missing token.

use super::{Need, Reply, Step, Stop, Txn, TxnExt, query};
use crate::api::{Event, Restriction};
use crate::stanza::{AccountRestriction, RestrictionQuery};
use crate::state::Miss;
use crate::state::restriction::{ID, Restricted};

/// The restriction that is in force now, as far as is known.
pub(crate) fn in_force(txn: &mut Txn<'_>) -> Result<Option<Restriction>, Miss> {
    let now = txn.now.unix_seconds();
    Ok(txn.read::<Restricted>(ID)?.map(|known| known.0).filter(|known| known.holds_at(now)))
}

/// Takes what the server says of it.
pub(crate) fn stated(txn: &mut Txn<'_>, stated: &AccountRestriction) -> Result<(), Miss> {
    let known = txn.read::<Restricted>(ID)?.map(|known| known.0);
    let new = Restriction { kind: stated.kind.to_string(), until: stated.until };
    let new = Some(new).filter(|new| stated.is_active && new.holds_at(txn.now.unix_seconds()));
    if known == new {
        return Ok(());
    }
    match &new {
        Some(new) => txn.write(ID, &Restricted(new.clone())),
        None => txn.delete::<Restricted>(ID),
    }
    txn.change(Step::Restricted(new.clone()));
    txn.tell(Event::RestrictionChanged { restriction: new });
    Ok(())
}

/// Takes the server's answer to the question for it.
pub(crate) fn answered(txn: &mut Txn<'_>, reply: &Reply) -> Result<(), Stop> {
    let found = query::parsed::<RestrictionQuery>(reply);
    if let Ok(found) = &found {
        stated(txn, found)?;
    }
    txn.change(Step::Settle(Need::Restriction, found.map(|_| ())));
    Ok(())
}
