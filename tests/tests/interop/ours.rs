//! The whatsio actor: an application as the documentation wants it, in a process of its own. It writes each durable event
//! to a journal of its own, with the disk's word for it, before it says that the event is handled; an event that comes
//! again after a kill is recognised by its id.

use prost::Message as _;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::error::Error;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use tokio::io::{AsyncBufReadExt, BufReader};
use whatsio::api::{Event, MessageEvent, MessageId, ReceiptKind, Recommendation};
use whatsio::{Client, Events, Jid, SqliteStore};
use whatsio_core::message::{Quote, Text, mentions_of, quoted_id_of};
use whatsio_proto::e2e::Message;

type Failure = Box<dyn Error + Send + Sync>;

/// Runs until stdin ends.
pub(crate) async fn act() -> Result<(), Failure> {
    let folder = std::env::var("ACTOR_STORE")?;
    let folder = Path::new(&folder);
    let root_key: [u8; 32] =
        hex::decode(std::env::var("ACTOR_ROOT_KEY")?)?.try_into().map_err(|_| "a key of 32 bytes")?;
    let (client, events) = Client::builder()
        .store(SqliteStore::open(folder.join("whatsio.db"))?)
        .relay(std::env::var("ACTOR_URL")?, root_key)
        .trust_pem(std::fs::read_to_string(std::env::var("ACTOR_CA")?)?)
        .offline()
        .start()
        .await?;
    tokio::spawn(report(client.clone(), events, Journal::open(&folder.join("journal"))?));
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let command: Value = serde_json::from_str(&line)?;
        if let Err(error) = obey(&client, &command).await {
            tell(&json!({"is": "failed", "what": command["do"], "id": command["id"], "why": error.to_string()}));
        }
    }
    Ok(())
}

async fn obey(client: &Client, command: &Value) -> Result<(), Failure> {
    let text = |key: &str| command[key].as_str().ok_or_else(|| format!("{key} is missing"));
    match command["do"].as_str() {
        Some("connect") => client.connect().await?,
        Some("code") => client.request_pair_code(text("number")?, None).await?,
        Some("disconnect") => client.disconnect().await?,
        Some("logout") => client.log_out().await?,
        Some("read") => {
            let (chat, sender): (Jid, Jid) = (text("chat")?.parse()?, text("sender")?.parse()?);
            client.mark_read(&chat, &sender, &[MessageId::new(text("id")?)]).await?;
        }
        Some("send") => {
            let mut content = Text::new(text("text")?);
            if let Some(reply) = command.get("reply") {
                let part = |key: &str| reply[key].as_str().ok_or_else(|| format!("{key} is missing"));
                let quoted = Message { conversation: Some(part("text")?.to_owned()), ..Message::default() };
                content = content.reply_to(Quote::new(part("id")?, part("sender")?.parse()?).with_content(&quoted));
            }
            if let Some(mention) = command.get("mention").and_then(Value::as_str) {
                content = content.mention(&mention.parse()?);
            }
            let id = MessageId::new(text("id")?);
            let content = content.into_message().encode_to_vec().into();
            // The report comes as an event, also to a later process; so nobody waits for it here.
            let queued = client.queue(&text("chat")?.parse()?, content, Some(id)).await?;
            tell(&json!({"is": "accepted", "id": queued.id().as_str()}));
        }
        other => return Err(format!("there is no command {other:?}").into()),
    }
    Ok(())
}

async fn report(client: Client, mut events: Events, mut journal: Journal) {
    while let Some(delivery) = events.next().await {
        let line = described(&client, delivery.event()).await;
        let news = !delivery.is_durable() || journal.enter(delivery.id().0, line.as_ref());
        if let Some(line) = line.filter(|_| news) {
            tell(&line);
        }
        delivery.handled();
    }
    tell(&json!({"is": "failed", "what": "the client", "why": format!("{:?}", client.stopped())}));
}

async fn described(client: &Client, event: &Event) -> Option<Value> {
    Some(match event {
        Event::QrShown { text, .. } => json!({"is": "qr", "text": text}),
        Event::CodeShown { code, .. } => json!({"is": "code", "text": code}),
        Event::Linked { .. } => json!({"is": "linked"}),
        Event::LinkFailed(failure) => json!({"is": "failed", "what": "linking", "why": format!("{failure:?}")}),
        Event::Connected => {
            let own = client.identity().await.ok()??;
            let lid = own.lid.map(|lid| lid.to_user().to_string());
            json!({"is": "open", "jid": own.jid.to_user().to_string(), "lid": lid, "device": own.jid.to_string()})
        }
        Event::OfflineDrained { .. } => json!({"is": "drained"}),
        Event::Disconnected(end) if end.recommendation == Recommendation::LinkAgain => json!({"is": "logged_out"}),
        Event::Disconnected(end) => json!({"is": "closed", "why": end.reason.word()}),
        Event::MessageReceived(message) => received(message),
        Event::MessageUndecryptable(lost) => {
            json!({"is": "undecryptable", "id": lost.id.as_str(), "why": format!("{:?}", lost.reason)})
        }
        Event::ReceiptReceived(receipt) => {
            let kind = match &receipt.kind {
                ReceiptKind::Delivered => "delivered".to_owned(),
                ReceiptKind::Read => "read".to_owned(),
                other => format!("{other:?}"),
            };
            let ids: Vec<&str> = receipt.ids.iter().map(MessageId::as_str).collect();
            json!({"is": "receipt", "ids": ids, "kind": kind, "from": receipt.sender.to_string()})
        }
        Event::SendFinished(report) if report.is_sent() => json!({"is": "sent", "id": report.id.as_str()}),
        Event::SendFinished(report) => {
            json!({"is": "failed", "what": "send", "id": report.id.as_str(), "why": format!("{report:?}")})
        }
        Event::Faulted(reason) => json!({"is": "failed", "what": "the client", "why": format!("{reason:?}")}),
        _ => return None,
    })
}

fn received(message: &MessageEvent) -> Value {
    let content = Message::decode(message.content.clone()).unwrap_or_default();
    let mentions: Vec<String> = mentions_of(&content).map(|jid| jid.to_string()).collect();
    json!({
        "is": "message",
        "id": message.id.as_str(),
        "chat": message.chat.to_string(),
        "from": message.sender.to_string(),
        "mine": message.from_me,
        "text": whatsio::content::text_of(&message.content),
        "quoted": quoted_id_of(&content),
        "mentions": mentions,
    })
}

fn tell(event: &Value) {
    let mut output = std::io::stdout().lock();
    // Fails when nobody listens any more; the end of stdin then ends this process.
    let _ = writeln!(output, "{event}").and_then(|()| output.flush());
}

/// The application's own memory: one line per durable event, on disk before the event is called handled.
struct Journal {
    file: File,
    known: BTreeSet<u64>,
}

impl Journal {
    fn open(path: &Path) -> Result<Self, Failure> {
        let mut file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        // A kill may have left half a line, whose event was then not handled.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        file.set_len(u64::try_from(whole)?)?;
        file.seek(SeekFrom::End(0))?;
        let entries = text.get(..whole).unwrap_or_default().lines().map(serde_json::from_str::<Value>);
        let known = entries.filter_map(|entry| entry.ok()?["event"].as_u64()).collect();
        Ok(Self { file, known })
    }

    /// Writes an event down; `false` if it has been written before.
    fn enter(&mut self, event: u64, line: Option<&Value>) -> bool {
        if !self.known.insert(event) {
            return false;
        }
        let entry = json!({"event": event, "what": line});
        let written = writeln!(self.file, "{entry}").and_then(|()| self.file.sync_data());
        written.expect("the journal can be written");
        true
    }
}
