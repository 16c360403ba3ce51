//! The relay in a process of its own, and how to reach it.

use crate::Failure;
use serde::{Deserialize, Serialize};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use whatsio::relay::{RelayOptions, RelayServer};

/// More than any measurement queues for one device.
const QUEUE_ITEMS: usize = 1_000_000;

/// Where a relay can be reached; its text form is JSON.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Address {
    pub(crate) url: String,
    pub(crate) root_key: String,
    pub(crate) admin: String,
}

/// A running relay; it ends with this.
pub(crate) struct Relay {
    pub(crate) address: Address,
    process: Child,
}

/// Runs a relay until standard input closes. Its first line says where it is.
pub(crate) async fn serve() -> Result<(), Failure> {
    let mut options = RelayOptions::default();
    options.wss = None;
    options.config.limits.queue_items = QUEUE_ITEMS;
    options.config.limits.queue_bytes = usize::MAX;
    let server = RelayServer::bind(options).await?;
    let address = Address { url: server.url(), root_key: hex::encode(server.root_key()), admin: server.admin_url() };
    println!("{}", serde_json::to_string(&address)?);
    let mut rest = Vec::new();
    tokio::io::stdin().read_to_end(&mut rest).await?;
    Ok(())
}

impl Relay {
    /// Starts one.
    pub(crate) async fn start() -> Result<Self, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut process =
            command.arg("relay").stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let output = process.stdout.take().ok_or("the relay has no output")?;
        let first = BufReader::new(output).lines().next_line().await?.ok_or("the relay ended at once")?;
        Ok(Self { address: serde_json::from_str(&first)?, process })
    }

    /// Megabytes that it occupies.
    pub(crate) fn resident_mb(&self) -> Result<f64, Failure> {
        let id = self.process.id().ok_or("the relay has ended")?;
        crate::process::resident_mb(id)
    }
}

impl Address {
    /// Has a phone scan `code` for a new account.
    pub(crate) async fn scan(&self, code: &str) -> Result<(), Failure> {
        let url = format!("{}/admin/mock-phone/scan-qr", self.admin);
        let answer = reqwest::Client::new().post(url).body(code.to_owned()).send().await?;
        if answer.status().is_success() { Ok(()) } else { Err(answer.text().await?.into()) }
    }

    /// What its certificates must lead to.
    pub(crate) fn root_key(&self) -> Result<[u8; 32], Failure> {
        hex::decode(&self.root_key)?.try_into().map_err(|_| "a root key has 32 bytes".into())
    }
}
