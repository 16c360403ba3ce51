//! Linking and logging in, as a strict companion sees it.

use super::*;
use crate::relay::{LinkingFault, ScanError};

#[test]
fn a_companion_links_by_code_and_logs_in() {
    let mut bench = Bench::new();
    let device = bench.link(None);
    assert_eq!(device.jid.to_string(), "15550100001:1@s.whatsapp.net");
    let link = bench.log_in(&device);
    assert!(bench.take(link).is_empty(), "nothing is sent before the client is active");
    let accounts = bench.relay.accounts();
    assert_eq!((accounts.len(), accounts[0].devices.len()), (1, 1));
    assert!(accounts[0].devices[0].online);
}

#[test]
fn six_references_are_shown_and_any_of_them_can_be_scanned() {
    let mut bench = Bench::new();
    let device = bench.device();
    let (_, references) = bench.register(&device);
    assert_eq!(references.len(), 6);
    assert!(references.iter().all(|text| text.starts_with("2@") && !text.contains(',')));
    assert!(bench.relay.scan_qr(bench.now, None, &qr(&device, &references[5])).is_ok());
    assert_eq!(bench.relay.scan_qr(bench.now, None, &qr(&device, &references[0])), Err(ScanError::Expired));
}

#[test]
fn a_code_of_another_device_is_refused_and_changes_nothing() {
    let mut bench = Bench::new();
    let (device, other) = (bench.device(), bench.device());
    let (_, references) = bench.register(&device);
    let scan = bench.relay.scan_qr(bench.now, None, &qr(&other, &references[0]));
    assert_eq!(scan, Err(ScanError::KeyMismatch));
    assert_eq!(bench.relay.scan_qr(bench.now, None, "hello"), Err(ScanError::NotACode));
    assert_eq!(bench.relay.scan_qr(bench.now, Some("12ab"), &qr(&device, &references[0])), Err(ScanError::BadNumber));
    assert!(bench.relay.accounts().is_empty());
}

#[test]
fn a_registration_stream_ends_after_its_time() {
    let mut bench = Bench::new();
    let device = bench.device();
    let (link, references) = bench.register(&device);
    bench.advance(169_000);
    assert!(!bench.closed.contains(&link));
    bench.advance(2_000);
    assert!(bench.closed.contains(&link));
    assert_eq!(bench.relay.scan_qr(bench.now, None, &qr(&device, &references[0])), Err(ScanError::Expired));
}

#[test]
fn a_false_device_signature_links_nothing() {
    let mut bench = Bench::new();
    let mut device = bench.device();
    let (link, references) = bench.register(&device);
    bench.relay.scan_qr(bench.now, None, &qr(&device, &references[0])).unwrap();
    bench.drain();
    let success = bench.take(link).pop().unwrap();
    device.identity = KeyPair::generate(&mut bench.rng);
    let pair = success.child("pair-success").unwrap();
    let container =
        AdvSignedDeviceIdentityHmac::decode(pair.child("device-identity").unwrap().bytes().unwrap()).unwrap();
    let mut identity = AdvSignedDeviceIdentity::decode(container.details.unwrap()).unwrap();
    identity.device_signature = Some(Bytes::from(vec![1; 64]));
    let sign = Node::new("device-identity").with("key-index", 1_u32).with_bytes(identity.encode_to_vec());
    bench.answer(link, &success, Some(Node::new("pair-device-sign").with_child(sign)));
    assert!(matches!(bench.events.last(), Some(RelayEvent::LinkingFailed { .. })));
    assert!(bench.closed.contains(&link));
    assert!(bench.relay.accounts()[0].devices.is_empty());
}

#[test]
fn a_fifth_companion_is_refused() {
    let mut bench = Bench::new();
    for _ in 0..4 {
        bench.link(Some("15551234567"));
    }
    let device = bench.device();
    let (_, references) = bench.register(&device);
    let scan = bench.relay.scan_qr(bench.now, Some("15551234567"), &qr(&device, &references[0]));
    assert_eq!(scan, Err(ScanError::TooManyCompanions));
}

#[test]
fn a_login_with_another_static_key_is_refused_with_401() {
    let mut bench = Bench::new();
    let mut device = bench.link(None);
    device.noise = KeyPair::generate(&mut bench.rng);
    let link = bench.connect(&device, &login(&device));
    let failure = bench.take(link).pop().expect("failure");
    assert_eq!((failure.tag.as_str(), failure.number("reason")), ("failure", Some(401)));
    bench.advance(100);
    assert!(bench.closed.contains(&link));
}

#[test]
fn an_old_version_is_refused_with_405() {
    let mut bench = Bench::with(RelayConfig { minimum_version: Some((2, 3000, 100)), ..RelayConfig::default() });
    let device = bench.device();
    let mut payload = registration(&device, &mut Rng::new(&Seed::new([3; 32])));
    let version = |tertiary| client_payload::user_agent::AppVersion {
        primary: Some(2),
        secondary: Some(3000),
        tertiary: Some(tertiary),
        ..Default::default()
    };
    for (build, tag) in [(99, "failure"), (100, "iq")] {
        payload.user_agent =
            Some(Box::new(client_payload::UserAgent { app_version: Some(version(build)), ..Default::default() }));
        let link = bench.connect(&device, &payload);
        assert_eq!(bench.take(link).pop().unwrap().tag, tag);
    }
}

#[test]
fn the_newer_connection_of_a_device_replaces_the_older() {
    let mut bench = Bench::new();
    let device = bench.link(None);
    let older = bench.go_online(&device);
    let newer = bench.go_online(&device);
    let error = bench.take(older).pop().expect("stream error");
    assert_eq!(error.tag, "stream:error");
    assert_eq!(error.child("conflict").unwrap().text("type").as_deref(), Some("replaced"));
    bench.advance(100);
    assert!(bench.closed.contains(&older) && !bench.closed.contains(&newer));
    assert!(bench.relay.accounts()[0].devices[0].online);
}

#[test]
fn other_devices_and_contacts_hear_of_a_new_device_and_of_its_removal() {
    let mut bench = Bench::new();
    let first = bench.link(Some("15551234567"));
    let contact = bench.link(None);
    let (own, theirs) = (bench.go_online(&first), bench.go_online(&contact));
    bench.send(own, &message("A1", &contact.jid.to_user(), &[(&contact.jid, "msg")]));
    bench.take(own);
    bench.take(theirs);

    let second = bench.link(Some("15551234567"));
    let told = bench.take_all(own, "notification").pop().expect("account_sync");
    assert_eq!(told.text("type").as_deref(), Some("account_sync"));
    let devices = told.child("devices").unwrap();
    assert_eq!(devices.children_named("device").count(), 3);
    assert!(devices.child("key-index-list").unwrap().bytes().is_some());
    let told = bench.take_all(theirs, "notification").pop().expect("devices");
    assert_eq!(told.text("type").as_deref(), Some("devices"));
    let added = told.child("add").unwrap().child("device").unwrap();
    assert_eq!((added.jid("jid"), added.jid("lid")), (Some(second.jid.clone()), Some(second.lid.clone())));

    let gone = bench.go_online(&second);
    assert!(bench.relay.remove_device(bench.now, &second.jid));
    bench.drain();
    let error = bench.take(gone).pop().unwrap();
    assert_eq!((error.text("code").as_deref(), error.child("conflict").is_some()), (Some("401"), true));
    assert!(bench.take_all(theirs, "notification").pop().unwrap().child("remove").is_some());
    let refused = bench.connect(&second, &login(&second));
    assert_eq!(bench.take(refused).pop().unwrap().number("reason"), Some(401));
}

#[test]
fn device_numbers_and_key_indexes_are_not_used_again_at_once() {
    let mut bench = Bench::new();
    let first = bench.link(Some("15551234567"));
    assert!(bench.relay.remove_device(bench.now, &first.jid));
    let second = bench.link(Some("15551234567"));
    assert_eq!((first.jid.device(), second.jid.device()), (1, 2));
}

#[test]
fn a_companion_can_unlink_itself() {
    let mut bench = Bench::new();
    let device = bench.link(None);
    let link = bench.go_online(&device);
    let order = Node::new("remove-companion-device").with("jid", device.jid.clone()).with("reason", "user_initiated");
    let reply = bench.ask(link, Node::new("iq").with("xmlns", "md").with("type", "set").with_child(order));
    assert_eq!(reply.text("type").as_deref(), Some("result"));
    let error = bench.take(link).pop().unwrap();
    assert_eq!(error.child("conflict").unwrap().text("type").as_deref(), Some("device_removed"));
    assert!(bench.relay.accounts()[0].devices.is_empty());
}

#[test]
fn a_spoiled_mac_is_seen_by_the_companion() {
    let mut bench = Bench::new();
    bench.relay.faults().break_linking(LinkingFault::WrongMac);
    let device = bench.device();
    let (link, references) = bench.register(&device);
    bench.relay.scan_qr(bench.now, None, &qr(&device, &references[0])).unwrap();
    bench.drain();
    let success = bench.take(link).pop().unwrap();
    let container = success.child("pair-success").unwrap().child("device-identity").unwrap().bytes().unwrap();
    let container = AdvSignedDeviceIdentityHmac::decode(container).unwrap();
    let mac = symmetric::hmac_sha256(&device.secret, &[&container.details.unwrap()]);
    assert_ne!(container.hmac.unwrap(), &mac[..]);
    let error = Node::new("error").with("code", "401").with("text", "hmac-mismatch");
    let reply = Node::new("iq").with("type", "error").with("to", Jid::server_itself()).with_child(error);
    bench.send(link, &reply.with("id", success.text("id").unwrap().into_owned()));
    assert!(bench.closed.contains(&link));
    assert!(bench.relay.accounts()[0].devices.is_empty());
}

#[test]
fn a_client_that_knows_the_server_resumes_in_one_round_trip() {
    let mut bench = Bench::new();
    let device = bench.link(None);
    let first = bench.log_in(&device);
    let server = bench.wires[&first].server.unwrap();
    let payload = login(&device).encode_to_vec();
    let (wire, hello) = Wire::resume(&mut bench.rng, &device.noise, &payload, server);
    let link = LinkId(77);
    bench.relay.handle(bench.now, RelayInput::Opened(link));
    bench.wires.insert(link, wire);
    bench.received.insert(link, VecDeque::new());
    bench.feed(link, hello);
    assert_eq!(bench.take(link)[0].tag, "success");
}

/// The companion's half of linking by code, up to the finish.
fn finish_code(bench: &mut Bench, device: &mut Device, typed: &str) -> (LinkId, Node) {
    const CODE: &str = "ABCD1234";
    let (link, _) = bench.register(device);
    let ephemeral = KeyPair::generate(&mut bench.rng);
    let (salt, iv): ([u8; 32], [u8; 16]) = (bench.rng.bytes(), bench.rng.bytes());
    let mut key = *ephemeral.public.as_bytes();
    symmetric::aes256_ctr(symmetric::pbkdf2_sha256(CODE.as_bytes(), &salt, 131_072).expose(), &iv, &mut key);
    let stage =
        |stage: &str| Node::new("link_code_companion_reg").with("jid", Jid::pn("15551234567")).with("stage", stage);
    let iq = |child: Node| Node::new("iq").with("xmlns", "md").with("type", "set").with_child(child);
    let part = |tag: &str, bytes: &[u8]| Node::new(tag).with_bytes(bytes.to_vec());
    let hello = stage("companion_hello")
        .with("should_show_push_notification", "true")
        .with_child(part("link_code_pairing_wrapped_companion_ephemeral_pub", &[&salt[..], &iv, &key].concat()))
        .with_child(part("companion_server_auth_key_pub", device.noise.public.as_bytes()))
        .with_child(Node::new("companion_platform_id").with_text("1"))
        .with_child(Node::new("link_code_pairing_nonce").with_text("0"));
    let reply = bench.ask(link, iq(hello));
    let reference =
        reply.child("link_code_companion_reg").unwrap().child("link_code_pairing_ref").unwrap().bytes().unwrap();
    assert!(bench.events.contains(&RelayEvent::CodeRequested { account: "15551234567".to_owned() }));

    bench.relay.enter_code(bench.now, "15551234567", typed).expect("a code is awaited");
    bench.drain();
    let told = bench.take_all(link, "notification").pop().expect("primary_hello");
    let told = told.child("link_code_companion_reg").unwrap();
    let wrapped = told.child("link_code_pairing_wrapped_primary_ephemeral_pub").unwrap().bytes().unwrap();
    let primary = told.child("primary_identity_pub").unwrap().bytes().unwrap();
    let primary = crate::crypto::PublicKey::from_slice(&primary).unwrap();
    let mut theirs: [u8; 32] = wrapped[48..].try_into().unwrap();
    let wrapping = symmetric::pbkdf2_sha256(CODE.as_bytes(), &wrapped[..32], 131_072);
    symmetric::aes256_ctr(wrapping.expose(), wrapped[32..48].try_into().unwrap(), &mut theirs);
    let shared = ephemeral.agree(&crate::crypto::PublicKey::from_bytes(theirs)).unwrap();
    let (random, salt, iv): ([u8; 32], [u8; 32], [u8; 12]) = (bench.rng.bytes(), bench.rng.bytes(), bench.rng.bytes());
    let info = b"link_code_pairing_key_bundle_encryption_key";
    let sealing = symmetric::hkdf_sha256::<32>(Some(&salt), shared.expose(), info);
    let plain = [&device.identity.public.as_bytes()[..], primary.as_bytes(), &random].concat();
    let sealed = symmetric::aes256_gcm_seal(sealing.expose(), &iv, &[], &plain).unwrap();
    let identities = device.identity.agree(&primary).unwrap();
    let material = [&shared.expose()[..], identities.expose(), &random].concat();
    device.secret = *symmetric::hkdf_sha256::<32>(None, &material, b"adv_secret").expose();
    let finish = stage("companion_finish")
        .with_child(part("link_code_pairing_wrapped_key_bundle", &[&salt[..], &iv, &sealed].concat()))
        .with_child(part("companion_identity_public", device.identity.public.as_bytes()))
        .with_child(part("link_code_pairing_ref", &reference));
    let reply = bench.ask(link, iq(finish));
    (link, reply)
}

#[test]
fn a_companion_links_by_a_typed_code() {
    let mut bench = Bench::new();
    let mut device = bench.device();
    let (link, reply) = finish_code(&mut bench, &mut device, "abcd-1234");
    assert_eq!(reply.text("type").as_deref(), Some("result"));
    let success = bench.take(link).pop().expect("pair-success");
    let answer = accept(&mut device, &success, &mut bench.rng);
    bench.answer(link, &success, Some(answer));
    assert_eq!(device.jid.to_string(), "15551234567:1@s.whatsapp.net");
    bench.log_in(&device);
}

#[test]
fn a_mistyped_code_is_noticed_and_another_may_be_typed() {
    let mut bench = Bench::new();
    let mut device = bench.device();
    let (link, _) = finish_code(&mut bench, &mut device, "ABCD-1235");
    assert_eq!(bench.events.last(), Some(&RelayEvent::LinkingFailed { link, reason: "wrong code".to_owned() }));
    assert!(bench.take(link).is_empty());
    assert!(bench.relay.enter_code(bench.now, "15551234567", "ABCD-1234").is_ok());
    assert_eq!(bench.relay.enter_code(bench.now, "19998887777", "ABCD-1234"), Err(ScanError::NoCodeAwaited));
}
