//! The account's restriction: what the server says when it lets an account begin no new chats for a while. Asked for and
//! told in the server's query language.

use super::{Request, StanzaError, iq, word as w};
use crate::binary::{NodeRef, Writer};
use smol_str::SmolStr;

/// Asks whether the account is restricted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestrictionQuery;

/// Whether the account is restricted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRestriction {
    /// Whether it is now.
    pub is_active: bool,
    /// Until when, in seconds since 1970.
    pub until: Option<u64>,
    /// The server's word for the kind.
    pub kind: SmolStr,
}

/// The query's name at the server.
const DOCUMENT: &str = "23983697327930364";

impl Request for RestrictionQuery {
    type Reply = AccountRestriction;

    fn write(&self, id: &str, out: &mut Writer) {
        iq::open(out, id, w::GET, w::W_MEX);
        out.open(w::QUERY);
        out.text(w::QUERY_ID, DOCUMENT);
        out.content(br#"{"variables":{},"queryId":"23983697327930364"}"#);
        out.close();
        out.close();
    }

    fn parse(answer: NodeRef<'_>) -> Result<AccountRestriction, StanzaError> {
        let bytes = answer.child(w::RESULT).and_then(|result| result.bytes());
        let text = bytes.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok());
        text.and_then(AccountRestriction::read).ok_or(StanzaError::bad_content(w::RESULT))
    }
}

impl AccountRestriction {
    /// Reads an `update` of a notification, if it is about this.
    pub(super) fn parse_update(node: NodeRef<'_>) -> Option<Self> {
        let update = node.child(w::UPDATE)?;
        if update.text(w::OP_NAME)? != "NotificationUserReachoutTimelockUpdate" {
            return None;
        }
        Self::read(std::str::from_utf8(&update.bytes()?).ok()?)
    }

    /// The query and the notification put the same three members under different roots, so they are taken from wherever
    /// they stand. Numbers come with and without quotes.
    fn read(json: &str) -> Option<Self> {
        let is_active = member(json, "is_active")? == "true";
        let until = member(json, "time_enforcement_ends").and_then(|text| text.parse().ok()).filter(|until| *until > 0);
        let kind = member(json, "enforcement_type").filter(|kind| *kind != "null").unwrap_or_default().into();
        Some(Self { is_active, until, kind })
    }
}

/// The plain value of the member `name`, without its quotes.
fn member<'j>(json: &'j str, name: &str) -> Option<&'j str> {
    let (_, behind) = json.split_once(&format!("\"{name}\""))?;
    let value = behind.trim_start().strip_prefix(':')?.trim_start();
    match value.strip_prefix('"') {
        Some(text) => text.split('"').next(),
        None => value.split([',', '}', ']']).next().map(str::trim),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_read_wherever_its_members_stand() {
        let root = r#"{"data":{"xwa2_fetch_account_reachout_timelock":{"is_active":true,"time_enforcement_ends":"1790000000","enforcement_type":"DEFAULT"}}}"#;
        let expected = AccountRestriction { is_active: true, until: Some(1_790_000_000), kind: "DEFAULT".into() };
        assert_eq!(AccountRestriction::read(root), Some(expected));
        let bare = r#"{ "enforcement_type" : null , "time_enforcement_ends" : 0, "is_active" : false }"#;
        let expected = AccountRestriction { is_active: false, until: None, kind: "".into() };
        assert_eq!(AccountRestriction::read(bare), Some(expected));
        for other in ["", "{}", r#"{"data":null,"errors":[{"message":"unknown"}]}"#, r#""is_active""#] {
            assert_eq!(AccountRestriction::read(other), None, "{other}");
        }
    }
}
