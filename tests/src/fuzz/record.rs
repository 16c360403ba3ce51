//! Records of keys as a damaged or malicious store would give them: what decodes has one written form, and serves
//! without a panic however its parts contradict each other.

use super::script::Script;
use whatsio_core::crypto::{KeyPair, Rng};
use whatsio_core::signal::{
    Archive, CiphertextKind, JumpLimit, PreKey, PreKeyMessage, SenderKey, SenderKeyRecord, Session, SignalMessage,
    SignedPreKey,
};
use whatsio_core::types::Seed;

/// A byte that chooses the kind, then the record; a session is followed by an archive and a message.
pub fn run(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    match script.below(6) {
        0 => session(&mut script),
        1 => check(script.rest(), Archive::decode, Archive::encode, |archive| {
            assert!(archive.len() <= 40 && archive.skipped_keys() <= 5_000);
            let mut twice = archive.clone();
            twice.absorb(archive.clone());
            let newest = twice.take_newest();
            twice.retain(|_| true, newest.as_ref());
            if let Some(newest) = newest {
                twice.push(newest.clone());
                twice.push_behind(newest);
            }
            let again = Archive::decode(&twice.encode()).expect("a record of ours");
            assert!(again == twice);
        }),
        2 => check(script.rest(), SenderKeyRecord::decode, SenderKeyRecord::encode, |record| {
            let mut twice = record.clone();
            twice.absorb(record);
            assert!(SenderKeyRecord::decode(&twice.encode()).expect("a record of ours") == twice);
        }),
        3 => check(script.rest(), SenderKey::decode, SenderKey::encode, |mut key| {
            let _ = key.encrypt_with(b"words", &[1; 64]);
        }),
        4 => check(script.rest(), PreKey::decode, PreKey::encode, drop),
        _ => check(script.rest(), SignedPreKey::decode, SignedPreKey::encode, drop),
    }
}

fn check<T, E>(
    record: &[u8],
    decode: impl Fn(&[u8]) -> Result<T, E>,
    encode: impl Fn(&T) -> Vec<u8>,
    serve: impl FnOnce(T),
) {
    let Ok(value) = decode(record) else { return };
    let written = encode(&value);
    // Private keys are clamped in reading, so the same bytes need not come back; as many do.
    assert!(written.first() != record.first() || written.len() == record.len(), "a record has another length");
    let again = decode(&written).ok().expect("a record of ours");
    assert!(encode(&again) == written, "there is one written form");
    serve(value);
}

fn session(script: &mut Script<'_>) {
    let record = script.piece();
    let Ok(mut session) = Session::decode(record) else { return };
    assert!(session.encode().len() == record.len(), "a record has another length");
    let mut archive = Archive::decode(script.piece()).unwrap_or_default();
    let own = KeyPair::from_private([2; 32]).public;
    let mut rng = Rng::new(&Seed::new([1; 32]));
    let message = script.piece();
    let before = (session.encode(), archive.encode());
    let opened = if let Ok(first) = PreKeyMessage::parse(message) {
        session.decrypt_prekey(Some(&mut archive), &first, &own, JumpLimit::OWN_DEVICE).is_ok()
    } else if let Ok(next) = SignalMessage::parse(message) {
        session.decrypt(Some(&mut archive), &next, &own, JumpLimit::OWN_DEVICE).is_ok()
    } else {
        false
    };
    if !opened {
        assert!(before == (session.encode(), archive.encode()), "refused, and changed all the same");
    }
    if let Ok(sealed) = session.encrypt(b"words", &own, &mut rng) {
        assert_eq!(sealed.kind == CiphertextKind::PreKeyMessage, session.is_unanswered());
    }
    archive.push(session.clone());
    let again = (Session::decode(&session.encode()), Archive::decode(&archive.encode()));
    assert!(again == (Ok(session), Ok(archive)), "something else comes back");
}
