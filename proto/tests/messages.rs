//! Known bytes decode to what they mean, and encode to themselves.

use whatsio_proto::prost::Message;
use whatsio_proto::prost::bytes::Bytes;
use whatsio_proto::{adv, e2e, signal, sync_action, wa6};

#[test]
fn first_handshake_message_decodes_and_encodes_to_the_same_bytes() {
    let bytes = hex::decode("12220a20000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f").unwrap();
    let message = wa6::HandshakeMessage::decode(bytes.as_slice()).unwrap();
    let hello = message.client_hello.as_ref().unwrap();
    assert_eq!(hello.ephemeral.as_ref().unwrap().as_ref(), (0..32).collect::<Vec<u8>>());
    assert!(message.server_hello.is_none());
    assert_eq!(message.encode_to_vec(), bytes);
}

#[test]
fn packed_numbers_are_read_in_both_forms_and_written_packed() {
    let packed = [0x22, 0x03, 0x00, 0x01, 0x05];
    let single = [0x20, 0x00, 0x20, 0x01, 0x20, 0x05];
    for form in [&packed[..], &single[..]] {
        let list = adv::AdvKeyIndexList::decode(form).unwrap();
        assert_eq!(list.valid_indexes, [0, 1, 5]);
        assert_eq!(list.encode_to_vec(), packed);
    }
}

#[test]
fn unknown_enum_number_survives() {
    let bytes = [0x18, 0xe7, 0x07];
    let identity = adv::AdvSignedDeviceIdentityHmac::decode(&bytes[..]).unwrap();
    assert_eq!(identity.account_type, Some(999));
    assert!(adv::AdvEncryptionType::try_from(999).is_err());
    assert_eq!(identity.encode_to_vec(), bytes);
}

#[test]
fn messages_nested_too_deeply_are_refused() {
    let mut message = e2e::Message { conversation: Some("in the middle".into()), ..Default::default() };
    for _ in 0..100 {
        let inner = e2e::FutureProofMessage { message: Some(Box::new(message)) };
        message = e2e::Message { ephemeral_message: Some(Box::new(inner)), ..Default::default() };
    }
    let bytes = message.encode_to_vec();
    assert!(e2e::Message::decode(bytes.as_slice()).is_err());
}

#[test]
fn bytes_fields_share_the_buffer_they_were_decoded_from() {
    let wire = signal::SignalMessage { ciphertext: Some(Bytes::from(vec![7; 64])), ..Default::default() };
    let buffer = Bytes::from(wire.encode_to_vec());
    let decoded = signal::SignalMessage::decode(buffer.clone()).unwrap();
    let shared = decoded.ciphertext.unwrap().as_ptr() as usize;
    let range = buffer.as_ptr() as usize..buffer.as_ptr() as usize + buffer.len();
    assert!(range.contains(&shared));
}

#[test]
fn debug_shows_no_content() {
    let message = e2e::Message { conversation: Some("meet me at nine".into()), ..Default::default() };
    assert_eq!(format!("{message:?}"), "Message { .. }");
}

#[test]
fn messages_with_a_hundred_fields_take_little_more_than_a_pointer_for_each() {
    assert!(size_of::<e2e::Message>() <= 1024, "{}", size_of::<e2e::Message>());
    let action = size_of::<sync_action::SyncActionValue>();
    assert!(action <= 1024, "{action}");
}
