//! Whatever a peer encrypts, reading it ends in an answer; and what is spliced decodes to what was there.

use super::{
    Classification, Scanned, is_reportable, reporting_extract, text_of, unpad, unwrap_device_sent, wrap_device_sent,
};
use proptest::prelude::*;
use whatsio_proto::e2e::{
    DocumentMessage, FutureProofMessage, ImageMessage, Message, MessageContextInfo, ProtocolMessage, ReactionMessage,
};
use whatsio_proto::prost::Message as _;

fn content() -> impl Strategy<Value = Message> {
    let text = ".{0,20}";
    let leaf = prop_oneof![
        text.prop_map(|text| Message { conversation: Some(text), ..Default::default() }),
        text.prop_map(|caption| {
            let image = ImageMessage { caption: Some(caption), ..Default::default() };
            Message { image_message: Some(Box::new(image)), ..Default::default() }
        }),
        text.prop_map(|caption| {
            let document = DocumentMessage { caption: Some(caption), ..Default::default() };
            Message { document_message: Some(Box::new(document)), ..Default::default() }
        }),
        text.prop_map(|text| {
            let reaction = ReactionMessage { text: Some(text), ..Default::default() };
            Message { reaction_message: Some(Box::new(reaction)), ..Default::default() }
        }),
        any::<i32>().prop_map(|kind| {
            let protocol = ProtocolMessage { r#type: Some(kind), ..Default::default() };
            Message { protocol_message: Some(Box::new(protocol)), ..Default::default() }
        }),
    ];
    let wrapped = leaf.prop_recursive(4, 8, 1, |inner| {
        (inner, any::<bool>()).prop_map(|(inner, once)| {
            let wrapper = Some(Box::new(FutureProofMessage { message: Some(Box::new(inner)) }));
            if once {
                Message { view_once_message: wrapper, ..Default::default() }
            } else {
                Message { document_with_caption_message: wrapper, ..Default::default() }
            }
        })
    });
    (wrapped, any::<Option<[u8; 32]>>()).prop_map(|(mut message, secret)| {
        message.message_context_info = secret.map(|secret| {
            let secret = Some(secret.to_vec().into());
            Box::new(MessageContextInfo { message_secret: secret, ..Default::default() })
        });
        message
    })
}

fn read_everything(bytes: &[u8]) {
    if let Ok(scanned) = Scanned::of(bytes) {
        let _ = Classification::of_scanned(&scanned);
        let _ = is_reportable(&scanned);
    }
    let _ = reporting_extract(bytes);
    let _ = unwrap_device_sent(bytes);
    let _ = wrap_device_sent(bytes, "1@lid", Some("2:abcdefgh"));
    let _ = unpad(bytes);
    if let Ok(message) = Message::decode(bytes) {
        let _ = text_of(&message);
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read_everything(&bytes);
    }

    #[test]
    fn damaged_messages_are_read_without_panic(
        message in content(),
        at in any::<prop::sample::Index>(),
        flip in 1..=u8::MAX,
    ) {
        let mut bytes = wrap_device_sent(&message.encode_to_vec(), "1@lid", None).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        read_everything(&bytes);
        read_everything(&bytes[..at]);
    }

    #[test]
    fn copies_for_own_devices_give_the_message_back(message in content()) {
        let bytes = message.encode_to_vec();
        let wrapped = wrap_device_sent(&bytes, "1@lid", None).unwrap();
        let unwrapped = unwrap_device_sent(&wrapped).unwrap().unwrap();
        prop_assert!(Message::decode(&unwrapped[..]).unwrap() == message);
        let (inner, outer) = (Scanned::of(&bytes).unwrap(), Scanned::of(&wrapped).unwrap());
        prop_assert_eq!(inner.message_secret, outer.message_secret);
        prop_assert_eq!(inner.has_content, outer.has_content);
        prop_assert_eq!(Classification::of_scanned(&inner), Classification::of_scanned(&outer));
    }

    #[test]
    fn media_stanzas_always_name_their_medium(message in content()) {
        let class = Classification::of(&message.encode_to_vec()).unwrap();
        prop_assert!(class.stanza_type != super::StanzaType::Media || class.media_type.is_some());
    }
}
