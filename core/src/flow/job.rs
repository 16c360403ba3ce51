//! Units of work: what runs in one transaction.

use super::{
    Accepted, Failure, LinkJob, Live, Need, Query, Reply, Stop, Txn, bundles, connect, devices, inbox, linking, logout,
    notifications, pair_code, pair_passkey, placeholder, prekeys, presence, receipts, receive, restriction, retry,
    send, tokens, wipe,
};
use crate::api::{ChatState, Config, Key, MessageId, OpId};
use crate::pairing::{Assertion, Code};
use crate::stanza::{Incoming, PairSuccess, Success};
use crate::state::account::ServerKey;
use crate::state::peer::PeerId;
use crate::types::Jid;
use smol_str::SmolStr;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Work that must stay in order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    /// Answers of the server: never behind anything that may wait for one.
    Replies,
    /// What the caller asked for.
    Verbs,
    /// What the server sends, in arrival order.
    Inbound,
    /// Sends to one peer, under whichever address.
    Chat(PeerId),
    /// Messages that one device asked for again.
    Device(Jid),
}

/// What was asked for a job, and what became of it. What was answered is not asked again.
pub(crate) type Settled = BTreeMap<Need, Result<(), Failure>>;

/// One unit of work. Runs again from the start whenever something it needs has come.
pub(crate) enum Job {
    /// The caller wants a connection, or the pause after the last one is over.
    Connect,
    /// Something the caller asked for.
    Verb(Verb),
    /// A stanza that is not an answer.
    Inbound(Box<Incoming>),
    /// The server has let this device in.
    LoggedIn(Success),
    /// The phone has accepted this device.
    PairSuccess { id: SmolStr, success: Box<PairSuccess> },
    /// Something else that belongs to linking.
    Link(LinkJob),
    /// The server's answer to a request, or why there is none.
    Reply(Box<Query>, Reply),
    /// Encrypt and send the outbox entry; what could not be had is noted.
    Send { sequence: u64, chat: PeerId, settled: Settled },
    /// Send a message again, alone, to a device that asked for it.
    Resend { request: Arc<retry::Granted>, settled: Settled },
    /// Ask the phone for what could not be read.
    AskPhone { phone: Jid, settled: Settled },
    /// After a restore: this life of the account takes over.
    Claim,
    /// When that is durable: find out how the account was left. Names the root records.
    TakeOver(Vec<Key>),
    /// Keep or forget the server's key.
    Remember(Option<ServerKey>),
    /// The server has unlinked this device.
    Forget,
    /// Delete what belonged to peers of an account that is gone.
    WipePeers(Range<u64>),
    /// Delete the sends of an account that is gone.
    WipeSends(Range<u64>),
    /// Delete the sender keys that contacts of an account that is gone had given out.
    WipeSenderKeys(Range<u32>),
    /// Delete the prekeys of an account that is gone.
    WipePreKeys(Range<u32>),
    /// Delete the counters of an account that is gone; nothing else is left of it.
    WipeCounters,
    /// After a restart: events that were not handled.
    Replay(Vec<u64>),
    /// After a restart: sends that were not acknowledged.
    Recall(Vec<u64>),
}

/// What a caller asks for.
#[derive(Clone)]
pub(crate) enum Verb {
    Send(Accepted),
    Handled(u64),
    MarkRead { op: OpId, chat: Jid, sender: Jid, ids: Vec<MessageId> },
    SetPresence { op: OpId, available: bool },
    SetPushName { op: OpId, name: String },
    SubscribePresence { op: OpId, user: Jid },
    SendChatState { op: OpId, chat: Jid, state: ChatState },
    LogOut { op: OpId },
    RequestPairCode { op: OpId, number: String, custom: Option<Code> },
    ProvideAssertion(Assertion),
    ConfirmCode,
    RejectCode,
}

/// Names and contents stay out of logs.
impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a job in {:?}", self.lane())
    }
}

impl Job {
    /// The job that sends an outbox entry.
    pub(crate) const fn send(sequence: u64, chat: PeerId) -> Self {
        Self::Send { sequence, chat, settled: Settled::new() }
    }

    /// The lane it must stay in order with.
    pub(crate) fn lane(&self) -> Lane {
        match self {
            Self::LoggedIn(_) | Self::PairSuccess { .. } | Self::Link(_) | Self::Reply(..) => Lane::Replies,
            // Connecting waits for what a restart has to bring back first.
            Self::Connect
            | Self::Verb(_)
            | Self::Claim
            | Self::TakeOver(_)
            | Self::Remember(_)
            | Self::Forget
            | Self::WipePeers(_)
            | Self::WipeSends(_)
            | Self::WipeSenderKeys(_)
            | Self::WipePreKeys(_)
            | Self::WipeCounters
            | Self::Replay(_)
            | Self::Recall(_) => Lane::Verbs,
            Self::Inbound(_) => Lane::Inbound,
            Self::Send { chat, .. } => Lane::Chat(*chat),
            Self::Resend { request, .. } => Lane::Device(request.device.clone()),
            Self::AskPhone { phone, .. } => Lane::Device(phone.clone()),
        }
    }

    /// Where it stands among the sends of its lane; others keep the order in which they came.
    pub(crate) const fn sequence(&self) -> Option<u64> {
        match self {
            Self::Send { sequence, .. } => Some(*sequence),
            _ => None,
        }
    }

    /// Whether it still makes sense when the connection it arose on is gone.
    pub(crate) const fn outlives_connection(&self) -> bool {
        match self {
            Self::Connect
            | Self::Verb(_)
            | Self::Claim
            | Self::TakeOver(_)
            | Self::Remember(_)
            | Self::Forget
            | Self::WipePeers(_)
            | Self::WipeSends(_)
            | Self::WipeSenderKeys(_)
            | Self::WipePreKeys(_)
            | Self::WipeCounters
            | Self::Replay(_)
            | Self::Recall(_) => true,
            Self::Reply(query, _) => query.outlives_connection(),
            Self::Link(job) => job.outlives_connection(),
            // Unanswered stanzas are sent again by the server; pending sends are put in line again at the next login.
            Self::Inbound(_)
            | Self::LoggedIn(_)
            | Self::PairSuccess { .. }
            | Self::Send { .. }
            | Self::Resend { .. }
            | Self::AskPhone { .. } => false,
        }
    }

    /// Notes what became of something it waited for.
    pub(crate) fn note(&mut self, need: Need, result: Result<(), Failure>) {
        if let Self::Send { settled, .. } | Self::Resend { settled, .. } | Self::AskPhone { settled, .. } = self {
            settled.insert(need, result);
        }
    }

    /// Forgets the answers that a pause may change, so that they are asked for again. What a refused send asked for once
    /// stays answered.
    pub(crate) fn forget_answers(&mut self) {
        if let Self::Send { settled, .. } | Self::Resend { settled, .. } | Self::AskPhone { settled, .. } = self {
            settled.retain(|need, _| matches!(need, Need::Token(_) | Need::Restriction));
        }
    }
}

/// Runs `job` in `txn`.
pub(crate) fn run(txn: &mut Txn<'_>, live: &Live, config: &Config, job: &Job) -> Result<(), Stop> {
    match job {
        Job::Connect => return connect::open(txn, live, &config.profile),
        Job::Claim => connect::claim(txn, live),
        Job::TakeOver(roots) => return connect::take_over(txn, live, roots),
        Job::Remember(key) => connect::remember(txn, *key)?,
        Job::Forget => return wipe::account(txn, live),
        Job::WipePeers(numbers) => return wipe::peers(txn, numbers.clone()),
        Job::WipeSends(sequences) => return wipe::sends(txn, sequences.clone()),
        Job::WipeSenderKeys(pieces) => return wipe::sender_keys(txn, pieces.clone()),
        Job::WipePreKeys(ids) => wipe::prekeys(txn, ids.clone()),
        Job::WipeCounters => return wipe::counters(txn),
        Job::Verb(verb) => return run_verb(txn, live, config, verb),
        Job::Inbound(incoming) => return run_inbound(txn, live, config, incoming),
        Job::LoggedIn(success) => return connect::logged_in(txn, live, success),
        Job::PairSuccess { id, success } => return linking::confirm(txn, live, id, success),
        Job::Link(job) => return linking::run(txn, live, config, job),
        Job::Reply(query, reply) => return run_reply(txn, live, config, query, reply),
        Job::Send { sequence, chat, settled } => return send::send(txn, live, *sequence, *chat, settled),
        Job::Resend { request, settled } => return retry::resend(txn, live, &config.limits, request, settled),
        Job::AskPhone { phone, settled } => return placeholder::ask(txn, live, &config.limits, phone, settled),
        Job::Replay(ids) => inbox::replay(txn, ids)?,
        Job::Recall(sequences) => return send::recall(txn, sequences),
    }
    Ok(())
}

fn run_verb(txn: &mut Txn<'_>, live: &Live, config: &Config, verb: &Verb) -> Result<(), Stop> {
    match verb {
        Verb::Send(accepted) => send::accept(txn, live, &config.limits, accepted),
        Verb::Handled(id) => Ok(inbox::handled(txn, live, *id)?),
        Verb::MarkRead { op, chat, sender, ids } => receipts::mark_read(txn, live, *op, chat, sender, ids),
        Verb::SetPresence { op, available } => presence::set(txn, live, *op, *available),
        Verb::SetPushName { op, name } => presence::set_name(txn, live, *op, name),
        Verb::SubscribePresence { op, user } => presence::subscribe(txn, live, *op, user),
        Verb::SendChatState { op, chat, state } => presence::send_chat_state(txn, live, *op, chat, *state),
        Verb::LogOut { op } => logout::begin(txn, live, *op),
        Verb::RequestPairCode { op, number, custom } => {
            pair_code::begin(txn, live, config, *op, number, custom.as_ref())
        }
        Verb::ProvideAssertion(assertion) => pair_passkey::provide(txn, live, assertion),
        Verb::ConfirmCode => pair_passkey::confirm(txn, live),
        Verb::RejectCode => pair_passkey::reject(txn, live),
    }
}

fn run_inbound(txn: &mut Txn<'_>, live: &Live, config: &Config, incoming: &Incoming) -> Result<(), Stop> {
    match incoming {
        Incoming::Message(message) => receive::message(txn, live, message),
        Incoming::Receipt(receipt) => receipts::received(txn, live, &config.limits, receipt),
        Incoming::Ack(ack) if ack.class == "message" => {
            if !retry::answered(txn, live, ack) {
                send::acked(txn, live, ack)?;
            }
            Ok(())
        }
        Incoming::Notification(notification) => notifications::received(txn, live, notification),
        Incoming::Ib(news) => news.iter().try_for_each(|news| connect::informed(txn, live, news)),
        Incoming::Call(call) => {
            notifications::call(txn, live, call);
            Ok(())
        }
        Incoming::Presence(update) => presence::changed(txn, live, update),
        Incoming::ChatState(update) => presence::chat_state_changed(txn, live, update),
        // Everything else is handled where it arrives.
        _ => Ok(()),
    }
}

fn run_reply(txn: &mut Txn<'_>, live: &Live, config: &Config, query: &Query, reply: &Reply) -> Result<(), Stop> {
    match query {
        Query::Ping | Query::Clean { .. } => Ok(()),
        Query::Active => connect::activated(txn, live, reply),
        Query::PreKeyCount => prekeys::counted(txn, live, reply),
        Query::PreKeyUpload { upload, next } => prekeys::uploaded(txn, live, (*next, upload.signed.id), reply),
        Query::Rotate { id, .. } => prekeys::rotated(txn, *id, reply),
        Query::Devices { users } => devices::answered(txn, users, reply),
        Query::Bundles { devices } => bundles::answered(txn, devices, reply),
        Query::CodeHello(hello) => pair_code::announced(txn, live, hello, reply),
        Query::CodeFinish(finish) => pair_code::finished(txn, live, finish, reply),
        Query::PasskeyRequest => pair_passkey::told_request(txn, live, reply),
        Query::PasskeyReference => pair_passkey::told_reference(txn, live, config, reply),
        Query::PasskeyPrologue(prologue) => pair_passkey::began(txn, live, prologue, reply),
        Query::PasskeyNonce(nonce) => pair_passkey::revealed(txn, live, nonce, reply),
        Query::PasskeyPairing(request) => pair_passkey::handed_over(txn, live, request, reply),
        Query::Token(asked) => tokens::answered(txn, live, asked, reply),
        Query::Restriction => restriction::answered(txn, reply),
        Query::Remove { op, .. } => {
            logout::answered(txn, *op, reply);
            Ok(())
        }
    }
}
