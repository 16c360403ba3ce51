//! Links this device to a phone.

use crate::args::{Global, LinkArgs};
use crate::failure::Failure;
use crate::style::Style;
use crate::{http, qr, session};
use std::process::ExitCode;
use tokio::time::{Instant, timeout_at};
use whatsio::api::{Event, Recommendation};
use whatsio::{Client, Events};

pub(crate) async fn run(global: &Global, args: LinkArgs) -> Result<ExitCode, Failure> {
    if args.scan && global.relay.is_none() {
        return Err(Failure::Usage("--scan needs --relay: the real service has no phone to play"));
    }
    let (client, mut events) = session::start(global).await?;
    if let Some(identity) = client.identity().await? {
        eprintln!("already linked");
        println!("{}", identity.jid);
        client.shutdown().await;
        return Ok(ExitCode::SUCCESS);
    }
    client.connect().await?;
    let linking = link(global, &args, &client, &mut events);
    let result = timeout_at(Instant::now() + args.timeout, linking).await;
    client.shutdown().await;
    result.map_err(|_| Failure::TimedOut(args.timeout, "linking"))?
}

async fn link(global: &Global, args: &LinkArgs, client: &Client, events: &mut Events) -> Result<ExitCode, Failure> {
    let mut shown = 0;
    while let Some(event) = events.next().await {
        match event.event() {
            Event::QrShown { text, valid_ms } if args.scan => {
                eprintln!("the relay's phone scans the code (good for {} s)", valid_ms / 1000);
                scan(global, args, text).await?;
            }
            Event::QrShown { text, valid_ms } => {
                shown += 1;
                show(args, text, shown, valid_ms / 1000);
            }
            Event::Linked { jid, platform, .. } => {
                eprintln!("linked to a phone ({platform}); logging in");
                println!("{jid}");
            }
            Event::LinkFailed(failure) => return Err(Failure::LinkFailed(failure.reason)),
            Event::Connected => {
                eprintln!("{}", Style::of_stderr().good("ready: try `whatsio watch` or `whatsio send`"));
                return Ok(ExitCode::SUCCESS);
            }
            Event::Disconnected(disconnect) if !matches!(disconnect.recommendation, Recommendation::WaitUntil(_)) => {
                return Err(Failure::Ended(disconnect.reason.clone()));
            }
            _ => {}
        }
    }
    Err(client.stopped().map_or(Failure::Other("the client has ended".into()), Failure::Stopped))
}

fn show(args: &LinkArgs, text: &str, number: u32, seconds: u64) {
    if args.text {
        println!("{text}");
        return;
    }
    let Some(drawn) = qr::draw(text) else {
        println!("{text}");
        return;
    };
    if number == 1 {
        eprintln!("On the phone: Settings, Linked devices, Link a device. Then point it at this code:");
    } else {
        eprintln!("A new code, the one above is over:");
    }
    let white_on_black = Style::of_stderr().is_on();
    for line in drawn.lines() {
        if white_on_black { eprintln!("\x1b[97;40m{line}\x1b[0m") } else { eprintln!("{line}") }
    }
    eprintln!("(good for {seconds} s; --text prints the text instead)");
}

async fn scan(global: &Global, args: &LinkArgs, text: &str) -> Result<(), Failure> {
    let url = global.relay.as_deref().unwrap_or_default();
    let authority = session::control_authority(url)
        .ok_or_else(|| Failure::Scan("only a ws:// relay on this machine can be asked".into()))?;
    let path = match &args.phone {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("/admin/mock-phone/scan-qr?account={digits}")
        }
        Some(_) => return Err(Failure::Scan("--phone takes digits".into())),
        None => "/admin/mock-phone/scan-qr".to_owned(),
    };
    let answer = http::request("POST", authority, &path, text).await.map_err(Failure::Scan)?;
    if answer.status == 200 { Ok(()) } else { Err(Failure::Scan(answer.body)) }
}
