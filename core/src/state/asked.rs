//! Messages that could not be read and were asked for again: how often, and whether one of the copies was read since.
//!
//! A sender may answer a request that was overtaken by a redelivery, so one message can open twice under different
//! ciphertexts. This record is what tells the second one apart.

use super::record::{BadRecord, Stored, open, seal};
use crate::api::{MessageId, Record, Space};
use crate::types::Jid;
use std::collections::VecDeque;

const VERSION: u8 = 1;

/// Id of the one record of this kind.
pub(crate) const ID: &[u8] = b"asked";

/// Messages that are remembered; the oldest are forgotten, first those of devices that have too many.
const MOST: usize = 256;

/// Messages of one device that no other device makes this forget.
const MOST_OF_DEVICE: usize = 32;

/// The messages, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Asked(VecDeque<AskedMessage>);

/// One message that was asked for again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AskedMessage {
    /// The sending device, as records are named after it.
    pub(crate) device: Vec<u8>,
    pub(crate) id: MessageId,
    /// How often.
    pub(crate) count: u32,
    /// A copy of it was read.
    pub(crate) read: bool,
    /// What is needed to ask the phone for it and to deliver what it answers; `None` if it cannot have it.
    pub(crate) missing: Option<Missing>,
}

/// A message that the phone may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) chat: Jid,
    pub(crate) sender: Jid,
    pub(crate) from_me: bool,
    /// When the server took it, in seconds since 1970.
    pub(crate) timestamp: u64,
    /// When it was found unreadable, in milliseconds since 1970.
    pub(crate) since: u64,
    /// How often the phone was asked.
    pub(crate) times: u32,
    /// When the phone was asked last, in milliseconds since 1970.
    pub(crate) asked_at: u64,
    /// The request that asked last, until the server has taken it.
    pub(crate) request: Option<MessageId>,
}

impl Asked {
    /// What is remembered of a message.
    pub(crate) fn find(&self, device: &[u8], id: &MessageId) -> Option<&AskedMessage> {
        self.0.iter().find(|asked| asked.device == device && asked.id == *id)
    }

    /// Takes the devices whose records were named with `from` in front for those named with `to`; whether there were any.
    pub(crate) fn rename(&mut self, from: &[u8], to: &[u8]) -> bool {
        let mut renamed = false;
        for asked in &mut self.0 {
            if let Some(device) = asked.device.strip_prefix(from) {
                asked.device = [to, device].concat();
                renamed = true;
            }
        }
        renamed
    }

    /// All that are remembered, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &AskedMessage> {
        self.0.iter()
    }

    /// Changes what is remembered of a message, if it still is.
    pub(crate) fn update(&mut self, asked: AskedMessage) {
        let mut known = self.0.iter_mut();
        if let Some(known) = known.find(|known| known.device == asked.device && known.id == asked.id) {
            *known = asked;
        }
    }

    /// Changes what the phone may be asked for; whether `change` says of any that it did.
    pub(crate) fn change_missing(&mut self, mut change: impl FnMut(&mut Missing) -> bool) -> bool {
        let all = self.0.iter_mut().filter_map(|asked| asked.missing.as_mut());
        let mut changed = false;
        for missing in all {
            changed |= change(missing);
        }
        changed
    }

    /// Remembers a message, instead of what was remembered of it before.
    pub(crate) fn remember(&mut self, asked: AskedMessage) {
        self.0.retain(|known| known.device != asked.device || known.id != asked.id);
        self.0.push_back(asked);
        if self.0.len() > MOST {
            let of = |device: &[u8]| self.0.iter().filter(|one| one.device == device).count();
            let at = self.0.iter().position(|one| of(&one.device) > MOST_OF_DEVICE).unwrap_or(0);
            self.0.remove(at);
        }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
struct AskedRecord {
    #[prost(message, repeated, tag = "1")]
    messages: Vec<AskedMessageRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
struct AskedMessageRecord {
    #[prost(bytes = "vec", tag = "1")]
    device: Vec<u8>,
    #[prost(string, tag = "2")]
    id: String,
    #[prost(uint32, tag = "3")]
    count: u32,
    #[prost(bool, tag = "4")]
    read: bool,
    #[prost(message, optional, tag = "5")]
    missing: Option<MissingRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
struct MissingRecord {
    #[prost(string, tag = "1")]
    chat: String,
    #[prost(string, tag = "2")]
    sender: String,
    #[prost(bool, tag = "3")]
    from_me: bool,
    #[prost(uint64, tag = "4")]
    timestamp: u64,
    #[prost(uint64, tag = "5")]
    since: u64,
    #[prost(uint32, tag = "6")]
    times: u32,
    #[prost(uint64, tag = "7")]
    asked_at: u64,
    #[prost(string, optional, tag = "8")]
    request: Option<String>,
}

impl Stored for Asked {
    const SPACE: Space = Space::Account;

    fn seal(&self) -> Record {
        let messages = self.0.iter().map(|asked| AskedMessageRecord {
            device: asked.device.clone(),
            id: asked.id.as_str().to_owned(),
            count: asked.count,
            read: asked.read,
            missing: asked.missing.as_ref().map(|missing| MissingRecord {
                chat: missing.chat.to_string(),
                sender: missing.sender.to_string(),
                from_me: missing.from_me,
                timestamp: missing.timestamp,
                since: missing.since,
                times: missing.times,
                asked_at: missing.asked_at,
                request: missing.request.as_ref().map(|request| request.as_str().to_owned()),
            }),
        });
        seal(VERSION, &AskedRecord { messages: messages.collect() })
    }

    fn open(record: &Record) -> Result<Self, BadRecord> {
        let found: AskedRecord = open(VERSION, record)?;
        let messages = found.messages.into_iter().map(|asked| {
            let (device, id) = (asked.device, MessageId::new(asked.id));
            let missing = asked.missing.map(MissingRecord::read).transpose()?;
            Ok(AskedMessage { device, id, count: asked.count, read: asked.read, missing })
        });
        Ok(Self(messages.collect::<Result<_, _>>()?))
    }
}

impl MissingRecord {
    fn read(self) -> Result<Missing, BadRecord> {
        Ok(Missing {
            chat: Jid::parse(&self.chat).map_err(|_| BadRecord)?,
            sender: Jid::parse(&self.sender).map_err(|_| BadRecord)?,
            from_me: self.from_me,
            timestamp: self.timestamp,
            since: self.since,
            times: self.times,
            asked_at: self.asked_at,
            request: self.request.map(MessageId::new),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(number: usize, count: u32) -> AskedMessage {
        AskedMessage { device: vec![1], id: MessageId::new(number.to_string()), count, read: false, missing: None }
    }

    #[test]
    fn one_device_does_not_make_this_forget_the_messages_of_others() {
        let mut all = Asked::default();
        all.remember(AskedMessage { device: vec![2], ..asked(0, 1) });
        for number in 0..2 * MOST {
            all.remember(asked(number, 1));
        }
        assert_eq!(all.0.len(), MOST);
        assert!(all.find(&[2], &MessageId::new("0")).is_some());
    }

    #[test]
    fn the_newest_messages_are_remembered_once_each() {
        let mut all = Asked::default();
        for number in 0..MOST + 10 {
            all.remember(asked(number, 1));
            all.remember(asked(number, 2));
        }
        assert_eq!(all.0.len(), MOST);
        assert_eq!(all.find(&[1], &MessageId::new("9")), None);
        assert_eq!(all.find(&[1], &MessageId::new("10")).map(|asked| asked.count), Some(2));
        assert_eq!(Asked::open(&all.seal()), Ok(all));
    }

    fn missing(since: u64) -> Missing {
        let jid = Jid::lid("1");
        Missing {
            chat: jid.clone(),
            sender: jid,
            from_me: false,
            timestamp: 1,
            since,
            times: 0,
            asked_at: 0,
            request: None,
        }
    }

    #[test]
    fn exactly_one_message_changes_and_one_that_was_forgotten_does_not_come_back() {
        let mut all = Asked::default();
        for (device, number) in [(1, 0), (2, 0), (1, 1)] {
            all.remember(AskedMessage { device: vec![device], ..asked(number, 1) });
        }
        all.update(AskedMessage { read: true, ..asked(1, 5) });
        let counts: Vec<(u32, bool)> = all.iter().map(|asked| (asked.count, asked.read)).collect();
        assert_eq!(counts, [(1, false), (1, false), (5, true)]);
        let before = all.clone();
        all.update(asked(9, 7));
        assert_eq!(all, before);
    }

    #[test]
    fn messages_of_a_peer_that_turned_out_to_be_another_are_found_under_that() {
        let mut all = Asked::default();
        all.remember(AskedMessage { device: vec![1, 2, 0], ..asked(0, 1) });
        all.remember(AskedMessage { device: vec![3, 4, 0], ..asked(0, 2) });
        assert!(!all.rename(&[9], &[8]));
        assert!(all.rename(&[1, 2], &[7]));
        let counts = [&[7, 0][..], &[1, 2, 0], &[3, 4, 0]]
            .map(|device| all.find(device, &MessageId::new("0")).map(|one| one.count));
        assert_eq!(counts, [Some(1), None, Some(2)]);
    }

    #[test]
    fn a_change_of_what_is_missing_is_told_if_any_was_made() {
        let mut all = Asked::default();
        for (number, since) in [(0, 5), (1, 6)] {
            all.remember(AskedMessage { missing: Some(missing(since)), ..asked(number, 1) });
        }
        all.remember(asked(2, 1));
        assert!(!all.change_missing(|_| false));
        assert!(all.change_missing(|missing| missing.since == 5));
        assert!(all.change_missing(|missing| missing.since == 6));
        assert!(all.change_missing(|missing| {
            missing.times += 1;
            true
        }));
        assert_eq!(
            all.iter().filter_map(|asked| asked.missing.as_ref()).map(|missing| missing.times).collect::<Vec<_>>(),
            [1, 1]
        );
    }

    #[test]
    fn a_device_with_just_its_share_loses_nothing_to_others() {
        let mut all = Asked::default();
        all.remember(AskedMessage { device: vec![9], ..asked(0, 1) });
        for number in 0..MOST_OF_DEVICE {
            all.remember(asked(number, 1));
        }
        for number in 0..MOST - MOST_OF_DEVICE {
            let device = vec![2, u8::try_from(number % 200).unwrap(), u8::try_from(number / 200).unwrap()];
            all.remember(AskedMessage { device, ..asked(number, 1) });
        }
        assert_eq!(all.0.len(), MOST);
        assert_eq!(all.find(&[9], &MessageId::new("0")), None, "nobody has more than a share, so the oldest goes");
        assert!(all.find(&[1], &MessageId::new("0")).is_some());
    }
}
