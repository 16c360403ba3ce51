//! Starting a client: what may be chosen, and its defaults.

use super::driver::{Driver, Parts};
use super::{Client, Events, StartError};
use crate::clock::{Clock, fresh_seed};
use crate::profile::{self, ProfileError};
use crate::recording::Recording;
use crate::storage::Storage;
use crate::transport::{Transport, Trust};
use std::path::Path;
use tokio::sync::{mpsc, watch};
use whatsio_core::api::{Config, Limits, ProtocolProfile};
use whatsio_core::client::Client as Core;
use whatsio_store::{AccountId, Store};

/// Collects what a client needs; made by [`Client::builder`].
#[derive(Debug)]
#[must_use = "nothing happens before `start().await`"]
pub struct ClientBuilder {
    storage: Option<Result<Storage, std::io::Error>>,
    account: String,
    config: Config,
    profile_error: Option<ProfileError>,
    proxy: Option<String>,
    trusted: Vec<String>,
    connect: bool,
    recording: Option<Recording>,
}

impl ClientBuilder {
    pub(super) fn new() -> Self {
        Self {
            storage: None,
            account: "default".into(),
            config: Config::default(),
            profile_error: None,
            proxy: None,
            trusted: Vec::new(),
            connect: true,
            recording: None,
        }
    }

    /// Keeps the account in `store`. For many accounts in one process make one [`Storage`] and use
    /// [`storage`](Self::storage): they then share one writer.
    pub fn store(mut self, store: impl Store) -> Self {
        self.storage = Some(Storage::new(store));
        self
    }

    /// Keeps the account in a store that is shared with other clients.
    pub fn storage(mut self, storage: &Storage) -> Self {
        self.storage = Some(Ok(storage.clone()));
        self
    }

    /// Names the account within the store: 1 to 100 of `A-Z a-z 0-9 . _ -`. The default is `default`.
    pub fn account(mut self, name: impl Into<String>) -> Self {
        self.account = name.into();
        self
    }

    /// Replaces the constants of the protocol: the announced version, what the phone shows, the server.
    pub fn profile(mut self, profile: ProtocolProfile) -> Self {
        self.config.profile = profile;
        self
    }

    /// Replaces them by those in a file; see [`profile`](crate::profile) for its form. An error comes from
    /// [`start`](Self::start).
    pub fn profile_file(mut self, path: impl AsRef<Path>) -> Self {
        match profile::load(path) {
            Ok(profile) => self.config.profile = profile,
            Err(error) => self.profile_error = Some(error),
        }
        self
    }

    /// As [`profile_file`](Self::profile_file) with the file that the environment variable `WHATSIO_PROFILE` names, if
    /// it is set.
    pub fn profile_from_environment(mut self) -> Self {
        match profile::from_environment() {
            Ok(Some(profile)) => self.config.profile = profile,
            Ok(None) => {}
            Err(error) => self.profile_error = Some(error),
        }
        self
    }

    /// Talks to a relay instead of the production service: its WebSocket URL and the root key of its certificates.
    pub fn relay(mut self, url: impl Into<String>, root_key: [u8; 32]) -> Self {
        self.config.profile.url = url.into();
        self.config.profile.root_key = root_key;
        self
    }

    /// Replaces the limits on growth.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config.limits = limits;
        self
    }

    /// Goes through a proxy: `http://`, `https://`, `socks5://` or `socks5h://`, with `user:password@` if needed.
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.proxy = Some(url.into());
        self
    }

    /// Trusts the certificates of a PEM text besides the public web's roots, for example a relay's own.
    pub fn trust_pem(mut self, pem: impl Into<String>) -> Self {
        self.trusted.push(pem.into());
        self
    }

    /// Records everything that happens to the client, for `whatsio replay`. A file that cannot be made is an error of
    /// [`start`](Self::start); one that cannot be written on ends with a warning, and the client goes on.
    pub fn record(mut self, recording: Recording) -> Self {
        self.recording = Some(recording);
        self
    }

    /// Stays offline until [`Client::connect`] is called.
    pub fn offline(mut self) -> Self {
        self.connect = false;
        self
    }

    /// Reads the account from the store, starts its task on the current tokio runtime, and connects (unless
    /// [`offline`](Self::offline)). An account that is not linked yet shows a QR code as its first event.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    ///
    /// # Panics
    /// Outside a tokio runtime with time and I/O enabled, as all of tokio does.
    pub async fn start(self) -> Result<(Client, Events), StartError> {
        if let Some(error) = self.profile_error {
            return Err(error.into());
        }
        let account = AccountId::new(&self.account)?;
        let storage = self.storage.ok_or(StartError::NoStore)??;
        let trust = Trust::with_pems(self.trusted.iter().map(String::as_str))?;
        let mut transport = Transport::new()?.with_trust(trust);
        if let Some(url) = self.proxy {
            transport = transport.with_proxy(url.parse()?);
        }
        let (keys, records) = storage.load(account.clone(), Core::root_keys()).await?;
        let seed = fresh_seed().map_err(StartError::Entropy)?;
        let roots = keys.into_iter().zip(records).collect();
        let recorder = self.recording.map(Recording::start).transpose()?;
        let core = match &recorder {
            Some(recorder) => recorder.restore(self.config.clone(), seed, roots)?,
            None => Core::restore(self.config.clone(), seed, roots)?,
        };

        let (command_to, commands) = mpsc::channel(COMMANDS);
        let (order_to, orders) = mpsc::channel(COMMANDS);
        let (handled_to, handled) = mpsc::unbounded_channel();
        let (event_to, events) = mpsc::channel(EVENTS);
        let (stopped_to, stopped) = watch::channel(None);
        let parts = Parts {
            account,
            config: self.config,
            storage,
            transport,
            clock: Clock::start(),
            commands,
            orders,
            handled,
            events: event_to,
            stopped: stopped_to,
            recorder,
        };
        tokio::spawn(Driver::new(parts, core, self.connect).run());
        Ok((Client::new(command_to, order_to, stopped), Events::new(events, handled_to)))
    }
}

const COMMANDS: usize = 64;
const EVENTS: usize = 64;
