//! The account's root record: who this device is.

use super::record::{BadRecord, Stored, open, seal};
use crate::api::{Record, Space};
use crate::crypto::curve::KeyPair;
use crate::crypto::rng::Rng;
use crate::crypto::secret::Secret;
use crate::signal::RegistrationId;
use crate::types::Jid;
use bytes::Bytes;
use std::ops::Range;

/// Id of the one record of this kind.
pub(crate) const ID: &[u8] = b"account";

const VERSION: u8 = 1;

/// Everything that a device is for as long as it stays linked.
#[derive(Clone)]
#[cfg_attr(test, derive(PartialEq))]
pub(crate) struct Account {
    /// Static key of the encrypted socket.
    pub(crate) noise: KeyPair,
    /// Identity in end-to-end encryption; also signs.
    pub(crate) identity: KeyPair,
    pub(crate) registration_id: RegistrationId,
    /// Shared with the phone through the QR text; authenticates its answer.
    pub(crate) adv_secret: Secret<32>,
    /// The signed prekey that peers are given now.
    pub(crate) signed_prekey_id: u32,
    /// When it was made, in seconds since 1970.
    pub(crate) signed_prekey_made: u64,
    /// The newest signed prekey that the server is known to have; 0 for none.
    pub(crate) signed_prekey_confirmed: u32,
    /// Those before it that are kept.
    pub(crate) signed_prekeys: SignedPreKeys,
    /// Set by linking.
    pub(crate) linked: Option<Linked>,
    /// Opaque bytes that the server wants to see in front of the next connection.
    pub(crate) routing_info: Bytes,
    /// The server's key as last authenticated, for a shorter handshake.
    pub(crate) server_key: Option<ServerKey>,
    /// The name this account gives itself.
    pub(crate) push_name: String,
}

/// Signed prekeys that peers were given before the one they are given now, so that first messages on their way open.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct SignedPreKeys {
    /// Those that the server had, oldest first.
    published: Vec<u32>,
    /// None is there before this one; 0 if that is not known.
    first: u32,
}

/// Signed prekeys before the confirmed one that are kept.
const SIGNED_KEPT: usize = 2;

/// Where it is not known which are there: so many before the newest that is not kept, at most.
const SIGNED_BEFORE: u32 = 8;

impl SignedPreKeys {
    /// The server hands out `new` from now on, and not `old` (0: none) any more. Gives the ids of all that go: those
    /// that the server never had go with those that it had before them.
    pub(crate) fn superseded(&mut self, old: u32, new: u32) -> Range<u32> {
        if self.first == 0 && old > 1 {
            // From a time when this was not written down: one for each id.
            self.published.push(old - 1);
        }
        if old != 0 {
            self.published.push(old);
        }
        let excess = self.published.len().saturating_sub(SIGNED_KEPT);
        self.published.drain(..excess);
        let kept = self.published.first().map_or(new, |first| *first);
        let gone = self.oldest(kept)..kept;
        self.first = kept;
        gone
    }

    /// The first id that may be there, of those up to `newest`.
    pub(crate) fn oldest(&self, newest: u32) -> u32 {
        if self.first == 0 { newest.saturating_sub(SIGNED_BEFORE).max(1) } else { self.first }
    }
}

/// What linking adds.
#[derive(Clone)]
#[cfg_attr(test, derive(PartialEq))]
pub(crate) struct Linked {
    /// Own address by phone number, with the device number.
    pub(crate) pn: Jid,
    /// Own address by LID, with the device number.
    pub(crate) lid: Option<Jid>,
    /// The phone's signed statement about this device, completed with this device's signature; sent as it is.
    pub(crate) device_identity: Bytes,
    /// Platform of the phone.
    pub(crate) platform: String,
}

/// A server key with the validity that its certificates give it, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ServerKey {
    pub(crate) key: [u8; 32],
    pub(crate) not_before: u64,
    pub(crate) not_after: u64,
}

impl Account {
    /// A device that has never been linked.
    pub(crate) fn create(rng: &mut Rng) -> Self {
        Self {
            noise: KeyPair::generate(rng),
            identity: KeyPair::generate(rng),
            registration_id: RegistrationId::generate(rng),
            adv_secret: Secret::from(rng.bytes::<32>()),
            signed_prekey_id: 0,
            signed_prekey_made: 0,
            signed_prekey_confirmed: 0,
            signed_prekeys: SignedPreKeys::default(),
            linked: None,
            routing_info: Bytes::new(),
            server_key: None,
            push_name: String::new(),
        }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
struct AccountRecord {
    #[prost(bytes = "vec", tag = "2")]
    noise: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    identity: Vec<u8>,
    #[prost(uint32, tag = "4")]
    registration_id: u32,
    #[prost(bytes = "vec", tag = "5")]
    adv_secret: Vec<u8>,
    #[prost(uint32, tag = "6")]
    signed_prekey_id: u32,
    #[prost(uint64, tag = "7")]
    signed_prekey_made: u64,
    #[prost(message, optional, tag = "8")]
    linked: Option<LinkedRecord>,
    #[prost(bytes = "bytes", tag = "9")]
    routing_info: Bytes,
    #[prost(message, optional, tag = "10")]
    server_key: Option<ServerKeyRecord>,
    #[prost(string, tag = "11")]
    push_name: String,
    #[prost(uint32, tag = "12")]
    signed_prekey_confirmed: u32,
    #[prost(uint32, repeated, tag = "13")]
    signed_prekeys_published: Vec<u32>,
    #[prost(uint32, tag = "14")]
    signed_prekeys_first: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
struct LinkedRecord {
    #[prost(string, tag = "1")]
    pn: String,
    #[prost(string, optional, tag = "2")]
    lid: Option<String>,
    #[prost(bytes = "bytes", tag = "3")]
    device_identity: Bytes,
    #[prost(string, tag = "4")]
    platform: String,
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
struct ServerKeyRecord {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(uint64, tag = "2")]
    not_before: u64,
    #[prost(uint64, tag = "3")]
    not_after: u64,
}

impl Drop for AccountRecord {
    fn drop(&mut self) {
        use zeroize::Zeroize;
        self.noise.zeroize();
        self.identity.zeroize();
        self.adv_secret.zeroize();
    }
}

impl Stored for Account {
    const SPACE: Space = Space::Account;

    fn seal(&self) -> Record {
        let linked = self.linked.as_ref().map(|linked| LinkedRecord {
            pn: linked.pn.to_string(),
            lid: linked.lid.as_ref().map(ToString::to_string),
            device_identity: linked.device_identity.clone(),
            platform: linked.platform.clone(),
        });
        let server_key = self.server_key.map(|server| ServerKeyRecord {
            key: server.key.to_vec(),
            not_before: server.not_before,
            not_after: server.not_after,
        });
        seal(
            VERSION,
            &AccountRecord {
                noise: self.noise.private.expose().to_vec(),
                identity: self.identity.private.expose().to_vec(),
                registration_id: self.registration_id.0,
                adv_secret: self.adv_secret.expose().to_vec(),
                signed_prekey_id: self.signed_prekey_id,
                signed_prekey_made: self.signed_prekey_made,
                signed_prekey_confirmed: self.signed_prekey_confirmed,
                signed_prekeys_published: self.signed_prekeys.published.clone(),
                signed_prekeys_first: self.signed_prekeys.first,
                linked,
                routing_info: self.routing_info.clone(),
                server_key,
                push_name: self.push_name.clone(),
            },
        )
    }

    fn open(record: &Record) -> Result<Self, BadRecord> {
        let mut found: AccountRecord = open(VERSION, record)?;
        let linked = found.linked.take().map(Linked::try_from).transpose()?;
        let server_key = found.server_key.take().map(ServerKey::try_from).transpose()?;
        Ok(Self {
            noise: key_pair(&found.noise)?,
            identity: key_pair(&found.identity)?,
            registration_id: RegistrationId(found.registration_id),
            adv_secret: Secret::from(array(&found.adv_secret)?),
            signed_prekey_id: found.signed_prekey_id,
            signed_prekey_made: found.signed_prekey_made,
            signed_prekey_confirmed: found.signed_prekey_confirmed,
            signed_prekeys: SignedPreKeys {
                published: std::mem::take(&mut found.signed_prekeys_published),
                first: found.signed_prekeys_first,
            },
            linked,
            routing_info: found.routing_info.clone(),
            server_key,
            push_name: std::mem::take(&mut found.push_name),
        })
    }
}

impl TryFrom<LinkedRecord> for Linked {
    type Error = BadRecord;

    fn try_from(found: LinkedRecord) -> Result<Self, BadRecord> {
        Ok(Self {
            pn: Jid::parse(&found.pn).map_err(|_| BadRecord)?,
            lid: found.lid.as_deref().map(Jid::parse).transpose().map_err(|_| BadRecord)?,
            device_identity: found.device_identity,
            platform: found.platform,
        })
    }
}

impl TryFrom<ServerKeyRecord> for ServerKey {
    type Error = BadRecord;

    fn try_from(found: ServerKeyRecord) -> Result<Self, BadRecord> {
        Ok(Self { key: array(&found.key)?, not_before: found.not_before, not_after: found.not_after })
    }
}

fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], BadRecord> {
    bytes.try_into().map_err(|_| BadRecord)
}

fn key_pair(private: &[u8]) -> Result<KeyPair, BadRecord> {
    array(private).map(KeyPair::from_private)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_had_is_kept_for_a_while_and_what_it_refused_goes_with_it() {
        let mut kept = SignedPreKeys::default();
        let steps =
            [(0, 1, 1..1), (1, 2, 1..1), (2, 6, 1..1), (6, 7, 1..2), (7, 20, 2..6), (20, 21, 6..7), (21, 22, 7..20)];
        for (old, new, gone) in steps {
            assert_eq!(kept.superseded(old, new), gone, "{new} after {old}");
        }
        let mut unknown = SignedPreKeys::default();
        assert_eq!(unknown.oldest(20), 12);
        assert_eq!(unknown.superseded(19, 20), 10..18, "two are left");
        assert_eq!(unknown.superseded(20, 21), 18..19);
    }
}
