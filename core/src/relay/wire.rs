//! Small readings of received nodes that the families here share.

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

/// The frame with its node compressed.
pub(super) fn compressed(frame: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::ZlibEncoder::new(vec![COMPRESSED], flate2::Compression::fast());
    let body = frame.get(1..).unwrap_or_default();
    // Writing into a vector cannot fail; an uncompressed frame would be right as well.
    match encoder.write_all(body).and_then(|()| encoder.finish()) {
        Ok(bytes) => bytes,
        Err(_) => frame.to_vec(),
    }
}

/// Flag byte of a frame whose node is a zlib stream.
const COMPRESSED: u8 = 2;
