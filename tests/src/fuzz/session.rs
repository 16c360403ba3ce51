//! A session between two devices with keys that never change: what they say is lost, doubled, disordered and damaged,
//! and the peer, who has the keys, may say what no honest engine would.

use super::script::Script;
use std::collections::BTreeSet;
use std::sync::LazyLock;
use whatsio_core::crypto::{KeyPair, PublicKey, Rng, Secret};
use whatsio_core::signal::chain::{ChainKey, RootKey};
use whatsio_core::signal::{
    Archive, CiphertextKind, DecryptError, ForeignReceiving, ForeignSending, ForeignSession, JumpLimit, LocalIdentity,
    OwnPreKeys, PreKey, PreKeyBundle, PreKeyId, PreKeyMessage, RegistrationId, Session, SignalMessage, SignedPreKey,
    SignedPreKeyId, VerifiedBundle,
};
use whatsio_core::types::Seed;
use whatsio_proto::fields::{put_bytes, put_uint};

/// A byte that chooses between honest peers and a dishonest one, then what they do.
pub fn run(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    if script.byte() & 1 == 0 { conversation(&mut script) } else { forgeries(&mut script) }
}

/// Both sides are ours; the network is not to be trusted.
fn conversation(script: &mut Script<'_>) {
    let cast = &*CAST;
    let mut rng = Rng::new(&Seed::new([3; 32]));
    let bundle = cast.bundle(script.below(2) == 0);
    let mut alice = Side::new(&cast.alice, 1);
    alice.session = Some(Session::initiate(alice.own(), &bundle, &mut rng).expect("a sound bundle"));
    let mut bob = Side::new(&cast.bob, 2);
    bob.one_time = Some(cast.one_time.clone());
    let (mut to_bob, mut to_alice) = (Way::default(), Way::default());

    for _ in 0..MOST_STEPS {
        if script.is_over() {
            break;
        }
        match script.below(10) {
            0 | 1 => alice.say(&mut to_bob, script, &mut rng),
            2 | 3 => bob.say(&mut to_alice, script, &mut rng),
            4 => to_bob.deliver(&mut bob, script),
            5 => to_alice.deliver(&mut alice, script),
            6 => to_bob.deliver_damaged(&mut bob, script),
            7 => to_alice.deliver_damaged(&mut alice, script),
            8 => {
                alice.restart();
                bob.restart();
            }
            _ => {
                let bundle = cast.bundle(false);
                let new = Session::initiate(alice.own(), &bundle, &mut rng).expect("a sound bundle");
                if let Some(old) = alice.session.replace(new) {
                    alice.archive.push(old);
                }
                // What the other side says in the old session comes late in the new one.
                (to_bob.is_orderly, to_alice.is_orderly) = (false, false);
            }
        }
        assert!(alice.archive.skipped_keys() <= 5_000 && bob.archive.skipped_keys() <= 5_000);
        assert!(alice.archive.len() <= 40 && bob.archive.len() <= 40);
    }
}

/// One device.
struct Side<'k> {
    keys: &'k KeyPair,
    registration_id: RegistrationId,
    session: Option<Session>,
    archive: Archive,
    one_time: Option<PreKey>,
}

impl<'k> Side<'k> {
    fn new(keys: &'k KeyPair, id: u32) -> Self {
        let registration_id = RegistrationId(id);
        Self { keys, registration_id, session: None, archive: Archive::default(), one_time: None }
    }

    const fn own(&self) -> LocalIdentity<'k> {
        LocalIdentity { keys: self.keys, registration_id: self.registration_id }
    }

    fn say(&mut self, way: &mut Way, script: &mut Script<'_>, rng: &mut Rng) {
        let Some(session) = &mut self.session else { return };
        let plaintext = script.short().to_vec();
        let expected = session.ciphertext_len(plaintext.len());
        let is_due = session.is_turn_due();
        let Ok(sealed) = session.encrypt(&plaintext, &self.keys.public, rng) else { return };
        assert!(is_due || sealed.bytes.len() == expected, "another length than announced");
        way.flying.push((way.said, sealed.kind, sealed.bytes));
        way.plaintexts.push(plaintext);
        way.said += 1;
    }

    /// Everything goes to the store and comes back.
    fn restart(&mut self) {
        if let Some(session) = &self.session {
            let again = Session::decode(&session.encode()).expect("a record of ours");
            assert!(again == *session, "another session comes back");
            self.session = Some(again);
        }
        let again = Archive::decode(&self.archive.encode()).expect("a record of ours");
        assert!(again == self.archive, "another archive comes back");
        self.archive = again;
    }

    fn hear(&mut self, kind: CiphertextKind, bytes: &[u8]) -> Option<Vec<u8>> {
        let before = self.records();
        let opened = match kind {
            CiphertextKind::PreKeyMessage => PreKeyMessage::parse(bytes).ok().and_then(|first| self.hear_first(&first)),
            CiphertextKind::Message => SignalMessage::parse(bytes).ok().and_then(|message| self.hear_next(&message)),
        };
        if opened.is_none() {
            assert!(before == self.records(), "refused, and changed all the same");
        }
        opened
    }

    fn records(&self) -> (Option<Vec<u8>>, Vec<u8>) {
        (self.session.as_ref().map(Session::encode), self.archive.encode())
    }

    fn hear_first(&mut self, first: &PreKeyMessage<'_>) -> Option<Vec<u8>> {
        if let Some(session) = &mut self.session {
            let known = session.decrypt_prekey(Some(&mut self.archive), first, &self.keys.public, LIMIT);
            match known {
                Ok(opened) => return Some(opened.plaintext),
                Err(DecryptError::NoSession) => {}
                Err(_) => return None,
            }
        }
        let one_time = match first.prekey_id() {
            Some(_) => Some(self.one_time.as_ref()?),
            None => None,
        };
        let prekeys = OwnPreKeys { signed: &CAST.signed, one_time };
        let own = LocalIdentity { keys: self.keys, registration_id: self.registration_id };
        let accepted =
            Session::accept(self.session.as_ref(), Some(&mut self.archive), own, prekeys, first, LIMIT).ok()?;
        if first.prekey_id().is_some() {
            self.one_time = None;
        }
        self.session = Some(accepted.session);
        Some(accepted.plaintext)
    }

    fn hear_next(&mut self, message: &SignalMessage<'_>) -> Option<Vec<u8>> {
        let session = self.session.as_mut()?;
        let own = self.keys.public;
        let opened = match session.decrypt(None, message, &own, LIMIT) {
            Err(DecryptError::NeedsArchive) => session.decrypt(Some(&mut self.archive), message, &own, LIMIT),
            other => other,
        };
        opened.ok().map(|opened| opened.plaintext)
    }
}

/// One direction.
struct Way {
    said: usize,
    plaintexts: Vec<Vec<u8>>,
    flying: Vec<(usize, CiphertextKind, Vec<u8>)>,
    opened: BTreeSet<usize>,
    /// Nothing was lost, doubled, disordered or damaged so far.
    is_orderly: bool,
}

impl Default for Way {
    fn default() -> Self {
        Self { said: 0, plaintexts: vec![], flying: vec![], opened: BTreeSet::new(), is_orderly: true }
    }
}

impl Way {
    fn deliver(&mut self, to: &mut Side<'_>, script: &mut Script<'_>) {
        if self.flying.is_empty() {
            return;
        }
        let choice = script.byte();
        let at = usize::from(choice >> 2) % self.flying.len();
        let (number, kind, bytes) = self.flying[at].clone();
        match choice & 3 {
            0 | 1 => drop(self.flying.remove(at)),
            2 => {}
            _ => {
                self.flying.remove(at);
                self.is_orderly = false;
                return;
            }
        }
        self.is_orderly &= at == 0;
        let is_first = !self.opened.contains(&number);
        match to.hear(kind, &bytes) {
            Some(plaintext) => self.opened_one(number, &plaintext),
            None => assert!(!(self.is_orderly && is_first), "a message in order is refused"),
        }
    }

    fn deliver_damaged(&mut self, to: &mut Side<'_>, script: &mut Script<'_>) {
        let choice = script.byte();
        let genuine = self.flying.get(usize::from(choice >> 1) % self.flying.len().max(1)).cloned();
        let (number, kind, bytes) = match genuine {
            Some((number, kind, bytes)) => (Some(number), kind, script.damaged(&bytes)),
            None if choice & 1 == 0 => (None, CiphertextKind::Message, script.piece().to_vec()),
            None => (None, CiphertextKind::PreKeyMessage, script.piece().to_vec()),
        };
        // What wraps the ratchet message of a first message is not authenticated; the message itself is.
        if let Some(plaintext) = to.hear(kind, &bytes) {
            self.opened_one(number.expect("noise does not open"), &plaintext);
            self.is_orderly = false;
        }
    }

    fn opened_one(&mut self, number: usize, plaintext: &[u8]) {
        assert!(self.opened.insert(number), "one message opens twice");
        assert!(self.plaintexts[number] == plaintext, "it opens to something else");
    }
}

/// The peer has the keys and writes messages by hand: any counter, any ratchet key, any ciphertext.
fn forgeries(script: &mut Script<'_>) {
    let cast = &*CAST;
    let (root, ratchet) = ([9; 32], KeyPair::from_private([11; 32]));
    let (theirs, chain) = (KeyPair::from_private([13; 32]), [15; 32]);
    let foreign = ForeignSession {
        remote_identity: *cast.alice.public.as_bytes(),
        base_key: *theirs.public.as_bytes(),
        root: Secret::new(root),
        own_registration_id: 2,
        remote_registration_id: 1,
        previous_counter: 0,
        sending: Some(ForeignSending { ratchet: Secret::new([11; 32]), key: Secret::new([12; 32]), index: 3 }),
        receiving: vec![ForeignReceiving {
            ratchet: *theirs.public.as_bytes(),
            key: Secret::new(chain),
            index: 0,
            skipped: vec![],
        }],
        pending: None,
    };
    let mut archive = Archive::default();
    let mut bob = Side::new(&cast.bob, 2);
    bob.session = Some(Session::of_foreign(foreign, &mut archive).expect("parts of a session"));
    let mut seen = BTreeSet::new();
    let mut turned: Option<([u8; 32], ChainKey)> = None;

    for _ in 0..MOST_FORGERIES {
        if script.is_over() {
            break;
        }
        let kind = script.byte();
        // Beyond the jump limit no keys are needed: it must be refused before.
        let counter = match kind >> 1 & 3 {
            0 => u32::from(script.byte()),
            1 => u32::from(script.u16()) % 4_096,
            2 => u32::MAX - u32::from(script.byte()),
            _ => script.u32(),
        };
        let (key, first) = if kind & 1 == 0 {
            (*theirs.public.as_bytes(), ChainKey::new(chain))
        } else {
            // One turn of the ratchet, to any point of the curve, or off it.
            match &turned {
                Some((key, first)) => (*key, first.clone()),
                None => {
                    let mut key = [0; 32];
                    for (place, byte) in key.iter_mut().zip(script.take(32)) {
                        *place = *byte;
                    }
                    let Ok(shared) = ratchet.agree(&PublicKey::from_bytes(key)) else {
                        let bytes = forged(&key, counter, None, script);
                        assert!(bob.hear(CiphertextKind::Message, &bytes).is_none(), "no secret, but it opens");
                        continue;
                    };
                    (key, RootKey::new(root).step(&shared).1)
                }
            }
        };
        let seed = (counter < 4_096).then(|| {
            let mut at = first.clone();
            for _ in 0..counter {
                at = at.next();
            }
            at.seed()
        });
        let bytes =
            forged(&key, counter, seed.as_ref().map(whatsio_core::signal::chain::MessageSeed::message_keys), script);
        if bob.hear(CiphertextKind::Message, &bytes).is_some() {
            assert!(seed.is_some(), "a jump beyond the limit is taken");
            assert!(seen.insert((key, counter)), "a counter is taken twice");
            if kind & 1 == 1 {
                turned.get_or_insert((key, first));
            }
        }
        bob.restart();
    }
}

/// A ratchet message as written by hand, authenticated where `keys` are given.
fn forged(
    ratchet: &[u8; 32],
    counter: u32,
    keys: Option<whatsio_core::signal::chain::MessageKeys>,
    script: &mut Script<'_>,
) -> Vec<u8> {
    let cast = &*CAST;
    let choice = script.byte();
    let words = script.short();
    let mut body = vec![0x33];
    put_bytes(&mut body, 1, &[&[5], ratchet.as_slice()].concat());
    put_uint(&mut body, 2, counter.into());
    if choice & 1 == 0 {
        put_uint(&mut body, 3, script.u32().into());
    }
    let mut sealed = Vec::new();
    match &keys {
        // A ciphertext with the right code and the wrong padding or length.
        Some(keys) if choice & 2 == 0 => keys.encipher_onto(words, &mut sealed),
        _ => sealed.extend_from_slice(words),
    }
    put_bytes(&mut body, 4, &sealed);
    if choice & 4 != 0 {
        body.extend_from_slice(script.short());
    }
    let code = keys.map_or([0; 8], |keys| keys.authenticate(&cast.alice.public, &cast.bob.public, &body));
    body.extend_from_slice(&code);
    body
}

struct Cast {
    alice: KeyPair,
    bob: KeyPair,
    signed: SignedPreKey,
    one_time: PreKey,
}

impl Cast {
    fn bundle(&self, with_one_time: bool) -> VerifiedBundle {
        let bundle = PreKeyBundle {
            registration_id: RegistrationId(2),
            identity: self.bob.public,
            signed_prekey: self.signed.public(),
            prekey: with_one_time.then(|| self.one_time.public()),
        };
        bundle.verify().expect("signed by us")
    }
}

static CAST: LazyLock<Cast> = LazyLock::new(|| {
    let mut rng = Rng::new(&Seed::new([5; 32]));
    let (alice, bob) = (KeyPair::generate(&mut rng), KeyPair::generate(&mut rng));
    let signed = SignedPreKey::generate(SignedPreKeyId::FIRST, &bob, 0, &mut rng);
    let one_time = PreKey::generate(PreKeyId::FIRST, &mut rng);
    Cast { alice, bob, signed, one_time }
});

const LIMIT: JumpLimit = JumpLimit::CONTACT;
const MOST_STEPS: usize = 64;
const MOST_FORGERIES: usize = 12;
