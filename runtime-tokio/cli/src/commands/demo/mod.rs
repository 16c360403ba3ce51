//! The whole thing at work on one machine: a relay, two accounts on three devices, messages, cuts and restarts.
//!
//! Everything runs over real sockets on loopback and real databases in a temporary folder; nothing is simulated but the
//! phones.

mod device;
mod ledger;

use crate::args::DemoArgs;
use crate::failure::Failure;
use crate::style::Style;
use device::{Device, Way};
use ledger::{Board, Name};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use whatsio::relay::{Cut, RelayOptions, RelayServer};
use whatsio_core::types::Jid;

const ALICE: Name = "alice";
const LAPTOP: Name = "bob-laptop";
const DESKTOP: Name = "bob-desktop";

pub(crate) async fn run(args: DemoArgs) -> Result<ExitCode, Failure> {
    let folder = tempfile::tempdir().map_err(|source| Failure::Write { path: std::env::temp_dir(), source })?;
    if let Some(path) = &args.record {
        std::fs::create_dir_all(path).map_err(|source| Failure::Write { path: path.clone(), source })?;
    }
    let server = RelayServer::bind(RelayOptions::default()).await?;
    let demo = Demo {
        server,
        folder,
        board: Arc::new(Board::new()),
        started: Instant::now(),
        style: Style::of_stdout(),
        messages: args.messages,
        record: args.record,
    };
    demo.play().await
}

struct Demo {
    server: RelayServer,
    folder: tempfile::TempDir,
    board: Arc<Board>,
    started: Instant,
    style: Style,
    messages: u32,
    record: Option<PathBuf>,
}

/// Who is there.
struct Cast {
    alice: Device,
    laptop: Device,
    desktop: Device,
    alice_jid: Jid,
    bob_jid: Jid,
}

impl Demo {
    async fn play(self) -> Result<ExitCode, Failure> {
        self.say(
            "relay",
            format!("listens on {} and {}", self.server.url(), self.server.tls_url().unwrap_or_default()),
        );
        let cast = self.link_everybody().await?;
        self.talk(&cast).await?;
        self.leave_and_come_back(&cast).await?;
        self.cut_in_the_middle(&cast).await?;
        let cast = self.restart(cast).await?;
        self.settle(&cast).await?;
        for device in [cast.alice, cast.laptop, cast.desktop] {
            device.stop().await;
        }
        Ok(self.add_up())
    }

    async fn link_everybody(&self) -> Result<Cast, Failure> {
        let (alice, alice_jid) = self.link(ALICE, Way::Plain, None).await?;
        let (laptop, laptop_jid) = self.link(LAPTOP, Way::Plain, None).await?;
        let (desktop, desktop_jid) = self.link(DESKTOP, Way::Tls, Some(laptop_jid.user())).await?;
        if laptop_jid.user() != desktop_jid.user() {
            return Err(Failure::Other("two devices of one account have different numbers".into()));
        }
        let (alice_jid, bob_jid) = (alice_jid.with_device(0), laptop_jid.with_device(0));
        Ok(Cast { alice, laptop, desktop, alice_jid, bob_jid })
    }

    async fn link(&self, name: Name, way: Way, account: Option<&str>) -> Result<(Device, Jid), Failure> {
        let begin = Instant::now();
        let device = self.start(name, way).await?;
        let jid = device.link(&self.server, account).await?;
        let how = match way {
            Way::Plain => "",
            Way::Tls => " over TLS",
        };
        self.say(name, format!("linked by QR code as {jid}{how} in {}", milliseconds(begin.elapsed())));
        Ok((device, jid))
    }

    async fn start(&self, name: Name, way: Way) -> Result<Device, Failure> {
        Device::start(name, way, &self.server, self.folder.path(), self.record.as_deref(), &self.board).await
    }

    /// Messages both ways at once.
    async fn talk(&self, cast: &Cast) -> Result<(), Failure> {
        let begin = Instant::now();
        let forth = async {
            for number in 1..=self.messages {
                cast.alice.say(&cast.bob_jid, &format!("talk: alice {number}"), &[LAPTOP, DESKTOP]).await?;
            }
            Ok::<(), Failure>(())
        };
        let back = async {
            for number in 1..=self.messages {
                cast.laptop.say(&cast.alice_jid, &format!("talk: bob {number}"), &[ALICE, DESKTOP]).await?;
            }
            Ok::<(), Failure>(())
        };
        tokio::try_join!(forth, back)?;
        let sent = begin.elapsed();
        self.board.until("the messages", |ledger| ledger.all_arrived("talk")).await?;
        let latencies = self.board.read(|ledger| ledger.latencies("talk"));
        let (middle, most) = (percentile(&latencies, 50), percentile(&latencies, 99));
        self.say(
            "everybody",
            format!("{} messages sent one after the other, both ways, in {}", 2 * self.messages, milliseconds(sent)),
        );
        self.say(
            "everybody",
            format!("from send to the receiver's event: median {}, 99% {}", milliseconds(middle), milliseconds(most)),
        );
        // Three devices confirm: both of bob's for what alice wrote, hers for what bob wrote.
        let wanted = 3 * self.messages as usize;
        let complete =
            |ledger: &ledger::Ledger| ledger.delivery_receipts() >= wanted && ledger.read_receipts() >= wanted;
        self.board.until("the receipts", complete).await?;
        let (delivered, read) = self.board.read(|ledger| (ledger.delivery_receipts(), ledger.read_receipts()));
        self.say("everybody", format!("{delivered} delivery receipts, {read} read receipts"));
        Ok(())
    }

    /// A receiver goes offline; what is sent meanwhile waits.
    async fn leave_and_come_back(&self, cast: &Cast) -> Result<(), Failure> {
        cast.desktop.go_offline().await?;
        self.say(DESKTOP, "goes offline");
        let count = (self.messages / 2).max(1);
        for number in 1..=count {
            cast.alice.say(&cast.bob_jid, &format!("away: {number}"), &[LAPTOP, DESKTOP]).await?;
        }
        self.say(ALICE, format!("sends {count} messages; the relay keeps them"));
        let begin = Instant::now();
        cast.desktop.client.connect().await?;
        self.board.until("the waiting messages", |ledger| ledger.all_arrived("away")).await?;
        self.say(DESKTOP, format!("comes back and has all {count} after {}", milliseconds(begin.elapsed())));
        Ok(())
    }

    /// The connection breaks while a message is on its way: before the server takes it, and before its ack.
    async fn cut_in_the_middle(&self, cast: &Cast) -> Result<(), Failure> {
        for (cut, what) in [
            (Cut::BeforeTaking, "before the relay took the message"),
            (Cut::BeforeAck, "after the relay took the message, before its ack"),
        ] {
            let begin = Instant::now();
            let connects = self.connects(ALICE);
            self.relay(move |relay, _| relay.faults().disconnect_on_message(cut)).await?;
            cast.alice.say(&cast.bob_jid, &format!("cut: {cut:?}"), &[LAPTOP, DESKTOP]).await?;
            self.board.until("the cut message", |ledger| ledger.all_arrived("cut")).await?;
            if self.connects(ALICE) == connects {
                return Err(Failure::Other("the connection was not cut".into()));
            }
            self.say(
                ALICE,
                format!("cut off {what}; reconnected and delivered after {}", milliseconds(begin.elapsed())),
            );
        }
        let begin = Instant::now();
        let address = cast.laptop.client.identity().await?.ok_or(Failure::NotLinked)?.jid;
        let connects = self.connects(LAPTOP);
        let sending = cast.laptop.say(&cast.alice_jid, "cut: from outside", &[ALICE, DESKTOP]);
        let cutting = self.relay(move |relay, now| relay.disconnect(now, &address));
        let (sent, cut) = tokio::join!(sending, cutting);
        sent?;
        if !cut? {
            return Err(Failure::Other("the relay had no connection to cut".into()));
        }
        self.board
            .until("the reconnection", |ledger| {
                ledger.devices.get(LAPTOP).is_some_and(|log| log.connects > connects && log.online)
            })
            .await?;
        self.board.until("the cut message", |ledger| ledger.all_arrived("cut")).await?;
        self.say(
            LAPTOP,
            format!("disconnected by the relay during a send; all well after {}", milliseconds(begin.elapsed())),
        );
        Ok(())
    }

    /// A device crashes with a message in hand, and starts again from its database.
    async fn restart(&self, cast: Cast) -> Result<Cast, Failure> {
        self.board.note(|ledger| ledger.device(LAPTOP).forgetful = true);
        cast.alice.say(&cast.bob_jid, "restart: taken but not handled", &[LAPTOP, DESKTOP]).await?;
        self.board
            .until("the forgotten message", |ledger| ledger.devices.get(LAPTOP).is_some_and(|log| log.forgotten > 0))
            .await?;
        cast.laptop.stop().await;
        self.board.note(|ledger| {
            let log = ledger.device(LAPTOP);
            log.forgetful = false;
            log.online = false;
        });
        self.say(LAPTOP, "stops with a message that its application has not handled");
        cast.alice.say(&cast.bob_jid, "restart: sent while it was down", &[LAPTOP, DESKTOP]).await?;
        let begin = Instant::now();
        let laptop = self.start(LAPTOP, Way::Plain).await?;
        laptop.until_online().await?;
        let online = begin.elapsed();
        self.board.until("the messages after the restart", |ledger| ledger.all_arrived("restart")).await?;
        self.say(
            LAPTOP,
            format!(
                "restarted from SQLite, online after {}, has both messages after {}",
                milliseconds(online),
                milliseconds(begin.elapsed())
            ),
        );
        laptop.say(&cast.alice_jid, "after: from the restarted device", &[ALICE, DESKTOP]).await?;
        self.board.until("the last message", |ledger| ledger.all_arrived("after")).await?;
        Ok(Cast { laptop, ..cast })
    }

    /// One last message each way, sent after everything else: what would still come twice has come by then, since each
    /// device's mailbox is a queue.
    async fn settle(&self, cast: &Cast) -> Result<(), Failure> {
        cast.alice.say(&cast.bob_jid, "last: alice", &[LAPTOP, DESKTOP]).await?;
        cast.laptop.say(&cast.alice_jid, "last: bob", &[ALICE, DESKTOP]).await?;
        self.board.until("the last messages", |ledger| ledger.all_arrived("last")).await
    }

    fn add_up(&self) -> ExitCode {
        let tally = self.board.read(ledger::Ledger::tally);
        let troubles = self.board.read(ledger::Ledger::troubles);
        for trouble in &troubles {
            self.say("trouble", self.style.bad(trouble));
        }
        let clean = tally.is_clean() && troubles.is_empty();
        let line = format!(
            "{} messages sent, {} of {} copies delivered, {} lost, {} doubled, in {:.1} s",
            tally.sent,
            tally.delivered,
            tally.expected,
            tally.lost,
            tally.doubled,
            self.started.elapsed().as_secs_f64()
        );
        if clean {
            println!("{}", self.style.good(line));
            return ExitCode::SUCCESS;
        }
        println!("{}", self.style.bad(line));
        if tally.strange > 0 {
            println!("{} copies arrived where they should not", tally.strange);
        }
        ExitCode::from(6)
    }

    fn connects(&self, name: Name) -> u32 {
        self.board.read(|ledger| ledger.devices.get(name).map_or(0, |log| log.connects))
    }

    async fn relay<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut whatsio::relay::Relay, whatsio_core::types::Now) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        self.server.handle().with(work).await.map_err(|error| Failure::Other(error.to_string()))
    }

    fn say(&self, who: &str, what: impl std::fmt::Display) {
        let time = format!("{:>8.3} s", self.started.elapsed().as_secs_f64());
        println!("{}  {} {what}", self.style.dim(time), self.style.name(format!("{who:<12}")));
    }
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last * percent).div_ceil(100)).copied().unwrap_or_default()
}
