//! Runs every vector file to its last entry and prints the count per file and section.
//!
//! `WHATSIO_VECTORS=/some/folder cargo test -p whatsio-tests --test vectors` runs other values of the same format.

mod appstate;
mod frames;
mod ids;
mod jid;
mod linking;
mod malformed;
mod media;
mod noise;
mod signal;
mod suite;
mod wire;

use suite::Suite;

fn main() -> std::process::ExitCode {
    let mut suite = Suite::default();
    wire::run(&mut suite);
    malformed::run(&mut suite);
    jid::run(&mut suite);
    ids::run(&mut suite);
    frames::run(&mut suite);
    noise::run(&mut suite);
    linking::run(&mut suite);
    signal::run(&mut suite);
    media::run(&mut suite);
    appstate::run(&mut suite);
    suite.finish()
}
