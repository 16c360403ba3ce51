//! Shows frames as readable trees.

use crate::args::InspectArgs;
use crate::failure::Failure;
use crate::style::Style;
use bytes::Bytes;
use serde_json::Value;
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use whatsio_core::binary::{DecodeLimits, Role, Tape};

/// A frame and what it is called where it was found.
struct Frame {
    name: String,
    bytes: Vec<u8>,
}

pub(crate) fn run(args: &InspectArgs) -> Result<ExitCode, Failure> {
    let (mut bad, mut all) = (0_usize, 0_usize);
    let mut out = std::io::stdout().lock();
    for input in &args.inputs {
        for frame in frames_of(input)? {
            let (text, good) = show(&frame, args);
            bad += usize::from(!good);
            all += 1;
            match writeln!(out, "{text}") {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
                Err(source) => return Err(Failure::Write { path: "standard output".into(), source }),
            }
        }
    }
    if bad == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure::Other(format!("{bad} of {all} frames cannot be decoded")))
}

fn frames_of(input: &str) -> Result<Vec<Frame>, Failure> {
    if input != "-"
        && let Some(bytes) = decode_hex(input)
    {
        return Ok(vec![Frame { name: String::new(), bytes }]);
    }
    let bytes = if input == "-" {
        let mut bytes = Vec::new();
        std::io::stdin()
            .read_to_end(&mut bytes)
            .map_err(|source| Failure::Read { path: "standard input".into(), source })?;
        bytes
    } else {
        std::fs::read(Path::new(input)).map_err(|source| Failure::Read { path: input.into(), source })?
    };
    let frames = sort_out(input, bytes);
    if frames.is_empty() {
        return Err(Failure::Other(format!("{input} holds no frame")));
    }
    Ok(frames)
}

/// JSON, lines of hex, or the raw bytes of one frame: whichever it is.
fn sort_out(input: &str, bytes: Vec<u8>) -> Vec<Frame> {
    if let Ok(value) = serde_json::from_slice::<Value>(&bytes) {
        let mut frames = Vec::new();
        collect(&value, "", &mut frames);
        return frames;
    }
    let Ok(text) = std::str::from_utf8(&bytes) else { return vec![Frame { name: input.to_owned(), bytes }] };
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut frames = Vec::new();
    for (number, line) in lines.enumerate() {
        // A word before the hex (a direction, a name) becomes part of the name.
        let (name, digits) = line.rsplit_once([' ', '\t', ':']).unwrap_or(("", line));
        match decode_hex(digits) {
            Some(bytes) => frames.push(Frame { name: format!("{} {name}", number + 1).trim_end().to_owned(), bytes }),
            None => return vec![Frame { name: input.to_owned(), bytes: bytes.clone() }],
        }
    }
    frames
}

/// Every member called `hex` of every object, however deep, named after its neighbours.
fn collect(value: &Value, path: &str, frames: &mut Vec<Frame>) {
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                collect(item, &format!("{path}[{index}]"), frames);
            }
        }
        Value::Object(members) => {
            let text = |key| members.get(key).and_then(Value::as_str);
            if let Some(bytes) = text("hex").and_then(decode_hex) {
                let name = text("name").map_or_else(|| path.to_owned(), |name| format!("{path} {name}"));
                frames.push(Frame { name, bytes });
            }
            for (key, member) in members {
                collect(member, &if path.is_empty() { key.clone() } else { format!("{path}.{key}") }, frames);
            }
        }
        _ => {}
    }
}

fn show(frame: &Frame, args: &InspectArgs) -> (String, bool) {
    let style = Style::of_stdout();
    let role = if args.server { Role::Server } else { Role::Client };
    let head = match frame.name.as_str() {
        "" => String::new(),
        name => format!("{}\n", style.dim(format!("# {name} ({} bytes)", frame.bytes.len()))),
    };
    match Tape::decode(&Bytes::copy_from_slice(&frame.bytes), role, &DecodeLimits::default()) {
        Ok(tape) => {
            let node = tape.root().to_node();
            let tree = if args.show_content { node.revealed().to_string() } else { node.redacted().to_string() };
            (format!("{head}{tree}"), true)
        }
        Err(error) => (format!("{head}{} {error}", style.bad("does not decode:")), false),
    }
}

fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let digits: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    if digits.is_empty() {
        return None;
    }
    hex::decode(digits).ok()
}
