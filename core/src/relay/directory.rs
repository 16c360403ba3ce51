//! Who exists: accounts under their two addresses, their phones and companions, and what each account has set.
//! Knows neither connections nor stanzas.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use smol_str::SmolStr;

use super::addressing::Shown;
use super::app_state::Collections;
use super::bundle::Bundle;
use super::mailbox::Mailbox;
use super::phone::Phone;
use crate::types::{Jid, Server};

/// One account, whatever address was used for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct AccountId(u32);

/// One device of an account; number 0 is the phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DeviceId {
    pub(crate) account: AccountId,
    pub(crate) number: u16,
}

/// Which of an account's two addresses is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Namespace {
    Pn,
    Lid,
}

impl Namespace {
    /// The namespace an address is written in; `None` for addresses that are not of users.
    pub(crate) fn of(jid: &Jid) -> Option<Self> {
        match jid.server() {
            Server::Whatsapp | Server::LegacyUser if !jid.user().is_empty() => Some(Self::Pn),
            Server::Lid => Some(Self::Lid),
            _ => None,
        }
    }

    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Pn => Self::Lid,
            Self::Lid => Self::Pn,
        }
    }
}

/// A companion of an account.
#[derive(Debug)]
pub(crate) struct Companion {
    /// The static key of its handshakes; a login must show it.
    pub(crate) noise_key: [u8; 32],
    pub(crate) key_index: u32,
    /// Its complete signed identity, handed to peers with its keys.
    pub(crate) identity: Bytes,
    pub(crate) bundle: Bundle,
    pub(crate) mailbox: Mailbox,
}

/// One account.
pub(crate) struct Account {
    pub(crate) pn: SmolStr,
    pub(crate) lid: SmolStr,
    pub(crate) push_name: String,
    pub(crate) shown: Shown,
    pub(crate) phone: Phone,
    pub(crate) companions: BTreeMap<u16, Companion>,
    /// The number given last; numbers are not used again before all others have been.
    last_number: u16,
    /// Accounts that messages were exchanged with; they are told of new and removed devices.
    pub(crate) contacts: BTreeSet<AccountId>,
    pub(crate) blocked: BTreeSet<AccountId>,
    pub(crate) settings: Settings,
    pub(crate) collections: Collections,
    /// Tokens that others have issued to this account.
    pub(crate) tokens: BTreeMap<AccountId, [u8; 16]>,
    /// Only those who show a token that this account issued may write to it.
    pub(crate) wants_tokens: bool,
    /// Until when (Unix seconds) this account may begin no new chats.
    pub(crate) restricted_until: Option<u64>,
    /// Unix seconds of the last time a device went away.
    pub(crate) last_seen: Option<u64>,
    recent: Recent,
}

/// What an account has told the server about itself.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) privacy: BTreeMap<&'static str, String>,
    /// The "about" text and when it was set.
    pub(crate) about: Option<(String, u64)>,
    /// The default timer of new chats and when it was set.
    pub(crate) disappearing: (u32, u64),
}

impl Default for Settings {
    fn default() -> Self {
        let privacy = PRIVACY_DEFAULTS.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Self { privacy, about: None, disappearing: (0, 0) }
    }
}

/// The settings that every account has, with the values of a new one.
const PRIVACY_DEFAULTS: [(&str, &str); 9] = [
    ("readreceipts", "all"),
    ("last", "all"),
    ("online", "all"),
    ("profile", "all"),
    ("status", "all"),
    ("groupadd", "all"),
    ("calladd", "all"),
    ("messages", "all"),
    ("defense", "off"),
];

/// A message that was taken over before.
#[derive(Clone, Debug, Default)]
pub(crate) struct TakenBefore {
    /// The time it was given.
    pub(crate) seconds: u64,
    /// Devices that it went to.
    pub(crate) devices: BTreeSet<DeviceId>,
}

/// Messages taken over lately, by id and chat.
#[derive(Debug, Default)]
struct Recent {
    messages: BTreeMap<(String, String), TakenBefore>,
    order: VecDeque<(String, String)>,
}

/// All accounts.
#[derive(Default)]
pub(crate) struct Directory {
    accounts: BTreeMap<AccountId, Account>,
    by_pn: BTreeMap<SmolStr, AccountId>,
    by_lid: BTreeMap<SmolStr, AccountId>,
}

impl Directory {
    /// Adds an account. `None` when either address is taken.
    pub(crate) fn add(&mut self, pn: SmolStr, lid: SmolStr, phone: Phone) -> Option<AccountId> {
        let held = self.by_pn.get(&pn).and_then(|holder| self.accounts.get(holder));
        if held.is_some_and(|holder| holder.pn == pn) || self.by_lid.contains_key(&lid) {
            return None;
        }
        let id = AccountId(u32::try_from(self.accounts.len()).ok()?);
        self.by_pn.insert(pn.clone(), id);
        self.by_lid.insert(lid.clone(), id);
        self.accounts.insert(id, Account::new(pn, lid, phone));
        Some(id)
    }

    /// Gives an account another number; the old one still leads to it until somebody else gets it. `false` if it is taken.
    pub(crate) fn renumber(&mut self, id: AccountId, number: &str) -> bool {
        let held = self.by_pn.get(number).and_then(|holder| self.accounts.get(holder));
        if held.is_some_and(|holder| holder.pn == number) {
            return false;
        }
        let Some(account) = self.accounts.get_mut(&id) else { return false };
        account.pn = number.into();
        self.by_pn.insert(number.into(), id);
        true
    }

    pub(crate) fn len(&self) -> usize {
        self.accounts.len()
    }

    pub(crate) fn by_number(&self, digits: &str) -> Option<AccountId> {
        self.by_pn.get(digits).copied()
    }

    pub(crate) fn account(&self, id: AccountId) -> Option<&Account> {
        self.accounts.get(&id)
    }

    pub(crate) fn account_mut(&mut self, id: AccountId) -> Option<&mut Account> {
        self.accounts.get_mut(&id)
    }

    pub(crate) fn accounts(&self) -> impl Iterator<Item = (AccountId, &Account)> {
        self.accounts.iter().map(|(id, account)| (*id, account))
    }

    /// The account and device number an address names, whether or not the device exists.
    pub(crate) fn resolve(&self, jid: &Jid) -> Option<DeviceId> {
        let account = match Namespace::of(jid)? {
            Namespace::Pn => self.by_pn.get(jid.user()),
            Namespace::Lid => self.by_lid.get(jid.user()),
        };
        account.map(|account| DeviceId { account: *account, number: jid.device() })
    }

    /// The existing device an address names.
    pub(crate) fn device(&self, jid: &Jid) -> Option<DeviceId> {
        self.resolve(jid).filter(|device| self.exists(*device))
    }

    pub(crate) fn exists(&self, device: DeviceId) -> bool {
        let Some(account) = self.accounts.get(&device.account) else { return false };
        device.number == 0 || account.companions.contains_key(&device.number)
    }

    pub(crate) fn companion(&self, device: DeviceId) -> Option<&Companion> {
        self.accounts.get(&device.account)?.companions.get(&device.number)
    }

    pub(crate) fn companion_mut(&mut self, device: DeviceId) -> Option<&mut Companion> {
        self.accounts.get_mut(&device.account)?.companions.get_mut(&device.number)
    }

    /// The address of a device in a namespace.
    pub(crate) fn address(&self, device: DeviceId, namespace: Namespace) -> Option<Jid> {
        Some(self.accounts.get(&device.account)?.user(namespace).with_device(device.number))
    }

    /// All devices of an account, the phone first.
    pub(crate) fn devices(&self, account: AccountId) -> Vec<DeviceId> {
        let Some(found) = self.accounts.get(&account) else { return Vec::new() };
        let numbers = std::iter::once(0).chain(found.companions.keys().copied());
        numbers.map(|number| DeviceId { account, number }).collect()
    }

    /// All companions of an account.
    pub(crate) fn companions(&self, account: AccountId) -> Vec<DeviceId> {
        self.devices(account).into_iter().filter(|device| device.number != 0).collect()
    }

    /// Remembers that two accounts have to do with each other. At `limit` contacts no more are remembered.
    pub(crate) fn acquaint(&mut self, one: AccountId, other: AccountId, limit: usize) {
        for (owner, contact) in [(one, other), (other, one)] {
            if owner != contact
                && let Some(account) = self.accounts.get_mut(&owner)
                && account.contacts.len() < limit
            {
                account.contacts.insert(contact);
            }
        }
    }
}

impl Account {
    fn new(pn: SmolStr, lid: SmolStr, phone: Phone) -> Self {
        Self {
            pn,
            lid,
            push_name: String::new(),
            shown: Shown::default(),
            phone,
            companions: BTreeMap::new(),
            last_number: 0,
            contacts: BTreeSet::new(),
            blocked: BTreeSet::new(),
            settings: Settings::default(),
            collections: Collections::default(),
            tokens: BTreeMap::new(),
            wants_tokens: false,
            restricted_until: None,
            last_seen: None,
            recent: Recent::default(),
        }
    }

    /// The account's address, without a device.
    pub(crate) fn user(&self, namespace: Namespace) -> Jid {
        match namespace {
            Namespace::Pn => Jid::new(self.pn.clone(), Server::Whatsapp),
            Namespace::Lid => Jid::new(self.lid.clone(), Server::Lid),
        }
    }

    /// The next free device number, counting on from the last one given; `None` when all are taken.
    pub(crate) fn next_number(&self, reserved: &[u16]) -> Option<u16> {
        let after = self.last_number.saturating_add(1)..=LAST_NUMBER;
        after.chain(1..=LAST_NUMBER).find(|number| !self.companions.contains_key(number) && !reserved.contains(number))
    }

    /// Adds a companion under a number from `next_number`.
    pub(crate) fn link(&mut self, number: u16, companion: Companion) {
        self.last_number = number;
        self.companions.insert(number, companion);
    }

    /// What is remembered of a message that was taken over before.
    pub(crate) fn taken(&self, id: &str, chat: &str) -> Option<&TakenBefore> {
        self.recent.messages.get(&(id.to_owned(), chat.to_owned()))
    }

    /// Remembers a message that was taken over. Beyond `limit` the oldest is forgotten.
    pub(crate) fn took(&mut self, id: &str, chat: &str, taken: TakenBefore, limit: usize) {
        let key = (id.to_owned(), chat.to_owned());
        if self.recent.messages.insert(key.clone(), taken).is_none() {
            self.recent.order.push_back(key);
        }
        while self.recent.order.len() > limit {
            if let Some(oldest) = self.recent.order.pop_front() {
                self.recent.messages.remove(&oldest);
            }
        }
    }
}

/// Device 99 means a hosted device, so ordinary companions stay below it.
const LAST_NUMBER: u16 = 98;
