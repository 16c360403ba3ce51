//! Linking that a passkey has to allow: after a scan or a typed code, with and without comparing codes, and whatever
//! breaks in between.

use whatsio_core::api::{CodePurpose, Event, LinkFailureReason as Reason, LinkStep, Misuse, Output, Recommendation};
use whatsio_core::crypto::Rng;
use whatsio_core::relay::{Authenticator, LinkingFault, PhoneRefusal, RelayEvent, RelyingParty};
use whatsio_core::types::Seed;
use whatsio_tests::world::{Name, World};

const PHONE: &str = "15550100001";

/// The proof of continuity is good for five minutes.
const PROOF_MS: u64 = 300_000;

fn all<T>(world: &World, name: Name, pick: impl Fn(&Event) -> Option<T>) -> Vec<T> {
    world.hosts[name.0].events.iter().filter_map(|envelope| pick(&envelope.event)).collect()
}

fn requests(world: &World, name: Name) -> Vec<String> {
    all(world, name, |event| match event {
        Event::AssertionNeeded { request } => Some(request.clone()),
        _ => None,
    })
}

fn compared(world: &World, name: Name) -> Vec<String> {
    all(world, name, |event| match event {
        Event::CodeShown { code, purpose: CodePurpose::CompareWithPhone, .. } => Some(code.clone()),
        _ => None,
    })
}

fn failures(world: &World, name: Name) -> Vec<(LinkStep, Reason)> {
    all(world, name, |event| match event {
        Event::LinkFailed(failure) => Some((failure.step, failure.reason)),
        _ => None,
    })
}

fn is_linked(world: &World, name: Name) -> bool {
    world.hosts[name.0].client.identity().is_some()
}

/// What the phone shows.
fn shown_by_phone(world: &World) -> Option<String> {
    world.told.iter().rev().find_map(|event| match event {
        RelayEvent::CodeToCompare { code, .. } => Some(code.0.clone()),
        _ => None,
    })
}

/// A client that shows QR codes, and an account that needs a passkey.
fn ready(seed: u8) -> (World, Name) {
    let mut world = World::new(seed);
    world.relay.require_passkey(PHONE).unwrap();
    let ann = world.add();
    world.connect(ann);
    (world, ann)
}

/// The phone scans what is shown now.
fn scan(world: &mut World, name: Name) {
    let text = all(world, name, |event| match event {
        Event::QrShown { text, .. } => Some(text.clone()),
        _ => None,
    });
    world.relay.scan_qr(world.now, Some(PHONE), text.last().unwrap()).unwrap();
}

/// The owner's passkey answers the newest request.
fn assertion(world: &mut World, name: Name) -> String {
    let request = requests(world, name).pop().expect("a request for an assertion");
    world.relay.assert_passkey(PHONE, &request).unwrap()
}

fn provide(world: &mut World, name: Name) {
    let (assertion, now) = (assertion(world, name), world.now);
    world.host(name).client.provide_assertion(now, &assertion).unwrap();
}

fn confirm(world: &mut World, name: Name) {
    let (code, now) = (compared(world, name).pop().expect("a code to compare"), world.now);
    world.relay.confirm_code(now, PHONE, &code).unwrap();
    world.host(name).client.confirm_code(now).unwrap();
}

#[test]
fn a_scan_and_a_passkey_link_without_comparing_anything() {
    let (mut world, ann) = ready(220);
    scan(&mut world, ann);
    world.settle();
    assert!(requests(&world, ann)[0].contains("relay.whatsio.test"));
    assert!(!is_linked(&world, ann));
    let secrets = all(&world, ann, |event| match event {
        Event::QrShown { text, .. } => text.split(',').nth(3).map(ToOwned::to_owned),
        _ => None,
    });
    assert!(secrets.len() == 2 && secrets[0] != secrets[1], "what was on the screen is void");
    provide(&mut world, ann);
    world.pass_until(60_000, |world| world.hosts[ann.0].client.is_connected());
    assert_eq!((compared(&world, ann), shown_by_phone(&world)), (vec![], None));
    assert_eq!(failures(&world, ann), []);
}

#[test]
fn when_the_proof_is_too_old_people_compare_codes() {
    let (mut world, ann) = ready(221);
    scan(&mut world, ann);
    world.settle();
    world.pass_ms(PROOF_MS + 1_000);
    provide(&mut world, ann);
    world.settle();
    let code = compared(&world, ann);
    assert_eq!(code.last().cloned(), shown_by_phone(&world), "both show the same");
    assert!(code[0].len() == 9 && !is_linked(&world, ann));
    confirm(&mut world, ann);
    world.settle();
    assert_eq!(all(&world, ann, |event| matches!(event, Event::CodeConfirmed).then_some(())).len(), 1);
    world.pass_until(60_000, |world| world.hosts[ann.0].client.is_connected());
    assert_eq!(failures(&world, ann), []);
}

#[test]
fn a_typed_code_and_a_passkey_link() {
    let (mut world, ann) = ready(222);
    let now = world.now;
    world.host(ann).client.request_pair_code(now, PHONE, None).unwrap();
    world.settle();
    let code = all(&world, ann, |event| match event {
        Event::CodeShown { code, purpose: CodePurpose::EnterOnPhone, .. } => Some(code.clone()),
        _ => None,
    });
    world.relay.enter_code(world.now, PHONE, &code[0]).unwrap();
    world.settle();
    assert_eq!(requests(&world, ann).len(), 1);
    // The code's own time is over while the user looks for the passkey.
    world.pass_ms(200_000);
    assert_eq!(failures(&world, ann), []);
    provide(&mut world, ann);
    world.pass_until(60_000, |world| world.hosts[ann.0].client.is_connected());
    assert_eq!((compared(&world, ann), failures(&world, ann)), (vec![], vec![]));
}

#[test]
fn options_that_did_not_come_or_cannot_be_read_are_asked_for() {
    for (seed, fault) in [(223, LinkingFault::MissingOptions), (224, LinkingFault::UnreadableOptions)] {
        let (mut world, ann) = ready(seed);
        world.relay.faults().break_linking(fault);
        scan(&mut world, ann);
        world.settle();
        assert_eq!(requests(&world, ann).len(), 1);
        provide(&mut world, ann);
        world.pass_until(60_000, |world| is_linked(world, ann));
        assert_eq!(failures(&world, ann), []);
    }
}

#[test]
fn a_refused_assertion_ends_this_way_only_and_another_scan_links() {
    let (mut world, ann) = ready(225);
    scan(&mut world, ann);
    world.settle();
    // A passkey of somebody else, for the right relying party.
    let mut stranger = Authenticator::create(&mut Rng::new(&Seed::new([9; 32])), RelyingParty::default());
    let request = requests(&world, ann)[0].split(r#","allowCredentials"#).next().unwrap().to_owned() + "}";
    let (wrong, now) = (stranger.assert(&request).unwrap(), world.now);
    world.host(ann).client.provide_assertion(now, &wrong).unwrap();
    world.settle();
    assert_eq!(failures(&world, ann), [(LinkStep::Prologue, Reason::Refused(401))]);
    assert!(!is_linked(&world, ann));
    scan(&mut world, ann);
    world.settle();
    provide(&mut world, ann);
    world.pass_until(60_000, |world| world.hosts[ann.0].client.is_connected());
}

#[test]
fn a_code_that_the_user_rejects_hands_nothing_over() {
    let (mut world, ann) = ready(226);
    world.relay.faults().break_linking(LinkingFault::WrongNonce);
    scan(&mut world, ann);
    world.settle();
    world.pass_ms(PROOF_MS + 1_000);
    provide(&mut world, ann);
    world.settle();
    assert_ne!(compared(&world, ann).pop(), shown_by_phone(&world), "somebody stands between");
    let (now, code) = (world.now, compared(&world, ann).pop().unwrap());
    assert_eq!(world.relay.confirm_code(now, PHONE, &code), Err(PhoneRefusal::CodesDiffer));
    world.host(ann).client.reject_code(now).unwrap();
    world.settle();
    assert_eq!(failures(&world, ann), [(LinkStep::Comparison, Reason::Declined)]);
    assert_eq!(world.host(ann).client.confirm_code(now), Err(Misuse::WrongState("no code is compared")));
    world.pass_ms(1_000_000);
    assert!(!is_linked(&world, ann));
}

#[test]
fn a_phone_that_rejects_the_code_refuses_the_keys() {
    let (mut world, ann) = ready(227);
    scan(&mut world, ann);
    world.settle();
    world.pass_ms(PROOF_MS + 1_000);
    provide(&mut world, ann);
    world.settle();
    let now = world.now;
    world.relay.reject_code(now, PHONE).unwrap();
    world.host(ann).client.confirm_code(now).unwrap();
    world.settle();
    assert_eq!(failures(&world, ann), [(LinkStep::PairingRequest, Reason::Refused(404))]);
    assert!(!is_linked(&world, ann));
}

#[test]
fn damage_on_the_way_is_a_typed_failure() {
    let damages = [
        (228, LinkingFault::RefusedAssertion, (LinkStep::Prologue, Reason::Refused(401))),
        (229, LinkingFault::DamagedContinuation, (LinkStep::Continuation, Reason::BadAnswer)),
        (230, LinkingFault::BrokenCommitment, (LinkStep::Comparison, Reason::Refused(403))),
    ];
    for (seed, fault, failure) in damages {
        let (mut world, ann) = ready(seed);
        scan(&mut world, ann);
        world.settle();
        world.relay.faults().break_linking(fault);
        provide(&mut world, ann);
        world.settle();
        assert_eq!(failures(&world, ann), [failure]);
        assert!(!is_linked(&world, ann));
        // The codes go on, with a secret that no earlier phone has seen.
        scan(&mut world, ann);
        world.settle();
        provide(&mut world, ann);
        world.pass_until(60_000, |world| is_linked(world, ann));
    }
}

#[test]
fn what_nobody_does_in_time_ends_with_a_typed_failure() {
    let (mut world, ann) = ready(231);
    scan(&mut world, ann);
    world.settle();
    world.pass_ms(590_000);
    assert_eq!(failures(&world, ann), []);
    world.pass_ms(11_000);
    assert_eq!(failures(&world, ann), [(LinkStep::Assertion, Reason::Expired)]);
    let after = world.event(ann, |event| match event {
        Event::Disconnected(disconnect) => Some(disconnect.recommendation),
        _ => None,
    });
    assert_eq!(after, Some(Recommendation::Stop), "no code is left that could be scanned");

    let (mut world, ann) = ready(232);
    world.relay.faults().break_linking(LinkingFault::SilentPhone);
    scan(&mut world, ann);
    world.settle();
    provide(&mut world, ann);
    world.pass_ms(601_000);
    assert_eq!(failures(&world, ann), [(LinkStep::Continuation, Reason::Expired)]);
}

#[test]
fn a_clock_that_is_set_back_does_not_keep_the_time_from_being_over() {
    let (mut world, ann) = ready(242);
    scan(&mut world, ann);
    world.settle();
    world.now.unix -= 3_600_000;
    world.pass_ms(601_000);
    assert_eq!(failures(&world, ann), [(LinkStep::Assertion, Reason::Expired)]);
    let after = world.event(ann, |event| match event {
        Event::Disconnected(disconnect) => Some(disconnect.recommendation),
        _ => None,
    });
    assert_eq!(after, Some(Recommendation::Stop), "no code is left that could be scanned");
    assert_eq!(world.hosts[ann.0].client.next_deadline(), None);
}

#[test]
fn after_a_second_scan_people_compare_codes() {
    let (mut world, ann) = ready(243);
    scan(&mut world, ann);
    world.settle();
    scan(&mut world, ann);
    world.settle();
    assert_eq!(requests(&world, ann).len(), 2);
    provide(&mut world, ann);
    world.settle();
    assert_eq!(compared(&world, ann).last().cloned(), shown_by_phone(&world), "both show the same");
    confirm(&mut world, ann);
    world.pass_until(60_000, |world| world.hosts[ann.0].client.is_connected());
    assert_eq!(failures(&world, ann), []);
}

#[test]
fn an_assertion_for_another_request_is_not_taken_and_the_right_one_still_is() {
    let (mut world, ann) = ready(244);
    scan(&mut world, ann);
    world.settle();
    let old = assertion(&mut world, ann);
    scan(&mut world, ann);
    world.settle();
    let now = world.now;
    let refused = world.host(ann).client.provide_assertion(now, &old);
    assert_eq!(refused, Err(Misuse::BadArgument("the assertion answers another request")));
    provide(&mut world, ann);
    world.settle();
    confirm(&mut world, ann);
    world.pass_until(60_000, |world| world.hosts[ann.0].client.is_connected());
    assert_eq!(failures(&world, ann), []);
}

#[test]
fn only_what_is_asked_for_is_taken_and_only_if_it_is_an_assertion() {
    let (mut world, ann) = ready(233);
    let now = world.now;
    let good = r#"{"id":"AQID","type":"public-key","response":{"clientDataJSON":"e30","authenticatorData":"AA","signature":"MEU"}}"#;
    let client = &mut world.host(ann).client;
    assert_eq!(client.provide_assertion(now, good), Err(Misuse::WrongState("no assertion is asked for")));
    assert_eq!(client.reject_code(now), Err(Misuse::WrongState("no code is compared")));
    scan(&mut world, ann);
    world.settle();
    let client = &mut world.host(ann).client;
    for bad in ["", "{}", "[]", "not json", r#"{"id":"AQID","type":"public-key"}"#] {
        assert!(matches!(client.provide_assertion(now, bad), Err(Misuse::BadArgument(_))), "{bad}");
    }
    let long = format!(r#"{{"pad":"{}",{}"#, "x".repeat(64 << 10), &good[1..]);
    let refused = client.provide_assertion(now, &long);
    assert_eq!(refused, Err(Misuse::BadArgument("an assertion has at most 65,536 bytes")));
    provide(&mut world, ann);
    world.settle();
    assert!(is_linked(&world, ann));
    assert!(world.host(ann).client.provide_assertion(now, good).is_err());
}

#[test]
fn the_new_secret_is_durable_before_anybody_is_asked() {
    let (mut world, ann) = ready(234);
    world.host(ann).manners.hold_commits = true;
    scan(&mut world, ann);
    world.settle();
    assert!(requests(&world, ann).is_empty());
    world.crash(ann);
    world.host(ann).manners.hold_commits = false;
    world.connect(ann);
    assert_eq!(requests(&world, ann).len(), 1, "the server asks again what was not acknowledged");
    provide(&mut world, ann);
    world.pass_until(60_000, |world| is_linked(world, ann));
}

#[test]
fn neither_challenges_nor_assertions_nor_codes_are_in_any_debug_form() {
    let (mut world, ann) = ready(235);
    scan(&mut world, ann);
    world.settle();
    world.pass_ms(PROOF_MS + 1_000);
    let given = assertion(&mut world, ann);
    let now = world.now;
    world.host(ann).client.provide_assertion(now, &given).unwrap();
    world.settle();
    confirm(&mut world, ann);
    world.pass_until(60_000, |world| is_linked(world, ann));
    let text = format!("{:?} {:?}", world.hosts[ann.0].events, world.told);
    let challenge = requests(&world, ann)[0].split('"').nth(3).unwrap().to_owned();
    let code = compared(&world, ann)[0].clone();
    assert!(text.contains("AssertionNeeded") && text.contains("CodeToCompare") && challenge.len() > 20);
    for hidden in [challenge.as_str(), &code, &code.replace('-', ""), "allowCredentials", "clientDataJSON"] {
        assert!(!text.contains(hidden), "{hidden} is in {text}");
    }
}

/// What happens next, as far as a person has a part in it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Moment {
    Scan,
    Provide,
    Confirm,
}

/// Brings a world to a moment, and does what happens then.
fn at(seed: u8, moment: Moment, proof: bool) -> (World, Name) {
    let (mut world, ann) = ready(seed);
    scan(&mut world, ann);
    if moment == Moment::Scan {
        return (world, ann);
    }
    world.settle();
    world.pass_ms(if proof { 1_000 } else { PROOF_MS + 1_000 });
    provide(&mut world, ann);
    if moment == Moment::Provide {
        return (world, ann);
    }
    world.settle();
    confirm(&mut world, ann);
    (world, ann)
}

/// Plays everybody until the client is linked, from the events that it tells from now on.
fn play(world: &mut World, ann: Name, context: &str) {
    let mut seen = 0;
    let mut lost = false;
    for _ in 0..600 {
        world.settle();
        let events: Vec<Event> =
            world.hosts[ann.0].events[seen..].iter().map(|envelope| envelope.event.clone()).collect();
        seen += events.len();
        let now = world.now;
        for event in events {
            match event {
                Event::AssertionNeeded { request } => {
                    let assertion = world.relay.assert_passkey(PHONE, &request).unwrap();
                    // One that was asked for before the connection broke may be spent.
                    let _ = world.host(ann).client.provide_assertion(now, &assertion);
                }
                Event::CodeShown { code, purpose: CodePurpose::CompareWithPhone, .. } => {
                    let _ = world.relay.confirm_code(now, PHONE, &code);
                    let _ = world.host(ann).client.confirm_code(now);
                }
                // The client was linked, the server did not hear of it any more: both begin anew.
                Event::Disconnected(end) if end.recommendation == Recommendation::LinkAgain => {
                    lost = true;
                    world.host(ann).client.connect(now).unwrap();
                }
                Event::QrShown { .. } if lost => {
                    lost = false;
                    scan(world, ann);
                }
                Event::LinkFailed(failure) => panic!("{context}: {failure:?}"),
                Event::Connected => return,
                _ => {}
            }
        }
        world.pass(1_000);
    }
    panic!("{context}: never linked");
}

fn broken_after_every_output(seed: u8, moment: Moment, proof: bool, break_it: impl Fn(&mut World, Name, Output)) {
    for outputs in 0..100 {
        let (mut world, ann) = at(seed, moment, proof);
        world.hosts[ann.0].events.clear();
        let Some(output) = world.settle_until(ann, outputs) else {
            assert!(outputs > 3, "{moment:?}: hardly anything happened");
            return;
        };
        if world.hosts[ann.0].client.identity().is_some() {
            // From here on it is the ordinary end of linking.
            return;
        }
        break_it(&mut world, ann, output);
        play(&mut world, ann, &format!("{moment:?}, proof: {proof}, {outputs} outputs"));
    }
    panic!("{moment:?}: never came to rest");
}

/// What it was about to do is not done.
fn dies(world: &mut World, name: Name, _: Output) {
    world.crash(name);
    world.connect(name);
}

/// The process lives and goes on with what it was about to do.
fn is_cut(world: &mut World, name: Name, output: Output) {
    world.cut(name);
    world.carry_out(name, output);
}

#[test]
fn a_process_that_dies_after_any_output_after_the_scan_goes_on_where_it_was() {
    broken_after_every_output(236, Moment::Scan, true, dies);
}

#[test]
fn a_process_that_dies_after_any_output_after_the_assertion_goes_on_where_it_was() {
    for proof in [true, false] {
        broken_after_every_output(237, Moment::Provide, proof, dies);
    }
}

#[test]
fn a_process_that_dies_after_any_output_after_the_comparison_goes_on_where_it_was() {
    broken_after_every_output(238, Moment::Confirm, false, dies);
}

#[test]
fn a_connection_that_breaks_after_any_output_goes_on_on_the_next() {
    broken_after_every_output(239, Moment::Scan, true, is_cut);
    for proof in [true, false] {
        broken_after_every_output(240, Moment::Provide, proof, is_cut);
    }
    broken_after_every_output(241, Moment::Confirm, false, is_cut);
}
