use whatsio_core::api::{Event, UndecryptableReason};
use whatsio_core::binary::Node;
use whatsio_core::types::Jid;
use whatsio_tests::puppet::Puppet;
use whatsio_tests::world::{Name, World, text_content};

fn changes(world: &World, name: Name) -> Vec<Option<Jid>> {
    let events = world.hosts[name.0].events.iter().filter_map(|envelope| match &envelope.event {
        Event::IdentityChanged(change) => Some(change.user_aliases.pn.clone()),
        _ => None,
    });
    events.collect()
}

fn link_again(world: &mut World, name: Name, account: &str) {
    world.pass_ms(2_000);
    world.host(name).events.clear();
    world.link(name, Some(account));
}

#[test]
fn a_contact_that_registers_anew_in_the_middle_of_a_conversation_goes_on_with_it() {
    let mut world = World::new(120);
    let (ann, bob) = (world.add_linked(None), world.add_linked(None));
    let (to_ann, to_bob, number) = (world.pn(ann), world.pn(bob), world.number(bob));
    for round in 0..3 {
        world.send(ann, &to_bob, &format!("a{round}"));
        world.send(bob, &to_ann, &format!("b{round}"));
        world.settle();
    }
    // Ann hears of it only when she comes back, and has something to send until then.
    world.disconnect(ann);
    assert!(world.relay.register_anew(world.now, &to_bob));
    world.settle();
    link_again(&mut world, bob, &number);
    world.send(bob, &to_ann, "from my new phone");
    world.settle();
    world.send(ann, &to_bob, "queued");
    world.connect(ann);
    world.pass_ms(5_000);
    assert_eq!(world.texts(ann).last().map(String::as_str), Some("from my new phone"));
    assert_eq!(world.texts(bob), ["queued"]);
    for round in 3..6 {
        world.send(ann, &to_bob, &format!("a{round}"));
        world.send(bob, &to_ann, &format!("b{round}"));
        world.settle();
    }
    assert_eq!(world.texts(bob), ["queued", "a3", "a4", "a5"]);
    assert_eq!(world.texts(ann), ["b0", "b1", "b2", "from my new phone", "b3", "b4", "b5"]);
    assert_eq!(changes(&world, ann), [Some(to_bob)], "told once");
    assert_eq!(changes(&world, bob), [], "nobody else has changed");
}

#[test]
fn a_new_identity_that_shows_itself_before_the_news_of_it_is_told_once() {
    let mut world = World::new(121);
    let (ann, bob) = (world.add_linked(None), world.add_linked(None));
    let (to_ann, to_bob) = (world.hosts[ann.0].client.identity().unwrap().jid, world.pn(bob));
    let mut old = Puppet::phone(&mut world, &to_bob, 1);
    old.send(&mut world, &to_ann, "OLD", &text_content("from the old phone"));
    world.settle();
    // The notification is late.
    world.relay.faults().lose_deliveries(2); // of the removed companion, and of the identity
    assert!(world.relay.register_anew(world.now, &to_bob));
    world.settle();
    world.relay.faults().clear();
    let mut new = Puppet::phone(&mut world, &to_bob, 2);
    new.send(&mut world, &to_ann, "NEW", &text_content("from the new phone"));
    world.settle();
    assert_eq!(world.texts(ann), ["from the old phone", "from the new phone"]);
    assert_eq!(changes(&world, ann).len(), 1);
    world.cut(ann);
    world.pass_ms(120_000);
    assert_eq!(changes(&world, ann).len(), 1, "the late news is none");
    world.send(ann, &to_bob, "hello new phone");
    world.settle();
    let mail = new.mail(&mut world);
    assert!(mail.iter().any(|mail| mail.content == Some(text_content("hello new phone"))), "the session was kept");
    let queued = world.relay.accounts().into_iter().flat_map(|account| account.devices).find(|one| one.jid == to_ann);
    assert_eq!(queued.unwrap().queued, 0);
}

#[test]
fn a_phone_that_first_answers_with_another_identity_in_its_bundle_is_told_once() {
    let mut world = World::new(122);
    let (ann, bob) = (world.add_linked(None), world.add_linked(None));
    let to_bob = world.pn(bob);
    world.send(ann, &to_bob, "one");
    world.settle();
    world.relay.faults().lose_deliveries(2); // of the removed companion, and of the identity
    assert!(world.relay.register_anew(world.now, &to_bob));
    world.settle();
    world.relay.faults().clear();
    let mut new = Puppet::phone(&mut world, &to_bob, 2);
    let from = world.hosts[ann.0].client.identity().unwrap().jid;
    let id = world.send(ann, &to_bob, "two").to_string();
    world.settle();
    assert!(new.mail(&mut world).iter().all(|mail| mail.content.is_none()), "it cannot read what was for the old one");
    new.ask_again(&mut world, &from, &id, 1, false);
    world.settle();
    assert!(new.mail(&mut world).iter().any(|mail| mail.content == Some(text_content("two"))));
    assert_eq!(changes(&world, ann).len(), 1);
    world.cut(ann);
    world.pass_ms(120_000);
    assert_eq!(changes(&world, ann).len(), 1);
}

#[test]
fn a_first_message_of_a_companion_that_its_phone_did_not_sign_is_not_read() {
    let mut world = World::new(123);
    let (ann, bob, eve) = (world.add_linked(None), world.add_linked(None), world.add_linked(None));
    let (to, other, eves) = (world.hosts[ann.0].client.identity().unwrap().jid, world.pn(bob), world.pn(eve));
    // Ann knows Bob's phone.
    world.send(ann, &other, "hello");
    world.settle();
    let mut honest = Puppet::planted(&mut world, &other, 1);
    let mut mallory = Puppet::planted(&mut world, &eves, 2);
    world.settle();
    let statements = [honest.statement.clone(), mallory.statement.clone()];
    // Eve's companion, shown by the server as one of Bob's: with its own statement, then with that of another companion.
    for (number, statement) in statements.into_iter().enumerate() {
        let enc = mallory.enc(&mut world, &to, &text_content("I am Bob"));
        let stanza = Node::new("message")
            .with("from", honest.jid.clone())
            .with("id", format!("FAKE{number}"))
            .with("t", "1790000000")
            .with("type", "text")
            .with_child(enc)
            .with_child(Node::new("device-identity").with_bytes(statement.unwrap()));
        assert!(world.relay.inject(world.now, &to, stanza));
    }
    world.settle();
    assert_eq!(world.texts(ann), [""; 0]);
    let lost = world.hosts[ann.0].events.iter().filter_map(|envelope| match &envelope.event {
        Event::MessageUndecryptable(lost) => Some(lost.reason),
        _ => None,
    });
    assert_eq!(lost.collect::<Vec<_>>(), [UndecryptableReason::BadIdentity; 2]);
    honest.send(&mut world, &to, "TRUE", &text_content("I am Bob"));
    world.settle();
    assert_eq!(world.texts(ann), ["I am Bob"]);
}
