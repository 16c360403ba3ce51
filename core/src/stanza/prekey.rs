//! Prekeys: counting, uploading, checking and rotating one's own, fetching others'.
//!
//! Carries public halves as they travel. Whether a signature holds is checked by whoever uses a bundle.

use super::{IqError, Request, StanzaError, iq, read, word as w};
use crate::binary::{NodeRef, Writer};
use crate::types::Jid;
use bytes::Bytes;

/// A one-time prekey's public half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicPreKey {
    /// Its number, 24 bits.
    pub id: u32,
    /// The key, without type byte.
    pub key: [u8; 32],
}

/// A signed prekey's public half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicSignedPreKey {
    /// Its number, 24 bits.
    pub id: u32,
    /// The key, without type byte.
    pub key: [u8; 32],
    /// Made with the identity key over the key with type byte. Not checked here.
    pub signature: [u8; 64],
}

impl PublicPreKey {
    pub(super) fn parse(node: NodeRef<'_>) -> Result<Self, StanzaError> {
        Ok(Self { id: read::need_child_number(node, w::ID)?, key: read::need_child_array(node, w::VALUE)? })
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.open(w::KEY);
        write_id(self.id, out);
        out.leaf(w::VALUE, &self.key);
        out.close();
    }
}

impl PublicSignedPreKey {
    pub(super) fn parse(node: NodeRef<'_>) -> Result<Self, StanzaError> {
        Ok(Self {
            id: read::need_child_number(node, w::ID)?,
            key: read::need_child_array(node, w::VALUE)?,
            signature: read::need_child_array(node, w::SIGNATURE)?,
        })
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.open(w::SKEY);
        write_id(self.id, out);
        out.leaf(w::VALUE, &self.key);
        out.leaf(w::SIGNATURE, &self.signature);
        out.close();
    }
}

/// The byte that stands for the one kind of key there is.
pub(super) const KEY_TYPE: u8 = 5;

/// Numbers of keys travel as three bytes.
fn write_id(id: u32, out: &mut Writer) {
    let [_, high, middle, low] = id.to_be_bytes();
    out.leaf(w::ID, &[high, middle, low]);
}

/// Asks how many one-time prekeys the server still has for this device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreKeyCount;

impl Request for PreKeyCount {
    /// The number; 0 if the server does not say.
    type Reply = u32;

    fn write(&self, id: &str, out: &mut Writer) {
        iq::open(out, id, w::GET, w::ENCRYPT);
        iq::empty(out, w::COUNT);
        out.close();
    }

    fn parse(answer: NodeRef<'_>) -> Result<u32, StanzaError> {
        let count = answer.child(w::COUNT).and_then(|count| read::short_number(count, w::VALUE));
        Ok(count.unwrap_or(0))
    }
}

/// Publishes this device's keys. The private halves must be durable before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreKeyUpload {
    /// The registration id.
    pub registration: u32,
    /// The identity key.
    pub identity: [u8; 32],
    /// New one-time prekeys.
    pub one_time: Vec<PublicPreKey>,
    /// The current signed prekey.
    pub signed: PublicSignedPreKey,
}

impl Request for PreKeyUpload {
    type Reply = ();

    fn write(&self, id: &str, out: &mut Writer) {
        iq::open(out, id, w::SET, w::ENCRYPT);
        out.leaf(w::REGISTRATION, &self.registration.to_be_bytes());
        out.leaf(w::TYPE, &[KEY_TYPE]);
        out.leaf(w::IDENTITY, &self.identity);
        out.open(w::LIST);
        out.expect_children(self.one_time.len());
        for key in &self.one_time {
            key.write(out);
        }
        out.close();
        self.signed.write(out);
        out.close();
    }

    fn parse(_: NodeRef<'_>) -> Result<(), StanzaError> {
        Ok(())
    }
}

/// Asks what the server has for this device. The server answers 404 if it has nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreKeyDigest;

/// What the server has for a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// The registration id.
    pub registration: u32,
    /// The identity key.
    pub identity: [u8; 32],
    /// The signed prekey.
    pub signed: PublicSignedPreKey,
    /// Numbers of the one-time prekeys, in the order in which `hash` covers them.
    pub one_time: Vec<u32>,
    /// SHA-1 over identity, signed prekey, its signature and the one-time prekeys.
    pub hash: [u8; 20],
}

impl Request for PreKeyDigest {
    type Reply = Digest;

    fn write(&self, id: &str, out: &mut Writer) {
        iq::open(out, id, w::GET, w::ENCRYPT);
        iq::empty(out, w::DIGEST);
        out.close();
    }

    fn parse(answer: NodeRef<'_>) -> Result<Digest, StanzaError> {
        let digest = read::need_child(answer, w::DIGEST)?;
        let ids = read::need_child(digest, w::LIST)?.children_named(w::ID);
        Ok(Digest {
            registration: read::need_child_number(digest, w::REGISTRATION)?,
            identity: read::need_child_array(digest, w::IDENTITY)?,
            signed: PublicSignedPreKey::parse(read::need_child(digest, w::SKEY)?)?,
            one_time: ids.map(|id| id.big_endian().ok_or(StanzaError::bad_content(w::ID))).collect::<Result<_, _>>()?,
            hash: read::need_child_array(digest, w::HASH)?,
        })
    }
}

/// Replaces the signed prekey. The server answers 406 or 409 if it refuses the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotateSignedPreKey {
    /// The new one.
    pub signed: PublicSignedPreKey,
}

impl Request for RotateSignedPreKey {
    type Reply = ();

    fn write(&self, id: &str, out: &mut Writer) {
        iq::open(out, id, w::SET, w::ENCRYPT);
        out.open(w::ROTATE);
        self.signed.write(out);
        out.close();
        out.close();
    }

    fn parse(_: NodeRef<'_>) -> Result<(), StanzaError> {
        Ok(())
    }
}

/// Asks for the key bundles of devices, each with a one-time prekey that is then used up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchBundles {
    /// The devices.
    pub devices: Vec<Jid>,
    /// Why, where it is not simply to write to them.
    pub reason: Option<FetchReason>,
}

/// Why bundles are fetched again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FetchReason {
    /// The identity key may have changed.
    Identity,
    /// A message could not be decrypted.
    Retry,
}

/// What the server answers for each device it was asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreKeyBundles {
    /// Devices in the server's order. One that is malformed or refused does not spoil the others.
    pub devices: Vec<(Jid, Result<PreKeyBundle, BundleError>)>,
}

/// What is needed to start a session with a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreKeyBundle {
    /// The registration id.
    pub registration: u32,
    /// The identity key.
    pub identity: [u8; 32],
    /// The signed prekey.
    pub signed: PublicSignedPreKey,
    /// A one-time prekey, unless they are used up.
    pub one_time: Option<PublicPreKey>,
    /// The signed device identity (serialised), for companions.
    pub device_identity: Option<Bytes>,
}

/// Why there is no bundle for a device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// The server refuses; 406 means that it no longer knows the device.
    #[error(transparent)]
    Refused(IqError),
    /// The server's answer for this device does not say what it must.
    #[error(transparent)]
    Malformed(StanzaError),
}

impl Request for FetchBundles {
    type Reply = PreKeyBundles;

    fn write(&self, id: &str, out: &mut Writer) {
        iq::open(out, id, w::GET, w::ENCRYPT);
        out.open(w::KEY);
        out.expect_children(self.devices.len());
        for device in &self.devices {
            out.open(w::USER);
            out.jid(w::JID, device);
            match self.reason {
                Some(FetchReason::Identity) => out.word(w::REASON, w::IDENTITY),
                Some(FetchReason::Retry) => out.word(w::REASON, w::RETRY),
                None => {}
            }
            out.close();
        }
        out.close();
        out.close();
    }

    fn parse(answer: NodeRef<'_>) -> Result<PreKeyBundles, StanzaError> {
        let users = read::need_child(answer, w::LIST)?.children_named(w::USER);
        let devices =
            users.map(|user| Ok((read::need_jid(user, w::JID)?, parse_user(user)))).collect::<Result<_, _>>()?;
        Ok(PreKeyBundles { devices })
    }
}

fn parse_user(user: NodeRef<'_>) -> Result<PreKeyBundle, BundleError> {
    if let Some(error) = user.child(w::ERROR) {
        return Err(BundleError::Refused(IqError::parse(error)));
    }
    PreKeyBundle::parse(user).map_err(BundleError::Malformed)
}

impl PreKeyBundle {
    /// Keys stand directly in the user's node, or in a node `keys` inside it.
    fn parse(user: NodeRef<'_>) -> Result<Self, StanzaError> {
        let keys = user.child(w::KEYS).unwrap_or(user);
        let registration = match keys.child(w::REGISTRATION) {
            Some(registration) => registration.big_endian().ok_or(StanzaError::bad_content(w::REGISTRATION))?,
            None => read::need_child_number(user, w::REGISTRATION)?,
        };
        Ok(Self {
            registration,
            identity: read::need_child_array(keys, w::IDENTITY)?,
            signed: PublicSignedPreKey::parse(read::need_child(keys, w::SKEY)?)?,
            one_time: keys.child(w::KEY).map(PublicPreKey::parse).transpose()?,
            device_identity: read::child_bytes(keys, w::DEVICE_IDENTITY)
                .or_else(|| read::child_bytes(user, w::DEVICE_IDENTITY)),
        })
    }
}
