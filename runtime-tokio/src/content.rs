//! Text as message content, both ways. Everything else an application builds and reads with `whatsio_proto::e2e`.

use bytes::Bytes;
use prost::Message as _;
use whatsio_core::api::MessageEvent;
use whatsio_proto::e2e;

/// Content that says `text`.
#[must_use]
pub fn text(text: &str) -> Bytes {
    encode(&e2e::Message { conversation: Some(text.to_owned()), ..Default::default() })
}

/// Content that says `text` and quotes `message`.
#[must_use]
pub fn reply(message: &MessageEvent, text: &str) -> Bytes {
    // What cannot be decoded is quoted by its id alone.
    let mut quoted = e2e::Message::decode(message.content.clone()).unwrap_or_default();
    // A quote shows one message: what that one quoted, and secrets that were meant for its receivers, stay out.
    if let Some(extended) = &mut quoted.extended_text_message {
        extended.context_info = None;
    }
    quoted.message_context_info = None;
    let context = e2e::ContextInfo {
        stanza_id: Some(message.id.as_str().to_owned()),
        participant: Some(message.sender.clone().with_device(0).to_string()),
        quoted_message: Some(Box::new(quoted)),
        ..Default::default()
    };
    let extended = e2e::ExtendedTextMessage {
        text: Some(text.to_owned()),
        context_info: Some(Box::new(context)),
        ..Default::default()
    };
    encode(&e2e::Message { extended_text_message: Some(Box::new(extended)), ..Default::default() })
}

/// What a message says: its text, or the caption of its picture, film or document; `None` if it says nothing.
#[must_use]
pub fn text_of(content: &[u8]) -> Option<String> {
    let message = e2e::Message::decode(content).ok()?;
    let caption = |caption: Option<String>| caption.filter(|text| !text.is_empty());
    caption(message.conversation)
        .or_else(|| message.extended_text_message.and_then(|extended| caption(extended.text)))
        .or_else(|| message.image_message.and_then(|image| caption(image.caption)))
        .or_else(|| message.video_message.and_then(|video| caption(video.caption)))
        .or_else(|| message.document_message.and_then(|document| caption(document.caption)))
}

fn encode(message: &e2e::Message) -> Bytes {
    message.encode_to_vec().into()
}
