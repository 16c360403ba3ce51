//! Sending: accept durably, address, encrypt, hand to the server, report.

use super::fanout::{self, Fanout};
use super::repair::{self, Check};
use super::{
    Effect, Job, Live, Need, Progress, Settled, Step, Stop, Txn, TxnExt, devices, inbox, peers, placeholder,
    restriction, tokens,
};
use crate::api::{
    DeviceOutcome, Event, Limits, ListCheck, MessageId, OpId, SendReport, SendResult, TOKEN_OR_RESTRICTION,
};
use crate::message::Scanned;
use crate::stanza::IncomingAck;
use crate::state::Miss;
use crate::state::outbox::{CURSOR_ID, Entry, EntryState, OutboxCursor, Repair, Sequence, record_id};
use crate::state::peer::{Alias, Peer, PeerId, alias_id};
use crate::state::resends::{self, Resends};
use crate::types::Jid;
use bytes::Bytes;

/// A send that the caller has handed over.
#[derive(Clone)]
pub(crate) struct Accepted {
    pub(crate) op: OpId,
    pub(crate) id: MessageId,
    pub(crate) chat: Jid,
    pub(crate) content: Bytes,
}

/// Contents stay out of logs.
impl std::fmt::Debug for Accepted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Accepted({:?}, {:?}, {} bytes)", self.op, self.id, self.content.len())
    }
}

/// Whether `content` is something that can be sent: a message with content, not a wrapper for own devices.
pub(crate) fn is_content(content: &[u8]) -> bool {
    Scanned::of(content).is_ok_and(|scanned| scanned.has_content && scanned.device_sent.is_none())
}

/// Makes a send durable and starts it if there is a connection.
pub(crate) fn accept(txn: &mut Txn<'_>, live: &Live, limits: &Limits, send: &Accepted) -> Result<(), Stop> {
    if live.me.is_none() {
        // Unlinked since it was accepted: it must not go out from whatever account is linked next.
        let entry = Entry::new(send.id.clone(), send.chat.clone(), send.content.clone(), txn.now.unix);
        tell(txn, live, Some(send.op), &entry, SendResult::Unlinked.into())?;
        return Ok(());
    }
    if let Some(Sequence(known)) = txn.read::<Sequence>(send.id.as_str().to_owned())?
        && let Some(entry) = txn.read::<Entry>(record_id(known))?
    {
        txn.tell(Event::SendQueued { op: send.op, id: send.id.clone() });
        return again(txn, live, known, &entry, send.op);
    }
    let mut cursor = txn.read::<OutboxCursor>(CURSOR_ID)?.unwrap_or_default();
    forget_old(txn, live, limits, &mut cursor)?;
    let sequence = cursor.next;
    cursor.next += 1;
    txn.write(CURSOR_ID, &cursor);
    let entry = Entry::new(send.id.clone(), send.chat.clone(), send.content.clone(), txn.now.unix);
    txn.write(record_id(sequence), &entry);
    txn.write(send.id.as_str().to_owned(), &Sequence(sequence));
    txn.tell(Event::SendQueued { op: send.op, id: send.id.clone() });
    txn.change(Step::Accepted(sequence, Progress { op: Some(send.op), devices: Vec::new() }));
    if live.ready {
        let peer = peers::of(txn, live, &send.chat)?;
        txn.change(Step::Enqueue(Job::send(sequence, peer)));
    }
    Ok(())
}

/// A send under an id that was accepted before is the same send, and its end is the end of both.
fn again(txn: &mut Txn<'_>, live: &Live, sequence: u64, entry: &Entry, op: OpId) -> Result<(), Stop> {
    if entry.is_open() {
        let known = live.outbox.get(&sequence).cloned().unwrap_or_default();
        txn.change(Step::Accepted(sequence, Progress { op: Some(op), ..known }));
        return Ok(());
    }
    let result = match (entry.state, entry.refused) {
        (EntryState::Sent | EntryState::Expired, _) => {
            SendResult::Accepted { timestamp: entry.taken.unwrap_or(entry.accepted / 1000) }
        }
        (_, Some(code)) => SendResult::Refused { code },
        (_, None) => SendResult::NobodyToSendTo,
    };
    tell(txn, live, Some(op), entry, result.into())
}

/// Ends every send that waits: there is no account any more that could send.
pub(crate) fn give_up(txn: &mut Txn<'_>, live: &Live) -> Result<(), Stop> {
    use crate::state::Stored;
    txn.expect(live.outbox.keys().map(|sequence| Entry::key(record_id(*sequence))))?;
    expect_chats(txn, live)?;
    for (sequence, progress) in &live.outbox {
        let Some(entry) = txn.read::<Entry>(record_id(*sequence))? else { continue };
        let result = entry.taken.map_or(SendResult::Unlinked, |timestamp| SendResult::Accepted { timestamp });
        let devices = entry.repair.as_ref().map_or(&progress.devices, |repair| &repair.devices).clone();
        end(txn, live, *sequence, &entry, End { result, lists: ListCheck::default(), devices })?;
    }
    Ok(())
}

/// Finds out, after a restart, which of `sequences` are still to be sent.
pub(crate) fn recall(txn: &mut Txn<'_>, sequences: &[u64]) -> Result<(), Stop> {
    use crate::state::Stored;
    txn.expect(sequences.iter().map(|sequence| Entry::key(record_id(*sequence))))?;
    for &sequence in sequences {
        let entry = txn.read::<Entry>(record_id(sequence))?;
        if entry.is_some_and(|entry| entry.is_open()) {
            txn.change(Step::Accepted(sequence, Progress::default()));
        }
    }
    Ok(())
}

/// Says that who the chats of all open sends belong to will be read, so that it takes two loads and not two for each.
fn expect_chats(txn: &mut Txn<'_>, live: &Live) -> Result<(), Miss> {
    use crate::state::Stored;
    let mut chats = Vec::with_capacity(live.outbox.len());
    for sequence in live.outbox.keys() {
        chats.extend(txn.read::<Entry>(record_id(*sequence))?.map(|entry| alias_id(&entry.chat)));
    }
    txn.expect(chats.iter().cloned().map(Alias::key))?;
    let mut peers = Vec::with_capacity(chats.len());
    for chat in chats {
        peers.extend(txn.read::<Alias>(chat)?.map(|alias| Peer::key(alias.peer.record_id())));
    }
    txn.expect(peers)
}

/// Puts everything that the server has not taken in line again, in the order in which it was accepted.
pub(crate) fn resume(txn: &mut Txn<'_>, live: &Live) -> Result<(), Stop> {
    use crate::state::Stored;
    txn.expect(live.outbox.keys().map(|sequence| Entry::key(record_id(*sequence))))?;
    expect_chats(txn, live)?;
    for sequence in live.outbox.keys() {
        if let Some(entry) = txn.read::<Entry>(record_id(*sequence))? {
            let peer = peers::of(txn, live, &entry.chat)?;
            txn.change(Step::Enqueue(Job::send(*sequence, peer)));
        }
    }
    Ok(())
}

/// Encrypts one send for every device and hands it to the server. `lane` is the peer that the chat was when the send was
/// put in line; `settled` tells what was asked already.
pub(crate) fn send(txn: &mut Txn<'_>, live: &Live, sequence: u64, lane: PeerId, settled: &Settled) -> Result<(), Stop> {
    let Some(entry) = txn.read::<Entry>(record_id(sequence))? else { return Ok(()) };
    if !entry.is_open() || !live.ready {
        return Ok(());
    }
    let peer = peers::of(txn, live, &entry.chat)?;
    if peer != lane {
        // Two peers turned out to be one: what waits for both goes out in one order.
        txn.change(Step::Enqueue(Job::send(sequence, peer)));
        return Ok(());
    }
    if let Some(repair) = &entry.repair {
        return repair::send(txn, live, sequence, &entry, repair, settled);
    }
    if entry.wants_token && !may_try_again(txn, sequence, &entry, live, peer, settled)? {
        return Ok(());
    }
    let op = live.outbox.get(&sequence).and_then(|progress| progress.op);
    match fanout::encrypt(txn, live, &entry, settled)? {
        Fanout::Ready { stanza, devices } => {
            txn.change(Step::Progressed(sequence, Progress { op, devices }));
            txn.effect(Effect::Stanza(live.connection, stanza));
            txn.effect(Effect::Sent(live.connection, sequence));
        }
        // Not linked any more: nothing will be sent.
        Fanout::Later => {}
        Fanout::Nobody { devices } => {
            let (result, lists) = (SendResult::NobodyToSendTo, ListCheck::default());
            end(txn, live, sequence, &entry, End { result, lists, devices })?;
        }
    }
    Ok(())
}

/// Takes the server's answer to a send.
pub(crate) fn acked(txn: &mut Txn<'_>, live: &Live, ack: &IncomingAck) -> Result<(), Stop> {
    let Some(Sequence(sequence)) = txn.read::<Sequence>(ack.id.as_str().to_owned())? else {
        return placeholder::taken(txn, ack);
    };
    let Some(entry) = txn.read::<Entry>(record_id(sequence))? else { return Ok(()) };
    if ack.refresh_lid {
        // The next send asks for the devices, and with them for the LID.
        devices::changed(txn, &entry.chat)?;
    }
    if let Some(repair) = &entry.repair {
        return repair::acked(txn, live, sequence, &entry, repair, ack);
    }
    if entry.state != EntryState::Pending {
        return Ok(());
    }
    let Progress { devices, .. } = live.outbox.get(&sequence).cloned().unwrap_or_default();
    let mut lists = ListCheck::default();
    if let Some(code) = ack.error {
        return refused(txn, live, sequence, &entry, code, devices);
    }
    tokens::issue_if_due(txn, live, &entry.chat)?;
    let timestamp = ack.timestamp.unwrap_or_else(|| txn.now.unix_seconds());
    if let Some(phash) = ack.phash.as_ref() {
        match repair::check(txn, live, &entry, &devices, phash)? {
            Check::Agreed => {}
            Check::KnownToDiffer => lists = ListCheck::Unexplained,
            Check::Stale => {
                let repair = Repair { phash: phash.to_string(), explained: false, devices };
                return repair::begin(txn, live, sequence, &entry, timestamp, repair);
            }
        }
    }
    end(txn, live, sequence, &entry, End { result: SendResult::Accepted { timestamp }, lists, devices })
}

/// The server refused a send. One code has two causes: where a token may be missing, it is asked for once and the send
/// tried once more; where the account is restricted, that is the end.
fn refused(
    txn: &mut Txn<'_>,
    live: &Live,
    sequence: u64,
    entry: &Entry,
    code: u32,
    devices: Vec<(Jid, DeviceOutcome)>,
) -> Result<(), Stop> {
    let result = match (code, restriction::in_force(txn)?) {
        (TOKEN_OR_RESTRICTION, Some(restriction)) => SendResult::Restricted { until: restriction.until },
        (TOKEN_OR_RESTRICTION, None) if entry.wants_token => SendResult::TokenMissing,
        (TOKEN_OR_RESTRICTION, None) => {
            txn.write(record_id(sequence), &Entry { wants_token: true, ..entry.clone() });
            let op = live.outbox.get(&sequence).and_then(|progress| progress.op);
            txn.change(Step::Progressed(sequence, Progress { op, devices: Vec::new() }));
            let peer = peers::of(txn, live, &entry.chat)?;
            txn.change(Step::Enqueue(Job::send(sequence, peer)));
            return Ok(());
        }
        _ => SendResult::Refused { code },
    };
    end(txn, live, sequence, entry, End { result, lists: ListCheck::default(), devices })
}

/// Finds out, before a refused send is tried once more, which of the two causes it is.
fn may_try_again(
    txn: &mut Txn<'_>,
    sequence: u64,
    entry: &Entry,
    live: &Live,
    peer: PeerId,
    settled: &Settled,
) -> Result<bool, Stop> {
    let mono = txn.now.mono;
    // Both are asked for once for each send, and not at all while the server does not give them.
    let is_known = |need: &Need| settled.contains_key(need) || live.trouble.wait(need, mono).is_some();
    if !is_known(&Need::Restriction) {
        return Err(Stop::Await(vec![Need::Restriction]));
    }
    if let Some(restriction) = restriction::in_force(txn)? {
        end(txn, live, sequence, entry, SendResult::Restricted { until: restriction.until }.into())?;
        return Ok(false);
    }
    let user = peers::aliases(txn, peer)?.lid.unwrap_or_else(|| entry.chat.to_user());
    let need = Need::Token(user);
    if is_known(&need) { Ok(true) } else { Err(Stop::Await(vec![need])) }
}

/// How a send ends.
pub(crate) struct End {
    pub(crate) result: SendResult,
    pub(crate) lists: ListCheck,
    pub(crate) devices: Vec<(Jid, DeviceOutcome)>,
}

impl From<SendResult> for End {
    fn from(result: SendResult) -> Self {
        Self { result, lists: ListCheck::default(), devices: Vec::new() }
    }
}

/// Ends a send: what is kept of it, and the report.
pub(crate) fn end(txn: &mut Txn<'_>, live: &Live, sequence: u64, entry: &Entry, end: End) -> Result<(), Stop> {
    let mut cursor = txn.read::<OutboxCursor>(CURSOR_ID)?.unwrap_or_default();
    let place = if cursor.behind.remove(&sequence) { catch_up(txn, &mut cursor, sequence, entry)? } else { sequence };
    let mut open = live.outbox.range(cursor.first..).map(|(open, _)| *open);
    cursor.pending = open.find(|open| *open != sequence).unwrap_or(cursor.next);
    txn.write(CURSOR_ID, &cursor);
    let (state, taken, refused) = match end.result {
        SendResult::Accepted { timestamp } => (EntryState::Sent, Some(timestamp), None),
        SendResult::Refused { code } => (EntryState::Failed, None, Some(code)),
        SendResult::TokenMissing | SendResult::Restricted { .. } => {
            (EntryState::Failed, None, Some(TOKEN_OR_RESTRICTION))
        }
        _ => (EntryState::Failed, None, None),
    };
    let entry = Entry { state, taken, refused, repair: None, ..entry.clone() };
    txn.write(record_id(place), &entry);
    txn.change(Step::SendEnded(sequence));
    let op = live.outbox.get(&sequence).and_then(|progress| progress.op);
    tell(txn, live, op, &entry, end)
}

/// An entry that the window has left behind has ended: it is kept as long as if it had been accepted now, since those
/// who cannot read it ask for it from now on. Gives its new place.
fn catch_up(txn: &mut Txn<'_>, cursor: &mut OutboxCursor, sequence: u64, entry: &Entry) -> Result<u64, Miss> {
    let place = cursor.next;
    cursor.next += 1;
    txn.delete::<Entry>(record_id(sequence));
    txn.write(entry.id.as_str().to_owned(), &Sequence(place));
    if let Some(resends) = txn.read::<Resends>(resends::record_id(sequence))? {
        txn.delete::<Resends>(resends::record_id(sequence));
        txn.write(resends::record_id(place), &resends);
    }
    Ok(place)
}

fn tell(txn: &mut Txn<'_>, live: &Live, op: Option<OpId>, entry: &Entry, end: End) -> Result<(), Stop> {
    let (id, chat, chat_aliases) = (entry.id.clone(), entry.chat.clone(), peers::known(txn, live, &entry.chat)?);
    let End { result, lists, devices } = end;
    let report = SendReport { op, id, chat, chat_aliases, result, lists, devices };
    inbox::deliver(txn, Event::SendFinished(Box::new(report)))?;
    Ok(())
}

/// Drops kept plaintexts that are too many or too old, and ids whose plaintext is long gone: at most two of each for
/// each new send, so that no send pays for a backlog. What is still open is left behind and stays: one send that never
/// ends must not keep all others.
fn forget_old(txn: &mut Txn<'_>, live: &Live, limits: &Limits, cursor: &mut OutboxCursor) -> Result<(), Miss> {
    let count = |from: u64, to: u64| usize::try_from(to - from).unwrap_or(usize::MAX);
    for _ in 0..2 {
        if cursor.first >= cursor.next {
            break;
        }
        if let Some(entry) = txn.read::<Entry>(record_id(cursor.first))? {
            let age = txn.now.unix.saturating_sub(entry.accepted);
            let open = live.outbox.len().saturating_sub(cursor.behind.len());
            let kept = count(cursor.first, cursor.next).saturating_sub(open);
            if kept < limits.outbox_kept && age < limits.outbox_kept_ms {
                break;
            }
            if entry.is_open() {
                cursor.behind.insert(cursor.first);
                cursor.first += 1;
                continue;
            }
            if entry.state == EntryState::Sent {
                let stub = Entry { content: Bytes::new(), state: EntryState::Expired, ..entry };
                txn.write(record_id(cursor.first), &stub);
            } else {
                txn.delete::<Entry>(record_id(cursor.first));
                txn.delete::<Sequence>(entry.id.as_str().to_owned());
            }
        }
        txn.delete::<Resends>(resends::record_id(cursor.first));
        cursor.first += 1;
    }
    cursor.pending = live.outbox.range(cursor.first..).next().map_or(cursor.next, |(open, _)| *open);
    for _ in 0..2 {
        if count(cursor.oldest, cursor.first) <= limits.outbox_remembered {
            break;
        }
        if !cursor.behind.contains(&cursor.oldest)
            && let Some(entry) = txn.read::<Entry>(record_id(cursor.oldest))?
        {
            txn.delete::<Entry>(record_id(cursor.oldest));
            txn.delete::<Sequence>(entry.id.as_str().to_owned());
        }
        cursor.oldest += 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Me;
    use crate::flow::addresses_tests::Memory;

    #[test]
    fn a_full_outbox_is_resumed_and_given_up_in_a_handful_of_loads() {
        let chat = |number: u64| Jid::lid((1_000 + number).to_string());
        let mut live = Live { me: Some(Me { pn: Jid::pn("1"), lid: None }), ..Live::default() };
        for act in [resume, give_up] {
            let mut memory = Memory::default();
            for number in 1..=100 {
                live.outbox.insert(number, Progress::default());
                memory.run(|txn| {
                    let entry = Entry::new(MessageId::new(number.to_string()), chat(number), Bytes::new(), 0);
                    txn.write(record_id(number), &entry);
                    Ok(())
                });
            }
            let before = memory.1;
            memory.run(|txn| act(txn, &live).map_err(|_| Miss));
            assert!(memory.1 - before <= 8, "{} loads", memory.1 - before);
        }
    }
}
