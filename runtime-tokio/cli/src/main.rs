//! Command line for whatsio. Data goes to stdout, talk to stderr.

mod args;
mod chat;
mod chats;
mod commands;
mod failure;
mod http;
mod qr;
mod report;
mod session;
mod style;

use args::{Cli, Command};
use clap::Parser as _;
use failure::Failure;
use std::process::ExitCode;
use style::Style;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    listen_to_tracing(cli.global.verbose);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(&Failure::Other(format!("tokio does not start: {error}"))),
    };
    let result = runtime.block_on(run(cli));
    // A blocked read of stdin must not hold up the end.
    runtime.shutdown_background();
    match result {
        Ok(code) => code,
        Err(failure) => report(&failure),
    }
}

async fn run(cli: Cli) -> Result<ExitCode, Failure> {
    let global = cli.global;
    match cli.command {
        Command::Relay(args) => commands::relay::run(args).await,
        Command::Link(args) => commands::link::run(&global, args).await,
        Command::Send(args) => commands::send::run(&global, args).await,
        Command::Watch(args) => commands::watch::run(&global, args).await,
        Command::Doctor(args) => commands::doctor::run(&global, args).await,
        Command::Session(args) => commands::session::run(&global, args),
        Command::Chats(args) => commands::chats::run(&global, &args),
        Command::Inspect(args) => commands::inspect::run(&args),
        Command::Replay(args) => commands::replay::run(&global, &args),
        Command::Demo(args) => commands::demo::run(args).await,
        Command::Completions(args) => commands::completions::run(&args),
    }
}

fn report(failure: &Failure) -> ExitCode {
    let style = Style::of_stderr();
    eprintln!("{} {failure}", style.bad("error:"));
    if let Some(hint) = failure.hint() {
        eprintln!("{} {hint}", style.dim("hint:"));
    }
    failure.exit_code()
}

fn listen_to_tracing(verbose: u8) {
    let level = match verbose {
        0 => "error",
        1 => "warn",
        2 => "info,whatsio=debug",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_env("WHATSIO_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(Style::of_stderr().is_on())
        .init();
}
