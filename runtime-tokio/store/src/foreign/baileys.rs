//! The folder of JSON files in which Baileys keeps an account (`useMultiFileAuthState`).

use super::baileys_session::{SessionFile, sender_keys};
use super::json::{self, Blob};
use super::{ForeignError, address, public_key};
use prost::Message;
use serde::Deserialize;
use std::fs;
use std::path::Path;
use whatsio_core::adopt::{AdoptedSignedPreKey, Adoption};
use whatsio_core::crypto::Secret;
use whatsio_core::types::{Jid, Server};

/// Reads a linked account from the folder that Baileys keeps it in.
///
/// The files are only read; Baileys must not be running, or what it does afterwards is lost here.
///
/// # Errors
/// [`ForeignError`].
pub fn read_baileys(folder: impl AsRef<Path>) -> Result<Adoption, ForeignError> {
    let folder = folder.as_ref();
    let credentials = folder.join("creds.json");
    let credentials: Credentials =
        json::read(&credentials)?.ok_or(ForeignError::NotAStore("a folder of Baileys with an account"))?;
    let own_registration_id = credentials.registration_id;
    let mut adoption = credentials.into_adoption()?;
    let unreadable = |source| ForeignError::Unreadable { path: folder.display().to_string(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        names.extend(entry.map_err(unreadable)?.file_name().into_string());
    }
    // The sessions under a LID come first: of two with one device they are the newer.
    names.sort_by_key(|name| (!name.contains("_1."), name.clone()));
    for name in names {
        let Some(stem) = name.strip_suffix(".json") else { continue };
        let path = folder.join(&name);
        if let Some(id) = stem.strip_prefix("pre-key-") {
            let (Ok(id), Some(pair)) = (id.parse(), json::read::<KeyPair>(&path)?) else { continue };
            adoption.prekeys.extend(Secret::from_slice(&pair.private.0).map(|key| (id, key)));
        } else if let Some(id) = stem.strip_prefix("session-") {
            let Some(device) = address::device(id, '.') else { continue };
            let states = json::read::<SessionFile>(&path)?.map(|file| file.states(own_registration_id));
            adoption.sessions.push((device, states.unwrap_or_default()));
        } else if let Some(id) = stem.strip_prefix("identity-key-") {
            let (Some(device), Some(key)) = (address::device(id, '.'), json::read::<Blob>(&path)?) else { continue };
            adoption.identities.extend(public_key(&key.0).map(|key| (device, key)));
        } else if let Some(place) = stem.strip_prefix("sender-key-") {
            let (Some((group, device)), Some(record)) = (sender(place), json::read::<Blob>(&path)?) else { continue };
            // The own key is made anew: nobody else needs the old one.
            if device != adoption.jid && adoption.lid.as_ref() != Some(&device) {
                adoption.sender_keys.push((group, device, sender_keys(&record.0).unwrap_or_default()));
            }
        } else if let Some(number) = stem.strip_prefix("lid-mapping-").filter(|id| !id.ends_with("_reverse")) {
            let Some(lid) = json::read::<String>(&path)? else { continue };
            let (pn, lid) = (address::user(number, Server::Whatsapp), address::user(&lid, Server::Lid));
            adoption.aliases.extend(pn.zip(lid));
        }
    }
    Ok(adoption)
}

/// Group and device of a sender key. Colons have become dashes in the file's name, and groups may have dashes of their own.
fn sender(place: &str) -> Option<(Jid, Jid)> {
    let (rest, device) = place.rsplit_once("--")?;
    let (group, user) = rest.rsplit_once("--")?;
    Some((group.parse().ok()?, address::device(&format!("{user}:{device}"), ':')?))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Credentials {
    noise_key: KeyPair,
    signed_identity_key: KeyPair,
    signed_pre_key: SignedPreKey,
    registration_id: u32,
    adv_secret_key: Blob,
    next_pre_key_id: u32,
    first_unuploaded_pre_key_id: u32,
    me: Option<Me>,
    account: Option<Account>,
    platform: Option<String>,
}

#[derive(Deserialize)]
struct KeyPair {
    private: Blob,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SignedPreKey {
    key_pair: KeyPair,
    signature: Blob,
    key_id: u32,
}

#[derive(Deserialize)]
struct Me {
    id: String,
    lid: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Account {
    details: Blob,
    account_signature_key: Blob,
    account_signature: Blob,
    device_signature: Blob,
}

impl Credentials {
    fn into_adoption(self) -> Result<Adoption, ForeignError> {
        let (Some(me), Some(account)) = (self.me, self.account) else { return Err(ForeignError::NotLinked) };
        let secret = |blob: &Blob, what| Secret::from_slice(&blob.0).ok_or(ForeignError::Damaged(what));
        let bytes = |blob: &Blob| Some(bytes::Bytes::copy_from_slice(&blob.0));
        let statement = whatsio_proto::adv::AdvSignedDeviceIdentity {
            details: bytes(&account.details),
            account_signature_key: bytes(&account.account_signature_key),
            account_signature: bytes(&account.account_signature),
            device_signature: bytes(&account.device_signature),
        };
        let signature = self.signed_pre_key.signature.0.as_slice();
        Ok(Adoption {
            noise: secret(&self.noise_key.private, "the key of the socket")?,
            identity: secret(&self.signed_identity_key.private, "the identity key")?,
            registration_id: self.registration_id,
            adv_secret: secret(&self.adv_secret_key, "the secret of the linking")?,
            signed_prekey: AdoptedSignedPreKey {
                id: self.signed_pre_key.key_id,
                private: secret(&self.signed_pre_key.key_pair.private, "the signed prekey")?,
                signature: signature.try_into().map_err(|_| ForeignError::Damaged("the signed prekey"))?,
            },
            prekeys: Vec::new(),
            next_prekey: self.next_pre_key_id,
            first_unconfirmed_prekey: self.first_unuploaded_pre_key_id,
            jid: me.id.parse().map_err(|_| ForeignError::Damaged("the own address"))?,
            lid: me.lid.and_then(|lid| lid.parse().ok()),
            device_identity: statement.encode_to_vec().into(),
            platform: self.platform.unwrap_or_default(),
            push_name: me.name.unwrap_or_default(),
            aliases: Vec::new(),
            identities: Vec::new(),
            sessions: Vec::new(),
            sender_keys: Vec::new(),
        })
    }
}
