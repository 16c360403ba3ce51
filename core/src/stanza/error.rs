//! Why a node is not the stanza that its tag says.

use crate::binary::Word;

/// Why a node is not the stanza that its tag says. Names the part that is wrong, never its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StanzaError {
    /// An attribute is absent.
    #[error("the attribute {0} is absent")]
    MissingAttribute(&'static str),
    /// An attribute does not have the form that it must have.
    #[error("the attribute {0} is malformed")]
    BadAttribute(&'static str),
    /// A child is absent.
    #[error("the child {0} is absent")]
    MissingChild(&'static str),
    /// A node's content is absent or has the wrong form or length.
    #[error("the content of {0} is malformed")]
    BadContent(&'static str),
}

impl StanzaError {
    /// What is wrong, as a fixed phrase for counters and logs.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::MissingAttribute(_) => "an attribute is absent",
            Self::BadAttribute(_) => "an attribute is malformed",
            Self::MissingChild(_) => "a child is absent",
            Self::BadContent(_) => "content is malformed",
        }
    }

    pub(super) const fn missing_attribute(key: Word) -> Self {
        Self::MissingAttribute(key.as_str())
    }

    pub(super) const fn bad_attribute(key: Word) -> Self {
        Self::BadAttribute(key.as_str())
    }

    pub(super) const fn missing_child(tag: Word) -> Self {
        Self::MissingChild(tag.as_str())
    }

    pub(super) const fn bad_content(tag: Word) -> Self {
        Self::BadContent(tag.as_str())
    }
}
