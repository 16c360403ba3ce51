use whatsio_core::api::{CodePurpose, Event, OpResult};
use whatsio_tests::world::{Name, World};

const PHONE: &str = "15550100001";

fn shown_codes(world: &World, name: Name) -> Vec<String> {
    let codes = world.hosts[name.0].events.iter().filter_map(|envelope| match &envelope.event {
        Event::CodeShown { code, purpose: CodePurpose::EnterOnPhone, .. } => Some(code.clone()),
        _ => None,
    });
    codes.collect()
}

fn op_results(world: &World, name: Name) -> Vec<OpResult> {
    let results = world.hosts[name.0].events.iter().filter_map(|envelope| match &envelope.event {
        Event::OperationFinished { result, .. } => Some(result.clone()),
        _ => None,
    });
    results.collect()
}

fn request(world: &mut World, name: Name, custom: Option<&str>) {
    let now = world.now;
    world.host(name).client.request_pair_code(now, "+1 555 010-0001", custom).unwrap();
    world.settle();
}

#[test]
fn a_code_typed_on_the_phone_links_whether_drawn_or_chosen() {
    for custom in [None, Some("whats-j99")] {
        let mut world = World::new(200);
        let ann = world.add();
        world.connect(ann);
        request(&mut world, ann, custom);
        let codes = shown_codes(&world, ann);
        assert_eq!(codes.len(), 1);
        assert_eq!(op_results(&world, ann), [OpResult::Done]);
        world.relay.enter_code(world.now, PHONE, &codes[0]).unwrap();
        world.pass_until(60_000, |world| world.hosts[ann.0].client.is_connected());
    }
}
