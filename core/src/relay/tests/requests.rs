//! Requests: every one is answered, and these as clients need them.

use sha1::Digest;

use super::*;

fn ready() -> (Bench, Device, LinkId) {
    let mut bench = Bench::new();
    let device = bench.link(None);
    let link = bench.go_online(&device);
    (bench, device, link)
}

fn iq(xmlns: &str, kind: &str, child: Node) -> Node {
    Node::new("iq").with("xmlns", xmlns).with("type", kind).with_child(child)
}

fn count(bench: &mut Bench, link: LinkId) -> u64 {
    let reply = bench.ask(link, iq("encrypt", "get", Node::new("count")));
    reply.child("count").unwrap().number("value").unwrap()
}

#[test]
fn one_time_keys_are_counted_handed_out_once_and_missed() {
    let (mut bench, device, link) = ready();
    assert_eq!(count(&mut bench, link), 0);
    let request = upload(&device, 6, &mut bench.rng);
    assert_eq!(bench.ask(link, request).text("type").as_deref(), Some("result"));
    assert_eq!(count(&mut bench, link), 6);

    let peer = bench.link(None);
    let there = bench.go_online(&peer);
    let fetch =
        |jid: &Jid| iq("encrypt", "get", Node::new("key").with_child(Node::new("user").with("jid", jid.clone())));
    let mut handed = Vec::new();
    for _ in 0..7 {
        let reply = bench.ask(there, fetch(&device.lid));
        let user = reply.child("list").unwrap().child("user").unwrap();
        assert_eq!(user.jid("jid"), Some(device.lid.clone()));
        assert_eq!(user.child("identity").unwrap().bytes().unwrap(), &device.identity.public.as_bytes()[..]);
        let identity =
            AdvSignedDeviceIdentity::decode(user.child("device-identity").unwrap().bytes().unwrap()).unwrap();
        assert!(identity.account_signature_key.is_some() && identity.device_signature.is_some());
        handed.push(user.child("key").map(|key| key.child("value").unwrap().bytes().unwrap()[0]));
    }
    assert_eq!(handed, [Some(1), Some(2), Some(3), Some(4), Some(5), Some(6), None]);
    let notices = bench.take_all(link, "notification");
    assert_eq!(notices.len(), 1, "one notice per drop");
    assert_eq!(notices[0].child("count").unwrap().number("value"), Some(4));
}

#[test]
fn the_phone_has_keys_too_and_unknown_devices_have_none() {
    let (mut bench, device, link) = ready();
    let users = [device.jid.to_user(), device.jid.to_user().with_device(77), Jid::pn("19998887777")];
    let key = Node::new("key").with_children(users.map(|jid| Node::new("user").with("jid", jid)));
    let reply = bench.ask(link, iq("encrypt", "get", key));
    let users = reply.child("list").unwrap().children();
    assert!(users[0].child("skey").is_some() && users[0].child("device-identity").is_none());
    for user in &users[1..] {
        assert_eq!(user.child("error").unwrap().number("code"), Some(406));
    }
}

#[test]
fn the_digest_is_over_the_keys_it_lists() {
    let (mut bench, device, link) = ready();
    let digest = iq("encrypt", "get", Node::new("digest"));
    assert_eq!(bench.ask(link, digest.clone()).child("error").unwrap().number("code"), Some(404));
    let request = upload(&device, 3, &mut bench.rng);
    bench.ask(link, request);
    let reply = bench.ask(link, digest);
    let digest = reply.child("digest").unwrap();
    let part = |name: &str| digest.child("skey").unwrap().child(name).unwrap().bytes().unwrap();
    let mut hash = sha1::Sha1::new();
    hash.update(digest.child("identity").unwrap().bytes().unwrap());
    hash.update(part("value"));
    hash.update(part("signature"));
    for id in digest.child("list").unwrap().children() {
        hash.update([id.bytes().unwrap()[2]; 32]);
    }
    assert_eq!(digest.child("hash").unwrap().bytes().unwrap(), &hash.finalize()[..]);
}

#[test]
fn a_signed_key_with_a_false_signature_is_refused() {
    let (mut bench, device, link) = ready();
    let other = bench.device();
    let forged = Device { identity: other.identity.clone(), ..device.clone() };
    let request = upload(&forged, 3, &mut bench.rng);
    assert_eq!(bench.ask(link, request).child("error").unwrap().number("code"), Some(406));
    let signed = KeyPair::generate(&mut bench.rng);
    let rotate = |signature: &[u8]| {
        iq(
            "encrypt",
            "set",
            Node::new("rotate").with_child(
                Node::new("skey")
                    .with_child(Node::new("id").with_bytes(vec![0, 0, 2]))
                    .with_child(Node::new("value").with_bytes(signed.public.as_bytes().to_vec()))
                    .with_child(Node::new("signature").with_bytes(signature.to_vec())),
            ),
        )
    };
    assert_eq!(bench.ask(link, rotate(&[0; 64])).child("error").unwrap().number("code"), Some(409));
    let signature = device.identity.sign(&[&signed.public.serialize()], &[4; 64]);
    assert_eq!(bench.ask(link, rotate(signature.as_bytes())).text("type").as_deref(), Some("result"));
}

#[test]
fn a_device_query_gives_the_devices_and_the_list_the_phone_signed() {
    let (mut bench, device, link) = ready();
    let query = Node::new("query").with_child(Node::new("devices").with("version", "2")).with_child(Node::new("lid"));
    let users = [device.jid.to_user(), device.lid.to_user(), Jid::pn("19998887777")];
    let list = Node::new("list").with_children(users.map(|jid| Node::new("user").with("jid", jid)));
    let usync = Node::new("usync").with("sid", "7").with("mode", "query").with_child(query).with_child(list);
    let reply = bench.ask(link, iq("usync", "get", usync));
    let usync = reply.child("usync").unwrap();
    assert_eq!(usync.text("sid").as_deref(), Some("7"));
    let users = usync.child("list").unwrap().children();
    for user in &users[..2] {
        let devices = user.child("devices").unwrap();
        let numbers: Vec<_> = devices.child("device-list").unwrap().children().iter().map(|d| d.number("id")).collect();
        assert_eq!(numbers, [Some(0), Some(u64::from(device.jid.device()))]);
        assert_eq!(devices.child("device-list").unwrap().children()[1].number("key-index"), Some(1));
        let signed = devices.child("key-index-list").unwrap();
        let signed = whatsio_proto::adv::AdvSignedKeyIndexList::decode(signed.bytes().unwrap()).unwrap();
        let key = crate::crypto::PublicKey::from_slice(signed.account_signature_key.as_deref().unwrap()).unwrap();
        let signature = crate::crypto::Signature::from_slice(signed.account_signature.as_deref().unwrap()).unwrap();
        key.verify(&[&[6, 2], signed.details.as_deref().unwrap()], &signature).expect("signed by the phone");
        assert_eq!(user.child("lid").unwrap().jid("val"), Some(device.lid.to_user()));
    }
    assert!(users[2].child("devices").unwrap().child("device-list").unwrap().children().is_empty());
}

#[test]
fn a_number_is_looked_up_by_its_digits() {
    let (mut bench, device, link) = ready();
    let query = Node::new("query").with_child(Node::new("contact"));
    let contact = |text: &str| Node::new("user").with_child(Node::new("contact").with_text(text));
    let known = format!("+{}", device.jid.user());
    let list = Node::new("list").with_child(contact(&known)).with_child(contact("+19998887777"));
    let usync = Node::new("usync").with("sid", "8").with_child(query).with_child(list);
    let reply = bench.ask(link, iq("usync", "get", usync));
    let users = reply.child("usync").unwrap().child("list").unwrap().children();
    assert_eq!(users[0].jid("jid"), Some(device.jid.to_user()));
    let kinds: Vec<_> = users.iter().map(|user| user.child("contact").unwrap().text("type").unwrap()).collect();
    assert_eq!(kinds, ["in", "out"]);
}

#[test]
fn what_clients_ask_at_start_is_answered() {
    let (mut bench, _, link) = ready();
    let asked = [
        (Node::new("iq").with("xmlns", "w:p").with("type", "get"), None),
        (iq("w:p", "get", Node::new("ping")), None),
        (iq("abt", "get", Node::new("props").with("protocol", "1")), Some("props")),
        (Node::new("iq").with("xmlns", "blocklist").with("type", "get"), Some("list")),
        (iq("privacy", "get", Node::new("privacy")), Some("privacy")),
        (iq("status", "get", Node::new("privacy")), Some("privacy")),
        (iq("w:m", "set", Node::new("media_conn")), Some("media_conn")),
        (iq("w:g2", "get", Node::new("participating")), Some("groups")),
        (
            Node::new("iq").with("xmlns", "w:stats").with_child(Node::new("add").with("t", "1").with_bytes(vec![1])),
            None,
        ),
        (iq("urn:xmpp:whatsapp:dirty", "set", Node::new("clean").with("type", "groups")), None),
        (iq("urn:xmpp:whatsapp:push", "set", Node::new("config")), None),
        (iq("tos", "get", Node::new("get_user_disclosures")), None),
        (iq("passive", "set", Node::new("passive")), None),
    ];
    for (request, child) in asked {
        let reply = bench.ask(link, request.clone());
        assert_eq!(reply.text("type").as_deref(), Some("result"), "{request:?}");
        assert_eq!(reply.number("t"), Some(bench.now.unix_seconds()));
        assert_eq!(reply.jid("from"), Some(Jid::server_itself()));
        assert_eq!(reply.children().first().map(|node| node.tag.as_str()), child, "{request:?}");
    }
    let reply = bench.ask(link, iq("no:such:thing", "get", Node::new("x")));
    assert_eq!(reply.child("error").unwrap().number("code"), Some(501));
    assert!(matches!(bench.events.last(), Some(RelayEvent::UnknownRequest { .. })));
}

#[test]
fn app_state_begins_empty_and_grows_by_patches_that_others_hear_of() {
    let (mut bench, device, link) = ready();
    let other = bench.link(Some(device.jid.user()));
    let there = bench.go_online(&other);
    let fetch = |name: &str| {
        Node::new("sync").with_child(Node::new("collection").with("name", name).with("return_snapshot", "true"))
    };
    let reply = bench.ask(link, iq("w:sync:app:state", "set", fetch("critical_block")));
    let collection = reply.child("sync").unwrap().child("collection").unwrap();
    assert_eq!((collection.number("version"), collection.children().len()), (Some(0), 0));

    let patch = |version: u64| {
        let patch = Node::new("patch").with_bytes(vec![0x12, 0]);
        Node::new("sync")
            .with_child(Node::new("collection").with("name", "regular").with("version", version).with_child(patch))
    };
    let reply = bench.ask(link, iq("w:sync:app:state", "set", patch(0)));
    assert_eq!(reply.child("sync").unwrap().child("collection").unwrap().number("version"), Some(1));
    let told = bench.take_all(there, "notification").pop().expect("server_sync");
    assert_eq!(told.child("collection").unwrap().number("version"), Some(1));
    let reply = bench.ask(there, iq("w:sync:app:state", "set", patch(0)));
    let refused = reply.child("sync").unwrap().child("collection").unwrap();
    assert_eq!(refused.child("error").unwrap().number("code"), Some(409));
    let missed = refused.child("patches").unwrap().children()[0].bytes().unwrap();
    assert_eq!(&missed[..], [0x12, 0, 0x0A, 2, 0x08, 1]);
}

#[test]
fn a_token_issued_to_a_user_is_brought_to_their_devices() {
    let (mut bench, device, link) = ready();
    let peer = bench.link(None);
    let there = bench.go_online(&peer);
    let token = Node::new("token").with("jid", peer.lid.to_user()).with("t", "5").with("type", "trusted_contact");
    bench.ask(link, iq("privacy", "set", Node::new("tokens").with_child(token)));
    let told = bench.take_all(there, "notification").pop().expect("privacy_token");
    assert_eq!((told.text("type").as_deref(), told.jid("from")), (Some("privacy_token"), Some(device.lid.to_user())));
    assert_eq!(told.child("tokens").unwrap().child("token").unwrap().bytes().unwrap().len(), 16);
}
