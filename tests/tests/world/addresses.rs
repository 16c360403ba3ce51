use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::collections::{BTreeMap, BTreeSet};
use whatsio_core::api::{Aliases, Event, Key, MessageId, Record, Space};
use whatsio_core::binary::Node;
use whatsio_core::crypto::Rng;
use whatsio_core::message::{LID_MAPPING_SYNC, pad};
use whatsio_core::signal::SenderKey;
use whatsio_core::stanza::Addressing;
use whatsio_core::types::{Jid, Seed, Username};
use whatsio_proto::e2e::{LidMigrationMappingSyncMessage, Message, ProtocolMessage, SenderKeyDistributionMessage};
use whatsio_proto::lid_migration::{LidMigrationMapping, LidMigrationMappingSyncPayload};
use whatsio_proto::prost::Message as _;
use whatsio_tests::puppet::Puppet;
use whatsio_tests::world::{Name, World, text_content, text_in};

fn lid(world: &World, name: Name) -> Jid {
    world.hosts[name.0].client.identity().and_then(|own| own.lid).expect("a LID").to_user()
}

fn device(world: &World, name: Name) -> Jid {
    world.hosts[name.0].client.identity().expect("linked").jid
}

fn pair(seed: u8) -> (World, Name, Name) {
    let mut world = World::new(seed);
    let ann = world.add_linked(None);
    let bob = world.add_linked(None);
    (world, ann, bob)
}

/// Received texts with what was known of their chats, each event once however often it came.
fn received(world: &World, name: Name) -> Vec<(String, Aliases)> {
    let mut seen = BTreeSet::new();
    let events = world.hosts[name.0].events.iter().filter(|envelope| seen.insert(envelope.id));
    let texts = events.filter_map(|envelope| match &envelope.event {
        Event::MessageReceived(message) => Some((text_in(&message.content)?, message.chat_aliases.clone())),
        _ => None,
    });
    texts.collect()
}

fn texts(world: &World, name: Name) -> Vec<String> {
    received(world, name).into_iter().map(|(text, _)| text).collect()
}

fn unreadable(world: &World, name: Name) -> usize {
    let events = world.hosts[name.0].events.iter();
    events.filter(|envelope| matches!(envelope.event, Event::MessageUndecryptable(_))).count()
}

fn was_queued(world: &World, name: Name, id: &MessageId) -> bool {
    let mut events = world.hosts[name.0].events.iter();
    events.any(|envelope| matches!(&envelope.event, Event::SendQueued { id: queued, .. } if queued == id))
}

fn sessions(store: &BTreeMap<Key, Record>) -> usize {
    store.keys().filter(|key| key.space == Space::Session).count()
}

/// What both sides know once the server has said all.
fn both(world: &World, name: Name) -> Aliases {
    let mut aliases = Aliases::default();
    aliases.pn = Some(world.pn(name));
    aliases.lid = Some(lid(world, name));
    aliases
}

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    /// Somebody (by number: Ann, her other companion, Bob) writes, to one of the two addresses of the other side.
    Send { from: usize, by_lid: bool },
    /// Ann or Bob is shown to others under one kind of address, or in kind, from now on.
    Show { whom: usize, addressing: Option<Addressing> },
    /// Somebody's process dies after carrying out this many outputs.
    Crash { whom: usize, outputs: usize },
    /// Somebody is away for a while: what is sent meanwhile waits.
    Away { whom: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let addressing = prop_oneof![Just(None), Just(Some(Addressing::Pn)), Just(Some(Addressing::Lid))];
    prop_oneof![
        6 => (0..3_usize, any::<bool>()).prop_map(|(from, by_lid)| Step::Send { from, by_lid }),
        2 => (0..2_usize, addressing).prop_map(|(whom, addressing)| Step::Show { whom, addressing }),
        2 => (0..3_usize, 0..40_usize).prop_map(|(whom, outputs)| Step::Crash { whom, outputs }),
        1 => (0..3_usize).prop_map(|whom| Step::Away { whom }),
    ]
}

/// Lets two people write to each other under both kinds of address. Until the step `reveal` nobody is told that both are
/// one, so that every device knows two peers where there is one; from then on everybody is.
fn converse(seed: u8, steps: &[Step], reveal: usize) {
    let mut world = World::new(seed);
    let ann = world.add_linked(None);
    let number = world.number(ann);
    let other = world.add_linked(Some(&number));
    let bob = world.add_linked(None);
    let names = [ann, other, bob];
    let (ann_pn, bob_pn) = (world.pn(ann), world.pn(bob));
    let addresses = [[world.pn(bob), lid(&world, bob)], [world.pn(ann), lid(&world, ann)]];
    for account in [&ann_pn, &bob_pn] {
        assert!(world.relay.hide_other_address(account, true));
    }
    let mut written = Vec::new();
    let mut write = |world: &mut World, from: usize, by_lid: bool| {
        let to = &addresses[usize::from(from == 2)][usize::from(by_lid)];
        let text = format!("{} from {from}", written.len());
        let id = world.send(names[from], to, &text);
        written.push((from, id, text));
    };
    let mut away = None;
    for (at, step) in steps.iter().enumerate() {
        if at == reveal {
            for account in [&ann_pn, &bob_pn] {
                assert!(world.relay.hide_other_address(account, false));
            }
        }
        match step {
            Step::Send { from, by_lid } => write(&mut world, *from, *by_lid),
            // Before the two are known to be one, answers under another address could not be read by anybody.
            Step::Show { .. } if at < reveal => {}
            Step::Show { whom, addressing } => {
                assert!(world.relay.set_addressing([&ann_pn, &bob_pn][*whom], *addressing));
            }
            Step::Crash { whom, outputs } => {
                let _ = world.settle_until(names[*whom], *outputs);
                world.crash(names[*whom]);
                world.connect(names[*whom]);
                world.pass_ms(3_000);
            }
            Step::Away { whom } => {
                if let Some(back) = away.replace(names[*whom]) {
                    world.connect(back);
                }
                world.disconnect(names[*whom]);
            }
        }
        // Some steps follow each other without rest, so that messages cross.
        if at % 3 != 0 {
            world.settle();
        }
    }
    for account in [&ann_pn, &bob_pn] {
        assert!(world.relay.hide_other_address(account, false));
    }
    names.into_iter().for_each(|name| world.connect(name));
    world.pass_ms(60_000);
    // Everybody hears from the other side once more, under a kind of address that may be new to them.
    for account in [&ann_pn, &bob_pn] {
        assert!(world.relay.set_addressing(account, Some(Addressing::Lid)));
    }
    for from in [0, 2, 1, 2] {
        write(&mut world, from, from == 0);
        world.pass_ms(3_000);
    }
    for (at, name) in names.into_iter().enumerate() {
        let got = texts(&world, name);
        for (from, id, text) in written.iter().filter(|(from, ..)| *from != at) {
            let times = got.iter().filter(|other| *other == text).count();
            // A send that was not durable yet when its process died may be gone, as it was never said to be queued.
            let least = usize::from(was_queued(&world, names[*from], id));
            assert!((least..=1).contains(&times), "{text}: {times} times for {at}");
        }
        assert_eq!(unreadable(&world, name), 0, "for {at}");
        let (_, last) = received(&world, name).pop().expect("a message");
        assert_eq!(last, both(&world, if at == 2 { ann } else { bob }), "one chat, for {at}");
    }
    // Bob: Ann's phone and her two companions, his own phone. Ann: Bob's two devices, her own phone and other companion.
    assert_eq!(sessions(&world.hosts[bob.0].store), 4);
    assert_eq!(sessions(&world.hosts[ann.0].store), 4);
}

proptest! {
    // The same cases every time; PROPTEST_CASES and PROPTEST_RNG_SEED look further.
    #![proptest_config(ProptestConfig {
        cases: 24,
        max_shrink_iters: 40,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(7),
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_address_is_used_when_every_message_is_read_once_in_one_chat(
        steps in prop::collection::vec(step(), 4..14),
        reveal in 0..14_usize,
        seed in any::<u8>(),
    ) {
        converse(seed, &steps, reveal);
    }
}

#[test]
fn two_chats_that_turn_out_to_be_one_keep_both_sessions_wherever_a_process_dies() {
    for outputs in (0..24).step_by(3) {
        for whom in [0, 2] {
            let steps = [
                Step::Send { from: 0, by_lid: false },
                Step::Away { whom: 1 },
                Step::Send { from: 2, by_lid: false },
                Step::Send { from: 2, by_lid: true },
                Step::Away { whom: 1 },
                Step::Send { from: 0, by_lid: true },
                Step::Send { from: 2, by_lid: false },
                // Told from here on; what was written before is still under way.
                Step::Send { from: 0, by_lid: false },
                Step::Send { from: 2, by_lid: true },
                Step::Crash { whom, outputs },
                Step::Send { from: 2, by_lid: false },
                Step::Send { from: 0, by_lid: true },
            ];
            converse(70 + u8::try_from(outputs).unwrap(), &steps, 7);
        }
    }
}

/// Takes from an event of one kind all that it says of people.
type Pick = fn(&Event) -> Option<Vec<Aliases>>;

/// The last event that `pick` takes aliases from.
fn last_aliases(world: &World, name: Name, pick: impl Fn(&Event) -> Option<Vec<Aliases>>) -> Option<Vec<Aliases>> {
    world.hosts[name.0].events.iter().rev().find_map(|envelope| pick(&envelope.event))
}

#[test]
fn every_event_says_all_that_is_known_of_whom_it_is_about() {
    let (mut world, ann, bob) = pair(90);
    let (now, ann_pn, bob_pn) = (world.now, world.pn(ann), world.pn(bob));
    assert!(world.relay.set_username(&ann_pn, Some("Ann.Lee")));
    let id = world.send(ann, &bob_pn, "hello");
    world.settle();
    let mut expected = both(&world, ann);
    expected.username = Username::parse("Ann.Lee");
    world.host(bob).client.set_presence(now, true).unwrap();
    world.host(bob).client.subscribe_presence(now, &ann_pn).unwrap();
    world.host(ann).client.set_presence(now, true).unwrap();
    world.settle();
    world.host(ann).client.send_chat_state(now, &bob_pn, whatsio_core::api::ChatState::Composing).unwrap();
    world.host(ann).client.mark_read(now, &bob_pn, &bob_pn, &[id]).unwrap();
    world.send(bob, &ann_pn, "answer");
    world.settle();
    let damaged = Node::new("message").with("id", "BAD").with("from", device(&world, ann)).with("t", "1790000001");
    let damaged = damaged.with_child(Node::new("enc").with("v", "2").with("type", "msg").with_bytes(vec![0; 60]));
    let to = device(&world, bob);
    assert!(world.relay.inject(world.now, &to, damaged));
    world.settle();
    let kinds: [Pick; 6] = [
        |event| match event {
            Event::MessageReceived(event) => Some(vec![event.chat_aliases.clone(), event.sender_aliases.clone()]),
            _ => None,
        },
        |event| match event {
            Event::MessageUndecryptable(event) => Some(vec![event.chat_aliases.clone(), event.sender_aliases.clone()]),
            _ => None,
        },
        |event| match event {
            Event::ReceiptReceived(event) => Some(vec![event.chat_aliases.clone(), event.sender_aliases.clone()]),
            _ => None,
        },
        |event| match event {
            Event::PresenceChanged(event) => Some(vec![event.user_aliases.clone()]),
            _ => None,
        },
        |event| match event {
            Event::ChatStateChanged(event) => Some(vec![event.chat_aliases.clone(), event.user_aliases.clone()]),
            _ => None,
        },
        |event| match event {
            Event::SendFinished(event) => Some(vec![event.chat_aliases.clone()]),
            _ => None,
        },
    ];
    for (at, kind) in kinds.into_iter().enumerate() {
        let said = last_aliases(&world, bob, kind).unwrap_or_else(|| panic!("no event of kind {at}"));
        assert!(said.iter().all(|aliases| *aliases == expected), "{at}: {said:?}");
    }
}

#[test]
fn a_username_learned_from_a_message_survives_a_restart_and_changes() {
    let (mut world, ann, bob) = pair(91);
    let (ann_pn, bob_pn) = (world.pn(ann), world.pn(bob));
    assert!(world.relay.set_username(&ann_pn, Some("ann")));
    world.send(ann, &bob_pn, "named");
    world.settle();
    assert!(world.relay.set_username(&ann_pn, None));
    world.crash(bob);
    world.connect(bob);
    world.pass_ms(3_000);
    world.send(ann, &bob_pn, "not said again");
    world.pass_ms(3_000);
    let named = |world: &World| received(world, bob).pop().map(|(_, aliases)| aliases.username);
    assert_eq!(named(&world), Some(Username::parse("ann")));
    assert!(world.relay.set_username(&ann_pn, Some("lee")));
    world.send(ann, &bob_pn, "renamed");
    world.settle();
    assert_eq!(named(&world), Some(Username::parse("lee")));
}

#[test]
fn a_number_that_stays_hidden_is_absent_and_messages_flow_both_ways() {
    let (mut world, ann, bob) = pair(92);
    let (ann_pn, bob_pn, ann_lid) = (world.pn(ann), world.pn(bob), lid(&world, ann));
    assert!(world.relay.set_addressing(&ann_pn, Some(Addressing::Lid)));
    assert!(world.relay.hide_other_address(&ann_pn, true));
    world.send(ann, &bob_pn, "guess who");
    world.settle();
    world.send(bob, &ann_lid, "you");
    world.settle();
    let (text, aliases) = received(&world, bob).pop().unwrap();
    assert_eq!((text.as_str(), aliases.pn, aliases.lid), ("guess who", None, Some(ann_lid)));
    assert_eq!(texts(&world, ann), ["you"]);
}

#[test]
fn a_changed_number_is_the_same_chat_and_the_former_number_still_leads_to_it() {
    let (mut world, ann, bob) = pair(93);
    let (old, ann_lid, bob_pn) = (world.pn(ann), lid(&world, ann), world.pn(bob));
    world.send(ann, &bob_pn, "before");
    world.settle();
    world.send(bob, &old, "answer");
    world.settle();
    assert!(world.relay.change_number(world.now, &old, "15550999999"));
    world.settle();
    let new = Jid::pn("15550999999");
    assert_eq!(world.pn(ann), new, "the own device knows its new number");
    world.send(ann, &bob_pn, "after");
    world.settle();
    world.crash(bob);
    world.connect(bob);
    world.pass_ms(3_000);
    // To the number that is no longer in use, as a caller who noted it long ago would.
    world.send(bob, &old, "to the old number");
    world.send(bob, &new, "to the new one");
    world.pass_ms(3_000);
    assert_eq!(texts(&world, ann), ["answer", "to the old number", "to the new one"]);
    let expected = Aliases::clone(&received(&world, bob).pop().unwrap().1);
    assert_eq!((expected.pn, expected.lid), (Some(new), Some(ann_lid)));
    assert_eq!(unreadable(&world, ann) + unreadable(&world, bob), 0);
    assert_eq!(sessions(&world.hosts[bob.0].store), 3, "her phone, her companion, his phone: none was lost or doubled");
    world.crash(ann);
    world.connect(ann);
    world.pass_ms(3_000);
    world.send(ann, &bob_pn, "and after a login");
    world.pass_ms(3_000);
    assert_eq!(texts(&world, bob), ["before", "after", "and after a login"]);
}

#[test]
fn a_message_under_a_former_number_that_waited_is_read_and_changes_nothing() {
    let (mut world, ann, bob) = pair(94);
    let (old, bob_pn) = (world.pn(ann), world.pn(bob));
    world.send(ann, &bob_pn, "first");
    world.settle();
    world.send(bob, &old, "answer");
    world.settle();
    assert!(world.relay.set_addressing(&old, Some(Addressing::Pn)));
    world.disconnect(bob);
    world.send(ann, &bob_pn, "under the old number");
    world.settle();
    world.pass_ms(60_000);
    world.relay.change_number(world.now, &old, "15550888888");
    world.connect(bob);
    world.pass_ms(3_000);
    world.send(ann, &bob_pn, "under the new one");
    world.pass_ms(3_000);
    assert_eq!(texts(&world, bob), ["first", "under the old number", "under the new one"]);
    assert_eq!(received(&world, bob).pop().unwrap().1.pn, Some(Jid::pn("15550888888")));
    assert_eq!(unreadable(&world, bob), 0);
}

#[test]
fn a_group_message_under_the_new_address_opens_with_the_key_given_under_the_old_one() {
    let (mut world, ann, bob) = pair(98);
    let (ann_pn, bob_pn, bob_lid) = (world.pn(ann), world.pn(bob), lid(&world, bob));
    let mut puppet = Puppet::planted(&mut world, &bob_pn, 13);
    let to = device(&world, ann);
    assert!(world.relay.hide_other_address(&bob_pn, true));
    assert!(world.relay.set_addressing(&bob_pn, Some(Addressing::Lid)));
    world.send(bob, &ann_pn, "by LID");
    world.settle();
    let mut rng = Rng::new(&Seed::new([98; 32]));
    let mut key = SenderKey::generate(&mut rng);
    let part = SenderKeyDistributionMessage {
        group_id: Some("1@g.us".into()),
        axolotl_sender_key_distribution_message: Some(key.distribution().encode().into()),
    };
    let part = Message { sender_key_distribution_message: Some(Box::new(part)), ..Default::default() };
    let given = puppet.enc(&mut world, &to, &part.encode_to_vec());
    let number = puppet.jid.device();
    let mut said = |id: &str, text: &str, participant: &Jid| {
        let padded = pad(&text_content(text), &mut rng);
        let bytes = key.encrypt(&padded, &mut rng).unwrap();
        let enc = Node::new("enc").with("v", "2").with("type", "skmsg").with_bytes(bytes);
        let node = Node::new("message").with("id", id).with("from", Jid::group("1")).with("t", "1790000000");
        (node.with("participant", participant.clone().with_device(number)), enc)
    };
    let (first, content) = said("G1", "under the number", &bob_pn);
    let identity = Node::new("device-identity").with_bytes(puppet.statement.clone().unwrap());
    let first = first.with_child(given).with_child(content).with_child(identity);
    let (second, content) = said("G2", "under the LID", &bob_lid);
    let second = second.with("participant_pn", bob_pn.clone()).with_child(content);
    let (third, content) = said("G3", "under the LID again", &bob_lid);
    for node in [first, second, third.with_child(content)] {
        assert!(world.relay.inject(world.now, &to, node));
        world.settle();
        world.crash(ann);
        world.connect(ann);
        world.pass_ms(3_000);
    }
    assert_eq!(texts(&world, ann), ["by LID", "under the number", "under the LID", "under the LID again"]);
    assert_eq!(unreadable(&world, ann), 0);
}

/// A protocol message with the phone's table of numbers and LIDs.
fn mapping(pairs: &[(&Jid, &Jid)]) -> Vec<u8> {
    let number = |jid: &Jid| jid.user().parse().ok();
    let pairs = pairs.iter().map(|(pn, lid)| LidMigrationMapping {
        pn: number(pn),
        assigned_lid: number(lid),
        latest_lid: None,
    });
    let payload = LidMigrationMappingSyncPayload { pn_to_lid_mappings: pairs.collect(), ..Default::default() };
    let sync = LidMigrationMappingSyncMessage { encoded_mapping_payload: Some(payload.encode_to_vec().into()) };
    let protocol = ProtocolMessage {
        r#type: i32::try_from(LID_MAPPING_SYNC).ok(),
        lid_migration_mapping_sync_message: Some(sync),
        ..Default::default()
    };
    Message { protocol_message: Some(Box::new(protocol)), ..Default::default() }.encode_to_vec()
}

#[test]
fn only_the_own_phone_is_believed_about_the_addresses_of_others() {
    let (mut world, ann, bob) = pair(95);
    let (ann_pn, bob_pn, bob_lid) = (world.pn(ann), world.pn(bob), lid(&world, bob));
    // Bob was met by number, Ann is not told his LID.
    assert!(world.relay.hide_other_address(&bob_pn, true));
    assert!(world.relay.set_addressing(&bob_pn, Some(Addressing::Pn)));
    world.send(bob, &ann_pn, "hello");
    world.settle();
    let to = device(&world, ann);
    let claim = mapping(&[(&bob_pn, &Jid::lid("666"))]);
    let mut mallory = Puppet::planted(&mut world, &bob_pn, 7);
    mallory.send(&mut world, &to, "3EB0EV11", &claim);
    let mut companion = Puppet::planted(&mut world, &ann_pn, 8);
    companion.send_peer(&mut world, &to, "3EB0EV12", &claim);
    world.settle();
    world.send(bob, &ann_pn, "still me");
    world.settle();
    assert_eq!(received(&world, ann).pop().unwrap().1.lid, None);

    let mut phone = Puppet::phone(&mut world, &ann_pn, 9);
    let honest =
        mapping(&[(&bob_pn, &bob_lid), (&ann_pn, &Jid::lid("777")), (&Jid::pn("15557777777"), &Jid::lid("7"))]);
    phone.send_peer(&mut world, &to, "3EB0900D", &honest);
    world.settle();
    world.send(bob, &ann_pn, "known now");
    world.settle();
    assert_eq!(received(&world, ann).pop().unwrap().1, both(&world, bob));
    assert_eq!(texts(&world, ann), ["hello", "still me", "known now"], "a table is nothing to show");
    assert_eq!(unreadable(&world, ann), 0);
    world.send(ann, &bob_lid, "to the LID of the table");
    world.settle();
    assert_eq!(texts(&world, bob), ["to the LID of the table"]);
}

#[test]
fn notes_to_oneself_and_copies_for_own_devices_are_one_chat_under_either_own_address() {
    let mut world = World::new(96);
    let ann = world.add_linked(None);
    let number = world.number(ann);
    let other = world.add_linked(Some(&number));
    let (ann_pn, ann_lid) = (world.pn(ann), lid(&world, ann));
    for (at, shown) in [None, Some(Addressing::Lid), Some(Addressing::Pn)].into_iter().enumerate() {
        assert!(world.relay.set_addressing(&ann_pn, shown));
        world.send(ann, &ann_pn, &format!("by number {at}"));
        world.settle();
        world.send(other, &ann_lid, &format!("by LID {at}"));
        world.settle();
    }
    assert_eq!(texts(&world, other), ["by number 0", "by number 1", "by number 2"]);
    assert_eq!(texts(&world, ann), ["by LID 0", "by LID 1", "by LID 2"]);
    for name in [ann, other] {
        assert!(received(&world, name).iter().all(|(_, aliases)| *aliases == both(&world, ann)));
        assert_eq!(unreadable(&world, name), 0);
    }
}

#[test]
fn an_answer_that_says_so_makes_the_next_send_ask_for_the_lid() {
    let (mut world, ann, bob) = pair(97);
    let (bob_pn, bob_lid) = (world.pn(bob), lid(&world, bob));
    let known = |world: &World| {
        last_aliases(world, ann, |event| match event {
            Event::SendFinished(report) => Some(vec![report.chat_aliases.clone()]),
            _ => None,
        })
    };
    assert!(world.relay.hide_other_address(&bob_pn, true));
    world.send(ann, &bob_pn, "by number");
    world.settle();
    assert_eq!(known(&world).unwrap()[0].lid, None);
    assert!(world.relay.hide_other_address(&bob_pn, false));
    world.send(ann, &bob_pn, "still by number: the list of devices is fresh");
    world.settle();
    assert_eq!(known(&world).unwrap()[0].lid, None);
    assert!(world.relay.set_addressing(&bob_pn, Some(Addressing::Lid)));
    world.send(ann, &bob_pn, "answered with a hint");
    world.settle();
    world.send(ann, &bob_pn, "by LID");
    world.settle();
    assert_eq!(known(&world).unwrap()[0].lid, Some(bob_lid));
    assert_eq!(texts(&world, bob).len(), 4);
}
