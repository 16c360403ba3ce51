//! `encrypt`: how many keys are left, uploading and fetching them, comparing, rotating.

use super::{Answer, Request, done, error, one};
use crate::binary::Node;
use crate::relay::Relay;
use crate::relay::bundle::{Bundle, OneTimeKey, SignedKey};
use crate::relay::directory::{DeviceId, Namespace};
use crate::relay::event::RelayEvent;
use crate::relay::phone::signed_by;
use crate::relay::wire::Look;
use crate::types::{Jid, Now};

impl Relay {
    pub(super) fn answer_key_query(&mut self, now: Now, request: &Request<'_>) -> Answer {
        let own = request.origin.device;
        if request.child("count").is_some() {
            let count = self.directory.companion(own).map_or(0, |companion| companion.bundle.count());
            return one(Node::new("count").with("value", count.to_string()));
        }
        if request.child("digest").is_some() {
            let bundle = &self.directory.companion(own).ok_or(404_u16)?.bundle;
            if !bundle.uploaded {
                return Err(404);
            }
            return one(digest(bundle));
        }
        let Some(asked) = request.child("key") else { return Err(400) };
        let users: Vec<Jid> = asked
            .children()
            .iter()
            .filter(|user| user.is("user"))
            .filter_map(|user| user.jid("jid"))
            .take(self.config.limits.users)
            .collect();
        let mut list = Node::new("list");
        for jid in users {
            list = list.with_child(self.fetched(now, &jid));
        }
        one(list)
    }

    /// One device's keys as handed to a peer; takes one of its one-time keys away.
    pub(in crate::relay) fn fetched(&mut self, now: Now, jid: &Jid) -> Node {
        let user = Node::new("user").with("jid", jid.clone());
        let Some(device) = self.directory.device(jid) else { return user.with_child(error(406)) };
        if let Some(code) = self.faults.bundle_error(|broken| self.directory.device(broken) == Some(device)) {
            return user.with_child(error(code));
        }
        let user = user.with("t", now.unix_seconds().to_string());
        if device.number == 0 {
            return match self.directory.account(device.account) {
                Some(account) => with_keys(user, &account.phone.bundle, None),
                None => user.with_child(error(406)),
            };
        }
        let Some(companion) = self.directory.companion_mut(device) else { return user.with_child(error(406)) };
        let one_time = companion.bundle.take();
        let node = with_keys(user, &companion.bundle, one_time)
            .with_child(Node::new("device-identity").with_bytes(companion.identity.to_vec()));
        self.tell_low_keys(now, device);
        node
    }

    /// Tells a device that few of its one-time keys are left, where that is so.
    fn tell_low_keys(&mut self, now: Now, device: DeviceId) {
        let low = self.config.low_prekeys;
        let Some(companion) = self.directory.companion_mut(device) else { return };
        if !companion.bundle.wants_notice(now.mono, low) {
            return;
        }
        let count = Node::new("count").with("value", companion.bundle.count().to_string());
        self.notify(now, device, "encrypt", Jid::server_itself(), |node| node.with_child(count));
    }

    pub(super) fn answer_key_upload(&mut self, request: &Request<'_>) -> Answer {
        let limit = self.config.limits.prekeys;
        let companion = self.directory.companion_mut(request.origin.device).ok_or(401_u16)?;
        let bundle = &mut companion.bundle;
        if let Some(rotate) = request.child("rotate") {
            let key = rotate.child("skey").and_then(signed_key).ok_or(400_u16)?;
            if !signed_by(&bundle.identity, &key) {
                return Err(409);
            }
            let [high, middle, low] = key.id;
            bundle.signed = key;
            if let Some(by) = self.directory.address(request.origin.device, Namespace::Pn) {
                let id = u32::from_be_bytes([0, high, middle, low]);
                self.tell(RelayEvent::SignedKeyRotated { by, id });
            }
            return done();
        }
        let registration = request.child("registration").and_then(Look::array::<4>).ok_or(400_u16)?;
        let identity = request.child("identity").and_then(Look::array::<32>).ok_or(400_u16)?;
        let signed = request.child("skey").and_then(signed_key).ok_or(400_u16)?;
        let list = request.child("list").ok_or(400_u16)?;
        let keys: Option<Vec<OneTimeKey>> =
            list.children().iter().filter(|node| node.is("key")).map(one_time_key).collect();
        let keys = keys.ok_or(400_u16)?;
        // The account signed exactly one identity for this device; another one would fail at every peer.
        if identity != bundle.identity {
            return Err(406);
        }
        if !signed_by(&identity, &signed) {
            return Err(409);
        }
        bundle.registration = registration;
        bundle.signed = signed;
        let count = keys.len();
        let replaced = bundle.add(keys, limit);
        if let Some(by) = self.directory.address(request.origin.device, Namespace::Pn) {
            self.tell(RelayEvent::KeysUploaded { by, count, replaced });
        }
        done()
    }
}

fn with_keys(user: Node, bundle: &Bundle, one_time: Option<OneTimeKey>) -> Node {
    let user = user
        .with_child(Node::new("registration").with_bytes(bundle.registration.to_vec()))
        .with_child(Node::new("type").with_bytes(vec![KEY_TYPE]))
        .with_child(Node::new("identity").with_bytes(bundle.identity.to_vec()))
        .with_child(skey(&bundle.signed));
    match one_time {
        Some(key) => user.with_child(
            Node::new("key")
                .with_child(Node::new("id").with_bytes(key.id.to_vec()))
                .with_child(Node::new("value").with_bytes(key.value.to_vec())),
        ),
        None => user,
    }
}

fn digest(bundle: &Bundle) -> Node {
    let mut list = Node::new("list");
    for id in bundle.ids() {
        list = list.with_child(Node::new("id").with_bytes(id.to_vec()));
    }
    Node::new("digest")
        .with_child(Node::new("registration").with_bytes(bundle.registration.to_vec()))
        .with_child(Node::new("type").with_bytes(vec![KEY_TYPE]))
        .with_child(Node::new("identity").with_bytes(bundle.identity.to_vec()))
        .with_child(skey(&bundle.signed))
        .with_child(list)
        .with_child(Node::new("hash").with_bytes(bundle.digest().to_vec()))
}

fn skey(key: &SignedKey) -> Node {
    Node::new("skey")
        .with_child(Node::new("id").with_bytes(key.id.to_vec()))
        .with_child(Node::new("value").with_bytes(key.value.to_vec()))
        .with_child(Node::new("signature").with_bytes(key.signature.to_vec()))
}

fn signed_key(node: &Node) -> Option<SignedKey> {
    Some(SignedKey {
        id: node.child("id")?.array()?,
        value: node.child("value")?.array()?,
        signature: node.child("signature")?.array()?,
    })
}

fn one_time_key(node: &Node) -> Option<OneTimeKey> {
    Some(OneTimeKey { id: node.child("id")?.array()?, value: node.child("value")?.array()? })
}

/// Says "Curve25519" in front of all keys of a bundle.
const KEY_TYPE: u8 = 5;
