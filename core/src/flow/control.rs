//! What devices of this account tell each other about the account: who may, and what follows. Nobody's word counts here
//! but the own phone's.

use super::receive::Origin;
use super::{Live, Stop, Txn, inbox, learn, placeholder};
use crate::api::{Event, SuspiciousKind, SuspiciousMessage};
use crate::message::{Control, Protocol, lid_mappings};
use crate::stanza::IncomingMessage;

/// Who sent something, as far as it may be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    /// This account's phone.
    OwnPhone,
    /// Another companion of this account.
    OwnCompanion,
    /// Anybody else.
    Other,
}

impl Origin {
    /// How far the sender is trusted. Its session proves who it is: the phone's key is known from linking.
    pub(crate) fn trust(&self) -> From {
        match (self.from_me, self.sender.device()) {
            (true, 0) => From::OwnPhone,
            (true, _) => From::OwnCompanion,
            (false, _) => From::Other,
        }
    }
}

/// Takes a control message. `is_direct`: it was sent to this device alone, not as a copy of something for somebody else.
/// False if it says nothing that can be read.
pub(crate) fn take(
    txn: &mut Txn<'_>,
    live: &Live,
    message: &IncomingMessage,
    origin: &Origin,
    (control, protocol): (Control, Protocol<'_>),
    is_direct: bool,
) -> Result<bool, Stop> {
    if origin.trust() != From::OwnPhone || !is_direct || message.address.participant.is_some() {
        suspect(txn, message, origin, kind_of(control))?;
        return Ok(true);
    }
    match control {
        Control::DataAnswer => placeholder::answered(txn, live, protocol.bytes)?,
        Control::LidMapping => {
            let Ok(mappings) = lid_mappings(protocol.bytes) else { return Ok(false) };
            learn::from_phone(txn, &mappings)?;
        }
        // What is not acted on is still no message for a person.
        _ => {}
    }
    Ok(true)
}

/// Tells the application of something that only an own device may send.
pub(crate) fn suspect(
    txn: &mut Txn<'_>,
    message: &IncomingMessage,
    origin: &Origin,
    kind: SuspiciousKind,
) -> Result<(), Stop> {
    let (id, sender, sender_aliases) = (message.id.clone(), origin.sender.clone(), origin.sender_aliases.clone());
    let found = SuspiciousMessage { id, sender, sender_aliases, kind };
    inbox::deliver(txn, Event::SuspiciousMessage(Box::new(found)))?;
    Ok(())
}

const fn kind_of(control: Control) -> SuspiciousKind {
    match control {
        Control::HistoryNotice => SuspiciousKind::HistoryNotice,
        Control::KeyShare => SuspiciousKind::AppStateKeyShare,
        Control::KeyRequest => SuspiciousKind::AppStateKeyRequest,
        Control::BackfillRequest => SuspiciousKind::BackfillRequest,
        Control::SecuritySettings => SuspiciousKind::SecuritySettings,
        Control::FatalException => SuspiciousKind::AppStateFailure,
        Control::DataRequest => SuspiciousKind::DataRequest,
        Control::DataAnswer => SuspiciousKind::DataAnswer,
        Control::LidMapping => SuspiciousKind::LidMapping,
    }
}
