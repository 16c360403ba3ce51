//! Tokens by which contacts prove to the server that they know each other.

use super::{PrivacyToken, Request, StanzaError, iq, word as w};
use crate::binary::{NodeRef, Writer};
use crate::types::Jid;

/// Issues a token to a contact. The server makes it up and brings it to the contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssueToken {
    /// The contact, by LID where one is known.
    pub user: Jid,
    /// When, in seconds since 1970.
    pub timestamp: u64,
}

impl Request for IssueToken {
    /// The tokens that contacts have issued to this account, where the server says so.
    type Reply = Vec<(Jid, PrivacyToken)>;

    fn write(&self, id: &str, out: &mut Writer) {
        iq::open(out, id, w::SET, w::PRIVACY);
        out.open(w::TOKENS);
        out.open(w::TOKEN);
        out.jid(w::JID, &self.user);
        out.number(w::T, self.timestamp);
        out.word(w::TYPE, w::TRUSTED_CONTACT);
        out.close();
        out.close();
        out.close();
    }

    fn parse(answer: NodeRef<'_>) -> Result<Self::Reply, StanzaError> {
        let tokens = answer.child(w::TOKENS).into_iter().flat_map(|tokens| tokens.children_named(w::TOKEN));
        Ok(tokens.filter_map(|token| Some((token.jid(w::JID)?, PrivacyToken::parse(token)?))).collect())
    }
}
