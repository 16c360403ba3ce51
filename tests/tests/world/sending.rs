//! What must not end a send, hold up its chat or fault its account.

use whatsio_core::api::{Event, MessageId, Misuse, Record, SendReport, SendResult, Space};
use whatsio_core::binary::Node;
use whatsio_core::relay::RequestFault;
use whatsio_core::types::{Jid, Server};
use whatsio_tests::puppet::Puppet;
use whatsio_tests::world::{Name, World, text_content};

fn report(world: &World, name: Name, id: &MessageId) -> Option<SendReport> {
    world.event(name, |event| match event {
        Event::SendFinished(report) if report.id == *id => Some((**report).clone()),
        _ => None,
    })
}

/// Gives the one send in the store the chat `to` instead of `from`.
fn readdress(world: &mut World, name: Name, from: &Jid, to: &Jid) {
    let (from, to) = (from.to_string(), to.to_string());
    let mut changed = 0;
    for (key, record) in &mut world.host(name).store {
        let at = record.0.windows(from.len()).position(|part| part == from.as_bytes());
        if let (Space::Outbox, Some(at)) = (key.space, at) {
            assert_eq!(usize::from(record.0[at - 1]), from.len(), "a text behind its length");
            let mut bytes = record.0[..at - 1].to_vec();
            bytes.extend([u8::try_from(to.len() % 128).unwrap() | 128, u8::try_from(to.len() / 128).unwrap()]);
            bytes.extend_from_slice(to.as_bytes());
            bytes.extend_from_slice(&record.0[at + from.len()..]);
            *record = Record(bytes.into());
            changed += 1;
        }
    }
    assert_eq!(changed, 1);
}

#[test]
fn an_address_that_is_too_long_is_refused_where_it_is_handed_in() {
    let mut world = World::new(150);
    let ann = world.add_linked(None);
    let now = world.now;
    for (length, is_taken) in [(128, true), (129, false), (255, false)] {
        let chat = Jid::new("1".repeat(length), Server::Lid);
        let client = &mut world.host(ann).client;
        let sent = client.send_message(now, &chat, text_content("hello"), None).map(|_| ());
        let asked = client.subscribe_presence(now, &chat).map(|_| ());
        for result in [sent, asked] {
            assert_eq!(matches!(result, Err(Misuse::BadArgument(_))), !is_taken, "{length}: {result:?}");
        }
        world.settle();
    }
    let now = world.now;
    assert!(world.host(ann).client.connect(now).is_ok(), "not faulted");
}

#[test]
fn a_send_to_an_address_that_is_too_long_ends_at_the_next_login_and_faults_nothing() {
    let mut world = World::new(151);
    let (ann, bob) = (world.add_linked(None), world.add_linked(None));
    let short = Jid::pn("15550009999");
    world.disconnect(ann);
    let id = world.send(ann, &short, "stuck");
    world.settle();
    readdress(&mut world, ann, &short, &Jid::pn("1".repeat(255)));
    world.crash(ann);
    world.connect(ann);
    world.pass_ms(10_000);
    let report = report(&world, ann, &id).expect("it ends");
    assert_eq!(report.result, SendResult::NobodyToSendTo);
    let to = world.pn(bob);
    world.send(ann, &to, "and others go on");
    world.settle();
    assert_eq!(world.texts(bob), ["and others go on"]);
}

#[test]
fn an_address_that_is_too_long_in_a_stanza_faults_nothing() {
    let mut world = World::new(152);
    let (ann, bob) = (world.add_linked(None), world.add_linked(None));
    let (to, other) = (world.hosts[ann.0].client.identity().unwrap().jid, world.pn(bob));
    let mut friend = Puppet::planted(&mut world, &other, 1);
    world.settle();
    for (number, length) in [(0, 129), (1, 255)] {
        let long = Jid::lid("7".repeat(length));
        let stanza = Node::new("message")
            .with("from", friend.jid.clone())
            .with("sender_lid", long.clone())
            .with("id", format!("A{number}"))
            .with("t", "1790000000")
            .with("type", "text")
            .with_child(friend.enc(&mut world, &to, &text_content("hello")))
            .with_child(Node::new("device-identity").with_bytes(friend.statement.clone().unwrap()));
        assert!(world.relay.inject(world.now, &to, stanza));
        let stanza = Node::new("message")
            .with("from", long)
            .with("id", format!("B{number}"))
            .with("t", "1790000000")
            .with("type", "text")
            .with_child(Node::new("enc").with("v", "2").with("type", "msg").with_bytes(vec![0x33; 40]));
        assert!(world.relay.inject(world.now, &to, stanza));
        world.settle();
    }
    assert_eq!(world.texts(ann), ["hello", "hello"]);
    let now = world.now;
    assert!(world.host(ann).client.connect(now).is_ok(), "not faulted");
}

#[test]
fn a_device_list_that_changes_while_keys_are_fetched_does_not_end_the_send() {
    let mut world = World::new(153);
    let (ann, bob) = (world.add_linked(None), world.add_linked(None));
    let to = world.pn(bob);
    world.relay.faults().break_requests("encrypt", 1, RequestFault::Delay(2_000));
    let id = world.send(ann, &to, "hello");
    world.settle();
    let own = world.hosts[ann.0].client.identity().unwrap().jid;
    let change = Node::new("notification")
        .with("from", to.clone())
        .with("id", "CHANGE")
        .with("type", "devices")
        .with("t", "1790000000")
        .with_child(
            Node::new("add")
                .with("device_hash", "2:abcd")
                .with_child(Node::new("device").with("jid", to.clone().with_device(9))),
        );
    assert!(world.relay.inject(world.now, &own, change));
    world.pass_ms(5_000);
    assert_eq!(report(&world, ann, &id).map(|report| report.is_sent()), Some(true));
    assert_eq!(world.texts(bob), ["hello"]);
}
