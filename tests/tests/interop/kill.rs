//! A whatsio process is killed with SIGKILL again and again, at random moments, while messages flow both ways between it
//! and a foreign client. Afterwards both sides must have each message exactly once, and nobody may have been told a lie.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::time::{MissedTickBehavior, interval, sleep_until, timeout};

use crate::actor::{Actor, Kind, Outcome};
use crate::stage::Stage;

/// Runs the ordeal against both foreign clients at once and prints a table. Returns how many checks passed and failed.
pub(crate) async fn run(kills: u32) -> (usize, usize) {
    let seed = std::env::var("INTEROP_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()));
    println!("\n{kills} kills of whatsio with each foreign client, INTEROP_SEED={seed}");
    let start = Instant::now();
    let ordeals = [Kind::Baileys, Kind::Whatsmeow].map(|foreign| tokio::spawn(ordeal(foreign, kills, seed)));
    let results = futures_util::future::join_all(ordeals).await;
    let results: Vec<_> = results.into_iter().map(|result| result.expect("an ordeal reports its failures")).collect();
    print!("{:40}", "");
    results.iter().for_each(|(foreign, _)| print!(" {:>9}", foreign.name()));
    println!();
    for (row, name) in CHECKS.iter().enumerate() {
        print!("{name:40}");
        results.iter().for_each(|(_, checks)| print!(" {:>9}", if checks[row].is_ok() { "pass" } else { "FAIL" }));
        println!();
    }
    for (foreign, checks) in &results {
        for (name, why) in CHECKS.iter().zip(checks).filter_map(|(name, check)| Some((name, check.as_ref().err()?))) {
            println!("FAIL {}: {name}: {}", foreign.name(), why.chars().take(600).collect::<String>());
        }
    }
    println!("{} s", start.elapsed().as_secs());
    let all = || results.iter().flat_map(|(_, checks)| checks);
    (all().filter(|check| check.is_ok()).count(), all().filter(|check| check.is_err()).count())
}

const CHECKS: [&str; 7] = [
    "everything settles after the last kill",
    "to the foreign client exactly once",
    "from the foreign client exactly once",
    "every accepted send reported once",
    "no counter used twice",
    "no phantom receipt",
    "nothing unreadable on the way",
];

async fn ordeal(foreign: Kind, kills: u32, seed: u64) -> (Kind, Vec<Outcome>) {
    let checks = match Ordeal::begin(foreign, seed).await {
        Err(why) => vec![Err(why); CHECKS.len()],
        Ok(mut ordeal) => {
            let settled = match ordeal.suffer(kills).await {
                Ok(()) => timeout(SETTLING, ordeal.settle()).await.unwrap_or_else(|_| Err(ordeal.unsettled())),
                Err(why) => Err(why),
            };
            ordeal.judge(settled).await
        }
    };
    (foreign, checks)
}

struct Ordeal {
    stage: Stage,
    ours: Actor,
    theirs: Actor,
    dice: Dice,
    /// Ids and texts of what whatsio was told to send, and those of them that are not yet known to survive a kill.
    outgoing: BTreeMap<String, String>,
    unaccepted: BTreeSet<String>,
    /// How often whatsio was told to send each: a send whose acceptance nobody heard of is ordered again.
    orders: BTreeMap<String, usize>,
    /// The same of the foreign client, and those of them that the server may not have yet.
    incoming: BTreeMap<String, String>,
    unsent: BTreeSet<String>,
    /// What the foreign client was told has been delivered.
    delivered: BTreeSet<String>,
    /// Messages that whatsio has told of, in all its lives.
    told: BTreeSet<String>,
    /// Sends that whatsio has reported, in all its lives.
    reported: BTreeSet<String>,
    complaints: Vec<Value>,
    /// How many kills came before the login, while it caught up, and after that.
    moments: [u32; 3],
}

impl Ordeal {
    async fn begin(foreign: Kind, seed: u64) -> Outcome<Self> {
        let stage = Stage::open().await;
        let mut ours = Actor::new(Kind::Whatsio, "the victim", &stage.address);
        let mut theirs = Actor::new(foreign, "the witness", &stage.address);
        stage.link_by_qr(&mut ours, "15550300001").await?;
        stage.link_by_qr(&mut theirs, "15550300002").await?;
        // Both first messages at once would make two sessions, which whatsmeow mixes up.
        ours.send(&theirs.jid, FIRST_THERE, HELLO).await?;
        theirs.message(FIRST_THERE).await?;
        theirs.send(&ours.jid, FIRST_BACK, HELLO).await?;
        ours.message(FIRST_BACK).await?;
        Ok(Self {
            stage,
            ours,
            theirs,
            dice: Dice(seed),
            outgoing: BTreeMap::from([(FIRST_THERE.to_owned(), HELLO.to_owned())]),
            unaccepted: BTreeSet::new(),
            orders: BTreeMap::from([(FIRST_THERE.to_owned(), 1)]),
            incoming: BTreeMap::from([(FIRST_BACK.to_owned(), HELLO.to_owned())]),
            unsent: BTreeSet::new(),
            delivered: BTreeSet::new(),
            told: BTreeSet::new(),
            reported: BTreeSet::new(),
            complaints: Vec::new(),
            moments: [0; 3],
        })
    }

    /// Lives and dies `kills` times.
    async fn suffer(&mut self, kills: u32) -> Outcome {
        for _ in 0..kills {
            // Short lives are more likely: starting and catching up take only tens of milliseconds.
            let part = self.dice.part().powi(3);
            let stage = self.live(LONGEST_LIFE.mul_f64(part)).await?;
            self.ours.kill().await;
            self.moments[stage] += 1;
            for event in self.ours.take_seen(|_| true) {
                self.heard_ours(&event);
            }
            self.revive().await?;
        }
        Ok(())
    }

    async fn revive(&mut self) -> Outcome {
        self.ours.start()?;
        self.ours.order(json!({"do": "connect"})).await?;
        // What was not accepted may be lost, or not; sent again under the same id it is the same message.
        for id in self.unaccepted.clone() {
            self.order_ours(&id).await?;
        }
        Ok(())
    }

    /// Lets messages flow until the life is over. Returns how far it had come: 0 not logged in, 1 catching up, 2 live.
    async fn live(&mut self, life: Duration) -> Outcome<usize> {
        let end = tokio::time::Instant::now() + life;
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stage = if self.moments == [0; 3] { 2 } else { 0 };
        loop {
            tokio::select! {
                () = sleep_until(end) => return Ok(stage),
                _ = pace.tick() => self.write().await?,
                event = self.ours.next() => {
                    let event = event.ok_or("whatsio ended by itself")?;
                    match event["is"].as_str() {
                        Some("open") => stage = 1,
                        Some("drained") => stage = 2,
                        _ => {}
                    }
                    self.heard_ours(&event);
                }
                event = self.theirs.next() => self.heard_theirs(&event.ok_or("the foreign client ended by itself")?),
            }
        }
    }

    /// One more message each way, unless too many are under way.
    async fn write(&mut self) -> Outcome {
        if self.unaccepted.len() < WINDOW {
            let number = self.outgoing.len();
            let id = format!("3EB0AA{number:014X}");
            self.outgoing.insert(id.clone(), format!("there {number}"));
            self.unaccepted.insert(id.clone());
            self.order_ours(&id).await?;
        }
        if self.unsent.len() < WINDOW {
            let number = self.incoming.len();
            let (id, text) = (format!("3EB0BB{number:014X}"), format!("back {number}"));
            let order = json!({"do": "send", "chat": self.ours.jid, "id": id, "text": text});
            self.incoming.insert(id.clone(), text);
            self.unsent.insert(id);
            self.theirs.order(order).await?;
        }
        Ok(())
    }

    async fn order_ours(&mut self, id: &str) -> Outcome {
        *self.orders.entry(id.to_owned()).or_default() += 1;
        let order = json!({"do": "send", "chat": self.theirs.jid, "id": id, "text": self.outgoing[id]});
        self.ours.order(order).await
    }

    fn heard_ours(&mut self, event: &Value) {
        let id = event["id"].as_str().unwrap_or_default();
        match event["is"].as_str() {
            Some("accepted") => drop(self.unaccepted.remove(id)),
            Some("sent") => drop(self.reported.insert(id.to_owned())),
            Some("message") => drop(self.told.insert(id.to_owned())),
            Some("failed" | "undecryptable" | "logged_out") => self.complaints.push(event.clone()),
            _ => {}
        }
    }

    fn heard_theirs(&mut self, event: &Value) {
        match event["is"].as_str() {
            Some("sent") => drop(self.unsent.remove(event["id"].as_str().unwrap_or_default())),
            Some("receipt") if event["kind"] == "delivered" => {
                let ids = event["ids"].as_array().into_iter().flatten().filter_map(Value::as_str);
                self.delivered.extend(ids.map(str::to_owned));
            }
            Some("failed" | "undecryptable" | "logged_out" | "closed") => self.complaints.push(event.clone()),
            _ => {}
        }
    }

    /// Nobody is killed any more: waits until nothing is under way.
    async fn settle(&mut self) -> Outcome {
        for event in self.theirs.take_seen(|_| true) {
            self.heard_theirs(&event);
        }
        // A kill between the journal and stdout leaves things that only the journal tells.
        self.told.extend(self.journal("message").into_iter().map(|(id, _)| id));
        self.reported.extend(self.journal("sent").into_iter().map(|(id, _)| id));
        while !self.is_settled() {
            tokio::select! {
                event = self.ours.next() => self.heard_ours(&event.ok_or("whatsio ended by itself")?),
                event = self.theirs.next() => self.heard_theirs(&event.ok_or("the foreign client ended by itself")?),
            }
        }
        Ok(())
    }

    fn is_settled(&self) -> bool {
        self.unsettled_counts().iter().all(|(_, count)| *count == 0)
    }

    fn unsettled_counts(&self) -> [(&'static str, usize); 6] {
        let shown = self.theirs.shown.iter().map(|(id, _)| id).collect::<BTreeSet<_>>();
        [
            ("not accepted", self.unaccepted.len()),
            ("not sent", self.unsent.len()),
            ("not shown by them", self.outgoing.keys().filter(|id| !shown.contains(id)).count()),
            ("not shown by us", self.incoming.keys().filter(|id| !self.told.contains(*id)).count()),
            ("not known to be delivered", self.incoming.keys().filter(|id| !self.delivered.contains(*id)).count()),
            ("not reported", self.outgoing.keys().filter(|id| !self.reported.contains(*id)).count()),
        ]
    }

    fn unsettled(&self) -> String {
        format!("still open: {:?}", self.unsettled_counts())
    }

    async fn judge(mut self, settled: Outcome) -> Vec<Outcome> {
        println!(
            "{:>9}: {} messages there, {} back; {:?} kills before the login, while catching up, afterwards",
            self.theirs.kind.name(),
            self.outgoing.len(),
            self.incoming.len(),
            self.moments
        );
        for event in self.theirs.take_seen(|_| true) {
            self.heard_theirs(&event);
        }
        let received = self.journal("message");
        let known: BTreeSet<&str> = received.iter().map(|(id, _)| id.as_str()).collect();
        let phantoms: Vec<&String> = self.delivered.iter().filter(|id| !known.contains(id.as_str())).collect();
        let counters = self.stage.counters().await;
        let complaints: Vec<String> = self.complaints.iter().take(8).map(Value::to_string).collect();
        let checks = vec![
            settled,
            once(&self.outgoing, &self.theirs.shown),
            once(&self.incoming, &received),
            self.every_send_is_reported(),
            check(counters.seen > 0 && counters.unwatched == 0 && counters.reused.is_empty(), || {
                format!("{counters:?}")
            }),
            check(phantoms.is_empty(), || format!("delivered, and not there: {phantoms:?}")),
            check(complaints.is_empty(), || format!("{} events: {}", self.complaints.len(), complaints.join(" "))),
        ];
        self.stage.close().await;
        checks
    }

    /// Each accepted send has one report; of those ordered more than once, each order may have been accepted.
    fn every_send_is_reported(&self) -> Outcome {
        let mut reports: BTreeMap<String, usize> = BTreeMap::new();
        for (id, _) in self.journal("sent") {
            *reports.entry(id).or_default() += 1;
        }
        let wrong = self.orders.iter().filter(|(id, orders)| {
            let reports = reports.get(*id).copied().unwrap_or(0);
            reports == 0 || reports > **orders
        });
        let wrong: Vec<_> = wrong.take(5).collect();
        check(wrong.is_empty() && reports.len() == self.orders.len(), || format!("ordered so often: {wrong:?}"))
    }

    /// The ids and texts of one kind of event in whatsio's journal.
    fn journal(&self, kind: &str) -> Vec<(String, String)> {
        let text = std::fs::read_to_string(self.ours.store().join("journal")).unwrap_or_default();
        let entries = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let wanted = entries.map(|entry| entry["what"].clone()).filter(|what| what["is"] == kind);
        let field = |what: &Value, key: &str| what[key].as_str().unwrap_or_default().to_owned();
        wanted.map(|what| (field(&what, "id"), field(&what, "text"))).collect()
    }
}

/// Every wanted message once, with its text, and nothing else.
fn once(wanted: &BTreeMap<String, String>, found: &[(String, String)]) -> Outcome {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (id, text) in found {
        if wanted.get(id) != Some(text) {
            return Err(format!("{id} says {text:?}, not {:?}", wanted.get(id)));
        }
        *counts.entry(id.as_str()).or_default() += 1;
    }
    let missing: Vec<&String> = wanted.keys().filter(|id| !counts.contains_key(id.as_str())).take(5).collect();
    let doubled: Vec<&&str> = counts.iter().filter(|(_, count)| **count > 1).map(|(id, _)| id).take(5).collect();
    check(missing.is_empty() && doubled.is_empty(), || format!("missing {missing:?}, more than once {doubled:?}"))
}

fn check(passed: bool, why: impl Fn() -> String) -> Outcome {
    if passed { Ok(()) } else { Err(why()) }
}

/// Random moments that one seed repeats (SplitMix64).
struct Dice(u64);

impl Dice {
    /// Somewhere from 0 to 1.
    fn part(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        f64::from((bits ^ (bits >> 31)) as u32) / f64::from(u32::MAX)
    }
}

const FIRST_THERE: &str = "3EB0CC0000000000000000";
const FIRST_BACK: &str = "3EB0CC0000000000000001";
const HELLO: &str = "hello";
const LONGEST_LIFE: Duration = Duration::from_millis(1_500);
/// Between two messages in the same direction.
const PACE: Duration = Duration::from_millis(20);
/// Messages per direction that may be under way.
const WINDOW: usize = 4;
const SETTLING: Duration = Duration::from_secs(60);
