//! Two addresses turn out to be one person at any point of a conversation: between any two outputs of either side, for
//! either side or both, with messages on their way in both directions.

use std::collections::BTreeSet;
use whatsio_core::api::{Aliases, Event, Space};
use whatsio_core::stanza::Addressing;
use whatsio_core::types::Jid;
use whatsio_tests::world::{Name, World, text_in};

/// Who becomes known under both addresses.
const TOLD: [&[usize]; 3] = [&[0], &[1], &[0, 1]];

struct Pair {
    world: World,
    names: [Name; 2],
    /// Phone number and LID of each.
    addresses: [[Jid; 2]; 2],
    sent: [Vec<String>; 2],
}

impl Pair {
    fn new(seed: u8) -> Self {
        let mut world = World::new(seed);
        let names = [world.add_linked(None), world.add_linked(None)];
        let addresses = names.map(|name| {
            let own = world.hosts[name.0].client.identity().expect("linked");
            [world.pn(name), own.lid.expect("a LID").to_user()]
        });
        for [pn, _] in &addresses {
            assert!(world.relay.hide_other_address(pn, true));
        }
        Self { world, names, addresses, sent: [Vec::new(), Vec::new()] }
    }

    fn send(&mut self, from: usize, by_lid: bool) {
        let text = format!("{} from {from}", self.sent[from].len());
        self.world.send(self.names[from], &self.addresses[1 - from][usize::from(by_lid)], &text);
        self.sent[from].push(text);
    }

    /// The server says both addresses of these people from now on, and shows them under `addressing`.
    fn tell(&mut self, told: &[usize], addressing: Addressing) {
        for whom in told {
            let pn = &self.addresses[*whom][0];
            assert!(self.world.relay.hide_other_address(pn, false));
            self.world.relay.set_addressing(pn, Some(addressing));
        }
    }

    /// Texts that one of them got, each event once, and what was known of the last one's chat.
    fn received(&self, at: usize) -> (Vec<String>, Option<Aliases>) {
        let (mut seen, mut last) = (BTreeSet::new(), None);
        let mut texts = Vec::new();
        for envelope in &self.world.hosts[self.names[at].0].events {
            assert!(!matches!(envelope.event, Event::MessageUndecryptable(_)), "unreadable for {at}");
            if let (Event::MessageReceived(message), true) = (&envelope.event, seen.insert(envelope.id)) {
                texts.extend(text_in(&message.content));
                last = Some(message.chat_aliases.clone());
            }
        }
        (texts, last)
    }
}

/// A conversation in which the two are told of after `outputs` outputs of `whose` host. `false` if there were fewer.
fn converse(outputs: usize, whose: usize, told: &[usize], addressing: Addressing) -> bool {
    let mut pair = Pair::new(3);
    // Each has a session with the other under the number and under the LID, as if these were two people.
    for (from, by_lid) in [(0, false), (1, false), (0, true), (1, true)] {
        pair.send(from, by_lid);
        pair.world.settle();
    }
    for (from, by_lid) in [(0, false), (1, true), (0, true), (1, false), (0, false), (1, false)] {
        pair.send(from, by_lid);
    }
    let stopped = pair.world.settle_until(pair.names[whose], outputs);
    let has_more = stopped.is_some();
    pair.tell(told, addressing);
    // Written while the rest is on its way.
    pair.send(0, true);
    pair.send(1, false);
    if let Some(output) = stopped {
        pair.world.carry_out(pair.names[whose], output);
    }
    pair.world.pass_ms(5_000);
    pair.tell(&[0, 1], addressing);
    for (from, by_lid) in [(0, false), (1, true), (0, true), (1, false)] {
        pair.send(from, by_lid);
        pair.world.pass_ms(3_000);
    }
    for at in [0, 1] {
        let (texts, aliases) = pair.received(at);
        let mut sorted = texts.clone();
        sorted.sort_by_key(|text| pair.sent[1 - at].iter().position(|sent| sent == text));
        let context = format!("told of {told:?} after {outputs} outputs of {whose}, for {at}: {texts:?}");
        assert_eq!(sorted, pair.sent[1 - at], "{context}");
        let aliases = aliases.expect("a message");
        let [pn, lid] = &pair.addresses[1 - at];
        assert_eq!((aliases.pn.as_ref(), aliases.lid.as_ref()), (Some(pn), Some(lid)), "one chat; {context}");
        // The other side's phone and companion, the own phone.
        let sessions =
            pair.world.hosts[pair.names[at].0].store.keys().filter(|key| key.space == Space::Session).count();
        assert_eq!(sessions, 3, "{context}");
    }
    has_more
}

/// Every second place of the conversation, a third of them for each way of being told.
fn at_every_step(whose: usize, addressing: Addressing) {
    let mut outputs = whose;
    while converse(outputs, whose, TOLD[(outputs / 2) % 3], addressing) {
        outputs += 2;
    }
    assert!(outputs > 30, "{outputs}");
}

#[test]
fn two_addresses_become_one_chat_wherever_the_first_to_write_learns_it() {
    at_every_step(0, Addressing::Lid);
}

#[test]
fn two_addresses_become_one_chat_wherever_the_other_side_learns_it() {
    at_every_step(1, Addressing::Pn);
}
