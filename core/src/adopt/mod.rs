//! An account that another client has linked, turned into records of ours: the device stays linked, its sessions live on.
//!
//! Owns the question what a device is made of. Knows no other client's files: whoever reads those fills an [`Adoption`].
//!
//! From the moment of adoption the other client must never connect again: two clients that move the same ratchets make
//! messages unreadable for everybody.

mod peers;

use crate::api::{Epoch, Key, Record};
use crate::crypto::{KeyPair, PublicKey, Rng, Secret, Signature};
use crate::pairing::adv;
use crate::signal::{ForeignSenderKey, ForeignSession, PreKey, PreKeyId, RegistrationId, SignedPreKey, SignedPreKeyId};
use crate::state::Stored;
use crate::state::account::{self, Account, Linked, SignedPreKeys};
use crate::state::life::{self, Life};
use crate::state::prekeys::{COUNTER_ID, PreKeyCounter, record_id};
use crate::types::{Jid, Now, Seed};
use bytes::Bytes;
use std::collections::BTreeMap;

/// Everything that another client knows of an account and that matters here.
///
/// What is not taken over comes by itself: device lists are asked for, app state is synchronised anew, and messages whose
/// keys were passed over in a form that cannot be used are asked for again.
pub struct Adoption {
    /// Private half of the key of the encrypted socket.
    pub noise: Secret<32>,
    /// Private half of the identity key.
    pub identity: Secret<32>,
    /// The registration id.
    pub registration_id: u32,
    /// What the phone's answer to the linking was authenticated with.
    pub adv_secret: Secret<32>,
    /// The signed prekey that the server has.
    pub signed_prekey: AdoptedSignedPreKey,
    /// Numbers and private halves of the one-time prekeys that were not used yet.
    pub prekeys: Vec<(u32, Secret<32>)>,
    /// The first number that no prekey has had yet.
    pub next_prekey: u32,
    /// The first number of a prekey that the server may not have.
    pub first_unconfirmed_prekey: u32,
    /// Own address by phone number, with the device number.
    pub jid: Jid,
    /// Own address by LID, with the device number.
    pub lid: Option<Jid>,
    /// The phone's signed statement about this device, with the account's key in it and this device's signature.
    pub device_identity: Bytes,
    /// Platform of the phone, as it calls itself.
    pub platform: String,
    /// The name that this account gives itself.
    pub push_name: String,
    /// Users that are known under two addresses: by phone number and by LID.
    pub aliases: Vec<(Jid, Jid)>,
    /// Identity keys of other devices.
    pub identities: Vec<(Jid, [u8; 32])>,
    /// Sessions with other devices, for each the one that is in use first.
    pub sessions: Vec<(Jid, Vec<ForeignSession>)>,
    /// Sender keys that devices have given: group, device, keys with the newest first.
    pub sender_keys: Vec<(Jid, Jid, Vec<ForeignSenderKey>)>,
}

/// The signed prekey of an [`Adoption`].
pub struct AdoptedSignedPreKey {
    /// Its number.
    pub id: u32,
    /// The private half.
    pub private: Secret<32>,
    /// The identity's signature over the public half.
    pub signature: [u8; 64],
}

/// What became of an [`Adoption`].
pub struct Adopted {
    /// Everything to be written for the account, which must be new to the store, in one commit.
    pub records: Vec<(Key, Record)>,
    /// The epoch to write it under.
    pub epoch: Epoch,
    /// Own address by phone number.
    pub jid: Jid,
    /// Devices that there is a session with now.
    pub sessions: usize,
    /// Sessions and sender keys that were damaged or of nobody. Their peers get new ones by themselves.
    pub left_out: usize,
}

/// Why an account cannot be taken over. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdoptError {
    /// The phone's statement about this device does not belong to its identity key.
    #[error("the device's identity is not authentic: it was not this phone that linked it, or the files are damaged")]
    Identity,
    /// The signed prekey is not signed by the identity key, or has no valid number.
    #[error("the signed prekey is not the account's own, or the files are damaged")]
    SignedPreKey,
    /// An own address is not one that a linked device has.
    #[error("the account has no address of a linked device")]
    Address,
    /// There is more of something than any account has.
    #[error("there are more {0} than any account has")]
    TooMany(&'static str),
}

impl Adoption {
    /// The records of the account. `seed` must be fresh; `now` is when this happens.
    ///
    /// # Errors
    /// [`AdoptError`]. Single sessions that are damaged are left out instead, and counted.
    #[expect(clippy::needless_pass_by_value, reason = "a seed is spent by using it: nobody may keep it")]
    pub fn into_records(self, now: Now, seed: Seed) -> Result<Adopted, AdoptError> {
        self.check_limits()?;
        let mut rng = Rng::new(&seed);
        let identity = KeyPair::from_private(*self.identity.expose());
        let statement = adv::verify_device_identity(&self.device_identity, &identity.public, None);
        // Without the phone's key in it nothing was checked.
        let phone = statement.ok().and_then(|statement| statement.account_key).ok_or(AdoptError::Identity)?;
        let signed = signed_prekey(&self.signed_prekey, &identity, now)?;
        if self.jid.device() == 0 || !self.jid.is_pn_family() {
            return Err(AdoptError::Address);
        }

        let epoch = Epoch(1 << 32 | u64::from(rng.u32()));
        let mut records = BTreeMap::new();
        write(&mut records, life::ID, &Life(epoch));
        write(&mut records, record_id(signed.id.number()), &signed);
        let counter = PreKeyCounter::adopted(
            self.next_prekey,
            self.first_unconfirmed_prekey,
            self.prekeys.iter().map(|(number, _)| *number),
        );
        write(&mut records, COUNTER_ID, &counter);
        for (number, private) in &self.prekeys {
            if let Some(id) = PreKeyId::new(*number) {
                write(&mut records, record_id(*number), &PreKey { id, keys: KeyPair::from_private(*private.expose()) });
            }
        }
        let account = Account {
            noise: KeyPair::from_private(*self.noise.expose()),
            identity: identity.clone(),
            registration_id: RegistrationId(self.registration_id),
            adv_secret: self.adv_secret.clone(),
            signed_prekey_id: signed.id.number(),
            signed_prekey_made: now.unix_seconds(),
            signed_prekey_confirmed: signed.id.number(),
            signed_prekeys: SignedPreKeys::default(),
            linked: Some(Linked {
                pn: self.jid.clone(),
                lid: self.lid.clone(),
                device_identity: self.device_identity.clone(),
                platform: self.platform.clone(),
            }),
            push_name: self.push_name.clone(),
            ..Account::create(&mut rng)
        };
        write(&mut records, account::ID, &account);

        let jid = self.jid.clone();
        let mut world = peers::Peers::new(now, &mut rng, records);
        world.own(&self.jid, self.lid.as_ref(), &phone);
        for (pn, lid) in &self.aliases {
            world.pair(pn, lid);
        }
        for (device, key) in self.identities {
            world.identity(&device, &PublicKey::from_bytes(key));
        }
        for (device, states) in self.sessions {
            world.session(&device, states);
        }
        for (group, device, keys) in self.sender_keys {
            world.sender_key(&group, &device, keys);
        }
        let (records, sessions, left_out) = world.finish();
        Ok(Adopted { records, epoch, jid, sessions, left_out })
    }

    fn check_limits(&self) -> Result<(), AdoptError> {
        let counts = [
            (self.prekeys.len(), "prekeys"),
            (self.aliases.len(), "addresses"),
            (self.identities.len(), "identity keys"),
            (self.sessions.len(), "sessions"),
            (self.sender_keys.len(), "sender keys"),
        ];
        match counts.into_iter().find(|(count, _)| *count > MOST) {
            Some((_, what)) => Err(AdoptError::TooMany(what)),
            None => Ok(()),
        }
    }
}

fn signed_prekey(found: &AdoptedSignedPreKey, identity: &KeyPair, now: Now) -> Result<SignedPreKey, AdoptError> {
    let id = SignedPreKeyId::new(found.id).ok_or(AdoptError::SignedPreKey)?;
    let keys = KeyPair::from_private(*found.private.expose());
    let signature = Signature(found.signature);
    identity.public.verify(&[&keys.public.serialize()], &signature).map_err(|_| AdoptError::SignedPreKey)?;
    Ok(SignedPreKey { id, keys, signature, created: now.unix_seconds() })
}

fn write<T: Stored>(records: &mut BTreeMap<Key, Record>, id: impl Into<Bytes>, value: &T) {
    records.insert(T::key(id), value.seal());
}

/// Far above what the busiest accounts have.
const MOST: usize = 1_000_000;
