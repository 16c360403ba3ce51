use super::*;

#[test]
fn a_recorded_group_message_is_read() {
    let Incoming::Message(message) = Incoming::parse(&recorded("message-group-in")).unwrap() else { panic!() };
    assert_eq!(message.address.from.to_string(), "120363059168386218@g.us");
    assert_eq!(message.address.participant.as_ref().unwrap().to_string(), "308758723457592:2@lid");
    assert_eq!(message.alternates.participant_pn, Some(Jid::pn("15388880286")));
    assert_eq!((message.timestamp, message.is_offline, message.is_peer), (1_784_101_755, true, false));
    assert_eq!(message.push_name.as_deref(), Some("陈"));
    let [enc] = &message.enc[..] else { panic!() };
    assert_eq!((&enc.ciphertext.kind, enc.version, enc.count), (&EncKind::SenderKeyMessage, 2, 0));
    assert!(enc.ciphertext.bytes.starts_with(&[0xA9, 0xC6]));
    let shown = format!("{message:?}");
    assert!(!shown.contains('陈') && !shown.contains("15388880286"), "{shown}");
}

#[test]
fn everything_a_message_may_carry_is_read() {
    let node = Node::new("message")
        .with("id", "3EB0AA")
        .with("from", Jid::lid("1").with_device(2))
        .with("recipient", Jid::lid("3"))
        .with("t", "1780000000")
        .with("type", "media")
        .with("category", "peer")
        .with("edit", "7")
        .with("addressing_mode", "lid")
        .with("sender_pn", "15551234567@s.whatsapp.net")
        .with("peer_recipient_pn", Jid::pn("5"))
        .with_child(
            Node::new("enc")
                .with("v", "3")
                .with("type", "pkmsg")
                .with("count", "2")
                .with("decrypt-fail", "hide")
                .with("mediatype", "image")
                .with_bytes(vec![1]),
        )
        .with_child(Node::new("enc").with("type", "future").with_bytes(vec![2]))
        .with_child(Node::new("device-identity").with_bytes(vec![3]))
        .with_child(Node::new("unavailable").with("type", "view_once"))
        .with_child(Node::new("participants").with_child(Node::new("to").with("jid", Jid::pn("7"))));
    let Incoming::Message(message) = incoming(&node) else { panic!() };
    assert_eq!(message.alternates.sender_pn, Some(Jid::pn("15551234567")), "a text that is an address");
    assert_eq!(message.alternates.peer_recipient_pn, Some(Jid::pn("5")));
    assert_eq!((&message.edit, message.addressing), (&Some(Edit::SenderRevoke), Some(Addressing::Lid)));
    assert!(message.is_peer && !message.is_offline);
    let first = &message.enc[0];
    assert_eq!((first.version, first.count, first.hide_failure), (3, 2, true));
    assert!(first.ciphertext.is_pre_key());
    assert_eq!(message.enc[1].ciphertext.kind, EncKind::Other("future".into()));
    assert_eq!(message.device_identity, Some(vec![3].into()));
    assert_eq!(message.unavailable, Some(Unavailable { is_view_once: true, is_hosted: false }));
    assert_eq!(message.participants, [Jid::pn("7")]);

    let bot = Incoming::parse(&recorded("message-bot-msmsg")).unwrap();
    let Incoming::Message(bot) = bot else { panic!() };
    assert_eq!(bot.enc[0].ciphertext.kind, EncKind::MessageSecret);
    assert_eq!(bot.bot.unwrap().target_id, Some(MessageId::new("3EB0797FEE76A28F35680C")));
    let Incoming::Message(post) = Incoming::parse(&recorded("message-newsletter")).unwrap() else { panic!() };
    assert!(post.plaintext.is_some() && post.server_id == Some(117));
}

#[test]
fn malformed_messages_can_still_be_refused() {
    let node = Node::new("message").with("id", "1").with("from", Jid::pn("2")).with("type", "text");
    let without_time = tape(&node);
    assert_eq!(Incoming::parse(&without_time), Err(StanzaError::MissingAttribute("t")));
    let address = ReturnAddress::parse(without_time.root()).unwrap();
    let nack = written(&Ack::refusing(address, NackReason::Parsing));
    let expected =
        Node::new("ack").with("class", "message").with("id", "1").with("to", Jid::pn("2")).with("error", "487");
    assert_same(nack, expected);
    let without_id = tape(&Node::new("message").with("from", Jid::pn("2")).with("t", "1"));
    assert_eq!(Incoming::parse(&without_id), Err(StanzaError::MissingAttribute("id")));
    let bad_participant = tape(&node.with("t", "1").with("participant", "no address"));
    assert_eq!(Incoming::parse(&bad_participant), Err(StanzaError::BadAttribute("participant")));
}

#[test]
fn unknown_stanzas_can_be_refused() {
    let node = Node::new("novelty").with("id", "1").with("from", Jid::pn("2")).with("type", "x");
    let Incoming::Unknown { tag, address: Some(address) } = incoming(&node) else { panic!() };
    assert_eq!((tag.as_str(), address.class.as_str(), address.kind.as_deref()), ("novelty", "novelty", Some("x")));
    assert!(matches!(incoming(&Node::new("novelty")), Incoming::Unknown { address: None, .. }));
}

#[test]
fn messages_to_devices_are_written_as_other_clients_write_them() {
    let recorded = recorded("message-dm-pkmsg").root().to_node();
    let mut message = OutgoingMessage::new(
        MessageId::new(recorded.text("id").unwrap()),
        recorded.jid("to").unwrap(),
        recorded.text("type").unwrap(),
    );
    for to in recorded.child("participants").unwrap().children() {
        let enc = to.child("enc").unwrap();
        let pre_key = enc.text("type").as_deref() == Some("pkmsg");
        let kind = if pre_key { EncKind::PreKeyMessage } else { EncKind::Message };
        message.participants.push((to.jid("jid").unwrap(), Ciphertext { kind, bytes: enc.bytes().unwrap() }));
    }
    message.device_identity = recorded.child("device-identity").unwrap().bytes();
    assert_same(written(&message), recorded);

    message.participants.retain(|(_, enc)| !enc.is_pre_key());
    assert_eq!(written(&message).child("device-identity"), None, "only new sessions need it");
}

#[test]
fn everything_a_message_may_need_is_written() {
    let enc = |kind, byte| Ciphertext { kind, bytes: vec![byte].into() };
    let mut message = OutgoingMessage::new(MessageId::new("3EB0AA"), Jid::group("1"), "media");
    message.edit = Some(Edit::Message);
    message.peer_recipient_pn = Some(Jid::pn("5"));
    message.addressing = Some(Addressing::Lid);
    message.phash = Some("2:abc".into());
    message.participants = vec![(Jid::lid("2").with_device(3), enc(EncKind::Message, 1))];
    message.shared = Some(enc(EncKind::SenderKeyMessage, 2));
    message.media_type = Some("image".into());
    message.hide_failure = true;
    message.meta.is_view_once = true;
    message.reporting_token = Some(vec![9; 16].into());
    message.token = Some(ContactToken::Trusted(vec![4].into()));
    let enc_node = |kind: &str, byte: u8| {
        Node::new("enc").with("v", "2").with("type", kind).with("decrypt-fail", "hide").with_bytes(vec![byte])
    };
    let to = Node::new("to").with("jid", Jid::lid("2").with_device(3)).with_child(enc_node("msg", 1));
    let token = Node::new("reporting_token").with("v", "2").with_bytes(vec![9; 16]);
    let expected = Node::new("message")
        .with("id", "3EB0AA")
        .with("to", Jid::group("1"))
        .with("type", "media")
        .with("edit", "1")
        .with("peer_recipient_pn", Jid::pn("5"))
        .with("addressing_mode", "lid")
        .with("phash", "2:abc")
        .with_child(Node::new("participants").with_child(to))
        .with_child(enc_node("skmsg", 2).with("mediatype", "image"))
        .with_child(Node::new("meta").with("view_once", "true"))
        .with_child(Node::new("reporting").with_child(token))
        .with_child(Node::new("tctoken").with_bytes(vec![4]));
    assert_same(written(&message), expected);
}

#[test]
fn a_message_to_a_thousand_devices_keeps_them_all() {
    let mut message = OutgoingMessage::new(MessageId::new("3EB0AA"), Jid::lid("1"), "text");
    for user in 0..1000_u32 {
        let enc = Ciphertext { kind: EncKind::Message, bytes: vec![0; 150].into() };
        message.participants.push((Jid::lid(format!("1000000000{user}")).with_device(7), enc));
    }
    assert_eq!(written(&message).child("participants").unwrap().children().len(), 1000);
}

#[test]
fn messages_between_own_devices_are_written() {
    let peer = PeerMessage {
        id: MessageId::new("3EB0AA"),
        to: Jid::pn("1"),
        enc: Ciphertext { kind: EncKind::PreKeyMessage, bytes: vec![1].into() },
        device_identity: Some(vec![2].into()),
        priority: PushPriority::HighForce,
        is_privacy_sensitive: true,
    };
    let expected = Node::new("message")
        .with("id", "3EB0AA")
        .with("to", Jid::pn("1"))
        .with("type", "text")
        .with("category", "peer")
        .with("push_priority", "high_force")
        .with("privacy_sensitive", "1")
        .with_child(Node::new("meta").with("appdata", "default"))
        .with_child(Node::new("enc").with("v", "2").with("type", "pkmsg").with_bytes(vec![1]))
        .with_child(Node::new("device-identity").with_bytes(vec![2]));
    assert_same(written(&peer), expected);
}

#[test]
fn a_message_is_sent_again_to_one_device_directly() {
    let again = ResentMessage {
        id: MessageId::new("3EB0AA"),
        to: Jid::lid("1").with_device(4),
        kind: "text".into(),
        participant: None,
        recipient: None,
        edit: None,
        addressing: None,
        is_peer: false,
        timestamp: Some(1_780_000_000),
        enc: Ciphertext { kind: EncKind::Message, bytes: vec![1].into() },
        count: 2,
        media_type: None,
        hide_failure: false,
        device_identity: Some(vec![2].into()),
    };
    let expected = Node::new("message")
        .with("id", "3EB0AA")
        .with("to", Jid::lid("1").with_device(4))
        .with("type", "text")
        .with("t", "1780000000")
        .with("device_fanout", "false")
        .with_child(Node::new("enc").with("v", "2").with("type", "msg").with("count", "2").with_bytes(vec![1]));
    assert_same(written(&again), expected);
}

#[test]
fn addresses_that_cannot_be_written_fail_the_stanza() {
    let to = Jid::new("1", Server::Group).with_device(2);
    let receipt = Receipt::answering(ReceiptType::Delivered, &address("message", "1", to));
    assert!(receipt.plain().is_err());
}
