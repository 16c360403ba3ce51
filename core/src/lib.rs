//! A sans-IO core for WhatsApp's multi-device web protocol.

#![forbid(unsafe_code)]

pub mod api;
pub mod types;
