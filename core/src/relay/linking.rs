//! Registration streams: an unlinked companion shows its references or asks for a code, the phone vouches for it, its
//! answer is checked, and only then is it a device. What the phone computes is in `phone`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use whatsio_proto::wa6::client_payload::DevicePairingRegistrationData;

use super::Relay;
use super::bundle::{Bundle, SignedKey};
use super::directory::{AccountId, Companion, DeviceId, Namespace};
use super::event::{LinkId, RelayEvent, ScanError};
use super::faults::{LinkingFault, RequestFault};
use super::iq::reply_to;
use super::link::Stage;
use super::mailbox::Mailbox;
use super::notices::Change;
use super::phone::{Hosting, Invitation, Phone, Voucher, WRAPPED, signed_by, unwrap, wrap};
use super::wire::Look;
use crate::binary::Node;
use crate::crypto::{KeyPair, PublicKey, Secret};
use crate::types::{Jid, Now};

/// An open registration stream.
pub(super) struct Registration {
    pub(super) noise_key: [u8; 32],
    pub(super) bundle: Bundle,
    references: Vec<String>,
    pub(super) deadline: u64,
    pub(super) pending: Option<Pending>,
    pub(super) code: Option<CodeAttempt>,
}

/// A linking that waits for the companion's answer.
#[derive(Debug)]
pub(super) struct Pending {
    request: String,
    device: DeviceId,
    voucher: Voucher,
}

/// A linking by code under way.
pub(super) struct CodeAttempt {
    pub(super) number: String,
    pub(super) reference: String,
    wrapped: [u8; WRAPPED],
    /// The phone's ephemeral key and what it took for the companion's, once a code was typed.
    typed: Option<(KeyPair, PublicKey)>,
    tries: u8,
}

impl Relay {
    /// Opens a registration stream: the companion gets the references for its QR codes. Fails on malformed keys.
    pub(super) fn begin_registration(
        &mut self,
        now: Now,
        link: LinkId,
        noise_key: [u8; 32],
        data: &DevicePairingRegistrationData,
    ) -> Result<(), u16> {
        let bundle = registered(data).ok_or(400_u16)?;
        if !signed_by(&bundle.identity, &bundle.signed) {
            return Err(400);
        }
        let references: Vec<String> =
            (0..REFERENCES).map(|_| format!("2@{}", URL_SAFE_NO_PAD.encode(self.random::<48>()))).collect();
        let shown = references.iter().map(|text| Node::new("ref").with_bytes(text.clone().into_bytes()));
        let pair = Node::new("pair-device").with_children(shown);
        let id = self.next_id();
        let longer = self.undertaking_deadline(&noise_key).unwrap_or(0);
        let registration = Registration {
            noise_key,
            bundle,
            references,
            deadline: now.mono.saturating_add(self.config.registration_timeout).max(longer),
            pending: None,
            code: None,
        };
        self.set_stage(link, Stage::Registration(Box::new(registration)));
        self.send(link, &server_request(&id, "md").with_child(pair));
        self.tell(RelayEvent::RegistrationOpened(link));
        self.remind(now, link, &noise_key);
        Ok(())
    }

    /// Scans a QR text with the phone of an account, made if it does not exist; `None` makes an account with the next free
    /// number. Returns the address that the device will have once its answer has been checked, which is when
    /// [`RelayEvent::Linked`] comes. Changes nothing on error.
    pub fn scan_qr(&mut self, now: Now, account: Option<&str>, text: &str) -> Result<Jid, ScanError> {
        let invitation = Invitation::parse(text).ok_or(ScanError::NotACode)?;
        let link = self
            .registrations()
            .find(|(_, open)| open.pending.is_none() && open.references.contains(&invitation.reference))
            .map(|(link, _)| link)
            .ok_or(ScanError::Expired)?;
        let open = self.registration(link).ok_or(ScanError::Expired)?;
        if open.noise_key != invitation.noise_key || open.bundle.identity != invitation.identity {
            return Err(ScanError::KeyMismatch);
        }
        let account = self.account_for(account)?;
        let jid = self.vouch_or_ask(now, link, account, &invitation.secret)?;
        self.settle_output();
        Ok(jid)
    }

    /// Types a code on the phone of an account that a companion has asked to be linked to, made if it does not exist.
    /// Whether the code was right shows later: [`RelayEvent::Linked`] or [`RelayEvent::LinkingFailed`]; after a wrong one
    /// another may be typed, three in all.
    pub fn enter_code(&mut self, now: Now, account: &str, code: &str) -> Result<(), ScanError> {
        let link = self
            .registrations()
            .find(|(_, open)| open.pending.is_none() && open.code.as_ref().is_some_and(|code| code.number == account))
            .map(|(link, _)| link)
            .ok_or(ScanError::NoCodeAwaited)?;
        let id = self.account_for(Some(account))?;
        let identity = *self.directory.account(id).ok_or(ScanError::TooManyAccounts)?.phone.identity();
        let code: String = code.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_uppercase();
        let own = KeyPair::generate(&mut self.rng);
        let wrapped = wrap(&mut self.rng, &code, &own.public);
        let attempt = self
            .registration_mut(link)
            .and_then(|open| open.code.as_mut())
            .filter(|attempt| attempt.tries < CODE_TRIES)
            .ok_or(ScanError::NoCodeAwaited)?;
        let theirs = unwrap(&code, &attempt.wrapped).ok_or(ScanError::NoCodeAwaited)?;
        attempt.tries += 1;
        attempt.typed = Some((own, theirs));
        let hello = Node::new("link_code_companion_reg")
            .with("stage", "primary_hello")
            .with_child(Node::new("link_code_pairing_wrapped_primary_ephemeral_pub").with_bytes(wrapped))
            .with_child(Node::new("primary_identity_pub").with_bytes(identity.as_bytes().to_vec()))
            .with_child(Node::new("link_code_pairing_ref").with_bytes(attempt.reference.clone().into_bytes()));
        let notification = Node::new("notification")
            .with("type", "link_code_companion_reg")
            .with("from", Jid::server_itself())
            .with("id", self.next_id())
            .with("t", now.unix_seconds())
            .with_child(hello);
        self.send(link, &notification);
        self.settle_output();
        Ok(())
    }

    /// Takes a stanza from an unlinked companion.
    pub(super) fn take_unlinked(&mut self, now: Now, link: LinkId, stanza: &Node) {
        if stanza.is("xmlstreamend") {
            return self.close(now, link);
        }
        if stanza.is("ack") {
            return self.take_unlinked_ack(link, stanza);
        }
        let (true, Some(id)) = (stanza.is("iq"), stanza.owned("id")) else { return };
        let kind = stanza.owned("type").unwrap_or_default();
        if matches!(kind.as_str(), "result" | "error") {
            let awaited =
                self.registration(link).and_then(|open| open.pending.as_ref()).is_some_and(|p| p.request == id);
            if awaited {
                self.finish_linking(now, link, stanza);
            }
            return;
        }
        let xmlns = stanza.owned("xmlns").unwrap_or_default();
        if xmlns == "md" && self.take_passkey_step(now, link, stanza, &id) {
            return;
        }
        let code = stanza.child("link_code_companion_reg");
        let fault = self.faults.request(&xmlns);
        let answer = match (xmlns.as_str(), code) {
            _ if fault == Some(RequestFault::Silence) => return,
            (_, _) if let Some(RequestFault::Error(code)) = fault => Err(code),
            ("w:p" | "urn:xmpp:ping", _) => Ok(Vec::new()),
            ("md", Some(code)) => self.take_code_stage(link, code),
            _ => Err(405),
        };
        let accepted = answer.is_ok();
        let reply = reply_to(now, stanza, &id, answer);
        match fault {
            Some(RequestFault::Delay(milliseconds)) => self.send_later(now, milliseconds, link, reply),
            _ => self.send(link, &reply),
        }
        if let Some(code) = code.filter(|code| accepted && code.text("stage").as_deref() == Some("companion_finish")) {
            self.finish_code(now, link, code);
        }
    }

    fn take_code_stage(&mut self, link: LinkId, code: &Node) -> Result<Vec<Node>, u16> {
        match code.text("stage").as_deref() {
            Some("companion_hello") => self.begin_code(link, code),
            Some("companion_finish") => Ok(Vec::new()),
            _ => Err(400),
        }
    }

    fn begin_code(&mut self, link: LinkId, code: &Node) -> Result<Vec<Node>, u16> {
        let number = code.jid("jid").map(|jid| jid.user().to_owned()).filter(|text| is_number(text)).ok_or(400_u16)?;
        let wrapped = code
            .child("link_code_pairing_wrapped_companion_ephemeral_pub")
            .and_then(Look::array::<WRAPPED>)
            .ok_or(400_u16)?;
        let display = code.child("companion_platform_display").and_then(Node::bytes);
        if display.is_some_and(|name| !std::str::from_utf8(&name).is_ok_and(is_display)) {
            return Err(400);
        }
        let noise_key = code.child("companion_server_auth_key_pub").and_then(Look::array::<32>).ok_or(400_u16)?;
        let reference = format!("2@{}", URL_SAFE_NO_PAD.encode(self.random::<24>()));
        let open = self.registration_mut(link).ok_or(400_u16)?;
        if open.noise_key != noise_key || open.pending.is_some() {
            return Err(400);
        }
        let shown = Node::new("link_code_pairing_ref").with_bytes(reference.clone().into_bytes());
        open.code = Some(CodeAttempt { number: number.clone(), reference, wrapped, typed: None, tries: 0 });
        self.tell(RelayEvent::CodeRequested { account: number });
        Ok(vec![Node::new("link_code_companion_reg").with("stage", "companion_hello").with_child(shown)])
    }

    /// The companion has proved that it knows the code, or has not.
    fn finish_code(&mut self, now: Now, link: LinkId, code: &Node) {
        let Some(secret) = self.code_secret(link, code) else {
            return self.tell(RelayEvent::LinkingFailed { link, reason: "wrong code".to_owned() });
        };
        let (account, secret) = secret;
        if let Err(refused) = self.vouch_or_ask(now, link, account, &secret) {
            self.tell(RelayEvent::LinkingFailed { link, reason: refused.to_string() });
        }
    }

    fn code_secret(&mut self, link: LinkId, code: &Node) -> Option<(AccountId, Secret<32>)> {
        let open = self.registration_mut(link)?;
        let identity = open.bundle.identity;
        let attempt = open.code.as_mut()?;
        let reference = code.child("link_code_pairing_ref")?.bytes()?;
        let named = code.child("companion_identity_public")?.array::<32>()?;
        let (own, theirs) = attempt.typed.take()?;
        if reference != attempt.reference.as_bytes() || named != identity {
            return None;
        }
        let account = self.directory.by_number(&self.registration(link)?.code.as_ref()?.number)?;
        let bundle = code.child("link_code_pairing_wrapped_key_bundle")?.bytes()?;
        let phone = &self.directory.account(account)?.phone;
        Some((account, phone.open_code_bundle(&own, &theirs, &identity, &bundle)?))
    }

    /// The phone vouches for the companion of a stream and the companion is told so.
    pub(super) fn vouch(
        &mut self,
        now: Now,
        link: LinkId,
        account: AccountId,
        secret: &Secret<32>,
    ) -> Result<Jid, ScanError> {
        let reserved: Vec<u16> = self
            .registrations()
            .filter_map(|(_, open)| open.pending.as_ref())
            .filter(|pending| pending.device.account == account)
            .map(|pending| pending.device.number)
            .collect();
        let identity = self.registration(link).ok_or(ScanError::Expired)?.bundle.identity;
        let found = self.directory.account_mut(account).ok_or(ScanError::TooManyAccounts)?;
        if found.companions.len() + reserved.len() >= self.config.max_companions {
            return Err(ScanError::TooManyCompanions);
        }
        let number = found.next_number(&reserved).ok_or(ScanError::TooManyCompanions)?;
        let hosting = if self.faults.linking(LinkingFault::HostedDevice) {
            Hosting::AccountAndDevice
        } else if self.faults.linking(LinkingFault::HostedAccount) {
            Hosting::Account
        } else {
            Hosting::None
        };
        let mut voucher = found.phone.vouch(&mut self.rng, now.unix_seconds(), &identity, secret, hosting);
        if self.faults.linking(LinkingFault::WrongMac) {
            voucher.spoil_mac(found.phone.identity(), &mut self.rng);
        } else if self.faults.linking(LinkingFault::WrongSignature) {
            voucher.spoil_signature(found.phone.identity(), secret);
        } else if self.faults.linking(LinkingFault::Damaged) {
            voucher.cut_container();
        }
        let (pn, lid) = (found.user(Namespace::Pn).with_device(number), found.user(Namespace::Lid).with_device(number));
        let request = self.next_id();
        let success = Node::new("pair-success")
            .with_child(Node::new("device-identity").with_bytes(voucher.container.clone()))
            .with_child(Node::new("device").with("jid", pn.clone()).with("lid", lid))
            .with_child(Node::new("platform").with("name", "android"));
        let open = self.registration_mut(link).ok_or(ScanError::Expired)?;
        open.pending = Some(Pending { request: request.clone(), device: DeviceId { account, number }, voucher });
        self.send(link, &server_request(&request, "md").with("t", now.unix_seconds()).with_child(success));
        Ok(pn)
    }

    /// The companion answered: if its signature is true it is a device from now on.
    fn finish_linking(&mut self, now: Now, link: LinkId, answer: &Node) {
        let outcome = self.checked(link, answer);
        let (device, key_index, companion) = match outcome {
            Ok(found) => found,
            Err(reason) => {
                self.tell(RelayEvent::LinkingFailed { link, reason });
                return self.close(now, link);
            }
        };
        let Some(account) = self.directory.account_mut(device.account) else { return };
        let noise_key = companion.noise_key;
        account.link(device.number, companion);
        let valid: Vec<u32> = account.companions.values().map(|companion| companion.key_index).collect();
        account.phone.publish(&mut self.rng, now.unix_seconds(), valid.into_iter());
        self.close_undertaking(&noise_key);
        if let Some(jid) = self.directory.address(device, Namespace::Pn) {
            self.tell(RelayEvent::Linked(jid));
        }
        self.tell_device_change(now, device, key_index, Change::Added);
        if self.faults.linking(LinkingFault::Without515) {
            return self.close(now, link);
        }
        let delay = self.config.restart_delay;
        self.send_later(now, delay, link, Node::new("stream:error").with("code", "515"));
        let deadline = now.mono.saturating_add(delay).saturating_add(self.config.close_delay);
        self.set_stage(link, Stage::Ending { deadline });
    }

    fn checked(&mut self, link: LinkId, answer: &Node) -> Result<(DeviceId, u32, Companion), String> {
        let open = self.registration_mut(link).ok_or("no registration")?;
        let pending = open.pending.take().ok_or("no linking under way")?;
        if let Some(error) = answer.child("error") {
            return Err(error.owned("text").unwrap_or_else(|| "refused".to_owned()));
        }
        let identity = answer
            .child("pair-device-sign")
            .and_then(|sign| sign.child("device-identity"))
            .ok_or("no identity in the answer")?;
        let index = identity.number("key-index");
        if index.is_some_and(|index| index != u64::from(pending.voucher.key_index)) {
            return Err("wrong key index".to_owned());
        }
        let (noise_key, bundle) = (open.noise_key, open.bundle.clone());
        let account = self.directory.account(pending.device.account).ok_or("no account")?;
        let bytes = identity.bytes().unwrap_or_else(Bytes::new);
        let identity = pending.voucher.check(account.phone.identity(), &bytes).ok_or("wrong device signature")?;
        let key_index = pending.voucher.key_index;
        let companion = Companion { noise_key, key_index, identity, bundle, mailbox: Mailbox::default() };
        Ok((pending.device, key_index, companion))
    }

    /// The account of a number, or a new one.
    pub(super) fn account_for(&mut self, number: Option<&str>) -> Result<AccountId, ScanError> {
        if let Some(number) = number {
            if !is_number(number) {
                return Err(ScanError::BadNumber);
            }
            if let Some(known) = self.directory.by_number(number) {
                return Ok(known);
            }
        }
        if self.directory.len() >= self.config.limits.accounts {
            return Err(ScanError::TooManyAccounts);
        }
        let mut free = self.config.first_phone_number;
        while self.directory.by_number(&free.to_string()).is_some() {
            free += 1;
        }
        let number = number.map_or_else(|| free.to_string(), ToOwned::to_owned);
        let mut lid = self.random_lid();
        while self.directory.resolve(&Jid::lid(lid.as_str())).is_some() {
            lid = self.random_lid();
        }
        let phone = Phone::new(&mut self.rng);
        self.directory.add(number.into(), lid.into(), phone).ok_or(ScanError::TooManyAccounts)
    }

    fn random_lid(&mut self) -> String {
        (FIRST_LID + self.rng.u64() % LIDS).to_string()
    }

    /// Unlinks a companion: its connection ends, its keys and mail are gone, and everybody concerned is told.
    pub(super) fn remove(&mut self, now: Now, device: DeviceId) -> bool {
        let jid = self.directory.address(device, Namespace::Pn);
        let Some(account) = self.directory.account_mut(device.account) else { return false };
        let Some(companion) = account.companions.remove(&device.number) else { return false };
        let valid: Vec<u32> = account.companions.values().map(|companion| companion.key_index).collect();
        account.phone.publish(&mut self.rng, now.unix_seconds(), valid.into_iter());
        if let Some(link) = self.online.get(&device).copied() {
            let conflict = Node::new("conflict").with("type", "device_removed");
            self.end(now, link, &Node::new("stream:error").with("code", "401").with_child(conflict));
        }
        self.tell_device_change(now, device, companion.key_index, Change::Removed);
        if let Some(jid) = jid {
            self.tell(RelayEvent::Removed(jid));
        }
        true
    }

    pub(super) fn registrations(&self) -> impl Iterator<Item = (LinkId, &Registration)> {
        self.links.iter().filter_map(|(id, link)| match &link.stage {
            Stage::Registration(open) => Some((*id, &**open)),
            _ => None,
        })
    }

    pub(super) fn registration(&self, link: LinkId) -> Option<&Registration> {
        match &self.links.get(&link)?.stage {
            Stage::Registration(open) => Some(open),
            _ => None,
        }
    }

    /// Keeps a stream open at least until `deadline`.
    pub(super) fn keep_registration(&mut self, link: LinkId, deadline: u64) {
        if let Some(open) = self.registration_mut(link) {
            open.deadline = open.deadline.max(deadline);
        }
    }

    fn registration_mut(&mut self, link: LinkId) -> Option<&mut Registration> {
        match &mut self.links.get_mut(&link)?.stage {
            Stage::Registration(open) => Some(open),
            _ => None,
        }
    }
}

/// A request by the server. `from` must be an address, not its text: one peer compares addresses and stays silent otherwise.
fn server_request(id: &str, xmlns: &str) -> Node {
    Node::new("iq").with("type", "set").with("from", Jid::server_itself()).with("id", id).with("xmlns", xmlns)
}

/// The keys in a registration.
fn registered(data: &DevicePairingRegistrationData) -> Option<Bundle> {
    let part = |bytes: &Option<Bytes>| bytes.clone().unwrap_or_default();
    let signed = SignedKey {
        id: part(&data.e_skey_id).as_ref().try_into().ok()?,
        value: part(&data.e_skey_val).as_ref().try_into().ok()?,
        signature: part(&data.e_skey_sig).as_ref().try_into().ok()?,
    };
    let registration = part(&data.e_regid).as_ref().try_into().ok()?;
    let identity = part(&data.e_ident).as_ref().try_into().ok()?;
    Some(Bundle::new(registration, identity, signed))
}

fn is_number(text: &str) -> bool {
    (5..=15).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0')
}

/// Whether a companion names itself `Browser (OS)` with words that the production server knows; it refuses others.
fn is_display(name: &str) -> bool {
    let parts = name.strip_suffix(')').and_then(|name| name.split_once(" ("));
    parts.is_some_and(|(browser, os)| BROWSERS.contains(&browser) && SYSTEMS.contains(&os))
}

const BROWSERS: [&str; 7] = ["Chrome", "Firefox", "Safari", "Edge", "Opera", "IE", "Desktop"];
const SYSTEMS: [&str; 8] = ["Windows", "Mac OS", "Linux", "Ubuntu", "Debian", "Chrome OS", "Android", "iOS"];

/// References in one `pair-device`; clients give the first a longer time only when there are exactly six.
const REFERENCES: usize = 6;

/// Codes that may be typed for one request.
const CODE_TRIES: u8 = 3;

/// Opaque ids have 15 digits.
const FIRST_LID: u64 = 100_000_000_000_000;
const LIDS: u64 = 900_000_000_000_000;
