use super::*;

#[test]
fn a_device_without_account_is_offered_references() {
    let refs = (0..6_u8).map(|n| Node::new("ref").with_bytes(vec![b'2', b'@', n]));
    let offer = iq("77", "set").with("xmlns", "md").with_child(Node::new("pair-device").with_children(refs));
    let Incoming::Request(request) = incoming(&offer) else { panic!() };
    let ServerRequestKind::PairDevice(pair) = &request.kind else { panic!() };
    assert_eq!((pair.refs.len(), &pair.refs[5][..]), (6, &[b'2', b'@', 5][..]));
    let answer = EmptyResult { id: request.id, to: request.from };
    let expected = Node::new("iq").with("id", "77").with("type", "result").with("to", Jid::server_itself());
    assert_same(written(&answer), expected);
    let empty = iq("77", "set").with("xmlns", "md").with_child(Node::new("pair-device"));
    assert_eq!(Incoming::parse(&tape(&empty)), Err(StanzaError::MissingChild("ref")));
}

#[test]
fn a_recorded_pair_success_is_read_and_answered() {
    let Incoming::Request(request) = Incoming::parse(&recorded("iq-pair-success")).unwrap() else { panic!() };
    let ServerRequestKind::PairSuccess(success) = request.kind else { panic!() };
    assert_eq!(success.jid.to_string(), "61458094175:7@s.whatsapp.net");
    assert_eq!(success.lid.as_ref().unwrap().to_string(), "760703086599557:7@lid");
    assert_eq!((success.platform.as_deref(), success.business_name.as_deref()), (Some("android"), Some("Café Zürich")));
    assert!(success.device_identity.starts_with(&[0x6D, 0x4A]));

    let sign = PairDeviceSign { id: request.id, key_index: 3, device_identity: Bytes::from_static(b"identity") };
    let identity = Node::new("device-identity").with("key-index", "3").with_bytes("identity");
    let expected = Node::new("iq")
        .with("id", "589919528")
        .with("type", "result")
        .with("to", Jid::server_itself())
        .with_child(Node::new("pair-device-sign").with_child(identity));
    assert_same(written(&sign), expected);
    let refusal = Refusal { id: "5".into(), to: Jid::server_itself(), code: 401, text: "hmac-mismatch" };
    let error = Node::new("error").with("code", "401").with("text", "hmac-mismatch");
    assert_same(
        written(&refusal),
        Node::new("iq").with("id", "5").with("type", "error").with("to", Jid::server_itself()).with_child(error),
    );
}

#[test]
fn pings_and_unknown_requests_are_told_apart() {
    let kind = |node: Node| match incoming(&node) {
        Incoming::Request(request) => request.kind,
        other => panic!("{other:?}"),
    };
    assert_eq!(kind(iq("1", "get").with("xmlns", "urn:xmpp:ping")), ServerRequestKind::Ping);
    let unknown = kind(iq("1", "set").with("xmlns", "md").with_child(Node::new("pair-strangely")));
    assert_eq!(unknown, ServerRequestKind::Other { namespace: "md".into() });
}

#[test]
fn linking_by_code_goes_through_its_stages() {
    let hello = CompanionHello {
        jid: Jid::pn("15551234567"),
        notify_phone: true,
        wrapped_ephemeral: [1; 80],
        noise_key: [2; 32],
        platform_id: "1".into(),
        platform_display: "Chrome (Linux)".into(),
    };
    let node = asked(&hello);
    let registration = node.child("link_code_companion_reg").unwrap();
    assert_eq!(registration.text("stage").as_deref(), Some("companion_hello"));
    assert_eq!(registration.child("companion_platform_display").unwrap().content_text(), Some("Chrome (Linux)"));
    let wrapped = registration.child("link_code_pairing_wrapped_companion_ephemeral_pub").unwrap();
    assert_eq!(wrapped.bytes(), Some(Bytes::from(vec![1; 80])));
    let reference = || Node::new("link_code_pairing_ref").with_bytes("2@ref");
    let stage = |stage: &str| Node::new("link_code_companion_reg").with("stage", stage);
    let answer = iq("1", "result").with_child(stage("companion_hello").with_child(reference()));
    assert_eq!(CompanionHello::parse(tape(&answer).root()).unwrap(), "2@ref");

    let notice = |child: Node| {
        let node = Node::new("notification").with("id", "4").with("from", Jid::server_itself());
        match incoming(&node.with("type", "link_code_companion_reg").with_child(child)) {
            Incoming::Notification(notification) => notification.kind,
            other => panic!("{other:?}"),
        }
    };
    let primary = stage("primary_hello")
        .with_child(Node::new("link_code_pairing_wrapped_primary_ephemeral_pub").with_bytes(vec![3; 80]))
        .with_child(Node::new("primary_identity_pub").with_bytes(vec![4; 32]))
        .with_child(reference());
    let expected =
        LinkCodeNotice::PrimaryHello { wrapped_ephemeral: [3; 80], identity: [4; 32], reference: "2@ref".into() };
    assert_eq!(notice(primary), NotificationKind::LinkCode(expected));
    let refresh = stage("refresh_code").with("force_manual_refresh", "true").with_child(reference());
    let expected = LinkCodeNotice::RefreshCode { by_hand: true, reference: "2@ref".into() };
    assert_eq!(notice(refresh), NotificationKind::LinkCode(expected));

    let finish = CompanionFinish {
        jid: Jid::pn("15551234567"),
        wrapped_bundle: vec![5; 156].into(),
        identity: [6; 32],
        reference: "2@ref".into(),
    };
    let node = asked(&finish);
    let registration = node.child("link_code_companion_reg").unwrap();
    assert_eq!(registration.child("link_code_pairing_wrapped_key_bundle").unwrap().bytes().unwrap().len(), 156);
    assert_eq!(registration.child("link_code_pairing_ref"), Some(&reference()));
}

#[test]
fn logins_and_streams_end_with_their_reasons() {
    let success = Node::new("success").with("t", 1_780_000_000_u32).with("lid", Jid::lid("9").with_device(3));
    let Incoming::Success(success) = incoming(&success) else { panic!() };
    assert_eq!((success.time, success.lid), (Some(1_780_000_000), Some(Jid::lid("9").with_device(3))));
    let Incoming::Failure(failure) = Incoming::parse(&recorded("failure")).unwrap() else { panic!() };
    assert_eq!(failure.reason, 401);
    let ban = Node::new("failure")
        .with("reason", "402")
        .with("code", "101")
        .with("expire", "3600")
        .with("url", "https://example.org");
    let expected = Failure {
        reason: 402,
        code: Some(101),
        expire: Some(3600),
        message: None,
        url: Some("https://example.org".into()),
        location: None,
    };
    assert_eq!(incoming(&ban), Incoming::Failure(expected));
    let restart = StreamError { code: Some(515), cause: None };
    assert_eq!(Incoming::parse(&recorded("stream-error-515")), Ok(Incoming::StreamError(restart)));
    assert_eq!(Incoming::parse(&recorded("xmlstreamend")), Ok(Incoming::StreamEnd));
    for (child, cause) in [
        (Node::new("conflict").with("type", "replaced"), StreamErrorCause::Replaced),
        (Node::new("conflict").with("type", "device_removed"), StreamErrorCause::Removed),
        (Node::new("ack").with("id", "77"), StreamErrorCause::BadAck { id: Some("77".into()) }),
        (Node::new("xml-not-well-formed"), StreamErrorCause::NotWellFormed),
    ] {
        let expected = StreamError { code: None, cause: Some(cause) };
        assert_eq!(incoming(&Node::new("stream:error").with_child(child)), Incoming::StreamError(expected));
    }
}

#[test]
fn broadcasts_are_read_and_answered() {
    let preview = OfflinePreview { count: 4, messages: 2, receipts: 1, notifications: 1, ..OfflinePreview::default() };
    assert_eq!(
        Incoming::parse(&recorded("ib-offline-preview")),
        Ok(Incoming::Ib(vec![InfoBroadcast::OfflinePreview(preview)]))
    );
    let dirty = InfoBroadcast::Dirty { kind: "account_sync".into(), timestamp: Some(1_783_484_845) };
    assert_eq!(Incoming::parse(&recorded("ib-dirty")), Ok(Incoming::Ib(vec![dirty])));
    let routing = Node::new("edge_routing").with_child(Node::new("routing_info").with_bytes(vec![8, 8]));
    let both = Node::new("ib").with_child(routing).with_child(Node::new("offline").with("count", "0"));
    let routing = InfoBroadcast::EdgeRouting { routing_info: vec![8, 8].into(), dns_domain: None };
    assert_eq!(incoming(&both), Incoming::Ib(vec![routing, InfoBroadcast::Offline { count: 0 }]));

    let batch = Node::new("ib").with_child(Node::new("offline_batch").with("count", "200"));
    assert_same(written(&OfflineBatch { count: 200 }), batch);
    let session = written(&UnifiedSession::at(1_780_000_000_000));
    // 1,780,000,000 s and three days, in a week of 604,800 s.
    let id = (1_780_000_000_u64 + 259_200) % 604_800 * 1000;
    assert_same(session, Node::new("ib").with_child(Node::new("unified_session").with("id", id)));
    let clean = asked(&CleanDirty { kind: "groups".into(), timestamp: None });
    assert_eq!(clean.child("clean"), Some(&Node::new("clean").with("type", "groups")));
}
