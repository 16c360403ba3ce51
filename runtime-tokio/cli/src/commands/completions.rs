//! Prints a completion script.

use crate::args::{Cli, CompletionsArgs};
use crate::failure::Failure;
use clap::CommandFactory as _;
use std::io::Write as _;
use std::process::ExitCode;

pub(crate) fn run(args: &CompletionsArgs) -> Result<ExitCode, Failure> {
    // Into memory first: the generator panics when its output breaks, as it does under `| head`.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "whatsio", &mut script);
    std::io::stdout().write_all(&script).map_err(|source| Failure::Write { path: "standard output".into(), source })?;
    Ok(ExitCode::SUCCESS)
}
