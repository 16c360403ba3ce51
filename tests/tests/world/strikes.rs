//! Every flow, struck after every output: crashed, crashed with its commits held back, cut off.

use whatsio_core::api::{Aliases, Event};
use whatsio_core::binary::Node;
use whatsio_core::relay::RelayEvent;
use whatsio_core::stanza::Addressing;
use whatsio_core::types::Jid;
use whatsio_tests::puppet::Puppet;
use whatsio_tests::strikes::{Cast, Flow};
use whatsio_tests::world::text_content;

const fn nothing(_: &mut Cast) {}

/// A flow of messages between two accounts that know each other, with everything to be loaded.
const STEADY: Flow = Flow {
    name: "steady messages both ways",
    least: 8,
    takes_ms: 0,
    is_ordered: true,
    is_readable: true,
    prepare: Cast::trim,
    act: |cast| {
        let (ann, bob) = (cast.pn(0), cast.pn(2));
        cast.say(0, &bob);
        cast.say(2, &ann);
        cast.say(0, &bob);
    },
    recover: nothing,
    finish: nothing,
};

/// Ann and Bob with three companions between them, who have all talked.
fn acquainted(seed: u8) -> Cast {
    let mut cast = Cast::new(seed, &[2, 1]);
    for (by, to) in [(0, 2), (2, 0), (1, 2)] {
        let chat = cast.pn(to);
        cast.say(by, &chat);
        cast.world.settle();
    }
    cast
}

#[test]
fn steady_messages_survive_blows_at_their_sender() {
    STEADY.strike(|| acquainted(1), 0);
}

#[test]
fn steady_messages_survive_blows_at_their_receiver() {
    STEADY.strike(|| acquainted(2), 2);
}

#[test]
fn steady_messages_survive_blows_at_the_other_companion() {
    STEADY.strike(|| acquainted(3), 1);
}

/// First messages in both directions at once, between Ann and somebody who is new each time.
const FIRST: Flow = Flow {
    name: "first messages both ways",
    prepare: |cast| {
        meet_somebody_new(cast);
        cast.trim();
    },
    act: |cast| {
        let (ann, carl) = (cast.pn(0), cast.pn(1));
        cast.say(1, &ann);
        cast.say(0, &carl);
        cast.say(1, &ann);
    },
    ..STEADY
};

/// The last of the people is somebody whom nobody knows yet.
fn meet_somebody_new(cast: &mut Cast) {
    let new = cast.world.add_linked(None);
    if let Some(before) = cast.people.pop().filter(|_| cast.round > 0) {
        cast.world.disconnect(before);
    }
    cast.people.push(new);
}

#[test]
fn first_messages_survive_blows_at_whoever_is_new() {
    FIRST.strike(|| Cast::new(4, &[1, 1]), 1);
}

#[test]
fn first_messages_survive_blows_at_whoever_was_there() {
    FIRST.strike(|| Cast::new(5, &[1, 1]), 0);
}

/// What a server says when few prekeys are left, while messages come.
const FEW_PREKEYS: Flow = Flow {
    name: "prekey upload after a notice",
    least: 6,
    prepare: |cast| {
        cast.world.pass_ms(61_000);
        cast.trim();
    },
    act: |cast| {
        let (ann, device, number) = (cast.pn(0), cast.device(0), cast.round);
        let stanza = Node::new("notification")
            .with("from", Jid::server_itself())
            .with("id", format!("LOW{number}"))
            .with("type", "encrypt")
            .with("t", "1790000000")
            .with_child(Node::new("count").with("value", "0"));
        assert!(cast.world.relay.inject(cast.world.now, &device, stanza));
        cast.say(1, &ann);
    },
    finish: |cast| {
        let replaced = cast.world.told.iter().filter_map(|event| match event {
            RelayEvent::KeysUploaded { replaced, .. } => Some(*replaced),
            _ => None,
        });
        let replaced: Vec<usize> = replaced.collect();
        assert!(replaced.iter().all(|count| *count == 0), "round {}: {replaced:?}", cast.round);
        let device = cast.device(0);
        cast.puppets[0].forget(&cast.world, &device);
        stranger_writes(cast, 0, "a key from the server is good");
    },
    ..STEADY
};

/// The puppet writes to somebody's device, who reads it.
fn stranger_writes(cast: &mut Cast, who: usize, text: &str) {
    let (device, id) = (cast.device(who), format!("P{}{}", cast.round, text.len()));
    cast.puppets[0].send(&mut cast.world, &device, &id, &text_content(text));
    cast.world.settle();
    cast.expect(who, &id, text);
}

/// Ann and Bob, of whom one companion is played by the test.
fn with_stranger(seed: u8) -> Cast {
    let mut cast = Cast::new(seed, &[1, 1]);
    let bob = cast.pn(1);
    let puppet = Puppet::planted(&mut cast.world, &bob, seed);
    cast.puppets.push(puppet);
    cast.talk(0);
    cast.world.settle();
    cast
}

#[test]
fn prekey_uploads_survive_blows() {
    FEW_PREKEYS.strike(|| with_stranger(6), 0);
}

/// A login after a week, with messages waiting and a signed prekey that is due.
const ROTATION: Flow = Flow {
    name: "login with a queue and a signed prekey rotation",
    least: 20,
    takes_ms: 2_000,
    prepare: |cast| {
        // Somebody has keys that are not the newest any more when the message comes.
        let device = cast.device(0);
        let bundle = cast.world.relay.hand_out(cast.world.now, &device);
        cast.puppets[0].begin(&cast.world, &device, &bundle);
        for name in cast.people.clone() {
            cast.world.disconnect(name);
        }
        cast.world.pass_ms(8 * 24 * 3_600_000);
        cast.world.connect(cast.people[1]);
        cast.world.pass_ms(500);
    },
    act: |cast| {
        let (ann, name) = (cast.pn(0), cast.people[0]);
        for _ in 0..3 {
            cast.say(1, &ann);
        }
        cast.world.settle();
        let now = cast.world.clock(name);
        cast.world.host(name).client.connect(now).unwrap();
    },
    finish: |cast| {
        let rotated = |event: &&RelayEvent| matches!(event, RelayEvent::SignedKeyRotated { .. });
        assert!(cast.world.told.iter().filter(rotated).count() > 0, "round {}", cast.round);
        stranger_writes(cast, 0, "under an old key");
        let device = cast.device(0);
        cast.puppets[0].forget(&cast.world, &device);
        stranger_writes(cast, 0, "and under the new");
    },
    ..STEADY
};

#[test]
fn logins_with_a_queue_and_a_rotation_survive_blows() {
    ROTATION.strike(|| with_stranger(7), 0);
}

/// A companion comes while messages go both ways. It is a puppet, and the newest of them.
const PEER_GAINS: Flow = Flow {
    name: "a companion added at the peer during a send",
    prepare: |cast| drop_puppets(cast),
    act: |cast| {
        let bob = cast.pn(2);
        change_devices(cast, &bob, true);
    },
    finish: |cast| assert_newest_puppet_reads(cast, 0, 2),
    ..STEADY
};

const PEER_LOSES: Flow = Flow {
    name: "a companion removed at the peer during a send",
    prepare: |cast| {
        drop_puppets(cast);
        let bob = cast.pn(2);
        plant_known(cast, &bob, 0, 2);
    },
    act: |cast| {
        let bob = cast.pn(2);
        change_devices(cast, &bob, false);
    },
    ..STEADY
};

const OWN_GAINS: Flow = Flow {
    name: "an own companion added during a send",
    act: |cast| {
        let ann = cast.pn(0);
        change_devices(cast, &ann, true);
    },
    finish: |cast| assert_newest_puppet_reads(cast, 0, 2),
    ..PEER_GAINS
};

const OWN_LOSES: Flow = Flow {
    name: "an own companion removed during a send",
    prepare: |cast| {
        drop_puppets(cast);
        let ann = cast.pn(0);
        plant_known(cast, &ann, 0, 2);
    },
    act: |cast| {
        let ann = cast.pn(0);
        change_devices(cast, &ann, false);
    },
    ..STEADY
};

/// Messages go out under the old lists of devices, and more follow when some have heard of the change.
fn change_devices(cast: &mut Cast, account: &Jid, is_more: bool) {
    let (ann, bob) = (cast.pn(0), cast.pn(2));
    cast.trim();
    cast.say(0, &bob);
    cast.say(2, &ann);
    if is_more {
        let seed = u8::try_from(cast.round % 251).unwrap();
        let puppet = Puppet::planted(&mut cast.world, account, seed);
        cast.puppets.push(puppet);
    } else {
        let gone = cast.puppets[0].jid.clone();
        assert!(cast.world.relay.remove_device(cast.world.now, &gone));
    }
    cast.say(0, &bob);
}

fn drop_puppets(cast: &mut Cast) {
    for puppet in std::mem::take(&mut cast.puppets) {
        cast.world.relay.remove_device(cast.world.now, &puppet.jid);
    }
    cast.world.settle();
}

/// A companion that everybody has sent something to.
fn plant_known(cast: &mut Cast, account: &Jid, ann: usize, bob: usize) {
    let seed = u8::try_from(cast.round % 251).unwrap();
    let puppet = Puppet::planted(&mut cast.world, account, seed);
    cast.puppets.push(puppet);
    cast.world.settle();
    let chat = cast.pn(bob);
    cast.say(ann, &chat);
    cast.talk(bob);
    cast.world.settle();
}

/// The device that came gets, once, what is said when everything is over; of what was said before it may have some, once.
fn assert_newest_puppet_reads(cast: &mut Cast, ann: usize, bob: usize) {
    let (to_ann, to_bob) = (cast.pn(ann), cast.pn(bob));
    let last = [cast.say(ann, &to_bob), cast.say(bob, &to_ann)];
    cast.world.settle();
    let mut texts = cast.read_by_puppet(0);
    for text in &last {
        assert!(texts.contains(text), "round {}: {text} is not in {texts:?}", cast.round);
    }
    let all = texts.len();
    texts.sort();
    texts.dedup();
    assert_eq!(all, texts.len(), "round {}: {texts:?}", cast.round);
}

#[test]
fn a_companion_that_comes_at_the_peer_survives_blows_at_the_sender() {
    PEER_GAINS.strike(|| acquainted(10), 0);
}

#[test]
fn a_companion_that_comes_at_the_peer_survives_blows_at_the_peer() {
    PEER_GAINS.strike(|| acquainted(11), 2);
}

#[test]
fn a_companion_that_goes_at_the_peer_survives_blows_at_the_sender() {
    PEER_LOSES.strike(|| acquainted(12), 0);
}

#[test]
fn an_own_companion_that_comes_survives_blows_at_the_sender() {
    OWN_GAINS.strike(|| acquainted(13), 0);
}

#[test]
fn an_own_companion_that_goes_survives_blows_at_the_sender() {
    OWN_LOSES.strike(|| acquainted(14), 0);
}

/// A message that one device cannot read and asks for again.
const RETRY: Flow = Flow {
    name: "a message that is asked for again",
    least: 10,
    is_ordered: false,
    is_readable: false,
    prepare: |cast| {
        // So that there is always something left to be sent again.
        cast.let_pass(24 * 3_600_000);
        cast.trim();
    },
    act: |cast| {
        let (ann, bob, device) = (cast.pn(0), cast.pn(2), cast.device(2));
        cast.world.relay.faults().damage_ciphertext(&device);
        cast.say(0, &bob);
        cast.say(0, &bob);
        cast.say(2, &ann);
    },
    ..STEADY
};

#[test]
fn a_retry_survives_blows_at_whoever_asks() {
    RETRY.strike(|| acquainted(15), 2);
}

#[test]
fn a_retry_survives_blows_at_whoever_is_asked() {
    RETRY.strike(|| acquainted(16), 0);
}

/// Two people who know each other under two addresses learn in the middle of traffic that both are one, and one of them
/// is shown by LID from then on.
const MIGRATION: Flow = Flow {
    name: "migration to LID in the middle of traffic",
    // The two addresses are two chats until both sides know better.
    is_ordered: false,
    prepare: |cast| {
        meet_somebody_new(cast);
        hide_addresses(cast, true);
        cast.world.relay.set_addressing(&cast.pn(0), None);
        let (ann, carl) = (cast.pn(0), cast.pn(1));
        let (ann_lid, carl_lid) = (cast.lid(0), cast.lid(1));
        for (by, chat) in [(0, &carl), (1, &ann), (1, &ann_lid), (0, &carl_lid)] {
            cast.say(by, chat);
            cast.world.settle();
        }
        cast.trim();
    },
    act: |cast| {
        hide_addresses(cast, false);
        cast.world.relay.set_addressing(&cast.pn(0), Some(Addressing::Lid));
        let (ann, carl) = (cast.pn(0), cast.pn(1));
        let (ann_lid, carl_lid) = (cast.lid(0), cast.lid(1));
        for (by, chat) in [(0, &carl), (1, &ann), (1, &ann_lid), (0, &carl_lid)] {
            cast.say(by, chat);
        }
    },
    finish: |cast| {
        for (who, other) in [(0, 1), (1, 0)] {
            let known = cast.events(cast.people[who]).filter_map(|event| match event {
                Event::MessageReceived(message) => Some(message.chat_aliases.clone()),
                _ => None,
            });
            let mut both = Aliases::default();
            (both.pn, both.lid) = (Some(cast.pn(other)), Some(cast.lid(other)));
            assert_eq!(known.last(), Some(both), "round {}: both addresses are one chat", cast.round);
        }
    },
    ..STEADY
};

fn hide_addresses(cast: &mut Cast, hidden: bool) {
    for who in 0..2 {
        let account = cast.pn(who);
        assert!(cast.world.relay.hide_other_address(&account, hidden));
    }
}

#[test]
fn a_migration_survives_blows_at_whoever_migrates() {
    MIGRATION.strike(|| Cast::new(17, &[1, 1]), 0);
}

#[test]
fn a_migration_survives_blows_at_the_other_side() {
    MIGRATION.strike(|| Cast::new(18, &[1, 1]), 1);
}

/// A contact registers anew, on another phone, while messages go both ways.
const NEW_IDENTITY: Flow = Flow {
    name: "a contact that registers anew",
    prepare: |cast| {
        let bob = cast.noted[0].clone();
        cast.say(0, &bob);
        cast.world.settle();
        cast.read_by_puppet(0);
        stranger_writes(cast, 0, "from the old phone");
        cast.trim();
    },
    act: |cast| {
        let (bob, device) = (cast.noted[0].clone(), cast.device(0));
        cast.say(0, &bob);
        assert!(cast.world.relay.register_anew(cast.world.now, &bob));
        let seed = u8::try_from(cast.round % 251).unwrap();
        cast.puppets = vec![Puppet::phone(&mut cast.world, &bob, seed)];
        let (id, text) = (format!("N{}", cast.round), "from the new phone");
        cast.puppets[0].send(&mut cast.world, &device, &id, &text_content(text));
        cast.expect(0, &id, text);
        cast.say(0, &bob);
    },
    finish: |cast| {
        let bob = cast.noted[0].clone();
        let last = cast.say(0, &bob);
        cast.world.settle();
        let texts = cast.read_by_puppet(0);
        assert_eq!(texts.iter().filter(|text| **text == last).count(), 1, "round {}: {texts:?}", cast.round);
        let told = cast.events(cast.people[0]).filter(|event| matches!(event, Event::IdentityChanged(_)));
        assert_eq!(told.count(), 1, "round {}: told once", cast.round);
        stranger_writes(cast, 0, "and once more");
    },
    ..STEADY
};

#[test]
fn a_change_of_identity_survives_blows() {
    let cast = || {
        let mut cast = Cast::new(19, &[2, 1]);
        cast.talk(0);
        cast.world.settle();
        let bob = cast.pn(2);
        cast.people.pop();
        assert!(cast.world.relay.register_anew(cast.world.now, &bob));
        cast.world.settle();
        cast.puppets.push(Puppet::phone(&mut cast.world, &bob, 252));
        cast.noted.push(bob);
        cast
    };
    NEW_IDENTITY.strike(cast, 0);
}

/// A companion is linked by QR, logs in, and uploads its prekeys.
const LINKING: Flow = Flow {
    name: "linking by QR, first login and first upload",
    least: 15,
    takes_ms: 3_000,
    prepare: |cast| {
        let (ann, real) = (cast.pn(0), cast.device(0));
        let accounts = cast.world.relay.accounts();
        let devices = accounts.into_iter().filter(|account| account.pn == ann).flat_map(|account| account.devices);
        for device in devices.filter(|device| device.jid != real) {
            cast.world.relay.remove_device(cast.world.now, &device.jid);
        }
        cast.world.pass_ms(500);
        cast.people.truncate(2);
        let new = cast.world.add();
        cast.people.push(new);
        cast.noted = vec![ann];
    },
    act: |cast| {
        cast.world.connect(*cast.people.last().unwrap());
        let (now, number) = (cast.world.now, cast.noted[0].user().to_owned());
        let text = shown_code(cast).expect("a code");
        cast.world.relay.scan_qr(now, Some(&number), &text).unwrap();
    },
    recover: |cast| {
        let name = *cast.people.last().unwrap();
        for _ in 0..5 {
            cast.world.pass_ms(5_000);
            if cast.world.hosts[name.0].client.is_connected() {
                break;
            }
            // The phone's answer was durable, but the server does not know this device: it is told to link again.
            let now = cast.world.clock(name);
            let _ = cast.world.host(name).client.connect(now);
            cast.world.settle();
            if let Some(text) = shown_code(cast) {
                let _ = cast.world.relay.scan_qr(cast.world.now, Some(cast.noted[0].user()), &text);
            }
        }
    },
    finish: |cast| {
        let replaced = |event: &&RelayEvent| matches!(event, RelayEvent::KeysUploaded { replaced: 1.., .. });
        assert_eq!(cast.world.told.iter().find(replaced), None, "round {}", cast.round);
        stranger_writes(cast, 2, "a key from the server is good");
    },
    ..STEADY
};

/// The newest code on the screen of whoever came last.
fn shown_code(cast: &Cast) -> Option<String> {
    let events = cast.world.hosts[cast.people.last().unwrap().0].events.iter().rev();
    let mut codes = events.filter_map(|envelope| match &envelope.event {
        Event::QrShown { text, .. } => Some(text.clone()),
        _ => None,
    });
    codes.next()
}

#[test]
fn linking_survives_blows() {
    LINKING.strike(|| with_stranger(20), 2);
}
