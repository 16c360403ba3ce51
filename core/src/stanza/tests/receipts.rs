use super::*;

#[test]
fn receipts_are_written_as_other_clients_write_them() {
    for name in ["receipt-read-items", "receipt-read-items-300", "receipt-inactive", "receipt-hist-sync"] {
        let recorded = recorded(name).root().to_node();
        let id = |node: &Node| MessageId::new(node.text("id").unwrap());
        let kind = match recorded.text("type").as_deref() {
            Some("read") => ReceiptType::Read,
            Some("inactive") => ReceiptType::Inactive,
            Some("hist_sync") => ReceiptType::HistorySync,
            other => panic!("{other:?}"),
        };
        let mut receipt = Receipt::new(kind, recorded.jid("to").unwrap(), id(&recorded));
        receipt.participant = recorded.jid("participant");
        receipt.timestamp = recorded.number("t");
        let items = recorded.child("list").map(Node::children).unwrap_or_default();
        receipt.further = items.iter().map(id).collect();
        assert_same(written(&receipt), recorded);
    }
}

#[test]
fn receipts_are_read() {
    let Incoming::Receipt(receipt) = Incoming::parse(&recorded("receipt-delivery")).unwrap() else { panic!() };
    assert_eq!(receipt.kind, ReceiptType::Delivered);
    assert_eq!(receipt.ids, [MessageId::new("3EB0CDFACAE1E01FA3FF01")]);
    assert_eq!(receipt.timestamp, Some(1_788_347_189));
    assert_eq!(receipt.address.from.to_string(), "547257108219:4@s.whatsapp.net");

    let item = |id: &str| Node::new("item").with("id", id);
    let read = Node::new("receipt")
        .with("id", "A")
        .with("from", Jid::group("1"))
        .with("participant", Jid::lid("2").with_device(1))
        .with("type", "read")
        .with("offline", "3")
        .with_child(Node::new("list").with_children([item("B"), item("C")]));
    let Incoming::Receipt(receipt) = incoming(&read) else { panic!() };
    assert_eq!(receipt.ids, ["A", "B", "C"].map(MessageId::new));
    assert!(receipt.is_offline && receipt.kind == ReceiptType::Read);

    let user = |user: &str| Node::new("user").with("jid", Jid::lid(user)).with("t", "5");
    let readers = Node::new("participants").with("key", "M").with_children([user("1"), user("2").with("type", "read")]);
    let aggregated = Node::new("receipt").with("id", "A").with("from", Jid::group("1")).with_child(readers);
    let Incoming::Receipt(receipt) = incoming(&aggregated) else { panic!() };
    assert_eq!(receipt.ids, [MessageId::new("M")]);
    let kinds: Vec<_> = receipt.readers.iter().map(|reader| &reader.kind).collect();
    assert_eq!(kinds, [&ReceiptType::Delivered, &ReceiptType::Read]);

    for (kind, word) in receipt::TYPES {
        let node = Node::new("receipt").with("id", "A").with("from", Jid::pn("1")).with("type", word);
        let node = node.with_child(Node::new("retry").with("id", "A").with("count", "1"));
        let Incoming::Receipt(receipt) = incoming(&node) else { panic!() };
        assert_eq!((receipt.kind.as_str(), receipt.kind.clone()), (Some(word), kind));
    }
}

#[test]
fn requests_to_send_again_are_written_and_read_alike() {
    let recorded = recorded("receipt-retry").root().to_node();
    let keys = RetryKeys {
        identity: [1; 32],
        one_time: Some(PublicPreKey { id: 5, key: [2; 32] }),
        signed: signed(),
        device_identity: Some(vec![3].into()),
    };
    let ask = RetryReceipt {
        to: recorded.jid("to").unwrap(),
        participant: recorded.jid("participant"),
        recipient: None,
        is_peer: false,
        id: MessageId::new("3EB0AA"),
        message_timestamp: 1_783_564_748,
        count: 2,
        error: Some(7),
        registration: 0x1234,
        keys: Some(keys.clone()),
    };
    let mut node = written(&ask);
    let shape = |node: &Node| -> Vec<String> { node.children().iter().map(|child| child.tag.to_string()).collect() };
    assert_eq!(shape(&node), shape(&recorded));
    assert_eq!(shape(node.child("keys").unwrap()), shape(recorded.child("keys").unwrap()));

    for (key, _) in &mut node.attrs {
        if key == "to" {
            *key = "from".into();
        }
    }
    let Incoming::Receipt(receipt) = incoming(&node) else { panic!() };
    let expected = RetryRequest {
        id: MessageId::new("3EB0AA"),
        count: 2,
        timestamp: Some(1_783_564_748),
        error: Some(7),
        registration: Some(0x1234),
        keys: Some(keys),
    };
    assert_eq!((receipt.kind, receipt.retry), (ReceiptType::Retry, Some(expected)));
    let bare = Node::new("receipt").with("id", "A").with("from", Jid::pn("1")).with("type", "retry");
    assert_eq!(Incoming::parse(&tape(&bare)), Err(StanzaError::MissingChild("retry")));
}

#[test]
fn acknowledgements_repeat_what_the_server_wants_repeated() {
    let answer = |node: Node| written(&Ack::of(ReturnAddress::parse(tape(&node).root()).unwrap()));
    let stanza = |tag: &str| {
        Node::new(tag)
            .with("id", "1")
            .with("from", Jid::group("2"))
            .with("participant", Jid::lid("3"))
            .with("type", "x")
    };
    let ack = |class: &str| {
        Node::new("ack")
            .with("class", class)
            .with("id", "1")
            .with("to", Jid::group("2"))
            .with("participant", Jid::lid("3"))
    };
    assert_same(answer(stanza("receipt")), ack("receipt").with("type", "x"));
    assert_same(answer(stanza("message")), ack("message"));
    let offer = Node::new("call").with("id", "1").with("from", Jid::pn("2")).with_child(Node::new("offer"));
    let expected =
        Node::new("ack").with("class", "call").with("id", "1").with("to", Jid::pn("2")).with("type", "offer");
    assert_same(answer(offer), expected);
    let changed = Node::new("notification").with("id", "1").with("from", Jid::pn("2")).with("type", "encrypt");
    let expected = Node::new("ack").with("class", "notification").with("id", "1").with("to", Jid::pn("2"));
    assert_same(answer(changed.clone().with_child(Node::new("identity"))), expected.clone());
    assert_same(answer(changed.with_child(Node::new("count"))), expected.with("type", "encrypt"));
}

#[test]
fn the_servers_acknowledgements_are_read() {
    let Incoming::Ack(ack) = Incoming::parse(&recorded("message-ack")).unwrap() else { panic!() };
    assert_eq!((ack.class.as_str(), ack.id.as_str()), ("message", "3EB0AB75D1749F16B0C1C8"));
    assert_eq!((ack.timestamp, ack.error), (Some(1_788_079_367), None));
    let refused = Node::new("ack").with("class", "message").with("id", "1").with("error", "463").with("phash", "2:x");
    let Incoming::Ack(ack) = incoming(&refused) else { panic!() };
    assert_eq!((ack.error, ack.phash.as_deref()), (Some(463), Some("2:x")));
}
