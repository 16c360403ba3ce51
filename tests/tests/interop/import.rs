//! Moving house: an account that Baileys or whatsmeow linked goes on in whatsio, with the files that they wrote, without
//! linking again. Its sessions live on: nobody has to ask for anything twice.

use std::path::PathBuf;
use whatsio::{AccountId, SqliteStore};
use whatsio_store::foreign::{self, Imported};

use crate::actor::{Actor, Kind, Outcome};
use crate::stage::Stage;

const MOVER: &str = "15550100001";
const FRIENDS: [&str; 2] = ["15550100002", "15550100003"];

/// Runs the move from each foreign client. Returns how many checks passed and failed.
pub(crate) async fn run() -> (usize, usize) {
    let (mut passed, mut failed) = (0, 0);
    println!("\nmoving to whatsio");
    for kind in [Kind::Baileys, Kind::Whatsmeow] {
        match moves(kind).await {
            Ok(imported) => {
                passed += 1;
                let Imported { sessions, left_out, records, .. } = imported;
                println!("from {:<9} pass: {sessions} sessions, {left_out} left out, {records} records", kind.name());
            }
            Err(why) => {
                failed += 1;
                println!("from {:<9} FAIL: {why}", kind.name());
            }
        }
    }
    (passed, failed)
}

async fn moves(kind: Kind) -> Outcome<Imported> {
    let stage = Stage::open().await;
    let mut mover = Actor::new(kind, "mover", &stage.address);
    stage.link_by_qr(&mut mover, MOVER).await?;
    let others = Kind::ALL.into_iter().filter(|other| *other != kind);
    let mut friends: Vec<Actor> = others.map(|other| Actor::new(other, "friend", &stage.address)).collect();
    for (friend, number) in friends.iter_mut().zip(FRIENDS) {
        stage.link_by_qr(friend, number).await?;
        converse(&mut mover, friend, "before").await?;
    }
    mover.disconnect().await?;
    mover.kill().await;
    for friend in &mut friends {
        friend.send(&mover.jid, &format!("{}AWAY", friend.jid), "said while nobody was there").await?;
    }

    let mut moved = Actor::new(Kind::Whatsio, "moved", &stage.address);
    let imported = import(&mover, &moved)?;
    if imported.left_out > 0 {
        return Err(format!("{} sessions or keys could not be used", imported.left_out));
    }
    moved.start()?;
    moved.connect().await?;
    if (&moved.device, &moved.lid) != (&mover.device, &mover.lid) {
        return Err("it is another device now".into());
    }
    for friend in &mut friends {
        moved.message(&format!("{}AWAY", friend.jid)).await?;
    }
    for friend in &mut friends {
        converse(&mut moved, friend, "after").await?;
    }
    moved.disconnect().await?;
    for actor in friends.iter_mut().chain([&mut moved]) {
        if let Some(event) = actor.take_seen(|event| event["is"] == "undecryptable" || event["is"] == "qr").first() {
            return Err(format!("{} had trouble: {event}", actor.kind.name()));
        }
    }
    let reused = stage.counters().await.reused.len();
    stage.close().await;
    if reused == 0 { Ok(imported) } else { Err(format!("{reused} counters were used twice")) }
}

/// Three messages each way, each answered.
async fn converse(one: &mut Actor, other: &mut Actor, when: &str) -> Outcome {
    for number in 0..3 {
        let (there, back) = (format!("{}{when}T{number}", other.jid), format!("{}{when}B{number}", other.jid));
        one.send(&other.jid, &there, &format!("{when} {number}")).await?;
        other.message(&there).await?;
        other.send(&one.jid, &back, &format!("{when} {number}, answered")).await?;
        one.message(&back).await?;
    }
    Ok(())
}

fn import(from: &Actor, to: &Actor) -> Outcome<Imported> {
    let text = |error: foreign::ForeignError| error.to_string();
    let adoption = match from.kind {
        Kind::Baileys => foreign::read_baileys(from.store().join("auth")).map_err(text)?,
        Kind::Whatsmeow => foreign::read_whatsmeow(database(from), None).map_err(text)?,
        Kind::Whatsio => return Err("it needs no import".into()),
    };
    let store = SqliteStore::open(to.store().join("whatsio.db")).map_err(|error| error.to_string())?;
    let name = AccountId::new("default").map_err(|error| error.to_string())?;
    foreign::adopt(&store, &name, adoption).map_err(text)
}

fn database(actor: &Actor) -> PathBuf {
    actor.store().join("whatsmeow.db")
}
