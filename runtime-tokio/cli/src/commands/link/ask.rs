//! What only the user can say: the assertion of a passkey, and whether two codes are the same. Read aside, since the
//! connection goes on meanwhile.

use crate::failure::Failure;
use std::io::{BufRead, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc;

/// No assertion is longer.
const LONGEST: u64 = 1 << 16;
/// How often a file is looked for that is still to come.
const AGAIN: Duration = Duration::from_millis(250);

/// What the user said.
pub(super) enum Answer {
    /// The JSON of an assertion.
    Assertion(String),
    /// Whether the phone shows the same code.
    Same(bool),
}

type Said = Result<Answer, Failure>;

/// Asks, one question at a time of each kind; a question that is asked again is answered by what was still to come.
pub(super) struct Asker {
    to: mpsc::UnboundedSender<Said>,
    answers: mpsc::UnboundedReceiver<Said>,
    /// Whether somebody waits for an assertion, and for a word about codes.
    waiting: [bool; 2],
}

impl Asker {
    pub(super) fn new() -> Self {
        let (to, answers) = mpsc::unbounded_channel();
        Self { to, answers, waiting: [false; 2] }
    }

    /// The next answer, some time after a question.
    pub(super) async fn answer(&mut self) -> Said {
        // This holds a sender itself, so the channel never ends.
        let said = match self.answers.recv().await {
            Some(said) => said,
            None => std::future::pending().await,
        };
        let [assertion, same] = &mut self.waiting;
        match &said {
            Ok(Answer::Assertion(_)) => *assertion = false,
            Ok(Answer::Same(_)) => *same = false,
            Err(_) => {}
        }
        said
    }

    /// Reads an assertion from `file` as soon as it is there and whole, or from standard input.
    pub(super) fn ask_for_assertion(&mut self, file: Option<&Path>) {
        let file = file.filter(|file| *file != Path::new("-")).map(Path::to_owned);
        match &file {
            Some(file) => eprintln!("The credential's toJSON() is awaited in {}", file.display()),
            None => eprintln!("Paste the JSON of the credential's toJSON() here:"),
        }
        let [waiting, _] = &mut self.waiting;
        if std::mem::replace(waiting, true) {
            return;
        }
        let to = self.to.clone();
        match file {
            Some(file) => drop(tokio::spawn(async move { drop(to.send(from_file(file).await)) })),
            None => drop(tokio::task::spawn_blocking(move || drop(to.send(assertion(&mut std::io::stdin().lock()))))),
        }
    }

    /// Asks whether the phone shows the code that was just printed.
    pub(super) fn ask_whether_same(&mut self) {
        eprint!("Does the phone show the same? [y/n] ");
        let [_, waiting] = &mut self.waiting;
        if std::mem::replace(waiting, true) {
            return;
        }
        let to = self.to.clone();
        drop(tokio::task::spawn_blocking(move || drop(to.send(yes_or_no(&mut std::io::stdin().lock())))));
    }
}

/// Waits for a file that is JSON from end to end: it may be in the writing.
async fn from_file(path: PathBuf) -> Said {
    loop {
        match tokio::task::spawn_blocking({
            let path = path.clone();
            move || std::fs::File::open(path).and_then(read_some)
        })
        .await
        {
            Ok(Ok(text)) if is_json(&text) => return Ok(Answer::Assertion(text)),
            Ok(Ok(text)) if text.len() as u64 >= LONGEST => return Err(too_long()),
            Ok(Err(source)) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(Failure::Read { path, source });
            }
            _ => tokio::time::sleep(AGAIN).await,
        }
    }
}

fn read_some(file: std::fs::File) -> std::io::Result<String> {
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text)?;
    Ok(text)
}

/// Reads lines until they are JSON together: nobody ends the input after pasting.
fn assertion(input: &mut impl BufRead) -> Said {
    let mut text = String::new();
    while !is_json(&text) {
        if text.len() as u64 >= LONGEST {
            return Err(too_long());
        }
        let left = LONGEST - text.len() as u64;
        match input.by_ref().take(left).read_line(&mut text) {
            Ok(0) => {
                return Err(Failure::Other(
                    "the input ended before the passkey's assertion: pass it with --assertion FILE".into(),
                ));
            }
            Ok(_) => {}
            Err(source) => return Err(Failure::Read { path: "standard input".into(), source }),
        }
    }
    Ok(Answer::Assertion(text))
}

fn yes_or_no(input: &mut impl BufRead) -> Said {
    loop {
        let mut line = String::new();
        match input.by_ref().take(LONGEST).read_line(&mut line) {
            // Nobody there who could have compared them.
            Ok(0) => return Ok(Answer::Same(false)),
            Ok(_) => match line.trim().to_ascii_lowercase().as_str() {
                "y" | "yes" => return Ok(Answer::Same(true)),
                "n" | "no" => return Ok(Answer::Same(false)),
                _ => eprint!("y or n: "),
            },
            Err(source) => return Err(Failure::Read { path: "standard input".into(), source }),
        }
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

fn too_long() -> Failure {
    Failure::Other("this is no assertion: longer than 64 KiB".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assertion_is_read_up_to_its_end_and_the_next_answer_after_it() {
        let mut input = &b"{\n \"id\": {}\n}\nmaybe\nY\n"[..];
        assert!(matches!(assertion(&mut input), Ok(Answer::Assertion(text)) if text.ends_with("}\n")));
        assert!(matches!(yes_or_no(&mut input), Ok(Answer::Same(true))));
        assert!(matches!(yes_or_no(&mut input), Ok(Answer::Same(false))), "nobody there is a no");
        assert!(assertion(&mut &b"{\"id\":"[..]).is_err());
        assert!(assertion(&mut std::io::BufReader::new(std::io::repeat(b'x'))).is_err());
    }
}
