//! A store that fails once, wherever it can, while messages flow both ways.

use std::collections::BTreeSet;
use whatsio_core::api::{CommitError, Event, MessageId};
use whatsio_core::relay::RelayEvent;
use whatsio_core::types::Jid;
use whatsio_tests::world::{Name, World, text_content, text_in};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Busy,
    Full,
    Unreadable,
}

/// Messages seen, by event id: what an application that de-duplicates by id makes of them.
fn messages(world: &World, name: Name) -> Vec<(MessageId, String)> {
    let mut seen = BTreeSet::new();
    let events = world.hosts[name.0].events.iter().filter(|envelope| seen.insert(envelope.id));
    let texts = events.filter_map(|envelope| match &envelope.event {
        Event::MessageReceived(message) => Some((message.id.clone(), text_in(&message.content)?)),
        _ => None,
    });
    texts.collect()
}

fn texts(world: &World, name: Name) -> Vec<String> {
    messages(world, name).into_iter().map(|(_, text)| text).collect()
}

/// A receipt never overtakes the commit of its message, which the event waits for as well.
fn assert_receipts_follow_commits(world: &World, names: &[Name]) {
    let shown: BTreeSet<String> =
        names.iter().flat_map(|name| messages(world, *name)).map(|(id, _)| id.as_str().to_owned()).collect();
    let clients: Vec<Jid> =
        names.iter().map(|name| world.hosts[name.0].client.identity().expect("linked").jid).collect();
    for event in &world.told {
        if let RelayEvent::Answered { by, id, how, error: None } = event
            && clients.contains(by)
            && how != "retry"
            && how != "ack"
        {
            assert!(shown.contains(id), "{by} confirmed {id} by {how} before it was kept");
        }
    }
}

fn is_faulted(world: &World, name: Name, since: usize) -> bool {
    world.hosts[name.0].events[since..].iter().any(|envelope| matches!(envelope.event, Event::Faulted(_)))
}

/// Ann and Bob write to each other, round after round; in the n-th, the n-th commit (or load) of `victim` fails.
fn fail_everywhere(seed: u8, victim_is_ann: bool, fault: Fault) {
    let mut world = World::new(seed);
    let (ann, bob) = (world.add_linked(None), world.add_linked(None));
    let victim = if victim_is_ann { ann } else { bob };
    let (to_bob, to_ann) = (world.pn(bob), world.pn(ann));
    let (mut for_bob, mut for_ann) = (Vec::new(), Vec::new());
    for position in 0..100 {
        if fault == Fault::Unreadable {
            world.host(victim).client.trim(0);
            world.host(victim).manners.refuse_load = Some(position);
        } else {
            let error = if fault == Fault::Busy { CommitError::Retry } else { CommitError::Fatal };
            world.host(victim).manners.refuse_commit = Some((position, error));
        }
        let since = world.hosts[victim.0].events.len();
        let mut sent = Vec::new();
        for number in 0..2 {
            for (from, to, list) in [(ann, &to_bob, &mut for_bob), (bob, &to_ann, &mut for_ann)] {
                let text = format!("{position}.{number}");
                let id = world.send(from, to, &text);
                sent.push((from, to, id, text.clone()));
                list.push(text);
            }
        }
        for _ in 0..200 {
            world.settle();
            assert_receipts_follow_commits(&world, &[ann, bob]);
            if is_faulted(&world, victim, since) && !world.hosts[victim.0].client.is_connected() {
                break;
            }
            if texts(&world, bob).len() == for_bob.len() && texts(&world, ann).len() == for_ann.len() {
                break;
            }
            world.pass(1_000);
        }
        if is_faulted(&world, victim, since) {
            assert_eq!(fault, Fault::Full, "only what cannot be written ends a client");
            world.crash(victim);
            world.connect(victim);
            // What was never said to be queued is given again under the same id, as an application does.
            let now = world.clock(victim);
            for (_, to, id, text) in sent.into_iter().filter(|(from, ..)| *from == victim) {
                world.host(victim).client.send_message(now, to, text_content(&text), Some(id)).unwrap();
            }
        }
        world.pass_ms(3_000);
        assert_receipts_follow_commits(&world, &[ann, bob]);
        let manners = &mut world.host(victim).manners;
        let is_over = manners.refuse_commit.take().is_some() | manners.refuse_load.take().is_some();
        let at = format!("{fault:?} at {position}");
        for (name, expected) in [(bob, &for_bob), (ann, &for_ann)] {
            let mut shown = texts(&world, name);
            // Sends that were not durable are sent again after those that were.
            shown.sort();
            let mut expected = expected.clone();
            expected.sort();
            assert_eq!(shown, expected, "{at}");
        }
        if is_over {
            assert!(position > 3, "a round has {position} positions only");
            return;
        }
    }
    panic!("the rounds never end");
}

#[test]
fn a_store_that_is_busy_at_any_commit_loses_and_doubles_nothing() {
    fail_everywhere(60, true, Fault::Busy);
    fail_everywhere(61, false, Fault::Busy);
}

#[test]
fn a_store_that_is_full_at_any_commit_loses_and_doubles_nothing() {
    fail_everywhere(62, true, Fault::Full);
    fail_everywhere(63, false, Fault::Full);
}

#[test]
fn a_store_that_cannot_be_read_at_any_load_loses_and_doubles_nothing() {
    fail_everywhere(64, true, Fault::Unreadable);
    fail_everywhere(65, false, Fault::Unreadable);
}
