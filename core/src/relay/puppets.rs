//! Strings for tests: devices that the caller plays itself, stanzas put into mailboxes as they are, accounts that
//! register anew. Nothing in here can be reached from a connection.

use bytes::Bytes;

use super::Relay;
use super::bundle::{Bundle, SignedKey};
use super::directory::{Companion, DeviceId, Namespace};
use super::event::LinkId;
use super::link::Origin;
use super::mailbox::{Class, Mailbox};
use super::notices::Change;
use super::phone::{Hosting, Phone};
use super::wire::Look;
use crate::binary::Node;
use crate::crypto::{KeyPair, Secret};
use crate::types::{Jid, Now};

/// The keys of a phone that the caller plays, or of a companion that it has planted.
#[derive(Clone)]
pub struct PuppetKeys {
    /// The identity key pair.
    pub identity: KeyPair,
    /// The registration id.
    pub registration: u32,
    /// The number of the signed prekey.
    pub signed_id: u32,
    /// The signed prekey pair.
    pub signed: KeyPair,
}

/// No connection has this name: what is sent to it is dropped.
const NO_LINK: LinkId = LinkId(u64::MAX);

/// Key index and secrets of a planted companion are made up; the shared secret of linking is never used again.
const NO_SECRET: [u8; 32] = [0; 32];

impl Relay {
    /// Puts a stanza into a companion's mailbox exactly as it is, as a server in any state of mind could. `false` if there
    /// is no such companion or the stanza is none that is queued.
    #[must_use = "nothing is delivered to a device that is not there"]
    pub fn inject(&mut self, now: Now, device: &Jid, stanza: Node) -> bool {
        let (Some(device), Some(class)) = (self.directory.device(device), Class::named(stanza.tag.as_str())) else {
            return false;
        };
        let id = stanza.owned("id").unwrap_or_default();
        self.queue(now, device, class, &id, stanza);
        self.settle_output();
        true
    }

    /// Takes a message, receipt or ack as if `device` had sent it.
    pub fn submit(&mut self, now: Now, device: &Jid, stanza: &Node) {
        let Some(device) = self.directory.device(device) else { return };
        let origin = Origin { link: NO_LINK, device };
        match stanza.tag.as_str() {
            "message" => self.take_message(now, origin, stanza),
            "receipt" => self.take_receipt(now, origin, stanza),
            "ack" => self.take_ack(origin, stanza),
            _ => {}
        }
        self.settle_output();
    }

    /// Links a companion to an account that the caller plays with keys of its own. Gives its address by phone number and
    /// its complete signed identity, or `None` if there is no such account or no number left.
    pub fn plant(&mut self, now: Now, account: &Jid, keys: &PuppetKeys) -> Option<(Jid, Bytes)> {
        let id = self.directory.resolve(account)?.account;
        let seconds = now.unix_seconds();
        let random = self.random::<64>();
        let account = self.directory.account_mut(id)?;
        let number = account.next_number(&[])?;
        let (signed, signature) = signed_key(keys, &random)?;
        let (identity, secret) = (keys.identity.public.as_bytes(), Secret::new(NO_SECRET));
        let voucher = account.phone.vouch(&mut self.rng, seconds, identity, &secret, Hosting::None);
        let statement = voucher.countersigned(account.phone.identity(), &keys.identity, &random);
        let key = SignedKey { id: signed, value: *keys.signed.public.as_bytes(), signature };
        let bundle = Bundle::new(keys.registration.to_be_bytes(), *keys.identity.public.as_bytes(), key);
        let companion = Companion {
            noise_key: *keys.identity.public.as_bytes(),
            key_index: voucher.key_index,
            identity: statement.clone(),
            bundle,
            mailbox: Mailbox::default(),
        };
        account.link(number, companion);
        let valid: Vec<u32> = account.companions.values().map(|companion| companion.key_index).collect();
        account.phone.publish(&mut self.rng, seconds, valid.into_iter());
        let device = DeviceId { account: id, number };
        self.tell_device_change(now, device, voucher.key_index, Change::Added);
        self.settle_output();
        Some((self.directory.address(device, Namespace::Pn)?, statement))
    }

    /// Lends the phone of an account to the caller: from now on its mail is kept for [`mail_of`](Self::mail_of).
    pub fn lend_phone(&mut self, account: &Jid) -> Option<PuppetKeys> {
        let id = self.directory.resolve(account)?.account;
        Some(self.directory.account_mut(id)?.phone.lend())
    }

    /// Takes everything that waits for a planted companion or a lent phone, and answers for it.
    pub fn mail_of(&mut self, device: &Jid) -> Vec<Node> {
        let Some(device) = self.directory.device(device) else { return Vec::new() };
        if device.number == 0 {
            let phone = self.directory.account_mut(device.account).map(|account| &mut account.phone);
            return phone.and_then(|phone| phone.mail.as_mut()).map(Mailbox::drain).unwrap_or_default();
        }
        self.directory.companion_mut(device).map(|companion| companion.mailbox.drain()).unwrap_or_default()
    }

    /// The keys of a device as handed to whoever wants to write to it; takes one of its one-time keys away.
    pub fn hand_out(&mut self, now: Now, device: &Jid) -> Node {
        let node = self.fetched(now, device);
        self.settle_output();
        node
    }

    /// The account registers anew on another phone: all companions are gone, its identity is another one, and its
    /// contacts are told. `false` if there is no such account.
    pub fn register_anew(&mut self, now: Now, account: &Jid) -> bool {
        let Some(id) = self.directory.resolve(account).map(|device| device.account) else { return false };
        for companion in self.directory.companions(id) {
            self.remove(now, companion);
        }
        let phone = Phone::new(&mut self.rng);
        let Some(account) = self.directory.account_mut(id) else { return false };
        account.phone = phone;
        let user = account.user(Namespace::Pn);
        let contacts: Vec<_> = account.contacts.iter().copied().collect();
        let told: Vec<_> = contacts.into_iter().flat_map(|contact| self.directory.companions(contact)).collect();
        for other in told {
            self.notify(now, other, "encrypt", user.clone(), |node| node.with_child(Node::new("identity")));
        }
        self.settle_output();
        true
    }
}

fn signed_key(keys: &PuppetKeys, random: &[u8; 64]) -> Option<([u8; 3], [u8; 64])> {
    let [_, id @ ..] = keys.signed_id.to_be_bytes();
    let signature = keys.identity.sign(&[&keys.signed.public.serialize()], random);
    (keys.signed_id != 0).then_some((id, signature.0))
}
