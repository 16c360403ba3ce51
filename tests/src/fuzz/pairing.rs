//! What linking exchanges: signed identities, lists of keys, payloads, passkeys and their JSON. What was made with other
//! keys must never be taken, however it is damaged.

use super::script::Script;
use bytes::Bytes;
use std::sync::LazyLock;
use whatsio_core::api::ProtocolProfile;
use whatsio_core::crypto::{KeyPair, Rng, Secret};
use whatsio_core::pairing::payload::{Registration, login_payload, read, registration_payload};
use whatsio_core::pairing::primary::{DeviceDetails, IssuedIdentity};
use whatsio_core::pairing::{Assertion, KeyIndexList, adv, assertion, passkey};
use whatsio_core::relay::{Authenticator, RelyingParty};
use whatsio_core::types::Seed;

/// A byte that chooses the genuine value, then its damage; or a text instead.
pub fn run(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let cast = &*CAST;
    let choice = script.below(SAMPLES + 1);
    let genuine = cast.samples.get(choice);
    let bytes = match genuine {
        Some(genuine) => script.damaged(genuine),
        None => script.rest().to_vec(),
    };
    identities(&bytes, genuine);
    let _ = read(&bytes);
    passkeys(&bytes, &mut script);
    if let Ok(text) = std::str::from_utf8(&bytes) {
        assertions(text, genuine);
    }
}

fn identities(bytes: &[u8], genuine: Option<&Bytes>) {
    let cast = &*CAST;
    let is_genuine = genuine.is_some_and(|genuine| genuine == bytes);
    match adv::verify_pair_success(bytes, &cast.secret, &cast.companion, &[0; 64]) {
        Ok(linked) => {
            let again = cast.issued.verify_reply(&linked.reply, &cast.companion.public);
            assert!(again.is_ok(), "the phone refuses the answer to what it said");
        }
        Err(_) => assert!(!is_genuine || cast.samples[0] != bytes, "the phone's own words are refused"),
    }
    assert!(adv::verify_pair_success(bytes, &Secret::new([9; 32]), &cast.companion, &[0; 64]).is_err());
    let _ = adv::verify_device_identity(bytes, &cast.companion.public, Some(&cast.account.public));
    let stranger = KeyPair::from_private([77; 32]);
    assert!(adv::verify_device_identity(bytes, &cast.companion.public, Some(&stranger.public)).is_err());

    let _ = KeyIndexList::read_unverified(bytes);
    if let Ok(list) = KeyIndexList::verify(bytes, &cast.account.public) {
        assert!(list == cast.list, "an unsigned list is taken");
    }
    assert!(KeyIndexList::verify(bytes, &stranger.public).is_err());
}

fn passkeys(bytes: &[u8], script: &mut Script<'_>) {
    let cast = &*CAST;
    let (companion, prologue) = passkey::AwaitingPrimaryIdentity::start(cast.companion.clone(), [4; 32], 1, "ref");
    if let Ok(confirming) = companion.receive(bytes) {
        let _ = confirming.open(script.rest());
    }
    let answered = passkey::AwaitingCompanionNonce::start(bytes, cast.account.clone(), [0; 32]);
    if let Ok((phone, _)) = answered {
        assert!(phone.reference().len() <= bytes.len());
        let taken = phone.receive(companion.nonce()).is_ok();
        assert!(taken || *bytes != *prologue, "the companion's own words are refused");
    }
}

fn assertions(text: &str, genuine: Option<&Bytes>) {
    let cast = &*CAST;
    let _ = assertion::is_request(text.as_bytes());
    if let Ok(read) = Assertion::parse(text) {
        assert_eq!(read.json(), text.as_bytes(), "it is passed on as it is");
        assert!((1..=1023).contains(&read.credential_id().len()));
    }
    let party = RelyingParty::default();
    let mut authenticator = Authenticator::create(&mut Rng::new(&Seed::new([1; 32])), party.clone());
    let mut credential = authenticator.credential();
    let verdict = credential.verify(&party, CHALLENGE, text);
    if genuine.is_some_and(|genuine| genuine == text.as_bytes()) && cast.samples[SAMPLES - 2] == text.as_bytes() {
        assert!(verdict.is_ok(), "a genuine assertion is refused");
    }
    if verdict.is_ok() {
        assert!(credential.verify(&party, CHALLENGE, text).is_err(), "an assertion counts twice");
        assert!(credential.clone().verify(&party, b"another challenge", text).is_err());
    }
    if let Ok(answer) = authenticator.assert(text) {
        assert!(assertion::is_request(text.as_bytes()), "a request for one and not for the other");
        assert!(Assertion::parse(&answer).is_ok(), "no assertion: {answer}");
    }
}

struct Cast {
    account: KeyPair,
    companion: KeyPair,
    secret: Secret<32>,
    issued: IssuedIdentity,
    list: KeyIndexList,
    samples: [Bytes; SAMPLES],
}

static CAST: LazyLock<Cast> = LazyLock::new(|| {
    let mut rng = Rng::new(&Seed::new([11; 32]));
    let (account, companion) = (KeyPair::generate(&mut rng), KeyPair::generate(&mut rng));
    let secret = Secret::new([1; 32]);
    let details = DeviceDetails { raw_id: 1, timestamp: 2, key_index: 3, account_type: None, device_type: None };
    let issued = IssuedIdentity::issue(&account, &details, &companion.public, &[2; 64]);
    let list = KeyIndexList { raw_id: 1, valid_indexes: vec![1, 2], ..KeyIndexList::default() };
    let registration = Registration {
        registration_id: 1,
        identity: companion.public,
        signed_prekey_id: 1,
        signed_prekey: account.public,
        signature: companion.sign(&[&account.public.serialize()], &[3; 64]),
    };
    let (_, prologue) = passkey::AwaitingPrimaryIdentity::start(companion.clone(), [4; 32], 1, "ref");
    let (_, answer) = passkey::AwaitingCompanionNonce::start(&prologue, account.clone(), [5; 32]).expect("genuine");
    let profile = ProtocolProfile::default();
    let request = format!(r#"{{"challenge":"{CHALLENGE_TEXT}","rpId":"{}"}}"#, RelyingParty::default().id);
    let mut authenticator = Authenticator::create(&mut Rng::new(&Seed::new([1; 32])), RelyingParty::default());
    let asserted = authenticator.assert(&request).expect("a request");
    let samples = [
        issued.container(&secret, None),
        issued.encode(),
        list.sign(&account, true, &[6; 64]),
        list.sign(&account, false, &[6; 64]),
        registration_payload(&profile, &registration),
        login_payload(&profile, 15_551_234_567, 2),
        prologue,
        answer,
        asserted.into(),
        request.into(),
    ];
    Cast { account, companion, secret, issued, list, samples }
});

const SAMPLES: usize = 10;
const CHALLENGE: &[u8] = b"a challenge";
const CHALLENGE_TEXT: &str = "YSBjaGFsbGVuZ2U";
