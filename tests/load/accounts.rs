//! Many accounts in one process: what each costs, and whether all of them still answer at once.

use crate::party::{self, Party};
use crate::relay::Relay;
use crate::{Failure, process};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use whatsio::api::Event;
use whatsio::{Client, Jid, SqliteStore, Storage, content};

/// Accounts that are linked at the same time.
const AT_ONCE: usize = 16;

/// Rounds of messages.
const ROUNDS: u32 = 3;

/// Links `count` accounts, lets them idle, then has each write to the next one.
pub(crate) async fn measure(count: usize, idle_seconds: u64) -> Result<(), Failure> {
    let relay = Relay::start().await?;
    let folder = tempfile::tempdir()?;
    let storage = Storage::new(SqliteStore::open(folder.path().join("load.db"))?)?;
    let empty = process::own_mb()?;

    let begun = Instant::now();
    let parties = link_all(&relay, &storage, count).await?;
    println!("linked {count} accounts in {:.1} s", begun.elapsed().as_secs_f64());
    let full = process::own_mb()?;
    println!(
        "memory: {empty:.1} MB empty, {full:.1} MB with {count} accounts online: {:.0} KB each",
        (full - empty) * 1024.0 / count as f64
    );

    let processor = process::processor_seconds()?;
    tokio::time::sleep(Duration::from_secs(idle_seconds)).await;
    let used = process::processor_seconds()? - processor;
    println!("idle for {idle_seconds} s: {:.2} % of one processor for all", used * 100.0 / idle_seconds as f64);

    let mut jids = Vec::with_capacity(count);
    for party in &parties {
        jids.push(party.jid().await?);
    }
    let mut parties = parties;
    for round in 0..ROUNDS {
        parties = exchange(parties, &jids, round).await?;
    }
    let now = process::own_mb()?;
    println!(
        "memory after the messages: {now:.1} MB: {:.0} KB for each account",
        (now - empty) * 1024.0 / count as f64
    );
    Ok(())
}

async fn link_all(relay: &Relay, storage: &Storage, count: usize) -> Result<Vec<Party>, Failure> {
    let mut linked = Vec::with_capacity(count);
    let mut working = JoinSet::new();
    for number in 0..count {
        if working.len() == AT_ONCE
            && let Some(party) = working.join_next().await
        {
            linked.push(party??);
        }
        let (address, storage) = (relay.address.clone(), storage.clone());
        working.spawn(async move {
            let builder = party::builder(&address)?.storage(&storage).account(format!("account-{number}"));
            Party::link(&address, builder).await
        });
    }
    while let Some(party) = working.join_next().await {
        linked.push(party??);
    }
    Ok(linked)
}

/// Every account writes to the next one, all at the same time; tells how long a message took from the call to the
/// receiver's event.
async fn exchange(parties: Vec<Party>, jids: &[Jid], round: u32) -> Result<Vec<Party>, Failure> {
    let begun = Instant::now();
    let mut working = JoinSet::new();
    for (number, party) in parties.into_iter().enumerate() {
        let Some(next) = jids.get((number + 1) % jids.len()).cloned() else { continue };
        working.spawn(async move { one_message(number, party, next, begun).await });
    }
    let mut results = Vec::with_capacity(jids.len());
    while let Some(result) = working.join_next().await {
        results.push(result??);
    }
    results.sort_by_key(|(number, ..)| *number);
    let mut delays: Vec<Duration> = results.iter().map(|(_, _, delay)| *delay).collect();
    delays.sort_unstable();
    let at = |part: usize| delays.get((delays.len() - 1) * part / 100).copied().unwrap_or_default().as_millis();
    println!(
        "round {}: {} messages at the same time in {:.2} s; until read by the receiver: half within {} ms, 99 % within {} ms",
        round + 1,
        delays.len(),
        begun.elapsed().as_secs_f64(),
        at(50),
        at(99),
    );
    Ok(results.into_iter().map(|(_, party, _)| party).collect())
}

async fn one_message(
    number: usize,
    mut party: Party,
    to: Jid,
    begun: Instant,
) -> Result<(usize, Party, Duration), Failure> {
    let sending = tokio::spawn(send(party.client.clone(), to));
    let mut received = None;
    let mut reported = false;
    // The report is an event too: both are taken, so that the next round begins with nothing left over.
    while received.is_none() || !reported {
        let event = party.next().await?;
        match event.event() {
            Event::MessageReceived(_) if received.replace(begun.elapsed()).is_some() => {
                return Err("a message came twice".into());
            }
            Event::MessageUndecryptable(_) => return Err("a message could not be read".into()),
            Event::SendFinished(report) => {
                if !report.is_sent() {
                    return Err("a message was refused".into());
                }
                reported = true;
            }
            _ => {}
        }
        event.handled();
    }
    sending.await??;
    Ok((number, party, received.unwrap_or_default()))
}

async fn send(client: Client, to: Jid) -> Result<(), Failure> {
    let report = client.send(&to, content::text("under load")).await?;
    if report.is_sent() { Ok(()) } else { Err("a message was refused".into()) }
}
