//! Unlinking this device.

use super::{Effect, Failure, Live, Query, Reply, Stop, Txn, TxnExt};
use crate::api::{Event, OpId, OpResult};

/// Asks the server to unlink this device.
pub(crate) fn begin(txn: &mut Txn<'_>, live: &Live, op: OpId) -> Result<(), Stop> {
    match &live.me {
        Some(me) if live.ready => {
            txn.effect(Effect::Query(live.connection, Query::Remove { op, device: me.pn.clone() }));
        }
        _ => txn.tell(Event::OperationFinished { op, result: OpResult::Lost }),
    }
    Ok(())
}

/// The server has answered; what follows on the stream ends the connection.
pub(crate) fn answered(txn: &mut Txn<'_>, op: OpId, reply: &Reply) {
    let result = match reply {
        Ok(_) => OpResult::Done,
        Err(Failure::Refused(code)) => OpResult::Refused(*code),
        Err(_) => OpResult::Lost,
    };
    txn.tell(Event::OperationFinished { op, result });
}
