//! What happens in one run of the world: drawn from a seed, and a plain list, so that it can be shortened.

use super::dice::Dice;

/// Everything that is decided before a run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Decides what the steps do not: latencies, cuts of bytes, order of answers, keys.
    pub seed: u64,
    /// Companions of each account at the start.
    pub accounts: Vec<usize>,
    /// How good the network and the stores are.
    pub quality: Quality,
    /// What happens, in order of time.
    pub steps: Vec<Step>,
}

/// How good the network and the stores are when nothing in particular is wrong.
#[derive(Clone, Copy, Debug)]
pub struct Quality {
    /// Milliseconds that bytes are under way, at most.
    pub latency_ms: u64,
    /// Milliseconds that a store takes, at most.
    pub store_ms: u64,
    /// Milliseconds that an application takes for an event, at most.
    pub application_ms: u64,
    /// How often bytes are cut or joined on their way, of a hundred.
    pub cuts: u64,
    /// How often a host does something else before it has taken all outputs, of a hundred.
    pub pauses: u64,
    /// Whether records are hardly kept in memory.
    pub tiny_cache: bool,
    /// Whether the application may leave only a few events unhandled before its client stops reading.
    pub tiny_inbox: bool,
    /// Whether nobody is told at first that a number and a LID are the same person.
    pub hides_lids: bool,
}

/// Something that happens.
#[derive(Clone, Debug)]
pub struct Step {
    /// When, in milliseconds after everybody was linked.
    pub at: u64,
    /// What.
    pub act: Act,
}

/// What can happen. Devices and accounts are named by any number: what is not there is counted round.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the fields say what they are")]
pub enum Act {
    /// An application sends a text to an account.
    Send { device: usize, to: usize, by_lid: bool },
    /// An application says that it has read the newest message.
    Read { device: usize },
    /// A connection breaks; both sides are told.
    Cut { device: usize },
    /// A connection breaks; nobody is told.
    Vanish { device: usize },
    /// The server closes a connection.
    Kick { device: usize },
    /// There is no network for so long.
    Unreachable { device: usize, ms: u64 },
    /// A process dies at its so-many-th output from now on, or soon, and is started again after a while.
    Crash { device: usize, outputs: u32, down_ms: u64 },
    /// A second process takes over, while the first still runs.
    Rival { device: usize },
    /// A store refuses so many commits as busy.
    Busy { device: usize, commits: u32 },
    /// A store cannot write.
    Full { device: usize },
    /// A store cannot read, so many times.
    Unreadable { device: usize, loads: u32 },
    /// A store is slow from now on for so long.
    Slow { device: usize, ms: u64 },
    /// An application does not handle events for so long.
    Inattentive { device: usize, ms: u64 },
    /// The clock of a host jumps.
    Jump { device: usize, ms: i64 },
    /// A host is short of memory.
    Trim { device: usize },
    /// One more companion is linked to an account.
    Link { account: usize },
    /// The phone unlinks a companion.
    Unlink { device: usize },
    /// A companion logs itself out.
    LogOut { device: usize },
    /// An account's phone is out of reach for so long: nobody can link.
    PhoneAway { account: usize, ms: u64 },
    /// Everybody may know now which number and LID are one person.
    Reveal,
    /// An account is shown to others by LID from now on.
    Migrate { account: usize },
    /// The server does something wrong.
    Server(Wrong),
    /// A store says that it is durable and is not, for so long. Never drawn: somebody must be found out.
    Lie { device: usize, ms: u64 },
    /// An application says that it has taken events and has not. Never drawn.
    Hasty { device: usize },
    /// What waits for a device at the server is lost. Never drawn.
    Steal { device: usize },
}

/// What the server does wrong.
#[derive(Clone, Copy, Debug)]
pub enum Wrong {
    /// It takes messages and does not say so.
    DropAcks(u32),
    /// It says so late.
    LateAcks(u32, u64),
    /// It refuses messages with this code.
    Refuse(u32, u16),
    /// It delivers twice.
    Twice(u32),
    /// It forgets to deliver, until the next connection.
    Forget(u32),
    /// A bit of a frame is flipped.
    Flip(u32),
    /// The connection of the next sender breaks, before the message is taken, before the ack or after it.
    CutSender(u8),
    /// It answers requests about something with an error.
    Fail(Namespace, u32, u16),
    /// It does not answer requests about something.
    Ignore(Namespace, u32),
    /// It answers them late.
    Delay(Namespace, u32, u64),
    /// It refuses logins with this code.
    RefuseLogins(u32, u16),
    /// It tells nobody of new and removed devices, for so long.
    HideDevices(u64),
    /// It damages the next ciphertext for a device.
    Damage(usize),
    /// It compresses everything.
    Compress,
    /// It cuts its output into pieces, or joins it.
    Cutting(bool),
}

/// What requests are about.
#[derive(Clone, Copy, Debug)]
pub enum Namespace {
    /// Devices of users.
    Usync,
    /// Prekeys.
    Encrypt,
    /// The session being active or not.
    Passive,
    /// Tokens.
    Privacy,
}

impl Namespace {
    /// As requests name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Usync => "usync",
            Self::Encrypt => "encrypt",
            Self::Passive => "passive",
            Self::Privacy => "privacy",
        }
    }
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut dice = Dice::new(seed).fork(1);
        let count = 2 + dice.index(2);
        let accounts = (0..count).map(|_| 1 + usize::from(dice.chance(45))).collect();
        let quality = Quality::draw(&mut dice);
        let mut steps = Vec::new();
        let mut at = 0;
        for _ in 0..dice.between(15, 60) {
            at += match dice.below(10) {
                0..5 => dice.below(60),
                5..8 => dice.below(3_000),
                8 => dice.below(60_000),
                _ => dice.below(600_000),
            };
            steps.push(Step { at, act: Act::draw(&mut dice) });
        }
        Self { seed, accounts, quality, steps }
    }

    /// A quiet day: people write to each other now and then, and little goes wrong.
    #[must_use]
    pub fn day(seed: u64, messages: usize) -> Self {
        const DAY: u64 = 24 * 3_600_000;
        let mut dice = Dice::new(seed).fork(2);
        let quality = Quality { cuts: 10, pauses: 0, tiny_cache: false, tiny_inbox: false, ..Quality::draw(&mut dice) };
        let send = |dice: &mut Dice| Act::Send { device: dice.index(64), to: dice.index(64), by_lid: false };
        let mut steps: Vec<Step> = (0..messages).map(|_| Step { at: dice.below(DAY), act: send(&mut dice) }).collect();
        for _ in 0..12 {
            steps.push(Step { at: dice.below(DAY), act: Act::draw(&mut dice) });
        }
        steps.sort_by_key(|step| step.at);
        Self { seed, accounts: vec![2, 1, 1], quality, steps }
    }
}

impl Quality {
    const fn draw(dice: &mut Dice) -> Self {
        Self {
            latency_ms: if dice.chance(30) { 1 } else { dice.between(5, 800) },
            store_ms: if dice.chance(30) { 0 } else { dice.between(1, 60) },
            application_ms: if dice.chance(30) { 0 } else { dice.between(1, 3_000) },
            cuts: dice.below(60),
            pauses: if dice.chance(50) { 0 } else { dice.below(40) },
            tiny_cache: dice.chance(30),
            tiny_inbox: dice.chance(20),
            hides_lids: dice.chance(30),
        }
    }
}

impl Act {
    const fn draw(dice: &mut Dice) -> Self {
        let (device, account) = (dice.below(64) as usize, dice.below(64) as usize);
        match dice.below(100) {
            0..44 => Self::Send { device, to: account, by_lid: dice.chance(40) },
            44..48 => Self::Read { device },
            48..52 => Self::Cut { device },
            52..54 => Self::Vanish { device },
            54..56 => Self::Kick { device },
            56..58 => Self::Unreachable { device, ms: dice.below(120_000) },
            58..65 => Self::Crash { device, outputs: dice.below(25) as u32, down_ms: dice.below(30_000) },
            65..67 => Self::Rival { device },
            67..69 => Self::Busy { device, commits: dice.between(1, 5) as u32 },
            69..71 => Self::Full { device },
            71..73 => Self::Unreadable { device, loads: dice.between(1, 4) as u32 },
            73..75 => Self::Slow { device, ms: dice.below(60_000) },
            75..77 => Self::Inattentive { device, ms: dice.below(300_000) },
            77..79 => Self::Jump { device, ms: dice.between(0, 14 * 3_600_000) as i64 - 7 * 3_600_000 },
            79 => Self::Trim { device },
            80..82 => Self::Link { account },
            82 => Self::Unlink { device },
            83 => Self::LogOut { device },
            84 => Self::PhoneAway { account, ms: dice.below(200_000) },
            85 => Self::Reveal,
            86..88 => Self::Migrate { account },
            _ => Self::Server(Wrong::draw(dice)),
        }
    }
}

impl Wrong {
    const fn draw(dice: &mut Dice) -> Self {
        let count = dice.between(1, 3) as u32;
        let namespace = match dice.below(4) {
            0 => Namespace::Usync,
            1 => Namespace::Encrypt,
            2 => Namespace::Passive,
            _ => Namespace::Privacy,
        };
        match dice.below(15) {
            0 => Self::DropAcks(count),
            1 => Self::LateAcks(count, dice.below(40_000)),
            2 => Self::Refuse(count, if dice.chance(50) { 429 } else { 503 }),
            3 => Self::Twice(count),
            4 => Self::Forget(count),
            5 => Self::Flip(1),
            6 => Self::CutSender(dice.below(3) as u8),
            7 => Self::Fail(namespace, count, if dice.chance(50) { 429 } else { 500 }),
            8 => Self::Ignore(namespace, count),
            9 => Self::Delay(namespace, count, dice.below(20_000)),
            10 => Self::RefuseLogins(count, 503),
            11 => Self::HideDevices(dice.below(300_000)),
            12 => Self::Damage(dice.below(64) as usize),
            13 => Self::Compress,
            _ => Self::Cutting(dice.chance(50)),
        }
    }
}
