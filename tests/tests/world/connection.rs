//! How connections end and what follows; what stalls and what does not; what survives a clock that jumps.

use whatsio_core::api::{
    BanReason, CommitError, ConnectionPhase, Disconnect, DisconnectReason as Reason, Event, Input, Output,
    ProtocolProfile, Recommendation, Stage,
};
use whatsio_core::relay::{LoginRefusal, RequestFault, StreamFault};
use whatsio_core::types::Jid;
use whatsio_tests::world::{Name, World};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// What a client does about an ending, counted in connections asked for within an hour of it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    /// None, and it says what to do.
    Never(Recommendation),
    /// The first one at once.
    AtOnce,
    /// The first one after a pause, and at most this many.
    Pauses(usize),
    /// Exactly this many.
    Tries(usize),
}

fn disconnects(world: &World, name: Name) -> Vec<Disconnect> {
    let all = world.hosts[name.0].events.iter().filter_map(|envelope| match &envelope.event {
        Event::Disconnected(disconnect) => Some(disconnect.clone()),
        _ => None,
    });
    all.collect()
}

fn stalls(world: &World, name: Name) -> Vec<(Stage, bool)> {
    let all = world.hosts[name.0].events.iter().filter_map(|envelope| match &envelope.event {
        Event::Stalled { stage, .. } => Some((*stage, true)),
        Event::Resumed { stage } => Some((*stage, false)),
        _ => None,
    });
    all.collect()
}

fn forget(world: &mut World, name: Name) {
    let host = world.host(name);
    host.events.clear();
    host.opens.clear();
    host.written.clear();
}

fn is_up(world: &World, name: Name) -> bool {
    world.hosts[name.0].client.is_connected()
}

fn device(world: &World, name: Name) -> Jid {
    world.hosts[name.0].client.identity().expect("linked").jid
}

/// Brings the client up with a connection that counts as good.
fn settle_in(world: &mut World, name: Name) {
    if world.hosts[name.0].client.identity().is_none() {
        world.link(name, None);
    } else if !is_up(world, name) {
        world.connect(name);
        world.pass_until(HOUR, |world| is_up(world, name));
    }
    world.pass_ms(11 * SECOND);
    forget(world, name);
}

fn check(world: &World, name: Name, then: Then, began: u64, row: &str) {
    let opens: Vec<u64> = world.hosts[name.0].opens.iter().map(|at| at - began).collect();
    let told = disconnects(world, name);
    match then {
        Then::Never(recommendation) => {
            assert!(opens.is_empty(), "{row}: {opens:?}");
            assert_eq!(told.last().expect("told").recommendation, recommendation, "{row}");
        }
        Then::AtOnce => assert_eq!(opens.first(), Some(&0), "{row}"),
        Then::Pauses(most) => {
            assert!(opens.first().is_some_and(|first| *first >= 900) && opens.len() <= most, "{row}: {opens:?}");
            assert!(told.iter().all(|end| end.recommendation.reconnects()), "{row}");
        }
        Then::Tries(count) => {
            assert_eq!(opens.len(), count, "{row}: {opens:?}");
            assert_eq!(told.last().expect("told").recommendation, Recommendation::Stop, "{row}");
        }
    }
}

#[test]
fn every_refusal_at_login_has_its_meaning_and_its_consequence() {
    let mut world = World::new(1);
    let ann = world.add_linked(None);
    let announced = ProtocolProfile::default().version;
    let busy = |code| (Reason::ServerBusy { code }, Then::Pauses(19));
    let refused = |code| (Reason::Refused { code }, Then::Never(Recommendation::Stop));
    let gone = |code| (Reason::LoggedOut { code }, Then::Never(Recommendation::LinkAgain));
    let ban = Reason::TemporarilyBanned { ban: BanReason::SameMessage, expires_in_s: Some(7200) };
    let rows = [
        (400, refused(400)),
        (401, gone(401)),
        (402, (ban, Then::Never(Recommendation::Locked))),
        (403, (Reason::Locked, Then::Never(Recommendation::Locked))),
        (405, (Reason::Outdated { announced }, Then::Never(Recommendation::UpdateProfile))),
        (406, (Reason::Banned, Then::Never(Recommendation::Locked))),
        (409, refused(409)),
        (413, refused(413)),
        (414, refused(414)),
        (415, refused(415)),
        (418, refused(418)),
        (419, gone(419)),
        (429, (Reason::ServerBusy { code: 429 }, Then::Pauses(8))),
        (500, busy(500)),
        (501, (Reason::ServerBusy { code: 501 }, Then::Tries(3))),
        (503, busy(503)),
        // Without a reason.
        (0, busy(500)),
    ];
    for (code, (reason, then)) in rows {
        settle_in(&mut world, ann);
        world.disconnect(ann);
        let (ban, expire) = if code == 402 { (Some(104), Some(7200)) } else { (None, None) };
        let (message, url) = (Some("not like this"), Some("https://example.org/help"));
        let refusal = LoginRefusal { reason: code, code: ban, expire, message, url };
        world.relay.faults().refuse_logins_with(u32::MAX, refusal);
        world.connect(ann);
        forget(&mut world, ann);
        let began = world.now.mono;
        world.pass_ms(HOUR);
        if matches!(then, Then::Never(_)) {
            // The client was told before the hour began.
            assert!(world.hosts[ann.0].opens.is_empty(), "{code}");
            world.relay.faults().refuse_logins_with(1, refusal);
            forget(&mut world, ann);
            if world.hosts[ann.0].client.identity().is_some() {
                world.connect(ann);
                world.pass_ms(SECOND);
                let last = disconnects(&world, ann).pop().expect("told");
                assert_eq!(last.reason, reason, "{code}");
                let notice = last.notice.expect("the server's words");
                assert_eq!(notice.message.as_deref(), message);
                assert_eq!(notice.url.as_deref(), url);
                world.host(ann).opens.clear();
                check(&world, ann, then, began, &format!("{code}"));
            } else {
                assert_eq!(then, Then::Never(Recommendation::LinkAgain));
            }
            world.relay.faults().clear();
            continue;
        }
        check(&world, ann, then, began, &format!("{code}"));
        assert!(disconnects(&world, ann).iter().all(|end| end.reason == reason), "{code}");
        world.relay.faults().clear();
        if matches!(then, Then::Pauses(_)) {
            world.pass_until(17 * MINUTE, |world| is_up(world, ann));
        }
    }
}

#[test]
fn every_end_of_a_stream_has_its_meaning_and_its_consequence() {
    let mut world = World::new(2);
    let ann = world.add_linked(None);
    let replaced = || (Some(Reason::Replaced), Then::Never(Recommendation::Replaced));
    let gone = |code| (Some(Reason::LoggedOut { code }), Then::Never(Recommendation::LinkAgain));
    let pause = |reason| (Some(reason), Then::Pauses(1));
    let rows = [
        (StreamFault::Code(515), (None, Then::AtOnce)),
        (StreamFault::Code(516), gone(516)),
        (StreamFault::Code(401), gone(401)),
        (StreamFault::Removed, gone(401)),
        (StreamFault::Replaced(None), replaced()),
        (StreamFault::Replaced(Some(440)), replaced()),
        (StreamFault::Code(409), replaced()),
        (StreamFault::Code(429), pause(Reason::ServerBusy { code: 429 })),
        (StreamFault::Code(503), pause(Reason::ServerBusy { code: 503 })),
        (StreamFault::Code(500), pause(Reason::ServerBusy { code: 500 })),
        (StreamFault::Code(777), pause(Reason::StreamError { code: Some(777) })),
        (StreamFault::Unnamed, pause(Reason::StreamError { code: None })),
        (StreamFault::BadAck, pause(Reason::BadAck { id: Some("77".into()) })),
        (StreamFault::NotWellFormed, pause(Reason::Malformed)),
        (StreamFault::End, pause(Reason::ByServer)),
        (StreamFault::Close, pause(Reason::ByServer)),
    ];
    for (fault, (reason, then)) in rows {
        settle_in(&mut world, ann);
        let device = device(&world, ann);
        let began = world.now.mono;
        assert!(world.relay.end_stream(world.now, &device, fault));
        world.settle();
        world.pass_ms(10 * MINUTE);
        check(&world, ann, then, began, &format!("{fault:?}"));
        let told: Vec<Reason> = disconnects(&world, ann).into_iter().map(|end| end.reason).collect();
        assert_eq!(told, Vec::from_iter(reason), "{fault:?}");
        assert_eq!(is_up(&world, ann), !matches!(then, Then::Never(_)), "{fault:?}");
    }
}

#[test]
fn a_cut_and_a_host_that_cannot_connect_are_told_apart_and_waited_out() {
    let mut world = World::new(3);
    let ann = world.add_linked(None);
    world.pass_ms(11 * SECOND);
    forget(&mut world, ann);
    world.cut(ann);
    world.settle();
    world.unreachable = true;
    world.pass_ms(HOUR);
    let reasons: Vec<Reason> = disconnects(&world, ann).into_iter().map(|end| end.reason).collect();
    assert_eq!(reasons[0], Reason::Broken);
    assert!(reasons.len() > 5 && reasons[1..].iter().all(|reason| *reason == Reason::Unreachable), "{reasons:?}");
    assert!(world.hosts[ann.0].opens.len() <= 19, "{:?}", world.hosts[ann.0].opens);
    assert!(world.hosts[ann.0].client.health(world.now).failures >= 5);
    world.unreachable = false;
    world.pass_until(17 * MINUTE, |world| is_up(world, ann));
    world.pass_ms(11 * SECOND);
    world.cut(ann);
    assert_eq!(world.hosts[ann.0].client.health(world.now).failures, 1, "a stable connection ends the row");
}

/// Ends every connection as soon as it is up, for an hour, and says how many were asked for.
fn connections_in_an_hour(seed: u8, fault: StreamFault, application_insists: bool) -> usize {
    let mut world = World::new(seed);
    let ann = world.add_linked(None);
    world.pass_ms(11 * SECOND);
    forget(&mut world, ann);
    let device = device(&world, ann);
    let end = world.now.mono + HOUR;
    while world.now.mono < end {
        assert!(world.hosts[ann.0].opens.len() < 100, "it comes back again and again");
        if is_up(&world, ann) {
            world.relay.end_stream(world.now, &device, fault);
            world.settle();
        }
        if application_insists && !is_up(&world, ann) {
            let now = world.now;
            world.host(ann).client.connect(now).unwrap();
            world.settle();
        }
        if !is_up(&world, ann) {
            world.pass(end - world.now.mono);
        }
    }
    world.hosts[ann.0].opens.len()
}

#[test]
fn short_connections_do_not_reset_the_pauses() {
    for (seed, fault) in [(4, StreamFault::Close), (5, StreamFault::Code(503)), (6, StreamFault::Code(515))] {
        let count = connections_in_an_hour(seed, fault, false);
        assert!((10..=20).contains(&count), "{fault:?}: {count}");
    }
    let less_haste = connections_in_an_hour(7, StreamFault::Code(429), false);
    assert!((3..=8).contains(&less_haste), "five steps at a time: {less_haste}");
}

#[test]
fn a_replaced_client_never_comes_back_by_itself_and_rarely_when_the_application_insists() {
    assert_eq!(connections_in_an_hour(8, StreamFault::Replaced(None), false), 0);
    let insisting = connections_in_an_hour(9, StreamFault::Replaced(None), true);
    assert!((5..=20).contains(&insisting), "{insisting}");
}

#[test]
fn a_client_whose_bytes_the_server_cannot_read_tries_once_more_and_gives_up() {
    assert_eq!(connections_in_an_hour(10, StreamFault::NotWellFormed, false), 1);
}

#[test]
fn an_outdated_client_waits_for_another_profile_and_nothing_is_restarted() {
    let mut world = World::new(11);
    let ann = world.add_linked(None);
    let bob = world.add_linked(None);
    world.relay.require_version(Some((9, 0, 0)));
    world.disconnect(ann);
    world.connect(ann);
    world.send(bob, &world.pn(ann), "are you there?");
    world.settle();
    for name in [ann, bob] {
        world.host(name).opens.clear();
    }
    world.pass_ms(24 * HOUR);
    let end = disconnects(&world, ann).pop().expect("told");
    assert_eq!(end.reason, Reason::Outdated { announced: ProtocolProfile::default().version });
    assert_eq!(end.recommendation, Recommendation::UpdateProfile);
    assert!(world.hosts[ann.0].opens.is_empty(), "no retry loop");

    let mut profile = ProtocolProfile::default();
    profile.root_key = world.relay.root_key();
    let now = world.now;
    world.host(ann).client.set_profile(now, profile.clone()).unwrap();
    world.settle();
    assert_eq!(world.hosts[ann.0].opens.len(), 0, "the same profile would be refused again");
    profile.version = [9, 0, 1];
    world.host(ann).client.set_profile(now, profile).unwrap();
    world.pass_until(MINUTE, |world| is_up(world, ann));
    world.settle();
    assert_eq!(world.texts(ann), ["are you there?"]);
    assert_eq!(world.hosts[ann.0].client.health(world.now).version, [9, 0, 1]);
    assert!(world.hosts[bob.0].opens.is_empty() && is_up(&world, bob), "nobody else is disturbed");
}

#[test]
fn a_profile_swapped_while_up_counts_from_the_next_connection_and_a_stopped_client_stays_stopped() {
    let mut world = World::new(12);
    let ann = world.add_linked(None);
    forget(&mut world, ann);
    let mut profile = ProtocolProfile::default();
    profile.root_key = world.relay.root_key();
    profile.version = [9, 0, 1];
    let now = world.now;
    world.host(ann).client.set_profile(now, profile.clone()).unwrap();
    world.pass_ms(MINUTE);
    assert!(is_up(&world, ann) && world.hosts[ann.0].opens.is_empty());
    world.disconnect(ann);
    profile.version = [9, 0, 2];
    world.host(ann).client.set_profile(now, profile).unwrap();
    world.pass_ms(HOUR);
    assert!(world.hosts[ann.0].opens.is_empty(), "its user wants it down");
    world.relay.require_version(Some((9, 0, 2)));
    world.connect(ann);
    world.pass_until(MINUTE, |world| is_up(world, ann));
}

#[test]
fn the_server_may_announce_when_a_version_expires() {
    let mut world = World::new(13);
    let ann = world.add_linked(None);
    let device = device(&world, ann);
    assert!(world.relay.announce_expiration(&device, 1_900_000_000));
    world.settle();
    let at = world.event(ann, |event| match event {
        Event::ClientExpiring { at } => Some(*at),
        _ => None,
    });
    assert_eq!(at, Some(Some(1_900_000_000)));
}

#[test]
fn a_deaf_application_is_told_apart_from_a_deaf_connection_and_memory_stays_bounded() {
    let mut world = World::new(14);
    let ann = world.add_linked(None);
    let mut config = whatsio_core::api::Config::default();
    config.profile.root_key = world.relay.root_key();
    config.limits.inbox_events = 5;
    let bob = world.add_with(config);
    world.link(bob, None);
    world.pass_ms(11 * SECOND);
    forget(&mut world, bob);
    world.host(bob).manners.ignore_events = true;
    for number in 0..40 {
        world.send(ann, &world.pn(bob), &number.to_string());
    }
    world.settle();
    world.pass_ms(59 * SECOND);
    assert!(stalls(&world, bob).is_empty(), "within its limit");
    let began = world.now.mono - 59 * SECOND;
    let health = world.hosts[bob.0].client.health(world.now);
    assert!(health.waiting_ms.contains(&(Stage::Application, 59 * SECOND)), "{health:?}");
    world.pass_ms(8 * HOUR);
    assert_eq!(stalls(&world, bob), [(Stage::Application, true)], "told once");
    let since = world.event(bob, |event| match event {
        Event::Stalled { since_ms, .. } => Some(*since_ms),
        _ => None,
    });
    assert_eq!(since, Some(began));
    assert!(world.hosts[bob.0].opens.is_empty(), "a reconnect does not wake an application");
    let health = world.hosts[bob.0].client.health(world.now);
    assert!(health.inbox <= 6 && health.stanzas_waiting <= 256 && health.cached_bytes < 2 << 20, "{health:?}");
    assert_eq!(health.stalled, [Stage::Application]);

    world.host(bob).manners.ignore_events = false;
    let now = world.now;
    let events: Vec<_> = world.hosts[bob.0].events.iter().filter(|event| event.durable).map(|event| event.id).collect();
    for id in events {
        let _ = world.host(bob).client.handle(now, Input::Handled(id));
    }
    world.pass_until(10 * MINUTE, |world| world.texts(bob).len() >= 40);
    assert_eq!(stalls(&world, bob), [(Stage::Application, true), (Stage::Application, false)]);
}

#[test]
fn a_store_that_does_not_answer_is_told_and_never_answered_with_a_reconnect() {
    let mut world = World::new(15);
    let ann = world.add_linked(None);
    let bob = world.add_linked(None);
    world.pass_ms(11 * SECOND);
    forget(&mut world, ann);
    world.host(ann).manners.hold_commits = true;
    world.send(ann, &world.pn(bob), "later");
    world.settle();
    world.pass_ms(9 * SECOND);
    assert!(stalls(&world, ann).is_empty());
    world.pass_ms(HOUR);
    assert_eq!(stalls(&world, ann), [(Stage::Store, true)]);
    assert!(world.hosts[ann.0].opens.is_empty() && is_up(&world, ann));
    world.host(ann).manners.hold_commits = false;
    world.answer_commits(ann, Ok(()));
    world.settle();
    assert_eq!(stalls(&world, ann), [(Stage::Store, true), (Stage::Store, false)]);
    assert_eq!(world.texts(bob), ["later"]);
}

#[test]
fn a_store_that_is_busy_for_long_is_a_stall_too() {
    let mut world = World::new(16);
    let ann = world.add_linked(None);
    let bob = world.add_linked(None);
    forget(&mut world, ann);
    world.host(ann).manners.hold_commits = true;
    world.send(ann, &world.pn(bob), "later");
    for _ in 0..40 {
        world.answer_commits(ann, Err(CommitError::Retry));
        world.pass_ms(SECOND);
    }
    assert_eq!(stalls(&world, ann), [(Stage::Store, true)], "each answer is an answer, but nothing is stored");
}

#[test]
fn a_stanza_that_waits_for_a_record_is_a_stall_of_processing_and_of_the_store() {
    let mut world = World::new(17);
    let ann = world.add_linked(None);
    let bob = world.add_linked(None);
    world.send(ann, &world.pn(bob), "one");
    world.pass_ms(11 * SECOND);
    forget(&mut world, bob);
    world.host(bob).client.trim(0);
    world.host(bob).manners.hold_loads = true;
    world.send(ann, &world.pn(bob), "two");
    world.settle();
    world.pass_ms(8 * HOUR);
    assert_eq!(stalls(&world, bob), [(Stage::Store, true), (Stage::Processing, true)]);
    assert!(world.hosts[bob.0].opens.is_empty(), "a reconnect does not mend a store");
    world.host(bob).manners.hold_loads = false;
    world.answer_loads(bob);
    world.settle();
    assert_eq!(world.texts(bob), ["two"]);
    assert_eq!(stalls(&world, bob)[2..], [(Stage::Store, false), (Stage::Processing, false)]);
}

#[test]
fn a_server_that_stops_to_answer_is_told_first_and_then_given_up() {
    let mut world = World::new(18);
    let ann = world.add_linked(None);
    world.pass_ms(11 * SECOND);
    forget(&mut world, ann);
    world.relay.faults().break_requests("w:p", 1, RequestFault::Silence);
    world.pass_until(2 * MINUTE, |world| !world.hosts[ann.0].opens.is_empty());
    assert_eq!(disconnects(&world, ann)[0].reason, Reason::Silent);
    world.pass_until(MINUTE, |world| is_up(world, ann));
    assert_eq!(stalls(&world, ann), [(Stage::Server, true), (Stage::Server, false)]);
}

#[test]
fn a_server_that_answers_pings_but_takes_no_messages_is_found_out_by_the_missing_acknowledgement() {
    let mut world = World::new(19);
    let ann = world.add_linked(None);
    let bob = world.add_linked(None);
    world.pass_ms(11 * SECOND);
    forget(&mut world, ann);
    world.relay.faults().drop_message_acks(1);
    let began = world.now.mono;
    world.send(ann, &world.pn(bob), "once");
    world.settle();
    world.pass_until(10 * MINUTE, |world| !world.hosts[ann.0].opens.is_empty());
    let after = world.now.mono - began;
    assert!((60 * SECOND..65 * SECOND).contains(&after), "{after}");
    assert_eq!(stalls(&world, ann), [(Stage::Server, true), (Stage::Server, false)]);
    world.pass_until(MINUTE, |world| is_up(world, ann));
    world.pass_ms(5 * SECOND);
    let sent = world.event(ann, |event| match event {
        Event::SendFinished(report) => Some(report.is_sent()),
        _ => None,
    });
    assert_eq!(sent, Some(true));
    assert_eq!(world.texts(bob), ["once"]);
}

/// What a client cannot know: with nothing asked and nothing sent, a server that keeps everything to itself is quiet.
#[test]
fn a_server_that_keeps_messages_back_looks_quiet_and_a_reconnect_brings_them() {
    let mut world = World::new(20);
    let ann = world.add_linked(None);
    let bob = world.add_linked(None);
    forget(&mut world, bob);
    world.relay.faults().lose_deliveries(1);
    world.send(ann, &world.pn(bob), "kept back");
    world.pass_ms(8 * HOUR);
    assert!(world.hosts[bob.0].opens.is_empty() && stalls(&world, bob).is_empty());
    assert!(world.texts(bob).is_empty());
    world.disconnect(bob);
    world.connect(bob);
    world.pass_ms(5 * SECOND);
    assert_eq!(world.texts(bob), ["kept back"]);
}

#[test]
fn what_had_waited_is_told_though_the_server_never_says_that_it_was_all() {
    let mut world = World::new(21);
    let ann = world.add_linked(None);
    let bob = world.add_linked(None);
    world.disconnect(bob);
    for number in 0..5 {
        world.send(ann, &world.pn(bob), &number.to_string());
    }
    world.settle();
    forget(&mut world, bob);
    world.relay.faults().withhold_offline_end(true);
    world.connect(bob);
    world.settle();
    assert_eq!(world.texts(bob).len(), 5, "nothing waits for the end");
    assert!(world.hosts[bob.0].client.health(world.now).is_draining);
    world.pass_ms(MINUTE);
    assert_eq!(stalls(&world, bob), [(Stage::OfflineQueue, true)]);
    assert!(!world.hosts[bob.0].client.health(world.now).is_draining);
    world.pass_ms(HOUR);
    assert_eq!(world.hosts[bob.0].opens.len(), 1, "it is up, and stays so");
    world.send(ann, &world.pn(bob), "live");
    world.settle();
    assert_eq!(world.texts(bob).len(), 6);
    assert_eq!(stalls(&world, bob), [(Stage::OfflineQueue, true)], "told once");
}

#[test]
fn a_host_that_neither_connects_nor_fails_is_told() {
    let mut world = World::new(22);
    let ann = world.add_linked(None);
    world.disconnect(ann);
    forget(&mut world, ann);
    let now = world.now;
    world.host(ann).client.connect(now).unwrap();
    loop {
        match world.host(ann).client.poll() {
            Some(Output::Open(_)) => break,
            Some(output) => world.carry_out(ann, output),
            None => panic!("no connection is asked for"),
        }
    }
    assert_eq!(world.hosts[ann.0].client.health(world.now).phase, ConnectionPhase::Opening);
    world.pass_ms(MINUTE);
    assert_eq!(stalls(&world, ann), [(Stage::Socket, true)]);
    let now = world.now;
    world.host(ann).client.handle(now, Input::Closed(whatsio_core::api::CloseReason::Unreachable)).unwrap();
    world.settle();
    assert_eq!(stalls(&world, ann), [(Stage::Socket, true), (Stage::Socket, false)]);
    world.pass_until(MINUTE, |world| is_up(world, ann));
}

#[test]
fn a_healthy_client_says_so() {
    let mut world = World::new(23);
    let ann = world.add_linked(None);
    world.pass_ms(11 * SECOND);
    let health = world.hosts[ann.0].client.health(world.now);
    assert_eq!(health.phase, ConnectionPhase::Ready);
    assert!(health.wanted && health.stalled.is_empty() && !health.is_draining && health.reconnect_at.is_none());
    assert_eq!((health.inbox, health.outbox, health.requests, health.failures), (0, 0, 0, 0));
    assert!(health.heard_ms.is_some_and(|age| age < 30 * SECOND) && health.waiting_ms.is_empty());
    assert!(health.cached_bytes > 0);
    world.disconnect(ann);
    let health = world.hosts[ann.0].client.health(world.now);
    assert_eq!((health.phase, health.wanted, health.heard_ms), (ConnectionPhase::Down, false, None));
}

#[test]
fn a_clock_on_the_wall_that_jumps_loses_nothing_and_makes_no_keys_run_wild() {
    const DAY: i64 = 24 * 3_600_000;
    const YEAR: i64 = 365 * DAY;
    let mut world = World::new(24);
    let ann = world.add_linked(None);
    let bob = world.add_linked(None);
    world.pass_ms(11 * SECOND);
    let records = world.hosts[ann.0].store.len();
    forget(&mut world, ann);
    let mut expected = Vec::new();
    for (number, jump) in [DAY, -DAY, 10 * YEAR, -10 * YEAR, -10 * YEAR, 10 * YEAR].into_iter().enumerate() {
        world.now.unix = world.now.unix.checked_add_signed(jump).unwrap();
        world.pass_ms(MINUTE);
        for (from, to) in [(ann, bob), (bob, ann)] {
            world.send(from, &world.pn(to), &number.to_string());
            world.settle();
        }
        expected.push(number.to_string());
        assert_eq!(world.texts(bob), expected, "after a jump of {jump} ms");
        assert_eq!(world.texts(ann), expected, "after a jump of {jump} ms");
        assert!(world.hosts[ann.0].opens.is_empty(), "the wall clock is no reason to reconnect");
        // Logins look at the age of keys.
        for _ in 0..3 {
            world.disconnect(ann);
            world.connect(ann);
            world.pass_until(MINUTE, |world| is_up(world, ann));
        }
        forget_opens(&mut world, ann);
    }
    let grown = world.hosts[ann.0].store.len().saturating_sub(records);
    assert!(grown < 100, "{grown} records more");
    assert!(stalls(&world, ann).is_empty());
}

fn forget_opens(world: &mut World, name: Name) {
    world.host(name).opens.clear();
}

#[test]
fn what_the_server_said_to_send_first_is_sent_first_even_after_a_restart() {
    let mut world = World::new(25);
    let ann = world.add_linked(None);
    let device = device(&world, ann);
    let routing = b"via the harbour";
    assert!(world.relay.announce_routing(&device, routing));
    world.settle();
    let is_sent = |world: &World| {
        let first = world.hosts[ann.0].written.first().expect("bytes");
        first.windows(routing.len()).position(|window| window == routing)
    };
    world.disconnect(ann);
    for crash in [false, true] {
        if crash {
            world.disconnect(ann);
            world.crash(ann);
        }
        forget(&mut world, ann);
        world.connect(ann);
        assert!(is_sent(&world).is_some_and(|at| at < 10), "crash: {crash}");
        world.pass_until(MINUTE, |world| is_up(world, ann));
    }
}

/// Whether the newest connection began with the shorter handshake: its first message holds the client's key already.
fn began_short(world: &World, name: Name) -> bool {
    world.hosts[name.0].written.first().expect("bytes").len() > 100
}

fn reconnect(world: &mut World, name: Name) {
    world.disconnect(name);
    forget(world, name);
    world.connect(name);
    world.pass_until(MINUTE, |world| is_up(world, name));
}

#[test]
fn a_refused_short_handshake_becomes_a_long_one_on_the_same_connection() {
    let mut world = World::new(26);
    let ann = world.add_linked(None);
    reconnect(&mut world, ann);
    assert!(began_short(&world, ann), "the server's key is remembered");
    world.relay.accept_resumption(false);
    reconnect(&mut world, ann);
    assert!(began_short(&world, ann) && world.hosts[ann.0].opens.len() == 1);
    // Another key: what the client sent cannot be read, and the server says so by answering with the long one.
    world.relay.accept_resumption(true);
    world.relay.replace_server_key(world.now);
    reconnect(&mut world, ann);
    assert!(began_short(&world, ann) && world.hosts[ann.0].opens.len() == 1);
    assert!(disconnects(&world, ann).is_empty());
    reconnect(&mut world, ann);
    assert!(began_short(&world, ann), "the new key is remembered");
    let frames = world.hosts[ann.0].written.len();
    assert!(frames > 1, "{frames}");
}

#[test]
fn an_expired_certificate_is_not_relied_on() {
    let mut world = World::new(27);
    let ann = world.add_linked(None);
    reconnect(&mut world, ann);
    assert!(began_short(&world, ann));
    world.disconnect(ann);
    world.pass_ms(61 * 24 * HOUR);
    reconnect(&mut world, ann);
    assert!(!began_short(&world, ann), "its key is asked for again");
    reconnect(&mut world, ann);
    assert!(began_short(&world, ann));
}

#[test]
fn a_server_that_nobody_vouches_for_is_not_talked_to() {
    let mut world = World::new(28);
    let mut config = whatsio_core::api::Config::default();
    config.profile.root_key = [7; 32];
    let eve = world.add_with(config);
    world.connect(eve);
    world.pass_ms(HOUR);
    let ends = disconnects(&world, eve);
    assert!(ends.iter().all(|end| end.reason == Reason::CertificateNotTrusted), "{ends:?}");
    assert!(world.hosts[eve.0].opens.len() <= 20);
}
