//! Prints how many durable commits a second the merging writer makes:
//! `merged_writer [accounts] [seconds] [folder] [plain]`.

use bytes::Bytes;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use whatsio_core::api::{Commit, CommitId, Epoch, Key, Record, Space};
use whatsio_store::{AccountId, SqliteStore, Writer};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let accounts: u64 = arguments.next().map_or(Ok(100), |text| text.parse())?;
    let seconds: u64 = arguments.next().map_or(Ok(3), |text| text.parse())?;
    let folder = arguments.next().map_or_else(std::env::temp_dir, Into::into);
    let path = folder.join(format!("merged_writer-{}.db", std::process::id()));
    let plain = arguments.next().is_some_and(|word| word == "plain");
    let store = if plain { SqliteStore::open_plain(&path)? } else { SqliteStore::open(&path)? };
    let writer = Writer::start(Arc::new(store))?;
    let ids = (0..accounts).map(|number| AccountId::new(&format!("a{number}"))).collect::<Result<Vec<_>, _>>()?;

    // As the core does it: one commit in flight per account, of a session, an inbox entry and a root record.
    let commit = |number: u64| {
        let record = |size: usize| Some(Record(Bytes::from(vec![number.to_le_bytes()[0]; size])));
        let writes = vec![
            (Key::new(Space::Account, &b"root"[..]), record(60)),
            (Key::new(Space::Session, (number % 50).to_be_bytes().to_vec()), record(220)),
            (Key::new(Space::Inbox, number.to_be_bytes().to_vec()), record(400)),
            (Key::new(Space::Inbox, number.wrapping_sub(1).to_be_bytes().to_vec()), None),
        ];
        Commit { id: CommitId(number), epoch: Epoch(1), writes }
    };
    let (done, answers) = channel();
    let submit = |account: usize, id: &AccountId, number| {
        let done = done.clone();
        writer.submit(id.clone(), commit(number), move |answer| {
            let _ = done.send((account, number, answer));
        });
    };
    ids.iter().enumerate().for_each(|(account, id)| submit(account, id, 1));
    let (start, mut count) = (Instant::now(), 0_u64);
    for (account, number, answer) in answers.iter() {
        answer.map_err(|error| format!("{error:?}"))?;
        count += 1;
        if start.elapsed() > Duration::from_secs(seconds) {
            break;
        }
        if let Some(id) = ids.get(account) {
            submit(account, id, number + 1);
        }
    }
    let rate = count as f64 / start.elapsed().as_secs_f64();
    let kind = if plain { "plain" } else { "sealed" };
    println!("{accounts} accounts, {kind}: {rate:.0} durable commits/s");
    writer.close();
    for end in ["", "-wal", "-shm", ".key"] {
        let _ = std::fs::remove_file(format!("{}{end}", path.display()));
    }
    Ok(())
}
