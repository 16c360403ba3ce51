//! Messages that could not be read and were asked for again: how often, and whether one of the copies was read since.
//!
//! A sender may answer a request that was overtaken by a redelivery, so one message can open twice under different
//! ciphertexts. This record is what tells the second one apart.

use super::record::{BadRecord, Stored, open, seal};
use crate::api::{MessageId, Record, Space};
use std::collections::VecDeque;

const VERSION: u8 = 1;

/// Id of the one record of this kind.
pub(crate) const ID: &[u8] = b"asked";

/// Messages that are remembered; the oldest are forgotten.
const MOST: usize = 256;

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

    /// Remembers a message, instead of what was remembered of it before.
    pub(crate) fn remember(&mut self, asked: AskedMessage) {
        self.0.retain(|known| known.device != asked.device || known.id != asked.id);
        self.0.push_back(asked);
        if self.0.len() > MOST {
            self.0.pop_front();
        }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct AskedRecord {
    #[prost(message, repeated, tag = "1")]
    messages: Vec<AskedMessageRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AskedMessageRecord {
    #[prost(bytes = "vec", tag = "1")]
    device: Vec<u8>,
    #[prost(string, tag = "2")]
    id: String,
    #[prost(uint32, tag = "3")]
    count: u32,
    #[prost(bool, tag = "4")]
    read: bool,
}

impl Stored for Asked {
    const SPACE: Space = Space::Account;

    fn seal(&self) -> Record {
        let messages = self.0.iter().map(|asked| AskedMessageRecord {
            device: asked.device.clone(),
            id: asked.id.as_str().to_owned(),
            count: asked.count,
            read: asked.read,
        });
        seal(VERSION, &AskedRecord { messages: messages.collect() })
    }

    fn open(record: &Record) -> Result<Self, BadRecord> {
        let found: AskedRecord = open(VERSION, record)?;
        let messages = found.messages.into_iter().map(|asked| AskedMessage {
            device: asked.device,
            id: MessageId::new(asked.id),
            count: asked.count,
            read: asked.read,
        });
        Ok(Self(messages.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(number: usize, count: u32) -> AskedMessage {
        AskedMessage { device: vec![1], id: MessageId::new(number.to_string()), count, read: false }
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
}
