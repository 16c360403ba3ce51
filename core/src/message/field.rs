//! Numbers of the message fields that the core acts on or classifies by.

pub(super) const SENDER_KEY_DISTRIBUTION: u32 = 2;
pub(super) const IMAGE: u32 = 3;
pub(super) const CONTACT: u32 = 4;
pub(super) const LOCATION: u32 = 5;
pub(super) const EXTENDED_TEXT: u32 = 6;
pub(super) const DOCUMENT: u32 = 7;
pub(super) const AUDIO: u32 = 8;
pub(super) const VIDEO: u32 = 9;
pub(super) const PROTOCOL: u32 = 12;
pub(super) const CONTACTS: u32 = 13;
/// A second sender-key field that no client fills any more.
pub(super) const FAST_RATCHET_DISTRIBUTION: u32 = 15;
pub(super) const LIVE_LOCATION: u32 = 18;
pub(super) const STICKER: u32 = 26;
pub(super) const GROUP_INVITE: u32 = 28;
pub(super) const PRODUCT: u32 = 30;
pub(super) const DEVICE_SENT: u32 = 31;
pub(super) const CONTEXT_INFO: u32 = 35;
pub(super) const LIST: u32 = 36;
pub(super) const ORDER: u32 = 38;
pub(super) const LIST_RESPONSE: u32 = 39;
pub(super) const BUTTONS_RESPONSE: u32 = 43;
pub(super) const REACTION: u32 = 46;
pub(super) const INTERACTIVE_RESPONSE: u32 = 48;
pub(super) const POLL_CREATION: u32 = 49;
pub(super) const POLL_UPDATE: u32 = 50;
pub(super) const KEEP: u32 = 51;
pub(super) const ENC_REACTION: u32 = 56;
pub(super) const EDITED: u32 = 58;
pub(super) const POLL_CREATION_V2: u32 = 60;
pub(super) const PIN: u32 = 63;
pub(super) const POLL_CREATION_V3: u32 = 64;
pub(super) const VIDEO_NOTE: u32 = 66;
pub(super) const HISTORY_BUNDLE: u32 = 70;
pub(super) const EVENT: u32 = 75;
pub(super) const ENC_EVENT_RESPONSE: u32 = 76;
pub(super) const SECRET_ENCRYPTED: u32 = 82;
pub(super) const STICKER_PACK: u32 = 86;
pub(super) const HISTORY_NOTICE: u32 = 102;
pub(super) const POLL_CREATION_V5: u32 = 111;
pub(super) const POLL_CREATION_V6: u32 = 119;
pub(super) const CONDITIONAL_REVEAL: u32 = 120;
pub(super) const POLL_ADD_OPTION: u32 = 121;

/// Wrappers whose content is field 1: old ephemeral, three of view-once, captioned document, group mention, bot prompt,
/// animated sticker, album child, poll and event images, group and status posts, questions, spoilers, and the like.
pub(super) const WRAPPERS: [u32; 21] =
    [37, 40, 53, 55, 59, 62, 67, 74, 85, 87, 90, 91, 92, 93, 95, 96, 99, 101, 103, 106, 118];
/// Wrappers of newsletter profiles, likewise.
pub(super) const PROFILE_WRAPPERS: [u32; 2] = [116, 126];
/// The wrappers among them that announce a view-once medium.
pub(super) const VIEW_ONCE_WRAPPERS: [u32; 3] = [37, 55, 59];
/// Where a wrapper has its content, and where the copy for own devices has it.
pub(super) const WRAPPED: u32 = 1;
pub(super) const DEVICE_SENT_MESSAGE: u32 = 2;
/// The secret in the context info.
pub(super) const MESSAGE_SECRET: u32 = 3;
