//! The mixed world, a little of it: what runs with every `cargo test`. The suite `seeds` of `tests/run` runs a thousand seeds.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]

use whatsio_tests::mixed::{Act, Plan, Step, run, shrink};

/// A plan in which nothing goes wrong, then these steps, then a few texts.
fn plan(steps: Vec<Act>) -> Plan {
    let mut plan = Plan::draw(1);
    plan.accounts = vec![1, 1];
    plan.quality.hides_lids = false;
    plan.quality.tiny_inbox = false;
    plan.quality.pauses = 0;
    let greet = [0, 1, 0, 1].map(|device| Act::Send { device, to: 1 - device, by_lid: false });
    let acts = greet.into_iter().chain(steps).chain(greet);
    plan.steps = acts.enumerate().map(|(number, act)| Step { at: 9_000 * number as u64, act }).collect();
    plan
}

fn failure(steps: Vec<Act>) -> String {
    run(&plan(steps), false).failure.expect("an oracle that sees it")
}

#[test]
fn two_runs_of_a_seed_are_the_same_to_the_byte() {
    for seed in 0..4 {
        let [first, second] = [false, true].map(|is_read| run(&Plan::draw(seed), is_read));
        assert_eq!(first.digest, second.digest, "seed {seed}");
        assert_eq!(first.tally, second.tally);
        assert!(first.lines.is_empty() && !second.lines.is_empty());
    }
    assert_ne!(run(&Plan::draw(0), false).digest, run(&Plan::draw(1), false).digest);
}

#[test]
fn a_plan_without_trouble_passes() {
    assert_eq!(run(&plan(Vec::new()), false).failure, None);
}

#[test]
fn a_day_in_which_people_write_now_and_then_ends_well() {
    let outcome = run(&Plan::day(1, 60), false);
    assert_eq!(outcome.failure, None);
    assert!(outcome.tally.virtual_ms > 23 * 3_600_000);
}

#[test]
fn a_store_that_only_says_that_it_is_durable_is_found_out() {
    let failure = failure(vec![
        Act::Lie { device: 0, ms: 60_000 },
        Act::Send { device: 0, to: 1, by_lid: false },
        Act::Send { device: 0, to: 1, by_lid: false },
        Act::Crash { device: 0, outputs: 0, down_ms: 100 },
    ]);
    // It goes back to counters and event ids that were used.
    let known = ["counters were used twice", "says something else than before"];
    assert!(known.iter().any(|known| failure.contains(known)), "{failure}");
}

#[test]
fn an_application_that_says_too_early_that_it_has_an_event_is_found_out() {
    let failure = failure(vec![Act::Hasty { device: 1 }, Act::Send { device: 0, to: 1, by_lid: false }]);
    assert!(failure.contains("has not come to device 1"), "{failure}");
}

#[test]
fn a_server_that_loses_a_message_is_found_out() {
    let failure = failure(vec![Act::Steal { device: 1 }, Act::Send { device: 0, to: 1, by_lid: false }]);
    assert!(failure.contains("has not come to device 1"), "{failure}");
}

#[test]
fn a_plan_that_fails_is_shortened_to_what_it_fails_by() {
    let plan = plan(vec![
        Act::Jump { device: 0, ms: 5 },
        Act::Steal { device: 1 },
        Act::Send { device: 0, to: 1, by_lid: false },
        Act::Trim { device: 1 },
    ]);
    let (shortest, failure) = shrink(&plan);
    assert!(failure.contains("has not come to device 1"), "{failure}");
    assert!(shortest.steps.len() <= 3, "{:?}", shortest.steps);
}
