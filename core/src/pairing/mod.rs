//! The signed and encrypted values that linking exchanges, for both sides: a companion that is linked and the phone that
//! links it. Pure values; knows neither stanzas nor storage nor timers, and draws no randomness of its own.

pub mod adv;
pub mod code;
pub mod key_index;
pub mod passkey;
pub mod payload;
pub mod primary;
pub mod qr;

pub use adv::{AdvError, DeviceIdentity, LinkRefusal, Linked};
pub use code::{Code, CodeError};
pub use key_index::KeyIndexList;
pub use qr::{QrCode, QrError};
