//! A relay, two linked accounts and a message, each command a process of its own.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a failing test panics")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

fn whatsio(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_whatsio"));
    command.current_dir(folder).stdin(Stdio::null());
    for name in ["STORE", "STORE_KEY", "KEY_FILE", "ACCOUNT", "RELAY", "ROOT_KEY", "PROXY", "LOG"] {
        command.env_remove(format!("WHATSIO_{name}"));
    }
    command
}

/// A relay in a process; ends with the test.
struct Relay {
    process: Child,
    output: BufReader<ChildStdout>,
}

impl Relay {
    fn start(folder: &Path) -> Self {
        let mut process = whatsio(folder)
            .args(["relay", "--ws", "127.0.0.1:0", "--wss", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(["--certificate", "relay.pem"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        Self { process, output }
    }

    fn line(&mut self, word: &str) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let (found, value) = line.trim_end().split_once(' ').unwrap();
        assert_eq!(found, word);
        value.to_owned()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{command:?}: {err}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

#[test]
fn two_accounts_link_send_and_watch_through_a_relay() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut relay = Relay::start(folder);
    let url = relay.line("ws");
    let tls_url = relay.line("wss");
    relay.line("admin");
    let key = relay.line("root-key");

    let alice = succeed(whatsio(folder).args(["--account", "alice", "--relay", &url, "link", "--scan"]));
    let bob = succeed(whatsio(folder).args(["--account", "bob", "--relay", &url, "link", "--scan"]));
    assert_ne!(number(&alice), number(&bob));
    // Linking again changes nothing and says who this is.
    assert_eq!(succeed(whatsio(folder).args(["--account", "bob", "--relay", &url, "link", "--scan"])), bob);

    let to = number(&bob);
    let over_tls = ["--relay", &tls_url, "--root-key", &key, "--trust", "relay.pem"];
    let first = succeed(whatsio(folder).args(["--account", "alice"]).args(over_tls).args(["send", &to, "one"]));
    let second = succeed(whatsio(folder).args(["--account", "alice", "--relay", &url, "send", &to, "two"]));
    assert_ne!(first, second);

    let seen = watch_until(folder, &url, "two");
    let texts: Vec<_> = seen.iter().map(|message| (message.id.clone(), message.text.clone())).collect();
    assert_eq!(texts, [(first, "one".to_owned()), (second, "two".to_owned())]);
    assert!(seen.iter().all(|message| message.sender == number(&alice)));

    // The watcher was killed, maybe before it could say that it has handled the last message. It comes again under the
    // same event id at worst, and nothing is lost.
    succeed(whatsio(folder).args(["--account", "alice", "--relay", &url, "send", &to, "three"]));
    let again = watch_until(folder, &url, "three");
    let (last, repeated) = again.split_last().unwrap();
    assert_eq!(last.text, "three");
    assert!(repeated.iter().all(|message| seen.iter().any(|before| before.event == message.event)));
}

struct Message {
    event: u64,
    id: String,
    sender: String,
    text: String,
}

/// What bob's `watch` prints until a message says `text`; the process is killed then.
fn watch_until(folder: &Path, url: &str, text: &str) -> Vec<Message> {
    let watch = ["--account", "bob", "--relay", url, "watch", "--json", "--timeout", "30"];
    let mut watching = whatsio(folder).args(watch).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut messages = Vec::new();
    for line in BufReader::new(watching.stdout.take().unwrap()).lines() {
        let event: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        if event["type"] != "message" {
            continue;
        }
        let word = |member: &str| event[member].as_str().unwrap().to_owned();
        messages.push(Message {
            event: event["event"].as_u64().unwrap(),
            id: word("id"),
            sender: number(&word("sender_pn")),
            text: word("text"),
        });
        if word("text") == text {
            break;
        }
    }
    let _ = watching.kill();
    let _ = watching.wait();
    messages
}

fn number(jid: &str) -> String {
    jid.split([':', '@']).next().unwrap().to_owned()
}

#[test]
fn waiting_too_long_ends_with_4() {
    let folder = tempfile::tempdir().unwrap();
    let mut relay = Relay::start(folder.path());
    let url = relay.line("ws");
    // Nobody scans the code.
    let output = whatsio(folder.path()).args(["--relay", &url, "link", "--timeout", "1"]).output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(4), "{err}");
    assert!(err.contains('█') && err.contains("--timeout"), "{err}");
}

#[test]
fn the_demo_loses_and_doubles_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let output = whatsio(folder.path()).args(["demo", "--messages", "5"]).output().unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    assert!(out.lines().last().unwrap().contains(" 0 lost, 0 doubled"), "{out}");
}
