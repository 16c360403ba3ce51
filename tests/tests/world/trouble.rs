use whatsio_core::api::{CloseReason, Event, Input, Output, Recommendation};
use whatsio_core::relay::{RelayOutput, RequestFault};
use whatsio_tests::world::World;

#[test]
fn what_the_server_said_before_it_closed_the_socket_counts_though_it_was_not_read_yet() {
    let mut world = World::new(130);
    let ann = world.add_linked(None);
    let (own, now) = (world.hosts[ann.0].client.identity().unwrap().jid, world.now);
    assert!(world.relay.remove_device(now, &own));
    // The host gives the last bytes and the end of the socket in one go.
    let mut client = world.hosts.remove(ann.0).client;
    while let Some(output) = world.relay.poll() {
        if let RelayOutput::Bytes(_, bytes) = output {
            client.handle(now, Input::Frame(bytes)).unwrap();
        }
    }
    client.handle(now, Input::Closed(CloseReason::ByServer)).unwrap();
    let mut said = Vec::new();
    while let Some(output) = client.poll() {
        match output {
            Output::Event(envelope) => {
                if let Event::Disconnected(disconnect) = envelope.event {
                    said.push((disconnect.reason.word(), disconnect.recommendation));
                }
            }
            Output::Commit(commit) => client.handle(now, Input::Committed(commit.id)).unwrap(),
            Output::Load(load) => client.handle(now, Input::Loaded(load.id, vec![None; load.keys.len()])).unwrap(),
            _ => {}
        }
    }
    assert_eq!(said, [("logged-out", Recommendation::LinkAgain)]);
}

#[test]
fn a_server_in_trouble_is_left_alone_for_a_while_and_the_message_goes_out_then() {
    for (seed, xmlns, code) in [(131, "usync", 429), (132, "usync", 503), (133, "encrypt", 429), (134, "encrypt", 500)]
    {
        let mut world = World::new(seed);
        let (ann, bob) = (world.add_linked(None), world.add_linked(None));
        let begun = world.now.mono;
        world.relay.faults().break_requests(xmlns, 2, RequestFault::Error(code));
        world.send(ann, &world.pn(bob), "patience");
        world.settle();
        assert!(world.texts(bob).is_empty());
        world.pass_until(30_000, |world| !world.texts(bob).is_empty());
        assert!(world.now.mono - begun >= 5_000, "{xmlns} {code}: asked again at once");
        assert_eq!(world.texts(bob), ["patience"]);
        let ends = world.hosts[ann.0].events.iter().filter_map(|envelope| match &envelope.event {
            Event::SendFinished(report) => Some(report.is_sent()),
            _ => None,
        });
        assert_eq!(ends.collect::<Vec<_>>(), [true], "{xmlns} {code}");
    }
}
