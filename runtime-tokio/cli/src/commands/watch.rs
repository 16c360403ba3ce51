//! Prints events.

use crate::args::{Global, WatchArgs};
use crate::chats::Chats;
use crate::failure::Failure;
use crate::style::Style;
use crate::{report, session};
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use whatsio::api::{Event, Recommendation};
use whatsio::{Client, Events};

pub(crate) async fn run(global: &Global, args: WatchArgs) -> Result<ExitCode, Failure> {
    let (client, mut events) = session::start_linked(global, &args.recording).await?;
    let chats = Chats::open(global)?;
    let result = watch(&args, &client, &mut events, &chats).await;
    client.shutdown().await;
    result
}

async fn watch(args: &WatchArgs, client: &Client, events: &mut Events, chats: &Chats) -> Result<ExitCode, Failure> {
    let end = Instant::now() + args.timeout.unwrap_or(Duration::from_secs(365 * 86_400));
    let style = Style::of_stdout();
    let mut left = args.count;
    while left != Some(0) {
        let event = tokio::select! {
            event = events.next() => event,
            _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
            () = sleep_until(end) => {
                // Without a wanted number of events, an end by time is what was asked for.
                return match (left, args.timeout) {
                    (Some(_), Some(timeout)) => Err(Failure::TimedOut(timeout, "watching")),
                    _ => Ok(ExitCode::SUCCESS),
                };
            }
        };
        let Some(event) = event else {
            return Err(client.stopped().map_or(Failure::Other("the client has ended".into()), Failure::Stopped));
        };
        let line = if args.json {
            Some(report::json(event.id(), event.event()).to_string())
        } else {
            report::line(event.event(), style)
        };
        if let Some(line) = line {
            match writeln!(std::io::stdout(), "{line}") {
                Ok(()) => {}
                // The reader has gone (`| head`): what it did not take comes again next time.
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
                Err(source) => return Err(Failure::Write { path: "standard output".into(), source }),
            }
            left = left.map(|left| left - 1);
        }
        if let Event::Disconnected(disconnect) = event.event()
            && !matches!(disconnect.recommendation, Recommendation::WaitUntil(_))
        {
            return Err(Failure::Ended(disconnect.reason.clone()));
        }
        if !args.peek {
            chats.note(event.id(), event.event())?;
            event.handled();
        }
    }
    Ok(ExitCode::SUCCESS)
}
