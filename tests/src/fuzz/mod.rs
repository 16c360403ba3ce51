//! Fuzz targets as ordinary functions: each takes any bytes, and panics only where there is something to mend.
//!
//! `tests/fuzz` feeds them under coverage guidance, `tests/tests/corpora.rs` feeds them what was found and kept. They know
//! nothing of either.

pub mod app_state;
pub mod client;
pub mod frame;
pub mod group;
pub mod node;
pub mod noise;
pub mod pairing;
pub mod proto;
pub mod qr;
pub mod record;
pub mod relay;
pub mod script;
pub mod server;
pub mod session;

/// Takes any bytes; a panic is a finding.
pub type Target = fn(&[u8]);

/// Every target, by the name of its corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("app_state", app_state::run),
    ("client", client::run),
    ("frame", frame::run),
    ("group", group::run),
    ("node", node::run),
    ("noise_client", noise::client),
    ("noise_server", noise::server),
    ("pairing", pairing::run),
    ("proto", proto::run),
    ("qr", qr::run),
    ("record", record::run),
    ("relay", relay::run),
    ("session", session::run),
    ("store", client::damaged_store),
];
