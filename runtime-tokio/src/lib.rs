//! An async client for WhatsApp's multi-device protocol on tokio.

pub mod content;
pub mod transport;
