//! Parts of nodes that must be there, or may be.

use super::StanzaError;
use crate::binary::{NodeRef, Word};
use crate::types::{Jid, Username};
use bytes::Bytes;
use smol_str::SmolStr;

pub(super) fn text(node: NodeRef<'_>, key: Word) -> Option<SmolStr> {
    node.text(key).map(SmolStr::from)
}

pub(super) fn need_text(node: NodeRef<'_>, key: Word) -> Result<SmolStr, StanzaError> {
    text(node, key).ok_or(StanzaError::missing_attribute(key))
}

/// An id: a text that is not empty.
pub(super) fn need_id(node: NodeRef<'_>, key: Word) -> Result<SmolStr, StanzaError> {
    let id = need_text(node, key)?;
    if id.is_empty() { Err(StanzaError::bad_attribute(key)) } else { Ok(id) }
}

/// An address; absent is fine, malformed is not, since answering without it would go to somebody else.
pub(super) fn jid(node: NodeRef<'_>, key: Word) -> Result<Option<Jid>, StanzaError> {
    match node.attr(key) {
        None => Ok(None),
        Some(value) => value.jid().map(Some).ok_or(StanzaError::bad_attribute(key)),
    }
}

pub(super) fn need_jid(node: NodeRef<'_>, key: Word) -> Result<Jid, StanzaError> {
    jid(node, key)?.ok_or(StanzaError::missing_attribute(key))
}

pub(super) fn need_number(node: NodeRef<'_>, key: Word) -> Result<u64, StanzaError> {
    let value = node.attr(key).ok_or(StanzaError::missing_attribute(key))?;
    value.number().ok_or(StanzaError::bad_attribute(key))
}

/// A name; absent if it is not one, since nothing depends on it.
pub(super) fn username(node: NodeRef<'_>, key: Word) -> Option<Username> {
    Username::parse(&node.text(key)?)
}

/// A number of 32 bits; absent if it is not one.
pub(super) fn short_number(node: NodeRef<'_>, key: Word) -> Option<u32> {
    u32::try_from(node.number(key)?).ok()
}

pub(super) fn need_child<'t>(node: NodeRef<'t>, tag: Word) -> Result<NodeRef<'t>, StanzaError> {
    node.child(tag).ok_or(StanzaError::missing_child(tag))
}

/// The bytes of the child `tag`.
pub(super) fn child_bytes(node: NodeRef<'_>, tag: Word) -> Option<Bytes> {
    node.child(tag)?.bytes()
}

pub(super) fn need_child_bytes(node: NodeRef<'_>, tag: Word) -> Result<Bytes, StanzaError> {
    need_child(node, tag)?.bytes().ok_or(StanzaError::bad_content(tag))
}

/// The exactly `N` bytes of the child `tag`.
pub(super) fn need_child_array<const N: usize>(node: NodeRef<'_>, tag: Word) -> Result<[u8; N], StanzaError> {
    need_child(node, tag)?.array().ok_or(StanzaError::bad_content(tag))
}

/// The big-endian number in the child `tag`.
pub(super) fn need_child_number(node: NodeRef<'_>, tag: Word) -> Result<u32, StanzaError> {
    need_child(node, tag)?.big_endian().ok_or(StanzaError::bad_content(tag))
}
