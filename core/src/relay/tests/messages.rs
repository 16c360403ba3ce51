//! Who gets which part of a message under which names, and how receipts come back.

use super::*;
use crate::relay::{Cut, RequestFault};

/// Two users: one with two companions, one with one.
struct Pair {
    bench: Bench,
    alice: Device,
    alice2: Device,
    bob: Device,
    at_alice: LinkId,
    at_alice2: LinkId,
    at_bob: LinkId,
}

fn pair() -> Pair {
    let mut bench = Bench::new();
    let alice = bench.link(Some("15551111111"));
    let alice2 = bench.link(Some("15551111111"));
    let bob = bench.link(Some("15552222222"));
    let [at_alice, at_alice2, at_bob] = [&alice, &alice2, &bob].map(|device| bench.go_online(device));
    bench.take(at_alice);
    Pair { bench, alice, alice2, bob, at_alice, at_alice2, at_bob }
}

fn get<'a>(node: &'a Node, key: &str) -> Option<std::borrow::Cow<'a, str>> {
    node.text(key)
}

#[test]
fn a_message_reaches_both_sides_under_the_namespace_it_was_addressed_in() {
    let Pair { mut bench, alice, alice2, bob, at_alice, at_alice2, at_bob } = pair();
    let to = bob.lid.to_user();
    bench.send(at_alice, &message("A1", &to, &[(&bob.lid, "pkmsg"), (&alice2.lid, "msg")]));

    let ack = bench.take_all(at_alice, "ack").pop().expect("ack");
    assert_eq!((get(&ack, "class").as_deref(), get(&ack, "id").as_deref()), (Some("message"), Some("A1")));
    assert_eq!((ack.jid("from"), ack.number("t")), (Some(to.clone()), Some(bench.now.unix_seconds())));
    assert!(ack.attr("error").is_none());

    let got = bench.take_all(at_bob, "message").pop().expect("message");
    assert_eq!(got.jid("from"), Some(alice.lid.clone()));
    assert_eq!(got.jid("sender_pn"), Some(alice.jid.to_user()));
    assert_eq!((get(&got, "type").as_deref(), got.attr("recipient").is_some()), (Some("text"), false));
    assert_eq!(got.children_named("enc").count(), 1);
    assert_eq!(got.child("enc").unwrap().content_text(), Some(bob.lid.to_string().as_str()));
    assert!(got.child("device-identity").is_some() && got.child("meta").is_some());
    assert!(got.child("tctoken").is_none() && got.child("participants").is_none());

    let copy = bench.take_all(at_alice2, "message").pop().expect("own copy");
    assert_eq!((copy.jid("from"), copy.jid("recipient")), (Some(alice.lid.clone()), Some(to)));
    assert_eq!(copy.jid("peer_recipient_pn"), Some(bob.jid.to_user()));
    assert!(copy.child("device-identity").is_none(), "only beside a pkmsg");
}

#[test]
fn both_addresses_of_a_user_are_the_same_account() {
    let Pair { mut bench, alice, bob, at_alice, at_bob, .. } = pair();
    bench.send(at_alice, &message("A1", &bob.jid.to_user(), &[(&bob.jid, "msg")]));
    let got = bench.take_all(at_bob, "message").pop().unwrap();
    assert_eq!((got.jid("from"), got.jid("sender_lid")), (Some(alice.jid.clone()), Some(alice.lid.to_user())));
}

#[test]
fn the_ack_names_the_devices_only_when_the_sender_missed_some() {
    let Pair { mut bench, alice, alice2, bob, at_alice, .. } = pair();
    let to = bob.jid.to_user();
    bench.send(at_alice, &message("A1", &to, &[(&bob.jid, "msg")]));
    let phash = bench.take_all(at_alice, "ack").pop().unwrap().owned_text("phash").expect("phash");
    assert!(phash.starts_with("2:") && phash.len() == 10);
    let (phone, own_phone) = (bob.jid.to_user(), alice.jid.to_user());
    let all = [&bob.jid, &phone, &alice2.jid, &own_phone].map(|jid| (jid, "msg"));
    bench.send(at_alice, &message("A2", &to, &all));
    assert!(bench.take_all(at_alice, "ack").pop().unwrap().attr("phash").is_none());
}

#[test]
fn a_message_sent_again_is_acked_alike_and_delivered_once() {
    let Pair { mut bench, bob, at_alice, at_bob, .. } = pair();
    let stanza = message("A1", &bob.jid.to_user(), &[(&bob.jid, "msg")]);
    bench.send(at_alice, &stanza);
    let first = bench.take_all(at_alice, "ack").pop().unwrap();
    bench.advance(5_000);
    bench.send(at_alice, &stanza);
    let second = bench.take_all(at_alice, "ack").pop().unwrap();
    assert_eq!(first.number("t"), second.number("t"));
    assert_eq!(bench.take_all(at_bob, "message").len(), 1);
}

#[test]
fn a_damaged_ciphertext_reaches_one_device_and_only_once() {
    let Pair { mut bench, alice2, bob, at_alice, at_alice2, at_bob, .. } = pair();
    bench.relay.faults().damage_ciphertext(&bob.jid);
    for id in ["A1", "A2"] {
        bench.send(at_alice, &message(id, &bob.lid.to_user(), &[(&bob.lid, "msg"), (&alice2.lid, "msg")]));
    }
    let content = |node: &Node| node.child("enc").unwrap().bytes().unwrap();
    let (whole, copy) = (Bytes::from(bob.lid.to_string()), Bytes::from(alice2.lid.to_string()));
    let at_bob: Vec<bool> = bench.take_all(at_bob, "message").iter().map(|node| content(node) == whole).collect();
    assert_eq!(at_bob, [false, true]);
    assert!(bench.take_all(at_alice2, "message").iter().all(|node| content(node) == copy));
}

#[test]
fn strangers_listed_in_a_message_get_nothing() {
    let Pair { mut bench, bob, at_alice, at_bob, .. } = pair();
    let stranger = bench.link(None);
    let at_stranger = bench.go_online(&stranger);
    bench.send(at_alice, &message("A1", &bob.jid.to_user(), &[(&bob.jid, "msg"), (&stranger.jid, "msg")]));
    assert_eq!(bench.take_all(at_bob, "message").len(), 1);
    assert!(bench.take_all(at_stranger, "message").is_empty());
}

#[test]
fn a_message_to_nobody_is_refused() {
    let Pair { mut bench, bob, at_alice, .. } = pair();
    let nobody = Jid::pn("19998887777");
    bench.send(at_alice, &message("A1", &nobody, &[(&bob.jid, "msg")]));
    assert_eq!(bench.take_all(at_alice, "ack").pop().unwrap().number("error"), Some(404));
    bench.send(at_alice, &Node::new("message").with("id", "A2").with("to", bob.jid.to_user()));
    assert_eq!(bench.take_all(at_alice, "ack").pop().unwrap().number("error"), Some(479));
}

#[test]
fn a_delivery_receipt_comes_back_from_the_device_and_empties_its_queue() {
    let Pair { mut bench, alice, alice2, bob, at_alice, at_alice2, at_bob } = pair();
    bench.send(at_alice, &message("A1", &bob.lid.to_user(), &[(&bob.lid, "msg")]));
    bench.take(at_alice);
    assert_eq!(bench.relay.accounts()[1].devices[0].queued, 1);
    bench.send(at_bob, &receipt("A1", &alice.lid).with("type", "inactive"));
    let ack = bench.take_all(at_bob, "ack").pop().unwrap();
    assert_eq!((get(&ack, "class").as_deref(), get(&ack, "type").as_deref()), (Some("receipt"), Some("inactive")));
    assert_eq!(bench.relay.accounts()[1].devices[0].queued, 0);
    for link in [at_alice, at_alice2] {
        let got = bench.take_all(link, "receipt").pop().expect("receipt");
        assert_eq!((got.jid("from"), got.attr("type").is_some()), (Some(bob.lid.clone()), false));
    }
    let _ = alice2;
}

#[test]
fn reading_is_told_to_the_author_and_to_the_readers_other_devices() {
    let Pair { mut bench, alice, alice2, bob, at_alice, at_alice2, at_bob } = pair();
    let devices = [(&alice.jid, "msg"), (&alice2.jid, "msg")];
    bench.send(at_bob, &message("B1", &alice.jid.to_user(), &devices));
    bench.take(at_alice);
    let list = Node::new("list").with_child(Node::new("item").with("id", "B0"));
    let read = receipt("B1", &bob.jid.to_user()).with("type", "read").with("t", "5").with_child(list);
    bench.send(at_alice, &read);
    let told = bench.take_all(at_bob, "receipt").pop().expect("read");
    assert_eq!((told.jid("from"), get(&told, "type").as_deref()), (Some(alice.jid.clone()), Some("read")));
    assert_eq!(told.child("list").unwrap().children().len(), 1);
    let own = bench.take_all(at_alice2, "receipt").pop().expect("own read");
    assert_eq!((own.jid("from"), own.jid("recipient")), (Some(alice.jid.clone()), Some(bob.jid.to_user())));

    bench.send(at_alice, &receipt("B1", &bob.jid.to_user()).with("type", "read-self"));
    assert!(bench.take_all(at_bob, "receipt").is_empty());
    assert_eq!(get(&bench.take_all(at_alice2, "receipt")[0], "type").as_deref(), Some("read-self"));
}

#[test]
fn a_sender_receipt_stays_between_device_and_server() {
    let Pair { mut bench, alice, alice2, bob, at_alice, at_alice2, at_bob } = pair();
    bench.send(at_alice, &message("A1", &bob.jid.to_user(), &[(&bob.jid, "msg"), (&alice2.jid, "msg")]));
    bench.take(at_alice);
    let sent = receipt("A1", &alice.jid).with("type", "sender").with("recipient", bob.jid.to_user());
    bench.send(at_alice2, &sent);
    assert_eq!(bench.relay.accounts()[0].devices[1].queued, 0);
    assert!(bench.take_all(at_alice, "receipt").is_empty() && bench.take_all(at_bob, "receipt").is_empty());
}

#[test]
fn a_retry_receipt_reaches_the_sending_device_whole_and_its_resend_only_the_asking_one() {
    let Pair { mut bench, alice, alice2, bob, at_alice, at_alice2, at_bob } = pair();
    bench.send(at_alice, &message("A1", &bob.lid.to_user(), &[(&bob.lid, "msg"), (&alice2.lid, "msg")]));
    bench.take(at_alice2);
    let keys = Node::new("keys").with_child(Node::new("type").with_bytes(vec![5]));
    let retry = Node::new("retry").with("count", "1").with("id", "A1").with("t", "7").with("v", "1");
    let asked = receipt("A1", &alice.lid).with("type", "retry");
    let asked =
        asked.with_child(retry).with_child(Node::new("registration").with_bytes(vec![0, 0, 1, 2])).with_child(keys);
    bench.send(at_bob, &asked);
    bench.take(at_bob);
    let told = bench.take_all(at_alice, "receipt").pop().expect("retry");
    assert_eq!((told.jid("from"), told.children()), (Some(bob.lid.clone()), asked.children()));
    assert!(bench.take_all(at_alice2, "receipt").is_empty());
    assert_eq!(bench.relay.accounts()[1].devices[0].queued, 1, "a retry is not a delivery");
    bench.send(at_bob, &Node::new("ack").with("class", "message").with("id", "A1").with("to", alice.lid.clone()));
    assert_eq!(bench.relay.accounts()[1].devices[0].queued, 0);

    let enc = Node::new("enc").with("v", "2").with("type", "pkmsg").with("count", "1").with_bytes(vec![9]);
    let resend = Node::new("message").with("id", "A1").with("to", bob.lid.clone()).with("type", "text");
    let again = Node::new("to").with("jid", bob.lid.clone()).with_child(enc.clone());
    let resend = resend.with_child(Node::new("participants").with_child(again));
    bench.send(at_alice, &resend.with("device_fanout", "false").with_child(enc.clone()));
    let mut resent = bench.take_all(at_bob, "message");
    assert_eq!(resent.len(), 1, "a list beside the ciphertext is not delivered too");
    let got = resent.pop().expect("resend");
    assert_eq!((get(&got, "id").as_deref(), got.child("enc")), (Some("A1"), Some(&enc)));
    assert!(bench.take_all(at_alice2, "message").is_empty());
}

#[test]
fn a_peer_message_stays_in_the_account() {
    let Pair { mut bench, alice, alice2, bob, at_alice, at_alice2, at_bob } = pair();
    let enc = Node::new("enc").with("v", "2").with("type", "msg").with_bytes(vec![1]);
    let peer = Node::new("message").with("id", "P1").with("type", "text").with("category", "peer");
    let peer = peer.with_child(Node::new("meta").with("appdata", "default")).with_child(enc);
    bench.send(at_alice, &peer.clone().with("to", alice2.jid.clone()));
    let got = bench.take_all(at_alice2, "message").pop().expect("peer message");
    assert_eq!((get(&got, "category").as_deref(), got.jid("from")), (Some("peer"), Some(alice.jid.clone())));
    assert!(got.attr("recipient").is_none());
    bench.take(at_alice);
    bench.send(at_alice, &peer.with("to", bob.jid.clone()));
    assert_eq!(bench.take_all(at_alice, "ack").pop().unwrap().number("error"), Some(479));
    assert!(bench.take_all(at_bob, "message").is_empty());
}

#[test]
fn mail_for_the_phone_is_taken_in_silence() {
    let Pair { mut bench, bob, at_alice, .. } = pair();
    bench.send(at_alice, &message("A1", &bob.jid.to_user(), &[(&bob.jid.to_user(), "pkmsg")]));
    assert!(bench.take_all(at_alice, "ack").pop().unwrap().attr("error").is_none());
    bench.advance(1_000);
    assert!(bench.take_all(at_alice, "receipt").is_empty());
}

#[test]
fn a_blocked_sender_is_acked_and_not_heard() {
    let Pair { mut bench, alice, bob, at_alice, at_bob, .. } = pair();
    let item = Node::new("item").with("action", "block").with("jid", alice.lid.to_user());
    let reply = bench.ask(at_bob, Node::new("iq").with("xmlns", "blocklist").with("type", "set").with_child(item));
    assert_eq!(reply.child("list").unwrap().children().len(), 1);
    bench.send(at_alice, &message("A1", &bob.jid.to_user(), &[(&bob.jid, "msg")]));
    assert!(bench.take_all(at_alice, "ack").pop().unwrap().attr("error").is_none());
    assert!(bench.take_all(at_bob, "message").is_empty());
}

#[test]
fn the_name_a_device_announces_travels_with_its_messages() {
    let Pair { mut bench, bob, at_alice, at_bob, .. } = pair();
    bench.send(at_alice, &Node::new("presence").with("type", "available").with("name", "Alice"));
    bench.send(at_alice, &message("A1", &bob.jid.to_user(), &[(&bob.jid, "msg")]));
    assert_eq!(get(&bench.take_all(at_bob, "message")[0], "notify").as_deref(), Some("Alice"));
}

#[test]
fn a_status_post_goes_to_its_audience_with_keys_before_content() {
    let Pair { mut bench, alice, alice2, bob, at_alice, at_alice2, at_bob } = pair();
    let key = Node::new("enc").with("v", "2").with("type", "pkmsg").with_bytes(vec![1]);
    let participants = Node::new("participants")
        .with_child(Node::new("to").with("jid", bob.lid.to_user()))
        .with_child(Node::new("to").with("jid", bob.lid.clone()).with_child(key));
    let content = Node::new("enc").with("v", "2").with("type", "skmsg").with_bytes(vec![2]);
    let post = Node::new("message").with("id", "S1").with("to", Jid::status()).with("type", "text");
    bench.send(at_alice, &post.with_child(participants).with_child(content));
    let got = bench.take_all(at_bob, "message").pop().expect("status");
    assert_eq!((got.jid("from"), got.jid("participant")), (Some(Jid::status()), Some(alice.lid.clone())));
    let kinds: Vec<_> = got.children_named("enc").map(|enc| enc.owned_text("type").unwrap()).collect();
    assert_eq!(kinds, ["pkmsg", "skmsg"]);
    assert_eq!(bench.take_all(at_alice2, "message")[0].children_named("enc").count(), 1);
    let _ = alice2;
}

#[test]
fn presence_and_typing_are_shown_to_those_who_asked_and_are_there() {
    let Pair { mut bench, alice, bob, at_alice, at_bob, .. } = pair();
    let subscribe = Node::new("presence").with("type", "subscribe").with("to", bob.lid.to_user());
    bench.send(at_alice, &subscribe);
    let first = bench.take_all(at_alice, "presence").pop().expect("presence");
    assert_eq!((first.jid("from"), get(&first, "type").as_deref()), (Some(bob.lid.to_user()), Some("unavailable")));
    bench.send(at_bob, &Node::new("presence").with("type", "available").with("name", "Bob"));
    let online = bench.take_all(at_alice, "presence").pop().expect("online");
    assert!(online.attr("type").is_none());
    bench.send(at_alice, &Node::new("presence").with("type", "available").with("name", "Alice"));
    bench.send(at_bob, &Node::new("chatstate").with("to", alice.jid.to_user()).with_child(Node::new("composing")));
    let typing = bench.take_all(at_alice, "chatstate").pop().expect("typing");
    assert_eq!((typing.jid("from"), typing.child("composing").is_some()), (Some(bob.jid.to_user()), true));
    bench.drop_link(at_bob);
    let gone = bench.take_all(at_alice, "presence").pop().expect("offline");
    assert_eq!(gone.number("last"), Some(bench.now.unix_seconds()));
}

#[test]
fn faults_of_acks_and_connections_happen_as_scripted() {
    let Pair { mut bench, bob, at_alice, at_bob, .. } = pair();
    let to = bob.jid.to_user();
    bench.relay.faults().drop_message_acks(1);
    bench.send(at_alice, &message("A1", &to, &[(&bob.jid, "msg")]));
    assert!(bench.take_all(at_alice, "ack").is_empty());
    bench.relay.faults().delay_message_acks(1, 700);
    bench.send(at_alice, &message("A2", &to, &[(&bob.jid, "msg")]));
    assert!(bench.take_all(at_alice, "ack").is_empty());
    bench.advance(700);
    assert_eq!(ids(&bench.take_all(at_alice, "ack")), ["A2"]);
    bench.relay.faults().refuse_messages(1, 463);
    bench.send(at_alice, &message("A3", &to, &[(&bob.jid, "msg")]));
    assert_eq!(bench.take_all(at_alice, "ack")[0].number("error"), Some(463));
    bench.relay.faults().duplicate_deliveries(1);
    bench.send(at_alice, &message("A4", &to, &[(&bob.jid, "msg")]));
    assert_eq!(ids(&bench.take_all(at_bob, "message")), ["A1", "A2", "A4", "A4"]);
    bench.relay.faults().break_requests("w:p", 1, RequestFault::Error(500));
    let ping = Node::new("iq").with("xmlns", "w:p").with("type", "get");
    assert_eq!(bench.ask(at_alice, ping.clone()).text("type").as_deref(), Some("error"));
    assert_eq!(bench.ask(at_alice, ping).text("type").as_deref(), Some("result"));
    bench.relay.faults().disconnect_on_message(Cut::BeforeAck);
    bench.take(at_alice);
    bench.send(at_alice, &message("A5", &to, &[(&bob.jid, "msg")]));
    assert!(bench.closed.contains(&at_alice) && bench.take_all(at_alice, "ack").is_empty());
    assert_eq!(ids(&bench.take_all(at_bob, "message")), ["A5"]);
}

trait Owned {
    fn owned_text(&self, key: &str) -> Option<String>;
}

impl Owned for Node {
    fn owned_text(&self, key: &str) -> Option<String> {
        self.text(key).map(std::borrow::Cow::into_owned)
    }
}
