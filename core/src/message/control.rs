//! Messages that the devices of one account send each other about the account, and what is asked of the phone and
//! answered by it. Says what they are; who may send them is decided elsewhere.

use super::field;
use super::lid_mapping::LID_MAPPING_SYNC;
use super::scan::ScanError;
use crate::types::MessageId;
use whatsio_proto::fields::{Field, FieldValue, Fields, put_bytes, put_uint};

/// A message that means something only when it comes from an own device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// A part of the history is ready.
    HistoryNotice,
    /// Keys of app state.
    KeyShare,
    /// Asks for keys of app state.
    KeyRequest,
    /// Asks for messages that a device missed.
    BackfillRequest,
    /// Whether to tell of changed identities.
    SecuritySettings,
    /// App state is broken beyond repair.
    FatalException,
    /// Asks the phone for something.
    DataRequest,
    /// The phone's answer.
    DataAnswer,
    /// Which phone numbers and LIDs belong together.
    LidMapping,
}

impl Control {
    /// From the type of a protocol message; `None` for one that anybody may send.
    #[must_use]
    pub const fn of(kind: Option<u32>) -> Option<Self> {
        Some(match kind {
            Some(5) => Self::HistoryNotice,
            Some(6) => Self::KeyShare,
            Some(7) => Self::KeyRequest,
            Some(8) => Self::BackfillRequest,
            Some(9) => Self::SecuritySettings,
            Some(10) => Self::FatalException,
            Some(16) => Self::DataRequest,
            Some(17) => Self::DataAnswer,
            Some(LID_MAPPING_SYNC) => Self::LidMapping,
            _ => return None,
        })
    }
}

/// A message that the phone is asked for.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// The chat, as text.
    pub chat: &'a str,
    /// Whether this account sent it.
    pub from_me: bool,
    /// Its id.
    pub id: &'a MessageId,
    /// Who sent it, in a group.
    pub participant: Option<&'a str>,
}

/// A message that the phone had.
#[derive(Clone, Copy)]
pub struct Found<'a> {
    /// Its id.
    pub id: &'a str,
    /// The chat, as text.
    pub chat: Option<&'a str>,
    /// Whether this account sent it.
    pub from_me: bool,
    /// Who sent it, in a group.
    pub participant: Option<&'a str>,
    /// When the server took it, in seconds since 1970.
    pub timestamp: Option<u64>,
    /// The name that its sender gave itself.
    pub push_name: Option<&'a str>,
    /// The message, encoded.
    pub message: &'a [u8],
}

/// The content that asks the phone for messages that this device could not read.
#[must_use]
pub fn placeholder_request<'a>(wanted: impl IntoIterator<Item = Wanted<'a>>) -> Vec<u8> {
    let mut request = Vec::new();
    put_uint(&mut request, 1, PLACEHOLDER_RESEND);
    for Wanted { chat, from_me, id, participant } in wanted {
        let mut key = Vec::new();
        put_bytes(&mut key, 1, chat.as_bytes());
        put_uint(&mut key, 2, u64::from(from_me));
        put_bytes(&mut key, 3, id.as_str().as_bytes());
        if let Some(participant) = participant {
            put_bytes(&mut key, 4, participant.as_bytes());
        }
        let mut one = Vec::new();
        put_bytes(&mut one, 1, &key);
        put_bytes(&mut request, 5, &one);
    }
    let mut protocol = Vec::new();
    put_uint(&mut protocol, 2, DATA_REQUEST);
    put_bytes(&mut protocol, 16, &request);
    let mut content = Vec::new();
    put_bytes(&mut content, field::PROTOCOL, &protocol);
    content
}

/// The messages in the phone's answer; `protocol` is the protocol message of the kind [`Control::DataAnswer`]. What it
/// did not have is left out. Fails with `Malformed`.
pub fn placeholder_answer(protocol: &[u8]) -> Result<Vec<Found<'_>>, ScanError> {
    let mut found = Vec::new();
    for field in Fields::of(protocol) {
        let field = field?;
        if field.number != 17 {
            continue;
        }
        for result in Fields::of(field.bytes()?) {
            let result = result?;
            if result.number == 3
                && let Some(resend) = bytes_in(result.bytes()?, 4)?
                && let Some(info) = bytes_in(resend, 1)?
            {
                found.extend(message_in(info)?);
            }
        }
    }
    Ok(found)
}

fn message_in(info: &[u8]) -> Result<Option<Found<'_>>, ScanError> {
    let (mut key, mut message, mut timestamp, mut sender, mut push_name) = (None, None, None, None, None);
    for field in Fields::of(info) {
        let field = field?;
        match field.number {
            1 => key = Some(field.bytes()?),
            2 => message = Some(field.bytes()?),
            3 => timestamp = Some(varint(&field)?),
            5 => sender = Some(field.text()?),
            19 => push_name = Some(field.text()?),
            _ => {}
        }
    }
    let (Some(key), Some(message)) = (key, message) else { return Ok(None) };
    let (mut id, mut chat, mut from_me, mut participant) = (None, None, false, None);
    for field in Fields::of(key) {
        let field = field?;
        match field.number {
            1 => chat = Some(field.text()?),
            2 => from_me = varint(&field)? != 0,
            3 => id = Some(field.text()?),
            4 => participant = Some(field.text()?),
            _ => {}
        }
    }
    let Some(id) = id else { return Ok(None) };
    // Some phones name the sender beside the key instead of in it.
    let participant = participant.or(sender).filter(|participant| !participant.is_empty());
    Ok(Some(Found { id, chat, from_me, participant, timestamp, push_name, message }))
}

fn varint(field: &Field<'_>) -> Result<u64, ScanError> {
    match field.value {
        FieldValue::Varint(number) => Ok(number),
        _ => Err(ScanError::Malformed),
    }
}

fn bytes_in(message: &[u8], number: u32) -> Result<Option<&[u8]>, ScanError> {
    super::scan::last_bytes(message, number)
}

/// Kinds of peer data operations.
const PLACEHOLDER_RESEND: u64 = 4;

/// Types of protocol messages.
const DATA_REQUEST: u64 = 16;

/// Addresses and contents stay out of logs.
impl std::fmt::Debug for Wanted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wanted").field("id", self.id).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Found<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Found").field("id", &self.id).field("timestamp", &self.timestamp).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use whatsio_proto::common::MessageKey;
    use whatsio_proto::e2e::peer_data_operation_request_response_message::PeerDataOperationResult;
    use whatsio_proto::e2e::peer_data_operation_request_response_message::peer_data_operation_result::PlaceholderMessageResendResponse;
    use whatsio_proto::e2e::{Message, PeerDataOperationRequestResponseMessage};
    use whatsio_proto::prost::Message as _;
    use whatsio_proto::web::WebMessageInfo;

    #[test]
    fn a_request_says_what_the_schema_says() {
        let id = MessageId::new("3EB0");
        let one = Wanted { chat: "1@lid", from_me: true, id: &id, participant: None };
        let content = placeholder_request([one, Wanted { from_me: false, participant: Some("2@lid"), ..one }]);
        let message = Message::decode(content.as_slice()).unwrap();
        let protocol = message.protocol_message.unwrap();
        assert_eq!(protocol.r#type, Some(16));
        let request = protocol.peer_data_operation_request_message.unwrap();
        assert_eq!(request.peer_data_operation_request_type, Some(4));
        let keys: Vec<MessageKey> =
            request.placeholder_message_resend_request.into_iter().filter_map(|one| one.message_key).collect();
        assert_eq!(keys.len(), 2);
        assert_eq!((keys[0].remote_jid.as_deref(), keys[0].from_me), (Some("1@lid"), Some(true)));
        assert_eq!((keys[1].id.as_deref(), keys[1].participant.as_deref()), (Some("3EB0"), Some("2@lid")));
    }

    #[test]
    fn an_answer_gives_the_messages_that_the_phone_had() {
        let info = WebMessageInfo {
            key: Some(MessageKey {
                remote_jid: Some("1@g.us".into()),
                from_me: Some(true),
                id: Some("3EB0".into()),
                ..Default::default()
            }),
            participant: Some("2@lid".into()),
            message: Some(Box::new(Message { conversation: Some("hi".into()), ..Default::default() })),
            message_timestamp: Some(7),
            push_name: Some("Bob".into()),
            ..Default::default()
        };
        let resend = PlaceholderMessageResendResponse { web_message_info_bytes: Some(info.encode_to_vec().into()) };
        let result =
            PeerDataOperationResult { placeholder_message_resend_response: Some(resend), ..Default::default() };
        let answer = PeerDataOperationRequestResponseMessage {
            peer_data_operation_result: vec![PeerDataOperationResult::default(), result],
            ..Default::default()
        };
        let protocol = whatsio_proto::e2e::ProtocolMessage {
            peer_data_operation_request_response_message: Some(answer),
            ..Default::default()
        };
        let bytes = protocol.encode_to_vec();
        let found = placeholder_answer(&bytes).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].id, found[0].timestamp, found[0].push_name), ("3EB0", Some(7), Some("Bob")));
        assert_eq!((found[0].chat, found[0].from_me, found[0].participant), (Some("1@g.us"), true, Some("2@lid")));
        assert_eq!(found[0].message, b"\x0a\x02hi");
        assert!(placeholder_answer(&bytes[..bytes.len() - 1]).is_err());
        assert!(placeholder_answer(&[]).unwrap().is_empty());
    }
}
