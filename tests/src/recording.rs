//! Recordings of the clients of a world: fetched, run again, looked through.

use crate::world::{Name, World};
use whatsio_core::recording::{Check, Contract, Entry, LineReader, Reader, Redactor, Sizes};
use whatsio_core::replay::{Known, Replay, ReplayError};

/// Whether every world records its clients and runs them again at its end: set `WHATSIO_REPLAY=1`.
#[must_use]
pub fn is_always_on() -> bool {
    std::env::var_os("WHATSIO_REPLAY").is_some_and(|value| value == "1")
}

/// Everything that happened to a client so far.
pub fn recording_of(world: &mut World, name: Name) -> Vec<u8> {
    let host = world.host(name);
    let more = host.client.take_recorded();
    host.recorded.extend_from_slice(&more);
    host.recorded.clone()
}

/// Runs a recording again.
///
/// # Errors
/// What the replay says.
pub fn replay(recording: &[u8]) -> Result<Known, ReplayError> {
    let mut replay = Replay::new();
    replay.run(recording)?;
    assert_eq!(replay.left_over(), 0, "it was cut off");
    Ok(replay.known().clone())
}

/// The entries of a recording.
#[must_use]
pub fn entries(recording: &[u8]) -> Vec<Entry> {
    let mut reader = Reader::new();
    reader.push(recording);
    std::iter::from_fn(|| reader.next_entry().expect("readable")).collect()
}

/// The form of a recording that can be shared.
#[must_use]
pub fn redacted(recording: &[u8]) -> Vec<u8> {
    Redactor::new(Sizes::Rounded).redact(recording).expect("readable")
}

/// How the contract was kept, by what is left in the redacted form.
#[must_use]
pub fn contract(redacted: &[u8]) -> Contract {
    let (mut reader, mut check) = (LineReader::new(), Check::new());
    reader.push(redacted);
    while let Some(line) = reader.next_line().expect("readable") {
        check.line(reader.number() - 1, &line);
    }
    check.finish()
}

/// Runs every client of a world again.
pub(crate) fn replay_all(world: &mut World) {
    for index in 0..world.hosts.len() {
        let recording = recording_of(world, Name(index));
        if let Err(error) = replay(&recording) {
            panic!("client {index} is not replayed: {error:?}");
        }
    }
}
