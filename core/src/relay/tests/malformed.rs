//! Whatever a peer sends, the relay stands.

use proptest::prelude::*;

use super::*;
use crate::relay::RelayLimits;

/// A tree of the tags and attributes that the relay looks at, filled with nonsense.
fn stanza() -> impl Strategy<Value = Node> {
    let word = prop::sample::select(vec![
        "iq",
        "message",
        "receipt",
        "ack",
        "presence",
        "call",
        "ib",
        "offline_batch",
        "usync",
        "query",
        "list",
        "user",
        "devices",
        "contact",
        "enc",
        "participants",
        "to",
        "key",
        "count",
        "digest",
        "rotate",
        "skey",
        "sync",
        "collection",
        "patch",
        "item",
        "tokens",
        "token",
        "privacy",
        "category",
        "active",
        "remove-companion-device",
        "retry",
        "link_code_companion_reg",
        "pair-device-sign",
        "device-identity",
        "destination",
        "chatstate",
    ]);
    let key = prop::sample::select(vec![
        "id",
        "to",
        "type",
        "xmlns",
        "class",
        "jid",
        "participant",
        "recipient",
        "count",
        "version",
        "name",
        "value",
        "stage",
        "action",
        "dhash",
        "key-index",
        "category",
    ]);
    let value = prop_oneof![
        prop::sample::select(vec![
            "set",
            "get",
            "result",
            "error",
            "1",
            "99999999999999999999",
            "",
            "encrypt",
            "usync",
            "md",
            "privacy",
            "w:sync:app:state",
            "blocklist",
            "passive",
            "status",
            "retry",
            "read",
            "peer",
            "available",
            "subscribe",
            "15550100001@s.whatsapp.net",
            "15550100001:1@s.whatsapp.net",
            "status@broadcast",
            "x@g.us",
            "message",
        ])
        .prop_map(crate::binary::Value::from),
        (0_u16..3).prop_map(|device| crate::binary::Value::from(Jid::pn("15550100001").with_device(device))),
        Just(crate::binary::Value::from(Jid::server_itself())),
    ];
    let attrs = prop::collection::btree_map(key, value, 0..6);
    let leaf =
        (word.clone(), attrs.clone(), prop::collection::vec(any::<u8>(), 0..70)).prop_map(|(tag, attrs, bytes)| {
            attrs.into_iter().fold(Node::new(tag), |node, (k, v)| node.with(k, v)).with_bytes(bytes)
        });
    leaf.prop_recursive(4, 24, 5, move |inner| {
        (word.clone(), attrs.clone(), prop::collection::vec(inner, 0..5)).prop_map(|(tag, attrs, children)| {
            attrs.into_iter().fold(Node::new(tag), |node, (k, v)| node.with(k, v)).with_children(children)
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn random_bytes_end_a_connection_at_worst(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..6)) {
        let mut bench = Bench::new();
        let link = LinkId(9);
        bench.relay.handle(bench.now, RelayInput::Opened(link));
        for piece in pieces {
            bench.relay.handle(bench.now, RelayInput::Bytes(link, piece.into()));
        }
        prop_assert!(bench.relay.accounts().is_empty());
    }

    #[test]
    fn nonsense_from_a_linked_device_leaves_others_unharmed(stanzas in prop::collection::vec(stanza(), 1..20)) {
        let mut bench = Bench::new();
        let rude = bench.link(None);
        let polite = bench.link(None);
        let (link, there) = (bench.go_online(&rude), bench.go_online(&polite));
        for stanza in &stanzas {
            if !bench.closed.contains(&link) {
                bench.send(link, stanza);
            }
        }
        bench.advance(100);
        let reply = bench.ask(there, Node::new("iq").with("xmlns", "w:p").with("type", "get"));
        prop_assert!(reply.text("type").is_some_and(|kind| kind == "result"));
    }

    #[test]
    fn nonsense_from_an_unlinked_device_links_nothing(stanzas in prop::collection::vec(stanza(), 1..20)) {
        let mut bench = Bench::new();
        let device = bench.device();
        let (link, _) = bench.register(&device);
        for stanza in &stanzas {
            if !bench.closed.contains(&link) {
                bench.send(link, stanza);
            }
        }
        prop_assert!(bench.relay.accounts().iter().all(|account| account.devices.is_empty()));
    }
}

#[test]
fn a_stanza_that_does_not_decode_ends_the_stream_with_an_error() {
    let mut bench = Bench::new();
    let device = bench.link(None);
    let link = bench.go_online(&device);
    let bytes = bench.wires.get_mut(&link).unwrap().seal_raw(&[0, 0xF8, 0x05, 0xFF]);
    bench.feed(link, bytes);
    let error = bench.take(link).pop().expect("stream error");
    assert!(error.child("xml-not-well-formed").is_some());
    bench.advance(100);
    assert!(bench.closed.contains(&link));
}

#[test]
fn a_silent_handshake_is_given_up() {
    let mut bench = Bench::new();
    bench.relay.handle(bench.now, RelayInput::Opened(LinkId(5)));
    bench.advance(19_000);
    assert!(bench.closed.is_empty());
    bench.advance(2_000);
    assert_eq!(bench.closed, [LinkId(5)]);
    assert_eq!(bench.relay.next_deadline(), None);
}

#[test]
fn too_many_connections_are_turned_away() {
    let limits = RelayLimits { links: 1, ..RelayLimits::default() };
    let mut bench = Bench::with(RelayConfig { limits, ..RelayConfig::default() });
    bench.relay.handle(bench.now, RelayInput::Opened(LinkId(5)));
    bench.relay.handle(bench.now, RelayInput::Opened(LinkId(6)));
    bench.drain();
    assert_eq!(bench.closed, [LinkId(6)]);
}
