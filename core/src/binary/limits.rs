//! What a decoder is told besides the bytes.

use super::MOST_DEPTH;

/// Which end of the connection this is. Only matters for `interop` addresses, whose form depends on the direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A client: reads `interop` addresses with their server, writes them without.
    Client,
    /// A server: the other way round.
    Server,
}

/// Where decoding of one frame stops with an error. A frame of n bytes never costs more than 16n bytes of memory besides.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DecodeLimits {
    /// Nodes per frame.
    pub nodes: u32,
    /// Attributes per frame.
    pub attributes: u32,
    /// Nodes inside one another; never more than 128.
    pub depth: usize,
    /// Bytes after inflating; never more than 16 MiB.
    pub inflated: usize,
}

impl DecodeLimits {
    /// Limits that no real stanza comes near.
    pub const DEFAULT: Self = Self { nodes: 262_144, attributes: 524_288, depth: MOST_DEPTH, inflated: LARGEST_BODY };
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Longest node encoding that is read; lengths in a tape have 24 bits.
pub(super) const LARGEST_BODY: usize = 1 << 24;
