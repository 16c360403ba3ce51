//! Every stanza that the server sends, as one type.

use super::{
    Answer, Failure, IncomingAck, IncomingCall, IncomingChatState, IncomingMessage, IncomingPresence, IncomingReceipt,
    InfoBroadcast, Notification, PairDevice, PairSuccess, ReturnAddress, StanzaError, StreamError, Success, read,
    word as w,
};
use crate::binary::{NodeRef, Tape};
use crate::types::Jid;
use smol_str::SmolStr;

/// A stanza from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Incoming {
    /// The login is accepted.
    Success(Success),
    /// The login is refused.
    Failure(Failure),
    /// The stream ends, for a reason.
    StreamError(StreamError),
    /// The stream ends.
    StreamEnd,
    /// News for this connection.
    Ib(Vec<InfoBroadcast>),
    /// The answer to a request. Read the tape again with [`Request::parse`](super::Request::parse) of that request.
    Answer(Answer),
    /// The server asks for something.
    Request(ServerRequest),
    /// A message.
    Message(Box<IncomingMessage>),
    /// A receipt.
    Receipt(Box<IncomingReceipt>),
    /// An acknowledgement.
    Ack(Box<IncomingAck>),
    /// A notification.
    Notification(Box<Notification>),
    /// A signal of a call.
    Call(Box<IncomingCall>),
    /// Somebody's presence.
    Presence(IncomingPresence),
    /// Somebody's typing.
    ChatState(IncomingChatState),
    /// A tag this version does not know.
    Unknown {
        /// The tag.
        tag: SmolStr,
        /// How to refuse it, if it can be answered.
        address: Option<ReturnAddress>,
    },
}

/// Something the server asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerRequest {
    /// To be repeated in the answer.
    pub id: SmolStr,
    /// Whom to answer.
    pub from: Jid,
    /// The server's clock, in seconds since 1970, where it says so.
    pub time: Option<u64>,
    /// What it asks for.
    pub kind: ServerRequestKind,
}

/// What the server asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerRequestKind {
    /// A sign of life. Answered with an empty result.
    Ping,
    /// To show codes for linking. Answered with an empty result.
    PairDevice(PairDevice),
    /// To complete the link.
    PairSuccess(Box<PairSuccess>),
    /// Something this version does not know. Refused with 501.
    Other {
        /// The namespace.
        namespace: SmolStr,
    },
}

impl Incoming {
    /// Reads a stanza. Fails if it does not say what its tag requires; [`ReturnAddress::parse`] then finds out how to
    /// refuse it, so that the server does not send it for ever.
    pub fn parse(tape: &Tape) -> Result<Self, StanzaError> {
        let node = tape.root();
        if node.is(w::MESSAGE) || node.is(w::STATUS) {
            return IncomingMessage::parse(node).map(|message| Self::Message(Box::new(message)));
        }
        if node.is(w::RECEIPT) {
            return IncomingReceipt::parse(node).map(|receipt| Self::Receipt(Box::new(receipt)));
        }
        if node.is(w::IQ) {
            return Self::parse_iq(node);
        }
        if node.is(w::ACK) {
            return IncomingAck::parse(node).map(|ack| Self::Ack(Box::new(ack)));
        }
        if node.is(w::NOTIFICATION) {
            return Notification::parse(node).map(|notification| Self::Notification(Box::new(notification)));
        }
        if node.is(w::PRESENCE) {
            return IncomingPresence::parse(node).map(Self::Presence);
        }
        if node.is(w::CHATSTATE) {
            return IncomingChatState::parse(node).map(Self::ChatState);
        }
        if node.is(w::CALL) {
            return IncomingCall::parse(node).map(|call| Self::Call(Box::new(call)));
        }
        if node.is(w::IB) {
            return Ok(Self::Ib(InfoBroadcast::parse(node)));
        }
        if node.is(w::SUCCESS) {
            return Success::parse(node).map(Self::Success);
        }
        if node.is(w::FAILURE) {
            return Ok(Self::Failure(Failure::parse(node)));
        }
        if node.is(w::STREAM_ERROR) {
            return Ok(Self::StreamError(StreamError::parse(node)));
        }
        if node.is(w::STREAM_END) {
            return Ok(Self::StreamEnd);
        }
        Ok(Self::Unknown { tag: node.tag().into(), address: ReturnAddress::parse(node).ok() })
    }

    fn parse_iq(node: NodeRef<'_>) -> Result<Self, StanzaError> {
        if node.has(w::TYPE, w::RESULT) || node.has(w::TYPE, w::ERROR) {
            return Answer::parse(node).map(Self::Answer);
        }
        ServerRequest::parse(node).map(Self::Request)
    }
}

impl ServerRequest {
    fn parse(node: NodeRef<'_>) -> Result<Self, StanzaError> {
        Ok(Self {
            id: read::need_id(node, w::ID)?,
            from: read::jid(node, w::FROM)?.unwrap_or_else(Jid::server_itself),
            time: node.number(w::T),
            kind: ServerRequestKind::parse(node)?,
        })
    }
}

impl ServerRequestKind {
    fn parse(node: NodeRef<'_>) -> Result<Self, StanzaError> {
        if node.has(w::XMLNS, w::PING_NAMESPACE) || node.child(w::PING).is_some() {
            return Ok(Self::Ping);
        }
        if node.has(w::XMLNS, w::MD) {
            if let Some(offer) = node.child(w::PAIR_DEVICE) {
                return PairDevice::parse(offer).map(Self::PairDevice);
            }
            if let Some(success) = node.child(w::PAIR_SUCCESS) {
                return PairSuccess::parse(success).map(|success| Self::PairSuccess(Box::new(success)));
            }
        }
        Ok(Self::Other { namespace: read::text(node, w::XMLNS).unwrap_or_default() })
    }
}
