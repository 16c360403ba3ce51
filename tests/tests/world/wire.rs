//! Connections that break at any byte, and relays that forget, repeat, delay and reorder.

use whatsio_core::api::Event;
use whatsio_core::relay::{Cut, RelayEvent};
use whatsio_tests::strikes::Cast;
use whatsio_tests::world::{Break, Name, World};

/// Which bytes of a frame are tried: all of them, or those where something begins or ends.
fn next_byte(after: usize, length: usize) -> usize {
    // The three bytes before a frame say how long it is; all bytes inside are alike to whoever waits for the rest.
    if std::env::var_os("WHATSIO_EVERY_BYTE").is_some() && length < 4_096 {
        return after + 1;
    }
    let tried = [0, 1, 2, 3, 4, length / 2, length - 1];
    tried.into_iter().filter(|byte| *byte > after).min().unwrap_or(length)
}

/// Breaks the connection of `victim` in the middle of every frame, while `round` lets it connect and work.
fn break_everywhere(is_up: bool, mut round: impl FnMut(Break) -> Option<usize>) -> usize {
    let mut breaks = 0;
    for frames in 0..200 {
        let mut bytes = 0;
        loop {
            let Some(length) = round(Break { is_up, frames, bytes }) else { return breaks };
            breaks += 1;
            bytes = next_byte(bytes, length);
            if bytes >= length {
                break;
            }
        }
    }
    panic!("the frames never end");
}

/// The user comes back, as often as it takes.
fn reconnect(world: &mut World, name: Name) {
    world.disconnect(name);
    world.connect(name);
}

/// A login with a queue, a message each way, and an answer.
fn break_login_and_messages(is_up: bool, seed: u8) {
    let mut cast = Cast::new(seed, &[1, 1]);
    cast.talk(0);
    cast.conclude(true, true, "before");
    let bob = cast.people[1];
    let breaks = break_everywhere(is_up, |planned| {
        let at = format!("{planned:?}");
        let (to_ann, to_bob) = (cast.pn(0), cast.pn(1));
        cast.world.disconnect(bob);
        cast.say(0, &to_bob);
        cast.say(1, &to_ann);
        cast.world.settle();
        cast.world.host(bob).breaks = Some(planned);
        cast.world.connect(bob);
        // Live ones as well.
        cast.say(0, &to_bob);
        cast.say(1, &to_ann);
        cast.world.settle();
        let host = cast.world.host(bob);
        (host.breaks, host.manners.hold_frames) = (None, false);
        let broken = host.broken_frame.take();
        reconnect(&mut cast.world, bob);
        cast.talk(1);
        cast.conclude(true, true, &at);
        broken
    });
    println!("login, receive and send, bytes {}: {breaks} breaks", if is_up { "up" } else { "down" });
    assert!(breaks > 40, "{breaks}");
}

#[test]
fn a_connection_that_breaks_at_any_byte_to_the_client_loses_and_doubles_nothing() {
    break_login_and_messages(false, 1);
}

#[test]
fn a_connection_that_breaks_at_any_byte_to_the_server_loses_and_doubles_nothing() {
    break_login_and_messages(true, 2);
}

/// Linking, the first login and the first upload.
fn break_linking(is_up: bool, seed: u8) {
    let breaks = break_everywhere(is_up, |planned| {
        let at = format!("{planned:?}");
        // A world for each break: an account has numbers for 98 devices only.
        let mut cast = Cast::new(seed, &[1, 1]);
        let number = cast.world.number(cast.people[0]);
        let new = cast.world.add();
        cast.world.host(new).breaks = Some(planned);
        for _ in 0..6 {
            let now = cast.world.clock(new);
            let _ = cast.world.host(new).client.connect(now);
            cast.world.settle();
            let codes = cast.world.hosts[new.0].events.iter().rev().filter_map(|envelope| match &envelope.event {
                Event::QrShown { text, .. } => Some(text.clone()),
                _ => None,
            });
            if let Some(text) = codes.take(1).next() {
                let _ = cast.world.relay.scan_qr(cast.world.now, Some(&number), &text);
            }
            cast.world.pass_ms(3_000);
            if cast.world.hosts[new.0].client.is_connected() {
                break;
            }
        }
        assert!(cast.world.hosts[new.0].client.is_connected(), "{at}: not linked");
        let replaced = |event: &&RelayEvent| matches!(event, RelayEvent::KeysUploaded { replaced: 1.., .. });
        assert_eq!(cast.world.told.iter().find(replaced), None, "{at}");
        cast.people.push(new);
        cast.talk(2);
        cast.conclude(true, true, &at);
        cast.world.host(new).breaks = None;
        cast.world.host(new).broken_frame.take()
    });
    println!("linking and first login, bytes {}: {breaks} breaks", if is_up { "up" } else { "down" });
    assert!(breaks > 40, "{breaks}");
}

#[test]
fn linking_over_a_connection_that_breaks_at_any_byte_to_the_client_can_be_done_again() {
    break_linking(false, 3);
}

#[test]
fn linking_over_a_connection_that_breaks_at_any_byte_to_the_server_can_be_done_again() {
    break_linking(true, 4);
}

/// Ann and Carl both write to Bob, and he to both.
fn three(seed: u8) -> Cast {
    let mut cast = Cast::new(seed, &[1, 1, 1]);
    cast.talk(1);
    cast.conclude(true, true, "before");
    cast
}

fn converse(cast: &mut Cast) {
    let (ann, bob, carl) = (cast.pn(0), cast.pn(1), cast.pn(2));
    for _ in 0..3 {
        cast.say(0, &bob);
        cast.say(2, &bob);
        cast.say(1, &ann);
        cast.say(1, &carl);
        cast.world.settle();
    }
}

#[test]
fn a_message_that_was_taken_and_forgotten_leaves_no_trace_but_its_absence() {
    for is_first in [false, true] {
        let mut cast = Cast::new(5, &[1, 1]);
        let bob = cast.pn(1);
        if !is_first {
            cast.talk(0);
            cast.conclude(true, true, "before");
        }
        for lost in 1..5 {
            let at = format!("{lost} messages forgotten, first: {is_first}");
            cast.world.relay.faults().forget_messages(lost);
            for _ in 0..lost {
                cast.say(0, &bob);
                cast.expect_nobody_to_read_it();
            }
            cast.say(0, &bob);
            cast.talk(1);
            cast.conclude(true, true, &at);
        }
    }
}

#[test]
fn what_comes_again_at_each_login_since_its_receipt_was_forgotten_is_shown_once() {
    let mut cast = three(6);
    let bob = cast.people[1];
    for forgotten in [1, 3, 100] {
        cast.world.relay.faults().forget_receipts(forgotten);
        converse(&mut cast);
        for restarts in 0..3 {
            cast.world.disconnect(bob);
            if restarts == 1 {
                cast.world.crash(bob);
            }
            cast.world.connect(bob);
        }
        cast.world.relay.faults().clear();
        for name in cast.people.clone() {
            reconnect(&mut cast.world, name);
        }
        cast.talk(1);
        cast.conclude(true, true, &format!("{forgotten} receipts forgotten"));
    }
}

#[test]
fn deliveries_that_overtake_each_other_are_read_once_and_need_no_repetition() {
    let mut cast = three(7);
    let people = cast.people.clone();
    for late in [1, 2, 5] {
        for away in [false, true] {
            if away {
                cast.world.disconnect(people[1]);
            }
            for _ in 0..3 {
                cast.world.relay.faults().delay_deliveries(late, 700);
                converse(&mut cast);
            }
            if away {
                cast.world.relay.faults().delay_deliveries(late, 700);
                cast.world.connect(people[1]);
            }
            cast.world.pass_ms(2_000);
            cast.talk(1);
            // Whoever is overtaken is read later; nothing else is promised by a server that does so.
            cast.conclude(false, true, &format!("{late} late, away: {away}"));
        }
    }
}

#[test]
fn everything_that_a_bad_relay_does_at_once_loses_and_doubles_nothing() {
    let mut cast = three(8);
    let people = cast.people.clone();
    for round in 0..12_u32 {
        let faults = cast.world.relay.faults();
        faults.duplicate_deliveries(round % 5);
        faults.delay_deliveries(round % 3, 300);
        faults.drop_message_acks(round % 2);
        faults.forget_receipts(round % 4);
        if round % 3 == 0 {
            faults.disconnect_on_message([Cut::BeforeTaking, Cut::BeforeAck, Cut::AfterAck][round as usize / 3 % 3]);
        }
        converse(&mut cast);
        cast.world.relay.faults().lose_deliveries(round % 6);
        converse(&mut cast);
        cast.world.pass_ms(2_000);
        cast.world.relay.faults().clear();
        for name in &people {
            reconnect(&mut cast.world, *name);
        }
        cast.talk(1);
        cast.conclude(false, true, &format!("round {round}"));
    }
}
