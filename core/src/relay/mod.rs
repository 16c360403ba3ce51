//! The server's half of the protocol as a second sans-IO machine: links companions (playing the phone too), logs them in,
//! stores and forwards between them. Good enough for clients that nobody here wrote.
//!
//! Shares codecs and keys with the client, never its behaviour. Everything is in memory; ciphertexts are never opened.

mod addressing;
mod app_state;
mod authenticator;
mod bundle;
mod calls;
mod ciphertext;
mod config;
mod delivery;
mod directory;
mod door;
mod endings;
mod event;
mod faults;
mod gate;
mod iq;
mod link;
mod linking;
mod login;
mod mailbox;
mod notices;
mod passkey;
mod phone;
mod presence;
mod prods;
mod puppets;
mod receipts;
mod routing;
mod webauthn;
mod wire;

#[cfg(test)]
mod tests;

pub use authenticator::{Authenticator, AuthenticatorError};
pub use ciphertext::{CounterReport, ReusedCounter};
pub use config::{RelayConfig, RelayLimits};
pub use endings::StreamFault;
pub use event::{AccountSummary, DeviceSummary, LinkId, RelayEvent, RelayInput, RelayOutput, ScanError, ShownCode};
pub use faults::{Cut, Cutting, Faults, LinkingFault, LoginRefusal, RequestFault};
pub use passkey::PhoneRefusal;
pub use puppets::PuppetKeys;
pub use webauthn::{AssertionRefusal, Credential, RelyingParty};

use std::collections::{BTreeMap, VecDeque};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::binary::Node;
use crate::crypto::Rng;
use crate::types::{Jid, Now, Seed};
use ciphertext::Counters;
use directory::{DeviceId, Directory, Namespace};
use door::{Authority, Door};
use link::Link;
use passkey::Passkeys;

/// A whole server: accounts, their mailboxes and all connections.
///
/// Feed it with [`Relay::handle`], then take outputs with [`Relay::poll`] until there are none; call again with
/// [`RelayInput::Tick`] at [`Relay::next_deadline`]. No input makes it fail: a peer that breaks the protocol loses its
/// connection. The same seed and inputs give the same outputs.
pub struct Relay {
    config: RelayConfig,
    rng: Rng,
    authority: Authority,
    directory: Directory,
    passkeys: Passkeys,
    links: BTreeMap<LinkId, Link>,
    /// The connection of each device that has one.
    online: BTreeMap<DeviceId, LinkId>,
    out: VecDeque<RelayOutput>,
    /// Stanzas to be sent later, by time and order.
    delayed: BTreeMap<(u64, u64), (LinkId, Node)>,
    delayed_count: u64,
    faults: Faults,
    counters: Counters,
    /// How many requests came in each namespace.
    requests: BTreeMap<String, u64>,
    last_id: u64,
    last_seconds: u64,
}

impl Relay {
    /// A server without accounts, with keys of its own. The seed decides everything random in it.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "a seed is used once; taking it keeps it from being used again")]
    pub fn new(config: RelayConfig, seed: Seed, now: Now) -> Self {
        let mut rng = Rng::new(&seed);
        let authority = Authority::new(&mut rng, now);
        Self {
            config,
            rng,
            authority,
            directory: Directory::default(),
            passkeys: Passkeys::default(),
            links: BTreeMap::new(),
            online: BTreeMap::new(),
            out: VecDeque::new(),
            delayed: BTreeMap::new(),
            delayed_count: 0,
            faults: Faults::default(),
            counters: Counters::default(),
            requests: BTreeMap::new(),
            last_id: 0,
            last_seconds: 0,
        }
    }

    /// Takes one input and everything that is due. Never fails: whom it offends is disconnected.
    pub fn handle(&mut self, now: Now, input: RelayInput) {
        self.expire(now);
        match input {
            RelayInput::Opened(link) => self.opened(now, link),
            RelayInput::Bytes(link, bytes) => self.take_bytes(now, link, bytes),
            RelayInput::Closed(link) => self.gone(now, link),
            RelayInput::Tick => {}
        }
        self.settle_output();
    }

    /// The next thing to do, or `None` when all is done.
    pub fn poll(&mut self) -> Option<RelayOutput> {
        self.out.pop_front()
    }

    /// When to call `handle` again at the latest, on [`Now::mono`].
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        let silence = self.config.silence_timeout;
        let links = self.links.values().map(|link| link.deadline(silence));
        links.chain(self.delayed.keys().map(|(at, _)| *at)).min()
    }

    /// The key that clients must trust: it signs the certificates shown in handshakes.
    #[must_use]
    pub fn root_key(&self) -> [u8; 32] {
        self.authority.root_key()
    }

    /// All accounts with their companions.
    #[must_use]
    pub fn accounts(&self) -> Vec<AccountSummary> {
        let summary = |(id, account): (_, &directory::Account)| AccountSummary {
            pn: account.user(Namespace::Pn),
            lid: account.user(Namespace::Lid),
            push_name: account.push_name.clone(),
            devices: account
                .companions
                .iter()
                .map(|(number, companion)| DeviceSummary {
                    jid: account.user(Namespace::Pn).with_device(*number),
                    online: self.online.contains_key(&DeviceId { account: id, number: *number }),
                    queued: companion.mailbox.len(),
                    prekeys: companion.bundle.count(),
                })
                .collect(),
        };
        self.directory.accounts().map(summary).collect()
    }

    /// Cuts the connection of a device, as a bad network would. `false` if it has none.
    pub fn disconnect(&mut self, now: Now, device: &Jid) -> bool {
        let link = self.directory.device(device).and_then(|device| self.online.get(&device).copied());
        let Some(link) = link else { return false };
        self.close(now, link);
        self.settle_output();
        true
    }

    /// Unlinks a companion, as its phone would. `false` if there is no such companion.
    pub fn remove_device(&mut self, now: Now, device: &Jid) -> bool {
        let removed = self.directory.device(device).is_some_and(|device| self.remove(now, device));
        self.settle_output();
        removed
    }

    /// The script of what shall go wrong.
    pub const fn faults(&mut self) -> &mut Faults {
        &mut self.faults
    }

    /// Whether senders used their counters once each, as far as [`RelayLimits::counters`] had it looked at.
    #[must_use]
    pub fn counters(&self) -> CounterReport {
        self.counters.report()
    }

    /// How many requests of this namespace have come from all devices so far.
    #[must_use]
    pub fn requests(&self, xmlns: &str) -> u64 {
        self.requests.get(xmlns).copied().unwrap_or(0)
    }

    fn opened(&mut self, now: Now, link: LinkId) {
        self.gone(now, link);
        if self.links.len() >= self.config.limits.links {
            return self.out.push_back(RelayOutput::Close(link));
        }
        self.authority.renew(&mut self.rng, now);
        self.links.insert(link, Link::new(now, Door::new(), self.config.handshake_timeout));
    }

    fn tell(&mut self, event: RelayEvent) {
        self.out.push_back(RelayOutput::Event(event));
    }

    /// An id for a stanza of the server: plain digits, which no client makes.
    fn next_id(&mut self) -> String {
        self.last_id += 1;
        self.last_id.to_string()
    }

    fn random<const N: usize>(&mut self) -> [u8; N] {
        self.rng.bytes()
    }

    /// A text that only its holder knows.
    fn token(&mut self) -> String {
        URL_SAFE_NO_PAD.encode(self.random::<24>())
    }

    /// The time given to a message: never before that of an earlier one.
    fn tick_seconds(&mut self, now: Now) -> u64 {
        self.last_seconds = self.last_seconds.max(now.unix_seconds());
        self.last_seconds
    }
}
