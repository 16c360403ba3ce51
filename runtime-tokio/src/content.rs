//! Text as message content, both ways: shorthands over `whatsio_core::message`, which has mentions, reactions and edits.
//! Everything else an application builds and reads with `whatsio_proto::e2e`.

use bytes::Bytes;
use prost::Message as _;
use whatsio_core::api::MessageEvent;
use whatsio_core::message::{self, Quote, Text};
use whatsio_proto::e2e;

/// Content that says `text`.
#[must_use]
pub fn text(text: &str) -> Bytes {
    encode(Text::new(text))
}

/// Content that says `text` and quotes `message`.
#[must_use]
pub fn reply(message: &MessageEvent, text: &str) -> Bytes {
    // What cannot be decoded is quoted by its id alone.
    let quoted = e2e::Message::decode(message.content.clone()).unwrap_or_default();
    let quote = Quote::new(message.id.as_str(), message.sender.to_user()).with_content(&quoted);
    encode(Text::new(text).reply_to(quote))
}

/// What a message says: its text, or the caption of its picture, film or document; `None` if it says nothing.
#[must_use]
pub fn text_of(content: &[u8]) -> Option<String> {
    let message = e2e::Message::decode(content).ok()?;
    message::text_of(&message).filter(|text| !text.is_empty()).map(ToOwned::to_owned)
}

fn encode(text: Text) -> Bytes {
    text.into_message().encode_to_vec().into()
}
