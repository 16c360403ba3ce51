use whatsio_core::api::{Event, Space};
use whatsio_core::binary::Node;
use whatsio_core::relay::{RelayEvent, RequestFault};
use whatsio_core::types::Jid;
use whatsio_tests::puppet::Puppet;
use whatsio_tests::world::{Name, World, text_content};

fn own(world: &World, name: Name) -> Jid {
    world.hosts[name.0].client.identity().unwrap().jid
}

fn prekeys(world: &World, name: Name) -> usize {
    world.hosts[name.0].store.keys().filter(|key| key.space == Space::PreKey).count()
}

fn uploads(world: &World) -> Vec<(usize, usize)> {
    let events = world.told.iter().filter_map(|event| match event {
        RelayEvent::KeysUploaded { count, replaced, .. } => Some((*count, *replaced)),
        _ => None,
    });
    events.collect()
}

fn say_few_are_left(world: &mut World, to: &Jid, number: usize) {
    let stanza = Node::new("notification")
        .with("from", Jid::server_itself())
        .with("id", format!("N{number}"))
        .with("type", "encrypt")
        .with("t", "1790000000")
        .with_child(Node::new("count").with("value", "0"));
    assert!(world.relay.inject(world.now, to, stanza));
}

#[test]
fn a_first_message_that_comes_three_times_even_over_a_restart_is_shown_once_and_acknowledged_three_times() {
    let mut world = World::new(110);
    let (ann, bob) = (world.add_linked(None), world.add_linked(None));
    let (to, other) = (own(&world, ann), world.pn(bob));
    let mut friend = Puppet::planted(&mut world, &other, 1);
    world.settle();
    let enc = friend.enc(&mut world, &to, &text_content("first"));
    let statement = Node::new("device-identity").with_bytes(friend.statement.clone().unwrap());
    let stanza = Node::new("message")
        .with("from", friend.jid.clone())
        .with("id", "ONE")
        .with("t", "1790000000")
        .with("type", "text")
        .with_child(enc)
        .with_child(statement);
    let before = prekeys(&world, ann);
    assert!(world.relay.inject(world.now, &to, stanza.clone()));
    world.settle();
    assert!(world.relay.inject(world.now, &to, stanza.clone()));
    world.settle();
    world.crash(ann);
    world.connect(ann);
    world.pass_ms(1_000);
    assert!(world.relay.inject(world.now, &to, stanza));
    world.settle();
    assert_eq!(world.texts(ann), ["first"]);
    let receipts = world.told.iter().filter(
        |event| matches!(event, RelayEvent::Answered { id, how, by, .. } if id == "ONE" && how != "retry" && *by == to),
    );
    assert_eq!(receipts.count(), 3);
    assert_eq!(prekeys(&world, ann), before, "the key waits for the end of its time");
    world.disconnect(ann);
    world.pass_ms(8 * 24 * 3_600_000);
    world.connect(ann);
    world.pass_ms(1_000);
    assert_eq!(prekeys(&world, ann), before - 1);
}

#[test]
fn a_used_prekey_makes_no_session_with_anybody_else() {
    let mut world = World::new(111);
    let (ann, bob) = (world.add_linked(None), world.add_linked(None));
    let (to, other) = (own(&world, ann), world.pn(bob));
    let mut friend = Puppet::planted(&mut world, &other, 1);
    let mut second = Puppet::planted(&mut world, &other, 2);
    world.settle();
    let bundle = world.relay.hand_out(world.now, &to);
    for (puppet, id) in [(&mut friend, "A"), (&mut second, "B")] {
        puppet.begin(&world, &to, &bundle);
        puppet.send(&mut world, &to, id, &text_content(id));
    }
    world.settle();
    assert_eq!(world.texts(ann), ["A"]);
    let lost = world.event(ann, |event| match event {
        Event::MessageUndecryptable(lost) => Some(lost.reason),
        _ => None,
    });
    assert_eq!(lost, Some(whatsio_core::api::UndecryptableReason::UnknownPreKey));
}

#[test]
fn a_server_that_always_says_that_few_are_left_does_not_make_the_table_grow() {
    let mut world = World::new(112);
    let ann = world.add_linked(None);
    let to = own(&world, ann);
    world.told.clear();
    for number in 0..10_000 {
        say_few_are_left(&mut world, &to, number);
        if number % 250 == 0 {
            // 40 pauses, most of them too short for another upload.
            world.pass_ms(if number % 1_000 == 0 { 61_000 } else { 2_000 });
        }
    }
    world.settle();
    let uploads = uploads(&world);
    assert!((8..=11).contains(&uploads.len()), "one at a time, and not at every word: {}", uploads.len());
    assert!(uploads.iter().all(|(count, _)| *count == 812));
    assert!(prekeys(&world, ann) <= 5 * 812, "{}", prekeys(&world, ann));
}

#[test]
fn requests_to_repeat_do_not_mint_keys_without_end() {
    let mut world = World::new(113);
    let (ann, bob) = (world.add_linked(None), world.add_linked(None));
    let (to, other) = (own(&world, ann), world.pn(bob));
    let friend = Puppet::planted(&mut world, &other, 1);
    world.settle();
    let before = prekeys(&world, ann);
    for number in 0..600 {
        let enc = Node::new("enc").with("v", "2").with("type", "msg").with_bytes(vec![0x33; 40]);
        let stanza = Node::new("message")
            .with("from", friend.jid.clone())
            .with("id", format!("G{number}"))
            .with("t", "1790000000")
            .with("type", "text")
            .with_child(enc);
        assert!(world.relay.inject(world.now, &to, stanza));
    }
    world.settle();
    assert!(prekeys(&world, ann) <= before + 256, "{}", prekeys(&world, ann) - before);
}

#[test]
fn no_number_is_ever_uploaded_with_two_keys_wherever_the_process_dies() {
    for outputs in 0..40 {
        let mut world = World::new(114);
        let ann = world.add_linked(None);
        let to = own(&world, ann);
        world.pass_ms(61_000);
        say_few_are_left(&mut world, &to, 0);
        let is_over = world.settle_until(ann, outputs).is_none();
        world.crash(ann);
        world.connect(ann);
        world.pass_ms(61_000);
        say_few_are_left(&mut world, &to, 1);
        world.pass_ms(5_000);
        let uploads = uploads(&world);
        assert!(uploads.len() >= 2, "after {outputs} outputs: {uploads:?}");
        assert!(uploads.iter().all(|(_, replaced)| *replaced == 0), "after {outputs} outputs: {uploads:?}");
        if is_over {
            assert!(outputs > 3, "the scenario has {outputs} outputs only");
            return;
        }
    }
    panic!("the scenario never ends");
}

#[test]
fn an_upload_that_is_not_answered_offers_the_same_keys_again() {
    let mut world = World::new(115);
    let ann = world.add_linked(None);
    let to = own(&world, ann);
    world.pass_ms(61_000);
    world.told.clear();
    // Taken, but the answer never comes.
    world.relay.faults().break_requests("encrypt", 1, RequestFault::Delay(10_000_000));
    say_few_are_left(&mut world, &to, 0);
    world.settle();
    let made = prekeys(&world, ann);
    world.cut(ann);
    world.pass_ms(120_000);
    say_few_are_left(&mut world, &to, 1);
    world.pass_ms(5_000);
    assert_eq!(uploads(&world), [(812, 0), (812, 0)]);
    assert_eq!(prekeys(&world, ann), made, "no new ones");
}

fn rotations(world: &World) -> Vec<u32> {
    let events = world.told.iter().filter_map(|event| match event {
        RelayEvent::SignedKeyRotated { id, .. } => Some(*id),
        _ => None,
    });
    events.collect()
}

/// Bob, who was away for a week, so that his signed prekey is due; and a friend who writes to him.
fn away_for_a_week(seed: u8, fault: RequestFault) -> (World, Name, Puppet) {
    let mut world = World::new(seed);
    let (ann, bob) = (world.add_linked(None), world.add_linked(None));
    let other = world.pn(ann);
    let friend = Puppet::planted(&mut world, &other, 1);
    world.disconnect(bob);
    world.disconnect(ann);
    world.pass_ms(8 * 24 * 3_600_000);
    world.told.clear();
    // The count and the rotation are both asked for at login.
    world.relay.faults().break_requests("encrypt", 2, fault);
    world.connect(bob);
    (world, bob, friend)
}

fn write_to(world: &mut World, friend: &mut Puppet, to: Name, text: &str) {
    let to = own(world, to);
    friend.forget(world, &to);
    friend.send(world, &to, text, &text_content(text));
    world.settle();
}

#[test]
fn a_rotation_that_is_refused_brings_another_key_at_the_next_login_and_first_messages_open_all_the_time() {
    let (mut world, bob, mut friend) = away_for_a_week(116, RequestFault::Error(409));
    world.settle();
    assert_eq!(rotations(&world), [0_u32; 0]);
    write_to(&mut world, &mut friend, bob, "under the old key");
    world.cut(bob);
    world.pass_ms(60_000);
    assert_eq!(rotations(&world), [3], "not the one that was refused");
    write_to(&mut world, &mut friend, bob, "under the new key");
    assert_eq!(world.texts(bob), ["under the old key", "under the new key"]);
    world.cut(bob);
    world.pass_ms(60_000);
    assert_eq!(rotations(&world), [3], "and no other");
}

fn signed_prekeys(world: &World, name: Name) -> usize {
    world.hosts[name.0].store.keys().filter(|key| key.space == Space::SignedPreKey).count()
}

#[test]
fn a_key_that_the_server_had_until_now_is_kept_however_many_were_refused_since() {
    let (mut world, bob, mut friend) = away_for_a_week(118, RequestFault::Error(409));
    let to = own(&world, bob);
    let bundle = world.relay.hand_out(world.now, &to);
    world.settle();
    for _ in 0..4 {
        world.relay.faults().break_requests("encrypt", 2, RequestFault::Error(409));
        world.cut(bob);
        world.pass_ms(60_000);
    }
    world.relay.faults().clear();
    world.cut(bob);
    world.pass_ms(60_000);
    assert_eq!(rotations(&world), [7]);
    friend.begin(&world, &to, &bundle);
    friend.send(&mut world, &to, "LATE", &text_content("under the key of before"));
    world.settle();
    assert_eq!(world.texts(bob), ["under the key of before"]);
    for _ in 0..3 {
        world.disconnect(bob);
        world.pass_ms(8 * 24 * 3_600_000);
        world.connect(bob);
        world.pass_ms(5_000);
    }
    assert_eq!(rotations(&world), [7, 8, 9, 10]);
    assert_eq!(signed_prekeys(&world, bob), 3, "and none of those that were refused");
}

#[test]
fn a_rotation_that_is_not_answered_offers_the_same_key_again() {
    let (mut world, bob, mut friend) = away_for_a_week(117, RequestFault::Delay(10_000_000));
    world.settle();
    assert_eq!(rotations(&world), [2]);
    write_to(&mut world, &mut friend, bob, "the server has it already");
    world.crash(bob);
    world.connect(bob);
    world.pass_ms(2_000);
    assert_eq!(rotations(&world), [2, 2]);
    write_to(&mut world, &mut friend, bob, "and still");
    assert_eq!(world.texts(bob), ["the server has it already", "and still"]);
}

#[test]
fn a_first_message_that_comes_again_when_its_session_is_gone_is_not_shown_again() {
    let mut world = World::new(118);
    let (ann, bob) = (world.add_linked(None), world.add_linked(None));
    let (to, other) = (own(&world, ann), world.pn(bob));
    let mut friend = Puppet::phone(&mut world, &other, 1);
    world.settle();
    let enc = friend.enc(&mut world, &to, &text_content("first"));
    let stanza = Node::new("message")
        .with("from", friend.jid.clone())
        .with("id", "ONE")
        .with("t", "1790000000")
        .with("type", "text")
        .with_child(enc);
    assert!(world.relay.inject(world.now, &to, stanza.clone()));
    world.settle();
    let news = Node::new("notification")
        .with("from", other)
        .with("id", "N1")
        .with("type", "encrypt")
        .with("t", "1790000001")
        .with_child(Node::new("identity"));
    assert!(world.relay.inject(world.now, &to, news));
    world.settle();
    assert!(world.event(ann, |event| matches!(event, Event::IdentityChanged(_)).then_some(())).is_some());
    assert!(world.relay.inject(world.now, &to, stanza));
    world.settle();
    assert_eq!(world.texts(ann), ["first"]);
    let receipts = world.told.iter().filter(
        |event| matches!(event, RelayEvent::Answered { id, how, by, .. } if id == "ONE" && how != "retry" && *by == to),
    );
    assert_eq!(receipts.count(), 2, "acknowledged each time");
}
