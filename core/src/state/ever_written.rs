//! Records as they were ever written must decode for ever.

use super::account::Account;
use super::asked::Asked;
use super::devices::DeviceList;
use super::inbox::{InboxCursor, Unhandled};
use super::life::Life;
use super::linking::Linking;
use super::outbox::{Entry, OutboxCursor, Sequence};
use super::peer::{Alias, Peer, PeerCounter};
use super::prekeys::PreKeyCounter;
use super::ratchets::{Identity, IdentitySeen};
use super::received::Received;
use super::record::Stored;
use super::resends::{Allowance, Resends};
use super::restriction::Restricted;
use super::sender_keys::SenderKeyNames;
use super::spent::SpentPreKeys;
use super::tokens::ContactTokens;
use crate::api::Record;
use crate::signal::{Archive, PreKey, SenderKeyRecord, Session, SignedPreKey};

pub(super) const EVER_WRITTEN: &str = include_str!("../../../fixtures/records/records.tsv");

/// Kinds of records there are.
const KINDS: usize = 28;

#[test]
fn every_record_that_was_ever_written_still_decodes() {
    let mut kinds = std::collections::BTreeSet::new();
    for line in EVER_WRITTEN.lines().filter(|line| !line.starts_with('#')) {
        let [kind, version, hex] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("not three columns: {line}")
        };
        let bytes = hex::decode(hex).unwrap();
        assert_eq!(bytes[0].to_string(), version, "the first byte of {kind} is its version");
        let record = Record(bytes.into());
        let again = read_and_write(kind, &record);
        let again = again.unwrap_or_else(|| panic!("{kind} of version {version} does not decode any more"));
        if again.0[0] == record.0[0] {
            assert_eq!(again, record, "{kind} is written in another form, so it needs a new version");
        }
        kinds.insert(kind);
    }
    assert_eq!(kinds.len(), KINDS);
}

/// Reads a record of the given kind, and writes it as it would be written today.
pub(super) fn read_and_write(kind: &str, record: &Record) -> Option<Record> {
    match kind {
        "Account" => reads::<Account>(record),
        "Alias" => reads::<Alias>(record),
        "Allowance" => reads::<Allowance>(record),
        "Asked" => reads::<Asked>(record),
        "Archive" => reads::<Archive>(record),
        "ContactTokens" => reads::<ContactTokens>(record),
        "DeviceList" => reads::<DeviceList>(record),
        "Entry" => reads::<Entry>(record),
        "Identity" => reads::<Identity>(record),
        "IdentitySeen" => reads::<IdentitySeen>(record),
        "InboxCursor" => reads::<InboxCursor>(record),
        "Life" => reads::<Life>(record),
        "Linking" => reads::<Linking>(record),
        "OutboxCursor" => reads::<OutboxCursor>(record),
        "Peer" => reads::<Peer>(record),
        "PeerCounter" => reads::<PeerCounter>(record),
        "PreKey" => reads::<PreKey>(record),
        "PreKeyCounter" => reads::<PreKeyCounter>(record),
        "Received" => reads::<Received>(record),
        "Resends" => reads::<Resends>(record),
        "Restricted" => reads::<Restricted>(record),
        "SenderKeyNames" => reads::<SenderKeyNames>(record),
        "SenderKeyRecord" => reads::<SenderKeyRecord>(record),
        "Sequence" => reads::<Sequence>(record),
        "Session" => reads::<Session>(record),
        "SpentPreKeys" => reads::<SpentPreKeys>(record),
        "SignedPreKey" => reads::<SignedPreKey>(record),
        "Unhandled" => reads::<Unhandled>(record),
        other => panic!("no such kind: {other}"),
    }
}

/// Reads the record, and writes it as it would be written today.
fn reads<T: Stored>(record: &Record) -> Option<Record> {
    T::open(record).ok().map(|value| value.seal())
}
