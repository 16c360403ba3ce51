//! Sends one text message.

use crate::args::{Global, SendArgs};
use crate::chats::Chats;
use crate::failure::Failure;
use crate::style::Style;
use crate::{chat, session};
use std::io::{IsTerminal as _, Read as _};
use std::process::ExitCode;
use tokio::time::timeout;
use whatsio::api::{DeviceOutcome, Event, MessageId, Recommendation, SendReport, SendResult};
use whatsio::{Client, Events, content};

pub(crate) async fn run(global: &Global, args: SendArgs) -> Result<ExitCode, Failure> {
    let to = chat::parse(&args.to)?;
    let text = match args.text.as_deref() {
        Some(text) if text != "-" => text.to_owned(),
        _ => read_stdin()?,
    };
    if text.is_empty() {
        return Err(Failure::Other("there is nothing to say: the text is empty".into()));
    }
    let chats = Chats::open(global)?;
    let (client, mut events) = session::start_linked(global, &args.recording).await?;
    let sending = async {
        let queued = client.queue(&to, content::text(&text), None).await?;
        until_reported(&client, &mut events, &chats, queued.id()).await
    };
    let result = timeout(args.timeout, sending).await;
    client.shutdown().await;
    let report = result.map_err(|_| Failure::TimedOut(args.timeout, "sending"))??;
    print(&args, &report);
    match report.result {
        SendResult::Accepted { .. } => Ok(ExitCode::SUCCESS),
        SendResult::Refused { code } => Err(Failure::Refused(code)),
        other => Err(Failure::Other(crate::report::explained(other))),
    }
}

/// Waits for the report of `id`. Other reports and receipts are of no use to a later command, so they are handled;
/// messages stay for `watch`.
async fn until_reported(
    client: &Client,
    events: &mut Events,
    chats: &Chats,
    id: &MessageId,
) -> Result<SendReport, Failure> {
    while let Some(event) = events.next().await {
        match event.event() {
            Event::SendFinished(report) if report.id == *id => {
                let report = (**report).clone();
                chats.note(event.id(), event.event())?;
                event.handled();
                return Ok(report);
            }
            Event::SendFinished(_) | Event::ReceiptReceived(_) => event.handled(),
            Event::Disconnected(disconnect) if !matches!(disconnect.recommendation, Recommendation::WaitUntil(_)) => {
                return Err(Failure::Ended(disconnect.reason.clone()));
            }
            _ => {}
        }
    }
    Err(client.stopped().map_or(Failure::Other("the client has ended".into()), Failure::Stopped))
}

fn read_stdin() -> Result<String, Failure> {
    let mut stdin = std::io::stdin();
    if stdin.is_terminal() {
        eprintln!("type the message; Ctrl-D ends it");
    }
    let mut text = String::new();
    stdin.read_to_string(&mut text).map_err(|source| Failure::Read { path: "standard input".into(), source })?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn print(args: &SendArgs, report: &SendReport) {
    if args.json {
        println!("{}", crate::report::send_finished(report));
        return;
    }
    println!("{}", report.id);
    let style = Style::of_stderr();
    let sent = report.devices.iter().filter(|(_, outcome)| is_sent(*outcome)).count();
    if report.is_sent() {
        eprintln!("{} to {sent} devices", style.good("sent"));
    }
    for (device, outcome) in &report.devices {
        if !is_sent(*outcome) {
            eprintln!("{} not to {device}: {outcome:?}", style.dim("note:"));
        }
    }
}

const fn is_sent(outcome: DeviceOutcome) -> bool {
    matches!(outcome, DeviceOutcome::Sent | DeviceOutcome::Repaired)
}
