//! A long absence: what waited at the server comes in order and once, in bounded memory, however slow the application is.

use crate::party::{self, Party};
use crate::relay::Relay;
use crate::{Failure, process};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use whatsio::api::Event;
use whatsio::{ClientBuilder, SqliteStore};

/// Lets everything come as fast as it can.
pub(crate) async fn at_full_speed(messages: u32) -> Result<(), Failure> {
    let absent = Absent::prepare(messages).await?;
    let begin = Begin::now()?;
    let mut party = Party::start(absent.builder()?).await?;
    let mut numbers = Numbers::default();
    while numbers.next < messages {
        take(&mut party, &mut numbers).await?;
    }
    let seconds = begin.clock.elapsed().as_secs_f64();
    println!(
        "drained {messages} messages in {seconds:.1} s ({:.0}/s, {:.0} µs of processor each), in order, each once",
        f64::from(messages) / seconds,
        (process::processor_seconds()? - begin.processor) * 1e6 / f64::from(messages),
    );
    begin.report_memory()?;
    party.client.shutdown().await;
    Ok(())
}

/// Takes a second for each event, for a while; then lets the rest come.
pub(crate) async fn slowly(messages: u32, seconds: u64) -> Result<(), Failure> {
    let absent = Absent::prepare(messages).await?;
    let begin = Begin::now()?;
    let mut party = Party::start(absent.builder()?).await?;
    let mut numbers = Numbers::default();
    while begin.clock.elapsed() < Duration::from_secs(seconds) {
        take(&mut party, &mut numbers).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let slow = numbers.next;
    println!("the application took {slow} messages in {seconds} s, one a second");
    begin.report_memory()?;
    println!("the relay, where the others wait, occupies {:.1} MB", absent.relay.resident_mb()?);
    while numbers.next < messages {
        take(&mut party, &mut numbers).await?;
    }
    println!("then the other {} came at full speed: all {messages} in order, each once", messages - slow);
    begin.report_memory()?;
    party.client.shutdown().await;
    Ok(())
}

/// A linked account that is offline, with messages waiting for it.
struct Absent {
    relay: Relay,
    folder: TempDir,
}

impl Absent {
    async fn prepare(messages: u32) -> Result<Self, Failure> {
        let absent = Self { relay: Relay::start().await?, folder: tempfile::tempdir()? };
        let party = Party::link(&absent.relay.address, absent.builder()?).await?;
        let jid = party.jid().await?;
        party.client.shutdown().await;
        drop(party);
        let begun = Instant::now();
        party::send_from_elsewhere(&absent.relay.address, &jid, messages).await?;
        println!("{messages} messages wait at the relay; sending them took {:.1} s", begun.elapsed().as_secs_f64());
        Ok(absent)
    }

    fn builder(&self) -> Result<ClientBuilder, Failure> {
        let store = SqliteStore::open(self.folder.path().join("load.db"))?;
        Ok(party::builder(&self.relay.address)?.store(store))
    }
}

/// What a measurement is compared with.
struct Begin {
    clock: Instant,
    memory: f64,
    processor: f64,
}

impl Begin {
    fn now() -> Result<Self, Failure> {
        process::forget_peak()?;
        Ok(Self { clock: Instant::now(), memory: process::own_mb()?, processor: process::processor_seconds()? })
    }

    fn report_memory(&self) -> Result<(), Failure> {
        let (now, peak) = (process::own_mb()?, process::peak_mb()?);
        println!(
            "memory: {:.1} MB before, {peak:.1} MB at the peak (+{:.1}), {now:.1} MB now",
            self.memory,
            peak - self.memory
        );
        Ok(())
    }
}

/// Which number must come next.
#[derive(Default)]
struct Numbers {
    next: u32,
}

async fn take(party: &mut Party, numbers: &mut Numbers) -> Result<(), Failure> {
    loop {
        let event = party.next().await?;
        let text = match event.event() {
            Event::MessageReceived(message) => whatsio::content::text_of(&message.content),
            Event::MessageUndecryptable(_) => return Err("a message could not be read".into()),
            _ => {
                event.handled();
                continue;
            }
        };
        if text.as_deref() != Some(numbers.next.to_string().as_str()) {
            return Err(format!("instead of number {} came {text:?}", numbers.next).into());
        }
        numbers.next += 1;
        event.handled();
        return Ok(());
    }
}
