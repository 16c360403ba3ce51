//! A counter that was used before: the same message once more, or another one that was never read.

use whatsio_core::api::{Event, Space, UndecryptableReason};
use whatsio_core::binary::Node;
use whatsio_core::types::Jid;
use whatsio_tests::puppet::Puppet;
use whatsio_tests::world::{Name, World, text_content};

/// Ann, linked, and somebody whose device the test plays; both have each other's session.
fn met(seed: u8) -> (World, Name, Jid, Puppet) {
    let mut world = World::new(seed);
    let (ann, bob) = (world.add_linked(None), world.add_linked(None));
    let account = world.pn(bob);
    let mut puppet = Puppet::planted(&mut world, &account, seed);
    world.settle();
    let to = world.hosts[ann.0].client.identity().expect("linked").jid;
    world.send(ann, &account, "hello");
    world.settle();
    puppet.mail(&mut world);
    // The first answer begins a chain.
    let hello = text(&mut world, &mut puppet, &to, "P0", "hello");
    deliver(&mut world, &mut puppet, &to, &hello);
    world.pass_ms(5_000);
    (world, ann, to, puppet)
}

/// A message as the server delivers it.
fn delivery(world: &World, puppet: &Puppet, id: &str, enc: Node) -> Node {
    let node = Node::new("message").with("id", id).with("from", puppet.jid.clone()).with("type", "text");
    node.with("t", world.now.unix / 1_000).with_child(enc)
}

/// Has the server deliver a stanza, and gives the types of the receipts that its sender gets for it.
fn deliver(world: &mut World, puppet: &mut Puppet, to: &Jid, stanza: &Node) -> Vec<String> {
    let id = stanza.text("id").expect("an id").into_owned();
    assert!(world.relay.inject(world.now, to, stanza.clone()));
    world.settle();
    let mail = puppet.mail(world).into_iter().map(|mail| mail.node);
    let receipts = mail.filter(|node| node.tag == "receipt" && node.text("id").as_deref() == Some(id.as_str()));
    receipts.map(|node| node.text("type").map_or_else(|| "delivered".to_owned(), |kind| kind.into_owned())).collect()
}

fn text(world: &mut World, puppet: &mut Puppet, to: &Jid, id: &str, text: &str) -> Node {
    let enc = puppet.enc(world, to, &text_content(text));
    delivery(world, puppet, id, enc)
}

fn restart(world: &mut World, name: Name) {
    world.crash(name);
    world.connect(name);
    world.pass_ms(1_000);
}

#[test]
fn another_message_under_a_used_counter_is_asked_for_and_the_same_one_is_not() {
    let (mut world, ann, to, mut puppet) = met(150);
    let was = puppet.session_with(&world, &to).expect("a session");
    let one = text(&mut world, &mut puppet, &to, "P1", "one");
    let is_receipt = |answers: Vec<String>| answers.len() == 1 && answers[0] != "retry";
    assert!(is_receipt(deliver(&mut world, &mut puppet, &to, &one)));
    puppet.go_back_to(&world, &to, was);
    let two = text(&mut world, &mut puppet, &to, "P2", "two");
    // More than fit into the record of the newest.
    for number in 0..20 {
        let next = text(&mut world, &mut puppet, &to, &format!("N{number}"), "next");
        assert!(is_receipt(deliver(&mut world, &mut puppet, &to, &next)), "{number}");
    }
    let lost = |world: &World| {
        world.event(ann, |event| match event {
            Event::MessageUndecryptable(lost) => Some((lost.id.to_string(), lost.reason)),
            _ => None,
        })
    };
    for round in 0..2 {
        assert!(is_receipt(deliver(&mut world, &mut puppet, &to, &one)), "round {round}: it was received");
        assert_eq!(lost(&world), None);
        restart(&mut world, ann);
    }
    for round in 0..2 {
        assert_eq!(deliver(&mut world, &mut puppet, &to, &two), ["retry"], "round {round}: it was never read");
        assert_eq!(lost(&world), Some(("P2".into(), UndecryptableReason::Damaged)));
        restart(&mut world, ann);
        puppet.mail(&mut world);
    }
    puppet.forget(&world, &to);
    let repaired = text(&mut world, &mut puppet, &to, "P2", "two");
    let repaired = repaired.with_child(Node::new("device-identity").with_bytes(puppet.statement.clone().unwrap()));
    for _ in 0..2 {
        assert!(is_receipt(deliver(&mut world, &mut puppet, &to, &repaired)));
        restart(&mut world, ann);
        puppet.mail(&mut world);
    }
    assert!(is_receipt(deliver(&mut world, &mut puppet, &to, &two)), "it was read since");
    let texts = world.texts(ann);
    assert_eq!(texts.iter().filter(|text| *text == "one").count(), 1);
    assert_eq!(texts.iter().filter(|text| *text == "two").count(), 1);
}

#[test]
fn a_message_that_was_received_is_not_asked_for_when_its_session_is_gone() {
    let (mut world, ann, to, mut puppet) = met(151);
    let one = text(&mut world, &mut puppet, &to, "P1", "one");
    deliver(&mut world, &mut puppet, &to, &one);
    world.hosts[ann.0].store.retain(|key, _| !matches!(key.space, Space::Session | Space::SessionArchive));
    restart(&mut world, ann);
    let answers = deliver(&mut world, &mut puppet, &to, &one);
    assert!(answers.len() == 1 && answers[0] != "retry", "{answers:?}");
    assert_eq!(world.texts(ann), ["hello", "one"]);
}

#[test]
fn a_first_message_that_was_received_is_not_shown_again_when_its_session_is_gone() {
    for (seed, with_prekey, later) in [(152, true, false), (153, true, true), (154, false, false), (155, false, true)] {
        let (mut world, ann, to, mut puppet) = met(seed);
        let bundle = world.relay.hand_out(world.now, &to);
        let is_kept = |part: &&Node| with_prekey || part.tag != "key";
        let bundle = Node::new("user").with_children(bundle.children().iter().filter(is_kept).cloned());
        puppet.begin(&world, &to, &bundle);
        let statement = Node::new("device-identity").with_bytes(puppet.statement.clone().unwrap());
        let first = text(&mut world, &mut puppet, &to, "P1", "one").with_child(statement.clone());
        let second = text(&mut world, &mut puppet, &to, "P2", "two").with_child(statement);
        let is_receipt = |answers: Vec<String>| answers.len() == 1 && answers[0] != "retry";
        let all = if later { vec![&second] } else { vec![&first, &second] };
        for stanza in &all {
            assert!(is_receipt(deliver(&mut world, &mut puppet, &to, stanza)));
        }
        let shown = world.texts(ann);
        for _ in 0..2 {
            world.hosts[ann.0].store.retain(|key, _| !matches!(key.space, Space::Session | Space::SessionArchive));
            restart(&mut world, ann);
            puppet.mail(&mut world);
            for stanza in &all {
                assert!(is_receipt(deliver(&mut world, &mut puppet, &to, stanza)), "{with_prekey} {later}");
            }
        }
        assert_eq!(world.texts(ann), shown, "{with_prekey} {later}");
    }
}

#[test]
fn what_another_version_received_before_messages_were_remembered_is_not_asked_for() {
    let (mut world, ann, to, mut puppet) = met(156);
    let was = puppet.session_with(&world, &to).expect("a session");
    let one = text(&mut world, &mut puppet, &to, "P1", "one");
    deliver(&mut world, &mut puppet, &to, &one);
    world.hosts[ann.0].store.retain(|key, _| !key.id.starts_with(b"received"));
    restart(&mut world, ann);
    let answers = deliver(&mut world, &mut puppet, &to, &one);
    assert!(answers.len() == 1 && answers[0] != "retry", "{answers:?}");
    assert_eq!(world.texts(ann), ["hello", "one"]);
    world.pass_ms(5_000);
    puppet.go_back_to(&world, &to, was);
    let two = text(&mut world, &mut puppet, &to, "P2", "two");
    assert_eq!(deliver(&mut world, &mut puppet, &to, &two), ["retry"], "it came since, and was never read");
}
