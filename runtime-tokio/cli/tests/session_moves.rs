//! Sessions at rest and on the move, each command a process of its own.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a failing test panics")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

const PASSPHRASE: &str = "correct horse battery";

fn whatsio(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_whatsio"));
    command.current_dir(folder).stdin(Stdio::null());
    for name in ["STORE", "STORE_KEY", "KEY_FILE", "ACCOUNT", "RELAY", "ROOT_KEY", "PROXY", "LOG", "PASSPHRASE"] {
        command.env_remove(format!("WHATSIO_{name}"));
    }
    command
}

fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap().trim_end().to_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn succeed(command: &mut Command) -> String {
    let (code, out, err) = told(&command.output().unwrap());
    assert_eq!(code, Some(0), "{command:?}: {err}");
    out
}

/// Runs a command that must end with `status`, and gives what it says on standard error.
fn fail(status: i32, command: &mut Command) -> String {
    let (code, out, err) = told(&command.output().unwrap());
    assert_eq!((code, out.as_str()), (Some(status), ""), "{command:?}: {err}");
    err
}

/// A relay in a process; ends with the test.
struct Relay {
    process: Child,
    url: String,
    _output: BufReader<ChildStdout>,
}

impl Relay {
    fn start(folder: &Path) -> Self {
        let mut process = whatsio(folder)
            .args(["relay", "--ws", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let url = line.trim_end().strip_prefix("ws ").unwrap().to_owned();
        Self { process, url, _output: output }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Alice and bob, linked through a relay, in `old.db`.
struct Two {
    folder: tempfile::TempDir,
    relay: Relay,
    alice: String,
    bob: String,
}

impl Two {
    fn link() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let relay = Relay::start(folder.path());
        let link = |account: &str| {
            let args = ["--store", "old.db", "--account", account, "--relay", &relay.url, "link", "--scan"];
            succeed(whatsio(folder.path()).args(args))
        };
        let (alice, bob) = (link("alice"), link("bob"));
        Self { folder, relay, alice, bob }
    }

    fn as_(&self, store: &str, account: &str) -> Command {
        let mut command = whatsio(self.folder.path());
        command.args(["--store", store, "--account", account, "--relay", &self.relay.url]);
        command.env("WHATSIO_PASSPHRASE", PASSPHRASE);
        command
    }

    fn send(&self, from: (&str, &str), to: &str, text: &str) {
        succeed(self.as_(from.0, from.1).args(["send", number(to), text]));
    }

    /// The texts that `watch` shows up to `last`.
    fn watch_until(&self, who: (&str, &str), last: &str) -> Vec<String> {
        let mut watching = self.as_(who.0, who.1);
        watching.args(["watch", "--json", "--timeout", "30"]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut watching = watching.spawn().unwrap();
        let texts = texts_until(watching.stdout.take().unwrap(), last);
        let _ = watching.kill();
        let _ = watching.wait();
        texts
    }
}

fn texts_until(output: ChildStdout, last: &str) -> Vec<String> {
    let mut texts = Vec::new();
    for line in BufReader::new(output).lines() {
        let event: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        if event["type"] == "message" {
            texts.push(event["text"].as_str().unwrap().to_owned());
        }
        if texts.last().is_some_and(|text| text == last) {
            break;
        }
    }
    texts
}

fn number(jid: &str) -> &str {
    jid.split([':', '@']).next().unwrap()
}

#[test]
fn session_moves_to_another_store_and_talks_on_without_linking() {
    let two = Two::link();
    two.send(("old.db", "alice"), &two.bob, "one");
    assert_eq!(two.watch_until(("old.db", "bob"), "one").last().unwrap(), "one");
    two.send(("old.db", "bob"), &two.alice, "back");

    succeed(two.as_("old.db", "bob").args(["session", "export", "bob.session"]));
    let err = fail(7, two.as_("old.db", "bob").args(["watch", "--timeout", "5"]));
    assert!(err.contains("moved away") && err.contains("session reclaim"), "{err}");
    let list = succeed(two.as_("old.db", "bob").args(["session", "list"]));
    assert!(list.contains("alice\tlinked\t") && list.contains("bob\tmoved-away\t"), "{list}");
    let file = std::fs::read(two.folder.path().join("bob.session")).unwrap();
    assert!(!file.windows(number(&two.alice).len()).any(|window| window == number(&two.alice).as_bytes()));

    let mut wrong = two.as_("new.db", "any");
    wrong.env("WHATSIO_PASSPHRASE", "another passphrase").args(["session", "import", "bob.session"]);
    assert!(fail(1, &mut wrong).contains("passphrase"));
    assert_eq!(succeed(two.as_("new.db", "any").args(["session", "import", "--as", "moved", "bob.session"])), "moved");
    fail(1, two.as_("new.db", "any").args(["session", "import", "--as", "moved", "bob.session"]));

    // What was sent while nobody ran it waits, the sessions go on, and nobody scans anything.
    two.send(("old.db", "alice"), &two.bob, "two");
    assert_eq!(two.watch_until(("new.db", "moved"), "two").last().unwrap(), "two");
    two.send(("new.db", "moved"), &two.alice, "three");
    assert_eq!(two.watch_until(("old.db", "alice"), "three"), ["back", "three"]);
    let shown = succeed(two.as_("new.db", "moved").args(["session", "show", "--json"]));
    assert!(!shown.contains(number(&two.bob)), "addresses are not shown: {shown}");
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((shown["state"].as_str(), shown["sealed"].as_bool()), (Some("linked"), Some(true)));
    assert!(shown["records"]["Session"].as_u64().unwrap() > 0);
}

#[test]
fn running_process_is_told_when_its_account_is_taken_away() {
    let two = Two::link();
    let mut watching = two.as_("old.db", "bob");
    watching.args(["watch", "--json", "--timeout", "60"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut watching = watching.spawn().unwrap();
    let mut output = BufReader::new(watching.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("\"connected\"") {
        line.clear();
        assert_ne!(output.read_line(&mut line).unwrap(), 0, "it ended before it was connected");
    }
    // Another process takes the account; the next message makes the first one write.
    succeed(two.as_("old.db", "bob").args(["session", "export", "bob.session"]));
    two.send(("old.db", "alice"), &two.bob, "who is there?");
    assert_eq!(watching.wait().unwrap().code(), Some(7));
    let (mut rest, mut err) = (String::new(), String::new());
    output.read_to_string(&mut rest).unwrap();
    watching.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert!(rest.contains("\"faulted\"") && rest.contains("Fenced"), "{rest}");
    assert!(err.contains("taken this account over") && err.contains("hint:"), "{err}");
    assert!(!rest.contains("who is there?"), "what could not be stored was not shown");

    // The message was not acknowledged by the one that was stopped: the next place has it.
    succeed(two.as_("new.db", "bob").args(["session", "import", "bob.session"]));
    assert_eq!(two.watch_until(("new.db", "bob"), "who is there?"), ["who is there?"]);
}

#[test]
fn account_that_moved_away_comes_back_by_explicit_choice_only() {
    let two = Two::link();
    succeed(two.as_("old.db", "bob").args(["session", "export", "bob.session"]));
    fail(1, two.as_("old.db", "bob").args(["session", "export", "again.session"]));
    fail(2, two.as_("old.db", "bob").args(["session", "reclaim"]));
    fail(7, two.as_("old.db", "bob").args(["send", number(&two.alice), "no"]));
    succeed(two.as_("old.db", "bob").args(["session", "reclaim", "--yes"]));
    two.send(("old.db", "bob"), &two.alice, "yes");
    assert_eq!(two.watch_until(("old.db", "alice"), "yes"), ["yes"]);

    fail(2, two.as_("old.db", "bob").args(["session", "remove"]));
    succeed(two.as_("old.db", "bob").args(["session", "remove", "--yes"]));
    fail(1, two.as_("old.db", "bob").args(["session", "show"]));
    fail(3, two.as_("old.db", "bob").args(["send", number(&two.alice), "gone"]));
}

#[test]
fn backup_leaves_the_account_running_and_is_not_taken_by_accident() {
    let two = Two::link();
    std::fs::write(two.folder.path().join("pass"), format!("{PASSPHRASE}\nmore\n")).unwrap();
    let export = ["session", "export", "--copy", "--passphrase-file", "pass", "bob.session"];
    succeed(two.as_("old.db", "bob").env("WHATSIO_PASSPHRASE", "not this one").args(export));
    two.send(("old.db", "bob"), &two.alice, "still here");
    let err = fail(1, two.as_("new.db", "bob").args(["session", "import", "bob.session"]));
    assert!(err.contains("copy") && err.contains("--accept-copy"), "{err}");
    succeed(two.as_("new.db", "bob").args(["session", "import", "--accept-copy", "bob.session"]));
    // Under a key file, made by the export, and opened by it only.
    succeed(two.as_("old.db", "bob").args(["session", "export", "--session-key", "k", "keyed.session"]));
    assert!(fail(1, two.as_("3.db", "bob").args(["session", "import", "keyed.session"])).contains("under a key"));
    succeed(two.as_("3.db", "bob").args(["session", "import", "--session-key", "k", "keyed.session"]));
}

#[test]
fn database_is_sealed_unless_a_plain_one_is_asked_for_and_is_sealed_later_in_place() {
    let two = Two::link();
    let folder = two.folder.path();
    let contains = |file: &str, what: &[u8]| {
        std::fs::read(folder.join(file)).unwrap_or_default().windows(what.len()).any(|window| window == what)
    };
    let number_of = |jid: &str| number(jid).as_bytes().to_vec();
    for file in ["old.db", "old.db-wal"] {
        assert!(!contains(file, &number_of(&two.bob)), "{file} shows a number");
    }
    let link = |args: &[&str]| succeed(two.as_("plain.db", "carol").args(args).args(["link", "--scan"]));
    let carol = link(&["--plain-store"]);
    let shown = |jid: &str| ["plain.db", "plain.db-wal"].iter().any(|file| contains(file, &number_of(jid)));
    assert!(shown(&carol), "the search finds what is there");
    let err = fail(1, two.as_("plain.db", "carol").args(["send", number(&two.bob), "x"]));
    assert!(err.contains("session seal"), "{err}");
    succeed(two.as_("plain.db", "carol").args(["session", "seal"]));
    for file in ["plain.db", "plain.db-wal"] {
        assert!(!contains(file, &number_of(&carol)), "{file} shows a number");
    }
    two.send(("plain.db", "carol"), &two.bob, "sealed now");

    // Without the key there is no session, and no new key either.
    std::fs::rename(folder.join("plain.db.key"), folder.join("aside")).unwrap();
    let err = fail(1, two.as_("plain.db", "carol").args(["send", number(&two.bob), "x"]));
    assert!(err.contains("plain.db.key") && !folder.join("plain.db.key").exists(), "{err}");
    // The environment gives it as well; another key is told from a damaged database.
    let key = std::fs::read_to_string(folder.join("aside")).unwrap();
    let list = |key: &str| {
        let mut command = two.as_("plain.db", "carol");
        command.env("WHATSIO_STORE_KEY", key).args(["session", "list"]);
        command
    };
    assert!(succeed(&mut list(&key)).contains("carol\tlinked"));
    let other = format!("whatsio-store-key-v1:{}", "0a".repeat(32));
    assert!(fail(1, &mut list(&other)).contains("another key"));
    let err = fail(1, &mut list("hunter2"));
    assert!(err.contains("whatsio-store-key-v1") && !err.contains("hunter2"), "{err}");
}

#[test]
fn commands_that_only_look_make_no_database() {
    let folder = tempfile::tempdir().unwrap();
    let commands: [&[&str]; 5] = [&["list"], &["show"], &["export", "x"], &["reclaim", "--yes"], &["remove", "--yes"]];
    for command in commands {
        let said = fail(1, whatsio(folder.path()).arg("session").args(command));
        assert!(said.contains("no database"), "{said}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn import_gives_the_account_the_name_that_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/store/passphrase-1.session");
    let import = |arguments: &[&str]| {
        let mut command = whatsio(folder.path());
        command.env("WHATSIO_PASSPHRASE", "correct horse").args(["session", "import"]).args(arguments).arg(&file);
        command
    };
    assert_eq!(succeed(&mut import(&["--account", "work"])), "work");
    assert_eq!(succeed(&mut import(&["--as", "home"])), "home");
    assert_eq!(succeed(&mut import(&["--as", "one", "--account", "another"])), "one");
    assert_eq!(succeed(&mut import(&[])), "me");
}

#[test]
fn a_passphrase_file_without_an_end_is_no_passphrase() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("x"), "a session").unwrap();
    for (text, is_endless) in
        [("x".repeat(4097), true), ("x".repeat(4096), false), (format!("x\n{}", "y".repeat(9000)), false)]
    {
        std::fs::write(folder.path().join("secret"), text).unwrap();
        let said = fail(1, whatsio(folder.path()).args(["session", "import", "x", "--passphrase-file", "secret"]));
        assert_eq!(said.contains("longer than any passphrase"), is_endless, "{said}");
    }
}
