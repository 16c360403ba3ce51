//! How a client is, as numbers for a monitor.

use super::Stage;

/// How a client is at one moment. Reading it costs nothing and changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// How far the connection is.
    pub phase: ConnectionPhase,
    /// Whether the client is to be connected: `connect` was called, and nothing has ended that since.
    pub wanted: bool,
    /// When the client connects again by itself, on the monotonic clock in milliseconds.
    pub reconnect_at: Option<u64>,
    /// Connections that were lost or not made since the last one that lasted.
    pub failures: u32,
    /// Milliseconds since the last bytes came in on this connection.
    pub heard_ms: Option<u64>,
    /// How long the oldest work of a stage has been waiting, in milliseconds; stages without any are absent.
    pub waiting_ms: Vec<(Stage, u64)>,
    /// Stages that are stalled.
    pub stalled: Vec<Stage>,
    /// Whether the server still delivers what waited while this device was offline.
    pub is_draining: bool,
    /// Durable events that the application has not handled.
    pub inbox: usize,
    /// Accepted sends that the server has not acknowledged.
    pub outbox: usize,
    /// Stanzas that came and were not worked off.
    pub stanzas_waiting: usize,
    /// Requests that the server has not answered.
    pub requests: usize,
    /// Bytes of records held in memory.
    pub cached_bytes: usize,
    /// Bytes that wait to be durable.
    pub waiting_bytes: usize,
    /// Version that the newest connection announced, or the next one will.
    pub version: [u32; 3],
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionPhase {
    /// There is none.
    Down,
    /// The host is making one.
    Opening,
    /// The server has not said yet what it makes of this client.
    Handshake,
    /// Codes for linking are offered.
    Linking,
    /// Logged in; the server was not told yet to deliver.
    LoggedIn,
    /// Messages flow.
    Ready,
    /// The host is closing it.
    Closing,
}
