use super::*;
use crate::types::{Jid, Server};
use bytes::Bytes;
use proptest::prelude::*;

fn decode(frame: &[u8]) -> Result<Tape, DecodeError> {
    Tape::decode(&Bytes::copy_from_slice(frame), Role::Client, &DecodeLimits::DEFAULT)
}

fn reason_of(hex: &str) -> &'static str {
    match decode(&hex::decode(hex).unwrap()) {
        Ok(tape) => panic!("accepted as {tape:?}"),
        Err(error) => error.reason(),
    }
}

fn roundtrip(node: &Node) -> Node {
    decode(&node.encode(Role::Server).unwrap()).unwrap().root().to_node()
}

#[test]
fn every_malformed_form_has_its_reason() {
    for (hex, reason) in [
        ("", "empty-frame"),
        ("00", "eof"),
        ("02", "zlib"),
        ("00f80119ff", "trailing"),
        ("0000", "empty-node"),
        ("0019", "bad-tag"),
        ("00f9000119f9", "trailing"),
        ("00f801fc00", "empty-tag"),
        ("00f801ff00", "empty-tag"),
        ("00f803190008", "missing-string"),
        ("00f803190cf7000500", "missing-string"),
        ("00f803190cfa1100", "missing-string"),
        ("00f803190cfa11fc00", "missing-string"),
        ("00f803190cf61100051c", "jid-server"),
        ("00f803190cf7020011", "jid-domain"),
        ("00f803190cf77f0011", "jid-domain"),
        ("00f803190cf7830011", "jid-domain"),
        ("00f8031908fc02c328", "utf8"),
        ("00f80519080645", "eof"),
        ("00f8051908060806", "dup-attr"),
        ("00f8031908f0", "bad-tag"),
        ("00f8031908fb80", "bad-packed"),
        ("00f8031908ff011f", "bad-nibble"),
        ("00f8031908ff811d", "bad-nibble"),
        ("00f80219f80111", "eof"),
        ("00f80219f80111f8ff", "bad-tag"),
        ("00f80219f801000000", "empty-node"),
    ] {
        assert_eq!(reason_of(hex), reason, "{hex}");
    }
}

#[test]
fn a_key_is_repeated_however_it_is_written() {
    // The same key as a token and as raw text.
    assert_eq!(reason_of("00f80519 0806 fc02696406".replace(' ', "").as_str()), "dup-attr");
}

#[test]
fn a_key_is_repeated_among_very_many() {
    let mut node = Node::new("iq");
    for index in 0..200_u32 {
        node = node.with(format!("key{index}"), index);
    }
    assert_eq!(roundtrip(&node), node);
    let mut frame = node.encode(Role::Client).unwrap();
    let place = frame.windows(4).position(|window| window == b"key9").unwrap();
    frame[place + 3] = b'8';
    assert_eq!(decode(&frame).err(), Some(DecodeError::DupAttr));
    assert_eq!(node.with("key7", "x").encode(Role::Client), Err(EncodeError::DuplicateKey));
}

#[test]
fn limits_on_nodes_attributes_and_depth_hold() {
    let wide = Node::new("iq").with_children((0..10).map(|_| Node::new("item").with("id", "1")));
    let frame = Bytes::from(wide.encode(Role::Client).unwrap());
    let limits = |change: fn(&mut DecodeLimits)| {
        let mut limits = DecodeLimits::default();
        change(&mut limits);
        Tape::decode(&frame, Role::Client, &limits).err()
    };
    assert_eq!(limits(|limits| limits.nodes = 11), None);
    assert_eq!(limits(|limits| limits.nodes = 10), Some(DecodeError::Budget));
    assert_eq!(limits(|limits| limits.attributes = 10), None);
    assert_eq!(limits(|limits| limits.attributes = 9), Some(DecodeError::Budget));
    assert_eq!(limits(|limits| limits.depth = 2), None);
    assert_eq!(limits(|limits| limits.depth = 1), Some(DecodeError::Depth));

    let nested = |depth: usize| (1..depth).fold(Node::new("iq"), |inner, _| Node::new("iq").with_child(inner));
    assert_eq!(roundtrip(&nested(128)), nested(128));
    assert_eq!(nested(129).encode(Role::Client), Err(EncodeError::TooDeep));
}

#[test]
fn compressed_frames_must_end_properly() {
    use flate2::{Compression, write::ZlibEncoder};
    use std::io::Write;
    let node = Node::new("iq").with("id", "1").with_bytes(vec![7; 100_000]);
    let plain = node.encode(Role::Client).unwrap();
    let mut encoder = ZlibEncoder::new(vec![2], Compression::default());
    encoder.write_all(&plain[1..]).unwrap();
    let frame = encoder.finish().unwrap();
    assert_eq!(decode(&frame).unwrap().root().to_node(), node);

    let mut damaged = frame.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(decode(&damaged).err(), Some(DecodeError::Zlib));
    assert_eq!(decode(&frame[..frame.len() - 1]).err(), Some(DecodeError::Zlib));
    assert_eq!(decode(&[frame.clone(), vec![0]].concat()).err(), Some(DecodeError::ZlibTrailing));
    let limits = |inflated| DecodeLimits { inflated, ..DecodeLimits::DEFAULT };
    let frame = Bytes::from(frame);
    assert!(Tape::decode(&frame, Role::Client, &limits(plain.len() - 1)).is_ok());
    let refused = Tape::decode(&frame, Role::Client, &limits(plain.len() - 2)).err();
    assert_eq!(refused, Some(DecodeError::TooLargeInflated));
}

#[test]
fn a_tape_reads_what_the_writer_wrote() {
    const ID: Word = Word::new("id");
    const TO: Word = Word::new("to");
    const COUNT: Word = Word::new("count");
    const NOTE: Word = Word::new("no such token");
    let user = Jid::lid("236395184570386").with_device(39);
    let mut writer = Writer::new(Role::Client);
    writer.open(Word::new("iq"));
    writer.text(ID, "123.45-1");
    writer.jid(TO, &user);
    writer.number(COUNT, 1_780_000_000);
    writer.word(NOTE, Word::new("set"));
    writer.leaf(Word::new("enc"), &[1, 2, 3]);
    writer.open(Word::new("list"));
    writer.close();
    writer.open(Word::new("body"));
    writer.content_text("result");
    writer.close();
    writer.close();
    let plain = writer.finish().unwrap();
    let buffer = plain.into_buffer();
    assert!(buffer.starts_with(&[0; 4]) && buffer.capacity() >= buffer.len() + 16);

    let tape = decode(&buffer[3..]).unwrap();
    let root = tape.root();
    assert!(root.is(Word::new("iq")) && !root.is(Word::new("message")));
    assert_eq!(root.text(ID).as_deref(), Some("123.45-1"));
    assert_eq!(root.jid(TO), Some(user.clone()));
    assert_eq!(root.text(TO).as_deref(), Some("236395184570386:39@lid"));
    assert_eq!(root.number(COUNT), Some(1_780_000_000));
    assert_eq!((root.number(ID), root.jid(ID)), (None, None));
    assert!(root.has(NOTE, Word::new("set")) && !root.has(NOTE, Word::new("get")));
    assert_eq!(root.children().count(), 3);
    let enc = root.child(Word::new("enc")).unwrap();
    assert_eq!(
        (enc.bytes(), enc.array(), enc.big_endian()),
        (Some(vec![1, 2, 3].into()), Some([1, 2, 3]), Some(0x01_02_03))
    );
    assert_eq!(enc.array::<4>(), None);
    let body = root.child(Word::new("body")).unwrap();
    assert_eq!((body.content_text().as_deref(), body.bytes()), (Some("result"), Some("result".into())));
    assert_eq!(root.child(Word::new("list")).unwrap().bytes(), None);
    assert_eq!(root.children_named(Word::new("list")).count(), 1);
}

#[test]
fn long_lists_are_written_alike_with_and_without_warning() {
    for children in [0, 1, 255, 256, 300, 65_535] {
        let write = |warn: bool| {
            let mut writer = Writer::new(Role::Client);
            writer.open(Word::new("participants"));
            if warn {
                writer.expect_children(children);
            }
            for _ in 0..children {
                writer.open(Word::new("to"));
                writer.close();
            }
            writer.close();
            writer.finish().unwrap().packed().to_vec()
        };
        if children > 255 {
            assert_eq!(write(true), write(false));
        }
        assert_eq!(decode(&write(true)).unwrap().root().children().count(), children);
    }
    let many = Node::new("iq").with_children(vec![Node::new("to"); 65_536]);
    assert_eq!(many.encode(Role::Client), Err(EncodeError::TooManyChildren));
}

#[test]
fn mistakes_in_writing_are_reported_at_the_end() {
    let run = |write: fn(&mut Writer)| {
        let mut writer = Writer::new(Role::Client);
        write(&mut writer);
        writer.finish().err()
    };
    const IQ: Word = Word::new("iq");
    const ID: Word = Word::new("id");
    assert_eq!(run(|_| {}), Some(EncodeError::Unbalanced));
    assert_eq!(run(|writer| writer.open(IQ)), Some(EncodeError::Unbalanced));
    assert_eq!(run(|writer| writer.close()), Some(EncodeError::Unbalanced));
    assert_eq!(run(|writer| writer.open(Word::new(""))), Some(EncodeError::EmptyTag));
    let twice = run(|writer| {
        writer.open(IQ);
        writer.number(ID, 1);
        writer.number(ID, 2);
        writer.close();
    });
    assert_eq!(twice, Some(EncodeError::DuplicateKey));
    let late = run(|writer| {
        writer.open(IQ);
        writer.content(&[]);
        writer.number(ID, 1);
        writer.close();
    });
    assert_eq!(late, Some(EncodeError::Unbalanced));
    let second_root = run(|writer| {
        writer.leaf(IQ, &[]);
        writer.leaf(IQ, &[]);
    });
    assert_eq!(second_root, Some(EncodeError::Unbalanced));
}

#[test]
fn addresses_that_would_reach_somebody_else_are_refused() {
    for jid in [
        Jid::lid("1").with_device(300),
        Jid::group("1").with_device(5),
        Jid::pn("1").with_integrator(2),
        Jid::server_itself().with_device(1),
        Jid::new("a", Server::Other("".into())),
    ] {
        assert_eq!(Node::new("to").with("jid", jid).encode(Role::Client), Err(EncodeError::BadJid));
    }
}

#[test]
fn addresses_that_could_not_be_stored_are_not_taken_for_addresses() {
    for jid in [Jid::pn("1:5"), Jid::lid("a@b"), Jid::pn("1.2"), Jid::group("9".repeat(300)), Jid::lid("\u{1}")] {
        let node = Node::new("to").with("jid", jid.clone());
        let inside = Node { content: Content::Jid(jid.clone()), ..Node::new("to") };
        let frame = Node::new("list").with_children([node.clone(), inside.clone()]).encode(Role::Server).unwrap();
        let tape = decode(&frame).unwrap();
        let [first, second] = tape.root().children().collect::<Vec<_>>()[..] else { panic!("two children") };
        assert_eq!(first.attrs().next().unwrap().1.jid(), None);
        assert_eq!(second.content_jid(), None);
        assert_eq!(node.jid("jid"), None);
        // Whoever inspects it sees it all the same.
        assert!(first.to_node() == node && second.to_node() == inside);
    }
}

#[test]
fn interop_addresses_differ_by_direction() {
    let node = Node::new("to").with("jid", Jid::new("bob", Server::Interop).with_device(2).with_integrator(7));
    let from_client = Bytes::from(node.encode(Role::Client).unwrap());
    let from_server = Bytes::from(node.encode(Role::Server).unwrap());
    assert!(from_client.len() < from_server.len());
    let read = |frame, role| Tape::decode(frame, role, &DecodeLimits::DEFAULT).map(|tape| tape.root().to_node());
    assert_eq!(read(&from_client, Role::Server), Ok(node.clone()));
    assert_eq!(read(&from_server, Role::Client), Ok(node));
}

#[test]
fn frames_have_a_greatest_length() {
    let node = |len: usize| Node::new("iq").with_bytes(vec![0; len]);
    // Flags, list head, count, tag, and the five bytes in front of the content.
    let most = 0xFF_FFFF - 16 - 9;
    assert_eq!(node(most).encode(Role::Client).unwrap().len(), 0xFF_FFFF - 16);
    assert_eq!(node(most + 1).encode(Role::Client), Err(EncodeError::TooLong));
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z_]{1,8}",
        "[0-9.-]{1,20}",
        "[0-9A-F]{1,40}",
        "\\PC{0,12}",
        Just("s.whatsapp.net".to_owned()),
        Just("w:profile:picture".to_owned()),
        "[0-9]{126,130}",
    ]
}

fn jid() -> impl Strategy<Value = Jid> {
    let server = prop_oneof![
        Just(Server::Whatsapp),
        Just(Server::Lid),
        Just(Server::Hosted),
        Just(Server::HostedLid),
        Just(Server::Messenger),
    ];
    prop_oneof![
        ("[0-9]{1,15}", server, any::<u8>())
            .prop_map(|(user, server, device)| Jid::new(user, server).with_device(device.into())),
        (
            "[0-9-]{1,30}",
            prop_oneof![Just(Server::Group), Just(Server::Newsletter), Just(Server::Other("example.org".into()))]
        )
            .prop_map(|(user, server)| Jid::new(user, server)),
        ("[a-z0-9]{1,9}", any::<u16>(), any::<u16>()).prop_map(|(user, device, integrator)| Jid::new(
            user,
            Server::Interop
        )
        .with_device(device)
        .with_integrator(integrator)),
        Just(Jid::server_itself()),
    ]
}

fn node() -> impl Strategy<Value = Node> {
    let value = prop_oneof![text().prop_map(Value::from), jid().prop_map(Value::Jid)];
    let attrs = prop::collection::btree_map(text(), value, 0..6)
        .prop_map(|map| map.into_iter().map(|(key, value)| (key.into(), value)).collect::<Vec<_>>())
        .boxed();
    let leaf = prop_oneof![
        Just(Content::Absent),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(|bytes| Content::Bytes(bytes.into())),
        jid().prop_map(Content::Jid),
        // Raw text is bytes once it has been on the wire; these forms stay text.
        prop_oneof!["[0-9.-]{1,20}", "[0-9A-F]{2,40}", Just("result".to_owned())]
            .prop_map(|text| Content::Text(text.into())),
    ];
    let tag = text().prop_filter("tags are not empty", |tag| !tag.is_empty()).boxed();
    let make = |(tag, attrs, content): (String, _, _)| Node { tag: tag.into(), attrs, content };
    let tags = tag.clone();
    let attributes = attrs.clone();
    (tag, attrs, leaf).prop_map(make).prop_recursive(4, 40, 8, move |inner| {
        let nodes = prop::collection::vec(inner, 0..8).prop_map(Content::Nodes);
        (tags.clone(), attributes.clone(), nodes).prop_map(make)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn nodes_survive_the_wire(node in node()) {
        prop_assert_eq!(roundtrip(&node), node);
    }

    #[test]
    fn damaged_frames_are_refused_or_read_but_never_panic(
        node in node(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut frame = node.encode(Role::Server).unwrap();
        for (place, byte) in changes {
            let place = place.index(frame.len());
            frame[place] = byte;
        }
        for frame in [&frame[..], &frame[..cut.index(frame.len())]] {
            for role in [Role::Client, Role::Server] {
                if let Ok(tape) = Tape::decode(&Bytes::copy_from_slice(frame), role, &DecodeLimits::DEFAULT) {
                    let read = tape.root().to_node();
                    let _ = (format!("{tape:?}"), read.revealed().to_string());
                    // What was read can be written again, unless an address in it has no canonical form.
                    if let Ok(again) = read.encode(Role::Server) {
                        prop_assert!(decode(&again).is_ok());
                    }
                }
            }
        }
    }

    #[test]
    fn noise_never_panics(frame in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&frame);
    }
}
