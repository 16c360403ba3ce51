//! A registration stream as the client sees it: which QR code has its turn, when a code is over, when nothing is left.

use super::socket::Phase;
use super::{Client, Effect, Job};
use crate::api::{DisconnectReason, Event, LinkFailure, LinkFailureReason, LinkStep, Misuse, OpId};
use crate::flow::linking::ShownQr;
use crate::flow::{LinkJob, PasskeyWait, Verb};
use crate::pairing::{Assertion, Code};
use crate::recording::Call;
use crate::stanza::PairDevice;
use crate::types::Now;

/// How long the first of six codes is shown, in milliseconds; the web client's number.
const FIRST_MS: u64 = 60_000;

/// How long every other code is shown.
const NEXT_MS: u64 = 20_000;

/// References that the server gives; more are not kept.
const MOST_REFS: usize = 16;

impl Client {
    /// Asks for a code that links this device to the account of `phone` when it is typed there. `phone` is the number
    /// with its country code; `+`, spaces, dashes and parentheses do not matter. `custom` is the code to use, eight of
    /// `123456789ABCDEFGHJKLMNPQRSTVWXYZ`; one is drawn if not given.
    ///
    /// May be called before there is a connection: the request is kept until [`connect`](Self::connect) has made one, over
    /// restarts for three minutes. QR codes go on beside it. [`CodeShown`](Event::CodeShown) follows when the server has
    /// taken the code, then [`OperationFinished`](Event::OperationFinished); a refusal is a
    /// [`LinkFailed`](Event::LinkFailed) as well. A later call takes its place. When the client stays down before the code
    /// was shown, the operation ends as lost, but the request is still good at the next `connect` within those minutes.
    ///
    /// # Errors
    /// [`Misuse::WrongState`] for an account that is linked; [`Misuse::BadArgument`] for what cannot be a number (7 to 15
    /// digits, the first not 0) or a code.
    pub fn request_pair_code(&mut self, now: Now, phone: &str, custom: Option<&str>) -> Result<OpId, Misuse> {
        let call = || Call::RequestPairCode { phone: phone.into(), custom: custom.map(Into::into) };
        self.noted(now, call, |client| client.want_pair_code(now, phone, custom))
    }

    fn want_pair_code(&mut self, now: Now, phone: &str, custom: Option<&str>) -> Result<OpId, Misuse> {
        self.begin(now)?;
        if self.live.me.is_some() {
            return Err(Misuse::WrongState("this device is linked already"));
        }
        let number =
            number_of(phone).ok_or(Misuse::BadArgument("a phone number has 7 to 15 digits, the first not 0"))?;
        let custom = custom.map(Code::parse).transpose();
        let custom = custom.map_err(|_| Misuse::BadArgument("a code is 8 of 123456789ABCDEFGHJKLMNPQRSTVWXYZ"))?;
        let op = self.next_op();
        self.enqueue(Job::Verb(Verb::RequestPairCode { op, number, custom }));
        Ok(op)
    }

    /// Hands over the assertion that [`AssertionNeeded`](Event::AssertionNeeded) asked for: the JSON that a browser's
    /// `PublicKeyCredential.toJSON()` gives, at most 64 KiB. It is passed on as it is, survives restarts, and is never made
    /// here. Whether the server takes it shows in what follows: [`CodeShown`](Event::CodeShown) to compare,
    /// [`Linked`](Event::Linked), or [`LinkFailed`](Event::LinkFailed).
    ///
    /// # Errors
    /// [`Misuse::WrongState`] when none is asked for; [`Misuse::BadArgument`] for what is not an assertion, or not one
    /// for the newest request: the right one is still asked for.
    pub fn provide_assertion(&mut self, now: Now, assertion_json: &str) -> Result<(), Misuse> {
        let call = || Call::ProvideAssertion(assertion_json.into());
        self.noted(now, call, |client| client.take_assertion(now, assertion_json))
    }

    fn take_assertion(&mut self, now: Now, assertion_json: &str) -> Result<(), Misuse> {
        self.begin(now)?;
        let assertion = Assertion::parse(assertion_json).map_err(|error| Misuse::BadArgument(error.phrase()))?;
        let asked = self.live.linking.passkey.as_ref().filter(|passkey| passkey.wait == PasskeyWait::Assertion);
        if asked.is_some_and(|asked| asked.challenge.as_ref() != assertion.challenge()) {
            return Err(Misuse::BadArgument("the assertion answers another request"));
        }
        self.answer_passkey(PasskeyWait::Assertion, "no assertion is asked for", Verb::ProvideAssertion(assertion))
    }

    /// The user saw on the phone the code of [`CodeShown`](Event::CodeShown) with
    /// [`CompareWithPhone`](crate::api::CodePurpose::CompareWithPhone): the keys are handed over.
    /// [`CodeConfirmed`](Event::CodeConfirmed) follows.
    ///
    /// # Errors
    /// [`Misuse::WrongState`] when no code is compared.
    pub fn confirm_code(&mut self, now: Now) -> Result<(), Misuse> {
        self.noted(now, || Call::ConfirmCode, |client| client.compared(now, Verb::ConfirmCode))
    }

    /// The user saw another code on the phone, or none: somebody may stand between. Nothing is handed over;
    /// [`LinkFailed`](Event::LinkFailed) follows.
    ///
    /// # Errors
    /// [`Misuse::WrongState`] when no code is compared.
    pub fn reject_code(&mut self, now: Now) -> Result<(), Misuse> {
        self.noted(now, || Call::RejectCode, |client| client.compared(now, Verb::RejectCode))
    }

    fn compared(&mut self, now: Now, verb: Verb) -> Result<(), Misuse> {
        self.begin(now)?;
        self.answer_passkey(PasskeyWait::Comparison, "no code is compared", verb)
    }

    fn answer_passkey(&mut self, turn: PasskeyWait, otherwise: &'static str, verb: Verb) -> Result<(), Misuse> {
        if self.live.linking.passkey.as_ref().is_none_or(|passkey| passkey.wait != turn) {
            return Err(Misuse::WrongState(otherwise));
        }
        self.enqueue(Job::Verb(verb));
        Ok(())
    }

    /// The server offers references for codes: from now on every way of linking is open.
    pub(super) fn open_registration(&mut self, offer: &PairDevice) {
        let first_ms = if offer.refs.len() >= 6 { FIRST_MS } else { NEXT_MS };
        let printable = offer.refs.iter().filter_map(|reference| String::from_utf8(reference.to_vec()).ok());
        self.socket.phase = Phase::Linking;
        self.live.linking.waiting = printable.take(MOST_REFS).collect();
        self.live.linking.is_open = true;
        self.turn_qr(first_ms);
        self.enqueue(Job::Link(LinkJob::Opened));
    }

    /// Does what is due.
    pub(super) fn watch_linking(&mut self) {
        let mono = self.now.mono;
        if let Some(code) = &mut self.live.linking.code
            && code.until.take_if(|at| *at <= mono).is_some()
        {
            self.enqueue(Job::Link(LinkJob::CodeOver));
        }
        if let Some(passkey) = &mut self.live.linking.passkey
            && passkey.until.take_if(|at| *at <= mono).is_some()
        {
            self.enqueue(Job::Link(LinkJob::PasskeyOver));
        }
        if self.live.linking.qr.as_ref().is_none_or(|qr| qr.until > mono) {
            return;
        }
        self.turn_qr(NEXT_MS);
        if self.live.linking.qr.is_some() {
            self.enqueue(Job::Link(LinkJob::ShowQr));
        } else if self.live.linking.is_idle() {
            let failure = LinkFailure { step: LinkStep::Scan, reason: LinkFailureReason::Expired };
            self.release(Effect::Tell(Event::LinkFailed(failure)));
            self.end(DisconnectReason::CodesExpired);
        }
    }

    /// The phone's answer was checked and is durable.
    pub(super) fn link_done(&mut self) {
        self.socket.phase = Phase::Confirming;
    }

    /// One way of linking has ended; a stream on which nothing can happen any more is closed.
    pub(super) fn link_idle(&mut self) {
        if self.live.linking.is_open && self.live.linking.is_idle() {
            self.end(DisconnectReason::CodesExpired);
        }
    }

    fn turn_qr(&mut self, valid_ms: u64) {
        let until = self.now.mono.saturating_add(valid_ms);
        let next = self.live.linking.waiting.pop_front();
        self.live.linking.qr = next.map(|reference| ShownQr { reference, until });
    }
}

/// Digits that a phone number has, with its country code.
const DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

/// The digits of a phone number as people write it.
fn number_of(phone: &str) -> Option<String> {
    let written = |character: &char| !matches!(character, '+' | '-' | ' ' | '(' | ')');
    let digits: String = phone.chars().filter(written).collect();
    let is_number =
        DIGITS.contains(&digits.len()) && !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_number_is_read_as_people_write_it() {
        for phone in ["15551234567", "+1 555 123-4567", "+1 (555) 1234567"] {
            assert_eq!(number_of(phone).as_deref(), Some("15551234567"), "{phone}");
        }
        for phone in ["", "555123", "05551234567", "1234567890123456", "1555123456x", "+", "١٢٣٤٥٦٧٨"] {
            assert_eq!(number_of(phone), None, "{phone}");
        }
    }
}
