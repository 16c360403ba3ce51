//! Leaves out of a failing plan whatever it fails without.

use super::plan::Plan;
use super::run;

/// Runs that shortening a plan may cost.
const RUNS: usize = 400;

/// A plan with as few steps of `plan` as still fail in the same way; and how it fails.
#[must_use]
pub fn shrink(plan: &Plan) -> (Plan, String) {
    let mut best = plan.clone();
    let mut failure = run(&best, false).failure.unwrap_or_default();
    let wanted = kind(&failure);
    let mut runs = 0;
    let mut size = best.steps.len().div_ceil(2);
    while size > 0 {
        let mut start = 0;
        let mut shortened = false;
        while start < best.steps.len() && runs < RUNS {
            let mut shorter = best.clone();
            shorter.steps.drain(start..(start + size).min(best.steps.len()));
            runs += 1;
            match run(&shorter, false).failure {
                Some(other) if kind(&other) == wanted => {
                    (best, failure) = (shorter, other);
                    shortened = true;
                }
                _ => start += size,
            }
        }
        if !shortened || runs >= RUNS {
            size /= 2;
        }
    }
    (best, failure)
}

/// The first words of a failure, without numbers and names: two failures of one kind are taken for one.
fn kind(failure: &str) -> String {
    failure.chars().take_while(|letter| *letter != ':').filter(|letter| letter.is_alphabetic()).take(24).collect()
}
