//! What the doctor finds.

use crate::support::{Place, succeed, told, whatsio};
use serde_json::Value;

fn findings(out: &str) -> Vec<(String, String)> {
    let all: Vec<Value> = serde_json::from_str(out).unwrap();
    let word = |finding: &Value, member: &str| finding[member].as_str().unwrap().to_owned();
    for finding in &all {
        assert_eq!(finding["state"] == "ok", finding["remedy"].is_null(), "{finding}");
    }
    all.iter().map(|finding| (word(finding, "check"), word(finding, "state"))).collect()
}

fn state<'a>(findings: &'a [(String, String)], check: &str) -> &'a str {
    &findings.iter().find(|(found, _)| found == check).unwrap_or_else(|| panic!("{check}: {findings:?}")).1
}

#[test]
fn doctor_finds_a_healthy_account_healthy_and_shows_who_it_is() {
    let place = Place::new();
    let alice = place.link("alice");
    let out = succeed(place.as_("alice").args(["doctor"]));
    assert!(out.contains(&alice) && out.contains("ok\tconnection\tlogged in"), "{out}");
    let found = findings(&succeed(place.as_("alice").args(["doctor", "--json"])));
    assert!(found.iter().all(|(_, state)| state == "ok"), "{found:?}");
    for check in ["database", "seal", "linked", "prekeys", "inbox", "profile", "connection", "health", "restriction"] {
        assert_eq!(state(&found, check), "ok", "{check}");
    }
    let offline = findings(&succeed(place.as_("alice").args(["doctor", "--json", "--offline"])));
    assert!(offline.iter().all(|(check, _)| check != "connection"), "{offline:?}");
}

#[test]
fn doctor_names_each_problem_with_a_remedy_and_ends_with_8() {
    let place = Place::new();
    place.link("alice");
    let sick = |args: &[&str], check: &str, remedy: &str| {
        let account = if args == ["nobody"] { "nobody" } else { "alice" };
        let args = if args == ["nobody"] { &[] } else { args };
        let (status, out, err) = told(&place.as_(account).args(args).args(["doctor"]).output().unwrap());
        assert_eq!((status, err.as_str()), (Some(8), ""), "{args:?}: {out}");
        let told = out.lines().skip_while(|line| !line.starts_with(&format!("problem\t{check}\t")));
        let told: Vec<&str> = told.take(2).collect();
        assert!(told.len() == 2 && told[1].contains(remedy), "{args:?}: {out}");
    };
    sick(&["--store", "none.db"], "database", "whatsio link");
    assert!(!place.folder.path().join("none.db").exists(), "looking makes nothing");
    sick(&["--plain-store"], "database", "leave --plain-store out");
    sick(&["nobody"], "account", "session list");

    let args = ["session", "export", "--session-key", "k", "alice.session"];
    succeed(place.as_("alice").args(args));
    sick(&[], "account", "session reclaim");
}

#[test]
fn doctor_tells_a_server_that_cannot_be_reached() {
    let place = Place::new();
    place.link("alice");
    let mut command = whatsio(place.folder.path());
    let key = "07".repeat(32);
    command.args(["--account", "alice", "--relay", "ws://127.0.0.1:1", "--root-key", &key, "doctor", "--timeout", "1"]);
    let (status, out, _) = told(&command.output().unwrap());
    assert_eq!(status, Some(8), "{out}");
    assert!(out.contains("unreachable") && out.contains("check the network"), "{out}");
}
