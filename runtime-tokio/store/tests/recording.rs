//! Recordings in files: what is written comes back; what is altered, moved or cut is noticed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failing test panics"
)]

use std::fs;
use std::path::Path;
use whatsio_core::api::{Config, Input};
use whatsio_core::client::Client;
use whatsio_core::recording::{Ended, LineReader};
use whatsio_core::types::{Now, Seed};
use whatsio_store::StoreKey;
use whatsio_store::recording::{
    Content, RecordingError, RecordingFile, RecordingReadError, RedactedFile, SealedFile, Tail, Written,
};

fn key() -> StoreKey {
    StoreKey::from_bytes([7; 32])
}

/// Parts of the recording of a client that only ticks.
fn parts(count: u64) -> Vec<Vec<u8>> {
    let mut client = Client::create_recorded(Config::default(), Seed::new([0xa5; 32]), usize::MAX);
    let mut parts = vec![client.take_recorded().to_vec()];
    for ms in 0..count {
        client.handle(Now { mono: ms, unix: ms }, Input::Tick).unwrap();
        parts.push(client.take_recorded().to_vec());
    }
    parts
}

fn sealed(path: &Path, parts: &[Vec<u8>], ended: Option<Ended>) {
    let mut file = SealedFile::create(path, &key(), 1 << 20).unwrap();
    for part in parts {
        assert_eq!(file.write(part).unwrap(), Written::More);
    }
    if let Some(ended) = ended {
        file.finish(ended).unwrap();
    }
}

fn open(path: &Path) -> Result<Content, RecordingReadError> {
    match RecordingFile::open(path, || Ok(key()))? {
        RecordingFile::Sealed(content) => Ok(content),
        _ => panic!("it is sealed"),
    }
}

fn read(path: &Path) -> (Vec<u8>, Result<Tail, RecordingReadError>) {
    let mut all = Vec::new();
    let mut content = match open(path) {
        Ok(content) => content,
        Err(error) => return (all, Err(error)),
    };
    loop {
        match content.next_part() {
            Ok(Some(part)) => all.extend_from_slice(&part),
            Ok(None) => return (all, Ok(content.tail())),
            Err(error) => return (all, Err(error)),
        }
    }
}

#[test]
fn sealed_recording_comes_back_and_says_how_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    for (name, ended) in [("a", Some(Ended::Stopped)), ("b", Some(Ended::Behind)), ("c", None)] {
        let path = folder.path().join(name);
        sealed(&path, &parts(20), ended);
        let (all, tail) = read(&path);
        assert_eq!(all, parts(20).concat());
        assert_eq!(tail.unwrap(), ended.map_or(Tail::CutOff, Tail::Whole));
        let raw = fs::read(&path).unwrap();
        assert!(!raw.windows(8).any(|window| window == [0xa5; 8]), "the seed is not readable");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert!(matches!(SealedFile::create(&path, &key(), 1), Err(RecordingError::Exists(_))), "never replaced");
    }
}

#[test]
fn another_key_and_other_files_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    sealed(&path, &parts(3), None);
    let other = || Ok(StoreKey::from_bytes([8; 32]));
    assert!(matches!(RecordingFile::open(&path, other), Err(RecordingReadError::WrongKey)));
    for bad in [&b""[..], b"whatsrec", b"whatsio recorded something else entirely, believe me", &[0; 100]] {
        fs::write(&path, bad).unwrap();
        assert!(matches!(RecordingFile::open(&path, || Ok(key())), Err(RecordingReadError::NotARecording)));
    }
}

#[test]
fn every_changed_byte_and_every_cut_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let parts = parts(4);
    sealed(&path, &parts, Some(Ended::Stopped));
    let (raw, plain) = (fs::read(&path).unwrap(), parts.concat());
    for at in 0..raw.len() {
        let mut changed = raw.clone();
        changed[at] ^= 1 << (at % 8);
        fs::write(&path, &changed).unwrap();
        let (all, end) = read(&path);
        assert!(plain.starts_with(&all) && !matches!(end, Ok(Tail::Whole(_))), "byte {at}: {end:?}");
        fs::write(&path, &raw[..at]).unwrap();
        let (all, end) = read(&path);
        assert!(plain.starts_with(&all), "cut at {at}");
        assert!(matches!(end, Ok(Tail::CutOff) | Err(RecordingReadError::NotARecording)), "cut at {at}: {end:?}");
    }
    fs::write(&path, [raw.as_slice(), &[0]].concat()).unwrap();
    assert!(matches!(read(&path).1, Err(RecordingReadError::Altered { .. })), "nothing comes behind the end");
}

#[test]
fn frames_that_are_swapped_left_out_or_doubled_do_not_open() {
    const HEAD: usize = 60;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    sealed(&path, &parts(3), Some(Ended::Stopped));
    let raw = fs::read(&path).unwrap();
    let (head, mut rest) = raw.split_at(HEAD);
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let length = 5 + u32::from_be_bytes(rest[1..5].try_into().unwrap()) as usize + 16;
        let (frame, later) = rest.split_at(length);
        frames.push(frame);
        rest = later;
    }
    assert_eq!(frames.len(), 5);
    let orders: [&[usize]; 4] = [&[0, 2, 1, 3, 4], &[0, 1, 3, 4], &[0, 1, 1, 2, 3, 4], &[0, 1, 2, 4]];
    for order in orders {
        let body: Vec<u8> = order.iter().flat_map(|frame| frames[*frame]).copied().collect();
        fs::write(&path, [head, &body].concat()).unwrap();
        assert!(matches!(read(&path).1, Err(RecordingReadError::Altered { .. })), "{order:?}");
    }
    // The kind is part of what opens: entries do not pass as an end, nor an end as entries.
    for (frame, kind) in [(1, 2), (4, 1)] {
        let mut body = frames.concat();
        body[frames[..frame].concat().len()] = kind;
        fs::write(&path, [head, &body].concat()).unwrap();
        assert!(matches!(read(&path).1, Err(RecordingReadError::Altered { .. })), "{frame}");
    }
}

#[test]
fn file_ends_at_its_limit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let mut file = SealedFile::create(&path, &key(), 1_000).unwrap();
    let parts = parts(1_000);
    let full = parts.iter().position(|part| file.write(part).unwrap() == Written::Full).expect("it is full");
    drop(file);
    assert!(fs::metadata(&path).unwrap().len() <= 1_000);
    let (all, tail) = read(&path);
    assert_eq!((all, tail.unwrap()), (parts[..full].concat(), Tail::Whole(Ended::Full)));

    let path = folder.path().join("y");
    let mut file = RedactedFile::create(&path, 1_000).unwrap();
    assert!(parts.iter().any(|part| file.write(part).unwrap() == Written::Full));
    drop(file);
    let lines = lines(&path);
    assert!(fs::metadata(&path).unwrap().len() < 1_200);
    assert!(lines.last().unwrap().contains("the file is as long as it may be"), "{lines:?}");
}

fn lines(path: &Path) -> Vec<String> {
    let Ok(RecordingFile::Redacted(mut content)) = RecordingFile::open(path, || panic!("no key is asked for")) else {
        panic!("it is redacted");
    };
    let mut reader = LineReader::new();
    while let Some(part) = content.next_part().unwrap() {
        reader.push(&part);
    }
    let lines = std::iter::from_fn(|| reader.next_line().unwrap()).map(|line| line.what.to_string()).collect();
    assert_eq!(reader.left_over(), 0);
    lines
}

#[test]
fn redacted_file_needs_no_key_and_ends_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let mut file = RedactedFile::create(&path, 1 << 20).unwrap();
    for part in parts(2) {
        assert_eq!(file.write(&part).unwrap(), Written::More);
    }
    file.finish(Ended::Stopped).unwrap();
    let shown = lines(&path);
    assert_eq!(shown[1..], ["-> tick", "   done", "-> tick", "   done", "the recording was stopped"]);
    assert!(shown[0].starts_with("a client is created (whatsio "));
}
