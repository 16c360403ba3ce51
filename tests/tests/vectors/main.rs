//! Runs every vector file to its last entry and prints the count per file and section.
//!
//! `WHATSIO_VECTORS=/some/folder cargo test -p whatsio-tests --test vectors` runs other values of the same format.

mod suite;

use suite::Suite;

fn main() -> std::process::ExitCode {
    Suite::default().finish()
}
