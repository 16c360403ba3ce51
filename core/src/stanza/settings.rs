//! What a client asks for once it is logged in: server properties, the block list, privacy settings.

use super::{Request, StanzaError, iq, read, word as w};
use crate::binary::{NodeRef, Writer};
use crate::types::Jid;
use smol_str::SmolStr;

/// Asks for the server's properties.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PropsQuery {
    /// The hash of the properties that are known already.
    pub hash: Option<SmolStr>,
}

/// The server's properties: switches and numbers that steer clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Props {
    /// Names this state of them.
    pub hash: Option<SmolStr>,
    /// Opaque; announced at the next login.
    pub ab_key: Option<SmolStr>,
    /// Seconds until they should be asked for again.
    pub refresh: Option<u64>,
    /// Whether only what has changed is listed.
    pub is_delta: bool,
    /// Numbers and values.
    pub values: Vec<(u32, SmolStr)>,
}

impl Request for PropsQuery {
    type Reply = Props;

    fn write(&self, id: &str, out: &mut Writer) {
        iq::open(out, id, w::GET, w::ABT);
        out.open(w::PROPS);
        out.word(w::PROTOCOL, w::ONE);
        out.text_if(w::HASH, self.hash.as_deref());
        out.close();
        out.close();
    }

    fn parse(answer: NodeRef<'_>) -> Result<Props, StanzaError> {
        let props = read::need_child(answer, w::PROPS)?;
        let value =
            |prop: NodeRef<'_>| Some((read::short_number(prop, w::CONFIG_CODE)?, read::text(prop, w::CONFIG_VALUE)?));
        Ok(Props {
            hash: read::text(props, w::HASH),
            ab_key: read::text(props, w::AB_KEY),
            refresh: props.number(w::REFRESH),
            is_delta: props.has(w::DELTA_UPDATE, w::TRUE),
            // Sampling weights of telemetry share the tag; they have no such code.
            values: props.children_named(w::PROP).filter_map(value).collect(),
        })
    }
}

/// Asks whom the account blocks.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct BlocklistQuery {
    /// The hash of the list that is known already.
    pub hash: Option<SmolStr>,
}

/// Whom the account blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocklist {
    /// Names this state of the list.
    pub hash: Option<SmolStr>,
    /// The users.
    pub users: Vec<BlockedUser>,
}

/// A blocked user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockedUser {
    /// The user.
    pub jid: Jid,
    /// The same by phone number.
    pub pn: Option<Jid>,
}

impl Request for BlocklistQuery {
    /// `None` if the list has not changed.
    type Reply = Option<Blocklist>;

    fn write(&self, id: &str, out: &mut Writer) {
        iq::open(out, id, w::GET, w::BLOCKLIST);
        if let Some(hash) = &self.hash {
            out.open(w::ITEM);
            out.text(w::DHASH, hash);
            out.close();
        }
        out.close();
    }

    fn parse(answer: NodeRef<'_>) -> Result<Self::Reply, StanzaError> {
        let Some(list) = answer.child(w::LIST) else { return Ok(None) };
        let user = |item: NodeRef<'_>| Ok(BlockedUser { jid: read::need_jid(item, w::JID)?, pn: item.jid(w::PN_JID) });
        let users = list.children_named(w::ITEM).map(user).collect::<Result<_, _>>()?;
        Ok(Some(Blocklist { hash: read::text(list, w::DHASH), users }))
    }
}

/// Asks for the account's privacy settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrivacyQuery;

/// The account's privacy settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivacySettings {
    /// Names and values, in the server's words.
    pub categories: Vec<(SmolStr, SmolStr)>,
}

impl PrivacySettings {
    /// The value of the setting `name`.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.categories.iter().find(|(category, _)| category == name).map(|(_, value)| value.as_str())
    }

    /// Whether the account tells others what it has read; it does unless the settings say otherwise.
    #[must_use]
    pub fn sends_read_receipts(&self) -> bool {
        self.value("readreceipts") != Some("none")
    }
}

impl Request for PrivacyQuery {
    type Reply = PrivacySettings;

    fn write(&self, id: &str, out: &mut Writer) {
        iq::open(out, id, w::GET, w::PRIVACY);
        iq::empty(out, w::PRIVACY);
        out.close();
    }

    fn parse(answer: NodeRef<'_>) -> Result<PrivacySettings, StanzaError> {
        let category = |node: NodeRef<'_>| Some((read::text(node, w::NAME)?, read::text(node, w::VALUE)?));
        let categories = read::need_child(answer, w::PRIVACY)?.children_named(w::CATEGORY).filter_map(category);
        Ok(PrivacySettings { categories: categories.collect() })
    }
}
