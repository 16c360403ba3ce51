//! Who is there, and who is typing.

use super::{Stanza, StanzaError, read, word as w};
use crate::binary::{NodeRef, Writer};
use crate::types::Jid;
use bytes::Bytes;
use smol_str::SmolStr;

/// Somebody came online, or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncomingPresence {
    /// Who.
    pub from: Jid,
    /// Whether they are there.
    pub is_available: bool,
    /// When they were last there.
    pub last_seen: LastSeen,
}

/// When somebody was last there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastSeen {
    /// In seconds since 1970.
    At(u64),
    /// They do not want it known.
    Hidden,
    /// The server does not say.
    Unknown,
}

impl IncomingPresence {
    pub(super) fn parse(node: NodeRef<'_>) -> Result<Self, StanzaError> {
        let last_seen = match node.number(w::LAST) {
            Some(time) => LastSeen::At(time),
            None if node.has(w::LAST, w::DENY) => LastSeen::Hidden,
            None => LastSeen::Unknown,
        };
        let from = read::need_jid(node, w::FROM)?;
        Ok(Self { from, is_available: !node.has(w::TYPE, w::UNAVAILABLE), last_seen })
    }
}

/// Says whether this device is in use. Being available makes receipts count as seen and lets presences come in.
#[derive(Clone, PartialEq, Eq)]
pub struct Presence {
    /// Whether it is in use.
    pub is_available: bool,
    /// The name that this account gives itself; servers want one.
    pub push_name: Option<SmolStr>,
}

impl Stanza for Presence {
    fn write(&self, out: &mut Writer) {
        out.open(w::PRESENCE);
        out.word(w::TYPE, if self.is_available { w::AVAILABLE } else { w::UNAVAILABLE });
        out.text_if(w::NAME, self.push_name.as_deref());
        out.close();
    }
}

/// Asks to be told when somebody comes online.
#[derive(Clone, PartialEq, Eq)]
pub struct PresenceSubscription {
    /// Who.
    pub to: Jid,
    /// The token that proves their trust; without one the server may tell nothing.
    pub token: Option<Bytes>,
}

impl Stanza for PresenceSubscription {
    fn write(&self, out: &mut Writer) {
        out.open(w::PRESENCE);
        out.word(w::TYPE, w::SUBSCRIBE);
        out.jid(w::TO, &self.to);
        if let Some(token) = &self.token {
            out.leaf(w::TCTOKEN, token);
        }
        out.close();
    }
}

super::opaque_debug!(Presence, PresenceSubscription);

/// What somebody does in a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Typing {
    /// Typing.
    Composing,
    /// Recording a voice message.
    Recording,
    /// Neither.
    Paused,
}

/// Somebody started or stopped typing or recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncomingChatState {
    /// The chat: a user or a group.
    pub from: Jid,
    /// Who, in a group.
    pub participant: Option<Jid>,
    /// What they do now.
    pub state: Typing,
}

impl IncomingChatState {
    pub(super) fn parse(node: NodeRef<'_>) -> Result<Self, StanzaError> {
        let state = match node.child(w::COMPOSING) {
            Some(composing) if composing.has(w::MEDIA, w::AUDIO) => Typing::Recording,
            Some(_) => Typing::Composing,
            None => read::need_child(node, w::PAUSED).map(|_| Typing::Paused)?,
        };
        Ok(Self { from: read::need_jid(node, w::FROM)?, participant: read::jid(node, w::PARTICIPANT)?, state })
    }
}

/// Tells a chat what the user of this device does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatState {
    /// The chat.
    pub to: Jid,
    /// What the user does now.
    pub state: Typing,
}

impl Stanza for ChatState {
    fn write(&self, out: &mut Writer) {
        out.open(w::CHATSTATE);
        out.jid(w::TO, &self.to);
        out.open(if self.state == Typing::Paused { w::PAUSED } else { w::COMPOSING });
        if self.state == Typing::Recording {
            out.word(w::MEDIA, w::AUDIO);
        }
        out.close();
        out.close();
    }
}
