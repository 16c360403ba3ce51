//! A Baileys client in a process of its own, commanded and observed over JSON lines.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// Longer than any step takes; only a hang meets it.
const PATIENCE: Duration = Duration::from_secs(60);

/// One client. Dropping it kills the process.
pub(crate) struct Baileys {
    url: String,
    auth: TempDir,
    process: Option<Process>,
    /// What it said that nobody has asked for yet, in order.
    seen: Vec<Value>,
    /// Own address by phone number, without device.
    pub(crate) jid: String,
}

struct Process {
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Baileys {
    /// A client that has never been linked, connecting to the relay at `url`.
    pub(crate) fn new(url: &str) -> Self {
        let auth = TempDir::new().expect("a folder for the session");
        Self { url: url.to_owned(), auth, process: None, seen: Vec::new(), jid: String::new() }
    }

    /// Starts the process and connects.
    pub(crate) async fn start(&mut self) {
        let mut child = Command::new("node")
            .arg("actor.mjs")
            .current_dir(folder())
            .env("BAILEYS_URL", &self.url)
            .env("BAILEYS_AUTH", self.auth.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("node starts");
        let input = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped")).lines();
        self.process = Some(Process { _child: child, input, output });
        self.command(json!({"do": "start"})).await;
    }

    /// Closes the connection and ends the process, as an application that is shut down.
    pub(crate) async fn stop(&mut self) {
        self.command(json!({"do": "stop"})).await;
        self.wait("the connection closed", |event| event["is"] == "closed").await;
        self.process = None;
    }

    /// Waits for a code to scan.
    pub(crate) async fn code(&mut self) -> String {
        let event = self.wait("a code", |event| event["is"] == "qr").await;
        event["text"].as_str().expect("text").to_owned()
    }

    /// Waits until it is connected and has received what waited for it.
    pub(crate) async fn open(&mut self) {
        let event = self.wait("an open connection", |event| event["is"] == "open").await;
        let jid = event["jid"].as_str().expect("an address");
        let (user, server) = jid.split_once('@').expect("an address");
        self.jid = format!("{}@{server}", user.split(':').next().expect("a user"));
        self.wait("the end of the offline queue", |event| event["is"] == "drained").await;
    }

    /// Sends a text; returns its id.
    pub(crate) async fn send(&mut self, to: &str, text: &str) -> String {
        self.command(json!({"do": "send", "to": to, "text": text})).await;
        self.sent(text).await
    }

    /// Sends a text that replies to a message and mentions somebody.
    pub(crate) async fn reply(&mut self, to: &str, text: &str, key: Value, quoted: &str, mention: &str) -> String {
        let quote = json!({"key": key, "text": quoted});
        self.command(json!({"do": "send", "to": to, "text": text, "quote": quote, "mention": mention})).await;
        self.sent(text).await
    }

    /// Marks a message as read.
    pub(crate) async fn read(&mut self, message: &Value) {
        self.command(json!({"do": "read", "chat": message["chat"], "id": message["id"]})).await;
        self.wait("the mark", |event| event["is"] == "marked").await;
    }

    /// Waits for a message with this text.
    pub(crate) async fn message(&mut self, text: &str) -> Value {
        self.wait(&format!("the message {text:?}"), |event| event["is"] == "message" && event["text"] == text).await
    }

    /// Waits for `count` messages and returns their texts in the order of arrival.
    pub(crate) async fn texts(&mut self, count: usize) -> Vec<String> {
        let mut texts = Vec::new();
        while texts.len() < count {
            let event = self.wait("one more message", |event| event["is"] == "message").await;
            texts.push(event["text"].as_str().unwrap_or("(none)").to_owned());
        }
        texts
    }

    /// Waits until a message of its own has this status: 3 delivered, 4 read.
    pub(crate) async fn status(&mut self, id: &str, status: u64) {
        let is_it =
            |event: &Value| event["is"] == "status" && event["id"] == id && event["status"].as_u64() >= Some(status);
        self.wait(&format!("the status {status}"), is_it).await;
    }

    /// Messages that came and that nobody asked for.
    pub(crate) fn unexpected(&self) -> Vec<&Value> {
        self.seen.iter().filter(|event| event["is"] == "message" || event["is"] == "failed").collect()
    }

    async fn sent(&mut self, text: &str) -> String {
        let event = self.wait("the send to end", |event| event["is"] == "sent" && event["text"] == text).await;
        event["id"].as_str().expect("an id").to_owned()
    }

    async fn command(&mut self, command: Value) {
        let process = self.process.as_mut().expect("the process runs");
        process.input.write_all(format!("{command}\n").as_bytes()).await.expect("the process listens");
    }

    /// The first event that `pick` accepts, among those seen and those to come. Others stay for later.
    async fn wait(&mut self, what: &str, pick: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.seen.iter().position(&pick) {
            return self.seen.remove(at);
        }
        let process = self.process.as_mut().expect("the process runs");
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                let line = process.output.next_line().await.expect("readable").expect("the process lives");
                let event: Value = serde_json::from_str(&line).expect("a JSON line");
                if pick(&event) {
                    return event;
                }
                self.seen.push(event);
            }
        });
        match waited.await {
            Ok(event) => event,
            Err(_) => panic!("Baileys: waited in vain for {what}; it said {:?}", self.seen),
        }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/baileys")
}
