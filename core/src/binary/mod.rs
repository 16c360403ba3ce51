//! The packed node format: tokens, strings, addresses, nodes. Knows nothing of what any stanza means.
//!
//! Received frames become a [`Tape`], read through [`NodeRef`]; outgoing stanzas write themselves with a [`Writer`].
//! [`Node`] is the owned tree for whoever builds or keeps nodes of any shape.

mod decode;
mod inflate;
mod jid;
mod limits;
mod node;
mod node_ref;
mod packed;
mod stack;
mod string;
mod tape;
mod text;
mod token;
mod writer;

pub use decode::DecodeError;
pub use limits::{DecodeLimits, Role};
pub use node::{Content, Node, Value};
pub use node_ref::{Children, NodeRef, ValueRef};
pub use tape::Tape;
pub use text::{Redacted, Revealed};
pub use token::Word;
pub use writer::{EncodeError, Plain, Writer};

/// The bytes that begin a value, other than token numbers.
mod tag {
    pub(super) const LIST_EMPTY: u8 = 0x00;
    pub(super) const LAST_SINGLE: u8 = 0xEB;
    pub(super) const DICTIONARY_0: u8 = 0xEC;
    pub(super) const DICTIONARY_3: u8 = 0xEF;
    pub(super) const INTEROP_JID: u8 = 0xF5;
    pub(super) const FB_JID: u8 = 0xF6;
    pub(super) const AD_JID: u8 = 0xF7;
    pub(super) const LIST_8: u8 = 0xF8;
    pub(super) const LIST_16: u8 = 0xF9;
    pub(super) const JID_PAIR: u8 = 0xFA;
    pub(super) const HEX_8: u8 = 0xFB;
    pub(super) const BINARY_8: u8 = 0xFC;
    pub(super) const BINARY_20: u8 = 0xFD;
    pub(super) const BINARY_32: u8 = 0xFE;
    pub(super) const NIBBLE_8: u8 = 0xFF;
}

/// Bit of the flag byte that says the node is a zlib stream.
const FLAG_COMPRESSED: u8 = 0x02;

/// Most nodes inside one another, as the web client limits them.
const MOST_DEPTH: usize = 128;

#[cfg(test)]
mod tests;
