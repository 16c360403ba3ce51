//! Much at once, and an application that takes its time.

use whatsio_core::api::{Config, Event, Input, ProtocolProfile};
use whatsio_tests::puppet::Puppet;
use whatsio_tests::world::{World, text_content};

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
        assert!(held <= most, "{open} open, {} in all, {held} frames were taken, {handled} events handled", host.events.len());
        assert!(host.client.cached_bytes() <= CACHE + SLACK_BYTES, "{} bytes", host.client.cached_bytes());
        if open >= INBOX {
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
