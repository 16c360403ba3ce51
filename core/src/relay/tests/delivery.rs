//! The queue of a device: order, marks, pacing, redelivery.

use super::*;
use crate::relay::{Cutting, RelayLimits};

/// Queues messages for an offline device; gives the sender's connection and the device.
fn backlog(bench: &mut Bench, count: usize) -> (LinkId, Device, Device) {
    let sender = bench.link(None);
    let receiver = bench.link(None);
    let link = bench.go_online(&sender);
    for number in 0..count {
        bench.send(link, &message(&format!("M{number}"), &receiver.lid.to_user(), &[(&receiver.lid, "msg")]));
    }
    (link, sender, receiver)
}

#[test]
fn the_backlog_comes_in_order_marked_and_closed() {
    let mut bench = Bench::new();
    let (link, _, receiver) = backlog(&mut bench, 3);
    let there = bench.log_in(&receiver);
    let preview = bench.take(there);
    let preview = preview[0].child("offline_preview").expect("preview");
    assert_eq!((preview.number("count"), preview.number("message")), (Some(3), Some(3)));
    bench.activate(there);
    let got = bench.take(there);
    assert_eq!(ids(&got), ["M0", "M1", "M2"]);
    let marks: Vec<_> = got.iter().filter_map(|node| node.number("offline")).collect();
    assert_eq!(marks, [0, 1, 2]);
    assert_eq!(got[3].child("offline").unwrap().number("count"), Some(3));
    bench.send(link, &message("LIVE", &receiver.lid.to_user(), &[(&receiver.lid, "msg")]));
    let live = bench.take_all(there, "message");
    assert!(live[0].attr("offline").is_none());
}

#[test]
fn an_empty_queue_is_closed_too() {
    let mut bench = Bench::new();
    let device = bench.link(None);
    let link = bench.log_in(&device);
    bench.activate(link);
    let end = bench.take(link).pop().expect("end mark");
    assert_eq!((end.tag.as_str(), end.child("offline").unwrap().number("count")), ("ib", Some(0)));
}

#[test]
fn what_was_not_answered_comes_again_and_what_was_does_not() {
    let mut bench = Bench::new();
    let (_, sender, receiver) = backlog(&mut bench, 3);
    let there = bench.go_online(&receiver);
    bench.send(there, &receipt("M1", &sender.lid));
    bench.drop_link(there);
    let there = bench.log_in(&receiver);
    bench.activate(there);
    assert_eq!(ids(&bench.take_all(there, "message")), ["M0", "M2"]);
    bench.send(there, &Node::new("ack").with("class", "message").with("id", "M0").with("error", "500"));
    let list = Node::new("list").with_child(Node::new("item").with("id", "M2"));
    bench.send(there, &receipt("M9", &sender.lid).with_child(list));
    let queued = bench.relay.accounts()[1].devices[0].queued;
    assert_eq!(queued, 0);
}

#[test]
fn an_answer_before_delivery_removes_nothing() {
    let mut bench = Bench::new();
    let (_, sender, receiver) = backlog(&mut bench, 1);
    let there = bench.log_in(&receiver);
    bench.send(there, &receipt("M0", &sender.lid));
    bench.activate(there);
    assert_eq!(ids(&bench.take_all(there, "message")), ["M0"]);
}

#[test]
fn a_long_backlog_waits_to_be_asked_for_but_not_for_ever() {
    let config = RelayConfig { offline_credit: 2, ..RelayConfig::default() };
    let mut bench = Bench::with(config);
    let (link, _, receiver) = backlog(&mut bench, 7);
    let there = bench.log_in(&receiver);
    bench.activate(there);
    assert_eq!(ids(&bench.take_all(there, "message")), ["M0", "M1"]);
    let batch = Node::new("ib").with_child(Node::new("offline_batch").with("count", "2"));
    bench.send(there, &batch);
    assert_eq!(ids(&bench.take_all(there, "message")), ["M2", "M3"]);
    bench.send(link, &message("LIVE", &receiver.lid.to_user(), &[(&receiver.lid, "msg")]));
    assert!(bench.take(there).is_empty(), "what is live waits behind the backlog");
    bench.advance(1_000);
    let rest = bench.take(there);
    assert_eq!(ids(&rest), ["M4", "M5", "M6", "LIVE"]);
    assert_eq!(rest[3].child("offline").unwrap().number("count"), Some(7));
}

#[test]
fn the_oldest_mail_gives_way_at_the_limit() {
    let limits = RelayLimits { queue_items: 2, ..RelayLimits::default() };
    let config = RelayConfig { limits, ..RelayConfig::default() };
    let mut bench = Bench::with(config);
    let (_, _, receiver) = backlog(&mut bench, 4);
    let there = bench.log_in(&receiver);
    bench.activate(there);
    assert_eq!(ids(&bench.take_all(there, "message")), ["M2", "M3"]);
}

#[test]
fn mail_does_not_wait_longer_than_its_time() {
    let mut bench = Bench::new();
    let (_, _, receiver) = backlog(&mut bench, 1);
    bench.advance(31 * 24 * 3_600 * 1_000);
    let there = bench.log_in(&receiver);
    bench.activate(there);
    assert!(bench.take_all(there, "message").is_empty());
}

#[test]
fn an_active_client_that_logs_in_awake_gets_its_mail_at_once() {
    let mut bench = Bench::new();
    let (_, _, receiver) = backlog(&mut bench, 1);
    let mut payload = login(&receiver);
    payload.passive = Some(false);
    let there = bench.connect(&receiver, &payload);
    assert_eq!(ids(&bench.take_all(there, "message")), ["M0"]);
}

#[test]
fn bytes_may_be_cut_joined_and_compressed_without_a_difference() {
    for (cutting, compress) in [(Cutting::Pieces(3), false), (Cutting::Joined, true), (Cutting::Frames, true)] {
        let mut bench = Bench::new();
        let (_, _, receiver) = backlog(&mut bench, 3);
        bench.relay.faults().cut_output(cutting);
        bench.relay.faults().compress_stanzas(compress);
        let there = bench.log_in(&receiver);
        bench.activate(there);
        assert_eq!(ids(&bench.take_all(there, "message")), ["M0", "M1", "M2"], "{cutting:?}");
    }
}

#[test]
fn a_silent_connection_is_taken_for_dead() {
    let mut bench = Bench::new();
    let device = bench.link(None);
    let link = bench.go_online(&device);
    bench.advance(89_000);
    assert!(!bench.closed.contains(&link));
    bench.advance(2_000);
    assert!(bench.closed.contains(&link));
    assert!(!bench.relay.accounts()[0].devices[0].online);
}

#[test]
fn the_same_seed_and_inputs_give_the_same_outputs() {
    let run = || {
        let mut bench = Bench::new();
        let (_, _, receiver) = backlog(&mut bench, 3);
        let there = bench.log_in(&receiver);
        bench.activate(there);
        let text = bench.take(there).iter().map(|node| node.revealed().to_string()).collect::<String>();
        (text, bench.relay.root_key(), bench.events)
    };
    assert_eq!(run(), run());
}
