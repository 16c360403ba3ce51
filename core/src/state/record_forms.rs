//! Every kind of record, whatever it holds: a value reads back as it was, and what was read is written alike.

use super::account::{Account, Linked, ServerKey};
use super::asked::{Asked, AskedMessage, Missing};
use super::devices::{Device, DeviceList};
use super::ever_written::{EVER_WRITTEN, read_and_write};
use super::inbox::{InboxCursor, Unhandled};
use super::life::Life;
use super::linking::{CodeAttempt, Hello, Linking};
use super::outbox::{Entry, EntryState, OutboxCursor, Repair, Sequence};
use super::passkey::{PasskeyAttempt, PasskeyKeys, PasskeyStage};
use super::peer::{Alias, AliasSource, Claim, Peer, PeerCounter, PeerId};
use super::prekeys::PreKeyCounter;
use super::ratchets::{Identity, IdentitySeen};
use super::received::Received;
use super::record::Stored;
use super::resends::{Allowance, Resends};
use super::restriction::Restricted;
use super::spent::SpentPreKeys;
use super::tokens::{ContactTokens, Issued};
use crate::api::{
    Aliases, DeviceOutcome, Epoch, Event, IdentityChange, ListCheck, MessageEvent, MessageId, ReceiptEvent,
    ReceiptKind, Record, Restriction, SendReport, SendResult, SkipReason, SuspiciousKind, SuspiciousMessage,
    UnanswerableReason, UnansweredRetry, UndecryptableEvent, UndecryptableReason,
};
use crate::crypto::{KeyPair, Rng, Secret};
use crate::types::{Jid, Seed, Server, Username};
use bytes::Bytes;
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::Index;
use zeroize::Zeroizing;

#[track_caller]
fn survives<T: Stored + PartialEq>(value: &T) {
    let record = value.seal();
    let read = T::open(&record).unwrap();
    assert!(read == *value, "reads back as another value");
    assert_eq!(read.seal(), record);
}

/// What must not be printed, not even where a case fails.
#[derive(Clone)]
struct Unprinted<T>(T);

impl<T> std::fmt::Debug for Unprinted<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("..")
    }
}

fn bytes(most: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..most).prop_map(Bytes::from)
}

fn keys() -> impl Strategy<Value = Unprinted<KeyPair>> {
    any::<[u8; 32]>().prop_map(|private| Unprinted(KeyPair::from_private(private)))
}

fn id() -> impl Strategy<Value = MessageId> {
    "[0-9A-F]{0,22}".prop_map(MessageId::new)
}

fn jid() -> impl Strategy<Value = Jid> {
    let server = prop_oneof![
        Just(Server::Whatsapp),
        Just(Server::Lid),
        Just(Server::Hosted),
        Just(Server::HostedLid),
        Just(Server::Group),
        Just(Server::Broadcast),
        Just(Server::Newsletter),
        Just(Server::Bot),
        Just(Server::Messenger),
        Just(Server::Interop),
        Just(Server::LegacyUser),
        Just(Server::Other("example.org".into())),
    ];
    prop_oneof![
        ("[0-9]{1,20}", server, 0..256_u16)
            .prop_map(|(user, server, device)| Jid::new(user, server).with_device(device)),
        ("[0-9a-z-]{1,20}", any::<u16>())
            .prop_map(|(user, integrator)| Jid::new(user, Server::Interop).with_integrator(integrator)),
        Just(Jid::server_itself()),
    ]
}

fn username() -> impl Strategy<Value = Option<Username>> {
    option::of("[a-zA-Z0-9._]{1,35}".prop_map(|name| Username::parse(&name).unwrap()))
}

fn aliases() -> impl Strategy<Value = Aliases> {
    (option::of(jid()), option::of(jid()), username()).prop_map(|(pn, lid, username)| Aliases { pn, lid, username })
}

fn outcomes() -> impl Strategy<Value = Vec<(Jid, DeviceOutcome)>> {
    let outcome = prop_oneof![
        Just(DeviceOutcome::Sent),
        Just(DeviceOutcome::NoSession),
        Just(DeviceOutcome::BundleRefused),
        Just(DeviceOutcome::Gone),
        Just(DeviceOutcome::Repaired),
        any::<u32>().prop_map(|code| DeviceOutcome::Skipped(SkipReason::RepairRefused(code))),
    ];
    vec((jid(), outcome), 0..4)
}

fn message() -> impl Strategy<Value = Event> {
    let who = (id(), jid(), aliases(), jid(), aliases());
    let what = (any::<bool>(), any::<u64>(), option::of(".{0,9}"), any::<bool>(), bytes(40));
    (who, what).prop_map(|((id, chat, chat_aliases, sender, sender_aliases), what)| {
        let (from_me, timestamp, push_name, offline, content) = what;
        Event::MessageReceived(Box::new(MessageEvent {
            id,
            chat,
            chat_aliases,
            sender,
            sender_aliases,
            from_me,
            timestamp,
            push_name,
            offline,
            content,
        }))
    })
}

fn undecryptable() -> impl Strategy<Value = Event> {
    let reason = prop::sample::select(vec![
        UndecryptableReason::Damaged,
        UndecryptableReason::NoSession,
        UndecryptableReason::UnknownPreKey,
        UndecryptableReason::TooFarAhead,
        UndecryptableReason::NoSenderKey,
        UndecryptableReason::BadIdentity,
        UndecryptableReason::NotAMessage,
        UndecryptableReason::UnknownEncryption,
        UndecryptableReason::Unavailable,
    ]);
    (id(), jid(), aliases(), jid(), aliases(), any::<u64>(), reason).prop_map(
        |(id, chat, chat_aliases, sender, sender_aliases, timestamp, reason)| {
            let event = UndecryptableEvent { id, chat, chat_aliases, sender, sender_aliases, timestamp, reason };
            Event::MessageUndecryptable(Box::new(event))
        },
    )
}

fn receipt() -> impl Strategy<Value = Event> {
    let kind = prop_oneof![
        Just(ReceiptKind::Delivered),
        Just(ReceiptKind::Read),
        Just(ReceiptKind::ReadSelf),
        Just(ReceiptKind::Played),
        Just(ReceiptKind::Retry),
        "other-[a-z]{0,9}".prop_map(ReceiptKind::Other),
    ];
    (jid(), aliases(), jid(), aliases(), vec(id(), 0..4), kind, any::<u64>()).prop_map(
        |(chat, chat_aliases, sender, sender_aliases, ids, kind, timestamp)| {
            let event = ReceiptEvent { chat, chat_aliases, sender, sender_aliases, ids, kind, timestamp };
            Event::ReceiptReceived(Box::new(event))
        },
    )
}

fn report() -> impl Strategy<Value = Event> {
    let result = prop_oneof![
        any::<u64>().prop_map(|timestamp| SendResult::Accepted { timestamp }),
        any::<u32>().prop_map(|code| SendResult::Refused { code }),
        Just(SendResult::TokenMissing),
        any::<Option<u64>>().prop_map(|until| SendResult::Restricted { until }),
        Just(SendResult::NobodyToSendTo),
        Just(SendResult::Unlinked),
    ];
    let lists = prop::sample::select(vec![ListCheck::Agreed, ListCheck::Repaired, ListCheck::Unexplained]);
    (id(), jid(), aliases(), result, lists, outcomes()).prop_map(|(id, chat, chat_aliases, result, lists, devices)| {
        Event::SendFinished(Box::new(SendReport { op: None, id, chat, chat_aliases, result, lists, devices }))
    })
}

fn other_events() -> impl Strategy<Value = Event> {
    let unanswerable = prop::sample::select(vec![
        UnanswerableReason::Expired,
        UnanswerableReason::NeverSent,
        UnanswerableReason::OverBudget,
        UnanswerableReason::NotAddressed,
    ]);
    let suspicious = prop::sample::select(vec![
        SuspiciousKind::HistoryNotice,
        SuspiciousKind::AppStateKeyShare,
        SuspiciousKind::AppStateKeyRequest,
        SuspiciousKind::BackfillRequest,
        SuspiciousKind::SecuritySettings,
        SuspiciousKind::AppStateFailure,
        SuspiciousKind::DataRequest,
        SuspiciousKind::DataAnswer,
        SuspiciousKind::LidMapping,
        SuspiciousKind::OwnCopy,
    ]);
    prop_oneof![
        (id(), jid(), aliases(), unanswerable).prop_map(|(id, device, device_aliases, reason)| {
            Event::RetryUnanswerable(Box::new(UnansweredRetry { id, device, device_aliases, reason }))
        }),
        (id(), jid(), aliases(), suspicious).prop_map(|(id, sender, sender_aliases, kind)| {
            Event::SuspiciousMessage(Box::new(SuspiciousMessage { id, sender, sender_aliases, kind }))
        }),
        (jid(), aliases())
            .prop_map(|(user, user_aliases)| Event::IdentityChanged(Box::new(IdentityChange { user, user_aliases }))),
    ]
}

fn entry() -> impl Strategy<Value = Unprinted<Entry>> {
    let state = vec![EntryState::Pending, EntryState::Sent, EntryState::Failed, EntryState::Expired];
    let repair = (".{0,9}", any::<bool>(), outcomes())
        .prop_map(|(phash, explained, devices)| Box::new(Repair { phash, explained, devices }));
    let times = (any::<u64>(), any::<Option<u64>>(), any::<Option<u32>>(), any::<bool>());
    (id(), jid(), bytes(40), prop::sample::select(state), times, option::of(repair)).prop_map(
        |(id, chat, content, state, (accepted, taken, refused, wants_token), repair)| {
            let entry = Entry::new(id, chat, content, accepted);
            Unprinted(Entry { state, taken, refused, repair, wants_token, ..entry })
        },
    )
}

fn account() -> impl Strategy<Value = Unprinted<Account>> {
    let server = (any::<[u8; 32]>(), any::<u64>(), any::<u64>()).prop_map(|(key, not_before, not_after)| ServerKey {
        key,
        not_before,
        not_after,
    });
    let linked = (jid(), option::of(jid()), bytes(30), ".{0,9}")
        .prop_map(|(pn, lid, device_identity, platform)| Unprinted(Linked { pn, lid, device_identity, platform }));
    let prekeys = (any::<u32>(), any::<u64>(), any::<u32>());
    (any::<[u8; 32]>(), prekeys, option::of(linked), bytes(20), option::of(server), ".{0,9}").prop_map(
        |(seed, prekeys, linked, routing_info, server_key, push_name)| {
            let mut account = Account::create(&mut Rng::new(&Seed::new(seed)));
            (account.signed_prekey_id, account.signed_prekey_made, account.signed_prekey_confirmed) = prekeys;
            let linked = linked.map(|linked| linked.0);
            Unprinted(Account { linked, routing_info, server_key, push_name, ..account })
        },
    )
}

fn code_attempt() -> impl Strategy<Value = Unprinted<CodeAttempt>> {
    let hello = (keys(), any::<[u8; 32]>(), option::of(bytes(20)), any::<bool>()).prop_map(
        |(ephemeral, part, reference, finished)| {
            let mut wrapped = [0; 80];
            wrapped[..32].copy_from_slice(&part);
            Unprinted(Hello { ephemeral: ephemeral.0, wrapped, reference, finished })
        },
    );
    let numbers = (any::<u64>(), any::<u64>(), any::<u32>(), any::<u32>());
    ("[0-9]{1,15}", "[A-Z0-9]{8}", numbers, option::of(hello)).prop_map(
        |(number, code, (asked, until, codes, tries), hello)| {
            let code = Zeroizing::new(code);
            let hello = hello.map(|hello| hello.0);
            Unprinted(CodeAttempt { number, code, asked, until, codes, tries, hello })
        },
    )
}

fn passkey() -> impl Strategy<Value = Unprinted<PasskeyAttempt>> {
    let keys = (keys(), any::<[u8; 32]>(), any::<i32>(), ".{0,9}", any::<bool>()).prop_map(
        |(ephemeral, nonce, device_type, reference, proven)| {
            Unprinted(PasskeyKeys { ephemeral: ephemeral.0, nonce, device_type, reference, proven })
        },
    );
    let parts = (0..6_u8, bytes(20), bytes(20), keys);
    (any::<[u8; 32]>(), any::<u64>(), any::<u64>(), parts).prop_map(|(key, handoff_until, until, parts)| {
        let (stage, request, other, Unprinted(keys)) = parts;
        let stage = match stage {
            0 => PasskeyStage::Request,
            1 => PasskeyStage::Assertion { request },
            2 => PasskeyStage::Reference { request, assertion: other },
            3 => PasskeyStage::Phone { request, assertion: other, keys },
            4 => PasskeyStage::Comparison { request, keys, primary: other },
            _ => PasskeyStage::Link { request, keys, sealed: other },
        };
        Unprinted(PasskeyAttempt { handoff_key: Secret::from(key), handoff_until, until, stage })
    })
}

fn asked() -> impl Strategy<Value = Asked> {
    let who = (jid(), jid(), any::<bool>(), any::<u64>());
    let when = (any::<u64>(), any::<u32>(), any::<u64>(), option::of(id()));
    let missing = (who, when).prop_map(|((chat, sender, from_me, timestamp), (since, times, asked_at, request))| {
        Missing { chat, sender, from_me, timestamp, since, times, asked_at, request }
    });
    let message = (vec(any::<u8>(), 0..12), id(), any::<u32>(), any::<bool>(), option::of(missing))
        .prop_map(|(device, id, count, read, missing)| AskedMessage { device, id, count, read, missing });
    vec(message, 0..5).prop_map(|messages| {
        let mut asked = Asked::default();
        messages.into_iter().for_each(|message| asked.remember(message));
        asked
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn durable_events_survive(
        event in prop_oneof![message(), undecryptable(), receipt(), report(), other_events()],
    ) {
        survives(&Unhandled(event));
    }

    #[test]
    fn sends_and_cursors_survive(
        entry in entry(),
        numbers in any::<[u32; 4]>(),
        behind in btree_set(any::<u64>(), 0..4),
        sequence in any::<u64>(),
    ) {
        survives(&entry.0);
        survives(&Sequence(sequence));
        let mut numbers = numbers.map(u64::from);
        numbers.sort_unstable();
        let [oldest, first, pending, next] = numbers;
        survives(&InboxCursor { first, next, behind: behind.iter().copied().filter(|n| *n < first).collect() });
        survives(&OutboxCursor { oldest, first, pending, next, behind: behind.into_iter().filter(|n| *n < first).collect() });
    }

    #[test]
    fn accounts_and_links_survive(
        account in account(),
        code in option::of(code_attempt()),
        passkey in option::of(passkey()),
        epoch in any::<u64>(),
        restriction in (".{0,9}", any::<Option<u64>>()),
    ) {
        survives(&account.0);
        survives(&Linking { code: code.map(|code| code.0), passkey: passkey.map(|passkey| passkey.0) });
        survives(&Life(Epoch(epoch)));
        survives(&Restricted(Restriction { kind: restriction.0, until: restriction.1 }));
    }

    #[test]
    fn peers_and_what_is_known_of_them_survive(
        addresses in (option::of(jid()), option::of(jid()), username()),
        lists in (vec(any::<u16>(), 0..5), vec(bytes(20), 0..4), vec(any::<u64>(), 0..4)),
        alias in (any::<u64>(), 0..7_usize, any::<u64>()),
        devices in vec((any::<u16>(), any::<u32>(), any::<bool>()), 0..5),
        stated in (any::<u64>(), any::<u64>(), option::of(".{0,9}")),
        tokens in (option::of((bytes(20), any::<u64>())), any::<Option<u64>>()),
        identity in keys(),
    ) {
        let (pn, lid, username) = addresses;
        let (numbers, former, folded) = lists;
        let folded = folded.into_iter().map(PeerId).collect();
        survives(&Peer { pn, lid, username, devices: numbers, former, folded });
        let claim = Claim { source: AliasSource::ALL[alias.1], learned: alias.2 };
        survives(&Alias { peer: PeerId(alias.0), claim });
        survives(&PeerCounter { first: alias.0 / 2, next: alias.0 });
        let devices = devices.into_iter().map(|(id, key_index, hosted)| Device { id, key_index, hosted }).collect();
        let (fetched, signed_at, unexplained) = stated;
        survives(&DeviceList { devices, fetched, signed_at, unexplained });
        survives(&ContactTokens { theirs: tokens.0.map(|(token, at)| Issued { token, at }), ours: tokens.1 });
        survives(&Identity(identity.0.public));
        survives(&IdentitySeen(alias.2));
    }

    #[test]
    fn budgets_and_indexes_survive(
        asked in asked(),
        askers in vec((vec(any::<u8>(), 1..12), any::<u32>(), any::<Option<[u8; 32]>>(), any::<bool>(), any::<Option<u32>>()), 0..5),
        (now, tokens) in (any::<u64>(), any::<u32>()),
        spent in vec((any::<bool>(), any::<u32>(), any::<u64>(), any::<[u8; 32]>()), 0..8),
        marks in vec(any::<[u8; 8]>(), 0..20),
        counter in (1..0x00ef_ffff_u32, 0..30_u32, 0..5_u32, vec(any::<u32>(), 0..3), any::<u64>()),
    ) {
        survives(&asked);
        let mut resends = Resends::default();
        for (device, granted, base_key, told, key) in askers {
            let asker = resends.asker(device).unwrap();
            resends.keep(super::resends::Asker { granted, base_key, told, key, ..asker });
        }
        survives(&resends);
        survives(&Allowance::full(now, tokens));
        let mut index = SpentPreKeys::default();
        for (is_used, id, at, base_key) in spent {
            if is_used { index.note_used(id, at, base_key) } else { index.note_given(id, at, base_key[..9].to_vec()) }
        }
        survives(&index);
        let mut received = Received::beginning(now);
        for mark in marks {
            if let Some((_, segment)) = received.add(mark) {
                survives(&segment);
            }
        }
        survives(&received);
        let (next, taken, retired, ids, uploaded_at) = counter;
        let mut counter = PreKeyCounter::adopted(next, next, ids);
        counter.uploaded_at = uploaded_at;
        for _ in 0..taken {
            counter.take();
            counter.take_private();
        }
        counter.retire(0, retired as usize);
        survives(&counter);
    }

    #[test]
    fn whatever_a_damaged_record_reads_as_is_written_in_a_form_that_reads_alike(
        line in any::<Index>(),
        changes in vec((any::<Index>(), any::<u8>()), 1..4),
        cut in option::weighted(0.2, any::<Index>()),
    ) {
        let lines: Vec<&str> = EVER_WRITTEN.lines().filter(|line| !line.starts_with('#')).collect();
        let [kind, _, hex] = lines[line.index(lines.len())].split('\t').collect::<Vec<_>>()[..] else { panic!() };
        let mut bytes = hex::decode(hex).unwrap();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Some(written) = read_and_write(kind, &Record(bytes.into())) {
            prop_assert_eq!(read_and_write(kind, &written), Some(written), "{}", kind);
        }
    }
}
