//! Recorded clients, run again: byte for byte, cut off anywhere, altered anywhere, redacted.

use bytes::Bytes;
use whatsio_core::api::{Config, Event, Input, ProtocolProfile};
use whatsio_core::client::Client;
use whatsio_core::recording::{Call, Ended, Entry, LineReader, ReadError, Reader, What, Writer};
use whatsio_core::replay::{Replay, ReplayError};
use whatsio_core::types::{Now, Seed};
use whatsio_tests::leaks::Secrets;
use whatsio_tests::recording::{contract, entries, recording_of, redacted, replay};
use whatsio_tests::world::{Name, World};

const TEXTS: [&str; 4] = ["the first of all", "an answer to it", "damaged on its way", "waited for the restart"];
const PUSH_NAME: &str = "Ann Exampleson";

/// Two accounts link, write to each other, repair a message, die in the middle and go on.
fn eventful(seed: u8) -> (World, [Name; 2]) {
    let mut world = World::new(seed);
    world.record = true;
    let (ann, bob) = (world.add_linked(None), world.add_linked(None));
    let (to_ann, to_bob) = (world.pn(ann), world.pn(bob));
    let now = world.clock(ann);
    world.host(ann).client.set_push_name(now, PUSH_NAME).unwrap();
    world.host(ann).client.set_presence(now, true).unwrap();
    world.host(bob).client.subscribe_presence(now, &to_ann).unwrap();
    let first = world.send(ann, &to_bob, TEXTS[0]);
    world.settle();
    world.host(bob).client.mark_read(now, &to_ann, &to_ann, &[first]).unwrap();
    world.send(bob, &to_ann, TEXTS[1]);
    world.settle();
    // A ciphertext that does not open, and its repair.
    let device = world.host(bob).client.identity().unwrap().jid;
    world.relay.faults().damage_ciphertext(&device);
    world.send(ann, &to_bob, TEXTS[2]);
    world.settle();
    world.pass_ms(5_000);
    // Bob dies with a commit in flight, and is away while more comes.
    world.host(bob).manners.hold_commits = true;
    world.send(bob, &to_ann, "lost with its process");
    world.settle();
    world.crash(bob);
    world.host(bob).manners.hold_commits = false;
    world.send(ann, &to_bob, TEXTS[3]);
    world.settle();
    world.connect(bob);
    world.pass_ms(60_000);
    world.host(ann).client.trim(0);
    world.cut(ann);
    world.pass_ms(30_000);
    assert!(TEXTS[0] == world.texts(bob)[0] && world.texts(bob).contains(&TEXTS[3].to_owned()));
    assert!(world.texts(bob).contains(&TEXTS[2].to_owned()), "the damaged one was repaired");
    (world, [ann, bob])
}

#[test]
fn every_client_of_an_eventful_world_is_run_again_byte_for_byte() {
    let (mut world, [ann, bob]) = eventful(1);
    for (name, lives) in [(ann, 1), (bob, 2)] {
        let recording = recording_of(&mut world, name);
        let known = replay(&recording).unwrap();
        assert_eq!((known.lives, known.other_version, known.ended), (lives, None, None));
        assert!(known.calls > 100 && known.outputs > 100, "{} calls, {} outputs", known.calls, known.outputs);
        assert!(known.length_ms > 90_000);
    }
}

#[test]
fn linking_by_code_and_the_end_of_an_account_are_run_again() {
    let mut world = World::new(2);
    world.record = true;
    let ann = world.add();
    let now = world.clock(ann);
    world.host(ann).client.request_pair_code(now, "+49 1511 2345678", None).unwrap();
    assert!(world.host(ann).client.set_presence(now, true).is_err(), "refusals are recorded too");
    assert!(world.host(ann).client.confirm_code(now).is_err());
    assert!(world.host(ann).client.provide_assertion(now, "{}").is_err());
    world.connect(ann);
    let shown = |event: &Event| match event {
        Event::CodeShown { code, .. } => Some(code.clone()),
        _ => None,
    };
    world.pass_until(10_000, |world| world.event(ann, shown).is_some());
    let code = world.event(ann, shown).unwrap();
    world.relay.enter_code(world.now, "4915112345678", &code).unwrap();
    world.pass_until(60_000, |world| world.hosts[ann.0].client.is_connected());
    let mut profile = ProtocolProfile::default();
    profile.root_key = world.relay.root_key();
    let now = world.clock(ann);
    world.host(ann).client.set_profile(now, profile).unwrap();
    world.host(ann).client.log_out(now).unwrap();
    world.pass_ms(10_000);
    let recording = recording_of(&mut world, ann);
    replay(&recording).unwrap();
    let mut words: Vec<&str> = Vec::new();
    let all = entries(&recording);
    for entry in &all {
        if let Entry::Call { call, .. } = entry {
            words.push(call.word());
        }
    }
    for word in ["request-pair-code", "set-presence", "confirm-code", "provide-assertion", "set-profile", "log-out"] {
        assert_eq!(words.iter().filter(|found| **found == word).count(), 1, "{word}");
    }
}

#[test]
fn a_store_that_fails_and_a_second_process_are_run_again() {
    let mut world = World::new(3);
    world.record = true;
    let (ann, bob) = (world.add_linked(None), world.add_linked(None));
    let to_bob = world.pn(bob);
    world.host(ann).manners.refuse_commit = Some((0, whatsio_core::api::CommitError::Retry));
    world.host(ann).client.trim(0);
    world.host(ann).manners.refuse_load = Some(0);
    world.send(ann, &to_bob, TEXTS[0]);
    world.settle();
    world.pass_ms(10_000);
    assert_eq!(world.texts(bob), [TEXTS[0]]);
    world.host(ann).manners.refuse_commit = Some((0, whatsio_core::api::CommitError::Fenced));
    world.send(ann, &to_bob, TEXTS[1]);
    world.settle();
    assert!(world.event(ann, |event| matches!(event, Event::Faulted(_)).then_some(())).is_some());
    for name in [ann, bob] {
        let recording = recording_of(&mut world, name);
        replay(&recording).unwrap();
        let contract = contract(&redacted(&recording));
        assert_eq!(contract.violations, []);
    }
}

/// One byte at a time: whatever a process had written when it died is run.
#[test]
fn every_prefix_of_a_recording_is_run_up_to_where_it_ends() {
    let (mut world, [_, bob]) = eventful(4);
    let recording = recording_of(&mut world, bob);
    let (mut whole, mut reader) = (Replay::new(), Reader::new());
    for (at, byte) in recording.iter().enumerate() {
        whole.run(&[*byte]).unwrap_or_else(|error| panic!("cut at {at}: {error:?}"));
        reader.push(&[*byte]);
        while reader.next_entry().unwrap().is_some() {}
        assert_eq!((whole.known().entries, whole.left_over()), (reader.number(), reader.left_over()));
    }
    assert_eq!(whole.left_over(), 0);
    let cut = &recording[..recording.len() - 1];
    let mut cut_off = Replay::new();
    cut_off.run(cut).unwrap();
    assert!(cut_off.left_over() > 0, "a cut is told from an end");
    assert_eq!(cut_off.known().entries, whole.known().entries - 1);
}

#[test]
fn a_changed_byte_anywhere_is_noticed_at_its_entry() {
    let (mut world, [ann, _]) = eventful(5);
    let recording = recording_of(&mut world, ann);
    let (mut reader, mut ends) = (Reader::new(), Vec::new());
    for (at, byte) in recording.iter().enumerate() {
        reader.push(&[*byte]);
        while reader.next_entry().unwrap().is_some() {
            ends.push(at);
        }
    }
    for at in (0..recording.len()).step_by(41) {
        let entry = ends.iter().take_while(|end| **end < at).count() as u64;
        let mut changed = recording.clone();
        changed[at] ^= 1 << (at % 8);
        let mut reader = Reader::new();
        reader.push(&changed);
        let error = loop {
            match reader.next_entry() {
                Ok(Some(_)) => {}
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        assert_eq!(reader.number(), entry, "byte {at}");
        // A length that is now greater makes the rest look like the beginning of a long entry.
        assert!(error.is_some() || reader.left_over() > 0, "byte {at}");
    }
}

/// As if the bytes had come otherwise: the recording is sound, but not of what this client does.
#[test]
fn a_changed_frame_makes_the_run_differ_and_the_place_is_told() {
    let (mut world, [_, bob]) = eventful(6);
    let all = entries(&recording_of(&mut world, bob));
    let is_frame = |entry: &Entry| matches!(entry, Entry::Call { call, .. } if matches!(&**call, Call::Handle(Input::Frame(bytes)) if bytes.len() > 8));
    let frames: Vec<usize> = (0..all.len()).filter(|at| is_frame(&all[*at])).collect();
    assert!(frames.len() > 20, "{} frames", frames.len());
    for frame in frames.iter().copied().step_by(5) {
        let (mut writer, mut changed) = (Writer::new(), Vec::new());
        for (at, entry) in all.iter().enumerate() {
            match entry {
                Entry::Call { now, call } if at == frame => {
                    let Call::Handle(Input::Frame(bytes)) = &**call else { panic!("no frame") };
                    let mut bytes = bytes.to_vec();
                    let middle = bytes.len() / 2;
                    bytes[middle] ^= 1;
                    let call = Box::new(Call::Handle(Input::Frame(Bytes::from(bytes))));
                    writer.entry(&mut changed, &Entry::Call { now: *now, call });
                }
                entry => writer.entry(&mut changed, entry),
            }
        }
        let error = replay(&changed).unwrap_err();
        let ReplayError::Differs(difference) = &error else { panic!("{error:?}") };
        let at = difference.entry as usize;
        assert!(at > frame && at < frame + 60, "changed at {frame}, noticed at {at}");
        assert_ne!(Some(&difference.recorded), difference.came.as_ref());
        assert!(!matches!(difference.recorded.what, What::Call { .. }), "a call is what is run, not what comes of it");
    }
}

#[test]
fn a_result_or_an_output_that_is_left_out_or_put_in_is_noticed() {
    let (mut world, [_, bob]) = eventful(7);
    let all = entries(&recording_of(&mut world, bob));
    let compared: Vec<usize> = (0..all.len())
        .filter(|at| matches!(all[*at], Entry::Answer(_) | Entry::Output(_) | Entry::Rest { .. }))
        .filter(|at| at + 1 < all.len())
        .collect();
    for at in compared.iter().copied().step_by(compared.len() / 12) {
        // A poll that was left out and had nothing to give leaves a history that can be.
        let copies: &[usize] = if matches!(all[at], Entry::Rest { .. }) { &[2] } else { &[0, 2] };
        for &copies in copies {
            let (mut writer, mut changed) = (Writer::new(), Vec::new());
            for (number, entry) in all.iter().enumerate() {
                (0..if number == at { copies } else { 1 }).for_each(|_| writer.entry(&mut changed, entry));
            }
            let ReplayError::Differs(difference) = replay(&changed).unwrap_err() else { panic!("not noticed: {at}") };
            let place = difference.entry as usize;
            // What is not taken by one poll is given by the next, perhaps behind another call.
            assert!((at..at + 5).contains(&place), "{copies} of {at}: noticed at {place}");
        }
    }
}

#[test]
fn recording_that_nobody_takes_ends_at_its_limit_and_the_client_goes_on() {
    let now = Now { mono: 1, unix: 1_790_000_000_000 };
    let mut client = Client::create_recorded(Config::default(), Seed::new([1; 32]), 2_000);
    client.connect(now).unwrap();
    for ms in 0..1_000 {
        client.handle(now.plus(ms), Input::Tick).unwrap();
        while client.poll().is_some() {}
    }
    assert!(!client.is_recording());
    let recording = client.take_recorded();
    assert!((2_000..3_000).contains(&recording.len()), "{} bytes", recording.len());
    let known = replay(&recording).unwrap();
    assert_eq!(known.ended, Some(Ended::Behind));
    assert!(client.take_recorded().is_empty(), "nothing comes behind the end");
    client.handle(now.plus(2_000), Input::Tick).unwrap();

    let mut taken = Client::create_recorded(Config::default(), Seed::new([1; 32]), 2_000);
    let mut whole = Vec::new();
    for ms in 0..1_000 {
        taken.handle(now.plus(ms), Input::Tick).unwrap();
        whole.extend_from_slice(&taken.take_recorded());
    }
    taken.stop_recording();
    whole.extend_from_slice(&taken.take_recorded());
    assert_eq!(replay(&whole).unwrap().ended, Some(Ended::Stopped), "who takes in time has no limit");
    assert_eq!(replay(&whole).unwrap().calls, 1_000);
}

#[test]
fn what_is_behind_an_end_is_refused() {
    let (mut writer, mut out) = (Writer::new(), Vec::new());
    let mut client = Client::create_recorded(Config::default(), Seed::new([1; 32]), 1 << 20);
    client.stop_recording();
    for entry in entries(&client.take_recorded()) {
        writer.entry(&mut out, &entry);
    }
    let tick = Box::new(Call::Handle(Input::Tick));
    writer.entry(&mut out, &Entry::Call { now: Now { mono: 0, unix: 0 }, call: tick });
    assert!(matches!(replay(&out), Err(ReplayError::Unreadable(ReadError::Malformed { entry: 2, .. }))));
}

#[test]
fn host_and_client_are_seen_to_keep_their_contract_in_the_redacted_form() {
    let (mut world, names) = eventful(8);
    for name in names {
        let redacted = redacted(&recording_of(&mut world, name));
        let contract = contract(&redacted);
        assert_eq!(contract.violations, []);
        assert!(contract.loads > 10 && contract.commits > 10, "{contract:?}");
        let mut reader = LineReader::new();
        reader.push(&redacted);
        let mut after = 0;
        while let Some(line) = reader.next_line().unwrap() {
            after += usize::from(line.what.to_string().contains(", after commit "));
        }
        assert!(after > 10, "only {after} outputs are said to have waited for a commit");
    }
}

#[test]
fn redacted_form_holds_no_key_no_text_no_name_no_address_and_no_id_of_a_message() {
    let (mut world, [ann, bob]) = eventful(9);
    let mut secrets = Secrets::default();
    let mut addresses = Vec::new();
    for name in [ann, bob] {
        let recording = recording_of(&mut world, name);
        for entry in entries(&recording) {
            match entry {
                Entry::Begin(begin) => {
                    secrets.add_bytes(begin.seed.expose());
                    for (_, record) in begin.records.into_iter().flatten() {
                        record.iter().for_each(|record| secrets.add_bytes(&record.0));
                    }
                }
                Entry::Call { call, .. } => match *call {
                    Call::Handle(Input::Loaded(_, records)) => {
                        records.iter().flatten().for_each(|record| secrets.add_bytes(&record.0));
                    }
                    Call::Handle(Input::Frame(bytes)) => secrets.add_bytes(&bytes),
                    Call::SendMessage { content, .. } => secrets.add_bytes(&content),
                    _ => {}
                },
                Entry::Answer(whatsio_core::recording::Answer::Send(_, id)) => secrets.add_text(id.as_str()),
                _ => {}
            }
        }
        let host = world.host(name);
        for (key, record) in &host.store {
            secrets.add_bytes(&key.id);
            secrets.add_bytes(&record.0);
        }
        host.written.iter().for_each(|bytes| secrets.add_bytes(bytes));
        let identity = host.client.identity().unwrap();
        addresses.extend([identity.jid.user().to_owned(), identity.lid.unwrap().user().to_owned()]);
    }
    for text in TEXTS.iter().copied().chain([PUSH_NAME, "lost with its process"]) {
        secrets.add_text(text);
    }
    addresses.iter().for_each(|address| secrets.add_text(address));
    assert!(secrets.len() > 20_000, "there is something to be found: {}", secrets.len());
    for name in [ann, bob] {
        let recording = recording_of(&mut world, name);
        let found = secrets.found_in(&recording);
        assert!(found.len() > 5 && found.iter().any(|leak| leak.contains("raw")), "found where it is: {found:?}");
        let redacted = redacted(&recording);
        let mut shown = String::new();
        let mut reader = LineReader::new();
        reader.push(&redacted);
        while let Some(line) = reader.next_line().unwrap() {
            shown.push_str(&format!("{line:?} {}\n", line.what));
        }
        for form in [redacted.as_slice(), shown.as_bytes()] {
            let leaks = secrets.found_in(form);
            assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n"));
        }
        let unix = world.now.unix / 1_000_000;
        assert!(!shown.contains(&unix.to_string()), "no date is told");
    }
}
