//! A sans-IO core for WhatsApp's multi-device web protocol.

#![forbid(unsafe_code)]

pub mod api;
pub mod app_state;
pub mod binary;
pub mod crypto;
pub mod media;
pub mod message;
pub mod noise;
pub mod pairing;
#[cfg(feature = "relay")]
pub mod relay;
pub mod signal;
pub mod stanza;
pub mod types;
