use whatsio_core::api::{Event, LinkStep, OpResult, Recommendation, Record, Space};
use whatsio_core::binary::Node;
use whatsio_core::crypto::Rng;
use whatsio_core::signal::SenderKey;
use whatsio_core::types::{Jid, Seed};
use whatsio_proto::e2e::{Message, SenderKeyDistributionMessage};
use whatsio_proto::prost::Message as _;
use whatsio_tests::puppet::Puppet;
use whatsio_tests::world::World;

#[test]
fn a_scanned_code_links_and_the_client_logs_in_by_itself() {
    let mut world = World::new(1);
    let ann = world.add_linked(None);
    let linked = world.event(ann, |event| match event {
        Event::Linked { jid, lid, .. } => Some((jid.clone(), lid.clone())),
        _ => None,
    });
    let (jid, lid) = linked.expect("linked");
    assert!(jid.device() > 0);
    assert_eq!(lid.expect("the relay gives a LID").device(), jid.device());
    assert!(world.hosts[ann.0].client.is_connected());
}

#[test]
fn the_identity_is_durable_before_the_phone_hears_of_it() {
    let mut world = World::new(2);
    let ann = world.add();
    let now = world.now;
    world.host(ann).client.connect(now).unwrap();
    world.settle();
    let text = world.event(ann, |event| match event {
        Event::QrShown { text, .. } => Some(text.clone()),
        _ => None,
    });
    world.host(ann).manners.hold_commits = true;
    world.relay.scan_qr(world.now, None, &text.unwrap()).unwrap();
    world.settle();
    assert_eq!(world.held_commits(ann), 1, "the answer to the phone waits for the store");
    assert!(world.event(ann, |event| matches!(event, Event::Linked { .. }).then_some(())).is_none());

    // The process dies: the store knows nothing of the link, and neither does the server.
    world.crash(ann);
    world.host(ann).manners.hold_commits = false;
    assert_eq!(world.hosts[ann.0].client.identity(), None);
    assert!(world.relay.accounts().iter().all(|account| account.devices.iter().all(|device| device.jid.device() == 0)));
    world.hosts[ann.0].events.clear();
    world.link(ann, None);
    assert!(world.hosts[ann.0].client.is_connected());
}

#[test]
fn codes_follow_each_other_and_end_with_a_typed_failure() {
    let mut world = World::new(3);
    let ann = world.add();
    world.connect(ann);
    world.pass_ms(59_000);
    let shown = |world: &World| {
        let events = world.hosts[ann.0].events.iter();
        events.filter(|envelope| matches!(envelope.event, Event::QrShown { .. })).count()
    };
    assert_eq!(shown(&world), 1, "the first code is good for a minute");
    world.pass_ms(2_000);
    assert_eq!(shown(&world), 2);
    world.pass_ms(100_000);
    assert_eq!(shown(&world), 6);
    let failure = world.event(ann, |event| match event {
        Event::LinkFailed(failure) => Some(failure.step),
        _ => None,
    });
    assert_eq!(failure, Some(LinkStep::Scan));
    let after = world.event(ann, |event| match event {
        Event::Disconnected(disconnect) => Some(disconnect.recommendation),
        _ => None,
    });
    assert_eq!(after, Some(Recommendation::Stop), "nobody is there to scan: no endless retries");
}

#[test]
fn a_removed_device_is_told_to_link_again_and_never_comes_back_with_its_keys() {
    let mut world = World::new(4);
    let ann = world.add_linked(None);
    let device = world.hosts[ann.0].client.identity().unwrap().jid;
    assert!(world.relay.remove_device(world.now, &device));
    world.settle();
    let after = world.event(ann, |event| match event {
        Event::Disconnected(disconnect) => Some((disconnect.reason.word(), disconnect.recommendation)),
        _ => None,
    });
    assert_eq!(after, Some(("logged-out", Recommendation::LinkAgain)));
    assert_eq!(world.hosts[ann.0].client.identity(), None);
    world.pass_ms(3_600_000);
    assert!(!world.hosts[ann.0].client.is_connected());
}

/// Records that hold a key, a session, an address or something that was sent.
fn secrets(world: &World, name: whatsio_tests::world::Name) -> usize {
    let kinds = [
        Space::Account,
        Space::ContactToken,
        Space::DeviceList,
        Space::Identity,
        Space::LidMap,
        Space::Outbox,
        Space::OutboxId,
        Space::Peer,
        Space::PreKey,
        Space::Session,
        Space::SessionArchive,
        Space::SignedPreKey,
    ];
    let store = &world.hosts[name.0].store;
    // What remains of the root records are the windows of inbox and outbox and the numbers of lives and of peers.
    let harmless = ["inbox", "outbox", "life", "peers"];
    store.keys().filter(|key| kinds.contains(&key.space) && !harmless.iter().any(|id| key.id == id)).count()
}

#[test]
fn an_unlinked_device_wipes_its_keys_even_over_a_crash_and_links_again_as_a_new_one() {
    // The process lives, or dies after so many commits of the wiping.
    for crash in [None, Some(1), Some(2), Some(3), Some(5), Some(8)] {
        let mut world = World::new(7);
        let ann = world.add_linked(None);
        let bob = world.add_linked(None);
        world.send(ann, &world.pn(bob), "before");
        world.settle();
        let device = world.hosts[ann.0].client.identity().unwrap().jid;
        assert!(secrets(&world, ann) > 800);
        let outbox = |key: &&whatsio_core::api::Key| key.space == Space::Outbox;
        assert!(world.hosts[ann.0].store.keys().any(|key| outbox(&key)), "what was sent is kept for a while");
        if crash.is_some() {
            world.host(ann).manners.hold_commits = true;
        }
        assert!(world.relay.remove_device(world.now, &device));
        world.settle();
        if let Some(commits) = crash {
            // So many commits get through, then the process dies.
            for _ in 0..commits {
                world.answer_one_commit(ann);
                world.settle();
            }
            world.crash(ann);
            world.host(ann).manners.hold_commits = false;
            world.settle();
        }
        assert_eq!(secrets(&world, ann), 0, "crash: {crash:?}");
        world.hosts[ann.0].events.clear();
        world.link(ann, None);
        world.send(ann, &world.pn(bob), "after");
        world.pass_ms(2_000);
        assert_eq!(world.texts(bob), ["before", "after"], "crash: {crash:?}");
    }
}

#[test]
fn group_keys_and_damaged_records_do_not_outlive_the_account_and_numbers_of_peers_are_not_used_again() {
    let mut world = World::new(8);
    let (ann, bob) = (world.add_linked(None), world.add_linked(None));
    let (to, bob_pn) = (world.hosts[ann.0].client.identity().unwrap().jid, world.pn(bob));
    let mut friend = Puppet::planted(&mut world, &bob_pn, 8);
    world.settle();
    for number in 0..40 {
        let mut rng = Rng::new(&Seed::new([number; 32]));
        let group = Jid::group(number.to_string());
        let part = SenderKeyDistributionMessage {
            group_id: Some(group.to_string()),
            axolotl_sender_key_distribution_message: Some(SenderKey::generate(&mut rng).distribution().encode().into()),
        };
        let part = Message { sender_key_distribution_message: Some(Box::new(part)), ..Default::default() };
        let node = Node::new("message").with("id", format!("G{number}")).with("from", group).with("t", "1790000000");
        let node = node.with("participant", friend.jid.clone()).with("type", "text");
        let node = node.with_child(friend.enc(&mut world, &to, &part.encode_to_vec()));
        let node = node.with_child(Node::new("device-identity").with_bytes(friend.statement.clone().unwrap()));
        assert!(world.relay.inject(world.now, &to, node));
        world.settle();
    }
    let left = |world: &World| {
        let kinds = [Space::SenderKey, Space::Quarantine, Space::Session, Space::Peer];
        world.hosts[ann.0].store.keys().filter(|key| kinds.contains(&key.space)).cloned().collect::<Vec<_>>()
    };
    assert_eq!(left(&world).iter().filter(|key| key.space == Space::SenderKey).count(), 40);
    let peers = |world: &World| {
        let of = left(world).into_iter().filter(|key| key.space == Space::Peer);
        of.filter_map(|key| Some(u64::from_be_bytes(*key.id.first_chunk()?)))
            .filter(|peer| *peer != 0)
            .collect::<Vec<_>>()
    };
    let before = peers(&world).into_iter().max().unwrap();
    world.send(ann, &bob_pn, "hello");
    world.settle();
    for (key, record) in &mut world.hosts[ann.0].store {
        if key.space == Space::DeviceList {
            *record = Record(vec![0xff].into());
        }
    }
    world.crash(ann);
    world.connect(ann);
    world.send(ann, &bob_pn, "over what was damaged");
    world.pass_ms(5_000);
    assert!(left(&world).iter().any(|key| key.space == Space::Quarantine));
    world.relay.remove_device(world.now, &to);
    world.settle();
    assert_eq!(left(&world), []);
    assert_eq!(secrets(&world, ann), 0);
    let store = world.hosts[ann.0].store.clone();
    world.crash(ann);
    world.settle();
    assert_eq!(world.hosts[ann.0].store.len(), store.len(), "nothing is left to delete");
    world.hosts[ann.0].events.clear();
    world.link(ann, None);
    world.send(ann, &bob_pn, "from another account");
    world.pass_ms(5_000);
    assert!(!peers(&world).is_empty() && peers(&world).iter().all(|peer| *peer > before), "{:?}", peers(&world));
}

#[test]
fn logging_out_unlinks_at_the_server_too() {
    let mut world = World::new(5);
    let ann = world.add_linked(None);
    let now = world.now;
    world.host(ann).client.log_out(now).unwrap();
    world.settle();
    world.pass_ms(1_000);
    assert_eq!(world.hosts[ann.0].client.identity(), None);
    assert!(world.relay.accounts().iter().all(|account| account.devices.iter().all(|device| device.jid.device() == 0)));
}

#[test]
fn a_second_connection_of_one_device_replaces_the_first_which_stays_down() {
    let mut world = World::new(6);
    let ann = world.add_linked(None);
    let twin = {
        let store = world.hosts[ann.0].store.clone();
        let twin = world.add();
        world.host(twin).store = store;
        world.crash(twin);
        twin
    };
    world.connect(twin);
    world.pass_until(60_000, |world| world.hosts[twin.0].client.is_connected());
    let after = world.event(ann, |event| match event {
        Event::Disconnected(disconnect) => Some((disconnect.reason.word(), disconnect.recommendation)),
        _ => None,
    });
    assert_eq!(after, Some(("replaced", Recommendation::Replaced)));
    world.pass_ms(3_600_000);
    assert!(!world.hosts[ann.0].client.is_connected());
    assert!(world.hosts[twin.0].client.is_connected());
}

#[test]
fn a_device_removed_while_it_was_offline_learns_so_at_its_next_login_and_links_again() {
    let mut world = World::new(8);
    let ann = world.add_linked(None);
    let device = world.hosts[ann.0].client.identity().unwrap().jid;
    world.disconnect(ann);
    assert!(world.relay.remove_device(world.now, &device));
    world.hosts[ann.0].events.clear();
    world.connect(ann);
    world.pass_ms(1_000);
    let after = world.event(ann, |event| match event {
        Event::Disconnected(disconnect) => {
            Some((disconnect.reason.word(), disconnect.reason.code(), disconnect.recommendation))
        }
        _ => None,
    });
    assert_eq!(after, Some(("logged-out", Some(401), Recommendation::LinkAgain)));
    assert_eq!(secrets(&world, ann), 0);
    assert_eq!(world.hosts[ann.0].client.identity(), None);
    world.hosts[ann.0].events.clear();
    world.link(ann, None);
    assert!(world.hosts[ann.0].client.is_connected());
}

#[test]
fn logging_out_without_a_connection_says_so_and_changes_nothing() {
    let mut world = World::new(9);
    let ann = world.add_linked(None);
    world.disconnect(ann);
    let now = world.now;
    world.host(ann).client.log_out(now).unwrap();
    world.settle();
    let result = world.event(ann, |event| match event {
        Event::OperationFinished { result, .. } => Some(result.clone()),
        _ => None,
    });
    assert_eq!(result, Some(OpResult::Lost));
    world.connect(ann);
    world.pass_until(60_000, |world| world.hosts[ann.0].client.is_connected());
}

#[test]
fn logging_out_ends_the_operation_then_the_connection_and_wipes_the_keys() {
    let mut world = World::new(10);
    let ann = world.add_linked(None);
    world.hosts[ann.0].events.clear();
    let now = world.now;
    world.host(ann).client.log_out(now).unwrap();
    world.pass_ms(1_000);
    let told: Vec<_> = world.hosts[ann.0].events.iter().map(|envelope| &envelope.event).collect();
    assert!(
        matches!(
            told[..],
            [Event::OperationFinished { result: OpResult::Done, .. }, Event::Disconnected(disconnect)]
            if disconnect.recommendation == Recommendation::LinkAgain
        ),
        "{told:?}"
    );
    assert_eq!(secrets(&world, ann), 0);
}
