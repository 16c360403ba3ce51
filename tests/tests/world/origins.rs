use prost::Message as _;
use whatsio_core::api::{Event, Key, Record, Space, SuspiciousKind};
use whatsio_core::message::wrap_device_sent;
use whatsio_core::types::Jid;
use whatsio_proto::e2e::{Message, ProtocolMessage};
use whatsio_tests::puppet::Puppet;
use whatsio_tests::world::{Name, World, text_content};

/// Every type of protocol message that only the own phone may send.
const SELF_ONLY: [(i32, SuspiciousKind); 9] = [
    (5, SuspiciousKind::HistoryNotice),
    (6, SuspiciousKind::AppStateKeyShare),
    (7, SuspiciousKind::AppStateKeyRequest),
    (8, SuspiciousKind::BackfillRequest),
    (9, SuspiciousKind::SecuritySettings),
    (10, SuspiciousKind::AppStateFailure),
    (16, SuspiciousKind::DataRequest),
    (17, SuspiciousKind::DataAnswer),
    (22, SuspiciousKind::LidMapping),
];

fn control(kind: i32, hidden: bool) -> Vec<u8> {
    let protocol = ProtocolMessage { r#type: Some(kind), ..Default::default() };
    let conversation = hidden.then(|| "look here".to_owned());
    Message { conversation, protocol_message: Some(Box::new(protocol)), ..Default::default() }.encode_to_vec()
}

fn suspicions(world: &World, name: Name) -> Vec<(Jid, SuspiciousKind)> {
    let events = world.hosts[name.0].events.iter().filter_map(|envelope| match &envelope.event {
        Event::SuspiciousMessage(found) => Some((found.sender.clone(), found.kind)),
        _ => None,
    });
    events.collect()
}

fn messages(world: &World, name: Name) -> usize {
    world.hosts[name.0].events.iter().filter(|envelope| matches!(envelope.event, Event::MessageReceived(_))).count()
}

/// Everything durable that a session, an inbox, a counter or the note that a message came does not explain.
fn state(world: &World, name: Name) -> Vec<(Key, Record)> {
    let store = world.hosts[name.0].store.iter();
    let changes = [Space::Session, Space::SessionArchive, Space::Inbox, Space::PreKey];
    let cursors: [&[u8]; 2] = [b"inbox", b"prekeys"];
    let is_noted = |key: &Key| key.space == Space::Account && key.id.starts_with(b"received");
    let store = store.filter(|(key, _)| !is_noted(key));
    let kept = store.filter(|(key, _)| !changes.contains(&key.space) && !cursors.contains(&key.id.as_ref()));
    kept.map(|(key, record)| (key.clone(), record.clone())).collect()
}

#[test]
fn what_only_the_own_phone_may_send_changes_nothing_when_anybody_else_sends_it() {
    let mut world = World::new(70);
    let (ann, bob) = (world.add_linked(None), world.add_linked(None));
    let (own, other) = (world.pn(ann), world.pn(bob));
    let to = world.hosts[ann.0].client.identity().unwrap().jid;
    let strangers_phone = Puppet::phone(&mut world, &other, 1);
    let strangers_companion = Puppet::planted(&mut world, &other, 2);
    let own_companion = Puppet::planted(&mut world, &own, 3);
    world.settle();
    for mut puppet in [strangers_phone, strangers_companion, own_companion] {
        // One ordinary message first, so that the session and the devices are known.
        puppet.send(&mut world, &to, &format!("F{}", puppet.jid.device()), &text_content("hello"));
        world.settle();
        world.host(ann).events.clear();
        let before = state(&world, ann);
        for (number, (kind, _)) in SELF_ONLY.into_iter().enumerate() {
            for hidden in [false, true] {
                let id = format!("M{}{}{number}{hidden}", puppet.jid.user(), puppet.jid.device());
                puppet.send(&mut world, &to, &id, &control(kind, hidden));
            }
        }
        let copy = wrap_device_sent(&text_content("you said so"), &other.to_string(), None).unwrap();
        let is_own = puppet.jid.same_user(&own);
        if !is_own {
            puppet.send(&mut world, &to, &format!("C{}", puppet.jid.device()), &copy);
        }
        world.settle();
        let found = suspicions(&world, ann);
        let mut expected: Vec<_> = SELF_ONLY.into_iter().flat_map(|(_, kind)| [kind, kind]).collect();
        if !is_own {
            expected.push(SuspiciousKind::OwnCopy);
        }
        assert_eq!(found.iter().map(|(_, kind)| *kind).collect::<Vec<_>>(), expected, "one event for each");
        assert!(found.iter().all(|(sender, _)| sender.device() == puppet.jid.device()));
        assert_eq!(messages(&world, ann), 0, "none of it is shown");
        assert!(state(&world, ann) == before, "nothing has changed");
        puppet.send(&mut world, &to, &format!("L{}", puppet.jid.device()), &text_content("still here"));
        world.settle();
        assert_eq!(messages(&world, ann), 1, "what is harmless arrives");
    }
    let queued = world.relay.accounts().into_iter().flat_map(|account| account.devices).find(|one| one.jid == to);
    assert_eq!(queued.unwrap().queued, 0, "everything was acknowledged");
}

#[test]
fn what_the_own_phone_says_about_the_account_is_acknowledged_and_not_shown() {
    let mut world = World::new(71);
    let ann = world.add_linked(None);
    let own = world.pn(ann);
    let to = world.hosts[ann.0].client.identity().unwrap().jid;
    let mut phone = Puppet::phone(&mut world, &own, 1);
    for (number, (kind, _)) in SELF_ONLY.into_iter().enumerate() {
        phone.send_peer(&mut world, &to, &format!("P{number}"), &control(kind, false));
    }
    world.settle();
    assert_eq!((messages(&world, ann), suspicions(&world, ann).len()), (0, 0));
    let queued = world.relay.accounts().into_iter().flat_map(|account| account.devices).find(|one| one.jid == to);
    assert_eq!(queued.unwrap().queued, 0);
    // The same as the copy of a message for somebody else is not the phone's word to this device.
    let copy = wrap_device_sent(&control(22, false), &own.to_string(), None).unwrap();
    phone.send(&mut world, &to, "P9", &copy);
    world.settle();
    assert_eq!(suspicions(&world, ann).len(), 1);
}

#[test]
fn nobody_can_take_the_place_of_the_own_phone() {
    let mut world = World::new(72);
    let ann = world.add_linked(None);
    let own = world.pn(ann);
    let to = world.hosts[ann.0].client.identity().unwrap().jid;
    // A server that lies about who sends: another identity, shown as device 0.
    let mut mallory = Puppet::planted(&mut world, &own, 9);
    world.settle();
    let enc = mallory.enc(&mut world, &to, &text_content("I am your phone"));
    let stanza = whatsio_core::binary::Node::new("message")
        .with("from", own.clone())
        .with("recipient", own.clone())
        .with("id", "FAKE1")
        .with("t", "1790000000")
        .with("type", "text")
        .with_child(enc);
    assert!(world.relay.inject(world.now, &to, stanza));
    world.settle();
    assert_eq!(messages(&world, ann), 0);
    let lost = world.event(ann, |event| match event {
        Event::MessageUndecryptable(lost) => Some(lost.reason),
        _ => None,
    });
    assert_eq!(lost, Some(whatsio_core::api::UndecryptableReason::BadIdentity));
}

#[test]
fn a_message_in_the_clear_is_no_message_outside_of_channels() {
    let mut world = World::new(73);
    let (ann, bob) = (world.add_linked(None), world.add_linked(None));
    let to = world.hosts[ann.0].client.identity().unwrap().jid;
    let clear = whatsio_core::binary::Node::new("plaintext").with_bytes(text_content("trust me"));
    let stanza = whatsio_core::binary::Node::new("message")
        .with("from", world.pn(bob))
        .with("id", "CLEAR1")
        .with("t", "1790000000")
        .with("type", "text")
        .with_child(clear);
    world.relay.inject(world.now, &to, stanza);
    world.settle();
    assert_eq!(messages(&world, ann), 0);
}
