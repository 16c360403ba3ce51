//! The kinds of media objects and what depends on nothing but the kind.

use std::borrow::Cow;

/// What a media object is. Decides the key derivation and the path on the media servers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MediaKind {
    /// A picture.
    Image,
    /// A video.
    Video,
    /// A looping video without sound.
    Gif,
    /// A round video note.
    VideoNote,
    /// A sound file.
    Audio,
    /// A voice note.
    VoiceNote,
    /// Any other file.
    Document,
    /// A sticker, still or animated.
    Sticker,
    /// A sticker pack: a ZIP file.
    StickerPack,
    /// The cover of a sticker pack, under the pack's own media key.
    StickerPackThumbnail,
    /// The preview of a link, under a key in the text message.
    LinkThumbnail,
    /// The preview of a document.
    DocumentThumbnail,
    /// The preview of a picture.
    ImageThumbnail,
    /// The preview of a video.
    VideoThumbnail,
    /// A chunk of history from the phone.
    History,
    /// A snapshot or a long patch of app state.
    AppState,
    /// History shared with a new member of a group.
    GroupHistory,
    /// The background of a payment.
    PaymentBackground,
    /// A picture in an extended message.
    ExtendedImage,
    /// Any other kind, spelled out.
    Other {
        /// The kind's name in requests.
        name: Cow<'static, str>,
        /// The text that its keys are derived with.
        info: Cow<'static, str>,
        /// The path that it is uploaded to.
        path: Cow<'static, str>,
    },
}

impl MediaKind {
    /// Every kind with a name of its own.
    pub const NAMED: [Self; 19] = [
        Self::Image,
        Self::Video,
        Self::Gif,
        Self::VideoNote,
        Self::Audio,
        Self::VoiceNote,
        Self::Document,
        Self::Sticker,
        Self::StickerPack,
        Self::StickerPackThumbnail,
        Self::LinkThumbnail,
        Self::DocumentThumbnail,
        Self::ImageThumbnail,
        Self::VideoThumbnail,
        Self::History,
        Self::AppState,
        Self::GroupHistory,
        Self::PaymentBackground,
        Self::ExtendedImage,
    ];

    /// The kind called `name` in requests and paths; `None` for a name that this version does not know.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMED.into_iter().find(|kind| kind.name() == name)
    }

    /// The kind's name in requests and paths (`mms-type`).
    #[must_use]
    pub fn name(&self) -> &str {
        self.row().0
    }

    /// The text that the keys of this kind are derived with.
    #[must_use]
    pub fn info(&self) -> &str {
        self.row().1
    }

    /// The path that encrypted objects of this kind are uploaded to, without the token.
    #[must_use]
    pub fn upload_path(&self) -> &str {
        self.row().2
    }

    /// Name, key derivation text, and upload path as the newest web client has them.
    fn row(&self) -> (&str, &str, &str) {
        match self {
            Self::Image => ("image", "WhatsApp Image Keys", "/mms/image"),
            Self::Video => ("video", "WhatsApp Video Keys", "/mms/video"),
            Self::Gif => ("gif", "WhatsApp Video Keys", "/mms/gif"),
            // Video notes have no path of their own.
            Self::VideoNote => ("ptv", "WhatsApp Video Keys", "/mms/video"),
            Self::Audio => ("audio", "WhatsApp Audio Keys", "/mms/audio"),
            Self::VoiceNote => ("ptt", "WhatsApp Audio Keys", "/mms/ptt"),
            Self::Document => ("document", "WhatsApp Document Keys", "/mms/document"),
            Self::Sticker => ("sticker", "WhatsApp Image Keys", "/mms/sticker"),
            Self::StickerPack => ("sticker-pack", "WhatsApp Sticker Pack Keys", "/mms/sticker-pack"),
            Self::StickerPackThumbnail => {
                ("thumbnail-sticker-pack", "WhatsApp Sticker Pack Thumbnail Keys", "/mms/thumbnail-sticker-pack")
            }
            Self::LinkThumbnail => ("thumbnail-link", "WhatsApp Link Thumbnail Keys", "/mms/thumbnail-link"),
            Self::DocumentThumbnail => {
                ("thumbnail-document", "WhatsApp Document Thumbnail Keys", "/mms/thumbnail-document")
            }
            Self::ImageThumbnail => ("thumbnail-image", "WhatsApp Image Thumbnail Keys", "/mms/thumbnail-image"),
            Self::VideoThumbnail => ("thumbnail-video", "WhatsApp Video Thumbnail Keys", "/mms/thumbnail-video"),
            Self::History => ("md-msg-hist", "WhatsApp History Keys", "/mms/md-msg-hist"),
            Self::AppState => ("md-app-state", "WhatsApp App State Keys", "/mms/md-app-state"),
            Self::GroupHistory => ("group-history", "Group History", "/mms/group-history"),
            Self::PaymentBackground => {
                ("payment-bg-image", "WhatsApp Payment Background Keys", "/mms/payment-bg-image")
            }
            Self::ExtendedImage => ("xma-image", "WhatsApp Image Keys", "/mms/image"),
            Self::Other { name, info, path } => (name, info, path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_named_kind_is_found_by_its_name() {
        for kind in MediaKind::NAMED {
            assert_eq!(MediaKind::from_name(kind.name()), Some(kind.clone()));
            assert!(kind.upload_path().starts_with("/mms/"));
        }
        assert_eq!(MediaKind::from_name("hologram"), None);
    }
}
