//! Whatever is logged at the finest level, no command writes a secret to standard error.

use crate::support::{Place, Running, number};
use std::ops::ControlFlow;
use std::process::Command;
use whatsio_core::api::Space;
use whatsio_store::{Administer, KeySource, SqliteStore};
use whatsio_tests::leaks::Secrets;

const TEXTS: [&str; 2] = ["nobody but bob reads this", "and this is not logged either"];
const PHONE: &str = "15550142356";

/// Where records hold keys or what people said and are.
const SECRET_SPACES: [Space; 9] = [
    Space::Account,
    Space::Session,
    Space::SessionArchive,
    Space::PreKey,
    Space::SignedPreKey,
    Space::SenderKey,
    Space::LidMap,
    Space::Inbox,
    Space::Outbox,
];

struct Overheard {
    said: String,
}

impl Overheard {
    /// Runs a command at the finest level and gives its standard output, which may say what was asked for.
    fn run(&mut self, command: &mut Command) -> String {
        let output = command.arg("-vvvv").env("WHATSIO_LOG", "trace").output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{err}");
        self.said.push_str(&err);
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }
}

#[test]
fn finest_level_of_logging_writes_no_secret_to_standard_error() {
    let place = Place::new();
    let mut overheard = Overheard { said: String::new() };
    let mut link =
        Running::start(place.as_("alice").args(["link", "--code", PHONE, "-vvvv"]).env("WHATSIO_LOG", "trace"));
    let code = link.line();
    place.phone("enter-code", PHONE, &code);
    let (status, alice, err) = link.end();
    assert_eq!(status, Some(0), "{err}");
    overheard.said.push_str(&err);
    let bob = overheard.run(place.as_("bob").args(["link", "--scan"]));
    for text in TEXTS {
        overheard.run(place.as_("alice").args(["send", number(&bob), text]));
    }
    let seen = overheard.run(place.as_("bob").args(["watch", "--json", "--count", "3", "--timeout", "20"]));
    assert!(seen.contains(TEXTS[0]), "{seen}");
    overheard.run(place.as_("bob").args(["doctor"]));

    let path = place.folder.path().join("whatsio.db");
    let store = SqliteStore::open_with(&path, &KeySource::beside(&path)).unwrap();
    let mut secrets = Secrets::default();
    for account in store.accounts().unwrap() {
        let mut visit = |key: whatsio_core::api::Key, record: whatsio_core::api::Record| {
            if SECRET_SPACES.contains(&key.space) {
                secrets.add_bytes(&record.0);
            }
            ControlFlow::Continue(())
        };
        store.contents(&account, &mut visit).unwrap();
    }
    let key = std::fs::read_to_string(place.folder.path().join("whatsio.db.key")).unwrap();
    secrets.add_bytes(&hex::decode(key.trim().rsplit(':').next().unwrap()).unwrap());
    for text in TEXTS.iter().copied().chain([number(&alice), number(&bob), code.as_str()]) {
        secrets.add_text(text);
    }
    assert!(secrets.len() > 2_000, "there is something to be found: {}", secrets.len());
    assert!(overheard.said.contains("TRACE") && overheard.said.contains("whatsio"), "something was said");

    let leaks = secrets.found_in(overheard.said.as_bytes());
    assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n"));
}
