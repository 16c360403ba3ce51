//! The one task of an account: waits for the next thing to happen, feeds it to the core, carries out what comes back.
//!
//! It decides nothing about the protocol. Its own business: to pass back-pressure on, to answer waiting futures, and to
//! restore the core from the store after the store has failed.

use super::connection::{Connection, ConnectionEvent};
use super::error::{OperationError, SendError, Stopped};
use super::seen::{Emission, Seen};
use crate::clock::{Clock, fresh_seed};
use crate::recording::Recorder;
use crate::storage::Storage;
use crate::transport::Transport;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};
use whatsio_core::api::{
    Commit, CommitError, CommitId, Config, Envelope, Event, EventId, FaultReason, Input, Key, LoadId, LoadRequest,
    MessageId, Misuse, OpId, OpResult, Output, ProtocolProfile, Recommendation, Record, SendReport,
};
use whatsio_core::client::{Client as Core, RestoreError};
use whatsio_core::types::{Jid, Now, Seed};
use whatsio_store::{AccountId, LoadError};

type Reply<T, E> = oneshot::Sender<Result<T, E>>;
type Question = Box<dyn FnOnce(&mut Core, Now) + Send>;
type Verb = Box<dyn FnOnce(&mut Core, Now) -> Result<OpId, Misuse> + Send>;

/// What the handle asks of the task.
pub(crate) enum Command {
    Send {
        chat: Jid,
        content: Bytes,
        id: Option<MessageId>,
        accepted: Reply<MessageId, SendError>,
        report: Reply<SendReport, SendError>,
    },
    Operate(Verb, Reply<(), OperationError>),
    Ask(Question),
    Connect(Reply<(), OperationError>),
    Disconnect(Reply<(), OperationError>),
    SetProfile(Box<ProtocolProfile>, oneshot::Sender<()>),
    Shutdown(oneshot::Sender<()>),
}

/// Everything a task is made of, before its core exists.
pub(crate) struct Parts {
    pub(crate) account: AccountId,
    pub(crate) config: Config,
    pub(crate) storage: Storage,
    pub(crate) transport: Transport,
    pub(crate) clock: Clock,
    /// Sends and operations: not taken while much waits to be written.
    pub(crate) commands: mpsc::Receiver<Command>,
    /// Everything else.
    pub(crate) orders: mpsc::Receiver<Command>,
    pub(crate) handled: mpsc::UnboundedReceiver<EventId>,
    pub(crate) events: mpsc::Sender<Envelope>,
    pub(crate) stopped: watch::Sender<Option<Stopped>>,
    pub(crate) recorder: Option<Recorder>,
}

pub(crate) struct Driver {
    parts: Parts,
    core: Core,
    connection: Connection,
    /// Which core the store's answers are for; a restored one must not get its predecessor's.
    generation: u64,
    answers: mpsc::UnboundedReceiver<Answer>,
    answer_to: mpsc::UnboundedSender<Answer>,
    commits_in_flight: usize,
    backlog: VecDeque<Envelope>,
    seen: Seen,
    /// Sends that are not durable yet.
    accepting: BTreeMap<OpId, (MessageId, Reply<MessageId, SendError>)>,
    /// Who waits for the end of a send; a repeated send has the same end.
    sends: BTreeMap<MessageId, Vec<Reply<SendReport, SendError>>>,
    operations: BTreeMap<OpId, Reply<(), OperationError>>,
    postponed: Vec<Command>,
    wanted: bool,
    fault: Option<FaultReason>,
    handles_gone: bool,
    /// Before the next restore; grows until a commit succeeds, since a full disk can still be read.
    next_pause: Duration,
}

/// The store's answer to a load or a commit of the core of one generation.
struct Answer {
    generation: u64,
    result: StoreResult,
}

enum StoreResult {
    Loaded(LoadId, Result<Vec<Option<Record>>, LoadError>),
    Committed(CommitId, Result<(), CommitError>),
}

/// What the task woke up for.
enum Wake {
    Store(Answer),
    Handled(EventId),
    Connection(ConnectionEvent),
    Command(Command),
    HandlesGone,
    EventTaken,
    Deadline,
}

impl Driver {
    pub(crate) fn new(parts: Parts, core: Core, wanted: bool) -> Self {
        let (answer_to, answers) = mpsc::unbounded_channel();
        // An inbox can exceed its limit by what was on its way, and by the ends of all sends.
        let limits = &parts.config.limits;
        let most = [limits.outbox_pending, limits.stanzas_waiting, BACKLOG];
        let seen = Seen::new(most.into_iter().fold(limits.inbox_events, usize::saturating_add));
        Self {
            parts,
            core,
            connection: Connection::Down,
            generation: 0,
            answers,
            answer_to,
            commits_in_flight: 0,
            backlog: VecDeque::new(),
            seen,
            accepting: BTreeMap::new(),
            sends: BTreeMap::new(),
            operations: BTreeMap::new(),
            postponed: Vec::new(),
            wanted,
            fault: None,
            handles_gone: false,
            next_pause: FIRST_PAUSE,
        }
    }

    /// Runs until the client is shut down, fenced, or can no longer be restored.
    pub(crate) async fn run(mut self) {
        let end = self.run_to_the_end().await;
        self.finish_recording().await;
        // Before the event channel closes, so that whoever sees the stream end can ask why.
        self.parts.stopped.send_replace(Some(end));
        for commands in [&mut self.parts.commands, &mut self.parts.orders] {
            commands.close();
            while commands.try_recv().is_ok() {}
        }
        self.postponed.clear();
        self.give_up_waiting(end);
        if end != Stopped::Shutdown {
            self.deliver_backlog().await;
        }
    }

    async fn run_to_the_end(&mut self) -> Stopped {
        self.connect_if_wanted();
        self.drain();
        loop {
            match self.fault.take() {
                None => {}
                Some(FaultReason::StoreFailed) => {
                    if let Err(end) = self.restore().await {
                        return end;
                    }
                    continue;
                }
                Some(_) => return Stopped::Fenced,
            }
            match self.wait().await {
                Wake::Command(Command::Shutdown(done)) => {
                    self.wind_down().await;
                    self.finish_recording().await;
                    let _ = done.send(());
                    return Stopped::Shutdown;
                }
                Wake::HandlesGone if self.parts.events.is_closed() => {
                    self.wind_down().await;
                    return Stopped::Shutdown;
                }
                wake => self.react(wake),
            }
            self.drain();
        }
    }

    async fn wait(&mut self) -> Wake {
        let deadline = self.core.next_deadline().map(|mono| self.parts.clock.instant(mono));
        let read = self.core.wants_frames() && !self.connection.is_congested();
        let take_commands = !self.handles_gone && !self.connection.is_congested();
        tokio::select! {
            Some(answer) = self.answers.recv() => Wake::Store(answer),
            Some(id) = self.parts.handled.recv() => Wake::Handled(id),
            permit = self.parts.events.reserve(), if !self.backlog.is_empty() => {
                match (permit, self.backlog.pop_front()) {
                    (Ok(permit), Some(envelope)) => permit.send(envelope),
                    // Nobody listens any more: durable events stay in the store, the others are nobody's.
                    _ => self.backlog.clear(),
                }
                Wake::EventTaken
            }
            event = self.connection.turn(read) => Wake::Connection(event),
            command = self.parts.commands.recv(), if take_commands => {
                command.map_or(Wake::HandlesGone, Wake::Command)
            }
            order = self.parts.orders.recv(), if !self.handles_gone => order.map_or(Wake::HandlesGone, Wake::Command),
            () = self.parts.events.closed(), if self.handles_gone => Wake::HandlesGone,
            () = until(deadline) => Wake::Deadline,
        }
    }

    fn react(&mut self, wake: Wake) {
        match wake {
            Wake::Store(answer) => self.take_answer(answer),
            Wake::Handled(id) => self.take_handled(id),
            Wake::Connection(ConnectionEvent::Opened) => self.feed(Input::Opened),
            Wake::Connection(ConnectionEvent::Frame(frame)) => self.feed(Input::Frame(frame)),
            Wake::Connection(ConnectionEvent::Closed(reason)) => self.feed(Input::Closed(reason)),
            // Waking up was the point: there is room again.
            Wake::Connection(ConnectionEvent::Flushed) | Wake::EventTaken => {}
            Wake::Command(command) => self.obey(command),
            Wake::HandlesGone => self.handles_gone = true,
            Wake::Deadline => self.feed(Input::Tick),
        }
    }

    fn feed(&mut self, input: Input) {
        if let Err(misuse) = self.core.handle(self.parts.clock.now(), input) {
            tracing::debug!(%misuse, "the core refused an input");
        }
    }

    fn take_answer(&mut self, answer: Answer) {
        let current = answer.generation == self.generation;
        match answer.result {
            StoreResult::Loaded(id, Ok(records)) if current => self.feed(Input::Loaded(id, records)),
            StoreResult::Loaded(_, Err(LoadError::MovedAway)) if current => self.tell_fenced(),
            StoreResult::Loaded(id, Err(error)) if current => {
                tracing::warn!(%error, "a load failed");
                self.feed(Input::LoadFailed(id));
            }
            StoreResult::Loaded(..) => {}
            StoreResult::Committed(id, result) => {
                self.commits_in_flight = self.commits_in_flight.saturating_sub(1);
                if !current {
                    return;
                }
                let input = match result {
                    Ok(()) => {
                        self.next_pause = FIRST_PAUSE;
                        Input::Committed(id)
                    }
                    Err(error) => Input::CommitFailed(id, error),
                };
                self.feed(input);
            }
        }
    }

    fn take_handled(&mut self, id: EventId) {
        self.seen.handled(id);
        self.feed(Input::Handled(id));
    }

    fn obey(&mut self, command: Command) {
        let now = self.parts.clock.now();
        match command {
            Command::Send { chat, content, id, accepted, report } => {
                match self.core.send_message(now, &chat, content, id) {
                    Ok((op, id)) => {
                        self.sends.entry(id.clone()).or_default().push(report);
                        self.accepting.insert(op, (id, accepted));
                    }
                    Err(misuse) => drop(accepted.send(Err(misuse.into()))),
                }
            }
            Command::Operate(verb, done) => match verb(&mut self.core, now) {
                Ok(op) => drop(self.operations.insert(op, done)),
                Err(misuse) => drop(done.send(Err(misuse.into()))),
            },
            Command::Ask(question) => question(&mut self.core, now),
            Command::Connect(done) => {
                let result = self.core.connect(now);
                self.wanted |= result.is_ok();
                let _ = done.send(result.map_err(OperationError::from));
            }
            Command::Disconnect(done) => {
                self.wanted = false;
                let _ = done.send(self.core.disconnect(now).map_err(OperationError::from));
            }
            Command::SetProfile(profile, done) => {
                self.parts.config.profile = (*profile).clone();
                if let Err(misuse) = self.core.set_profile(now, *profile) {
                    tracing::debug!(%misuse, "the profile waits for the restored core");
                }
                self.wanted |= self.core.health(now).wanted;
                let _ = done.send(());
            }
            // Taken out by the loop, which alone can end.
            Command::Shutdown(done) => drop(done),
        }
    }

    /// Carries out everything the core wants done.
    fn drain(&mut self) {
        while let Some(output) = self.core.poll() {
            match output {
                Output::Load(request) => self.load(request),
                Output::Commit(commit) => self.commit(commit),
                Output::Open(endpoint) => self.connection.open(&self.parts.transport, endpoint),
                Output::Frame(frame) => self.connection.push(frame),
                Output::Close => self.connection.close(),
                Output::Event(envelope) => self.take_event(envelope),
                _ => tracing::warn!("an output that this host does not know"),
            }
        }
        if let Some(recorder) = &mut self.parts.recorder {
            recorder.pass_on(&mut self.core);
        }
    }

    /// The core of the store's records, in place of the one that is there.
    fn replace_core(&mut self, seed: Seed, roots: Vec<(Key, Option<Record>)>) -> Result<(), RestoreError> {
        let config = self.parts.config.clone();
        self.core = match &mut self.parts.recorder {
            Some(recorder) => {
                recorder.part_from(&mut self.core);
                recorder.restore(config, seed, roots)?
            }
            None => Core::restore(config, seed, roots)?,
        };
        Ok(())
    }

    async fn finish_recording(&mut self) {
        if let Some(recorder) = &mut self.parts.recorder {
            recorder.finish(&mut self.core).await;
        }
    }

    fn load(&self, request: LoadRequest) {
        let (storage, account) = (self.parts.storage.clone(), self.parts.account.clone());
        let (answer_to, generation) = (self.answer_to.clone(), self.generation);
        tokio::spawn(async move {
            let result = storage.load(account, request.keys).await.map(|(_, records)| records);
            let _ = answer_to.send(Answer { generation, result: StoreResult::Loaded(request.id, result) });
        });
    }

    fn commit(&mut self, commit: Commit) {
        self.commits_in_flight += 1;
        let (answer_to, generation, id) = (self.answer_to.clone(), self.generation, commit.id);
        self.parts.storage.commit(self.parts.account.clone(), commit, move |result| {
            let _ = answer_to.send(Answer { generation, result: StoreResult::Committed(id, result) });
        });
    }

    /// The store no longer gives the account's records. The core would ask again for ever, since all it hears of a load
    /// is that it failed; a commit would have told it.
    fn tell_fenced(&mut self) {
        self.fault = Some(FaultReason::Fenced);
        let (id, event) = (EventId(u64::MAX), Event::Faulted(FaultReason::Fenced));
        self.backlog.push_back(Envelope { id, event, durable: false });
    }

    fn take_event(&mut self, envelope: Envelope) {
        if envelope.durable {
            match self.seen.emitted(envelope.id) {
                Emission::New => {}
                Emission::Pending => return,
                Emission::AlreadyHandled => return self.feed(Input::Handled(envelope.id)),
            }
        }
        match &envelope.event {
            Event::SendQueued { op, .. } => self.accept(*op),
            Event::SendFinished(report) => {
                if let Some(op) = report.op {
                    self.accept(op);
                }
                for waiting in self.sends.remove(&report.id).unwrap_or_default() {
                    let _ = waiting.send(Ok((**report).clone()));
                }
            }
            Event::OperationFinished { op, result } => {
                if let Some(waiting) = self.operations.remove(op) {
                    let _ = waiting.send(match result {
                        OpResult::Done => Ok(()),
                        OpResult::Refused(code) => Err(OperationError::ByServer(*code)),
                        OpResult::Unusable => Err(OperationError::Unusable),
                        OpResult::Superseded => Err(OperationError::Superseded),
                        _ => Err(OperationError::Lost),
                    });
                }
            }
            Event::Disconnected(disconnect) if !matches!(disconnect.recommendation, Recommendation::WaitUntil(_)) => {
                self.wanted = false;
            }
            Event::Faulted(reason) => self.fault = Some(*reason),
            Event::Stalled { stage, .. } => tracing::warn!(%stage, "stalled"),
            Event::Resumed { stage } => tracing::info!(%stage, "no longer stalled"),
            _ => {}
        }
        // Connections that come and go while nobody takes events must not fill the memory either.
        if !envelope.durable && self.backlog.len() > self.parts.config.limits.inbox_events.saturating_add(2 * BACKLOG) {
            tracing::debug!("the application does not take its events; one that is told once is dropped");
            return;
        }
        self.backlog.push_back(envelope);
    }

    /// A send is durable. Its caller may have gone; the send stands.
    fn accept(&mut self, op: OpId) {
        if let Some((id, accepted)) = self.accepting.remove(&op) {
            let _ = accepted.send(Ok(id));
        }
    }

    /// Replaces a faulted core by one restored from the store; tries for as long as the store cannot be read.
    async fn restore(&mut self) -> Result<(), Stopped> {
        self.connection = Connection::Down;
        self.generation += 1;
        for (_, waiting) in std::mem::take(&mut self.operations) {
            let _ = waiting.send(Err(OperationError::Lost));
        }
        for (id, accepted) in std::mem::take(&mut self.accepting).into_values() {
            let _ = accepted.send(Err(SendError::Interrupted(id)));
        }
        for (id, all) in std::mem::take(&mut self.sends) {
            for waiting in all {
                let _ = waiting.send(Err(SendError::Interrupted(id.clone())));
            }
        }
        loop {
            tracing::warn!(pause = ?self.next_pause, "the store failed; restoring");
            let leaving = self.pause(self.next_pause).await;
            self.next_pause = (self.next_pause * 2).min(LONGEST_PAUSE);
            if let Some(done) = leaving {
                self.leave().await;
                self.finish_recording().await;
                if let Some(done) = done {
                    let _ = done.send(());
                }
                return Err(Stopped::Shutdown);
            }
            let read = self.parts.storage.load(self.parts.account.clone(), Core::root_keys()).await;
            if matches!(read, Err(LoadError::MovedAway)) {
                self.tell_fenced();
                return Err(Stopped::Fenced);
            }
            let (Ok((keys, records)), Ok(seed)) = (read, fresh_seed()) else { continue };
            let roots = keys.into_iter().zip(records).collect();
            if let Err(error) = self.replace_core(seed, roots) {
                tracing::warn!(%error, "the account cannot be restored");
                return Err(Stopped::Unusable);
            }
            self.connect_if_wanted();
            self.drain();
            for command in std::mem::take(&mut self.postponed) {
                self.obey(command);
                self.drain();
            }
            return Ok(());
        }
    }

    /// Waits; events still flow to the application, a shutdown is obeyed, other commands wait.
    /// Returns early, with who waits for the end if anybody does, when the client is to shut down.
    async fn pause(&mut self, length: Duration) -> Option<Option<oneshot::Sender<()>>> {
        let end = Instant::now() + length;
        loop {
            let order = tokio::select! {
                () = sleep_until(end) => return None,
                permit = self.parts.events.reserve(), if !self.backlog.is_empty() => {
                    match (permit, self.backlog.pop_front()) {
                        (Ok(permit), Some(envelope)) => permit.send(envelope),
                        _ => self.backlog.clear(),
                    }
                    continue;
                }
                command = self.parts.commands.recv(), if !self.handles_gone && self.postponed.len() < POSTPONED => {
                    match command {
                        Some(command) => self.postponed.push(command),
                        None => self.handles_gone = true,
                    }
                    continue;
                }
                order = self.parts.orders.recv(), if !self.handles_gone => order,
                () = self.parts.events.closed(), if self.handles_gone => return Some(None),
            };
            match order {
                Some(Command::Shutdown(done)) => return Some(Some(done)),
                // The restored core connects if that is wanted by then.
                Some(Command::Connect(done)) => {
                    self.wanted = true;
                    let _ = done.send(Ok(()));
                }
                Some(Command::Disconnect(done)) => {
                    self.wanted = false;
                    let _ = done.send(Ok(()));
                }
                // A question is answered by the core that is gone: it knows what was, and nobody waits for the store.
                Some(order) => self.obey(order),
                None => self.handles_gone = true,
            }
        }
    }

    /// Tries once more to reach the store, for the last acknowledgements; without it there is nothing to wait for.
    async fn leave(&mut self) {
        let read = timeout(WIND_DOWN, self.parts.storage.load(self.parts.account.clone(), Core::root_keys())).await;
        let (Ok(Ok((keys, records))), Ok(seed)) = (read, fresh_seed()) else { return };
        if self.replace_core(seed, keys.into_iter().zip(records).collect()).is_err() {
            return;
        }
        self.fault = None;
        self.drain();
        self.wind_down().await;
    }

    fn connect_if_wanted(&mut self) {
        if !self.wanted {
            return;
        }
        if let Err(misuse) = self.core.connect(self.parts.clock.now()) {
            tracing::warn!(%misuse, "the core does not connect");
        }
    }

    /// Takes the last acknowledgements, closes the connection, waits for the store; gives up after five seconds.
    async fn wind_down(&mut self) {
        while let Ok(id) = self.parts.handled.try_recv() {
            self.take_handled(id);
            self.drain();
        }
        if let Err(misuse) = self.core.disconnect(self.parts.clock.now()) {
            tracing::debug!(%misuse, "already down");
        }
        self.drain();
        let end = Instant::now() + WIND_DOWN;
        while self.fault.is_none()
            && !(self.connection.is_down() && self.commits_in_flight == 0 && self.core.is_settled())
        {
            let deadline = self.core.next_deadline().map(|mono| self.parts.clock.instant(mono));
            let wake = tokio::select! {
                Some(answer) = self.answers.recv() => Wake::Store(answer),
                event = self.connection.turn(true) => Wake::Connection(event),
                () = until(deadline) => Wake::Deadline,
                () = sleep_until(end) => return tracing::warn!("shut down without waiting any longer"),
            };
            self.react(wake);
            self.drain();
        }
    }

    /// Hands over the last events of a client that has ended, as far as the application takes them.
    async fn deliver_backlog(&mut self) {
        for envelope in std::mem::take(&mut self.backlog) {
            if self.parts.events.send(envelope).await.is_err() {
                return;
            }
        }
    }

    fn give_up_waiting(&mut self, end: Stopped) {
        for (_, waiting) in std::mem::take(&mut self.operations) {
            let _ = waiting.send(Err(end.into()));
        }
        for (_, accepted) in std::mem::take(&mut self.accepting).into_values() {
            let _ = accepted.send(Err(end.into()));
        }
        for waiting in std::mem::take(&mut self.sends).into_values().flatten() {
            let _ = waiting.send(Err(end.into()));
        }
    }
}

/// A task that panics has noted what it was told; it is what makes the panic come again.
impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(recorder) = &mut self.parts.recorder {
            recorder.pass_on(&mut self.core);
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Events beyond a full inbox that may wait for the application before the socket has to.
const BACKLOG: usize = 64;
/// Commands taken while the store is away.
const POSTPONED: usize = 64;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
const WIND_DOWN: Duration = Duration::from_secs(5);
