use whatsio_core::api::{ChatState, DeviceOutcome, Event, MessageId, Presence, ReceiptKind};
use whatsio_tests::world::{Name, World};

fn receipts(world: &World, name: Name, kind: &ReceiptKind) -> Vec<MessageId> {
    let receipts = world.hosts[name.0].events.iter().filter_map(|envelope| match &envelope.event {
        Event::ReceiptReceived(receipt) if receipt.kind == *kind => Some(receipt.ids.clone()),
        _ => None,
    });
    receipts.flatten().collect()
}

fn pair(seed: u8) -> (World, Name, Name) {
    let mut world = World::new(seed);
    let ann = world.add_linked(None);
    let bob = world.add_linked(None);
    (world, ann, bob)
}

#[test]
fn a_text_arrives_and_its_sender_hears_of_server_delivery_and_reading() {
    let (mut world, ann, bob) = pair(10);
    let id = world.send(ann, &world.pn(bob), "hello");
    world.settle();
    assert_eq!(world.texts(bob), ["hello"]);
    let report = world.event(ann, |event| match event {
        Event::SendFinished(report) => Some(report.clone()),
        _ => None,
    });
    let report = report.expect("a report");
    assert_eq!(report.id, id);
    assert!(report.is_sent() && report.op.is_some());
    assert!(report.devices.len() >= 3, "two of Bob's devices and Ann's phone: {:?}", report.devices);
    assert!(report.devices.iter().all(|(_, outcome)| *outcome == DeviceOutcome::Sent));
    assert_eq!(receipts(&world, ann, &ReceiptKind::Delivered), std::slice::from_ref(&id));

    let received = world.event(bob, |event| match event {
        Event::MessageReceived(message) => Some((**message).clone()),
        _ => None,
    });
    let received = received.unwrap();
    assert_eq!(received.sender_aliases.pn, Some(world.pn(ann)), "both addresses of the sender are known");
    assert!(received.sender_aliases.lid.is_some());
    let now = world.now;
    world.host(bob).client.mark_read(now, &received.chat, &received.sender, std::slice::from_ref(&id)).unwrap();
    world.settle();
    assert_eq!(receipts(&world, ann, &ReceiptKind::Read), [id]);
}

#[test]
fn a_conversation_keeps_its_order_both_ways() {
    let (mut world, ann, bob) = pair(11);
    let (to_bob, to_ann) = (world.pn(bob), world.pn(ann));
    for round in 0..25 {
        world.send(ann, &to_bob, &format!("a{round}"));
        world.send(ann, &to_bob, &format!("a{round}'"));
        world.send(bob, &to_ann, &format!("b{round}"));
        world.settle();
    }
    let expected: Vec<String> = (0..25).flat_map(|round| [format!("a{round}"), format!("a{round}'")]).collect();
    assert_eq!(world.texts(bob), expected);
    let expected: Vec<String> = (0..25).map(|round| format!("b{round}")).collect();
    assert_eq!(world.texts(ann), expected);
}

#[test]
fn every_device_of_both_sides_gets_a_copy_and_the_senders_own_copy_says_where_it_went() {
    let (mut world, ann, bob) = pair(12);
    let ann2 = world.add_linked(Some(&world.number(ann)));
    let bob2 = world.add_linked(Some(&world.number(bob)));
    world.send(ann, &world.pn(bob), "to all");
    world.settle();
    for name in [bob, bob2, ann2] {
        assert_eq!(world.texts(name), ["to all"], "{name:?}");
    }
    let copy = world.event(ann2, |event| match event {
        Event::MessageReceived(message) => Some((message.from_me, message.chat_aliases.pn.clone())),
        _ => None,
    });
    assert_eq!(copy, Some((true, Some(world.pn(bob)))));
}

#[test]
fn a_device_linked_later_is_found_by_the_next_send() {
    let (mut world, ann, bob) = pair(13);
    world.send(ann, &world.pn(bob), "one");
    world.settle();
    let bob2 = world.add_linked(Some(&world.number(bob)));
    world.send(ann, &world.pn(bob), "two");
    world.settle();
    assert_eq!(world.texts(bob), ["one", "two"]);
    assert_eq!(world.texts(bob2), ["two"]);
}

#[test]
fn what_was_sent_while_the_receiver_was_offline_arrives_in_order_and_once() {
    let (mut world, ann, bob) = pair(14);
    world.disconnect(bob);
    for number in 0..60 {
        world.send(ann, &world.pn(bob), &number.to_string());
    }
    world.settle();
    assert!(world.texts(bob).is_empty());
    world.connect(bob);
    world.pass_until(60_000, |world| world.texts(bob).len() >= 60);
    let expected: Vec<String> = (0..60).map(|number| number.to_string()).collect();
    assert_eq!(world.texts(bob), expected);
    let drained = |envelope: &whatsio_core::api::Envelope| matches!(envelope.event, Event::OfflineDrained { .. });
    let received = |envelope: &whatsio_core::api::Envelope| matches!(envelope.event, Event::MessageReceived(_));
    let events = &world.hosts[bob.0].events;
    let end = events.iter().rposition(drained).expect("the end of the queue is told");
    assert!(events[end..].iter().all(|envelope| !received(envelope)), "after all that was in it");
    world.disconnect(bob);
    world.connect(bob);
    world.pass_ms(5_000);
    assert_eq!(world.texts(bob).len(), 60, "nothing comes twice");
}

#[test]
fn a_long_backlog_is_asked_for_in_batches_without_waiting_for_the_server_to_lose_patience() {
    let (mut world, ann, bob) = pair(21);
    world.disconnect(bob);
    for number in 0..500 {
        world.send(ann, &world.pn(bob), &number.to_string());
        world.settle();
    }
    world.connect(bob);
    // The relay sends the rest by itself after a second; a client that asks in time never meets that.
    world.pass_until(900, |world| world.texts(bob).len() >= 500);
    let expected: Vec<String> = (0..500).map(|number| number.to_string()).collect();
    assert_eq!(world.texts(bob), expected);
}

#[test]
fn a_send_repeated_under_its_id_is_the_same_send() {
    let (mut world, ann, bob) = pair(22);
    let (now, to) = (world.now, world.pn(bob));
    let id = world.send(ann, &to, "once");
    let content = whatsio_tests::world::text_content("once");
    let (op, same) = world.host(ann).client.send_message(now, &to, content.clone(), Some(id.clone())).unwrap();
    assert_eq!(same, id);
    world.settle();
    let (late, _) = world.host(ann).client.send_message(now, &to, content, Some(id)).unwrap();
    world.settle();
    assert_eq!(world.texts(bob), ["once"]);
    let ends = world.hosts[ann.0].events.iter().filter_map(|envelope| match &envelope.event {
        Event::SendFinished(report) => report.op,
        _ => None,
    });
    assert_eq!(ends.collect::<Vec<_>>(), [op, late], "each that can be told is told");
}

#[test]
fn a_send_accepted_without_a_connection_goes_out_at_the_next_one() {
    let (mut world, ann, bob) = pair(15);
    world.disconnect(ann);
    let id = world.send(ann, &world.pn(bob), "queued");
    world.settle();
    assert!(world.texts(bob).is_empty());
    world.connect(ann);
    world.pass_until(60_000, |world| !world.texts(bob).is_empty());
    assert_eq!(world.texts(bob), ["queued"]);
    let report = world.event(ann, |event| match event {
        Event::SendFinished(report) => Some(report.id.clone()),
        _ => None,
    });
    assert_eq!(report, Some(id));
}

#[test]
fn a_note_to_self_reaches_the_other_devices_only() {
    let (mut world, ann, _) = pair(16);
    let ann2 = world.add_linked(Some(&world.number(ann)));
    world.send(ann, &world.pn(ann), "note");
    world.settle();
    assert_eq!(world.texts(ann2), ["note"]);
    assert!(world.texts(ann).is_empty());
}

#[test]
fn a_user_that_does_not_exist_fails_the_send_and_holds_nothing_up() {
    let (mut world, ann, bob) = pair(17);
    let nobody = whatsio_core::types::Jid::parse("15550009999@s.whatsapp.net").unwrap();
    world.send(ann, &nobody, "anybody?");
    world.send(ann, &world.pn(bob), "you there?");
    world.settle();
    world.pass_ms(1_000);
    let failed = world.event(ann, |event| match event {
        Event::SendFinished(report) if !report.is_sent() => Some(report.clone()),
        _ => None,
    });
    assert!(failed.is_some_and(|report| report.devices.is_empty()));
    assert_eq!(world.texts(bob), ["you there?"]);
}

#[test]
fn presence_and_typing_are_passed_on_to_those_who_asked() {
    let (mut world, ann, bob) = pair(18);
    let (now, ann_pn, bob_pn) = (world.now, world.pn(ann), world.pn(bob));
    world.host(bob).client.set_presence(now, true).unwrap();
    world.host(ann).client.set_presence(now, true).unwrap();
    world.host(ann).client.subscribe_presence(now, &bob_pn).unwrap();
    world.settle();
    world.host(bob).client.send_chat_state(now, &ann_pn, ChatState::Composing).unwrap();
    world.host(bob).client.set_presence(now, false).unwrap();
    world.settle();
    let typing = world.event(ann, |event| match event {
        Event::ChatStateChanged(event) => Some(event.state),
        _ => None,
    });
    assert_eq!(typing, Some(ChatState::Composing));
    let gone = world.event(ann, |event| match event {
        Event::PresenceChanged(event) if event.presence != Presence::Available => Some(event.presence),
        _ => None,
    });
    assert!(gone.is_some());
}

#[test]
fn no_plaintext_and_no_private_key_is_ever_written_to_the_socket() {
    let (mut world, ann, bob) = pair(19);
    let secret = "the quick brown fox jumps over the lazy dog";
    world.send(ann, &world.pn(bob), secret);
    world.settle();
    assert_eq!(world.texts(bob), [secret]);
    for host in &world.hosts {
        for frame in &host.written {
            assert!(!frame.windows(9).any(|window| secret.as_bytes().windows(9).any(|part| part == window)));
        }
    }
}

#[test]
fn a_quiet_connection_stays_up_for_eight_hours() {
    let (mut world, ann, bob) = pair(20);
    world.hosts[ann.0].events.clear();
    world.pass_ms(8 * 3_600_000);
    assert!(world.hosts[ann.0].client.is_connected());
    assert!(world.hosts[ann.0].events.is_empty(), "quiet is not a fault");
    world.send(ann, &world.pn(bob), "still here");
    world.settle();
    assert_eq!(world.texts(bob), ["still here"]);
}
