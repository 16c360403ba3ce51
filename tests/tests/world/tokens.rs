//! One error code with two causes: a contact's token that is missing, and an account that may begin no new chats.

use whatsio_core::api::{Event, MessageId, SendReport, SendResult};
use whatsio_core::binary::Node;
use whatsio_core::relay::{RelayEvent, RequestFault};
use whatsio_core::types::Jid;
use whatsio_tests::world::{Name, World};

const WEEK_MS: u64 = 7 * 24 * 3_600 * 1_000;

fn report(world: &World, name: Name, id: &MessageId) -> SendReport {
    let mut found = world.hosts[name.0].events.iter().filter_map(|envelope| match &envelope.event {
        Event::SendFinished(report) if report.id == *id => Some((**report).clone()),
        _ => None,
    });
    let report = found.next().expect("a report");
    assert!(found.next().is_none(), "one report for each send");
    report
}

fn refusals(world: &World) -> usize {
    world.told.iter().filter(|event| matches!(event, RelayEvent::MessageRefused { code: 463, .. })).count()
}

fn pair(seed: u8) -> (World, Name, Name) {
    let mut world = World::new(seed);
    let ann = world.add_linked(None);
    let bob = world.add_linked(None);
    (world, ann, bob)
}

/// Sends `text` and gives its report.
fn said(world: &mut World, from: Name, to: &Jid, text: &str) -> SendReport {
    let id = world.send(from, to, text);
    world.settle();
    report(world, from, &id)
}

#[test]
fn whoever_is_written_to_gets_a_token_once_a_week_and_it_opens_the_door() {
    let (mut world, ann, bob) = pair(100);
    let (to_ann, to_bob) = (world.pn(ann), world.pn(bob));
    let before = world.relay.requests("privacy");
    for text in ["one", "two", "three"] {
        said(&mut world, bob, &to_ann, text);
    }
    assert_eq!(world.relay.requests("privacy") - before, 1, "one token for three messages");
    assert!(world.relay.holds_token(&to_ann, &to_bob));

    assert!(world.relay.demand_tokens(&to_bob, true));
    assert!(said(&mut world, ann, &to_bob, "answer").is_sent());
    assert_eq!((world.texts(bob), refusals(&world)), (vec!["answer".to_owned()], 0));

    world.pass_ms(WEEK_MS);
    let before = world.relay.requests("privacy");
    said(&mut world, bob, &to_ann, "next week");
    assert_eq!(world.relay.requests("privacy") - before, 1);
}

#[test]
fn a_token_survives_a_restart() {
    let (mut world, ann, bob) = pair(101);
    let (to_ann, to_bob) = (world.pn(ann), world.pn(bob));
    said(&mut world, bob, &to_ann, "hello");
    world.crash(ann);
    world.connect(ann);
    world.pass_until(60_000, |world| world.hosts[ann.0].client.is_connected());
    assert!(world.relay.demand_tokens(&to_bob, true));
    assert!(said(&mut world, ann, &to_bob, "answer").is_sent());
    assert_eq!(refusals(&world), 0);
}

#[test]
fn a_token_that_is_too_old_is_not_shown() {
    let (mut world, ann, bob) = pair(102);
    let (to_ann, to_bob) = (world.pn(ann), world.pn(bob));
    said(&mut world, bob, &to_ann, "hello");
    world.disconnect(ann);
    world.disconnect(bob);
    world.pass_ms(5 * WEEK_MS);
    world.connect(ann);
    world.pass_until(60_000, |world| world.hosts[ann.0].client.is_connected());
    assert!(world.relay.demand_tokens(&to_bob, true));
    // It is found out, refreshed, and the message goes through at the second try.
    assert!(said(&mut world, ann, &to_bob, "after weeks").is_sent());
    assert_eq!(refusals(&world), 1);
}

#[test]
fn a_missing_token_costs_one_refresh_and_one_more_try() {
    let (mut world, ann, bob) = pair(103);
    let (to_ann, to_bob) = (world.pn(ann), world.pn(bob));
    world.relay.faults().hide_tokens(true);
    said(&mut world, bob, &to_ann, "hello");
    assert!(world.relay.demand_tokens(&to_bob, true));
    let before = (world.relay.requests("privacy"), world.relay.requests("w:mex"));
    assert!(said(&mut world, ann, &to_bob, "answer").is_sent());
    assert_eq!(refusals(&world), 1);
    assert_eq!(world.texts(bob), ["answer"]);
    let after = (world.relay.requests("privacy"), world.relay.requests("w:mex"));
    assert_eq!((after.0 - before.0, after.1 - before.1), (1, 1));
}

#[test]
fn a_token_that_cannot_be_had_ends_the_send_after_one_more_try() {
    let (mut world, ann, bob) = pair(104);
    let to_bob = world.pn(bob);
    assert!(world.relay.demand_tokens(&to_bob, true));
    let report = said(&mut world, ann, &to_bob, "hello?");
    assert_eq!((report.result, report.refused()), (SendResult::TokenMissing, Some(463)));
    assert_eq!(refusals(&world), 2, "the send and one more try");
    assert!(world.texts(bob).is_empty());
    world.pass_ms(600_000);
    assert_eq!(refusals(&world), 2, "nothing is tried later");
}

#[test]
fn a_restricted_account_is_told_so_after_one_try() {
    let (mut world, ann, bob) = pair(105);
    let (own, to_bob) = (world.pn(ann), world.pn(bob));
    let until = world.now.unix_seconds() + 3_600;
    let now = world.now;
    assert!(world.relay.restrict(now, &own, Some(until), false));
    let before = world.relay.requests("privacy");
    let report = said(&mut world, ann, &to_bob, "hello");
    assert_eq!(report.result, SendResult::Restricted { until: Some(until) });
    assert_eq!(refusals(&world), 1, "no more tries");
    assert_eq!(world.relay.requests("privacy"), before, "and no tokens");
    let told = world.event(ann, |event| match event {
        Event::RestrictionChanged { restriction } => Some(restriction.clone()),
        _ => None,
    });
    assert_eq!(
        told.flatten().map(|restriction| (restriction.kind, restriction.until)),
        Some(("DEFAULT".into(), Some(until)))
    );

    // Known by now: the next refusal needs no question.
    let asked = world.relay.requests("w:mex");
    let report = said(&mut world, ann, &to_bob, "again");
    assert_eq!(report.result, SendResult::Restricted { until: Some(until) });
    assert_eq!((refusals(&world), world.relay.requests("w:mex")), (2, asked));

    world.crash(ann);
    assert_eq!(world.hosts[ann.0].client.restriction().and_then(|known| known.until), Some(until), "it survives");
    world.connect(ann);
    world.pass_until(60_000, |world| world.hosts[ann.0].client.is_connected());
    world.pass_ms(3_700_000);
    assert_eq!(world.hosts[ann.0].client.restriction(), None, "its time is over");
    assert!(said(&mut world, ann, &to_bob, "at last").is_sent());
    assert_eq!(world.texts(bob), ["at last"]);
}

#[test]
fn a_restriction_that_the_server_tells_of_is_kept_until_it_is_lifted() {
    let (mut world, ann, bob) = pair(106);
    let (own, to_bob) = (world.pn(ann), world.pn(bob));
    let until = world.now.unix_seconds() + 3_600;
    let now = world.now;
    assert!(world.relay.restrict(now, &own, Some(until), true));
    world.settle();
    assert_eq!(world.hosts[ann.0].client.restriction().and_then(|known| known.until), Some(until));
    let report = said(&mut world, ann, &to_bob, "hello");
    assert_eq!(report.result, SendResult::Restricted { until: Some(until) });
    assert_eq!((refusals(&world), world.relay.requests("w:mex")), (1, 0));
    assert!(world.relay.restrict(now, &own, None, true));
    world.settle();
    assert_eq!(world.hosts[ann.0].client.restriction(), None);
    assert!(said(&mut world, ann, &to_bob, "hello").is_sent());
}

#[test]
fn a_restricted_account_goes_on_with_chats_that_it_has() {
    let (mut world, ann, bob) = pair(107);
    let (own, to_bob) = (world.pn(ann), world.pn(bob));
    said(&mut world, ann, &to_bob, "before");
    let now = world.now;
    assert!(world.relay.restrict(now, &own, Some(world.now.unix_seconds() + 3_600), true));
    world.settle();
    assert!(said(&mut world, ann, &to_bob, "still").is_sent());
}

#[test]
fn a_crash_between_the_two_tries_neither_loses_the_send_nor_repeats_it_for_ever() {
    for outputs in 0.. {
        let (mut world, ann, bob) = pair(108);
        let to_bob = world.pn(bob);
        assert!(world.relay.demand_tokens(&to_bob, true));
        world.send(ann, &to_bob, "hello?");
        let ended = world.settle_until(ann, outputs).is_none();
        world.crash(ann);
        world.connect(ann);
        world.pass_ms(60_000);
        assert!(refusals(&world) <= 3, "after {outputs} outputs: {}", refusals(&world));
        let results: Vec<SendResult> = world.hosts[ann.0]
            .events
            .iter()
            .filter_map(|envelope| match &envelope.event {
                Event::SendFinished(report) => Some(report.result),
                _ => None,
            })
            .collect();
        assert!(results.iter().all(|result| *result == SendResult::TokenMissing), "{outputs}: {results:?}");
        if ended {
            assert!(!results.is_empty() && outputs > 10);
            break;
        }
    }
}

#[test]
fn a_refused_send_asks_once_however_long_the_server_is_in_trouble() {
    let (mut world, ann, bob) = pair(109);
    let to_bob = world.pn(bob);
    said(&mut world, ann, &to_bob, "before");
    let count = |world: &World| ["privacy", "w:mex", "usync"].map(|xmlns| world.relay.requests(xmlns));
    let before = count(&world);
    world.relay.demand_tokens(&to_bob, true);
    world.relay.faults().break_requests("w:mex", 1, RequestFault::Delay(2_000));
    world.relay.faults().break_requests("usync", u32::MAX, RequestFault::Error(503));
    world.send(ann, &to_bob, "hello?");
    world.settle();
    assert_eq!(refusals(&world), 1);
    // While it finds out why, the list that it needs goes out of date.
    let own = world.hosts[ann.0].client.identity().unwrap().jid;
    let device = Node::new("device").with("jid", to_bob.clone().with_device(9));
    let change = Node::new("notification").with("from", to_bob.clone()).with("id", "CHANGE").with("type", "devices");
    let change =
        change.with("t", "1790000000").with_child(Node::new("add").with("device_hash", "2:ab").with_child(device));
    assert!(world.relay.inject(world.now, &own, change));
    world.pass_ms(3_600_000);
    let asked: Vec<u64> = count(&world).iter().zip(before).map(|(after, before)| after - before).collect();
    assert_eq!(asked[..2], [1, 1], "the reason is asked for once");
    assert!((5..=20).contains(&asked[2]), "{asked:?}");
    world.relay.faults().clear();
    world.pass_ms(400_000);
    assert_eq!(refusals(&world), 2);
}

#[test]
fn a_contact_to_whom_no_token_can_be_brought_is_not_tried_with_every_message() {
    for code in [400, 503] {
        let (mut world, ann, bob) = pair(110);
        let to_bob = world.pn(bob);
        world.relay.faults().break_requests("privacy", u32::MAX, RequestFault::Error(code));
        let before = world.relay.requests("privacy");
        for number in 0..60 {
            assert!(said(&mut world, ann, &to_bob, &number.to_string()).is_sent());
            world.pass_ms(60_000);
        }
        let asked = world.relay.requests("privacy") - before;
        assert!((2..=7).contains(&asked), "{asked} requests in an hour");
        world.relay.faults().clear();
        world.pass_ms(6 * 3_600_000);
        said(&mut world, ann, &to_bob, "once more");
        assert!(world.relay.holds_token(&to_bob, &world.pn(ann)));
    }
}
