//! What is kept of sends: bounded, also when one of them never ends.

use whatsio_core::api::{Config, Event, MessageId, ProtocolProfile, Space};
use whatsio_core::types::Jid;
use whatsio_tests::puppet::Puppet;
use whatsio_tests::world::{Name, World, text_in};

const KEPT: usize = 10;
const REMEMBERED: usize = 5;

/// Ann, who keeps little; Bob, of whom one companion is played by the test.
fn thrifty(seed: u8) -> (World, Name, Name, Puppet) {
    let mut world = World::new(seed);
    let mut config = Config::default();
    config.profile = ProtocolProfile::default();
    config.profile.root_key = world.relay.root_key();
    config.limits.outbox_kept = KEPT;
    config.limits.outbox_remembered = REMEMBERED;
    let ann = world.add_with(config);
    world.link(ann, None);
    let bob = world.add_linked(None);
    let account = world.pn(bob);
    let puppet = Puppet::planted(&mut world, &account, seed);
    world.settle();
    (world, ann, bob, puppet)
}

fn records(world: &World, name: Name, space: Space) -> usize {
    world.hosts[name.0].store.keys().filter(|key| key.space == space).count()
}

/// Entries, and what is counted beside them.
fn assert_bounded(world: &World, name: Name) {
    let most = KEPT + REMEMBERED + 4;
    for space in [Space::Outbox, Space::OutboxId] {
        let found = records(world, name, space);
        assert!(found <= most, "{found} records of {space:?}");
    }
}

fn ends(world: &World, name: Name, id: &MessageId) -> usize {
    let events = world.hosts[name.0].events.iter();
    events.filter(|envelope| matches!(&envelope.event, Event::SendFinished(report) if report.id == *id)).count()
}

fn send_many(world: &mut World, from: Name, to: &Jid, texts: std::ops::Range<usize>) -> Vec<String> {
    let texts: Vec<String> = texts.map(|number| number.to_string()).collect();
    for text in &texts {
        world.send(from, to, text);
        world.settle();
    }
    texts
}

/// What a puppet reads of its mail, by message id.
fn read(world: &mut World, puppet: &mut Puppet, id: &MessageId) -> Vec<Option<String>> {
    let mail = puppet.mail(world).into_iter();
    let of_id = mail.filter(|mail| mail.node.tag == "message" && mail.node.text("id").as_deref() == Some(id.as_str()));
    of_id.map(|mail| mail.content.as_ref().and_then(text_in)).collect()
}

#[test]
fn a_send_that_does_not_end_keeps_no_others_and_still_ends_once_after_a_restart() {
    let (mut world, ann, bob, mut puppet) = thrifty(140);
    let (to, from) = (world.pn(bob), world.hosts[ann.0].client.identity().expect("linked").jid);
    world.relay.faults().drop_message_acks(1);
    let stuck = world.send(ann, &to, "stuck");
    world.settle();
    let first = send_many(&mut world, ann, &to, 0..3 * KEPT);
    assert_bounded(&world, ann);
    assert_eq!(ends(&world, ann, &stuck), 0);
    assert_eq!(read(&mut world, &mut puppet, &stuck), [Some("stuck".into())]);

    world.crash(ann);
    world.connect(ann);
    world.pass_until(60_000, |world| ends(world, ann, &stuck) == 1);
    world.pass_ms(60_000);
    assert_eq!(ends(&world, ann, &stuck), 1);
    assert_eq!(world.texts(bob), [vec!["stuck".to_owned()], first.clone()].concat());
    // It ended just now: whoever could not read it has time to say so, and it is sent again.
    read(&mut world, &mut puppet, &stuck);
    puppet.ask_again(&mut world, &from, stuck.as_str(), 1, true);
    world.settle();
    assert_eq!(read(&mut world, &mut puppet, &stuck), [Some("stuck".into())]);

    let second = send_many(&mut world, ann, &to, 100..100 + 3 * KEPT);
    assert_bounded(&world, ann);
    assert_eq!(world.texts(bob), [vec!["stuck".to_owned()], first, second].concat());
    puppet.ask_again(&mut world, &from, stuck.as_str(), 2, true);
    world.settle();
    assert_eq!(read(&mut world, &mut puppet, &stuck), [], "its time is over like that of any other");
}

#[test]
fn sends_that_wait_for_a_connection_push_out_nothing_that_was_sent() {
    let (mut world, ann, bob, mut puppet) = thrifty(141);
    let (to, from) = (world.pn(bob), world.hosts[ann.0].client.identity().expect("linked").jid);
    let sent = world.send(ann, &to, "sent");
    world.settle();
    assert_eq!(read(&mut world, &mut puppet, &sent), [Some("sent".into())]);
    world.disconnect(ann);
    send_many(&mut world, ann, &to, 0..2 * KEPT);
    world.crash(ann);
    puppet.ask_again(&mut world, &from, sent.as_str(), 1, true);
    world.connect(ann);
    world.pass_ms(5_000);
    assert_eq!(read(&mut world, &mut puppet, &sent), [Some("sent".into())]);
    assert_eq!(world.texts(bob).len(), 1 + 2 * KEPT);
}
