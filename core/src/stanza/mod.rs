//! Stanzas: one file per family, typed in, typed out. After this module nobody reads attributes by name.
//!
//! What comes in is read by [`Incoming::parse`]; what goes out writes itself. Nothing here acts: when something is
//! sent, what it means for the account and which answers are due is decided elsewhere.

mod ack;
mod call;
mod connection;
mod devices;
mod enc;
mod error;
mod ib;
mod incoming;
mod iq;
mod link_code;
mod login;
mod message;
mod notification;
mod outgoing;
mod pairing;
mod passkey;
mod prekey;
mod presence;
mod read;
mod receipt;
mod restriction;
mod settings;
mod tokens;
mod usync;
mod word;

pub use ack::{Ack, IncomingAck, NackReason, ReturnAddress};
pub use call::{IncomingCall, RejectCall};
pub use connection::{CleanDirty, Delivery, Ping};
pub use devices::{KeyIndexList, ListedDevice, NamedDevice};
pub use enc::{Ciphertext, EncKind};
pub use error::StanzaError;
pub use ib::{InfoBroadcast, OfflineBatch, OfflinePreview, UnifiedSession};
pub use incoming::{Incoming, ServerRequest, ServerRequestKind};
pub use iq::{Answer, EmptyResult, IqError, Refusal, Request, Stanza};
pub use link_code::{CompanionFinish, CompanionHello, LinkCodeNotice};
pub use login::{Failure, StreamError, StreamErrorCause, Success};
pub use message::{Addressing, Alternates, BotInfo, Edit, IncomingEnc, IncomingMessage, Unavailable};
pub use notification::{
    DeviceChange, DeviceChangeKind, Notification, NotificationKind, NumberChange, OwnDevices, PrivacyToken,
};
pub use outgoing::{ContactToken, Meta, OutgoingMessage, PeerMessage, PushPriority, ResentMessage};
pub use pairing::{PairDevice, PairDeviceSign, PairSuccess, RemoveCompanionDevice};
pub use passkey::{
    CompanionNonce, EncryptedPairing, FetchPasskeyOptions, FetchPasskeyReference, PasskeyNotice, PasskeyPrologue,
};
pub use prekey::{
    BundleError, Digest, FetchBundles, FetchReason, PreKeyBundle, PreKeyBundles, PreKeyCount, PreKeyDigest,
    PreKeyUpload, PublicPreKey, PublicSignedPreKey, RotateSignedPreKey,
};
pub use presence::{ChatState, IncomingChatState, IncomingPresence, LastSeen, Presence, PresenceSubscription, Typing};
pub use receipt::{IncomingReceipt, Reader, Receipt, ReceiptType, RetryKeys, RetryReceipt, RetryRequest};
pub use restriction::{AccountRestriction, RestrictionQuery};
pub use settings::{BlockedUser, Blocklist, BlocklistQuery, PrivacyQuery, PrivacySettings, Props, PropsQuery};
pub use tokens::IssueToken;
pub use usync::{
    DeviceAnswer, DeviceList, DeviceLists, DeviceQuery, KnownDevices, QueriedUser, QueryContext, UserDevices,
};

use prekey::KEY_TYPE;

/// `Debug` that shows nothing but the type: for stanzas that carry names, keys or contents.
macro_rules! opaque_debug {
    ($($name:ident),* $(,)?) => {$(
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    )*};
}
use opaque_debug;

#[cfg(test)]
mod tests;
