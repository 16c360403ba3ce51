//! Behind the handshake: who is this, and may they come in. Logins of linked devices are completed here; unlinked ones go
//! on in `linking`.

use std::collections::BTreeMap;

use prost::Message;
use whatsio_proto::wa6::ClientPayload;

use super::Relay;
use super::delivery::Progress;
use super::directory::{AccountId, DeviceId, Namespace};
use super::event::{LinkId, RelayEvent};
use super::faults::LoginRefusal;
use super::link::Stage;
use crate::binary::Node;
use crate::types::Now;

/// A logged-in connection.
#[derive(Debug)]
pub(super) struct Login {
    pub(super) device: DeviceId,
    /// Whether the client has announced itself; only then it is shown who is there and who is typing.
    pub(super) available: bool,
    /// Whose presence it wants to see, and under which address.
    pub(super) watching: BTreeMap<AccountId, Namespace>,
    pub(super) progress: Progress,
    /// When the next ping is due.
    pub(super) ping: Option<u64>,
}

/// The reasons of a `failure`.
mod reason {
    pub(super) const MALFORMED: u16 = 400;
    pub(super) const UNKNOWN_DEVICE: u16 = 401;
    pub(super) const OUTDATED: u16 = 405;
}

impl Relay {
    /// Decides on a finished handshake. What a client claims counts only together with its static key.
    pub(super) fn admit(&mut self, now: Now, link: LinkId, static_key: [u8; 32], payload: &[u8]) {
        if let Err(refusal) = self.try_admit(now, link, static_key, payload) {
            self.tell(RelayEvent::Refused { link, reason: refusal.reason });
            let reason = (refusal.reason != 0).then_some(u64::from(refusal.reason));
            let failure = Node::new("failure")
                .with_some("reason", reason)
                .with_some("code", refusal.code.map(u64::from))
                .with_some("expire", refusal.expire)
                .with_some("message", refusal.message)
                .with_some("url", refusal.url)
                .with("location", LOCATION);
            self.end(now, link, &failure);
        }
    }

    fn try_admit(&mut self, now: Now, link: LinkId, static_key: [u8; 32], payload: &[u8]) -> Result<(), LoginRefusal> {
        let refused = |reason| LoginRefusal { reason, ..LoginRefusal::default() };
        let payload = ClientPayload::decode(payload).map_err(|_| refused(reason::MALFORMED))?;
        if let Some(refusal) = self.faults.login_refusal() {
            return Err(refusal);
        }
        if self.config.minimum_version.is_some_and(|minimum| version(&payload) < minimum) {
            return Err(refused(reason::OUTDATED));
        }
        match &payload.device_pairing_data {
            Some(data) => self.begin_registration(now, link, static_key, data).map_err(refused),
            None => self.log_in(now, link, static_key, &payload).map_err(refused),
        }
    }

    fn log_in(&mut self, now: Now, link: LinkId, static_key: [u8; 32], payload: &ClientPayload) -> Result<(), u16> {
        let number = payload.username.ok_or(reason::UNKNOWN_DEVICE)?.to_string();
        let account = self.directory.by_number(&number).ok_or(reason::UNKNOWN_DEVICE)?;
        let device = payload.device.and_then(|device| u16::try_from(device).ok()).ok_or(reason::UNKNOWN_DEVICE)?;
        let device = DeviceId { account, number: device };
        let companion = self.directory.companion(device).ok_or(reason::UNKNOWN_DEVICE)?;
        if companion.noise_key != static_key {
            return Err(reason::UNKNOWN_DEVICE);
        }
        if let Some(older) = self.online.get(&device).copied() {
            let conflict = Node::new("conflict").with("type", "replaced");
            self.end(now, older, &Node::new("stream:error").with_child(conflict));
        }
        if let Some(name) = &payload.push_name {
            self.learn_name(account, name);
        }
        let login = Login {
            device,
            available: false,
            watching: BTreeMap::new(),
            progress: Progress::new(self.config.offline_credit),
            ping: self.config.ping_interval.map(|interval| now.mono.saturating_add(interval)),
        };
        self.set_stage(link, Stage::Login(Box::new(login)));
        self.online.insert(device, link);
        let success = Node::new("success")
            .with("t", now.unix_seconds())
            .with_some("lid", self.directory.address(device, Namespace::Lid))
            .with("location", LOCATION);
        self.send(link, &success);
        if let Some(jid) = self.directory.address(device, Namespace::Pn) {
            self.tell(RelayEvent::LoggedIn(jid));
        }
        self.preview(link, device);
        // A client that does not log in as passive is never going to ask for its mail.
        if !payload.passive.unwrap_or(false) {
            self.activate(now, link);
        }
        Ok(())
    }
}

fn version(payload: &ClientPayload) -> (u32, u32, u32) {
    let version = payload.user_agent.as_ref().and_then(|agent| agent.app_version.as_ref());
    version.map_or((0, 0, 0), |version| {
        (version.primary.unwrap_or(0), version.secondary.unwrap_or(0), version.tertiary.unwrap_or(0))
    })
}

/// The server's site, as shown in answers; any short text will do.
const LOCATION: &str = "rly";
