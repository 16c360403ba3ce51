//! One account under load: linking it, sending from it.

use crate::Failure;
use crate::relay::Address;
use std::collections::VecDeque;
use std::process::Stdio;
use tokio::process::Command;
use whatsio::api::Event;
use whatsio::{Client, ClientBuilder, Delivery, Events, Jid, MemoryStore, content};

/// Sends that may wait for their report at once.
const IN_FLIGHT: usize = 200;

/// One account and its events.
pub(crate) struct Party {
    pub(crate) client: Client,
    pub(crate) events: Events,
}

/// A client of the relay at `address`.
pub(crate) fn builder(address: &Address) -> Result<ClientBuilder, Failure> {
    Ok(Client::builder().relay(&address.url, address.root_key()?))
}

impl Party {
    /// Starts an account that is linked already, or not to be linked yet.
    pub(crate) async fn start(builder: ClientBuilder) -> Result<Self, Failure> {
        let (client, events) = builder.start().await?;
        Ok(Self { client, events })
    }

    /// Starts an account, links it and waits until messages flow.
    pub(crate) async fn link(address: &Address, builder: ClientBuilder) -> Result<Self, Failure> {
        let mut party = Self::start(builder).await?;
        loop {
            let event = party.next().await?;
            match event.event() {
                Event::QrShown { text, .. } => address.scan(text).await?,
                Event::Connected => return Ok(party),
                _ => {}
            }
            event.handled();
        }
    }

    /// The next event.
    pub(crate) async fn next(&mut self) -> Result<Delivery, Failure> {
        Ok(self.events.next().await.ok_or("the client has stopped")?)
    }

    /// Own address, without device.
    pub(crate) async fn jid(&self) -> Result<Jid, Failure> {
        Ok(self.client.identity().await?.ok_or("not linked")?.jid.to_user())
    }
}

/// Sends the numbers from 0 to `messages` from a new account; this is the sender's whole process.
pub(crate) async fn send_all(relay: &str, to: &str, messages: u32) -> Result<(), Failure> {
    let address: Address = serde_json::from_str(relay)?;
    let to: Jid = to.parse()?;
    let Party { client, mut events } = Party::link(&address, builder(&address)?.store(MemoryStore::default())).await?;
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            event.handled();
        }
    });
    let mut waiting = VecDeque::with_capacity(IN_FLIGHT);
    for number in 0..messages {
        if waiting.len() == IN_FLIGHT
            && let Some(oldest) = waiting.pop_front()
        {
            report(oldest).await?;
        }
        waiting.push_back(client.queue(&to, content::text(&number.to_string()), None).await?);
    }
    for queued in waiting {
        report(queued).await?;
    }
    client.shutdown().await;
    Ok(())
}

async fn report(queued: whatsio::Queued) -> Result<(), Failure> {
    if queued.report().await?.is_sent() { Ok(()) } else { Err("the relay refused a message".into()) }
}

/// Runs [`send_all`] in a process of its own.
pub(crate) async fn send_from_elsewhere(address: &Address, to: &Jid, messages: u32) -> Result<(), Failure> {
    let (relay, to, messages) = (serde_json::to_string(address)?, to.to_string(), messages.to_string());
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["send", "--relay", &relay, "--to", &to, "--messages", &messages]).stdin(Stdio::null());
    let status = command.kill_on_drop(true).status().await?;
    if status.success() { Ok(()) } else { Err("the sender failed".into()) }
}
