use bytes::Bytes;
use whatsio_core::api::{Config, Event, Input, LoadId, Misuse, Output, ProtocolProfile, Record, Space};
use whatsio_tests::world::World;

fn config(world: &World) -> Config {
    let mut profile = ProtocolProfile::default();
    profile.root_key = world.relay.root_key();
    let mut config = Config::default();
    config.profile = profile;
    config
}

#[test]
fn a_tiny_cache_only_costs_loads() {
    let mut world = World::new(40);
    let mut small = config(&world);
    small.limits.cache_bytes = 1;
    let ann = world.add_with(small);
    world.link(ann, None);
    let bob = world.add_linked(None);
    for number in 0..20 {
        world.send(ann, &world.pn(bob), &number.to_string());
        world.send(bob, &world.pn(ann), &number.to_string());
        world.settle();
    }
    assert_eq!(world.texts(bob).len(), 20);
    assert_eq!(world.texts(ann).len(), 20);
}

#[test]
fn trimming_drops_what_is_durable_and_the_next_message_loads_it_again() {
    let mut world = World::new(41);
    let ann = world.add_linked(None);
    let bob = world.add_linked(None);
    world.send(ann, &world.pn(bob), "one");
    world.settle();
    let before = world.hosts[bob.0].client.cached_bytes();
    world.host(bob).client.trim(0);
    assert!(world.hosts[bob.0].client.cached_bytes() < before);
    world.send(ann, &world.pn(bob), "two");
    world.settle();
    assert_eq!(world.texts(bob), ["one", "two"]);
}

#[test]
fn a_damaged_record_is_set_aside_and_does_not_stop_the_account() {
    let mut world = World::new(42);
    let ann = world.add_linked(None);
    let bob = world.add_linked(None);
    world.send(ann, &world.pn(bob), "one");
    world.settle();
    for (key, record) in &mut world.hosts[bob.0].store {
        if key.space == Space::Session {
            *record = Record(Bytes::from_static(b"\xffgarbage"));
        }
    }
    world.crash(bob);
    world.connect(bob);
    world.send(ann, &world.pn(bob), "two");
    world.pass_until(60_000, |world| world.texts(bob).len() >= 2);
    assert_eq!(world.texts(bob), ["one", "two"], "asked for again with fresh keys");
    let set_aside = world.event(bob, |event| match event {
        Event::RecordQuarantined { space } => Some(*space),
        _ => None,
    });
    assert_eq!(set_aside, Some(Space::Session));
    assert!(world.hosts[bob.0].store.keys().any(|key| key.space == Space::Quarantine));
}

#[test]
fn a_slow_application_makes_the_socket_wait_and_gets_everything_in_the_end() {
    let mut world = World::new(43);
    let ann = world.add_linked(None);
    let mut slow = config(&world);
    slow.limits.inbox_events = 5;
    let bob = world.add_with(slow);
    world.link(bob, None);
    world.host(bob).manners.ignore_events = true;
    for number in 0..30 {
        world.send(ann, &world.pn(bob), &number.to_string());
    }
    world.settle();
    assert!(!world.hosts[bob.0].client.wants_frames());
    assert!(world.texts(bob).len() <= 6, "{}", world.texts(bob).len());
    // Silence while nobody reads is no fault.
    world.pass_ms(600_000);
    world.host(bob).manners.ignore_events = false;
    let now = world.now;
    let waiting: Vec<_> =
        world.hosts[bob.0].events.iter().filter(|event| event.durable).map(|event| event.id).collect();
    for id in waiting {
        let _ = world.host(bob).client.handle(now, Input::Handled(id));
    }
    world.pass_until(600_000, |world| world.texts(bob).len() >= 30);
    let expected: Vec<String> = (0..30).map(|number| number.to_string()).collect();
    assert_eq!(world.texts(bob), expected);
}

#[test]
fn a_load_that_fails_is_asked_again_after_a_pause() {
    let mut world = World::new(44);
    let ann = world.add_linked(None);
    let bob = world.add_linked(None);
    world.send(ann, &world.pn(bob), "one");
    world.settle();
    world.host(ann).client.trim(0);
    let now = world.now;
    world.send(ann, &world.pn(bob), "two");
    let first = loop {
        match world.host(ann).client.poll() {
            Some(Output::Load(request)) => break request,
            Some(_) => {}
            None => panic!("nothing was loaded"),
        }
    };
    world.host(ann).client.handle(now, Input::LoadFailed(first.id)).unwrap();
    world.pass_until(60_000, |world| world.texts(bob).len() >= 2);
    assert_eq!(world.texts(bob), ["one", "two"]);
}

#[test]
fn answers_to_questions_never_asked_are_misuse_and_change_nothing() {
    let mut world = World::new(45);
    let ann = world.add_linked(None);
    let now = world.now;
    let client = &mut world.host(ann).client;
    assert!(matches!(client.handle(now, Input::Loaded(LoadId(999), vec![])), Err(Misuse::UnknownId(_))));
    assert!(matches!(
        client.handle(now, Input::Committed(whatsio_core::api::CommitId(999))),
        Err(Misuse::UnknownId(_))
    ));
    assert!(matches!(client.handle(now, Input::Opened), Err(Misuse::WrongState(_))));
    assert!(client.is_connected());
}

#[test]
fn one_event_that_is_never_handled_does_not_make_a_restart_read_all_that_came_since() {
    let mut world = World::new(44);
    let (ann, bob) = (world.add_linked(None), world.add_linked(None));
    world.host(bob).manners.ignore_events = true;
    world.send(ann, &world.pn(bob), "left");
    world.settle();
    let left = world.hosts[bob.0].events.last().map(|envelope| envelope.id).unwrap();
    world.host(bob).manners.ignore_events = false;
    for number in 0..700 {
        world.send(ann, &world.pn(bob), &number.to_string());
        world.settle();
    }
    let before = world.hosts[bob.0].events.len();
    world.crash(bob);
    let loads = world.hosts[bob.0].loads;
    world.settle();
    let came: Vec<_> = world.hosts[bob.0].events[before..].iter().map(|envelope| envelope.id).collect();
    assert_eq!(came, [left]);
    assert!(world.hosts[bob.0].loads - loads <= 6, "{} loads", world.hosts[bob.0].loads - loads);
}
