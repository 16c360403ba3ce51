//! Requests and answers: every request is one type, paired with the type of its answer.
//!
//! Which request an id belongs to, and how long to wait, is not known here.

use super::{StanzaError, read, word as w};
use crate::binary::{EncodeError, NodeRef, Plain, Role, Word, Writer};
use crate::types::Jid;
use smol_str::SmolStr;

/// A request to the server and the meaning of its answer.
pub trait Request {
    /// What a successful answer says.
    type Reply;

    /// Writes the request under the id `id`.
    fn write(&self, id: &str, out: &mut Writer);

    /// Reads a successful answer. Fails if it does not say what it must.
    fn parse(answer: NodeRef<'_>) -> Result<Self::Reply, StanzaError>;

    /// The request, ready to be sealed. Fails only for addresses that cannot be written or if it is too long.
    fn plain(&self, id: &str) -> Result<Plain, EncodeError> {
        let mut out = Writer::new(Role::Client);
        self.write(id, &mut out);
        out.finish()
    }
}

/// A stanza that expects no answer of its own kind, or is one.
pub trait Stanza {
    /// Writes it.
    fn write(&self, out: &mut Writer);

    /// The stanza, ready to be sealed. Fails only for addresses that cannot be written or if it is too long.
    fn plain(&self) -> Result<Plain, EncodeError> {
        let mut out = Writer::with_capacity(Role::Client, self.size_hint());
        self.write(&mut out);
        out.finish()
    }

    /// About how many bytes it takes.
    fn size_hint(&self) -> usize {
        240
    }
}

/// The server's answer to some request. What a success says is read by [`Request::parse`] of that request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The id of the request.
    pub id: SmolStr,
    /// The server's clock, in seconds since 1970, where it says so.
    pub time: Option<u64>,
    /// Why the server refuses, if it does.
    pub error: Option<IqError>,
}

/// Why the server refuses a request, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server refuses: {code} {text}")]
pub struct IqError {
    /// The code, as in HTTP; 0 if it is absent.
    pub code: u32,
    /// The server's word for it; may be empty.
    pub text: SmolStr,
    /// Seconds to wait before trying again.
    pub backoff: Option<u64>,
}

impl Answer {
    /// Reads an `iq` of type `result` or `error`.
    pub(super) fn parse(node: NodeRef<'_>) -> Result<Self, StanzaError> {
        let error = if node.has(w::TYPE, w::ERROR) {
            Some(node.child(w::ERROR).map_or_else(IqError::unexplained, IqError::parse))
        } else {
            None
        };
        Ok(Self { id: read::need_id(node, w::ID)?, time: node.number(w::T), error })
    }
}

impl IqError {
    /// Reads an `error` node.
    pub(super) fn parse(node: NodeRef<'_>) -> Self {
        Self {
            code: read::short_number(node, w::CODE).unwrap_or(0),
            text: read::text(node, w::TEXT).unwrap_or_default(),
            backoff: node.number(w::BACKOFF),
        }
    }

    fn unexplained() -> Self {
        Self { code: 0, text: SmolStr::default(), backoff: None }
    }
}

/// Success of a request that asks for nothing. Answers a server's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmptyResult {
    /// The id of the request.
    pub id: SmolStr,
    /// Who asked.
    pub to: Jid,
}

impl Stanza for EmptyResult {
    fn write(&self, out: &mut Writer) {
        out.open(w::IQ);
        out.word(w::TYPE, w::RESULT);
        out.jid(w::TO, &self.to);
        out.text(w::ID, &self.id);
        out.close();
    }
}

/// Refusal of a server's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The id of the request.
    pub id: SmolStr,
    /// Who asked.
    pub to: Jid,
    /// The code, as in HTTP.
    pub code: u32,
    /// The protocol's word for it.
    pub text: &'static str,
}

impl Stanza for Refusal {
    fn write(&self, out: &mut Writer) {
        out.open(w::IQ);
        out.word(w::TYPE, w::ERROR);
        out.jid(w::TO, &self.to);
        out.text(w::ID, &self.id);
        out.open(w::ERROR);
        out.number(w::CODE, self.code.into());
        out.text(w::TEXT, self.text);
        out.close();
        out.close();
    }
}

/// Opens a request to the server itself.
pub(super) fn open(out: &mut Writer, id: &str, kind: Word, namespace: Word) {
    open_to(out, id, kind, namespace, &Jid::server_itself());
}

/// Opens a request to `to`.
pub(super) fn open_to(out: &mut Writer, id: &str, kind: Word, namespace: Word, to: &Jid) {
    out.open(w::IQ);
    out.text(w::ID, id);
    out.word(w::XMLNS, namespace);
    out.word(w::TYPE, kind);
    out.jid(w::TO, to);
}

/// Writes a node without attributes or content.
pub(super) fn empty(out: &mut Writer, tag: Word) {
    out.open(tag);
    out.close();
}
