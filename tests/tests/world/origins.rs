use prost::Message as _;
use whatsio_core::api::{Event, Key, Record, Space, SuspiciousKind};
use whatsio_core::binary::Node;
use whatsio_core::message::wrap_device_sent;
use whatsio_core::types::{Jid, Server};
use whatsio_proto::common::MessageKey;
use whatsio_proto::e2e::peer_data_operation_request_response_message::PeerDataOperationResult;
use whatsio_proto::e2e::peer_data_operation_request_response_message::peer_data_operation_result::PlaceholderMessageResendResponse;
use whatsio_proto::e2e::protocol_message::Type;
use whatsio_proto::e2e::{
    AppStateSyncKey, AppStateSyncKeyData, AppStateSyncKeyId, AppStateSyncKeyRequest, AppStateSyncKeyShare,
    FutureProofMessage, LidMigrationMappingSyncMessage, Message, PeerDataOperationRequestResponseMessage,
    ProtocolMessage,
};
use whatsio_proto::lid_migration::{LidMigrationMapping, LidMigrationMappingSyncPayload};
use whatsio_proto::web::WebMessageInfo;
use whatsio_tests::puppet::Puppet;
use whatsio_tests::world::{Name, World, text_content};

/// What is meant by a type of protocol message: something that only the own phone may say, or content. A type that the
/// schema gains does not compile until it stands here.
const fn self_only(kind: Type) -> Option<SuspiciousKind> {
    match kind {
        Type::HistorySyncNotification => Some(SuspiciousKind::HistoryNotice),
        Type::AppStateSyncKeyShare => Some(SuspiciousKind::AppStateKeyShare),
        Type::AppStateSyncKeyRequest => Some(SuspiciousKind::AppStateKeyRequest),
        Type::MsgFanoutBackfillRequest => Some(SuspiciousKind::BackfillRequest),
        Type::InitialSecurityNotificationSettingSync => Some(SuspiciousKind::SecuritySettings),
        Type::AppStateFatalExceptionNotification => Some(SuspiciousKind::AppStateFailure),
        Type::PeerDataOperationRequestMessage => Some(SuspiciousKind::DataRequest),
        Type::PeerDataOperationRequestResponseMessage => Some(SuspiciousKind::DataAnswer),
        Type::LidMigrationMappingSync => Some(SuspiciousKind::LidMapping),
        Type::Revoke
        | Type::EphemeralSetting
        | Type::EphemeralSyncResponse
        | Type::SharePhoneNumber
        | Type::MessageEdit
        | Type::RequestWelcomeMessage
        | Type::BotFeedbackMessage
        | Type::MediaNotifyMessage
        | Type::CloudApiThreadControlNotification
        | Type::ReminderMessage
        | Type::BotMemuOnboardingMessage
        | Type::StatusMentionMessage
        | Type::StopGenerationMessage
        | Type::LimitSharing
        | Type::AiPsiMetadata
        | Type::AiQueryFanout
        | Type::GroupMemberLabelChange
        | Type::AiMediaCollectionMessage
        | Type::MessageUnschedule
        | Type::ChatThemeSetting
        | Type::AiMetadataOperation
        | Type::MarkAsVerifiedAction
        | Type::CoexStateSync
        | Type::BotUnlinkMessage => None,
    }
}

/// Every type of the schema, and some that no schema has.
fn all_types() -> impl Iterator<Item = (i32, Option<SuspiciousKind>)> {
    let unknown = [1, 12, 63, 500, -1, i32::MAX];
    let known = (0..1_000).filter(|number| Type::try_from(*number).is_ok());
    known.chain(unknown).map(|number| (number, Type::try_from(number).ok().and_then(self_only)))
}

/// Only those that the own phone alone may send.
fn self_only_types() -> Vec<(i32, SuspiciousKind)> {
    all_types().filter_map(|(number, kind)| Some((number, kind?))).collect()
}

fn control(kind: i32, hidden: bool) -> Vec<u8> {
    let protocol = ProtocolMessage { r#type: Some(kind), ..Default::default() };
    let conversation = hidden.then(|| "look here".to_owned());
    Message { conversation, protocol_message: Some(Box::new(protocol)), ..Default::default() }.encode_to_vec()
}

/// A protocol message that brings everything that one could be tempted to take.
fn temptation(kind: i32, (pn, lid): (&Jid, &Jid)) -> ProtocolMessage {
    let number = |jid: &Jid| jid.user().parse().ok();
    let mapping = LidMigrationMapping { pn: number(pn), assigned_lid: number(lid), latest_lid: None };
    let mappings = LidMigrationMappingSyncPayload { pn_to_lid_mappings: vec![mapping], ..Default::default() };
    let key = AppStateSyncKey {
        key_id: Some(AppStateSyncKeyId { key_id: Some(vec![0, 0, 0, 0, 0, 1].into()) }),
        key_data: Some(AppStateSyncKeyData { key_data: Some(vec![7; 32].into()), ..Default::default() }),
    };
    let from_me = MessageKey {
        from_me: Some(true),
        id: Some("3EB0FFFFFFFFFFFFFFFFFF".to_owned()),
        remote_jid: Some(pn.to_string()),
        ..Default::default()
    };
    let said = WebMessageInfo {
        key: Some(from_me.clone()),
        message: Some(Box::new(Message { conversation: Some("I said so".to_owned()), ..Default::default() })),
        ..Default::default()
    };
    let resend = PlaceholderMessageResendResponse { web_message_info_bytes: Some(said.encode_to_vec().into()) };
    let result = PeerDataOperationResult { placeholder_message_resend_response: Some(resend), ..Default::default() };
    ProtocolMessage {
        key: Some(from_me),
        r#type: Some(kind),
        history_sync_notification: Some(Box::default()),
        app_state_sync_key_share: Some(AppStateSyncKeyShare { keys: vec![key] }),
        app_state_sync_key_request: Some(AppStateSyncKeyRequest::default()),
        peer_data_operation_request_response_message: Some(PeerDataOperationRequestResponseMessage {
            peer_data_operation_request_type: Some(4),
            peer_data_operation_result: vec![result],
            ..Default::default()
        }),
        lid_migration_mapping_sync_message: Some(LidMigrationMappingSyncMessage {
            encoded_mapping_payload: Some(mappings.encode_to_vec().into()),
        }),
        ..Default::default()
    }
}

/// The ways in which a protocol message can be put into a message.
fn disguises(protocol: ProtocolMessage) -> [Vec<u8>; 5] {
    let plain = Message { protocol_message: Some(Box::new(protocol)), ..Default::default() };
    let text = Message { conversation: Some("look here".to_owned()), ..Default::default() };
    let harmless = Message { protocol_message: Some(Box::default()), ..Default::default() };
    let wrapper = FutureProofMessage { message: Some(Box::new(plain.clone())) };
    let wrapped = Message { ephemeral_message: Some(Box::new(wrapper)), ..Default::default() };
    let beside = Message { conversation: text.conversation.clone(), ..plain.clone() }.encode_to_vec();
    // Fields may be repeated: what is there twice is one message with the fields of both.
    let twice = [plain.encode_to_vec(), harmless.encode_to_vec()].concat();
    let behind = [text.encode_to_vec(), wrapped.encode_to_vec()].concat();
    [plain.encode_to_vec(), beside, twice, wrapped.encode_to_vec(), behind]
}

fn suspicions(world: &World, name: Name) -> Vec<(Jid, SuspiciousKind)> {
    let events = world.hosts[name.0].events.iter().filter_map(|envelope| match &envelope.event {
        Event::SuspiciousMessage(found) => Some((found.sender.clone(), found.kind)),
        _ => None,
    });
    events.collect()
}

fn messages(world: &World, name: Name) -> usize {
    world.hosts[name.0].events.iter().filter(|envelope| matches!(envelope.event, Event::MessageReceived(_))).count()
}

/// Everything durable that a session, an inbox, a counter or the note that a message came does not explain.
fn state(world: &World, name: Name) -> Vec<(Key, Record)> {
    let store = world.hosts[name.0].store.iter();
    let changes = [Space::Session, Space::SessionArchive, Space::Inbox, Space::PreKey];
    let cursors: [&[u8]; 2] = [b"inbox", b"prekeys"];
    let is_noted = |key: &Key| key.space == Space::Account && key.id.starts_with(b"received");
    let store = store.filter(|(key, _)| !is_noted(key));
    let kept = store.filter(|(key, _)| !changes.contains(&key.space) && !cursors.contains(&key.id.as_ref()));
    kept.map(|(key, record)| (key.clone(), record.clone())).collect()
}

#[test]
fn what_only_the_own_phone_may_send_changes_nothing_when_anybody_else_sends_it() {
    let mut world = World::new(70);
    let (ann, bob) = (world.add_linked(None), world.add_linked(None));
    let (own, other) = (world.pn(ann), world.pn(bob));
    let to = world.hosts[ann.0].client.identity().unwrap().jid;
    let strangers_phone = Puppet::phone(&mut world, &other, 1);
    let strangers_companion = Puppet::planted(&mut world, &other, 2);
    let own_companion = Puppet::planted(&mut world, &own, 3);
    world.settle();
    for mut puppet in [strangers_phone, strangers_companion, own_companion] {
        // One ordinary message first, so that the session and the devices are known.
        puppet.send(&mut world, &to, &format!("F{}", puppet.jid.device()), &text_content("hello"));
        world.settle();
        world.host(ann).events.clear();
        let before = state(&world, ann);
        for (number, (kind, _)) in self_only_types().into_iter().enumerate() {
            for hidden in [false, true] {
                let id = format!("M{}{}{number}{hidden}", puppet.jid.user(), puppet.jid.device());
                puppet.send(&mut world, &to, &id, &control(kind, hidden));
            }
        }
        let copy = wrap_device_sent(&text_content("you said so"), &other.to_string(), None).unwrap();
        let is_own = puppet.jid.same_user(&own);
        if !is_own {
            puppet.send(&mut world, &to, &format!("C{}", puppet.jid.device()), &copy);
        }
        world.settle();
        let found = suspicions(&world, ann);
        let mut expected: Vec<_> = self_only_types().into_iter().flat_map(|(_, kind)| [kind, kind]).collect();
        if !is_own {
            expected.push(SuspiciousKind::OwnCopy);
        }
        assert_eq!(found.iter().map(|(_, kind)| *kind).collect::<Vec<_>>(), expected, "one event for each");
        assert!(found.iter().all(|(sender, _)| sender.device() == puppet.jid.device()));
        assert_eq!(messages(&world, ann), 0, "none of it is shown");
        assert!(state(&world, ann) == before, "nothing has changed");
        puppet.send(&mut world, &to, &format!("L{}", puppet.jid.device()), &text_content("still here"));
        world.settle();
        assert_eq!(messages(&world, ann), 1, "what is harmless arrives");
    }
    let queued = world.relay.accounts().into_iter().flat_map(|account| account.devices).find(|one| one.jid == to);
    assert_eq!(queued.unwrap().queued, 0, "everything was acknowledged");
}

#[test]
fn what_the_own_phone_says_about_the_account_is_acknowledged_and_not_shown() {
    let mut world = World::new(71);
    let ann = world.add_linked(None);
    let own = world.pn(ann);
    let to = world.hosts[ann.0].client.identity().unwrap().jid;
    let mut phone = Puppet::phone(&mut world, &own, 1);
    for (number, (kind, _)) in self_only_types().into_iter().enumerate() {
        phone.send_peer(&mut world, &to, &format!("P{number}"), &control(kind, false));
    }
    world.settle();
    assert_eq!((messages(&world, ann), suspicions(&world, ann).len()), (0, 0));
    let queued = world.relay.accounts().into_iter().flat_map(|account| account.devices).find(|one| one.jid == to);
    assert_eq!(queued.unwrap().queued, 0);
    // The same as the copy of a message for somebody else is not the phone's word to this device.
    let copy = wrap_device_sent(&control(22, false), &own.to_string(), None).unwrap();
    phone.send(&mut world, &to, "P9", &copy);
    world.settle();
    assert_eq!(suspicions(&world, ann).len(), 1);
}

#[test]
fn nobody_can_take_the_place_of_the_own_phone() {
    let mut world = World::new(72);
    let ann = world.add_linked(None);
    let own = world.pn(ann);
    let to = world.hosts[ann.0].client.identity().unwrap().jid;
    // A server that lies about who sends: another identity, shown as device 0.
    let mut mallory = Puppet::planted(&mut world, &own, 9);
    world.settle();
    let enc = mallory.enc(&mut world, &to, &text_content("I am your phone"));
    let stanza = Node::new("message")
        .with("from", own.clone())
        .with("recipient", own.clone())
        .with("id", "FAKE1")
        .with("t", "1790000000")
        .with("type", "text")
        .with_child(enc);
    assert!(world.relay.inject(world.now, &to, stanza));
    world.settle();
    assert_eq!(messages(&world, ann), 0);
    let lost = world.event(ann, |event| match event {
        Event::MessageUndecryptable(lost) => Some(lost.reason),
        _ => None,
    });
    assert_eq!(lost, Some(whatsio_core::api::UndecryptableReason::BadIdentity));
}

#[test]
fn a_message_in_the_clear_is_no_message_outside_of_channels() {
    let mut world = World::new(73);
    let (ann, bob) = (world.add_linked(None), world.add_linked(None));
    let to = world.hosts[ann.0].client.identity().unwrap().jid;
    let clear = Node::new("plaintext").with_bytes(text_content("trust me"));
    let stanza = Node::new("message")
        .with("from", world.pn(bob))
        .with("id", "CLEAR1")
        .with("t", "1790000000")
        .with("type", "text")
        .with_child(clear);
    assert!(world.relay.inject(world.now, &to, stanza));
    world.settle();
    assert_eq!(messages(&world, ann), 0);
}

/// Whoever sends it: every type, in every disguise, as an ordinary message and as one between own devices.
fn tempt(seed: u8, plant: fn(&mut World, &Jid, &Jid) -> Puppet, is_met: bool) {
    let mut world = World::new(seed);
    let (ann, bob) = (world.add_linked(None), world.add_linked(None));
    let (own, other) = (world.pn(ann), world.pn(bob));
    let identity = world.hosts[ann.0].client.identity().unwrap();
    let (to, own_lid) = (identity.jid.clone(), identity.lid.clone().unwrap().to_user());
    let mut puppet = plant(&mut world, &own, &other);
    let is_own = puppet.jid.same_user(&own);
    world.settle();
    if is_met {
        world.send(ann, &other, "hello");
        world.settle();
        puppet.mail(&mut world);
    }
    puppet.send(&mut world, &to, "HELLO", &text_content("hello"));
    world.settle();
    let mallory = Jid::new("99999999999999", Server::Lid);
    let (mut expected, mut contents) = (Vec::new(), 0);
    world.host(ann).events.clear();
    let before = state(&world, ann);
    for (number, kind) in all_types() {
        // The number of whom she knows is said to belong to somebody else, and her own as well.
        for pair in [(&other, &mallory), (&own, &mallory), (&other, &own_lid)] {
            for (disguise, content) in disguises(temptation(number, pair)).into_iter().enumerate() {
                for category in [None, Some("peer")] {
                    // One pair of addresses is enough for what is not the plainest form, and for what names none.
                    let is_first_pair = pair == (&other, &mallory);
                    let is_plain = disguise == 0 && kind == Some(SuspiciousKind::LidMapping);
                    if (!is_first_pair && !is_plain) || (category.is_some() && disguise > 0) {
                        continue;
                    }
                    let enc = puppet.enc(&mut world, &to, &content);
                    let id = format!("T{number}.{}.{disguise}{}", expected.len(), contents);
                    let stanza = Node::new("message")
                        .with("from", puppet.jid.clone())
                        .with("id", id)
                        .with("t", "1790000000")
                        .with("type", "text")
                        .with_some("recipient", is_own.then(|| other.clone()))
                        .with_some("category", category)
                        .with_child(enc);
                    assert!(world.relay.inject(world.now, &to, stanza));
                    match kind {
                        Some(kind) => expected.push(kind),
                        None => contents += 1,
                    }
                }
            }
        }
        world.settle();
    }
    assert!(expected.len() > 9 * 5 && contents > 24 * 5, "{} and {contents}", expected.len());
    let found: Vec<_> = suspicions(&world, ann).into_iter().map(|(_, kind)| kind).collect();
    assert_eq!(found, expected, "one event for each, and for nothing else");
    assert_eq!(messages(&world, ann), contents, "content is content");
    let claims = world.hosts[ann.0].events.iter().filter(|envelope| match &envelope.event {
        Event::MessageReceived(message) => message.from_me != is_own || message.sender != puppet.jid,
        Event::SuspiciousMessage(found) => found.sender != puppet.jid,
        Event::SendFinished(_) | Event::IdentityChanged(_) => true,
        _ => false,
    });
    assert_eq!(claims.count(), 0, "nobody is taken for somebody else");
    let after = state(&world, ann);
    let changed: Vec<_> = after.iter().filter(|record| !before.contains(record)).map(|(key, _)| key).collect();
    assert!(before == after, "nothing has changed, but {changed:?}");
    let queued = world.relay.accounts().into_iter().flat_map(|account| account.devices).find(|one| one.jid == to);
    assert_eq!(queued.unwrap().queued, 0, "everything was acknowledged");
}

#[test]
fn no_control_message_of_a_stranger_counts() {
    tempt(74, |world, _, other| Puppet::planted(world, other, 2), false);
}

#[test]
fn no_control_message_of_a_contact_counts() {
    tempt(75, |world, _, other| Puppet::phone(world, other, 1), true);
}

#[test]
fn no_control_message_of_an_own_companion_counts_where_only_the_phone_may_speak() {
    tempt(76, |world, own, _| Puppet::planted(world, own, 3), true);
}

#[test]
fn what_only_own_devices_and_the_server_may_say_of_this_account_counts_from_nobody_else() {
    let mut world = World::new(77);
    let (ann, bob) = (world.add_linked(None), world.add_linked(None));
    let (own, other) = (world.pn(ann), world.pn(bob));
    let to = world.hosts[ann.0].client.identity().unwrap().jid;
    let stranger = Jid::pn("15559999999");
    let id = world.send(ann, &other, "hello").to_string();
    world.settle();
    world.host(ann).events.clear();
    let before = state(&world, ann);
    let mut stanzas = Vec::new();
    for (who, from) in [&stranger, &other.clone().with_device(7)].into_iter().enumerate() {
        for kind in ["read-self", "played-self", "sender", "peer_msg", "hist_sync"] {
            for recipient in [None, Some(&other), Some(&own)] {
                let stanza =
                    Node::new("receipt").with("from", from.clone()).with("id", id.as_str()).with("t", "1790000001");
                stanzas.push(stanza.with("type", kind).with_some("recipient", recipient.cloned()));
            }
        }
        let device = |jid: Jid| Node::new("device").with("jid", jid).with("key-index", "1");
        let list = || Node::new("devices").with("dhash", "2:AAAAAAAA").with_child(device(own.clone().with_device(66)));
        let add = Node::new("add").with_child(device(own.clone().with_device(66)));
        let remove = Node::new("remove").with_child(device(to.clone()));
        for (number, (kind, child)) in [
            ("account_sync", list()),
            ("account_sync", Node::new("status")),
            ("devices", add),
            ("devices", remove),
            ("encrypt", Node::new("identity")),
            ("encrypt", Node::new("digest")),
        ]
        .into_iter()
        .enumerate()
        {
            let stanza = Node::new("notification").with("from", from.to_user()).with("id", format!("N{who}{number}"));
            stanzas.push(stanza.with("type", kind).with("t", "1789000000").with_child(child));
        }
    }
    // Of a contact it may be said that devices and keys have changed, so that is asked for again; of nobody else.
    let is_news = |stanza: &Node| {
        let kind = stanza.text("type");
        stanza.jid("from") == Some(other.clone()) && matches!(kind.as_deref(), Some("devices" | "encrypt"))
    };
    stanzas.retain(|stanza| !is_news(stanza));
    let sent = stanzas.len();
    for stanza in stanzas {
        assert!(world.relay.inject(world.now, &to, stanza));
        world.settle();
    }
    assert!(sent > 35, "{sent}");
    let receipts =
        world.hosts[ann.0].events.iter().filter(|envelope| matches!(envelope.event, Event::ReceiptReceived(_)));
    assert_eq!(receipts.count(), 0, "nobody else says what this account has seen");
    assert!(state(&world, ann) == before, "nothing has changed");
    let queued = world.relay.accounts().into_iter().flat_map(|account| account.devices).find(|one| one.jid == to);
    assert_eq!(queued.unwrap().queued, 0, "everything was acknowledged");
    // The same from an own device counts.
    let seen = Node::new("receipt").with("from", own.clone()).with("id", id.as_str()).with("t", "1790000001");
    let seen = seen.with("type", "read-self").with("recipient", other);
    assert!(world.relay.inject(world.now, &to, seen));
    world.settle();
    let receipts =
        world.hosts[ann.0].events.iter().filter(|envelope| matches!(envelope.event, Event::ReceiptReceived(_)));
    assert_eq!(receipts.count(), 1);
}
