//! User queries: which devices users have, and under which LID they are known.

use super::{IqError, KeyIndexList, ListedDevice, Request, StanzaError, iq, read, word as w};
use crate::binary::{NodeRef, Writer};
use crate::types::{Jid, Username};
use smol_str::SmolStr;

/// Asks for the devices of users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceQuery {
    /// Names the query; made like the ids of requests.
    pub sid: SmolStr,
    /// What it is for.
    pub context: QueryContext,
    /// Whether to ask for the users' LIDs, too.
    pub with_lid: bool,
    /// The users.
    pub users: Vec<QueriedUser>,
}

/// A user whose devices are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueriedUser {
    /// The user, without device.
    pub jid: Jid,
    /// What is known already, so that an unchanged list need not be repeated.
    pub known: Option<KnownDevices>,
}

/// What is known of a user's device list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownDevices {
    /// Hash of the devices.
    pub hash: SmolStr,
    /// When the signed list was made.
    pub timestamp: u64,
    /// When the server expected it to be made.
    pub expected: Option<u64>,
}

impl From<Jid> for QueriedUser {
    fn from(jid: Jid) -> Self {
        Self { jid, known: None }
    }
}

/// What a user query is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum QueryContext {
    /// To send a message.
    Message,
    /// Somebody is waiting for the answer.
    Interactive,
    /// To keep data fresh.
    Background,
    /// A notification called for it.
    Notification,
}

/// What the server knows of users' devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceLists {
    /// Users in the server's order; one it does not know may be missing.
    pub users: Vec<UserDevices>,
    /// Why the server gives no device lists at all.
    pub error: Option<IqError>,
}

/// What the server knows of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserDevices {
    /// The user, as asked for.
    pub jid: Jid,
    /// The user's LID, if it was asked for and there is one.
    pub lid: Option<Jid>,
    /// The user's name, if the server states it.
    pub username: Option<Username>,
    /// The devices.
    pub devices: DeviceAnswer,
}

/// What the server says of one user's devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceAnswer {
    /// The list.
    List(DeviceList),
    /// The list has not changed, or the user has none.
    Absent,
    /// The server refuses.
    Refused(IqError),
    /// The list does not say what it must.
    Malformed(StanzaError),
}

/// A user's devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceList {
    /// Hash of the devices.
    pub hash: Option<SmolStr>,
    /// The devices.
    pub devices: Vec<ListedDevice>,
    /// The primary's signed statement about them.
    pub key_index_list: Option<KeyIndexList>,
}

impl Request for DeviceQuery {
    type Reply = DeviceLists;

    fn write(&self, id: &str, out: &mut Writer) {
        iq::open(out, id, w::GET, w::USYNC);
        out.open(w::USYNC);
        out.text(w::SID, &self.sid);
        out.word(w::MODE, w::QUERY);
        out.word(w::LAST, w::TRUE);
        out.number(w::INDEX, 0);
        out.text(w::CONTEXT, self.context.as_str());
        out.open(w::QUERY);
        out.open(w::DEVICES);
        out.word(w::VERSION, w::TWO);
        out.close();
        if self.with_lid {
            iq::empty(out, w::LID);
        }
        out.close();
        out.open(w::LIST);
        out.expect_children(self.users.len());
        for user in &self.users {
            user.write(out);
        }
        out.close();
        out.close();
        out.close();
    }

    fn parse(answer: NodeRef<'_>) -> Result<DeviceLists, StanzaError> {
        let usync = read::need_child(answer, w::USYNC)?;
        let result = usync.child(w::RESULT).and_then(|result| result.child(w::DEVICES));
        let error = result.and_then(|devices| devices.child(w::ERROR)).map(IqError::parse);
        let users = match usync.child(w::LIST) {
            Some(list) => list.children_named(w::USER).map(UserDevices::parse).collect::<Result<_, _>>()?,
            None if error.is_some() => Vec::new(),
            None => return Err(StanzaError::missing_child(w::LIST)),
        };
        Ok(DeviceLists { users, error })
    }
}

impl QueriedUser {
    fn write(&self, out: &mut Writer) {
        out.open(w::USER);
        out.jid(w::JID, &self.jid);
        if let Some(known) = &self.known {
            out.open(w::DEVICES);
            out.text(w::DEVICE_HASH, &known.hash);
            out.number(w::TS, known.timestamp);
            out.number_if(w::EXPECTED_TS, known.expected);
            out.close();
        }
        out.close();
    }
}

impl QueryContext {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Interactive => "interactive",
            Self::Background => "background",
            Self::Notification => "notification",
        }
    }
}

impl UserDevices {
    fn parse(user: NodeRef<'_>) -> Result<Self, StanzaError> {
        let devices = match user.child(w::DEVICES) {
            None => DeviceAnswer::Absent,
            Some(devices) => match devices.child(w::ERROR) {
                Some(error) => DeviceAnswer::Refused(IqError::parse(error)),
                None => DeviceList::parse(devices).unwrap_or_else(DeviceAnswer::Malformed),
            },
        };
        let lid = user.child(w::LID).and_then(|lid| lid.jid(w::VAL));
        let username = user.child(w::USERNAME).and_then(|name| name.content_text());
        let username = username.and_then(|name| Username::parse(&name));
        Ok(Self { jid: read::need_jid(user, w::JID)?, lid, username, devices })
    }
}

impl DeviceList {
    fn parse(devices: NodeRef<'_>) -> Result<DeviceAnswer, StanzaError> {
        let Some(list) = devices.child(w::DEVICE_LIST) else { return Ok(DeviceAnswer::Absent) };
        Ok(DeviceAnswer::List(Self {
            hash: read::text(list, w::HASH),
            devices: list.children_named(w::DEVICE).map(ListedDevice::parse).collect::<Result<_, _>>()?,
            key_index_list: KeyIndexList::parse_in(devices),
        }))
    }
}
