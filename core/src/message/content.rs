//! Builders and readers of what people write: text with replies and mentions, reactions, edits, revokes. Knows neither
//! media nor how anything is sent.

use super::scan::DEPTH_LIMIT;
use crate::types::Jid;
use whatsio_proto::common::MessageKey;
use whatsio_proto::e2e::context_info::QuotedType;
use whatsio_proto::e2e::protocol_message::Type;
use whatsio_proto::e2e::{
    ContextInfo, ExtendedTextMessage, FutureProofMessage, Message, ProtocolMessage, ReactionMessage,
};

/// A text to send. Becomes the plain form when it is nothing but text, else the extended one.
#[derive(Clone, PartialEq)]
pub struct Text {
    text: String,
    context: ContextInfo,
}

/// The message that a text replies to.
#[derive(Clone, PartialEq)]
pub struct Quote {
    id: String,
    author: Jid,
    chat: Option<Jid>,
    message: Option<Box<Message>>,
}

impl Text {
    /// A text and nothing else.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), context: ContextInfo::default() }
    }

    /// Makes it a reply.
    #[must_use]
    pub fn reply_to(mut self, quote: Quote) -> Self {
        self.context.stanza_id = Some(quote.id);
        self.context.participant = Some(quote.author.to_user().to_string());
        self.context.remote_jid = quote.chat.map(|chat| chat.to_string());
        self.context.quoted_message = quote.message;
        self.context.quoted_type = Some(QuotedType::Explicit.into());
        self
    }

    /// Mentions `user`, whom the text must name as `@` and the user part of the address.
    #[must_use]
    pub fn mention(mut self, user: &Jid) -> Self {
        self.context.mentioned_jid.push(user.to_user().to_string());
        self
    }

    /// Mentions everybody in the group.
    #[must_use]
    pub const fn mention_everybody(mut self) -> Self {
        self.context.non_jid_mentions = Some(1);
        self
    }

    /// Lets it disappear `seconds` after it was sent, as the chat's setting of `since` (seconds since 1970) demands.
    #[must_use]
    pub const fn disappearing(mut self, seconds: u32, since: i64) -> Self {
        self.context.expiration = Some(seconds);
        self.context.ephemeral_setting_timestamp = Some(since);
        self
    }

    /// The message to encode and send.
    #[must_use]
    pub fn into_message(self) -> Message {
        if self.context == ContextInfo::default() {
            return Message { conversation: Some(self.text), ..Message::default() };
        }
        let extended = ExtendedTextMessage {
            text: Some(self.text),
            context_info: Some(Box::new(self.context)),
            ..ExtendedTextMessage::default()
        };
        Message { extended_text_message: Some(Box::new(extended)), ..Message::default() }
    }
}

impl Quote {
    /// The message `id`, which `author` wrote in the same chat.
    #[must_use]
    pub fn new(id: impl Into<String>, author: Jid) -> Self {
        Self { id: id.into(), author, chat: None, message: None }
    }

    /// Adds what is quoted, so that readers can show it who no longer have it. Its own quote is left out.
    #[must_use]
    pub fn with_content(mut self, message: &Message) -> Self {
        let mut message = content_of(message).clone();
        message.message_context_info = None;
        if let Some(context) = context_mut(&mut message) {
            let quote = std::mem::take(context);
            *context = ContextInfo { mentioned_jid: quote.mentioned_jid, ..ContextInfo::default() };
        }
        self.message = Some(Box::new(message));
        self
    }

    /// Says that it is from another chat: a private reply, or a reply to a status.
    #[must_use]
    pub fn from_chat(mut self, chat: Jid) -> Self {
        self.chat = Some(chat);
        self
    }
}

/// A reaction to the message `key`; empty text takes an earlier one back. `at` is in milliseconds since 1970.
#[must_use]
pub fn reaction(key: MessageKey, text: impl Into<String>, at: i64) -> Message {
    let reaction = ReactionMessage {
        key: Some(key),
        text: Some(text.into()),
        sender_timestamp_ms: Some(at),
        ..ReactionMessage::default()
    };
    Message { reaction_message: Some(Box::new(reaction)), ..Message::default() }
}

/// Takes the message `key` back.
#[must_use]
pub fn revoke(key: MessageKey) -> Message {
    protocol(ProtocolMessage { key: Some(key), r#type: Some(Type::Revoke.into()), ..ProtocolMessage::default() })
}

/// Gives the own message `key` new content. `at` is in milliseconds since 1970.
#[must_use]
pub fn edit(key: MessageKey, content: Message, at: i64) -> Message {
    let change = protocol(ProtocolMessage {
        key: Some(key),
        r#type: Some(Type::MessageEdit.into()),
        edited_message: Some(Box::new(content)),
        timestamp_ms: Some(at),
        ..ProtocolMessage::default()
    });
    let wrapper = FutureProofMessage { message: Some(Box::new(change)) };
    Message { edited_message: Some(Box::new(wrapper)), ..Message::default() }
}

fn protocol(protocol: ProtocolMessage) -> Message {
    Message { protocol_message: Some(Box::new(protocol)), ..Message::default() }
}

/// The message inside all wrappers; stops after as many as the scanner follows.
#[must_use]
pub fn content_of(message: &Message) -> &Message {
    let mut message = message;
    for _ in 0..DEPTH_LIMIT {
        let Some(inner) = wrapped(message) else { break };
        message = inner;
    }
    message
}

/// The text of a message: what was written, a caption, or an edit's new text.
#[must_use]
pub fn text_of(message: &Message) -> Option<&str> {
    let content = content_of(message);
    let change = content.edited_message.as_ref().and_then(|wrapper| wrapper.message.as_deref()).unwrap_or(content);
    if let Some(edited) = change.protocol_message.as_ref().and_then(|protocol| protocol.edited_message.as_deref()) {
        return own_text(content_of(edited));
    }
    own_text(content)
}

fn own_text(content: &Message) -> Option<&str> {
    let caption = || {
        let image = content.image_message.as_ref().and_then(|medium| medium.caption.as_deref());
        let video = content.video_message.as_ref().and_then(|medium| medium.caption.as_deref());
        let note = content.ptv_message.as_ref().and_then(|medium| medium.caption.as_deref());
        let document = content.document_message.as_ref().and_then(|medium| medium.caption.as_deref());
        image.or(video).or(note).or(document)
    };
    let extended = content.extended_text_message.as_ref().and_then(|extended| extended.text.as_deref());
    content.conversation.as_deref().or(extended).or_else(caption)
}

/// What a message says of its surroundings: quote, mentions, forwarding, disappearing.
#[must_use]
pub fn context_of(message: &Message) -> Option<&ContextInfo> {
    let message = content_of(message);
    macro_rules! first {
        ($($field:ident),*) => {
            None$(.or_else(|| message.$field.as_ref().and_then(|content| content.context_info.as_deref())))*
        };
    }
    first!(
        extended_text_message,
        image_message,
        video_message,
        audio_message,
        document_message,
        sticker_message,
        ptv_message,
        contact_message,
        contacts_array_message,
        location_message,
        live_location_message,
        poll_creation_message,
        poll_creation_message_v2,
        poll_creation_message_v3,
        event_message
    )
}

/// The id of the message that this one replies to.
#[must_use]
pub fn quoted_id_of(message: &Message) -> Option<&str> {
    context_of(message)?.stanza_id.as_deref()
}

/// The users a message mentions; addresses that cannot be read are left out.
pub fn mentions_of(message: &Message) -> impl Iterator<Item = Jid> + '_ {
    let texts = context_of(message).map_or(&[][..], |context| &context.mentioned_jid);
    texts.iter().filter_map(|text| Jid::parse(text).ok())
}

fn context_mut(message: &mut Message) -> Option<&mut ContextInfo> {
    macro_rules! first {
        ($($field:ident),*) => {
            $(if message.$field.is_some() {
                return message.$field.as_mut()?.context_info.as_deref_mut();
            })*
        };
    }
    first!(
        extended_text_message,
        image_message,
        video_message,
        audio_message,
        document_message,
        sticker_message,
        ptv_message,
        contact_message,
        contacts_array_message,
        location_message,
        live_location_message,
        poll_creation_message,
        poll_creation_message_v2,
        poll_creation_message_v3,
        event_message
    );
    None
}

fn wrapped(message: &Message) -> Option<&Message> {
    macro_rules! first {
        ($($field:ident),*) => {
            None$(.or_else(|| message.$field.as_ref().and_then(|wrapper| wrapper.message.as_deref())))*
        };
    }
    first!(
        device_sent_message,
        ephemeral_message,
        view_once_message,
        view_once_message_v2,
        view_once_message_v2_extension,
        document_with_caption_message,
        group_mentioned_message,
        bot_invoke_message,
        lottie_sticker_message,
        event_cover_image,
        status_mention_message,
        poll_creation_option_image_message,
        associated_child_message,
        group_status_mention_message,
        poll_creation_message_v4,
        status_add_yours,
        group_status_message,
        limit_sharing_message,
        question_message,
        group_status_message_v2,
        question_reply_message,
        spoiler_message,
        newsletter_admin_profile_message,
        newsletter_admin_profile_status_message
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Classification, Edit, Scanned, StanzaType};
    use whatsio_proto::prost::Message as _;

    #[test]
    fn plain_text_stays_plain_and_a_reply_is_extended() {
        let plain = Text::new("hi").into_message();
        assert_eq!(plain.conversation.as_deref(), Some("hi"));
        let author = Jid::lid("5").with_device(3);
        let quoted = Text::new("before").mention(&Jid::lid("9")).into_message();
        let reply = Text::new("@7 yes")
            .reply_to(Quote::new("ID", author).with_content(&quoted).from_chat(Jid::status()))
            .mention(&Jid::lid("7").with_device(2))
            .into_message();
        assert_eq!(text_of(&reply), Some("@7 yes"));
        assert_eq!(quoted_id_of(&reply), Some("ID"));
        assert_eq!(mentions_of(&reply).collect::<Vec<_>>(), [Jid::lid("7")]);
        let context = context_of(&reply).unwrap();
        assert_eq!(context.participant.as_deref(), Some("5@lid"));
        assert_eq!(context.remote_jid.as_deref(), Some("status@broadcast"));
        assert_eq!(text_of(context.quoted_message.as_ref().unwrap()), Some("before"));
    }

    #[test]
    fn a_quote_drops_what_it_quotes_itself() {
        let inner = Text::new("a").into_message();
        let middle = Text::new("b").reply_to(Quote::new("A", Jid::lid("1")).with_content(&inner)).into_message();
        let outer = Text::new("c").reply_to(Quote::new("B", Jid::lid("2")).with_content(&middle)).into_message();
        let quoted = context_of(&outer).unwrap().quoted_message.as_ref().unwrap();
        assert_eq!(text_of(quoted), Some("b"));
        assert_eq!(quoted_id_of(quoted), None);
    }

    #[test]
    fn captions_and_edits_are_text_through_all_wrappers() {
        let document = whatsio_proto::e2e::DocumentMessage { caption: Some("cap".into()), ..Default::default() };
        let inner = Message { document_message: Some(Box::new(document)), ..Default::default() };
        let wrapper = FutureProofMessage { message: Some(Box::new(inner)) };
        let outer = Message { document_with_caption_message: Some(Box::new(wrapper)), ..Default::default() };
        assert_eq!(text_of(&outer), Some("cap"));
        let edited = edit(MessageKey::default(), Text::new("new").into_message(), 1);
        assert_eq!(text_of(&edited), Some("new"));
        assert_eq!(text_of(&Message::default()), None);
    }

    #[test]
    fn built_messages_are_classified_as_what_they_are() {
        let own = || MessageKey { from_me: Some(true), id: Some("ID".into()), ..Default::default() };
        let class = |message: Message| Classification::of(&message.encode_to_vec()).unwrap();
        assert_eq!(class(Text::new("x").into_message()).stanza_type, StanzaType::Text);
        assert_eq!(class(revoke(own())).edit, Some(Edit::SenderRevoke));
        assert!(!class(revoke(own())).hide_failure);
        assert_eq!(class(revoke(MessageKey::default())).edit, Some(Edit::AdminRevoke));
        let changed = class(edit(own(), Text::new("x").into_message(), 1));
        assert!(changed.edit == Some(Edit::Message) && changed.hide_failure);
        let liked = class(reaction(own(), "+", 1));
        assert!(liked.stanza_type == StanzaType::Reaction && liked.edit.is_none() && liked.hide_failure);
        assert_eq!(class(reaction(own(), "", 1)).edit, Some(Edit::SenderRevoke));
        let revoked = revoke(own()).encode_to_vec();
        assert_eq!(Scanned::of(&revoked).unwrap().protocol.unwrap().kind, Some(0));
    }
}
