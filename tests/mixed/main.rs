//! Runs the mixed world: `cargo run --profile seeds -p whatsio-tests --bin mixed -- --seeds 100000`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]

use clap::Parser;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use whatsio_tests::mixed::{self, Plan, Tally};

/// Runs seeds of the mixed world, or repeats one.
#[derive(Parser)]
struct Args {
    /// Repeat this seed and print what happened; a failing one is shortened first.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Run so many seeds, on all processors.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Stop after so many failures.
    #[arg(long, default_value_t = 10)]
    failures: usize,
    /// Do not shorten.
    #[arg(long)]
    whole: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    // A failed oracle is a panic; it is told below.
    std::panic::set_hook(Box::new(|_| {}));
    match args.seed {
        Some(seed) => repeat(seed, args.whole),
        None => search(&args),
    }
}

fn repeat(seed: u64, whole: bool) -> ExitCode {
    let outcome = mixed::run(&Plan::draw(seed), true);
    if outcome.failure.is_some() {
        explain(seed, whole, usize::MAX);
        return ExitCode::FAILURE;
    }
    for line in &outcome.lines {
        println!("{line}");
    }
    println!("seed {seed} passes: {:?}", outcome.tally);
    ExitCode::SUCCESS
}

/// Prints the shortest way to the failure, and the last lines of what happened on it.
fn explain(seed: u64, whole: bool, most_lines: usize) {
    let plan = Plan::draw(seed);
    let plan = if whole { plan } else { mixed::shrink(&plan).0 };
    let outcome = mixed::run(&plan, true);
    for line in outcome.lines.iter().skip(outcome.lines.len().saturating_sub(most_lines)) {
        println!("{line}");
    }
    println!("\nseed {seed} fails: {}", outcome.failure.unwrap_or_default());
    println!("with {:?}, {:?} and {} steps:", plan.accounts, plan.quality, plan.steps.len());
    for step in &plan.steps {
        println!("  {:>9} ms  {:?}", step.at, step.act);
    }
}

fn search(args: &Args) -> ExitCode {
    let next = AtomicU64::new(args.first);
    let end = args.first + args.seeds;
    let (failed, total) = (Mutex::new(Vec::new()), Mutex::new(Tally::default()));
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end || failed.lock().unwrap().len() >= args.failures {
                        return;
                    }
                    let outcome = mixed::run(&Plan::draw(seed), false);
                    *total.lock().unwrap() += outcome.tally;
                    if let Some(failure) = outcome.failure {
                        println!("seed {seed}: {failure}");
                        failed.lock().unwrap().push(seed);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    let run = next.load(Ordering::Relaxed).min(end) - args.first;
    println!(
        "{run} seeds in {:.1} s, {} failed: {:?}",
        begin.elapsed().as_secs_f64(),
        failed.len(),
        total.into_inner().unwrap()
    );
    if let Some(first) = failed.first() {
        explain(*first, false, 60);
    }
    for seed in &failed {
        println!("repeat: cargo run --profile seeds -p whatsio-tests --bin mixed -- --seed {seed}");
    }
    println!("{} passed, {} failed", run - failed.len() as u64, failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
