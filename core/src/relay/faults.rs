//! Scripted misbehaviour of a relay, so that clients can be tested against a bad network and a bad server. Owns only the
//! script; the places that consult it are spread over the relay. Random choices come from the relay's seeded generator,
//! so a run with the same seed and script is the same byte for byte.

use crate::types::Jid;

/// A script of faults. Every `count` is used up as its fault happens; a fresh one has none.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    drop_acks: u32,
    delay_acks: Option<(u32, u64)>,
    refuse_messages: Option<(u32, u16)>,
    duplicates: u32,
    losses: u32,
    late: Option<(u32, u64)>,
    forget_messages: u32,
    forget_receipts: u32,
    corrupt: u32,
    cut: Option<Cut>,
    cutting: Cutting,
    compress: bool,
    refuse_logins: Option<(u32, LoginRefusal)>,
    withhold_end: bool,
    linking: Option<LinkingFault>,
    requests: Vec<RequestRule>,
    damage: Vec<Jid>,
    broken_bundles: Vec<(Jid, u16)>,
    hide_device_changes: bool,
    hide_tokens: bool,
    phash: Option<String>,
}

/// When the connection of a sender breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The message is lost: it never reached the server.
    BeforeTaking,
    /// The message is taken and delivered, its ack is not sent.
    BeforeAck,
    /// The message is taken and acked.
    AfterAck,
}

/// How outgoing bytes are cut. The protocol says nothing about it, so a client must not depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cutting {
    /// One output per frame.
    #[default]
    Frames,
    /// Pieces of random length up to this many bytes.
    Pieces(u16),
    /// Everything that one input causes on a link in one output.
    Joined,
}

/// What goes wrong with the next linking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkingFault {
    /// The container's MAC is wrong, as if the companion showed another secret.
    WrongMac,
    /// The account's signature over the companion is wrong.
    WrongSignature,
    /// The container is cut off in the middle.
    Damaged,
    /// The account is hosted by the Cloud API, this device is not. Not a fault: every companion must take it.
    HostedAccount,
    /// Account and device are hosted. Not a fault, either.
    HostedDevice,
    /// The stream is closed after linking without the stream error 515.
    Without515,
    /// The request for a passkey brings options that are no JSON; asked for, they are right.
    UnreadableOptions,
    /// The request for a passkey brings no options; asked for, they are there.
    MissingOptions,
    /// The assertion is refused, however right it is.
    RefusedAssertion,
    /// The phone never answers the prologue.
    SilentPhone,
    /// The phone's answer to the prologue does not parse.
    DamagedContinuation,
    /// The phone shows the code of another number than the one it sent.
    WrongNonce,
    /// The phone finds that the companion's number is not the one it was committed to.
    BrokenCommitment,
}

/// How a login is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct LoginRefusal {
    /// The reason; 0 sends none.
    pub reason: u16,
    /// For a ban: why.
    pub code: Option<u16>,
    /// For a ban: seconds until it ends.
    pub expire: Option<u64>,
    /// Text for people.
    pub message: Option<&'static str>,
    /// A page for people.
    pub url: Option<&'static str>,
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestFault {
    /// It is answered with this error code and not acted on.
    Error(u16),
    /// It is not answered and not acted on.
    Silence,
    /// It is acted on at once and answered after this many milliseconds.
    Delay(u64),
}

#[derive(Clone, Debug)]
struct RequestRule {
    xmlns: String,
    fault: RequestFault,
    left: u32,
}

/// What becomes of the ack of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AckFate {
    Sent,
    Dropped,
    Delayed(u64),
}

/// What becomes of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DeliveryFate {
    Once,
    Twice,
    Lost,
    Late(u64),
}

impl Faults {
    /// The acks of the next `count` messages are not sent; the messages are delivered.
    pub fn drop_message_acks(&mut self, count: u32) {
        self.drop_acks = count;
    }

    /// The acks of the next `count` messages are sent `milliseconds` late.
    pub fn delay_message_acks(&mut self, count: u32, milliseconds: u64) {
        self.delay_acks = Some((count, milliseconds));
    }

    /// The next `count` messages are not taken and answered with error `code`.
    pub fn refuse_messages(&mut self, count: u32, code: u16) {
        self.refuse_messages = Some((count, code));
    }

    /// The next `count` queued stanzas are sent twice.
    pub fn duplicate_deliveries(&mut self, count: u32) {
        self.duplicates = count;
    }

    /// The next `count` queued stanzas are not sent on this connection; they stay queued for the next one.
    pub fn lose_deliveries(&mut self, count: u32) {
        self.losses = count;
    }

    /// The next `count` queued stanzas are sent `milliseconds` late, so that others overtake them.
    pub fn delay_deliveries(&mut self, count: u32, milliseconds: u64) {
        self.late = Some((count, milliseconds));
    }

    /// The next `count` messages are acked and forgotten: nobody gets them.
    pub fn forget_messages(&mut self, count: u32) {
        self.forget_messages = count;
    }

    /// The next `count` receipts are acked and forgotten: nobody hears of them, and what they confirm comes again at the
    /// next login.
    pub fn forget_receipts(&mut self, count: u32) {
        self.forget_receipts = count;
    }

    /// One bit is flipped in each of the next `count` frames.
    pub fn corrupt_frames(&mut self, count: u32) {
        self.corrupt = count;
    }

    /// The connection that sends the next message breaks.
    pub fn disconnect_on_message(&mut self, when: Cut) {
        self.cut = Some(when);
    }

    /// How outgoing bytes are cut from now on.
    pub fn cut_output(&mut self, cutting: Cutting) {
        self.cutting = cutting;
    }

    /// Whether outgoing stanzas are compressed from now on.
    pub fn compress_stanzas(&mut self, on: bool) {
        self.compress = on;
    }

    /// The next `count` logins or registrations are refused with `reason`.
    pub fn refuse_logins(&mut self, count: u32, reason: u16) {
        self.refuse_logins_with(count, LoginRefusal { reason, ..LoginRefusal::default() });
    }

    /// The next `count` logins or registrations are refused in all detail.
    pub fn refuse_logins_with(&mut self, count: u32, refusal: LoginRefusal) {
        self.refuse_logins = Some((count, refusal));
    }

    /// Whether the end of what had waited for a device is kept from it.
    pub fn withhold_offline_end(&mut self, on: bool) {
        self.withhold_end = on;
    }

    /// The next linking goes wrong.
    pub fn break_linking(&mut self, fault: LinkingFault) {
        self.linking = Some(fault);
    }

    /// The next `count` requests of a namespace go wrong. At most 64 such rules are kept.
    pub fn break_requests(&mut self, xmlns: &str, count: u32, fault: RequestFault) {
        if self.requests.len() < 64 {
            self.requests.push(RequestRule { xmlns: xmlns.to_owned(), fault, left: count });
        }
    }

    /// The next message for `device` arrives with its ciphertext damaged, so that the device cannot read it and asks for
    /// it again. For two such messages call it twice; at most 64 are kept.
    pub fn damage_ciphertext(&mut self, device: &Jid) {
        if self.damage.len() < 64 {
            self.damage.push(device.clone());
        }
    }

    /// Asked for the keys of this device, the server answers with an error from now on (0: no more). At most 64 devices.
    pub fn break_bundle(&mut self, device: &Jid, code: u16) {
        self.broken_bundles.retain(|(broken, _)| broken != device);
        if code != 0 && self.broken_bundles.len() < 64 {
            self.broken_bundles.push((device.clone(), code));
        }
    }

    /// Whether nobody is told of new and removed devices from now on; who asks still gets the true list.
    pub fn hide_device_changes(&mut self, on: bool) {
        self.hide_device_changes = on;
    }

    /// Whether nobody is told of tokens issued to them from now on; who asks still gets them.
    pub fn hide_tokens(&mut self, on: bool) {
        self.hide_tokens = on;
    }

    /// Every message to a user is answered with this participant hash from now on, whatever its devices are.
    pub fn claim_phash(&mut self, phash: Option<&str>) {
        self.phash = phash.map(ToOwned::to_owned);
    }

    /// Forgets the whole script.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn ack_fate(&mut self) -> AckFate {
        if spend(&mut self.drop_acks) {
            return AckFate::Dropped;
        }
        take(&mut self.delay_acks).map_or(AckFate::Sent, AckFate::Delayed)
    }

    pub(super) fn bundle_error(&self, is_it: impl Fn(&Jid) -> bool) -> Option<u16> {
        self.broken_bundles.iter().find(|(device, _)| is_it(device)).map(|(_, code)| *code)
    }

    pub(super) fn message_error(&mut self) -> Option<u16> {
        take(&mut self.refuse_messages)
    }

    pub(super) fn delivery_fate(&mut self) -> DeliveryFate {
        if spend(&mut self.losses) {
            return DeliveryFate::Lost;
        }
        if spend(&mut self.duplicates) {
            return DeliveryFate::Twice;
        }
        take(&mut self.late).map_or(DeliveryFate::Once, DeliveryFate::Late)
    }

    pub(super) fn forgets_message(&mut self) -> bool {
        spend(&mut self.forget_messages)
    }

    pub(super) fn forgets_receipt(&mut self) -> bool {
        spend(&mut self.forget_receipts)
    }

    pub(super) fn corrupts_frame(&mut self) -> bool {
        spend(&mut self.corrupt)
    }

    pub(super) fn cut(&mut self) -> Option<Cut> {
        self.cut.take()
    }

    pub(super) const fn hides_tokens(&self) -> bool {
        self.hide_tokens
    }

    pub(super) const fn hides_device_changes(&self) -> bool {
        self.hide_device_changes
    }

    pub(super) fn phash(&self) -> Option<String> {
        self.phash.clone()
    }

    pub(super) const fn cutting(&self) -> Cutting {
        self.cutting
    }

    pub(super) const fn compresses(&self) -> bool {
        self.compress
    }

    pub(super) const fn withholds_offline_end(&self) -> bool {
        self.withhold_end
    }

    pub(super) fn login_refusal(&mut self) -> Option<LoginRefusal> {
        take(&mut self.refuse_logins)
    }

    pub(super) fn linking(&mut self, fault: LinkingFault) -> bool {
        self.linking.take_if(|planned| *planned == fault).is_some()
    }

    /// Whether the message for one of a device's addresses is to be damaged.
    pub(super) fn damages(&mut self, addresses: &[Jid]) -> bool {
        let planned = self.damage.iter().position(|device| addresses.contains(device));
        planned.map(|at| self.damage.remove(at)).is_some()
    }

    pub(super) fn request(&mut self, xmlns: &str) -> Option<RequestFault> {
        let rule = self.requests.iter_mut().find(|rule| rule.left > 0 && rule.xmlns == xmlns)?;
        rule.left -= 1;
        let fault = rule.fault;
        self.requests.retain(|rule| rule.left > 0);
        Some(fault)
    }
}

fn spend(count: &mut u32) -> bool {
    let some = *count > 0;
    *count = count.saturating_sub(1);
    some
}

fn take<T: Copy>(planned: &mut Option<(u32, T)>) -> Option<T> {
    let (left, value) = planned.as_mut()?;
    spend(left).then_some(*value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_used_up_by_count() {
        let mut faults = Faults::default();
        faults.drop_message_acks(1);
        faults.delay_message_acks(2, 50);
        let fates: Vec<_> = (0..4).map(|_| faults.ack_fate()).collect();
        assert_eq!(fates, [AckFate::Dropped, AckFate::Delayed(50), AckFate::Delayed(50), AckFate::Sent]);
    }

    #[test]
    fn a_request_rule_hits_its_namespace_only_and_ends() {
        let mut faults = Faults::default();
        faults.break_requests("usync", 1, RequestFault::Error(500));
        assert_eq!(faults.request("encrypt"), None);
        assert_eq!(faults.request("usync"), Some(RequestFault::Error(500)));
        assert_eq!(faults.request("usync"), None);
    }

    #[test]
    fn damage_is_done_once_to_the_device_it_is_meant_for() {
        let mut faults = Faults::default();
        let [meant, other] = [1, 2].map(|number| Jid::pn("15551111111").with_device(number));
        faults.damage_ciphertext(&meant);
        let hits = [&other, &meant, &meant].map(|device| faults.damages(std::slice::from_ref(device)));
        assert_eq!(hits, [false, true, false]);
    }
}
