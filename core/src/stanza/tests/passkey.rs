use super::*;

fn notice(kind: &str, children: impl IntoIterator<Item = Node>) -> PasskeyNotice {
    let node = Node::new("notification").with("id", "4").with("from", Jid::server_itself()).with("type", kind);
    let Incoming::Notification(notification) = incoming(&node.with_children(children)) else { panic!() };
    assert_eq!(notification.address.kind.as_deref(), Some(kind));
    let NotificationKind::Passkey(notice) = notification.kind else { panic!() };
    notice
}

fn request(kind: &str, child: Node) -> Node {
    let node = Node::new("iq").with("id", "1.2-3").with("xmlns", "md").with("type", kind);
    node.with("to", Jid::server_itself()).with_child(child)
}

#[test]
fn the_server_asks_for_an_assertion_with_or_without_saying_of_what() {
    for options in
        [Node::new("passkey_request_options").with_bytes("{}"), Node::new("passkey_request_options").with_text("{}")]
    {
        let wanted = PasskeyNotice::PrologueRequest { options: Some(Bytes::from_static(b"{}")) };
        assert!(notice("passkey_prologue_request", [options]) == wanted);
    }
    for damaged in [vec![], vec![Node::new("passkey_request_options")], vec![Node::new("other").with_bytes("{}")]] {
        let wanted = PasskeyNotice::PrologueRequest { options: None };
        assert!(notice("passkey_prologue_request", damaged) == wanted);
    }
    assert_same(asked(&FetchPasskeyOptions), request("get", Node::new("passkey_request_options")));
    let answer = iq("1", "result").with_child(Node::new("passkey_request_options").with_bytes("{}"));
    assert_eq!(FetchPasskeyOptions::parse(tape(&answer).root()).unwrap(), "{}");
    assert!(FetchPasskeyOptions::parse(tape(&iq("1", "result")).root()).is_err());
}

#[test]
fn a_continuation_without_an_identity_is_told_apart_from_silence() {
    let identity = Node::new("primary_ephemeral_identity").with_bytes(vec![7; 68]);
    let wanted = PasskeyNotice::Continuation { primary_identity: vec![7; 68].into() };
    assert!(notice("crsc_continuation", [identity]) == wanted);
    assert!(notice("crsc_continuation", []) == PasskeyNotice::Continuation { primary_identity: Bytes::new() });
}

#[test]
fn a_reference_is_a_short_text() {
    assert_same(asked(&FetchPasskeyReference), request("get", Node::new("ref")));
    let read = |content: Vec<u8>| {
        FetchPasskeyReference::parse(tape(&iq("1", "result").with_child(Node::new("ref").with_bytes(content))).root())
    };
    assert_eq!(read(b"2@ref".to_vec()).unwrap(), "2@ref");
    for bad in [vec![], vec![0xFF], vec![b'a'; 1025]] {
        assert_eq!(read(bad), Err(StanzaError::BadContent("ref")));
    }
    assert_eq!(FetchPasskeyReference::parse(tape(&iq("1", "result")).root()), Err(StanzaError::MissingChild("ref")));
}

#[test]
fn what_this_device_says_is_written_as_the_phone_reads_it() {
    let mut prologue = PasskeyPrologue {
        credential_id: Bytes::from_static(b"credential"),
        assertion: Bytes::from_static(b"{\"id\":\"x\"}"),
        payload: Bytes::from_static(b"payload"),
        handoff_proof: None,
    };
    let mut expected = Node::new("passkey_prologue")
        .with_child(Node::new("credential_id").with_bytes("credential"))
        .with_child(Node::new("webauthn_assertion").with_bytes("{\"id\":\"x\"}"))
        .with_child(Node::new("prologue_payload").with_bytes("payload"));
    assert_same(asked(&prologue), request("set", expected.clone()));
    prologue.handoff_proof = Some([3; 32]);
    expected = expected.with_child(Node::new("pairing_handoff_proof").with_bytes(vec![3; 32]));
    assert_same(asked(&prologue), request("set", expected));

    let nonce = Node::new("companion_nonce").with_bytes(vec![4; 32]);
    assert_same(asked(&CompanionNonce { nonce: [4; 32] }), request("set", nonce));
    let sealed = Node::new("encrypted_pairing_request").with_bytes("sealed");
    assert_same(asked(&EncryptedPairing { sealed: Bytes::from_static(b"sealed") }), request("set", sealed));
}

#[test]
fn neither_assertions_nor_numbers_are_shown() {
    let shown = format!(
        "{:?} {:?}",
        PasskeyNotice::PrologueRequest { options: Some(Bytes::from_static(b"challenge")) },
        CompanionNonce { nonce: *b"0123456789abcdef0123456789abcdef" }
    );
    assert_eq!(shown, "PasskeyNotice(..) CompanionNonce(..)");
}
