//! Much at once, and an application that takes its time.

use prost::Message as _;
use std::collections::BTreeSet;
use whatsio_core::api::{Commit, CommitId, Config, Event, Input, Output, ProtocolProfile};
use whatsio_core::binary::Node;
use whatsio_core::crypto::Rng;
use whatsio_core::message::pad;
use whatsio_core::signal::SenderKey;
use whatsio_core::types::{Jid, Seed};
use whatsio_proto::e2e::{Message, SenderKeyDistributionMessage};
use whatsio_store::{AccountId, SqliteStore, Store};
use whatsio_tests::puppet::Puppet;
use whatsio_tests::world::{Name, World, text_content};

const MESSAGES: usize = 3_000;
const INBOX: usize = 64;
const WAITING: usize = 32;
const CACHE: usize = 64 * 1024;
/// What a client may hold beyond its limits: what one step reads, and the frames of its own business.
const SLACK: usize = 16;
/// Answers to keep-alives come at most so often.
const PONG_MS: u64 = 10_000;
const SLACK_BYTES: usize = 64 * 1024;

#[test]
fn an_application_that_takes_a_second_per_event_bounds_memory_and_gets_everything_in_order() {
    let mut world = World::new(150);
    let mut config = Config::default();
    config.profile = ProtocolProfile::default();
    config.profile.root_key = world.relay.root_key();
    config.limits.inbox_events = INBOX;
    config.limits.stanzas_waiting = WAITING;
    config.limits.cache_bytes = CACHE;
    let ann = world.add_linked(None);
    let bob = world.add_with(config);
    world.link(bob, None);
    let author = world.pn(ann);
    let mut friend = Puppet::planted(&mut world, &author, 1);
    let to = world.hosts[bob.0].client.identity().unwrap().jid;
    world.disconnect(bob);
    let expected: Vec<String> = (0..MESSAGES).map(|number| number.to_string()).collect();
    for text in &expected {
        friend.send(&mut world, &to, &format!("ID{text}"), &text_content(text));
    }
    world.settle();
    world.host(bob).manners.ignore_events = true;
    let first = world.hosts[bob.0].events.len();
    let frames = world.hosts[bob.0].taken;
    world.connect(bob);

    let (mut next, mut handled, mut cuts, mut seconds_full) = (first, 0, 0, 0);
    let (mut since_cut, start) = ((frames, 0), world.now.mono);
    while handled < MESSAGES {
        world.pass_ms(1_000);
        let host = &world.hosts[bob.0];
        let open = host.events[next..].iter().filter(|envelope| envelope.durable).count();
        assert!(open <= INBOX + WAITING + SLACK, "{open} events wait at {handled}");
        let held = host.taken - since_cut.0;
        let pongs = usize::try_from((world.now.mono - start) / PONG_MS).unwrap();
        let most = handled - since_cut.1 + INBOX + WAITING + SLACK + pongs;
        // Once all messages are in, what follows are the server's words about receipts.
        assert!(handled + open >= MESSAGES || held <= most, "{held} frames were taken, {handled} events handled");
        assert!(host.client.cached_bytes() <= CACHE + SLACK_BYTES, "{} bytes", host.client.cached_bytes());
        if open >= INBOX && host.client.is_connected() {
            assert!(!host.client.wants_frames(), "full, and wants more, at {handled}");
            seconds_full += 1;
        }
        let found = host.events[next..].iter().position(|envelope| envelope.durable);
        let Some(found) = found else { continue };
        let id = host.events[next + found].id;
        handled += usize::from(matches!(host.events[next + found].event, Event::MessageReceived(_)));
        next += found + 1;
        let now = world.clock(bob);
        world.host(bob).client.handle(now, Input::Handled(id)).unwrap();
        world.settle();
        if handled == MESSAGES / 2 && cuts == 0 {
            cuts += 1;
            world.cut(bob);
            world.settle();
            // What it holds now was counted before.
            since_cut = (world.hosts[bob.0].taken, handled);
        }
    }
    assert!(seconds_full > MESSAGES / 2, "the application was the slow one");
    assert_eq!(world.texts(bob), expected, "in order, each once");
    world.pass_ms(60_000);
    assert_eq!(world.texts(bob).len(), MESSAGES, "nothing comes late");
    assert_eq!(world.unread(bob), 0, "and nothing is parked");
    let client = &world.hosts[bob.0].client;
    assert!(client.wants_frames() && client.is_settled() && client.is_connected());
    world.host(bob).manners.ignore_events = false;
    world.send(ann, &to.to_user(), "after");
    world.settle();
    assert_eq!(world.texts(bob).last().map(String::as_str), Some("after"));
}

/// Carries out everything with records kept in `store` alone, which takes its time: a commit is done when nothing else
/// is left to do. Counts commits.
fn settle_on(world: &mut World, name: Name, store: &SqliteStore, account: &AccountId) -> usize {
    let mut commits = 0;
    let mut writing = None;
    loop {
        let next = world.settle_until(name, 0);
        let now = world.clock(name);
        let Some(output) = next else {
            let Some(commit) = writing.take() else { return commits };
            let commit: Commit = commit;
            let id = commit.id;
            assert_eq!(store.commit(&[(account.clone(), commit)]), [Ok(())]);
            world.host(name).client.handle(now, Input::Committed(id)).unwrap();
            continue;
        };
        let client = &mut world.host(name).client;
        match output {
            Output::Load(request) => {
                let records = store.load(account, &request.keys).unwrap();
                client.handle(now, Input::Loaded(request.id, records)).unwrap();
            }
            Output::Commit(commit) => {
                commits += 1;
                assert!(writing.replace(commit).is_none(), "one at a time");
            }
            output => world.carry_out(name, output),
        }
    }
}

#[test]
fn a_burst_of_status_messages_is_read_whole_from_sqlite_with_at_most_a_commit_for_each() {
    const STATUSES: usize = 2_000;
    const AUTHORS: usize = 4;
    let mut world = World::new(151);
    let (ann, bob) = (world.add_linked(None), world.add_linked(None));
    let (author, to) = (world.pn(ann), world.hosts[bob.0].client.identity().unwrap().jid);
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("bob.db")).unwrap();
    let account = AccountId::new("bob").unwrap();
    let host = world.host(bob);
    let writes = host.store.iter().map(|(key, record)| (key.clone(), Some(record.clone()))).collect();
    let all = Commit { id: CommitId(0), epoch: host.epoch(), writes };
    assert_eq!(store.commit(&[(account.clone(), all)]), [Ok(())]);
    host.store.clear();

    let mut rng = Rng::new(&Seed::new([151; 32]));
    let status: Jid = "status@broadcast".parse().unwrap();
    let mut authors = Vec::new();
    for number in 0..AUTHORS {
        let puppet = Puppet::planted(&mut world, &author, u8::try_from(number).unwrap() + 1);
        authors.push((puppet, SenderKey::generate(&mut rng), true));
    }
    settle_on(&mut world, bob, &store, &account);
    let mut expected = BTreeSet::new();
    for number in 0..STATUSES {
        let (puppet, key, is_first) = &mut authors[number % AUTHORS];
        let text = number.to_string();
        let mut node = Node::new("message")
            .with("id", format!("S{number}"))
            .with("from", status.clone())
            .with("participant", puppet.jid.clone())
            .with("type", "text")
            .with("t", "1790000000");
        if std::mem::take(is_first) {
            let part = SenderKeyDistributionMessage {
                group_id: Some(status.to_string()),
                axolotl_sender_key_distribution_message: Some(key.distribution().encode().into()),
            };
            let part = Message { sender_key_distribution_message: Some(Box::new(part)), ..Default::default() };
            let given = puppet.enc(&mut world, &to, &part.encode_to_vec());
            let identity = Node::new("device-identity").with_bytes(puppet.statement.clone().unwrap());
            node = node.with_child(given).with_child(identity);
        }
        let bytes = key.encrypt(&pad(&text_content(&text), &mut rng), &mut rng).unwrap();
        node = node.with_child(Node::new("enc").with("v", "2").with("type", "skmsg").with_bytes(bytes));
        assert!(world.relay.inject(world.now, &to, node));
        expected.insert(text);
    }
    let commits = settle_on(&mut world, bob, &store, &account);
    let texts = world.texts(bob);
    assert_eq!(texts.len(), STATUSES, "each once");
    assert_eq!(texts.into_iter().collect::<BTreeSet<_>>(), expected);
    let unread = world.event(bob, |event| matches!(event, Event::MessageUndecryptable(_)).then_some(()));
    assert_eq!(unread, None, "nothing failed to decrypt");
    assert!(commits <= STATUSES, "{commits} commits for {STATUSES} statuses");
    assert!(world.host(bob).store.is_empty(), "all from SQLite");
}
