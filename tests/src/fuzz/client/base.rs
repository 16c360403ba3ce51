//! What every run starts from: an account that has talked with a peer, made once.

use super::super::server::Keys;
use crate::puppet::Puppet;
use crate::world::{World, text_content};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::LazyLock;
use whatsio_core::api::{Config, Key, ProtocolProfile, Record};
use whatsio_core::binary::Node;
use whatsio_core::client::Client;
use whatsio_core::crypto::KeyPair;
use whatsio_core::signal::{Archive, Session};
use whatsio_core::types::Jid;

/// The account, and what its peer and server need to talk with it.
pub(super) struct Base {
    pub(super) store: BTreeMap<Key, Record>,
    /// Keys of what is stored, those of which there are many last.
    pub(super) order: Vec<Key>,
    pub(super) me: Jid,
    pub(super) lid: Option<Jid>,
    pub(super) peer: Jid,
    pub(super) session: (Session, Archive),
    pub(super) identity: KeyPair,
    pub(super) statement: Option<Bytes>,
    pub(super) bundle: Node,
    pub(super) keys: Keys,
}

/// An account that has talked with a peer, as a small world made it.
pub(super) static BASE: LazyLock<Base> = LazyLock::new(|| {
    let mut world = World::new(7);
    let a = world.add_linked(None);
    let b = world.add_linked(None);
    let (a_pn, b_pn) = (world.pn(a), world.pn(b));
    let me = world.host(a).client.identity().expect("linked");
    let mut puppet = Puppet::planted(&mut world, &b_pn, 9);
    puppet.send(&mut world, &me.jid, "3EB0AA01", &text_content("one"));
    world.settle();
    world.send(a, &b_pn, "two");
    world.send(b, &a_pn, "three");
    world.settle();
    puppet.mail(&mut world);
    puppet.send(&mut world, &me.jid, "3EB0AA02", &text_content("four"));
    world.settle();
    world.pass_ms(2_000);
    let bundle = world.relay.hand_out(world.now, &puppet.jid);
    let session = puppet.session_with(&world, &me.jid).expect("they have talked");
    let store = world.host(a).store.clone();
    let mut order: Vec<Key> = store.keys().cloned().collect();
    order.sort_by_key(|key| (key.space == whatsio_core::api::Space::PreKey, key.clone()));
    Base {
        store,
        order: order.into_iter().take(64).collect(),
        me: me.jid,
        lid: me.lid,
        peer: puppet.jid.clone(),
        session,
        identity: puppet.keys.identity.clone(),
        statement: puppet.statement.clone(),
        bundle,
        keys: Keys::fixed(),
    }
});

/// What a restore is given of a store.
pub(super) fn roots(store: &BTreeMap<Key, Record>) -> Vec<(Key, Option<Record>)> {
    Client::root_keys().into_iter().map(|key| (key.clone(), store.get(&key).cloned())).collect()
}

pub(super) fn config() -> Config {
    let mut profile = ProtocolProfile::default();
    profile.root_key = BASE.keys.root_key();
    let mut config = Config::default();
    config.profile = profile;
    // Small, so that limits are met.
    config.limits.cache_bytes = 64 << 10;
    config.limits.inbox_events = 8;
    config.limits.outbox_pending = 4;
    config.limits.outbox_kept = 4;
    config.limits.outbox_remembered = 8;
    config.limits.stanzas_waiting = 4;
    config.limits.message_bytes = 1 << 10;
    config
}
