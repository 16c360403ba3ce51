//! The relay that a cast of clients meets on, and the phone that links them, played over the control API as other
//! projects' suites do it.

use serde_json::Value;
use std::path::PathBuf;
use tempfile::TempDir;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use whatsio::relay::{RelayHandle, RelayOptions, RelayServer};
use whatsio_core::relay::{CounterReport, RelayEvent};

use crate::actor::{Actor, Outcome, PATIENCE};

/// Where clients connect to and what they must trust.
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) url: String,
    pub(crate) root_key: String,
    pub(crate) certificate: PathBuf,
}

/// A relay of its own for one cast.
pub(crate) struct Stage {
    server: RelayServer,
    pub(crate) address: Address,
    _certificates: TempDir,
}

impl Stage {
    /// A relay on free ports that remembers counters.
    pub(crate) async fn open() -> Self {
        let mut options = RelayOptions::default();
        options.config.limits.counters = 1_000_000;
        options.config.limits.remembered_ids = 100_000;
        let server = RelayServer::bind(options).await.expect("the relay listens");
        let certificates = TempDir::new().expect("a folder");
        let certificate = certificates.path().join("relay.pem");
        std::fs::write(&certificate, server.certificate_pem().expect("it has TLS")).expect("written");
        let url = server.tls_url().expect("it has TLS");
        let address = Address { url, root_key: hex::encode(server.root_key()), certificate };
        Self { server, address, _certificates: certificates }
    }

    /// Links an actor that shows a QR code, and waits until it is logged in.
    pub(crate) async fn link_by_qr(&self, actor: &mut Actor, account: &str) -> Outcome {
        actor.start()?;
        actor.order(serde_json::json!({"do": "connect"})).await?;
        let shown = actor.wait("a QR code", |event| event["is"] == "qr").await?;
        self.phone("scan-qr", account, shown["text"].as_str().unwrap_or_default()).await?;
        actor.opened().await
    }

    /// Links an actor by a code that is typed on the phone, and waits until it is logged in.
    pub(crate) async fn link_by_code(&self, actor: &mut Actor, account: &str) -> Outcome {
        actor.start()?;
        actor.order(serde_json::json!({"do": "connect"})).await?;
        actor.wait("a QR code", |event| event["is"] == "qr").await?;
        actor.order(serde_json::json!({"do": "code", "number": account})).await?;
        let shown = actor.wait("a code", |event| event["is"] == "code").await?;
        self.phone("enter-code", account, shown["text"].as_str().unwrap_or_default()).await?;
        actor.opened().await
    }

    async fn phone(&self, action: &str, account: &str, text: &str) -> Outcome {
        let url = format!("{}/admin/mock-phone/{action}?account={account}", self.server.admin_url());
        self.post(&url, text).await
    }

    /// The next message for a device arrives unreadable.
    pub(crate) async fn damage_next_for(&self, device: &str) -> Outcome {
        self.post(&format!("{}/admin/damage-ciphertext", self.server.admin_url()), device).await
    }

    async fn post(&self, url: &str, body: &str) -> Outcome {
        let answer = reqwest::Client::new().post(url).body(body.to_owned()).send().await;
        let answer = answer.map_err(|error| error.to_string())?;
        if answer.status().is_success() {
            return Ok(());
        }
        let body: Value = answer.json().await.map_err(|error| error.to_string())?;
        Err(format!("the relay refused: {body}"))
    }

    /// What happens at the relay from now on.
    pub(crate) fn events(&self) -> Receiver<RelayEvent> {
        self.handle().events()
    }

    /// What the oracle of counters has found.
    pub(crate) async fn counters(&self) -> CounterReport {
        self.handle().with(|relay, _| relay.counters()).await.expect("the relay runs")
    }

    const fn handle(&self) -> &RelayHandle {
        self.server.handle()
    }

    /// Ends the relay.
    pub(crate) async fn close(self) {
        self.server.shutdown().await;
    }
}

/// Waits until the relay has unlinked a device.
pub(crate) async fn removed(events: &mut Receiver<RelayEvent>, device: &str) -> Outcome {
    let removal = async {
        loop {
            match events.recv().await {
                Ok(RelayEvent::Removed(jid)) if jid.to_string() == device => return Ok(()),
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Err("the relay has ended".to_owned()),
            }
        }
    };
    let waited = tokio::time::timeout(PATIENCE, removal).await;
    waited.unwrap_or_else(|_| Err("the relay still has the device".to_owned()))
}
