//! Runs recordings again, or shows them. Nothing here talks to anybody.

use crate::args::{Global, ReplayArgs};
use crate::failure::Failure;
use crate::session;
use crate::style::Style;
use std::fmt::Display;
use std::io::{ErrorKind, StdoutLock, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use whatsio_core::recording::{Check, Contract, Ended, Line, LineReader, Reader, Redactor, Sizes, What};
use whatsio_core::replay::{Difference, Known, Replay, ReplayError};
use whatsio_store::recording::{Content, LONGEST_FILE, RecordingFile, RedactedFile, Tail, Written};
use whatsio_store::{KEY_VARIABLE, KeyError, KeySource, StoreKey};

/// Something differs, or somebody broke the contract.
const DIFFERS: u8 = 1;

pub(crate) fn run(global: &Global, args: &ReplayArgs) -> Result<ExitCode, Failure> {
    match open(global, &args.file)? {
        RecordingFile::Sealed(content) => sealed(global, args, content),
        RecordingFile::Redacted(_) if args.against.is_some() || args.redact.is_some() => {
            Err(Failure::Usage("--against and --redact go with a sealed recording"))
        }
        RecordingFile::Redacted(content) => redacted(args, content),
        _ => Err(unreadable(&args.file, "it is of an unknown kind")),
    }
}

fn open(global: &Global, path: &Path) -> Result<RecordingFile, Failure> {
    RecordingFile::open(path, || key(global, path)).map_err(|error| unreadable(path, error))
}

/// The key given by name, else the one beside the recording, else the database's.
fn key(global: &Global, path: &Path) -> Result<StoreKey, KeyError> {
    let beside = KeySource::beside(path);
    let is_named = global.key_file.is_some() || std::env::var_os(KEY_VARIABLE).is_some();
    match &beside {
        KeySource::File(file) if !is_named && file.exists() => beside.existing(),
        _ => session::key_source(global).existing(),
    }
}

fn unreadable(path: &Path, reason: impl Display) -> Failure {
    Failure::Recording { path: path.to_owned(), reason: reason.to_string() }
}

/// Standard output. A reader that has gone (`| head`) has seen enough, but the status still tells how it went.
struct Out {
    out: StdoutLock<'static>,
    is_gone: bool,
    style: Style,
}

impl Out {
    fn new() -> Self {
        Self { out: std::io::stdout().lock(), is_gone: false, style: Style::of_stdout() }
    }

    fn say(&mut self, text: impl Display) -> Result<(), Failure> {
        if self.is_gone {
            return Ok(());
        }
        match writeln!(self.out, "{text}") {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.is_gone = true;
                Ok(())
            }
            written => written.map_err(|source| Failure::Write { path: "standard output".into(), source }),
        }
    }

    fn line(&mut self, number: u64, line: &Line) -> Result<(), Failure> {
        self.say(format_args!("{} {}", self.style.dim(place(number, line)), line.what))?;
        match line.jumped_ms {
            0 => Ok(()),
            jumped => self.say(format_args!("{:>19} the wall clock jumped by {jumped} ms", "")),
        }
    }

    fn contract(&mut self, contract: &Contract) -> Result<(), Failure> {
        for (number, violation) in &contract.violations {
            self.say(format_args!("{} entry {number}: {violation}", self.style.bad("broken:")))?;
        }
        self.say(format_args!(
            "contract: {} loads, {} commits, {} not answered by the end, {} unwanted frames, {} times broken",
            contract.loads, contract.commits, contract.unanswered, contract.unwanted_frames, contract.violated
        ))
    }
}

fn place(number: u64, line: &Line) -> String {
    format!("{:>10}.{:03} {number:>5}", line.at_ms / 1000, line.at_ms % 1000)
}

/// What a sealed recording is compared with, line by line.
struct Against {
    path: PathBuf,
    content: Content,
    reader: LineReader,
}

impl Against {
    fn next_line(&mut self) -> Result<Option<Line>, Failure> {
        loop {
            if let Some(line) = self.reader.next_line().map_err(|error| unreadable(&self.path, error))? {
                return Ok(Some(line));
            }
            match self.content.next_part().map_err(|error| unreadable(&self.path, error))? {
                Some(part) => self.reader.push(&part),
                None => return Ok(None),
            }
        }
    }
}

/// Everything that a sealed recording goes through at once.
struct Run {
    replay: Replay,
    entries: Reader,
    exact: Redactor,
    rounded: Redactor,
    check: Check,
    against: Option<Against>,
    compared: u64,
    to: Option<(PathBuf, RedactedFile)>,
    timeline: bool,
}

fn sealed(global: &Global, args: &ReplayArgs, mut content: Content) -> Result<ExitCode, Failure> {
    let against = match &args.against {
        None => None,
        Some(path) => match open(global, path)? {
            RecordingFile::Redacted(content) => {
                Some(Against { path: path.clone(), content, reader: LineReader::new() })
            }
            _ => return Err(unreadable(path, "it is not redacted")),
        },
    };
    let to = match &args.redact {
        None => None,
        Some(path) => match RedactedFile::create(path, LONGEST_FILE) {
            Ok(file) => Some((path.clone(), file)),
            Err(error) => return Err(Failure::Other(error.to_string())),
        },
    };
    let mut run = Run {
        replay: Replay::new(),
        entries: Reader::new(),
        exact: Redactor::new(Sizes::Exact),
        rounded: Redactor::new(Sizes::Rounded),
        check: Check::new(),
        against,
        compared: 0,
        to,
        timeline: args.timeline,
    };
    let mut out = Out::new();
    loop {
        let part = match content.next_part() {
            Ok(Some(part)) => part,
            Ok(None) => break,
            Err(error) => {
                // What was read before is good, and was the same.
                out.say(told(run.replay.known()))?;
                return Err(unreadable(&args.file, error));
            }
        };
        if !run.part(&args.file, &part, &mut out)? {
            return Ok(ExitCode::from(DIFFERS));
        }
    }
    run.end(args, content.tail(), &mut out)
}

impl Run {
    /// Takes the next part of the recording; false when something differs, which was said then.
    fn part(&mut self, path: &Path, part: &[u8], out: &mut Out) -> Result<bool, Failure> {
        let result = self.replay.run(part);
        self.entries.push(part);
        while let Some(entry) = self.entries.next_entry().map_err(|error| unreadable(path, error))? {
            let number = self.entries.number() - 1;
            let line = self.exact.line(&entry);
            self.check.line(number, &line);
            if self.timeline {
                out.line(number, &line)?;
            }
            let rounded = self.rounded.line(&entry);
            if !self.compare(number, &rounded, out)? {
                return Ok(false);
            }
        }
        if let Some((to, file)) = &mut self.to {
            let failed = |source| Failure::Write { path: to.clone(), source };
            if file.write(part).map_err(failed)? == Written::Full {
                self.to = None;
            }
        }
        match result {
            Ok(()) => Ok(true),
            Err(ReplayError::Differs(difference)) => {
                differs(&difference, out)?;
                Ok(false)
            }
            Err(error) => Err(unreadable(path, error)),
        }
    }

    /// Whether the redacted recording, if there is one, has the same in this place, or has ended before.
    fn compare(&mut self, number: u64, line: &Line, out: &mut Out) -> Result<bool, Failure> {
        let Some(against) = &mut self.against else { return Ok(true) };
        let found = match against.next_line()? {
            Some(Line { what: What::End(Ended::Full), .. }) if !matches!(line.what, What::End(_)) => None,
            found => found,
        };
        match found {
            None => self.against = None,
            Some(found) if found == *line => self.compared += 1,
            Some(found) => {
                out.say(format_args!("entry {number} of the redacted recording is not of this run"))?;
                out.say(format_args!("  sealed:   {} {}", place(number, line), line.what))?;
                out.say(format_args!("  redacted: {} {}", place(number, &found), found.what))?;
                if line.what.to_string() == found.what.to_string() {
                    out.say("  they look the same, but their digests differ")?;
                }
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn end(mut self, args: &ReplayArgs, tail: Tail, out: &mut Out) -> Result<ExitCode, Failure> {
        if let Some((path, file)) = self.to.take() {
            file.finish(Ended::Stopped).map_err(|source| Failure::Write { path, source })?;
        }
        if let Some(against) = &mut self.against
            && let Some(line) = against.next_line()?
            && !matches!(line.what, What::End(_))
        {
            out.say("the redacted recording goes on behind the end of the sealed one")?;
            return Ok(ExitCode::from(DIFFERS));
        }
        let known = self.replay.known();
        out.say(told(known))?;
        if let Some(version) = &known.other_version {
            out.say(format_args!("made by whatsio {version}, run by {}", env!("CARGO_PKG_VERSION")))?;
        }
        if args.against.is_some() {
            out.say(format_args!("the redacted recording is of this run: {} lines compared", self.compared))?;
        }
        match tail {
            Tail::CutOff => out.say("the file was cut off here: its process was killed, or the disk was full")?,
            Tail::Whole(Ended::Full) => out.say("the file ends here: it is as long as it may be")?,
            _ if known.ended == Some(Ended::Behind) => {
                out.say("the recording ends here: the disk was too slow for it")?;
            }
            _ => {}
        }
        out.contract(&self.check.finish())?;
        Ok(ExitCode::SUCCESS)
    }
}

fn told(known: &Known) -> String {
    format!(
        "identical: {} entries ({} calls, {} outputs, {} clients) of {}.{:03} s",
        known.entries,
        known.calls,
        known.outputs,
        known.lives,
        known.length_ms / 1000,
        known.length_ms % 1000
    )
}

fn differs(difference: &Difference, out: &mut Out) -> Result<(), Failure> {
    let bad = out.style.bad("differs");
    out.say(format_args!("{bad} at entry {}", difference.entry))?;
    out.say(format_args!(
        "  recorded: {} {}",
        place(difference.entry, &difference.recorded),
        difference.recorded.what
    ))?;
    match &difference.came {
        None => out.say("  came:     nothing"),
        Some(came) => {
            out.say(format_args!("  came:     {} {}", place(difference.entry, came), came.what))?;
            if came.what.to_string() == difference.recorded.what.to_string() {
                out.say("  they look the same, but their digests differ")?;
            }
            Ok(())
        }
    }
}

fn redacted(args: &ReplayArgs, mut content: Content) -> Result<ExitCode, Failure> {
    let (mut reader, mut check, mut out) = (LineReader::new(), Check::new(), Out::new());
    let mut ended = false;
    loop {
        while let Some(line) = reader.next_line().map_err(|error| unreadable(&args.file, error))? {
            let number = reader.number() - 1;
            check.line(number, &line);
            out.line(number, &line)?;
            ended = matches!(line.what, What::End(_));
        }
        match content.next_part().map_err(|error| unreadable(&args.file, error))? {
            Some(part) => reader.push(&part),
            None => break,
        }
    }
    if reader.number() == 0 {
        return Err(unreadable(&args.file, "there is nothing in it"));
    }
    if reader.left_over() > 0 || !ended {
        out.say("the file was cut off here: its process was killed, or the disk was full")?;
    }
    let contract = check.finish();
    out.contract(&contract)?;
    Ok(if contract.violated == 0 { ExitCode::SUCCESS } else { ExitCode::from(DIFFERS) })
}
