use std::collections::{BTreeMap, BTreeSet};
use whatsio_core::api::Event;
use whatsio_core::binary::Node;
use whatsio_core::relay::RelayEvent;
use whatsio_core::types::{Jid, Server};
use whatsio_tests::puppet::Puppet;
use whatsio_tests::world::{World, text_content};

/// Messages in a queue.
const QUEUE: usize = 200;

/// Every so many positions of a queue are poisoned.
const STEP: usize = 8;

/// What can be wrong with a stanza.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Poison {
    BadMac,
    UnknownKind,
    UnknownVersion,
    NotProtobuf,
    BadPadding,
    NoTime,
    NoKind,
    NoCiphertext,
    NothingInside,
    GarbledFirstMessage,
    Status,
    StatusWithoutTime,
    EndlessId,
    UnknownType,
    HugeName,
    HugeCiphertext,
    NestedCiphertext,
    TwoBadCiphertexts,
    UnreadableParticipant,
    GroupWithoutKey,
    UnknownNotification,
    EmptyDeviceChange,
    OddReceipt,
    OddCall,
}

const POISONS: [Poison; 24] = [
    Poison::BadMac,
    Poison::UnknownKind,
    Poison::UnknownVersion,
    Poison::NotProtobuf,
    Poison::BadPadding,
    Poison::NoTime,
    Poison::NoKind,
    Poison::NoCiphertext,
    Poison::NothingInside,
    Poison::GarbledFirstMessage,
    Poison::Status,
    Poison::StatusWithoutTime,
    Poison::EndlessId,
    Poison::UnknownType,
    Poison::HugeName,
    Poison::HugeCiphertext,
    Poison::NestedCiphertext,
    Poison::TwoBadCiphertexts,
    Poison::UnreadableParticipant,
    Poison::GroupWithoutKey,
    Poison::UnknownNotification,
    Poison::EmptyDeviceChange,
    Poison::OddReceipt,
    Poison::OddCall,
];

fn shell(from: &Jid, id: &str) -> Node {
    Node::new("message").with("from", from.clone()).with("id", id).with("t", "1790000000").with("type", "text")
}

fn without(mut node: Node, attribute: &str) -> Node {
    node.attrs.retain(|(key, _)| key != attribute);
    node
}

fn poisoned(world: &mut World, friend: &mut Puppet, to: &Jid, id: &str, poison: Poison) -> Node {
    let from = friend.jid.clone();
    let good = friend.enc(world, to, &text_content("poison"));
    let bytes = good.bytes().unwrap();
    let enc = |kind: &str, bytes: &[u8]| Node::new("enc").with("v", "2").with("type", kind).with_bytes(bytes.to_vec());
    let status = Jid::new("status", Server::Broadcast);
    match poison {
        Poison::BadMac => {
            let mut bytes = bytes.to_vec();
            *bytes.last_mut().unwrap() ^= 1;
            shell(&from, id).with_child(enc("msg", &bytes))
        }
        Poison::UnknownKind => shell(&from, id).with_child(enc("zzmsg", &bytes)),
        Poison::UnknownVersion => shell(&from, id).with_child(without(good, "v").with("v", "9")),
        Poison::NotProtobuf => {
            let enc = friend.enc(world, to, &[0x0a, 0xff, 0xff]);
            shell(&from, id).with_child(enc)
        }
        Poison::BadPadding => {
            let enc = friend.enc_raw(world, to, &[0x0a, 0x01, 0x61, 0x00]);
            shell(&from, id).with_child(enc)
        }
        Poison::NoTime => without(shell(&from, id), "t").with_child(good),
        Poison::NoKind => shell(&from, id).with_child(without(good, "type")),
        Poison::NoCiphertext => shell(&from, id).with_child(Node::new("enc").with("v", "2").with("type", "msg")),
        Poison::NothingInside => shell(&from, id),
        Poison::GarbledFirstMessage => shell(&from, id).with_child(enc("pkmsg", &bytes)),
        Poison::Status => shell(&status, id).with("participant", from).with_child(enc("zzmsg", &bytes)),
        Poison::EndlessId => shell(&from, id).with_child(good),
        Poison::UnknownType => without(shell(&from, id), "type").with("type", "zzz").with_child(enc("zzmsg", &bytes)),
        Poison::HugeName => shell(&from, id).with("notify", "n".repeat(60_000)).with_child(enc("msg", &[0x33; 50])),
        Poison::HugeCiphertext => shell(&from, id).with_child(enc("msg", &vec![0x33; 150_000])),
        Poison::NestedCiphertext => {
            let deep = (0..60).fold(Node::new("enc"), |inner, _| Node::new("enc").with_child(inner));
            shell(&from, id).with_child(deep.with("v", "2").with("type", "msg"))
        }
        Poison::TwoBadCiphertexts => shell(&from, id).with_children([enc("msg", &[0x33; 50]), enc("pkmsg", &[1])]),
        Poison::UnreadableParticipant => {
            shell(&Jid::new("12345", Server::Group), id).with("participant", "@@@").with_child(enc("msg", &bytes))
        }
        Poison::GroupWithoutKey => {
            shell(&Jid::new("12345", Server::Group), id).with("participant", from).with_child(enc("skmsg", &bytes))
        }
        Poison::UnknownNotification => {
            let node = Node::new("notification").with("from", from.to_user()).with("id", id).with("type", "zzz");
            node.with("t", "1790000000").with_child(Node::new("zzz"))
        }
        Poison::EmptyDeviceChange => {
            let node = Node::new("notification").with("from", from.to_user()).with("id", id).with("type", "devices");
            node.with("t", "1790000000").with_child(Node::new("add"))
        }
        Poison::OddReceipt => {
            Node::new("receipt").with("from", from).with("id", id).with("type", "zzz").with("t", "now")
        }
        Poison::OddCall => Node::new("call").with("from", from).with("id", id).with_child(Node::new("zzz")),
        Poison::StatusWithoutTime => {
            without(shell(&status, id), "t").with("participant", from).with_child(enc("skmsg", &bytes))
        }
    }
}

/// Makes a queue for every remainder that a position can have, so that each position is poisoned once.
fn poison_every_position(seed: u8, pass: usize) {
    let mut world = World::new(seed);
    let (ann, bob) = (world.add_linked(None), world.add_linked(None));
    let (to, other) = (world.hosts[ann.0].client.identity().unwrap().jid, world.pn(bob));
    let mut friend = Puppet::planted(&mut world, &other, 1);
    friend.send(&mut world, &to, "HELLO", &text_content("hello"));
    world.settle();
    // An answer, so that nothing but plain messages is left to send.
    world.send(ann, &other, "hello yourself");
    world.settle();
    friend.mail(&mut world);
    let (mut kinds, mut poisoned_positions) = (BTreeMap::new(), BTreeSet::new());
    for queue in 0..STEP {
        world.disconnect(ann);
        world.host(ann).events.clear();
        world.told.clear();
        let (mut expected, mut all, mut statuses) = (Vec::new(), Vec::new(), Vec::new());
        for position in 0..QUEUE {
            let mut id = format!("Q{queue}.{position}");
            let stanza = if position % STEP == queue {
                let poison = POISONS[(position + position / STEP + 11 * pass) % POISONS.len()];
                poisoned_positions.insert(position);
                *kinds.entry(format!("{poison:?}")).or_insert(0) += 1;
                if matches!(poison, Poison::Status | Poison::StatusWithoutTime) {
                    statuses.push(id.clone());
                }
                if matches!(poison, Poison::EndlessId) {
                    id = id.repeat(60);
                }
                poisoned(&mut world, &mut friend, &to, &id, poison)
            } else {
                expected.push(id.clone());
                let enc = friend.enc(&mut world, &to, &text_content(&id));
                shell(&friend.jid, &id).with_child(enc)
            };
            all.push(id);
            assert!(world.relay.inject(world.now, &to, stanza));
        }
        world.connect(ann);
        world.pass_ms(3_000);
        let events = world.hosts[ann.0].events.iter().filter_map(|envelope| match &envelope.event {
            Event::MessageReceived(message) => Some(message.id.to_string()),
            _ => None,
        });
        assert_eq!(events.collect::<Vec<_>>(), expected, "queue {queue}");
        let connects = world.hosts[ann.0].events.iter().filter(|envelope| envelope.event == Event::Connected);
        assert_eq!(connects.count(), 1, "all on one connection");
        let mut answers: BTreeMap<&str, Vec<Option<u32>>> = BTreeMap::new();
        for event in &world.told {
            if let RelayEvent::Answered { by, id, how, error } = event
                && *by == to
                && how != "retry"
            {
                answers.entry(id).or_default().push(*error);
            }
        }
        for id in &all {
            assert_eq!(answers.get(id.as_str()).map(Vec::len), Some(1), "{id} is answered once");
        }
        for id in &statuses {
            assert_eq!(answers[id.as_str()], [None], "a status is never refused");
        }
    }
    assert_eq!(kinds.len(), POISONS.len(), "{kinds:?}");
    assert!(kinds.values().all(|count| *count >= 4), "{kinds:?}");
    assert_eq!(poisoned_positions.len(), QUEUE);
    println!("pass {pass}: {QUEUE} positions, {} kinds of poison", kinds.len());
}

#[test]
fn poison_at_any_position_of_a_queue_keeps_nothing_else_from_arriving_at_once_and_in_order() {
    poison_every_position(90, 0);
}

#[test]
fn other_poison_at_any_position_of_a_queue_keeps_nothing_else_from_arriving_either() {
    poison_every_position(91, 1);
}
