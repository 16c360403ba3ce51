//! Says what is wrong with a session and what to do about it.

use super::session::{State, state};
use crate::args::{DoctorArgs, Global, RecordArgs};
use crate::failure::Failure;
use crate::style::Style;
use crate::{report, session};
use serde_json::{Value, json};
use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::time::timeout;
use whatsio::api::{Disconnect, DisconnectReason, Event, Limits, ProtocolProfile, Recommendation, Space};
use whatsio::{Client, Events};
use whatsio_store::{AccountId, Administer, Standing};

/// The exit status when there is a problem.
const PROBLEM: u8 = 8;

/// How serious a finding is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Grade {
    Ok,
    Warning,
    Problem,
}

struct Finding {
    grade: Grade,
    /// What was looked at; never renamed.
    check: &'static str,
    text: String,
    remedy: Option<String>,
}

/// What was found, in order.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn ok(&mut self, check: &'static str, text: impl Into<String>) {
        self.0.push(Finding { grade: Grade::Ok, check, text: text.into(), remedy: None });
    }

    fn warning(&mut self, check: &'static str, text: impl Into<String>, remedy: impl Into<String>) {
        self.0.push(Finding { grade: Grade::Warning, check, text: text.into(), remedy: Some(remedy.into()) });
    }

    fn problem(&mut self, check: &'static str, text: impl Into<String>, remedy: Option<String>) {
        self.0.push(Finding { grade: Grade::Problem, check, text: text.into(), remedy });
    }

    fn failure(&mut self, check: &'static str, failure: &Failure) {
        self.problem(check, failure.to_string(), failure.hint().map(ToOwned::to_owned));
    }
}

pub(crate) async fn run(global: &Global, args: DoctorArgs) -> Result<ExitCode, Failure> {
    let account = super::session::account(global)?;
    let mut found = Findings::default();
    if at_rest(global, &account, &mut found) && !args.offline {
        connected(global, &args, &mut found).await;
    }
    print(&found, args.json)?;
    let sick = found.0.iter().any(|finding| finding.grade == Grade::Problem);
    Ok(if sick { ExitCode::from(PROBLEM) } else { ExitCode::SUCCESS })
}

/// Looks at the database only. Whether there is anything to connect with.
fn at_rest(global: &Global, account: &AccountId, found: &mut Findings) -> bool {
    let path = global.store.display();
    if !global.store.exists() {
        let remedy = "`whatsio link` makes one; or name the right one with --store".to_owned();
        found.problem("database", format!("there is no database {path}"), Some(remedy));
        return false;
    }
    let store = match session::open(global) {
        Ok(store) => store,
        Err(failure) => {
            found.failure("database", &failure);
            return false;
        }
    };
    found.ok("database", format!("{path} can be read"));
    if store.is_sealed() {
        found.ok("seal", "the database is sealed, and its key fits");
    } else {
        found.warning("seal", "the database is plain: a copy of it is the account", "run `whatsio session seal`");
    }
    match (store.standing(account), state(&store, account)) {
        (Ok(Some(standing)), Ok(state)) => judge(account, &standing, &state, found),
        (Ok(None), Ok(_)) => {
            found.failure("account", &Failure::NoAccount(account.to_string()));
            false
        }
        (Err(error), _) => {
            found.failure("account", &error.into());
            false
        }
        (_, Err(failure)) => {
            found.failure("account", &failure);
            false
        }
    }
}

fn judge(account: &AccountId, standing: &Standing, state: &State, found: &mut Findings) -> bool {
    let identity = match state {
        State::MovedAway => {
            let remedy = "run it where it was imported; if it never was, `whatsio session reclaim`".to_owned();
            found.problem("account", format!("{account} was moved away from this database"), Some(remedy));
            return false;
        }
        State::Damaged => {
            let remedy = "restore the database from a backup, or link under a new --account".to_owned();
            found.problem("account", format!("the records of {account} are damaged"), Some(remedy));
            return false;
        }
        State::NotLinked => {
            found.ok("account", format!("{account} is there, started {} times", standing.epoch.0 >> 32));
            found.failure("linked", &Failure::NotLinked);
            return false;
        }
        State::Linked(identity) => identity,
    };
    found.ok("account", format!("{account} is there, started {} times", standing.epoch.0 >> 32));
    let lid = identity.lid.as_ref().map(|lid| format!(", also {lid}")).unwrap_or_default();
    found.ok("linked", format!("as {}{lid}", identity.jid));
    let count = |space| standing.records.iter().find(|(found, _)| *found == space).map_or(0, |(_, count)| *count);
    match count(Space::PreKey) {
        0 => found.warning("prekeys", "none left here", "stay connected a minute: new ones are made then"),
        keys => found.ok("prekeys", format!("{keys} kept")),
    }
    let limit = u64::try_from(Limits::default().inbox_events).unwrap_or(u64::MAX);
    match count(Space::Inbox) {
        events if events >= limit => {
            let text = format!("{events} events wait to be handled: nothing more is read until some are");
            found.problem("inbox", text, Some("run `whatsio watch`".into()));
        }
        events => found.ok("inbox", format!("{events} events wait for `whatsio watch`")),
    }
    found.ok("outbox", format!("{} sends kept, to be sent or to be sent again when asked for", count(Space::Outbox)));
    match count(Space::Quarantine) {
        0 => found.ok("records", "none were set aside"),
        aside => found.warning(
            "records",
            format!("{aside} did not decode and were set aside"),
            "nothing now, they are repaired; if it grows, check the disk",
        ),
    }
    true
}

/// Looks at the account while it connects.
async fn connected(global: &Global, args: &DoctorArgs, found: &mut Findings) {
    let profile = ProtocolProfile::default();
    let [primary, secondary, tertiary] = profile.version;
    let url = global.relay.as_ref().unwrap_or(&profile.url);
    found.ok("profile", format!("announces version {primary}.{secondary}.{tertiary} to {url}"));
    let (client, mut events) = match session::start_linked(global, &RecordArgs::default()).await {
        Ok(started) => started,
        Err(failure) => return found.failure("connection", &failure),
    };
    let mut last = None;
    match timeout(args.timeout, until_connected(&client, &mut events, &mut last)).await {
        Ok(Ok(())) => {
            found.ok("connection", "logged in");
            healthy(&client, found).await;
        }
        Ok(Err(Some(failure))) => found.failure("connection", &failure),
        Ok(Err(None)) | Err(_) => ended(args, last.as_ref(), found),
    }
    client.shutdown().await;
}

/// Fails with nothing when `last` says what is wrong.
async fn until_connected(
    client: &Client,
    events: &mut Events,
    last: &mut Option<Disconnect>,
) -> Result<(), Option<Failure>> {
    while let Some(event) = events.next().await {
        match event.event() {
            Event::Connected => return Ok(()),
            Event::Disconnected(disconnect) => {
                let stays_down = !disconnect.recommendation.reconnects();
                *last = Some(disconnect.clone());
                if stays_down {
                    return Err(None);
                }
            }
            _ => {}
        }
    }
    Err(Some(client.stopped().map_or(Failure::Other("the client has ended".into()), Failure::Stopped)))
}

fn ended(args: &DoctorArgs, last: Option<&Disconnect>, found: &mut Findings) {
    let Some(disconnect) = last else {
        let text = format!("no login within {:?}, and no reason why", args.timeout);
        return found.problem("connection", text, Some("check the network, or allow more with --timeout".into()));
    };
    let mut text = format!("disconnected: {}", report::reason(&disconnect.reason));
    if let Some(said) = disconnect.notice.as_ref().and_then(|notice| notice.message.as_deref()) {
        text = format!("{text}; the server says: {}", report::printable(said));
    }
    found.problem("connection", text, Some(remedy(disconnect)));
}

/// What follows from the end of a connection, for people.
fn remedy(disconnect: &Disconnect) -> String {
    match (&disconnect.reason, disconnect.recommendation) {
        (DisconnectReason::CertificateNotTrusted, _) => {
            "check the clock of this machine; with --relay, check --root-key; else somebody sits in between".into()
        }
        (DisconnectReason::Unreachable, _) => "check the network, --proxy and --trust; -v says what failed".into(),
        (DisconnectReason::TemporarilyBanned { expires_in_s: Some(seconds), .. }, _) => {
            format!("wait {seconds} seconds, and send less to people who do not know this account")
        }
        (_, Recommendation::WaitUntil(_)) => {
            "it would try again by itself: run `whatsio watch`, or doctor later".into()
        }
        (_, Recommendation::LinkAgain) => "the device was unlinked: run `whatsio link`".into(),
        (_, Recommendation::Replaced) => "another process uses this device: end that one first".into(),
        (_, Recommendation::Locked) => "open WhatsApp on the phone: only the account's owner can help, or time".into(),
        (_, Recommendation::UpdateProfile) => "the announced version is refused: update whatsio".into(),
        _ => "nothing reconnects by itself: run it again; -v says more".into(),
    }
}

async fn healthy(client: &Client, found: &mut Findings) {
    let (health, restriction) = match (client.health().await, client.restriction().await) {
        (Ok(health), Ok(restriction)) => (health, restriction),
        (Err(stopped), _) | (_, Err(stopped)) => return found.failure("health", &stopped.into()),
    };
    if health.stalled.is_empty() {
        let (inbox, outbox) = (health.inbox, health.outbox);
        found.ok("health", format!("nothing is stalled; {inbox} events and {outbox} sends wait"));
    } else {
        let stages: Vec<&str> = health.stalled.iter().map(|stage| stage.word()).collect();
        found.warning("health", format!("stalled: {}", stages.join(", ")), "run it again; -v says what it waits for");
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    match restriction.filter(|restriction| restriction.holds_at(now)) {
        None => found.ok("restriction", "none is known"),
        Some(restriction) => {
            let until = restriction
                .until
                .map_or("for as long as the server says".into(), |until| format!("until {until} (seconds since 1970)"));
            let text = format!("the account may begin no new chats, {until}");
            found.warning("restriction", text, "write only to people it has talked to, and wait");
        }
    }
}

fn print(found: &Findings, as_json: bool) -> Result<(), Failure> {
    let style = Style::of_stdout();
    let mut lines = Vec::new();
    if as_json {
        let all: Vec<Value> = found.0.iter().map(object).collect();
        lines.push(Value::from(all).to_string());
    } else {
        for finding in &found.0 {
            let word = word(finding.grade);
            let word = match finding.grade {
                Grade::Ok => style.good(word),
                Grade::Warning => style.name(word),
                Grade::Problem => style.bad(word),
            };
            lines.push(format!("{word}\t{}\t{}", finding.check, finding.text));
            lines.extend(finding.remedy.as_ref().map(|remedy| format!("\t\t{} {remedy}", style.dim("->"))));
        }
    }
    match writeln!(std::io::stdout(), "{}", lines.join("\n")) {
        Err(source) if source.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::Write { path: "standard output".into(), source })
        }
        _ => Ok(()),
    }
}

fn object(finding: &Finding) -> Value {
    json!({
        "check": finding.check,
        "state": word(finding.grade),
        "text": finding.text,
        "remedy": finding.remedy,
    })
}

const fn word(grade: Grade) -> &'static str {
    match grade {
        Grade::Ok => "ok",
        Grade::Warning => "warning",
        Grade::Problem => "problem",
    }
}
