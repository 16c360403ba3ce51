//! What a relay allows, how it paces itself and which limits it keeps. Plain data; knows nothing of the protocol's state.

use super::webauthn::RelyingParty;

/// The knobs of a [`Relay`](super::Relay). `RelayConfig::default()` behaves like the production server as far as peers can tell.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RelayConfig {
    /// Clients older than this (major, minor, build) are refused with 405. `None` accepts every version.
    pub minimum_version: Option<(u32, u32, u32)>,
    /// Companions that one account may have beside its phone.
    pub max_companions: usize,
    /// Answer an IK hello with IK; otherwise it falls back to XX on the same socket.
    pub accept_ik: bool,
    /// The number given to the first account that is made without naming one; later ones count up.
    pub first_phone_number: u64,
    /// Queued stanzas sent at login before the client has asked for more with `offline_batch`.
    pub offline_credit: u32,
    /// Milliseconds after which the rest of the queue is sent to a client that never asks for more.
    pub offline_patience: u64,
    /// Milliseconds that each step of the handshake may take.
    pub handshake_timeout: u64,
    /// Milliseconds that a registration stream stays open, and with it its QR references.
    pub registration_timeout: u64,
    /// Milliseconds of silence after which a logged-in connection is taken for dead.
    pub silence_timeout: u64,
    /// Milliseconds between server pings; `None` sends none. Missing answers are never held against a client.
    pub ping_interval: Option<u64>,
    /// Milliseconds between the last stanza (a failure, a stream error) and the closing of the socket.
    pub close_delay: u64,
    /// Milliseconds between the companion's answer to its linking and the stream error 515. A client that restarts by
    /// itself after linking takes one that comes sooner for a logout.
    pub restart_delay: u64,
    /// A device whose one-time keys fall below this is told so.
    pub low_prekeys: usize,
    /// For whom the passkeys of accounts are that need one.
    pub relying_party: RelyingParty,
    /// Milliseconds that a linking may take which needs a passkey.
    pub passkey_timeout: u64,
    /// Media hosts (`host` or `host:port`) named to clients that ask where to upload.
    pub media_hosts: Vec<String>,
    /// Tell of every stanza that passes a logged-in connection ([`RelayEvent::Overheard`](super::RelayEvent)).
    pub overhear: bool,
    /// Limits on everything that can grow.
    pub limits: RelayLimits,
}

/// Limits on everything in a relay that can grow. At a limit the newcomer is refused, unless said otherwise.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RelayLimits {
    /// Connections open at once.
    pub links: usize,
    /// Accounts.
    pub accounts: usize,
    /// Stanzas queued for one device; the oldest give way.
    pub queue_items: usize,
    /// Bytes (of content) queued for one device; the oldest give way.
    pub queue_bytes: usize,
    /// Milliseconds that a stanza waits for its device before it is dropped.
    pub queue_age: u64,
    /// One-time keys stored for one device; the oldest give way.
    pub prekeys: usize,
    /// Bytes in one ciphertext of a message.
    pub enc_bytes: usize,
    /// Devices addressed by one message.
    pub participants: usize,
    /// Message ids remembered per account against duplicates; the oldest give way.
    pub remembered_ids: usize,
    /// Users in one query, in a block list, in the contacts of an account, or watched by one connection.
    pub users: usize,
    /// Patches kept per app-state collection.
    pub patches: usize,
    /// Bytes in one frame after the handshake.
    pub frame_bytes: usize,
    /// Counters of ciphertexts remembered to find one that was used twice; 0 looks at none.
    pub counters: usize,
}

impl Default for RelayConfig {
    fn default() -> Self {
        Self {
            minimum_version: None,
            max_companions: 4,
            accept_ik: true,
            first_phone_number: 15_550_100_001,
            offline_credit: 100,
            offline_patience: 1_000,
            handshake_timeout: 20_000,
            registration_timeout: 170_000,
            silence_timeout: 90_000,
            ping_interval: None,
            close_delay: 75,
            restart_delay: 300,
            // Two peers ignore a notice with a count of 5 or more.
            low_prekeys: 5,
            relying_party: RelyingParty::default(),
            // What production was seen to give.
            passkey_timeout: 600_000,
            media_hosts: vec!["127.0.0.1".to_owned()],
            overhear: false,
            limits: RelayLimits::default(),
        }
    }
}

impl Default for RelayLimits {
    fn default() -> Self {
        Self {
            links: 4_096,
            accounts: 10_000,
            queue_items: 10_000,
            queue_bytes: 64 << 20,
            queue_age: 30 * 24 * 3_600 * 1_000,
            prekeys: 4_096,
            enc_bytes: 256 << 10,
            participants: 10_000,
            remembered_ids: 2_000,
            users: 5_000,
            patches: 5_000,
            frame_bytes: 4 << 20,
            counters: 0,
        }
    }
}
