//! How a client came to be: everything that a replay needs to make the same one.

use super::call::{put_profile, put_record, take_profile, take_record};
use super::wire::{Malformed, Put as _, Take};
use crate::api::{Config, Key, Limits, Record, Space, StallLimits};
use crate::types::Seed;

/// The form of everything in this room. Raised when a reader of this one could not read it.
pub const FORMAT: u64 = 1;

/// The first entry of a client's life.
#[derive(Clone)]
pub struct Begin {
    /// Version of whatsio that made the recording.
    pub version: String,
    /// What the client was made with.
    pub config: Config,
    /// What its generator started from.
    pub seed: Seed,
    /// The root records that it was restored from; `None` when it was created.
    pub records: Option<Vec<(Key, Option<Record>)>>,
}

/// Keys stay out of logs.
impl std::fmt::Debug for Begin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Begin")
            .field("version", &self.version)
            .field("records", &self.records.as_ref().map(Vec::len))
            .finish_non_exhaustive()
    }
}

impl Begin {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.number(FORMAT);
        out.text(&self.version);
        out.extend_from_slice(self.seed.expose());
        put_profile(out, &self.config.profile);
        let limits = limits(&self.config.limits);
        out.length(limits.len());
        for limit in limits {
            out.number(limit);
        }
        out.maybe(self.records.as_ref(), |out, records| {
            out.length(records.len());
            for (key, record) in records {
                out.push(key.space as u8);
                out.blob(&key.id);
                put_record(out, record.as_ref());
            }
        });
    }

    pub(super) fn take(take: &mut Take) -> Result<Self, Malformed> {
        let version = take.text()?;
        let seed = Seed::new(take.array()?);
        let profile = take_profile(take)?;
        let limits = take.list(Take::number)?;
        let limits = read_limits(&limits);
        let records = take.maybe(|take| {
            take.list(|take| {
                let space = Space::from_number(take.byte()?).ok_or("a record of an unknown space")?;
                Ok((Key::new(space, take.blob()?), take_record(take)?))
            })
        })?;
        Ok(Self { version, config: Config { profile, limits }, seed, records })
    }
}

/// All limits in a fixed order. A new one goes to the end: recordings from before it then mean its default.
fn limits(limits: &Limits) -> [u64; 19] {
    let size = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
    let Limits {
        cache_bytes,
        inbox_events,
        outbox_pending,
        outbox_kept,
        outbox_kept_ms,
        outbox_remembered,
        resends_per_device,
        resends_per_chat,
        resend_refill_ms,
        placeholders,
        placeholder_refill_ms,
        message_bytes,
        stanzas_waiting,
        stalls,
    } = limits;
    let StallLimits { socket_ms, server_ms, processing_ms, store_ms, application_ms, offline_queue_ms } = stalls;
    [
        size(*cache_bytes),
        size(*inbox_events),
        size(*outbox_pending),
        size(*outbox_kept),
        *outbox_kept_ms,
        size(*outbox_remembered),
        u64::from(*resends_per_device),
        u64::from(*resends_per_chat),
        *resend_refill_ms,
        u64::from(*placeholders),
        *placeholder_refill_ms,
        size(*message_bytes),
        size(*stanzas_waiting),
        *socket_ms,
        *server_ms,
        *processing_ms,
        *store_ms,
        *application_ms,
        *offline_queue_ms,
    ]
}

fn read_limits(found: &[u64]) -> Limits {
    let mut limits = Limits::default();
    let mut found = found.iter().copied();
    let mut set = |place: &mut dyn FnMut(u64)| {
        if let Some(value) = found.next() {
            place(value);
        }
    };
    let size = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    let count = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    set(&mut |value| limits.cache_bytes = size(value));
    set(&mut |value| limits.inbox_events = size(value));
    set(&mut |value| limits.outbox_pending = size(value));
    set(&mut |value| limits.outbox_kept = size(value));
    set(&mut |value| limits.outbox_kept_ms = value);
    set(&mut |value| limits.outbox_remembered = size(value));
    set(&mut |value| limits.resends_per_device = count(value));
    set(&mut |value| limits.resends_per_chat = count(value));
    set(&mut |value| limits.resend_refill_ms = value);
    set(&mut |value| limits.placeholders = count(value));
    set(&mut |value| limits.placeholder_refill_ms = value);
    set(&mut |value| limits.message_bytes = size(value));
    set(&mut |value| limits.stanzas_waiting = size(value));
    let stalls = &mut limits.stalls;
    set(&mut |value| stalls.socket_ms = value);
    set(&mut |value| stalls.server_ms = value);
    set(&mut |value| stalls.processing_ms = value);
    set(&mut |value| stalls.store_ms = value);
    set(&mut |value| stalls.application_ms = value);
    set(&mut |value| stalls.offline_queue_ms = value);
    limits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_come_back_each_in_its_place_and_default_where_they_are_missing() {
        let numbers: Vec<u64> = (100..119).collect();
        assert_eq!(limits(&read_limits(&numbers))[..], numbers[..]);
        assert_eq!(read_limits(&[]), Limits::default());
        assert_eq!(read_limits(&[5]), Limits { cache_bytes: 5, ..Limits::default() });
    }

    #[test]
    fn beginning_comes_back_and_shows_no_key() {
        let records = vec![
            (Key::new(Space::Account, &b"account"[..]), Some(Record(bytes::Bytes::from_static(b"\x01key")))),
            (Key::new(Space::Inbox, &b"x"[..]), None),
        ];
        let begin = Begin {
            version: "1.2.3".into(),
            config: Config::default(),
            seed: Seed::new([0xab; 32]),
            records: Some(records.clone()),
        };
        let mut bytes = Vec::new();
        begin.put(&mut bytes);
        let mut take = Take::new(bytes.into());
        assert_eq!(take.number(), Ok(FORMAT));
        let read = Begin::take(&mut take).unwrap();
        assert_eq!(take.done(), Ok(()));
        assert_eq!((read.version.as_str(), &read.config, read.records), ("1.2.3", &Config::default(), Some(records)));
        assert_eq!(read.seed.expose(), begin.seed.expose());
        assert!(!format!("{begin:?}").contains("171"));
    }
}
