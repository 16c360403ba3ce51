//! One identity per peer: phone number, LID and username are aliases of it, each with who said so and when.
//!
//! Sessions, sender keys and device lists are kept under the peer's own number, so that learning the second address of
//! a peer moves nothing: it is one more alias. Which statements are believed is decided in `flow`.

use super::record::{BadRecord, Stored, open, seal};
use crate::api::{Record, Space};
use crate::types::{Jid, Server, Username};
use bytes::Bytes;
use sha2::{Digest, Sha256};

const VERSION: u8 = 1;

/// Id of the record that numbers peers.
pub(crate) const COUNTER_ID: &[u8] = b"peers";

/// A peer's number, given at first contact and never reused. 0 is this account itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PeerId(pub(crate) u64);

impl PeerId {
    /// This account.
    pub(crate) const SELF: Self = Self(0);

    /// Record id of what belongs to the peer.
    pub(crate) fn record_id(self) -> Vec<u8> {
        self.0.to_be_bytes().to_vec()
    }

    /// Record id of what belongs to one device of the peer.
    pub(crate) fn device_id(self, device: u16) -> Vec<u8> {
        let mut id = self.record_id();
        id.extend_from_slice(&device.to_be_bytes());
        id
    }
}

/// Record id of the sender keys that one device has given for one group.
pub(crate) fn sender_key_id(group: &Jid, peer: PeerId, device: u16) -> Vec<u8> {
    let mut id = peer.device_id(device);
    id.extend_from_slice(group.to_string().as_bytes());
    id
}

/// What is known of a peer.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Peer {
    /// Address by phone number, without device.
    pub(crate) pn: Option<Jid>,
    /// Address by LID, without device.
    pub(crate) lid: Option<Jid>,
    /// The name the user has chosen.
    pub(crate) username: Option<Username>,
    /// Devices there may be a session with, ascending: stores are never scanned.
    pub(crate) devices: Vec<u16>,
    /// Addresses and names that were the peer's before, oldest first, by the ids of their alias records: a message that
    /// still uses one finds the peer, unless it has become somebody else's.
    pub(crate) former: Vec<Bytes>,
    /// Numbers of peers that turned out to be this one, oldest first. What is not moved when that turns out, because no
    /// index of it is kept (sender keys), is looked for under them.
    pub(crate) folded: Vec<PeerId>,
}

/// Former addresses that are remembered of a peer; the oldest are forgotten.
const MOST_FORMER: usize = 16;

/// Folded numbers that are remembered of a peer. Beyond it what was kept under the oldest counts as lost, and the
/// protocol repairs it: senders are asked again.
const MOST_FOLDED: usize = 8;

impl Peer {
    /// Remembers a former address; gives the one that has to be forgotten for it.
    pub(crate) fn remember_former(&mut self, id: Bytes) -> Option<Bytes> {
        if self.former.contains(&id) {
            return None;
        }
        self.former.push(id);
        if self.former.len() > MOST_FORMER { Some(self.former.remove(0)) } else { None }
    }

    /// Remembers that this peer was also known under the numbers `others`.
    pub(crate) fn remember_folded(&mut self, others: impl IntoIterator<Item = PeerId>) {
        for other in others {
            if !self.folded.contains(&other) {
                self.folded.push(other);
            }
        }
        let excess = self.folded.len().saturating_sub(MOST_FOLDED);
        self.folded.drain(..excess);
    }

    /// The ids of the alias records of all its addresses and names, former ones included.
    pub(crate) fn alias_ids(&self) -> impl Iterator<Item = Bytes> {
        let addresses = [&self.pn, &self.lid].into_iter().flatten().map(alias_id);
        let name = self.username.as_ref().map(username_id);
        addresses.chain(name).chain(self.former.iter().cloned())
    }
}

/// Bytes of an address that are the id of a record as they are; real addresses stay far below.
const LONGEST_ID: usize = 200;

/// The id of the record that says who `jid` belongs to. Each family of servers names one set of users.
///
/// Stores refuse long ids for good, and an address can be as long as whoever wrote it likes: one that is too long is
/// kept under its hash. No address has a `#` and no `@`.
pub(crate) fn alias_id(jid: &Jid) -> Bytes {
    let text = canonical(jid).to_string();
    if text.len() <= LONGEST_ID {
        return Bytes::from(text);
    }
    let mut id = vec![b'#'];
    id.extend_from_slice(&Sha256::digest(text.as_bytes()));
    Bytes::from(id)
}

/// The id of the record that says who has chosen `name`. No address begins with an `@`.
pub(crate) fn username_id(name: &Username) -> Bytes {
    Bytes::from(format!("@{}", name.folded()))
}

/// The one form of all addresses of a user in a family of servers.
pub(crate) fn canonical(jid: &Jid) -> Jid {
    match jid.server() {
        Server::Whatsapp | Server::Hosted | Server::LegacyUser => Jid::new(jid.user(), Server::Whatsapp),
        Server::Lid | Server::HostedLid => Jid::new(jid.user(), Server::Lid),
        _ => jid.to_user(),
    }
}

/// Where an address or a name leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Alias {
    pub(crate) peer: PeerId,
    pub(crate) claim: Claim,
}

/// Who said that an address is a peer's, and as of when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) source: AliasSource,
    /// In seconds since 1970.
    pub(crate) learned: u64,
}

impl Claim {
    /// Whether this counts where it contradicts `standing`: it does not know less, and is not older. What waited at the
    /// server for weeks does not undo what was learned since.
    pub(crate) fn supersedes(&self, standing: &Self) -> bool {
        self.source.authority() >= standing.source.authority() && self.learned >= standing.learned
    }

    /// Whether this is worth writing down where it only confirms `standing`.
    pub(crate) fn refreshes(&self, standing: &Self) -> bool {
        self.supersedes(standing)
            && (self.source.authority() > standing.source.authority() || self.learned - standing.learned > REFRESHED_S)
    }
}

/// A statement that is only made again is written down again when the one before is older than this, in seconds.
const REFRESHED_S: u64 = 24 * 3600;

/// Where a statement about an address comes from. The numbers are on disk: never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AliasSource {
    /// Nobody stated anything: a message came from it, or was sent to it.
    Met = 0,
    /// The server, beside a message or receipt.
    StanzaAttribute = 1,
    /// The server, asked for devices.
    Usync = 2,
    /// The server, at the login of this device.
    OwnLogin = 3,
    /// The server, when this device was linked.
    PairSuccess = 4,
    /// This account's phone, from its own table.
    PhoneMapping = 5,
    /// The server, in a notification.
    Notification = 6,
}

impl AliasSource {
    pub(super) const ALL: [Self; 7] = [
        Self::Met,
        Self::StanzaAttribute,
        Self::Usync,
        Self::OwnLogin,
        Self::PairSuccess,
        Self::PhoneMapping,
        Self::Notification,
    ];

    /// The server gives addresses out, so nobody knows better; the phone repeats what it was told at some time.
    const fn authority(self) -> u8 {
        match self {
            Self::Met => 0,
            Self::PhoneMapping => 1,
            Self::StanzaAttribute | Self::Usync | Self::OwnLogin | Self::PairSuccess | Self::Notification => 2,
        }
    }

    const fn number(self) -> u32 {
        self as u32
    }

    /// A source that a later version knows counts as none.
    fn of_number(number: u32) -> Self {
        Self::ALL.into_iter().find(|source| source.number() == number).unwrap_or(Self::Met)
    }
}

/// Numbers of peers. They are never used again, not even by the next account: a record that was left behind by mistake
/// must not become somebody else's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PeerCounter {
    /// The first one of this account; those before belonged to accounts that are gone.
    pub(crate) first: u64,
    /// The number the next new peer gets.
    pub(crate) next: u64,
}

impl Default for PeerCounter {
    fn default() -> Self {
        let first = PeerId::SELF.0 + 1;
        Self { first, next: first }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
struct PeerRecord {
    #[prost(string, optional, tag = "1")]
    pn: Option<String>,
    #[prost(string, optional, tag = "2")]
    lid: Option<String>,
    #[prost(uint32, repeated, tag = "3")]
    devices: Vec<u32>,
    #[prost(string, optional, tag = "4")]
    username: Option<String>,
    #[prost(bytes = "bytes", repeated, tag = "5")]
    former: Vec<Bytes>,
    #[prost(uint64, repeated, tag = "6")]
    folded: Vec<u64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AliasRecord {
    #[prost(uint64, tag = "1")]
    peer: u64,
    #[prost(uint64, tag = "2")]
    learned: u64,
    #[prost(uint32, tag = "3")]
    source: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CounterRecord {
    #[prost(uint64, tag = "1")]
    next: u64,
    #[prost(uint64, optional, tag = "2")]
    first: Option<u64>,
}

impl Stored for Peer {
    const SPACE: Space = Space::Peer;

    fn seal(&self) -> Record {
        let devices = self.devices.iter().map(|device| u32::from(*device)).collect();
        let text = |jid: &Option<Jid>| jid.as_ref().map(ToString::to_string);
        let record = PeerRecord {
            pn: text(&self.pn),
            lid: text(&self.lid),
            devices,
            username: self.username.as_ref().map(ToString::to_string),
            former: self.former.clone(),
            folded: self.folded.iter().map(|peer| peer.0).collect(),
        };
        seal(VERSION, &record)
    }

    fn open(record: &Record) -> Result<Self, BadRecord> {
        let found: PeerRecord = open(VERSION, record)?;
        let jid = |text: Option<String>| text.as_deref().map(Jid::parse).transpose().map_err(|_| BadRecord);
        let devices = found.devices.into_iter().map(u16::try_from).collect::<Result<_, _>>().map_err(|_| BadRecord)?;
        Ok(Self {
            pn: jid(found.pn)?,
            lid: jid(found.lid)?,
            username: found.username.as_deref().and_then(Username::parse),
            devices,
            former: found.former,
            folded: found.folded.into_iter().map(PeerId).collect(),
        })
    }
}

impl Stored for Alias {
    const SPACE: Space = Space::LidMap;

    fn seal(&self) -> Record {
        let Claim { source, learned } = self.claim;
        seal(VERSION, &AliasRecord { peer: self.peer.0, learned, source: source.number() })
    }

    fn open(record: &Record) -> Result<Self, BadRecord> {
        let found: AliasRecord = open(VERSION, record)?;
        let claim = Claim { source: AliasSource::of_number(found.source), learned: found.learned };
        Ok(Self { peer: PeerId(found.peer), claim })
    }
}

impl Stored for PeerCounter {
    const SPACE: Space = Space::Account;

    fn seal(&self) -> Record {
        let first = (self.first != Self::default().first).then_some(self.first);
        seal(VERSION, &CounterRecord { next: self.next, first })
    }

    fn open(record: &Record) -> Result<Self, BadRecord> {
        let found: CounterRecord = open(VERSION, record)?;
        Ok(Self { first: found.first.unwrap_or(Self::default().first), next: found.next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_ids_tell_peers_devices_and_groups_apart() {
        let (one, two) = (PeerId(1), PeerId(0x0102));
        assert_eq!(two.record_id(), [0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(one.device_id(0x0304), [0, 0, 0, 0, 0, 0, 0, 1, 3, 4]);
        let id = sender_key_id(&Jid::group("7"), one, 2);
        assert_eq!(id, [&one.device_id(2)[..], b"7@g.us"].concat());
    }

    #[test]
    fn the_oldest_former_address_is_given_back_when_there_are_too_many() {
        let mut peer = Peer::default();
        let id = |number: usize| Bytes::from(format!("{number}@lid"));
        for number in 0..MOST_FORMER {
            assert_eq!(peer.remember_former(id(number)), None);
        }
        assert_eq!(peer.remember_former(id(3)), None, "it is remembered already");
        assert_eq!(peer.former.len(), MOST_FORMER);
        assert_eq!(peer.remember_former(id(99)), Some(id(0)));
        assert_eq!(peer.former.len(), MOST_FORMER);
    }

    #[test]
    fn the_newest_folded_numbers_are_remembered_once_each() {
        let mut peer = Peer::default();
        peer.remember_folded([PeerId(1), PeerId(2), PeerId(1)]);
        assert_eq!(peer.folded, [PeerId(1), PeerId(2)]);
        peer.remember_folded((3..=10).map(PeerId));
        assert_eq!(peer.folded, (3..=10).map(PeerId).collect::<Vec<_>>());
    }

    #[test]
    fn every_address_and_name_of_a_peer_has_one_alias() {
        let mut peer = Peer { pn: Some(Jid::pn("1")), lid: Some(Jid::lid("2")), ..Peer::default() };
        peer.username = Username::parse("Ann");
        peer.remember_former(Bytes::from_static(b"3@lid"));
        let ids: Vec<Bytes> = peer.alias_ids().collect();
        assert_eq!(ids, ["1@s.whatsapp.net", "2@lid", "@ann", "3@lid"]);
        for same in [Server::Hosted, Server::LegacyUser] {
            assert_eq!(alias_id(&Jid::new("1", same).with_device(3)), ids[0]);
        }
        assert_eq!(alias_id(&Jid::new("2", Server::HostedLid)), ids[1]);
        assert_eq!(alias_id(&Jid::new("2", Server::Messenger)), "2@msgr");
    }

    #[test]
    fn an_address_that_is_too_long_for_a_store_is_kept_under_its_hash() {
        let of_length = |length: usize| Jid::pn("1".repeat(length - "@s.whatsapp.net".len()));
        assert_eq!(alias_id(&of_length(LONGEST_ID)).len(), LONGEST_ID);
        let id = alias_id(&of_length(LONGEST_ID + 1));
        assert_eq!((id.len(), id[0]), (33, b'#'));
        assert_ne!(id, alias_id(&of_length(LONGEST_ID + 2)));
    }

    #[test]
    fn a_statement_counts_against_another_by_who_made_it_and_when() {
        let claim = |source, learned| Claim { source, learned };
        let (phone, server) = (AliasSource::PhoneMapping, AliasSource::Usync);
        for (new, standing, supersedes, refreshes) in [
            (claim(server, 10), claim(server, 10), true, false),
            (claim(server, 9), claim(server, 10), false, false),
            (claim(phone, 11), claim(server, 10), false, false),
            (claim(phone, 11), claim(AliasSource::Met, 10), true, true),
            (claim(server, 10), claim(phone, 10), true, true),
            (claim(server, 9), claim(phone, 10), false, false),
            (claim(server, 10 + REFRESHED_S), claim(server, 10), true, false),
            (claim(server, 11 + REFRESHED_S), claim(server, 10), true, true),
            (claim(phone, 11 + REFRESHED_S), claim(server, 10), false, false),
        ] {
            assert_eq!(new.supersedes(&standing), supersedes, "{new:?} {standing:?}");
            assert_eq!(new.refreshes(&standing), refreshes, "{new:?} {standing:?}");
        }
    }
}
