//! Replays transcripts of pairwise sessions.
//!
//! Our engine does its half of a ratchet turn when it next encrypts, the recorded engines did it on receipt. So the key
//! that a delivery draws is held back until that party encrypts. Where only the deliveries are played, it is used at once.

use super::{array, pair, public, same, signature};
use crate::suite::Outcome;
use std::collections::BTreeMap;
use whatsio_core::crypto::{KeyPair, Rng};
use whatsio_core::signal::chain::MessageSeed;
use whatsio_core::signal::{
    Archive, DecryptError, JumpLimit, LocalIdentity, OwnPreKeys, PreKey, PreKeyBundle, PreKeyId, PreKeyMessage,
    PublicPreKey, PublicSignedPreKey, RegistrationId, Session, SignalMessage, SignedPreKey, SignedPreKeyId,
};
use whatsio_core::types::Seed;
use whatsio_fixtures::Hex;
use whatsio_fixtures::signal::{BundleVector, HeaderVector, MessageKeysVector, Party, SessionStep, SessionVector};

/// A party and the session it has with the other one. Sessions live as records between steps.
struct Side {
    identity: KeyPair,
    registration_id: RegistrationId,
    signed_prekeys: Vec<SignedPreKey>,
    prekeys: Vec<PreKey>,
    session: Option<Vec<u8>>,
    archive: Vec<u8>,
    /// The ratchet key to use when our half of a turn is done.
    drawn: Option<KeyPair>,
}

struct Sent<'v> {
    kind: &'v str,
    sender: &'v str,
    plaintext: &'v [u8],
    ciphertext: &'v [u8],
    header: Option<&'v HeaderVector>,
    keys: Option<&'v MessageKeysVector>,
}

pub(super) fn replay(entry: &SessionVector) -> Outcome {
    let mut sides = BTreeMap::new();
    for (name, party) in &entry.parties {
        sides.insert(name.as_str(), Side::new(party)?);
    }
    let mut sent: BTreeMap<usize, Sent<'_>> = BTreeMap::new();
    for (at, step) in entry.steps.iter().enumerate() {
        let outcome = match step {
            SessionStep::ProcessBundle { party, bundle, new_private_keys } => {
                side(&mut sides, party)?.process(bundle, new_private_keys, entry.byte_exact_encrypt)
            }
            SessionStep::Encrypt { party, message, kind, plaintext, ciphertext, header, message_keys } => {
                sent.insert(
                    *message,
                    Sent {
                        kind,
                        sender: party,
                        plaintext,
                        ciphertext,
                        header: header.as_ref(),
                        keys: message_keys.as_ref(),
                    },
                );
                if entry.byte_exact_encrypt {
                    side(&mut sides, party)?.encrypt(plaintext, Some((kind, ciphertext)))
                } else {
                    Ok(())
                }
            }
            SessionStep::EncryptAndDiscard { party, count } => {
                if entry.byte_exact_encrypt {
                    let side = side(&mut sides, party)?;
                    (0..*count).try_for_each(|number| side.encrypt(&[(number % 256) as u8], None))
                } else {
                    Ok(())
                }
            }
            SessionStep::Deliver { party, message, tampered_ciphertext, expect, new_private_keys } => {
                let message = sent.get(message).ok_or("delivered before it was sent")?;
                let sender = side(&mut sides, message.sender)?.identity.public;
                let side = side(&mut sides, party)?;
                check_keys(message, &sender, &side.identity.public)
                    .and_then(|()| side.deliver(message, tampered_ciphertext.as_ref(), expect, new_private_keys))
                    .and_then(|()| if entry.byte_exact_encrypt { Ok(()) } else { side.complete_turn() })
            }
        };
        outcome.map_err(|why| format!("step {at}: {why}"))?;
    }
    Ok(())
}

fn side<'s>(sides: &'s mut BTreeMap<&str, Side>, name: &str) -> Result<&'s mut Side, String> {
    sides.get_mut(name).ok_or_else(|| format!("no party {name}"))
}

/// The stated header and keys are those of the stated bytes; that ours are the same follows from its opening.
fn check_keys(
    message: &Sent<'_>,
    sender: &whatsio_core::crypto::PublicKey,
    receiver: &whatsio_core::crypto::PublicKey,
) -> Outcome {
    let (Some(header), Some(expected)) = (message.header, message.keys) else { return Ok(()) };
    let first;
    let parsed = if message.kind == "pkmsg" {
        first = PreKeyMessage::parse(message.ciphertext).map_err(|error| error.to_string())?;
        *first.message()
    } else {
        SignalMessage::parse(message.ciphertext).map_err(|error| error.to_string())?
    };
    same("ratchet key", &parsed.ratchet_key().serialize(), &header.ratchet_key)?;
    if (parsed.counter(), parsed.previous_counter()) != (header.counter, header.previous_counter) {
        return Err(format!("counters {} and {}", parsed.counter(), parsed.previous_counter()));
    }
    let keys = MessageSeed::new(array(&expected.seed)?).message_keys();
    same("cipher key", keys.cipher(), &expected.cipher_key)?;
    same("authentication key", keys.mac(), &expected.mac_key)?;
    same("iv", keys.iv(), &expected.iv)?;
    if !parsed.is_authentic(&keys, sender, receiver) {
        return Err("the stated keys do not authenticate it".into());
    }
    let plaintext = keys.decipher(parsed.ciphertext()).map_err(|error| error.to_string())?;
    same("plaintext under the stated keys", &plaintext, message.plaintext)
}

impl Side {
    fn new(party: &Party) -> Result<Self, String> {
        let identity = pair(&party.identity_private)?;
        same("identity", identity.public.as_bytes(), &party.identity_public)?;
        let mut signed_prekeys = Vec::new();
        for key in &party.signed_prekeys {
            let keys = pair(&key.private)?;
            same("signed prekey", keys.public.as_bytes(), &key.public)?;
            let id = SignedPreKeyId::new(key.id).ok_or("signed prekey id out of range")?;
            signed_prekeys.push(SignedPreKey { id, keys, signature: signature(&key.signature)?, created: 0 });
        }
        let mut prekeys = Vec::new();
        for key in &party.one_time_prekeys {
            let keys = pair(&key.private)?;
            same("prekey", keys.public.as_bytes(), &key.public)?;
            prekeys.push(PreKey { id: PreKeyId::new(key.id).ok_or("prekey id out of range")?, keys });
        }
        Ok(Self {
            identity,
            registration_id: RegistrationId(party.registration_id),
            signed_prekeys,
            prekeys,
            session: None,
            archive: Archive::default().encode(),
            drawn: None,
        })
    }

    fn process(&mut self, vector: &BundleVector, drawn: &[Hex], byte_exact: bool) -> Outcome {
        let [base, ratchet] = drawn else { return Err(format!("{} keys drawn", drawn.len())) };
        let prekey = vector.one_time_prekey.as_ref().map(|key| {
            let id = PreKeyId::new(key.id).ok_or("prekey id out of range")?;
            Ok::<_, String>(PublicPreKey { id, key: public(&key.public)? })
        });
        let bundle = PreKeyBundle {
            registration_id: RegistrationId(vector.registration_id),
            identity: public(&vector.identity_public)?,
            signed_prekey: PublicSignedPreKey {
                id: SignedPreKeyId::new(vector.signed_prekey.id).ok_or("signed prekey id out of range")?,
                key: public(&vector.signed_prekey.public)?,
                signature: signature(&vector.signed_prekey.signature)?,
            },
            prekey: prekey.transpose()?,
        };
        let verified = bundle.verify().map_err(|error| error.to_string())?;
        let own = LocalIdentity { keys: &self.identity, registration_id: self.registration_id };
        let session = Session::initiate_with(own, &verified, &pair(base)?).map_err(|error| error.to_string())?;
        if let Some(old) = self.load()? {
            let mut archive = self.load_archive()?;
            archive.push(old);
            self.archive = archive.encode();
        }
        self.session = Some(session.encode());
        self.drawn = Some(pair(ratchet)?);
        if byte_exact { Ok(()) } else { self.complete_turn() }
    }

    fn encrypt(&mut self, plaintext: &[u8], expected: Option<(&str, &[u8])>) -> Outcome {
        self.complete_turn()?;
        let mut session = self.load()?.ok_or("no session")?;
        let predicted = session.ciphertext_len(plaintext.len());
        // Whatever is drawn is in the transcript, so nothing may come from here.
        let mut rng = Rng::new(&Seed::new([0; 32]));
        let made = session.encrypt(plaintext, &self.identity.public, &mut rng).map_err(|error| error.to_string())?;
        self.session = Some(session.encode());
        if predicted != made.bytes.len() {
            return Err(format!("{predicted} bytes were predicted, {} written", made.bytes.len()));
        }
        let Some((kind, ciphertext)) = expected else { return Ok(()) };
        if made.kind.as_str() != kind {
            return Err(format!("{} instead of {kind}", made.kind.as_str()));
        }
        same("ciphertext", &made.bytes, ciphertext)
    }

    fn deliver(&mut self, message: &Sent<'_>, tampered: Option<&Hex>, expect: &str, drawn: &[Hex]) -> Outcome {
        let bytes = tampered.map_or(message.ciphertext, |hex| hex);
        let before = (self.session.clone(), self.archive.clone());
        match (expect, self.open(message.kind, bytes)) {
            ("ok", Ok(ours)) => same("plaintext", &ours, message.plaintext)?,
            ("duplicate", Err(DecryptError::Duplicate)) if before == (self.session.clone(), self.archive.clone()) => {}
            ("error", Err(why))
                if !matches!(why, DecryptError::Duplicate | DecryptError::NeedsArchive)
                    && before == (self.session.clone(), self.archive.clone()) => {}
            (_, outcome) => return Err(format!("{expect} was expected, not {outcome:?}")),
        }
        match drawn {
            [] => {}
            [ratchet] => {
                if !self.load()?.is_some_and(|session| session.is_turn_due()) {
                    return Err("a turn of the ratchet was expected".into());
                }
                self.drawn = Some(pair(ratchet)?);
            }
            more => return Err(format!("{} keys drawn", more.len())),
        }
        Ok(())
    }

    /// Tries without the archive first, as a caller does that loads records on demand.
    fn open(&mut self, kind: &str, bytes: &[u8]) -> Result<Vec<u8>, DecryptError> {
        match self.open_with(kind, bytes, false) {
            Err(DecryptError::NeedsArchive) => self.open_with(kind, bytes, true),
            outcome => outcome,
        }
    }

    fn open_with(&mut self, kind: &str, bytes: &[u8], with_archive: bool) -> Result<Vec<u8>, DecryptError> {
        let mut loaded = self.load_archive().map_err(|_| DecryptError::NoSession)?;
        let session = self.load().map_err(|_| DecryptError::NoSession)?;
        let own = self.identity.public;
        let limit = JumpLimit::CONTACT;
        let mut archive = with_archive.then_some(&mut loaded);
        let (session, plaintext, changed) = if kind == "msg" {
            let mut session = session.ok_or(DecryptError::NoSession)?;
            let opened = session.decrypt(archive.as_deref_mut(), &SignalMessage::parse(bytes)?, &own, limit)?;
            (session, opened.plaintext, opened.archive_changed)
        } else {
            let message = PreKeyMessage::parse(bytes)?;
            let mut old = session;
            let known =
                old.as_mut().map(|session| session.decrypt_prekey(archive.as_deref_mut(), &message, &own, limit));
            match (known, old) {
                (Some(Ok(opened)), Some(session)) => (session, opened.plaintext, opened.archive_changed),
                (Some(Err(why)), _) if why != DecryptError::NoSession => return Err(why),
                (_, old) => {
                    let signed = self.signed_prekeys.iter().find(|key| key.id == message.signed_prekey_id());
                    let one_time = self.prekeys.iter().find(|key| Some(key.id) == message.prekey_id());
                    let prekeys = OwnPreKeys { signed: signed.ok_or(DecryptError::UnknownSignedPreKey)?, one_time };
                    let own = LocalIdentity { keys: &self.identity, registration_id: self.registration_id };
                    let accepted = Session::accept(old.as_ref(), archive, own, prekeys, &message, limit)?;
                    self.prekeys.retain(|key| Some(key.id) != message.prekey_id());
                    (accepted.session, accepted.plaintext, accepted.archive_changed)
                }
            }
        };
        if changed {
            self.archive = loaded.encode();
        }
        self.session = Some(session.encode());
        Ok(plaintext)
    }

    fn complete_turn(&mut self) -> Outcome {
        let Some(mut session) = self.load()? else { return Ok(()) };
        if !session.is_turn_due() {
            return Ok(());
        }
        let drawn = self.drawn.take().ok_or("a turn of the ratchet where no key was drawn")?;
        session.complete_turn(drawn).map_err(|error| error.to_string())?;
        self.session = Some(session.encode());
        Ok(())
    }

    fn load(&self) -> Result<Option<Session>, String> {
        self.session.as_ref().map(|record| Session::decode(record).map_err(|error| error.to_string())).transpose()
    }

    fn load_archive(&self) -> Result<Archive, String> {
        Archive::decode(&self.archive).map_err(|error| error.to_string())
    }
}
