//! What must not end a send, hold up its chat or fault its account.

use whatsio_core::api::{
    Config, DeviceOutcome, Event, MessageId, Misuse, Record, SendReport, SendResult, SkipReason, Space,
};
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

#[test]
fn a_device_whose_keys_cannot_be_had_holds_up_nobody_else_for_long() {
    for code in [503, 429] {
        let mut world = World::new(154);
        let ann = world.add_linked(None);
        let bob = world.add_linked(None);
        let number = world.number(bob);
        let to = world.pn(bob);
        let second = world.add_linked(Some(&number));
        let device = world.hosts[second.0].client.identity().unwrap().jid;
        world.relay.faults().break_bundle(&device, code);
        let id = world.send(ann, &to, "hello");
        world.pass_ms(120_000);
        assert_eq!(world.texts(bob), ["hello"]);
        let sent = report(&world, ann, &id).expect("it ends");
        let skipped = DeviceOutcome::Skipped(SkipReason::ServerTrouble);
        let of_second = |report: &SendReport| {
            report.devices.iter().find(|(jid, _)| jid.device() == device.device()).map(|(_, outcome)| *outcome)
        };
        assert_eq!(of_second(&sent), Some(skipped));
        assert!(sent.is_sent());

        let id = world.send(ann, &to, "at once");
        world.settle();
        assert_eq!(report(&world, ann, &id).as_ref().and_then(of_second), Some(skipped), "it is known by then");
        let before = world.relay.requests("encrypt");
        for number in 0..60 {
            world.send(ann, &to, &format!("{number}"));
            world.pass_ms(60_000);
        }
        assert_eq!(world.texts(bob).len(), 62);
        let asked = world.relay.requests("encrypt") - before;
        assert!(asked <= 14, "{asked} requests for 60 messages");

        world.relay.faults().break_bundle(&device, 0);
        world.pass_ms(400_000);
        world.send(ann, &to, "with keys");
        world.settle();
        assert!(world.texts(second).contains(&"with keys".to_owned()));
    }
}

#[test]
fn what_nobody_on_the_other_side_could_read_waits_for_their_keys() {
    let mut world = World::new(155);
    let (ann, bob) = (world.add_linked(None), world.add_linked(None));
    let to = world.pn(bob);
    world.relay.faults().break_requests("encrypt", 20, RequestFault::Error(503));
    let before = world.relay.requests("encrypt");
    let id = world.send(ann, &to, "hello");
    world.pass_ms(3_600_000);
    assert!(report(&world, ann, &id).is_none(), "nothing is lost by trouble of the server");
    let asked = world.relay.requests("encrypt") - before;
    assert!((10..=20).contains(&asked), "{asked} requests in an hour");
    world.relay.faults().clear();
    world.pass_ms(400_000);
    assert_eq!(world.texts(bob), ["hello"]);
}

#[test]
fn a_device_that_was_left_out_gets_the_message_when_it_asks() {
    let mut world = World::new(156);
    let ann = world.add_linked(None);
    let bob = world.add_linked(None);
    let to = world.pn(bob);
    let mut second = Puppet::planted(&mut world, &to, 156);
    world.settle();
    world.relay.faults().break_bundle(&second.jid.clone(), 503);
    let id = world.send(ann, &to, "hello");
    world.pass_ms(120_000);
    assert!(report(&world, ann, &id).is_some_and(|report| report.is_sent()));
    second.mail(&mut world);
    let from = world.hosts[ann.0].client.identity().unwrap().jid;
    second.ask_again(&mut world, &from, id.as_str(), 1, true);
    world.settle();
    let got: Vec<_> = second.mail(&mut world).into_iter().filter_map(|mail| mail.content).collect();
    assert_eq!(got, [text_content("hello")]);
}

#[test]
fn of_a_message_that_no_stanza_can_hold_no_device_is_said_to_have_got_it() {
    let mut world = World::new(157);
    let mut generous = Config::default();
    generous.profile.root_key = world.relay.root_key();
    generous.limits.message_bytes = 8 << 20;
    let (ann, bob) = (world.add_with(generous), world.add_linked(None));
    world.link(ann, None);
    let to = world.pn(bob);
    let now = world.now;
    let long = text_content(&"x".repeat(6 << 20));
    let id = world.host(ann).client.send_message(now, &to, long, None).expect("accepted").1;
    world.settle();
    let report = report(&world, ann, &id).expect("it ends");
    assert_eq!(report.result, SendResult::NobodyToSendTo);
    let outcomes: Vec<_> = report.devices.iter().map(|(_, outcome)| *outcome).collect();
    assert_eq!(outcomes, [DeviceOutcome::Skipped(SkipReason::Unsendable); 3]);
    world.send(ann, &to, "and others go on");
    world.settle();
    assert_eq!(world.texts(bob), ["and others go on"]);
}
