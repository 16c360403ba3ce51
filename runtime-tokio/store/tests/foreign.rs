//! Reading what is not, or no longer, a session of another client. That real files move is shown by the interop suite,
//! with files that the clients themselves wrote.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a failing test panics")]

use std::fs;
use std::path::Path;
use whatsio_core::adopt::{AdoptError, AdoptedSignedPreKey, Adoption};
use whatsio_core::crypto::Secret;
use whatsio_store::foreign::{ForeignError, adopt, read_baileys, read_whatsmeow};
use whatsio_store::{AccountId, Administer, MemoryStore};

fn read_text(text: &str) -> Result<Adoption, ForeignError> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("creds.json"), text).unwrap();
    read_baileys(folder.path())
}

#[test]
fn what_is_not_there_is_said_to_be_unreadable() {
    for path in ["/nowhere/at/all", "."] {
        assert!(matches!(read_baileys(path), Err(ForeignError::Unreadable { .. })), "{path}");
    }
    assert!(matches!(read_whatsmeow(Path::new("/nowhere/at/all"), None), Err(ForeignError::Unreadable { .. })));
}

#[test]
fn files_of_something_else_are_told_apart_from_damaged_ones() {
    for text in ["", "null", "[]", "{", r#"{"noiseKey": 7}"#] {
        assert!(matches!(read_text(text), Err(ForeignError::NotAStore(_))), "{text}");
    }
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in
        [("text.db", "this is no database, and it is long enough to be one: ".repeat(20)), ("empty.db", String::new())]
    {
        let file = folder.path().join(name);
        fs::write(&file, content).unwrap();
        assert!(matches!(read_whatsmeow(&file, None), Err(ForeignError::NotAStore(_))), "{name}");
    }
}

/// The credentials of a device that was never linked, as Baileys writes them.
fn credentials(keys: &str) -> String {
    format!(
        r#"{{"noiseKey":{keys},"signedIdentityKey":{keys},"signedPreKey":{{"keyPair":{keys},"signature":"AA==","keyId":1}},
            "registrationId":7,"advSecretKey":"AA==","nextPreKeyId":1,"firstUnuploadedPreKeyId":1}}"#
    )
}

#[test]
fn a_device_that_is_not_linked_and_a_damaged_key_are_said() {
    let whole =
        r#"{"private":{"type":"Buffer","data":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="},"public":"AA=="}"#;
    assert!(matches!(read_text(&credentials(whole)), Err(ForeignError::NotLinked)));
    let linked = |text: String| {
        let me = r#","me":{"id":"15550100001:1@s.whatsapp.net"},
            "account":{"details":"AA==","accountSignatureKey":"AA==","accountSignature":"AA==","deviceSignature":"AA=="}}"#;
        format!("{}{me}", text.strip_suffix('}').unwrap())
    };
    assert!(matches!(read_text(&linked(credentials(whole))), Err(ForeignError::Damaged("the secret of the linking"))));
    let short = whole.replacen("AAAAAAAA", "AAAA", 1);
    assert!(matches!(read_text(&linked(credentials(&short))), Err(ForeignError::Damaged("the key of the socket"))));
}

#[test]
fn parts_that_do_not_belong_together_make_no_account() {
    let adoption = Adoption {
        noise: Secret::new([1; 32]),
        identity: Secret::new([3; 32]),
        registration_id: 7,
        adv_secret: Secret::new([2; 32]),
        signed_prekey: AdoptedSignedPreKey { id: 1, private: Secret::new([4; 32]), signature: [0; 64] },
        prekeys: Vec::new(),
        next_prekey: 1,
        first_unconfirmed_prekey: 1,
        jid: "15550100001:1@s.whatsapp.net".parse().unwrap(),
        lid: None,
        device_identity: bytes::Bytes::from_static(b"\x0a\x00"),
        platform: String::new(),
        push_name: String::new(),
        aliases: Vec::new(),
        identities: Vec::new(),
        sessions: Vec::new(),
        sender_keys: Vec::new(),
    };
    let store = MemoryStore::new();
    let name = AccountId::new("me").unwrap();
    assert!(matches!(adopt(&store, &name, adoption), Err(ForeignError::Adopt(AdoptError::Identity))));
    assert!(store.accounts().unwrap().is_empty(), "nothing was written");
}
