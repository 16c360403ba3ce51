//! Recording commands, and running the recordings again.

use crate::support::{Place, number, succeed, told, whatsio};
use std::path::Path;
use std::process::Command;
use whatsio_core::recording::{Ended, Entry, Reader, Writer};
use whatsio_store::KeySource;
use whatsio_store::recording::{RecordingFile, SealedFile, Written};

const TEXT: &str = "nobody but bob reads this";

/// Alice links and writes to Bob, who watches; everything is recorded.
fn recorded() -> (Place, String) {
    let place = Place::new();
    let record = |name: &str| {
        [format!("--record={name}.rec"), format!("--record-redacted={name}.redacted")].map(String::into_boxed_str)
    };
    let bob = place.link("bob");
    let mut link = place.as_("alice");
    succeed(link.args(["link", "--scan"]).args(record("link").iter().map(AsRef::<str>::as_ref)));
    let mut send = place.as_("alice");
    succeed(send.args(["send", &bob, TEXT]).args(record("send").iter().map(AsRef::<str>::as_ref)));
    let mut watch = place.as_("bob");
    watch.args(["watch", "--count", "3", "--timeout", "20"]);
    let seen = succeed(watch.args(record("watch").iter().map(AsRef::<str>::as_ref)));
    assert!(seen.contains(TEXT), "{seen}");
    (place, bob)
}

fn replay(folder: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    told(&whatsio(folder).arg("replay").args(args).output().unwrap())
}

fn key(folder: &Path) -> KeySource {
    KeySource::beside(&folder.join("whatsio.db"))
}

#[test]
fn recorded_commands_are_run_again_offline_and_the_redacted_files_are_of_them() {
    let (place, bob) = recorded();
    let folder = place.folder.path();
    for name in ["link", "send", "watch"] {
        let (sealed, redacted) = (format!("{name}.rec"), format!("{name}.redacted"));
        let (code, out, err) = replay(folder, &[&sealed, "--against", &redacted]);
        assert_eq!(code, Some(0), "{out} {err}");
        assert!(out.starts_with("identical: ") && out.contains("is of this run") && out.contains("0 times broken"));

        let (code, out, err) = replay(folder, &[&redacted]);
        assert_eq!(code, Some(0), "{out} {err}");
        assert!(out.contains("-> connect") && out.contains("<- commit 1:") && out.contains("after commit"), "{out}");
        assert!(out.contains("the recording was stopped"), "{out}");
        let raw = std::fs::read(folder.join(&redacted)).unwrap();
        for form in [raw.as_slice(), out.as_bytes()] {
            for hidden in [TEXT, bob.as_str(), number(&bob)] {
                assert!(!form.windows(hidden.len()).any(|window| window == hidden.as_bytes()), "{hidden}");
            }
        }
        let (code, ..) = replay(folder, &[&sealed, "--redact", "again"]);
        assert_eq!(code, Some(0));
        assert_eq!(std::fs::read(folder.join("again")).unwrap(), raw, "redacted later, it is the same");
        std::fs::remove_file(folder.join("again")).unwrap();
    }
    let (code, out, _) = replay(folder, &["send.rec", "--against", "watch.redacted"]);
    assert_eq!(code, Some(1));
    assert!(out.contains("entry 0 of the redacted recording is not of this run"), "{out}");
    let timeline = replay(folder, &["send.rec", "--timeline"]).1;
    assert!(timeline.contains("-> send-message") && timeline.contains("event send-finished accepted"), "{timeline}");

    // An existing file is never replaced.
    let again = told(&place.as_("alice").args(["send", &bob, "x", "--record", "send.rec"]).output().unwrap());
    assert_eq!(again.0, Some(1));
    assert!(again.2.contains("exists already") && again.2.contains("choose another name"), "{}", again.2);
}

#[test]
fn replay_that_differs_says_where_and_a_file_that_cannot_be_read_says_why() {
    let (place, _) = recorded();
    let folder = place.folder.path();
    let key = key(folder).existing().unwrap();
    let Ok(RecordingFile::Sealed(mut content)) = RecordingFile::open(&folder.join("watch.rec"), || Ok(key.clone()))
    else {
        panic!("it is sealed")
    };
    let mut reader = Reader::new();
    while let Some(part) = content.next_part().unwrap() {
        reader.push(&part);
    }
    let entries: Vec<Entry> = std::iter::from_fn(|| reader.next_entry().unwrap()).collect();
    let last = entries.iter().rposition(|entry| matches!(entry, Entry::Output(_))).unwrap();
    let (mut writer, mut changed) = (Writer::new(), Vec::new());
    for (at, entry) in entries.iter().enumerate() {
        match entry {
            Entry::Output(shape) if at == last => {
                let mut shape = shape.clone();
                shape.digest[0] ^= 1;
                writer.entry(&mut changed, &Entry::Output(shape));
            }
            entry => writer.entry(&mut changed, entry),
        }
    }
    let mut file = SealedFile::create(&folder.join("changed.rec"), &key, 1 << 20).unwrap();
    assert_eq!(file.write(&changed).unwrap(), Written::More);
    file.finish(Ended::Stopped).unwrap();
    let (code, out, err) = replay(folder, &["changed.rec"]);
    assert_eq!(code, Some(1), "{out} {err}");
    assert!(out.contains(&format!("differs at entry {last}")) && out.contains("their digests differ"), "{out}");

    let raw = std::fs::read(folder.join("watch.rec")).unwrap();
    let write = |bytes: &[u8]| std::fs::write(folder.join("x.rec"), bytes).unwrap();
    write(&raw[..raw.len() - 10]);
    let (code, out, _) = replay(folder, &["x.rec"]);
    assert_eq!(code, Some(0));
    assert!(out.contains("identical") && out.contains("was cut off here"), "{out}");
    let mut altered = raw.clone();
    altered[raw.len() / 2] ^= 1;
    write(&altered);
    assert!(unreadable(folder).contains("was altered"));
    write(b"nothing of the kind");
    assert!(unreadable(folder).contains("not a recording"));
    write(&raw);
    std::fs::write(folder.join("whatsio.db.key"), format!("whatsio-store-key-v1:{}", "0f".repeat(32))).unwrap();
    assert!(unreadable(folder).contains("under another key"));
}

fn unreadable(folder: &Path) -> String {
    let (code, out, err) = replay(folder, &["x.rec"]);
    assert_eq!(code, Some(2), "{out} {err}");
    err
}

#[test]
fn every_device_of_the_demo_is_run_again() {
    let folder = tempfile::tempdir().unwrap();
    let demo: &mut Command = &mut whatsio(folder.path());
    succeed(demo.args(["demo", "--messages", "3", "--record", "recordings"]));
    let recordings = folder.path().join("recordings");
    let mut replayed = 0;
    for entry in std::fs::read_dir(&recordings).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "rec") {
            let against = path.with_extension("redacted");
            let args = ["--key-file", "recordings/key", path.to_str().unwrap(), "--against", against.to_str().unwrap()];
            let (code, out, err) = replay(folder.path(), &args);
            assert_eq!(code, Some(0), "{path:?}: {out} {err}");
            assert!(out.contains("0 times broken"), "{path:?}: {out}");
            replayed += 1;
        }
    }
    assert!(replayed >= 4, "three devices, one of them twice: {replayed}");
}
