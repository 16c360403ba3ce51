//! An async client for WhatsApp's multi-device protocol on tokio.

#[cfg(feature = "relay")]
mod clock;
pub mod content;
#[cfg(feature = "relay")]
pub mod relay;
pub mod transport;
