//! Sessions and sender keys under any interleaving, loss, repetition and damage.

mod conversation;
mod damage;
mod group;
mod limits;
mod pairwise;
mod records;

use super::{
    Archive, Ciphertext, CiphertextKind, DecryptError, JumpLimit, LocalIdentity, OwnPreKeys, PreKey, PreKeyBundle,
    PreKeyId, PreKeyMessage, RegistrationId, Session, SignalMessage, SignedPreKey, SignedPreKeyId,
};
use crate::crypto::{KeyPair, Rng};
use crate::types::Seed;

fn rng(seed: u8) -> Rng {
    Rng::new(&Seed::new([seed; 32]))
}

/// A device that keeps its sessions as records, and loads the archive only when a call asks for it.
struct Device {
    rng: Rng,
    identity: KeyPair,
    signed_prekey: SignedPreKey,
    prekeys: Vec<PreKey>,
    limit: JumpLimit,
    session: Option<Vec<u8>>,
    archive: Vec<u8>,
    archive_loads: usize,
}

impl Device {
    fn new(seed: u8) -> Self {
        let mut rng = rng(seed);
        let identity = KeyPair::generate(&mut rng);
        let signed_prekey = SignedPreKey::generate(SignedPreKeyId::FIRST, &identity, 0, &mut rng);
        Self {
            rng,
            identity,
            signed_prekey,
            prekeys: Vec::new(),
            limit: JumpLimit::CONTACT,
            session: None,
            archive: Archive::default().encode(),
            archive_loads: 0,
        }
    }

    fn bundle(&mut self) -> PreKeyBundle {
        let id = self.prekeys.last().map_or(PreKeyId::FIRST, |key| key.id.next());
        let prekey = PreKey::generate(id, &mut self.rng);
        self.prekeys.push(prekey.clone());
        PreKeyBundle {
            registration_id: RegistrationId(7),
            identity: self.identity.public,
            signed_prekey: self.signed_prekey.public(),
            prekey: Some(prekey.public()),
        }
    }

    fn initiate(&mut self, bundle: PreKeyBundle) {
        let own = LocalIdentity { keys: &self.identity, registration_id: RegistrationId(8) };
        let session = Session::initiate(own, &bundle.verify().unwrap(), &mut self.rng).unwrap();
        if let Some(old) = self.session() {
            let mut archive = self.archive();
            archive.push(old);
            self.archive = archive.encode();
        }
        self.session = Some(session.encode());
    }

    fn session(&self) -> Option<Session> {
        self.session.as_deref().map(|record| Session::decode(record).unwrap())
    }

    fn archive(&self) -> Archive {
        Archive::decode(&self.archive).unwrap()
    }

    fn encrypt(&mut self, plaintext: &[u8]) -> Ciphertext {
        let mut session = self.session().unwrap();
        let predicted = session.ciphertext_len(plaintext.len());
        let made = session.encrypt(plaintext, &self.identity.public, &mut self.rng).unwrap();
        assert_eq!(made.bytes.len(), predicted);
        self.session = Some(session.encode());
        made
    }

    fn decrypt(&mut self, message: &Ciphertext) -> Result<Vec<u8>, DecryptError> {
        let before = (self.session.clone(), self.archive.clone());
        let outcome = match self.decrypt_with(message, None) {
            Err(DecryptError::NeedsArchive) => {
                assert!(before == (self.session.clone(), self.archive.clone()));
                self.archive_loads += 1;
                let mut archive = self.archive();
                let outcome = self.decrypt_with(message, Some(&mut archive));
                assert!(outcome.is_ok() || archive == self.archive(), "a failure changed the archive");
                outcome
            }
            outcome => outcome,
        };
        if outcome.is_err() {
            assert!(before == (self.session.clone(), self.archive.clone()), "a failure changed a record");
        }
        outcome
    }

    fn decrypt_with(
        &mut self,
        message: &Ciphertext,
        mut archive: Option<&mut Archive>,
    ) -> Result<Vec<u8>, DecryptError> {
        let own = self.identity.public;
        let mut old = self.session();
        let (session, plaintext, changed) = if message.kind == CiphertextKind::Message {
            let mut session = old.ok_or(DecryptError::NoSession)?;
            let parsed = SignalMessage::parse(&message.bytes)?;
            let unchanged = session.clone();
            match session.decrypt(archive.as_deref_mut(), &parsed, &own, self.limit) {
                Ok(opened) => (session, opened.plaintext, opened.archive_changed),
                Err(why) => {
                    assert!(session == unchanged, "a failure changed the session");
                    return Err(why);
                }
            }
        } else {
            let parsed = PreKeyMessage::parse(&message.bytes)?;
            let known = old.as_mut().map(|old| old.decrypt_prekey(archive.as_deref_mut(), &parsed, &own, self.limit));
            match (known, old) {
                (Some(Ok(opened)), Some(session)) => (session, opened.plaintext, opened.archive_changed),
                (Some(Err(why)), _) if why != DecryptError::NoSession => return Err(why),
                (_, old) => {
                    let one_time = self.prekeys.iter().find(|key| Some(key.id) == parsed.prekey_id());
                    let prekeys = OwnPreKeys { signed: &self.signed_prekey, one_time };
                    let own = LocalIdentity { keys: &self.identity, registration_id: RegistrationId(9) };
                    let accepted =
                        Session::accept(old.as_ref(), archive.as_deref_mut(), own, prekeys, &parsed, self.limit)?;
                    self.prekeys.retain(|key| Some(key.id) != parsed.prekey_id());
                    (accepted.session, accepted.plaintext, accepted.archive_changed)
                }
            }
        };
        self.session = Some(session.encode());
        assert!(self.session().unwrap() == session, "a session reads back differently");
        if let (true, Some(archive)) = (changed, archive) {
            self.archive = archive.encode();
            assert!(self.archive() == *archive, "an archive reads back differently");
        } else {
            assert!(!changed, "the archive changed while it was not loaded");
        }
        Ok(plaintext)
    }
}

/// Two devices with a session that both have used.
fn pair() -> (Device, Device) {
    let (mut alice, mut bob) = (Device::new(1), Device::new(2));
    alice.initiate(bob.bundle());
    let first = alice.encrypt(b"first");
    assert_eq!(bob.decrypt(&first).unwrap(), b"first");
    let answer = bob.encrypt(b"answer");
    assert_eq!(alice.decrypt(&answer).unwrap(), b"answer");
    (alice, bob)
}
