//! Linking that a passkey has to allow: what the server asks after a scan or a code, the assertion's check, and the
//! phone's part until it knows the companion's new secret. From there on linking is the ordinary one. An undertaking
//! belongs to a companion's connection key, so it goes on when that companion comes back on another connection.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;

use super::Relay;
use super::authenticator::{Authenticator, AuthenticatorError};
use super::directory::{AccountId, Namespace};
use super::event::{LinkId, RelayEvent, ScanError, ShownCode};
use super::faults::LinkingFault;
use super::iq::reply_to;
use super::webauthn::Credential;
use crate::binary::Node;
use crate::crypto::symmetric::constant_time_eq;
use crate::crypto::{KeyPair, Secret};
use crate::pairing::Code;
use crate::pairing::passkey::{
    AwaitingCompanionNonce, AwaitingConfirmation, PairingInformation, handoff_key, handoff_proof,
};
use crate::types::{Jid, Now};

/// Passkeys of accounts, and the linkings that wait for one.
#[derive(Default)]
pub(super) struct Passkeys {
    required: BTreeMap<AccountId, Passkey>,
    /// By the companion's connection key.
    undertakings: BTreeMap<[u8; 32], Undertaking>,
}

/// The passkey of an account, as its owner and as the server have it.
struct Passkey {
    authenticator: Authenticator,
    credential: Credential,
}

/// One linking under way.
struct Undertaking {
    account: AccountId,
    deadline: u64,
    challenge: [u8; 32],
    /// The request options (JSON).
    request: String,
    reference: String,
    /// What phone and companion shared before: from the QR code, or derived with a typed code.
    old_secret: Secret<32>,
    /// The assertion that was accepted; the same one may come again on another connection.
    assertion: Option<Bytes>,
    /// The companion proved that it is the one that was scanned: nobody needs to compare codes.
    proven: bool,
    talk: Talk,
    /// What the companion finally told; waits for the user's confirmation.
    told: Option<PairingInformation>,
}

/// How far phone and companion have come.
enum Talk {
    Silent,
    AwaitingNonce { payload: Bytes, state: AwaitingCompanionNonce, answer: Bytes },
    Comparing { payload: Bytes, answer: Bytes, nonce: Bytes, state: AwaitingConfirmation },
}

/// Why the phone of an account does not do what was asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PhoneRefusal {
    /// The account has no passkey.
    #[error("the account has no passkey")]
    NoPasskey,
    /// The passkey gives no assertion.
    #[error(transparent)]
    Assertion(#[from] AuthenticatorError),
    /// The phone shows no code.
    #[error("the phone shows no code")]
    NothingToCompare,
    /// The phone shows another code: linking has ended.
    #[error("the phone shows another code")]
    CodesDiffer,
    /// The phone confirmed, but cannot link.
    #[error(transparent)]
    Link(#[from] ScanError),
}

impl Relay {
    /// From now on whoever links a companion to this account needs its passkey; a software one is made. The account is
    /// made if it does not exist.
    pub fn require_passkey(&mut self, account: &str) -> Result<(), ScanError> {
        let account = self.account_for(Some(account))?;
        let authenticator = Authenticator::create(&mut self.rng, self.config.relying_party.clone());
        let credential = authenticator.credential();
        self.passkeys.required.insert(account, Passkey { authenticator, credential });
        Ok(())
    }

    /// Answers a WebAuthn request with the account's passkey, as its owner's browser would. Fails with `NoPasskey` or
    /// `Assertion`.
    pub fn assert_passkey(&mut self, account: &str, request: &str) -> Result<String, PhoneRefusal> {
        let id = self.directory.by_number(account);
        let passkey = id.and_then(|id| self.passkeys.required.get_mut(&id)).ok_or(PhoneRefusal::NoPasskey)?;
        Ok(passkey.authenticator.assert(request)?)
    }

    /// The user compares the code that the phone of `account` shows ([`RelayEvent::CodeToCompare`]) with `shown`, the
    /// companion's, and tells the phone what it sees. Fails with `NothingToCompare`, `CodesDiffer` (linking has ended) or
    /// `Link`.
    pub fn confirm_code(&mut self, now: Now, account: &str, shown: &str) -> Result<(), PhoneRefusal> {
        let (key, code) = self.compared(now, account).ok_or(PhoneRefusal::NothingToCompare)?;
        if Code::parse(shown).ok().as_ref() != Some(&code) {
            self.abandon(key, "the codes differ");
            return Err(PhoneRefusal::CodesDiffer);
        }
        if let Some(undertaking) = self.passkeys.undertakings.get_mut(&key) {
            undertaking.proven = true;
        }
        let done = self.vouch_for_told(now, key);
        self.settle_output();
        Ok(done?)
    }

    /// The user sees that the codes differ, or wants no link at all. Fails with `NothingToCompare`.
    pub fn reject_code(&mut self, now: Now, account: &str) -> Result<(), PhoneRefusal> {
        let (key, _) = self.compared(now, account).ok_or(PhoneRefusal::NothingToCompare)?;
        self.abandon(key, "the user rejected the code");
        Ok(())
    }

    /// The phone of an account has scanned or derived the secret of the companion on a stream: it vouches, or a passkey
    /// has to allow it first. Gives the address that the device will have if nobody comes in between.
    pub(super) fn vouch_or_ask(
        &mut self,
        now: Now,
        link: LinkId,
        account: AccountId,
        secret: &Secret<32>,
    ) -> Result<Jid, ScanError> {
        if !self.passkeys.required.contains_key(&account) {
            return self.vouch(now, link, account, secret);
        }
        let key = self.registration(link).ok_or(ScanError::Expired)?.noise_key;
        let jid = self.next_address(account)?;
        self.passkeys.undertakings.retain(|_, undertaking| undertaking.deadline > now.mono);
        if self.passkeys.undertakings.len() >= self.config.limits.links {
            return Err(ScanError::Expired);
        }
        let (challenge, reference) = (self.random(), format!("2@{}", URL_SAFE_NO_PAD.encode(self.random::<24>())));
        let credentials = self.passkeys.required.get(&account).map(|passkey| passkey.credential.clone());
        let timeout = self.config.passkey_timeout;
        let request = self.config.relying_party.request(&challenge, credentials.as_slice(), timeout);
        let deadline = now.mono.saturating_add(timeout);
        let undertaking = Undertaking {
            account,
            deadline,
            challenge,
            request: request.clone(),
            reference,
            old_secret: secret.clone(),
            assertion: None,
            proven: false,
            talk: Talk::Silent,
            told: None,
        };
        self.passkeys.undertakings.insert(key, undertaking);
        self.keep_registration(link, deadline);
        self.ask_for_assertion(now, link, request);
        self.tell(RelayEvent::PasskeyRequested { account: jid.user().to_owned() });
        Ok(jid)
    }

    /// A companion is back that was asked for an assertion and has given none: perhaps it never heard of it.
    pub(super) fn remind(&mut self, now: Now, link: LinkId, noise_key: &[u8; 32]) {
        let waiting = self.passkeys.undertakings.get(noise_key);
        let waiting = waiting.filter(|open| open.assertion.is_none() && open.deadline > now.mono);
        if let Some(request) = waiting.map(|open| open.request.clone()) {
            self.ask_for_assertion(now, link, request);
        }
    }

    fn ask_for_assertion(&mut self, now: Now, link: LinkId, request: String) {
        let options = Node::new("passkey_request_options");
        let mut notification = self.linking_notice(now, "passkey_prologue_request");
        if self.faults.linking(LinkingFault::UnreadableOptions) {
            notification = notification.with_child(options.with_bytes("options"));
        } else if !self.faults.linking(LinkingFault::MissingOptions) {
            notification = notification.with_child(options.with_bytes(request));
        }
        self.send(link, &notification);
    }

    /// How long a stream stays open whose companion has an undertaking.
    pub(super) fn undertaking_deadline(&self, noise_key: &[u8; 32]) -> Option<u64> {
        self.passkeys.undertakings.get(noise_key).map(|undertaking| undertaking.deadline)
    }

    /// The companion is linked: nothing waits for its passkey any more.
    pub(super) fn close_undertaking(&mut self, noise_key: &[u8; 32]) {
        self.passkeys.undertakings.remove(noise_key);
    }

    /// Takes a request of an unlinked companion that belongs here. `false` if it does not.
    pub(super) fn take_passkey_step(&mut self, now: Now, link: LinkId, request: &Node, id: &str) -> bool {
        let Some(step) = request.children().first().filter(|step| STEPS.contains(&step.tag.as_str())) else {
            return false;
        };
        let key = self.registration(link).map(|open| open.noise_key);
        let key = key.filter(|key| self.undertaking_deadline(key).is_some_and(|deadline| deadline > now.mono));
        let answer = match (key, step.tag.as_str()) {
            (None, _) => Err((404, "no passkey was asked for".to_owned())),
            (Some(key), "passkey_request_options") => {
                Ok(self.told_of(&key, |open| Node::new("passkey_request_options").with_bytes(open.request.clone())))
            }
            (Some(key), "ref") => Ok(self.told_of(&key, |open| Node::new("ref").with_bytes(open.reference.clone()))),
            (Some(key), "passkey_prologue") => self.take_prologue(key, step).map(|()| Vec::new()),
            (Some(key), "companion_nonce") => self.take_nonce(key, step).map(|()| Vec::new()),
            (Some(key), _) => self.take_pairing_request(key, link, step).map(|()| Vec::new()),
        };
        let accepted = answer.is_ok();
        if let Err((_, reason)) = &answer {
            self.tell(RelayEvent::LinkingFailed { link, reason: reason.clone() });
        }
        self.send(link, &reply_to(now, request, id, answer.map_err(|(code, _)| code)));
        if let Some(key) = key.filter(|_| accepted) {
            match step.tag.as_str() {
                "passkey_prologue" => self.continue_talk(now, link, key),
                "companion_nonce" => self.show_code(key),
                // Asked again if the link came to nothing: the companion is told by the silence that follows.
                "encrypted_pairing_request" => drop(self.vouch_for_told(now, key)),
                _ => {}
            }
        }
        true
    }

    fn told_of(&self, key: &[u8; 32], say: impl Fn(&Undertaking) -> Node) -> Vec<Node> {
        self.passkeys.undertakings.get(key).map(say).into_iter().collect()
    }

    /// Checks the assertion and the proof; the phone is asked to go on.
    fn take_prologue(&mut self, key: [u8; 32], step: &Node) -> Result<(), Refused> {
        let part = |name: &str| step.child(name).and_then(Node::bytes);
        let (Some(credential), Some(assertion), Some(payload)) =
            (part("credential_id"), part("webauthn_assertion"), part("prologue_payload"))
        else {
            return Err(refused(400, "a part of the prologue is missing"));
        };
        let proof = part("pairing_handoff_proof");
        if self.faults.linking(LinkingFault::RefusedAssertion) {
            return Err(refused(401, "the assertion is refused"));
        }
        let Passkeys { required, undertakings } = &mut self.passkeys;
        let open = undertakings.get_mut(&key).ok_or_else(|| refused(404, "no passkey was asked for"))?;
        let passkey = required.get_mut(&open.account).ok_or_else(|| refused(404, "the account has no passkey"))?;
        if open.assertion.as_ref() != Some(&assertion) {
            if credential != passkey.credential.id() {
                return Err(refused(401, "the assertion is of an unknown passkey"));
            }
            let text = std::str::from_utf8(&assertion).map_err(|_| refused(400, "the assertion is no text"))?;
            passkey
                .credential
                .verify(&self.config.relying_party, &open.challenge, text)
                .map_err(|refusal| refused(401, &refusal.to_string()))?;
        }
        let expected = handoff_proof(&handoff_key(&open.old_secret), &payload);
        if proof.as_ref().is_some_and(|proof| !constant_time_eq(proof, &expected)) {
            return Err(refused(401, "the hand-off proof is wrong"));
        }
        open.proven = proof.is_some();
        open.assertion = Some(assertion);
        let known = match &open.talk {
            Talk::Silent => None,
            Talk::AwaitingNonce { payload, .. } | Talk::Comparing { payload, .. } => Some(payload),
        };
        // The same prologue again, on another connection: the phone has answered it already.
        if known == Some(&payload) {
            return Ok(());
        }
        let ephemeral = KeyPair::generate(&mut self.rng);
        let (nonce, other) = (self.rng.bytes(), self.rng.bytes());
        let malformed = |_| refused(400, "the prologue is malformed");
        let (state, answer) = AwaitingCompanionNonce::start(&payload, ephemeral.clone(), nonce).map_err(malformed)?;
        if state.reference() != open.reference {
            return Err(refused(400, "the prologue names another reference"));
        }
        let answer = if self.faults.linking(LinkingFault::WrongNonce) {
            AwaitingCompanionNonce::start(&payload, ephemeral, other).map_err(malformed)?.1
        } else if self.faults.linking(LinkingFault::DamagedContinuation) {
            answer.slice(..answer.len() / 2)
        } else {
            answer
        };
        open.told = None;
        open.talk = Talk::AwaitingNonce { payload, state, answer };
        Ok(())
    }

    /// The phone answers the prologue.
    fn continue_talk(&mut self, now: Now, link: LinkId, key: [u8; 32]) {
        let answer = match self.passkeys.undertakings.get(&key).map(|open| &open.talk) {
            Some(Talk::AwaitingNonce { answer, .. } | Talk::Comparing { answer, .. }) => answer.clone(),
            _ => return,
        };
        if self.faults.linking(LinkingFault::SilentPhone) {
            return;
        }
        let identity = Node::new("primary_ephemeral_identity").with_bytes(answer);
        let notification = self.linking_notice(now, "crsc_continuation").with_child(identity);
        self.send(link, &notification);
    }

    /// The companion reveals its nonce: from now on both sides know the key and the code.
    fn take_nonce(&mut self, key: [u8; 32], step: &Node) -> Result<(), Refused> {
        let mut nonce = step.bytes().unwrap_or_default().to_vec();
        if self.faults.linking(LinkingFault::BrokenCommitment) {
            nonce.push(0);
        }
        let open = self.passkeys.undertakings.get_mut(&key).ok_or_else(|| refused(404, "no passkey was asked for"))?;
        match &open.talk {
            Talk::Comparing { nonce: known, .. } if known == &nonce => Ok(()),
            Talk::AwaitingNonce { payload, state, answer } => {
                let state = match state.receive(&nonce) {
                    Ok(confirmation) => confirmation,
                    Err(error) => {
                        self.passkeys.undertakings.remove(&key);
                        return Err(refused(403, &error.to_string()));
                    }
                };
                let (payload, answer) = (payload.clone(), answer.clone());
                open.talk = Talk::Comparing { payload, answer, nonce: nonce.into(), state };
                Ok(())
            }
            _ => Err(refused(403, "a nonce out of turn")),
        }
    }

    /// The phone shows a code, unless it knows whom it talks to.
    fn show_code(&mut self, key: [u8; 32]) {
        let Some(open) = self.passkeys.undertakings.get(&key).filter(|open| !open.proven) else { return };
        let Talk::Comparing { state, .. } = &open.talk else { return };
        let Some(account) = self.directory.account(open.account) else { return };
        let event =
            RelayEvent::CodeToCompare { account: account.pn.to_string(), code: ShownCode(state.code().shown()) };
        self.tell(event);
    }

    /// The companion tells its keys and its new secret.
    fn take_pairing_request(&mut self, key: [u8; 32], link: LinkId, step: &Node) -> Result<(), Refused> {
        let companion = self.registration(link).map(|open| (open.noise_key, open.bundle.identity));
        let open = self.passkeys.undertakings.get_mut(&key).ok_or_else(|| refused(404, "no passkey was asked for"))?;
        let Talk::Comparing { state, .. } = &open.talk else {
            return Err(refused(403, "a pairing request out of turn"));
        };
        let told = state.open(&step.bytes().unwrap_or_default()).map_err(|error| refused(400, &error.to_string()))?;
        if companion != Some((*told.noise.as_bytes(), *told.identity.as_bytes())) {
            return Err(refused(403, "the pairing request is about another companion"));
        }
        open.told = Some(told);
        Ok(())
    }

    /// The phone vouches for what it was told, if that is confirmed and the companion is there.
    fn vouch_for_told(&mut self, now: Now, key: [u8; 32]) -> Result<(), ScanError> {
        let Some(open) = self.passkeys.undertakings.get(&key).filter(|open| open.proven) else { return Ok(()) };
        let (account, told) = (open.account, open.told.clone());
        let link = self.registrations().find(|(_, open)| open.noise_key == key && open.pending.is_none());
        let (Some(told), Some((link, _))) = (told, link) else { return Ok(()) };
        self.vouch(now, link, account, &told.adv_secret).map(drop)
    }

    /// The undertaking of an account whose phone shows a code.
    fn compared(&self, now: Now, account: &str) -> Option<([u8; 32], Code)> {
        let account = self.directory.by_number(account)?;
        self.passkeys.undertakings.iter().find_map(|(key, open)| match &open.talk {
            Talk::Comparing { state, .. } if open.account == account && !open.proven && open.deadline > now.mono => {
                Some((*key, state.code().clone()))
            }
            _ => None,
        })
    }

    fn abandon(&mut self, key: [u8; 32], reason: &str) {
        self.passkeys.undertakings.remove(&key);
        let link = self.registrations().find(|(_, open)| open.noise_key == key).map(|(link, _)| link);
        if let Some(link) = link {
            self.tell(RelayEvent::LinkingFailed { link, reason: reason.to_owned() });
        }
    }

    fn next_address(&self, account: AccountId) -> Result<Jid, ScanError> {
        let found = self.directory.account(account).ok_or(ScanError::TooManyAccounts)?;
        if found.companions.len() >= self.config.max_companions {
            return Err(ScanError::TooManyCompanions);
        }
        let number = found.next_number(&[]).ok_or(ScanError::TooManyCompanions)?;
        Ok(found.user(Namespace::Pn).with_device(number))
    }

    fn linking_notice(&mut self, now: Now, kind: &str) -> Node {
        Node::new("notification")
            .with("type", kind)
            .with("from", Jid::server_itself())
            .with("id", self.next_id())
            .with("t", now.unix_seconds())
    }
}

/// The code of an error answer, and why in a few words.
type Refused = (u16, String);

fn refused(code: u16, reason: &str) -> Refused {
    (code, reason.to_owned())
}

/// Requests that belong here.
const STEPS: [&str; 5] =
    ["passkey_request_options", "ref", "passkey_prologue", "companion_nonce", "encrypted_pairing_request"];
