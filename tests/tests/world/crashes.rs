use std::collections::BTreeSet;
use whatsio_core::api::{CommitError, Event, FaultReason, Misuse, Output, Recommendation, Space};
use whatsio_tests::world::{Name, World};

fn pair(seed: u8) -> (World, Name, Name) {
    let mut world = World::new(seed);
    let ann = world.add_linked(None);
    let bob = world.add_linked(None);
    (world, ann, bob)
}

/// Texts by event id: an application that de-duplicates by id sees each event once.
fn distinct_texts(world: &World, name: Name) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let events = world.hosts[name.0].events.iter().filter(|envelope| seen.insert(envelope.id));
    let texts = events.filter_map(|envelope| match &envelope.event {
        Event::MessageReceived(message) => whatsio_tests::world::text_in(&message.content),
        _ => None,
    });
    texts.collect()
}

#[test]
fn nothing_is_acknowledged_before_it_is_durable_and_a_crash_in_between_loses_nothing() {
    let (mut world, ann, bob) = pair(30);
    world.send(ann, &world.pn(bob), "warm up");
    world.settle();
    world.host(bob).manners.hold_commits = true;
    world.send(ann, &world.pn(bob), "precious");
    world.settle();
    assert!(world.held_commits(bob) > 0);
    assert_eq!(world.texts(bob), ["warm up"], "an event waits for its commit, too");
    world.crash(bob);
    world.host(bob).manners.hold_commits = false;
    world.connect(bob);
    world.pass_until(60_000, |world| world.texts(bob).len() >= 2);
    assert_eq!(distinct_texts(&world, bob), ["warm up", "precious"]);
}

#[test]
fn an_event_that_was_not_handled_comes_again_after_a_crash_under_the_same_id() {
    let (mut world, ann, bob) = pair(31);
    world.host(bob).manners.ignore_events = true;
    world.send(ann, &world.pn(bob), "unhandled");
    world.settle();
    assert_eq!(world.texts(bob), ["unhandled"]);
    world.crash(bob);
    world.connect(bob);
    world.pass_ms(5_000);
    assert_eq!(world.texts(bob), ["unhandled", "unhandled"]);
    assert_eq!(distinct_texts(&world, bob), ["unhandled"]);
}

#[test]
fn an_accepted_send_survives_a_crash_under_its_id_and_is_delivered_once() {
    let (mut world, ann, bob) = pair(32);
    world.send(ann, &world.pn(bob), "first");
    world.settle();
    world.disconnect(ann);
    let id = world.send(ann, &world.pn(bob), "second");
    world.settle();
    world.crash(ann);
    world.connect(ann);
    world.pass_until(60_000, |world| world.texts(bob).len() >= 2);
    assert_eq!(world.texts(bob), ["first", "second"]);
    let reported = world.hosts[ann.0].events.iter().any(|envelope| match &envelope.event {
        Event::SendFinished(report) => report.id == id && report.is_sent() && report.op.is_none(),
        _ => false,
    });
    assert!(reported);
}

#[test]
fn a_crash_after_every_commit_of_a_conversation_loses_and_doubles_nothing() {
    // Enumerates the moment of the crash: after the n-th message, both sides in turn.
    for moment in 0..12_u8 {
        let (mut world, ann, bob) = pair(100 + moment);
        let mut expected = Vec::new();
        for number in 0..12 {
            let text = format!("m{number}");
            world.send(ann, &world.pn(bob), &text);
            expected.push(text);
            if number == moment {
                // In the middle of the send: whatever was polled so far is all that happened.
                let victim = if moment % 2 == 0 { ann } else { bob };
                if victim == ann {
                    world.host(ann).manners.hold_commits = true;
                    world.settle();
                    world.answer_commits(ann, Ok(()));
                }
                world.crash(victim);
                world.host(victim).manners.hold_commits = false;
                world.connect(victim);
            }
            world.pass_ms(2_000);
        }
        world.pass_until(300_000, |world| distinct_texts(world, bob).len() >= expected.len());
        assert_eq!(distinct_texts(&world, bob), expected, "crash at {moment}");
    }
}

#[test]
fn a_connection_cut_in_the_middle_of_a_send_delivers_it_once() {
    let (mut world, ann, bob) = pair(33);
    world.send(ann, &world.pn(bob), "before");
    world.settle();
    world.host(ann).manners.hold_commits = true;
    world.send(ann, &world.pn(bob), "during");
    world.settle();
    world.cut(ann);
    world.answer_commits(ann, Ok(()));
    world.host(ann).manners.hold_commits = false;
    world.pass_until(120_000, |world| world.texts(bob).len() >= 2);
    world.pass_ms(5_000);
    assert_eq!(world.texts(bob), ["before", "during"]);
}

#[test]
fn a_busy_store_delays_and_loses_nothing() {
    let (mut world, ann, bob) = pair(34);
    world.host(bob).manners.hold_commits = true;
    world.send(ann, &world.pn(bob), "patience");
    world.settle();
    for _ in 0..5 {
        world.answer_commits(bob, Err(CommitError::Retry));
        world.settle();
        assert!(world.texts(bob).is_empty());
        world.pass_ms(6_000);
    }
    world.host(bob).manners.hold_commits = false;
    world.answer_commits(bob, Ok(()));
    world.pass_ms(10_000);
    assert_eq!(world.texts(bob), ["patience"]);
}

#[test]
fn a_store_that_cannot_write_faults_the_client_and_a_restore_goes_on_where_it_was() {
    let (mut world, ann, bob) = pair(35);
    world.host(bob).manners.hold_commits = true;
    world.send(ann, &world.pn(bob), "kept by the server");
    world.settle();
    world.answer_commits(bob, Err(CommitError::Fatal));
    world.settle();
    let fault = world.event(bob, |event| match event {
        Event::Faulted(reason) => Some(*reason),
        _ => None,
    });
    assert_eq!(fault, Some(FaultReason::StoreFailed));
    let now = world.now;
    assert_eq!(world.host(bob).client.connect(now), Err(Misuse::Faulted));
    world.host(bob).manners.hold_commits = false;
    world.crash(bob);
    world.connect(bob);
    world.pass_until(60_000, |world| !world.texts(bob).is_empty());
    assert_eq!(world.texts(bob), ["kept by the server"]);
}

#[test]
fn whoever_restores_an_account_fences_off_whoever_had_it() {
    let (mut world, ann, bob) = pair(36);
    // The store has seen a commit of a later life.
    let later = {
        let store = world.hosts[ann.0].store.clone();
        let later = world.add();
        world.host(later).store = store;
        world.crash(later);
        world.settle();
        later
    };
    let claimed = world.hosts[later.0].epoch();
    world.host(ann).see_epoch(claimed);
    world.send(ann, &world.pn(bob), "from the past");
    world.settle();
    let fault = world.event(ann, |event| match event {
        Event::Faulted(reason) => Some(*reason),
        _ => None,
    });
    assert_eq!(fault, Some(FaultReason::Fenced));
    assert!(world.texts(bob).is_empty(), "what could not be made durable never left");
}

#[test]
fn a_takeover_reads_again_what_was_written_after_its_first_look() {
    let (mut world, ann, bob) = pair(37);
    let first_look = world.hosts[bob.0].store.clone();
    world.send(ann, &world.pn(bob), "one");
    world.settle();
    world.crash_with(bob, &first_look);
    world.connect(bob);
    world.send(ann, &world.pn(bob), "two");
    world.pass_ms(5_000);
    assert_eq!(distinct_texts(&world, bob), ["one", "two"], "no event id is used twice");
}

/// What happens to a client after so many of its outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    Crash,
    Cut,
}

/// Sends one message from Ann to Bob and strikes `victim` after every number of outputs there can be.
fn strike_everywhere(seed: u8, victim_is_sender: bool, blow: Blow) {
    for outputs in 0..100 {
        let (mut world, ann, bob) = pair(seed);
        world.send(ann, &world.pn(bob), "before");
        world.settle();
        let victim = if victim_is_sender { ann } else { bob };
        world.send(ann, &world.pn(bob), "during");
        let struck = world.settle_until(victim, outputs);
        let is_over = struck.is_none();
        let outbox = world.hosts[ann.0].store.keys().filter(|key| key.space == Space::Outbox).count();
        match blow {
            Blow::Crash => {
                world.crash(victim);
                world.connect(victim);
            }
            Blow::Cut => cut(&mut world, victim, struck),
        }
        world.pass_ms(10_000);
        world.send(ann, &world.pn(bob), "after");
        world.send(bob, &world.pn(ann), "answer");
        world.pass_ms(10_000);
        let at = format!("{blow:?} after {outputs} outputs");
        // A send that was accepted a moment before its process died was never durable.
        let expected =
            if blow == Blow::Crash && outbox < 2 { vec!["before", "after"] } else { vec!["before", "during", "after"] };
        assert_eq!(distinct_texts(&world, bob), expected, "{at}");
        assert_eq!(distinct_texts(&world, ann), ["answer"], "{at}");
        let undecryptable =
            |envelope: &whatsio_core::api::Envelope| matches!(envelope.event, Event::MessageUndecryptable(_));
        assert!(!world.hosts[bob.0].events.iter().any(undecryptable), "{at}");
        let ends = world.hosts[ann.0].events.iter().filter_map(|envelope| match &envelope.event {
            Event::SendFinished(report) => Some((envelope.id, report.id.clone(), report.is_sent())),
            _ => None,
        });
        let ends: BTreeSet<_> = ends.collect();
        assert_eq!(ends.len(), expected.len(), "one end for each send, {at}");
        assert!(ends.iter().all(|(_, _, sent)| *sent), "{at}");
        if is_over {
            assert!(outputs > 3, "the scenario has {outputs} outputs only");
            return;
        }
    }
    panic!("the scenario never ends");
}

/// The connection is gone, but the process goes on with what it was about to do.
fn cut(world: &mut World, victim: Name, pending: Option<Output>) {
    world.cut(victim);
    if let Some(output) = pending {
        world.carry_out(victim, output);
    }
}

#[test]
fn a_crash_of_the_sender_after_any_output_loses_and_doubles_nothing() {
    strike_everywhere(50, true, Blow::Crash);
}

#[test]
fn a_crash_of_the_receiver_after_any_output_loses_and_doubles_nothing() {
    strike_everywhere(51, false, Blow::Crash);
}

#[test]
fn a_cut_of_the_sender_after_any_output_loses_and_doubles_nothing() {
    strike_everywhere(52, true, Blow::Cut);
}

#[test]
fn a_cut_of_the_receiver_after_any_output_loses_and_doubles_nothing() {
    strike_everywhere(53, false, Blow::Cut);
}

#[test]
fn a_blow_after_any_output_of_linking_leaves_a_client_that_can_link() {
    for blow in [Blow::Crash, Blow::Cut] {
        for outputs in 0..100 {
            let mut world = World::new(54);
            let ann = world.add();
            world.connect(ann);
            let text = world.event(ann, |event| match event {
                Event::QrShown { text, .. } => Some(text.clone()),
                _ => None,
            });
            world.relay.scan_qr(world.now, None, &text.unwrap()).unwrap();
            let struck = world.settle_until(ann, outputs);
            let is_over = struck.is_none();
            match blow {
                Blow::Crash => world.crash(ann),
                Blow::Cut => cut(&mut world, ann, struck),
            }
            world.hosts[ann.0].events.clear();
            world.connect(ann);
            world.pass_ms(5_000);
            // The phone's answer was durable, but the server never heard so: it does not know this device.
            let link_again = |event: &Event| match event {
                Event::Disconnected(disconnect) => {
                    (disconnect.recommendation == Recommendation::LinkAgain).then_some(())
                }
                _ => None,
            };
            if world.event(ann, link_again).is_some() {
                world.connect(ann);
            }
            if !world.hosts[ann.0].client.is_connected() {
                let text = world.event(ann, |event| match event {
                    Event::QrShown { text, .. } => Some(text.clone()),
                    _ => None,
                });
                let text = text.unwrap_or_else(|| panic!("stuck: {blow:?} after {outputs} outputs"));
                world.relay.scan_qr(world.now, None, &text).unwrap();
                world.settle();
                world.pass_ms(5_000);
            }
            assert!(
                world.hosts[ann.0].client.is_connected(),
                "{blow:?} after {outputs} outputs: {:?}",
                world.hosts[ann.0].events
            );
            if is_over {
                break;
            }
        }
    }
}

#[test]
fn a_message_asked_for_again_comes_once_wherever_the_connection_is_cut() {
    for outputs in 0..60 {
        let (mut world, ann, bob) = pair(55);
        world.send(ann, &world.pn(bob), "before");
        world.settle();
        // Bob's process comes back without its sessions: what Ann sends next cannot be read.
        for (key, record) in &mut world.hosts[bob.0].store {
            if key.space == Space::Session {
                *record = whatsio_core::api::Record(bytes::Bytes::from_static(b"\xffgarbage"));
            }
        }
        world.crash(bob);
        world.connect(bob);
        world.send(ann, &world.pn(bob), "during");
        let struck = world.settle_until(bob, outputs);
        let is_over = struck.is_none();
        cut(&mut world, bob, struck);
        world.pass_ms(60_000);
        assert_eq!(distinct_texts(&world, bob), ["before", "during"], "cut after {outputs} outputs");
        if is_over {
            assert!(outputs > 6, "the scenario has {outputs} outputs only");
            return;
        }
    }
    panic!("the scenario never ends");
}
