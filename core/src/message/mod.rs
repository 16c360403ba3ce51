//! What is inside a ciphertext, and what a stanza must say of it.
//!
//! Owns padding, the copy for own devices, secrets and what is encrypted under them, tokens, hashes over recipients, the
//! classification of content, and builders and readers of text. Works on encoded messages wherever it can: a message is
//! never decoded whole to act on a few of its fields, nor encoded anew to be wrapped. Knows neither sessions nor stanzas.

mod classify;
mod contact_token;
mod content;
mod control;
mod device_sent;
mod field;
mod lid_mapping;
mod padding;
mod phash;
mod reporting;
mod scan;
mod secret;
#[cfg(test)]
mod tests;

pub use classify::{Classification, Edit, EventPart, PollPart, StanzaType};
pub use contact_token::{TOKEN_BUCKET_SECONDS, cs_token, is_contact_token_due, is_contact_token_valid};
pub use content::{Quote, Text, content_of, context_of, edit, mentions_of, quoted_id_of, reaction, revoke, text_of};
pub use control::{Control, Found, Wanted, placeholder_answer, placeholder_request};
pub use device_sent::{unwrap_device_sent, wrap_device_sent};
pub use lid_mapping::{LID_MAPPING_SYNC, LidMapping, lid_mappings};
pub use padding::{PaddingError, pad, pad_with, unpad};
pub use phash::{phash, phash_of_sorted};
pub use reporting::{is_reportable, reporting_extract, reporting_key, reporting_token};
pub use scan::{DeviceSent, GroupKeyPart, Protocol, ScanError, Scanned};
pub use secret::{AddOn, BotAnswer, MessageSecret, Sealed, UseCase, poll_option_hash};
