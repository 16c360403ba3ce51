//! The arrows between the rooms of the core: who may know of whom.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code: a panic is a failed test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Each room with the rooms that it may use. Whatever is not listed is forbidden.
const ARROWS: [(&str, &[&str]); 18] = [
    ("types", &[]),
    ("crypto", &["types"]),
    ("binary", &["types"]),
    ("api", &["binary", "types"]),
    ("noise", &["api", "crypto", "types"]),
    ("pairing", &["api", "crypto", "types"]),
    ("signal", &["crypto", "types"]),
    ("app_state", &["crypto", "types"]),
    ("media", &["crypto", "types"]),
    ("message", &["crypto", "types"]),
    ("stanza", &["api", "binary", "crypto", "signal", "types"]),
    ("state", &["api", "app_state", "crypto", "signal", "types"]),
    (
        "flow",
        &[
            "api",
            "app_state",
            "binary",
            "crypto",
            "media",
            "message",
            "noise",
            "pairing",
            "signal",
            "stanza",
            "state",
            "types",
        ],
    ),
    ("client", &["api", "binary", "crypto", "flow", "noise", "pairing", "recording", "stanza", "state", "types"]),
    ("recording", &["api", "crypto", "types"]),
    ("replay", &["api", "client", "recording", "types"]),
    ("adopt", &["api", "crypto", "flow", "pairing", "signal", "state", "types"]),
    ("relay", &["api", "binary", "crypto", "noise", "pairing", "signal", "stanza", "types"]),
];

fn core() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/src")
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Rooms that a source names with `crate::room`, tests at its foot left out.
fn rooms_used(text: &str) -> BTreeSet<String> {
    let code = text.split("#[cfg(test)]").next().unwrap();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut rooms = BTreeSet::new();
    for line in lines {
        for part in line.split("crate::").skip(1) {
            let names = part.strip_prefix('{').map_or(part, |list| list);
            let room: String = names.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            rooms.insert(room);
        }
    }
    rooms.remove("");
    rooms
}

#[test]
fn no_room_of_the_core_knows_of_one_above_it() {
    let arrows: BTreeMap<&str, &[&str]> = ARROWS.into_iter().collect();
    let mut wrong = Vec::new();
    let mut checked = 0;
    for (room, allowed) in &arrows {
        let mut files = Vec::new();
        sources(&core().join(room), &mut files);
        assert!(!files.is_empty(), "the room {room} has no files");
        for file in files {
            checked += 1;
            for used in rooms_used(&std::fs::read_to_string(&file).unwrap()) {
                if used != *room && arrows.contains_key(used.as_str()) && !allowed.contains(&used.as_str()) {
                    wrong.push(format!("{} uses {used}", file.strip_prefix(core()).unwrap().display()));
                }
            }
        }
    }
    assert!(checked > 50, "only {checked} files were found");
    assert!(wrong.is_empty(), "forbidden arrows:\n{}", wrong.join("\n"));
}

#[test]
fn every_room_is_in_the_table() {
    let known: BTreeSet<&str> = ARROWS.iter().map(|(room, _)| *room).collect();
    for entry in std::fs::read_dir(core()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            assert!(known.contains(name.as_str()), "the room {name} has no arrows");
        }
    }
}

#[test]
fn the_arrows_have_no_cycle() {
    let arrows: BTreeMap<&str, &[&str]> = ARROWS.into_iter().collect();
    let mut done: BTreeSet<&str> = BTreeSet::new();
    while done.len() < arrows.len() {
        let ready: Vec<&str> = arrows
            .iter()
            .filter(|(room, uses)| !done.contains(*room) && uses.iter().all(|used| done.contains(used)))
            .map(|(room, _)| *room)
            .collect();
        assert!(!ready.is_empty(), "a cycle among those not in {done:?}");
        done.extend(ready);
    }
}

/// A call that is not noted would make recordings of all who use it unusable.
#[test]
fn every_call_that_can_change_a_client_is_recorded() {
    let mut files = Vec::new();
    sources(&core().join("client"), &mut files);
    let texts: Vec<String> = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let (mut calls, mut unnoted) = (0, Vec::new());
    for text in &texts {
        for call in text.split("\n    pub fn ").skip(1) {
            let body = call.split("\n    }\n").next().unwrap();
            let head = body.split('{').next().unwrap();
            let name = head.split('(').next().unwrap();
            if !head.contains("&mut self") || ["take_recorded", "stop_recording"].contains(&name) {
                continue;
            }
            calls += 1;
            if !["self.noted(", "self.note(", "self.note_trim(", "self.note_output(", "tap.input("]
                .iter()
                .any(|noted| body.contains(noted))
            {
                unnoted.push(name.to_owned());
            }
            // What is called from inside would be noted as if the host had called it, and be made twice at a replay.
            let inside = format!("self.{name}(");
            assert!(!texts.iter().any(|text| text.contains(&inside)), "{inside} is called by the client itself");
        }
    }
    assert!(calls >= 17, "only {calls} calls were found");
    assert!(unnoted.is_empty(), "not recorded: {unnoted:?}");
}
