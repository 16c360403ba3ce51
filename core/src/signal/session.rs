//! A session's steady state: root, chains, counters, keys. Knows neither who the peer is nor where records live.

use super::chain::{ChainKey, RootKey};
use super::message::{Header, Preamble};
use super::ratchet::{self, Draft};
use super::{
    Archive, BundleError, CiphertextKind, DecryptError, EncryptError, JumpLimit, LocalIdentity, OwnPreKeys, PreKeyId,
    PreKeyMessage, RegistrationId, SignalMessage, SignedPreKeyId, VerifiedBundle, agreement,
};
use crate::crypto::{KeyPair, PublicKey, Rng};

/// One state of a session with a device.
///
/// Everything an in-order conversation needs, in a record of about 280 bytes; skipped keys and replaced states are in
/// [`Archive`], which calls take as `None` while it is not loaded. After a message of the peer that turns the ratchet, our half of the turn is *due*: it is done when we
/// next encrypt, so a session that is only read never pays for it. Private keys in here are wiped on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct Session {
    pub(super) remote_identity: PublicKey,
    pub(super) base_key: PublicKey,
    pub(super) root: RootKey,
    pub(super) own_registration_id: RegistrationId,
    pub(super) remote_registration_id: RegistrationId,
    pub(super) previous_counter: u32,
    pub(super) sending: Sending,
    /// Newest first, at most [`RECEIVING_LIMIT`]. Not empty while `sending` is due.
    pub(super) receiving: Vec<ReceivingChain>,
    pub(super) pending: Option<Pending>,
}

/// The sending half.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Sending {
    /// To be made from the newest receiving chain's ratchet key when we next send.
    Due,
    Chain(SendingChain),
}

#[derive(Clone, PartialEq, Eq)]
pub(super) struct SendingChain {
    pub(super) ratchet: KeyPair,
    pub(super) key: ChainKey,
    pub(super) index: u32,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) struct ReceivingChain {
    pub(super) ratchet: PublicKey,
    pub(super) key: ChainKey,
    pub(super) index: u32,
    /// How many keys of this chain the archive holds at most: tells without it that a late message is a duplicate.
    pub(super) skipped: u16,
}

/// What first messages repeat until the peer answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) signed_prekey: SignedPreKeyId,
    pub(super) prekey: Option<PreKeyId>,
}

/// An encrypted message, ready for an `enc`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ciphertext {
    /// Which form it has.
    pub kind: CiphertextKind,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// A decrypted message.
pub struct Opened {
    /// The content, still padded.
    pub plaintext: Vec<u8>,
    /// Whether the archive must be stored too.
    pub archive_changed: bool,
}

/// A session set up by a first message, and what that message said.
pub struct Accepted {
    /// The new session. It replaces the old one, which is in the archive now.
    pub session: Session,
    /// The content, still padded.
    pub plaintext: Vec<u8>,
    /// Whether the archive must be stored too.
    pub archive_changed: bool,
}

impl Session {
    /// Starts a session from a bundle. A session it replaces belongs into the archive: [`Archive::push`].
    ///
    /// Costs three or four agreements and a key pair. Fails with `DegenerateKey`.
    pub fn initiate(own: LocalIdentity<'_>, bundle: &VerifiedBundle, rng: &mut Rng) -> Result<Self, BundleError> {
        Self::initiate_with(own, bundle, &KeyPair::generate(rng))
    }

    /// Like [`Self::initiate`] with a given base key, for replaying recorded sessions: a base key may be used once only.
    pub fn initiate_with(own: LocalIdentity<'_>, bundle: &VerifiedBundle, base: &KeyPair) -> Result<Self, BundleError> {
        let bundle = bundle.bundle();
        let signed = &bundle.signed_prekey;
        let prekey = bundle.prekey.as_ref();
        let (root, first) =
            agreement::initiate(own.keys, base, &bundle.identity, &signed.key, prekey.map(|prekey| &prekey.key))
                .map_err(|_| BundleError::DegenerateKey)?;
        Ok(Self {
            remote_identity: bundle.identity,
            base_key: base.public,
            root,
            own_registration_id: own.registration_id,
            remote_registration_id: bundle.registration_id,
            previous_counter: 0,
            sending: Sending::Due,
            // The responder could send on this chain before it turns the ratchet, though no engine does.
            receiving: vec![ReceivingChain { ratchet: signed.key, key: first, index: 0, skipped: 0 }],
            pending: Some(Pending { signed_prekey: signed.id, prekey: prekey.map(|prekey| prekey.id) }),
        })
    }

    /// Sets a session up from a first message and opens that message.
    ///
    /// For messages that [`Self::decrypt_prekey`] answered with `NoSession`, or where there is no session at all. `old`
    /// is the session to replace; it goes to the archive, so then the archive must be loaded. The caller stores the
    /// result and deletes the one-time prekey in one commit. Costs four or five agreements. Fails with `NeedsArchive`,
    /// with `UnknownPreKey` or `UnknownSignedPreKey` when `prekeys` are not those the message names, and like decrypting.
    pub fn accept(
        old: Option<&Self>,
        archive: Option<&mut Archive>,
        own: LocalIdentity<'_>,
        prekeys: OwnPreKeys<'_>,
        message: &PreKeyMessage<'_>,
        limit: JumpLimit,
    ) -> Result<Accepted, DecryptError> {
        if old.is_some() && archive.is_none() {
            return Err(DecryptError::NeedsArchive);
        }
        if prekeys.signed.id != message.signed_prekey_id() {
            return Err(DecryptError::UnknownSignedPreKey);
        }
        if prekeys.one_time.map(|key| key.id) != message.prekey_id() {
            return Err(DecryptError::UnknownPreKey);
        }
        let signed = &prekeys.signed.keys;
        let one_time = prekeys.one_time.map(|key| &key.keys);
        let (root, first) = agreement::respond(own.keys, signed, one_time, message.identity(), message.base_key())
            .map_err(|_| DecryptError::DegenerateKey)?;
        let mut session = Self {
            remote_identity: *message.identity(),
            base_key: *message.base_key(),
            root,
            own_registration_id: own.registration_id,
            remote_registration_id: message.registration_id(),
            previous_counter: 0,
            sending: Sending::Chain(SendingChain { ratchet: signed.clone(), key: first, index: 0 }),
            receiving: Vec::with_capacity(1),
            pending: None,
        };
        let draft = ratchet::open(&session, archive.as_deref(), message.message(), &own.keys.public, limit)?;
        let Some(archive) = archive else {
            let (plaintext, archive_changed) = draft.apply(&mut session, None);
            return Ok(Accepted { session, plaintext, archive_changed });
        };
        if let Some(old) = old {
            archive.push(old.clone());
        }
        let (plaintext, kept) = draft.apply(&mut session, Some(archive));
        Ok(Accepted { session, plaintext, archive_changed: kept || old.is_some() })
    }

    /// Encrypts for the peer and moves the sending chain on. Store the session before the bytes leave: a counter that
    /// is used twice gives both messages away.
    ///
    /// Gives a `pkmsg` until the peer's first message in this session. Costs a key pair and an agreement when our half
    /// of a ratchet turn is due, else hashing only.
    pub fn encrypt(
        &mut self,
        plaintext: &[u8],
        own_identity: &PublicKey,
        rng: &mut Rng,
    ) -> Result<Ciphertext, EncryptError> {
        let mut bytes = Vec::with_capacity(self.ciphertext_len(plaintext.len()));
        let kind = self.encrypt_onto(plaintext, own_identity, rng, &mut bytes)?;
        Ok(Ciphertext { kind, bytes })
    }

    /// Like [`Self::encrypt`], appending to a frame that is being written. Appends nothing on failure.
    pub fn encrypt_onto(
        &mut self,
        plaintext: &[u8],
        own_identity: &PublicKey,
        rng: &mut Rng,
        out: &mut Vec<u8>,
    ) -> Result<CiphertextKind, EncryptError> {
        if self.is_turn_due() {
            self.complete_turn(KeyPair::generate(rng))?;
        }
        // A turn that was due is complete now; without a chain there is nothing to count on.
        let Sending::Chain(chain) = &self.sending else { return Err(EncryptError::CounterExhausted) };
        if chain.index == u32::MAX {
            return Err(EncryptError::CounterExhausted);
        }
        let (seed, next) = chain.key.step();
        let keys = seed.message_keys();
        let header = self.header(chain);
        let put = |out: &mut Vec<u8>| header.put_message(&keys, own_identity, &self.remote_identity, plaintext, out);
        let kind = match self.preamble(own_identity) {
            Some(preamble) => {
                preamble.put_around(header.message_len(plaintext.len()), put, out);
                CiphertextKind::PreKeyMessage
            }
            None => {
                put(out);
                CiphertextKind::Message
            }
        };
        if let Sending::Chain(chain) = &mut self.sending {
            chain.key = next;
            chain.index += 1;
        }
        Ok(kind)
    }

    /// The length that encrypting `plaintext` bytes will give now; for writing lengths before contents.
    #[must_use]
    pub fn ciphertext_len(&self, plaintext: usize) -> usize {
        let message = match &self.sending {
            Sending::Chain(chain) => self.header(chain),
            Sending::Due => Header { ratchet_key: &self.base_key, counter: 0, previous_counter: self.previous_counter },
        }
        .message_len(plaintext);
        self.preamble(&self.remote_identity).map_or(message, |preamble| preamble.len_around(message))
    }

    /// Does our half of a ratchet turn now with a given key, for replaying recorded sessions: a key may be used once
    /// only. [`Self::encrypt`] does it by itself when it is due. Does nothing when it is not.
    pub fn complete_turn(&mut self, fresh: KeyPair) -> Result<(), EncryptError> {
        let (Sending::Due, Some(newest)) = (&self.sending, self.receiving.first()) else { return Ok(()) };
        let shared = fresh.agree(&newest.ratchet).map_err(|_| EncryptError::DegenerateKey)?;
        let (root, key) = self.root.step(&shared);
        self.root = root;
        self.sending = Sending::Chain(SendingChain { ratchet: fresh, key, index: 0 });
        Ok(())
    }

    /// Decrypts a `msg`: first try it without the archive; on `NeedsArchive` load that and call again.
    ///
    /// A message in order, or at the start of the peer's next chain, never needs the archive, nor does a redelivered
    /// one unless messages are missing. An archived state that opens it becomes the current one. On any failure
    /// neither value has changed.
    pub fn decrypt(
        &mut self,
        archive: Option<&mut Archive>,
        message: &SignalMessage<'_>,
        own_identity: &PublicKey,
        limit: JumpLimit,
    ) -> Result<Opened, DecryptError> {
        let failure = match ratchet::open(self, archive.as_deref(), message, own_identity, limit) {
            Ok(draft) => return Ok(self.apply(draft, archive)),
            Err(failure @ (DecryptError::NeedsArchive | DecryptError::Duplicate)) => return Err(failure),
            Err(failure) => failure,
        };
        let archive = archive.ok_or(DecryptError::NeedsArchive)?;
        let mut worst = failure;
        for at in 0..archive.len() {
            let Some(state) = archive.state(at) else { break };
            match ratchet::open(state, Some(&*archive), message, own_identity, limit) {
                Ok(draft) => return self.promote(archive, at, draft),
                Err(DecryptError::Duplicate) => return Err(DecryptError::Duplicate),
                Err(other) if worst == DecryptError::BadMac => worst = other,
                Err(_) => {}
            }
        }
        Err(worst)
    }

    /// Decrypts a `pkmsg` whose session is already set up: the current one or one in the archive, told by its base key.
    ///
    /// Fails with `NoSession` when there is none; then the prekeys are loaded and [`Self::accept`] is called. Else like
    /// [`Self::decrypt`], but only that one state is tried.
    pub fn decrypt_prekey(
        &mut self,
        archive: Option<&mut Archive>,
        message: &PreKeyMessage<'_>,
        own_identity: &PublicKey,
        limit: JumpLimit,
    ) -> Result<Opened, DecryptError> {
        let inner = message.message();
        if self.base_key == *message.base_key() {
            let draft = ratchet::open(self, archive.as_deref(), inner, own_identity, limit)?;
            return Ok(self.apply(draft, archive));
        }
        let archive = archive.ok_or(DecryptError::NeedsArchive)?;
        let at = archive.position(message.base_key()).ok_or(DecryptError::NoSession)?;
        let state = archive.state(at).ok_or(DecryptError::NoSession)?;
        let draft = ratchet::open(state, Some(&*archive), inner, own_identity, limit)?;
        self.promote(archive, at, draft)
    }

    /// The peer's identity in this session.
    #[must_use]
    pub const fn remote_identity(&self) -> &PublicKey {
        &self.remote_identity
    }

    /// The peer's registration id.
    #[must_use]
    pub const fn remote_registration_id(&self) -> RegistrationId {
        self.remote_registration_id
    }

    /// The key that names this session; a retry that still shows it means that the peer never got the new one.
    #[must_use]
    pub const fn base_key(&self) -> &PublicKey {
        &self.base_key
    }

    /// Whether we started it and the peer has not answered yet, so that messages are still `pkmsg`.
    #[must_use]
    pub const fn is_unanswered(&self) -> bool {
        self.pending.is_some()
    }

    /// Whether our half of a ratchet turn will be done by the next encryption.
    #[must_use]
    pub const fn is_turn_due(&self) -> bool {
        matches!(self.sending, Sending::Due)
    }

    /// The receiving half of a ratchet turn; ours becomes due.
    pub(super) fn turn(&mut self, root: RootKey, chain: ReceivingChain) {
        if let Sending::Chain(sending) = &self.sending {
            self.previous_counter = sending.index.saturating_sub(1);
        }
        self.root = root;
        self.sending = Sending::Due;
        self.receiving.truncate(RECEIVING_LIMIT - 1);
        self.receiving.insert(0, chain);
    }

    fn apply(&mut self, draft: Draft, archive: Option<&mut Archive>) -> Opened {
        let (plaintext, archive_changed) = draft.apply(self, archive);
        Opened { plaintext, archive_changed }
    }

    fn promote(&mut self, archive: &mut Archive, at: usize, draft: Draft) -> Result<Opened, DecryptError> {
        let mut state = archive.take(at).ok_or(DecryptError::NoSession)?;
        let (plaintext, _) = draft.apply(&mut state, Some(archive));
        archive.forget_dropped_chains(&state);
        archive.push(std::mem::replace(self, state));
        Ok(Opened { plaintext, archive_changed: true })
    }

    fn header<'s>(&self, chain: &'s SendingChain) -> Header<'s> {
        Header { ratchet_key: &chain.ratchet.public, counter: chain.index, previous_counter: self.previous_counter }
    }

    fn preamble<'s>(&'s self, own_identity: &'s PublicKey) -> Option<Preamble<'s>> {
        let pending = self.pending?;
        Some(Preamble {
            registration_id: self.own_registration_id,
            prekey_id: pending.prekey,
            signed_prekey_id: pending.signed_prekey,
            base_key: &self.base_key,
            identity: own_identity,
        })
    }
}

/// Receiving chains a state keeps; the oldest is dropped. All peers use this number.
pub(super) const RECEIVING_LIMIT: usize = 5;
