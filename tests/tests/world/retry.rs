use std::collections::BTreeMap;
use whatsio_core::api::{Event, Space, UnanswerableReason};
use whatsio_core::binary::Node;
use whatsio_core::relay::{Cut, RelayEvent, RequestFault};
use whatsio_core::signal::PreKeyMessage;
use whatsio_core::types::Jid;
use whatsio_tests::puppet::Puppet;
use whatsio_tests::world::{Name, World, text_content, text_in};

fn device(world: &World, name: Name) -> Jid {
    world.hosts[name.0].client.identity().expect("linked").jid
}

fn unanswered(world: &World, name: Name) -> Vec<(String, Jid, UnanswerableReason)> {
    let events = world.hosts[name.0].events.iter().filter_map(|envelope| match &envelope.event {
        Event::RetryUnanswerable(retry) => Some((retry.id.to_string(), retry.device.clone(), retry.reason)),
        _ => None,
    });
    events.collect()
}

/// What a puppet reads of its mail, by message id.
fn read(world: &mut World, puppet: &mut Puppet) -> Vec<(String, Option<String>)> {
    let mail = puppet.mail(world).into_iter().filter(|mail| mail.node.tag == "message");
    mail.map(|mail| (mail.node.text("id").unwrap().into_owned(), mail.content.as_ref().and_then(text_in))).collect()
}

/// Ann, linked; Bob, of whom one companion is played by the test.
fn ann_and_puppet(seed: u8) -> (World, Name, Name, Puppet) {
    let mut world = World::new(seed);
    let (ann, bob) = (world.add_linked(None), world.add_linked(None));
    let account = world.pn(bob);
    let puppet = Puppet::planted(&mut world, &account, seed);
    world.settle();
    (world, ann, bob, puppet)
}

/// Nobody is connected meanwhile: hundreds of thousands of pings would prove nothing.
fn let_two_weeks_pass(world: &mut World, names: [Name; 2]) {
    names.into_iter().for_each(|name| world.disconnect(name));
    world.pass_ms(15 * 24 * 3_600_000);
    names.into_iter().for_each(|name| world.connect(name));
    world.pass_ms(1_000);
}

#[test]
fn a_receipt_for_an_expired_message_repairs_the_session_and_says_so_and_resends_nothing() {
    let (mut world, ann, bob, mut puppet) = ann_and_puppet(60);
    let (to, from) = (world.pn(bob), device(&world, ann));
    let id = world.send(ann, &to, "old").to_string();
    world.settle();
    assert_eq!(read(&mut world, &mut puppet), [(id.clone(), Some("old".into()))]);
    // It answers, so that Ann's next message is one for a session that both have.
    puppet.send(&mut world, &from, "P1", &text_content("got it"));
    world.settle();
    let_two_weeks_pass(&mut world, [ann, bob]);
    // The puppet has lost its session; without the keys it brings now it could not read what comes next.
    puppet.forget(&world, &from);
    puppet.ask_again(&mut world, &from, &id, 1, true);
    world.settle();
    assert_eq!(read(&mut world, &mut puppet), [], "nothing is resent");
    let told = unanswered(&world, ann);
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].0.as_str(), told[0].2), (id.as_str(), UnanswerableReason::Expired));
    let next = world.send(ann, &to, "new").to_string();
    world.settle();
    world.pass_ms(1_000);
    assert_eq!(read(&mut world, &mut puppet), [(next, Some("new".into()))], "the keys were used all the same");
    assert_eq!(world.texts(bob), ["old", "new"]);
}

#[test]
fn a_message_stays_known_as_expired_when_newer_ones_have_taken_its_place() {
    let (mut world, ann, bob, mut puppet) = ann_and_puppet(61);
    let (to, from) = (world.pn(bob), device(&world, ann));
    let id = world.send(ann, &to, "old").to_string();
    world.settle();
    let_two_weeks_pass(&mut world, [ann, bob]);
    for number in 0..3 {
        world.send(ann, &to, &number.to_string());
        world.settle();
    }
    world.crash(ann);
    world.connect(ann);
    world.pass_ms(2_000);
    puppet.ask_again(&mut world, &from, &id, 1, true);
    puppet.ask_again(&mut world, &from, "3EB0FFFFFFFFFFFFFFFFFF", 1, true);
    world.settle();
    let reasons: Vec<_> = unanswered(&world, ann).into_iter().map(|(_, _, reason)| reason).collect();
    assert_eq!(reasons, [UnanswerableReason::Expired, UnanswerableReason::NeverSent]);
}

#[test]
fn a_message_is_not_resent_to_somebody_it_was_not_for() {
    let (mut world, ann, bob, mut puppet) = ann_and_puppet(62);
    let eve = world.add_linked(None);
    let (to_bob, to_eve, from) = (world.pn(bob), world.pn(eve), device(&world, ann));
    world.send(ann, &to_bob, "hello Bob");
    let id = world.send(ann, &to_eve, "for Eve only").to_string();
    world.settle();
    read(&mut world, &mut puppet);
    puppet.ask_again(&mut world, &from, &id, 1, true);
    world.settle();
    assert_eq!(read(&mut world, &mut puppet), []);
    assert_eq!(unanswered(&world, ann)[0].2, UnanswerableReason::NotAddressed);
}

#[test]
fn a_device_that_asks_without_end_is_answered_five_times_even_over_restarts() {
    let (mut world, ann, bob, mut puppet) = ann_and_puppet(63);
    let (to, from) = (world.pn(bob), device(&world, ann));
    let id = world.send(ann, &to, "again and again").to_string();
    world.settle();
    read(&mut world, &mut puppet);
    let mut resent = 0;
    for round in 0..9 {
        // The peer's own counter never moves, and our process dies now and then.
        puppet.ask_again(&mut world, &from, &id, 1, true);
        world.settle();
        let read = read(&mut world, &mut puppet);
        resent += read.len();
        assert!(read.iter().all(|(same, text)| *same == id && text.as_deref() == Some("again and again")));
        if round % 3 == 2 {
            world.crash(ann);
            world.connect(ann);
            world.pass_ms(5_000);
        }
    }
    assert_eq!(resent, 5);
    let told = unanswered(&world, ann);
    assert_eq!(told.len(), 1, "told once: {told:?}");
    assert_eq!(told[0].2, UnanswerableReason::OverBudget);
    world.send(ann, &to, "next");
    world.settle();
    assert_eq!(read(&mut world, &mut puppet)[0].1.as_deref(), Some("next"), "its keys were used to the end");
}

#[test]
fn a_session_that_did_not_help_is_replaced_at_the_second_request() {
    let (mut world, ann, bob, mut puppet) = ann_and_puppet(64);
    let (to, from) = (world.pn(bob), device(&world, ann));
    world.send(ann, &to, "one");
    world.settle();
    assert_eq!(read(&mut world, &mut puppet).len(), 1);
    // The puppet answers, so that Ann's session is settled, then loses it but not its registration.
    puppet.send(&mut world, &from, "P1", &text_content("got it"));
    world.settle();
    assert_eq!(world.texts(ann), ["got it"]);
    puppet.forget(&world, &from);
    let id = world.send(ann, &to, "two").to_string();
    world.settle();
    assert_eq!(read(&mut world, &mut puppet), [(id.clone(), None)]);
    puppet.ask_again(&mut world, &from, &id, 1, false);
    world.settle();
    assert_eq!(read(&mut world, &mut puppet), [(id.clone(), None)], "the same session again");
    puppet.ask_again(&mut world, &from, &id, 2, false);
    world.settle();
    assert_eq!(read(&mut world, &mut puppet), [(id, Some("two".into()))], "another one");
}

#[test]
fn keys_that_nobody_vouches_for_start_nothing_and_bring_nothing() {
    let (mut world, ann, bob, mut puppet) = ann_and_puppet(65);
    let (to, from) = (world.pn(bob), device(&world, ann));
    let id = world.send(ann, &to, "secret").to_string();
    world.settle();
    read(&mut world, &mut puppet);
    // Another identity under the same statement: somebody between us would have to do that.
    let mut mallory = Puppet::planted(&mut world, &to, 99);
    mallory.statement = puppet.statement.clone();
    let receipt = mallory.retry_receipt(&from, &id, 1, true);
    world.relay.submit(world.now, &puppet.jid, &receipt);
    world.settle();
    assert_eq!(read(&mut world, &mut puppet), [], "nothing is resent");
    world.send(ann, &to, "next");
    world.settle();
    assert_eq!(read(&mut world, &mut puppet)[0].1.as_deref(), Some("next"), "the old session serves on");
}

#[test]
fn nearly_a_hundred_devices_that_ask_for_twenty_messages_each_stay_within_the_budget_and_can_read_what_comes_next() {
    let (mut world, ann, bob, first) = ann_and_puppet(66);
    let (to, from) = (world.pn(bob), device(&world, ann));
    let mut puppets = vec![first];
    for seed in 1..=96 {
        puppets.push(Puppet::planted(&mut world, &to, seed));
    }
    world.settle();
    let ids: Vec<String> = (0..20).map(|number| world.send(ann, &to, &format!("m{number}")).to_string()).collect();
    world.settle();
    for puppet in &mut puppets {
        assert_eq!(read(&mut world, puppet).len(), 20);
        puppet.forget(&world, &from);
    }
    world.told.clear();
    for id in &ids {
        for puppet in &mut puppets {
            // Only the first request of a device brings keys; the others may well be on their way by then.
            puppet.ask_again(&mut world, &from, id, 1, *id == ids[0]);
        }
        world.settle();
    }
    let taken = |event: &&RelayEvent| matches!(event, RelayEvent::MessageAccepted { id, .. } if ids.contains(id));
    let resent = world.told.iter().filter(taken).count();
    assert!((60..=61).contains(&resent), "{resent} messages were sent again");
    for puppet in &mut puppets {
        read(&mut world, puppet);
    }
    world.crash(ann);
    world.connect(ann);
    world.pass_ms(1_000);
    world.told.clear();
    puppets[0].ask_again(&mut world, &from, &ids[19], 1, false);
    world.settle();
    assert_eq!(world.told.iter().filter(taken).count(), 0, "a restart fills no bucket");
    let next = world.send(ann, &to, "next").to_string();
    world.settle();
    for puppet in &mut puppets {
        assert_eq!(read(&mut world, puppet), [(next.clone(), Some("next".into()))]);
    }
    let texts = world.texts(bob);
    assert_eq!(texts.len(), 21, "Bob's real device saw everything once");
}

#[test]
fn a_thousand_old_receipts_at_reconnect_cause_no_message_to_come_twice() {
    let (mut world, ann, bob, mut puppet) = ann_and_puppet(67);
    let (to, from) = (world.pn(bob), device(&world, ann));
    let ids: Vec<String> = (0..20).map(|number| world.send(ann, &to, &format!("m{number}")).to_string()).collect();
    world.settle();
    assert_eq!(read(&mut world, &mut puppet).len(), 20);
    world.disconnect(ann);
    let address = {
        let accounts = world.relay.accounts();
        accounts.iter().find(|account| account.pn == to).unwrap().lid.clone().with_device(puppet.jid.device())
    };
    for number in 0..1_000_usize {
        let id = ids[number % ids.len()].as_str();
        let receipt = puppet.retry_receipt(&from, id, 1, number < 20);
        let mut stanza = Node::new("receipt").with("from", address.clone()).with("id", id).with("type", "retry");
        for child in receipt.children() {
            stanza = stanza.with_child(child.clone());
        }
        assert!(world.relay.inject(world.now, &from, stanza));
    }
    world.connect(ann);
    world.pass_ms(20_000);
    let queued = world.relay.accounts().iter().flat_map(|account| account.devices.clone()).find(|one| one.jid == from);
    assert_eq!(queued.map(|device| device.queued), Some(0), "every receipt is answered");
    let mut counts = BTreeMap::new();
    for (id, text) in read(&mut world, &mut puppet) {
        assert!(text.is_some());
        *counts.entry(id).or_insert(0) += 1;
    }
    assert!(counts.values().all(|count| *count <= 5), "{counts:?}");
    assert!(counts.values().sum::<usize>() <= 62, "{counts:?}");
    assert_eq!(world.texts(bob).len(), 20, "no other device saw anything of it");
}

#[test]
fn a_message_whose_first_copy_could_not_be_read_comes_once_after_its_sender_was_killed() {
    let mut world = World::new(68);
    let (ann, bob) = (world.add_linked(None), world.add_linked(None));
    world.send(ann, &world.pn(bob), "before");
    world.settle();
    world.disconnect(bob);
    let id = world.send(ann, &world.pn(bob), "during");
    world.settle();
    // Bob's process comes back without its sessions; Ann's dies between the send and the receipt.
    for (key, record) in &mut world.hosts[bob.0].store {
        if key.space == Space::Session {
            *record = whatsio_core::api::Record(bytes::Bytes::from_static(b"\xffgarbage"));
        }
    }
    world.crash(bob);
    world.crash(ann);
    world.connect(bob);
    world.pass_ms(1_000);
    world.connect(ann);
    world.pass_ms(10_000);
    assert_eq!(world.texts(bob), ["before", "during"]);
    let mut ids = world.hosts[bob.0].events.iter().filter_map(|envelope| match &envelope.event {
        Event::MessageReceived(message) => Some(message.id.clone()),
        _ => None,
    });
    assert_eq!(ids.next_back(), Some(id), "under the same id");
}

#[test]
fn what_was_encrypted_in_a_session_that_was_given_up_is_read_when_it_comes() {
    let (mut world, ann, bob, mut puppet) = ann_and_puppet(69);
    let (to, own) = (world.pn(bob), device(&world, ann));
    world.send(ann, &to, "hello");
    world.settle();
    read(&mut world, &mut puppet);
    puppet.send(&mut world, &own, "P1", &text_content("one"));
    world.settle();
    // On their way when another registration shows itself, without keys.
    let late = ["two", "three"].map(|text| puppet.enc(&mut world, &own, &text_content(text)));
    let registration = puppet.keys.registration;
    puppet.keys.registration ^= 2;
    puppet.ask_again(&mut world, &own, "3EB0FFFFFFFFFFFFFFFFFF", 1, false);
    puppet.keys.registration = registration;
    world.settle();
    let [two, three] = late;
    let node = puppet.message(&own, "P2", [two]);
    world.relay.submit(world.now, &puppet.jid, &node);
    world.settle();
    assert_eq!(world.texts(ann), ["one", "two"]);
    // Given up once more; now a new session comes first, with a message passed over.
    puppet.keys.registration ^= 2;
    puppet.ask_again(&mut world, &own, "3EB0FFFFFFFFFFFFFFFFFF", 1, false);
    puppet.keys.registration = registration;
    world.settle();
    puppet.forget(&world, &own);
    puppet.enc(&mut world, &own, &text_content("passed over"));
    puppet.send(&mut world, &own, "P4", &text_content("four"));
    world.settle();
    let node = puppet.message(&own, "P3", [three]);
    world.relay.submit(world.now, &puppet.jid, &node);
    world.settle();
    assert_eq!(world.texts(ann), ["one", "two", "four", "three"]);
}

#[test]
fn a_request_whose_answer_is_lost_with_its_connection_costs_nothing() {
    let (mut world, ann, bob, mut puppet) = ann_and_puppet(78);
    let (to, from) = (world.pn(bob), device(&world, ann));
    let id = world.send(ann, &to, "again").to_string();
    world.settle();
    read(&mut world, &mut puppet);
    // Another registration: a session is needed, and with it the server.
    puppet.keys.registration ^= 1;
    world.relay.faults().break_requests("encrypt", 100, RequestFault::Silence);
    puppet.ask_again(&mut world, &from, &id, 1, false);
    for _ in 0..8 {
        world.settle();
        world.pass_ms(1_000);
        world.cut(ann);
        world.pass_until(900_000, |world| world.hosts[ann.0].client.is_connected());
    }
    world.relay.faults().clear();
    world.pass_ms(120_000);
    assert_eq!(read(&mut world, &mut puppet), [(id.clone(), Some("again".into()))]);
    assert_eq!(unanswered(&world, ann), []);
    // A burst that comes before the first is answered gets no more than its share.
    world.relay.faults().break_requests("encrypt", 1, RequestFault::Delay(2_000));
    for _ in 0..12 {
        puppet.keys.registration ^= 1;
        puppet.ask_again(&mut world, &from, &id, 1, false);
    }
    world.pass_ms(60_000);
    assert_eq!(read(&mut world, &mut puppet).len(), 4, "five in all");
    assert_eq!(unanswered(&world, ann).len(), 1);
}

#[test]
fn a_message_sent_again_into_a_connection_that_breaks_is_sent_again_on_the_next() {
    let (mut world, ann, bob) = {
        let mut world = World::new(77);
        let (ann, bob) = (world.add_linked(None), world.add_linked(None));
        (world, ann, bob)
    };
    world.send(ann, &world.pn(bob), "before");
    world.settle();
    // Ann has time to send before Bob, who is offline, finds that he cannot read it.
    world.disconnect(bob);
    let to = device(&world, bob);
    world.relay.faults().damage_ciphertext(&to);
    world.send(ann, &world.pn(bob), "precious");
    world.settle();
    world.relay.faults().disconnect_on_message(Cut::BeforeTaking);
    world.connect(bob);
    world.pass_ms(20_000);
    assert_eq!(world.texts(bob), ["before", "precious"]);
}

#[test]
fn a_request_that_is_delivered_twice_starts_one_session() {
    let (mut world, ann, bob, mut puppet) = ann_and_puppet(78);
    let (to, from) = (world.pn(bob), device(&world, ann));
    let id = world.send(ann, &to, "again").to_string();
    world.settle();
    puppet.mail(&mut world);
    let request = puppet.retry_receipt(&from, &id, 1, true);
    let base_keys: Vec<[u8; 32]> = (0..2)
        .map(|_| {
            world.relay.submit(world.now, &puppet.jid, &request);
            world.settle();
            let mail = puppet.mail(&mut world);
            let resent = mail.iter().find(|mail| mail.node.tag == "message").expect("sent again");
            let bytes = resent.node.child("enc").and_then(Node::bytes).expect("a ciphertext");
            let parsed = PreKeyMessage::parse(&bytes).expect("a first message");
            *parsed.base_key().as_bytes()
        })
        .collect();
    assert_eq!(base_keys[0], base_keys[1]);
}

#[test]
fn a_message_sent_again_to_a_server_in_trouble_is_sent_again_when_that_is_over() {
    let mut world = World::new(79);
    let (ann, bob) = (world.add_linked(None), world.add_linked(None));
    world.send(ann, &world.pn(bob), "before");
    world.settle();
    world.disconnect(bob);
    let to = device(&world, bob);
    world.relay.faults().damage_ciphertext(&to);
    world.send(ann, &world.pn(bob), "precious");
    world.settle();
    world.relay.faults().refuse_messages(2, 503);
    world.connect(bob);
    world.pass_ms(1_000);
    assert_eq!(world.texts(bob), ["before"]);
    world.pass_ms(20_000);
    assert_eq!(world.texts(bob), ["before", "precious"]);
}
