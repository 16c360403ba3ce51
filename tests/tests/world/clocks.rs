//! Wall clocks that jump: nothing is lost, and nothing stops until the wrong time has come.

use whatsio_core::api::{Event, Space};
use whatsio_core::binary::Node;
use whatsio_core::relay::RelayEvent;
use whatsio_core::types::Jid;
use whatsio_tests::world::{Name, World};

const DAY: i64 = 24 * 3_600_000;
const YEAR: i64 = 365 * DAY;

fn pair(seed: u8) -> (World, Name, Name) {
    let mut world = World::new(seed);
    let (ann, bob) = (world.add_linked(None), world.add_linked(None));
    (world, ann, bob)
}

fn count(world: &World, wanted: impl Fn(&RelayEvent) -> bool) -> usize {
    world.told.iter().filter(|event| wanted(event)).count()
}

fn uploads(world: &World) -> usize {
    count(world, |event| matches!(event, RelayEvent::KeysUploaded { .. }))
}

fn rotations(world: &World) -> usize {
    count(world, |event| matches!(event, RelayEvent::SignedKeyRotated { .. }))
}

fn prekeys(world: &World, name: Name) -> usize {
    world.hosts[name.0].store.keys().filter(|key| key.space == Space::PreKey).count()
}

fn say_few_are_left(world: &mut World, name: Name, number: usize) {
    let to = world.hosts[name.0].client.identity().unwrap().jid;
    let stanza = Node::new("notification")
        .with("from", Jid::server_itself())
        .with("id", format!("FEW{number}"))
        .with("type", "encrypt")
        .with("t", "1790000000")
        .with_child(Node::new("count").with("value", "0"));
    assert!(world.relay.inject(world.now, &to, stanza));
    world.settle();
}

#[test]
fn a_clock_that_jumps_in_the_middle_of_traffic_loses_and_doubles_nothing() {
    let (mut world, ann, bob) = pair(160);
    let (to_ann, to_bob) = (world.pn(ann), world.pn(bob));
    let mut expected = Vec::new();
    let (made, asked) = (prekeys(&world, bob), uploads(&world));
    let mut talk = |world: &mut World, what: String| {
        world.send(ann, &to_bob, &what);
        world.send(bob, &to_ann, &what);
        expected.push(what);
    };
    for (round, jump) in [DAY, -DAY, 10 * YEAR, -10 * YEAR].into_iter().enumerate() {
        talk(&mut world, format!("{round}: right"));
        // Messages are on their way when the clock jumps.
        world.host(bob).manners.skew_ms = jump;
        world.settle();
        talk(&mut world, format!("{round}: wrong"));
        world.pass_ms(120_000);
        // A device that was never met: a list of devices and a first message under the wrong time.
        world.disconnect(ann);
        talk(&mut world, format!("{round}: away"));
        world.settle();
        world.connect(ann);
        world.pass_ms(120_000);
        // A process that starts under the wrong time; years off, it cannot trust the server before the time is right.
        world.crash(bob);
        world.connect(bob);
        talk(&mut world, format!("{round}: restarted"));
        world.pass_ms(30_000);
        assert_eq!(world.hosts[bob.0].client.is_connected(), jump.abs() == DAY, "{jump}");
        world.host(bob).manners.skew_ms = 0;
        talk(&mut world, format!("{round}: right again"));
        world.pass_until(600_000, |world| world.hosts[bob.0].client.is_connected());
        world.pass_ms(120_000);
    }
    assert_eq!(world.texts(bob), expected);
    assert_eq!(world.texts(ann), expected);
    for name in [ann, bob] {
        let unread = world.event(name, |event| matches!(event, Event::MessageUndecryptable(_)).then_some(()));
        assert_eq!(unread, None);
        let reports = world.hosts[name.0].events.iter().filter_map(|envelope| match &envelope.event {
            Event::SendFinished(report) => Some(report.is_sent()),
            _ => None,
        });
        let reports: Vec<bool> = reports.collect();
        assert!(reports.iter().all(|sent| *sent) && reports.len() >= expected.len(), "{reports:?}");
    }
    assert_eq!(uploads(&world), asked, "no prekeys beyond need");
    assert!(prekeys(&world, bob) <= made + 8, "{} and {made}", prekeys(&world, bob));
    assert!(rotations(&world) <= 8, "{} rotations", rotations(&world));
}

#[test]
fn prekeys_are_uploaded_and_rotated_after_a_clock_that_ran_years_ahead_was_put_right() {
    let (mut world, _, bob) = pair(161);
    world.pass_ms(120_000);
    let before = uploads(&world);
    world.host(bob).manners.skew_ms = 10 * YEAR;
    world.pass_ms(1_000);
    say_few_are_left(&mut world, bob, 1);
    assert_eq!(uploads(&world), before + 1);
    world.host(bob).manners.skew_ms = 0;
    world.pass_ms(120_000);
    say_few_are_left(&mut world, bob, 2);
    assert_eq!(uploads(&world), before + 2, "not only in ten years");

    // A month ahead, the server is trusted still.
    let rotated = rotations(&world);
    world.host(bob).manners.skew_ms = 20 * DAY;
    world.cut(bob);
    world.pass_ms(60_000);
    assert_eq!(rotations(&world), rotated + 1, "three weeks are over, as far as anybody knows here");
    world.host(bob).manners.skew_ms = 0;
    for _ in 0..5 {
        world.cut(bob);
        world.pass_ms(60_000);
    }
    assert_eq!(rotations(&world), rotated + 2, "the new key's time lies in the future: once more, and not again");
}
