//! Lists chats. Talks to no server.

use crate::args::{ChatsArgs, Global};
use crate::chats::{Chat, Chats};
use crate::failure::Failure;
use crate::style::Style;
use serde_json::json;
use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) fn run(global: &Global, args: &ChatsArgs) -> Result<ExitCode, Failure> {
    if !global.store.exists() {
        return Err(Failure::NoAccount(global.account.clone()));
    }
    let style = Style::of_stdout();
    for chat in Chats::open(global)?.all()? {
        let line = if args.json { in_json(&chat) } else { in_words(&chat, style) };
        match writeln!(std::io::stdout(), "{line}") {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => break,
            Err(source) => return Err(Failure::Write { path: "standard output".into(), source }),
            Ok(()) => {}
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn in_json(chat: &Chat) -> String {
    let Chat { chat, pn, username, name, last, unread, .. } = chat;
    json!({ "chat": chat, "pn": pn, "username": username, "name": name, "last": last, "unread": unread }).to_string()
}

fn in_words(chat: &Chat, style: Style) -> String {
    let address = chat.pn.as_ref().unwrap_or(&chat.chat);
    let name = chat.name.as_deref().or(chat.username.as_deref()).unwrap_or("");
    let unread = if chat.unread > 0 { format!("{} unread", chat.unread) } else { String::new() };
    format!("{address}\t{}\t{}\t{unread}", style.dim(ago(chat.last)), name)
}

/// How long ago `unix` (seconds since 1970) was.
fn ago(unix: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    match now.saturating_sub(unix) {
        _ if unix == 0 => "never".into(),
        seconds @ 0..60 => format!("{seconds} s ago"),
        seconds @ 60..3600 => format!("{} min ago", seconds / 60),
        seconds @ 3600..86_400 => format!("{} h ago", seconds / 3600),
        seconds => format!("{} days ago", seconds / 86_400),
    }
}
