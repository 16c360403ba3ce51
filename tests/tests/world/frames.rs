//! Frames that are replayed, reordered, dropped, repeated, reflected, cut short or changed on their way, and ciphertexts
//! that come again under other names.

use bytes::Bytes;
use std::collections::VecDeque;
use whatsio_core::api::{DisconnectReason, Event};
use whatsio_core::binary::Node;
use whatsio_core::types::Jid;
use whatsio_tests::puppet::Puppet;
use whatsio_tests::strikes::Cast;
use whatsio_tests::world::{Name, World, text_content};

/// What somebody on the way does with frames that go one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Harm {
    /// One comes twice.
    Twice,
    /// One is missing.
    Missing,
    /// Two change places.
    Swapped,
    /// One comes back to whoever sent it.
    Reflected,
    /// One of an earlier connection comes in its place.
    Older,
    /// The end of one is missing, and the next follows at once.
    Short,
    /// One bit of one is another: in its length, in the middle, in its last byte.
    Flipped(Place),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Length(usize),
    Middle,
    End,
}

const HARMS: [Harm; 11] = [
    Harm::Twice,
    Harm::Missing,
    Harm::Swapped,
    Harm::Reflected,
    Harm::Older,
    Harm::Short,
    Harm::Flipped(Place::Length(0)),
    Harm::Flipped(Place::Length(1)),
    Harm::Flipped(Place::Length(2)),
    Harm::Flipped(Place::Middle),
    Harm::Flipped(Place::End),
];

/// Does it to the frame `at`, with those that went the other way and those of an earlier connection at hand. False if
/// there is no such frame.
fn harm(frames: &mut VecDeque<Bytes>, at: usize, harm: Harm, back: &[Bytes], older: &[Bytes]) -> bool {
    let Some(frame) = frames.get(at).cloned() else { return false };
    let flip = |byte: usize| {
        let mut bytes = frame.to_vec();
        bytes[byte] ^= 1;
        Bytes::from(bytes)
    };
    match harm {
        Harm::Twice => frames.insert(at, frame),
        Harm::Missing => {
            frames.remove(at);
            // The next shows that one is missing.
            return at < frames.len();
        }
        Harm::Swapped if at + 1 < frames.len() => frames.swap(at, at + 1),
        Harm::Swapped => return false,
        Harm::Reflected => match back.last() {
            Some(back) => frames.insert(at, back.clone()),
            None => return false,
        },
        Harm::Older => match older.get(at.min(older.len().saturating_sub(1))) {
            Some(older) => frames[at] = older.clone(),
            None => return false,
        },
        Harm::Short => frames[at] = frame.slice(..frame.len() - 1),
        Harm::Flipped(Place::Length(byte)) => frames[at] = flip(byte),
        Harm::Flipped(Place::Middle) => frames[at] = flip(frame.len() / 2),
        Harm::Flipped(Place::End) => frames[at] = flip(frame.len() - 1),
    }
    true
}

fn endings(cast: &Cast, name: Name) -> Vec<DisconnectReason> {
    let events = cast.world.hosts[name.0].events.iter().filter_map(|envelope| match &envelope.event {
        Event::Disconnected(disconnect) => Some(disconnect.reason.clone()),
        _ => None,
    });
    events.filter(|reason| *reason != DisconnectReason::Asked).collect()
}

/// Harms every frame of a stretch of traffic between Bob and the server; gives how often.
fn harm_traffic(seed: u8, is_up: bool) -> usize {
    let mut cast = Cast::new(seed, &[1, 1]);
    cast.talk(0);
    cast.conclude(true, true, "before");
    let bob = cast.people[1];
    let mut harmed = 0;
    let mut older: Vec<Bytes> = Vec::new();
    for one in HARMS {
        for at in 0..20 {
            let what = format!("{one:?} at frame {at}, up: {is_up}");
            cast.world.disconnect(bob);
            cast.world.connect(bob);
            cast.world.pass_ms(10_500);
            let (to_ann, to_bob) = (cast.pn(0), cast.pn(1));
            cast.world.host(bob).manners.hold_frames = true;
            for _ in 0..3 {
                cast.say(0, &to_bob);
                cast.say(1, &to_ann);
            }
            cast.world.settle();
            let written = cast.world.hosts[bob.0].written.clone();
            let host = cast.world.host(bob);
            let frames = if is_up { &mut host.outbound } else { &mut host.inbound };
            let before: Vec<Bytes> = frames.iter().cloned().collect();
            let back = if is_up { host.inbound.iter().cloned().collect() } else { written };
            let host = cast.world.host(bob);
            let frames = if is_up { &mut host.outbound } else { &mut host.inbound };
            let is_harmed = harm(frames, at, one, &back, &older);
            cast.world.let_go(bob);
            cast.world.pass_ms(1_000);
            if is_harmed {
                harmed += 1;
                // A frame that seems longer is waited for, until the other side has been silent for too long.
                for _ in 0..200 {
                    if !endings(&cast, bob).is_empty() {
                        break;
                    }
                    cast.world.pass(5_000);
                }
                let found = endings(&cast, bob);
                let expected = if is_up { vec![DisconnectReason::ByServer] } else { vec![DisconnectReason::Broken] };
                let is_waiting = matches!(one, Harm::Flipped(Place::Length(_)) | Harm::Short);
                assert!(
                    found == expected || (is_waiting && found == [DisconnectReason::Silent]),
                    "{what}: {found:?} instead of {expected:?}"
                );
            }
            cast.world.disconnect(bob);
            cast.world.connect(bob);
            cast.talk(1);
            cast.conclude(true, true, &what);
            if !before.is_empty() {
                older = before;
            }
            if !is_harmed && at > 0 {
                break;
            }
        }
    }
    harmed
}

#[test]
fn frames_from_the_server_that_were_tampered_with_end_the_connection_and_nothing_else() {
    let harmed = harm_traffic(1, false);
    println!("frames down: {harmed} tampered with");
    assert!(harmed >= 25, "{harmed}");
}

#[test]
fn frames_to_the_server_that_were_tampered_with_end_the_connection_and_nothing_else() {
    let harmed = harm_traffic(2, true);
    println!("frames up: {harmed} tampered with");
    assert!(harmed >= 25, "{harmed}");
}

#[test]
fn a_handshake_that_was_tampered_with_is_refused_and_the_next_one_succeeds() {
    let mut cast = Cast::new(3, &[1, 1]);
    cast.talk(0);
    cast.conclude(true, true, "before");
    let bob = cast.people[1];
    let (mut older, mut harmed) = (Vec::new(), 0);
    for is_up in [false, true] {
        for one in [Harm::Older, Harm::Reflected, Harm::Twice, Harm::Flipped(Place::Middle), Harm::Flipped(Place::End)]
        {
            let what = format!("{one:?}, up: {is_up}");
            cast.world.disconnect(bob);
            let opened = cast.world.hosts[bob.0].opens.len();
            let bob_wrote = cast.world.hosts[bob.0].written.len();
            cast.world.host(bob).manners.hold_frames = true;
            let now = cast.world.clock(bob);
            cast.world.host(bob).client.connect(now).unwrap();
            cast.world.settle();
            if !is_up {
                // The hello goes to the server; its answer is what is tampered with.
                cast.world.let_go_up(bob);
            }
            let hello: Vec<Bytes> = cast.world.hosts[bob.0].written[bob_wrote..].to_vec();
            let host = cast.world.host(bob);
            let frames = if is_up { &mut host.outbound } else { &mut host.inbound };
            let before: Vec<Bytes> = frames.iter().cloned().collect();
            let is_harmed = !before.is_empty() && harm(frames, before.len() - 1, one, &hello, &older);
            cast.world.let_go(bob);
            // What is taken for the beginning of a longer frame is waited for.
            for _ in 0..10 {
                if is_harmed && endings(&cast, bob).is_empty() && cast.world.hosts[bob.0].opens.len() == opened + 1 {
                    cast.world.pass(5_000);
                }
            }
            cast.world.pass_ms(500);
            if is_harmed {
                let found = endings(&cast, bob);
                let is_expected = found.iter().all(|reason| {
                    matches!(
                        reason,
                        DisconnectReason::Handshake
                            | DisconnectReason::CertificateNotTrusted
                            | DisconnectReason::ByServer
                            | DisconnectReason::Broken
                            | DisconnectReason::Silent
                    )
                });
                // The shorter handshake is given up without a word, and the whole one follows at once.
                let is_tried_again = cast.world.hosts[bob.0].opens.len() > opened + 1;
                // Of a hello whose key was changed on the way the server can still use the rest.
                let is_fallback = is_up && cast.world.hosts[bob.0].client.is_connected();
                assert!(is_expected && (is_tried_again || is_fallback || !found.is_empty()), "{what}: {found:?}");
                harmed += 1;
            }
            if !before.is_empty() {
                older = before;
            }
            cast.world.disconnect(bob);
            cast.world.connect(bob);
            cast.world.pass_ms(500);
            cast.talk(1);
            cast.conclude(true, true, &what);
        }
    }
    assert!(harmed >= 8, "{harmed}");
}

/// Ann, and a device of Bob's that the test plays; both have each other's session.
fn met(seed: u8) -> (World, Name, Jid, Jid, Puppet) {
    let mut world = World::new(seed);
    let (ann, bob) = (world.add_linked(None), world.add_linked(None));
    let account = world.pn(bob);
    let puppet = Puppet::planted(&mut world, &account, seed);
    world.settle();
    let to = world.hosts[ann.0].client.identity().expect("linked").jid;
    (world, ann, to, account, puppet)
}

fn deliver(world: &mut World, from: &Jid, to: &Jid, id: &str, enc: Node, statement: Option<Bytes>) {
    let stanza = Node::new("message").with("from", from.clone()).with("id", id).with("t", "1790000000");
    let mut stanza = stanza.with("type", "text").with_child(enc);
    if let Some(statement) = statement {
        stanza = stanza.with_child(Node::new("device-identity").with_bytes(statement));
    }
    assert!(world.relay.inject(world.now, to, stanza));
    world.settle();
}

#[test]
fn a_ciphertext_that_comes_again_under_other_ids_is_shown_once() {
    let (mut world, ann, to, account, mut puppet) = met(4);
    let first = puppet.enc(&mut world, &to, &text_content("first"));
    let statement = puppet.statement.clone();
    let from = puppet.jid.clone();
    deliver(&mut world, &from, &to, "A0", first.clone(), statement.clone());
    world.send(ann, &account, "answer");
    world.settle();
    puppet.mail(&mut world);
    let steady: Vec<Node> =
        (0..3).map(|number| puppet.enc(&mut world, &to, &text_content(&format!("steady {number}")))).collect();
    for (number, enc) in steady.iter().enumerate() {
        deliver(&mut world, &from, &to, &format!("B{number}"), enc.clone(), None);
    }
    let expected = ["first", "steady 0", "steady 1", "steady 2"];
    assert_eq!(world.texts(ann), expected);
    for round in 0..3 {
        deliver(&mut world, &from, &to, &format!("C{round}"), first.clone(), statement.clone());
        for (number, enc) in steady.iter().enumerate() {
            deliver(&mut world, &from, &to, &format!("D{round}{number}"), enc.clone(), None);
        }
        if round == 1 {
            world.crash(ann);
            world.connect(ann);
            world.pass_ms(1_000);
        }
        assert_eq!(world.texts(ann), expected, "round {round}");
    }
    // Under the name of another device they say nothing, either.
    for enc in steady.iter().chain([&first]) {
        deliver(&mut world, &account, &to, &format!("E{}", enc.bytes().unwrap().len()), enc.clone(), statement.clone());
    }
    assert_eq!(world.texts(ann), expected);
    assert_talk(&mut world, ann, &to, &account, &mut puppet);
}

#[test]
fn a_message_that_is_reflected_to_its_sender_is_not_shown_and_harms_no_session() {
    for is_met in [false, true] {
        let (mut world, ann, to, account, mut puppet) = met(5);
        if is_met {
            puppet.send(&mut world, &to, "HELLO", &text_content("hello"));
            world.settle();
            world.send(ann, &account, "hello yourself");
            world.settle();
            puppet.mail(&mut world);
        }
        let before = world.texts(ann);
        world.send(ann, &account, "reflected");
        world.settle();
        let mail = puppet.mail(&mut world);
        let enc = mail.iter().find_map(|mail| mail.node.child("enc")).expect("a ciphertext").clone();
        let own = [to.clone(), to.to_user(), puppet.jid.clone(), account.clone()];
        for (number, from) in own.into_iter().enumerate() {
            let statement = puppet.statement.clone();
            deliver(&mut world, &from, &to, &format!("R{number}{is_met}"), enc.clone(), statement);
        }
        assert_eq!(world.texts(ann), before, "met: {is_met}");
        assert_talk(&mut world, ann, &to, &account, &mut puppet);
    }
}

/// Both sides still read each other.
fn assert_talk(world: &mut World, ann: Name, to: &Jid, account: &Jid, puppet: &mut Puppet) {
    let before = world.texts(ann).len();
    puppet.send(world, to, "Z1", &text_content("still there?"));
    world.settle();
    assert_eq!(world.texts(ann)[before..], ["still there?"]);
    world.send(ann, account, "still here");
    world.settle();
    world.pass_ms(1_000);
    let mail = puppet.mail(world);
    assert!(mail.iter().any(|mail| mail.content == Some(text_content("still here"))), "the session goes on");
    let queued = world.relay.accounts().into_iter().flat_map(|account| account.devices).find(|one| one.jid == *to);
    assert_eq!(queued.unwrap().queued, 0, "everything is answered");
}
