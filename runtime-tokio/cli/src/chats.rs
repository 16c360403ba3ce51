//! The chats that commands of this program have seen: a small list of its own, since the core keeps none. It lies sealed in
//! the same database, under a name beside the account's.

use crate::args::Global;
use crate::failure::Failure;
use crate::session;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use whatsio::api::{Event, EventId, MessageEvent, ReceiptKind};
use whatsio_core::api::{Aliases, Commit, CommitId, Epoch, Key, Record, Space};
use whatsio_core::types::Jid;
use whatsio_store::{AccountId, Administer, SqliteStore, Store};

/// Behind the account's name.
const SUFFIX: &str = ".chats";

/// First byte of a record.
const VERSION: u8 = 1;

/// The list of one account.
pub(crate) struct Chats {
    store: SqliteStore,
    name: AccountId,
}

/// One chat.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Chat {
    /// The address it is kept under: by LID where that is known.
    pub(crate) chat: String,
    pub(crate) pn: Option<String>,
    pub(crate) username: Option<String>,
    /// The name that the other side gives itself.
    pub(crate) name: Option<String>,
    /// When the last message was taken by the server, in seconds since 1970.
    pub(crate) last: u64,
    /// Messages of others since this account last read or wrote there.
    pub(crate) unread: u64,
    /// The newest event counted: one that comes again counts once.
    event: u64,
}

/// Whether `account` is a list of chats and no account.
pub(crate) fn is_list(account: &AccountId) -> bool {
    account.as_str().ends_with(SUFFIX)
}

/// The name of the list of `account`.
pub(crate) fn list_of(account: &str) -> Result<AccountId, Failure> {
    AccountId::new(&format!("{account}{SUFFIX}"))
        .map_err(|_| Failure::Usage("--account is 1 to 94 of A-Z a-z 0-9 . _ -"))
}

impl Chats {
    pub(crate) fn open(global: &Global) -> Result<Self, Failure> {
        Ok(Self { store: session::open(global)?, name: list_of(&global.account)? })
    }

    /// Notes what an event says of a chat, durably.
    pub(crate) fn note(&self, id: EventId, event: &Event) -> Result<(), Failure> {
        match event {
            Event::MessageReceived(message) => self.message(id, message),
            Event::ReceiptReceived(receipt) if receipt.kind == ReceiptKind::ReadSelf => {
                self.update(&receipt.chat, &receipt.chat_aliases, |chat| chat.unread = 0)
            }
            Event::SendFinished(report) => {
                let Some(timestamp) = report.timestamp() else { return Ok(()) };
                self.update(&report.chat, &report.chat_aliases, |chat| chat.last = chat.last.max(timestamp))
            }
            _ => Ok(()),
        }
    }

    /// All chats, the last active one first.
    pub(crate) fn all(&self) -> Result<Vec<Chat>, Failure> {
        let mut found = Vec::new();
        self.store.contents(&self.name, &mut |_, record| {
            found.extend(open(&record));
            ControlFlow::Continue(())
        })?;
        found.sort_by(|one: &Chat, other| other.last.cmp(&one.last).then_with(|| one.chat.cmp(&other.chat)));
        Ok(found)
    }

    fn message(&self, id: EventId, message: &MessageEvent) -> Result<(), Failure> {
        self.update(&message.chat, &message.chat_aliases, |chat| {
            if id.0 <= chat.event {
                return;
            }
            chat.event = id.0;
            chat.last = chat.last.max(message.timestamp);
            if message.from_me {
                chat.unread = 0;
                return;
            }
            chat.unread += 1;
            // In a group the name is the sender's, not the chat's.
            if let Some(name) = message.push_name.as_ref().filter(|_| !message.chat.is_group()) {
                chat.name = Some(name.clone());
            }
        })
    }

    /// Changes one chat. What was kept under its number before the LID was known is joined with it.
    fn update(&self, chat: &Jid, aliases: &Aliases, change: impl FnOnce(&mut Chat)) -> Result<(), Failure> {
        let known = aliases.lid.as_ref().unwrap_or(chat).to_string();
        let by_number = aliases.pn.as_ref().map(ToString::to_string).filter(|number| *number != known);
        let keys: Vec<Key> = [Some(known.clone()), by_number].into_iter().flatten().map(key).collect();
        let records = self.store.load(&self.name, &keys)?;
        let kept: Vec<Chat> = records.iter().flatten().filter_map(open).collect();
        let mut now = kept.first().cloned().unwrap_or_default();
        if let [_, older] = kept.as_slice() {
            now.unread += older.unread;
            now.last = now.last.max(older.last);
            now.event = now.event.max(older.event);
            now.name = now.name.take().or_else(|| older.name.clone());
        }
        change(&mut now);
        now.chat.clone_from(&known);
        now.pn = aliases.pn.as_ref().map(ToString::to_string).or(now.pn);
        now.username = aliases.username.as_ref().map(ToString::to_string).or(now.username);
        let mut writes: Vec<(Key, Option<Record>)> = keys.into_iter().skip(1).map(|key| (key, None)).collect();
        writes.push((key(known), Some(seal(&now)?)));
        writes.sort_by(|(one, _), (other, _)| one.cmp(other));
        let commit = Commit { id: CommitId(1), epoch: Epoch(1), writes };
        let done = self.store.commit(&[(self.name.clone(), commit)]);
        done.into_iter().try_for_each(|result| result.map_err(Failure::cannot_write))
    }
}

fn key(chat: String) -> Key {
    Key::new(Space::Peer, chat)
}

fn seal(chat: &Chat) -> Result<Record, Failure> {
    let mut bytes = vec![VERSION];
    serde_json::to_writer(&mut bytes, chat).map_err(|error| Failure::Other(error.to_string()))?;
    Ok(Record(bytes.into()))
}

/// A record that does not decode is as good as none: the next message of its chat makes it anew.
fn open(record: &Record) -> Option<Chat> {
    match record.0.split_first() {
        Some((&VERSION, json)) => serde_json::from_slice(json).ok(),
        _ => None,
    }
}
