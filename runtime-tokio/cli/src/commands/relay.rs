//! Serves a relay until interrupted.

use crate::args::RelayArgs;
use crate::failure::Failure;
use crate::style::Style;
use std::process::ExitCode;
use tokio::sync::broadcast::error::RecvError;
use whatsio::relay::{RelayEvent, RelayOptions, RelayServer};

pub(crate) async fn run(args: RelayArgs) -> Result<ExitCode, Failure> {
    let mut options = RelayOptions::default();
    options.ws = args.ws;
    options.wss = args.wss;
    options.admin = args.admin;
    let server = RelayServer::bind(options).await?;

    println!("ws {}", server.url());
    if let Some(url) = server.tls_url() {
        println!("wss {url}");
    }
    println!("admin {}", server.admin_url());
    println!("root-key {}", hex::encode(server.root_key()));
    if let (Some(path), Some(pem)) = (args.certificate, server.certificate_pem()) {
        std::fs::write(&path, pem).map_err(|source| Failure::Write { path, source })?;
    }
    let style = Style::of_stderr();
    eprintln!("{}", style.dim("the relay runs; Ctrl-C ends it, and it forgets everything then"));
    if !args.admin.ip().is_loopback() {
        eprintln!("{} anybody who reaches {} can link and unlink devices", style.bad("careful:"), args.admin);
    }

    let mut events = server.handle().events();
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Ok(event) => eprintln!("{}", describe(&event)),
                Err(RecvError::Lagged(count)) => eprintln!("({count} events not shown)"),
                Err(RecvError::Closed) => break,
            },
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    server.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

/// One line for the operator. Addresses of this relay's accounts are made up, so they are shown.
fn describe(event: &RelayEvent) -> String {
    match event {
        RelayEvent::RegistrationOpened(link) => format!("link {}: an unlinked companion shows QR codes", link.0),
        RelayEvent::PasskeyRequested { account } => format!("{account}: a passkey must allow the new companion"),
        RelayEvent::CodeToCompare { account, code } => format!("{account}: the phone shows {}", code.0),
        RelayEvent::Linked(jid) => format!("{jid} linked"),
        RelayEvent::LinkingFailed { link, reason } => format!("link {}: linking failed: {reason}", link.0),
        RelayEvent::LoggedIn(jid) => format!("{jid} logged in"),
        RelayEvent::Disconnected(jid) => format!("{jid} disconnected"),
        RelayEvent::Removed(jid) => format!("{jid} removed"),
        RelayEvent::Refused { link, reason } => format!("link {}: refused with reason {reason}", link.0),
        RelayEvent::MessageAccepted { from, to, id, devices } => {
            format!("{from} -> {to}: message {id} for {devices} devices")
        }
        RelayEvent::MessageRefused { from, code } => format!("{from}: message refused with {code}"),
        RelayEvent::UnknownRequest { xmlns, child } => format!("unknown request {xmlns}/{child} answered with 501"),
        RelayEvent::Misbehaved { link, what } => format!("link {}: cut off: {what}", link.0),
        other => format!("{other:?}"),
    }
}
