//! Linking, whatever the way: what a registration stream offers, what the server says of it, and the phone's final answer,
//! which is the same for all. Each way has a file of its own; a way that waits for people keeps its state in one record,
//! so that a restart or another connection goes on with it.

use super::{Effect, Live, Me, Step, Stop, Txn, TxnExt, learn, pair_code, pair_passkey, pair_qr};
use crate::api::{Config, Event, LinkFailure, LinkFailureReason, LinkStep, OpId, OpResult};
use crate::crypto::Secret;
use crate::pairing::{Challenge, LinkRefusal, adv};
use crate::stanza::{Ack, Notification, NotificationKind, PairDeviceSign, PairSuccess, Refusal};
use crate::state::Miss;
use crate::state::account::{self, Account, Linked};
use crate::state::linking::{self, Linking};
use crate::state::passkey::PasskeyStage;
use crate::state::peer::{AliasSource, PeerId};
use crate::state::ratchets::Identity;
use crate::types::Jid;
use std::collections::VecDeque;

/// What happens on a registration stream, beside the phone's final answer and answers to requests.
pub(crate) enum LinkJob {
    /// It is up: go on with what was under way, show the first QR code.
    Opened,
    /// Another QR code has its turn.
    ShowQr,
    /// The server tells something.
    Notice(Box<Notification>),
    /// The time of the code to be typed is over.
    CodeOver,
    /// The time for a passkey is over.
    PasskeyOver,
}

impl LinkJob {
    /// Whether a notification belongs to linking.
    pub(crate) const fn is_for(notice: &Notification) -> bool {
        matches!(
            notice.kind,
            NotificationKind::LinkCode(_) | NotificationKind::Passkey(_) | NotificationKind::RenewLinkSecret
        )
    }

    /// Whether it still makes sense on another connection.
    pub(crate) const fn outlives_connection(&self) -> bool {
        matches!(self, Self::CodeOver | Self::PasskeyOver)
    }
}

/// What is true of linking on this connection and in this process only.
#[derive(Debug, Default)]
pub(crate) struct LinkingNow {
    /// There is a registration stream that takes requests.
    pub(crate) is_open: bool,
    /// References that were not shown yet.
    pub(crate) waiting: VecDeque<String>,
    /// The one whose QR code is shown.
    pub(crate) qr: Option<ShownQr>,
    /// A code to be typed is under way.
    pub(crate) code: Option<CodeNow>,
    /// A passkey has to allow what is under way.
    pub(crate) passkey: Option<PasskeyNow>,
    /// The caller waits for such a code.
    pub(crate) op: Option<OpId>,
}

/// A QR code that is shown.
#[derive(Debug)]
pub(crate) struct ShownQr {
    pub(crate) reference: String,
    /// On the monotonic clock.
    pub(crate) until: u64,
}

/// A code to be typed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CodeNow {
    /// On the monotonic clock; `None` while the server has not taken it, or when the time is over.
    pub(crate) until: Option<u64>,
}

/// A linking that a passkey has to allow.
#[derive(Clone, Debug)]
pub(crate) struct PasskeyNow {
    pub(crate) wait: PasskeyWait,
    /// What an assertion must answer, while one is asked for.
    pub(crate) challenge: Option<Challenge>,
    /// On the monotonic clock; `None` when the time is over.
    pub(crate) until: Option<u64>,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PasskeyWait {
    /// The server's or the phone's.
    Server,
    /// The application's: it is asked for an assertion.
    Assertion,
    /// The user's: two codes are compared.
    Comparison,
}

/// What changes about a way of linking that is under way.
#[derive(Clone, Debug)]
pub(crate) enum Under {
    /// The code to be typed.
    Code(Option<CodeNow>),
    /// What a passkey has to allow.
    Passkey(Option<PasskeyNow>),
    /// Who waits for it.
    Op(Option<OpId>),
}

impl LinkingNow {
    /// When a code is over.
    pub(crate) fn deadline(&self) -> Option<u64> {
        let code = self.code.and_then(|code| code.until);
        let passkey = self.passkey.as_ref().and_then(|passkey| passkey.until);
        [self.qr.as_ref().map(|qr| qr.until), code, passkey].into_iter().flatten().min()
    }

    /// Whether nothing is left on this stream that could end in a link.
    pub(crate) fn is_idle(&self) -> bool {
        self.qr.is_none() && self.waiting.is_empty() && self.code.is_none() && self.passkey.is_none()
    }

    /// The registration stream is gone, with everything that belonged to it.
    pub(crate) fn close(&mut self) {
        self.is_open = false;
        self.waiting.clear();
        self.qr = None;
    }

    pub(crate) fn note(&mut self, under: Under) {
        match under {
            Under::Code(code) => self.code = code,
            Under::Passkey(passkey) => self.passkey = passkey,
            Under::Op(op) => self.op = op,
        }
    }
}

/// Runs one job of linking.
pub(crate) fn run(txn: &mut Txn<'_>, live: &Live, config: &Config, job: &LinkJob) -> Result<(), Stop> {
    match job {
        LinkJob::Opened => {
            pair_code::resume(txn, live, config)?;
            pair_passkey::resume(txn, live)?;
            pair_qr::show(txn, live, &config.profile)
        }
        LinkJob::ShowQr => pair_qr::show(txn, live, &config.profile),
        LinkJob::Notice(notice) => noticed(txn, live, config, notice),
        LinkJob::CodeOver => pair_code::over(txn, live),
        LinkJob::PasskeyOver => pair_passkey::over(txn, live),
    }
}

/// Takes a notification; each is acknowledged once what it changed is durable.
fn noticed(txn: &mut Txn<'_>, live: &Live, config: &Config, notice: &Notification) -> Result<(), Stop> {
    // Everything that may miss is read before anything is sent.
    txn.read::<Account>(account::ID)?;
    read(txn)?;
    let ack = Ack::of(notice.address.clone());
    txn.send(live, &ack);
    match &notice.kind {
        NotificationKind::LinkCode(code) => pair_code::noticed(txn, live, config, code),
        NotificationKind::Passkey(passkey) => pair_passkey::noticed(txn, live, config, passkey),
        NotificationKind::RenewLinkSecret => pair_qr::renew_secret(txn, live, &config.profile),
        _ => Ok(()),
    }
}

/// Checks the phone's answer. What it grants is durable before the server is told that it was accepted.
pub(crate) fn confirm(txn: &mut Txn<'_>, live: &Live, id: &str, success: &PairSuccess) -> Result<(), Stop> {
    let Some(mut account) = txn.read::<Account>(account::ID)? else { return Ok(()) };
    if account.linked.is_some() {
        return Ok(());
    }
    read(txn)?;
    let random = txn.rng.bytes();
    let checked = adv::verify_pair_success(&success.device_identity, &account.adv_secret, &account.identity, &random);
    let accepted = match checked {
        Ok(accepted) => accepted,
        Err(refusal) => {
            let (code, text) = (u32::from(refusal.code()), refusal.text());
            let answer = Refusal { id: id.into(), to: Jid::server_itself(), code, text };
            // Whoever knows the old secret has used it badly.
            account.adv_secret = Secret::from(txn.rng.bytes::<32>());
            txn.write(account::ID, &account);
            forget(txn, live, OpResult::Lost);
            txn.send(live, &answer);
            failed(txn, LinkStep::Verification, reason_of(refusal));
            txn.effect(Effect::LinkRefused(live.connection));
            return Ok(());
        }
    };
    let platform = success.platform.as_deref().unwrap_or_default().to_owned();
    account.linked = Some(Linked {
        pn: success.jid.clone(),
        lid: success.lid.clone(),
        device_identity: accepted.account,
        platform: platform.clone(),
    });
    txn.write(account::ID, &account);
    forget(txn, live, OpResult::Superseded);
    // Known before anybody else's sessions are looked at: they are measured by it.
    txn.write(PeerId::SELF.device_id(0), &Identity(accepted.account_key));
    let claim = learn::claim(txn, AliasSource::PairSuccess, None);
    learn::own(txn, &success.jid, success.lid.as_ref(), claim)?;
    txn.change(Step::Me(Me { pn: success.jid.clone(), lid: success.lid.clone() }));
    txn.effect(Effect::LinkDone(live.connection));
    let reply = PairDeviceSign { id: id.into(), key_index: accepted.key_index, device_identity: accepted.reply };
    txn.send(live, &reply);
    txn.tell(Event::Linked { jid: success.jid.clone(), lid: success.lid.clone(), platform });
    Ok(())
}

/// What is under way.
pub(super) fn read(txn: &mut Txn<'_>) -> Result<Linking, Miss> {
    Ok(txn.read::<Linking>(linking::ID)?.unwrap_or_default())
}

/// Keeps what is under way, or that nothing is.
pub(super) fn write(txn: &mut Txn<'_>, linking: &Linking) {
    if linking.is_empty() {
        txn.delete::<Linking>(linking::ID);
    } else {
        txn.write(linking::ID, linking);
    }
}

/// Whether a phone already has the account's secret: both sides derived it, or it was told under a passkey.
pub(super) fn has_derived_secret(txn: &mut Txn<'_>) -> Result<bool, Miss> {
    let Linking { code, passkey } = read(txn)?;
    let was_told = passkey.is_some_and(|attempt| matches!(attempt.stage, PasskeyStage::Link { .. }));
    Ok(was_told || code.and_then(|code| code.hello).is_some_and(|hello| hello.finished))
}

/// Tells how one way of linking has failed.
pub(super) fn failed(txn: &mut Txn<'_>, step: LinkStep, reason: LinkFailureReason) {
    txn.tell(Event::LinkFailed(LinkFailure { step, reason }));
}

/// Tells whoever waits for a code to be shown what became of it.
pub(super) fn end_op(txn: &mut Txn<'_>, live: &Live, result: OpResult) {
    if let Some(op) = live.linking.op {
        txn.change(Step::Linking(Under::Op(None)));
        txn.tell(Event::OperationFinished { op, result });
    }
}

/// Forgets every way that is under way: linking has ended.
fn forget(txn: &mut Txn<'_>, live: &Live, op: OpResult) {
    txn.delete::<Linking>(linking::ID);
    txn.change(Step::Linking(Under::Code(None)));
    txn.change(Step::Linking(Under::Passkey(None)));
    end_op(txn, live, op);
}

const fn reason_of(refusal: LinkRefusal) -> LinkFailureReason {
    match refusal {
        LinkRefusal::Malformed => LinkFailureReason::Malformed,
        LinkRefusal::Hmac => LinkFailureReason::WrongSecret,
        LinkRefusal::AccountSignature => LinkFailureReason::WrongSignature,
        LinkRefusal::Declined => LinkFailureReason::Declined,
    }
}
