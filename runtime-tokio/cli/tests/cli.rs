//! The command line from outside: exit codes, what goes to which stream, and that help helps.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a failing test panics")]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn whatsio(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_whatsio"));
    command.current_dir(folder).stdin(Stdio::null());
    for name in ["STORE", "STORE_KEY", "KEY_FILE", "ACCOUNT", "RELAY", "ROOT_KEY", "PROXY", "LOG"] {
        command.env_remove(format!("WHATSIO_{name}"));
    }
    command
}

fn run(args: &[&str]) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().unwrap();
    told(whatsio(folder.path()).args(args).output().unwrap())
}

fn told(output: Output) -> (Option<i32>, String, String) {
    (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn help_explains_exit_status_and_every_command_has_examples() {
    let (code, out, err) = run(&["--help"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("Exit status:") && out.contains("NO_COLOR"), "{out}");
    for command in ["demo", "relay", "link", "send", "watch", "chats", "doctor", "session", "inspect", "completions"] {
        let (code, out, _) = run(&[command, "--help"]);
        assert_eq!(code, Some(0), "{command}");
        assert!(out.contains("Examples:") && out.contains(&format!("whatsio {command}")), "{command}: {out}");
    }
}

#[test]
fn a_command_line_that_is_not_understood_ends_with_2_and_says_nothing_on_stdout() {
    for args in [
        &["frobnicate"][..],
        &["send"],
        &["relay", "--ws", "nowhere"],
        &["link", "--phone", "123"],
        &["link", "--scan"],
        &["link", "--code", "alice"],
        &["link", "--custom", "ABCDEFGH"],
        &["link", "--code", "4915112345678", "--custom", "short"],
        &["--root-key", "00", "watch"],
        &["demo", "--messages", "0"],
        &["watch", "--timeout", "soon"],
        &["send", "alice", "hello"],
        &["--relay", "ws://127.0.0.1:1", "--root-key", "00", "watch"],
    ] {
        let (code, out, err) = run(args);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{args:?}: {err}");
        assert!(!err.is_empty(), "{args:?}");
    }
}

#[test]
fn an_account_that_is_not_linked_ends_with_3_and_says_what_to_do() {
    for args in [&["send", "4915112345678", "hello"][..], &["watch"]] {
        let (code, out, err) = run(args);
        assert_eq!((code, out.as_str()), (Some(3), ""), "{args:?}: {err}");
        assert!(err.contains("whatsio link"), "{err}");
    }
}

#[test]
fn a_database_that_cannot_be_opened_is_named() {
    let (code, _, err) = run(&["--store", "no/such/folder/x.db", "watch"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("no/such/folder/x.db") && err.contains("hint:"), "{err}");
}

#[test]
fn a_relay_that_is_not_there_is_named() {
    let (code, _, err) = run(&["--relay", "ws://127.0.0.1:1", "link", "--scan"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("127.0.0.1:1") && err.contains("--root-key"), "{err}");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, out, err) = run(&["relay", "--ws", &address, "--admin", "127.0.0.1:0"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains(&address) && err.contains("choose another"), "{err}");
}

/// `<message from="15550100001@s.whatsapp.net" id="ABC">` with text content.
fn frame() -> String {
    use whatsio_core::binary::{Node, Role};
    use whatsio_core::types::{Jid, Server};
    let node = Node::new("message")
        .with("from", Jid::new("15550100001", Server::Whatsapp))
        .with("id", "ABC")
        .with_bytes(&b"very private"[..]);
    hex::encode(node.encode(Role::Client).unwrap())
}

#[test]
fn inspect_hides_what_is_personal_unless_told_otherwise() {
    let frame = frame();
    let (code, out, err) = run(&["inspect", &frame]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("message") && !out.contains("15550100001") && !out.contains("private"), "{out}");
    let (code, out, _) = run(&["inspect", "--show-content", &frame]);
    assert_eq!(code, Some(0));
    assert!(out.contains("15550100001@s.whatsapp.net"), "{out}");
    assert!(out.contains("private") || out.contains(&hex::encode("private")), "{out}");
}

#[test]
fn inspect_reads_every_kind_of_input() {
    let folder = tempfile::tempdir().unwrap();
    let frame = frame();
    let lines = format!("# two frames\nout: {frame}\n\nin {frame}\n");
    let json = format!(r#"{{"vectors":[{{"name":"first","hex":"{frame}"}},{{"deep":{{"hex":"{frame}"}}}}]}}"#);
    std::fs::write(folder.path().join("lines.txt"), lines).unwrap();
    std::fs::write(folder.path().join("v.json"), json).unwrap();
    std::fs::write(folder.path().join("raw.bin"), hex::decode(&frame).unwrap()).unwrap();
    for (file, count, name) in [("lines.txt", 2, "1 out:"), ("v.json", 2, "first"), ("raw.bin", 1, "raw.bin")] {
        let (code, out, err) = told(whatsio(folder.path()).args(["inspect", file]).output().unwrap());
        assert_eq!(code, Some(0), "{file}: {err}");
        assert_eq!(out.matches("<message").count(), count, "{file}: {out}");
        assert!(out.contains(name.trim_end_matches(':')), "{file}: {out}");
    }

    let mut child = whatsio(folder.path())
        .args(["inspect", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(frame.as_bytes()).unwrap();
    let (code, out, _) = told(child.wait_with_output().unwrap());
    assert_eq!((code, out.matches("<message").count()), (Some(0), 1));
}

#[test]
fn inspect_shows_the_rest_when_one_frame_is_broken_and_ends_with_1() {
    let frame = frame();
    let (code, out, err) = run(&["inspect", "00f8", &frame]);
    assert_eq!(code, Some(1));
    assert!(out.contains("does not decode") && out.contains("<message"), "{out}");
    assert!(err.contains("1 of 2 frames"), "{err}");
    let (code, _, err) = run(&["inspect", "no-such-file"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("no-such-file"), "{err}");
}

#[test]
fn completions_are_printed_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, out, err) = run(&["completions", shell]);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{shell}");
        assert!(out.contains("inspect") && out.contains("root-key"), "{shell}");
    }
}
