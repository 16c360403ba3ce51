//! Sessions kept in the database: shown, moved, sealed, removed. None of it talks to a server.

mod adopt;
mod export;
mod import;
mod lock;
mod show;
mod upkeep;

pub(crate) use show::{State, state};

use crate::args::Global;
use crate::failure::Failure;
use clap::{Args, Subcommand, ValueEnum, ValueHint};
use std::path::PathBuf;
use std::process::ExitCode;
use whatsio_store::AccountId;

#[derive(Args, Debug)]
pub(crate) struct SessionArgs {
    #[command(subcommand)]
    command: SessionCommand,
}

#[derive(Debug, Subcommand)]
enum SessionCommand {
    /// Move the account into a sealed file, to run it elsewhere.
    ///
    /// The account stops here: a process that runs it is fenced off, and it cannot be started until `session reclaim`.
    #[command(after_help = EXPORT_HELP)]
    Export(ExportArgs),
    /// Make an account of an exported file.
    #[command(after_help = IMPORT_HELP)]
    Import(ImportArgs),
    /// Take over an account that Baileys or whatsmeow has linked, with the files it wrote: no new linking is needed.
    ///
    /// The other client must never connect again: two of one device make messages unreadable for everybody.
    #[command(after_help = ADOPT_HELP)]
    Adopt(AdoptArgs),
    /// List the accounts in the database.
    #[command(after_help = LIST_HELP)]
    List(ListArgs),
    /// Show what the database knows of the account, without numbers or names.
    #[command(after_help = SHOW_HELP)]
    Show(ListArgs),
    /// Seal a database that was kept plain until now.
    #[command(after_help = SEAL_HELP)]
    Seal,
    /// Let an account that was moved away run here again.
    #[command(after_help = RECLAIM_HELP)]
    Reclaim(ConfirmedArgs),
    /// Remove the account from the database for good. The phone goes on listing the device until it is unlinked there.
    #[command(after_help = REMOVE_HELP)]
    Remove(ConfirmedArgs),
}

#[derive(Args, Debug)]
struct ExportArgs {
    /// The file to make.
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// Leave the account running here: a backup. It must not be used once the account has sent or received on.
    #[arg(long)]
    copy: bool,
    #[command(flatten)]
    lock: LockArgs,
}

#[derive(Args, Debug)]
struct ImportArgs {
    /// The exported file.
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// Name the account so; without this or `--account` it keeps the name it had.
    #[arg(long = "as", value_name = "NAME")]
    name: Option<AccountId>,
    /// Take a backup too: only right when the account has not run since, and never will elsewhere.
    #[arg(long)]
    accept_copy: bool,
    #[command(flatten)]
    lock: LockArgs,
}

#[derive(Args, Debug)]
struct AdoptArgs {
    /// Which client wrote the files.
    #[arg(value_enum)]
    client: ForeignClient,
    /// Where they are: the folder of Baileys' `useMultiFileAuthState`, or whatsmeow's SQLite file.
    #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath)]
    path: PathBuf,
    /// Which account, by its phone number, when whatsmeow's file holds several.
    #[arg(long, value_name = "DIGITS")]
    number: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ForeignClient {
    Baileys,
    Whatsmeow,
}

/// What the file is sealed under. Without any of these a passphrase is asked for.
#[derive(Args, Debug)]
struct LockArgs {
    /// Read the passphrase from the first line of this file.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    passphrase_file: Option<PathBuf>,
    /// Use the key in this file, not a passphrase; an export makes it when it does not exist.
    #[arg(long, conflicts_with = "passphrase_file", value_name = "FILE", value_hint = ValueHint::FilePath)]
    session_key: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct ListArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct ConfirmedArgs {
    /// Say that it is meant.
    #[arg(long)]
    yes: bool,
}

pub(crate) fn run(global: &Global, args: SessionArgs) -> Result<ExitCode, Failure> {
    match args.command {
        SessionCommand::Export(args) => export::run(global, &args),
        SessionCommand::Import(args) => import::run(global, args),
        SessionCommand::Adopt(args) => adopt::run(global, &args),
        SessionCommand::List(args) => show::list(global, &args),
        SessionCommand::Show(args) => show::show(global, &args),
        SessionCommand::Seal => upkeep::seal(global),
        SessionCommand::Reclaim(args) => upkeep::reclaim(global, &args),
        SessionCommand::Remove(args) => upkeep::remove(global, &args),
    }
}

pub(crate) fn account(global: &Global) -> Result<AccountId, Failure> {
    AccountId::new(&global.account).map_err(|_| Failure::Usage("--account is 1 to 100 of A-Z a-z 0-9 . _ -"))
}

const EXPORT_HELP: &str = "\
Examples:
  whatsio session export me.session
  whatsio --account work session export --passphrase-file secret.txt work.session
  whatsio session export --copy backup.session

The passphrase can also be given in the environment variable WHATSIO_PASSPHRASE.";

const IMPORT_HELP: &str = "\
Examples:
  whatsio --store new.db session import me.session
  whatsio session import --as work2 --passphrase-file secret.txt work.session

Nothing is overwritten. Delete the file afterwards: importing it once more, anywhere, would make two of one device.";

const ADOPT_HELP: &str = "\
Examples:
  whatsio session adopt baileys auth_info_baileys
  whatsio --account work session adopt whatsmeow store.db --number 4915112345678

End the other client first. Its files are only read; keep them until the account has connected here, then delete them.";

const LIST_HELP: &str = "\
Examples:
  whatsio session list
  whatsio session list --json";

const SHOW_HELP: &str = "\
Examples:
  whatsio session show
  whatsio --account work session show --json

It stops nobody: a process that runs the account goes on.";

const SEAL_HELP: &str = "\
Examples:
  whatsio session seal
  whatsio --key-file /run/keys/whatsio session seal

End every process that uses the database first. Copies of it made before stay plain.";

const RECLAIM_HELP: &str = "\
Examples:
  whatsio session reclaim --yes

Only right when the exported file was never imported and never will be: two of one device spoil each other's sessions.";

const REMOVE_HELP: &str = "\
Examples:
  whatsio --account work session remove --yes";
