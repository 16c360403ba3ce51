//! What a host decides when it makes a client.

/// Everything that is fixed when a client is made.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Config {
    /// Constants that change with the server's releases.
    pub profile: ProtocolProfile,
    /// Where growth stops.
    pub limits: Limits,
}

/// Constants of the protocol that change with time or between the production service and a relay. Run-time data, so
/// that "client outdated" is cured without a new build.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProtocolProfile {
    /// WebSocket URL of the service.
    pub url: String,
    /// `Origin` header of the upgrade request.
    pub origin: String,
    /// Version announced at login: primary, secondary, tertiary.
    pub version: [u32; 3],
    /// Public key that the server's certificate chain must lead to.
    pub root_key: [u8; 32],
    /// Serial number that the intermediate certificate must name as its issuer.
    pub root_serial: u32,
    /// What the phone shows as the name of the operating system of this companion.
    pub os: String,
    /// What the phone shows as the kind of this companion.
    pub platform: Platform,
    /// Language and country announced at login, ISO 639-1 and ISO 3166-1 alpha-2.
    pub locale: [String; 2],
}

impl Default for ProtocolProfile {
    fn default() -> Self {
        Self {
            url: "wss://web.whatsapp.com/ws/chat".into(),
            origin: "https://web.whatsapp.com".into(),
            version: [2, 3000, 1_045_649_367],
            root_key: PRODUCTION_ROOT_KEY,
            root_serial: 0,
            os: "whatsio".into(),
            platform: Platform::Chrome,
            locale: ["en".into(), "US".into()],
        }
    }
}

/// Root of the production certificate chain: the constant in published clients.
const PRODUCTION_ROOT_KEY: [u8; 32] = [
    0x14, 0x23, 0x75, 0x57, 0x4d, 0x0a, 0x58, 0x71, 0x66, 0xaa, 0xe7, 0x1e, 0xbe, 0x51, 0x64, 0x37, 0xc4, 0xa2, 0x8b,
    0x73, 0xe3, 0x69, 0x5c, 0x6c, 0xe1, 0xf7, 0xf9, 0x54, 0x5d, 0xa8, 0xee, 0x6b,
];

/// What kind of companion the phone shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Platform {
    /// A Chrome browser.
    Chrome,
    /// A Firefox browser.
    Firefox,
    /// A Safari browser.
    Safari,
    /// An Edge browser.
    Edge,
    /// A desktop application.
    Desktop,
    /// Something else.
    Other,
}

/// Where growth stops, and what happens there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of records kept in memory; clean ones are dropped, least recently used first, and loaded again on need.
    pub cache_bytes: usize,
    /// Durable events not yet handled; at this number the client stops reading the socket.
    pub inbox_events: usize,
    /// Accepted sends not yet acknowledged by the server; at this number `send_message` answers `Full`.
    pub outbox_pending: usize,
    /// Sends whose plaintext is kept after the acknowledgement, to answer retry receipts.
    pub outbox_kept: usize,
    /// How long such plaintext is kept, in milliseconds.
    pub outbox_kept_ms: u64,
    /// Sends whose ids are remembered after their plaintext is gone, to tell what has expired from what never was sent.
    pub outbox_remembered: usize,
    /// Times that one message is sent again to one device; counted here, whatever the device says.
    pub resends_per_device: u32,
    /// Times that messages of one chat are sent again in a row, to all devices together; more must wait. Kept over
    /// restarts.
    pub resends_per_chat: u32,
    /// After this long, in milliseconds, one more message of a chat may be sent again.
    pub resend_refill_ms: u64,
    /// Messages in a row that the phone is asked for because they could not be read here; more must wait. Kept over
    /// restarts.
    pub placeholders: u32,
    /// After this long, in milliseconds, the phone may be asked for one more.
    pub placeholder_refill_ms: u64,
    /// Bytes of one outgoing message's content.
    pub message_bytes: usize,
    /// Inbound stanzas waiting to be processed; at this number the client stops reading the socket.
    pub stanzas_waiting: usize,
    /// When waiting is called a stall.
    pub stalls: StallLimits,
}

/// How long each [`Stage`](super::Stage) may wait, in milliseconds, before
/// [`Stalled`](super::Event::Stalled) is told. That is all that happens at these limits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StallLimits {
    /// The host has not made or closed a connection. Longer than hosts try.
    pub socket_ms: u64,
    /// The server has not answered. Shorter than the 20 seconds after which a silent connection is given up.
    pub server_ms: u64,
    /// The first waiting stanza has not been worked off.
    pub processing_ms: u64,
    /// The store has not answered.
    pub store_ms: u64,
    /// The application has not handled a durable event.
    pub application_ms: u64,
    /// Nothing more of the offline queue has come, and not its end. A peer waits as long.
    pub offline_queue_ms: u64,
}

impl Default for StallLimits {
    fn default() -> Self {
        Self {
            socket_ms: 60_000,
            server_ms: 10_000,
            processing_ms: 30_000,
            store_ms: 10_000,
            application_ms: 60_000,
            offline_queue_ms: 60_000,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cache_bytes: 1 << 20,
            inbox_events: 1024,
            outbox_pending: 1000,
            outbox_kept: 1000,
            outbox_kept_ms: 14 * 24 * 3600 * 1000,
            outbox_remembered: 10_000,
            resends_per_device: 5,
            resends_per_chat: 60,
            resend_refill_ms: 10_000,
            placeholders: 200,
            placeholder_refill_ms: 60_000,
            message_bytes: 1 << 20,
            stanzas_waiting: 256,
            stalls: StallLimits::default(),
        }
    }
}
