//! Linking that a passkey has to allow, as a strict companion goes through it.

use super::*;
use crate::crypto::Secret;
use crate::pairing::passkey::{
    AwaitingConfirmation, AwaitingPrimaryIdentity, PairingInformation, handoff_key, handoff_proof,
};
use crate::relay::{Authenticator, LinkingFault, PhoneRefusal, RelyingParty};

const PHONE: &str = "15550100001";

/// A companion that was scanned and asked for a passkey.
struct Asked {
    bench: Bench,
    device: Device,
    link: LinkId,
    request: String,
}

/// A companion that sent its prologue.
struct Begun {
    state: AwaitingPrimaryIdentity,
    payload: Bytes,
}

fn md(kind: &str, child: Node) -> Node {
    Node::new("iq").with("xmlns", "md").with("type", kind).with_child(child)
}

fn code_of(reply: &Node) -> Option<u64> {
    reply.child("error").and_then(|error| error.number("code"))
}

impl Asked {
    fn new(fault: Option<LinkingFault>) -> Self {
        let mut bench = Bench::new();
        bench.relay.require_passkey(PHONE).unwrap();
        if let Some(fault) = fault {
            bench.relay.faults().break_linking(fault);
        }
        let device = bench.device();
        let (link, references) = bench.register(&device);
        bench.relay.scan_qr(bench.now, Some(PHONE), &qr(&device, &references[0])).unwrap();
        bench.drain();
        let notice = bench.take(link).pop().expect("a request for a passkey");
        assert_eq!(notice.text("type").as_deref(), Some("passkey_prologue_request"));
        let request =
            notice.child("passkey_request_options").and_then(Node::content_text).unwrap_or_default().to_owned();
        assert!(bench.events.contains(&RelayEvent::PasskeyRequested { account: PHONE.to_owned() }));
        Self { bench, device, link, request }
    }

    fn begin(&mut self, proof: bool) -> (Begun, Node) {
        let assertion = self.bench.relay.assert_passkey(PHONE, &self.request).unwrap();
        self.begin_with(&assertion, proof)
    }

    fn begin_with(&mut self, assertion: &str, proof: bool) -> (Begun, Node) {
        let reply = self.bench.ask(self.link, md("get", Node::new("ref")));
        let reference = reply.child("ref").and_then(Node::content_text).unwrap().to_owned();
        let ephemeral = KeyPair::generate(&mut self.bench.rng);
        let (state, payload) = AwaitingPrimaryIdentity::start(ephemeral, self.bench.rng.bytes(), 1, &reference);
        let begun = Begun { state, payload };
        let reply = self.prologue(&begun, assertion, proof);
        (begun, reply)
    }

    fn prologue(&mut self, begun: &Begun, assertion: &str, proof: bool) -> Node {
        let id = crate::pairing::Assertion::parse(assertion).unwrap().credential_id().clone();
        let mut prologue = Node::new("passkey_prologue")
            .with_child(Node::new("credential_id").with_bytes(id))
            .with_child(Node::new("webauthn_assertion").with_bytes(assertion.as_bytes().to_vec()))
            .with_child(Node::new("prologue_payload").with_bytes(begun.payload.clone()));
        if proof {
            let proof = handoff_proof(&handoff_key(&Secret::new(self.device.secret)), &begun.payload);
            prologue = prologue.with_child(Node::new("pairing_handoff_proof").with_bytes(proof.to_vec()));
        }
        self.bench.ask(self.link, md("set", prologue))
    }

    /// Takes the continuation and reveals the nonce.
    fn reveal(&mut self, begun: &Begun) -> (AwaitingConfirmation, Node) {
        let notice = self.bench.take(self.link).pop().expect("a continuation");
        assert_eq!(notice.text("type").as_deref(), Some("crsc_continuation"));
        let identity = notice.child("primary_ephemeral_identity").unwrap().bytes().unwrap();
        let state = begun.state.receive(&identity).unwrap();
        let nonce = Node::new("companion_nonce").with_bytes(begun.state.nonce().to_vec());
        (state, self.bench.ask(self.link, md("set", nonce)))
    }

    /// Tells keys and a new secret.
    fn tell(&mut self, state: &AwaitingConfirmation) -> Node {
        self.device.secret = self.bench.rng.bytes();
        let information = PairingInformation {
            noise: self.device.noise.public,
            identity: self.device.identity.public,
            adv_secret: Secret::new(self.device.secret),
        };
        let sealed = state.seal(&information, &self.bench.rng.bytes()).unwrap();
        self.bench.ask(self.link, md("set", Node::new("encrypted_pairing_request").with_bytes(sealed)))
    }

    /// The ordinary end of linking.
    fn finish(mut self) {
        let success = self.bench.take(self.link).pop().expect("pair-success");
        let answer = accept(&mut self.device, &success, &mut self.bench.rng);
        self.bench.answer(self.link, &success, Some(answer));
        self.bench.advance(400);
        assert!(self.bench.events.contains(&RelayEvent::Linked(self.device.jid.clone())));
        self.bench.log_in(&self.device);
    }

    fn shown(&self) -> Option<String> {
        self.bench.events.iter().rev().find_map(|event| match event {
            RelayEvent::CodeToCompare { code, .. } => Some(code.0.clone()),
            _ => None,
        })
    }
}

#[test]
fn a_companion_that_proves_the_scan_links_without_comparing_codes() {
    let mut asked = Asked::new(None);
    let (begun, reply) = asked.begin(true);
    assert_eq!(code_of(&reply), None);
    let (state, _) = asked.reveal(&begun);
    assert_eq!(asked.shown(), None);
    asked.tell(&state);
    asked.finish();
}

#[test]
fn without_the_proof_the_phone_waits_until_its_user_has_compared_the_codes() {
    let mut asked = Asked::new(None);
    let (begun, _) = asked.begin(false);
    let (state, _) = asked.reveal(&begun);
    assert_eq!(asked.shown(), Some(state.code().shown()));
    asked.tell(&state);
    assert!(asked.bench.take(asked.link).is_empty(), "nobody has compared yet");
    asked.bench.relay.confirm_code(asked.bench.now, PHONE, &state.code().shown()).unwrap();
    asked.bench.drain();
    asked.finish();
}

#[test]
fn a_code_that_differs_or_is_rejected_ends_the_linking() {
    for rejects in [false, true] {
        let mut asked = Asked::new(Some(LinkingFault::WrongNonce));
        let (begun, _) = asked.begin(false);
        let (state, _) = asked.reveal(&begun);
        assert_ne!(asked.shown(), Some(state.code().shown()));
        let now = asked.bench.now;
        if rejects {
            asked.bench.relay.reject_code(now, PHONE).unwrap();
        } else {
            let compared = asked.bench.relay.confirm_code(now, PHONE, &state.code().shown());
            assert_eq!(compared, Err(PhoneRefusal::CodesDiffer));
        }
        assert_eq!(code_of(&asked.tell(&state)), Some(404));
        assert_eq!(asked.bench.relay.reject_code(now, PHONE), Err(PhoneRefusal::NothingToCompare));
        assert!(asked.bench.relay.accounts()[0].devices.is_empty());
    }
}

#[test]
fn only_the_accounts_own_passkey_answering_this_request_is_taken() {
    let mut asked = Asked::new(None);
    let stranger = Authenticator::create(&mut Rng::new(&Seed::new([9; 32])), RelyingParty::default());
    let mut stranger = stranger;
    let foreign = stranger.assert(r#"{"challenge":"AQID"}"#).unwrap();
    assert_eq!(code_of(&asked.begin_with(&foreign, true).1), Some(401));
    let old = asked.bench.relay.assert_passkey(PHONE, r#"{"challenge":"AQID"}"#).unwrap();
    assert_eq!(code_of(&asked.begin_with(&old, true).1), Some(401));
    let (begun, reply) = asked.begin(true);
    assert_eq!(code_of(&reply), None, "what was refused has changed nothing");
    let (state, _) = asked.reveal(&begun);
    asked.tell(&state);
    asked.finish();
}

#[test]
fn a_wrong_proof_a_wrong_reference_and_a_broken_commitment_are_refused() {
    let mut asked = Asked::new(None);
    let right = asked.device.secret;
    asked.device.secret = [7; 32];
    assert_eq!(code_of(&asked.begin(true).1), Some(401));
    asked.device.secret = right;
    let assertion = asked.bench.relay.assert_passkey(PHONE, &asked.request).unwrap();
    let (state, payload) = AwaitingPrimaryIdentity::start(KeyPair::from_private([5; 32]), [6; 32], 1, "2@other");
    assert_eq!(code_of(&asked.prologue(&Begun { state, payload }, &assertion, true)), Some(400));
    let (begun, reply) = asked.begin_with(&assertion, true);
    assert_eq!(code_of(&reply), None);
    let other =
        Begun { state: AwaitingPrimaryIdentity::start(KeyPair::from_private([5; 32]), [6; 32], 1, "2@x").0, ..begun };
    assert_eq!(code_of(&asked.reveal(&other).1), Some(403));
}

#[test]
fn the_same_prologue_nonce_and_request_may_come_again_on_another_connection() {
    let mut asked = Asked::new(None);
    let assertion = asked.bench.relay.assert_passkey(PHONE, &asked.request).unwrap();
    let (begun, _) = asked.begin_with(&assertion, true);
    let first = asked.bench.take(asked.link).pop().unwrap();
    let again = |asked: &mut Asked| {
        asked.bench.drop_link(asked.link);
        let (link, _) = asked.bench.register(&asked.device.clone());
        asked.link = link;
    };
    again(&mut asked);
    assert_eq!(code_of(&asked.prologue(&begun, &assertion, true)), None);
    let second = asked.bench.take(asked.link).pop().unwrap();
    let identity = |node: &Node| node.child("primary_ephemeral_identity").unwrap().bytes();
    assert_eq!(identity(&first), identity(&second), "the phone says the same");
    let state = begun.state.receive(&identity(&second).unwrap()).unwrap();
    for _ in 0..2 {
        let nonce = Node::new("companion_nonce").with_bytes(begun.state.nonce().to_vec());
        assert_eq!(code_of(&asked.bench.ask(asked.link, md("set", nonce))), None);
        again(&mut asked);
    }
    asked.tell(&state);
    again(&mut asked);
    asked.tell(&state);
    asked.finish();
}

#[test]
fn options_can_be_asked_for_and_steps_without_a_request_are_refused() {
    let mut asked = Asked::new(Some(LinkingFault::MissingOptions));
    assert_eq!(asked.request, "");
    let reply = asked.bench.ask(asked.link, md("get", Node::new("passkey_request_options")));
    asked.request = reply.child("passkey_request_options").and_then(Node::content_text).unwrap().to_owned();
    assert!(crate::pairing::assertion::is_request(asked.request.as_bytes()));
    assert_eq!(code_of(&asked.begin(true).1), None);

    let mut bench = Bench::new();
    let device = bench.device();
    let (link, _) = bench.register(&device);
    for (kind, step) in [("get", "ref"), ("get", "passkey_request_options"), ("set", "passkey_prologue")] {
        assert_eq!(code_of(&bench.ask(link, md(kind, Node::new(step)))), Some(404), "{step}");
    }
    assert_eq!(bench.relay.assert_passkey(PHONE, "{}"), Err(PhoneRefusal::NoPasskey));
    assert_eq!(bench.relay.require_passkey("12ab"), Err(crate::relay::ScanError::BadNumber));
}

#[test]
fn a_stream_that_waits_for_a_passkey_stays_open_as_long_as_the_request_is_good() {
    let mut asked = Asked::new(None);
    asked.bench.advance(500_000);
    assert!(!asked.bench.closed.contains(&asked.link));
    let (_, reply) = asked.begin(true);
    assert_eq!(code_of(&reply), None);
    asked.bench.advance(101_000);
    assert!(asked.bench.closed.contains(&asked.link));
}
