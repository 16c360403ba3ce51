//! Blows at every position of a flow: after each of its outputs a client is killed or cut off, and afterwards everything
//! that was promised is looked at. Owns the blows, the account of what was said, and the oracles; the flows are the tests'.

use crate::puppet::Puppet;
use crate::world::{Name, World, text_content, text_in};
use std::collections::{BTreeMap, BTreeSet};
use whatsio_core::api::{Event, EventId, MessageId, Output, Space};
use whatsio_core::relay::{RelayConfig, RelayEvent};
use whatsio_core::types::Jid;

/// What happens to a client after so many of its outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// Its process dies before the next output is carried out.
    Crash,
    /// Its store does not answer its next commit, nor any later one; what can go on without does, and then the process
    /// dies. Positions are commits.
    Held,
    /// Its connection is gone; the process goes on.
    Cut,
}

/// All of them.
pub const BLOWS: [Blow; 3] = [Blow::Crash, Blow::Held, Blow::Cut];

/// Whoever is played by the test.
const PUPPET: Name = Name(usize::MAX);

/// One thing that the protocol does, repeated in one world and struck one output later each time.
pub struct Flow {
    /// What it is called in reports.
    pub name: &'static str,
    /// Positions that there are at the least; fewer mean that the flow did not take place.
    pub least: usize,
    /// How long the flow may take by itself, in milliseconds.
    pub takes_ms: u64,
    /// Whether messages of one sender in one chat come in the order in which they were sent.
    pub is_ordered: bool,
    /// Whether every copy can be read: nothing is asked for again.
    pub is_readable: bool,
    /// Makes the world ready for the next round: everything at rest, and the flow about to begin.
    pub prepare: fn(&mut Cast),
    /// Begins the flow, without moving anything.
    pub act: fn(&mut Cast),
    /// What a user does who sees that a client was struck.
    pub recover: fn(&mut Cast),
    /// Looks at what only this flow promises, when everybody has heard of everybody again.
    pub finish: fn(&mut Cast),
}

/// A world with people in it, and the account of what they said.
pub struct Cast {
    /// The world.
    pub world: World,
    /// Clients that take part, by role; those that are not listed any more are not looked at.
    pub people: Vec<Name>,
    /// Devices that the test plays.
    pub puppets: Vec<Puppet>,
    /// How many rounds there were before this one.
    pub round: usize,
    /// What a flow wants to remember from its beginning to its end.
    pub noted: Vec<Jid>,
    said: Vec<Said>,
    /// What each event was, over all rounds: none is told under two ids, and no id is used for two.
    told: BTreeMap<Name, BTreeMap<EventId, String>>,
    count: usize,
}

/// Something that was said in this round.
struct Said {
    by: Name,
    chat: Jid,
    id: MessageId,
    text: String,
    readers: Vec<Name>,
    /// It was handed over once more, since nobody had said that it was kept.
    is_again: bool,
}

impl Cast {
    /// A world of accounts with so many companions each, whose relay watches their counters.
    #[must_use]
    pub fn new(seed: u8, accounts: &[usize]) -> Self {
        let mut config = RelayConfig::default();
        config.limits.counters = 1_000_000;
        // The oldest keys give way at the relay before they do at the client.
        config.limits.prekeys = 2_000;
        let mut world = World::with_relay(seed, config);
        let mut people = Vec::new();
        for companions in accounts {
            let first = world.add_linked(None);
            people.push(first);
            let number = world.number(first);
            people.extend((1..*companions).map(|_| world.add_linked(Some(&number))));
        }
        world.settle();
        let (said, told, puppets, noted) = (Vec::new(), BTreeMap::new(), Vec::new(), Vec::new());
        Self { world, people, puppets, round: 0, noted, said, told, count: 0 }
    }

    /// The address of a person's account.
    #[must_use]
    pub fn pn(&self, who: usize) -> Jid {
        self.world.pn(self.people[who])
    }

    /// The person's account by LID.
    #[must_use]
    pub fn lid(&self, who: usize) -> Jid {
        self.own(who).1
    }

    /// The person's device by phone number.
    #[must_use]
    pub fn device(&self, who: usize) -> Jid {
        self.world.hosts[self.people[who].0].client.identity().expect("linked").jid
    }

    fn own(&self, who: usize) -> (Jid, Jid) {
        let own = self.world.hosts[self.people[who].0].client.identity().expect("linked");
        (own.jid.to_user(), own.lid.expect("a LID").to_user())
    }

    /// Somebody says something that was never said before, and all devices of both sides are to read it once.
    pub fn say(&mut self, by: usize, chat: &Jid) -> String {
        let text = format!("{} from {by} in round {}", self.count, self.round);
        self.count += 1;
        let own = self.pn(by);
        let concerned = |who: &usize| {
            let (pn, lid) = self.own(*who);
            *who != by && (pn == own || pn.same_user(chat) || lid.same_user(chat))
        };
        let readers = (0..self.people.len()).filter(concerned).map(|who| self.people[who]).collect();
        let by = self.people[by];
        let id = self.world.send(by, chat, &text);
        self.said.push(Said { by, chat: chat.clone(), id, text: text.clone(), readers, is_again: false });
        text
    }

    /// Somebody is to read, once, what a puppet said.
    pub fn expect(&mut self, reader: usize, id: &str, text: &str) {
        let readers = vec![self.people[reader]];
        let (id, text, chat) = (MessageId::new(id), text.to_owned(), Jid::server_itself());
        self.said.push(Said { by: PUPPET, chat, id, text, readers, is_again: false });
    }

    /// Somebody and one of every other account say something to each other.
    pub fn talk(&mut self, who: usize) {
        let own = self.pn(who);
        let mut accounts = BTreeMap::new();
        for other in (0..self.people.len()).filter(|other| self.pn(*other) != own) {
            accounts.entry(self.pn(other).to_string()).or_insert(other);
        }
        for other in accounts.into_values() {
            let chat = self.pn(other);
            self.say(who, &chat);
            self.say(other, &own);
        }
    }

    /// Forgets everything in memory that is durable, so that it must be loaded.
    pub fn trim(&mut self) {
        for name in self.people.clone() {
            self.world.host(name).client.trim(0);
        }
    }

    /// Everybody goes away, time passes, and everybody is back.
    pub fn let_pass(&mut self, ms: u64) {
        let people = self.people.clone();
        people.iter().for_each(|name| self.world.disconnect(*name));
        self.world.pass_ms(ms);
        people.iter().for_each(|name| self.world.connect(*name));
        self.world.pass_ms(500);
    }

    /// What a puppet reads, with everything that it cannot read asked for again as often as needed.
    pub fn read_by_puppet(&mut self, which: usize) -> Vec<String> {
        let mut texts = Vec::new();
        for _ in 0..4 {
            let mail = self.puppets[which].mail(&mut self.world);
            let messages = mail.into_iter().filter(|mail| mail.node.tag == "message");
            let (read, unread): (Vec<_>, Vec<_>) = messages.partition(|mail| mail.content.is_some());
            texts.extend(read.iter().filter_map(|mail| text_in(mail.content.as_ref()?)));
            for mail in &unread {
                let (id, from) = (mail.node.text("id").unwrap().into_owned(), mail.node.jid("from").unwrap());
                self.puppets[which].ask_again(&mut self.world, &from, &id, 1, true);
            }
            self.world.settle();
            if unread.is_empty() {
                break;
            }
        }
        texts
    }

    /// What somebody was told in this round, each durable event once.
    pub fn events(&self, name: Name) -> impl Iterator<Item = &Event> {
        let earlier = self.told.get(&name);
        let mut seen = BTreeSet::new();
        let events = self.world.hosts[name.0].events.iter();
        let new = events.filter(move |envelope| {
            let is_old = earlier.is_some_and(|earlier| earlier.contains_key(&envelope.id));
            !envelope.durable || (!is_old && seen.insert(envelope.id))
        });
        new.map(|envelope| &envelope.event)
    }

    fn received(&self, name: Name) -> Vec<(MessageId, String)> {
        let messages = self.events(name).filter_map(|event| match event {
            Event::MessageReceived(message) => Some((message.id.clone(), text_in(&message.content)?)),
            _ => None,
        });
        messages.collect()
    }

    fn ends(&self, name: Name, id: &MessageId) -> Vec<bool> {
        let ends = self.events(name).filter_map(|event| match event {
            Event::SendFinished(report) if report.id == *id => Some(report.is_sent()),
            _ => None,
        });
        ends.collect()
    }

    fn is_queued(&self, name: Name, id: &MessageId) -> bool {
        self.events(name).any(|event| matches!(event, Event::SendQueued { id: queued, .. } if queued == id))
    }

    /// An application hands over once more, under the same id, what nobody said was kept.
    fn say_again(&mut self, name: Name) {
        for at in 0..self.said.len() {
            let Said { by, chat, id, text, .. } = &self.said[at];
            if *by != name || self.is_queued(name, id) {
                continue;
            }
            let (now, chat, id, content) = (self.world.clock(name), chat.clone(), id.clone(), text_content(text));
            self.world.host(name).client.send_message(now, &chat, content, Some(id)).expect("accepted");
            self.said[at].is_again = true;
        }
    }

    /// What is still to come, in words; empty when all is well.
    fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for name in &self.people {
            if !self.world.hosts[name.0].client.is_connected() {
                missing.push(format!("{name:?} is not connected"));
            }
            let got: BTreeSet<String> = self.received(*name).into_iter().map(|(_, text)| text).collect();
            let wanted = self.said.iter().filter(|said| said.readers.contains(name) && !got.contains(&said.text));
            missing.extend(wanted.map(|said| format!("{name:?} has not read {:?}", said.text)));
        }
        let sends = self.said.iter().filter(|said| said.by != PUPPET);
        for said in sends.filter(|said| self.ends(said.by, &said.id).is_empty()) {
            missing.push(format!("the send of {:?} has not ended", said.text));
        }
        missing
    }

    fn wait(&mut self, at: &str, ms: u64) {
        let end = self.world.now.mono + ms;
        self.world.settle();
        loop {
            let missing = self.missing();
            if missing.is_empty() {
                return;
            }
            assert!(self.world.now.mono < end, "{at}: {missing:#?}");
            self.world.pass(end - self.world.now.mono);
        }
    }

    /// Whoever confirms a message has shown it, or has it on disk to be shown.
    fn assert_nothing_is_confirmed_before_it_is_kept(&self, at: &str) {
        for name in &self.people {
            let Some(own) = self.world.hosts[name.0].client.identity() else { continue };
            let host = &self.world.hosts[name.0];
            let shown: BTreeSet<String> = host.events.iter().filter_map(|envelope| id_of(&envelope.event)).collect();
            let kept = |id: &str| {
                let mut inbox = host.store.iter().filter(|(key, _)| key.space == Space::Inbox);
                inbox.any(|(_, record)| record.0.windows(id.len()).any(|part| part == id.as_bytes()))
            };
            for event in &self.world.told {
                if let RelayEvent::Answered { by, id, how, error: None } = event
                    && *by == own.jid
                    && how != "retry"
                    && how != "ack"
                {
                    assert!(shown.contains(id) || kept(id), "{at}: {name:?} confirmed {id} by {how:?} unkept");
                }
            }
        }
    }

    /// All oracles.
    fn assert_all_is_well(&self, is_ordered: bool, is_readable: bool, at: &str) {
        self.assert_nothing_is_confirmed_before_it_is_kept(at);
        assert_eq!(self.world.relay.counters().reused, [], "{at}");
        assert_eq!(self.world.relay.counters().unwatched, 0, "{at}");
        for said in self.said.iter().filter(|said| said.by != PUPPET) {
            let ends = self.ends(said.by, &said.id);
            let most = 1 + usize::from(said.is_again);
            assert!(ends.len() <= most && ends.iter().all(|sent| *sent), "{at}: {:?} ended {ends:?}", said.text);
        }
        for name in &self.people {
            self.assert_read_once(is_ordered, is_readable, *name, at);
        }
        let accounts = self.world.relay.accounts();
        for device in accounts.iter().flat_map(|account| &account.devices) {
            let is_real = self.people.iter().any(|name| {
                self.world.hosts[name.0].client.identity().is_some_and(|identity| identity.jid == device.jid)
            });
            assert!(!is_real || device.queued == 0, "{at}: {} stanzas of {} are unanswered", device.queued, device.jid);
        }
    }

    fn assert_read_once(&self, is_ordered: bool, is_readable: bool, name: Name, at: &str) {
        let got = self.received(name);
        let mine: Vec<&Said> = self.said.iter().filter(|said| said.readers.contains(&name)).collect();
        let mut wanted: Vec<_> = mine.iter().map(|said| (said.id.clone(), said.text.clone())).collect();
        let mut found = got.clone();
        wanted.sort();
        found.sort();
        assert_eq!(found, wanted, "{at}: {name:?} reads everything once");
        let by = |(id, _): &(MessageId, String)| mine.iter().find(|said| said.id == *id).map(|said| said.by);
        let senders: BTreeSet<Name> = mine.iter().map(|said| said.by).collect();
        for sender in senders.into_iter().filter(|_| is_ordered) {
            let got: Vec<_> = got.iter().filter(|one| by(one) == Some(sender)).map(|(_, text)| text).collect();
            let said: Vec<_> = mine.iter().filter(|said| said.by == sender).map(|said| &said.text).collect();
            assert_eq!(got, said, "{at}: {name:?} reads in order");
        }
        for event in self.events(name) {
            match event {
                Event::MessageUndecryptable(lost) => {
                    let is_read = got.iter().any(|(id, _)| *id == lost.id);
                    assert!(is_read && !is_readable, "{at}: {name:?} cannot read {:?}: {:?}", lost.id, lost.reason);
                }
                Event::Faulted(_) | Event::SuspiciousMessage(_) | Event::RecordQuarantined { .. } => {
                    panic!("{at}: {name:?}: {event:?}");
                }
                _ => {}
            }
        }
    }

    /// Waits until everything that was said is read, looks at everything that was promised, and ends the round.
    ///
    /// # Panics
    /// If anything is lost, doubled, out of order, confirmed too early, or encrypted with a counter used before.
    pub fn conclude(&mut self, is_ordered: bool, is_readable: bool, at: &str) {
        self.wait(at, 120_000);
        self.assert_all_is_well(is_ordered, is_readable, at);
        self.close(at);
    }

    /// Nobody is to read what was said last.
    pub fn expect_nobody_to_read_it(&mut self) {
        self.said.last_mut().expect("something was said").readers.clear();
    }

    /// Ends a round: what was told is remembered, so that nothing of it may come again as something new.
    fn close(&mut self, at: &str) {
        for name in self.people.clone() {
            let told = self.told.entry(name).or_default();
            for envelope in std::mem::take(&mut self.world.hosts[name.0].events) {
                if envelope.durable {
                    let what = essence(&envelope.event);
                    let known = told.entry(envelope.id).or_insert_with(|| what.clone());
                    assert_eq!(*known, what, "{at}: {name:?} used one event id for two events");
                }
            }
            self.world.host(name).written.clear();
        }
        self.said.clear();
        self.world.told.clear();
        self.round += 1;
    }

    fn strike(&mut self, victim: Name, blow: Blow, position: usize, takes_ms: u64, at: &str) -> bool {
        // With a store that does not answer, nothing differs before the next commit.
        let counts: fn(&Output) -> bool =
            if blow == Blow::Held { |output| matches!(output, Output::Commit(_)) } else { |_| true };
        let pending = self.world.pass_until_output(victim, position, takes_ms, counts);
        let is_over = pending.is_none();
        match blow {
            Blow::Crash => {}
            Blow::Held => {
                self.world.host(victim).manners.hold_commits = true;
                pending.into_iter().for_each(|output| self.world.carry_out(victim, output));
                self.world.pass_ms(100);
            }
            Blow::Cut => {
                self.world.cut(victim);
                pending.into_iter().for_each(|output| self.world.carry_out(victim, output));
                return is_over;
            }
        }
        self.assert_nothing_is_confirmed_before_it_is_kept(at);
        self.world.crash(victim);
        self.world.host(victim).manners.hold_commits = false;
        if self.world.hosts[victim.0].client.identity().is_some() {
            self.say_again(victim);
        }
        let now = self.world.clock(victim);
        self.world.host(victim).client.connect(now).unwrap();
        is_over
    }
}

impl Flow {
    /// Strikes the person `victim` of a world that `cast` makes with every blow after every output, and prints and gives
    /// the number of blows.
    ///
    /// # Panics
    /// If anything is lost, doubled, out of order, confirmed too early, or encrypted with a counter used before.
    pub fn strike(&self, cast: impl Fn() -> Cast, victim: usize) -> usize {
        let counts = BLOWS.map(|blow| self.strike_with(cast(), victim, blow));
        let [crashes, held, cuts] = counts;
        println!(
            "{}, victim {victim}: {crashes} crashes, {held} crashes with commits held back, {cuts} cuts",
            self.name
        );
        counts.iter().sum()
    }

    fn strike_with(&self, mut cast: Cast, victim: usize, blow: Blow) -> usize {
        for position in 0..400 {
            let at = format!("{}, victim {victim}, {blow:?} at position {position}", self.name);
            (self.prepare)(&mut cast);
            cast.close(&at);
            let name = cast.people[victim];
            (self.act)(&mut cast);
            let is_over = cast.strike(name, blow, position, self.takes_ms, &at);
            cast.world.pass_ms(300);
            (self.recover)(&mut cast);
            cast.wait(&at, 120_000);
            // Whoever was struck hears of the others again, and they of it.
            cast.talk(victim);
            cast.wait(&at, 10_000);
            (self.finish)(&mut cast);
            cast.conclude(self.is_ordered, self.is_readable, &at);
            if blow == Blow::Cut {
                // A connection that stands for so long counts as good: the next is not made later and later.
                cast.world.pass_ms(10_500);
            }
            if is_over {
                let least = if blow == Blow::Held { 2 } else { self.least };
                assert!(position >= least, "{}: {position} positions only", self.name);
                return position + 1;
            }
        }
        panic!("{} never ends", self.name);
    }
}

/// What stays of an event over restarts; which call began a send does not.
fn essence(event: &Event) -> String {
    match event {
        Event::SendFinished(report) => format!("{:?} {:?}", report.id, report.result),
        _ => format!("{:?} {event:?}", id_of(event)),
    }
}

/// The message that an event is about.
fn id_of(event: &Event) -> Option<String> {
    match event {
        Event::MessageReceived(message) => Some(message.id.to_string()),
        Event::MessageUndecryptable(lost) => Some(lost.id.to_string()),
        Event::SuspiciousMessage(found) => Some(found.id.to_string()),
        Event::SendFinished(report) => Some(report.id.to_string()),
        _ => None,
    }
}
