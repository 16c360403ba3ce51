//! Clients that nobody here wrote, against the relay and against whatsio. Run by `tests/interop/run`, which installs them.
//!
//! Arguments: `matrix`, `import`, `kill` (all without any), names of pairs such as `whatsio-Baileys`, a number of kills such as
//! `kill=20`. `INTEROP_SEED` repeats the moments of an earlier run's kills. The last line is `N passed, N failed`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code: a panic is a failed test"
)]

mod actor;
mod cells;
mod import;
mod kill;
mod matrix;
mod ours;
mod stage;

use std::process::ExitCode;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    if std::env::var_os("WHATSIO_ACTOR").is_some() {
        return match runtime.block_on(ours::act()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("whatsio: {error}");
                ExitCode::FAILURE
            }
        };
    }
    runtime.block_on(suite())
}

async fn suite() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let unknown: Vec<&String> = arguments.iter().filter(|argument| !is_known(argument)).collect();
    if !unknown.is_empty() {
        eprintln!("not understood: {unknown:?}; known are:\n{}", known().join("\n"));
        return ExitCode::from(2);
    }
    let pairs: Vec<&String> = arguments.iter().filter(|argument| argument.contains('-')).collect();
    let part = |name: &str| arguments.is_empty() || arguments.iter().any(|argument| argument == name);
    let (mut passed, mut failed) = (0, 0);
    if part("matrix") || !pairs.is_empty() {
        let wanted = |sender: actor::Kind, receiver: actor::Kind| {
            let name = format!("{}-{}", sender.name(), receiver.name());
            pairs.is_empty() || pairs.iter().any(|pair| pair.eq_ignore_ascii_case(&name))
        };
        let (cells_passed, cells_failed) = matrix::run(wanted).await;
        passed += cells_passed;
        failed += cells_failed;
    }
    if part("import") {
        let (moves_passed, moves_failed) = import::run().await;
        passed += moves_passed;
        failed += moves_failed;
    }
    let kills = arguments.iter().find_map(|argument| argument.strip_prefix("kill="));
    if part("kill") || kills.is_some() {
        let kills = kills.map_or(KILLS, |number| number.parse().expect("a number of kills"));
        let (checks_passed, checks_failed) = kill::run(kills).await;
        passed += checks_passed;
        failed += checks_failed;
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Everything that can be asked for.
fn known() -> Vec<String> {
    let parts = ["matrix", "import", "kill", "kill=N"].map(str::to_owned).into_iter();
    let pair = |sender: actor::Kind| actor::Kind::ALL.map(|receiver| format!("{}-{}", sender.name(), receiver.name()));
    parts.chain(actor::Kind::ALL.into_iter().flat_map(pair)).collect()
}

fn is_known(argument: &str) -> bool {
    let is_number = argument.strip_prefix("kill=").is_some_and(|number| number.parse::<u32>().is_ok());
    is_number || (argument != "kill=N" && known().iter().any(|known| known.eq_ignore_ascii_case(argument)))
}

const KILLS: u32 = 200;
