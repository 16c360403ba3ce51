//! Ciphertexts and their kinds.

use super::word as w;
use crate::binary::{NodeRef, Word, Writer};
use bytes::Bytes;
use smol_str::SmolStr;

/// A ciphertext and what made it.
#[derive(Clone, PartialEq, Eq)]
pub struct Ciphertext {
    /// What made it.
    pub kind: EncKind,
    /// The bytes, still encrypted.
    pub bytes: Bytes,
}

/// What made a ciphertext.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncKind {
    /// `msg`: a session.
    Message,
    /// `pkmsg`: a session whose other side may not know it yet.
    PreKeyMessage,
    /// `skmsg`: a group's sender key.
    SenderKeyMessage,
    /// `msmsg`: a key derived from an earlier message's secret.
    MessageSecret,
    /// A kind this version does not know.
    Other(SmolStr),
}

impl EncKind {
    pub(super) fn parse(node: NodeRef<'_>) -> Option<Self> {
        let kind = node.attr(w::TYPE)?;
        Some(if kind.is(w::MSG) {
            Self::Message
        } else if kind.is(w::PKMSG) {
            Self::PreKeyMessage
        } else if kind.is(w::SKMSG) {
            Self::SenderKeyMessage
        } else if kind.is(w::MSMSG) {
            Self::MessageSecret
        } else {
            Self::Other(kind.text().into())
        })
    }

    fn write(&self, key: Word, out: &mut Writer) {
        match self {
            Self::Message => out.word(key, w::MSG),
            Self::PreKeyMessage => out.word(key, w::PKMSG),
            Self::SenderKeyMessage => out.word(key, w::SKMSG),
            Self::MessageSecret => out.word(key, w::MSMSG),
            Self::Other(kind) => out.text(key, kind),
        }
    }
}

/// What stands beside the ciphertexts of one message.
#[derive(Clone, Copy, Default)]
pub(super) struct EncAttributes<'m> {
    pub(super) media_type: Option<&'m str>,
    pub(super) hide_failure: bool,
    pub(super) count: Option<u32>,
}

impl Ciphertext {
    /// Whether the receiver needs the sender's device identity to read it.
    #[must_use]
    pub fn is_pre_key(&self) -> bool {
        self.kind == EncKind::PreKeyMessage
    }

    pub(super) fn write(&self, attributes: EncAttributes<'_>, out: &mut Writer) {
        out.open(w::ENC);
        // The version of the plaintext; it announces padding.
        out.word(w::V, w::TWO);
        self.kind.write(w::TYPE, out);
        out.number_if(w::COUNT, attributes.count.map(u64::from));
        out.text_if(w::MEDIATYPE, attributes.media_type);
        if attributes.hide_failure {
            out.word(w::DECRYPT_FAIL, w::HIDE);
        }
        out.content(&self.bytes);
        out.close();
    }
}

impl std::fmt::Debug for Ciphertext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ciphertext({:?}, {} bytes)", self.kind, self.bytes.len())
    }
}
