//! What a sender is told of a send, device by device; and devices that a stale list would have missed.

use whatsio_core::api::{DeviceOutcome, Event, ListCheck, MessageId, SendReport, SendResult, SkipReason};
use whatsio_tests::world::{Name, World, text_content};

fn reports(world: &World, name: Name) -> Vec<SendReport> {
    let reports = world.hosts[name.0].events.iter().filter_map(|envelope| match &envelope.event {
        Event::SendFinished(report) => Some((**report).clone()),
        _ => None,
    });
    reports.collect()
}

fn report(world: &World, name: Name, id: &MessageId) -> SendReport {
    let mut all = reports(world, name).into_iter().filter(|report| report.id == *id);
    let report = all.next().expect("a report");
    assert!(all.next().is_none(), "one report for each send");
    report
}

/// How many devices came out so.
fn count(report: &SendReport, outcome: DeviceOutcome) -> usize {
    report.devices.iter().filter(|(_, found)| *found == outcome).count()
}

/// Ann and Bob have talked, so that each knows the other's devices; then changes of devices are no longer told.
fn acquainted(seed: u8) -> (World, Name, Name) {
    let mut world = World::new(seed);
    let ann = world.add_linked(None);
    let bob = world.add_linked(None);
    world.send(ann, &world.pn(bob), "first");
    world.settle();
    assert_eq!(world.texts(bob), ["first"]);
    world.relay.faults().hide_device_changes(true);
    (world, ann, bob)
}

#[test]
fn a_device_that_the_list_does_not_have_gets_the_message_without_the_application() {
    let (mut world, ann, bob) = acquainted(80);
    let bob2 = world.add_linked(Some(&world.number(bob)));
    let id = world.send(ann, &world.pn(bob), "to all");
    world.settle();
    assert_eq!(world.texts(bob2), ["to all"]);
    assert_eq!(world.texts(bob), ["first", "to all"], "who had it does not get it again");
    let report = report(&world, ann, &id);
    assert!(report.is_sent() && report.op.is_some());
    assert_eq!(report.lists, ListCheck::Repaired);
    assert_eq!(count(&report, DeviceOutcome::Repaired), 1);
    assert_eq!(count(&report, DeviceOutcome::Sent), 3, "two of Bob's devices and Ann's phone: {report:?}");

    let next = world.send(ann, &world.pn(bob), "next");
    world.settle();
    assert_eq!(world.texts(bob2), ["to all", "next"]);
    let next = self::report(&world, ann, &next);
    assert_eq!((next.lists, count(&next, DeviceOutcome::Sent)), (ListCheck::Agreed, 4));
}

#[test]
fn an_own_device_that_the_own_list_does_not_have_gets_its_copy() {
    let (mut world, ann, bob) = acquainted(81);
    let ann2 = world.add_linked(Some(&world.number(ann)));
    let id = world.send(ann, &world.pn(bob), "to Bob");
    world.settle();
    assert_eq!(world.texts(ann2), ["to Bob"]);
    let copy = world.event(ann2, |event| match event {
        Event::MessageReceived(message) => Some((message.from_me, message.chat_aliases.pn.clone())),
        _ => None,
    });
    assert_eq!(copy, Some((true, Some(world.pn(bob)))));
    let report = report(&world, ann, &id);
    assert_eq!((report.lists, count(&report, DeviceOutcome::Repaired)), (ListCheck::Repaired, 1));
}

#[test]
fn a_device_that_is_gone_is_dropped_and_reported() {
    let mut world = World::new(82);
    let ann = world.add_linked(None);
    let bob = world.add_linked(None);
    let bob2 = world.add_linked(Some(&world.number(bob)));
    world.send(ann, &world.pn(bob), "first");
    world.settle();
    world.relay.faults().hide_device_changes(true);
    let gone = world.hosts[bob2.0].client.identity().unwrap().jid;
    let now = world.now;
    assert!(world.relay.remove_device(now, &gone));
    world.settle();
    let id = world.send(ann, &world.pn(bob), "second");
    world.settle();
    let report = report(&world, ann, &id);
    assert_eq!((report.lists, count(&report, DeviceOutcome::Gone)), (ListCheck::Repaired, 1));
    assert!(report.is_sent());
    let next = world.send(ann, &world.pn(bob), "third");
    world.settle();
    let next = self::report(&world, ann, &next);
    assert_eq!(next.devices.len(), 3, "the device is no longer addressed: {next:?}");
    assert_eq!(world.texts(bob), ["first", "second", "third"]);
}

#[test]
fn many_sends_in_flight_have_the_lists_fetched_once() {
    let (mut world, ann, bob) = acquainted(83);
    let bob2 = world.add_linked(Some(&world.number(bob)));
    world.settle();
    let before = world.relay.requests("usync");
    let texts: Vec<String> = (0..20).map(|number| format!("text {number}")).collect();
    let ids: Vec<MessageId> = texts.iter().map(|text| world.send(ann, &world.pn(bob), text)).collect();
    world.settle();
    assert_eq!(world.texts(bob2), texts, "in order");
    assert_eq!(world.texts(bob).len(), 21);
    assert_eq!(world.relay.requests("usync") - before, 1, "one question for both lists");
    for id in &ids {
        assert_eq!(report(&world, ann, id).lists, ListCheck::Repaired);
    }
}

#[test]
fn a_hash_that_fresh_lists_do_not_explain_is_asked_about_once() {
    let (mut world, ann, bob) = acquainted(84);
    world.relay.faults().claim_phash(Some("2:-_-_AAAA"));
    let before = world.relay.requests("usync");
    for text in ["one", "two", "three"] {
        let id = world.send(ann, &world.pn(bob), text);
        world.settle();
        let report = report(&world, ann, &id);
        assert!(report.is_sent());
        assert_eq!((report.lists, report.devices.len()), (ListCheck::Unexplained, 3));
    }
    assert_eq!(world.relay.requests("usync") - before, 1);
    assert_eq!(world.texts(bob), ["first", "one", "two", "three"]);
}

#[test]
fn a_repair_that_the_server_refuses_is_told_and_not_tried_again() {
    let (mut world, ann, bob) = acquainted(85);
    world.add_linked(Some(&world.number(bob)));
    let id = world.send(ann, &world.pn(bob), "to all");
    // The message itself is taken, what follows is not.
    while world.texts(bob).len() < 2 {
        let output = world.settle_until(ann, 0).expect("the message goes out");
        world.carry_out(ann, output);
    }
    world.relay.faults().refuse_messages(1, 479);
    world.settle();
    let refused = report(&world, ann, &id);
    assert!(refused.is_sent(), "the others have it");
    assert_eq!(count(&refused, DeviceOutcome::Skipped(SkipReason::RepairRefused(479))), 1);
}

#[test]
fn a_crash_anywhere_in_a_repair_leaves_no_device_out_and_tells_once() {
    for outputs in 0.. {
        let (mut world, ann, bob) = acquainted(86);
        let bob2 = world.add_linked(Some(&world.number(bob)));
        let id = world.send(ann, &world.pn(bob), "to all");
        let ended = world.settle_until(ann, outputs).is_none();
        world.crash(ann);
        // Whether it was accepted is not known, so it is sent again under its id.
        let (now, to, content) = (world.now, world.pn(bob), text_content("to all"));
        world.host(ann).client.send_message(now, &to, content, Some(id.clone())).unwrap();
        world.connect(ann);
        world.pass_until(60_000, |world| world.hosts[ann.0].client.is_connected());
        world.pass_ms(10_000);
        assert_eq!(world.texts(bob2), ["to all"], "after {outputs} outputs");
        assert_eq!(world.texts(bob), ["first", "to all"], "after {outputs} outputs");
        let told: Vec<SendReport> = reports(&world, ann).into_iter().filter(|report| report.id == id).collect();
        assert!(!told.is_empty(), "after {outputs} outputs");
        assert!(told.iter().all(SendReport::is_sent), "after {outputs} outputs: {told:?}");
        if ended {
            assert!(outputs > 10, "the repair takes more than {outputs} outputs");
            break;
        }
    }
}

#[test]
fn a_refusal_is_told_with_its_code_and_nothing_is_tried_again() {
    let (mut world, ann, bob) = acquainted(87);
    world.relay.faults().refuse_messages(1, 479);
    let id = world.send(ann, &world.pn(bob), "no");
    world.settle();
    let report = report(&world, ann, &id);
    assert_eq!((report.result, report.refused()), (SendResult::Refused { code: 479 }, Some(479)));
    assert_eq!(report.chat_aliases.pn, Some(world.pn(bob)));
    assert!(report.chat_aliases.lid.is_some());
    assert_eq!(world.texts(bob), ["first"]);
}

#[test]
fn a_send_that_waits_when_the_device_is_unlinked_is_told_so() {
    let (mut world, ann, bob) = acquainted(88);
    world.disconnect(ann);
    let id = world.send(ann, &world.pn(bob), "never");
    world.settle();
    let device = world.hosts[ann.0].client.identity().unwrap().jid;
    let now = world.now;
    assert!(world.relay.remove_device(now, &device));
    world.connect(ann);
    world.settle();
    assert_eq!(report(&world, ann, &id).result, SendResult::Unlinked);
}

#[test]
fn a_hundred_sends_queued_offline_over_three_restarts_go_out_once_each_in_order() {
    let (mut world, ann, bob) = acquainted(89);
    world.disconnect(ann);
    let texts: Vec<String> = (0..100).map(|number| format!("text {number}")).collect();
    for chunk in texts.chunks(25) {
        for text in chunk {
            world.send(ann, &world.pn(bob), text);
        }
        world.settle();
        world.crash(ann);
        world.settle();
    }
    assert_eq!(world.texts(bob), ["first"]);
    world.connect(ann);
    world.pass_until(60_000, |world| reports(world, ann).len() == 101);
    assert_eq!(world.texts(bob)[1..], texts);
    let told = reports(&world, ann);
    assert!(told[1..].iter().all(|report| report.is_sent() && report.op.is_none()));
}
