//! A relay on real ports: the server's half of the protocol for tests, demonstrations and self-hosting.
//!
//! The protocol is the core's `relay::Relay`; here are sockets, TLS with a certificate of its own, and a control API
//! over HTTP that plays the phone. Nothing is persisted: a relay forgets everything when it ends.

mod admin;
mod brain;
mod certificate;
mod server;
mod upgrade;

pub use brain::{RelayHandle, RelayStopped};
pub use server::{BindError, RelayOptions, RelayServer};
pub use whatsio_core::relay::{
    AccountSummary, Cut, Cutting, DeviceSummary, Faults, LinkingFault, Relay, RelayConfig, RelayEvent, RelayLimits,
    RequestFault, ScanError,
};
