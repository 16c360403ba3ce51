//! The async handle of one account, its events, and the task behind them.

mod builder;
mod connection;
mod driver;
mod error;
mod events;
mod seen;

pub use builder::ClientBuilder;
pub use error::{OperationError, SendError, StartError, Stopped};
pub use events::{Delivery, Events};

use crate::content;
use bytes::Bytes;
use driver::Command;
use tokio::sync::{mpsc, oneshot, watch};
use whatsio_core::api::{
    ChatState, Health, MessageEvent, MessageId, Misuse, OpId, ProtocolProfile, Restriction, SendReport,
};
use whatsio_core::client::{Client as Core, Identity};
use whatsio_core::types::{Jid, Now};

/// One account. Cloning is cheap and gives another handle to the same account; the account's task ends after
/// [`shutdown`](Self::shutdown), or when every handle and the [`Events`] are dropped.
///
/// Futures are cancellation-safe: dropping one stops the waiting, never the work. A send that was accepted goes out,
/// and its report comes as an event.
#[derive(Clone, Debug)]
pub struct Client {
    commands: mpsc::Sender<Command>,
    /// What does not add to what waits to be written, and is therefore taken at any time.
    orders: mpsc::Sender<Command>,
    stopped: watch::Receiver<Option<Stopped>>,
}

/// A message that the account has taken for sending.
#[derive(Debug)]
#[must_use = "dropping this forgets the report, not the message"]
pub struct Queued {
    id: MessageId,
    report: oneshot::Receiver<Result<SendReport, SendError>>,
    stopped: watch::Receiver<Option<Stopped>>,
}

impl Client {
    /// Starts to put a client together.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::new()
    }

    pub(crate) const fn new(
        commands: mpsc::Sender<Command>,
        orders: mpsc::Sender<Command>,
        stopped: watch::Receiver<Option<Stopped>>,
    ) -> Self {
        Self { commands, orders, stopped }
    }

    /// Sends text and waits until the server has it, or refused it. While offline this waits for the connection.
    ///
    /// # Errors
    /// [`SendError`]. A report that says the server refused is not an error of this call: see
    /// [`SendReport::is_sent`].
    pub async fn send_text(&self, chat: &Jid, text: &str) -> Result<SendReport, SendError> {
        self.send(chat, content::text(text)).await
    }

    /// Answers `message` with text that quotes it, in the same chat.
    ///
    /// # Errors
    /// As [`send_text`](Self::send_text).
    pub async fn reply(&self, message: &MessageEvent, text: &str) -> Result<SendReport, SendError> {
        self.send(&message.chat, content::reply(message, text)).await
    }

    /// Sends any content, a serialised `Message` of `whatsio_proto::e2e`, and waits for the report.
    ///
    /// # Errors
    /// As [`send_text`](Self::send_text).
    pub async fn send(&self, chat: &Jid, content: Bytes) -> Result<SendReport, SendError> {
        self.queue(chat, content, None).await?.report().await
    }

    /// Hands a message over and returns as soon as it is accepted. Give an `id` to send again what may have been sent
    /// before: receivers show an id once.
    ///
    /// # Errors
    /// [`SendError`] when it is not accepted.
    pub async fn queue(&self, chat: &Jid, content: Bytes, id: Option<MessageId>) -> Result<Queued, SendError> {
        let (accepted_to, accepted) = oneshot::channel();
        let (report_to, report) = oneshot::channel();
        let command = Command::Send { chat: chat.clone(), content, id, accepted: accepted_to, report: report_to };
        self.order(command).await?;
        let id = self.answer(accepted).await??;
        Ok(Queued { id, report, stopped: self.stopped.clone() })
    }

    /// Tells the sender of messages that they were read.
    ///
    /// # Errors
    /// [`OperationError`].
    pub async fn mark_read(&self, chat: &Jid, sender: &Jid, ids: &[MessageId]) -> Result<(), OperationError> {
        let (chat, sender, ids) = (chat.clone(), sender.clone(), ids.to_vec());
        self.operate(move |core, now| core.mark_read(now, &chat, &sender, &ids)).await
    }

    /// Says whether this account is online, to those who may know.
    ///
    /// # Errors
    /// [`OperationError`].
    pub async fn set_presence(&self, available: bool) -> Result<(), OperationError> {
        self.operate(move |core, now| core.set_presence(now, available)).await
    }

    /// Changes the name that this account shows to those who do not have it in their address book.
    ///
    /// # Errors
    /// [`OperationError`].
    pub async fn set_push_name(&self, name: &str) -> Result<(), OperationError> {
        let name = name.to_owned();
        self.operate(move |core, now| core.set_push_name(now, &name)).await
    }

    /// Asks to be told when a user comes online or goes.
    ///
    /// # Errors
    /// [`OperationError`].
    pub async fn subscribe_presence(&self, user: &Jid) -> Result<(), OperationError> {
        let user = user.clone();
        self.operate(move |core, now| core.subscribe_presence(now, &user)).await
    }

    /// Shows or stops showing "typing…" or "recording…" in a chat.
    ///
    /// # Errors
    /// [`OperationError`].
    pub async fn chat_state(&self, chat: &Jid, state: ChatState) -> Result<(), OperationError> {
        let chat = chat.clone();
        self.operate(move |core, now| core.send_chat_state(now, &chat, state)).await
    }

    /// Asks for a code that links this device when it is typed on the phone of the number `phone`; `custom` is one of
    /// the caller's own choosing. Returns when the server has taken it; the code comes as the event `CodeShown`, which
    /// comes again after a lost connection, and `Linked` or `LinkFailed` tells how it ended. While offline this waits for
    /// the connection.
    ///
    /// # Errors
    /// [`OperationError`]; [`OperationError::Refused`] for what cannot be a number or a code, and when it is linked.
    pub async fn request_pair_code(&self, phone: &str, custom: Option<&str>) -> Result<(), OperationError> {
        let (phone, custom) = (phone.to_owned(), custom.map(ToOwned::to_owned));
        self.operate(move |core, now| core.request_pair_code(now, &phone, custom.as_deref())).await
    }

    /// Hands over the assertion that the event `AssertionNeeded` asked for: the JSON of `PublicKeyCredential.toJSON()`
    /// from the browser or platform of the account's owner. Returns when it was taken; `CodeShown` to compare, `Linked` or
    /// `LinkFailed` follows.
    ///
    /// # Errors
    /// [`OperationError::Refused`] when none is asked for, and for what is not an assertion of at most 64 KiB.
    pub async fn provide_assertion(&self, assertion_json: &str) -> Result<(), OperationError> {
        let json = assertion_json.to_owned();
        self.instruct(move |core, now| core.provide_assertion(now, &json)).await
    }

    /// The user saw the code of the event `CodeShown` on the phone too, where the two are to be compared.
    ///
    /// # Errors
    /// [`OperationError::Refused`] when no code is compared.
    pub async fn confirm_code(&self) -> Result<(), OperationError> {
        self.instruct(Core::confirm_code).await
    }

    /// The user saw another code on the phone, or none: nothing is handed over and `LinkFailed` follows.
    ///
    /// # Errors
    /// [`OperationError::Refused`] when no code is compared.
    pub async fn reject_code(&self) -> Result<(), OperationError> {
        self.instruct(Core::reject_code).await
    }

    /// Unlinks this device from the account.
    ///
    /// # Errors
    /// [`OperationError`].
    pub async fn log_out(&self) -> Result<(), OperationError> {
        self.operate(Core::log_out).await
    }

    /// Connects, after a stop or when started offline. Returns at once; `Connected` or a QR code follow as events.
    ///
    /// # Errors
    /// [`OperationError::Refused`] when it is connected already.
    pub async fn connect(&self) -> Result<(), OperationError> {
        let (done_to, done) = oneshot::channel();
        self.urge(Command::Connect(done_to)).await?;
        self.answer(done).await?
    }

    /// Goes offline and stays there until [`connect`](Self::connect).
    ///
    /// # Errors
    /// [`OperationError::Refused`] when it is offline already.
    pub async fn disconnect(&self) -> Result<(), OperationError> {
        let (done_to, done) = oneshot::channel();
        self.urge(Command::Disconnect(done_to)).await?;
        self.answer(done).await?
    }

    /// Who this account is; `None` before it is linked.
    ///
    /// # Errors
    /// [`Stopped`] after the client has ended.
    pub async fn identity(&self) -> Result<Option<Identity>, Stopped> {
        self.ask(|core| core.identity()).await
    }

    /// Whether it is logged in at this moment.
    ///
    /// # Errors
    /// [`Stopped`] after the client has ended.
    pub async fn is_connected(&self) -> Result<bool, Stopped> {
        self.ask(|core| core.is_connected()).await
    }

    /// How it is at this moment: what waits, what stalls, since when.
    ///
    /// # Errors
    /// [`Stopped`] after the client has ended.
    pub async fn health(&self) -> Result<Health, Stopped> {
        let (reply_to, reply) = oneshot::channel();
        self.urge(Command::Ask(Box::new(move |core, now| drop(reply_to.send(core.health(now)))))).await?;
        self.answer(reply).await
    }

    /// Replaces the constants of the protocol while it runs. They count from the next connection on; a client that is
    /// down because its version was refused connects again by itself. See [`profile`](crate::profile) for files.
    ///
    /// # Errors
    /// [`Stopped`] after the client has ended.
    pub async fn set_profile(&self, profile: ProtocolProfile) -> Result<(), Stopped> {
        let (done_to, done) = oneshot::channel();
        self.urge(Command::SetProfile(Box::new(profile), done_to)).await?;
        self.answer(done).await
    }

    /// What the server does not let this account do, as far as it is known; see
    /// [`Restriction::holds_at`] for one that may be over.
    ///
    /// # Errors
    /// [`Stopped`] after the client has ended.
    pub async fn restriction(&self) -> Result<Option<Restriction>, Stopped> {
        self.ask(|core| core.restriction().cloned()).await
    }

    /// Why the client has ended; `None` while it runs.
    #[must_use]
    pub fn stopped(&self) -> Option<Stopped> {
        *self.stopped.borrow()
    }

    /// Closes the connection, waits until the store has everything, and ends the task. Unhandled events and accepted
    /// sends wait in the store for the next start.
    pub async fn shutdown(&self) {
        let (done_to, done) = oneshot::channel();
        if self.orders.send(Command::Shutdown(done_to)).await.is_ok() {
            let _ = done.await;
        }
        // The task has one more line to run: the reason of its end.
        let _ = self.stopped.clone().wait_for(Option::is_some).await;
    }

    async fn operate(
        &self,
        verb: impl FnOnce(&mut Core, Now) -> Result<OpId, Misuse> + Send + 'static,
    ) -> Result<(), OperationError> {
        let (done_to, done) = oneshot::channel();
        self.order(Command::Operate(Box::new(verb), done_to)).await?;
        self.answer(done).await?
    }

    /// A verb without an end of its own.
    async fn instruct(
        &self,
        verb: impl FnOnce(&mut Core, Now) -> Result<(), Misuse> + Send + 'static,
    ) -> Result<(), OperationError> {
        let (done_to, done) = oneshot::channel();
        self.order(Command::Ask(Box::new(move |core, now| drop(done_to.send(verb(core, now)))))).await?;
        Ok(self.answer(done).await??)
    }

    async fn ask<T: Send + 'static>(&self, question: impl FnOnce(&Core) -> T + Send + 'static) -> Result<T, Stopped> {
        let (reply_to, reply) = oneshot::channel();
        self.urge(Command::Ask(Box::new(move |core, _| drop(reply_to.send(question(core)))))).await?;
        self.answer(reply).await
    }

    async fn urge(&self, command: Command) -> Result<(), Stopped> {
        match self.orders.send(command).await {
            Ok(()) => Ok(()),
            Err(_) => Err(why(&self.stopped).await),
        }
    }

    async fn order(&self, command: Command) -> Result<(), Stopped> {
        match self.commands.send(command).await {
            Ok(()) => Ok(()),
            Err(_) => Err(why(&self.stopped).await),
        }
    }

    async fn answer<T>(&self, reply: oneshot::Receiver<T>) -> Result<T, Stopped> {
        match reply.await {
            Ok(value) => Ok(value),
            Err(_) => Err(why(&self.stopped).await),
        }
    }
}

impl Queued {
    /// The message's id.
    #[must_use]
    pub const fn id(&self) -> &MessageId {
        &self.id
    }

    /// Waits until the server has the message, or refused it.
    ///
    /// # Errors
    /// [`SendError::Interrupted`] or [`SendError::Stopped`]; the message may still go out, after a restart.
    pub async fn report(self) -> Result<SendReport, SendError> {
        match self.report.await {
            Ok(report) => report,
            Err(_) => Err(why(&self.stopped).await.into()),
        }
    }
}

/// The reason of the task's end. A task that was torn down with its runtime left none.
async fn why(stopped: &watch::Receiver<Option<Stopped>>) -> Stopped {
    let mut stopped = stopped.clone();
    let reason = stopped.wait_for(Option::is_some).await.ok().and_then(|reason| *reason);
    reason.unwrap_or(Stopped::Shutdown)
}
