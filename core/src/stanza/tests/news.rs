use super::*;

#[test]
fn notifications_about_keys_and_devices_are_read() {
    let kind = |from: Jid, kind: &str, child: Node| {
        let node = Node::new("notification").with("id", "1").with("from", from).with("type", kind).with_child(child);
        match incoming(&node) {
            Incoming::Notification(notification) => notification.kind,
            other => panic!("{other:?}"),
        }
    };
    let server = Jid::server_itself;
    let low = kind(server(), "encrypt", Node::new("count").with("value", "3"));
    assert_eq!(low, NotificationKind::PreKeysLow { count: 3 });
    assert_eq!(kind(server(), "encrypt", Node::new("digest")), NotificationKind::CheckPreKeys);
    assert_eq!(kind(Jid::pn("1"), "encrypt", Node::new("identity")), NotificationKind::IdentityChanged);

    let device = Node::new("device").with("jid", Jid::pn("1").with_device(4)).with("key-index", "2");
    let list = Node::new("key-index-list").with("ts", "9").with_bytes(vec![1, 2]);
    let add = Node::new("add").with("device_hash", "2:h").with_child(device.clone()).with_child(list.clone());
    let named = NamedDevice { jid: Jid::pn("1").with_device(4), lid: None, key_index: Some(2) };
    let signed = KeyIndexList { timestamp: Some(9), expected: None, signed: Some(vec![1, 2].into()) };
    let expected = DeviceChange {
        change: DeviceChangeKind::Added,
        lid: None,
        hash: Some("2:h".into()),
        lid_hash: None,
        devices: vec![named.clone()],
        key_index_list: Some(signed.clone()),
    };
    assert_eq!(kind(Jid::pn("1"), "devices", add), NotificationKind::Devices(expected));
    let own = Node::new("devices").with("dhash", "2:d").with_child(device).with_child(list);
    let expected = OwnDevices { hash: Some("2:d".into()), devices: vec![named], key_index_list: Some(signed) };
    assert_eq!(kind(Jid::pn("1"), "account_sync", own), NotificationKind::OwnDevices(expected));
    let other = kind(Jid::pn("1"), "account_sync", Node::new("picture"));
    assert_eq!(other, NotificationKind::Other { kind: "account_sync".into() });
    let renew = kind(server(), "companion_reg_refresh", Node::new("pair-device-rotate-qr"));
    assert_eq!(renew, NotificationKind::RenewLinkSecret);
    let token = Node::new("token").with("type", "trusted_contact").with("t", "5").with_bytes(vec![1]);
    let tokens = kind(Jid::lid("1"), "privacy_token", Node::new("tokens").with_child(token));
    let token = PrivacyToken { kind: "trusted_contact".into(), timestamp: Some(5), token: vec![1].into() };
    assert_eq!(tokens, NotificationKind::PrivacyTokens { sender_lid: None, tokens: vec![token] });
}

#[test]
fn removing_counts_where_a_notification_says_several_things() {
    let node = Node::new("notification").with("id", "1").with("from", Jid::pn("1")).with("type", "devices");
    let node = node.with_child(Node::new("update").with("hash", "x")).with_child(Node::new("remove"));
    let Incoming::Notification(notification) = incoming(&node) else { panic!() };
    let NotificationKind::Devices(change) = notification.kind else { panic!() };
    assert_eq!(change.change, DeviceChangeKind::Removed);
}

#[test]
fn recorded_notifications_of_other_kinds_are_read() {
    let Incoming::Notification(sync) = Incoming::parse(&recorded("zip-window-512")).unwrap() else { panic!() };
    let collections = vec![("critical_block".into(), Some(3)), ("regular".into(), Some(12))];
    assert_eq!(sync.kind, NotificationKind::AppStateChanged { collections });
    let Incoming::Notification(group) = Incoming::parse(&recorded("group-notification")).unwrap() else { panic!() };
    assert_eq!(group.kind, NotificationKind::Other { kind: "w:gp2".into() });
    assert!(group.address.participant.is_some());
}

#[test]
fn calls_are_read_and_declined() {
    let Incoming::Call(call) = Incoming::parse(&recorded("call-offer")).unwrap() else { panic!() };
    assert_eq!((call.action.as_str(), call.is_video), ("offer", false));
    assert_eq!(call.call_id.as_deref(), Some("3B1D4F715D6ED652F2F63C620E60D11E"));
    assert_eq!(call.creator.as_ref().unwrap().device(), 1);
    let reject = RejectCall {
        id: "3EB0".into(),
        to: Jid::pn("1"),
        call_id: call.call_id.unwrap(),
        creator: call.creator.clone().unwrap(),
    };
    let expected = Node::new("reject")
        .with("call-id", "3B1D4F715D6ED652F2F63C620E60D11E")
        .with("call-creator", call.creator.unwrap())
        .with("count", "0");
    assert_same(written(&reject), Node::new("call").with("id", "3EB0").with("to", Jid::pn("1")).with_child(expected));
}

#[test]
fn presences_are_read_and_written() {
    let presence = |name: &str| match Incoming::parse(&recorded(name)).unwrap() {
        Incoming::Presence(presence) => (presence.is_available, presence.last_seen),
        other => panic!("{other:?}"),
    };
    assert_eq!(presence("presence-unavailable-deny"), (false, LastSeen::Hidden));
    assert_eq!(presence("presence-last-seen"), (false, LastSeen::At(1_783_548_145)));
    let online = incoming(&Node::new("presence").with("from", Jid::pn("1")));
    let expected = IncomingPresence { from: Jid::pn("1"), is_available: true, last_seen: LastSeen::Unknown };
    assert_eq!(online, Incoming::Presence(expected));

    let available = Presence { is_available: true, push_name: Some("Ada Lovelace".into()) };
    assert_same(written(&available), recorded("presence-available").root().to_node());
    let mut recorded = recorded("presence-subscribe").root().to_node();
    recorded.attrs.retain(|(key, _)| key != "id");
    let token = recorded.child("tctoken").unwrap().bytes();
    assert_same(written(&PresenceSubscription { to: recorded.jid("to").unwrap(), token }), recorded);
}

#[test]
fn typing_is_read_and_written() {
    for (name, state) in [("chatstate-audio", Typing::Recording), ("chatstate-paused", Typing::Paused)] {
        let recorded = recorded(name).root().to_node();
        assert_same(written(&ChatState { to: recorded.jid("to").unwrap(), state }), recorded);
    }
    let Incoming::ChatState(state) = Incoming::parse(&recorded("chatstate-composing")).unwrap() else { panic!() };
    assert_eq!((state.state, state.participant), (Typing::Composing, None));
    let nothing = Node::new("chatstate").with("from", Jid::pn("1"));
    assert_eq!(Incoming::parse(&tape(&nothing)), Err(StanzaError::MissingChild("paused")));
}
