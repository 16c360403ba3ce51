//! Small readings of received nodes that the families here share.

use std::io::Write;

use bytes::{Bytes, BytesMut};
use flate2::Compression;
use flate2::write::ZlibEncoder;

use crate::binary::{Content, Node, Value};

pub(super) trait Look {
    /// Whether the tag is `tag`.
    fn is(&self, tag: &str) -> bool;
    /// The content as exactly `N` bytes.
    fn array<const N: usize>(&self) -> Option<[u8; N]>;
    /// The attribute `key` as a text of its own.
    fn owned(&self, key: &str) -> Option<String>;
    /// About how many bytes of memory the node takes.
    fn weight(&self) -> usize;
}

impl Look for Node {
    fn is(&self, tag: &str) -> bool {
        self.tag == tag
    }

    fn array<const N: usize>(&self) -> Option<[u8; N]> {
        self.bytes()?.as_ref().try_into().ok()
    }

    fn owned(&self, key: &str) -> Option<String> {
        self.text(key).map(std::borrow::Cow::into_owned)
    }

    fn weight(&self) -> usize {
        let attrs = self.attrs.iter().map(|(_, value)| match value {
            Value::Text(text) => ENTRY + text.len(),
            Value::Jid(jid) => ENTRY + jid.user().len(),
        });
        let content = match &self.content {
            Content::Absent | Content::Jid(_) => 0,
            // Decoded nodes are at most 128 deep.
            Content::Nodes(nodes) => nodes.iter().map(Self::weight).sum(),
            Content::Bytes(bytes) => bytes.len(),
            Content::Text(text) => text.len(),
        };
        ENTRY + attrs.sum::<usize>() + content
    }
}

/// What an attribute or node costs besides its text.
const ENTRY: usize = 96;

/// A frame, with room for its length, whose node is compressed.
pub(super) fn compressed(frame: &[u8]) -> BytesMut {
    let mut encoder = ZlibEncoder::new(vec![0, 0, 0, COMPRESSED], Compression::fast());
    let body = frame.get(1..).unwrap_or_default();
    // Writing into a vector cannot fail.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default().as_slice().into()
}

/// The frame with one bit flipped at its end.
pub(super) fn corrupted(frame: &[u8]) -> Bytes {
    let mut bytes = BytesMut::from(frame);
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    bytes.freeze()
}

/// Flag byte of a frame whose node is a zlib stream.
const COMPRESSED: u8 = 2;
