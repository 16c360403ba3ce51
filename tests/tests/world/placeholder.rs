use bytes::Bytes;
use prost::Message as _;
use std::collections::BTreeMap;
use whatsio_core::api::{Event, UndecryptableReason};
use whatsio_core::binary::Node;
use whatsio_core::relay::Cut;
use whatsio_core::types::Jid;
use whatsio_proto::common::MessageKey;
use whatsio_proto::e2e::peer_data_operation_request_response_message::PeerDataOperationResult;
use whatsio_proto::e2e::peer_data_operation_request_response_message::peer_data_operation_result::PlaceholderMessageResendResponse;
use whatsio_proto::e2e::{Message, PeerDataOperationRequestResponseMessage, ProtocolMessage};
use whatsio_proto::web::WebMessageInfo;
use whatsio_tests::puppet::Puppet;
use whatsio_tests::world::{Name, World, text_content, text_in};

/// What happened to messages, in order: the id, and the text or why there is none.
fn story(world: &World, name: Name) -> Vec<(String, Result<String, UndecryptableReason>)> {
    let events = world.hosts[name.0].events.iter().filter_map(|envelope| match &envelope.event {
        Event::MessageReceived(message) => Some((message.id.to_string(), Ok(text_in(&message.content)?))),
        Event::MessageUndecryptable(lost) => Some((lost.id.to_string(), Err(lost.reason))),
        _ => None,
    });
    events.collect()
}

/// The keys of the messages that were asked for, one list for each request in the phone's mail.
fn requests(world: &mut World, phone: &mut Puppet) -> Vec<Vec<MessageKey>> {
    let contents = phone.mail(world).into_iter().filter_map(|mail| mail.content);
    let protocols = contents.filter_map(|content| Message::decode(content).unwrap().protocol_message);
    let requests = protocols.filter_map(|protocol| protocol.peer_data_operation_request_message);
    requests
        .map(|request| {
            let wanted = request.placeholder_message_resend_request.into_iter();
            wanted.filter_map(|one| one.message_key).collect()
        })
        .collect()
}

fn answer(keys: &[MessageKey], texts: &BTreeMap<&str, &str>) -> Vec<u8> {
    let result = |key: &MessageKey| {
        let text = texts.get(key.id.as_deref()?)?;
        let info = WebMessageInfo {
            key: Some(key.clone()),
            message: Some(Box::new(Message { conversation: Some((*text).to_owned()), ..Default::default() })),
            message_timestamp: Some(1_790_000_000),
            ..Default::default()
        };
        let resend = PlaceholderMessageResendResponse { web_message_info_bytes: Some(info.encode_to_vec().into()) };
        Some(PeerDataOperationResult { placeholder_message_resend_response: Some(resend), ..Default::default() })
    };
    let answer = PeerDataOperationRequestResponseMessage {
        peer_data_operation_request_type: Some(4),
        peer_data_operation_result: keys.iter().filter_map(result).collect(),
        ..Default::default()
    };
    let protocol = ProtocolMessage {
        r#type: Some(17),
        peer_data_operation_request_response_message: Some(answer),
        ..Default::default()
    };
    Message { protocol_message: Some(Box::new(protocol)), ..Default::default() }.encode_to_vec()
}

/// A message of `from` whose ciphertext is worth nothing.
fn damaged(world: &World, from: &Jid, id: &str) -> Node {
    let enc = Node::new("enc").with("v", "2").with("type", "msg").with_bytes(Bytes::from_static(&[0x33; 40]));
    stanza(world, from, id).with_child(enc)
}

fn stanza(world: &World, from: &Jid, id: &str) -> Node {
    let seconds = (world.now.unix / 1000).to_string();
    Node::new("message").with("from", from.clone()).with("id", id).with("t", seconds).with("type", "text")
}

struct Scene {
    world: World,
    ann: Name,
    device: Jid,
    friend: Puppet,
    phone: Puppet,
}

/// Ann with a phone that answers, and a friend who does not.
fn scene(seed: u8) -> Scene {
    let mut world = World::new(seed);
    let (ann, bob) = (world.add_linked(None), world.add_linked(None));
    let (own, other) = (world.pn(ann), world.pn(bob));
    let device = world.hosts[ann.0].client.identity().unwrap().jid;
    let friend = Puppet::planted(&mut world, &other, seed);
    let phone = Puppet::phone(&mut world, &own, seed);
    world.settle();
    Scene { world, ann, device, friend, phone }
}

#[test]
fn the_phone_is_asked_for_what_its_sender_does_not_repeat_and_the_answer_comes_once() {
    let Scene { mut world, ann, device, mut friend, mut phone } = scene(80);
    let stanza = damaged(&world, &friend.jid, "LOST1");
    assert!(world.relay.inject(world.now, &device, stanza));
    world.settle();
    world.pass_ms(4_000);
    assert_eq!(requests(&mut world, &mut phone).len(), 0, "the sender has some time");
    world.pass_ms(2_000);
    let asked = requests(&mut world, &mut phone);
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0][0].id.as_deref(), Some("LOST1"));
    assert_eq!(asked[0][0].from_me, Some(false));
    let answer = answer(&asked[0], &BTreeMap::from([("LOST1", "found")]));
    // Whoever else answers is not believed.
    friend.send(&mut world, &device, "FAKE", &answer);
    world.settle();
    assert_eq!(story(&world, ann).len(), 1);
    phone.send_peer(&mut world, &device, "A1", &answer);
    phone.send_peer(&mut world, &device, "A2", &answer);
    world.settle();
    // The sender's own copy comes after all.
    let enc = friend.enc(&mut world, &device, &text_content("found"));
    let late = self::stanza(&world, &friend.jid, "LOST1").with_child(enc);
    let statement = Node::new("device-identity").with_bytes(friend.statement.clone().unwrap());
    assert!(world.relay.inject(world.now, &device, late.with_child(statement)));
    world.settle();
    let lost = UndecryptableReason::Damaged;
    assert_eq!(story(&world, ann), [("LOST1".to_owned(), Err(lost)), ("LOST1".to_owned(), Ok("found".to_owned()))]);
    let queued = world.relay.accounts().into_iter().flat_map(|account| account.devices).find(|one| one.jid == device);
    assert_eq!(queued.unwrap().queued, 0);
}

#[test]
fn a_sender_that_repeats_the_message_in_time_spares_the_phone() {
    let Scene { mut world, ann, device, mut friend, mut phone } = scene(81);
    let stanza = damaged(&world, &friend.jid, "LOST2");
    assert!(world.relay.inject(world.now, &device, stanza));
    world.settle();
    let enc = friend.enc(&mut world, &device, &text_content("again"));
    let late = self::stanza(&world, &friend.jid, "LOST2").with_child(enc);
    let statement = Node::new("device-identity").with_bytes(friend.statement.clone().unwrap());
    assert!(world.relay.inject(world.now, &device, late.with_child(statement)));
    world.pass_ms(60_000);
    assert_eq!(requests(&mut world, &mut phone).len(), 0);
    assert_eq!(story(&world, ann).last().unwrap().1, Ok("again".to_owned()));
}

#[test]
fn what_the_server_withholds_is_asked_for_at_once_together_and_over_a_restart() {
    let Scene { mut world, ann, device, friend, mut phone } = scene(82);
    for number in 0..60 {
        let withheld = stanza(&world, &friend.jid, &format!("W{number}")).with_child(Node::new("unavailable"));
        assert!(world.relay.inject(world.now, &device, withheld));
    }
    let once = Node::new("unavailable").with("type", "view_once");
    let once = stanza(&world, &friend.jid, "ONCE").with_child(once);
    assert!(world.relay.inject(world.now, &device, once));
    let mut old = stanza(&world, &friend.jid, "OLD");
    old.attrs.retain(|(key, _)| key != "t");
    let old = old.with("t", (world.now.unix / 1000 - 15 * 24 * 3600).to_string()).with_child(Node::new("unavailable"));
    assert!(world.relay.inject(world.now, &device, old));
    world.settle();
    assert_eq!(requests(&mut world, &mut phone).len(), 0);
    world.crash(ann);
    world.connect(ann);
    world.pass_ms(8_000);
    let asked = requests(&mut world, &mut phone);
    assert_eq!(asked.iter().map(Vec::len).collect::<Vec<_>>(), [50, 10], "few requests for many messages");
    let ids: Vec<_> = asked.iter().flatten().filter_map(|key| key.id.as_deref()).collect();
    assert!(!ids.contains(&"ONCE") && !ids.contains(&"OLD"));
    world.pass_ms(60_000);
    assert_eq!(requests(&mut world, &mut phone).len(), 0, "asked once");
    phone.send_peer(&mut world, &device, "A", &answer(&asked[1], &BTreeMap::from([("W55", "there")])));
    world.settle();
    assert_eq!(story(&world, ann).last(), Some(&("W55".to_owned(), Ok("there".to_owned()))));
}

#[test]
fn garbage_without_end_does_not_become_requests_without_end() {
    let Scene { mut world, ann, device, friend, mut phone } = scene(83);
    world.host(ann).events.clear();
    let mut asked = 0;
    for round in 0..6 {
        for number in 0..100 {
            let stanza = damaged(&world, &friend.jid, &format!("G{round}.{number}"));
            assert!(world.relay.inject(world.now, &device, stanza));
        }
        world.pass_ms(15_000);
        asked += requests(&mut world, &mut phone).iter().map(Vec::len).sum::<usize>();
    }
    assert!((200..=202).contains(&asked), "{asked}");
}

#[test]
fn an_answer_about_another_message_with_the_same_id_gives_nobody_words() {
    let Scene { mut world, ann, device, friend, mut phone } = scene(84);
    let group = Jid::parse("120363000000000001@g.us").unwrap();
    let other = Jid::parse("15550000099@s.whatsapp.net").unwrap();
    let direct = damaged(&world, &friend.jid, "SAME");
    let grouped = damaged(&world, &group, "GROUP").with("participant", friend.jid.clone());
    assert!(world.relay.inject(world.now, &device, direct));
    assert!(world.relay.inject(world.now, &device, grouped));
    world.settle();
    world.pass_ms(7_000);
    let asked: Vec<MessageKey> = requests(&mut world, &mut phone).into_iter().flatten().collect();
    assert_eq!(asked.len(), 2);
    let texts = BTreeMap::from([("SAME", "direct"), ("GROUP", "in the group")]);
    let mut wrong = Vec::new();
    for key in &asked {
        wrong.push(MessageKey { remote_jid: Some(other.to_string()), ..key.clone() });
        wrong.push(MessageKey { remote_jid: None, ..key.clone() });
        wrong.push(MessageKey { from_me: Some(true), ..key.clone() });
        wrong.push(MessageKey { participant: Some(other.to_string()), ..key.clone() });
        if key.id.as_deref() == Some("GROUP") {
            wrong.push(MessageKey { participant: None, ..key.clone() });
        }
    }
    let before = story(&world, ann).len();
    phone.send_peer(&mut world, &device, "WRONG", &answer(&wrong, &texts));
    world.settle();
    assert_eq!(story(&world, ann).len(), before);
    phone.send_peer(&mut world, &device, "RIGHT", &answer(&asked, &texts));
    world.settle();
    assert_eq!(story(&world, ann).len(), before + 2);
}

#[test]
fn a_request_that_was_lost_with_the_connection_is_repeated_at_the_next_login() {
    let Scene { mut world, device, friend, mut phone, .. } = scene(85);
    let stanza = damaged(&world, &friend.jid, "LOST");
    assert!(world.relay.inject(world.now, &device, stanza));
    world.settle();
    world.relay.faults().disconnect_on_message(Cut::BeforeTaking);
    world.pass_ms(5_500);
    assert_eq!(requests(&mut world, &mut phone).len(), 0, "it was lost");
    world.pass_ms(120_000);
    assert_eq!(requests(&mut world, &mut phone).len(), 1);
    let ann = Name(0);
    world.cut(ann);
    world.pass_ms(120_000);
    assert_eq!(requests(&mut world, &mut phone).len(), 0, "that one was not lost");
    world.pass_ms(3_600_000);
    assert_eq!(requests(&mut world, &mut phone).len(), 1, "but it was not answered either");
}

#[test]
fn what_the_budget_holds_back_is_asked_for_when_there_is_one_again() {
    let Scene { mut world, device, friend, mut phone, .. } = scene(86);
    for number in 0..210 {
        let withheld = stanza(&world, &friend.jid, &format!("W{number}")).with_child(Node::new("unavailable"));
        assert!(world.relay.inject(world.now, &device, withheld));
    }
    world.pass_ms(30_000);
    let asked: usize = requests(&mut world, &mut phone).iter().map(Vec::len).sum();
    assert_eq!(asked, 200);
    world.pass_ms(15 * 60_000);
    let asked: usize = requests(&mut world, &mut phone).iter().map(Vec::len).sum();
    assert_eq!(asked, 10);
}
