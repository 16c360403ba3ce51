//! How whatsio bears load, measured: a long absence, a slow application, a thousand accounts.
//!
//! ```text
//! cargo run --release -p whatsio-tests --example load -- drain --messages 100000
//! cargo run --release -p whatsio-tests --example load -- slow --messages 10000 --seconds 60
//! cargo run --release -p whatsio-tests --example load -- accounts --count 1000
//! ```
//!
//! The relay and whoever sends run in processes of their own, so that the figures are those of the client alone. Every
//! command checks that nothing was lost, doubled or out of order, and fails if something was.

mod accounts;
mod drain;
mod party;
mod process;
mod relay;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Whatever stops a measurement.
type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Parser)]
#[command(about = "Measures whatsio under load")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Drain what waited at the server while a device was offline.
    Drain {
        /// Messages that wait.
        #[arg(long, default_value_t = 100_000)]
        messages: u32,
    },
    /// Drain it with an application that takes a second for each event, for a while.
    Slow {
        /// Messages that wait.
        #[arg(long, default_value_t = 10_000)]
        messages: u32,
        /// How long the application stays slow.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// Many accounts in one process, over one store and one relay.
    Accounts {
        /// How many.
        #[arg(long, default_value_t = 1000)]
        count: usize,
        /// How long they idle while their cost is measured.
        #[arg(long, default_value_t = 60)]
        idle_seconds: u64,
    },
    /// The relay's process.
    #[command(hide = true)]
    Relay,
    /// The sender's process.
    #[command(hide = true)]
    Send {
        #[arg(long)]
        relay: String,
        #[arg(long)]
        to: String,
        #[arg(long)]
        messages: u32,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Drain { messages } => drain::at_full_speed(messages).await,
        Command::Slow { messages, seconds } => drain::slowly(messages, seconds).await,
        Command::Accounts { count, idle_seconds } => accounts::measure(count, idle_seconds).await,
        Command::Relay => relay::serve().await,
        Command::Send { relay, to, messages } => party::send_all(&relay, &to, messages).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("failed: {failure}");
            ExitCode::FAILURE
        }
    }
}
