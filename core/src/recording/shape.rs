//! What is kept of an output: its kind, ids, sizes and spaces, and a digest of all of it. Enough to tell whether another
//! output is the same, and to show where it is not, without its content.

use super::wire::{Malformed, Put as _, Take};
use crate::api::{Commit, CommitId, Envelope, Event, EventId, Key, LoadId, OpId, Output, Record, SendResult, Space};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::hash::{Hash as _, Hasher};

/// The first half of a SHA-256 digest; in a redacted recording, of a MAC.
pub type Digest = [u8; 16];

/// What is kept of an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// What kind of output, and what of it is not secret.
    pub kind: Kind,
    /// Bytes in it.
    pub size: u64,
    /// The commit that had to be durable before this could leave, if there was one.
    pub follows: Option<CommitId>,
    /// Over everything in it.
    pub digest: Digest,
}

/// The kinds of outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A load of so many records of each space.
    Load {
        /// Its id.
        id: LoadId,
        /// How many keys of each space, by number.
        spaces: Vec<(u8, u64)>,
        /// Events among the records of the inbox.
        inbox: Vec<EventId>,
    },
    /// A commit.
    Commit {
        /// Its id.
        id: CommitId,
        /// What is written in each space.
        writes: Vec<Writes>,
        /// Events that it puts into the inbox.
        inbox: Vec<EventId>,
    },
    /// A connection is asked for.
    Open,
    /// Bytes for the connection.
    Frame,
    /// The connection is to be closed.
    Close,
    /// An event.
    Event {
        /// Its id.
        id: EventId,
        /// Its kind: [`Event::word`].
        word: String,
        /// More about it, in fixed words and codes; may be empty.
        detail: String,
        /// Whether it is in the inbox.
        durable: bool,
        /// The operation that it ends or tells of.
        op: Option<OpId>,
    },
}

/// What a commit writes in one space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writes {
    /// The space's number.
    pub space: u8,
    /// Records put.
    pub put: u64,
    /// Records deleted.
    pub deleted: u64,
    /// Bytes of the records put.
    pub bytes: u64,
}

impl Shape {
    pub(super) fn of(output: &Output, follows: Option<CommitId>) -> Self {
        let mut all = Digester(Sha256::new());
        let (kind, size) = match output {
            Output::Load(request) => {
                all.write_u8(1);
                all.write_u64(request.id.0);
                let mut spaces: BTreeMap<u8, u64> = BTreeMap::new();
                for key in &request.keys {
                    key.hash(&mut all);
                    *spaces.entry(key.space as u8).or_default() += 1;
                }
                let inbox = request.keys.iter().filter_map(inbox_event).collect();
                let size = request.keys.iter().map(|key| length(&key.id)).sum();
                (Kind::Load { id: request.id, spaces: spaces.into_iter().collect(), inbox }, size)
            }
            Output::Commit(commit) => {
                all.write_u8(2);
                of_commit(commit, &mut all)
            }
            Output::Open(endpoint) => {
                all.write_u8(3);
                endpoint.url.hash(&mut all);
                endpoint.origin.hash(&mut all);
                (Kind::Open, length(endpoint.url.as_bytes()))
            }
            Output::Frame(bytes) => {
                all.write_u8(4);
                all.write(bytes);
                (Kind::Frame, length(bytes))
            }
            Output::Close => {
                all.write_u8(5);
                (Kind::Close, 0)
            }
            Output::Event(envelope) => {
                all.write_u8(6);
                of_event(envelope, &mut all)
            }
        };
        Self { kind, size, follows, digest: first_half(&all.0.finalize()) }
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        match &self.kind {
            Kind::Load { id, spaces, inbox } => {
                out.push(1);
                out.number(id.0);
                out.length(spaces.len());
                for (space, count) in spaces {
                    out.push(*space);
                    out.number(*count);
                }
                put_events(out, inbox);
            }
            Kind::Commit { id, writes, inbox } => {
                out.push(2);
                out.number(id.0);
                out.length(writes.len());
                for writes in writes {
                    out.push(writes.space);
                    out.number(writes.put);
                    out.number(writes.deleted);
                    out.number(writes.bytes);
                }
                put_events(out, inbox);
            }
            Kind::Open => out.push(3),
            Kind::Frame => out.push(4),
            Kind::Close => out.push(5),
            Kind::Event { id, word, detail, durable, op } => {
                out.push(6);
                out.number(id.0);
                out.text(word);
                out.text(detail);
                out.flag(*durable);
                out.maybe(*op, |out, op| out.number(op.0));
            }
        }
        out.number(self.size);
        out.maybe(self.follows, |out, commit| out.number(commit.0));
        out.extend_from_slice(&self.digest);
    }

    pub(super) fn take(take: &mut Take) -> Result<Self, Malformed> {
        let kind = match take.byte()? {
            1 => Kind::Load {
                id: LoadId(take.number()?),
                spaces: take.list(|take| Ok((take.byte()?, take.number()?)))?,
                inbox: take_events(take)?,
            },
            2 => Kind::Commit {
                id: CommitId(take.number()?),
                writes: take.list(|take| {
                    let (space, put) = (take.byte()?, take.number()?);
                    Ok(Writes { space, put, deleted: take.number()?, bytes: take.number()? })
                })?,
                inbox: take_events(take)?,
            },
            3 => Kind::Open,
            4 => Kind::Frame,
            5 => Kind::Close,
            6 => Kind::Event {
                id: EventId(take.number()?),
                word: word(take)?,
                detail: word(take)?,
                durable: take.flag()?,
                op: take.maybe(Take::number)?.map(OpId),
            },
            _ => return Err("an unknown output"),
        };
        Ok(Self { kind, size: take.number()?, follows: take.maybe(Take::number)?.map(CommitId), digest: take.array()? })
    }
}

/// The first half of a digest.
pub(super) fn first_half(digest: &[u8]) -> Digest {
    digest.first_chunk().copied().unwrap_or_default()
}

/// The longest word of ours, with room for those to come.
const LONGEST_WORD: usize = 120;

/// A text that can only be one of ours, and is printed: nothing that acts on a terminal.
pub(super) fn word(take: &mut Take) -> Result<String, Malformed> {
    let text = take.text()?;
    let is_plain = text.len() <= LONGEST_WORD && text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if is_plain { Ok(text) } else { Err("a word that is none of ours") }
}

fn put_events(out: &mut Vec<u8>, events: &[EventId]) {
    out.length(events.len());
    for event in events {
        out.number(event.0);
    }
}

fn take_events(take: &mut Take) -> Result<Vec<EventId>, Malformed> {
    take.list(|take| take.number().map(EventId))
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// The event that a record of the inbox holds.
fn inbox_event(key: &Key) -> Option<EventId> {
    let id: [u8; 8] = key.id.as_ref().try_into().ok()?;
    (key.space == Space::Inbox).then_some(EventId(u64::from_be_bytes(id)))
}

fn of_commit(commit: &Commit, all: &mut Digester) -> (Kind, u64) {
    all.write_u64(commit.id.0);
    all.write_u64(commit.epoch.0);
    let mut spaces: BTreeMap<u8, Writes> = BTreeMap::new();
    let (mut inbox, mut size) = (Vec::new(), 0);
    for (key, record) in &commit.writes {
        key.hash(all);
        record.as_ref().map(|record| &record.0).hash(all);
        let space = key.space as u8;
        let writes = spaces.entry(space).or_insert(Writes { space, put: 0, deleted: 0, bytes: 0 });
        match record {
            Some(Record(record)) => {
                writes.put += 1;
                writes.bytes += length(record);
                size += length(record);
                inbox.extend(inbox_event(key));
            }
            None => writes.deleted += 1,
        }
    }
    (Kind::Commit { id: commit.id, writes: spaces.into_values().collect(), inbox }, size)
}

fn of_event(envelope: &Envelope, all: &mut Digester) -> (Kind, u64) {
    envelope.hash(all);
    let op = match &envelope.event {
        Event::SendQueued { op, .. } | Event::OperationFinished { op, .. } => Some(*op),
        Event::SendFinished(report) => report.op,
        _ => None,
    };
    let size = match &envelope.event {
        Event::MessageReceived(message) => length(&message.content),
        _ => 0,
    };
    let (word, detail) = (envelope.event.word().to_owned(), detail(&envelope.event));
    (Kind::Event { id: envelope.id, word, detail, durable: envelope.durable, op }, size)
}

/// What can be said of an event without anybody's data: fixed words and the server's codes. Times are left out too, since
/// a recording may be shared by somebody who does not want to say when it was made.
fn detail(event: &Event) -> String {
    match event {
        Event::CodeShown { purpose, .. } => format!("{purpose:?}"),
        Event::LinkFailed(failure) => format!("{:?} {:?}", failure.step, failure.reason),
        Event::OfflineDrained { count } => count.to_string(),
        Event::Disconnected(disconnect) => match disconnect.reason.code() {
            Some(code) => format!("{} {code}", disconnect.reason.word()),
            None => disconnect.reason.word().to_owned(),
        },
        Event::Stalled { stage, .. } | Event::Resumed { stage } => stage.word().to_owned(),
        Event::MessageUndecryptable(lost) => format!("{:?}", lost.reason),
        Event::SuspiciousMessage(message) => format!("{:?}", message.kind),
        Event::RetryUnanswerable(retry) => format!("{:?}", retry.reason),
        Event::SendFinished(report) => match report.result {
            SendResult::Accepted { .. } => "accepted".to_owned(),
            SendResult::Refused { code } => format!("refused {code}"),
            SendResult::TokenMissing => "token-missing".to_owned(),
            SendResult::Restricted { .. } => "restricted".to_owned(),
            SendResult::NobodyToSendTo => "nobody-to-send-to".to_owned(),
            SendResult::Unlinked => "unlinked".to_owned(),
        },
        Event::OperationFinished { result, .. } => format!("{result:?}"),
        Event::RecordQuarantined { space } => format!("{space:?}"),
        Event::StanzaRefused { reason } => (*reason).to_owned(),
        Event::Faulted(reason) => format!("{reason:?}"),
        _ => String::new(),
    }
}

/// Feeds what a value is made of to SHA-256, numbers in one order of bytes and one width, so that every machine gets the
/// same digest.
struct Digester(Sha256);

impl Hasher for Digester {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn write_u16(&mut self, value: u16) {
        self.write(&value.to_le_bytes());
    }

    fn write_u32(&mut self, value: u32) {
        self.write(&value.to_le_bytes());
    }

    fn write_u64(&mut self, value: u64) {
        self.write(&value.to_le_bytes());
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn write_isize(&mut self, value: isize) {
        self.write_u64(value as u64);
    }

    /// Nobody asks: the digest is longer than this.
    fn finish(&self) -> u64 {
        0
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::api::{Endpoint, Epoch, LoadRequest, MessageId};
    use bytes::Bytes;

    pub(in crate::recording) fn every_output() -> Vec<Output> {
        let keys = vec![Key::new(Space::Session, &b"a"[..]), Key::new(Space::Inbox, 7_u64.to_be_bytes().to_vec())];
        let record = Some(Record(Bytes::from_static(b"\x01record")));
        let writes = vec![(keys[0].clone(), record.clone()), (keys[1].clone(), record), (keys[0].clone(), None)];
        let finished = Event::OperationFinished { op: OpId(3), result: crate::api::OpResult::Done };
        vec![
            Output::Load(LoadRequest { id: LoadId(1), keys }),
            Output::Commit(Commit { id: CommitId(2), epoch: Epoch(9), writes }),
            Output::Open(Endpoint { url: "wss://x".into(), origin: "y".into() }),
            Output::Frame(Bytes::from_static(b"frame")),
            Output::Close,
            Output::Event(Envelope { id: EventId(4), event: finished, durable: true }),
        ]
    }

    #[test]
    fn every_shape_comes_back() {
        for output in every_output() {
            let shape = Shape::of(&output, Some(CommitId(1)));
            let mut bytes = Vec::new();
            shape.put(&mut bytes);
            let mut take = Take::new(bytes.into());
            assert_eq!(Shape::take(&mut take), Ok(shape));
            assert_eq!(take.done(), Ok(()));
        }
    }

    #[test]
    fn any_change_of_an_output_changes_its_digest() {
        let digest = |output: Output| Shape::of(&output, None).digest;
        let event = |id, text: &str, durable| {
            let event = Event::SendQueued { op: OpId(1), id: MessageId::new(text) };
            digest(Output::Event(Envelope { id: EventId(id), event, durable }))
        };
        let write = |id, epoch, space, key: &'static [u8], record: Option<&'static [u8]>| {
            let writes = vec![(Key::new(space, key), record.map(|bytes| Record(Bytes::from_static(bytes))))];
            digest(Output::Commit(Commit { id: CommitId(id), epoch: Epoch(epoch), writes }))
        };
        let all = [
            event(1, "a", true),
            event(2, "a", true),
            event(1, "b", true),
            event(1, "a", false),
            write(1, 1, Space::Session, b"k", Some(b"r")),
            write(2, 1, Space::Session, b"k", Some(b"r")),
            write(1, 2, Space::Session, b"k", Some(b"r")),
            write(1, 1, Space::Identity, b"k", Some(b"r")),
            write(1, 1, Space::Session, b"l", Some(b"r")),
            write(1, 1, Space::Session, b"k", Some(b"s")),
            write(1, 1, Space::Session, b"k", None),
            write(1, 1, Space::Session, b"kr", Some(b"")),
            digest(Output::Frame(Bytes::from_static(b"a"))),
            digest(Output::Frame(Bytes::from_static(b"b"))),
            digest(Output::Close),
        ];
        let different: std::collections::BTreeSet<Digest> = all.into_iter().collect();
        assert_eq!(different.len(), all.len());
    }

    #[test]
    fn commits_are_summed_up_by_space_and_name_the_events_they_put() {
        let shape = Shape::of(&every_output()[1], None);
        let session = Writes { space: Space::Session as u8, put: 1, deleted: 1, bytes: 7 };
        let inbox = Writes { space: Space::Inbox as u8, put: 1, deleted: 0, bytes: 7 };
        let id = CommitId(2);
        assert_eq!(shape.kind, Kind::Commit { id, writes: vec![session, inbox], inbox: vec![EventId(7)] });
    }
}
