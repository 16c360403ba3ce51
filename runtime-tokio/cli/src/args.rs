//! What can be typed.

use crate::commands::session::SessionArgs;
use clap::{Args, Parser, Subcommand, ValueHint};
use clap_complete::Shell;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Talk WhatsApp's multi-device protocol from the command line, against the real service or a relay of your own.
#[derive(Debug, Parser)]
#[command(name = "whatsio", version, after_help = EXIT_STATUS, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The account that is meant when none is named.
pub(crate) const DEFAULT_ACCOUNT: &str = "default";

/// Options of every command that acts for an account.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Account and connection")]
pub(crate) struct Global {
    /// Database that keeps accounts; made when it does not exist.
    #[arg(long, global = true, env = "WHATSIO_STORE", default_value = "whatsio.db", value_name = "FILE",
          value_hint = ValueHint::FilePath)]
    pub(crate) store: PathBuf,
    /// File with the database's key; made with a new database. Without this, the key in the environment variable
    /// WHATSIO_STORE_KEY if it is set, else in the file named like the database with `.key` behind it.
    #[arg(long, global = true, env = "WHATSIO_KEY_FILE", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) key_file: Option<PathBuf>,
    /// Use a database that is not sealed: whoever has a copy of it has the accounts.
    #[arg(long, global = true, conflicts_with = "key_file")]
    pub(crate) plain_store: bool,
    /// Which account in the database.
    #[arg(long, global = true, env = "WHATSIO_ACCOUNT", default_value = DEFAULT_ACCOUNT, value_name = "NAME")]
    pub(crate) account: String,
    /// Talk to a relay instead of the real service: its WebSocket URL.
    #[arg(long, global = true, env = "WHATSIO_RELAY", value_name = "URL", value_hint = ValueHint::Url)]
    pub(crate) relay: Option<String>,
    /// Root key of the relay, 64 hex digits. Asked from the relay itself when it is on this machine without TLS.
    #[arg(long, global = true, env = "WHATSIO_ROOT_KEY", value_name = "HEX")]
    pub(crate) root_key: Option<String>,
    /// Also trust the certificates in this PEM file, for example a relay's own.
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) trust: Option<PathBuf>,
    /// Take the constants of the protocol (announced version, server, name shown on the phone) from this TOML file.
    #[arg(long, global = true, env = "WHATSIO_PROFILE", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) profile: Option<PathBuf>,
    /// Connect through a proxy: http://, https:// or socks5://, with user:password@ if needed.
    #[arg(long, global = true, env = "WHATSIO_PROXY", hide_env_values = true, value_name = "URL")]
    pub(crate) proxy: Option<String>,
    /// Say more about what happens inside; repeat for even more.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the whole thing at work on this machine, in a few seconds.
    ///
    /// Starts a relay on a loopback port, links two accounts on three devices by QR code, sends messages both ways, takes
    /// a receiver offline and back, cuts connections in the middle of a send and restarts a device from its database; then
    /// counts what was sent, delivered, lost and doubled.
    #[command(after_help = DEMO_HELP)]
    Demo(DemoArgs),
    /// Run a relay: the server's half of the protocol, for tests and for trying things out.
    #[command(after_help = RELAY_HELP)]
    Relay(RelayArgs),
    /// Link this device to a phone: by a QR code, or by a code that is typed there.
    #[command(after_help = LINK_HELP)]
    Link(LinkArgs),
    /// Send a text message and wait until the server has it.
    #[command(after_help = SEND_HELP)]
    Send(SendArgs),
    /// Print what happens to the account: messages, receipts, presence, and all else that the library tells.
    #[command(after_help = WATCH_HELP)]
    Watch(WatchArgs),
    /// List the chats that this device has seen: what `watch` has shown and `send` has sent.
    #[command(after_help = CHATS_HELP)]
    Chats(ChatsArgs),
    /// Say what is wrong with the account and what to do about it.
    ///
    /// Looks at the database, then connects. Connecting takes the account over from another process that runs it; with
    /// --offline nobody is disturbed. Shows the account's own address in full.
    #[command(after_help = DOCTOR_HELP)]
    Doctor(DoctorArgs),
    /// Show, move, seal and remove the sessions in the database.
    #[command(after_help = SESSION_HELP)]
    Session(SessionArgs),
    /// Show binary stanzas as readable trees, personal data hidden.
    #[command(after_help = INSPECT_HELP)]
    Inspect(InspectArgs),
    /// Run a recording again, or look at one, offline.
    ///
    /// Of a sealed recording the client is made anew and told the same; what it does is compared byte for byte. A redacted
    /// one cannot be run, since it holds no keys: it is printed line by line, and host and client are checked against
    /// their contract.
    #[command(after_help = REPLAY_HELP)]
    Replay(ReplayArgs),
    /// Print a completion script for a shell.
    #[command(after_help = COMPLETIONS_HELP)]
    Completions(CompletionsArgs),
}

/// What to record a command's client to.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Recording")]
pub(crate) struct RecordArgs {
    /// Record all that happens to the client into this new file, for `whatsio replay`. It holds keys and messages, and is
    /// sealed under the database's key.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) record: Option<PathBuf>,
    /// Record what happens, without keys, messages, names and numbers, into this new file: to be shared.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) record_redacted: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct ReplayArgs {
    /// The recording.
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Compare with this redacted recording too: is it of this run?
    #[arg(long, value_name = "REDACTED", value_hint = ValueHint::FilePath)]
    pub(crate) against: Option<PathBuf>,
    /// Write the redacted form into this new file.
    #[arg(long, value_name = "OUT", value_hint = ValueHint::FilePath)]
    pub(crate) redact: Option<PathBuf>,
    /// Print every entry of a sealed recording too.
    #[arg(long)]
    pub(crate) timeline: bool,
}

#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// Record every device into this folder, which is made; its file `key` opens the recordings.
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub(crate) record: Option<PathBuf>,
    /// Messages sent in each direction.
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=5000))]
    pub(crate) messages: u32,
}

#[derive(Args, Debug)]
pub(crate) struct RelayArgs {
    /// Where to listen for WebSockets.
    #[arg(long, default_value = "127.0.0.1:5280", value_name = "ADDRESS")]
    pub(crate) ws: SocketAddr,
    /// Where to listen for WebSockets over TLS, with a certificate made at start.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) wss: Option<SocketAddr>,
    /// Where to serve the control API. It asks nobody for a password: keep it on loopback.
    #[arg(long, default_value = "127.0.0.1:5281", value_name = "ADDRESS")]
    pub(crate) admin: SocketAddr,
    /// Write the TLS certificate to this file, for clients to trust.
    #[arg(long, value_name = "FILE", requires = "wss", value_hint = ValueHint::FilePath)]
    pub(crate) certificate: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct LinkArgs {
    #[command(flatten)]
    pub(crate) recording: RecordArgs,
    /// Show a code to be typed on the phone of this number (country code first), not a QR code.
    #[arg(long, value_name = "PHONE", conflicts_with_all = ["text", "phone"])]
    pub(crate) code: Option<String>,
    /// With --code: use this code, eight letters and digits.
    #[arg(long, requires = "code", value_name = "CODE")]
    pub(crate) custom: Option<String>,
    /// For accounts that want a passkey: read its assertion (JSON) from this file, as soon as it is there. A dash, or
    /// nothing, reads standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "scan", value_hint = ValueHint::FilePath)]
    pub(crate) assertion: Option<PathBuf>,
    /// Let the relay's phone do its part at once: scan the code, or type it. Needs --relay.
    #[arg(long)]
    pub(crate) scan: bool,
    /// With --scan: link to the account of this number (digits), not to a new one.
    #[arg(long, requires = "scan", value_name = "DIGITS")]
    pub(crate) phone: Option<String>,
    /// Print the text of the QR code, without drawing it.
    #[arg(long, conflicts_with = "scan")]
    pub(crate) text: bool,
    /// Give up after this many seconds.
    #[arg(long, default_value = "180", value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Duration,
}

#[derive(Args, Debug)]
pub(crate) struct SendArgs {
    #[command(flatten)]
    pub(crate) recording: RecordArgs,
    /// To whom: a phone number with country code, or a full address such as 236395184570386@lid.
    pub(crate) to: String,
    /// What to say; read from standard input when it is left out or is a dash.
    pub(crate) text: Option<String>,
    /// Give up after this many seconds. The message stays queued and goes out on the next connection.
    #[arg(long, default_value = "60", value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Duration,
    /// Print the report as one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    pub(crate) recording: RecordArgs,
    /// Print one JSON object per line.
    #[arg(long)]
    pub(crate) json: bool,
    /// End after this many events.
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
    /// End after this many seconds.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
    /// Leave events unhandled, so that the next start shows them again.
    #[arg(long)]
    pub(crate) peek: bool,
}

#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    /// Do not connect.
    #[arg(long)]
    pub(crate) offline: bool,
    /// Wait for the login for so many seconds.
    #[arg(long, default_value = "20", value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Duration,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ChatsArgs {
    /// Print one JSON object per line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct InspectArgs {
    /// Frames as hex digits, or files: text with one frame in hex per line, JSON with "hex" members, or raw bytes of one
    /// frame. A dash reads standard input.
    #[arg(required = true, value_name = "FRAME|FILE", value_hint = ValueHint::FilePath)]
    pub(crate) inputs: Vec<String>,
    /// Show contents, names and whole addresses.
    #[arg(long)]
    pub(crate) show_content: bool,
    /// Read the frames as a server does; matters for addresses of third-party services only.
    #[arg(long)]
    pub(crate) server: bool,
}

#[derive(Args, Debug)]
pub(crate) struct CompletionsArgs {
    /// For which shell.
    pub(crate) shell: Shell,
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 86_400.0 => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("a number of seconds, more than 0 and at most 86400".into()),
    }
}

const EXIT_STATUS: &str = "\
Exit status:
  0  done
  1  something went wrong; the message on standard error says what to do
  2  the command line is not understood
  3  the account is not linked to a phone, or no longer
  4  time ran out
  5  the server refused
  6  the demo lost or doubled a message
  7  another process or another place has the account
  8  the doctor found a problem

Set NO_COLOR to switch colours off.";

const DEMO_HELP: &str = "\
Examples:
  whatsio demo
  whatsio demo --messages 500

Exit status 6 means that a message was lost or doubled.";

const RELAY_HELP: &str = "\
Examples:
  whatsio relay
  whatsio relay --ws 127.0.0.1:9000 --wss 127.0.0.1:9443 --certificate relay.pem
  curl -d 'TEXT OF A QR CODE' http://127.0.0.1:5281/admin/mock-phone/scan-qr
  curl http://127.0.0.1:5281/admin/accounts

The first lines on standard output are `ws URL`, `wss URL` (if any), `admin URL` and `root-key HEX`.
The relay forgets everything when it ends.";

const LINK_HELP: &str = "\
Examples:
  whatsio link                                    scan the code with a phone
  whatsio link --code +4915112345678              type the code on the phone instead
  whatsio --account work link                     a second account in the same database
  whatsio --relay ws://127.0.0.1:5280 link --scan link to a relay's own phone

Prints the address of the linked device on standard output; before it the code, if it is to be typed or compared, and
the JSON of the request, if a passkey is wanted.";

const SEND_HELP: &str = "\
Examples:
  whatsio send 4915112345678 'See you at eight.'
  echo 'Backup done.' | whatsio send 4915112345678
  whatsio send 236395184570386@lid 'Hello.'

Prints the message's id on standard output. Received messages stay in the database for `whatsio watch`.";

const WATCH_HELP: &str = "\
Examples:
  whatsio watch
  whatsio watch --json | jq 'select(.type == \"message\") | .text'
  whatsio watch --count 1 --timeout 30

Every event is printed once; what was not printed before the command ended is shown by the next one.";

const CHATS_HELP: &str = "\
Examples:
  whatsio chats
  whatsio chats --json | jq 'select(.unread > 0) | .chat'

The last active chat comes first: its address, when the last message was, the other side's name, messages not yet read or
answered. Kept sealed beside the account; chats from before this device was linked are not known here.";

const SESSION_HELP: &str = "\
Examples:
  whatsio session list
  whatsio session export me.session
  whatsio --store new.db session import me.session

A session runs in one place. What an export or an import does, and what the file holds: docs/session-format.md";

const DOCTOR_HELP: &str = "\
Examples:
  whatsio doctor
  whatsio doctor --offline
  whatsio doctor --json | jq '.[] | select(.state != \"ok\")'

Each line is ok, warning or problem, what was looked at, and what was found; a remedy follows. Exit status 8 if there is
a problem; warnings alone end with 0.";

const INSPECT_HELP: &str = "\
Examples:
  whatsio inspect 00f8033f6ce3
  whatsio inspect --show-content frames.txt vectors.json
  cat frame.bin | whatsio inspect -

A frame is the flag byte and the node, after decryption. Exit status 1 if any frame does not decode.";

const REPLAY_HELP: &str = "\
Examples:
  whatsio watch --record watch.rec --record-redacted watch.redacted
  whatsio replay watch.rec
  whatsio replay watch.redacted
  whatsio replay watch.rec --against watch.redacted
  whatsio replay watch.rec --redact to-share.redacted

The key is that of the database, or the file named like the recording with `.key` behind it, if there is one.

Exit status:
  0  the same happened again; of a redacted recording: nobody broke the contract
  1  something differs; it is printed
  2  the recording cannot be read";

const COMPLETIONS_HELP: &str = "\
Examples:
  whatsio completions bash > ~/.local/share/bash-completion/completions/whatsio
  whatsio completions zsh > ~/.zfunc/_whatsio";
