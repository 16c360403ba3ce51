//! A relay in a process, and the commands that talk to it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::thread::JoinHandle;

pub(crate) fn whatsio(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_whatsio"));
    command.current_dir(folder).stdin(Stdio::null());
    for name in ["STORE", "STORE_KEY", "KEY_FILE", "ACCOUNT", "RELAY", "ROOT_KEY", "PROXY", "LOG", "PASSPHRASE"] {
        command.env_remove(format!("WHATSIO_{name}"));
    }
    command
}

/// Exit status, standard output and standard error.
pub(crate) fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap().trim_end().to_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

pub(crate) fn succeed(command: &mut Command) -> String {
    let (code, out, err) = told(&command.output().unwrap());
    assert_eq!(code, Some(0), "{command:?}: {out} {err}");
    out
}

pub(crate) fn number(jid: &str) -> &str {
    jid.split([':', '@']).next().unwrap()
}

/// A relay and a folder for databases; both end with the test.
pub(crate) struct Place {
    pub(crate) folder: tempfile::TempDir,
    url: String,
    process: Child,
    _output: BufReader<ChildStdout>,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut process = whatsio(folder.path())
            .args(["relay", "--ws", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let url = line.trim_end().strip_prefix("ws ").unwrap().to_owned();
        Self { folder, url, process, _output: output }
    }

    /// A command for an account at this relay.
    pub(crate) fn as_(&self, account: &str) -> Command {
        let mut command = whatsio(self.folder.path());
        command.args(["--account", account, "--relay", &self.url]);
        command
    }

    /// Links a new account and gives its number.
    pub(crate) fn link(&self, account: &str) -> String {
        number(&succeed(self.as_(account).args(["link", "--scan"]))).to_owned()
    }

    /// Asks the relay's phone for something, and gives what it answers.
    pub(crate) fn phone(&self, what: &str, account: &str, body: &str) -> String {
        let authority = self.url.strip_prefix("ws://").unwrap().split('/').next().unwrap();
        let mut stream = TcpStream::connect(authority).unwrap();
        let length = body.len();
        write!(
            stream,
            "POST /admin/mock-phone/{what}?account={account} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
        body.to_owned()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A command that runs beside the test.
pub(crate) struct Running {
    process: Child,
    output: BufReader<ChildStdout>,
    /// Read aside, so that a command that says much is not held up.
    error: Option<JoinHandle<String>>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let mut stderr = process.stderr.take().unwrap();
        let error = std::thread::spawn(move || {
            let mut err = String::new();
            stderr.read_to_string(&mut err).unwrap();
            err
        });
        Self { process, output, error: Some(error) }
    }

    /// The next line of its standard output.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        if self.output.read_line(&mut line).unwrap() == 0 {
            panic!("it ended: {}", self.error.take().unwrap().join().unwrap());
        }
        line.trim_end().to_owned()
    }

    pub(crate) fn say(&mut self, text: &str) {
        self.process.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Waits for its end: exit status, the rest of standard output, standard error.
    pub(crate) fn end(mut self) -> (Option<i32>, String, String) {
        let mut out = String::new();
        self.output.read_to_string(&mut out).unwrap();
        let err = self.error.take().unwrap().join().unwrap();
        (self.process.wait().unwrap().code(), out.trim_end().to_owned(), err)
    }
}
