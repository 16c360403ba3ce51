//! One linked device of the demo: a client with a database of its own, and the task that reads its events.

use super::ledger::{Board, Name};
use crate::failure::Failure;
use std::path::Path;
use std::sync::Arc;
use tokio::task::JoinHandle;
use whatsio::api::{DeviceOutcome, Event, MessageId, ReceiptKind, SendReport};
use whatsio::relay::RelayServer;
use whatsio::{Client, Events, KeySource, Recording, content};
use whatsio_core::types::Jid;
use whatsio_store::SqliteStore;

pub(crate) struct Device {
    pub(crate) name: Name,
    pub(crate) client: Client,
    board: Arc<Board>,
    reader: JoinHandle<()>,
}

/// How a device reaches the relay.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    Plain,
    Tls,
}

impl Device {
    /// Starts a device from its database in `folder`, new or old.
    pub(crate) async fn start(
        name: Name,
        way: Way,
        server: &RelayServer,
        folder: &Path,
        record: Option<&Path>,
        board: &Arc<Board>,
    ) -> Result<Self, Failure> {
        let path = folder.join(format!("{name}.db"));
        let store = SqliteStore::open(&path).map_err(|source| Failure::Store { path, source })?;
        let mut builder = Client::builder().store(store).account(name);
        builder = match (way, server.tls_url(), server.certificate_pem()) {
            (Way::Tls, Some(url), Some(pem)) => builder.relay(url, server.root_key()).trust_pem(pem),
            _ => builder.relay(server.url(), server.root_key()),
        };
        if let Some(folder) = record {
            builder = builder.record(recording(folder, name));
        }
        let (client, events) = builder.start().await?;
        let reader = tokio::spawn(read_events(name, client.clone(), events, Arc::clone(board)));
        Ok(Self { name, client, board: Arc::clone(board), reader })
    }

    /// Ends the device's process, so to say: only its database remains.
    pub(crate) async fn stop(self) {
        self.client.shutdown().await;
        let _ = self.reader.await;
    }

    /// Links by QR code: the phone of `account`, or of a new one, scans what this device shows.
    pub(crate) async fn link(&self, server: &RelayServer, account: Option<&str>) -> Result<Jid, Failure> {
        let name = self.name;
        self.board.until("a QR code", |ledger| ledger.devices.get(name).is_some_and(|log| log.qr.is_some())).await?;
        let text = self.board.read(|ledger| ledger.devices.get(name).and_then(|log| log.qr.clone()));
        let scanned = server.handle().scan_qr(account, &text.unwrap_or_default()).await;
        let scanned = scanned.map_err(|error| Failure::Scan(error.to_string()))?;
        scanned.map_err(|error| Failure::Scan(error.to_string()))?;
        self.until_online().await?;
        let identity = self.client.identity().await?;
        Ok(identity.ok_or(Failure::NotLinked)?.jid)
    }

    pub(crate) async fn until_online(&self) -> Result<(), Failure> {
        let name = self.name;
        self.board.until("the connection", |ledger| ledger.online(name)).await
    }

    pub(crate) async fn go_offline(&self) -> Result<(), Failure> {
        self.client.disconnect().await?;
        let name = self.name;
        self.board.until("the disconnection", |ledger| !ledger.online(name)).await
    }

    /// Sends `text`; every device in `expected` must get it once. The report must be clean.
    pub(crate) async fn say(&self, to: &Jid, text: &str, expected: &[Name]) -> Result<SendReport, Failure> {
        self.board.note(|ledger| ledger.will_send(text, expected));
        let report = self.client.send_text(to, text).await?;
        if let Some(code) = report.refused() {
            return Err(Failure::Refused(code));
        }
        let has_it = |outcome: &DeviceOutcome| matches!(outcome, DeviceOutcome::Sent | DeviceOutcome::Repaired);
        match report.devices.iter().find(|(_, outcome)| !has_it(outcome)) {
            Some((_, outcome)) => Err(Failure::Other(format!("{} could not reach a device: {outcome:?}", self.name))),
            None => Ok(report),
        }
    }
}

/// Each start of a device is a recording of its own.
fn recording(folder: &Path, name: Name) -> Recording {
    let path = |number: u32| folder.join(format!("{name}-{number}.rec"));
    let number = (1..=u32::MAX).find(|number| !path(*number).exists()).unwrap_or(1);
    let redacted = folder.join(format!("{name}-{number}.redacted"));
    Recording::sealed(path(number), KeySource::File(folder.join("key"))).and_redacted(redacted)
}

async fn read_events(name: Name, client: Client, mut events: Events, board: Arc<Board>) {
    while let Some(event) = events.next().await {
        match event.event() {
            Event::QrShown { text, .. } => board.note(|ledger| ledger.device(name).qr = Some(text.clone())),
            Event::Connected => board.note(|ledger| {
                let log = ledger.device(name);
                log.online = true;
                log.connects += 1;
            }),
            Event::Disconnected(_) => board.note(|ledger| ledger.device(name).online = false),
            Event::OfflineDrained { count } => board.note(|ledger| ledger.device(name).drained = *count),
            Event::MessageReceived(message) => {
                if board.read(|ledger| ledger.devices.get(name).is_some_and(|log| log.forgetful)) {
                    // Not handled: the store must bring it again.
                    board.note(|ledger| ledger.device(name).forgotten += 1);
                    continue;
                }
                let text = content::text_of(&message.content).unwrap_or_default();
                if !message.from_me {
                    mark_read(&client, &message.chat, &message.sender, &message.id);
                }
                board.note(|ledger| ledger.saw(name, text));
            }
            Event::ReceiptReceived(receipt) if matches!(receipt.kind, ReceiptKind::Delivered | ReceiptKind::Read) => {
                let read = receipt.kind == ReceiptKind::Read;
                board.note(|ledger| {
                    for id in &receipt.ids {
                        ledger.receipt(id.as_str(), receipt.sender.to_string(), read);
                    }
                });
            }
            Event::MessageUndecryptable(message) => {
                let trouble = format!("a message could not be read: {:?}", message.reason);
                board.note(|ledger| ledger.device(name).troubles.push(trouble));
            }
            Event::Faulted(reason) => {
                let trouble = format!("the client faulted: {reason:?}");
                board.note(|ledger| ledger.device(name).troubles.push(trouble));
            }
            _ => {}
        }
        event.handled();
    }
}

/// In a task of its own: events must flow while the server answers.
fn mark_read(client: &Client, chat: &Jid, sender: &Jid, id: &MessageId) {
    let (client, chat, sender, id) = (client.clone(), chat.clone(), sender.clone(), id.clone());
    tokio::spawn(async move {
        // Lost receipts are not the demo's subject; a cut or a restart may well lose one.
        let _ = client.mark_read(&chat, &sender, &[id]).await;
    });
}
