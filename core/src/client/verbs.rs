//! What a caller asks for. A verb checks its arguments and returns at once; its end arrives as an event.

use super::socket::Phase;
use super::{Client, Job};
use crate::api::{ChatState, DisconnectReason, MessageId, Misuse, OpId, ProtocolProfile};
use crate::flow::{self, Accepted, Lane, Verb, is_user};
use crate::recording::{Answered as _, Call};
use crate::types::{Jid, Now};
use bytes::Bytes;

/// Messages that one receipt can name.
const RECEIPT_IDS: usize = 256;

/// Characters of a message id.
const ID_CHARACTERS: usize = 64;

/// Bytes of a push name.
const NAME_BYTES: usize = 100;

impl Client {
    /// Connects, and stays connected until [`disconnect`](Self::disconnect) or an event says otherwise. An account that
    /// is not linked shows codes ([`QrShown`](crate::api::Event::QrShown)).
    ///
    /// A client that was replaced waits before it comes back, longer each time: two that always come back at once would
    /// throw each other out for ever.
    ///
    /// # Errors
    /// [`Misuse::Faulted`].
    pub fn connect(&mut self, now: Now) -> Result<(), Misuse> {
        self.noted(now, || Call::Connect, |client| client.want_connection(now))
    }

    fn want_connection(&mut self, now: Now) -> Result<(), Misuse> {
        self.begin(now)?;
        self.wanted = true;
        self.outdated = false;
        self.timers.reconnect = None;
        if !matches!(self.socket.phase, Phase::Down) {
            return Ok(());
        }
        if self.not_before > self.now.mono {
            self.timers.reconnect = Some(self.not_before);
        } else {
            self.enqueue(Job::Connect);
        }
        Ok(())
    }

    /// Replaces the constants of the protocol, at any time. They count from the next connection on; one that is up goes
    /// on with the old ones. A client that is down because its version was refused connects again by itself.
    ///
    /// # Errors
    /// [`Misuse::Faulted`]; give the profile to the restored client then.
    pub fn set_profile(&mut self, now: Now, profile: ProtocolProfile) -> Result<(), Misuse> {
        let call = self.tap.is_some().then(|| Call::SetProfile(Box::new(profile.clone())));
        self.note(now, call);
        let result = self.take_profile(now, profile);
        self.note_answer(|| result.answer());
        result
    }

    fn take_profile(&mut self, now: Now, profile: ProtocolProfile) -> Result<(), Misuse> {
        self.begin(now)?;
        let is_new = self.config.profile != profile;
        self.config.profile = profile;
        if self.outdated && is_new {
            self.want_connection(now)?;
        }
        Ok(())
    }

    /// Ends the connection and stays down. Accepted sends stay in the outbox.
    ///
    /// # Errors
    /// [`Misuse::Faulted`].
    pub fn disconnect(&mut self, now: Now) -> Result<(), Misuse> {
        self.noted(now, || Call::Disconnect, |client| client.stay_offline(now))
    }

    fn stay_offline(&mut self, now: Now) -> Result<(), Misuse> {
        self.begin(now)?;
        self.wanted = false;
        self.outdated = false;
        self.timers.reconnect = None;
        self.end(DisconnectReason::Asked);
        Ok(())
    }

    /// Accepts a message for a user. From the next commit on it survives restarts under the id returned here until the
    /// server has it; exactly one [`SendFinished`](crate::api::Event::SendFinished) tells how that ended. May be called
    /// while there is no connection. A caller that cannot know whether a send was accepted before a crash repeats it under
    /// the same id: that is the same send.
    ///
    /// `content` is a serialised `Message`; `id` is drawn if not given.
    ///
    /// # Errors
    /// [`Misuse::NotLinked`]; [`Misuse::Full`] when too many sends wait; [`Misuse::BadArgument`] for a chat that is not a
    /// user, content that is no message or too long, or an id that is too long.
    pub fn send_message(
        &mut self,
        now: Now,
        chat: &Jid,
        content: Bytes,
        id: Option<MessageId>,
    ) -> Result<(OpId, MessageId), Misuse> {
        let copied = || Call::SendMessage { chat: chat.clone(), content: content.clone(), id: id.clone() };
        let call = self.tap.is_some().then(copied);
        self.note(now, call);
        let result = self.accept_message(now, chat, content, id);
        self.note_answer(|| result.answer());
        result
    }

    fn accept_message(
        &mut self,
        now: Now,
        chat: &Jid,
        content: Bytes,
        id: Option<MessageId>,
    ) -> Result<(OpId, MessageId), Misuse> {
        self.begin_linked(now)?;
        if !is_user(chat) {
            return Err(Misuse::BadArgument("messages can be sent to users only"));
        }
        if content.len() > self.config.limits.message_bytes {
            return Err(Misuse::BadArgument("the content is too long"));
        }
        if !flow::is_content(&content) {
            return Err(Misuse::BadArgument("the content is not a message"));
        }
        if id.as_ref().is_some_and(|id| id.as_str().is_empty() || id.as_str().len() > ID_CHARACTERS) {
            return Err(Misuse::BadArgument("a message id has 1 to 64 characters"));
        }
        if self.live.outbox.len() + self.schedule.waiting(&Lane::Verbs) >= self.config.limits.outbox_pending {
            return Err(Misuse::Full("sends that wait"));
        }
        let id = id.unwrap_or_else(|| self.message_id());
        let op = self.next_op();
        self.enqueue(Job::Verb(Verb::Send(Accepted { op, id: id.clone(), chat: chat.to_user(), content })));
        Ok((op, id))
    }

    /// Tells `sender` (a user or device) that the messages `ids` in `chat` were read. At most 256 at a time.
    ///
    /// # Errors
    /// [`Misuse::NotLinked`]; [`Misuse::BadArgument`] without ids or with too many.
    pub fn mark_read(&mut self, now: Now, chat: &Jid, sender: &Jid, ids: &[MessageId]) -> Result<OpId, Misuse> {
        let call = || Call::MarkRead { chat: chat.clone(), sender: sender.clone(), ids: ids.to_vec() };
        self.noted(now, call, |client| {
            if ids.is_empty() || ids.len() > RECEIPT_IDS {
                return Err(Misuse::BadArgument("a receipt names 1 to 256 messages"));
            }
            let (chat, sender, ids) = (chat.clone(), sender.clone(), ids.to_vec());
            client.operate(now, |op| Verb::MarkRead { op, chat, sender, ids })
        })
    }

    /// Announces this device as available or not. Peers see typing and presence only of those who are available.
    ///
    /// # Errors
    /// [`Misuse::NotLinked`].
    pub fn set_presence(&mut self, now: Now, available: bool) -> Result<OpId, Misuse> {
        let call = || Call::SetPresence(available);
        self.noted(now, call, |client| client.operate(now, |op| Verb::SetPresence { op, available }))
    }

    /// Sets the name this account gives itself; others see it beside messages.
    ///
    /// # Errors
    /// [`Misuse::NotLinked`]; [`Misuse::BadArgument`] for a name of more than 100 bytes.
    pub fn set_push_name(&mut self, now: Now, name: &str) -> Result<OpId, Misuse> {
        self.noted(
            now,
            || Call::SetPushName(name.into()),
            |client| {
                if name.is_empty() || name.len() > NAME_BYTES {
                    return Err(Misuse::BadArgument("a name has 1 to 100 bytes"));
                }
                let name = name.to_owned();
                client.operate(now, |op| Verb::SetPushName { op, name })
            },
        )
    }

    /// Asks to be told of the presence of `user`, until the connection ends.
    ///
    /// # Errors
    /// [`Misuse::NotLinked`]; [`Misuse::BadArgument`] for an address that is not a user.
    pub fn subscribe_presence(&mut self, now: Now, user: &Jid) -> Result<OpId, Misuse> {
        self.noted(
            now,
            || Call::SubscribePresence(user.clone()),
            |client| {
                if !is_user(user) {
                    return Err(Misuse::BadArgument("only users have a presence"));
                }
                let user = user.to_user();
                client.operate(now, |op| Verb::SubscribePresence { op, user })
            },
        )
    }

    /// Shows in `chat` that this account types, records, or has stopped.
    ///
    /// # Errors
    /// [`Misuse::NotLinked`].
    pub fn send_chat_state(&mut self, now: Now, chat: &Jid, state: ChatState) -> Result<OpId, Misuse> {
        self.noted(
            now,
            || Call::SendChatState(chat.clone(), state),
            |client| {
                let chat = chat.to_user();
                client.operate(now, |op| Verb::SendChatState { op, chat, state })
            },
        )
    }

    /// Unlinks this device. Ends with [`OperationFinished`](crate::api::Event::OperationFinished), then with a disconnect
    /// that recommends linking again; the account's records are void from then on.
    ///
    /// # Errors
    /// [`Misuse::NotLinked`].
    pub fn log_out(&mut self, now: Now) -> Result<OpId, Misuse> {
        self.noted(now, || Call::LogOut, |client| client.operate(now, |op| Verb::LogOut { op }))
    }

    fn operate(&mut self, now: Now, verb: impl FnOnce(OpId) -> Verb) -> Result<OpId, Misuse> {
        self.begin_linked(now)?;
        let op = self.next_op();
        self.enqueue(Job::Verb(verb(op)));
        Ok(op)
    }

    pub(super) fn begin(&mut self, now: Now) -> Result<(), Misuse> {
        if self.faulted {
            return Err(Misuse::Faulted);
        }
        self.advance(now);
        Ok(())
    }

    fn begin_linked(&mut self, now: Now) -> Result<(), Misuse> {
        self.begin(now)?;
        if self.live.me.is_none() { Err(Misuse::NotLinked) } else { Ok(()) }
    }

    pub(super) fn next_op(&mut self) -> OpId {
        let op = OpId(self.next_op);
        self.next_op += 1;
        op
    }

    fn message_id(&mut self) -> MessageId {
        let random = self.rng.bytes();
        let user = self.live.me.as_ref().map(|me| me.pn.user());
        MessageId::for_web(self.now.unix_seconds(), user, &random)
    }
}
