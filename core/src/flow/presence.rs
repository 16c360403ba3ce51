//! Presence, typing, and the name this account gives itself.

use super::{Live, Step, Stop, Txn, TxnExt, peers, tokens};
use crate::api::{ChatState, ChatStateEvent, Event, OpId, OpResult, Presence, PresenceEvent};
use crate::stanza::{
    self, IncomingChatState, IncomingPresence, LastSeen, PresenceSubscription, Typing, UnifiedSession,
};
use crate::state::account::{self, Account};
use crate::types::Jid;

/// Announces this device as available or not.
pub(crate) fn set(txn: &mut Txn<'_>, live: &Live, op: OpId, available: bool) -> Result<(), Stop> {
    let name = txn.read::<Account>(account::ID)?.map(|account| account.push_name).unwrap_or_default();
    if live.ready {
        txn.change(Step::Available(available));
        announce(txn, live, available, &name);
        if available {
            let now = txn.now.unix;
            txn.send(live, &UnifiedSession::at(now));
        }
    }
    finish(txn, live, op);
    Ok(())
}

/// Sets the name that others see; takes effect with the next presence.
pub(crate) fn set_name(txn: &mut Txn<'_>, live: &Live, op: OpId, name: &str) -> Result<(), Stop> {
    if let Some(mut account) = txn.read::<Account>(account::ID)? {
        account.push_name = name.to_owned();
        txn.write(account::ID, &account);
    }
    if live.ready {
        announce(txn, live, live.available, name);
    }
    txn.tell(Event::OperationFinished { op, result: OpResult::Done });
    Ok(())
}

/// Asks to be told of somebody's presence.
pub(crate) fn subscribe(txn: &mut Txn<'_>, live: &Live, op: OpId, user: &Jid) -> Result<(), Stop> {
    if live.ready {
        let token = match peers::find(txn, user)? {
            Some(peer) => tokens::held(txn, peer)?,
            None => None,
        };
        txn.send(live, &PresenceSubscription { to: user.clone(), token });
    }
    finish(txn, live, op);
    Ok(())
}

/// Shows what this account does in a chat.
pub(crate) fn send_chat_state(
    txn: &mut Txn<'_>,
    live: &Live,
    op: OpId,
    chat: &Jid,
    state: ChatState,
) -> Result<(), Stop> {
    if live.ready {
        let state = match state {
            ChatState::Composing => Typing::Composing,
            ChatState::Recording => Typing::Recording,
            ChatState::Paused => Typing::Paused,
        };
        txn.send(live, &stanza::ChatState { to: chat.clone(), state });
    }
    finish(txn, live, op);
    Ok(())
}

/// Somebody came online, or went.
pub(crate) fn changed(txn: &mut Txn<'_>, live: &Live, update: &IncomingPresence) -> Result<(), Stop> {
    let presence = match (update.is_available, update.last_seen) {
        (true, _) => Presence::Available,
        (false, LastSeen::At(time)) => Presence::Unavailable { last_seen: Some(time) },
        (false, _) => Presence::Unavailable { last_seen: None },
    };
    let user = update.from.to_user();
    let user_aliases = peers::known(txn, live, &user)?;
    txn.tell(Event::PresenceChanged(Box::new(PresenceEvent { user, user_aliases, presence })));
    Ok(())
}

/// Somebody types or stopped.
pub(crate) fn chat_state_changed(txn: &mut Txn<'_>, live: &Live, update: &IncomingChatState) -> Result<(), Stop> {
    let user = update.participant.as_ref().unwrap_or(&update.from).to_user();
    let state = match update.state {
        Typing::Composing => ChatState::Composing,
        Typing::Recording => ChatState::Recording,
        Typing::Paused => ChatState::Paused,
    };
    let chat = update.from.to_user();
    let (chat_aliases, user_aliases) = (peers::known(txn, live, &chat)?, peers::known(txn, live, &user)?);
    let event = ChatStateEvent { chat, chat_aliases, user, user_aliases, state };
    txn.tell(Event::ChatStateChanged(Box::new(event)));
    Ok(())
}

/// These stanzas get no answer: written to a live connection is all that can be known.
fn finish(txn: &mut Txn<'_>, live: &Live, op: OpId) {
    let result = if live.ready { OpResult::Done } else { OpResult::Lost };
    txn.tell(Event::OperationFinished { op, result });
}

fn announce(txn: &mut Txn<'_>, live: &Live, is_available: bool, name: &str) {
    let push_name = (!name.is_empty()).then(|| name.into());
    txn.send(live, &stanza::Presence { is_available, push_name });
}
