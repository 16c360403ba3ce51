//! History blobs: from the notification to the messages.

use super::{array, equal, same, text};
use crate::suite::Outcome;
use prost::Message;
use std::collections::BTreeMap;
use whatsio_core::app_state::{Conversation, HistoryLimits, HistoryPart, HistoryReader, inflate};
use whatsio_core::media::{Expected, MediaKey, MediaKind, decrypt};
use whatsio_fixtures::appstate::{HistoryMessage, HistoryVector, LidMapping};
use whatsio_proto::e2e::{self, HistorySyncNotification};
use whatsio_proto::fields::{put_bytes, put_uint};
use whatsio_proto::history_sync::history_sync::HistorySyncType;
use whatsio_proto::web::WebMessageInfo;

pub(super) fn blob(entry: &HistoryVector) -> Outcome {
    let plain = inflate(&entry.deflated, 1 << 24).map_err(text)?;
    same("inflated", plain, &*entry.history_sync_proto)?;
    let notice = notice(entry)?;
    let delivered = match (entry.delivery.as_str(), &notice.initial_hist_bootstrap_inline_payload) {
        ("inline", Some(payload)) => payload.to_vec(),
        ("external", None) => external(entry, &notice)?,
        (other, _) => return Err(format!("delivery {other}")),
    };
    same("delivered", &delivered, &*entry.deflated)?;
    for size in [1, 29, 100_000] {
        let read = Read::of(&delivered, size)?;
        read.agrees(entry)?;
    }
    Ok(())
}

fn notice(entry: &HistoryVector) -> Result<HistorySyncNotification, String> {
    let notice = HistorySyncNotification::decode(&*entry.history_sync_notification_proto).map_err(text)?;
    equal("number of the kind", notice.sync_type, Some(entry.sync_type_number))?;
    equal("chunk", notice.chunk_order, Some(entry.chunk_order))?;
    equal("progress", notice.progress, Some(entry.progress))?;

    let (mut inner, mut message) = (Vec::new(), Vec::new());
    put_uint(&mut inner, 2, 5);
    put_bytes(&mut inner, 6, &entry.history_sync_notification_proto);
    put_bytes(&mut message, 12, &inner);
    same("message", message, &*entry.protocol_message_proto)?;
    let message = e2e::Message::decode(&*entry.protocol_message_proto).map_err(text)?;
    let carried = message.protocol_message.as_ref().and_then(|inner| inner.history_sync_notification.as_ref());
    equal("carried", carried.map(Message::encode_to_vec), Some(notice.encode_to_vec()))?;
    Ok(notice)
}

fn external(entry: &HistoryVector, notice: &HistorySyncNotification) -> Result<Vec<u8>, String> {
    let (Some(key), Some(body)) = (&entry.media_key, &entry.ciphertext_and_mac) else {
        return Err("no object".into());
    };
    let (Some(file), Some(encrypted)) = (&entry.file_sha256, &entry.file_enc_sha256) else {
        return Err("no hashes".into());
    };
    same("media key", notice.media_key.as_deref().unwrap_or_default(), &**key)?;
    same("file hash", notice.file_sha256.as_deref().unwrap_or_default(), &**file)?;
    same("body hash", notice.file_enc_sha256.as_deref().unwrap_or_default(), &**encrypted)?;
    let expected =
        Expected { file_sha256: Some(array(file)?), file_enc_sha256: Some(array(encrypted)?), streaming_sidecar: None };
    let file = decrypt(&MediaKey::from_slice(key).map_err(text)?, &MediaKind::History, body, expected).map_err(text)?;
    if let Some(length) = notice.file_length {
        equal("length", file.len() as u64, length)?;
    }
    Ok(file)
}

/// What the reader hands out, owned.
#[derive(Default)]
struct Read {
    kind: Option<u32>,
    chunk: Option<u32>,
    progress: Option<u32>,
    chats: Vec<String>,
    messages: Vec<HistoryMessage>,
    contacts: Vec<BTreeMap<String, String>>,
    mappings: Vec<LidMapping>,
    damaged: Option<String>,
}

impl Read {
    fn of(compressed: &[u8], size: usize) -> Result<Self, String> {
        let (mut reader, mut read) = (HistoryReader::new(HistoryLimits::default()), Self::default());
        for chunk in compressed.chunks(size) {
            reader.push(chunk, |part| read.take(part)).map_err(text)?;
        }
        reader.finish().map_err(text)?;
        read.damaged.take().map_or(Ok(read), Err)
    }

    fn take(&mut self, part: HistoryPart<'_>) {
        match part {
            HistoryPart::SyncType(kind) => self.kind = Some(kind),
            HistoryPart::ChunkOrder(chunk) => self.chunk = Some(chunk),
            HistoryPart::Progress(progress) => self.progress = Some(progress),
            HistoryPart::Conversation(bytes) => self.damaged = self.conversation(bytes).err().or(self.damaged.take()),
            HistoryPart::PushName { user, name } => self.contacts.push(contact(&[("id", user), ("notify", name)])),
            HistoryPart::Aliases(aliases) => {
                self.mappings.push(LidMapping { lid: aliases.lid.into(), pn: aliases.phone_number.into() });
            }
            _ => {}
        }
    }

    fn conversation(&mut self, bytes: &[u8]) -> Result<(), String> {
        let conversation = Conversation::parse(bytes).map_err(text)?;
        self.chats.push(conversation.id.into());
        let mut about = vec![("id", conversation.id)];
        about.extend(conversation.display_name.or(conversation.name).map(|name| ("name", name)));
        about.extend(conversation.lid.map(|lid| ("lid", lid)));
        self.contacts.push(contact(&about));
        if let Some(aliases) = conversation.aliases() {
            self.mappings.push(LidMapping { lid: aliases.lid.into(), pn: aliases.phone_number.into() });
        }
        for bytes in &conversation.messages {
            let message = WebMessageInfo::decode(*bytes).map_err(text)?;
            let key = message.key.clone().unwrap_or_default();
            let content = message.message.as_ref();
            let extended =
                content.and_then(|content| content.extended_text_message.as_ref()).and_then(|it| it.text.clone());
            self.messages.push(HistoryMessage {
                id: key.id.unwrap_or_default(),
                from_me: key.from_me.unwrap_or_default(),
                chat: key.remote_jid.unwrap_or_default(),
                timestamp: message.message_timestamp.unwrap_or_default(),
                text: content.and_then(|content| content.conversation.clone()).or(extended),
            });
        }
        Ok(())
    }

    fn agrees(mut self, entry: &HistoryVector) -> Outcome {
        let kind = HistorySyncType::try_from(entry.sync_type_number).map_err(text)?;
        same("kind", kind.as_str_name(), &entry.sync_type)?;
        equal("kind of the blob", self.kind.map(i64::from), Some(entry.sync_type_number.into()))?;
        // Left out by the writer when zero.
        equal("chunk of the blob", self.chunk.unwrap_or(entry.chunk_order), entry.chunk_order)?;
        equal("progress of the blob", self.progress.unwrap_or(entry.progress), entry.progress)?;
        let decoded = &entry.decoded;
        equal("chats", &self.chats, &decoded.chats)?;
        let view = |message: &HistoryMessage| {
            (message.id.clone(), message.from_me, message.chat.clone(), message.timestamp, message.text.clone())
        };
        let messages = |list: &[HistoryMessage]| list.iter().map(view).collect::<Vec<_>>();
        equal("messages", messages(&self.messages), messages(&decoded.messages))?;
        equal("contacts", &self.contacts, &decoded.contacts)?;
        let mut stated = decoded.lid_pn_mappings.clone();
        stated.sort();
        self.mappings.sort();
        equal("mappings", self.mappings, stated)
    }
}

fn contact(about: &[(&str, &str)]) -> BTreeMap<String, String> {
    about.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}
