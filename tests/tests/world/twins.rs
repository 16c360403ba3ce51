//! Two processes on one account: both restored from one store, both connected, answered in every order. One is fenced
//! off, and nothing is lost, doubled, or encrypted with a counter used before.

use std::collections::BTreeMap;
use whatsio_core::api::{Event, EventId, FaultReason, MessageId};
use whatsio_core::relay::RelayConfig;
use whatsio_core::types::Jid;
use whatsio_tests::world::{Name, World, text_content, text_in};

/// Ann's account, which two processes have at times, and Bob.
struct Twins {
    world: World,
    /// The two processes. Between rounds only the first runs.
    both: [Name; 2],
    bob: Name,
    /// Which of them the store is with now: both have the same.
    holder: usize,
    round: usize,
    faults: usize,
}

/// What was said in a round, each to be read once.
#[derive(Default)]
struct Said {
    to_bob: Vec<String>,
    to_ann: Vec<String>,
}

impl Twins {
    fn new(seed: u8) -> Self {
        let mut config = RelayConfig::default();
        config.limits.counters = 1_000_000;
        let mut world = World::with_relay(seed, config);
        let (ann, bob) = (world.add_linked(None), world.add_linked(None));
        let twin = world.add();
        for (from, to) in [(ann, bob), (bob, ann)] {
            world.send(from, &world.pn(to), "hello");
            world.settle();
        }
        Self { world, both: [ann, twin], bob, holder: 0, round: 0, faults: 0 }
    }

    /// Brings the one store to the process that uses it next.
    fn hand_store_to(&mut self, which: usize) {
        if which == self.holder {
            return;
        }
        let (from, to) = (self.both[self.holder], self.both[which]);
        let (store, epoch) = (std::mem::take(&mut self.world.host(from).store), self.world.hosts[from.0].epoch());
        let host = self.world.host(to);
        host.store = store;
        host.see_epoch(epoch);
        self.holder = which;
    }

    /// One process goes one step.
    fn turn(&mut self, which: usize) -> bool {
        self.hand_store_to(which);
        self.world.turn(self.both[which], &self.both)
    }

    fn start(&mut self, which: usize) {
        self.hand_store_to(which);
        self.world.crash(self.both[which]);
        let now = self.world.now;
        self.world.host(self.both[which]).client.connect(now).unwrap();
    }

    fn is_fenced(&self, which: usize) -> bool {
        let mut events = self.world.hosts[self.both[which].0].events.iter();
        events.any(|envelope| matches!(envelope.event, Event::Faulted(FaultReason::Fenced)))
    }

    /// Both go on, one output each, until neither has anything left to do.
    fn alternate(&mut self) {
        for _ in 0..10_000 {
            if !(self.turn(0) | self.turn(1)) {
                return;
            }
        }
        panic!("the two never come to rest");
    }

    /// The second process starts after `ahead` outputs of the first; then they take turns as `word` says.
    fn run(&mut self, ahead: usize, word: &[usize]) -> bool {
        let at = format!("round {}: {ahead} outputs ahead, then {word:?}", self.round);
        let (ann, bob) = (self.both[0], self.bob);
        let (to_ann, to_bob) = (self.world.pn(ann), self.world.pn(bob));
        let mut said = Said::default();
        self.world.disconnect(ann);
        let waiting = format!("waiting for Ann in round {}", self.round);
        self.world.send(bob, &to_ann, &waiting);
        said.to_ann.push(waiting);
        let waiting = format!("waiting in the store in round {}", self.round);
        self.world.send(ann, &to_bob, &waiting);
        said.to_bob.push(waiting);
        self.world.settle();
        self.both.iter().for_each(|name| self.world.hosts[name.0].events.clear());
        self.world.host(bob).events.clear();

        self.start(0);
        let mut is_over = false;
        for _ in 0..ahead {
            is_over = !self.turn(0);
        }
        self.start(1);
        for which in word {
            self.turn(*which);
        }
        let between = format!("while both run in round {}", self.round);
        let now = self.world.now;
        self.world.host(bob).client.send_message(now, &to_ann, text_content(&between), None).unwrap();
        said.to_ann.push(between);
        self.alternate();
        // Whoever has noticed nothing so far has something to say, too; one of them can.
        let mut late = Vec::new();
        for which in [0, 1] {
            late.extend(self.speak(which, &to_bob));
        }
        self.alternate();
        let fenced = [0, 1].map(|which| self.is_fenced(which));
        assert_eq!(fenced.iter().filter(|fenced| **fenced).count(), 1, "{at}: one is fenced off: {fenced:?}");
        self.faults += 1;
        let winner = usize::from(fenced[0]);
        self.hand_store_to(winner);
        let name = self.both[winner];
        // What nobody said was kept is handed over again, as an application does; what was said to be kept is not.
        for (id, text) in late {
            if !self.both.iter().any(|name| is_queued(&self.world, *name, &id)) {
                self.world.host(name).client.send_message(now, &to_bob, text_content(&text), Some(id)).unwrap();
            }
            said.to_bob.push(text);
        }
        self.world.disconnect(name);
        self.world.connect(name);
        let (text, answer) = (format!("after round {}", self.round), format!("answer in round {}", self.round));
        self.world.send(name, &to_bob, &text);
        self.world.send(bob, &to_ann, &answer);
        said.to_bob.push(text);
        said.to_ann.push(answer);
        self.world.pass_ms(3_000);
        self.assert_all_is_well(&said, &at);
        // The next round begins with the first process again.
        self.world.disconnect(name);
        self.hand_store_to(0);
        self.world.crash(ann);
        self.world.connect(ann);
        self.world.pass_ms(500);
        self.round += 1;
        is_over
    }

    /// Somebody accepts a send, if the process still takes any.
    fn speak(&mut self, which: usize, to_bob: &Jid) -> Option<(MessageId, String)> {
        self.hand_store_to(which);
        let (now, text) = (self.world.now, format!("late by {which} in round {}", self.round));
        let client = &mut self.world.host(self.both[which]).client;
        let (_, id) = client.send_message(now, to_bob, text_content(&text), None).ok()?;
        Some((id, text))
    }

    fn assert_all_is_well(&self, said: &Said, at: &str) {
        let sorted = |mut texts: Vec<String>| {
            texts.sort();
            texts
        };
        assert_eq!(sorted(texts(&self.world, &[self.bob], at)), sorted(said.to_bob.clone()), "{at}: Bob");
        assert_eq!(sorted(texts(&self.world, &self.both, at)), sorted(said.to_ann.clone()), "{at}: Ann");
        assert_eq!(self.world.relay.counters().reused, [], "{at}");
        for name in [self.bob, self.both[0], self.both[1]] {
            let mut events = self.world.hosts[name.0].events.iter();
            let lost = events.find(|envelope| matches!(envelope.event, Event::MessageUndecryptable(_)));
            assert_eq!(lost, None, "{at}: {name:?}");
        }
    }
}

fn is_queued(world: &World, name: Name, id: &MessageId) -> bool {
    let mut events = world.hosts[name.0].events.iter();
    events.any(|envelope| matches!(&envelope.event, Event::SendQueued { id: queued, .. } if queued == id))
}

/// What one application saw that took the events of all these processes, by event id.
fn texts(world: &World, names: &[Name], at: &str) -> Vec<String> {
    let mut seen: BTreeMap<EventId, String> = BTreeMap::new();
    for name in names {
        for envelope in &world.hosts[name.0].events {
            if let Event::MessageReceived(message) = &envelope.event {
                let text = text_in(&message.content).unwrap();
                let known = seen.entry(envelope.id).or_insert_with(|| text.clone());
                assert_eq!(*known, text, "{at}: one event id for two messages");
            }
        }
    }
    seen.into_values().collect()
}

/// Every order of `length` turns.
fn words(length: usize) -> impl Iterator<Item = Vec<usize>> {
    (0..1_usize << length).map(move |bits| (0..length).map(|at| bits >> at & 1).collect())
}

#[test]
fn two_processes_that_start_together_leave_one_whatever_the_order_of_their_first_outputs() {
    let mut twins = Twins::new(1);
    for word in words(7) {
        twins.run(0, &word);
    }
    println!("two processes from the start: {} rounds, one fenced off in each", twins.faults);
    assert_eq!(twins.faults, 128);
}

#[test]
fn a_process_that_starts_at_any_moment_of_another_leaves_one() {
    let mut twins = Twins::new(2);
    for ahead in 1.. {
        let mut is_over = false;
        for word in [[0, 0, 1, 1], [0, 1, 0, 1], [1, 0, 1, 0], [1, 1, 0, 0]] {
            is_over |= twins.run(ahead, &word);
        }
        if is_over {
            println!("a second process after each of {ahead} outputs: {} rounds", twins.faults);
            assert!(ahead > 15, "{ahead} outputs only");
            return;
        }
    }
}

#[test]
fn a_process_whose_commit_is_on_its_way_while_another_takes_over_is_fenced() {
    let mut twins = Twins::new(3);
    let (ann, bob) = (twins.both[0], twins.bob);
    let (to_ann, to_bob) = (twins.world.pn(ann), twins.world.pn(bob));
    for number in 0..8 {
        // The first process has sent nothing yet of what it wrote, when the store hears of another life.
        twins.world.host(ann).manners.hold_commits = true;
        twins.world.send(ann, &to_bob, &format!("held {number}"));
        twins.world.send(bob, &to_ann, &format!("unread {number}"));
        twins.world.settle();
        twins.world.host(ann).manners.hold_commits = false;
        twins.start(1);
        for _ in 0..number {
            twins.turn(1);
        }
        twins.hand_store_to(0);
        twins.world.answer_commits(ann, Ok(()));
        twins.alternate();
        for which in [0, 1] {
            twins.speak(which, &to_bob);
        }
        twins.alternate();
        let is_fenced = [0, 1].map(|which| twins.is_fenced(which));
        assert_ne!(is_fenced[0], is_fenced[1], "{number}: one of them");
        let winner = usize::from(is_fenced[0]);
        twins.hand_store_to(winner);
        let name = twins.both[winner];
        twins.world.disconnect(name);
        twins.world.connect(name);
        twins.world.pass_ms(3_000);
        let at = format!("{number} outputs");
        let got = texts(&twins.world, &twins.both, &at);
        assert_eq!(got.iter().filter(|text| **text == format!("unread {number}")).count(), 1, "{at}");
        let copies = texts(&twins.world, &[bob], &at).iter().filter(|text| **text == format!("held {number}")).count();
        assert!(copies <= 1, "{at}");
        assert_eq!(twins.world.relay.counters().reused, [], "{at}");
        twins.world.disconnect(name);
        twins.hand_store_to(0);
        twins.both.iter().for_each(|name| twins.world.hosts[name.0].events.clear());
        twins.world.crash(ann);
        twins.world.connect(ann);
        twins.world.pass_ms(500);
    }
}
