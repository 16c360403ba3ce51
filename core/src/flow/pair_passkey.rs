//! Linking that a passkey has to allow, after a scan or a typed code. The application gets the assertion from whoever
//! owns the passkey; here nothing is asserted. Every step is durable before the server hears of it, so that another
//! connection or a restart goes on where it was: what the server may not have is said again.
//!
//! Known from other clients' behaviour only. Not known: how long a real server keeps an undertaking, and whether it takes
//! one up on another connection; where it does not, its refusal ends this way and the QR codes go on.

use super::linking::{self, PasskeyNow, PasskeyWait, Under};
use super::query::{Reply, parsed};
use super::{Effect, Failure, Live, Query, Step, Stop, Txn, TxnExt, pair_qr};
use crate::api::{CodePurpose, Config, Event, LinkFailureReason, LinkStep, OpResult};
use crate::crypto::{KeyPair, Secret};
use crate::pairing::passkey::{AwaitingConfirmation, AwaitingPrimaryIdentity, PairingInformation};
use crate::pairing::passkey::{handoff_key, handoff_proof};
use crate::pairing::{Assertion, Challenge, assertion, payload};
use crate::stanza::{
    CompanionNonce, EncryptedPairing, FetchPasskeyOptions, FetchPasskeyReference, PasskeyNotice, PasskeyPrologue,
};
use crate::state::account::{self, Account};
use crate::state::linking::Linking;
use crate::state::passkey::{PasskeyAttempt, PasskeyKeys, PasskeyStage};
use bytes::Bytes;

/// How long the proof of continuity may be given, in milliseconds; three other clients agree.
const HANDOFF_MS: u64 = 300_000;

/// How long all of it may take, in milliseconds. A real server was seen to give its request ten minutes.
const VALID_MS: u64 = 600_000;

/// The server wants a passkey, or the phone goes on.
pub(super) fn noticed(txn: &mut Txn<'_>, live: &Live, config: &Config, notice: &PasskeyNotice) -> Result<(), Stop> {
    let linking = linking::read(txn)?;
    let Some(account) = txn.read::<Account>(account::ID)?.filter(|account| account.linked.is_none()) else {
        return Ok(());
    };
    match notice {
        PasskeyNotice::PrologueRequest { options } => begin(txn, live, config, linking, account, options.as_ref()),
        PasskeyNotice::Continuation { primary_identity } => go_on(txn, live, linking, primary_identity),
    }
    Ok(())
}

/// Starts anew, unless it is the request that is answered already: the server may tell one twice.
fn begin(
    txn: &mut Txn<'_>,
    live: &Live,
    config: &Config,
    mut linking: Linking,
    mut account: Account,
    options: Option<&Bytes>,
) {
    let options = options.filter(|options| assertion::is_request(options));
    let before = linking.passkey.take();
    match (&before, options) {
        (Some(attempt), options) if options.is_none_or(|options| attempt.stage.request() == Some(options)) => return,
        (Some(PasskeyAttempt { stage: PasskeyStage::Request, .. }), Some(request)) => {
            let (Some(attempt), stage) = (before, PasskeyStage::Assertion { request: request.clone() }) else { return };
            return advance(txn, live, linking, attempt, stage);
        }
        _ => {}
    }
    let now = txn.now.unix;
    // Another request may be about the secret that was scanned first, or about the renewed one that was shown since:
    // which of them the phone knows cannot be told, and a wrong proof is worse than none. People compare codes.
    let proof_ms = if before.is_some() { 0 } else { HANDOFF_MS };
    let attempt = PasskeyAttempt {
        handoff_key: handoff_key(&account.adv_secret),
        handoff_until: now.saturating_add(proof_ms),
        until: now.saturating_add(VALID_MS),
        stage: options.map_or(PasskeyStage::Request, |request| PasskeyStage::Assertion { request: request.clone() }),
    };
    // Whoever knows the old secret may have seen it on the screen.
    account.adv_secret = Secret::from(txn.rng.bytes::<32>());
    txn.write(account::ID, &account);
    // A code that was typed has done its part; one that was not would change the secret.
    linking.code = None;
    linking::end_op(txn, live, OpResult::Superseded);
    txn.change(Step::Linking(Under::Code(None)));
    pair_qr::show_with(txn, live, &config.profile, &account);
    say(txn, live, &attempt);
    keep(txn, linking, attempt);
}

/// A registration stream is up: what was under way goes on.
pub(super) fn resume(txn: &mut Txn<'_>, live: &Live) -> Result<(), Stop> {
    let mut linking = linking::read(txn)?;
    let Some(mut attempt) = linking.passkey.take() else { return Ok(()) };
    if attempt.until <= txn.now.unix {
        fail(txn, live, linking, attempt.stage.step(), LinkFailureReason::Expired);
        return Ok(());
    }
    let proof_is_good = txn.now.unix < attempt.handoff_until;
    if let PasskeyStage::Phone { keys, .. } = &mut attempt.stage {
        keys.proven = proof_is_good;
    }
    say(txn, live, &attempt);
    keep(txn, linking, attempt);
    Ok(())
}

/// The server's options were asked for.
pub(super) fn told_request(txn: &mut Txn<'_>, live: &Live, reply: &Reply) -> Result<(), Stop> {
    let mut linking = linking::read(txn)?;
    let Some(attempt) = linking.passkey.take_if(|attempt| matches!(attempt.stage, PasskeyStage::Request)) else {
        return Ok(());
    };
    let request = parsed::<FetchPasskeyOptions>(reply);
    match request.and_then(|request| Some(request).filter(|text| assertion::is_request(text)).ok_or(Failure::Unusable))
    {
        Ok(request) => advance(txn, live, linking, attempt, PasskeyStage::Assertion { request }),
        Err(failure) => end(txn, live, linking, LinkStep::PasskeyRequest, failure),
    }
    Ok(())
}

/// The application has an assertion.
pub(super) fn provide(txn: &mut Txn<'_>, live: &Live, given: &Assertion) -> Result<(), Stop> {
    let mut linking = linking::read(txn)?;
    let Some(attempt) = linking.passkey.take() else { return Ok(()) };
    let PasskeyStage::Assertion { request } = &attempt.stage else { return Ok(()) };
    // The server has asked for another one since; the application is asked for that.
    if given.challenge() != Challenge::in_object(request).as_ref() {
        return Ok(());
    }
    let stage = PasskeyStage::Reference { request: request.clone(), assertion: given.json().clone() };
    advance(txn, live, linking, attempt, stage);
    Ok(())
}

/// The server's reference was asked for: keys for it are made and committed to.
pub(super) fn told_reference(txn: &mut Txn<'_>, live: &Live, config: &Config, reply: &Reply) -> Result<(), Stop> {
    let mut linking = linking::read(txn)?;
    let Some(attempt) = linking.passkey.take() else { return Ok(()) };
    let PasskeyStage::Reference { request, assertion } = &attempt.stage else { return Ok(()) };
    match parsed::<FetchPasskeyReference>(reply) {
        Ok(reference) => {
            let keys = PasskeyKeys {
                ephemeral: KeyPair::generate(txn.rng),
                nonce: txn.rng.bytes(),
                device_type: payload::platform_type(config.profile.platform) as i32,
                reference: reference.to_string(),
                proven: txn.now.unix < attempt.handoff_until,
            };
            let stage = PasskeyStage::Phone { request: request.clone(), assertion: assertion.clone(), keys };
            advance(txn, live, linking, attempt, stage);
        }
        Err(failure) => end(txn, live, linking, LinkStep::Prologue, failure),
    }
    Ok(())
}

/// The prologue was handed to the server, which judges the assertion.
pub(super) fn began(txn: &mut Txn<'_>, live: &Live, asked: &PasskeyPrologue, reply: &Reply) -> Result<(), Stop> {
    let mut linking = linking::read(txn)?;
    let Some(attempt) = &linking.passkey else { return Ok(()) };
    let PasskeyStage::Phone { keys, .. } = &attempt.stage else { return Ok(()) };
    if keys.start().1 == asked.payload
        && let Err(failure) = reply
    {
        linking.passkey = None;
        end(txn, live, linking, LinkStep::Prologue, *failure);
    }
    Ok(())
}

/// The phone tells its half.
fn go_on(txn: &mut Txn<'_>, live: &Live, mut linking: Linking, primary: &Bytes) {
    let Some(attempt) = linking.passkey.take() else { return };
    // Out of turn, or said twice.
    let PasskeyStage::Phone { request, keys, .. } = &attempt.stage else { return };
    if keys.start().0.receive(primary).is_err() {
        return fail(txn, live, linking, LinkStep::Continuation, LinkFailureReason::BadAnswer);
    }
    let stage = PasskeyStage::Comparison { request: request.clone(), keys: keys.clone(), primary: primary.clone() };
    advance(txn, live, linking, attempt, stage);
}

/// The number that was committed to was revealed: people compare, unless the proof made that needless.
pub(super) fn revealed(txn: &mut Txn<'_>, live: &Live, asked: &CompanionNonce, reply: &Reply) -> Result<(), Stop> {
    let mut linking = linking::read(txn)?;
    let account = txn.read::<Account>(account::ID)?;
    let (Some(account), Some(attempt)) = (account, linking.passkey.take()) else { return Ok(()) };
    let PasskeyStage::Comparison { keys, primary, .. } = &attempt.stage else { return Ok(()) };
    if keys.nonce != asked.nonce {
        return Ok(());
    }
    if let Err(failure) = reply {
        end(txn, live, linking, LinkStep::Comparison, *failure);
        return Ok(());
    }
    if keys.proven {
        seal(txn, live, linking, &account, attempt);
        return Ok(());
    }
    let Ok(comparing) = keys.start().0.receive(primary) else { return Ok(()) };
    let valid_ms = left_ms(attempt.until, txn.now.unix);
    note(txn, &attempt, PasskeyWait::Comparison);
    let purpose = CodePurpose::CompareWithPhone;
    txn.news(live, Event::CodeShown { code: comparing.code().shown(), purpose, valid_ms });
    Ok(())
}

/// The user saw the same code on the phone.
pub(super) fn confirm(txn: &mut Txn<'_>, live: &Live) -> Result<(), Stop> {
    let mut linking = linking::read(txn)?;
    let account = txn.read::<Account>(account::ID)?;
    let (Some(account), Some(attempt)) = (account, linking.passkey.take()) else { return Ok(()) };
    if matches!(attempt.stage, PasskeyStage::Comparison { .. }) {
        seal(txn, live, linking, &account, attempt);
    }
    Ok(())
}

/// The user saw another code, or wants no link: somebody may stand between.
pub(super) fn reject(txn: &mut Txn<'_>, live: &Live) -> Result<(), Stop> {
    let linking = linking::read(txn)?;
    if linking.passkey.as_ref().is_some_and(|attempt| matches!(attempt.stage, PasskeyStage::Comparison { .. })) {
        fail(txn, live, linking, LinkStep::Comparison, LinkFailureReason::Declined);
    }
    Ok(())
}

/// The keys were handed to the server, for the phone.
pub(super) fn handed_over(txn: &mut Txn<'_>, live: &Live, asked: &EncryptedPairing, reply: &Reply) -> Result<(), Stop> {
    let mut linking = linking::read(txn)?;
    let Some(attempt) = &linking.passkey else { return Ok(()) };
    let PasskeyStage::Link { keys, sealed, .. } = &attempt.stage else { return Ok(()) };
    if *sealed != asked.sealed {
        return Ok(());
    }
    match reply {
        Ok(_) if keys.proven => {}
        Ok(_) => txn.tell(Event::CodeConfirmed),
        Err(failure) => {
            linking.passkey = None;
            end(txn, live, linking, LinkStep::PairingRequest, *failure);
        }
    }
    Ok(())
}

/// The time is over, as the clock says that nobody sets back; a step that was taken meanwhile has set it anew.
pub(super) fn over(txn: &mut Txn<'_>, live: &Live) -> Result<(), Stop> {
    let linking = linking::read(txn)?;
    let is_good = live.linking.passkey.as_ref().is_none_or(|passkey| passkey.until.is_some());
    let step = linking.passkey.as_ref().filter(|_| !is_good).map(|attempt| attempt.stage.step());
    if let Some(step) = step {
        fail(txn, live, linking, step, LinkFailureReason::Expired);
    }
    Ok(())
}

/// Enciphers keys and secret for the phone. The secret is durable since the server asked for a passkey.
fn seal(txn: &mut Txn<'_>, live: &Live, linking: Linking, account: &Account, attempt: PasskeyAttempt) {
    let PasskeyStage::Comparison { request, keys, primary } = &attempt.stage else { return };
    let iv = txn.rng.bytes();
    let information = PairingInformation {
        noise: account.noise.public,
        identity: account.identity.public,
        adv_secret: account.adv_secret.clone(),
    };
    let sealed = keys.start().0.receive(primary).and_then(|key: AwaitingConfirmation| key.seal(&information, &iv));
    let Ok(sealed) = sealed else {
        return fail(txn, live, linking, LinkStep::Comparison, LinkFailureReason::BadAnswer);
    };
    let stage = PasskeyStage::Link { request: request.clone(), keys: keys.clone(), sealed };
    advance(txn, live, linking, attempt, stage);
}

fn advance(txn: &mut Txn<'_>, live: &Live, linking: Linking, mut attempt: PasskeyAttempt, stage: PasskeyStage) {
    attempt.stage = stage;
    say(txn, live, &attempt);
    keep(txn, linking, attempt);
}

/// Says what comes next, if there is anybody to say it to: to the server or to the application.
fn say(txn: &mut Txn<'_>, live: &Live, attempt: &PasskeyAttempt) {
    let query = match &attempt.stage {
        PasskeyStage::Request => Query::PasskeyRequest,
        PasskeyStage::Assertion { request } => {
            note(txn, attempt, PasskeyWait::Assertion);
            // It was read as text before it was kept.
            let request = String::from_utf8_lossy(request).into_owned();
            return txn.tell(Event::AssertionNeeded { request });
        }
        PasskeyStage::Reference { .. } => Query::PasskeyReference,
        PasskeyStage::Phone { assertion, keys, .. } => {
            let Some(prologue) = prologue(attempt, assertion, keys) else { return };
            Query::PasskeyPrologue(Box::new(prologue))
        }
        PasskeyStage::Comparison { keys, .. } => Query::PasskeyNonce(Box::new(CompanionNonce { nonce: keys.nonce })),
        PasskeyStage::Link { sealed, .. } => {
            Query::PasskeyPairing(Box::new(EncryptedPairing { sealed: sealed.clone() }))
        }
    };
    note(txn, attempt, PasskeyWait::Server);
    // On a connection that is gone it is lost; the next one says it again.
    if live.linking.is_open {
        txn.effect(Effect::Query(live.connection, query));
    }
}

fn prologue(attempt: &PasskeyAttempt, json: &Bytes, keys: &PasskeyKeys) -> Option<PasskeyPrologue> {
    let read = std::str::from_utf8(json).ok().and_then(|text| Assertion::parse(text).ok())?;
    let (_, payload) = keys.start();
    Some(PasskeyPrologue {
        credential_id: read.credential_id().clone(),
        assertion: json.clone(),
        handoff_proof: keys.proven.then(|| handoff_proof(&attempt.handoff_key, &payload)),
        payload,
    })
}

/// Tells the machine what is awaited, and for how long.
fn note(txn: &mut Txn<'_>, attempt: &PasskeyAttempt, wait: PasskeyWait) {
    let until = Some(txn.now.mono.saturating_add(left_ms(attempt.until, txn.now.unix)));
    let challenge = match &attempt.stage {
        PasskeyStage::Assertion { request } => Challenge::in_object(request),
        _ => None,
    };
    txn.change(Step::Linking(Under::Passkey(Some(PasskeyNow { wait, challenge, until }))));
}

fn keep(txn: &mut Txn<'_>, mut linking: Linking, attempt: PasskeyAttempt) {
    linking.passkey = Some(attempt);
    linking::write(txn, &linking);
}

/// An answer was none. Where the connection is to blame, the next one goes on.
fn end(txn: &mut Txn<'_>, live: &Live, linking: Linking, step: LinkStep, failure: Failure) {
    let reason = match failure {
        Failure::Lost => return,
        Failure::Refused(code) => LinkFailureReason::Refused(code),
        Failure::Unusable | Failure::Gone => LinkFailureReason::BadAnswer,
    };
    fail(txn, live, linking, step, reason);
}

/// Ends this way of linking. The secret was renewed when it began, so the QR codes go on.
fn fail(txn: &mut Txn<'_>, live: &Live, mut linking: Linking, step: LinkStep, reason: LinkFailureReason) {
    linking.passkey = None;
    linking::write(txn, &linking);
    txn.change(Step::Linking(Under::Passkey(None)));
    linking::failed(txn, step, reason);
    txn.effect(Effect::LinkIdle(live.connection));
}

/// A clock that was set back makes nothing last longer.
fn left_ms(until: u64, now: u64) -> u64 {
    until.saturating_sub(now).min(VALID_MS)
}

impl PasskeyKeys {
    /// The state that these keys begin, and the content of the prologue.
    fn start(&self) -> (AwaitingPrimaryIdentity, Bytes) {
        AwaitingPrimaryIdentity::start(self.ephemeral.clone(), self.nonce, self.device_type, &self.reference)
    }
}

impl PasskeyStage {
    /// The step during which this is awaited.
    const fn step(&self) -> LinkStep {
        match self {
            Self::Request => LinkStep::PasskeyRequest,
            Self::Assertion { .. } => LinkStep::Assertion,
            Self::Reference { .. } => LinkStep::Prologue,
            Self::Phone { .. } => LinkStep::Continuation,
            Self::Comparison { .. } => LinkStep::Comparison,
            Self::Link { .. } => LinkStep::PairingRequest,
        }
    }
}
