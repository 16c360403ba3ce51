//! The copy of an own message for the account's other devices. Splices encoded bytes, so that fields nobody here knows
//! stay as they are.

use super::field;
use super::scan::{ScanError, last_bytes};
use whatsio_proto::fields::{Fields, bytes_field_len, put_bytes, put_length};

/// Wraps the encoded `content` for own devices. `destination` is the chat as the stanza addresses it; `phash` is for
/// broadcasts only. The content's context moves to the outside. Fails with `Malformed`.
pub fn wrap_device_sent(content: &[u8], destination: &str, phash: Option<&str>) -> Result<Vec<u8>, ScanError> {
    let (mut inner_len, mut context_len) = (0, 0);
    for found in Fields::of(content) {
        let found = found?;
        *if found.number == field::CONTEXT_INFO { &mut context_len } else { &mut inner_len } += found.raw.len();
    }
    let envelope_len = bytes_field_len(1, destination.len())
        + bytes_field_len(field::DEVICE_SENT_MESSAGE, inner_len)
        + phash.map_or(0, |hash| bytes_field_len(3, hash.len()));
    let mut out = Vec::with_capacity(bytes_field_len(field::DEVICE_SENT, envelope_len) + context_len);
    put_length(&mut out, field::DEVICE_SENT, envelope_len);
    put_bytes(&mut out, 1, destination.as_bytes());
    put_length(&mut out, field::DEVICE_SENT_MESSAGE, inner_len);
    put_fields(&mut out, content, |number| number != field::CONTEXT_INFO);
    if let Some(hash) = phash {
        put_bytes(&mut out, 3, hash.as_bytes());
    }
    put_fields(&mut out, content, |number| number == field::CONTEXT_INFO);
    Ok(out)
}

/// The message inside a copy for own devices, with what its context lacks taken from the outside. `None` when `message`
/// is no such copy. Fails with `Malformed`.
pub fn unwrap_device_sent(message: &[u8]) -> Result<Option<Vec<u8>>, ScanError> {
    let Some(envelope) = last_bytes(message, field::DEVICE_SENT)? else { return Ok(None) };
    let inner = last_bytes(envelope, field::DEVICE_SENT_MESSAGE)?.ok_or(ScanError::Malformed)?;
    let Some(outer_context) = last_bytes(message, field::CONTEXT_INFO)? else { return Ok(Some(inner.to_vec())) };
    let inner_context = last_bytes(inner, field::CONTEXT_INFO)?.unwrap_or_default();
    let mut known = Vec::new();
    for found in Fields::of(inner_context) {
        known.push(found?.number);
    }
    for found in Fields::of(outer_context) {
        found?;
    }
    let mut context = Vec::with_capacity(inner_context.len() + outer_context.len());
    put_fields(&mut context, outer_context, |number| !known.contains(&number));
    context.extend_from_slice(inner_context);
    let mut out = Vec::with_capacity(inner.len() + bytes_field_len(field::CONTEXT_INFO, context.len()));
    put_fields(&mut out, inner, |number| number != field::CONTEXT_INFO);
    put_bytes(&mut out, field::CONTEXT_INFO, &context);
    Ok(Some(out))
}

/// Copies the fields that `wanted` picks; the caller has checked that `message` is well-formed.
fn put_fields(out: &mut Vec<u8>, message: &[u8], wanted: impl Fn(u32) -> bool) {
    for found in Fields::of(message).flatten() {
        if wanted(found.number) {
            out.extend_from_slice(found.raw);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{MessageSecret, Scanned};
    use whatsio_proto::e2e::{DeviceSentMessage, Message, MessageContextInfo};
    use whatsio_proto::prost::Message as _;

    fn content() -> Message {
        let context = MessageContextInfo { message_secret: Some(vec![5; 32].into()), ..Default::default() };
        Message {
            conversation: Some("hello".into()),
            message_context_info: Some(Box::new(context)),
            ..Default::default()
        }
    }

    #[test]
    fn wrapping_moves_the_context_outside_and_unwrapping_restores_it() {
        let content = content();
        let bytes = content.encode_to_vec();
        let wrapped = wrap_device_sent(&bytes, "1@lid", None).unwrap();
        let mut inner = content.clone();
        inner.message_context_info = None;
        let expected = Message {
            device_sent_message: Some(Box::new(DeviceSentMessage {
                destination_jid: Some("1@lid".into()),
                message: Some(Box::new(inner)),
                phash: None,
            })),
            message_context_info: content.message_context_info.clone(),
            ..Default::default()
        };
        assert_eq!(wrapped, expected.encode_to_vec());
        assert_eq!(unwrap_device_sent(&wrapped).unwrap().as_deref(), Some(&bytes[..]));
        let scanned = Scanned::of(&wrapped).unwrap();
        assert_eq!(scanned.device_sent.unwrap().destination, "1@lid");
        assert_eq!(scanned.message_secret, Some(&[5; 32]));
        assert!(scanned.has_content);
    }

    #[test]
    fn unknown_fields_survive_both_ways() {
        let mut bytes = content().encode_to_vec();
        put_bytes(&mut bytes, 4_000, b"from the future");
        let wrapped = wrap_device_sent(&bytes, "1@lid", Some("2:abcdefgh")).unwrap();
        let unwrapped = unwrap_device_sent(&wrapped).unwrap().unwrap();
        assert_eq!(last_bytes(&unwrapped, 4_000), Ok(Some(&b"from the future"[..])));
        assert_eq!(Scanned::of(&wrapped).unwrap().device_sent.unwrap().phash, Some("2:abcdefgh"));
    }

    #[test]
    fn the_inner_context_counts_and_the_outer_one_fills_gaps() {
        let inner_context = MessageContextInfo { reporting_token_version: Some(2), ..Default::default() };
        let inner = Message {
            conversation: Some("x".into()),
            message_context_info: Some(Box::new(inner_context)),
            ..Default::default()
        };
        let outer_context = MessageContextInfo {
            message_secret: Some(vec![6; 32].into()),
            reporting_token_version: Some(1),
            ..Default::default()
        };
        let message = Message {
            device_sent_message: Some(Box::new(DeviceSentMessage {
                destination_jid: Some("1@lid".into()),
                message: Some(Box::new(inner)),
                phash: None,
            })),
            message_context_info: Some(Box::new(outer_context)),
            ..Default::default()
        };
        let unwrapped = unwrap_device_sent(&message.encode_to_vec()).unwrap().unwrap();
        let context = Message::decode(&unwrapped[..]).unwrap().message_context_info.unwrap();
        assert_eq!(context.reporting_token_version, Some(2));
        assert!(MessageSecret::from_slice(&context.message_secret.unwrap()).is_some());
    }

    #[test]
    fn what_is_no_copy_is_left_alone_and_damage_is_refused() {
        assert_eq!(unwrap_device_sent(&content().encode_to_vec()), Ok(None));
        assert_eq!(wrap_device_sent(&[0x0A, 5], "1@lid", None), Err(ScanError::Malformed));
        assert_eq!(unwrap_device_sent(&[0xFA, 0x01, 0x02, 0x12]), Err(ScanError::Malformed));
    }
}
