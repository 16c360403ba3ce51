//! The actions: which collection each belongs to, its version and value, and the elements of its index.

use super::{Collection, Index};
use Collection::{CriticalBlock, CriticalUnblockLow, Regular, RegularHigh, RegularLow};

/// What is fixed about an action, as the newest web client has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActionSpec {
    /// The first element of its index.
    pub name: &'static str,
    /// The collection that it is written to.
    pub collection: Collection,
    /// The version it is written with; `None` where no newest client writes it. A reader may leave an action of a
    /// greater version alone, but never refuses it.
    pub version: Option<i32>,
    /// The field of its value; `None` for an action without one, or one that is not known.
    pub field: Option<u32>,
}

/// A message that an action is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ChatMessage<'a> {
    /// The chat's address.
    pub chat: &'a str,
    /// The message's id.
    pub id: &'a str,
    /// Whether the account's owner sent it.
    pub from_me: bool,
    /// Who sent it: an address in a group and for others' messages only, else `0`.
    pub participant: &'a str,
}

/// An entry's name, by meaning. Addresses are text without a device.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action<'a> {
    /// The account's own name.
    PushName,
    /// The account's language.
    Locale,
    /// A contact of the address book, by phone number or opaque id.
    Contact(&'a str),
    /// A contact that is known by opaque id only.
    LidContact(&'a str),
    /// A chat is muted.
    Mute(&'a str),
    /// A message is starred.
    Star(ChatMessage<'a>),
    /// A message is deleted on the account's own devices.
    DeleteForMe(ChatMessage<'a>),
    /// A chat is emptied.
    ClearChat {
        /// The chat.
        chat: &'a str,
        /// Starred messages too.
        starred: bool,
        /// Their files too.
        media: bool,
    },
    /// A chat is deleted.
    DeleteChat {
        /// The chat.
        chat: &'a str,
        /// Its files too.
        media: bool,
    },
    /// A user's status updates are muted.
    MuteStatus(&'a str),
    /// Who sees the account's status updates.
    StatusPrivacy,
    /// The favourite chats, in order.
    Favorites,
    /// The salt of [`nct_token`](super::nct_token).
    NctSalt,
    /// A chat is pinned.
    Pin(&'a str),
    /// A chat is archived.
    Archive(&'a str),
    /// A chat is marked read or unread.
    MarkRead(&'a str),
    /// Whether a new message takes a chat out of the archive.
    UnarchiveChats,
    /// Keys have expired.
    KeyExpiration,
    /// Whether times are shown in 24 hours.
    TimeFormat,
    /// A chat is locked.
    Lock(&'a str),
    /// A label is made, changed or deleted.
    Label(&'a str),
    /// A chat has a label.
    LabelChat {
        /// The label.
        label: &'a str,
        /// The chat.
        chat: &'a str,
    },
    /// A message has a label.
    LabelMessage {
        /// The label.
        label: &'a str,
        /// The chat.
        chat: &'a str,
        /// The message's id.
        id: &'a str,
    },
    /// A quick reply.
    QuickReply(&'a str),
    /// The phone number of a chat by opaque id.
    PhoneNumberOfLid(&'a str),
    /// Whether links have no preview.
    DisableLinkPreviews,
    /// Any other, or one with fewer elements than it should have.
    Other(&'a Index),
}

impl ActionSpec {
    /// Every action known here.
    pub const ALL: &'static [Self] = ALL;

    /// The action of this name; `None` for one that this version does not know.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|spec| spec.name == name)
    }
}

impl<'a> Action<'a> {
    /// What `index` names. Never fails: what is not understood is [`Action::Other`].
    #[must_use]
    pub fn of(index: &'a Index) -> Self {
        let elements: Vec<&str> = index.elements().iter().map(String::as_str).collect();
        match *elements.as_slice() {
            ["setting_pushName"] => Self::PushName,
            ["setting_locale"] => Self::Locale,
            ["contact", id] => Self::Contact(id),
            ["lid_contact", id] => Self::LidContact(id),
            ["mute", chat] => Self::Mute(chat),
            ["star", chat, id, from_me, participant] => {
                Self::Star(ChatMessage { chat, id, from_me: flag(from_me), participant })
            }
            ["deleteMessageForMe", chat, id, from_me, participant] => {
                Self::DeleteForMe(ChatMessage { chat, id, from_me: flag(from_me), participant })
            }
            ["clearChat", chat, starred, media] => Self::ClearChat { chat, starred: flag(starred), media: flag(media) },
            ["deleteChat", chat, media] => Self::DeleteChat { chat, media: flag(media) },
            ["userStatusMute", user] => Self::MuteStatus(user),
            ["status_privacy"] => Self::StatusPrivacy,
            ["favorites"] => Self::Favorites,
            ["nct_salt_sync"] => Self::NctSalt,
            ["pin_v1", chat] => Self::Pin(chat),
            ["archive", chat] => Self::Archive(chat),
            ["markChatAsRead", chat] => Self::MarkRead(chat),
            ["setting_unarchiveChats"] => Self::UnarchiveChats,
            ["sentinel"] => Self::KeyExpiration,
            ["time_format"] => Self::TimeFormat,
            ["lock", chat] => Self::Lock(chat),
            ["label_edit", label] => Self::Label(label),
            ["label_jid", label, chat] => Self::LabelChat { label, chat },
            // Two more elements, always "0".
            ["label_message", label, chat, id, ..] => Self::LabelMessage { label, chat, id },
            ["quick_reply", id] => Self::QuickReply(id),
            ["pnForLidChat", lid] => Self::PhoneNumberOfLid(lid),
            ["setting_disableLinkPreviews"] => Self::DisableLinkPreviews,
            _ => Self::Other(index),
        }
    }

    /// The entry's name, as every device writes it.
    #[must_use]
    pub fn index(&self) -> Index {
        let message =
            |name, it: &ChatMessage<'_>| Index::new(name, [it.chat, it.id, digit(it.from_me), it.participant]);
        match *self {
            Self::PushName => Index::new("setting_pushName", []),
            Self::Locale => Index::new("setting_locale", []),
            Self::Contact(id) => Index::new("contact", [id]),
            Self::LidContact(id) => Index::new("lid_contact", [id]),
            Self::Mute(chat) => Index::new("mute", [chat]),
            Self::Star(ref it) => message("star", it),
            Self::DeleteForMe(ref it) => message("deleteMessageForMe", it),
            Self::ClearChat { chat, starred, media } => Index::new("clearChat", [chat, digit(starred), digit(media)]),
            Self::DeleteChat { chat, media } => Index::new("deleteChat", [chat, digit(media)]),
            Self::MuteStatus(user) => Index::new("userStatusMute", [user]),
            Self::StatusPrivacy => Index::new("status_privacy", []),
            Self::Favorites => Index::new("favorites", []),
            Self::NctSalt => Index::new("nct_salt_sync", []),
            Self::Pin(chat) => Index::new("pin_v1", [chat]),
            Self::Archive(chat) => Index::new("archive", [chat]),
            Self::MarkRead(chat) => Index::new("markChatAsRead", [chat]),
            Self::UnarchiveChats => Index::new("setting_unarchiveChats", []),
            Self::KeyExpiration => Index::new("sentinel", []),
            Self::TimeFormat => Index::new("time_format", []),
            Self::Lock(chat) => Index::new("lock", [chat]),
            Self::Label(label) => Index::new("label_edit", [label]),
            Self::LabelChat { label, chat } => Index::new("label_jid", [label, chat]),
            Self::LabelMessage { label, chat, id } => Index::new("label_message", [label, chat, id, "0", "0"]),
            Self::QuickReply(id) => Index::new("quick_reply", [id]),
            Self::PhoneNumberOfLid(lid) => Index::new("pnForLidChat", [lid]),
            Self::DisableLinkPreviews => Index::new("setting_disableLinkPreviews", []),
            Self::Other(index) => index.clone(),
        }
    }
}

impl std::fmt::Debug for ChatMessage<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChatMessage(..)")
    }
}

/// Addresses are not shown.
impl std::fmt::Debug for Action<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Action({})", self.index().action())
    }
}

fn flag(element: &str) -> bool {
    matches!(element, "1" | "true")
}

const fn digit(flag: bool) -> &'static str {
    if flag { "1" } else { "0" }
}

/// Zero stands for none.
const fn spec(name: &'static str, collection: Collection, version: i32, field: u32) -> ActionSpec {
    let version = if version == 0 { None } else { Some(version) };
    let field = if field == 0 { None } else { Some(field) };
    ActionSpec { name, collection, version, field }
}

const ALL: &[ActionSpec] = &[
    spec("setting_pushName", CriticalBlock, 1, 7),
    spec("setting_locale", CriticalBlock, 3, 16),
    spec("setting_securityNotification", CriticalBlock, 0, 6),
    spec("generated_wui", CriticalBlock, 0, 0),
    spec("contact", CriticalUnblockLow, 2, 3),
    spec("lid_contact", CriticalUnblockLow, 1, 61),
    spec("mute", RegularHigh, 2, 4),
    spec("star", RegularHigh, 2, 2),
    spec("deleteMessageForMe", RegularHigh, 3, 18),
    spec("clearChat", RegularHigh, 6, 21),
    spec("deleteChat", RegularHigh, 6, 22),
    spec("userStatusMute", RegularHigh, 7, 29),
    spec("status_privacy", RegularHigh, 7, 44),
    spec("favorites", RegularHigh, 1, 56),
    spec("nct_salt_sync", RegularHigh, 1, 80),
    spec("ctwaPerCustomerDataSharing", RegularHigh, 1, 62),
    spec("waffle_account_link_state", RegularHigh, 1, 58),
    spec("ai_thread_delete", RegularHigh, 7, 0),
    spec("biz_ai_settings_nudge", RegularHigh, 1, 87),
    spec("wasa_root_secret", RegularHigh, 1, 89),
    spec("maiba_ai_features_control", RegularHigh, 0, 68),
    spec("status_post_opt_in_notification_preferences_action", RegularHigh, 0, 71),
    spec("private_processing_setting", RegularHigh, 0, 74),
    spec("ugc_bot", RegularHigh, 0, 43),
    spec("shared_device_allowlist", RegularHigh, 0, 94),
    spec("pin_v1", RegularLow, 5, 5),
    spec("archive", RegularLow, 3, 17),
    spec("markChatAsRead", RegularLow, 3, 20),
    spec("setting_unarchiveChats", RegularLow, 4, 23),
    spec("sentinel", RegularLow, 3, 19),
    spec("android_unsupported_actions", RegularLow, 4, 26),
    spec("time_format", RegularLow, 7, 30),
    spec("nux", RegularLow, 7, 31),
    spec("primary_version", RegularLow, 7, 32),
    spec("favoriteSticker", RegularLow, 7, 33),
    spec("removeRecentSticker", RegularLow, 7, 34),
    spec("bot_welcome_request", RegularLow, 2, 45),
    spec("lock", RegularLow, 7, 50),
    spec("setting_chatLock", RegularLow, 7, 51),
    spec("device_capabilities", RegularLow, 7, 54),
    spec("device_capabilities_v2", RegularLow, 7, 92),
    spec("note_edit", RegularLow, 7, 55),
    spec("payment_info", RegularLow, 7, 48),
    spec("custom_payment_methods", RegularLow, 7, 49),
    spec("merchant_payment_partner", RegularLow, 7, 57),
    spec("payment_tos", RegularLow, 7, 63),
    spec("ai_thread_rename", RegularLow, 7, 76),
    spec("thread_pin", RegularLow, 7, 85),
    spec("interactive_message_action", RegularLow, 1, 77),
    spec("settings_sync", RegularLow, 1, 78),
    spec("out_contact", RegularLow, 1, 79),
    spec("customer_data", RegularLow, 1, 83),
    spec("recent_emoji_weights_action", RegularLow, 0, 11),
    spec("setting_autoOrganizeBusinessChat", RegularLow, 0, 86),
    spec("coexV2Version", RegularLow, 0, 88),
    spec("lock_message", RegularLow, 0, 90),
    spec("contact_manager_metadata", RegularLow, 0, 95),
    spec("business_folder_activation", RegularLow, 0, 96),
    spec("label_edit", Regular, 3, 14),
    spec("label_jid", Regular, 3, 15),
    spec("label_message", Regular, 3, 15),
    spec("label_reordering", Regular, 3, 47),
    spec("label_sublist", Regular, 1, 91),
    spec("quick_reply", Regular, 2, 8),
    spec("deviceAgent", Regular, 7, 27),
    spec("agentChatAssignment", Regular, 7, 35),
    spec("agentChatAssignmentOpenedStatus", Regular, 7, 36),
    spec("primary_feature", Regular, 7, 24),
    spec("pnForLidChat", Regular, 8, 37),
    spec("shareOwnPn", Regular, 8, 0),
    spec("external_web_beta", Regular, 3, 40),
    spec("setting_relayAllCalls", Regular, 1, 41),
    spec("call_log", Regular, 1, 42),
    spec("delete_individual_call_log", Regular, 0, 46),
    spec("setting_disableLinkPreviews", Regular, 8, 53),
    spec("marketingMessage", Regular, 7, 38),
    spec("marketingMessageBroadcast", Regular, 7, 39),
    spec("avatar_updated_action", Regular, 7, 72),
    spec("business_broadcast_list", Regular, 1, 69),
    spec("business_broadcast_campaign", Regular, 1, 81),
    spec("business_broadcast_insights_sync", Regular, 1, 82),
    spec("subscriptions_sync_v2", Regular, 1, 84),
    spec("detected_outcomes_status_action", Regular, 1, 66),
    spec("subscription", Regular, 0, 28),
    spec("usernameChatStartMode", Regular, 0, 59),
    spec("notificationActivitySetting", Regular, 0, 60),
    spec("setting_channels_personalised_recommendation_optout", Regular, 0, 64),
    spec("music_user_id", Regular, 0, 70),
    spec("newsletter_saved_interests", Regular, 0, 75),
    spec("galaxy_flow_action", Regular, 0, 0),
    spec("broadcast_jid", Regular, 0, 0),
    spec("broadcast", Regular, 0, 0),
    spec("ctwa_message_received", Regular, 0, 93),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_action_has_one_row() {
        let names: BTreeSet<_> = ALL.iter().map(|spec| spec.name).collect();
        assert_eq!(names.len(), ALL.len());
        assert_eq!(ActionSpec::find("mute").map(|spec| (spec.collection, spec.version)), Some((RegularHigh, Some(2))));
        assert_eq!(ActionSpec::find("levitate"), None);
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        let message = ChatMessage { chat: "c", id: "i", from_me: true, participant: "0" };
        let other = Index::new("nux", ["key"]);
        let actions = [
            Action::PushName,
            Action::Contact("a"),
            Action::Mute("c"),
            Action::Star(message),
            Action::DeleteForMe(ChatMessage { from_me: false, participant: "p", ..message }),
            Action::ClearChat { chat: "c", starred: true, media: false },
            Action::DeleteChat { chat: "c", media: true },
            Action::LabelChat { label: "1", chat: "c" },
            Action::LabelMessage { label: "1", chat: "c", id: "i" },
            Action::KeyExpiration,
            Action::Other(&other),
        ];
        for action in actions {
            let index = action.index();
            assert!(ActionSpec::find(index.action()).is_some());
            assert_eq!(Action::of(&index), action);
        }
        let short = Index::new("star", ["chat"]);
        assert_eq!(Action::of(&short), Action::Other(&short));
    }
}
