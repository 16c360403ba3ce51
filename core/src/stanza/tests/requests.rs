use super::*;

#[test]
fn requests_of_a_start_are_written_as_other_clients_write_them() {
    assert_same(asked(&PreKeyCount), recorded_request("iq-encrypt-count"));
    assert_same(asked(&Delivery::Active), recorded_request("iq-passive-active"));
    assert_same(asked(&PrivacyQuery), recorded_request("iq-privacy-get"));
    let mut ping = recorded_request("iq-ping");
    ping.content = Content::Absent;
    assert_same(asked(&Ping), ping);
}

#[test]
fn bundles_are_asked_for_as_other_clients_do() {
    let recorded = recorded_request("iq-prekey-fetch");
    let users = recorded.child("key").unwrap().children();
    let fetch = FetchBundles { devices: users.iter().map(|user| user.jid("jid").unwrap()).collect(), reason: None };
    assert_same(asked(&fetch), recorded.clone());
    let fetch = FetchBundles { reason: Some(FetchReason::Identity), ..fetch };
    let user = asked(&fetch).child("key").unwrap().children()[0].clone();
    assert_eq!(user.text("reason").as_deref(), Some("identity"));
}

#[test]
fn keys_are_uploaded_as_other_clients_do() {
    let recorded = recorded_request("iq-prekey-upload");
    let array =
        |node: &Node, tag| -> [u8; 32] { node.child(tag).unwrap().bytes().unwrap().as_ref().try_into().unwrap() };
    let number =
        |node: &Node, tag| node.child(tag).unwrap().bytes().unwrap().iter().fold(0, |n, b| n << 8 | u32::from(*b));
    let skey = recorded.child("skey").unwrap();
    let keys = recorded.child("list").unwrap().children();
    let upload = PreKeyUpload {
        registration: number(&recorded, "registration"),
        identity: array(&recorded, "identity"),
        one_time: keys.iter().map(|key| PublicPreKey { id: number(key, "id"), key: array(key, "value") }).collect(),
        signed: PublicSignedPreKey {
            id: number(skey, "id"),
            key: array(skey, "value"),
            signature: skey.child("signature").unwrap().bytes().unwrap().as_ref().try_into().unwrap(),
        },
    };
    assert_same(asked(&upload), recorded);
}

#[test]
fn a_recorded_bundle_answer_has_a_bundle_and_a_refusal() {
    let tape = recorded("iq-prekey-bundle-result");
    assert!(matches!(Incoming::parse(&tape), Ok(Incoming::Answer(Answer { error: None, .. }))));
    let bundles = FetchBundles::parse(tape.root()).unwrap();
    let [(first, Ok(bundle)), (second, Err(BundleError::Refused(error)))] = &bundles.devices[..] else {
        panic!("{bundles:?}")
    };
    assert_eq!(first.to_string(), "738658662246:12@s.whatsapp.net");
    assert_eq!((bundle.registration, bundle.signed.id), (0x8735_5CCB, 0x7C_A8B5));
    assert_eq!(bundle.one_time.unwrap().id, 0xCA_658A);
    assert!(bundle.device_identity.as_ref().is_some_and(|identity| identity.starts_with(&[0x44, 0x41])));
    assert_eq!((second.user(), error.code, error.text.as_str()), ("9041052521", 404, "item-not-found"));
}

#[test]
fn bundles_may_be_nested_and_one_that_is_malformed_spoils_no_other() {
    let keys = |tag: &str, identity: usize| {
        Node::new(tag)
            .with_child(Node::new("registration").with_bytes(vec![0, 0, 1, 2]))
            .with_child(Node::new("identity").with_bytes(vec![5; identity]))
            .with_child(signed_node())
    };
    let user = |jid: Jid| Node::new("user").with("jid", jid);
    let mut good = keys("user", 32);
    good.attrs.push(("jid".into(), Jid::lid("1").into()));
    let answer = iq("1", "result").with_child(Node::new("list").with_children([
        good,
        user(Jid::lid("2")).with_child(keys("keys", 32).with_child(key_node(4, 6))),
        user(Jid::lid("3")).with_child(keys("keys", 31)),
    ]));
    let bundles = FetchBundles::parse(tape(&answer).root()).unwrap().devices;
    let bundle = PreKeyBundle {
        registration: 0x102,
        identity: [5; 32],
        signed: signed(),
        one_time: None,
        device_identity: None,
    };
    let nested = PreKeyBundle { one_time: Some(PublicPreKey { id: 4, key: [6; 32] }), ..bundle.clone() };
    assert_eq!(bundles[0], (Jid::lid("1"), Ok(bundle)));
    assert_eq!(bundles[1], (Jid::lid("2"), Ok(nested)));
    assert_eq!(bundles[2], (Jid::lid("3"), Err(BundleError::Malformed(StanzaError::BadContent("identity")))));
}

#[test]
fn counts_and_digests_are_read() {
    let count = |node: Node| PreKeyCount::parse(tape(&iq("1", "result").with_child(node)).root()).unwrap();
    assert_eq!(count(Node::new("count").with("value", 812_u32)), 812);
    assert_eq!(count(Node::new("count")), 0);
    let digest = Node::new("digest")
        .with_child(Node::new("registration").with_bytes(vec![0, 0, 0, 9]))
        .with_child(Node::new("type").with_bytes(vec![5]))
        .with_child(Node::new("identity").with_bytes(vec![1; 32]))
        .with_child(signed_node())
        .with_child(Node::new("list").with_children((1..4).map(|id| Node::new("id").with_bytes(vec![0, 0, id]))))
        .with_child(Node::new("hash").with_bytes(vec![2; 20]));
    let read = PreKeyDigest::parse(tape(&iq("1", "result").with_child(digest)).root()).unwrap();
    assert_eq!((read.registration, read.one_time, read.hash), (9, vec![1, 2, 3], [2; 20]));
    let rotate = asked(&RotateSignedPreKey { signed: signed() });
    assert_eq!(rotate.child("rotate").unwrap().children(), [signed_node()]);
    assert_eq!(asked(&PreKeyDigest).child("digest"), Some(&Node::new("digest")));
}

#[test]
fn device_lists_are_asked_for_and_read() {
    let known = KnownDevices { hash: "2:abc".into(), timestamp: 5, expected: Some(6) };
    let query = DeviceQuery {
        sid: "1.2-4".into(),
        context: QueryContext::Message,
        with_lid: true,
        users: vec![Jid::pn("1").into(), QueriedUser { jid: Jid::lid("2"), known: Some(known) }],
    };
    let expected = Node::new("iq")
        .with("id", "1.2-3")
        .with("xmlns", "usync")
        .with("type", "get")
        .with("to", Jid::server_itself())
        .with_child(
            Node::new("usync")
                .with("sid", "1.2-4")
                .with("mode", "query")
                .with("last", "true")
                .with("index", "0")
                .with("context", "message")
                .with_child(
                    Node::new("query")
                        .with_child(Node::new("devices").with("version", "2"))
                        .with_child(Node::new("lid")),
                )
                .with_child(Node::new("list").with_children([
                    Node::new("user").with("jid", Jid::pn("1")),
                    Node::new("user").with("jid", Jid::lid("2")).with_child(
                        Node::new("devices").with("device_hash", "2:abc").with("ts", "5").with("expected_ts", "6"),
                    ),
                ])),
        );
    assert_same(asked(&query), expected);

    let lists = DeviceQuery::parse(recorded("usync-devices-result").root()).unwrap();
    let [user] = &lists.users[..] else { panic!("{lists:?}") };
    let DeviceAnswer::List(list) = &user.devices else { panic!("{user:?}") };
    assert_eq!(user.jid.to_string(), "61191425716@s.whatsapp.net");
    let device = |id, key_index, is_hosted| ListedDevice { id, key_index, is_hosted };
    assert_eq!(list.devices, [device(0, None, false), device(14, Some(3), false), device(99, Some(5), true)]);
    let signed = list.key_index_list.as_ref().unwrap();
    assert_eq!((signed.timestamp, signed.expected), (Some(1_783_175_173), Some(1_788_700_602)));
    assert!(signed.signed.as_ref().unwrap().starts_with(&[0x53, 0xC8]));
}

#[test]
fn a_device_list_can_be_refused_for_one_user_or_for_all() {
    let error = || Node::new("error").with("code", 429_u32).with("text", "rate-overlimit").with("backoff", 30_u32);
    let user = Node::new("user")
        .with("jid", Jid::pn("1"))
        .with_child(Node::new("devices").with_child(error()))
        .with_child(Node::new("lid").with("val", Jid::lid("9")));
    let list = Node::new("list").with_child(user).with_child(Node::new("user").with("jid", Jid::pn("2")));
    let answer = iq("1", "result").with_child(Node::new("usync").with_child(list));
    let lists = DeviceQuery::parse(tape(&answer).root()).unwrap();
    let refused = IqError { code: 429, text: "rate-overlimit".into(), backoff: Some(30) };
    assert_eq!(lists.users[0].devices, DeviceAnswer::Refused(refused.clone()));
    assert_eq!(lists.users[0].lid, Some(Jid::lid("9")));
    assert_eq!(lists.users[1].devices, DeviceAnswer::Absent);
    let result = Node::new("result").with_child(Node::new("devices").with_child(error()));
    let answer = iq("1", "result").with_child(Node::new("usync").with_child(result));
    assert_eq!(DeviceQuery::parse(tape(&answer).root()).unwrap().error, Some(refused));
}

#[test]
fn answers_say_success_or_why_not() {
    let Incoming::Answer(answer) = Incoming::parse(&recorded("iq-error")).unwrap() else { panic!() };
    assert_eq!(answer.id, "19149.52155-9");
    assert_eq!(answer.error, Some(IqError { code: 401, text: "not-authorized".into(), backoff: None }));
    let answer = incoming(&iq("7", "result").with("t", 1_780_000_000_u32));
    assert_eq!(answer, Incoming::Answer(Answer { id: "7".into(), time: Some(1_780_000_000), error: None }));
    let without_reason = incoming(&iq("7", "error"));
    assert!(matches!(without_reason, Incoming::Answer(Answer { error: Some(IqError { code: 0, .. }), .. })));
}

#[test]
fn settings_are_asked_for_and_read() {
    let privacy = PrivacyQuery::parse(recorded("iq-privacy-result").root()).unwrap();
    assert_eq!((privacy.value("groupadd"), privacy.sends_read_receipts()), (Some("contact_blacklist"), true));
    let props = asked(&PropsQuery { hash: Some("abc".into()) });
    assert_eq!(props.child("props"), Some(&Node::new("props").with("protocol", "1").with("hash", "abc")));
    let prop = Node::new("prop").with("config_code", "909").with("config_value", "4");
    let sampling = Node::new("prop").with("event_code", "5").with("sampling_weight", "1");
    let answer = Node::new("props").with("ab_key", "k").with("refresh", "86400").with_children([prop, sampling]);
    let props = PropsQuery::parse(tape(&iq("1", "result").with_child(answer)).root()).unwrap();
    assert_eq!((props.values, props.refresh), (vec![(909, "4".into())], Some(86400)));
    assert!(asked(&BlocklistQuery::default()).children().is_empty());
    let item = Node::new("item").with("jid", Jid::lid("1")).with("pn_jid", Jid::pn("2"));
    let answer = iq("1", "result").with_child(Node::new("list").with("dhash", "h").with_child(item));
    let list = BlocklistQuery::parse(tape(&answer).root()).unwrap().unwrap();
    assert_eq!(list.users, [BlockedUser { jid: Jid::lid("1"), pn: Some(Jid::pn("2")) }]);
    assert_eq!(BlocklistQuery::parse(tape(&iq("1", "result")).root()), Ok(None));
    let leave = asked(&RemoveCompanionDevice { jid: Jid::pn("1").with_device(2) });
    let expected = Node::new("remove-companion-device").with("jid", Jid::pn("1").with_device(2));
    assert_eq!(leave.children(), [expected.with("reason", "user_initiated")]);
}
