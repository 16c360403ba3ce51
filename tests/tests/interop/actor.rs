//! Clients in processes of their own, all commanded and observed in one language: JSON lines, commands on stdin, events
//! on stdout. whatsio, Baileys and whatsmeow each have an actor that speaks it.
//!
//! The environment: `ACTOR_URL` (the relay, `wss://`), `ACTOR_ROOT_KEY` (the root of its certificates, hex), `ACTOR_CA` (a
//! file: its TLS certificate), `ACTOR_STORE` (a folder that outlives the process), `ACTOR_LOG` (anything: log to stderr).
//!
//! | command (`do`) | further fields | leads to |
//! |---|---|---|
//! | `connect` | | `open`, then `drained`; `qr` while not linked |
//! | `code` | `number` | `code`; only after `qr` |
//! | `disconnect` | | `closed` |
//! | `send` | `chat`, `text`, `id`; perhaps `reply` (`id`, `sender`, `text`) and `mention` | `sent` or `failed` |
//! | `read` | `chat`, `sender`, `id` | |
//! | `logout` | | `logged_out` |
//!
//! | event (`is`) | further fields |
//! |---|---|
//! | `qr`, `code` | `text` |
//! | `linked`, `drained`, `closed`, `logged_out` | |
//! | `open` | `jid`, `lid` (without device), `device` |
//! | `message` | `id`, `chat`, `from`, `mine`, `text`, `quoted`, `mentions` |
//! | `undecryptable` | `id` |
//! | `receipt` | `ids`, `kind` (`delivered`, `read`, …), `from` |
//! | `accepted` | `id`: the send survives a kill from now on; whatsio only |
//! | `sent` | `id`: the server has it |
//! | `failed` | `what`, `id`, `why` |
//!
//! An actor runs its commands one after the other and ends with its stdin.

use serde_json::{Value, json};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;

use crate::stage::Address;

/// What went wrong, in words for the table.
pub(crate) type Outcome<T = ()> = Result<T, String>;

/// Longer than any step takes; only a hang meets it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Whose client it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Whatsio,
    Baileys,
    Whatsmeow,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Whatsio, Self::Baileys, Self::Whatsmeow];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Whatsio => "whatsio",
            Self::Baileys => "Baileys",
            Self::Whatsmeow => "whatsmeow",
        }
    }

    fn command(self) -> Command {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop");
        match self {
            // The suite itself is also its whatsio actor.
            Self::Whatsio => {
                let mut command = Command::new(std::env::current_exe().expect("a path"));
                command.env("WHATSIO_ACTOR", "1");
                command
            }
            Self::Baileys => {
                let mut command = Command::new("node");
                command.arg("actor.mjs").current_dir(folder.join("baileys"));
                command
            }
            Self::Whatsmeow => Command::new(std::env::var_os("WHATSMEOW_ACTOR").expect("set by tests/interop/run")),
        }
    }
}

/// One client: its store, and its process while it runs. Dropping it kills the process.
pub(crate) struct Actor {
    pub(crate) kind: Kind,
    /// Which of its kind, for messages about failures.
    role: &'static str,
    address: Address,
    store: TempDir,
    process: Option<Process>,
    /// What it said that nobody has asked for yet, in order.
    seen: Vec<Value>,
    /// Every text it showed, in order, as message id and text.
    pub(crate) shown: Vec<(String, String)>,
    /// Own address by phone number, without device.
    pub(crate) jid: String,
    /// Own address by LID, without device.
    pub(crate) lid: String,
    /// Own address by phone number, with device.
    pub(crate) device: String,
}

struct Process {
    child: Child,
    input: ChildStdin,
    events: mpsc::UnboundedReceiver<Value>,
}

impl Actor {
    /// A client that has never been linked. No process yet.
    pub(crate) fn new(kind: Kind, role: &'static str, address: &Address) -> Self {
        Self {
            kind,
            role,
            address: address.clone(),
            store: TempDir::new().expect("a folder for the store"),
            process: None,
            seen: Vec::new(),
            shown: Vec::new(),
            jid: String::new(),
            lid: String::new(),
            device: String::new(),
        }
    }

    /// The folder that outlives the process.
    pub(crate) fn store(&self) -> &Path {
        self.store.path()
    }

    /// Starts the process, on the store it had before.
    pub(crate) fn start(&mut self) -> Outcome {
        let mut child = self
            .kind
            .command()
            .env("ACTOR_URL", &self.address.url)
            .env("ACTOR_ROOT_KEY", &self.address.root_key)
            .env("ACTOR_CA", &self.address.certificate)
            .env("ACTOR_STORE", self.store.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("the process of {} does not start: {error}", self.kind.name()))?;
        let input = child.stdin.take().ok_or("no stdin")?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no stdout")?).lines();
        let (sender, events) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                // A killed process may leave half a line.
                let Ok(event) = serde_json::from_str(&line) else { continue };
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        self.process = Some(Process { child, input, events });
        Ok(())
    }

    /// Kills the process with SIGKILL and waits for its end. What it had said before is kept.
    pub(crate) async fn kill(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        process.child.kill().await.expect("a process can be killed");
        while let Some(event) = process.events.recv().await {
            self.note(&event);
            self.seen.push(event);
        }
    }

    /// Gives a command.
    pub(crate) async fn order(&mut self, command: Value) -> Outcome {
        let process = self.process.as_mut().ok_or("the process is not running")?;
        let written = process.input.write_all(format!("{command}\n").as_bytes()).await;
        written.map_err(|error| format!("{} does not listen: {error}", self.kind.name()))
    }

    /// Connects and waits until it is logged in and has received what waited for it.
    pub(crate) async fn connect(&mut self) -> Outcome {
        self.order(json!({"do": "connect"})).await?;
        self.opened().await
    }

    /// Waits until it is logged in and has received what waited for it.
    pub(crate) async fn opened(&mut self) -> Outcome {
        let open = self.wait("a login", |event| event["is"] == "open").await?;
        for (own, key) in [(&mut self.jid, "jid"), (&mut self.lid, "lid"), (&mut self.device, "device")] {
            own.clear();
            own.push_str(open[key].as_str().unwrap_or_default());
        }
        self.wait("the end of the offline queue", |event| event["is"] == "drained").await?;
        Ok(())
    }

    /// Closes the connection.
    pub(crate) async fn disconnect(&mut self) -> Outcome {
        self.order(json!({"do": "disconnect"})).await?;
        self.wait("the end of the connection", |event| event["is"] == "closed").await?;
        Ok(())
    }

    /// Sends a text and waits until the server has it.
    pub(crate) async fn send(&mut self, chat: &str, id: &str, text: &str) -> Outcome {
        self.order(json!({"do": "send", "chat": chat, "id": id, "text": text})).await?;
        self.sent(id).await
    }

    /// Waits until the server has a message.
    pub(crate) async fn sent(&mut self, id: &str) -> Outcome {
        let ended = |event: &Value| (event["is"] == "sent" || event["is"] == "failed") && event["id"] == id;
        let end = self.wait("the send to end", ended).await?;
        if end["is"] == "sent" { Ok(()) } else { Err(format!("{} cannot send: {}", self.kind.name(), end["why"])) }
    }

    /// Waits for a message by its id.
    pub(crate) async fn message(&mut self, id: &str) -> Outcome<Value> {
        self.wait(&format!("message {id}"), |event| event["is"] == "message" && event["id"] == id).await
    }

    /// Waits for messages and fails unless they are these, in this order.
    pub(crate) async fn messages(&mut self, ids: &[String]) -> Outcome {
        for (number, id) in ids.iter().enumerate() {
            let next = self.wait(&format!("message {id}"), |event| event["is"] == "message").await?;
            if next["id"] != id.as_str() {
                return Err(format!("{}: {} came where {id} (the {number}th) was due", self.kind.name(), next["id"]));
            }
        }
        Ok(())
    }

    /// Waits for a receipt of this kind.
    pub(crate) async fn receipt(&mut self, id: &str, kind: &str) -> Outcome {
        let is_it = |event: &Value| {
            let ids = event["ids"].as_array();
            event["is"] == "receipt" && event["kind"] == kind && ids.is_some_and(|ids| ids.contains(&json!(id)))
        };
        self.wait(&format!("the receipt {kind:?} for {id}"), is_it).await?;
        Ok(())
    }

    /// The first event that `pick` accepts, among those seen and those to come. Others stay for later.
    pub(crate) async fn wait(&mut self, what: &str, pick: impl Fn(&Value) -> bool) -> Outcome<Value> {
        if let Some(at) = self.seen.iter().position(&pick) {
            return Ok(self.seen.remove(at));
        }
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let process = self.process.as_mut().ok_or("the process is not running")?;
            let next = tokio::time::timeout_at(deadline, process.events.recv()).await;
            let Ok(Some(event)) = next else {
                let (who, role) = (self.kind.name(), self.role);
                let how = if next.is_ok() { "its process ended" } else { "in vain" };
                let last: Vec<_> = self.seen.iter().rev().take(6).map(Value::to_string).collect();
                return Err(format!("{who} ({role}): waited for {what}, {how}; last: {}", last.join(" ")));
            };
            self.note(&event);
            if pick(&event) {
                return Ok(event);
            }
            self.seen.push(event);
        }
    }

    /// The next thing it says; `None` when its process has ended. Cancellation-safe.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        let event = self.process.as_mut()?.events.recv().await?;
        self.note(&event);
        Some(event)
    }

    /// What it said by now, without waiting, that is wanted and that nobody has asked for yet.
    pub(crate) fn take_seen(&mut self, pick: impl Fn(&Value) -> bool) -> Vec<Value> {
        if let Some(process) = self.process.as_mut() {
            while let Ok(event) = process.events.try_recv() {
                note(&mut self.shown, &event);
                self.seen.push(event);
            }
        }
        self.seen.extract_if(.., |event| pick(event)).collect()
    }

    fn note(&mut self, event: &Value) {
        note(&mut self.shown, event);
    }
}

fn note(shown: &mut Vec<(String, String)>, event: &Value) {
    if event["is"] == "message" {
        let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
        shown.push((text("id"), text("text")));
    }
}
