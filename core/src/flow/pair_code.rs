//! Linking by a code that the user types on the phone. The code outlives connections as long as it is good: on the next
//! one the server is told anew. Private halves and the derived secret are durable before the server hears of them.

use super::linking::{self, CodeNow, Under};
use super::query::{Reply, parsed};
use super::{Effect, Failure, Live, Query, Step, Stop, Txn, TxnExt, pair_qr};
use crate::api::{CodePurpose, Config, Event, LinkFailureReason, LinkStep, OpId, OpResult, ProtocolProfile};
use crate::crypto::{KeyPair, PublicKey, Secret};
use crate::pairing::Code;
use crate::pairing::code::{AwaitingPrimaryHello, FinishRandom, WrapRandom, platform_display};
use crate::pairing::qr::PlatformId;
use crate::stanza::{CompanionFinish, CompanionHello, LinkCodeNotice};
use crate::state::account::{self, Account};
use crate::state::life::{self, Life};
use crate::state::linking::{CodeAttempt, Hello, Linking};
use crate::types::{Jid, Server};
use bytes::Bytes;
use zeroize::Zeroizing;

/// How long a code is good, in milliseconds; the web client's number.
const VALID_MS: u64 = 180_000;

/// How often one code may be typed.
const MOST_TRIES: u32 = 3;

/// Codes that one request may go through.
const MOST_CODES: u32 = 5;

/// Bytes of a reference; real ones stay below 100.
const REFERENCE_BYTES: usize = 512;

/// The caller wants a code for the phone `number`. Takes the place of one that is under way.
pub(super) fn begin(
    txn: &mut Txn<'_>,
    live: &Live,
    config: &Config,
    op: OpId,
    number: &str,
    custom: Option<&Code>,
) -> Result<(), Stop> {
    let mut linking = linking::read(txn)?;
    let account = txn.read::<Account>(account::ID)?;
    if account.as_ref().is_some_and(|account| account.linked.is_some()) {
        txn.tell(Event::OperationFinished { op, result: OpResult::Superseded });
        return Ok(());
    }
    let has_account = account.is_some();
    let code = custom.cloned().unwrap_or_else(|| Code::generate(txn.rng));
    let asked = txn.now.unix;
    linking::end_op(txn, live, OpResult::Superseded);
    txn.change(Step::Linking(Under::Op(Some(op))));
    let mut attempt = CodeAttempt {
        number: number.to_owned(),
        code: Zeroizing::new(code.as_str().to_owned()),
        asked,
        until: 0,
        codes: 1,
        tries: 0,
        hello: None,
    };
    txn.change(Step::Linking(Under::Code(Some(CodeNow { until: None }))));
    if let Some(account) = account
        && live.linking.is_open
    {
        say_hello(txn, live, &config.profile, &mut attempt, account);
    }
    linking.code = Some(attempt);
    // The secret that a passkey was to allow is void.
    linking.passkey = None;
    txn.change(Step::Linking(Under::Passkey(None)));
    linking::write(txn, &linking);
    if !has_account {
        // Nothing may be stored without it: the next life would not know that it is the next.
        txn.write(life::ID, &Life(live.epoch));
    }
    Ok(())
}

/// A registration stream is up: a code that is still good is made known on it.
pub(super) fn resume(txn: &mut Txn<'_>, live: &Live, config: &Config) -> Result<(), Stop> {
    let mut linking = linking::read(txn)?;
    let account = txn.read::<Account>(account::ID)?;
    let (Some(attempt), Some(account)) = (&mut linking.code, account) else { return Ok(()) };
    let now = txn.now.unix;
    // What was asked for in this process is awaited by somebody, however long the connection took.
    let is_over = match attempt.until {
        0 => live.linking.op.is_none() && attempt.asked.saturating_add(VALID_MS) <= now,
        until => until <= now,
    };
    if is_over {
        fail(txn, live, linking, LinkStep::CodeShown, LinkFailureReason::Expired, OpResult::Lost);
        return Ok(());
    }
    let left = (attempt.until > 0).then(|| left_ms(attempt.until, now));
    let until = left.map(|left| txn.now.mono.saturating_add(left));
    txn.change(Step::Linking(Under::Code(Some(CodeNow { until }))));
    say_hello(txn, live, &config.profile, attempt, account);
    linking::write(txn, &linking);
    Ok(())
}

/// The server has taken the code, or has not.
pub(super) fn announced(txn: &mut Txn<'_>, live: &Live, asked: &CompanionHello, reply: &Reply) -> Result<(), Stop> {
    let mut linking = linking::read(txn)?;
    let Some(attempt) = &mut linking.code else { return Ok(()) };
    let Some(hello) = &mut attempt.hello else { return Ok(()) };
    if hello.wrapped != asked.wrapped_ephemeral {
        return Ok(());
    }
    let (reason, result) = match parsed::<CompanionHello>(reply) {
        Ok(reference) if (1..=REFERENCE_BYTES).contains(&reference.len()) => {
            let now = txn.now;
            if attempt.until == 0 {
                attempt.until = now.unix.saturating_add(VALID_MS);
            }
            let valid_ms = left_ms(attempt.until, now.unix);
            hello.reference = Some(reference);
            let code = Code::verbatim(&attempt.code).shown();
            linking::write(txn, &linking);
            let until = Some(now.mono.saturating_add(valid_ms));
            txn.change(Step::Linking(Under::Code(Some(CodeNow { until }))));
            txn.tell(Event::CodeShown { code, purpose: CodePurpose::EnterOnPhone, valid_ms });
            linking::end_op(txn, live, OpResult::Done);
            return Ok(());
        }
        Err(Failure::Lost) => return Ok(()),
        Err(Failure::Refused(code)) => (LinkFailureReason::Refused(code), OpResult::Refused(code)),
        _ => (LinkFailureReason::BadAnswer, OpResult::Unusable),
    };
    fail(txn, live, linking, LinkStep::CodeHello, reason, result);
    Ok(())
}

/// The server tells of the phone, or wants another code.
pub(super) fn noticed(txn: &mut Txn<'_>, live: &Live, config: &Config, notice: &LinkCodeNotice) -> Result<(), Stop> {
    let linking = linking::read(txn)?;
    let Some(account) = txn.read::<Account>(account::ID)?.filter(|account| account.linked.is_none()) else {
        return Ok(());
    };
    let current = linking.code.as_ref().and_then(|code| code.hello.as_ref()).and_then(|hello| hello.reference.clone());
    match notice {
        LinkCodeNotice::PrimaryHello { wrapped_ephemeral, identity, reference }
            if current.as_ref() == Some(reference) =>
        {
            answer(txn, live, config, linking, account, wrapped_ephemeral, &PublicKey::from_bytes(*identity));
        }
        LinkCodeNotice::RefreshCode { by_hand, reference } if current.as_ref() == Some(reference) => {
            refresh(txn, live, config, linking, account, *by_hand);
        }
        // About a code that is not shown any more.
        LinkCodeNotice::PrimaryHello { .. } | LinkCodeNotice::RefreshCode { .. } => {}
        LinkCodeNotice::Other { .. } => {
            txn.tell(Event::StanzaRefused { reason: "a step of linking by code that is not known" });
        }
    }
    Ok(())
}

/// The phone's answer to the code was handed to the server.
pub(super) fn finished(txn: &mut Txn<'_>, live: &Live, asked: &CompanionFinish, reply: &Reply) -> Result<(), Stop> {
    let linking = linking::read(txn)?;
    let hello = linking.code.as_ref().and_then(|code| code.hello.as_ref());
    if hello.and_then(|hello| hello.reference.as_ref()) != Some(&asked.reference) {
        return Ok(());
    }
    match reply {
        Ok(_) => txn.tell(Event::CodeConfirmed),
        Err(Failure::Refused(code)) => {
            fail(txn, live, linking, LinkStep::CodeFinish, LinkFailureReason::Refused(*code), OpResult::Lost);
        }
        // On the next connection the code is shown again.
        Err(_) => {}
    }
    Ok(())
}

/// The time of the code is over.
pub(super) fn over(txn: &mut Txn<'_>, live: &Live) -> Result<(), Stop> {
    let linking = linking::read(txn)?;
    let is_good = live.linking.code.is_none_or(|code| code.until.is_some());
    if !is_good && linking.code.as_ref().is_some_and(|code| code.until > 0) {
        fail(txn, live, linking, LinkStep::CodeShown, LinkFailureReason::Expired, OpResult::Lost);
    }
    Ok(())
}

/// Makes the code known to the server, with a fresh pair under it. The secret of a QR code that was seen before is void
/// from now on: the way of linking has changed.
fn say_hello(
    txn: &mut Txn<'_>,
    live: &Live,
    profile: &ProtocolProfile,
    attempt: &mut CodeAttempt,
    mut account: Account,
) {
    let ephemeral = KeyPair::generate(txn.rng);
    let random = WrapRandom::generate(txn.rng);
    let code = Code::verbatim(&attempt.code);
    let (_, wrapped) = AwaitingPrimaryHello::start(code, ephemeral.clone(), &random);
    attempt.hello = Some(Hello { ephemeral, wrapped, reference: None, finished: false });
    account.adv_secret = Secret::from(txn.rng.bytes::<32>());
    txn.write(account::ID, &account);
    let hello = CompanionHello {
        jid: Jid::new(&attempt.number, Server::Whatsapp),
        notify_phone: true,
        wrapped_ephemeral: wrapped,
        noise_key: *account.noise.public.as_bytes(),
        platform_id: PlatformId::from(profile.platform).as_str().into(),
        platform_display: platform_display(profile).into(),
    };
    txn.effect(Effect::Query(live.connection, Query::CodeHello(Box::new(hello))));
    pair_qr::show_with(txn, live, profile, &account);
}

/// The user has typed a code. Whether the right one, only the phone can tell: it gets an answer either way.
fn answer(
    txn: &mut Txn<'_>,
    live: &Live,
    config: &Config,
    mut linking: Linking,
    mut account: Account,
    wrapped_primary: &[u8],
    primary_identity: &PublicKey,
) {
    let Some(attempt) = &mut linking.code else { return };
    let Some(hello) = &mut attempt.hello else { return };
    let Some(reference) = hello.reference.clone() else { return };
    attempt.tries += 1;
    if attempt.tries > MOST_TRIES {
        return fail(txn, live, linking, LinkStep::CodeShown, LinkFailureReason::TooManyTries, OpResult::Lost);
    }
    let awaiting = AwaitingPrimaryHello::resume(Code::verbatim(&attempt.code), hello.ephemeral.clone());
    let random = FinishRandom::generate(txn.rng);
    let Ok(finish) = awaiting.finish(&account.identity, wrapped_primary, primary_identity, &random) else {
        return fail(txn, live, linking, LinkStep::CodeShown, LinkFailureReason::BadAnswer, OpResult::Lost);
    };
    hello.finished = true;
    account.adv_secret = finish.adv_secret;
    let request = CompanionFinish {
        jid: Jid::new(&attempt.number, Server::Whatsapp),
        wrapped_bundle: Bytes::copy_from_slice(&finish.bundle),
        identity: *account.identity.public.as_bytes(),
        reference,
    };
    txn.write(account::ID, &account);
    linking::write(txn, &linking);
    txn.effect(Effect::Query(live.connection, Query::CodeFinish(Box::new(request))));
    pair_qr::show_with(txn, live, &config.profile, &account);
}

/// The server takes the code for spent.
fn refresh(txn: &mut Txn<'_>, live: &Live, config: &Config, mut linking: Linking, account: Account, by_hand: bool) {
    let Some(attempt) = &mut linking.code else { return };
    if by_hand {
        return fail(txn, live, linking, LinkStep::CodeShown, LinkFailureReason::Expired, OpResult::Lost);
    }
    if attempt.codes >= MOST_CODES {
        return fail(txn, live, linking, LinkStep::CodeShown, LinkFailureReason::TooManyCodes, OpResult::Lost);
    }
    attempt.codes += 1;
    attempt.tries = 0;
    attempt.asked = txn.now.unix;
    attempt.until = 0;
    attempt.code = Zeroizing::new(Code::generate(txn.rng).as_str().to_owned());
    txn.change(Step::Linking(Under::Code(Some(CodeNow { until: None }))));
    say_hello(txn, live, &config.profile, attempt, account);
    linking::write(txn, &linking);
}

/// Ends this way of linking.
fn fail(txn: &mut Txn<'_>, live: &Live, mut linking: Linking, step: LinkStep, reason: LinkFailureReason, op: OpResult) {
    linking.code = None;
    linking::write(txn, &linking);
    txn.change(Step::Linking(Under::Code(None)));
    linking::failed(txn, step, reason);
    linking::end_op(txn, live, op);
    txn.effect(Effect::LinkIdle(live.connection));
}

/// A clock that was set back makes no code live longer.
fn left_ms(until: u64, now: u64) -> u64 {
    until.saturating_sub(now).min(VALID_MS)
}
