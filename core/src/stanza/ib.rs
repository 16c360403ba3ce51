//! Information broadcasts: what the server tells a connection, and the little a client tells it the same way.

use super::{Stanza, read, word as w};
use crate::binary::{NodeRef, Writer};
use bytes::Bytes;
use smol_str::SmolStr;

/// Something the server tells this connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InfoBroadcast {
    /// What is queued for this device, before it is delivered.
    OfflinePreview(OfflinePreview),
    /// Everything that was queued has been delivered.
    Offline {
        /// Number of stanzas.
        count: u64,
    },
    /// The part of it that could not wait has been delivered.
    OfflinePriorityComplete,
    /// What to send in front of the next connection.
    EdgeRouting {
        /// Opaque; empty means nothing new.
        routing_info: Bytes,
        /// Where to connect, if not as usual.
        dns_domain: Option<SmolStr>,
    },
    /// Data that this client has is out of date.
    Dirty {
        /// Which, in the server's word.
        kind: SmolStr,
        /// To be repeated when it has been refetched.
        timestamp: Option<u64>,
    },
    /// The phone was linked by a method that is no longer served.
    DowngradeWebclient,
    /// This version of the client will be refused from then on.
    ClientExpiration {
        /// Seconds since 1970.
        time: Option<u64>,
    },
    /// Something this version does not know.
    Other {
        /// The server's word.
        tag: SmolStr,
    },
}

/// How much is queued for a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct OfflinePreview {
    /// All stanzas.
    pub count: u64,
    /// Messages.
    pub messages: u64,
    /// Receipts.
    pub receipts: u64,
    /// Notifications.
    pub notifications: u64,
    /// App data.
    pub app_data: u64,
    /// Calls.
    pub calls: u64,
}

impl InfoBroadcast {
    /// Everything that one `ib` says.
    pub(super) fn parse(node: NodeRef<'_>) -> Vec<Self> {
        node.children().map(Self::parse_child).collect()
    }

    fn parse_child(node: NodeRef<'_>) -> Self {
        if node.is(w::OFFLINE_PREVIEW) {
            let count = |key| node.number(key).unwrap_or(0);
            return Self::OfflinePreview(OfflinePreview {
                count: count(w::COUNT),
                messages: count(w::MESSAGE),
                receipts: count(w::RECEIPT),
                notifications: count(w::NOTIFICATION),
                app_data: count(w::APPDATA),
                calls: count(w::CALL),
            });
        }
        if node.is(w::OFFLINE) {
            return Self::Offline { count: node.number(w::COUNT).unwrap_or(0) };
        }
        if node.is(w::OFFLINE_PRIORITY_COMPLETE) {
            return Self::OfflinePriorityComplete;
        }
        if node.is(w::EDGE_ROUTING) {
            let dns_domain = node.child(w::DNS_DOMAIN).and_then(|domain| domain.content_text().map(SmolStr::from));
            let routing_info = read::child_bytes(node, w::ROUTING_INFO).unwrap_or_default();
            return Self::EdgeRouting { routing_info, dns_domain };
        }
        if node.is(w::DIRTY) {
            let kind = read::text(node, w::TYPE).unwrap_or_default();
            return Self::Dirty { kind, timestamp: node.number(w::TIMESTAMP) };
        }
        if node.is(w::DOWNGRADE_WEBCLIENT) {
            return Self::DowngradeWebclient;
        }
        if node.is(w::CLIENT_EXPIRATION) {
            return Self::ClientExpiration { time: node.number(w::T) };
        }
        Self::Other { tag: node.tag().into() }
    }
}

/// Asks for more of what is queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfflineBatch {
    /// How many stanzas.
    pub count: u32,
}

impl Stanza for OfflineBatch {
    fn write(&self, out: &mut Writer) {
        out.open(w::IB);
        out.open(w::OFFLINE_BATCH);
        out.number(w::COUNT, self.count.into());
        out.close();
        out.close();
    }
}

/// Names the session for the server's statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnifiedSession {
    id: u64,
}

impl UnifiedSession {
    /// The name at this time, in milliseconds since 1970 by the server's clock: where in a week that starts three days
    /// off the time is.
    #[must_use]
    pub const fn at(server_unix_millis: u64) -> Self {
        const DAY: u64 = 24 * 3600 * 1000;
        Self { id: server_unix_millis.wrapping_add(3 * DAY) % (7 * DAY) }
    }
}

impl Stanza for UnifiedSession {
    fn write(&self, out: &mut Writer) {
        out.open(w::IB);
        out.open(w::UNIFIED_SESSION);
        out.number(w::ID, self.id);
        out.close();
        out.close();
    }
}
