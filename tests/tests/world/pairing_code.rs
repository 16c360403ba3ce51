use std::collections::BTreeSet;
use whatsio_core::api::{
    CodePurpose, Event, LinkFailureReason, LinkStep, Misuse, OpResult, Output, Recommendation, Space,
};
use whatsio_core::relay::{LinkingFault, RelayEvent, RequestFault};
use whatsio_tests::world::{Name, World};

const PHONE: &str = "15550100001";

/// A world with one client that is connected and not linked.
fn unlinked(seed: u8) -> (World, Name) {
    let mut world = World::new(seed);
    let ann = world.add();
    world.connect(ann);
    (world, ann)
}

/// The same, with a code on its screen.
fn with_code(seed: u8) -> (World, Name, String) {
    let (mut world, ann) = unlinked(seed);
    request(&mut world, ann, None);
    let code = codes(&world, ann).pop().expect("a code is shown");
    (world, ann, code)
}

fn request(world: &mut World, name: Name, custom: Option<&str>) {
    let now = world.now;
    world.host(name).client.request_pair_code(now, "+1 555 010-0001", custom).unwrap();
    world.settle();
}

fn type_code(world: &mut World, code: &str) {
    world.relay.enter_code(world.now, PHONE, code).expect("a code is awaited");
    world.settle();
}

fn scan(world: &mut World, text: &str) {
    world.relay.scan_qr(world.now, Some(PHONE), text).expect("the phone accepts the code");
    world.settle();
}

fn all<T>(world: &World, name: Name, pick: impl Fn(&Event) -> Option<T>) -> Vec<T> {
    world.hosts[name.0].events.iter().filter_map(|envelope| pick(&envelope.event)).collect()
}

/// Codes that were shown to be typed.
fn codes(world: &World, name: Name) -> Vec<String> {
    all(world, name, |event| match event {
        Event::CodeShown { code, purpose: CodePurpose::EnterOnPhone, .. } => Some(code.clone()),
        _ => None,
    })
}

/// How long the codes that were shown to be typed were good.
fn validities(world: &World, name: Name) -> Vec<u64> {
    all(world, name, |event| match event {
        Event::CodeShown { valid_ms, .. } => Some(*valid_ms),
        _ => None,
    })
}

fn qr_texts(world: &World, name: Name) -> Vec<String> {
    all(world, name, |event| match event {
        Event::QrShown { text, .. } => Some(text.clone()),
        _ => None,
    })
}

fn results(world: &World, name: Name) -> Vec<OpResult> {
    all(world, name, |event| match event {
        Event::OperationFinished { result, .. } => Some(result.clone()),
        _ => None,
    })
}

fn failures(world: &World, name: Name) -> Vec<(LinkStep, LinkFailureReason)> {
    all(world, name, |event| match event {
        Event::LinkFailed(failure) => Some((failure.step, failure.reason)),
        _ => None,
    })
}

fn confirmations(world: &World, name: Name) -> usize {
    all(world, name, |event| matches!(event, Event::CodeConfirmed).then_some(())).len()
}

/// What the phone said of attempts that came to nothing.
fn refusals(world: &World) -> Vec<String> {
    let refused = world.told.iter().filter_map(|event| match event {
        RelayEvent::LinkingFailed { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    refused.collect()
}

/// How notifications to unlinked clients were answered.
fn answers(world: &World) -> Vec<Option<u16>> {
    let answers = world.told.iter().filter_map(|event| match event {
        RelayEvent::NoticeAnswered { error, .. } => Some(*error),
        _ => None,
    });
    answers.collect()
}

fn is_connected(world: &World, name: Name) -> bool {
    world.hosts[name.0].client.is_connected()
}

fn wait_for_login(world: &mut World, name: Name) {
    world.pass_until(60_000, |world| is_connected(world, name));
}

/// Whether something about linking is still on disk.
fn remembers(world: &World, name: Name) -> bool {
    world.hosts[name.0].store.keys().any(|key| key.space == Space::Account && key.id == "linking")
}

/// A code that is not `code`, of the same form.
fn another(code: &str) -> String {
    if code.starts_with('1') { code.replacen('1', "2", 1) } else { format!("1{}", &code[1..]) }
}

#[test]
fn a_code_typed_on_the_phone_links_whether_drawn_or_chosen() {
    for custom in [None, Some("whats-j99")] {
        let (mut world, ann) = unlinked(200);
        request(&mut world, ann, custom);
        let codes = codes(&world, ann);
        assert_eq!(codes.len(), 1);
        if custom.is_some() {
            assert_eq!(codes, ["WHAT-SJ99"]);
        }
        assert_eq!(validities(&world, ann), [180_000]);
        assert_eq!(results(&world, ann), [OpResult::Done]);
        assert_eq!(confirmations(&world, ann), 0, "nobody has typed it");
        type_code(&mut world, &codes[0].to_lowercase());
        assert_eq!(confirmations(&world, ann), 1);
        wait_for_login(&mut world, ann);
        assert_eq!(world.number(ann), PHONE);
        assert!(!remembers(&world, ann));
        assert_eq!(failures(&world, ann), []);
        world.pass_ms(600_000);
        assert_eq!(failures(&world, ann), [], "the code's time is not over for a device that is linked");
    }
}

#[test]
fn after_a_wrong_code_the_right_one_links() {
    let (mut world, ann, code) = with_code(201);
    type_code(&mut world, &another(&code));
    assert_eq!(refusals(&world), ["wrong code"], "only the phone finds out");
    assert_eq!(confirmations(&world, ann), 1);
    assert_eq!(world.hosts[ann.0].client.identity(), None);
    type_code(&mut world, &code);
    assert_eq!(confirmations(&world, ann), 2);
    wait_for_login(&mut world, ann);
}

#[test]
fn what_cannot_be_a_number_or_a_code_is_refused_at_once() {
    let (mut world, ann) = unlinked(202);
    let now = world.now;
    for phone in ["", "555123", "0155501000", "1234567890123456", "1555O100001"] {
        let refused = world.host(ann).client.request_pair_code(now, phone, None);
        assert!(matches!(refused, Err(Misuse::BadArgument(_))), "{phone}");
    }
    for code in ["", "ABCD-123", "ABCD-12345", "ABCD-123O", "ABCD-1230", "ABCÄ-1234"] {
        let refused = world.host(ann).client.request_pair_code(now, PHONE, Some(code));
        assert!(matches!(refused, Err(Misuse::BadArgument(_))), "{code}");
    }
    world.settle();
    assert!(world.event(ann, |event| matches!(event, Event::CodeShown { .. }).then_some(())).is_none());

    let bob = world.add_linked(None);
    let refused = world.host(bob).client.request_pair_code(now, PHONE, None);
    assert!(matches!(refused, Err(Misuse::WrongState(_))));
}

#[test]
fn a_code_asked_for_before_there_is_a_connection_is_shown_when_there_is_one() {
    let mut world = World::new(203);
    let ann = world.add();
    request(&mut world, ann, None);
    world.pass_ms(3_600_000);
    assert!(codes(&world, ann).is_empty() && results(&world, ann).is_empty());
    world.connect(ann);
    assert_eq!(results(&world, ann), [OpResult::Done]);
    let code = codes(&world, ann).pop().unwrap();
    type_code(&mut world, &code);
    wait_for_login(&mut world, ann);
}

#[test]
fn a_later_request_takes_the_place_of_an_earlier_one() {
    let mut world = World::new(204);
    let ann = world.add();
    request(&mut world, ann, Some("AAAA-AAAA"));
    request(&mut world, ann, Some("BBBB-BBBB"));
    world.connect(ann);
    request(&mut world, ann, Some("CCCC-CCCC"));
    assert_eq!(codes(&world, ann), ["BBBB-BBBB", "CCCC-CCCC"]);
    assert_eq!(results(&world, ann), [OpResult::Superseded, OpResult::Done, OpResult::Done]);
    type_code(&mut world, "BBBB-BBBB");
    assert_eq!(refusals(&world), ["wrong code"]);
    type_code(&mut world, "CCCC-CCCC");
    wait_for_login(&mut world, ann);
}

#[test]
fn a_server_that_refuses_the_number_is_heard_and_other_ways_go_on() {
    for code in [400, 429] {
        let (mut world, ann) = unlinked(205);
        world.relay.faults().break_requests("md", 1, RequestFault::Error(code));
        request(&mut world, ann, None);
        let code = u32::from(code);
        assert_eq!(failures(&world, ann), [(LinkStep::CodeHello, LinkFailureReason::Refused(code))]);
        assert_eq!(results(&world, ann), [OpResult::Refused(code)]);
        assert!(codes(&world, ann).is_empty());
        assert!(!remembers(&world, ann));
        // Both ways are open.
        request(&mut world, ann, None);
        assert_eq!(codes(&world, ann).len(), 1);
        let text = qr_texts(&world, ann).pop().unwrap();
        scan(&mut world, &text);
        wait_for_login(&mut world, ann);
    }
}

#[test]
fn an_answer_that_never_comes_does_not_wedge_the_request() {
    let (mut world, ann) = unlinked(206);
    world.relay.faults().break_requests("md", 1, RequestFault::Silence);
    request(&mut world, ann, None);
    assert!(codes(&world, ann).is_empty());
    // The silent connection is given up, and the next one takes the code.
    world.pass_until(120_000, |world| !codes(world, ann).is_empty());
    assert_eq!(results(&world, ann), [OpResult::Done]);
    let code = codes(&world, ann).pop().unwrap();
    type_code(&mut world, &code);
    wait_for_login(&mut world, ann);
}

#[test]
fn a_code_is_good_for_three_minutes_over_connections_and_then_ends_with_a_typed_failure() {
    let (mut world, ann, code) = with_code(207);
    // The server ends the stream after 170 seconds; the client comes back and shows the same code for what is left.
    world.pass_ms(179_000);
    let shown = codes(&world, ann);
    assert!(shown.len() >= 2 && shown.iter().all(|shown| *shown == code), "{shown:?}");
    assert!(validities(&world, ann).pop().unwrap() < 10_000);
    assert_eq!(failures(&world, ann), []);
    world.pass_ms(2_000);
    assert_eq!(failures(&world, ann), [(LinkStep::CodeShown, LinkFailureReason::Expired)]);
    assert!(!remembers(&world, ann));
    assert_eq!(world.relay.enter_code(world.now, PHONE, &code).err(), None, "the relay's phone is more patient");
    world.settle();
    assert_eq!(confirmations(&world, ann), 0, "nobody answers for a code that is over");
    // QR codes go on.
    let text = qr_texts(&world, ann).pop().unwrap();
    scan(&mut world, &text);
    wait_for_login(&mut world, ann);
}

#[test]
fn a_stream_whose_qr_codes_are_used_up_stays_for_the_code_and_ends_with_it() {
    let (mut world, ann) = unlinked(208);
    world.pass_ms(150_000);
    request(&mut world, ann, None);
    // The last QR code is over ten seconds later, the stream twenty.
    world.pass_ms(15_000);
    assert_eq!(failures(&world, ann), []);
    let code = codes(&world, ann).pop().unwrap();
    type_code(&mut world, &code);
    wait_for_login(&mut world, ann);

    let (mut world, ann) = unlinked(209);
    world.pass_ms(150_000);
    world.relay.faults().break_requests("md", 1, RequestFault::Delay(13_000));
    request(&mut world, ann, None);
    world.relay.faults().break_requests("md", 1, RequestFault::Error(400));
    world.pass_ms(12_000);
    request(&mut world, ann, None);
    world.pass_ms(2_000);
    assert_eq!(failures(&world, ann), [(LinkStep::CodeHello, LinkFailureReason::Refused(400))]);
    let last = world.event(ann, |event| match event {
        Event::Disconnected(disconnect) => Some((disconnect.reason.word(), disconnect.recommendation)),
        _ => None,
    });
    assert_eq!(last, Some(("codes-expired", Recommendation::Stop)), "nothing is left to wait for");
}

#[test]
fn a_server_that_takes_the_code_for_spent_gets_another_five_in_all() {
    let (mut world, ann, first) = with_code(210);
    for count in 2..=5 {
        assert!(world.relay.refresh_code(world.now, PHONE, false));
        world.settle();
        assert_eq!(codes(&world, ann).len(), count);
    }
    assert_eq!(codes(&world, ann).iter().collect::<BTreeSet<_>>().len(), 5, "every code is another one");
    type_code(&mut world, &first);
    assert_eq!(refusals(&world), ["wrong code"]);
    let last = codes(&world, ann).pop().unwrap();
    type_code(&mut world, &last);
    wait_for_login(&mut world, ann);
    assert_eq!(results(&world, ann), [OpResult::Done]);

    let (mut world, ann, _) = with_code(211);
    for _ in 0..5 {
        assert!(world.relay.refresh_code(world.now, PHONE, false));
        world.settle();
    }
    assert_eq!(failures(&world, ann), [(LinkStep::CodeShown, LinkFailureReason::TooManyCodes)]);
    request(&mut world, ann, None);
    let code = codes(&world, ann).pop().unwrap();
    type_code(&mut world, &code);
    wait_for_login(&mut world, ann);
}

#[test]
fn a_code_that_the_user_must_renew_ends_with_a_typed_failure() {
    let (mut world, ann, _) = with_code(212);
    assert!(world.relay.refresh_code(world.now, PHONE, true));
    world.settle();
    assert_eq!(failures(&world, ann), [(LinkStep::CodeShown, LinkFailureReason::Expired)]);
    assert_eq!(answers(&world), [None]);
    assert_eq!(codes(&world, ann).len(), 1);
}

#[test]
fn a_step_that_is_not_known_is_acknowledged_and_said() {
    let (mut world, ann, code) = with_code(241);
    assert!(world.relay.invent_code_stage(world.now, PHONE));
    world.settle();
    assert_eq!(answers(&world), [None]);
    assert!(world.event(ann, |event| matches!(event, Event::StanzaRefused { .. }).then_some(())).is_some());
    type_code(&mut world, &code);
    wait_for_login(&mut world, ann);
}

#[test]
fn a_code_is_answered_for_three_times() {
    let (mut world, ann, code) = with_code(213);
    let wrong = another(&code);
    for _ in 0..2 {
        type_code(&mut world, &wrong);
    }
    world.cut(ann);
    world.pass_until(30_000, |world| codes(world, ann).len() == 2);
    type_code(&mut world, &wrong);
    assert_eq!(confirmations(&world, ann), 3);
    type_code(&mut world, &code);
    assert_eq!(confirmations(&world, ann), 3, "whoever guesses has three tries, over connections");
    assert_eq!(failures(&world, ann), [(LinkStep::CodeShown, LinkFailureReason::TooManyTries)]);
    assert!(answers(&world).iter().all(Option::is_none), "every notification is acknowledged");
    request(&mut world, ann, None);
    let code = codes(&world, ann).pop().unwrap();
    type_code(&mut world, &code);
    wait_for_login(&mut world, ann);
}

#[test]
fn a_qr_code_scanned_beside_a_code_links_and_ends_the_other_way() {
    let (mut world, ann, code) = with_code(214);
    let texts = qr_texts(&world, ann);
    assert_eq!(texts.len(), 2);
    assert_ne!(texts[0], texts[1], "the secret in the first was replaced when a code was asked for");
    scan(&mut world, &texts[1]);
    wait_for_login(&mut world, ann);
    assert!(!remembers(&world, ann));
    assert!(world.relay.enter_code(world.now, PHONE, &code).is_err());

    // The same while the server has not answered yet.
    let (mut world, ann) = unlinked(215);
    world.relay.faults().break_requests("md", 1, RequestFault::Silence);
    request(&mut world, ann, None);
    let text = qr_texts(&world, ann).pop().unwrap();
    scan(&mut world, &text);
    wait_for_login(&mut world, ann);
    assert_eq!(results(&world, ann), [OpResult::Superseded]);
}

#[test]
fn after_a_wrong_code_a_qr_code_links() {
    let (mut world, ann, code) = with_code(216);
    type_code(&mut world, &another(&code));
    let text = qr_texts(&world, ann).pop().unwrap();
    scan(&mut world, &text);
    wait_for_login(&mut world, ann);
}

#[test]
fn keys_and_secrets_are_durable_before_the_server_hears_of_them() {
    let (mut world, ann) = unlinked(217);
    world.host(ann).manners.hold_commits = true;
    request(&mut world, ann, None);
    assert!(!world.told.iter().any(|event| matches!(event, RelayEvent::CodeRequested { .. })));
    world.answer_commits(ann, Ok(()));
    world.settle();
    world.answer_commits(ann, Ok(()));
    world.settle();
    let code = codes(&world, ann).pop().expect("shown when the server's name for it is durable");
    type_code(&mut world, &code);
    assert_eq!(confirmations(&world, ann), 0);
    assert!(refusals(&world).is_empty() && answers(&world).is_empty(), "the derived secret is not durable");
    for _ in 0..3 {
        world.answer_commits(ann, Ok(()));
        world.settle();
    }
    wait_for_login_with_commits(&mut world, ann);
}

fn wait_for_login_with_commits(world: &mut World, name: Name) {
    world.host(name).manners.hold_commits = false;
    world.answer_commits(name, Ok(()));
    wait_for_login(world, name);
}

/// What happens to a client after so many of its outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    Crash,
    Cut,
}

fn strike(world: &mut World, name: Name, blow: Blow, pending: Option<Output>) {
    match blow {
        Blow::Crash => world.crash(name),
        Blow::Cut => {
            world.cut(name);
            if let Some(output) = pending {
                world.carry_out(name, output);
            }
        }
    }
}

/// Strikes after every number of outputs that follow `begin`, and links all the same, with what is on the screen or, after
/// a typed end, from the start.
fn strike_everywhere(seed: u8, blow: Blow, least: usize, begin: impl Fn() -> (World, Name)) {
    for outputs in 0..60 {
        let (mut world, ann) = begin();
        let pending = world.settle_until(ann, outputs);
        let is_over = pending.is_none();
        strike(&mut world, ann, blow, pending);
        let at = format!("{blow:?} after {outputs} outputs, seed {seed}");
        let seen = world.hosts[ann.0].events.len();
        world.connect(ann);
        world.pass_ms(5_000);
        let must_link_again = |envelope: &whatsio_core::api::Envelope| match &envelope.event {
            Event::Disconnected(disconnect) => disconnect.recommendation == Recommendation::LinkAgain,
            _ => false,
        };
        if world.hosts[ann.0].events[seen..].iter().any(must_link_again) {
            world.connect(ann);
        }
        if !is_connected(&world, ann) {
            let shown = codes(&world, ann);
            let shown_since = world.hosts[ann.0].events[seen..].iter();
            if !shown_since.clone().any(|envelope| matches!(envelope.event, Event::CodeShown { .. })) {
                // The request never became durable, or a durable link has ended: the user asks again.
                request(&mut world, ann, None);
            } else if shown.len() > 1 {
                assert!(shown.iter().all(|code| code == &shown[0]), "the same code is shown again, {at}");
            }
            let code = codes(&world, ann).pop().unwrap_or_else(|| panic!("no code is shown: {at}"));
            type_code(&mut world, &code);
            world.pass_ms(5_000);
        }
        assert!(is_connected(&world, ann), "{at}: {:?}", world.hosts[ann.0].events);
        assert!(!remembers(&world, ann), "{at}");
        if is_over {
            assert!(outputs >= least, "the scenario has {outputs} outputs only");
            return;
        }
    }
    panic!("the scenario never ends");
}

#[test]
fn a_blow_after_any_output_of_asking_for_a_code_leaves_a_client_that_can_link() {
    for (seed, blow) in [(220, Blow::Crash), (221, Blow::Cut)] {
        strike_everywhere(seed, blow, 6, || {
            let (mut world, ann) = unlinked(seed);
            let now = world.now;
            world.host(ann).client.request_pair_code(now, PHONE, None).unwrap();
            (world, ann)
        });
    }
}

#[test]
fn a_blow_after_any_output_of_answering_a_code_leaves_a_client_that_can_link() {
    for (seed, blow) in [(222, Blow::Crash), (223, Blow::Cut)] {
        strike_everywhere(seed, blow, 8, || {
            let (mut world, ann, code) = with_code(seed);
            world.relay.enter_code(world.now, PHONE, &code).unwrap();
            (world, ann)
        });
    }
}

#[test]
fn a_restart_shows_the_same_code_for_what_is_left_and_none_when_it_is_over() {
    let (mut world, ann, code) = with_code(224);
    world.pass_ms(100_000);
    world.crash(ann);
    world.pass_ms(20_000);
    world.connect(ann);
    assert_eq!(codes(&world, ann), [code.clone(), code.clone()]);
    assert_eq!(validities(&world, ann), [180_000, 60_000]);
    world.crash(ann);
    world.pass_ms(61_000);
    world.connect(ann);
    assert_eq!(codes(&world, ann).len(), 2);
    assert_eq!(failures(&world, ann), [(LinkStep::CodeShown, LinkFailureReason::Expired)]);
    assert!(!remembers(&world, ann));

    // A request that no server ever took is not remembered for ever, either.
    let mut world = World::new(225);
    let ann = world.add();
    request(&mut world, ann, None);
    world.crash(ann);
    world.pass_ms(200_000);
    world.connect(ann);
    assert!(codes(&world, ann).is_empty());
    assert_eq!(failures(&world, ann), [(LinkStep::CodeShown, LinkFailureReason::Expired)]);
}

#[test]
fn a_secret_is_renewed_when_the_server_says_so_and_the_code_before_is_void() {
    for word in ["companion_reg_refresh", "pair-device-rotate-qr"] {
        let (mut world, ann) = unlinked(230);
        world.pass_ms(10_000);
        world.host(ann).manners.hold_commits = true;
        assert_eq!(world.relay.renew_link_secret(world.now, word), 1);
        world.settle();
        assert!(answers(&world).is_empty() && qr_texts(&world, ann).len() == 1, "the new secret is not durable");
        world.host(ann).manners.hold_commits = false;
        world.answer_commits(ann, Ok(()));
        world.settle();
        assert_eq!(answers(&world), [None]);
        let texts = qr_texts(&world, ann);
        let fields: Vec<Vec<&str>> = texts.iter().map(|text| text.split(',').collect()).collect();
        assert_eq!(fields.len(), 2);
        assert_eq!(fields[0][..3], fields[1][..3], "reference and keys stay");
        assert_ne!(fields[0][3], fields[1][3]);
        let valid = all(&world, ann, |event| match event {
            Event::QrShown { valid_ms, .. } => Some(*valid_ms),
            _ => None,
        });
        assert_eq!(valid, [60_000, 50_000], "the code does not live longer");
        scan(&mut world, &texts[1]);
        wait_for_login(&mut world, ann);
    }

    let (mut world, ann) = unlinked(231);
    world.relay.renew_link_secret(world.now, "companion_reg_refresh");
    world.settle();
    let text = qr_texts(&world, ann).remove(0);
    scan(&mut world, &text);
    assert_eq!(refusals(&world), ["hmac-mismatch"]);
    assert_eq!(failures(&world, ann), [(LinkStep::Verification, LinkFailureReason::WrongSecret)]);
}

#[test]
fn an_order_to_renew_the_secret_that_is_not_understood_is_refused() {
    let (mut world, ann) = unlinked(232);
    world.relay.renew_link_secret(world.now, "something-else");
    world.settle();
    assert_eq!(answers(&world), [Some(487)]);
    assert_eq!(qr_texts(&world, ann).len(), 1);
}

#[test]
fn a_secret_renewed_under_a_code_does_no_harm_and_a_derived_one_is_kept() {
    let (mut world, ann, code) = with_code(233);
    let before = qr_texts(&world, ann).len();
    world.relay.renew_link_secret(world.now, "companion_reg_refresh");
    world.settle();
    assert_eq!(qr_texts(&world, ann).len(), before + 1);
    type_code(&mut world, &another(&code));
    let derived = qr_texts(&world, ann);
    world.relay.renew_link_secret(world.now, "companion_reg_refresh");
    world.settle();
    assert_eq!(qr_texts(&world, ann), derived, "a phone has that one already");
    assert!(answers(&world).iter().all(Option::is_none));
    type_code(&mut world, &code);
    wait_for_login(&mut world, ann);
}

#[test]
fn an_order_to_renew_the_secret_is_ignored_by_a_device_that_is_linked() {
    let mut world = World::new(234);
    let ann = world.add_linked(None);
    let before = world.hosts[ann.0].store.clone();
    assert_eq!(world.relay.renew_link_secret(world.now, "companion_reg_refresh"), 1);
    world.settle();
    assert_eq!(world.hosts[ann.0].store, before);
    assert!(is_connected(&world, ann));
}

#[test]
fn hosted_accounts_and_devices_are_linked_and_can_be_written_to() {
    for (seed, form) in [(235, LinkingFault::HostedAccount), (236, LinkingFault::HostedDevice)] {
        let mut world = World::new(seed);
        world.relay.faults().break_linking(form);
        let ann = world.add_linked(None);
        let bob = world.add_linked(None);
        world.send(bob, &world.pn(ann), "hello");
        world.send(ann, &world.pn(bob), "and back");
        world.pass_ms(5_000);
        assert_eq!((world.texts(ann), world.texts(bob)), (vec!["hello".to_owned()], vec!["and back".to_owned()]));
    }
}

#[test]
fn an_answer_of_the_phone_that_is_not_authentic_is_refused_with_its_code_and_a_new_attempt_works() {
    let faults = [
        (LinkingFault::WrongMac, "hmac-mismatch", LinkFailureReason::WrongSecret),
        (LinkingFault::WrongSignature, "signature-mismatch", LinkFailureReason::WrongSignature),
        (LinkingFault::Damaged, "internal-error", LinkFailureReason::Malformed),
    ];
    for (fault, text, reason) in faults {
        for by_code in [false, true] {
            let (mut world, ann, code) = with_code(237);
            world.relay.faults().break_linking(fault);
            let old = qr_texts(&world, ann).pop().unwrap();
            if by_code {
                type_code(&mut world, &code);
            } else {
                scan(&mut world, &old);
            }
            let at = format!("{fault:?}, by code: {by_code}");
            assert_eq!(refusals(&world), [text], "{at}");
            assert_eq!(failures(&world, ann), [(LinkStep::Verification, reason)], "{at}");
            assert!(!remembers(&world, ann), "{at}");
            let last = world.event(ann, |event| match event {
                Event::Disconnected(disconnect) => Some((disconnect.reason.word(), disconnect.recommendation)),
                _ => None,
            });
            assert_eq!(last, Some(("link-refused", Recommendation::Stop)), "{at}");
            world.connect(ann);
            request(&mut world, ann, None);
            let code = codes(&world, ann).pop().unwrap();
            type_code(&mut world, &code);
            wait_for_login(&mut world, ann);
        }
    }
}

#[test]
fn a_registration_that_the_server_refuses_is_a_typed_failure() {
    let mut world = World::new(238);
    world.relay.faults().refuse_logins(1, 405);
    let ann = world.add();
    request(&mut world, ann, None);
    world.connect(ann);
    world.pass_ms(1_000);
    assert_eq!(failures(&world, ann), [(LinkStep::Registration, LinkFailureReason::Refused(405))]);
    assert_eq!(results(&world, ann), [OpResult::Lost], "nobody waits for a connection that will not be made");
    world.connect(ann);
    assert_eq!(codes(&world, ann).len(), 1, "the request itself was kept");
}

#[test]
fn codes_are_on_no_wire_and_in_no_debug_form() {
    let (mut world, ann, code) = with_code(239);
    type_code(&mut world, &code);
    wait_for_login(&mut world, ann);
    let bare = code.replace('-', "");
    for bytes in &world.hosts[ann.0].written {
        assert!(!bytes.windows(8).any(|window| window == bare.as_bytes()));
    }
    let shown = format!("{:?}", world.hosts[ann.0].events);
    assert!(!shown.contains(&code) && !shown.contains(&bare));
}
