//! Linking by a code that is typed on the phone, and with a passkey.

use crate::support::{Place, Running, number, succeed, told};

const PHONE: &str = "15550100001";

fn is_code(line: &str) -> bool {
    let (left, right) = line.split_once('-').unwrap_or_default();
    [left, right].iter().all(|half| half.len() == 4 && half.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

#[test]
fn device_is_linked_by_a_code_that_the_relays_phone_types() {
    let place = Place::new();
    let args = ["link", "--code", "+1 (555) 010-0001", "--scan"];
    let jid = succeed(place.as_("alice").args(args));
    assert_eq!(number(&jid), PHONE);
    assert_eq!(succeed(place.as_("alice").args(args)), jid, "linking again says who it is");
    succeed(place.as_("alice").args(["watch", "--timeout", "0.2"]));
}

#[test]
fn code_is_shown_and_linked_when_somebody_types_it() {
    let place = Place::new();
    let mut link = Running::start(place.as_("alice").args(["link", "--code", PHONE]));
    let code = link.line();
    assert!(is_code(&code), "{code}");
    place.phone("enter-code", PHONE, &code);
    let (status, out, err) = link.end();
    assert_eq!((status, number(&out)), (Some(0), PHONE), "{err}");
    assert!(err.contains("Link with phone number") && !err.contains('█'), "{err}");

    let mut link = Running::start(place.as_("bob").args(["link", "--code", PHONE, "--custom", "abcd2345"]));
    assert_eq!(link.line(), "ABCD-2345");
    place.phone("enter-code", PHONE, "ABCD2345");
    assert_eq!(link.end().0, Some(0));
}

#[test]
fn passkey_is_asked_for_and_its_assertion_read_from_a_file_that_comes_later() {
    let place = Place::new();
    place.phone("require-passkey", PHONE, "");
    let args = ["link", "--code", PHONE, "--assertion", "assertion.json"];
    let mut link = Running::start(place.as_("alice").args(args));
    let code = link.line();
    place.phone("enter-code", PHONE, &code);
    let request = link.line();
    let assertion = place.phone("assert", PHONE, &request);
    std::fs::write(place.folder.path().join("assertion.json"), assertion).unwrap();
    let (status, out, err) = link.end();
    assert_eq!((status, number(&out)), (Some(0), PHONE), "{err}");
}

#[test]
fn passkeys_assertion_is_read_from_standard_input_in_lines() {
    let place = Place::new();
    place.phone("require-passkey", PHONE, "");
    let mut link = Running::start(place.as_("alice").args(["link", "--text"]));
    let code = link.line();
    place.phone("scan-qr", PHONE, &code);
    // The code that was scanned is void, so another one may have been drawn.
    let request = std::iter::repeat_with(|| link.line()).find(|line| line.starts_with('{')).unwrap();
    let assertion: serde_json::Value = serde_json::from_str(&place.phone("assert", PHONE, &request)).unwrap();
    link.say(&format!("{}\n", serde_json::to_string_pretty(&assertion).unwrap()));
    let (status, out, err) = link.end();
    assert_eq!((status, number(&out)), (Some(0), PHONE), "{err}");
}

#[test]
fn passkey_without_anybody_to_give_its_assertion_says_how() {
    let place = Place::new();
    place.phone("require-passkey", PHONE, "");
    succeed(place.as_("alice").args(["link", "--scan", "--phone", PHONE]));
    let mut command = place.as_("bob");
    let link = command.args(["link", "--code", PHONE]).stdout(std::process::Stdio::piped());
    let mut child = link.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut first = [0; 10];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut first).unwrap();
    place.phone("enter-code", PHONE, std::str::from_utf8(&first).unwrap());
    let (status, _, err) = told(&child.wait_with_output().unwrap());
    assert_eq!(status, Some(1), "{err}");
    assert!(err.contains("--assertion FILE"), "{err}");
}
